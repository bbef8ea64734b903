"""The CI results of a run and of each of its cases: ``run.json`` joined with ``comparison.json``.

A case passes, fails (it got worse), is an error (its work was not done, or it could not be compared although it should
have been), or is skipped (there is no result, and none was required). If the run's exit code is not 0 although each of
its cases passed or was skipped, :attr:`RunResult.problem` says why.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchkit import store
from benchkit.ended import Ended, ended_together
from benchkit.errors import ExitCode, UserError
from benchkit.model import (
    METRICS,
    Case,
    CaseComparison,
    CiOutcome,
    Comparison,
    MetricComparison,
    Run,
    Validity,
    Verdict,
)
from benchkit.number_format import change, figure, plural
from benchkit.plain import plain_text
from benchkit.verdict.runs import load_run
from benchkit.verdict.suite_verdict import is_without_ratio

MEASURED = "measured"
"""The word for a valid case of a run that was not compared; for other cases it is their validity."""


@dataclass(frozen=True)
class CaseResult:
    """One case. ``scenario`` and ``name`` make its id; ``state`` is its verdict, without a comparison its validity.

    ``summary`` gives the reason of the verdict in one line, ``details`` has a line per metric. ``change`` is the worst
    change of a deciding metric in percent, negative is worse (without the error rate, which has no percentage).
    ``metrics`` are the comparison's; empty if nothing was compared. ``case`` is absent if only the reference has it.
    """

    id: str
    state: Verdict | Validity
    outcome: CiOutcome
    summary: str
    details: tuple[str, ...]
    change: float | None
    metrics: Mapping[str, MetricComparison]
    case: Case | None

    @property
    def verdict(self) -> str:
        """The state in a word."""
        return MEASURED if self.state is Validity.VALID else self.state.value

    @property
    def annotation(self) -> str:
        """The kind of GitHub annotation that it gets: ``error``, ``warning`` or ``notice``; empty for none."""
        if self.outcome in (CiOutcome.FAILED, CiOutcome.ERROR):
            return "error"
        return self.state.row.annotation if isinstance(self.state, Verdict) else ""

    @property
    def is_remarkable(self) -> bool:
        """Whether it is more than passed or shown only."""
        return self.state not in (Verdict.UNCHANGED, Validity.VALID) and not (
            self.state is Verdict.NOT_COMPARABLE and self.outcome is CiOutcome.SKIPPED
        )

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
    """A run, its comparison (``None`` if there is none), its cases in the run's order, and how it ended."""

    run: Run
    comparison: Comparison | None
    cases: tuple[CaseResult, ...]
    ended: Ended

    @property
    def verdict(self) -> str:
        """The verdict of the whole run; for a run that was not compared, whether it was measured."""
        return self.ended.verdict or self.ended.word.lower()

    @property
    def exit_code(self) -> int:
        """The exit code for the CI job."""
        return self.ended.exit_code

    @property
    def headline(self) -> str:
        """The verdict in a word or two."""
        return self.ended.word

    @property
    def reason(self) -> str:
        """The reason, in one line."""
        return plain_text(self.ended.reason)

    @property
    def against(self) -> str:
        """The reference of the run, in words."""
        comparison = self.comparison
        if comparison is None:
            return "compared with nothing"
        if comparison.paired is not None:
            return plain_text(f"{comparison.paired.head} against {comparison.paired.base}, block by block")
        if comparison.baseline is None:
            return "against a baseline"
        baseline = comparison.baseline
        runs = plural(len(baseline.runs), "run")
        return plain_text(f"against baseline {baseline.profile}, version {baseline.version}, {runs}")

    @property
    def problem(self) -> str:
        """Why the run does not pass, if none of its cases shows it; else empty."""
        if self.exit_code == 0:
            return ""
        # The error of a single case does not show a regression of all cases together.
        telling = {CiOutcome.FAILED} if self.is_regression else {CiOutcome.FAILED, CiOutcome.ERROR}
        if any(case.outcome in telling for case in self.cases):
            return ""
        return f"exit code {self.exit_code}: {self.reason}"

    @property
    def is_regression(self) -> bool:
        """Whether the exit code is that of a regression."""
        return self.exit_code == ExitCode.REGRESSION

    @property
    def worst_first(self) -> list[CaseResult]:
        """All cases, sorted by verdict, change and id."""
        return sorted(self.cases, key=_rank)

    def counts(self) -> dict[str, int]:
        """Return the number of cases per verdict, worst first; verdicts without a case are left out."""
        return dict(Counter(case.verdict for case in self.worst_first))

    def outcomes(self) -> dict[str, int]:
        """Return the number of cases per outcome, for all four outcomes."""
        counts = Counter(case.outcome for case in self.cases)
        return {outcome.value: counts[outcome] for outcome in CiOutcome}


