"""A run held against a baseline.

Every case of either side gets a verdict; none is passed over. Exit code and verdict of the whole, the first that holds:

1. another load: not comparable, exit 2
2. a case got worse: regression or critical, exit 1 (it is proven, whatever else went wrong)
3. work that did not happen, so that nothing can be said about it: an invalid or missing case, one whose deciding figure
   has no ratio, an interrupted run, a run without a valid case: invalid or missing, exit 3
4. nothing of the run has a reference: new, exit 2
5. otherwise it passed: improvement or unchanged, exit 0
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from benchkit.errors import ExitCode
from benchkit.model import (
    METRICS,
    Baseline,
    BaselineReference,
    Case,
    CaseComparison,
    Comparison,
    MetricComparison,
    Run,
    RunStatus,
    Validity,
    Verdict,
)
from benchkit.settings import Baselines
from benchkit.verdict.environments import (
    lesser_differences,
    load_differences,
    machine_differences,
    machine_ratio,
)
from benchkit.verdict.rules import (
    BY_SEVERITY,
    DERIVED,
    ERROR_RATE,
    STALL_SENSITIVE,
    STEADY_REQUESTS,
    WORSE,
    case_figures,
    judge,
    worst,
)

JUDGED = frozenset(
    {
        Verdict.CRITICAL,
        Verdict.REGRESSION,
        Verdict.INCONCLUSIVE,
        Verdict.SLOWER,
        Verdict.IMPROVEMENT,
        Verdict.UNCHANGED,
    }
)
"""Verdicts of cases that were held against a reference."""


BY_ERRORS_ALONE = "only its error rate decides: the other figures are advisory or have no reference"
"""The reason of a case whose verdict says nothing about its speed."""


def compare(run: Run, baseline: Baseline, limits: Baselines) -> Comparison:
    """Hold a run against a baseline. Pure: the same documents give the same comparison."""
    reference, current = baseline.environment, run.environment
    other_load = load_differences(reference.load, current.load)
    other_machine = machine_differences(reference.machine, current.machine)
    if other_load:
        cases = _not_comparable(run, baseline, "the load differs")
        outcome = _Outcome(
            Verdict.NOT_COMPARABLE,
            ExitCode.USAGE,
            f"the load differs from the baseline's ({', '.join(other_load)})",
        )
    else:
        cases = _compare_cases(run, baseline, limits, machine_ratio(reference.machine, current.machine))
        outcome = _outcome(run, cases)
    reason = outcome.sentence
    if other_machine:
        reason += "; measured on another machine than the baseline"
    return Comparison(
        run_id=run.run_id,
        baseline=BaselineReference(
            profile=baseline.profile, version=baseline.version, runs=[entry.run_id for entry in baseline.runs]
        ),
        verdict=outcome.verdict,
        reason=reason,
        exit_code=int(outcome.exit_code),
        warnings=_warnings(run, baseline, other_machine, cases),
        cases=cases,
    )


# ---------------------------------------------------------------------------------------------------------------------
# Cases


def _compare_cases(run: Run, baseline: Baseline, limits: Baselines, ratio: float) -> list[CaseComparison]:
    """The run's cases in their order, then those that only the baseline has and this run should have had."""
    references = _references(baseline)
    compared = [_compare_case(case, references.get(case.id), limits, ratio) for case in run.cases]
    present = {case.id for case in run.cases}
    missing = [case for case in references if case not in present and _scenario(case) in run.scenarios]
    return compared + [
        CaseComparison(id=case, verdict=Verdict.MISSING, reason="the baseline has it, this run does not")
        for case in sorted(missing)
    ]


_References = dict[str, list[float]]
"""Metric to its values, one for each run of the baseline that has it, the oldest first."""


def _references(baseline: Baseline) -> dict[str, _References]:
    references: dict[str, _References] = {}
    for run in baseline.runs:
        for case, figures in run.cases.items():
            for metric, value in figures.items():
                references.setdefault(case, {}).setdefault(metric, []).append(value)
    return references


def _scenario(case_id: str) -> str:
    return case_id.partition("/")[0]


def _compare_case(case: Case, references: _References | None, limits: Baselines, ratio: float) -> CaseComparison:
    if case.validity is Validity.SKIPPED:
        verdict = Verdict.NEW if references is None else Verdict.MISSING
        return CaseComparison(id=case.id, verdict=verdict, reason=f"skipped: {case.reason}")
    if case.validity is not Validity.VALID:
        prefix = "interrupted: " if case.validity is Validity.INTERRUPTED else ""
        return CaseComparison(id=case.id, verdict=Verdict.INVALID, reason=prefix + case.reason)
    metrics = _compare_metrics(case, references or {}, limits, ratio)
    if references is None:
        return CaseComparison(id=case.id, verdict=Verdict.NEW, reason="the baseline does not have it", metrics=metrics)
    verdict, reason = _case_verdict(metrics)
    return CaseComparison(id=case.id, verdict=verdict, reason=reason, metrics=metrics)


def _compare_metrics(
    case: Case, references: _References, limits: Baselines, ratio: float
) -> dict[str, MetricComparison]:
    figures = case_figures(case)
    requests = min((iteration.sent for iteration in case.iterations if iteration.sent), default=100)
    deciding = {*limits.gate, ERROR_RATE} - {*case.advisory, *DERIVED}
    if limits.noise and requests < STEADY_REQUESTS:
        deciding -= STALL_SENSITIVE
    metrics: dict[str, MetricComparison] = {}
    for name in dict.fromkeys([*limits.metrics, ERROR_RATE, *DERIVED]):
        compared = judge(
            METRICS[name],
            figures.get(name),
            references.get(name, []),
            limits,
            advisory=name not in deciding,
            requests=requests,
            machine_ratio=ratio,
        )
        if compared is not None:
            metrics[name] = compared
    return metrics


