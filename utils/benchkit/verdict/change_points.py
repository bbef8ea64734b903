"""Change points and slow slides (drifts) of a series: pure functions over arrays.

A series has one value per run, oldest first: its logarithm, with the sign chosen so that larger is worse.

Change points are the optimal partition (Jackson et al. 2005) into segments of at least :data:`MIN_SEGMENT` runs with a
squared-error cost, the same that PELT finds. A test compares it with ``ruptures``, whose import alone takes longer than
all of this for twenty cases. The penalty is calibrated on stationary noise (see :func:`penalty`). Welch's t-test then
checks each change point, so that a few outliers do not make one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, stdtr, stdtrit  # pylint: disable=no-name-in-module  # it is compiled

Series = NDArray[np.float64]

MIN_SEGMENT = 3
"""The minimum number of runs in a level."""

MIN_RUNS = 8
"""With fewer runs a series is not analysed: noise between runs cannot be distinguished from a change."""

CONFIDENCE = 0.95
WELCH_LEVEL = 0.01
"""The significance level of Welch's test at a change point."""

SMALLEST_DEVIATION = 0.005
"""Lower limit for the deviation between runs (a logarithm), because latencies have a limited resolution."""


@dataclass(frozen=True)
class Shift:
    """The difference between two levels: later minus earlier, its 95 % interval, and Welch's p for no difference."""

    effect: float
    low: float
    high: float
    p_value: float


@dataclass(frozen=True)
class Slope:
    """A monotonic trend: Theil-Sen's slope per run, its 95 % interval, and Mann-Kendall's p for no trend."""

    per_run: float
    low: float
    high: float
    p_value: float


# ---------------------------------------------------------------------------------------------------------------------
# Change points


def deviation(values: Series) -> float:
    """Return the standard deviation between neighbouring runs, from the median of their absolute differences.

    A change of level is one of many differences, so it hardly affects the result.
    """
    differences = np.abs(np.diff(values))
    robust = float(np.median(differences)) / (0.6745 * math.sqrt(2))
    return max(robust, SMALLEST_DEVIATION)


def penalty(runs: int) -> float:
    """Return the cost of one more change point, in squared deviations.

    Fitted to the 99.5 % quantile of what the best split of normal noise explains (3000 series for each of 8 to 200
    runs): 38 for 8 runs, 26 for 20, 19 for 50, 16 for 200. It is larger for few runs because their deviation is
    estimated from few differences.
    """
    return 14.0 + 240.0 / runs


def find_change_points(values: Series) -> list[int]:
    """Return the position of the first run of each new level, without the first level."""
    if len(values) < MIN_RUNS:
        return []
    found = partition(values, penalty(len(values)) * deviation(values) ** 2)
    while found:
        weakest = max(found, key=lambda at: shift_at(values, found, at).p_value)
        if shift_at(values, found, weakest).p_value <= WELCH_LEVEL:
            break
        found = [at for at in found if at != weakest]
    return found


def partition(values: Series, cost_of_change: float) -> list[int]:
    """Return the exact partition that minimizes the squared error plus ``cost_of_change`` per change point."""
    count = len(values)
    centred = values - values.mean()
    sums, squares = (np.concatenate(([0.0], np.cumsum(part))) for part in (centred, centred**2))
    best = np.full(count + 1, np.inf)
    best[0] = -cost_of_change
    before = np.zeros(count + 1, dtype=np.intp)
    for end in range(MIN_SEGMENT, count + 1):
        starts = np.arange(end - MIN_SEGMENT + 1)
        errors = squares[end] - squares[starts] - (sums[end] - sums[starts]) ** 2 / (end - starts)
        totals = best[starts] + errors + cost_of_change
        before[end] = int(np.argmin(totals))
        best[end] = totals[before[end]]
    found, end = [], int(before[count])
    while end > 0:
        found.append(end)
        end = int(before[end])
    return found[::-1]


def shift_at(values: Series, points: Sequence[int], at: int) -> Shift:
    """Return the difference between the levels before and after one of the change points."""
    bounds = [0, *points, len(values)]
    place = bounds.index(at)
    return shift(values[bounds[place - 1] : at], values[at : bounds[place + 1]])


def shift(before: Series, after: Series) -> Shift:
    """Apply Welch's t-test (1947) to two levels of at least two runs each."""
    parts = [max(float(part.var(ddof=1)), SMALLEST_DEVIATION**2) / len(part) for part in (before, after)]
    error = math.sqrt(sum(parts))
    degrees = sum(parts) ** 2 / sum(
        part**2 / (len(values) - 1) for part, values in zip(parts, (before, after), strict=True)
    )
    effect = float(after.mean() - before.mean())
    half = float(stdtrit(degrees, (1 + CONFIDENCE) / 2)) * error
    return Shift(effect, effect - half, effect + half, 2 * float(stdtr(degrees, -abs(effect) / error)))


def visible_step(noise: float, runs: int, after: int) -> float:
    """Return the smallest step (a logarithm) that is found half of the time, ``after`` runs after it.

    ``noise`` is the deviation between runs, ``runs`` their number.
    """
    return noise * math.sqrt(penalty(runs) * (1 / after + 1 / max(runs - after, 1)))


# ---------------------------------------------------------------------------------------------------------------------
# Slides


def slope(positions: Series, values: Series) -> Slope:
    """Return Theil-Sen's slope with the interval of Sen (1968), and the test of Mann (1945) and Kendall with ties.

    ``positions`` are the numbers of the runs, so that a run without a value leaves a gap.
    """
    first, second = np.triu_indices(len(values), k=1)
    slopes = np.sort((values[second] - values[first]) / (positions[second] - positions[first]))
    count = len(values)
    score = float(np.sign(values[second] - values[first]).sum())
    _, ties = np.unique(values, return_counts=True)
    tied = float((ties * (ties - 1) * (2 * ties + 5)).sum())
    error = math.sqrt(max(count * (count - 1) * (2 * count + 5) - tied, 0.0) / 18)
    if error == 0:
        return Slope(0.0, 0.0, 0.0, 1.0)
    p_value = 2 * float(ndtr(-max(abs(score) - 1, 0.0) / error))
    half = 1.959963984540054 * error
    low, high = (round(rank) for rank in ((len(slopes) - half) / 2 - 1, (len(slopes) + half) / 2))
    last = len(slopes) - 1
    return Slope(float(np.median(slopes)), float(slopes[max(low, 0)]), float(slopes[min(high, last)]), p_value)


def is_line(positions: Series, values: Series, points: Sequence[int]) -> bool:
    """Return whether a straight line fits the series better (BIC) than the levels between the change points.

    A search for levels turns a slow slide into a staircase.
    """
    count = len(values)
    levels = sum(
        float(((part := values[start:end]) - part.mean()) @ (part - part.mean()))
        for start, end in zip([0, *points], [*points, count], strict=True)
    )
    fitted = np.polyval(np.polyfit(positions, values, 1), positions)
    line = float((values - fitted) @ (values - fitted))
    smallest = count * SMALLEST_DEVIATION**2

    def criterion(squares: float, parameters: int) -> float:
        return count * math.log(max(squares, smallest) / count) + parameters * math.log(count)

    return criterion(line, 2) < criterion(levels, 2 * len(points) + 1)
