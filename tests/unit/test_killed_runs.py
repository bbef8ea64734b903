"""What is done for a run whose shell was killed: its last word, its temporary files, what it left on gateways."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchkit import store
from benchkit.identity import ProcessIdentity
from benchkit.run import fixtures_record, owner
from benchkit.run.fixtures_record import Fixture
from benchkit.settings import ROOT
from builders.raw_runs import RunDirectory, good, planned

RUN = "light_2025-10-10-143000"
GONE = 0x7FFFFFFF


def index(results: Path) -> subprocess.CompletedProcess[str]:
    """The next command that comes by."""
    return subprocess.run(
        [sys.executable, str(ROOT / "utils" / "results_index.py"), "--results-dir", str(results)],
        env={**os.environ, "TMPDIR": str(results.parent)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return tmp_path / "results"


def killed(results: Path, *pids: int, name: str = RUN) -> Path:
    """A run that was cut off after the first of two rounds, with what a writer leaves."""
    directory = results / name
    directory.mkdir(parents=True)
    made = RunDirectory(directory)
    made.add(planned("list_limit_50", iterations=2), good())
    made.finish()
    (directory / ".run.json.x1.tmp").write_text("half")
    owner.write_owner(directory, *(pids or (GONE,)))
    return directory


def test_the_next_command_gives_a_killed_run_its_last_word(results: Path) -> None:
    directory = killed(results)
    done = index(results)
    assert done.returncode == 0, done.stderr
    run = json.loads((directory / "run.json").read_text())
    assert (run["status"], run["exit_code"]) == ("interrupted", 143)
    assert "killed" in run["exit_reason"]
    assert f"{RUN} was killed" in done.stderr
    assert not list(directory.rglob("*.tmp"))
    assert (results / "latest").resolve() == directory.resolve()
    assert index(results).stderr == ""  # said once


@pytest.mark.parametrize("leader", ["this process", "one of two", "another machine", "unknown", "damaged", "a link"])
def test_a_run_that_may_go_on_is_left(results: Path, leader: str, tmp_path: Path) -> None:
    directory = killed(results, *((GONE, os.getpid()) if leader == "one of two" else (os.getpid(),)))
    document = directory / owner.DOCUMENT
    match leader:
        case "another machine":
            other = ProcessIdentity.of(GONE).model_copy(update={"host": "another"})
            store.save(document, owner.RunOwner(processes=[other]))
        case "unknown":
            document.unlink()
        case "damaged":
            document.write_text("{")
        case "a link":
            owner.write_owner(tmp_path, GONE)
            document.unlink()
            document.symlink_to(tmp_path / owner.DOCUMENT)
        case _:
            pass
    assert index(results).returncode == 0
    assert not (directory / "run.json").exists()
    assert (directory / ".run.json.x1.tmp").exists()


def test_every_variant_of_a_killed_comparison_gets_its_own(results: Path) -> None:
    name = "paired_2025-10-10-143000"
    for variant in ("base", "head"):
        killed(results / name, name=variant)
    owner.write_owner(results / name, GONE)
    index(results)
    for variant in ("base", "head"):
        assert json.loads((results / name / variant / "run.json").read_text())["status"] == "interrupted"


def test_a_run_that_had_not_begun_leaves_nothing(results: Path) -> None:
    directory = results / RUN
    (directory / "raw").mkdir(parents=True)
    owner.write_owner(directory, GONE)
    index(results)
    assert not directory.exists()


def test_a_directory_of_others_is_left_although_it_names_an_owner(results: Path) -> None:
    (results / "mine").mkdir(parents=True)
    owner.write_owner(results / "mine", GONE)
    (results / RUN).mkdir()
    owner.write_owner(results / RUN, GONE)
    (results / RUN / "notes.txt").write_text("mine")
    index(results)
    assert (results / "mine" / owner.DOCUMENT).exists()
    assert (results / RUN / "notes.txt").read_text() == "mine"


def test_temporary_directories_of_killed_shells_go(results: Path, tmp_path: Path) -> None:
    results.mkdir()
    for name in (f"perf_test.{GONE}.abc123", f"perf_test.{os.getppid()}.abc123", "perf_test.notes", "perf_test.1.a-b"):
        (tmp_path / name).mkdir()
    os.mkfifo(tmp_path / f"perf_test.{GONE}.abc123" / "ask")
    (tmp_path / f"perf_test.{GONE}.link").symlink_to(tmp_path / "perf_test.notes")
    index(results)
    left = {path.name for path in tmp_path.glob("perf_test.*")}
    assert left == {f"perf_test.{os.getppid()}.abc123", "perf_test.notes", "perf_test.1.a-b", f"perf_test.{GONE}.link"}


def test_what_a_killed_run_left_on_a_gateway_is_named_until_it_is_removed(results: Path) -> None:
    directory = killed(results)
    fixtures_record.save(directory, "http://gw:4444", [Fixture(name="perf-virtual", path="/servers/abc")])
    for _ in range(2):
        done = index(results)
        assert "left on http://gw:4444: perf-virtual (/servers/abc)" in done.stderr
    assert [each.record.gateway for each in fixtures_record.orphans(results)] == ["http://gw:4444"]
    assert fixtures_record.orphans(results, "http://other:4444") == []
    fixtures_record.forget(directory)
    assert fixtures_record.load(directory) is None
    assert "perf-virtual" not in index(results).stderr


def test_fixtures_of_a_run_that_goes_on_are_no_orphans(results: Path) -> None:
    directory = killed(results, os.getpid())
    fixtures_record.save(directory, "http://gw:4444", [Fixture(name="perf-virtual", path="/servers/abc")])
    assert fixtures_record.orphans(results) == []
    record = fixtures_record.load(directory)
    assert record is not None
    assert record.made[0].path == "/servers/abc"


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_a_program_cleans_up_when_its_terminal_is_gone(tmp_path: Path, number: signal.Signals) -> None:
    """run_program: what Ctrl-C does, HUP and TERM do as well; nohup is respected."""
    program = """
import sys, time
from benchkit.errors import run_program
def main():
    try:
        print("ready", flush=True)
        time.sleep(float(sys.argv[1]))
    finally:
        print("cleaned", flush=True)
    return 0
run_program(main)
"""
    environ = {**os.environ, "PYTHONPATH": str(ROOT / "utils")}
    for prefix, seconds, code in (([], "60", 143), (["sh", "-c", 'trap "" HUP TERM; exec "$@"', "-"], "1", 0)):
        command = [*prefix, sys.executable, "-c", program, seconds]
        with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            time.sleep(0.3)  # a signal in the middle of a line would let it be written twice
            process.send_signal(number)
            # Not communicate: what was read along with the first line would be lost.
            out = process.stdout.read()
            process.wait(timeout=20)
        assert out == "cleaned\n"
        assert process.returncode == code
