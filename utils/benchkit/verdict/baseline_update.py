"""Adding a run to a baseline: which of its values become part of the reference, and when an improvement is accepted.

Pure functions over the runs of a baseline, oldest first. Values that are better than the reference are held back, so
that one lucky run does not raise the bar for later runs. When enough runs in a row held the same case back, the
improvement is accepted: the held-back values replace the case's slower values. A run that does not hold the case back
ends the series. A run that did not measure the case has no effect on it: it does not end the series, does not count,
and replaces none of its values. So a run of one scenario leaves the reference of all others unchanged.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from benchkit.model import BaselineRun, MetricValues
from benchkit.model.upgrades import OLDEST_RUNS


@dataclass(frozen=True)
class Joined:
    """The runs of a baseline after one was added; ``accepted`` are the cases whose improvement was confirmed."""

    runs: list[BaselineRun]
    oldest: list[BaselineRun]
    accepted: list[str]


def hold_back(run: BaselineRun, improved: Collection[str]) -> BaselineRun:
    """Return the run with the values of the improved cases moved to ``held_back``."""
    return run.model_copy(
        update={
            "cases": {case: figures for case, figures in run.cases.items() if case not in improved},
            "held_back": {case: figures for case, figures in run.cases.items() if case in improved},
        }
    )


def joined(
    others: list[BaselineRun], oldest: list[BaselineRun], entry: BaselineRun, *, keep: int, needed: int
) -> Joined:
    """Add a run, or replace the run of the same name.

    For each case that it measured, the newest ``keep`` values are kept; runs without any values left are dropped. There
    may be more than ``keep`` runs, because not every run has every case.

    ``needed``: how many runs in a row must hold a case back before its improvement is accepted (at most as many as are
    kept). ``oldest`` is completed from the accepted values, up to :data:`OLDEST_RUNS` runs per case, and is otherwise
    unchanged.
    """
    remaining = [run for run in others if run.run_id != entry.run_id]
    runs = sorted([*remaining, entry], key=lambda run: (run.finished, run.run_id))
    accepted = []
    for case in sorted({*entry.cases, *entry.held_back}):
        series = _series(runs, case)
        if len(series) >= min(needed, keep):
            accepted.append(case)
            runs = [_promoted(run, case) for run in runs]
            oldest = [_without(run, case) for run in oldest]
        else:
            runs = [run if run.run_id in series else _not_held_back(run, case) for run in runs]
        # Last, because values held back by a broken series would otherwise displace values of the reference.
        runs = _newest(runs, case, keep)
    runs = [run for run in runs if run.cases or run.held_back]
    return Joined(runs=runs, oldest=_completed(oldest, runs), accepted=accepted)


def _series(runs: list[BaselineRun], case: str) -> set[str]:
    """Return the ids of the newest consecutive runs that hold the case back."""
    series = set()
    for run in reversed(runs):
        if case in run.held_back:
            series.add(run.run_id)
        elif case in run.cases:
            break
    return series


def _newest(runs: Sequence[BaselineRun], case: str, keep: int) -> list[BaselineRun]:
    """Remove the case's values from all runs except the newest ``keep`` that have them."""
    having = [run.run_id for run in runs if case in run.cases or case in run.held_back]
    too_old = set(having[:-keep])
    return [_not_held_back(_without(run, case), case) if run.run_id in too_old else run for run in runs]


def _promoted(run: BaselineRun, case: str) -> BaselineRun:
    """Replace the run's values of the case by those that it held back; without any, remove the values."""
    figures = {name: values for name, values in run.cases.items() if name != case}
    if case in run.held_back:
        figures[case] = run.held_back[case]
    return _not_held_back(run.model_copy(update={"cases": figures}), case)


def _not_held_back(run: BaselineRun, case: str) -> BaselineRun:
    held_back = {name: values for name, values in run.held_back.items() if name != case}
    return run.model_copy(update={"held_back": held_back})


def _without(run: BaselineRun, case: str) -> BaselineRun:
    return run.model_copy(update={"cases": {name: values for name, values in run.cases.items() if name != case}})


def _completed(oldest: list[BaselineRun], runs: list[BaselineRun]) -> list[BaselineRun]:
    """Complete the oldest runs with the first accepted values of every case that does not have enough yet."""
    counts: dict[str, int] = {}
    entries = {run.run_id: run for run in oldest if run.cases}
    for run in entries.values():
        for case in run.cases:
            counts[case] = counts.get(case, 0) + 1
    for run in runs:
        before: dict[str, MetricValues] = entries[run.run_id].cases if run.run_id in entries else {}
        added = {
            case: figures
            for case, figures in run.cases.items()
            if case not in before and counts.get(case, 0) < OLDEST_RUNS
        }
        if added:
            counts.update({case: counts.get(case, 0) + 1 for case in added})
            entries[run.run_id] = run.model_copy(update={"cases": {**before, **added}, "held_back": {}})
    return sorted(entries.values(), key=lambda run: (run.finished, run.run_id))
