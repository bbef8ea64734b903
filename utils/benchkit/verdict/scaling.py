"""Scalability: throughput and p95 by the number of MCP servers or by concurrency, and the knees of these curves.

The knee is that of Kneedle (Satopää, Albrecht, Irwin, Raghavan: "Finding a 'Kneedle' in a Haystack", ICDCS Workshops
2011, section III, in its offline form): on the unit square, the point that is farthest from the straight line between
the ends, if the distance falls again by the paper's threshold before the curve ends. By concurrency, throughput is also
fitted to the Universal Scalability Law (Gunther, "Guerrilla Capacity Planning", 2007, chapter 4)::

    X(N) = x1 N / (1 + contention (N - 1) + coherency N (N - 1)),   peak at N = sqrt((1 - contention) / coherency)

A knee is marked only if the data support it: it needs :data:`MIN_POINTS` places, and a bend that the noise between runs
cannot explain.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import median

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from benchkit.errors import UserError
from benchkit.model import METRICS, Run, ScalabilityLaw, ScalingCase, ScalingCurve, ScalingStudy, Validity, Varied
from benchkit.number_format import plural

Points = Sequence[tuple[float, float]]

MIN_POINTS = 4
"""Minimum number of places on the x axis: three points always form a bend."""

SENSITIVITY = 1.0
"""Kneedle's S; 1 is the paper's value, which requires a stronger bend the fewer points there are."""

NOISE_FACTOR = 5.0
"""The minimum bend, as a multiple of its standard error: see :func:`knee`."""

USUAL_NOISE = 0.05
"""Assumed deviation between runs (a logarithm) if no place was measured twice: two runs of an unchanged gateway differ
by 5-10 %."""

LARGEST_MISFIT = 0.10
"""Maximum root mean square of the logarithms' residuals with which the law describes the data."""

METRIC_SHAPES: dict[str, dict[Varied, tuple[int, int] | None]] = {
    "requests_per_sec": {"concurrency": (1, 1), "servers": None},
    "p95_latency": {"concurrency": (1, -1), "servers": None},
}
"""The expected shape of a metric by the independent variable: (1 rising, -1 falling; 1 concave, -1 convex). With more
workers in a closed loop, throughput levels off and latency takes off. For more servers it is unknown: ``None``."""

_VARIED: tuple[Varied, ...] = ("servers", "concurrency")


# ---------------------------------------------------------------------------------------------------------------------
# From runs to curves


def scaling_of(runs: Sequence[Run]) -> ScalingStudy:
    """Return every case's throughput and p95 by the variable in which the runs differ.

    Raises:
        UserError: the runs differ neither in the number of MCP servers nor in concurrency, or in both.
    """
    varied = _varied(runs)
    order = list(dict.fromkeys(case.id for run in runs for case in run.cases if case.kind != "difference"))
    return ScalingStudy(
        varied=varied,
        places=sorted({_place(run, varied) for run in runs}),
        runs=len(runs),
        cases=[_case(identity, runs, varied) for identity in order],
    )


def _varied(runs: Sequence[Run]) -> Varied:
    found = {name: sorted({_place(run, name) for run in runs}) for name in _VARIED}
    moving = [name for name, places in found.items() if len(places) > 1]
    if len(moving) == 1:
        return moving[0]
    said = " and ".join(f"{name} {', '.join(map(str, places))}" for name, places in found.items())
    raise UserError(
        f"scalability: the {plural(len(runs), 'run')} differ in {'both' if moving else 'neither'}: {said}; give runs "
        "that differ in one of them (PERF_CONCURRENCY, or stack.servers of config.yaml)"
    )


def _place(run: Run, varied: Varied) -> int:
    return run.environment.target.servers if varied == "servers" else run.environment.load.concurrency


def _case(identity: str, runs: Sequence[Run], varied: Varied) -> ScalingCase:
    found = [(run, case) for run in runs for case in run.cases if case.id == identity]
    valid = [(float(_place(run, varied)), case) for run, case in found if case.validity is Validity.VALID]
    curves = [
        _curve(metric, sorted((place, case.metrics[metric]) for place, case in valid if metric in case.metrics), varied)
        for metric in METRIC_SHAPES
    ]
    left_out = [
        f"{varied} {_place(run, varied)}: {case.validity.value}: {case.reason or 'no reason was recorded'}"
        for run, case in found
        if case.validity is not Validity.VALID
    ]
    return ScalingCase(id=identity, curves=curves, left_out=left_out)


def _curve(metric: str, points: list[tuple[float, float]], varied: Varied) -> ScalingCurve:
    middle = medians(points)
    at = knee(points, METRIC_SHAPES[metric][varied])
    remark = "" if at is not None else "no knee within what was measured"
    is_sparse = len(middle) < MIN_POINTS
    if is_sparse:
        remark = f"{plural(len(middle), 'point')}, {MIN_POINTS} are needed for a knee"
    law = scalability_law(points) if varied == "concurrency" and metric == "requests_per_sec" else None
    return ScalingCurve(
        metric=metric, points=points, medians=middle, knee=at, remark=remark, law=law, is_sparse=is_sparse
    )


def medians(points: Points) -> list[tuple[float, float]]:
    """Return one point per place on the x axis, from left to right: the median of the values there."""
    return [(x, median(y for place, y in points if place == x)) for x in sorted({x for x, _ in points})]


# ---------------------------------------------------------------------------------------------------------------------
# The knee


