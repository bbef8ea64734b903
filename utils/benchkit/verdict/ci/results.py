"""What CI is told of a run and of each of its cases: ``run.json`` and ``comparison.json`` joined.

A case passes, fails (it got worse), is an error (its work did not happen, or it could not be held against anything
although it should have been), or is skipped (nothing can be said, and nothing had to be). A run whose exit code is not
0 although each of its cases passed or was skipped has a problem of its own: :attr:`RunResult.problem`.
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
"""What a valid case of a run is called that was held against nothing; other cases are called by their validity."""


@dataclass(frozen=True)
class CaseResult:
    """One case. ``scenario`` and ``name`` make its id; ``state`` is its verdict, without a comparison its validity.

    ``summary`` says in one line why the verdict is what it is, ``details`` has a line for each figure. ``change`` is
    the worst change of a deciding figure in percent, negative is worse (the error rate, which has none, apart).
    ``metrics`` are the comparison's; empty where nothing was compared. ``case`` is absent where only the reference has
    it.
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
        """Whether there is more to it than that it passed, or was only shown."""
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
    """A run, what it was held against (``None``: nothing), its cases in the run's order, and how it ended."""

    run: Run
    comparison: Comparison | None
    cases: tuple[CaseResult, ...]
    ended: Ended

    @property
    def verdict(self) -> str:
        """The whole run's verdict; of a run that was held against nothing whether it was measured."""
        return self.ended.verdict or self.ended.word.lower()

    @property
    def exit_code(self) -> int:
        """What a CI job should end with."""
        return self.ended.exit_code

    @property
    def headline(self) -> str:
        """The verdict in a word or two."""
        return self.ended.word

    @property
    def reason(self) -> str:
        """Why, in one line."""
        return plain_text(self.ended.reason)

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
        baseline = comparison.baseline
        runs = plural(len(baseline.runs), "run")
        return plain_text(f"against baseline {baseline.profile}, version {baseline.version}, {runs}")

    @property
    def problem(self) -> str:
        """Why the run does not pass, where none of its cases shows it; else empty."""
        if self.exit_code == 0:
            return ""
        # What all cases together show, no error of one of them tells.
        telling = {CiOutcome.FAILED} if self.is_regression else {CiOutcome.FAILED, CiOutcome.ERROR}
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
        return {outcome.value: counts[outcome] for outcome in CiOutcome}


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
    base = directory / "base" / "run.json"
    beside = [load_run(base)] if comparison is not None and comparison.mode == "paired" and base.exists() else []
    return run_result(run, comparison, beside)


def run_result(run: Run, comparison: Comparison | None, beside: Sequence[Run] = ()) -> RunResult:
    """Join a run and its comparison: the run's cases in their order, then those that only the comparison names.

    ``beside``: the run of the gateway that was measured beside it.
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
    """``p50 20.0 ms → 30.0 ms (-50.0 %): reason``."""
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
    # A figure that decides and could not be compared: the run does not pass with it (exit 3).
    known = compared.verdict.row.ci
    return CiOutcome.ERROR if is_without_ratio(compared) and known is not CiOutcome.FAILED else known


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
