"""How every program ends: its exit code, and what it says."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchkit.settings import ROOT

PROGRAMS = sorted(path for path in (ROOT / "utils").glob("*.py") if path.name != "__init__.py")


def run(tmp_path: Path, body: str) -> subprocess.CompletedProcess[str]:
    """A program that does this, in a process of its own."""
    lines = [
        "from benchkit.errors import ExitCode, UserError, run_program",
        "def main():",
        *(f"    {line}" for line in body.splitlines()),
        "run_program(main)",
    ]
    path = tmp_path / "a_program.py"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return subprocess.run(
        [sys.executable, str(path)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "utils")},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise ValueError('a\\nb')", "ValueError: a b"),
        ("{}['key']", "KeyError: 'key'"),
        ("assert False", "AssertionError"),
        ("raise OSError(28, 'No space left on device')", "OSError: [Errno 28] No space left on device"),
    ],
)
def test_a_bug_is_no_regression(tmp_path: Path, body: str, message: str) -> None:
    done = run(tmp_path, f"print('before')\n{body}")
    assert (done.returncode, done.stdout) == (2, "before\n")
    first, *_, last = done.stderr.splitlines()
    assert first == "Traceback (most recent call last):"
    assert last == f"error: internal error in a_program.py: {message}; please report it with the lines above"


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        ("return ExitCode.REGRESSION", 1, ""),
        ("raise UserError('a\\nb')", 2, "error: a b\n"),
        ("raise UserError('a', ExitCode.INVALID)", 3, "error: a\n"),
        ("raise KeyboardInterrupt", 130, ""),
        ("raise SystemExit(143)", 143, ""),
        ("raise BrokenPipeError", 0, ""),
    ],
)
def test_everything_else_ends_as_it_says(tmp_path: Path, body: str, code: int, said: str) -> None:
    done = run(tmp_path, body)
    assert (done.returncode, done.stderr) == (code, said)


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.name)
def test_every_program_ends_this_way(path: Path) -> None:
    last = ast.parse(path.read_text("utf-8")).body[-1]
    assert isinstance(last, ast.If)
    assert ast.unparse(last.test) == "__name__ == '__main__'"
    assert ast.unparse(last.body[-1]) == "run_program(main)"
