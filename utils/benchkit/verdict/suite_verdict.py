"""The verdict of a case from its metrics, and of the whole comparison from its cases, for both modes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from benchkit.model import METRICS, CaseComparison, MetricComparison, Run, RunStatus, Validity, Verdict, worst
from benchkit.number_format import plural
from benchkit.verdict.rules import ERROR_RATE

BY_ERRORS_ALONE = "only its error rate decides: the other figures are advisory or have no reference"
"""The reason of a case whose verdict does not cover its speed."""


SHOWN_ONLY = "shown only"
"""The word for a case without a deciding metric."""


@dataclass(frozen=True)
class Outcome:
    """The verdict of a whole comparison, and one sentence."""

    verdict: Verdict
    sentence: str


# ---------------------------------------------------------------------------------------------------------------------
# One case


def judged_case(
    identity: str,
    metrics: Mapping[str, MetricComparison],
    since_oldest: Mapping[str, MetricComparison] | None = None,
    oldest: str = "",
) -> CaseComparison:
    """Return a case with the verdict of its worst deciding metric.

    ``since_oldest``: its metrics compared with the oldest accepted runs, of which ``oldest`` is the first. Only a
    regression there counts: the newest runs may have slid too, so the comparison with them would not show it.
    """
    verdict, reason = _case_verdict(metrics)
    slid = _failing(since_oldest or {})
    if slid:
        words = [f"{METRICS[name].label} slid since {oldest}: {metric.reason}" for name, metric in slid.items()]
        verdict = worst([verdict, *(metric.verdict for metric in slid.values())])
        reason = "; ".join([reason, *words] if reason else words)
    return CaseComparison(
        id=identity,
        verdict=verdict,
        reason=reason,
        metrics=dict(metrics),
        since_oldest=dict(since_oldest or {}),
        errors_only=list(_judged(metrics)) == [ERROR_RATE],
    )


def _judged(metrics: Mapping[str, MetricComparison]) -> dict[str, MetricComparison]:
    """Return the metrics that decide and have a reference. Those that only this run has are ignored."""
    return {name: one for name, one in metrics.items() if not one.advisory and one.verdict is not Verdict.NEW}


def _case_verdict(metrics: Mapping[str, MetricComparison]) -> tuple[Verdict, str]:
    """Return the worst verdict of the deciding metrics, and its reason."""
    judged = _judged(metrics)
    if not judged:
        if not all(metric.advisory for metric in metrics.values()):
            return Verdict.NEW, "the baseline has none of the figures that decide"
        return Verdict.NOT_COMPARABLE, "shown only: none of its figures decides"
    verdict = worst(metric.verdict for metric in judged.values())
    told = {Verdict.MISSING, Verdict.NOT_COMPARABLE} | ({verdict} - {Verdict.UNCHANGED})
    # Failures that chance may explain do not change the verdict, but are reported.
    reasons = [
        f"{METRICS[name].label} {metric.reason}"
        for name, metric in judged.items()
        if metric.verdict in told or (name == ERROR_RATE and metric.reason)
    ]
    if list(judged) == [ERROR_RATE]:
        reasons.append(BY_ERRORS_ALONE)
    return verdict, "; ".join(reasons)


def is_without_ratio(case: CaseComparison) -> bool:
    """Return whether a deciding metric could not be compared, so that the case has no result."""
    return any(not metric.advisory and metric.verdict is Verdict.NOT_COMPARABLE for metric in case.metrics.values())


def is_shown_only(case: CaseComparison) -> bool:
    """Return whether none of its metrics decides, so that there was nothing to compare."""
    return case.verdict is Verdict.NOT_COMPARABLE and not is_without_ratio(case)


def case_word(case: CaseComparison) -> str:
    """Return the word for a case in a table."""
    return SHOWN_ONLY if is_shown_only(case) else case.verdict.value


def by_errors_alone(cases: Iterable[CaseComparison]) -> list[str]:
    """Return a warning if there are cases whose verdict does not cover their speed."""
    count = sum(case.errors_only for case in cases)
    if not count:
        return []
    return [f"{plural(count, 'compared case')} judged by the error rate only: the other deciding metrics are advisory."]


# ---------------------------------------------------------------------------------------------------------------------
# The whole


def outcome(run: Run, cases: Sequence[CaseComparison]) -> Outcome:
    """Apply the rules in the docstring of :mod:`benchkit.verdict.compare`, from rule 2 on."""
    compared = plural(sum(case.verdict.row.is_judged for case in cases), "compared case")
    rest = _counted(case for case in cases if not case.verdict.row.fails)
    worse = [case.verdict for case in cases if case.verdict.row.fails]
    if worse:
        critical = f" ({worse.count(Verdict.CRITICAL)} critical)" if Verdict.CRITICAL in worse else ""
        return Outcome(worst(worse), f"{len(worse)} of {compared} got worse{critical}{rest}")
    problem = _problem(run, cases)
    if problem:
        verdict, words = problem
        return Outcome(verdict, f"{words}; no regression in {compared}{rest}")
    judged = [case.verdict for case in cases if case.verdict.row.is_judged]
    if not judged:
        return Outcome(Verdict.NEW, f"the baseline has no figures for the run's {len(cases)} cases")
    return Outcome(worst(judged), f"no regression in {compared}{rest}")


def together(
    found: Outcome,
    suite: Mapping[str, MetricComparison],
    since_oldest: Mapping[str, MetricComparison] | None = None,
    oldest: str = "",
) -> Outcome:
    """Add the results over all cases (``suite``) to the outcome.

    ``since_oldest``: those against the oldest accepted runs, of which ``oldest`` is the first.
    """
    worse, slid = _failing(suite), _failing(since_oldest or {})
    better = {name: one for name, one in suite.items() if one.verdict is Verdict.IMPROVEMENT}
    words = [f"got worse ({_reasons(worse)})"] if worse else []
    words += [f"slid since {oldest} ({_reasons(slid)})"] if slid else []
    if not words:
        return replace(found, sentence=f"{found.sentence}; together they are {_reasons(better)}") if better else found
    sentence = f"the cases together {' and '.join(words)}"
    verdict = worst(compared.verdict for compared in [*worse.values(), *slid.values()])
    if found.verdict.row.fails:
        return Outcome(worst([found.verdict, verdict]), f"{found.sentence}; {sentence}")
    return Outcome(verdict, f"{sentence}; {found.sentence}")


def _failing(metrics: Mapping[str, MetricComparison]) -> dict[str, MetricComparison]:
    return {name: compared for name, compared in metrics.items() if compared.verdict.row.fails}


def _reasons(metrics: Mapping[str, MetricComparison]) -> str:
    return "; ".join(f"{METRICS[name].label} {compared.reason}" for name, compared in metrics.items())


def _problem(run: Run, cases: Sequence[CaseComparison]) -> tuple[Verdict, str] | None:
    """Return why the run cannot pass although nothing got worse; ``None`` if it can."""
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


def _counted(cases: Iterable[CaseComparison]) -> str:
    """Return ``; 2 better, 1 missing``, worst first."""
    ordered = sorted(cases, key=lambda case: case.verdict.severity)
    counts = Counter(SHOWN_ONLY if is_shown_only(case) else case.verdict.row.counted for case in ordered)
    return f"; {', '.join(f'{count} {word}' for word, count in counts.items())}" if counts else ""
