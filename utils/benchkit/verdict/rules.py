"""The arithmetic of one figure: what a case's figure is, how it changed, and what that is called.

Pure functions. A change counts when it is larger than its threshold and larger than what the noise between runs can
explain (:func:`detectable_percent`). That noise is a cautious default of the settings; :func:`judge` gets every
reference value, so that a rule which estimates it from the runs needs no other data.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import median

from benchkit.model import METRICS, Case, Figures, Metric, MetricComparison, Verdict, Worse
from benchkit.settings import Baselines

CRITICAL_PERCENT = 25.0
"""A regression of at least this much is critical; so is every regression of the error rate."""

ERROR_RATE = "error_rate"

DERIVED = ("added_p50_latency", "added_p95_latency", "added_p99_latency", "throughput_ratio")
"""Metrics of differences between two cases. They are shown and never decide: their noise is that of two cases, and
each of those is judged itself."""

BY_SEVERITY = (
    Verdict.CRITICAL,
    Verdict.REGRESSION,
    Verdict.INVALID,
    Verdict.MISSING,
    Verdict.NOT_COMPARABLE,
    Verdict.INCONCLUSIVE,
    Verdict.SLOWER,
    Verdict.IMPROVEMENT,
    Verdict.UNCHANGED,
    Verdict.NEW,
)
"""Verdicts, the worst first: a case's is its worst metric's."""

WORSE = frozenset({Verdict.CRITICAL, Verdict.REGRESSION})
"""Verdicts that are proof of a change for the worse."""


FALSE_ALARM_SIGMAS = 3.0
"""How many standard deviations a change must exceed: 1 in 700 figures of an unchanged gateway gets worse by more
(normal distribution, one side), so one suite of 70 gated figures in ten."""

SMALLEST_NOISE_PERCENT = 5.0
"""More requests do not repair the noise between runs: it stays at about this, however long they are."""


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The worst of at least one verdict."""
    return min(verdicts, key=BY_SEVERITY.index)


def case_figures(case: Case) -> Figures:
    """A case's figures as they are stored and compared: per metric the median over its iterations.

    Two exceptions take the pooled figure: a metric that no iteration has (a difference of two cases), and an absolute
    one (the error rate), because the median of 0 %, 0 % and 5 % would hide that requests failed. What is not a finite
    number was not measured and is left out.
    """
    figures: Figures = {}
    for name, metric in METRICS.items():
        values = [iteration.metrics[name] for iteration in case.iterations if name in iteration.metrics]
        if name in case.metrics and (metric.absolute or not values):
            values = [case.metrics[name]]
        if values and math.isfinite(value := median(values)):
            figures[name] = value
    return figures


def change_percent(metric: Metric, current: float, reference: float) -> float | None:
    """How much better (positive) or worse (negative) a figure became.

    Percent of the reference; for an absolute metric the difference in percentage points. ``None`` where the ratio has
    no meaning: a reference of zero or below, or a value that is not a finite number. Rounded to a millionth, so that a
    change of exactly the threshold is one in binary fractions as well.
    """
    if not (math.isfinite(current) and math.isfinite(reference)):
        return None
    if not metric.absolute and reference <= 0:
        return None
    gain = reference - current if metric.worse is Worse.HIGHER else current - reference
    change = 100 * gain if metric.absolute else 100 * gain / reference
    return round(change, 6) + 0.0 if math.isfinite(change) else None


STEADY_REQUESTS = 300
"""Requests per iteration below which throughput and tail decide nothing: the gateway (1.0.7) stalls for about 300 ms
every few hundred requests, so an iteration of 100 holds a stall or does not, and its req/s scatters by 12-32 %."""

STALL_SENSITIVE = frozenset({"requests_per_sec", "total_time", "mean_latency", "max_latency", "p95_latency"})
"""Metrics that one stall moves."""


def explainable(noise_percent: float, requests: int, runs: int, machine_ratio: float) -> float:
    """The largest change, as a natural logarithm of the ratio, that noise and machine can explain.

    ``z * s * sqrt(1 + 1/m)``, as of a prediction interval for one more run, plus the machine's own change of speed.

    Args:
        noise_percent: standard deviation between runs with 100 requests per iteration; 0: nothing is allowed for.
        requests: per iteration. The deviation shrinks with their square root, down to :data:`SMALLEST_NOISE_PERCENT`.
        runs: that the reference is made of.
        machine_ratio: the machine's control score of one side divided by that of the other.
    """
    if noise_percent <= 0:
        return 0.0
    deviation = max(noise_percent * math.sqrt(100 / max(requests, 1)), min(noise_percent, SMALLEST_NOISE_PERCENT))
    noise = FALSE_ALARM_SIGMAS * deviation / 100 * math.sqrt(1 + 1 / max(runs, 1))
    return noise + abs(math.log(machine_ratio))


def detectable_percent(metric: Metric, explained: float) -> float:
    """The smallest change for the worse, in percent of the reference, that is more than ``explained`` (a logarithm)."""
    worse = math.expm1(explained) if metric.worse is Worse.HIGHER else -math.expm1(-explained)
    return round(100 * worse, 1)


def verdict_of(metric: Metric, change: float, limits: Baselines, *, explained: bool = False) -> Verdict:
    """What a change (in the unit of :func:`change_percent`) is called.

    A metric is a regression when it got worse by at least its threshold; a change of that size that noise can explain
    (``explained``) is inconclusive. The error rate is a regression when it rose by more than its own threshold.
    """
    threshold = limits.threshold(metric.name)
    if metric.absolute:
        if -change > threshold:
            return Verdict.CRITICAL
        return Verdict.IMPROVEMENT if change > threshold else Verdict.UNCHANGED
    if explained:
        return Verdict.INCONCLUSIVE if abs(change) >= threshold else Verdict.UNCHANGED
    if change < 0 and -change >= threshold:
        return Verdict.CRITICAL if -change >= CRITICAL_PERCENT else Verdict.REGRESSION
    if change > 0 and change >= limits.improvement_threshold:
        return Verdict.IMPROVEMENT
    return Verdict.UNCHANGED


def judge(
    metric: Metric,
    current: float | None,
    references: Sequence[float],
    limits: Baselines,
    *,
    advisory: bool,
    requests: int = 100,
    machine_ratio: float = 1.0,
) -> MetricComparison | None:
    """One metric of one case held against its reference, the median of ``references`` (one value per baseline run).

    ``requests`` and ``machine_ratio`` as for :func:`explainable`. ``None`` when neither side has the metric.
    """
    reference = median(references) if references else None
    if current is None and reference is None:
        return None
    threshold = limits.threshold(metric.name)
    if reference is None:
        return MetricComparison(verdict=Verdict.NEW, current=current, advisory=advisory, reason="has no reference")
    if current is None:
        return MetricComparison(
            verdict=Verdict.MISSING, reference=reference, advisory=advisory, reason="was not measured"
        )
    change = change_percent(metric, current, reference)
    limit = explainable(limits.noise.get(metric.name, 0.0), requests, len(references), machine_ratio)
    explained = change is not None and limit > 0 and current > 0 and abs(math.log(current / reference)) <= limit
    return MetricComparison(
        verdict=Verdict.NOT_COMPARABLE if change is None else verdict_of(metric, change, limits, explained=explained),
        current=current,
        reference=reference,
        change_percent=change,
        threshold_percent=threshold,
        detectable_percent=max(detectable_percent(metric, limit), threshold) if limit else None,
        advisory=advisory,
        reason="" if change is not None else f"has a reference of {reference:g}, so there is no ratio",
    )
