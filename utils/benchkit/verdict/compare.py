"""Compare a run with a baseline, or a gateway with another that was measured side by side.

Every case of either run gets a verdict. The first rule that applies gives the verdict and exit code of the whole:

1. the load differs: not comparable, exit 2
2. a case, or all cases together, got worse: regression or critical, exit 1 (it is proven, whatever else went wrong)
3. some work was not done and cannot be judged (an invalid or missing case, a case whose deciding metric has no ratio,
   an interrupted run, a run without a valid case): invalid or missing, exit 3
4. nothing in the run has a reference: new, exit 2
5. otherwise the run passed, exit 0, with the worst remaining verdict: inconclusive (exit 4 on request), slower within
   its thresholds, improvement, unchanged

Values from another machine prove nothing: each of them is inconclusive.

Pure: the same documents give the same comparison, byte for byte.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, TypeVar

import numpy as np

from benchkit.errors import ExitCode, UserError
from benchkit.model import (
    METRICS,
    Baseline,
    BaselineReference,
    BaselineRun,
    Case,
    CaseComparison,
    Comparison,
    Metric,
    MetricComparison,
    NoiseRecord,
    PairedReference,
    Run,
    RunStatus,
    Validity,
    VariantOfRun,
    Verdict,
)
from benchkit.number_format import plural
from benchkit.settings import Baselines
from benchkit.verdict import statistics
from benchkit.verdict.environments import (
    control_shift,
    lesser_differences,
    load_differences,
    machine_differences,
)
from benchkit.verdict.metric_verdict import (
    Finding,
    Key,
    Known,
    Level,
    checked,
    paired_finding,
    settle,
    settled,
    stored_finding,
)
from benchkit.verdict.noise import misfit, prior_of
from benchkit.verdict.rules import (
    badness,
    case_figures,
    deciding_metrics,
    is_positive,
    requests_of,
    sent_of,
    shown_metrics,
)
from benchkit.verdict.statistics import Among, Estimate, Moment, Prior
from benchkit.verdict.suite_verdict import Outcome, by_errors_alone, judged_case, outcome, together


def compare(run: Run, baseline: Baseline, limits: Baselines, noise: NoiseRecord | None = None) -> Comparison:
    """Compare a run with a baseline; ``noise`` is the machine's record, used only if it fits the run."""
    reference, current = baseline.environment, run.environment
    other_machine = machine_differences(reference.machine, current.machine)
    unfit = misfit(noise, current) if noise else ""
    stored = _Stored(run, limits, noise if noise and not unfit else None, elsewhere=bool(other_machine))
    judged = _against_stored(stored, baseline)
    return Comparison(
        run_id=run.run_id,
        baseline=BaselineReference(
            profile=baseline.profile, version=baseline.version, runs=[entry.run_id for entry in baseline.runs]
        ),
        significance=limits.significance,
        hypotheses=judged.hypotheses,
        suite=judged.suite,
        suite_since_oldest=judged.suite_since_oldest,
        verdict=judged.outcome.verdict,
        reason=judged.outcome.sentence + (f"; {_ELSEWHERE}" if other_machine else ""),
        exit_code=int(judged.outcome.verdict.row.exit_code),
        warnings=_stored_warnings(run, baseline, other_machine, unfit) + by_errors_alone(judged.cases),
        cases=judged.cases,
    )


def compare_paired(base: Run, head: Run, limits: Baselines) -> Comparison:
    """Compare a gateway (``head``) with another that was measured side by side, block by block.

    Raises:
        UserError: the two runs are not variants of one comparison.
    """
    base_variant, head_variant = _variants(base, head)
    judged = _beside(base, head, limits)
    return Comparison(
        run_id=head.run_id,
        mode="paired",
        paired=PairedReference(run_id=base.run_id, base=base_variant.spec, head=head_variant.spec),
        significance=limits.significance,
        hypotheses=judged.hypotheses,
        suite=judged.suite,
        verdict=judged.outcome.verdict,
        reason=judged.outcome.sentence,
        exit_code=int(judged.outcome.verdict.row.exit_code),
        warnings=_paired_warnings(base, head) + by_errors_alone(judged.cases),
        cases=judged.cases,
    )


def undecided(comparison: Comparison) -> set[str]:
    """Return the ids of the cases that more runs or blocks might decide."""
    return {case.id for case in comparison.cases if case.verdict is Verdict.INCONCLUSIVE}


