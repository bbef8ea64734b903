"""The verdict of one figure.

Two steps, because what is proven depends on how many hypotheses a suite tests: :func:`stored_finding` and
:func:`paired_finding` look at one metric of one case, :func:`settle` gives all of them their verdicts. The arithmetic
is that of :mod:`~benchkit.verdict.statistics`; here are the thresholds, the names, and the words.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from benchkit.model import Metric, MetricComparison, Verdict
from benchkit.number_format import moved, plural
from benchkit.settings import Baselines
from benchkit.verdict import statistics
from benchkit.verdict.rules import SIDE_BY_SIDE, badness, change_percent, effect_of, is_positive, percent
from benchkit.verdict.statistics import Among, Estimate, Prior

_SMALLEST_TOLD = 0.0001
"""Smaller q values are shown as "less than this"."""

_WORTH_TELLING = 0.01
"""A change of the machine's speed below one percent explains nothing."""

# ---------------------------------------------------------------------------------------------------------------------
# One metric of one case


@dataclass(frozen=True)
class Failures:
    """Requests without the right answer: so many of so many now, and in all runs that are compared with."""

    failed: int
    sent: int
    failed_before: int
    sent_before: int

    @property
    def p(self) -> float:
        """The probability that chance puts so many of them into this run, or more."""
        return statistics.more_fail(self.failed, self.sent, self.failed_before, self.sent_before)

    @property
    def words(self) -> str:
        """Both in a clause."""
        before = f"{self.failed_before} of {self.sent_before} before"
        return f"{self.failed} of {plural(self.sent, 'request')} failed, {before}"


@dataclass(frozen=True)
class Finding:
    """One metric of one case, before it is known how many of them are judged together.

    ``estimate`` is absent for an absolute metric, which has ``failures``, and where there is nothing to compare; then
    ``unjudged`` says why.
    """

    metric: Metric
    threshold: float
    advisory: bool
    current: float | None
    reference: float | None
    estimate: Estimate | None = None
    sign_flip: float | None = None
    failures: Failures | None = None
    unjudged: tuple[Verdict, str] | None = None

    @property
    def is_hypothesis(self) -> bool:
        """Whether it is one of those that the correction over the suite is for."""
        return self.estimate is not None and not self.advisory


@dataclass(frozen=True)
class Known:
    """What is known besides a case's figures, as for :func:`statistics.stored`.

    ``prior``: of the noise. ``resolution_ms``: the step in which latencies were told. ``machine``: how much slower it
    is now (a logarithm). ``among``: the run's other cases.
    """

    prior: Prior
    resolution_ms: float
    machine: float = 0.0
    among: Among | None = None


def stored_finding(
    metric: Metric,
    current: float | None,
    references: Sequence[float],
    *,
    threshold: float,
    advisory: bool,
    known: Known,
    requests: int = 0,
) -> Finding | None:
    """A figure held against those of a baseline's runs; ``None`` when neither side has it.

    ``reference`` is their geometric mean, for the error rate their median. ``requests``: of the case in this run; runs
    of a baseline have the same profile, so they sent as many.
    """
    sides = _Sides(metric, threshold, advisory, current, _reference(metric, references))
    if metric.absolute and current is not None and references and all(map(math.isfinite, [current, *references])):
        before = round(math.fsum(references) * requests)
        return sides.with_failures(Failures(round(current * requests), requests, before, requests * len(references)))
    if current is None or not references or metric.absolute or not all(map(is_positive, [current, *references])):
        return sides.without_estimate()
    floor = statistics.resolution(min(current, *references), known.resolution_ms) if metric.unit == "ms" else 0.0
    estimate = statistics.stored(
        badness(metric, current),
        [badness(metric, value) for value in references],
        known.prior,
        floor=floor,
        machine=known.machine,
        among=known.among,
    )
    return sides.with_estimate(estimate)


