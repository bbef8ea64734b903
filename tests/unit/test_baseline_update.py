"""How a run joins a baseline: figures held back, improvements accepted, the oldest runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchkit.model import BaselineRun
from benchkit.model.upgrades import OLDEST_RUNS
from benchkit.verdict.baseline_update import hold_back, joined
from benchkit.verdict.baselines import SavedBaseline, join_baseline, load_baseline, save_baseline
from builders.judged import finished, measured, run_of

CASE = "tools/list"


def join(directory: Path, number: int, p50: float, *improved: str, keep: int = 10) -> SavedBaseline:
    run = run_of(measured(rounds=(p50,)), measured("tools/other"), number=number)
    return join_baseline(
        run, directory, profile="light", keep_runs=keep, improved=frozenset(improved), sustained_runs=3
    )


def reference(directory: Path, case: str = CASE) -> list[float]:
    """The p50 of each run that is part of the reference."""
    baseline = load_baseline(directory, "light")
    return [run.cases[case]["p50_latency"] for run in baseline.runs if case in run.cases]


def oldest(directory: Path) -> list[float]:
    baseline = load_baseline(directory, "light")
    return [run.cases[CASE]["p50_latency"] for run in baseline.oldest if CASE in run.cases]


def held(directory: Path) -> list[str]:
    return [run.run_id for run in load_baseline(directory, "light").runs if CASE in run.held_back]


def test_the_first_run_starts_the_baseline_whatever_improved(tmp_path):
    saved = join(tmp_path, 1, 20.0, CASE)
    assert (saved.baseline.version, saved.baseline.reason) == (1, "run light_run1 saved")
    assert (reference(tmp_path), held(tmp_path), oldest(tmp_path)) == ([20.0], [], [20.0])


def test_a_lucky_run_does_not_become_the_reference(tmp_path):
    join(tmp_path, 1, 20.0)
    saved = join(tmp_path, 2, 10.0, CASE)
    assert saved.accepted == []
    assert saved.baseline.reason == "run light_run2 joined; better, held back until 3 runs in a row say so: tools/list"
    assert (reference(tmp_path), held(tmp_path)) == ([20.0], ["light_run2"])
    assert reference(tmp_path, "tools/other") == [21.0, 21.0]


def test_a_run_that_is_not_better_ends_the_series(tmp_path):
    join(tmp_path, 1, 20.0)
    for number in (2, 3):
        join(tmp_path, number, 10.0, CASE)
    join(tmp_path, 4, 20.5)
    assert (reference(tmp_path), held(tmp_path)) == ([20.0, 20.5], [])
    join(tmp_path, 5, 10.0, CASE)
    assert (reference(tmp_path), held(tmp_path)) == ([20.0, 20.5], ["light_run5"])


def test_a_sustained_improvement_replaces_what_was_there_in_runs_and_oldest(tmp_path):
    for number in (1, 2, 3, 4):
        join(tmp_path, number, 20.0 + number)
    assert oldest(tmp_path) == [21.0, 22.0, 23.0]
    for number in (5, 6):
        join(tmp_path, number, float(number), CASE)
    saved = join(tmp_path, 7, 7.0, CASE)
    assert saved.accepted == [CASE]
    assert saved.baseline.reason == "run light_run7 joined; improvement accepted after 3 runs: tools/list"
    assert (reference(tmp_path), held(tmp_path), oldest(tmp_path)) == ([5.0, 6.0, 7.0], [], [5.0, 6.0, 7.0])
    assert reference(tmp_path, "tools/other") == [21.0] * 7
    before = (tmp_path / "history" / "baseline_light.v6.json").read_text()
    assert '"p50_latency": 24.0' in before


def test_a_run_without_the_case_neither_ends_the_series_nor_counts(tmp_path):
    join(tmp_path, 1, 20.0)
    for number in (2, 3):
        join(tmp_path, number, 10.0, CASE)
    other = run_of(measured("tools/other"), number=4)
    join_baseline(other, tmp_path, profile="light", keep_runs=10, improved=frozenset(), sustained_runs=3)
    assert held(tmp_path) == ["light_run2", "light_run3"]
    assert join(tmp_path, 5, 10.0, CASE).accepted == [CASE]


def test_an_explicit_save_is_accepted_as_it_is_and_ends_the_series(tmp_path):
    join(tmp_path, 1, 20.0)
    for number in (2, 3):
        join(tmp_path, number, 10.0, CASE)
    run = run_of(measured(rounds=(9.0,)), number=4)
    saved = save_baseline(run, tmp_path, profile="light", keep_runs=10)
    assert saved.baseline.reason == "run light_run4 saved"
    assert (reference(tmp_path), held(tmp_path)) == ([20.0, 9.0], [])


def test_force_starts_the_oldest_anew(tmp_path):
    for number in (1, 2, 3):
        join(tmp_path, number, 20.0)
    run = run_of(measured(rounds=(30.0,)), number=4)
    saved = save_baseline(run, tmp_path, profile="light", keep_runs=10, force=True)
    assert saved.baseline.reason == "replaced by force with run light_run4"
    assert (reference(tmp_path), oldest(tmp_path)) == ([30.0], [30.0])


def test_the_oldest_stay_while_the_runs_move_on(tmp_path):
    for number in range(1, 9):
        join(tmp_path, number, 20.0 + number, keep=4)
    assert reference(tmp_path) == [25.0, 26.0, 27.0, 28.0]
    assert oldest(tmp_path) == [21.0, 22.0, 23.0]


def test_fewer_kept_runs_than_a_series_needs_shorten_it(tmp_path):
    join(tmp_path, 1, 20.0, keep=2)
    join(tmp_path, 2, 10.0, CASE, keep=2)
    assert join(tmp_path, 3, 10.0, CASE, keep=2).accepted == [CASE]


def test_the_machines_control_score_is_kept_with_each_run(tmp_path):
    join(tmp_path, 1, 20.0)
    assert [run.control_score for run in load_baseline(tmp_path, "light").runs] == [41.8]


@given(
    steps=st.lists(st.tuples(st.integers(0, 20), st.booleans(), st.booleans()), min_size=1, max_size=25),
    keep=st.integers(1, 6),
    needed=st.integers(1, 4),
)
def test_no_order_of_runs_breaks_the_rules(steps, keep, needed):
    """At most ``keep`` figures a case, each run once, in order; a figure is accepted or held back, never both; the case
    that all runs have keeps a reference; the oldest are at most three a case and hold nothing back."""
    runs: list[BaselineRun] = []
    eldest: list[BaselineRun] = []
    for number, better, with_case in steps:
        cases = {"tools/a": {"p50_latency": 1.0}} | ({"tools/b": {"p50_latency": float(number)}} if with_case else {})
        entry = BaselineRun(run_id=f"run{number}", finished=finished(number), cases=cases)
        if runs and better:
            entry = hold_back(entry, {"tools/b"})
        after = joined(runs, eldest, entry, keep=keep, needed=min(needed, keep))
        runs, eldest = after.runs, after.oldest
        assert [run.finished for run in runs] == sorted({run.finished for run in runs})
        assert all(not run.cases.keys() & run.held_back.keys() for run in runs)
        assert any("tools/a" in run.cases for run in runs)
        assert all(not run.held_back for run in eldest)
        for case in ("tools/a", "tools/b"):
            assert sum(case in run.cases or case in run.held_back for run in runs) <= keep
            assert sum(case in run.cases for run in eldest) <= OLDEST_RUNS
            newest = [case in run.held_back for run in reversed(runs) if case in run.cases or case in run.held_back]
            # What is held back is an unbroken series of the newest runs, and too short to be accepted.
            assert newest == sorted(newest, reverse=True)
            assert sum(newest) < min(needed, keep) or sum(newest) == 0


# ---------------------------------------------------------------------------------------------------------------------
# Runs of a part of the scenarios


@pytest.mark.parametrize("how", ["join", "save"])
def test_runs_of_one_scenario_push_no_other_out(tmp_path: Path, how: str) -> None:
    save_baseline(run_of(measured(), measured("prompts/get"), number=1), tmp_path, profile="light", keep_runs=2)
    for number in (2, 3, 4):
        part = run_of(measured(rounds=(20.0 + number,)), number=number)
        if how == "save":
            save_baseline(part, tmp_path, profile="light", keep_runs=2)
        else:
            nothing: frozenset[str] = frozenset()
            join_baseline(part, tmp_path, profile="light", keep_runs=2, improved=nothing, sustained_runs=3)
    assert reference(tmp_path) == [23.0, 24.0]
    assert reference(tmp_path, "prompts/get") == [21.0]
    assert [run.run_id for run in load_baseline(tmp_path, "light").runs] == ["light_run1", "light_run3", "light_run4"]


def test_figures_that_a_broken_series_held_back_push_out_nothing(tmp_path: Path) -> None:
    join(tmp_path, 1, 20.0, keep=3)
    for number in (2, 3):
        join(tmp_path, number, 10.0, CASE, keep=3)
    join(tmp_path, 4, 20.5, keep=3)
    assert (reference(tmp_path), held(tmp_path)) == ([20.0, 20.5], [])


def test_a_run_that_is_too_old_for_one_case_still_is_the_first_of_another(tmp_path: Path) -> None:
    for number in (2, 3):
        save_baseline(run_of(measured(), number=number), tmp_path, profile="light", keep_runs=2)
    late = run_of(measured(rounds=(30.0,)), measured("prompts/get"), number=1)
    save_baseline(late, tmp_path, profile="light", keep_runs=2)
    assert (reference(tmp_path), reference(tmp_path, "prompts/get")) == ([21.0, 21.0], [21.0])


def of_case(runs: list[BaselineRun], case: str) -> list[tuple[str, bool]]:
    """Where a case has figures: the run's name, and whether they are held back."""
    return [(run.run_id, case in run.held_back) for run in runs if case in run.cases or case in run.held_back]


