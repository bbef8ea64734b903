"""The metric table: every figure, its unit, and in which direction it gets worse."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, ValidationInfo

from benchkit.model.base import is_stored
from benchkit.plain import plain_text


class Worse(StrEnum):
    """In which direction a metric gets worse."""

    HIGHER = "higher"
    LOWER = "lower"


@dataclass(frozen=True)
class Metric:
    """One row of the metric table.

    ``percentile`` is set for latency percentiles (0-100): below ``10 / (1 - p)`` samples such a figure is advisory.
    ``absolute`` metrics are compared by difference and not by ratio.
    """

    name: str
    label: str
    unit: str
    worse: Worse
    decimals: int
    percentile: float | None = None
    absolute: bool = False


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("p50_latency", "p50", "ms", Worse.HIGHER, 1, percentile=50.0),
        Metric("p95_latency", "p95", "ms", Worse.HIGHER, 1, percentile=95.0),
        Metric("p99_latency", "p99", "ms", Worse.HIGHER, 1, percentile=99.0),
        Metric("mean_latency", "mean", "ms", Worse.HIGHER, 1),
        Metric("min_latency", "min", "ms", Worse.HIGHER, 1),
        Metric("max_latency", "max", "ms", Worse.HIGHER, 1),
        Metric("requests_per_sec", "req/s", "1/s", Worse.LOWER, 1),
        Metric("total_time", "total", "s", Worse.HIGHER, 2),
        Metric("error_rate", "errors", "share", Worse.HIGHER, 4, absolute=True),
        # The gateway's own share of a call: measured through it, less measured direct.
        Metric("added_p50_latency", "added p50", "ms", Worse.HIGHER, 1),
        Metric("added_p95_latency", "added p95", "ms", Worse.HIGHER, 1),
        Metric("added_p99_latency", "added p99", "ms", Worse.HIGHER, 1),
        Metric("throughput_ratio", "of direct", "share", Worse.LOWER, 3),
    )
}
"""Every figure that a case can have. Latencies are over successes, ``requests_per_sec`` is successes per second of wall
time, ``error_rate`` is failures divided by requests sent (0-1)."""

MIN_SAMPLES_BEYOND = 10
"""A percentile with fewer samples beyond it than this is advisory: P95 below n = 200, P99 below n = 1000."""


def needed_samples(metric: Metric) -> int:
    """How many successes a percentile needs so that :data:`MIN_SAMPLES_BEYOND` of them lie beyond it; 1 for others."""
    return 1 if metric.percentile is None else samples_for(metric.percentile)


def samples_for(percent: float) -> int:
    """How many samples a percentile (0-100, at most two decimals) needs so that enough of them lie beyond it."""
    # Integer arithmetic in hundredths of a percent: 10 / (1 - 0.95) is 199.99999999999983 in floating point.
    beyond = round((100.0 - percent) * 100)
    return -(-MIN_SAMPLES_BEYOND * 10_000 // beyond)


_MAY_BE_NEGATIVE = frozenset({"added_p50_latency", "added_p95_latency", "added_p99_latency"})


def impossible(name: str, value: float) -> str:
    """Why no run can have measured this figure, in words; empty when one can."""
    if name not in METRICS:
        return f"there is no metric {plain_text(name, 60)!r}"
    if not math.isfinite(value) or (value < 0 and name not in _MAY_BE_NEGATIVE):
        return f"{name} = {value:g}, which nothing can measure"
    if name == "error_rate" and value > 1:
        return f"{name} = {value:g}, which is more than all requests"
    return ""


def is_comparable(name: str, value: float) -> bool:
    """Whether other figures can be held against this one: a ratio to zero says nothing."""
    return not impossible(name, value) and (value != 0 or METRICS[name].absolute or name in _MAY_BE_NEGATIVE)


def _checked(figures: dict[str, float], info: ValidationInfo) -> dict[str, float]:
    for name, value in figures.items():
        if is_stored(info) and (problem := impossible(name, value)):
            raise ValueError(problem)
    return figures


MetricValues = Annotated[dict[str, float], AfterValidator(_checked)]
"""Metric name (a key of :data:`METRICS`) to value, in the table's unit. Absent means not measured."""