@dataclass(frozen=True)
class _Judged:
    """The result of a comparison in either mode."""

    outcome: Outcome
    cases: list[CaseComparison]
    suite: dict[str, MetricComparison]
    hypotheses: int
    suite_since_oldest: dict[str, MetricComparison] = field(default_factory=dict)


def _not_comparable(whose: str, lines: Sequence[str], ids: Iterable[str]) -> _Judged:
    """Return the result for different loads: nothing is judged."""
    verdict, sentence = Verdict.NOT_COMPARABLE, f"the load differs from {whose} ({', '.join(lines)})"
    cases = [CaseComparison(id=case, verdict=verdict, reason="the load differs") for case in dict.fromkeys(ids)]
    return _Judged(Outcome(verdict, sentence), cases, suite={}, hypotheses=0)


def _of_case(settled_ones: Mapping[Key, MetricComparison], case: str) -> dict[str, MetricComparison]:
    return {name: compared for (identity, name), compared in settled_ones.items() if identity == case}


def _not_measured(case: Case, *, known: bool) -> CaseComparison:
    """Return the verdict of a case that this run did not measure; ``known``: the reference has it."""
    if case.validity is Validity.SKIPPED:
        verdict = Verdict.MISSING if known else Verdict.NEW
        return CaseComparison(id=case.id, verdict=verdict, reason=f"skipped: {case.reason}")
    prefix = "interrupted: " if case.validity is Validity.INTERRUPTED else ""
    return CaseComparison(id=case.id, verdict=Verdict.INVALID, reason=prefix + case.reason)


def _hypotheses(findings: Mapping[Key, Finding]) -> int:
    return sum(one.is_hypothesis for one in findings.values())


def _suite_finding(metric: str, estimate: Estimate, limits: Baselines, sign_flip: float | None = None) -> Finding:
    return Finding(
        METRICS[metric],
        limits.threshold(metric),
        advisory=False,
        current=None,
        reference=None,
        estimate=estimate,
        sign_flip=sign_flip,
    )


def _suite_level(limits: Baselines, looks: int = 1) -> Level:
    """Return the significance level for the results over all cases.

    They are a separate family of hypotheses next to the cases. In suites without any change, each family raises a false
    alarm in at most half of ``baselines.significance``, because half of the false findings would be improvements.
    """
    return Level(limits.significance / max(looks, 1) / len(limits.gate), 1)


def _deciding_cases(findings: Mapping[Key, Finding], metric: str) -> list[str]:
    """Return the cases in which the metric is a hypothesis; empty if there is only one, which is its own result."""
    cases = [case for (case, name), finding in findings.items() if name == metric and finding.is_hypothesis]
    return cases if len(cases) > 1 else []


# ---------------------------------------------------------------------------------------------------------------------
# Against a stored baseline

_ELSEWHERE = (
    "nothing is decided, because the run was measured on another machine than the baseline: compare gateways side by "
    "side"
)

_Name = TypeVar("_Name", str, Key)

_Values = dict[str, list[float]]
"""Maps a metric to its values, one per run of the baseline that has it, oldest first."""


@dataclass(frozen=True)
class _Reference:
    """The runs of a reference, and how much slower the machine is now than during them (a logarithm)."""

    runs: Sequence[BaselineRun]
    machine: float

    @property
    def first(self) -> str:
        """The id of its first run; empty if it has none."""
        return self.runs[0].run_id if self.runs else ""


@dataclass(frozen=True)
class _Held:
    """The comparison of a run with a reference: metrics, results over all cases, and the number of hypotheses."""

    metrics: dict[Key, MetricComparison] = field(default_factory=dict)
    suite: dict[str, MetricComparison] = field(default_factory=dict)
    hypotheses: int = 0


@dataclass(frozen=True)
class _Shared:
    """The common shift of the cases that a metric decides; ``places``: a case's index in the arrays of ``moment``."""

    moment: Moment
    places: dict[str, int]


