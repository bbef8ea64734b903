"""``utils/baseline_manager.py`` at its border: exit codes, output, files."""

from __future__ import annotations

import ctypes
import json
import os
import pty
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from benchkit.model import Baseline, RunStatus, Validity
from benchkit.settings import ROOT
from builders.documents import environment
from builders.judged import case_of, measured, program, run_of, write_run

PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 24, 1, 2
"""Numbers of Linux's prctl(2) and capabilities(7)."""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory whose name has spaces."""
    path = tmp_path / "a path with spaces"
    path.mkdir()
    return path


def manage(place: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return program("baseline_manager.py", *arguments, "--baselines-dir", place / "base lines")


def save(place: Path, number: int = 1, *flags: str, **changes: object) -> subprocess.CompletedProcess[str]:
    run = write_run(place / f"run {number}", run_of(measured(), number=number, **changes))
    return manage(place, "save", run, *flags)


def stored(place: Path, profile: str = "light") -> Baseline:
    return Baseline.model_validate_json((place / "base lines" / f"baseline_{profile}.json").read_text())


def test_save_says_what_it_stored_and_what_it_left_out(place):
    document = run_of(measured(), case_of("tools/bad", validity=Validity.INVALID, reason="Tool not found"))
    done = manage(place, "save", write_run(place / "run", document))
    assert (done.returncode, done.stderr) == (0, "")
    assert "Baseline light, version 1: holds 1 run, now with light_run1 (1 of 2 cases)" in done.stdout
    assert "left out: tools/bad, invalid: Tool not found" in done.stdout
    assert list(stored(place).runs[0].cases) == ["tools/list"]


def test_save_takes_a_run_file_and_another_name(place):
    run = write_run(place / "run", run_of(measured()))
    assert manage(place, "save", run / "run.json", "--profile", "nightly").returncode == 0
    assert stored(place, "nightly").profile == "nightly"


def test_the_name_of_the_configuration_and_the_directory_of_the_environment_are_used(place):
    run = write_run(place / "run", run_of(measured()))
    environ = {"BASELINES_DIR": str(place / "elsewhere"), "PERF_BASELINE_PROFILE": "release"}
    done = program("baseline_manager.py", "save", run, environ=environ)
    assert done.returncode == 0
    assert (place / "elsewhere" / "baseline_release.json").exists()


def test_a_second_save_says_where_the_version_before_lies(place):
    save(place, 1)
    done = save(place, 2)
    kept = place / "base lines" / "history" / "baseline_light.v1.json"
    assert "version 2: holds 2 runs, now with light_run2" in done.stdout
    assert f"version before: {kept}" in done.stdout
    assert kept.exists()


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (run_of(measured(), status=RunStatus.INTERRUPTED), "was interrupted"),
        (run_of(case_of("tools/bad", validity=Validity.INVALID, reason="429")), "none of its 1 cases is valid"),
    ],
)
def test_a_run_without_work_is_refused_with_3(place, document, words):
    done = manage(place, "save", write_run(place / "run", document))
    assert done.returncode == 3
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (place / "base lines").exists()


def test_another_load_is_refused_with_2_until_forced(place):
    save(place, 1)
    done = save(place, 2, environment=environment(requests=200))
    assert done.returncode == 2
    assert "its load differs: requests 100 → 200" in done.stderr
    assert stored(place).version == 1
    done = save(place, 2, "--force", environment=environment(requests=200))
    assert done.returncode == 0
    assert [run.run_id for run in stored(place).runs] == ["light_run2"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "there is no such run"),
        ("", "the run is empty"),
        ("{", "not JSON"),
        ('{"schema_version": 9}', "schema_version 9; this toolkit reads version 2"),
    ],
)
def test_a_run_that_cannot_be_read_is_refused_with_2(place, content, words):
    if content is not None:
        (place / "run.json").write_text(content)
    done = manage(place, "save", place)
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_damaged_baseline_stays_as_it_is_byte_for_byte(place):
    save(place, 1)
    path = place / "base lines" / "baseline_light.json"
    path.write_bytes(b'{"schema_version": 1, "runs"')
    for done in (save(place, 2), save(place, 2, "--force"), manage(place, "load", "light")):
        assert done.returncode == 2
        assert "the baseline is damaged: not JSON at line 1" in done.stderr
        assert len(done.stderr.splitlines()) == 1
        assert path.read_bytes() == b'{"schema_version": 1, "runs"'


def test_load_prints_the_file(place):
    save(place)
    done = manage(place, "load", "light")
    assert (done.returncode, done.stdout) == (0, (place / "base lines" / "baseline_light.json").read_text())


def test_load_of_none_says_how_to_save_one(place):
    done = manage(place, "load", "light")
    assert done.returncode == 2
    assert "baseline_manager.py save RUN_DIR" in done.stderr


def test_list_shows_all_and_ends_with_2_when_one_is_damaged(place):
    assert manage(place, "list").stdout.startswith("No baselines in ")
    save(place, 1)
    save(place, 2, "--profile", "nightly")
    done = manage(place, "list")
    assert done.returncode == 0
    assert [line.split()[:6] for line in done.stdout.splitlines()] == [
        ["PROFILE", "VERSION", "RUNS", "CASES", "NEWEST", "RUN"],
        ["light", "1", "1", "1", "2026-03-02", "10:30"],
        ["nightly", "1", "1", "1", "2026-03-02", "11:30"],
    ]
    (place / "base lines" / "baseline_broken.json").write_text("{")
    done = manage(place, "list")
    assert done.returncode == 2
    assert [line.split()[:2] for line in done.stdout.splitlines()[1:]] == [
        ["broken", "damaged"],
        ["light", "1"],
        ["nightly", "1"],
    ]
    assert "baseline_broken.json: the baseline is damaged" in done.stderr


def test_list_as_json(place):
    assert json.loads(manage(place, "list", "--json").stdout) == []
    save(place)
    (row,) = json.loads(manage(place, "list", "--json").stdout)
    assert row["profile"] == "light"
    assert (row["version"], row["runs"], row["cases"]) == (1, 1, 1)
    assert row["newest"] == "2026-03-02T10:30:00Z"


def test_delete_needs_yes_where_nobody_can_be_asked(place):
    save(place)
    done = program(
        "baseline_manager.py", "delete", "light", "--baselines-dir", place / "base lines", stdin=subprocess.DEVNULL
    )
    assert done.returncode == 2
    assert "--yes" in done.stderr
    assert stored(place).version == 1
    done = manage(place, "delete", "light", "--yes")
    assert done.returncode == 0
    assert "history/baseline_light.v1.json" in done.stdout
    assert not (place / "base lines" / "baseline_light.json").exists()


@pytest.mark.parametrize(("answer", "is_there"), [("y\n", False), ("n\n", True), ("\n", True)])
def test_delete_asks_on_a_terminal(place, answer, is_there):
    save(place)
    ours, theirs = pty.openpty()
    try:
        os.write(ours, answer.encode())
        done = program("baseline_manager.py", "delete", "light", "--baselines-dir", place / "base lines", stdin=theirs)
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == 0
    assert "Delete the baseline light" in done.stdout
    assert (place / "base lines" / "baseline_light.json").exists() is is_there


def test_history_shows_every_version_and_which_is_current(place):
    for number in (1, 2):
        save(place, number)
    save(place, 3, "--force")
    done = manage(place, "history", "light")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["VERSION", "WRITTEN", "RUNS", "CASES", "NEWEST", "RUN", "WHY"]
    assert [(line.split()[0], line.endswith(why)) for line, why in zip(lines[1:], WHY, strict=True)] == [
        ("3", True),
        ("2", True),
        ("1", True),
    ]
    assert "3 (current)" in lines[1]
    manage(place, "delete", "light", "--yes")
    done = manage(place, "history", "light")
    assert "rollback light --to VERSION" in done.stdout
    found = json.loads(manage(place, "history", "light", "--json").stdout)
    assert [(one["version"], one["current"], one["runs"]) for one in found["versions"]] == [
        (3, False, 1),
        (2, False, 2),
        (1, False, 1),
    ]


WHY = ("replaced by force with run light_run3", "run light_run2 saved", "run light_run1 saved")


def test_history_ends_with_2_when_a_file_of_it_is_damaged(place):
    save(place, 1)
    save(place, 2)
    (place / "base lines" / "history" / "baseline_light.v1.json").write_text("{")
    done = manage(place, "history", "light")
    assert done.returncode == 2
    assert done.stdout.splitlines()[1].startswith("2 (current)")
    assert "baseline_light.v1.json: the baseline is damaged" in done.stderr


def test_a_case_that_is_configured_no_more_is_forgotten_in_a_new_version(place):
    run = write_run(place / "run", run_of(measured(), measured("tools/old")))
    manage(place, "save", run)
    done = manage(place, "forget", "light", "tools/old")
    assert (done.returncode, done.stderr) == (0, "")
    assert "version 2: forgotten: tools/old" in done.stdout
    baseline = stored(place)
    assert [list(run.cases) for run in [*baseline.runs, *baseline.oldest]] == [["tools/list"], ["tools/list"]]
    before = (place / "base lines" / "baseline_light.json").read_bytes()
    for case, words in (("tools/nowhere", "has no case 'tools/nowhere'"), ("tools/list", "would have no cases left")):
        refused = manage(place, "forget", "light", case)
        assert refused.returncode == 2
        assert words in refused.stderr
    assert (place / "base lines" / "baseline_light.json").read_bytes() == before


def test_rollback_says_what_is_current_now_and_where_the_version_before_lies(place):
    for number in (1, 2):
        save(place, number)
    done = manage(place, "rollback", "light", "--to", "1")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Baseline light, version 3: holds what version 1 held" in done.stdout
    assert "version before: " in done.stdout
    assert [run.run_id for run in stored(place).runs] == ["light_run1"]
    assert manage(place, "rollback", "light", "--to", "9").returncode == 2


def test_diff_shows_the_worst_first(place):
    save(place, 1)
    run = write_run(place / "slow", run_of(measured(rounds=(42.0,)), measured("tools/new"), number=2))
    manage(place, "save", run, "--force")
    done = manage(place, "diff", "light")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == "Baseline light, version 1 → version 2; + is better"
    assert "cases that came: tools/new" in lines
    rows = [line.split() for line in lines if line.startswith("tools/list")]
    assert ["tools/list", "p50", "ms", "21.0", "42.0", "-100.0", "%"] in rows
    assert ["tools/list", "req/s", "476.2", "238.1", "-50.0", "%"] in rows
    changes = [float(row[-2]) for row in rows]
    assert changes == sorted(changes)
    assert lines[-1] == "1 values are the same."
    back = manage(place, "diff", "light", "2", "1").stdout.splitlines()
    assert ["tools/list", "p50", "ms", "42.0", "21.0", "+50.0", "%"] in [line.split() for line in back]


def test_export_and_import_move_a_baseline_with_its_history(place):
    for number in (1, 2):
        save(place, number)
    archive = place / "light export.json"
    done = manage(place, "export", "light", "--output", archive)
    assert (done.returncode, done.stderr) == (0, "")
    assert "exported with 2 versions" in done.stdout
    assert manage(place, "export", "light").stdout == archive.read_text()
    there = place / "there"
    done = program("baseline_manager.py", "import", archive, "--baselines-dir", there)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Baseline light, version 2: imported, 2 versions came in" in done.stdout
    assert (there / "baseline_light.json").read_bytes() == (place / "base lines" / "baseline_light.json").read_bytes()
    done = program("baseline_manager.py", "import", archive, "--baselines-dir", there)
    assert "nothing was changed" in done.stdout
    archive.write_text(archive.read_text().replace("light_run1", "light_runX"))
    done = program("baseline_manager.py", "import", archive, "--baselines-dir", there)
    assert done.returncode == 2
    assert "its sha256 is not that of its content" in done.stderr


def test_writers_at_the_same_time_lose_nothing(place):
    """Eight processes save eight runs at once: all are in it, and each version is in the history."""
    runs = [write_run(place / f"run {number}", run_of(measured(), number=number)) for number in range(8)]
    command = [sys.executable, str(ROOT / "utils" / "baseline_manager.py"), "save"]
    flags = ["--baselines-dir", str(place / "base lines")]
    processes = [
        subprocess.Popen([*command, str(run), *flags], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for run in runs
    ]
    outputs = [process.communicate(timeout=60)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 8, outputs
    assert [run.run_id for run in stored(place).runs] == [f"light_run{number}" for number in range(8)]
    assert stored(place).version == 8
    history = sorted(path.name for path in (place / "base lines" / "history").iterdir())
    assert history == [f"baseline_light.v{version}.json" for version in range(1, 8)]


def test_a_write_that_does_not_fit_leaves_the_old_file(place):
    """The system itself ends the write, after half of it: no file may grow beyond the limit."""
    save(place, 1)
    path = place / "base lines" / "baseline_light.json"
    before = path.read_bytes()
    run = write_run(place / "large", run_of(*(measured(f"tools/case{number}") for number in range(50)), number=2))
    limit = len(before) + 100

    def at_most() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    done = program("baseline_manager.py", "save", run, "--baselines-dir", path.parent, preexec_fn=at_most)
    assert done.returncode == 2
    assert "cannot be written: File too large; nothing was changed" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir() if entry.name.endswith(".tmp")] == []


def without_roots_privilege() -> None:
    """Take from the next program what lets root write where permissions forbid it (capabilities(7))."""
    if os.geteuid() == 0:
        for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
            if ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0:
                raise OSError("prctl")


@pytest.mark.parametrize("saved_before", [False, True])
def test_a_directory_that_may_not_be_written_is_told(place, saved_before):
    directory = place / "base lines"
    directory.mkdir()
    if saved_before:
        assert save(place, 1).returncode == 0
    before = sorted(path.name for path in directory.iterdir())
    run = write_run(place / "run", run_of(measured(), number=2))
    directory.chmod(0o555)
    try:
        done = program(
            "baseline_manager.py", "save", run, "--baselines-dir", directory, preexec_fn=without_roots_privilege
        )
    finally:
        directory.chmod(0o755)
    assert done.returncode == 2
    assert "Permission denied" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert sorted(path.name for path in directory.iterdir()) == before


@pytest.mark.parametrize("arguments", [[], ["save"], ["rename", "light"], ["delete"]])
def test_wrong_usage_ends_with_2(arguments):
    assert program("baseline_manager.py", *arguments).returncode == 2


def test_help_is_the_modules_text():
    done = program("baseline_manager.py", "--help")
    assert done.returncode == 0
    assert "Every earlier\nversion is kept in baselines/history/" in done.stdout
