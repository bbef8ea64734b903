"""What CI is told of a run and of each of its cases: ``run.json`` and ``comparison.json`` joined.

A case passes, fails (it got worse), is an error (its work did not happen, or it could not be held against anything
although it should have been), or is skipped (nothing can be said, and nothing had to be). A run whose exit code is not
0 although each of its cases passed or was skipped has a problem of its own: :attr:`RunResult.problem`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from benchkit import store
from benchkit.errors import ExitCode, UserError
from benchkit.model import (
    METRICS,
    Case,
    CaseComparison,
    Comparison,
    Metric,
    MetricComparison,
    Run,
    RunStatus,
    Validity,
    Verdict,
)
from benchkit.plain import plain_text
from benchkit.verdict.rules import BY_SEVERITY
from benchkit.verdict.runs import load_run

MEASURED = "measured"
"""What a valid case of a run is called that was held against nothing; other cases are called by their validity."""


class Outcome(StrEnum):
    """The four outcomes that CI systems know."""

    FAILED = "failed"
    ERROR = "error"
    SKIPPED = "skipped"
    PASSED = "passed"


_OUTCOMES = {
    Verdict.CRITICAL: Outcome.FAILED,
    Verdict.REGRESSION: Outcome.FAILED,
    Verdict.INVALID: Outcome.ERROR,
    Verdict.MISSING: Outcome.ERROR,
    Verdict.NOT_COMPARABLE: Outcome.SKIPPED,
    Verdict.INCONCLUSIVE: Outcome.SKIPPED,
    Verdict.NEW: Outcome.SKIPPED,
    Verdict.SLOWER: Outcome.PASSED,
    Verdict.IMPROVEMENT: Outcome.PASSED,
    Verdict.UNCHANGED: Outcome.PASSED,
}

_BY_VALIDITY = {
    Validity.VALID: Outcome.PASSED,
    Validity.INVALID: Outcome.ERROR,
    Validity.INTERRUPTED: Outcome.ERROR,
    Validity.SKIPPED: Outcome.SKIPPED,
}

_HEADLINES = {
    Verdict.CRITICAL: "Critical regression",
    Verdict.REGRESSION: "Regression",
    Verdict.INVALID: "Invalid measurement",
    Verdict.MISSING: "Incomplete measurement",
    Verdict.NOT_COMPARABLE: "Not comparable",
    Verdict.NEW: "Nothing to compare",
    Verdict.INCONCLUSIVE: "Inconclusive",
}


@dataclass(frozen=True)
class CaseResult:
    """One case. ``scenario`` and ``name`` make its id; ``verdict`` is a :class:`Verdict`, a validity, or "measured".

    ``summary`` says in one line why the verdict is what it is, ``details`` has a line for each figure. ``change`` is
    the worst change of a deciding figure in percent, negative is worse (the error rate, which has none, apart).
    ``metrics`` are the comparison's; empty where nothing was compared. ``case`` is absent where only the reference has
    it.
    """

    id: str
    verdict: str
    outcome: Outcome
    summary: str
    details: tuple[str, ...]
    change: float | None
    metrics: Mapping[str, MetricComparison]
    case: Case | None

    @property
    def scenario(self) -> str:
        """The part of the id before the slash."""
        return self.id.partition("/")[0]

    @property
    def name(self) -> str:
        """The part of the id after the slash."""
        return self.id.partition("/")[2] or self.id


@dataclass(frozen=True)
class RunResult:
    """A run, what it was held against (``None``: nothing), and its cases in the run's order."""

    run: Run
    comparison: Comparison | None
    cases: tuple[CaseResult, ...]

    @property
    def deciding(self) -> Comparison | None:
        """The comparison where it has the last word; ``None`` where the run itself has it.

        Of two variants the comparison has it: one is called interrupted as soon as one of its cases was dropped, and
        the comparison knows of that. Of a run that was held against a baseline and was interrupted only a regression
        counts: the rest was not measured.
        """
        comparison = self.comparison
        if comparison is None or comparison.mode == "paired" or self.run.status is not RunStatus.INTERRUPTED:
            return comparison
        return comparison if comparison.exit_code == ExitCode.REGRESSION else None

    @property
    def verdict(self) -> str:
        """The whole run's verdict; of a run that was held against nothing whether it was measured."""
        if self.deciding is not None:
            return self.deciding.verdict
        if self.run.status is RunStatus.INTERRUPTED:
            return RunStatus.INTERRUPTED
        return MEASURED if self.run.exit_code == 0 else Verdict.INVALID

    @property
    def exit_code(self) -> int:
        """What a CI job should end with: of the comparison, or of the run where that has the last word."""
        return self.run.exit_code if self.deciding is None else self.deciding.exit_code

    @property
    def headline(self) -> str:
        """The verdict in a word or two."""
        if self.deciding is not None:
            return _HEADLINES.get(self.deciding.verdict, "Passed" if self.exit_code == 0 else "Failed")
        if self.run.status is RunStatus.INTERRUPTED:
            return "Interrupted"
        return "Measured" if self.run.exit_code == 0 else "Invalid measurement"

    @property
    def reason(self) -> str:
        """Why, in one line."""
        return plain_text(self.run.exit_reason if self.deciding is None else self.deciding.reason)

    @property
    def against(self) -> str:
        """What the run was held against, in words."""
        comparison = self.comparison
        if comparison is None:
            return "compared with nothing"
        if comparison.paired is not None:
            return plain_text(f"{comparison.paired.head} against {comparison.paired.base}, block by block")
        if comparison.baseline is None:
            return "against a baseline"
        baseline, runs = comparison.baseline, len(comparison.baseline.runs)
        return plain_text(
            f"against baseline {baseline.profile}, version {baseline.version}, {runs} run{'' if runs == 1 else 's'}"
        )

    @property
    def problem(self) -> str:
        """Why the run does not pass, where none of its cases shows it; else empty."""
        if self.exit_code == 0:
            return ""
        # What all cases together show, no error of one of them tells.
        telling = {Outcome.FAILED} if self.is_regression else {Outcome.FAILED, Outcome.ERROR}
        if any(case.outcome in telling for case in self.cases):
            return ""
        return f"exit code {self.exit_code}: {self.reason}"

    @property
    def is_regression(self) -> bool:
        """Whether it ends as a run does that got worse."""
        return self.exit_code == ExitCode.REGRESSION

    @property
    def worst_first(self) -> list[CaseResult]:
        """All cases, by verdict, change and id."""
        return sorted(self.cases, key=_rank)

    def counts(self) -> dict[str, int]:
        """Verdict to the number of cases that have it, the worst first; verdicts that no case has are left out."""
        return dict(Counter(case.verdict for case in self.worst_first))

    def outcomes(self) -> dict[str, int]:
        """Outcome to the number of cases that have it, for all four."""
        counts = Counter(case.outcome for case in self.cases)
        return {outcome.value: counts[outcome] for outcome in Outcome}


