"""Versions of a baseline: history, rollback, diff, the old schema, export and import."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from benchkit import store
from benchkit.errors import UserError
from benchkit.model import NoiseRecord
from benchkit.verdict import baseline_history
from benchkit.verdict.baseline_archive import export_baseline, import_baseline
from benchkit.verdict.baseline_history import diff_versions, read_history
from benchkit.verdict.baselines import delete_baseline, load_baseline, roll_back, save_baseline
from builders.documents import environment
from builders.judged import finished, measured, run_of


def save(directory: Path, number: int, *cases: str, p50: float = 20.0, force: bool = False) -> None:
    run = run_of(*(measured(case, rounds=(p50,)) for case in cases or ("tools/list",)), number=number)
    save_baseline(run, directory, profile="light", keep_runs=10, force=force)


def contents(directory: Path) -> dict[str, bytes]:
    """Every file that is no lock and no index."""
    paths = (path for path in directory.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {str(path.relative_to(directory)): path.read_bytes() for path in paths}


def to_version_1(path: Path) -> bytes:
    """Make a baseline's file what the toolkit wrote before schema version 2."""
    data: dict[str, Any] = json.loads(path.read_text())
    data["schema_version"] = 1
    machine = data["environment"]["machine"]
    machine |= machine.pop("engines")
    del data["oldest"], data["reason"]
    for run in data["runs"]:
        del run["held_back"], run["control_score"]
    path.write_text(json.dumps(data, indent=2) + "\n")
    return path.read_bytes()


# ---------------------------------------------------------------------------------------------------------------------
# The old schema


def test_a_baseline_of_schema_1_is_read_and_written_only_by_the_next_save(tmp_path):
    for number in range(1, 6):
        save(tmp_path, number)
    path = tmp_path / "baseline_light.json"
    old = to_version_1(path)
    baseline = load_baseline(tmp_path, "light")
    assert [run.run_id for run in baseline.oldest] == ["light_run1", "light_run2", "light_run3"]
    assert (baseline.reason, path.read_bytes()) == ("", old)
    save(tmp_path, 6)
    assert json.loads(path.read_text())["schema_version"] == 3
    assert (tmp_path / "history" / "baseline_light.v5.json").read_bytes() == old
    assert [run.run_id for run in load_baseline(tmp_path, "light").oldest] == ["light_run1", "light_run2", "light_run3"]


