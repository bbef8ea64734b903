"""How a run joins a baseline: figures held back, improvements accepted, the oldest runs."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from benchkit.model import BaselineRun
from benchkit.verdict.baselines import SavedBaseline, join_baseline, load_baseline, save_baseline
from benchkit.verdict.files import OLDEST_RUNS
from benchkit.verdict.joining import hold_back, joined
from verdicts import finished, measured, run_of

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
    """At most ``keep`` runs, each once, in order; a figure is accepted or held back, never both; every case that a run
    had at the start keeps a reference; the oldest are at most three a case and hold nothing back."""
    runs: list[BaselineRun] = []
    eldest: list[BaselineRun] = []
    for number, better, with_case in steps:
        cases = {"tools/a": {"p50_latency": 1.0}} | ({"tools/b": {"p50_latency": float(number)}} if with_case else {})
        entry = BaselineRun(run_id=f"run{number}", finished=finished(number), cases=cases)
        if runs and better:
            entry = hold_back(entry, {"tools/b"})
        after = joined(runs, eldest, entry, keep=keep, needed=min(needed, keep))
        runs, eldest = after.runs, after.oldest
        assert len(runs) <= keep
        assert [run.finished for run in runs] == sorted({run.finished for run in runs})
        assert all(not run.cases.keys() & run.held_back.keys() for run in runs)
        assert all("tools/a" in run.cases for run in runs)
        assert all(not run.held_back for run in eldest)
        for case in ("tools/a", "tools/b"):
            assert sum(case in run.cases for run in eldest) <= OLDEST_RUNS
            newest = [case in run.held_back for run in reversed(runs) if case in run.cases or case in run.held_back]
            # What is held back is an unbroken series of the newest runs, and too short to be accepted.
            assert newest == sorted(newest, reverse=True)
            assert sum(newest) < min(needed, keep) or sum(newest) == 0