def paired_finding(
    metric: Metric,
    pairs: Sequence[tuple[float, float]],
    *,
    threshold: float,
    advisory: bool,
    resolution_ms: float,
) -> Finding:
    """A figure of two gateways over some blocks, each ``(base, head)``; there is at least one.

    The figures shown are the medians over the blocks.
    """
    base, head = median(pair[0] for pair in pairs), median(pair[1] for pair in pairs)
    sides = _Sides(metric, threshold, advisory, head, base)
    if not all(is_positive(value) for pair in pairs for value in pair):
        return sides.refused(Verdict.NOT_COMPARABLE, "has a block in which it is 0, so there is no ratio")
    if len(pairs) < statistics.MIN_BLOCKS:
        needed = f"{len(pairs)} of at least {statistics.MIN_BLOCKS} blocks: too few to decide"
        return sides.refused(Verdict.INCONCLUSIVE, needed)
    differences = [badness(metric, after) - badness(metric, before) for before, after in pairs]
    # Two roundings for each difference, of values that are at least the smallest.
    smallest = min(value for pair in pairs for value in pair)
    floor = math.sqrt(2) * statistics.resolution(smallest, resolution_ms) if metric.unit == "ms" else 0.0
    estimate = statistics.paired(differences, floor=floor)
    return sides.with_estimate(estimate, None if advisory else checked(estimate, differences))


def checked(estimate: Estimate, differences: Sequence[float]) -> float | None:
    """The p of the sign-flip test; ``None`` where the t test finds nothing that would need the check."""
    return statistics.sign_flip(differences) if estimate.p <= statistics.CHECKED_BELOW else None


@dataclass(frozen=True)
class _Sides:
    metric: Metric
    threshold: float
    advisory: bool
    current: float | None
    reference: float | None

    def with_estimate(self, estimate: Estimate, sign_flip: float | None = None) -> Finding:
        """Both sides, and what the one is to the other."""
        return Finding(
            self.metric, self.threshold, self.advisory, self.current, self.reference, estimate, sign_flip=sign_flip
        )

    def with_failures(self, failures: Failures) -> Finding:
        """Both sides, and how many requests failed."""
        return Finding(self.metric, self.threshold, self.advisory, self.current, self.reference, failures=failures)

    def refused(self, verdict: Verdict, reason: str) -> Finding:
        """Both sides, and why they cannot be judged."""
        return Finding(
            self.metric, self.threshold, self.advisory, self.current, self.reference, unjudged=(verdict, reason)
        )

    def without_estimate(self) -> Finding | None:
        """What there is to say where there is no ratio to judge."""
        if self.current is None and self.reference is None:
            return None
        if self.reference is None:
            return self.refused(Verdict.NEW, "has no reference")
        if self.current is None:
            return self.refused(Verdict.MISSING, "was not measured")
        if not is_positive(self.current):
            return self.refused(Verdict.NOT_COMPARABLE, f"is {self.current:g}, so there is no ratio")
        return self.refused(Verdict.NOT_COMPARABLE, f"has a reference of {self.reference:g}, so there is no ratio")


def _reference(metric: Metric, references: Sequence[float]) -> float | None:
    if not references:
        return None
    if metric.absolute or not all(map(is_positive, references)):
        # Where there is no ratio, what stands in its way is shown.
        return median(references) if metric.absolute else next(v for v in references if not is_positive(v))
    if len(set(references)) == 1:
        return references[0]
    return float(f"{math.exp(math.fsum(math.log(value) for value in references) / len(references)):.9g}")


# ---------------------------------------------------------------------------------------------------------------------
# All of them together

Key = tuple[str, str]
"""A case's id and a metric's name."""


@dataclass(frozen=True)
class Level:
    """How sure a verdict has to be: the share of false alarms allowed for all ``hypotheses`` together.

    ``failing``: figures that count failed requests; together they have the same share for themselves.
    """

    significance: float
    hypotheses: int
    failing: int = 0

    @property
    def each(self) -> float:
        """What the p of one has to reach when it is the only one that is not by chance."""
        return self.significance / max(self.hypotheses, 1)

    @property
    def each_failing(self) -> float:
        """What the p of a figure that counts failed requests has to reach (Bonferroni)."""
        return self.significance / max(self.failing, 1)


def level_of(findings: Iterable[Finding], limits: Baselines, *, looks: int = 1) -> Level:
    """The level for some findings that may be looked at so many times: each look gets its share of the error."""
    known = list(findings)
    return Level(
        limits.significance / max(looks, 1),
        sum(one.is_hypothesis for one in known),
        sum(one.failures is not None and not one.advisory for one in known),
    )


