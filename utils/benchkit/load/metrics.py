"""Compute metrics from rows: pure arithmetic, no files.

Percentiles use numpy's ``method="linear"`` (type 7 of Hyndman and Fan, 1996): the order statistic at ``(n - 1) * p``,
interpolated between its neighbours. It is the default of numpy, pandas, R and spreadsheets, so a reader who recomputes
a value from the rows gets the same number. For percentiles that are not advisory, the types differ by less than the
distance of two neighbouring samples.

Latencies are those of successes only: answers with the expected status. Throughput is successes per second of wall
time, never a load generator's own Requests/sec, which may include failures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from benchkit.load.rows import Floats, Rows
from benchkit.model import (
    METRICS,
    Histogram,
    MetricValues,
    PercentileCurve,
    Timeline,
    TimelinePoint,
    needed_samples,
    samples_for,
)

MAX_TIMELINE_POINTS = 60

DISTRIBUTION = (10, 25, 50, 75, 90, 95, 99)
"""The percentiles of the text summary."""

CURVE = (
    *(0, 10, 20, 30, 40, 50, 60, 70, 75, 80, 85, 87.5),
    *(90, 91, 92, 93, 94, 95, 96, 97, 97.5, 98, 98.5, 98.75),
    *(99, 99.1, 99.2, 99.3, 99.4, 99.5, 99.6, 99.7, 99.75, 99.8, 99.85, 99.9),
)
"""The percentiles of a curve: twelve steps per decade towards 100 %, the same in each."""

_PERCENTILES = {name: metric.percentile for name, metric in METRICS.items() if metric.percentile is not None}


@dataclass(frozen=True)
class PartSamples:
    """One load process of an iteration.

    ``start_s``: its start in seconds after the iteration's first process. ``wall_s``: its lifetime in seconds.
    ``expected_status``: the HTTP status of a success. ``checked_s``: times of the checkers' correct answers while this
    process had requests in flight, in seconds after its start; ``checked_failed``: number of their other answers.
    """

    rows: Rows
    expected_status: int
    sent: int
    start_s: float
    wall_s: float
    checked_s: Floats = field(default_factory=lambda: np.empty(0))
    checked_failed: int = 0

    @cached_property
    def ok(self) -> NDArray[np.bool_]:
        """Boolean mask of the rows that are successes."""
        return np.equal(self.rows.status, self.expected_status)

    @cached_property
    def completed_s(self) -> Floats:
        """Completion time of each answer, in seconds on the iteration's clock."""
        return self.start_s + self.rows.offset_s + self.rows.latency_ms / 1000

    @property
    def end_s(self) -> float:
        """End of the load, in seconds on the iteration's clock.

        If every request has a row, this is the last answer by the process's own clock. Requests without a row
        (refused, reset, timed out) also took time, so then it is the end of the process's lifetime.
        """
        last = float(self.completed_s.max(initial=self.start_s))
        complete = len(self.rows) == self.sent and last > self.start_s
        return last if complete else self.start_s + self.wall_s


@dataclass(frozen=True)
class IterationSamples:
    """One iteration: processes that ran at the same time, on a clock that starts with the first of them."""

    parts: tuple[PartSamples, ...]

    @property
    def sent(self) -> int:
        """Number of requests to send."""
        return sum(part.sent for part in self.parts)

    @property
    def checked(self) -> int:
        """Number of the checkers' correct answers during the load."""
        return sum(part.checked_s.size for part in self.parts)

    @property
    def checked_failed(self) -> int:
        """Number of the checkers' other answers."""
        return sum(part.checked_failed for part in self.parts)

    @property
    def wall_s(self) -> float:
        """Time from the start of the first process to the end of the last, in seconds."""
        return max(part.end_s for part in self.parts)

    @cached_property
    def latency_ms(self) -> Floats:
        """Latencies of the successes in milliseconds, sorted."""
        return np.sort(np.concatenate([part.rows.latency_ms[part.ok] for part in self.parts]))


@dataclass(frozen=True)
class CaseSamples:
    """One or more iterations of one case."""

    iterations: tuple[IterationSamples, ...]

    @cached_property
    def latency_ms(self) -> Floats:
        """Latencies of the successes of all iterations in milliseconds, sorted."""
        if len(self.iterations) == 1:
            return self.iterations[0].latency_ms
        return np.sort(np.concatenate([one.latency_ms for one in self.iterations]))


def figures(samples: CaseSamples) -> MetricValues:
    """Return all metrics over the pooled samples of the iterations; empty if nothing succeeded.

    Latencies come from the load generator only. ``total_time`` is the sum of the iterations' wall times.
    ``requests_per_sec`` is the number of successes divided by it, including the checkers', because their workers are
    part of the concurrency.
    """
    checked = sum(one.checked for one in samples.iterations)
    checked_failed = sum(one.checked_failed for one in samples.iterations)
    sent = sum(one.sent for one in samples.iterations)
    latency = samples.latency_ms
    ok = len(latency)
    if ok == 0:
        return {}
    wall_s = sum(one.wall_s for one in samples.iterations)
    points = np.percentile(latency, list(_PERCENTILES.values()), method="linear")
    values = dict(zip(_PERCENTILES, points.tolist(), strict=True)) | {
        "mean_latency": float(latency.mean()),
        "min_latency": float(latency[0]),
        "max_latency": float(latency[-1]),
        "requests_per_sec": (ok + checked) / wall_s,
        "total_time": wall_s,
        "error_rate": (sent - ok + checked_failed) / (sent + checked + checked_failed),
    }
    assert values.keys() == {name for name, row in METRICS.items() if not row.is_derived}, "a row has no figure"
    # Six decimals are far below the resolution and remove floating-point noise from the documents.
    return {name: round(value, 6) for name, value in values.items()}


