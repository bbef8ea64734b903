"""What the charts draw: series of numbers, complete and in order, so that the page's script only places them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

from benchkit.model import METRICS, Case, Figures, Histogram, Timeline, TimelinePoint

SMALLEST_EDGE_MS = 0.05
"""A logarithmic axis has no zero: half of hey's resolution stands for it."""

OVERHEAD_METRICS = ("added_p50_latency", "added_p95_latency", "added_p99_latency")


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
    """One iteration over time, one entry per bucket: ``ok`` and ``failed`` per second, ``p95`` in ms."""

    number: int
    ok: list[float]
    failed: list[float]
    p95: list[float | None]


@dataclass(frozen=True)
class Course:
    """A case over time. ``bucket`` in seconds; ``buckets`` is the length of the longest iteration."""

    bucket: float
    buckets: int
    iterations: list[IterationCourse]


@dataclass(frozen=True)
class CaseCharts:
    """The charts of one case; those that are switched off or have no data are absent."""

    distribution: Distribution | None
    course: Course | None


@dataclass(frozen=True)
class Bars:
    """Grouped bars: one value (ms) per label in each series."""

    labels: list[str]
    series: list[tuple[str, list[float | None]]]


def distribution(histogram: Histogram, metrics: Figures) -> Distribution | None:
    """The bins that hold something, with the percentiles marked; ``None`` where there is no success."""
    filled = [number for number, value in enumerate(histogram.counts) if value]
    if not filled:
        return None
    first, last = filled[0], filled[-1]
    edges = [round(max(edge, SMALLEST_EDGE_MS), 4) for edge in histogram.edges_ms[first : last + 2]]
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


def overhead(cases: list[Case]) -> Bars | None:
    """What differences add to the median and the tail."""
    if not cases:
        return None
    return Bars(
        [case.name for case in cases],
        [(METRICS[name].label, [case.metrics.get(name) for case in cases]) for name in OVERHEAD_METRICS],
    )


def _iteration(number: int, points: list[TimelinePoint], bucket_s: float) -> IterationCourse:
    slots = {round(point.at_s / bucket_s): point for point in points}
    found = [slots.get(slot) for slot in range(max(slots) + 1)]
    return IterationCourse(
        number,
        [round(point.ok / bucket_s, 3) if point else 0.0 for point in found],
        [round(point.failed / bucket_s, 3) if point else 0.0 for point in found],
        [round(point.p95_ms, 2) if point and point.p95_ms is not None else None for point in found],
    )
