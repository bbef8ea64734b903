"""The index over stored runs: up to date, rebuilt when lost, and never in the way."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from benchkit import store
from benchkit.errors import UserError
from benchkit.model import RunStatus, Validity, VariantOfRun, Verdict
from benchkit.settings import ROOT
from benchkit.verdict import stored_runs
from benchkit.verdict.stored_runs import INDEX, RunHistory, read_history
from builders.documents import comparison
from builders.judged import case_of, measured, run_of, write_run


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Three runs, in a directory whose name has spaces."""
    directory = tmp_path / "the results"
    for number in (1, 2, 3):
        write_run(directory / f"light_run{number}", run_of(measured(rounds=(20.0 + number,)), number=number))
    (directory / "latest").symlink_to("light_run3")
    return directory


def p50(found: RunHistory) -> list[float]:
    return [figures["tools/list"].figures["p50_latency"] for figures in found.figures(found.runs)]


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The directories whose run is read from now on."""
    names: list[str] = []
    plain = stored_runs._summary

    def noted(results: Path, name: str) -> object:
        names.append(name)
        return plain(results, name)

    monkeypatch.setattr(stored_runs, "_summary", noted)
    return names


def test_every_run_is_listed_once_the_oldest_first_with_its_figures(results):
    found = read_history(results)
    assert [run.run_id for run in found.runs] == ["light_run1", "light_run2", "light_run3"]
    assert (p50(found), found.damaged) == ([21.0, 22.0, 23.0], [])
    first = found.runs[0]
    assert (first.release, first.control_score, first.ended.valid) == ("1.0.7", 41.8, 1)
    assert (first.ended.verdict, first.paired, first.ended.exit_code) == (None, False, 0)


def test_only_what_changed_is_read_again(results, read):
    read_history(results)
    assert sorted(read) == ["light_run1", "light_run2", "light_run3"]
    read.clear()
    read_history(results)
    assert read == []
    write_run(results / "light_run4", run_of(measured(), number=4))
    write_run(results / "light_run2", run_of(measured(rounds=(99.0,)), number=2))
    document = run_of(measured(), number=1)
    store.save(results / "light_run1" / "comparison.json", comparison(document))
    (results / "light_run3" / "run.json").unlink()
    found = read_history(results)
    assert sorted(read) == ["light_run1", "light_run2", "light_run4"]
    assert [run.run_id for run in found.runs] == ["light_run1", "light_run2", "light_run4"]
    assert p50(found)[1] == 99.0
    assert found.runs[0].ended.verdict is Verdict.UNCHANGED


def test_only_valid_cases_have_figures(tmp_path):
    document = run_of(
        measured(), case_of("tools/bad", validity=Validity.INVALID, reason="429"), status=RunStatus.INTERRUPTED
    )
    variant = VariantOfRun(label="head", spec="1.0.7", fresh=True, looks=1)
    write_run(tmp_path / "one", document.model_copy(update={"variant": variant}))
    found = read_history(tmp_path)
    assert (found.runs[0].ended.measured, found.runs[0].ended.valid, found.runs[0].paired) == (2, 1, True)
    assert found.runs[0].status is RunStatus.INTERRUPTED
    assert list(found.figures(found.runs)[0]) == ["tools/list"]


def test_damaged_runs_are_listed_with_the_problem_and_stop_nothing(results):
    (results / "broken").mkdir()
    (results / "broken" / "run.json").write_text('{"schema_version": 1,')
    (results / "light_run2" / "run.json").write_text("")
    for _ in range(2):
        found = read_history(results)
        assert [run.run_id for run in found.runs] == ["light_run1", "light_run3"]
        assert [(run.name, "damaged" in run.problem or "empty" in run.problem) for run in found.damaged] == [
            ("broken", True),
            ("light_run2", True),
        ]


def test_a_run_with_a_damaged_comparison_is_listed_as_one_without(results):
    before = read_history(results).runs[0]
    (results / "light_run1" / "comparison.json").write_text("{")
    assert read_history(results).runs[0].ended == before.ended


@pytest.mark.parametrize("content", [b"", b"no database at all" * 100, b"SQLite format 3\x00" + b"\xff" * 5000])
def test_a_damaged_index_is_made_anew(results, content, read):
    read_history(results).close()
    (results / INDEX).write_bytes(content)
    assert p50(read_history(results)) == [21.0, 22.0, 23.0]
    read.clear()
    assert p50(read_history(results)) == [21.0, 22.0, 23.0]
    assert read == []
    assert sorted(path.name for path in results.iterdir() if path.name.startswith(".")) == [INDEX]


def test_an_index_damaged_in_its_middle_is_made_anew(results):
    for number in range(4, 30):
        write_run(results / f"light_run{number}", run_of(*(measured(f"tools/{n}") for n in range(10)), number=number))
    read_history(results).close()
    data = bytearray((results / INDEX).read_bytes())
    # The pages of the figures: it shows only when those are read.
    damaged = data[: len(data) // 2] + b"\xa5" * (len(data) - len(data) // 2)
    for changed in (False, True):
        (results / INDEX).write_bytes(damaged)
        if changed:
            write_run(results / "light_run30", run_of(measured("tools/0"), number=30))
        found = read_history(results)
        assert len(found.runs) == 29 + changed
        assert len(found.figures(found.runs)[5]) == 10
        found.close()


def test_an_index_of_another_layout_is_made_anew(results):
    read_history(results).close()
    with sqlite3.connect(results / INDEX) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    assert p50(read_history(results)) == [21.0, 22.0, 23.0]


@pytest.mark.parametrize("known", [False, True])
def test_where_no_index_can_be_written_it_is_kept_in_memory(results, known, monkeypatch):
    if known:
        read_history(results).close()
    write_run(results / "light_run4", run_of(measured(), number=4))

    def refuse(*_arguments: object) -> None:
        raise sqlite3.OperationalError("attempt to write a readonly database")

    # Root may write anywhere, so the refusal is the database's.
    monkeypatch.setattr("benchkit.verdict.results_database._connected", refuse)
    before = {path.name for path in results.iterdir()}
    found = read_history(results)
    assert [run.run_id for run in found.runs] == ["light_run1", "light_run2", "light_run3", "light_run4"]
    assert p50(found)[:3] == [21.0, 22.0, 23.0]
    assert {path.name for path in results.iterdir()} == before


def test_no_directory_is_no_run_and_a_file_is_an_error(tmp_path):
    assert read_history(tmp_path / "nowhere").runs == []
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="the runs cannot be listed"):
        read_history(tmp_path / "file")


def test_readers_and_writers_at_the_same_time_all_see_every_run(results):
    """Eight processes bring one index up to date at once."""
    for number in range(4, 40):
        write_run(results / f"light_run{number}", run_of(measured(), number=number))
    code = (
        "import sys; from pathlib import Path; from benchkit.verdict.stored_runs import read_history\n"
        "found = read_history(Path(sys.argv[1])); print(len(found.runs), len(found.figures(found.runs)))"
    )
    environ = {**os.environ, "PYTHONPATH": str(ROOT / "utils"), "OPENBLAS_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen([sys.executable, "-c", code, str(results)], stdout=subprocess.PIPE, env=environ, text=True)
        for _ in range(8)
    ]
    assert [process.communicate(timeout=60)[0].split() for process in processes] == [["39", "39"]] * 8
    read_history(results).close()
