"""The metric table: every metric, its unit, and the direction in which it gets worse."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, ValidationInfo

from benchkit.model.base import is_stored
from benchkit.plain import plain_text


class Worse(StrEnum):
    """The direction in which a metric gets worse."""

    HIGHER = "higher"
    LOWER = "lower"


@dataclass(frozen=True)
class OpenMetrics:
    """A metric's OpenMetrics export: its family (without unit), the family's help text, and its label ``statistic``."""

    family: str
    help: str
    statistic: str = ""


@dataclass(frozen=True)
class Metric:  # pylint: disable=too-many-instance-attributes  # one row of a table
    """One row of the metric table.

    Attributes:
        name: its key in documents and settings.
        label: its name in a sentence.
        heading: its column heading, with the unit.
        unit: ``ms``, ``s``, ``1/s`` or ``share`` (0-1, shown in percent).
        worse: the direction in which it gets worse.
        decimals: maximum number of decimals shown, in the table's unit.
        openmetrics: its export to OpenMetrics.
        percentile: set for latency percentiles (0-100). With fewer than ``10 / (1 - p)`` samples the value is advisory.
        absolute: compared by difference, not by ratio.
        difference_of, ratio_of: for the result of two cases, the metric whose difference or ratio it is. Such a value
            is shown but never decides: it has the noise of two cases, and each of these is judged itself.
        stall_sensitive: a single stall of the gateway changes it, so it decides only with many requests.
        main: shown in every table of cases.
        per_iteration: shown in the table of a case's iterations.
    """

    name: str
    label: str
    heading: str
    unit: str
    worse: Worse
    decimals: int
    openmetrics: OpenMetrics
    percentile: float | None = None
    absolute: bool = False
    difference_of: str = ""
    ratio_of: str = ""
    stall_sensitive: bool = False
    main: bool = False
    per_iteration: bool = True

    @property
    def is_derived(self) -> bool:
        """Whether it is computed from the values of two cases."""
        return bool(self.difference_of or self.ratio_of)

    @property
    def is_latency(self) -> bool:
        """Whether it is the duration of requests. A difference of two is not, and may be negative."""
        return self.unit == "ms" and not self.is_derived


def _latency(statistic: str, *, percentile: float | None = None, stall_sensitive: bool = False) -> Metric:
    return Metric(
        name=f"{statistic}_latency",
        label=statistic,
        heading=f"{statistic} ms",
        unit="ms",
        worse=Worse.HIGHER,
        decimals=1,
        openmetrics=OpenMetrics("latency", "Latency of successful requests, by statistic.", statistic),
        percentile=percentile,
        stall_sensitive=stall_sensitive,
        main=percentile is not None,
    )


def _added(statistic: str) -> Metric:
    """The latency that the gateway adds to a call: measured through it, minus measured directly."""
    return Metric(
        name=f"added_{statistic}_latency",
        label=f"added {statistic}",
        heading=f"added {statistic} ms",
        unit="ms",
        worse=Worse.HIGHER,
        decimals=1,
        openmetrics=OpenMetrics(
            "added_latency", "Latency that the gateway adds to the same call made directly.", statistic
        ),
        difference_of=f"{statistic}_latency",
        per_iteration=False,
    )


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        _latency("p50", percentile=50.0),
        _latency("p95", percentile=95.0, stall_sensitive=True),
        _latency("p99", percentile=99.0),
        _latency("mean", stall_sensitive=True),
        _latency("min"),
        _latency("max", stall_sensitive=True),
        Metric(
            name="requests_per_sec",
            label="req/s",
            heading="req/s",
            unit="1/s",
            worse=Worse.LOWER,
            decimals=1,
            openmetrics=OpenMetrics("throughput", "Successful requests by wall time."),
            stall_sensitive=True,
            main=True,
        ),
        Metric(
            name="total_time",
            label="total",
            heading="total s",
            unit="s",
            worse=Worse.HIGHER,
            decimals=2,
            openmetrics=OpenMetrics("duration", "Wall time of the case's load, pooled."),
            stall_sensitive=True,
        ),
        Metric(
            name="error_rate",
            label="errors",
            heading="errors %",
            unit="share",
            worse=Worse.HIGHER,
            decimals=4,
            openmetrics=OpenMetrics("error", "Failed requests divided by requests sent."),
            absolute=True,
            per_iteration=False,
        ),
        _added("p50"),
        _added("p95"),
        _added("p99"),
        Metric(
            name="throughput_ratio",
            label="of direct",
            heading="throughput %",
            unit="share",
            worse=Worse.LOWER,
            decimals=3,
            openmetrics=OpenMetrics(
                "direct_throughput", "Throughput through the gateway divided by that of a direct call."
            ),
            ratio_of="requests_per_sec",
            per_iteration=False,
        ),
    )
}
"""Every metric of a case. Latencies are over successes, ``requests_per_sec`` is successes per second of wall time,
``error_rate`` is failures divided by requests sent (0-1)."""


def main_metrics() -> list[str]:
    """Return the metrics that every table of cases shows, throughput first."""
    return _rate_first([metric for metric in METRICS.values() if metric.main])


def iteration_metrics() -> list[str]:
    """Return the metrics that the table of a case's iterations shows, throughput first."""
    return _rate_first([metric for metric in METRICS.values() if metric.per_iteration])


def derived_metrics() -> list[str]:
    """Return the metrics of a difference of two cases."""
    return [metric.name for metric in METRICS.values() if metric.is_derived]


def _rate_first(metrics: Iterable[Metric]) -> list[str]:
    return [metric.name for metric in sorted(metrics, key=lambda metric: metric.worse is Worse.HIGHER)]


MIN_SAMPLES_BEYOND = 10
"""A percentile with fewer samples beyond it is advisory: p95 with n < 200, p99 with n < 1000."""


def needed_samples(metric: Metric) -> int:
    """Return how many successes a percentile needs for :data:`MIN_SAMPLES_BEYOND` beyond it; 1 for other metrics."""
    return 1 if metric.percentile is None else samples_for(metric.percentile)


def samples_for(percent: float) -> int:
    """Return the number of samples a percentile (0-100, at most two decimals) needs for enough of them beyond it."""
    # Integer arithmetic in hundredths of a percent: 10 / (1 - 0.95) is 199.99999999999983 in floating point.
    beyond = round((100.0 - percent) * 100)
    return -(-MIN_SAMPLES_BEYOND * 10_000 // beyond)


def impossible(name: str, value: float) -> str:
    """Return why this value is impossible, in words; empty if it is possible."""
    if name not in METRICS:
        return f"there is no metric {plain_text(name, 60)!r}"
    if not math.isfinite(value) or (value < 0 and not METRICS[name].difference_of):
        return f"{name} = {value:g}, which is impossible"
    if name == "error_rate" and value > 1:
        return f"{name} = {value:g}, which is more than 1 (all requests)"
    return ""


def is_comparable(name: str, value: float) -> bool:
    """Return whether other values can be compared with this one. A ratio to zero is meaningless."""
    return not impossible(name, value) and (value != 0 or METRICS[name].absolute or bool(METRICS[name].difference_of))


def _checked(figures: dict[str, float], info: ValidationInfo) -> dict[str, float]:
    for name, value in figures.items():
        if is_stored(info) and (problem := impossible(name, value)):
            raise ValueError(problem)
    return figures


MetricValues = Annotated[dict[str, float], AfterValidator(_checked)]
"""Maps the name of a metric (a key of :data:`METRICS`) to its value, in the table's unit. Absent means not measured."""
