"""Documents about several runs or gateways: all profiles, releases, settings, trend, scaling."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from statistics import median
from typing import ClassVar, Literal

from pydantic import Field

from benchkit.model.base import Model
from benchkit.model.metrics import MetricValues
from benchkit.model.runs import Load
from benchkit.model.upgrades import Upgrade, variants_from_sides
from benchkit.model.verdicts import Comparison, MetricComparison


class ProfileState(StrEnum):
    """The progress of one profile in a run over several profiles."""

    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    INTERRUPTED = "interrupted"


class ProfileRun(Model):
    """One profile of a run over several profiles.

    ``load``, ``scenarios`` and ``base_url``: the request at the start of the whole. ``run``: the directory of its run,
    next to that of the whole; empty if there is none. ``exit_code`` and ``reason``: how that run ended. ``earlier``:
    directories of interrupted attempts; they are kept, but are not part of the result.
    """

    profile: str
    load: Load
    scenarios: list[str]
    base_url: str
    state: ProfileState = ProfileState.PENDING
    run: str = ""
    exit_code: int | None = None
    reason: str = ""
    started: datetime | None = None
    finished: datetime | None = None
    earlier: list[str] = Field(default_factory=list)


class AllRuns(Model):
    """``all.json``: a run over several profiles, one after the other; each of them is a separate run.

    ``options`` are the flags of every run. ``finished``, ``exit_code`` and ``reason`` are absent while it is running.
    An interrupted one has them, until it is resumed.
    """

    schema_version: Literal[1] = 1
    run_id: str
    started: datetime
    options: dict[str, str]
    profiles: list[ProfileRun] = Field(min_length=1)
    finished: datetime | None = None
    exit_code: int | None = None
    reason: str = ""

    @property
    def is_complete(self) -> bool:
        """Whether all profiles are done."""
        return all(one.state is ProfileState.DONE for one in self.profiles)


class MeasuredVariant(Model):
    """One of several gateways: the user's name for it, the release it reports, and the results of its cases.

    Values are medians over the blocks. ``settings`` are the gateway's environment variables that are not secret;
    ``failed`` maps each case without results to the reason. ``broken``: those in ``failed`` that were measured but did
    not do their work; the others were not measured on this gateway.
    """

    label: str
    spec: str
    release: str
    settings: dict[str, str]
    cases: dict[str, MetricValues]
    failed: dict[str, str]
    broken: list[str] = Field(default_factory=list)

    def ratio_to(self, other: MeasuredVariant, metric: str) -> float | None:
        """Return the median ratio of a metric to the other's, over the cases that both have; ``None`` without any."""
        ratios = [
            figures[metric] / other.cases[case][metric]
            for case, figures in self.cases.items()
            if metric in figures and other.cases.get(case, {}).get(metric)
        ]
        return median(ratios) if ratios else None


class StepComparison(Model):
    """The comparison of one gateway (``head``) with another (``base``)."""

    base: str
    head: str
    comparison: Comparison

    def overall(self, metric: str) -> MetricComparison | None:
        """Return the comparison of a metric's mean over all cases; of a single case, the case's own comparison."""
        if metric in self.comparison.suite:
            return self.comparison.suite[metric]
        alone = [case.metrics[metric] for case in self.comparison.cases if metric in case.metrics]
        return alone[0] if len(alone) == 1 else None

    def changed(self, metric: str) -> list[tuple[str, MetricComparison]]:
        """Return the cases with a significant change of a deciding metric, the largest change first."""
        found = [
            (case.id, case.metrics[metric])
            for case in self.comparison.cases
            if metric in case.metrics
            and case.metrics[metric].verdict.row.is_change
            and not case.metrics[metric].advisory
        ]
        return sorted(found, key=lambda pair: (-abs(pair[1].change_percent or 0.0), pair[0]))


class VariantStudy(Model):
    """``history.json`` or ``tune.json``. ``machine`` and ``load`` are descriptions for readers elsewhere."""

    OLDER: ClassVar[Mapping[int, Upgrade]] = {1: variants_from_sides}

    schema_version: Literal[2] = 2
    kind: Literal["history", "tune"]
    run_id: str
    machine: str
    load: str
    variants: list[MeasuredVariant]
    steps: list[StepComparison]
    """In the order of the variants; for a history of more than two, the last compares the newest with the first."""

    @property
    def broken(self) -> dict[str, list[MeasuredVariant]]:
        """Maps each case that is broken in any gateway to those gateways, in their order."""
        cases = dict.fromkeys(case for variant in self.variants for case in variant.broken)
        return {case: [variant for variant in self.variants if case in variant.broken] for case in cases}

    @property
    def says_nothing(self) -> list[str]:
        """The cases that are broken in every gateway, so that they show no difference between gateways."""
        return [case for case, variants in self.broken.items() if len(variants) == len(self.variants)]


