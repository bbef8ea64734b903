"""How every program ends: its exit code, and what it says."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchkit.settings import ROOT

PROGRAMS = sorted(path for path in (ROOT / "utils").glob("*.py") if path.name != "__init__.py")


ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "utils")}


def write_program(tmp_path: Path, body: str) -> Path:
    """A program that does this."""
    lines = [
        "from benchkit.errors import ExitCode, UserError, run_program",
        "def main():",
        *(f"    {line}" for line in body.splitlines()),
        "run_program(main)",
    ]
    path = tmp_path / "a_program.py"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def run(tmp_path: Path, body: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """It runs in a process of its own."""
    return subprocess.run(
        [sys.executable, str(write_program(tmp_path, body))],
        env={**ENVIRONMENT, **environ},
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


@pytest.mark.parametrize("encoding", ["iso-8859-1", "ascii", "cp437"])
def test_a_terminal_that_cannot_show_a_character_hides_no_verdict(tmp_path: Path, encoding: str) -> None:
    done = run(tmp_path, "print('a \u2192 b')\nreturn 1", PYTHONIOENCODING=encoding)
    assert done.returncode == 1
    assert "\\u2192" in done.stdout
    done = run(tmp_path, "raise UserError('a \u2192 b')", PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr) == (2, "error: a \\u2192 b\n")


@pytest.mark.parametrize(
    ("target", "code", "expected"),
    [
        (">/dev/full", 1, 1),
        (">/dev/full", 3, 3),
        (">/dev/full", 0, 2),
        (">&-", 1, 1),
        (">&-", 0, 0),
        ("| head -c 1", 1, 1),
    ],
)
def test_output_that_goes_nowhere_hides_no_verdict(tmp_path: Path, target: str, code: int, expected: int) -> None:
    body = f"print('x' * 1_000_000)\nprint('y', flush=True)\nreturn {code}"
    path = write_program(tmp_path, body)
    command = f"set -o pipefail; '{sys.executable}' '{path}' {target}"
    done = subprocess.run(["bash", "-c", command], env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == expected
    assert done.stderr == (
        "error: standard output could not be written: No space left on device\n" if expected == 2 else ""
    )


def test_an_error_that_nobody_can_read_keeps_its_code(tmp_path: Path) -> None:
    path = write_program(tmp_path, "raise UserError('x', ExitCode.INVALID)")
    command = f"'{sys.executable}' '{path}' 2>/dev/full"
    assert subprocess.run(["bash", "-c", command], env=ENVIRONMENT, check=False).returncode == 3


# Whatever the caller's Python is told


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A directory of packages none of which imports."""
    for name in ("numpy", "pydantic", "requests", "yaml"):
        (tmp_path / "broken" / name).mkdir(parents=True)
        (tmp_path / "broken" / name / "__init__.py").write_text("raise RuntimeError('broken')\n", encoding="utf-8")
    return tmp_path / "broken"


TYPED = [path.name for path in PROGRAMS if path.read_text("utf-8").startswith("#!")]


@pytest.mark.parametrize("program", TYPED)
def test_no_program_that_is_typed_reads_a_pythonpath(broken: Path, program: str) -> None:
    (broken / "argparse.py").write_text("raise RuntimeError('broken')\n", encoding="utf-8")
    done = subprocess.run(
        [str(ROOT / "utils" / program), "--help"],
        env={**os.environ, "PYTHONPATH": str(broken)},
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", ["PYTHONPATH", "PYTHONHOME", "PYTHONSAFEPATH", "PYTHONWARNINGS", "PYTHONINSPECT"])
@pytest.mark.parametrize("program", ["compare_results.py", "trend.py"])
def test_a_program_that_is_typed_does_not_read_the_callers_python(broken: Path, name: str, program: str) -> None:
    value = str(broken) if name in ("PYTHONPATH", "PYTHONHOME") else "error" if name == "PYTHONWARNINGS" else "1"
    done = subprocess.run(
        [str(ROOT / "utils" / program), "--help"],
        env={**os.environ, name: value},
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "usage: " in done.stdout


def test_also_by_the_interpreter_that_is_typed(broken: Path) -> None:
    command = [sys.executable, str(ROOT / "utils" / "compare_results.py"), "--help"]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(broken)}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_package_that_does_not_import_is_no_regression(tmp_path: Path) -> None:
    """A copy of the programs whose own library is damaged."""
    shutil.copytree(ROOT / "utils", tmp_path / "utils", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "utils" / "benchkit" / "model" / "__init__.py").write_text("import nothing_of_that_name\n", "utf-8")
    command = [sys.executable, "-Es", str(tmp_path / "utils" / "compare_results.py"), "x"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: compare_results.py cannot start: ModuleNotFoundError: ")


def test_a_python_without_the_packages_is_not_the_toolkits(tmp_path: Path) -> None:
    """A checkout without set-up, and any Python."""
    shutil.copytree(ROOT / "utils", tmp_path / "utils", ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-EsS", str(tmp_path / "utils" / "compare_results.py"), "x"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == f"error: {tmp_path}/.venv: the toolkit's environment is not whole; run make setup\n"


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.name)
def test_every_program_ends_this_way(path: Path) -> None:
    last = ast.parse(path.read_text("utf-8")).body[-1]
    assert isinstance(last, ast.If)
    assert ast.unparse(last.test) == "__name__ == '__main__'"
    assert ast.unparse(last.body[-1]) == "run_program(main)"