def settle(findings: Mapping[Key, Finding], limits: Baselines, *, looks: int = 1) -> dict[Key, MetricComparison]:
    """Their verdicts, corrected over all that decide (Benjamini and Hochberg).

    With no true change at all, the share of suites with any false discovery is at most ``baselines.significance``; half
    of them would be for the better.
    """
    level = level_of(findings.values(), limits, looks=looks)
    hypotheses = {key: one.estimate.p for key, one in findings.items() if one.is_hypothesis and one.estimate}
    q_values = dict(zip(hypotheses, statistics.corrected(list(hypotheses.values())), strict=True))
    return {key: settled(one, q_values.get(key), level, limits) for key, one in findings.items()}


def settled(finding: Finding, q_value: float | None, level: Level, limits: Baselines) -> MetricComparison:
    """One finding's verdict. Without a q (a metric that only is shown) its p has to reach the level by itself."""
    if finding.unjudged:
        verdict, reason = finding.unjudged
        return _sides_only(finding, verdict, reason)
    if finding.failures is not None:
        return _failures(finding, finding.failures, level)
    assert finding.estimate is not None
    estimate, metric = finding.estimate, finding.metric
    proven = estimate.p <= level.each if q_value is None else q_value <= level.significance
    if finding.sign_flip is not None:
        proven = proven and statistics.sign_flip_agrees(finding.sign_flip, estimate.samples)
    verdict = verdict_of(finding, limits, proven=proven)
    # What is proven is the case's own; that nothing changed has to hold however fast the machine was.
    low, high = estimate.sharp_interval if verdict.row.is_change else (estimate.low, estimate.high)
    threshold = effect_of(metric, -finding.threshold)
    seen = statistics.detectable(estimate, level.each, threshold) if math.isfinite(threshold) else math.inf
    compared = MetricComparison(
        verdict=verdict,
        current=finding.current,
        reference=finding.reference,
        change_percent=percent(metric, estimate.effect),
        threshold_percent=finding.threshold,
        interval=(_tenth(percent(metric, high)), _tenth(percent(metric, low))),
        detectable_percent=_tenth(-percent(metric, seen)),
        p_value=_short(estimate.p),
        q_value=None if q_value is None else _short(q_value),
        sign_flip_p=None if finding.sign_flip is None else _short(finding.sign_flip),
        spread_percent=_tenth(100 * estimate.sharp, 2),
        samples=estimate.samples,
        decided_by=_decided_by(finding, estimate, level, limits) if verdict is Verdict.INCONCLUSIVE else None,
        advisory=finding.advisory,
    )
    compared = compared.model_copy(update=_explained(finding.metric, estimate, compared))
    return compared.model_copy(update={"reason": _reason(finding, compared)})


def _explained(metric: Metric, estimate: Estimate, compared: MetricComparison) -> dict[str, object]:
    """What the machine, or all cases together, explain of a metric that decides."""
    by = {"explained_by": "cases" if estimate.by_cases else "machine"}
    if compared.advisory:
        return {}
    if compared.verdict.row.is_change and estimate.machine and abs(estimate.nearest) < abs(estimate.effect):
        return by | {"unexplained_percent": _tenth(abs(percent(metric, estimate.nearest)))}
    undecidable = compared.verdict is Verdict.INCONCLUSIVE and compared.decided_by is None
    if undecidable and abs(estimate.machine) >= _WORTH_TELLING:
        return by | {"shift_percent": _tenth(math.copysign(100 * math.expm1(abs(estimate.machine)), estimate.machine))}
    return {}


def verdict_of(finding: Finding, limits: Baselines, *, proven: bool) -> Verdict:
    """What a finding with an estimate is called (the table of STATISTICS).

    ``proven``: that there is a change at all. The thresholds are for the part of the change that the machine's own
    speed does not explain.
    """
    estimate, metric = finding.estimate, finding.metric
    assert estimate is not None, "an absolute metric has no estimate"
    change, threshold = percent(metric, estimate.nearest), finding.threshold
    if proven and change < 0:
        if -change < threshold:
            return Verdict.SLOWER
        return Verdict.CRITICAL if -change >= limits.critical_threshold else Verdict.REGRESSION
    if proven and change > 0 and change >= limits.improvement_threshold:
        return Verdict.IMPROVEMENT
    inside = percent(metric, estimate.high) > -threshold and percent(metric, estimate.low) < threshold
    return Verdict.UNCHANGED if inside else Verdict.INCONCLUSIVE