def _case_verdict(metrics: dict[str, MetricComparison]) -> tuple[Verdict, str]:
    """The worst of the metrics that decide, and what a reader has to know about it."""
    deciding = {name: metric for name, metric in metrics.items() if not metric.advisory}
    # A figure that only this run has can't be held against anything; the others still can.
    judged = {name: metric for name, metric in deciding.items() if metric.verdict is not Verdict.NEW}
    if not judged:
        if deciding:
            return Verdict.NEW, "the baseline has none of the figures that decide"
        return Verdict.NOT_COMPARABLE, "shown only: none of its figures decides"
    verdict = worst(metric.verdict for metric in judged.values())
    unjudged = {Verdict.MISSING, Verdict.NOT_COMPARABLE}
    reasons = [
        f"{METRICS[name].label} {metric.reason}" for name, metric in judged.items() if metric.verdict in unjudged
    ]
    if list(judged) == [ERROR_RATE]:
        reasons.append(BY_ERRORS_ALONE)
    return verdict, "; ".join(reasons)


def _not_comparable(run: Run, baseline: Baseline, reason: str) -> list[CaseComparison]:
    ids = dict.fromkeys([*(case.id for case in run.cases), *sorted(_references(baseline))])
    return [CaseComparison(id=case, verdict=Verdict.NOT_COMPARABLE, reason=reason) for case in ids]


# ---------------------------------------------------------------------------------------------------------------------
# The whole


@dataclass(frozen=True)
class _Outcome:
    verdict: Verdict
    exit_code: ExitCode
    sentence: str


def _outcome(run: Run, cases: list[CaseComparison]) -> _Outcome:
    compared = _cases(sum(case.verdict in JUDGED for case in cases))
    rest = _counted(case for case in cases if case.verdict not in WORSE)
    worse = [case.verdict for case in cases if case.verdict in WORSE]
    if worse:
        critical = f" ({worse.count(Verdict.CRITICAL)} critical)" if Verdict.CRITICAL in worse else ""
        sentence = f"{len(worse)} of {compared} got worse{critical}{rest}"
        return _Outcome(worst(worse), ExitCode.REGRESSION, sentence)
    problem = _problem(run, cases)
    if problem:
        verdict, words = problem
        return _Outcome(verdict, ExitCode.INVALID, f"{words}; no regression in {compared}{rest}")
    if not any(case.verdict in JUDGED for case in cases):
        sentence = f"the baseline has no figures for the run's {len(cases)} cases"
        return _Outcome(Verdict.NEW, ExitCode.USAGE, sentence)
    better = any(case.verdict is Verdict.IMPROVEMENT for case in cases)
    verdict = Verdict.IMPROVEMENT if better else Verdict.UNCHANGED
    return _Outcome(verdict, ExitCode.OK, f"no regression in {compared}{rest}")


def _problem(run: Run, cases: list[CaseComparison]) -> tuple[Verdict, str] | None:
    """Why the run can't pass although nothing in it got worse; ``None`` when it can."""
    if run.status is not RunStatus.COMPLETE:
        return Verdict.INVALID, "the run was interrupted"
    if not any(case.validity is Validity.VALID for case in run.cases):
        return Verdict.INVALID, "the run has no valid case"
    verdicts = {case.verdict for case in cases}
    if Verdict.INVALID in verdicts:
        return Verdict.INVALID, "not all work happened"
    if any(is_without_ratio(case) for case in cases):
        return Verdict.INVALID, "a deciding figure has no ratio to its reference"
    if Verdict.MISSING in verdicts:
        return Verdict.MISSING, "not all work happened"
    return None


def is_without_ratio(case: CaseComparison) -> bool:
    """Whether a figure that decides could not be compared, so that the case says nothing."""
    return any(not metric.advisory and metric.verdict is Verdict.NOT_COMPARABLE for metric in case.metrics.values())


def _counted(cases: Iterable[CaseComparison]) -> str:
    """``; 2 better, 1 missing``, the worst first."""
    counts = Counter(_word(case) for case in sorted(cases, key=lambda case: BY_SEVERITY.index(case.verdict)))
    return f"; {', '.join(f'{number} {word}' for word, number in counts.items())}" if counts else ""


def _word(case: CaseComparison) -> str:
    if case.verdict is Verdict.NOT_COMPARABLE:
        return "not comparable" if is_without_ratio(case) else "shown only"
    return {Verdict.IMPROVEMENT: "better", Verdict.NEW: "without a reference"}.get(case.verdict, case.verdict.value)


def _cases(number: int) -> str:
    return f"{number} compared case" + ("" if number == 1 else "s")


def _warnings(run: Run, baseline: Baseline, other_machine: list[str], cases: list[CaseComparison]) -> list[str]:
    lines = []
    if run.run_id in (entry.run_id for entry in baseline.runs):
        lines.append("This run is one of the baseline's: it is compared with itself as well.")
    if other_machine:
        lines.append(f"Another machine than the baseline's: {', '.join(other_machine)}.")
    lesser = lesser_differences(baseline.environment, run.environment)
    if lesser:
        lines.append(f"Different from the baseline's surroundings: {', '.join(lesser)}.")
    by_errors = sum(case.reason == BY_ERRORS_ALONE for case in cases)
    if by_errors:
        lines.append(f"{_cases(by_errors)} judged by errors alone: the figures that gate are advisory there.")
    unselected = [case for case in _references(baseline) if _scenario(case) not in run.scenarios]
    if unselected:
        scenarios = ", ".join(sorted({_scenario(case) for case in unselected}))
        lines.append(f"Not part of this run: {len(unselected)} of the baseline's cases ({scenarios}).")
    return lines
