"""What the charts draw: series of numbers, complete and in order, so that the page's script only places them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

from benchkit.model import METRICS, Case, Histogram, Iteration, MetricValues, PercentileCurve, Timeline, TimelinePoint


@dataclass(frozen=True)
class Distribution:
    """Successes per bin of latency. ``edges`` in ms, one more than ``counts``; ``marks`` are (label, ms).

    ``heights``: percent of all successes per 10 % of latency. Bins are not equally wide on a logarithmic axis, so
    there a bar's area has to stand for its count; heights that did would show a comb.
    """

    edges: list[float]
    counts: list[int]
    heights: list[float]
    marks: list[tuple[str, float]]


@dataclass(frozen=True)
class IterationCourse:
    """One iteration over time, one entry per bucket: ``ok`` and ``failed`` per second, ``p95`` and ``slowest`` in ms.

    ``failed`` is empty where nothing did.
    """

    number: int
    ok: list[float]
    failed: list[float]
    p95: list[float | None]
    slowest: list[float | None]


@dataclass(frozen=True)
class Course:
    """A case over time. ``bucket`` in seconds; ``buckets`` is the length of the longest iteration."""

    bucket: float
    buckets: int
    iterations: list[IterationCourse]


@dataclass(frozen=True)
class Curve:
    """Latency (ms) over percentile (0-100). An iteration's list may end earlier; a single one has none of its own."""

    percent: list[float]
    pooled: list[float]
    iterations: list[list[float]]


@dataclass(frozen=True)
class Rounds:
    """Iterations side by side: successes per second, and latencies in ms."""

    rate: list[float | None]
    p50: list[float | None]
    p95: list[float | None]


@dataclass(frozen=True)
class Errors:
    """Failures: for each kind its number in every iteration, the most frequent kind first."""

    kinds: list[str]
    numbers: list[list[int]]


@dataclass(frozen=True)
class CaseCharts:
    """The charts of one case; those that are switched off or have no data are absent."""

    distribution: Distribution | None = None
    curve: Curve | None = None
    course: Course | None = None
    rounds: Rounds | None = None
    errors: Errors | None = None


@dataclass(frozen=True)
class Bars:
    """Grouped bars: one value (ms) per label in each series."""

    labels: list[str]
    series: list[tuple[str, list[float | None]]]


def distribution(histogram: Histogram, metrics: MetricValues) -> Distribution | None:
    """The bins that hold something, with the percentiles marked; ``None`` where there is no success."""
    filled = [number for number, value in enumerate(histogram.counts) if value]
    if not filled:
        return None
    first, last = filled[0], filled[-1]
    # A logarithmic axis has no zero: half of the next edge stands for it.
    smallest = min((edge for edge in histogram.edges_ms if edge > 0), default=1.0) / 2
    edges = [round(max(edge, smallest), 4) for edge in histogram.edges_ms[first : last + 2]]
    if edges[0] >= edges[-1]:
        edges = [round(edges[0] * 0.9, 4), round(edges[0] * 1.1, 4)]
    marks = [
        (row.label, round(metrics[name], 4))
        for name, row in METRICS.items()
        if row.percentile is not None and name in metrics
    ]
    counts = histogram.counts[first : last + 1]
    heights = [
        round(100 * value / sum(counts) / math.log(upper / lower, 1.1), 3)
        for value, (lower, upper) in zip(counts, pairwise(edges), strict=True)
    ]
    return Distribution(edges, counts, heights, marks)


def course(timeline: Timeline) -> Course | None:
    """Throughput and latency over time; buckets in which nothing ended are there, with zero requests and no latency."""
    iterations = [
        _iteration(number, points, timeline.bucket_s)
        for number, points in enumerate(timeline.iterations, start=1)
        if points
    ]
    if not iterations:
        return None
    return Course(timeline.bucket_s, max(len(one.ok) for one in iterations), iterations)


def curve(percentiles: PercentileCurve) -> Curve | None:
    """The curve; ``None`` where it is a single point."""
    if len(percentiles.percent) < 2:
        return None
    several = len(percentiles.iterations_ms) > 1
    return Curve(
        percentiles.percent,
        [round(value, 2) for value in percentiles.pooled_ms],
        [[round(value, 2) for value in one] for one in percentiles.iterations_ms] if several else [],
    )


def rounds(iterations: list[Iteration]) -> Rounds | None:
    """Iterations side by side; ``None`` where there is nothing to hold one against."""
    if sum(bool(one.metrics) for one in iterations) < 2:
        return None

    def values(name: str) -> list[float | None]:
        return [round(one.metrics[name], 2) if name in one.metrics else None for one in iterations]

    return Rounds(values("requests_per_sec"), values("p50_latency"), values("p95_latency"))


def errors(iterations: list[Iteration]) -> Errors | None:
    """Failures by kind and iteration; ``None`` where nothing failed."""
    kinds = {kind: [one.errors.get(kind, 0) for one in iterations] for each in iterations for kind in each.errors}
    ordered = sorted((kind for kind in kinds if sum(kinds[kind])), key=lambda kind: (-sum(kinds[kind]), kind))
    return Errors(ordered, [kinds[kind] for kind in ordered]) if ordered else None


def overhead(cases: list[Case]) -> Bars | None:
    """What differences add to the median and the tail."""
    if not cases:
        return None
    return Bars(
        [case.name for case in cases],
        [(row.label, [case.metrics.get(name) for case in cases]) for name, row in METRICS.items() if row.difference_of],
    )


def _iteration(number: int, points: list[TimelinePoint], bucket_s: float) -> IterationCourse:
    slots = {round(point.at_s / bucket_s): point for point in points}
    found = [slots.get(slot) for slot in range(max(slots) + 1)]
    return IterationCourse(
        number,
        [_short(point.ok / bucket_s) if point else 0.0 for point in found],
        [_short(point.failed / bucket_s) if point else 0.0 for point in found] if any(p.failed for p in points) else [],
        [_short(point.p95_ms) if point and point.p95_ms is not None else None for point in found],
        [_short(point.max_ms) if point and point.max_ms is not None else None for point in found],
    )


def _short(value: float) -> float:
    """Four significant digits: no chart shows more, and a page holds thousands of them."""
    return float(f"{value:.4g}")