def load_result(directory: Path) -> RunResult:
    """Read a run's directory: ``run.json``, and ``comparison.json`` where there is one.

    In a directory of paired runs, which has no run of its own, ``head/run.json`` is the run.

    Raises:
        UserError: there is no run, a document is damaged, or the comparison is another run's.
    """
    if not directory.is_dir():
        raise UserError(f"{directory}: there is no such directory; give that of a run: results/latest")
    head = directory / "head"
    run = load_run(head if not (directory / "run.json").exists() and (head / "run.json").exists() else directory)
    path = directory / "comparison.json"
    comparison = store.load(path, Comparison, "comparison") if path.exists() else None
    if comparison is not None and comparison.run_id != run.run_id:
        raise UserError(
            f"{path}: belongs to run {comparison.run_id}, and not to {run.run_id} beside it: compare_results.py again"
        )
    return run_result(run, comparison)


def run_result(run: Run, comparison: Comparison | None) -> RunResult:
    """Join a run and its comparison: the run's cases in their order, then those that only the comparison names."""
    cases = {case.id: case for case in run.cases}
    compared = {case.id: case for case in comparison.cases} if comparison is not None else {}
    ids = dict.fromkeys([*cases, *compared])
    return RunResult(run, comparison, tuple(_case_result(one, cases.get(one), compared.get(one)) for one in ids))


