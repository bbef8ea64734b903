"""The files of the baselines, in one process."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchkit import store
from benchkit.errors import ExitCode, UserError
from benchkit.model import Run, RunStatus, Validity
from benchkit.verdict import baseline_files
from benchkit.verdict.baselines import (
    SavedBaseline,
    baseline_path,
    baseline_run,
    delete_baseline,
    list_baselines,
    load_baseline,
    save_baseline,
)
from builders.documents import environment
from builders.judged import case_of, elsewhere, measured, run_of


def save(run: Run, directory: Path, *, keep_runs: int = 10, force: bool = False) -> SavedBaseline:
    return save_baseline(run, directory, profile="light", keep_runs=keep_runs, force=force)


def run_ids(directory: Path) -> list[str]:
    return [run.run_id for run in load_baseline(directory, "light").runs]


def files(directory: Path) -> set[str]:
    """All files but the lock, relative to the directory."""
    found = (path for path in directory.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(directory)) for path in found}


# ---------------------------------------------------------------------------------------------------------------------
# Saving


def test_the_first_run_makes_version_1_of_its_valid_cases(tmp_path):
    run = run_of(measured(), case_of("tools/bad", validity=Validity.INVALID, reason="429"))
    saved = save(run, tmp_path)
    baseline = load_baseline(tmp_path, "light")
    assert saved.baseline == baseline
    assert (baseline.version, saved.kept) == (1, None)
    assert (baseline.profile, baseline.environment) == ("light", run.environment)
    assert list(baseline.runs[0].cases) == ["tools/list"]
    assert baseline.runs[0].cases["tools/list"]["p50_latency"] == 21.0
    assert saved.path.read_text(encoding="utf-8").startswith('{\n  "schema_version": 3,\n')


def test_a_second_run_joins_and_the_version_before_is_kept_as_it_was(tmp_path):
    save(run_of(measured(), number=1), tmp_path)
    before = (tmp_path / "baseline_light.json").read_bytes()
    saved = save(run_of(measured(), number=2), tmp_path)
    assert saved.baseline.version == 2
    assert run_ids(tmp_path) == ["light_run1", "light_run2"]
    assert saved.kept == tmp_path / "history" / "baseline_light.v1.json"
    assert saved.kept.read_bytes() == before


def test_the_same_run_replaces_itself(tmp_path):
    save(run_of(measured(), number=1), tmp_path)
    save(run_of(measured(), number=2), tmp_path)
    save(run_of(measured(rounds=(30.0,)), number=1), tmp_path)
    assert run_ids(tmp_path) == ["light_run1", "light_run2"]
    assert load_baseline(tmp_path, "light").runs[0].cases["tools/list"]["p50_latency"] == 30.0


@settings(deadline=None, max_examples=25)  # Each example writes files.
@given(st.lists(st.integers(0, 12), min_size=1, max_size=15), st.integers(1, 5))
def test_the_newest_runs_are_kept_in_their_order_each_once(tmp_path_factory, numbers, keep_runs):
    directory = tmp_path_factory.mktemp("baselines")
    for number in numbers:
        try:
            save(run_of(measured(), number=number), directory, keep_runs=keep_runs)
        except UserError as error:
            assert "is older than" in str(error)  # noqa: PT017 - not raised for every list
    kept = run_ids(directory)
    assert kept == [f"light_run{number}" for number in sorted(set(numbers))][-keep_runs:]


def test_a_run_that_is_older_than_all_that_are_kept_changes_nothing(tmp_path):
    for number in (2, 3):
        save(run_of(measured(), number=number), tmp_path, keep_runs=2)
    before = files(tmp_path)
    with pytest.raises(UserError, match="is older than the 2 runs"):
        save(run_of(measured(), number=1), tmp_path, keep_runs=2)
    assert (run_ids(tmp_path), files(tmp_path)) == (["light_run2", "light_run3"], before)


def test_a_baseline_stands_for_the_target_of_its_newest_run(tmp_path):
    newer = elsewhere(environment(), target={"release": "1.0.8"})
    save(run_of(measured(), number=2, environment=newer), tmp_path)
    save(run_of(measured(), number=1), tmp_path)
    assert load_baseline(tmp_path, "light").environment.target.release == "1.0.8"


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (environment(requests=200), "its load differs: requests 100 → 200"),
        (elsewhere(environment(), machine={"cores": 8}), "its machine differs: cores 2 → 8"),
    ],
)
def test_what_differs_does_not_join_unless_forced(tmp_path, other, words):
    save(run_of(measured(), number=1), tmp_path)
    before = (tmp_path / "baseline_light.json").read_bytes()
    with pytest.raises(UserError) as caught:
        save(run_of(measured(), number=2, environment=other), tmp_path)
    assert words in str(caught.value)
    assert "--force" in str(caught.value)
    assert caught.value.exit_code == ExitCode.USAGE
    assert (tmp_path / "baseline_light.json").read_bytes() == before

    saved = save(run_of(measured(), number=2, environment=other), tmp_path, force=True)
    assert (saved.baseline.version, run_ids(tmp_path)) == (2, ["light_run2"])
    assert saved.kept is not None
    assert saved.kept.read_bytes() == before


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (run_of(measured(), status=RunStatus.INTERRUPTED), "was interrupted"),
        (run_of(case_of("tools/bad", validity=Validity.INVALID, reason="429")), "none of its 1 cases is valid"),
        (run_of(), "none of its 0 cases is valid"),
        (run_of(case_of("tools/empty", metrics={})), "none of its 1 cases is valid"),
    ],
)
def test_a_run_without_work_is_refused(tmp_path, run, words):
    with pytest.raises(UserError, match=words) as caught:
        baseline_run(run)
    assert caught.value.exit_code == ExitCode.INVALID
    with pytest.raises(UserError):
        save(run, tmp_path, force=True)
    assert files(tmp_path) == set()


@pytest.mark.parametrize("name", ["", "..", "../light", "a/b", ".hidden", "a b", "a\nb", "x" * 101])
def test_a_profile_that_is_no_name_is_refused(tmp_path, name):
    with pytest.raises(UserError, match="not a name"):
        baseline_path(tmp_path, name)


# ---------------------------------------------------------------------------------------------------------------------
# Faults


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    save(run_of(measured(), number=1), tmp_path)
    before = (tmp_path / "baseline_light.json").read_bytes()

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="No space left on device; nothing was changed"):
        save(run_of(measured(), number=2), tmp_path)
    assert (tmp_path / "baseline_light.json").read_bytes() == before
    assert files(tmp_path) == {"baseline_light.json"}


def test_a_crash_between_history_and_baseline_loses_nothing(tmp_path, monkeypatch):
    """The version before is in the history already; the next save does not trip over it."""
    save(run_of(measured(), number=1), tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(store, "write_text", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            save(run_of(measured(), number=2), tmp_path)
    assert run_ids(tmp_path) == ["light_run1"]
    save(run_of(measured(), number=2), tmp_path)
    assert run_ids(tmp_path) == ["light_run1", "light_run2"]
    assert files(tmp_path) == {"baseline_light.json", "history/baseline_light.v1.json"}


def test_a_version_in_the_history_is_never_overwritten(tmp_path):
    save(run_of(measured(), number=1), tmp_path)
    other = tmp_path / "history" / "baseline_light.v1.json"
    other.parent.mkdir()
    other.write_text("something else")
    with pytest.raises(UserError, match="is in the way"):
        save(run_of(measured(), number=2), tmp_path)
    assert (run_ids(tmp_path), other.read_text()) == (["light_run1"], "something else")


def test_the_wait_for_another_writer_is_bounded_and_names_it(tmp_path, monkeypatch):
    monkeypatch.setattr(baseline_files, "LOCK_WAIT_S", 0.2)
    save(run_of(measured(), number=1), tmp_path)
    inside, leave = threading.Event(), threading.Event()
    plain_write = store.write_text

    def slow(path: Path, text: str) -> None:
        inside.set()
        leave.wait(10)
        plain_write(path, text)

    monkeypatch.setattr(store, "write_text", slow)
    writer = threading.Thread(target=save, args=(run_of(measured(), number=2), tmp_path))
    writer.start()
    try:
        assert inside.wait(10)
        with pytest.raises(UserError, match=rf"another writer of baselines in .* \(pid {os.getpid()}\) did not end"):
            save(run_of(measured(), number=3), tmp_path)
    finally:
        leave.set()
        writer.join()
    assert run_ids(tmp_path) == ["light_run1", "light_run2"]


DAMAGED = {
    "empty": b"",
    "not JSON": b'{"schema_version": 1, ',
    "not UTF-8": b"\xff\xfe{}",
    "a list": b"[]",
    "unknown version": b'{"schema_version": 99}',
    "no version": b'{"profile": "light"}',
    "a field missing": b'{"schema_version": 1, "profile": "light"}',
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED.keys())
@pytest.mark.parametrize("force", [False, True])
def test_a_damaged_baseline_is_told_and_not_touched(tmp_path, content, force):
    path = tmp_path / "baseline_light.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"baseline_light\.json.*baseline_manager\.py delete light") as caught:
        save(run_of(measured()), tmp_path, force=force)
    assert caught.value.exit_code == ExitCode.USAGE
    assert "\n" not in str(caught.value)
    assert (path.read_bytes(), files(tmp_path)) == (content, {"baseline_light.json"})


def test_a_baseline_without_a_run_is_damaged(tmp_path):
    saved = save(run_of(measured()), tmp_path)
    store.save(saved.path, saved.baseline.model_copy(update={"runs": []}))
    with pytest.raises(UserError, match="it holds no run"):
        load_baseline(tmp_path, "light")


def test_a_renamed_baseline_is_told(tmp_path):
    save(run_of(measured()), tmp_path).path.rename(tmp_path / "baseline_heavy.json")
    with pytest.raises(UserError, match="is the baseline of profile 'light', not 'heavy'"):
        load_baseline(tmp_path, "heavy")


# ---------------------------------------------------------------------------------------------------------------------
# Listing and deleting


def test_the_list_holds_every_baseline_and_damaged_ones_as_such(tmp_path):
    save(run_of(measured(), measured("tools/more"), number=1), tmp_path)
    save(run_of(measured(), number=2), tmp_path)
    (tmp_path / "baseline_broken.json").write_text("{")
    (tmp_path / "notes.json").write_text("not a baseline")
    broken, light = list_baselines(tmp_path)
    assert (broken.profile, broken.version) == ("broken", None)
    assert "not JSON" in broken.problem
    assert (light.profile, light.version, light.runs, light.cases, light.problem) == ("light", 2, 2, 2, "")
    assert light.newest == run_of(number=2).finished
    assert light.machine == "Example CPU @ 2.60GHz, 2 cores, 7940 MiB"


def test_a_directory_that_is_not_there_holds_no_baseline(tmp_path):
    assert list_baselines(tmp_path / "nowhere") == []


def test_a_deleted_baseline_lies_in_the_history_and_its_number_is_not_given_again(tmp_path):
    path = save(run_of(measured()), tmp_path).path
    content = path.read_bytes()
    moved = delete_baseline(tmp_path, "light")
    assert (moved.read_bytes(), files(tmp_path)) == (content, {"history/baseline_light.v1.json"})
    assert save(run_of(measured()), tmp_path).baseline.version == 2


def test_damaged_baselines_can_be_deleted_one_after_another(tmp_path):
    for number, content in enumerate((b"", b"{"), start=1):
        (tmp_path / "baseline_light.json").write_bytes(content)
        moved = delete_baseline(tmp_path, "light")
        assert moved.name == f"baseline_light.unreadable-{number}.json"
        assert moved.read_bytes() == content


def test_what_is_not_there_cannot_be_deleted(tmp_path):
    with pytest.raises(UserError, match="there is no baseline of profile 'light'"):
        delete_baseline(tmp_path, "light")
    assert files(tmp_path) == set()