def advisory(samples: int) -> list[str]:
    """Return the percentile metrics for which this number of samples is too small."""
    return [name for name in _PERCENTILES if samples < needed_samples(METRICS[name])]


def percentiles(latency_ms: Floats) -> dict[int, float]:
    """Return the percentiles of :data:`DISTRIBUTION` in milliseconds; empty without samples."""
    if latency_ms.size == 0:
        return {}
    return dict(zip(DISTRIBUTION, np.percentile(latency_ms, DISTRIBUTION, method="linear").tolist(), strict=True))


def percentile_curve(samples: CaseSamples) -> PercentileCurve | None:
    """Return latency over percentile, up to the last percentile with enough samples; ``None`` if there is none.

    Beyond that point, single answers would look like a percentile.
    """
    percent = _carried(samples.latency_ms.size)
    if not percent:
        return None
    return PercentileCurve(
        percent=percent,
        pooled_ms=_at(samples.latency_ms, percent),
        iterations_ms=[_at(one.latency_ms, _carried(one.latency_ms.size)) for one in samples.iterations],
    )


def _carried(samples: int) -> list[float]:
    return [float(percent) for percent in CURVE if samples >= samples_for(percent)]


def _at(latency_ms: Floats, percent: Sequence[float]) -> list[float]:
    if not percent:
        return []
    found: list[float] = np.percentile(latency_ms, percent, method="linear").round(3).tolist()
    return found


# ---------------------------------------------------------------------------------------------------------------------
# Histogram


def histogram_edges(max_ms: float, resolution_ms: float) -> list[float]:
    """Return bin edges in milliseconds to above ``max_ms``; histograms of the same resolution have comparable bins.

    Below ten times the resolution, each step is a bin. Above, each doubling is divided into five equal bins, so a bin
    is 11 to 20 % wide. Every edge is a multiple of the resolution: with purely logarithmic edges, one bin would contain
    two possible values and the next one only one, so the histogram of fast answers would look like a comb.
    """
    steps = list(range(10))
    octave = 10
    while steps[-1] <= round(max_ms / resolution_ms):
        steps += range(octave, 2 * octave, octave // 5)
        octave *= 2
    return [round(value * resolution_ms, 6) for value in steps]


def histogram(samples: CaseSamples, resolution_ms: float) -> Histogram | None:
    """Return the latency histogram from the first used bin to the last; ``None`` if nothing succeeded.

    A bin includes its lower edge and excludes its upper edge.
    """
    latency = samples.latency_ms
    if latency.size == 0:
        return None
    edges = histogram_edges(float(latency[-1]), resolution_ms)
    counts = np.diff(np.searchsorted(latency, edges, side="left"))
    used = np.flatnonzero(counts)
    first, end = int(used[0]), int(used[-1]) + 1
    return Histogram(edges_ms=edges[first : end + 1], counts=counts[first:end].tolist())


# ---------------------------------------------------------------------------------------------------------------------
# Timeline


def bucket_seconds(longest_s: float) -> float:
    """Return the smallest of 1, 2, 5, 10, 20, 50 … ms that divides this time into at most 60 buckets."""
    for exponent in range(-3, 7):
        for mantissa in (1, 2, 5):
            bucket = float(f"{mantissa}e{exponent}")
            if longest_s < bucket * MAX_TIMELINE_POINTS:
                return bucket
    raise AssertionError(f"an iteration of {longest_s} s")


def timeline(samples: CaseSamples) -> Timeline:
    """Return throughput and latency over completion time, on each iteration's own clock.

    A bucket without any completed answer is included with zeros, so that a stall is visible. Failures are answers with
    an unexpected status; requests without any answer have no time and are not included.
    """
    longest = max(float(part.completed_s.max(initial=0.0)) for one in samples.iterations for part in one.parts)
    bucket_s = bucket_seconds(longest)
    return Timeline(bucket_s=bucket_s, iterations=[_points(one, bucket_s) for one in samples.iterations])


def _points(iteration: IterationSamples, bucket_s: float) -> list[TimelinePoint]:
    buckets = np.concatenate([(part.completed_s / bucket_s).astype(np.int64) for part in iteration.parts])
    if buckets.size == 0:
        return []
    succeeded = np.concatenate([part.ok for part in iteration.parts])
    latency = np.concatenate([part.rows.latency_ms for part in iteration.parts])
    used = int(buckets.max()) + 1
    checked_at = np.concatenate([part.start_s + part.checked_s for part in iteration.parts])
    checked = np.bincount(np.minimum(checked_at / bucket_s, used - 1).astype(np.int64), minlength=used).tolist()
    failed = np.bincount(buckets[~succeeded], minlength=used).tolist()
    order = np.argsort(buckets[succeeded], kind="stable")
    sorted_latency = latency[succeeded][order]
    ends = np.cumsum(np.bincount(buckets[succeeded], minlength=used)).tolist()
    return [
        _point(round(number * bucket_s, 3), sorted_latency[start:end], failed[number], checked[number])
        for number, (start, end) in enumerate(pairwise([0, *ends]))
    ]


def _point(at_s: float, latency: Floats, failed: int, checked: int) -> TimelinePoint:
    if latency.size == 0:
        return TimelinePoint(at_s=at_s, ok=checked, failed=failed)
    p50, p95 = np.percentile(latency, (50, 95), method="linear").round(3).tolist()
    return TimelinePoint(
        at_s=at_s,
        ok=len(latency) + checked,
        failed=failed,
        p50_ms=p50,
        p95_ms=p95,
        max_ms=round(float(latency.max()), 3),
    )
