"""The trend over stored runs: change points (which run changed a case's level) and slow slides.

Only comparable runs are used: complete runs of one profile, with the load and the machine of the newest run. Pure,
except that it reads the history.
"""

from __future__ import annotations

import fnmatch
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchkit.model import METRICS, ChangePoint, Metric, RunStatus, SeriesTrend, Slide, Trend, TrendRun
from benchkit.number_format import plural
from benchkit.verdict import change_points
from benchkit.verdict.change_points import MIN_RUNS, Shift, Slope
from benchkit.verdict.environments import load_differences, machine_differences
from benchkit.verdict.rules import badness, is_positive, percent
from benchkit.verdict.statistics import corrected
from benchkit.verdict.stored_runs import CaseFigures, RunHistory, StoredRun

SLIDE_LEVEL = 0.01
"""Significance level of a slide, for its p corrected over all series (Benjamini-Hochberg)."""

PER_RUNS = 10
"""The number of runs to which a slide's rate refers."""


# ---------------------------------------------------------------------------------------------------------------------
# Selecting runs and values


def trend_of(history: RunHistory, profile: str, *, cases: str, metrics: Sequence[str], last: int) -> Trend:
    """Return the trend of the newest ``last`` runs of a profile.

    Args:
        history: the stored runs.
        profile: the profile.
        cases: a pattern (``tools/*``) of the cases.
        metrics: keys of the metric table, none of them absolute.
        last: maximum number of runs.
    """
    runs, left_out = _comparable(history.runs, profile)
    if len(runs) > last:
        left_out.append(f"{len(runs) - last} older ones")
        runs = runs[-last:]
    shown = [
        TrendRun(run_id=run.run_id, finished=run.finished, release=run.release, control_score=run.control_score)
        for run in runs
    ]
    found = history.figures(runs)
    names = sorted({case for figures in found for case in figures if fnmatch.fnmatchcase(case, cases)})
    measured = (_measured(shown, case, metric, found) for case in names for metric in metrics)
    series = _with_slides([one for one in measured if any(value is not None for value in one.values)])
    return Trend(
        profile=profile,
        runs=shown,
        left_out=left_out,
        needed_runs=MIN_RUNS,
        significance=SLIDE_LEVEL,
        series=sorted(series, key=lambda one: (one.change_percent, one.case, one.metric)),
    )


def _comparable(runs: Sequence[StoredRun], profile: str) -> tuple[list[StoredRun], list[str]]:
    """Return a profile's runs that are comparable with the newest, oldest first, and what was left out, in words."""
    why: Counter[str] = Counter()
    kept: dict[str, StoredRun] = {}
    newest: StoredRun | None = None
    for run in reversed(runs):
        if run.profile != profile or run.paired:
            continue
        if run.status is not RunStatus.COMPLETE:
            why["interrupted"] += 1
        elif not run.ended.valid:
            why["without a valid case"] += 1
        elif newest is not None and load_differences(newest.load, run.load):
            why["with another load than the newest"] += 1
        elif newest is not None and machine_differences(newest.machine, run.machine):
            why["on another machine than the newest"] += 1
        elif run.run_id in kept:
            why["stored twice"] += 1
        else:
            newest = newest or run
            kept[run.run_id] = run
    return list(reversed(kept.values())), [f"{number} {reason}" for reason, number in why.items()]


# ---------------------------------------------------------------------------------------------------------------------
# One series


@dataclass(frozen=True)
class _Series:
    """The measured values of one metric of one case. Only positive values are analysed."""

    case: str
    metric: Metric
    values: list[float | None]
    advisory: bool
    runs: list[TrendRun]


def _measured(runs: list[TrendRun], case: str, metric: str, found: Sequence[Mapping[str, CaseFigures]]) -> _Series:
    """Return the series of one metric of one case over all runs."""
    of_case = [figures.get(case) for figures in found]
    return _Series(
        case=case,
        metric=METRICS[metric],
        values=[one.figures.get(metric) if one else None for one in of_case],
        advisory=any(one is not None and metric in one.advisory for one in of_case),
        runs=runs,
    )


@dataclass(frozen=True)
class _Looked:
    """A series after the search for levels: the positions of its values, their logarithms, the change points.

    ``start`` is the first position of the span that is tested for a slide; ``slope`` is ``None`` if it is too short.
    """

    places: list[int]
    logs: change_points.Series
    points: list[int]
    start: int
    slope: Slope | None


