"""Baselines, noise records and comparisons."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from benchkit.errors import ExitCode
from benchkit.model.base import Model, is_stored
from benchkit.model.metrics import MetricValues, is_comparable
from benchkit.model.runs import Environment
from benchkit.model.states import CiOutcome, Tone
from benchkit.model.upgrades import Upgrade, baseline_with_oldest, with_engines
from benchkit.plain import plain_text


class BaselineRun(Model):
    """One run's values in a baseline: per case and metric the median over its iterations.

    ``control_score``: the machine's at that run. ``held_back``: values that were better than the reference; they are
    added to it only when enough runs in a row confirm them (``baselines.sustained_runs``).
    """

    run_id: str
    finished: datetime
    cases: dict[str, MetricValues]
    control_score: float | None = None
    held_back: dict[str, MetricValues] = Field(default_factory=dict)

    @field_validator("cases", "held_back")
    @classmethod
    def _comparable(cls, cases: dict[str, MetricValues], info: ValidationInfo) -> dict[str, MetricValues]:
        for case, figures in cases.items() if is_stored(info) else ():
            for name, value in figures.items():
                if not is_comparable(name, value):
                    raise ValueError(f"{plain_text(case, 60)}: {name} = {value:g}, which no value can be compared with")
        return cases


MOST_VERSION = 10**9
"""The highest version number of a baseline."""


def stored_version(version: int, info: ValidationInfo) -> int:
    """Return the version number of a stored baseline unchanged, if it is valid."""
    if is_stored(info) and not 1 <= version <= MOST_VERSION:
        raise ValueError(f"{version} is not a version: versions go from 1 to {MOST_VERSION}")
    return version


class Baseline(Model):
    """``baselines/baseline_<profile>.json``: what earlier runs of a profile measured.

    ``oldest``: the first accepted runs since the baseline was started, rolled back or replaced with ``--force`` (for a
    case with an accepted improvement: since then). They are kept while ``runs`` moves on. ``reason`` says why this
    version was written.
    """

    OLDER: ClassVar[Mapping[int, Upgrade]] = {1: baseline_with_oldest, 2: with_engines}

    schema_version: Literal[3] = 3
    profile: str
    version: Annotated[int, AfterValidator(stored_version)]
    created: datetime
    environment: Environment
    runs: list[BaselineRun]
    oldest: list[BaselineRun] = Field(default_factory=list)
    reason: str = ""

    @field_validator("runs", "oldest")
    @classmethod
    def _once(cls, runs: list[BaselineRun], info: ValidationInfo) -> list[BaselineRun]:
        """Refuse duplicate runs: a run that counts several times makes a change look more significant than it is."""
        for run_id, count in Counter(run.run_id for run in runs).items():
            if count > 1 and is_stored(info):
                raise ValueError(f"run {plain_text(run_id, 60)} is listed {count} times")
        return runs


class NoiseRecord(Model):
    """``baselines/noise_<profile>.json``: how much runs of one unchanged gateway differ on this machine (A/A test).

    ``deviation``: per case and metric the standard deviation of the natural logarithm between ``runs`` runs. ``own``:
    the part of it that a case does not share with the other cases of its run; without metrics that too few cases have.
    """

    OLDER: ClassVar[Mapping[int, Upgrade]] = {1: with_engines}

    schema_version: Literal[2] = 2
    profile: str
    created: datetime
    environment: Environment
    runs: list[str]
    deviation: dict[str, MetricValues]
    own: dict[str, MetricValues] = Field(default_factory=dict)


class Verdict(StrEnum):
    """The verdict of a metric, a case or a run. :data:`VERDICTS` has a row for each."""

    CRITICAL = "critical"
    REGRESSION = "regression"
    INVALID = "invalid"
    MISSING = "missing"
    NOT_COMPARABLE = "not comparable"
    INCONCLUSIVE = "inconclusive"
    SLOWER = "slower"
    IMPROVEMENT = "improvement"
    UNCHANGED = "unchanged"
    NEW = "new"

    @property
    def row(self) -> VerdictRow:
        """The row of :data:`VERDICTS`."""
        return VERDICTS[self]

    @property
    def severity(self) -> int:
        """The rank among all verdicts; 0 is the worst."""
        return _SEVERITY[self]


@dataclass(frozen=True)
class VerdictRow:  # pylint: disable=too-many-instance-attributes  # one row of a table
    """One row of the table of verdicts.

    Attributes:
        headline: the name of a whole comparison with this verdict.
        headline_tone: the colour of the headline.
        tone: the colour of a case or a value with this verdict.
        counted: the words after a number of such cases: ``2 better``.
        exit_code: the exit code of a comparison with this verdict.
        is_judged: the case was compared with a reference.
        is_change: there is a significant change.
        ci: the CI outcome of a case with this verdict.
        annotation: the kind of GitHub annotation for such a case; empty for none. Cases whose CI outcome is failed or
            error always get an error annotation.
    """

    headline: str
    headline_tone: Tone
    tone: Tone
    counted: str
    exit_code: ExitCode
    is_judged: bool
    is_change: bool
    ci: CiOutcome
    annotation: Literal["error", "warning", "notice", ""]

    @property
    def fails(self) -> bool:
        """Whether it is a regression: a significant change for the worse, beyond its threshold."""
        return self.exit_code is ExitCode.REGRESSION


VERDICTS: dict[Verdict, VerdictRow] = {
    Verdict.CRITICAL: VerdictRow(
        headline="Critical regression",
        headline_tone=Tone.BAD,
        tone=Tone.BAD,
        counted="critical",
        exit_code=ExitCode.REGRESSION,
        is_judged=True,
        is_change=True,
        ci=CiOutcome.FAILED,
        annotation="error",
    ),
    Verdict.REGRESSION: VerdictRow(
        headline="Regression",
        headline_tone=Tone.BAD,
        tone=Tone.BAD,
        counted="worse",
        exit_code=ExitCode.REGRESSION,
        is_judged=True,
        is_change=True,
        ci=CiOutcome.FAILED,
        annotation="error",
    ),
    Verdict.INVALID: VerdictRow(
        headline="Invalid",
        headline_tone=Tone.BAD,
        tone=Tone.BAD,
        counted="invalid",
        exit_code=ExitCode.INVALID,
        is_judged=False,
        is_change=False,
        ci=CiOutcome.ERROR,
        annotation="error",
    ),
    Verdict.MISSING: VerdictRow(
        headline="Cases are missing",
        headline_tone=Tone.WARN,
        tone=Tone.WARN,
        counted="missing",
        exit_code=ExitCode.INVALID,
        is_judged=False,
        is_change=False,
        ci=CiOutcome.ERROR,
        annotation="error",
    ),
    Verdict.NOT_COMPARABLE: VerdictRow(
        headline="Not comparable",
        headline_tone=Tone.WARN,
        tone=Tone.WARN,
        counted="not comparable",
        exit_code=ExitCode.USAGE,
        is_judged=False,
        is_change=False,
        ci=CiOutcome.SKIPPED,
        annotation="",
    ),
    Verdict.INCONCLUSIVE: VerdictRow(
        headline="Inconclusive",
        headline_tone=Tone.WARN,
        tone=Tone.WARN,
        counted="inconclusive",
        exit_code=ExitCode.OK,
        is_judged=True,
        is_change=False,
        ci=CiOutcome.SKIPPED,
        annotation="warning",
    ),
    Verdict.SLOWER: VerdictRow(
        headline="Slower, within limits",
        headline_tone=Tone.WARN,
        tone=Tone.WARN,
        counted="slower within its threshold",
        exit_code=ExitCode.OK,
        is_judged=True,
        is_change=True,
        ci=CiOutcome.PASSED,
        annotation="warning",
    ),
    Verdict.IMPROVEMENT: VerdictRow(
        headline="Improved",
        headline_tone=Tone.GOOD,
        tone=Tone.GOOD,
        counted="better",
        exit_code=ExitCode.OK,
        is_judged=True,
        is_change=True,
        ci=CiOutcome.PASSED,
        annotation="notice",
    ),
    Verdict.UNCHANGED: VerdictRow(
        headline="Passed",
        headline_tone=Tone.GOOD,
        tone=Tone.PLAIN,
        counted="unchanged",
        exit_code=ExitCode.OK,
        is_judged=True,
        is_change=False,
        ci=CiOutcome.PASSED,
        annotation="",
    ),
    Verdict.NEW: VerdictRow(
        headline="Nothing to compare",
        headline_tone=Tone.PLAIN,
        tone=Tone.PLAIN,
        counted="without a reference",
        exit_code=ExitCode.USAGE,
        is_judged=False,
        is_change=False,
        ci=CiOutcome.SKIPPED,
        annotation="notice",
    ),
}
"""Every verdict, worst first: a case's verdict is that of its worst metric. ``INCONCLUSIVE`` has exit code 4 with
``--fail-on-inconclusive``."""

_SEVERITY = {verdict: place for place, verdict in enumerate(VERDICTS)}


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the worst of at least one verdict."""
    return min(verdicts, key=lambda verdict: verdict.severity)