@dataclass(frozen=True)
class _Stored:
    """Compares one run with stored runs; ``elsewhere``: those were measured on another machine."""

    run: Run
    limits: Baselines
    noise: NoiseRecord | None
    elsewhere: bool = False

    def held(self, reference: _Reference) -> _Held:
        """Compare the run with a reference."""
        return self._held(reference, deciding_only=False)

    def slides(self, newest: _Reference, oldest: _Reference) -> _Held:
        """Compare the deciding metrics with the oldest accepted runs; empty if these still are the reference.

        This is a separate family of hypotheses: tested together, each family would weaken the other by its number.
        """
        if not oldest.runs or _ids(newest) == _ids(oldest):
            return _Held()
        return self._held(oldest, deciding_only=True)

    def _held(self, reference: _Reference, *, deciding_only: bool) -> _Held:
        values = _references(reference.runs)
        shared = {name: one for name in self.limits.gate if (one := self._shared(reference, name, values))}
        findings = {
            key: one
            for key, one in self._findings(reference, values, shared).items()
            if one.is_hypothesis or not deciding_only
        }
        suite = self._suite(reference, findings, shared)
        metrics = settle(findings, self.limits)
        if self.elsewhere:
            metrics, suite = _undecidable(metrics), _undecidable(suite)
        return _Held(metrics, suite, _hypotheses(findings))

    def _findings(
        self, reference: _Reference, values: Mapping[str, _Values], shared: Mapping[str, _Shared]
    ) -> dict[Key, Finding]:
        """Return a finding for every metric of every valid case."""
        found = {}
        for case in self._valid():
            figures, deciding = case_figures(case), self._deciding(case)
            for name in shown_metrics(self.limits):
                finding = stored_finding(
                    METRICS[name],
                    figures.get(name),
                    values.get(case.id, {}).get(name, []),
                    threshold=self.limits.threshold(name, case.id),
                    advisory=name not in deciding,
                    known=Known(
                        self._prior(case, name),
                        case.resolution_ms,
                        reference.machine,
                        self._among(case, name, shared.get(name)),
                    ),
                    requests=sent_of(case),
                )
                if finding is not None:
                    found[case.id, name] = finding
        return found

    def _shared(self, reference: _Reference, name: str, values: Mapping[str, _Values]) -> _Shared | None:
        """Return the common shift of the cases that a metric decides; ``None`` if too few of them have a reference.

        ``None`` also if the settings allow for no noise: then a common shift is caused by the gateway.
        """
        if not self._allows_noise(name):
            return None
        now = {
            case.id: figures[name]
            for case in self._valid()
            if name in self._deciding(case)
            and name in (figures := case_figures(case))
            and (before := values.get(case.id, {}).get(name))
            and all(map(is_positive, [figures[name], *before]))
        }
        rows = [[run.cases.get(case, {}).get(name, math.nan) for case in now] for run in reference.runs]
        turned = [[value if math.isnan(value) else badness(METRICS[name], value) for value in row] for row in rows]
        moment = statistics.moment([badness(METRICS[name], value) for value in now.values()], turned)
        return _Shared(moment, {case: place for place, case in enumerate(now)}) if moment else None

    def _among(self, case: Case, name: str, shared: _Shared | None) -> Among | None:
        if shared is None or case.id not in shared.places:
            return None
        return statistics.case_among(shared.moment, shared.places[case.id], self._prior(case, name, own=True))

    def _suite(
        self, reference: _Reference, findings: Mapping[Key, Finding], shared: Mapping[str, _Shared]
    ) -> dict[str, MetricComparison]:
        """Return, per gating metric, the result over the cases that it decides: their common shift, else their mean.

        It decides like the cases do: the common shift is subtracted from each case, so it has to be judged here. The
        cases of one run share its disturbances, so together they are assumed to be as noisy as one of them.
        """
        suite = {}
        for metric in self.limits.gate:
            cases = _deciding_cases(findings, metric)
            if not cases:
                continue
            prior = _pooled([self._prior(case, metric) for case in self._valid() if case.id in cases])
            if metric in shared:
                estimate = statistics.together(shared[metric].moment, prior, machine=reference.machine)
            else:
                means = self._means(reference, metric, cases)
                if not means:
                    continue
                estimate = statistics.stored(means[0], means[1:], prior, machine=reference.machine)
            finding = _suite_finding(metric, estimate, self.limits)
            suite[metric] = settled(finding, None, _suite_level(self.limits), self.limits)
        return suite

    def _means(self, reference: _Reference, metric: str, cases: Sequence[str]) -> list[float]:
        """Return a metric's mean over the cases: of this run, then of each reference run that has all of them.

        Empty if no reference run has all of them.
        """
        current = {case.id: case_figures(case) for case in self._valid()}
        runs = [run.cases for run in reference.runs if all(metric in run.cases.get(case, {}) for case in cases)]
        return (
            [_mean(METRICS[metric], [run[case][metric] for case in cases]) for run in [current, *runs]] if runs else []
        )

    def _allows_noise(self, metric: str | None = None) -> bool:
        """Return whether the settings allow for noise, in a metric or in any."""
        if self.noise is not None:
            return True
        return bool(self.limits.noise) if metric is None else self.limits.noise_of(metric) > 0

    def _valid(self) -> list[Case]:
        return [case for case in self.run.cases if case.validity is Validity.VALID]

    def _deciding(self, case: Case) -> set[str]:
        # If the settings allow for no noise, they allow for no stalls either.
        return deciding_metrics(case, self.limits, steady=self._allows_noise())

    def _prior(self, case: Case, metric: str, *, own: bool = False) -> Prior:
        return prior_of(self.noise, self.limits, case.id, metric, requests_of(case), own=own)