def knee(points: Points, shape: tuple[int, int] | None) -> float | None:
    """Return the x of the knee, or ``None`` if the data do not support one.

    In addition to Kneedle's threshold, the distance from the straight line must be at least :data:`NOISE_FACTOR` times
    the standard error of its point. The error is estimated from places that were measured more than once, otherwise
    from :data:`USUAL_NOISE`. A rising concave curve must have risen by as much before its knee. Of straight lines of 4
    to 12 points with 5 % noise, at most about 1 of 100 gets a knee.

    Args:
        points: x and y, y above zero; an x may occur several times.
        shape: rising (1) or falling (-1), and concave (1) or convex (-1); ``None``: the strongest bend of any shape.
    """
    middle = medians(points)
    if len(middle) < MIN_POINTS:
        return None
    xs, ys = (np.array(values, dtype=np.float64) for values in zip(*middle, strict=True))
    if not (np.isfinite(ys).all() and (ys > 0).all()) or ys.max() <= ys.min():
        return None
    if shape is None:
        rising = 1 if ys[-1] >= ys[0] else -1
        found = [one for curved in (1, -1) if (one := _kneedle(xs, ys, rising, curved)) is not None]
    else:
        found = [one for one in (_kneedle(xs, ys, *shape),) if one is not None]
    if not found:
        return None
    place, distance = max(found, key=lambda one: one[1])
    repeats = sum(x == xs[place] for x, _ in points)
    least = NOISE_FACTOR * float(np.max(ys)) * _noise(points) / math.sqrt(repeats)
    # A curve that falls from its first place on cannot level off, however it bends.
    levels_off = shape != (1, 1) or float(ys[place] - ys[0]) >= least
    return float(xs[place]) if levels_off and distance * float(np.ptp(ys)) >= least else None


def _kneedle(xs: NDArray[np.float64], ys: NDArray[np.float64], rising: int, curved: int) -> tuple[int, float] | None:
    """Return index and distance of Kneedle's strongest knee; other shapes are mirrored to rising concave curves."""
    backwards = rising * curved < 0
    across = (xs - xs[0]) / (xs[-1] - xs[0])
    up = (ys - ys.min()) / np.ptp(ys)
    distance = (up if curved > 0 else 1 - up) - (1 - across if backwards else across)
    if backwards:
        distance = distance[::-1]
    step = SENSITIVITY / (len(xs) - 1)  # the mean distance of neighbours on the unit axis
    peaks = [at for at in range(1, len(xs) - 1) if distance[at - 1] < distance[at] >= distance[at + 1]]
    knees = []
    for at, following in pairwise([*peaks, len(xs)]):
        if (distance[at + 1 : following] < distance[at] - step).any():
            knees.append((len(xs) - 1 - at if backwards else at, float(distance[at])))
    return max(knees, key=lambda one: one[1]) if knees else None


def _noise(points: Points) -> float:
    """Return the pooled standard deviation of the logarithm at one place; without repetitions, the usual one."""
    groups = [[math.log(y) for place, y in points if place == x] for x in {x for x, _ in points}]
    freedom = sum(len(group) - 1 for group in groups)
    if freedom < 3:  # the deviation of two or three values can be tiny by chance
        return USUAL_NOISE
    squares = math.fsum((y - math.fsum(group) / len(group)) ** 2 for group in groups for y in group)
    return max(math.sqrt(squares / freedom), 0.01)


# ---------------------------------------------------------------------------------------------------------------------
# The Universal Scalability Law


def scalability_law(points: Points) -> ScalabilityLaw | None:
    """Fit the law to throughput by concurrency, by least squares of the logarithms.

    ``None`` if fewer than :data:`MIN_POINTS` places were measured or the law does not describe them. A peak beyond the
    measured range is an extrapolation, so it is left out.
    """
    places = {x for x, _ in points}
    if len(places) < MIN_POINTS or any(x < 1 or not math.isfinite(y) or y <= 0 for x, y in points):
        return None
    xs, ys = (np.array(values, dtype=np.float64) for values in zip(*points, strict=True))

    def residuals(parameters: NDArray[np.float64]) -> NDArray[np.float64]:
        start, contention, coherency = parameters
        residual: NDArray[np.float64] = start + np.log(xs / _denominator(xs, contention, coherency)) - np.log(ys)
        return residual

    start = float(np.log(ys / xs).max())
    fitted = least_squares(
        residuals, [start, 0.1, 1e-4], bounds=([-np.inf, 0.0, 0.0], [np.inf, 1.0, 1.0]), x_scale=[1.0, 0.1, 1e-3]
    )
    misfit = float(np.sqrt(np.mean(fitted.fun**2)))
    if misfit > LARGEST_MISFIT:
        return None
    single, contention, coherency = math.exp(fitted.x[0]), float(fitted.x[1]), float(fitted.x[2])
    at = math.sqrt((1 - contention) / coherency) if coherency > 0 and contention < 1 else math.inf
    inside = min(places) <= at <= max(places)
    return ScalabilityLaw(
        single=single,
        contention=contention,
        coherency=coherency,
        misfit=misfit,
        peak_at=at if inside else None,
        peak=law_at(single, contention, coherency, at) if inside else None,
    )


def law_at(single: float, contention: float, coherency: float, x: float) -> float:
    """Return the law's throughput at a concurrency."""
    return single * x / float(_denominator(np.array([x]), contention, coherency)[0])


def _denominator(xs: NDArray[np.float64], contention: float, coherency: float) -> NDArray[np.float64]:
    whole: NDArray[np.float64] = 1 + contention * (xs - 1) + coherency * xs * (xs - 1)
    return whole


assert set(METRIC_SHAPES) <= set(METRICS)