def _sides_only(finding: Finding, verdict: Verdict, reason: str) -> MetricComparison:
    change, current, reference = None, finding.current, finding.reference
    if current is not None and reference is not None:
        change = change_percent(finding.metric, current, reference)
    return MetricComparison(
        verdict=verdict,
        current=finding.current,
        reference=finding.reference,
        change_percent=change,
        threshold_percent=finding.threshold if finding.current is not None and finding.reference is not None else None,
        advisory=finding.advisory,
        reason=reason,
    )


def _failures(finding: Finding, failures: Failures, level: Level) -> MetricComparison:
    """The error rate: new failures are critical where they exceed the threshold and chance does not explain them.

    One of 300 is told. Fewer failures are never called an improvement: a case that fails is not a fast one.
    """
    assert finding.current is not None
    assert finding.reference is not None
    change = change_percent(finding.metric, finding.current, finding.reference) or 0.0
    verdict, reason, p_value = Verdict.UNCHANGED, "", None
    if -change > finding.threshold:
        p_value = failures.p
        verdict = Verdict.CRITICAL if p_value <= level.each_failing else Verdict.UNCHANGED
        chance = "" if verdict is Verdict.CRITICAL else ", which may be chance"
        reason = f"{failures.words}{chance}"
    return MetricComparison(
        verdict=verdict,
        current=finding.current,
        reference=finding.reference,
        change_percent=change,
        threshold_percent=finding.threshold,
        p_value=None if p_value is None else _short(p_value),
        advisory=finding.advisory,
        reason=reason,
    )


def _decided_by(finding: Finding, estimate: Estimate, level: Level, limits: Baselines) -> int | None:
    metric, threshold = finding.metric, finding.threshold
    return statistics.decided_by(
        estimate,
        level.each,
        worse=0.0,
        better=effect_of(metric, limits.improvement_threshold),
        within=(effect_of(metric, threshold), effect_of(metric, -threshold)),
        most=limits.keep_runs if estimate.own else statistics.MOST_SAMPLES,
    )


# ---------------------------------------------------------------------------------------------------------------------
# Words


def _reason(finding: Finding, compared: MetricComparison) -> str:
    """One short clause; a metric that is only shown has none."""
    estimate = finding.estimate
    if compared.advisory or estimate is None or compared.interval is None:
        return ""
    noun = "run" if estimate.own else "block"
    if compared.verdict is Verdict.UNCHANGED:
        worse_end, better_end = compared.interval
        return f"between {worse_end:+.1f} and {better_end:+.1f} %, so within {finding.threshold:g} %"
    words = moved(compared.change_percent or 0.0, compared.interval)
    if compared.verdict is Verdict.INCONCLUSIVE:
        return f"{words}: {_undecided(compared, estimate, noun)}"
    if compared.q_value is not None:
        words += f", q = {compared.q_value:.2g}" if compared.q_value >= _SMALLEST_TOLD else f", q < {_SMALLEST_TOLD:g}"
    words += f", {plural(estimate.samples, noun)}"
    if compared.verdict is Verdict.SLOWER:
        words += f", below the threshold of {finding.threshold:g} %"
    return f"{words}; {compared.explanation}" if compared.explanation else words


def _undecided(compared: MetricComparison, estimate: Estimate, noun: str) -> str:
    least, samples = f"{compared.detectable_percent:.0f} %", plural(estimate.samples, noun)
    seen = f"only changes of {least} or more are detectable with {samples}"
    if compared.decided_by is not None:
        return f"{seen}; {plural(compared.decided_by, noun)} would decide"
    if compared.explanation:
        seen += f", and {compared.explanation}"
    remedy = f", use a side-by-side comparison: {SIDE_BY_SIDE}" if estimate.own else ""
    return f"{seen}; more {noun}s would not decide it{remedy}"


def _short(p_value: float) -> float:
    """Three digits, and not below 1e-12: a p is not known better."""
    return float(f"{max(p_value, 1e-12):.3g}")


def _tenth(value: float, digits: int = 1) -> float:
    return round(value, digits) + 0.0