def _with_slides(series: Sequence[_Series]) -> list[SeriesTrend]:
    """Return every series with its change points and its slide; the slides are corrected over all series."""
    looked = [_look(one) for one in series]
    asked = {number: one.slope.p_value for number, one in enumerate(looked) if one.slope is not None}
    q_values = dict(zip(asked, corrected(list(asked.values())), strict=True)) if asked else {}
    return [_described(one, looked[number], q_values.get(number, 1.0)) for number, one in enumerate(series)]


def _look(series: _Series) -> _Looked:
    """Search one series for levels, then for a slide.

    If a straight line fits better than levels, the whole series is tested for a slide, otherwise the newest level.
    """
    places = [at for at, value in enumerate(series.values) if value is not None and is_positive(value)]
    logs = np.array([badness(series.metric, series.values[at] or math.nan) for at in places], dtype=np.float64)
    positions = np.array(places, dtype=np.float64)
    points = change_points.find_change_points(logs)
    whole = not points or change_points.is_line(positions, logs, points)
    start = 0 if whole else points[-1]
    slope = change_points.slope(positions[start:], logs[start:]) if len(logs) - start >= MIN_RUNS else None
    return _Looked(places, logs, points, start, slope)


def _described(series: _Series, looked: _Looked, q_value: float) -> SeriesTrend:
    slides = looked.slope is not None and q_value <= SLIDE_LEVEL
    # A series that slides as a whole has no levels: the search for levels would make a staircase of it.
    points = [] if slides and looked.start == 0 else looked.points
    measured = len(looked.logs)
    return SeriesTrend(
        case=series.case,
        metric=series.metric.name,
        unit=series.metric.unit,
        advisory=series.advisory,
        values=series.values,
        change_points=[_change_point(series, looked, points, at) for at in points],
        slide=_slide(series, looked, q_value) if slides else None,
        noise_percent=_rounded(100 * change_points.deviation(looked.logs)) if measured >= MIN_RUNS else None,
        problem="" if measured >= MIN_RUNS else f"{plural(measured, 'run')}, {MIN_RUNS} are needed",
    )


def _change_point(series: _Series, looked: _Looked, points: list[int], at: int) -> ChangePoint:
    bounds = [0, *points, len(looked.places)]
    place = bounds.index(at)
    start, end = bounds[place - 1], bounds[place + 1]
    found = change_points.shift(looked.logs[start:at], looked.logs[at:end])
    runs = [series.runs[number] for number in looked.places]
    machine = _machine_shift(runs[start:at], runs[at:end])
    return ChangePoint(
        last_before=runs[at - 1],
        first_after=runs[at],
        change_percent=_rounded(percent(series.metric, found.effect)),
        interval=_interval(series.metric, found.low, found.high),
        p_value=_short(found.p_value),
        runs_before=at - start,
        runs_after=end - at,
        machine_percent=_rounded(100 * math.expm1(machine.effect)) if machine else None,
    )


def _machine_shift(before: list[TrendRun], after: list[TrendRun]) -> Shift | None:
    """Return the change of the machine's control score between two levels, or ``None`` if it is not significant."""
    sides = [
        np.array([math.log(run.control_score) for run in runs if run.control_score], dtype=np.float64)
        for runs in (before, after)
    ]
    if min(len(side) for side in sides) < change_points.MIN_SEGMENT:
        return None
    found = change_points.shift(*sides)
    return found if found.low > 0 or found.high < 0 else None


def _slide(series: _Series, looked: _Looked, q_value: float) -> Slide:
    assert looked.slope is not None
    places = looked.places[looked.start :]
    steps = places[-1] - places[0]
    slope = looked.slope
    return Slide(
        since=series.runs[places[0]],
        runs=len(places),
        per_ten_runs_percent=_rounded(percent(series.metric, PER_RUNS * slope.per_run)),
        total_percent=_rounded(percent(series.metric, steps * slope.per_run)),
        interval=_interval(series.metric, steps * slope.low, steps * slope.high),
        p_value=_short(slope.p_value),
        q_value=_short(q_value),
    )


def _interval(metric: Metric, low: float, high: float) -> tuple[float, float]:
    """Return the interval in percent, the worse end first; larger logarithms are worse."""
    return _rounded(percent(metric, high)), _rounded(percent(metric, low))


def _rounded(value: float) -> float:
    return round(value, 2) + 0.0


def _short(p_value: float) -> float:
    return float(f"{p_value:.3g}")