def load_result(directory: Path) -> RunResult:
    """Read a run's directory: ``run.json``, and ``comparison.json`` if there is one.

    A directory of paired runs has no ``run.json`` of its own; its run is ``head/run.json``.

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
            f"{path}: belongs to run {comparison.run_id}, but run.json is {run.run_id}: run compare_results.py again"
        )
    base = directory / "base" / "run.json"
    beside = [load_run(base)] if comparison is not None and comparison.mode == "paired" and base.exists() else []
    return run_result(run, comparison, beside)


def run_result(run: Run, comparison: Comparison | None, beside: Sequence[Run] = ()) -> RunResult:
    """Join a run and its comparison: the run's cases in their order, then those that only the comparison has.

    ``beside``: the run of the other gateway, if two were measured side by side.
    """
    cases = {case.id: case for case in run.cases}
    compared = {case.id: case for case in comparison.cases} if comparison is not None else {}
    ids = dict.fromkeys([*cases, *compared])
    return RunResult(
        run,
        comparison,
        tuple(_case_result(one, cases.get(one), compared.get(one)) for one in ids),
        ended_together([run, *beside], comparison),
    )


def metric_words(name: str, compared: MetricComparison) -> str:
    """Return ``p50 20.0 ms → 30.0 ms (-50.0 %): reason``."""
    metric = METRICS[name]
    words = f"{metric.label} {figure(metric, compared.reference)} → {figure(metric, compared.current)}"
    if moved := change(metric, compared.change_percent):
        words += f" ({moved})"
    if compared.advisory:
        words += ", shown only"
    return plain_text(words + (f": {compared.reason}" if compared.reason else ""))


# ---------------------------------------------------------------------------------------------------------------------
# One case


def _case_result(identity: str, case: Case | None, compared: CaseComparison | None) -> CaseResult:
    if compared is None:
        # Every id comes from the run or from the comparison.
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
        state=compared.verdict,
        outcome=_outcome(compared),
        summary=_summary(compared, deciding),
        details=tuple(metric_words(name, metric) for name, metric in compared.metrics.items())
        + tuple(f"since the oldest: {metric_words(name, metric)}" for name, metric in compared.since_oldest.items()),
        change=min(changes, default=None),
        metrics=compared.metrics,
        case=case,
    )


def _outcome(compared: CaseComparison) -> CiOutcome:
    # With a deciding metric that could not be compared, the run does not pass (exit 3).
    known = compared.verdict.row.ci
    return CiOutcome.ERROR if is_without_ratio(compared) and known is not CiOutcome.FAILED else known


def _summary(compared: CaseComparison, deciding: dict[str, MetricComparison]) -> str:
    """Return the metrics that have the case's verdict, or the reason in words."""
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
        state=case.validity,
        outcome=case.validity.row.ci,
        summary=plain_text(", ".join(figures[:3]) if valid else case.reason or case.validity.value),
        details=figures,
        change=None,
        metrics={},
        case=case,
    )


def _rank(case: CaseResult) -> tuple[int, float, str]:
    return case.state.severity, case.change if case.change is not None else 0.0, case.id
