"""Moments and durations while somebody sets the clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

import junitparser
import pytest

from benchkit import clock
from benchkit.load.collect import collect
from benchkit.model import RawIteration, Validity
from benchkit.run.results_index import read_listing
from benchkit.store import load, save
from benchkit.verdict.ci.junit import junit
from benchkit.verdict.ci.results import run_result
from builders.documents import case, run
from builders.raw_runs import RunDirectory, good, planned

SET_BACK = timedelta(seconds=45)


class SetBack(datetime):
    """A clock that is set back 45 s each time that somebody looks at it."""

    looks = 0

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        cls.looks += 1
        return datetime(2025, 10, 10, 14, 30, tzinfo=tz) - cls.looks * SET_BACK


def test_a_clock_that_is_set_back_does_not_turn_moments_around(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "datetime", SetBack)
    clock._anchor.cache_clear()
    try:
        moments = [clock.now() for _ in range(5)]
    finally:
        clock._anchor.cache_clear()
    assert moments == sorted(moments)
    assert moments[-1] - moments[0] < timedelta(seconds=5)
    assert {moment.tzinfo for moment in moments} == {UTC}


def test_documents_whose_end_is_before_their_start_show_no_negative_time(tmp_path: Path) -> None:
    document = run([case("tools/list")])
    turned = document.cases[0].model_copy(
        update={
            "iterations": [
                one.model_copy(update={"finished": one.started - SET_BACK}) for one in document.cases[0].iterations
            ]
        }
    )
    document = document.model_copy(update={"cases": [turned], "finished": document.started - SET_BACK})
    suites = junitparser.JUnitXml.fromstring(junit(run_result(document, None)).encode())
    assert suites.time == 0
    assert [one.time for suite in suites for one in suite] == [0]
    (tmp_path / document.run_id).mkdir()
    save(tmp_path / document.run_id / "run.json", document)
    rows, damaged = read_listing(tmp_path)
    assert ([row.seconds for row in rows], damaged) == ([0.0], [])


@pytest.mark.parametrize("shift", [-SET_BACK, SET_BACK], ids=["set back", "set forward"])
@pytest.mark.parametrize("phase", ["before", "after"])
def test_a_failed_check_belongs_to_its_phase_whatever_its_time_says(
    tmp_path: Path, shift: timedelta, phase: str
) -> None:
    directory = RunDirectory(tmp_path)
    failed: dict[str, Any] = {phase: "HTTP 500 instead of 200"}
    directory.add(planned("a", iterations=1), good(**failed))
    file = tmp_path / "raw" / "tools" / "a.1.json"
    raw = load(file, RawIteration, "raw")
    probes = [
        probe.model_copy(update={"when": when, "at": probe.at + shift * (1 if when == "after" else -1)})
        for probe, when in zip(raw.probes, ("before", "after"), strict=True)
    ]
    save(file, raw.model_copy(update={"probes": probes}))
    [result] = collect(directory.finish()).run.cases
    assert result.validity is Validity.INVALID
    assert result.reason == f"{phase} its load: HTTP 500 instead of 200"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-1, "0 s"),
        (0.0, "0 s"),
        (0.0505, "50.5 ms"),
        (0.25, "250 ms"),
        (0.9996, "1 s"),
        (8.44, "8.4 s"),
        (9.96, "10 s"),
        (59.44, "59.4 s"),
        (59.96, "1 min 0 s"),
        (185, "3 min 5 s"),
        (3599.7, "1 h 0 min"),
        (7800, "2 h 10 min"),
    ],
)
def test_a_duration_has_one_form_everywhere(seconds: float, words: str) -> None:
    assert clock.duration(seconds) == words