def _against_stored(judging: _Stored, baseline: Baseline) -> _Judged:
    run, reference = judging.run, baseline.environment
    other_load = load_differences(reference.load, run.environment.load)
    if other_load:
        ids = [*(case.id for case in run.cases), *sorted(_references(baseline.runs))]
        return _not_comparable("the baseline's", other_load, ids)
    newest, oldest = (
        _Reference(runs, control_shift(runs, reference, run.environment.machine))
        for runs in (baseline.runs, baseline.oldest)
    )
    now, since = judging.held(newest), judging.slides(newest, oldest)
    cases = _stored_cases(run, newest, now.metrics, since.metrics, oldest.first)
    cases += _missing(run, newest, baseline.profile)
    found = together(outcome(run, cases), now.suite, since.suite, oldest.first)
    return _Judged(found, cases, now.suite, now.hypotheses, since.suite)


def _undecidable(metrics: Mapping[_Name, MetricComparison]) -> dict[_Name, MetricComparison]:
    """Make all verdicts inconclusive: a different processor can explain any change, and hide any."""
    nothing = {"verdict": Verdict.INCONCLUSIVE, "detectable_percent": None, "decided_by": None}
    return {
        name: one.model_copy(update=nothing | {"reason": "" if one.advisory else "was measured on another machine"})
        if one.verdict.row.is_judged
        else one
        for name, one in metrics.items()
    }


def _mean(metric: Metric, values: Sequence[float]) -> float:
    return math.fsum(badness(metric, value) for value in values) / len(values)


def _pooled(priors: Sequence[Prior]) -> Prior:
    deviation = math.sqrt(math.fsum(prior.deviation**2 for prior in priors) / len(priors))
    return Prior(deviation, min(prior.degrees for prior in priors))


def _ids(reference: _Reference) -> set[str]:
    return {run.run_id for run in reference.runs}


def _references(runs: Iterable[BaselineRun]) -> dict[str, _Values]:
    references: dict[str, _Values] = {}
    for run in runs:
        for case, figures in run.cases.items():
            for metric, value in figures.items():
                references.setdefault(case, {}).setdefault(metric, []).append(value)
    return references


def _stored_cases(
    run: Run,
    newest: _Reference,
    judged: Mapping[Key, MetricComparison],
    slides: Mapping[Key, MetricComparison],
    first: str,
) -> list[CaseComparison]:
    """Return the run's cases in their order; ``first`` is the first of the oldest accepted runs."""
    known = _references(newest.runs)
    compared = []
    for case in run.cases:
        metrics = _of_case(judged, case.id)
        if case.validity is not Validity.VALID:
            compared.append(_not_measured(case, known=case.id in known))
        elif case.id not in known:
            reason = "the baseline does not have it"
            compared.append(CaseComparison(id=case.id, verdict=Verdict.NEW, reason=reason, metrics=metrics))
        else:
            compared.append(judged_case(case.id, metrics, _of_case(slides, case.id), first))
    return compared


def _missing(run: Run, newest: _Reference, profile: str) -> list[CaseComparison]:
    """Return the cases of the measured scenarios that only the baseline has. Skipped cases are part of a run."""
    present = {case.id for case in run.cases}
    known = _references(newest.runs)
    reason = (
        f"the baseline has it, config.yaml does not: put it back, or utils/baseline_manager.py forget {profile} CASE"
    )
    return [
        CaseComparison(id=case, verdict=Verdict.MISSING, reason=reason)
        for case in sorted(known)
        if case not in present and _scenario(case) in run.scenarios
    ]


def _scenario(case_id: str) -> str:
    return case_id.partition("/")[0]