def figure(metric: Metric, value: float | None) -> str:
    """``20.3 ms``; a share in percent; ``-`` for a figure that was not measured."""
    if value is None:
        return "-"
    if metric.absolute:
        return f"{100 * value:.2f} %"
    return f"{value:.{metric.decimals}f}" + (f" {metric.unit}" if metric.unit in ("ms", "s") else "")


def change_words(metric: Metric, value: float | None) -> str:
    """``-12.3 %``: positive is better; percentage points for an absolute metric, empty where there is no change."""
    if value is None or not math.isfinite(value):
        return ""
    # Adding zero after rounding: what rounds to nothing is no "-0.0".
    decimals = 2 if metric.absolute else 1
    return f"{round(value, decimals) + 0.0:+.{decimals}f} {'pp' if metric.absolute else '%'}"


def metric_words(name: str, compared: MetricComparison) -> str:
    """``p50 20.0 ms → 30.0 ms (-50.0 %): reason``."""
    metric = METRICS[name]
    words = f"{metric.label} {figure(metric, compared.reference)} → {figure(metric, compared.current)}"
    change = change_words(metric, compared.change_percent)
    if change:
        words += f" ({change})"
    if compared.advisory:
        words += ", shown only"
    return plain_text(words + (f": {compared.reason}" if compared.reason else ""))


# ---------------------------------------------------------------------------------------------------------------------
# One case


def _case_result(identity: str, case: Case | None, compared: CaseComparison | None) -> CaseResult:
    if compared is None:
        # The run has it: an id comes from one of the two.
        assert case is not None
        return _uncompared(identity, case)
    deciding = {name: metric for name, metric in compared.metrics.items() if not metric.advisory}
    changes = [
        metric.change_percent
        for name, metric in deciding.items()
        if metric.change_percent is not None and not METRICS[name].absolute
    ]
    return CaseResult(
        id=identity,
        verdict=compared.verdict.value,
        outcome=_outcome(compared),
        summary=_summary(compared, deciding),
        details=tuple(metric_words(name, metric) for name, metric in compared.metrics.items())
        + tuple(f"since the oldest: {metric_words(name, metric)}" for name, metric in compared.since_oldest.items()),
        change=min(changes, default=None),
        metrics=compared.metrics,
        case=case,
    )


def _outcome(compared: CaseComparison) -> Outcome:
    # A figure that decides and could not be compared: the run does not pass with it (exit 3).
    undecided = any(
        metric.verdict is Verdict.NOT_COMPARABLE and not metric.advisory for metric in compared.metrics.values()
    )
    return (
        Outcome.ERROR
        if undecided and _OUTCOMES[compared.verdict] is not Outcome.FAILED
        else _OUTCOMES[compared.verdict]
    )


def _summary(compared: CaseComparison, deciding: dict[str, MetricComparison]) -> str:
    """The figures that made the verdict, or the reason in words."""
    shown = [metric_words(name, metric) for name, metric in deciding.items() if metric.verdict is compared.verdict]
    shown += [
        f"since the oldest: {metric_words(name, metric)}"
        for name, metric in compared.since_oldest.items()
        if not shown and metric.verdict is compared.verdict
    ]
    return plain_text("; ".join([*shown, compared.reason] if compared.reason else shown) or compared.verdict.value)


def _uncompared(identity: str, case: Case) -> CaseResult:
    figures = tuple(f"{METRICS[name].label} {figure(METRICS[name], value)}" for name, value in case.metrics.items())
    valid = case.validity is Validity.VALID
    return CaseResult(
        id=identity,
        verdict=MEASURED if valid else case.validity.value,
        outcome=_BY_VALIDITY[case.validity],
        summary=plain_text(", ".join(figures[:3]) if valid else case.reason or case.validity.value),
        details=figures,
        change=None,
        metrics={},
        case=case,
    )


_SEVERITY: dict[str, int] = {
    **{verdict.value: place for place, verdict in enumerate(BY_SEVERITY)},
    Validity.INTERRUPTED.value: BY_SEVERITY.index(Verdict.INVALID),
    Validity.SKIPPED.value: len(BY_SEVERITY),
    MEASURED: len(BY_SEVERITY) + 1,
}


def _rank(case: CaseResult) -> tuple[int, float, str]:
    return _SEVERITY[case.verdict], case.change if case.change is not None else 0.0, case.id
