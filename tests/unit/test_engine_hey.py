"""Which hey is taken: other programs of this name, old ones, and ones that do not start."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from benchkit.errors import UserError
from benchkit.load.engines import hey as engine_module
from benchkit.load.engines import hey_output
from benchkit.load.engines.hey import Hey
from benchkit.settings import load_settings

USAGE = """Usage: hey [options...] <url>
  -o  Output type.
  -D  HTTP request body from file.
  -T  Content-type
  -disable-redirects    Disable following of HTTP redirects
"""
ROWS = hey_output.HEADER.decode()
OLD_ROWS = "\n" + ROWS.replace(",status-code,offset", "")


@pytest.fixture(autouse=True)
def _forget() -> None:
    engine_module.problem_of.cache_clear()


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that is the first on PATH; the set-up installed nothing."""
    directory = tmp_path / "bin"
    directory.mkdir()
    monkeypatch.setenv("PATH", f"{directory}:/usr/bin:/bin")
    monkeypatch.setattr(engine_module, "ROOT", tmp_path)
    return directory


def program(file: Path, usage: str, rows: str = ROWS, *, more: str = "") -> str:
    """Write a program that prints its usage, and rows where it is given arguments."""
    file.parent.mkdir(parents=True, exist_ok=True)
    Path(f"{file}.usage").write_text(usage)
    Path(f"{file}.rows").write_text(rows)
    file.write_text(
        f"#!/bin/sh\n{more}\n[ $# -gt 0 ] || {{ cat '{file}.usage' >&2; exit 1; }}\necho Error >&2\ncat '{file}.rows'\n"
    )
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return str(file)


def found_program(name: str = "hey") -> str:
    [found] = Hey().program(load_settings(environ={"PERF_HEY": name}))
    return found


def refused(name: str = "hey") -> str:
    with pytest.raises(UserError) as raised:
        found_program(name)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_the_real_one_is_taken() -> None:
    found = found_program()
    assert engine_module.problem_of(found) == ""


def test_one_that_speaks_the_same_language_is_taken(path: Path) -> None:
    found = program(path / "hey", USAGE)
    assert found_program() == found


@pytest.mark.parametrize(
    ("usage", "rows", "reason"),
    [
        ("hey there! ask me anything\n", "", "it is another program of this name"),
        ("usage: hey [-h] [--model MODEL] prompt\n", ROWS, "it is another program of this name"),
        ("", "", "it is another program of this name"),
        (USAGE.replace("-disable-redirects", "-more"), ROWS, "it is an old hey, without -disable-redirects"),
        (USAGE, OLD_ROWS, "it writes rows of an old hey, without status and offset"),
        (USAGE, "Summary:\n", "it does not write hey's rows"),
        (USAGE, "", "it does not write hey's rows"),
    ],
)
def test_one_that_cannot_make_the_load_is_refused_with_what_to_install(
    path: Path, usage: str, rows: str, reason: str
) -> None:
    found = program(path / "hey", usage, rows)
    words = refused()
    assert f"{found}: {reason}" in words
    assert "install hey 0.1.4 or newer (make setup)" in words


def test_one_that_waits_for_a_question_is_not_waited_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "_TIMEOUT_S", 0.3)
    program(path / "hey", USAGE, more="sleep 3 & wait")
    assert "does not end within 0.3 s" in refused()


def test_one_for_another_processor_is_refused(path: Path) -> None:
    file = path / "hey"
    file.write_bytes(b"\x7fELF\x02\x01\x01" + bytes(60))
    file.chmod(0o755)
    assert "it does not start" in refused()


def test_the_set_up_s_is_taken_where_another_program_stands_on_the_path(path: Path, tmp_path: Path) -> None:
    program(path / "hey", "hey there")
    installed = program(tmp_path / ".tools" / "bin" / "hey", USAGE)
    assert found_program() == installed


def test_one_that_is_named_is_the_only_one_that_will_do(path: Path, tmp_path: Path) -> None:
    program(path / "hey", USAGE)
    assert "PERF_HEY: performance.hey_binary = '/nowhere/hey': there is no such program" in refused("/nowhere/hey")
    other = program(tmp_path / "old", USAGE, OLD_ROWS)
    assert f"{other}: it writes rows of an old hey" in refused(other)


def test_the_check_sends_nothing_to_anybody(path: Path) -> None:
    calls = path / "calls"
    program(path / "hey", USAGE, more=f"echo \"$*\" >> '{calls}'")
    found_program()
    usage, request = calls.read_text().split("\n")[:2]
    assert usage == ""
    assert request.startswith("-n 1 -c 1 -t 1 -o csv -disable-redirects http://127.0.0.1:")