def _stored_warnings(run: Run, baseline: Baseline, other_machine: Sequence[str], unfit: str) -> list[str]:
    lines = []
    if run.run_id in (entry.run_id for entry in baseline.runs):
        lines.append("This run is part of the baseline, so it is also compared with itself.")
    if other_machine:
        lines.append(f"The machine differs from the baseline's: {', '.join(other_machine)}.")
    if run.resources is not None and run.resources.has_other_work:
        lines.append("The machine did other work while this run was measured, which makes the results worse.")
    lesser = lesser_differences(baseline.environment, run.environment)
    if lesser:
        lines.append(f"The environment differs from the baseline's: {', '.join(lesser)}.")
    if unfit:
        lines.append(f"The machine's noise record is not used, {unfit}.")
    unselected = [case for case in _references(baseline.runs) if _scenario(case) not in run.scenarios]
    if unselected:
        scenarios = ", ".join(sorted({_scenario(case) for case in unselected}))
        lines.append(f"Not part of this run: {len(unselected)} of the baseline's cases ({scenarios}).")
    return lines


# ---------------------------------------------------------------------------------------------------------------------
# Side by side


class _Pair(NamedTuple):
    """The same case of the base and of the head, both valid. ``rounds``: the number of iterations in a block."""

    base: Case
    head: Case
    rounds: int


def _variants(base: Run, head: Run) -> tuple[VariantOfRun, VariantOfRun]:
    for run in (base, head):
        if run.variant is None:
            raise UserError(
                f"run {run.run_id}: was not measured side by side with another gateway, so it has no blocks to pair; "
                "compare it with a baseline, or measure both with ./run-advanced.sh --base/--head"
            )
    if base.started >= head.finished or head.started >= base.finished:
        raise UserError(
            f"runs {base.run_id} and {head.run_id}: were not measured at the same time, so they are not two variants "
            "of one comparison"
        )
    assert base.variant is not None
    assert head.variant is not None
    return base.variant, head.variant


def _beside(base: Run, head: Run, limits: Baselines) -> _Judged:
    other_load = load_differences(base.environment.load, head.environment.load)
    if other_load:
        ids = [*(case.id for case in head.cases), *(case.id for case in base.cases)]
        return _not_comparable("the base's", other_load, ids)
    looks = max(run.variant.looks for run in (base, head) if run.variant is not None)
    both = _both(base, head)
    findings = {key: one for id_, pair in both.items() for key, one in _paired_findings(id_, pair, limits).items()}
    cases = _paired_cases(base, head, settle(findings, limits, looks=looks))
    result = outcome(head, cases)
    if base.status is not RunStatus.COMPLETE and result.verdict.row.exit_code is ExitCode.OK:
        result = Outcome(Verdict.INVALID, f"the base's run was interrupted; {result.sentence}")
    suite = _paired_suite(both, findings, limits, looks)
    return _Judged(together(result, suite), cases, suite, _hypotheses(findings))


def _both(base: Run, head: Run) -> dict[str, _Pair]:
    bases = {case.id: case for case in base.cases if case.validity is Validity.VALID}
    rounds = base.variant.rounds if base.variant is not None else 1
    return {
        case.id: _Pair(bases[case.id], case, rounds)
        for case in head.cases
        if case.validity is Validity.VALID and case.id in bases
    }


