"""What every test may use."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parent / "golden"
WIDTH = 120
"""Characters in a line of a golden JSON file."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden files instead of comparing")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, object], None]:
    """Compare a text with a file below ``tests/golden/``; with ``--update-golden`` write that file.

    What is no text is compared as JSON.
    """

    def check(name: str, value: object) -> None:
        path = GOLDEN / name
        text = value if isinstance(value, str) else "\n".join(_json_lines(value, "")) + "\n"
        if request.config.getoption("--update-golden"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert path.exists(), f"{path} is missing; look at the output and run pytest --update-golden"
        assert text == path.read_text(encoding="utf-8")

    return check


def _json_lines(value: object, indent: str) -> list[str]:
    """JSON that a person can review: what fits into a line stands in one; plain values and short lists fill lines."""
    whole = indent + json.dumps(value, ensure_ascii=False)
    if len(whole) <= WIDTH or not isinstance(value, dict | list):
        return [whole]
    named = isinstance(value, dict)
    entries = [(f"{json.dumps(name)}: ", one) for name, one in value.items()] if named else [("", one) for one in value]
    lines = [indent + ("{" if named else "[")]
    fits = False
    for place, (name, one) in enumerate(entries):
        first, *rest = _json_lines(one, f"{indent} ")
        text = name + first.lstrip(" ") + ("," if not rest and place + 1 < len(entries) else "")
        plain = not isinstance(one, dict | list) or (not named and not rest and len(text) < 30)
        if fits and plain and len(lines[-1]) + len(text) < WIDTH:
            lines[-1] += f" {text}"
        else:
            lines.append(f"{indent} {text}")
        fits = plain
        if rest:
            lines += [*rest[:-1], rest[-1] + ("," if place + 1 < len(entries) else "")]
    return [*lines, indent + ("}" if named else "]")]