class TrendRun(Model):
    """One run of the trend; ``control_score`` is the machine's at that run, in ms; lower is faster."""

    run_id: str
    finished: datetime
    release: str | None = None
    control_score: float | None = None


class ChangePoint(Model):
    """A change of level between two consecutive runs.

    ``change_percent`` (positive: better) with its 95 % interval (Welch's t on logarithms), the worse end first.
    ``runs_before`` and ``runs_after`` are the numbers of runs at the two levels. ``machine_percent``: how much longer
    the machine's calibration loop took at the later level, if that is significant (95 %).
    """

    last_before: TrendRun
    first_after: TrendRun
    change_percent: float
    interval: tuple[float, float]
    p_value: float
    runs_before: int
    runs_after: int
    machine_percent: float | None = None


class Slide(Model):
    """A slow slide (drift) over ``runs`` runs, beginning with ``since``; percentages as in :class:`ChangePoint`.

    ``interval`` is that of ``total_percent`` (Sen's, 95 %); ``q_value`` is Mann-Kendall's p, corrected over all series.
    """

    since: TrendRun
    runs: int
    per_ten_runs_percent: float
    total_percent: float
    interval: tuple[float, float]
    p_value: float
    q_value: float


class SeriesTrend(Model):
    """One metric of one case over the runs. ``values`` has one entry for each run of the trend, in the metric's unit.

    ``noise_percent``: the deviation between neighbouring runs. ``problem``: why the series cannot be analysed.
    """

    case: str
    metric: str
    unit: str
    advisory: bool = False
    values: list[float | None]
    change_points: list[ChangePoint] = Field(default_factory=list)
    slide: Slide | None = None
    noise_percent: float | None = None
    problem: str = ""

    @property
    def change_percent(self) -> float:
        """The change by which series are sorted: that of a current slide, else of the newest change point, else 0."""
        if self.slide is not None:
            return self.slide.total_percent
        return self.change_points[-1].change_percent if self.change_points else 0.0


class Trend(Model):
    """The trend of a profile: its runs, oldest first, and the series, worst first.

    ``left_out`` says how many stored runs were excluded, and why. ``needed_runs`` is how many a series needs.
    """

    schema_version: Literal[1] = 1
    profile: str
    runs: list[TrendRun]
    left_out: list[str]
    needed_runs: int
    significance: float
    series: list[SeriesTrend]


Varied = Literal["servers", "concurrency"]
"""The independent variable of a scalability study: registered MCP servers, or concurrent requests."""


@dataclass(frozen=True)
class ScalabilityLaw:
    """The Universal Scalability Law, fitted to throughput by concurrency.

    ``single`` is the throughput (requests per second) of one worker; ``contention`` and ``coherency`` are the law's two
    loss parameters; ``misfit`` is the root mean square of the residuals of the logarithms. ``peak_at`` (a concurrency)
    and ``peak`` (requests per second) are absent if the law has no peak within the measured range.
    """

    single: float
    contention: float
    coherency: float
    misfit: float
    peak_at: float | None
    peak: float | None


@dataclass(frozen=True)
class ScalingCurve:
    """One metric of a case by the independent variable, in the metric's unit.

    ``points``: one per run; ``medians``: one per value of the variable (place). ``knee`` is the place where the curve
    bends; ``remark`` says why none is marked; ``is_sparse``: because there are too few places to find one.
    """

    metric: str
    points: list[tuple[float, float]]
    medians: list[tuple[float, float]]
    knee: float | None
    remark: str
    law: ScalabilityLaw | None
    is_sparse: bool = False


@dataclass(frozen=True)
class ScalingCase:
    """A case by the independent variable; ``left_out``: the runs without results of it, and why."""

    id: str
    curves: list[ScalingCurve]
    left_out: list[str]


@dataclass(frozen=True)
class ScalingStudy:
    """How a gateway scales. ``places`` are the measured values of the variable, ``runs`` is the number of runs."""

    varied: Varied
    places: list[int]
    runs: int
    cases: list[ScalingCase]
