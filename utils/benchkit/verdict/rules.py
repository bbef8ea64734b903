"""What a case's figure is, how it changed, and what there is to call that: metrics with directions and thresholds.

Light: what only reads figures (baselines, history) loads no statistics with it.
"""

from __future__ import annotations

import math
from statistics import median

from benchkit.model import METRICS, Case, Metric, MetricValues, Worse, derived_metrics, is_comparable, main_metrics
from benchkit.settings import Baselines

ERROR_RATE = "error_rate"

STEADY_REQUESTS = 300
"""Requests per iteration below which throughput and tail decide nothing: the gateway (1.0.7) stalls for about 300 ms
every few hundred requests, so an iteration of 100 holds a stall or does not, and its req/s scatters by 12-32 %."""

_LARGEST = 50.0
"""A logarithm beyond which a percentage is no figure any more."""

SIDE_BY_SIDE = "./run-advanced.sh --base/--head"
"""What decides where no number of runs does."""


def case_figures(case: Case) -> MetricValues:
    """A case's figures as they are stored and compared: per metric the median over its iterations.

    Two exceptions take the pooled figure: a metric that no iteration has (a difference of two cases), and an absolute
    one (the error rate), because the median of 0 %, 0 % and 5 % would hide that requests failed. What nothing can be
    compared with (infinite, or zero where the ratio counts) is left out.
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
    """Requests per iteration, the smallest; 100 where no iteration is known (a difference of two cases)."""
    return min((iteration.sent for iteration in case.iterations if iteration.sent), default=100)


def sent_of(case: Case) -> int:
    """Requests over all iterations; 100 where none is known."""
    return sum(iteration.sent for iteration in case.iterations) or 100


def deciding_metrics(case: Case, limits: Baselines, *, steady: bool = True, rounds: int = 1) -> set[str]:
    """The metrics that decide a case: those that gate, where it has the samples for them, and the error rate.

    ``steady`` false: throughput and tail decide however few requests there are. ``rounds``: so many iterations make one
    figure that is compared.
    """
    deciding = {*limits.gate, ERROR_RATE} - {*case.advisory, *derived_metrics()}
    if steady and rounds * requests_of(case) < STEADY_REQUESTS:
        deciding = {name for name in deciding if not METRICS[name].stall_sensitive}
    return deciding


def shown_metrics(limits: Baselines) -> list[str]:
    """Every metric that a comparison shows: those of the settings in their order, and what every table shows."""
    return list(dict.fromkeys([*limits.metrics, *main_metrics(), ERROR_RATE, *derived_metrics()]))


# ---------------------------------------------------------------------------------------------------------------------
# Percent and logarithms


def badness(metric: Metric, value: float) -> float:
    """The value's natural logarithm, turned so that larger is worse."""
    return math.log(value) if metric.worse is Worse.HIGHER else -math.log(value)


def percent(metric: Metric, effect: float) -> float:
    """How much better (positive) or worse (negative) a metric became, in percent of the reference.

    ``effect`` is a difference of two values of :func:`badness`. Rounded to a millionth, so that a change of exactly the
    threshold is one in binary fractions as well.
    """
    bounded = min(max(effect, -_LARGEST), _LARGEST)
    change = -math.expm1(bounded) if metric.worse is Worse.HIGHER else math.expm1(-bounded)
    return round(100 * change, 6) + 0.0


def effect_of(metric: Metric, change: float) -> float:
    """The inverse of :func:`percent`; infinite where no value can change by so much (100 % less than before)."""
    share = -change / 100 if metric.worse is Worse.HIGHER else change / 100
    if share <= -1:
        return math.inf if metric.worse is Worse.LOWER else -math.inf
    return math.log1p(share) if metric.worse is Worse.HIGHER else -math.log1p(share)


def is_positive(value: float) -> bool:
    """Whether a figure can be part of a ratio."""
    return math.isfinite(value) and value > 0


def change_percent(metric: Metric, current: float, reference: float) -> float | None:
    """How much better (positive) or worse (negative) a figure became.

    Percent of the reference; for an absolute metric the difference in percentage points. ``None`` where the ratio has
    no meaning: a value of zero or below, or one that is not a finite number. Rounded to a millionth.
    """
    if metric.absolute:
        gain = reference - current if metric.worse is Worse.HIGHER else current - reference
        return round(100 * gain, 6) + 0.0 if math.isfinite(gain) else None
    if not (is_positive(current) and is_positive(reference)):
        return None
    return percent(metric, badness(metric, current) - badness(metric, reference))
