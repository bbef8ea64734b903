"""The list of all runs: each run and group once, the newest first, cheap, small, without a path of this machine."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from benchkit import store
from benchkit.model import (
    ProfileState,
    RunStatus,
    Tone,
    VariantOfRun,
    VariantStudy,
    Verdict,
)
from benchkit.report.index_page import SHOWN, Damaged, IndexRow, index_page
from benchkit.run.results_index import read_listing
from benchkit.settings import ROOT
from benchkit.verdict import groups
from builders.cost import relative_cost
from builders.documents import HOSTILE_NAMES, STARTED, comparison
from builders.judged import program, write_run
from builders.sweeps import ALL_ID, document_of, entry, run_of_profile, write_all, write_profile


@pytest.fixture
def results(tmp_path: Path) -> Path:
    path = tmp_path / "the results"
    path.mkdir()
    return path


def row_of(name: str, rows: Sequence[IndexRow]) -> IndexRow:
    return next(row for row in rows if row.name == name)


def variants(results: Path, name: str, document: dict[str, Any] | None = None, **changes: Any) -> Path:
    """A directory as ./run-advanced.sh leaves it, with two variants."""
    directory = results / name
    for number, label in enumerate(("base", "head")):
        variant = VariantOfRun(label=label, spec=f"1.0.{6 + number}", fresh=True, looks=1)
        values = {"started": STARTED + timedelta(milliseconds=number), "variant": variant, "exit_code": 0, **changes}
        one = run_of_profile("light", **values)
        target = one.environment.target.model_copy(update={"release": variant.spec})
        write_run(
            directory / label,
            one.model_copy(update={"environment": one.environment.model_copy(update={"target": target})}),
        )
    for file, model in (document or {}).items():
        store.save(directory / file, model)
    return directory


# --- rows ------------------------------------------------------------------------------------------------------------


def test_a_run_over_all_profiles_is_a_row_beside_its_runs(results: Path) -> None:
    write_all(results)
    rows, damaged = read_listing(results)
    assert damaged == []
    assert {row.name: row.kind for row in rows} == {
        "light_2026-03-02-093000": "run",
        "medium_2026-03-02-093000": "run",
        ALL_ID: "all",
    }
    whole = row_of(ALL_ID, rows)
    assert (whole.word, whole.tone, whole.exit_code) == ("Critical regression", Tone.BAD, 1)
    assert (whole.valid, whole.measured, whole.sent) == (11, 12, 3600)
    assert (whole.profile, whole.release, whole.seconds) == ("light, medium, heavy", "1.0.7", 7200.0)
    assert whole.report == ""
    light = row_of("light_2026-03-02-093000", rows)
    assert (light.word, light.report, light.valid, light.measured) == ("Passed", "report.html", 6, 6)


@pytest.mark.parametrize(
    ("entries", "changes", "word"),
    [
        ([entry("light"), entry("medium", None, state=ProfileState.RUNNING)], {}, "Running"),
        ([entry("light")], {"exit_code": 0, "finished": STARTED}, "Passed"),
        ([entry("light", 3)], {"exit_code": 3, "finished": STARTED}, "Invalid"),
        ([entry("light", 2, run="")], {"exit_code": 2, "finished": STARTED}, "Failed"),
        (
            [entry("light", 130, state=ProfileState.INTERRUPTED)],
            {"exit_code": 130, "finished": STARTED},
            "Interrupted",
        ),
    ],
)
def test_how_a_run_over_all_profiles_stands(
    results: Path, entries: list[Any], changes: dict[str, Any], word: str
) -> None:
    (results / ALL_ID).mkdir()
    store.save(results / ALL_ID / "all.json", document_of(*entries, **changes))
    (row,) = read_listing(results)[0]
    assert row.word == word
    assert (row.measured is None) == (word == "Running")


def test_comparisons_histories_and_tunings_are_rows(results: Path) -> None:
    head = run_of_profile("light")
    found = comparison(head, {"tools/list_limit_50": -14.0}, verdict=Verdict.REGRESSION, exit_code=1)
    variants(results, "paired_1", {"comparison.json": found})
    pages = VariantStudy(kind="history", run_id="history_1", machine="m", load="l", variants=[], steps=[])
    (variants(results, "history_1", {"history.json": pages}) / "history.html").write_text("x")
    variants(results, "tune_1", {"tune.json": pages.model_copy(update={"kind": "tune"})}, exit_code=3)
    rows, _ = read_listing(results)
    compared = row_of("paired_1", rows)
    assert (compared.kind, compared.word, compared.exit_code) == ("comparison", "Regression", 1)
    assert (compared.release, compared.valid, compared.measured, compared.sent) == ("1.0.6, 1.0.7", 12, 12, 3600)
    assert (row_of("history_1", rows).kind, row_of("history_1", rows).report) == ("history", "history.html")
    assert (row_of("tune_1", rows).kind, row_of("tune_1", rows).exit_code) == ("tune", 3)


def test_interrupted_ones_are_marked(results: Path) -> None:
    write_profile(results, run_of_profile("light", status=RunStatus.INTERRUPTED, exit_code=130))
    variants(results, "history_2", status=RunStatus.INTERRUPTED, exit_code=143)
    rows, _ = read_listing(results)
    assert [(row.kind, row.word, row.exit_code) for row in rows] == [
        ("run", "Interrupted", 130),
        ("history", "Interrupted", 143),
    ]


def test_what_cannot_be_read_is_told_without_a_path_of_this_machine(results: Path) -> None:
    for name, file in (("broken", "run.json"), ("all_9", "all.json"), ("paired_9", "base/run.json")):
        (results / name / file).parent.mkdir(parents=True)
        (results / name / file).write_text("{")
    (results / "killed").mkdir()
    (results / "killed" / "plan.json").write_text("{}")
    (results / "notes").mkdir()
    _, damaged = read_listing(results)
    assert [one.name for one in damaged] == ["all_9", "broken", "killed", "paired_9"]
    assert all(one.problem.startswith(one.name) for one in damaged)
    assert "utils/mark_interrupted.py results/killed 143" in damaged[2].problem
    done = program("results_index.py", "--results-dir", results)
    assert done.returncode == 0
    page = (results / "index.html").read_text("utf-8")
    assert str(results) not in page
    assert "broken/run.json: the run is damaged" in page
    assert "There are no runs yet" in page


def test_only_what_changed_is_read_again(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_all(results)
    variants(results, "history_1")
    read_listing(results)
    read: list[str] = []
    plain = groups._summary

    def noted(directory: Path) -> object:
        read.append(directory.name)
        return plain(directory)

    monkeypatch.setattr(groups, "_summary", noted)
    assert len(read_listing(results)[0]) == 4
    assert read == []
    variants(results, "history_1", exit_code=3)
    assert row_of("history_1", read_listing(results)[0]).exit_code == 3
    assert read == ["history_1"]


# --- the page --------------------------------------------------------------------------------------------------------


def many(count: int) -> list[IndexRow]:
    """Runs of an hour each, the oldest first."""
    began = datetime(2025, 1, 1, 12, tzinfo=UTC)
    return [
        IndexRow(
            name=f"light_2025-01-01-{number:06}",
            report="report.html" if number % 3 else "",
            started=began + timedelta(hours=number),
            profile="light",
            kind="run",
            release="1.0.7",
            word="Passed",
            tone=Tone.GOOD,
            valid=36,
            measured=37,
            sent=10_800 + number,
            seconds=182.45 + number,
            exit_code=0,
        )
        for number in range(count)
    ]


def older(page: str) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(re.findall(r'id="data">(.*?)</script>', page, flags=re.DOTALL)[0])
    return data


def test_the_newest_are_the_table_and_the_others_are_in_the_page() -> None:
    page = index_page(many(SHOWN + 7), [])
    names = re.findall(r'<th scope="row">.*?<bdi>(.*?)</bdi>', page)
    assert len(names) == SHOWN
    assert names[0].replace("<wbr>", "") == f"light_2025-01-01-{SHOWN + 6:06}"
    names = [row[0] for row in older(page)["older"]]
    assert names == [f"light_2025-01-01-{number:06}" for number in reversed(range(7))]
    assert f"The newest {SHOWN} of {SHOWN + 7}" in page


def test_ten_thousand_runs_are_a_small_page() -> None:
    page = index_page(many(10_000), [])
    assert len(page) < 1_200_000


def test_a_link_is_only_where_the_file_is(results: Path) -> None:
    write_profile(results, run_of_profile("light"), report=False)
    write_profile(results, run_of_profile("medium", run_id="me dium#1"))
    page = index_page(*read_listing(results))
    assert re.findall(r'<a href="([^#][^"]*)"', page) == ["me%20dium%231/report.html"]


def test_names_that_are_markup_run_nothing() -> None:
    rows = [
        IndexRow(name, "", STARTED + timedelta(hours=n), name, "run", name, "Passed", Tone.GOOD, 1, 1, 1, 1.0, 0)
        for n, name in enumerate(HOSTILE_NAMES * (SHOWN // len(HOSTILE_NAMES) + 2))
    ]
    page = index_page(rows, [Damaged(HOSTILE_NAMES[0], HOSTILE_NAMES[1])])
    assert "<script>window" not in page
    assert "<img" not in page
    data = older(page)
    assert {data["words"][row[0]] if isinstance(row[0], int) else row[0] for row in data["older"]} == set(HOSTILE_NAMES)


def test_the_program_says_where_the_page_is(results: Path) -> None:
    write_all(results)
    done = program("results_index.py", "--results-dir", results)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{results / 'index.html'}\n", "")
    missing = program("results_index.py", "--results-dir", results / "none")
    assert (missing.returncode, missing.stderr.count("\n")) == (2, 1)


def test_it_starts_quickly(results: Path) -> None:
    """It runs at the end of each run; most of its time is what Python loads."""
    write_all(results)
    program = str(ROOT / "utils" / "results_index.py")
    assert relative_cost([sys.executable, program, "--results-dir", str(results)]) < 6
