"""How a run joins a baseline: which of its figures become part of the reference, and when an improvement is accepted.

Pure functions over the runs of a baseline, the oldest first. A figure that was better than the reference is held back:
one lucky run does not become what later runs have to reach. When enough runs in a row held the same case back, it is
accepted: the slower figures of that case go, the held-back ones take their place. A run that does not hold it back ends
the series. A run that did not measure the case says nothing about it: neither does it end the series or count, nor
does it push any of its figures out. So a run of one scenario leaves the reference of all others as it is.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from benchkit.model import BaselineRun, MetricValues
from benchkit.model.upgrades import OLDEST_RUNS


@dataclass(frozen=True)
class Joined:
    """The runs of a baseline after one joined; ``accepted`` are the cases whose improvement was sustained."""

    runs: list[BaselineRun]
    oldest: list[BaselineRun]
    accepted: list[str]


def hold_back(run: BaselineRun, improved: Collection[str]) -> BaselineRun:
    """The run with the figures of the improved cases set aside."""
    return run.model_copy(
        update={
            "cases": {case: figures for case, figures in run.cases.items() if case not in improved},
            "held_back": {case: figures for case, figures in run.cases.items() if case in improved},
        }
    )


def joined(
    others: list[BaselineRun], oldest: list[BaselineRun], entry: BaselineRun, *, keep: int, needed: int
) -> Joined:
    """The runs with a new one among them (in place of one of its name).

    Of each case that it measured the newest ``keep`` figures stay; a run of which none is left is dropped. There may be
    more than ``keep`` runs, for not every run has every case.

    ``needed``: how many runs in a row have to hold a case back so that it is accepted (never more than are kept).
    ``oldest`` is completed from the accepted figures, per case up to :data:`OLDEST_RUNS` runs,
    and otherwise stays as it is.
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
        # Only now, or figures that a broken series held back would push out some that are the reference.
        runs = _newest(runs, case, keep)
    runs = [run for run in runs if run.cases or run.held_back]
    return Joined(runs=runs, oldest=_completed(oldest, runs), accepted=accepted)


def _series(runs: list[BaselineRun], case: str) -> set[str]:
    """The names of the newest runs in a row that hold the case back."""
    series = set()
    for run in reversed(runs):
        if case in run.held_back:
            series.add(run.run_id)
        elif case in run.cases:
            break
    return series


def _newest(runs: Sequence[BaselineRun], case: str, keep: int) -> list[BaselineRun]:
    """The runs, all but the newest ``keep`` that have figures of the case without them."""
    having = [run.run_id for run in runs if case in run.cases or case in run.held_back]
    too_old = set(having[:-keep])
    return [_not_held_back(_without(run, case), case) if run.run_id in too_old else run for run in runs]


def _promoted(run: BaselineRun, case: str) -> BaselineRun:
    """The run with its held-back figures of the case as its figures, and without those from before."""
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
    """The oldest runs, with the first accepted figures of every case that has fewer of them than it may."""
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