@pytest.mark.parametrize("change", [{"runs": 7}, {"runs": []}, {"version": "x"}, {"more": 1}, {"schema_version": True}])
def test_a_damaged_baseline_of_schema_1_is_told(tmp_path, change):
    save(tmp_path, 1)
    path = tmp_path / "baseline_light.json"
    to_version_1(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    before = path.read_bytes()
    with pytest.raises(UserError, match=r"damaged|schema_version true"):
        save(tmp_path, 2)
    assert path.read_bytes() == before


# ---------------------------------------------------------------------------------------------------------------------
# History and rollback


def test_the_history_has_every_version_also_across_deletes(tmp_path):
    save(tmp_path, 1)
    save(tmp_path, 2)
    delete_baseline(tmp_path, "light")
    assert [one.current for one in read_history(tmp_path, "light").versions] == [False, False]
    save(tmp_path, 3)
    found = read_history(tmp_path, "light")
    assert [(one.version, one.runs, one.newest_run, one.current) for one in found.versions] == [
        (3, 1, "light_run3", True),
        (2, 2, "light_run2", False),
        (1, 1, "light_run1", False),
    ]
    assert [one.reason for one in found.versions] == [f"run light_run{number} saved" for number in (3, 2, 1)]
    assert found.damaged == []


def test_the_history_reads_only_what_is_new(tmp_path, monkeypatch):
    for number in range(1, 5):
        save(tmp_path, number)
    read_history(tmp_path, "light")
    read: list[str] = []
    plain = baseline_history.read_baseline
    monkeypatch.setattr(baseline_history, "read_baseline", lambda path: (read.append(path.name), plain(path))[1])
    save(tmp_path, 5)
    assert len(read_history(tmp_path, "light").versions) == 5
    assert sorted(read) == ["baseline_light.json", "baseline_light.v4.json"]


def test_a_damaged_file_of_the_history_stops_nothing(tmp_path):
    save(tmp_path, 1)
    save(tmp_path, 2)
    (tmp_path / "history" / "baseline_light.v1.json").write_text("{")
    found = read_history(tmp_path, "light")
    assert [one.version for one in found.versions] == [2]
    assert [(Path(one.file).name, "not JSON" in one.problem) for one in found.damaged] == [
        ("baseline_light.v1.json", True)
    ]


def test_a_profile_that_looks_like_anothers_version_is_kept_apart(tmp_path):
    run = run_of(measured(), number=1)
    for _ in range(2):
        save_baseline(run, tmp_path, profile="light.v1", keep_runs=10)
    save(tmp_path, 2)
    assert [one.version for one in read_history(tmp_path, "light").versions] == [1]
    assert [one.version for one in read_history(tmp_path, "light.v1").versions] == [2, 1]


def test_no_history_says_how_to_begin(tmp_path):
    with pytest.raises(UserError, match=r"no baseline and no history.*save RUN_DIR"):
        read_history(tmp_path, "light")


def test_a_rollback_is_a_new_version_and_its_oldest_come_back(tmp_path):
    for number in (1, 2):
        save(tmp_path, number)
    save(tmp_path, 3, force=True)
    before = contents(tmp_path)
    saved = roll_back(tmp_path, "light", 2)
    now = load_baseline(tmp_path, "light")
    assert (now.version, now.reason) == (4, "rolled back to version 2")
    assert [run.run_id for run in now.runs] == [run.run_id for run in now.oldest] == ["light_run1", "light_run2"]
    assert saved.kept == tmp_path / "history" / "baseline_light.v3.json"
    after = contents(tmp_path)
    assert after["history/baseline_light.v3.json"] == before["baseline_light.json"]
    assert {name: data for name, data in after.items() if name in before and "history" in name} == {
        name: data for name, data in before.items() if "history" in name
    }


def test_a_rollback_restores_what_was_deleted_or_damaged(tmp_path):
    save(tmp_path, 1)
    save(tmp_path, 2)
    delete_baseline(tmp_path, "light")
    assert roll_back(tmp_path, "light", 1).baseline.version == 3
    (tmp_path / "baseline_light.json").write_text("{")
    saved = roll_back(tmp_path, "light", 2)
    assert saved.kept == tmp_path / "history" / "baseline_light.unreadable-1.json"
    assert saved.kept.read_text() == "{"
    assert len(load_baseline(tmp_path, "light").runs) == 2


@pytest.mark.parametrize(("version", "words"), [(2, "is the current one"), (9, "there is no version 9")])
def test_a_rollback_to_nowhere_changes_nothing(tmp_path, version, words):
    save(tmp_path, 1)
    save(tmp_path, 2)
    before = contents(tmp_path)
    with pytest.raises(UserError, match=words):
        roll_back(tmp_path, "light", version)
    assert contents(tmp_path) == before


def test_a_history_that_cannot_be_listed_gives_no_number_twice(tmp_path):
    save(tmp_path, 1)
    delete_baseline(tmp_path, "light")
    shutil.move(tmp_path / "history", tmp_path / "elsewhere")
    (tmp_path / "history").write_text("a file")
    with pytest.raises(UserError, match="history: cannot be listed"):
        save(tmp_path, 2)
    assert not (tmp_path / "baseline_light.json").exists()


# ---------------------------------------------------------------------------------------------------------------------
# Differences


def test_a_diff_shows_each_figure_that_moved_the_worst_first(tmp_path):
    save(tmp_path, 1, "tools/a", "tools/gone", p50=20.0)
    save(tmp_path, 2, "tools/a", "tools/new", p50=30.0, force=True)
    diff = diff_versions(tmp_path, "light", None, None)
    assert (diff.before.version, diff.after.version) == (1, 2)
    assert (diff.cases_gone, diff.cases_new) == (["tools/gone"], ["tools/new"])
    assert (diff.runs_gone, diff.runs_new) == (["light_run1"], ["light_run2"])
    changes = {change.metric: change.percent for change in diff.changes}
    assert changes["p50_latency"] == pytest.approx(-50.0)
    assert changes["requests_per_sec"] == pytest.approx(-100 / 3, abs=1e-3)
    assert [change.percent for change in diff.changes] == sorted(changes.values())
    assert diff.same == 1  # the error rate
    back = diff_versions(tmp_path, "light", 2, 1)
    assert {change.metric: change.percent for change in back.changes}["p50_latency"] == pytest.approx(100 / 3, abs=1e-3)


def test_the_first_version_has_none_before_it(tmp_path):
    save(tmp_path, 1)
    with pytest.raises(UserError, match="version 1 is the first one"):
        diff_versions(tmp_path, "light", None, None)
    with pytest.raises(UserError, match="there is no version 7"):
        diff_versions(tmp_path, "light", 7, None)


# ---------------------------------------------------------------------------------------------------------------------
# Export and import


def noise(directory: Path, value: float = 0.05) -> None:
    record = NoiseRecord(
        profile="light",
        created=finished(0),
        environment=environment(),
        runs=["a", "b", "c"],
        deviation={"tools/list": {"p50_latency": value}},
    )
    store.save(directory / "noise_light.json", record)


def exported(directory: Path, file: Path) -> Path:
    file.write_text(export_baseline(directory, "light").text)
    return file


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    """Three versions, the first of them in the old schema, and a record of noise."""
    directory = tmp_path / "origin"
    for number in (1, 2, 3):
        save(directory, number, p50=20.0 + number)
        if number == 1:
            to_version_1(directory / "baseline_light.json")
    noise(directory)
    return directory


def test_out_and_in_again_is_the_same_byte_for_byte(origin, tmp_path):
    archive = exported(origin, tmp_path / "light.json")
    assert archive.read_text() == export_baseline(origin, "light").text
    done = import_baseline(archive, tmp_path / "there")
    assert (done.versions, done.noise, done.baseline.version) == (3, "written", 3)
    assert contents(tmp_path / "there")["baseline_light.json"] == contents(origin)["baseline_light.json"]
    assert {name: json.loads(data) for name, data in contents(tmp_path / "there").items()} == {
        name: json.loads(data) for name, data in contents(origin).items()
    }
    assert exported(tmp_path / "there", tmp_path / "again.json").read_bytes() == archive.read_bytes()


def test_the_same_import_twice_changes_nothing(origin, tmp_path):
    archive = exported(origin, tmp_path / "light.json")
    there = tmp_path / "there"
    save(there, 9, p50=50.0)
    first = import_baseline(archive, there)
    before = contents(there)
    second = import_baseline(archive, there)
    assert (first.versions, second.versions) == (3, 0)
    assert (contents(there), second.noise) == (before, "same")


def test_what_is_here_stays_in_the_history(origin, tmp_path):
    archive = exported(origin, tmp_path / "light.json")
    there = tmp_path / "there"
    for number in (7, 8):
        save(there, number, p50=50.0)
    noise(there, 0.2)
    before = contents(there)
    done = import_baseline(archive, there)
    after = contents(there)
    assert (done.baseline.version, done.noise) == (5, "kept")
    assert done.baseline.reason == "imported, was version 3 of light: run light_run3 saved"
    assert after["history/baseline_light.v1.json"] == before["history/baseline_light.v1.json"]
    assert after["history/baseline_light.v2.json"] == before["baseline_light.json"]
    assert after["noise_light.json"] == before["noise_light.json"]
    reasons = {one.version: one.reason for one in read_history(there, "light").versions}
    assert reasons[3] == "imported, was version 1 of light"
    assert reasons[4] == "imported, was version 2 of light: run light_run2 saved"


def test_an_older_state_of_the_same_line_is_continued(origin, tmp_path):
    early = tmp_path / "early"
    shutil.copytree(origin, early)
    archive_early = exported(early, tmp_path / "early.json")
    save(origin, 4)
    there = tmp_path / "there"
    import_baseline(archive_early, there)
    done = import_baseline(exported(origin, tmp_path / "late.json"), there)
    assert (done.versions, done.baseline.version) == (1, 4)
    assert contents(there).keys() == contents(origin).keys()


def test_another_name_can_be_given(origin, tmp_path):
    archive = exported(origin, tmp_path / "light.json")
    done = import_baseline(archive, tmp_path / "there", profile="nightly")
    assert (done.baseline.profile, done.versions) == ("nightly", 3)
    assert load_baseline(tmp_path / "there", "nightly").runs == load_baseline(origin, "light").runs
    assert store.load(tmp_path / "there" / "noise_nightly.json", NoiseRecord, "noise").profile == "nightly"
    assert import_baseline(archive, tmp_path / "there", profile="nightly").versions == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: data.update(sha256="0" * 64), "its sha256 is not that of its content"),
        (lambda data: data["versions"][0]["runs"][0].update(run_id="x"), "its sha256 is not that of its content"),
        (lambda data: data.update(schema_version=9), "schema_version 9"),
        (lambda data: data.pop("versions"), "versions: Field required"),
    ],
)
def test_a_damaged_export_touches_nothing(origin, tmp_path, change, words):
    archive = exported(origin, tmp_path / "light.json")
    data = json.loads(archive.read_text())
    change(data)
    archive.write_text(json.dumps(data))
    there = tmp_path / "there"
    save(there, 9)
    before = contents(there)
    with pytest.raises(UserError, match=words):
        import_baseline(archive, there)
    assert contents(there) == before


def test_a_damaged_file_of_the_history_is_left_out_and_told(origin):
    (origin / "history" / "baseline_light.v2.json").write_text("{")
    found = export_baseline(origin, "light")
    assert found.versions == 2
    assert "baseline_light.v2.json" in found.left_out[0]
