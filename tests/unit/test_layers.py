"""Which part of benchkit may import which: rooms do not import each other, and nothing imports what is above it."""

from __future__ import annotations

import ast
from pathlib import Path

from benchkit.settings import ROOT

BENCHKIT = ROOT / "utils" / "benchkit"
ROOMS = {"gateway", "stack", "load", "verdict", "monitor", "profiling", "report"}
FLOOR = {path.stem for path in BENCHKIT.glob("*.py")}
"""The modules that every room may use."""

ALLOWED = {
    "model": {"errors", "plain"},
    **{room: {"model", *FLOOR} for room in ROOMS},
    "run": {"model", *FLOOR, *ROOMS},
    **{module: {"model", *FLOOR} for module in FLOOR},
}
"""What each part may import besides itself."""


def part_of(path: Path) -> str:
    """A room, ``model`` or ``run``; a module of the floor is a part by itself."""
    return path.relative_to(BENCHKIT).parts[0].removesuffix(".py")


def imported(source: str) -> set[str]:
    """The parts of benchkit that a module imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module == "benchkit":
            found |= {alias.name for alias in node.names if not alias.name.startswith("__")}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("benchkit."):
            found.add(str(node.module).split(".")[1])
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("benchkit.")}
    return found


def test_imports_point_down_and_never_sideways() -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {other}"
        for path in sorted(BENCHKIT.rglob("*.py"))
        for part in [part_of(path)]
        for other in sorted(imported(path.read_text(encoding="utf-8")) - ALLOWED[part] - {part})
    ]
    assert wrong == []


def test_every_part_is_drawn() -> None:
    assert {part_of(path) for path in BENCHKIT.rglob("*.py")} == set(ALLOWED)


def test_a_sideways_import_is_found() -> None:
    assert imported("def f():\n    from benchkit.load.engines import hey\n") == {"load"}
    assert imported("import benchkit.stack.state\nfrom benchkit import settings, __version__\n") == {
        "stack",
        "settings",
    }