CASES = ("prompts/a", "tools/a", "tools/b")


@given(
    steps=st.lists(
        st.tuples(st.integers(0, 30), st.sets(st.sampled_from(CASES), min_size=1), st.sets(st.sampled_from(CASES))),
        min_size=1,
        max_size=25,
        unique_by=lambda step: step[0],
    ),
    keep=st.integers(1, 4),
    needed=st.integers(1, 6),
)
def test_a_run_changes_nothing_of_what_it_did_not_measure(
    steps: list[tuple[int, set[str], set[str]]], keep: int, needed: int
) -> None:
    """In whatever order runs come and whatever they hold: a case that the new run lacks is as it was; one that it has
    keeps its newest figures, some of them as its reference; no run without figures stays, and no baseline is empty."""
    runs: list[BaselineRun] = []
    eldest: list[BaselineRun] = []
    for number, cases, better in steps:
        entry = BaselineRun(
            run_id=f"run{number:02}", finished=finished(number), cases={case: {"p50_latency": 1.0} for case in cases}
        )
        known = {case for run in runs for case in run.cases}
        after = joined(runs, eldest, hold_back(entry, better & known), keep=keep, needed=needed)
        for case in CASES:
            before, now = of_case(runs, case), of_case(after.runs, case)
            if case not in cases:
                assert now == before
            elif case not in better & known:
                of_reference = sorted([*(name for name, is_held in before if not is_held), entry.run_id])
                room = keep - sum(is_held for _, is_held in now)
                assert [name for name, is_held in now if not is_held] == of_reference[-room:]
            assert len(now) <= keep
            assert not now or not all(is_held for _, is_held in now)
        runs, eldest = after.runs, after.oldest
        assert runs
        assert all(run.cases or run.held_back for run in runs)