def _blocks(pair: _Pair, metric: str) -> dict[int, tuple[float, float]]:
    """Map each block (from 0) in which both have the metric in every round to the values of base and head.

    The value is the geometric mean over the rounds, because differences are taken between logarithms.
    """
    both = list(zip(pair[0].iterations, pair[1].iterations, strict=False))
    figures: dict[int, tuple[float, float]] = {}
    for block in range(len(both) // pair.rounds):
        rounds = both[block * pair.rounds : (block + 1) * pair.rounds]
        if all(metric in one.metrics for variants in rounds for one in variants):
            figures[block] = (
                _center([base.metrics[metric] for base, _ in rounds]),
                _center([head.metrics[metric] for _, head in rounds]),
            )
    return figures


def _center(values: Sequence[float]) -> float:
    if len(values) == 1:
        return values[0]
    # A round without a ratio makes the block one without a ratio.
    return min(values) if min(values) <= 0 else math.exp(math.fsum(map(math.log, values)) / len(values))


def _paired_findings(identity: str, pair: _Pair, limits: Baselines) -> dict[Key, Finding]:
    before, after = case_figures(pair[0]), case_figures(pair[1])
    one, other = (deciding_metrics(case, limits, rounds=pair.rounds) for case in (pair.base, pair.head))
    deciding = one & other
    resolution_ms = max(pair.base.resolution_ms, pair.head.resolution_ms)
    found = {}
    for name in shown_metrics(limits):
        metric, threshold = METRICS[name], limits.threshold(name, identity)
        blocks = list(_blocks(pair, name).values())
        finding: Finding | None
        if metric.absolute or not blocks:
            # Pooled over the blocks: there is one value, and no information about its spread.
            finding = stored_finding(
                metric,
                after.get(name),
                [before[name]] if name in before else [],
                threshold=threshold,
                advisory=name not in deciding,
                known=Known(Prior(0.0, 1.0), resolution_ms),
                requests=sent_of(pair.head),
            )
            if finding is not None and finding.estimate is not None:
                finding = replace(finding, estimate=None, unjudged=(Verdict.INCONCLUSIVE, "has no values per block"))
        else:
            finding = paired_finding(
                metric, blocks, threshold=threshold, advisory=name not in deciding, resolution_ms=resolution_ms
            )
        if finding is not None:
            found[identity, name] = finding
    return found


def _paired_cases(base: Run, head: Run, judged: Mapping[Key, MetricComparison]) -> list[CaseComparison]:
    """Return the head's cases in their order, then those that only the base has."""
    bases = {case.id: case for case in base.cases}
    compared = []
    for case in head.cases:
        other = bases.get(case.id)
        measured_before = other is not None and other.validity is Validity.VALID
        if case.validity is not Validity.VALID:
            known = measured_before or (other is not None and other.only_variant)
            compared.append(_not_measured(case, known=known))
        elif other is None or other.validity is Validity.SKIPPED:
            reason = "the base does not have it" + (f": {other.reason}" if other is not None else "")
            compared.append(CaseComparison(id=case.id, verdict=Verdict.NEW, reason=reason))
        elif not measured_before:
            reason = f"on the base: {other.reason or other.validity.value}"
            compared.append(CaseComparison(id=case.id, verdict=Verdict.INVALID, reason=reason))
        else:
            compared.append(judged_case(case.id, _of_case(judged, case.id)))
    present = {case.id for case in head.cases}
    reason = "the base has it, the head does not"
    missing = [case for case in base.cases if case.id not in present and case.validity is not Validity.SKIPPED]
    return compared + [CaseComparison(id=case.id, verdict=Verdict.MISSING, reason=reason) for case in missing]


def _paired_suite(
    both: Mapping[str, _Pair], findings: Mapping[Key, Finding], limits: Baselines, looks: int
) -> dict[str, MetricComparison]:
    """Return, per gating metric, the mean over the cases that it decides, over the blocks that all of them have.

    It decides: a change that slows all cases alike is significant in their mean long before it is in any single case.
    """
    suite = {}
    for metric in limits.gate:
        differences = [
            _differences(METRICS[metric], _blocks(both[case], metric)) for case in _deciding_cases(findings, metric)
        ]
        shared = sorted(set.intersection(*map(set, differences))) if differences else []
        if len(shared) >= statistics.MIN_BLOCKS:
            means = np.array([[of_case[block] for block in shared] for of_case in differences]).mean(axis=0).tolist()
            estimate = statistics.paired(means)
            finding = _suite_finding(metric, estimate, limits, checked(estimate, means))
            suite[metric] = settled(finding, None, _suite_level(limits, looks), limits)
    return suite


def _differences(metric: Metric, blocks: Mapping[int, tuple[float, float]]) -> dict[int, float]:
    return {block: badness(metric, after) - badness(metric, before) for block, (before, after) in blocks.items()}


def _paired_warnings(base: Run, head: Run) -> list[str]:
    lines = []
    aged = [run.variant.spec for run in (base, head) if run.variant is not None and not run.variant.fresh]
    if aged:
        lines.append(
            f"Not started for this comparison: {' and '.join(aged)}. A process that has run for a long time is slower."
        )
    lesser = lesser_differences(base.environment, head.environment)
    if lesser:
        lines.append(f"Different between base and head: {', '.join(lesser)}.")
    uneven = [case for case, pair in _both(base, head).items() if len(pair[0].iterations) != len(pair[1].iterations)]
    if uneven:
        lines.append(
            f"Blocks that only one variant has are not used: {plural(len(uneven), 'case')} (the first: {uneven[0]})."
        )
    return lines