class MetricComparison(Model):
    """The comparison of one metric with its reference.

    ``change_percent`` is positive if the metric got better and negative if it got worse, for every metric; for an
    absolute metric (error rate) it is the difference in percentage points. ``threshold_percent`` is the limit that
    applied. ``interval`` is the 95 % confidence interval of the change, in the same unit and direction, the worse end
    first; for a change that is significant relative to the other cases of its run, it is that of the case's own part.
    ``p_value`` tests the hypothesis of no change, ``q_value`` is the same corrected over the suite, ``sign_flip_p`` is
    the exact test of a paired comparison. ``spread_percent`` is the standard deviation behind p: between runs (stored;
    with enough other cases, that of the case's own noise) or of the paired differences. ``samples`` is the number of
    runs in the reference, or of paired blocks.
    ``detectable_percent``: the smallest change for the worse that 4 of 5 such comparisons would find.
    ``decided_by``: the number of runs or blocks that would decide an inconclusive metric; absent if no number would.
    ``explained_by``: what explains a part of the change, or may explain it: the machine's speed, or the shift that is
    common to all cases of the run. ``unexplained_percent``: the least part of a significant change that is the case's
    own. ``shift_percent``: how much slower (positive) the machine, or all cases together, were if nothing could be
    decided. ``advisory`` metrics are shown but decide nothing.
    """

    verdict: Verdict
    current: float | None = None
    reference: float | None = None
    change_percent: float | None = None
    threshold_percent: float | None = None
    interval: tuple[float, float] | None = None
    detectable_percent: float | None = None
    p_value: float | None = None
    q_value: float | None = None
    sign_flip_p: float | None = None
    spread_percent: float | None = None
    samples: int | None = None
    decided_by: int | None = None
    explained_by: Literal["machine", "cases"] | None = None
    unexplained_percent: float | None = None
    shift_percent: float | None = None
    advisory: bool = False
    reason: str = ""

    @property
    def explanation(self) -> str:
        """``explained_by`` in words; empty if nothing explains the change."""
        by_machine = self.explained_by == "machine"
        if self.unexplained_percent is not None:
            other = "explained by the machine's speed" if by_machine else "shared by all cases"
            return f"at least {self.unexplained_percent:.1f} % of the change is not {other}"
        if self.shift_percent is None:
            return ""
        changed = f"{abs(self.shift_percent):.0f} % {'slower' if self.shift_percent > 0 else 'faster'}"
        if by_machine:
            return f"the machine is {changed} than it was"
        return f"all cases together are {changed} than they were"


