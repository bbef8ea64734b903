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
    """One run's figures in a baseline: per case and metric the median over its iterations.

    ``control_score``: the machine's at that run. ``held_back``: figures that were better than the reference; they are
    not part of it until as many runs in a row say the same (``baselines.sustained_runs``).
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
                    raise ValueError(f"{plain_text(case, 60)}: {name} = {value:g}, which nothing can be compared with")
        return cases


MOST_VERSION = 10**9
"""The highest number of a baseline's version."""


def stored_version(version: int, info: ValidationInfo) -> int:
    """The number of a version that was written, which is at least 1."""
    if is_stored(info) and not 1 <= version <= MOST_VERSION:
        raise ValueError(f"{version} is no version: they begin at 1 and end at {MOST_VERSION}")
    return version


class Baseline(Model):
    """``baselines/baseline_<profile>.json``: what earlier runs of a profile measured.

    ``oldest``: the first accepted runs since the baseline was started, rolled back or replaced by force (for a case
    whose improvement was accepted: since then). They stay while ``runs`` moves on. ``reason`` says why this version was
    written.
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
        """A run that counted several times would make a difference look more certain than it is."""
        for run_id, count in Counter(run.run_id for run in runs).items():
            if count > 1 and is_stored(info):
                raise ValueError(f"run {plain_text(run_id, 60)} is in it {count} times")
        return runs


class NoiseRecord(Model):
    """``baselines/noise_<profile>.json``: how much runs of one unchanged gateway differ on this machine (A/A).

    ``deviation``: per case and metric the standard deviation of the natural logarithm between ``runs`` runs. ``own``:
    what of it a case does not share with the others of its run; without the metrics that too few cases have.
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
    """The verdict of a metric, a case or a run; what each of them means stands in :data:`VERDICTS`."""

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
        """Its row of :data:`VERDICTS`."""
        return VERDICTS[self]

    @property
    def severity(self) -> int:
        """Its place among all verdicts; 0 is the worst."""
        return _SEVERITY[self]


@dataclass(frozen=True)
class VerdictRow:  # pylint: disable=too-many-instance-attributes  # a row has all that is to be known
    """One row of the table of verdicts.

    Attributes:
        headline: what a whole comparison with this verdict is called.
        headline_tone: the colour of that.
        tone: the colour of a case or a figure with this verdict.
        counted: what follows a number of such cases: ``2 better``.
        exit_code: what a comparison with this verdict ends with.
        is_judged: the case was held against a reference.
        is_change: something changed, and that is proven.
        ci: what a case with this verdict is for a CI system.
        annotation: the kind of GitHub annotation that such a case gets; empty for none. Cases that fail or are an error
            always get an error.
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
        """Whether it is a regression: a change for the worse that is proven and beyond its threshold."""
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
"""Every verdict, the worst first: a case's is its worst metric's. ``INCONCLUSIVE`` ends with 4 only where
``--fail-on-inconclusive`` asks for it."""

_SEVERITY = {verdict: place for place, verdict in enumerate(VERDICTS)}


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The worst of at least one verdict."""
    return min(verdicts, key=lambda verdict: verdict.severity)


class MetricComparison(Model):
    """One metric held against its reference.

    ``change_percent`` is positive when the metric got better, negative when worse, for every metric; for an absolute
    metric (error rate) it is the difference in percentage points. ``threshold_percent`` is the limit that applied.
    ``interval`` is that of the change, 95 %, in the same unit and direction, the worse end first; of a change that is
    proven among the other cases of its run, that of the part that is its own. ``p_value`` is for no change at all,
    ``q_value`` the same after correction over the suite, ``sign_flip_p`` the exact check of a paired comparison.
    ``spread_percent`` is the standard deviation that p was reckoned with, between runs (stored; among enough other
    cases that of the case's own noise) or of the paired differences; ``samples`` how many runs the reference has, or
    how many blocks were paired.
    ``detectable_percent``: the smallest change for the worse that would have been found in 4 of 5 such comparisons.
    ``decided_by``: how many runs or blocks would decide an inconclusive metric; absent where no number does.
    ``explained_by``: what explains a part of the change, or may: how fast the machine was, or what all cases of the run
    share. ``unexplained_percent``: at least so much of a proven change is the case's own. ``shift_percent``: how much
    slower (positive) the machine, or all cases together, were where nothing could be decided.
    ``advisory`` metrics are shown and decide nothing.
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
        """What ``explained_by`` says in words; empty where nothing explains anything."""
        by_machine = self.explained_by == "machine"
        if self.unexplained_percent is not None:
            other = "the machine's own speed" if by_machine else "what all cases share"
            return f"at least {self.unexplained_percent:.1f} % of it is not {other}"
        if self.shift_percent is None:
            return ""
        changed = f"{abs(self.shift_percent):.0f} % {'slower' if self.shift_percent > 0 else 'faster'}"
        if by_machine:
            return f"the machine is {changed} than it was"
        return f"all cases together are {changed} than they were"


class CaseComparison(Model):
    """One case held against its reference; ``verdict`` is its worst metric's.

    ``since_oldest``: the deciding metrics held against the oldest accepted runs, so that a slow slide does not hide
    behind a reference that slid along. ``errors_only``: only its error rate decides, so the verdict says nothing about
    its speed.
    """

    id: str
    verdict: Verdict
    reason: str = ""
    metrics: dict[str, MetricComparison] = Field(default_factory=dict)
    since_oldest: dict[str, MetricComparison] = Field(default_factory=dict)
    errors_only: bool = False


class BaselineReference(Model):
    """Which baseline a run was held against."""

    profile: str
    version: int
    runs: list[str]


class PairedReference(Model):
    """Which gateway a run was held against, block by block: the base's run, and what both sides were named by."""

    run_id: str
    base: str
    head: str


class Comparison(Model):
    """``comparison.json``: a run held against a baseline, or a gateway against another.

    ``suite``: metric to its change over all cases that decide, with its interval: side by side, and of fewer than five
    cases, the geometric mean, else against a baseline the median. The first thing to look at, for what all cases share
    is the machine's or the gateway's doing and not one case's.
    ``suite_since_oldest``: the same, against the oldest accepted runs. ``significance`` is the share of false alarms
    that the correction over the ``hypotheses`` allows for, over all looks.
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
    """What makes the comparison weaker: another machine, another target."""
    cases: list[CaseComparison]

    @property
    def worse_cases(self) -> str:
        """How many cases have a regression; ``all`` where it is only seen in all of them together."""
        count = sum(case.verdict.row.fails for case in self.cases)
        return "all" if not count and self.verdict.row.fails else str(count)

    def together(self) -> list[tuple[str, MetricComparison, bool]]:
        """What all cases say together: metric, how it came out, and whether against the oldest accepted runs."""
        newest = [(name, compared, False) for name, compared in self.suite.items()]
        return newest + [(name, compared, True) for name, compared in self.suite_since_oldest.items()]
