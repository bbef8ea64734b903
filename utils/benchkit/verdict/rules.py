"""The values of a case that are compared, the metrics that decide, and changes in percent.

This module does not import the statistics, so modules that only read values (baselines, history) load fast.
"""

from __future__ import annotations

import math
from statistics import median

from benchkit.model import METRICS, Case, Metric, MetricValues, Worse, derived_metrics, is_comparable, main_metrics
from benchkit.settings import Baselines

ERROR_RATE = "error_rate"

STEADY_REQUESTS = 300
"""Requests per iteration below which throughput and tail latency decide nothing: the gateway (1.0.7) stalls for about
300 ms every few hundred requests, so an iteration of 100 contains a stall or not, and its req/s varies by 12-32 %."""

_LARGEST = 50.0
"""Limit for logarithms, beyond which a percentage overflows."""

SIDE_BY_SIDE = "./run-advanced.sh --base/--head"
"""The command that can decide when more runs cannot."""


def case_figures(case: Case) -> MetricValues:
    """Return a case's values as they are stored and compared: per metric the median over its iterations.

    The pooled value is used for a metric that no iteration has (a difference of two cases), and for an absolute metric
    (the error rate), because the median of 0 %, 0 % and 5 % would hide the failed requests. Values that cannot be
    compared (infinite, or zero where a ratio is needed) are left out.
    """
    figures: MetricValues = {}
    for name, metric in METRICS.items():
        values = [iteration.metrics[name] for iteration in case.iterations if name in iteration.metrics]
        if name in case.metrics and (metric.absolute or not values):
            values = [case.metrics[name]]
        if values and is_comparable(name, value := median(values)):
            figures[name] = value
    return figures


def requests_of(case: Case) -> int:
    """Return the smallest number of requests per iteration; 100 without iterations (a difference of two cases)."""
    return min((iteration.sent for iteration in case.iterations if iteration.sent), default=100)


def sent_of(case: Case) -> int:
    """Return the number of requests over all iterations; 100 if unknown."""
    return sum(iteration.sent for iteration in case.iterations) or 100


def deciding_metrics(case: Case, limits: Baselines, *, steady: bool = True, rounds: int = 1) -> set[str]:
    """Return the metrics that decide a case: those of ``gate`` with enough samples, and the error rate.

    ``steady`` false: throughput and tail latency decide even with few requests. ``rounds``: the number of iterations
    behind each compared value.
    """
    deciding = {*limits.gate, ERROR_RATE} - {*case.advisory, *derived_metrics()}
    if steady and rounds * requests_of(case) < STEADY_REQUESTS:
        deciding = {name for name in deciding if not METRICS[name].stall_sensitive}
    return deciding


def shown_metrics(limits: Baselines) -> list[str]:
    """Return every metric that a comparison shows: those of the settings in their order, then those of every table."""
    return list(dict.fromkeys([*limits.metrics, *main_metrics(), ERROR_RATE, *derived_metrics()]))


# ---------------------------------------------------------------------------------------------------------------------
# Percent and logarithms


def badness(metric: Metric, value: float) -> float:
    """Return the value's natural logarithm, with the sign chosen so that larger is worse."""
    return math.log(value) if metric.worse is Worse.HIGHER else -math.log(value)


def percent(metric: Metric, effect: float) -> float:
    """Return how much better (positive) or worse (negative) a metric became, in percent of the reference.

    ``effect`` is a difference of two values of :func:`badness`. The result is rounded to a millionth, so that a change
    of exactly the threshold is not missed because of binary fractions.
    """
    bounded = min(max(effect, -_LARGEST), _LARGEST)
    change = -math.expm1(bounded) if metric.worse is Worse.HIGHER else math.expm1(-bounded)
    return round(100 * change, 6) + 0.0


def effect_of(metric: Metric, change: float) -> float:
    """Invert :func:`percent`; infinite if no value can change by so much (100 % less than before)."""
    share = -change / 100 if metric.worse is Worse.HIGHER else change / 100
    if share <= -1:
        return math.inf if metric.worse is Worse.LOWER else -math.inf
    return math.log1p(share) if metric.worse is Worse.HIGHER else -math.log1p(share)


def is_positive(value: float) -> bool:
    """Return whether a value can be part of a ratio."""
    return math.isfinite(value) and value > 0


def change_percent(metric: Metric, current: float, reference: float) -> float | None:
    """Return how much better (positive) or worse (negative) a value became.

    In percent of the reference; for an absolute metric the difference in percentage points. ``None`` if the ratio is
    undefined: a value of zero or below, or one that is not finite. Rounded to a millionth.
    """
    if metric.absolute:
        gain = reference - current if metric.worse is Worse.HIGHER else current - reference
        return round(100 * gain, 6) + 0.0 if math.isfinite(gain) else None
    if not (is_positive(current) and is_positive(reference)):
        return None
    return percent(metric, badness(metric, current) - badness(metric, reference))