class CaseComparison(Model):
    """The comparison of one case with its reference; ``verdict`` is that of its worst metric.

    ``since_oldest``: the deciding metrics compared with the oldest accepted runs, so that a slow slide is found even if
    the reference slides too. ``errors_only``: only its error rate decides, so the verdict says nothing about its speed.
    """

    id: str
    verdict: Verdict
    reason: str = ""
    metrics: dict[str, MetricComparison] = Field(default_factory=dict)
    since_oldest: dict[str, MetricComparison] = Field(default_factory=dict)
    errors_only: bool = False


class BaselineReference(Model):
    """The baseline that a run was compared with."""

    profile: str
    version: int
    runs: list[str]


class PairedReference(Model):
    """The gateway that a run was compared with, block by block: the base's run, and the user's names for both."""

    run_id: str
    base: str
    head: str


class Comparison(Model):
    """``comparison.json``: the comparison of a run with a baseline, or of a gateway with another.

    ``suite``: maps a metric to its change over all deciding cases, with its interval: the geometric mean side by side
    and for fewer than five cases, otherwise (against a baseline) the median. Read it first: a change that all cases
    share is caused by the machine or the gateway and not by one case.
    ``suite_since_oldest``: the same, against the oldest accepted runs. ``significance`` is the share of false alarms
    that the correction over the ``hypotheses`` allows, over all looks.
    """

    schema_version: Literal[1] = 1
    run_id: str
    mode: Literal["stored", "paired"] = "stored"
    baseline: BaselineReference | None = None
    paired: PairedReference | None = None
    significance: float | None = None
    hypotheses: int = 0
    suite: dict[str, MetricComparison] = Field(default_factory=dict)
    suite_since_oldest: dict[str, MetricComparison] = Field(default_factory=dict)
    verdict: Verdict
    reason: str
    exit_code: int
    warnings: list[str] = Field(default_factory=list)
    """What weakens the comparison: another machine, another target."""
    cases: list[CaseComparison]

    @property
    def worse_cases(self) -> str:
        """The number of cases with a regression; ``all`` if it is only significant over all of them together."""
        count = sum(case.verdict.row.fails for case in self.cases)
        return "all" if not count and self.verdict.row.fails else str(count)

    def together(self) -> list[tuple[str, MetricComparison, bool]]:
        """Return the results over all cases: metric, comparison, and whether it is with the oldest accepted runs."""
        newest = [(name, compared, False) for name, compared in self.suite.items()]
        return newest + [(name, compared, True) for name, compared in self.suite_since_oldest.items()]
