"""What is passed between the rooms: the metric table and the documents.

Every document carries a ``schema_version``; :func:`benchkit.store.load` refuses any other than its own. Units stand in
the names or in :data:`METRICS`. A figure that was not measured is absent (``None``, not written), never zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from statistics import median
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

# ---------------------------------------------------------------------------------------------------------------------
# Metrics


class Worse(StrEnum):
    """In which direction a metric gets worse."""

    HIGHER = "higher"
    LOWER = "lower"


@dataclass(frozen=True)
class Metric:
    """One row of the metric table.

    ``percentile`` is set for latency percentiles (0-100): below ``10 / (1 - p)`` samples such a figure is advisory.
    ``absolute`` metrics are compared by difference and not by ratio.
    """

    name: str
    label: str
    unit: str
    worse: Worse
    decimals: int
    percentile: float | None = None
    absolute: bool = False


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("p50_latency", "p50", "ms", Worse.HIGHER, 1, percentile=50.0),
        Metric("p95_latency", "p95", "ms", Worse.HIGHER, 1, percentile=95.0),
        Metric("p99_latency", "p99", "ms", Worse.HIGHER, 1, percentile=99.0),
        Metric("mean_latency", "mean", "ms", Worse.HIGHER, 1),
        Metric("min_latency", "min", "ms", Worse.HIGHER, 1),
        Metric("max_latency", "max", "ms", Worse.HIGHER, 1),
        Metric("requests_per_sec", "req/s", "1/s", Worse.LOWER, 1),
        Metric("total_time", "total", "s", Worse.HIGHER, 2),
        Metric("error_rate", "errors", "share", Worse.HIGHER, 4, absolute=True),
        # The gateway's own share of a call: measured through it, less measured direct.
        Metric("added_p50_latency", "added p50", "ms", Worse.HIGHER, 1),
        Metric("added_p95_latency", "added p95", "ms", Worse.HIGHER, 1),
        Metric("added_p99_latency", "added p99", "ms", Worse.HIGHER, 1),
        Metric("throughput_ratio", "of direct", "share", Worse.LOWER, 3),
    )
}
"""Every figure that a case can have. Latencies are over successes, ``requests_per_sec`` is successes per second of wall
time, ``error_rate`` is failures divided by requests sent (0-1)."""

MIN_SAMPLES_BEYOND = 10
"""A percentile with fewer samples beyond it than this is advisory: P95 below n = 200, P99 below n = 1000."""


def needed_samples(metric: Metric) -> int:
    """How many successes a percentile needs so that :data:`MIN_SAMPLES_BEYOND` of them lie beyond it; 1 for others."""
    if metric.percentile is None:
        return 1
    # Integer arithmetic in tenths of a percent: 10 / (1 - 0.95) is 199.99999999999983 in floating point.
    beyond_per_mille = round((100.0 - metric.percentile) * 10)
    return -(-MIN_SAMPLES_BEYOND * 1000 // beyond_per_mille)


# ---------------------------------------------------------------------------------------------------------------------
# Documents


class Model(BaseModel):
    """Base of all documents and their parts: immutable, and a key that nobody knows is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Validity(StrEnum):
    """Whether the work that a case stands for happened."""

    VALID = "valid"
    INVALID = "invalid"
    INTERRUPTED = "interrupted"
    SKIPPED = "skipped"


class Machine(Model):
    """Where the load was generated. ``control_score`` is the time in ms of a fixed piece of work, lower is faster."""

    cpu_model: str
    cores: int
    memory_mib: int
    kernel: str
    python: str
    hey: str
    toolkit: str
    control_score: float | None = None


class Target(Model):
    """The gateway under test, as far as it tells. ``settings`` are those that matter, of the toolkit's own stack only.

    ``uptime_s`` is the gateway's age when the run began, absent where it does not say.
    """

    base_url: str
    prefix: str
    origin: Literal["local", "docker", "external"]
    release: str | None = None
    database: str | None = None
    database_version: str | None = None
    cache: str | None = None
    workers: int | None = None
    uptime_s: float | None = None
    servers: int = 0
    tools: int = 0
    resources: int = 0
    prompts: int = 0
    settings: dict[str, str] = Field(default_factory=dict)


class Load(Model):
    """A profile's values, resolved. Two runs with a different load are not comparable."""

    profile: str
    requests: int
    concurrency: int
    timeout_s: int
    iterations: int
    warmup_requests: int


class Environment(Model):
    """What has to be known about a run to compare it with another."""

    machine: Machine
    target: Target
    load: Load


Figures = dict[str, float]
"""Metric name (a key of :data:`METRICS`) to value, in the table's unit. Absent means not measured."""


class Histogram(Model):
    """Latencies of a case's successes, all iterations. ``edges_ms`` has one entry more than ``counts``."""

    edges_ms: list[float]
    counts: list[int]


class TimelinePoint(Model):
    """What ended within one bucket of time: ``at_s`` is the bucket's start, counted from the iteration's start."""

    at_s: float
    ok: int
    failed: int
    p50_ms: float | None = None
    p95_ms: float | None = None
    max_ms: float | None = None


class Timeline(Model):
    """Latency and throughput over time; one list of points per iteration."""

    bucket_s: float
    iterations: list[list[TimelinePoint]]


class GatewayCount(Model):
    """What the gateway's own metrics counted, for all cases of one kind together: they are not kept per case.

    ``expected`` is what this toolkit sent of that kind, probes and warm-up included. ``settled`` is false when the
    numbers were still moving (the gateway writes them with a delay) at the end of the time that was waited.
    """

    kind: Literal["tools", "resources", "prompts", "servers"]
    expected: int
    succeeded: int
    failed: int
    settled: bool
    cases: list[str]


class Counts(Model):
    """How often a case's work was counted, by those who saw it.

    ``sent``: requests that hey was told to send, over all measured iterations; ``ok``: answers as expected;
    ``server``: calls that the simulated MCP servers counted during the measured iterations (absent where the case does
    not reach one, or the servers are not ours); ``server_failed``: those of them that the server answered
    with an error. ``cached``: a cache of the gateway explains that ``server`` is smaller than ``sent``.
    """

    sent: int
    ok: int
    server: int | None = None
    server_failed: int | None = None
    cached: bool = False

    @property
    def hit_ratio(self) -> float | None:
        """Share of requests (0-1) that a cache answered, where one may."""
        if not self.cached or self.server is None or self.sent == 0:
            return None
        return max(0.0, 1.0 - self.server / self.sent)


class Iteration(Model):
    """One repetition of a case's load. ``metrics`` is empty when nothing succeeded.

    ``errors`` counts failures by kind: ``http 429``, ``transport`` (no answer at all: refused, reset, timed out).
    """

    metrics: Figures
    sent: int
    ok: int
    errors: dict[str, int]
    started: datetime
    finished: datetime


class Case(Model):
    """One kind of request that was measured, or the reason why it was not."""

    id: str
    scenario: str
    name: str
    description: str = ""
    kind: Literal["measured", "aggregate", "difference"] = "measured"
    """``aggregate``: a group's cases together; ``difference``: what one case takes more than another."""
    validity: Validity
    reason: str = ""
    metrics: Figures = Field(default_factory=dict)
    """Pooled over the iterations' samples; empty unless the case is valid."""
    advisory: list[str] = Field(default_factory=list)
    """Metrics whose percentile has too few samples beyond it."""
    notes: list[str] = Field(default_factory=list)
    """What a reader has to know beside the figures: rounded counts, resolution, a release that ignores a limit."""
    iterations: list[Iteration] = Field(default_factory=list)
    counts: Counts | None = None
    histogram: Histogram | None = None
    timeline: Timeline | None = None


PartyKind = Literal["machine", "gateway", "server", "database", "cache", "generator", "monitor"]
"""What a sampled party is for the run."""

PartySource = Literal["system", "process", "container"]
"""Whose figures a party's are: the system's, those of a process and its children, or a container's."""


class ResourceSeries(Model):
    """What one party took of its machine: a value for each moment of ``Resources.at_s``, absent where it was not seen.

    ``cpu_percent`` is of one core, so 250 is two cores and a half; of kind ``machine`` it is all cores together.
    ``source``: whose figures they are: the system's, those of a process and its children, or a container's.
    """

    name: str
    kind: PartyKind
    source: PartySource
    cpu_percent: list[float | None]
    memory_mib: list[float | None]


class ConnectionSeries(Model):
    """A database's own view of the connections to it, a value for each moment of :attr:`Resources.at_s`.

    ``limit`` is how many it takes at most.
    """

    name: str
    active: list[int | None]
    idle: list[int | None]
    limit: int | None = None


class Resources(Model):
    """What was used while a run went on. ``at_s``: seconds after the run's start, the same axis for all series.

    ``notes``: what could not be sampled, and why.
    """

    interval_s: float
    at_s: list[float]
    series: list[ResourceSeries]
    connections: list[ConnectionSeries] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list)


class RunStatus(StrEnum):
    """Whether a run came to its end."""

    COMPLETE = "complete"
    INTERRUPTED = "interrupted"


NO_OTHER_SIDE = "no other side can measure it"
"""Why a case is skipped on the only one of several gateways that has it."""


class SideOfRun(Model):
    """Which side of a comparison of gateways a run is: several gateways were measured at the same time, block by block.

    ``spec`` is what the user named it by. Iteration ``i`` of every side was measured back to back with the others';
    ``rounds`` of them make a block, and each block had gateways that were started for it (``fresh``; false for one that
    the toolkit cannot start). ``looks`` is how many comparisons may have been made with these figures, of whatever
    sides and at whatever moment: the error that a verdict may make is divided by it.
    """

    label: str
    spec: str
    fresh: bool
    looks: int
    rounds: int = 1


class Run(Model):
    """``run.json``: everything that one run measured. The last document that is made from ``raw/``."""

    schema_version: Literal[1] = 1
    run_id: str
    profile: str
    status: RunStatus
    started: datetime
    finished: datetime
    exit_code: int
    exit_reason: str
    environment: Environment
    scenarios: list[str]
    commands: list[str]
    """What was typed, and one hey command per case, without the token."""
    cases: list[Case]
    gateway_counts: list[GatewayCount] = Field(default_factory=list)
    load_seconds: float = 0.0
    """Wall time during which measured load ran, in seconds."""
    warnings: list[str] = Field(default_factory=list)
    side: SideOfRun | None = None
    resources: Resources | None = None
    """What gateway, servers, databases and load generator used meanwhile; absent where nothing was sampled."""


class ProfileState(StrEnum):
    """How far one profile of a run over several profiles is."""

    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    INTERRUPTED = "interrupted"


class ProfileRun(Model):
    """One profile of a run over several profiles.

    ``load``, ``scenarios`` and ``base_url``: what was asked for when all began. ``run``: the directory of its run,
    beside that of the whole; empty where there is none. ``exit_code`` and ``reason``: how that run ended. ``earlier``:
    directories of attempts that were cut short; they are kept, and no part of the result.
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
    """``all.json``: a run over several profiles, one after the other; each is a run of its own.

    ``options`` are the flags that every run gets. ``finished``, ``exit_code`` and ``reason`` are absent while it goes
    on; an interrupted one has them too, and loses them when it is resumed.
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
        """Whether no profile is left to be measured."""
        return all(one.state is ProfileState.DONE for one in self.profiles)


class BaselineRun(Model):
    """One run's figures in a baseline: per case and metric the median over its iterations.

    ``control_score``: the machine's at that run. ``held_back``: figures that were better than the reference; they are
    not part of it until as many runs in a row say the same (``baselines.sustained_runs``).
    """

    run_id: str
    finished: datetime
    cases: dict[str, Figures]
    control_score: float | None = None
    held_back: dict[str, Figures] = Field(default_factory=dict)


class Baseline(Model):
    """``baselines/baseline_<profile>.json``: what earlier runs of a profile measured.

    ``oldest``: the first accepted runs since the baseline was started, rolled back or replaced by force (for a case
    whose improvement was accepted: since then). They stay while ``runs`` moves on. ``reason`` says why this version was
    written.
    """

    schema_version: Literal[2] = 2
    profile: str
    version: int
    created: datetime
    environment: Environment
    runs: list[BaselineRun]
    oldest: list[BaselineRun] = Field(default_factory=list)
    reason: str = ""


class NoiseRecord(Model):
    """``baselines/noise_<profile>.json``: how much runs of one unchanged gateway differ on this machine (A/A).

    ``deviation``: per case and metric the standard deviation of the natural logarithm between ``runs`` runs.
    """

    schema_version: Literal[1] = 1
    profile: str
    created: datetime
    environment: Environment
    runs: list[str]
    deviation: dict[str, Figures]


class Verdict(StrEnum):
    """The verdict of a metric, a case or a run (STATISTICS says when each is given)."""

    REGRESSION = "regression"
    CRITICAL = "critical"
    SLOWER = "slower"
    IMPROVEMENT = "improvement"
    UNCHANGED = "unchanged"
    INCONCLUSIVE = "inconclusive"
    MISSING = "missing"
    NEW = "new"
    INVALID = "invalid"
    NOT_COMPARABLE = "not comparable"


CHANGES = frozenset({Verdict.CRITICAL, Verdict.REGRESSION, Verdict.SLOWER, Verdict.IMPROVEMENT})
"""Verdicts that say that something changed."""

REGRESSIONS = frozenset({Verdict.CRITICAL, Verdict.REGRESSION})
"""Verdicts that fail a run."""


class MetricComparison(Model):
    """One metric held against its reference.

    ``change_percent`` is positive when the metric got better, negative when worse, for every metric; for an absolute
    metric (error rate) it is the difference in percentage points. ``threshold_percent`` is the limit that applied.
    ``interval`` is that of the change, 95 %, in the same unit and direction, the worse end first. ``p_value`` is for no
    change at all, ``q_value`` the same after correction over the suite, ``sign_flip_p`` the exact check of a paired
    comparison. ``spread_percent`` is the standard deviation that was reckoned with, between runs (stored) or of the
    paired differences; ``samples`` how many runs the reference has, or how many blocks were paired.
    ``detectable_percent``: the smallest change for the worse that would have been found in 4 of 5 such comparisons.
    ``decided_by``: how many runs or blocks would decide an inconclusive metric; absent where no number does.
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
    advisory: bool = False
    reason: str = ""


class CaseComparison(Model):
    """One case held against its reference; ``verdict`` is its worst metric's.

    ``since_oldest``: the deciding metrics held against the oldest accepted runs, so that a slow slide does not hide
    behind a reference that slid along.
    """

    id: str
    verdict: Verdict
    reason: str = ""
    metrics: dict[str, MetricComparison] = Field(default_factory=dict)
    since_oldest: dict[str, MetricComparison] = Field(default_factory=dict)


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

    ``suite``: metric to the geometric mean of its change over all cases that decide, with its interval; the first thing
    to look at, for what all cases share is the machine's or the gateway's doing and not one case's. ``significance`` is
    the share of false alarms that the correction over the ``hypotheses`` allows for, over all looks.
    """

    schema_version: Literal[1] = 1
    run_id: str
    mode: Literal["stored", "paired"] = "stored"
    baseline: BaselineReference | None = None
    paired: PairedReference | None = None
    significance: float | None = None
    hypotheses: int = 0
    suite: dict[str, MetricComparison] = Field(default_factory=dict)
    verdict: Verdict
    reason: str
    exit_code: int
    warnings: list[str] = Field(default_factory=list)
    """What makes the comparison weaker: another machine, another target."""
    cases: list[CaseComparison]


class MeasuredSide(Model):
    """One of several gateways: what it was named by, what it said it is, and its cases' figures.

    Figures are medians over the blocks. ``settings`` are the gateway's environment variables as far as they are not
    secret; ``failed``: case to the reason why it has no figures.
    """

    label: str
    spec: str
    release: str
    settings: dict[str, str]
    cases: dict[str, Figures]
    failed: dict[str, str]

    def ratio_to(self, other: MeasuredSide, metric: str) -> float | None:
        """The median, over the cases that both have, of a metric's ratio to the other's; ``None`` without any."""
        ratios = [
            figures[metric] / other.cases[case][metric]
            for case, figures in self.cases.items()
            if metric in figures and other.cases.get(case, {}).get(metric)
        ]
        return median(ratios) if ratios else None


class StepComparison(Model):
    """One gateway (``head``) held against another (``base``)."""

    base: str
    head: str
    comparison: Comparison

    def overall(self, metric: str) -> MetricComparison | None:
        """A metric's mean over all cases; a single case has no such mean, and stands for itself."""
        if metric in self.comparison.suite:
            return self.comparison.suite[metric]
        alone = [case.metrics[metric] for case in self.comparison.cases if metric in case.metrics]
        return alone[0] if len(alone) == 1 else None

    def changed(self, metric: str) -> list[tuple[str, MetricComparison]]:
        """The cases of which a deciding metric changed, beyond doubt; the largest change first."""
        found = [
            (case.id, case.metrics[metric])
            for case in self.comparison.cases
            if metric in case.metrics and case.metrics[metric].verdict in CHANGES and not case.metrics[metric].advisory
        ]
        return sorted(found, key=lambda pair: (-abs(pair[1].change_percent or 0.0), pair[0]))


class SidesDocument(Model):
    """``history.json`` or ``tune.json``. ``machine`` and ``load`` in words, for whoever reads it elsewhere."""

    schema_version: Literal[1] = 1
    kind: Literal["history", "tune"]
    run_id: str
    machine: str
    load: str
    sides: list[MeasuredSide]
    steps: list[StepComparison]
    """In the order of the sides; for a history with more than two the last is from the first to the newest."""


class TrendRun(Model):
    """One run of the trend; ``control_score`` is the machine's at that run, in ms, lower is faster."""

    run_id: str
    finished: datetime
    release: str | None = None
    control_score: float | None = None


class ChangePoint(Model):
    """A change of level between two runs that follow each other.

    ``change_percent`` (positive: better) with its interval of 95 % (Welch's t on logarithms), the worse end first.
    ``runs_before`` and ``runs_after`` are how many runs the two levels have. ``machine_percent``: by how much more time
    the machine's own control work took on the later level, where that is more than chance (95 %).
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
    """A slow slide over the ``runs`` since the first of them; percentages as in :class:`ChangePoint`.

    ``interval`` is that of ``total_percent`` (Sen's, 95 %); ``q_value`` is Mann-Kendall's p after correction over all
    series.
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

    ``noise_percent``: the deviation between neighbouring runs. ``problem`` says why nothing can be said.
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
        """The change that counts for the order: what slides now, else the newest change of level, else none."""
        if self.slide is not None:
            return self.slide.total_percent
        return self.change_points[-1].change_percent if self.change_points else 0.0


class Trend(Model):
    """The trend of a profile: its runs, the oldest first, and the series, the worst first.

    ``left_out`` says how many stored runs are not part of it, and why. ``needed_runs`` is how many a series needs.
    """

    schema_version: Literal[1] = 1
    profile: str
    runs: list[TrendRun]
    left_out: list[str]
    needed_runs: int
    significance: float
    series: list[SeriesTrend]


Varied = Literal["servers", "concurrency"]
"""What runs of a scalability study differ in: registered MCP servers, or concurrent requests."""


@dataclass(frozen=True)
class ScalabilityLaw:
    """The Universal Scalability Law as it fits a throughput over concurrency.

    ``single`` is the requests per second of one worker; ``contention`` and ``coherency`` are the law's two losses;
    ``misfit`` the root mean square of the residuals of the logarithms. ``peak_at`` (a concurrency) and ``peak``
    (requests per second) are absent where the law has no peak within what was measured.
    """

    single: float
    contention: float
    coherency: float
    misfit: float
    peak_at: float | None
    peak: float | None


@dataclass(frozen=True)
class ScalingCurve:
    """One metric of a case over what was varied, in the metric's unit.

    ``points``: each run's; ``medians``: one for each place. ``knee`` is the place where the curve bends; ``remark``
    says why none is marked.
    """

    metric: str
    points: list[tuple[float, float]]
    medians: list[tuple[float, float]]
    knee: float | None
    remark: str
    law: ScalabilityLaw | None


@dataclass(frozen=True)
class ScalingCase:
    """A case over what was varied; ``left_out``: which runs have no figures of it, and why."""

    id: str
    curves: list[ScalingCurve]
    left_out: list[str]


@dataclass(frozen=True)
class ScalingStudy:
    """How far a gateway scales. ``places`` are the values that were measured, ``runs`` how many runs did."""

    varied: Varied
    places: list[int]
    runs: int
    cases: list[ScalingCase]


# ---------------------------------------------------------------------------------------------------------------------
# Between the rooms that plan and measure, and the one that speaks to the gateway


@dataclass(frozen=True)
class Entity:
    """A tool, resource or prompt as the gateway lists it: the name or URI to send, its id, and its counter's name.

    ``original`` is how the MCP server itself calls it, and how that server counts it; for a resource its URI, or the
    template that its URI belongs to. ``server`` is that server's name; empty where it is the gateway's own, or the
    release does not say whose it is.
    """

    name: str
    original: str
    id: str
    server: str = ""


@dataclass(frozen=True)
class CounterReading:
    """What a simulated server counted of one kind of call, and which process counted it."""

    instance: str
    ok: int
    failed: int


# ---------------------------------------------------------------------------------------------------------------------
# The plan, and what the driver leaves in raw/


class Expectation(Model):
    """What an answer must be, so that the request counts as work that happened.

    ``rows``: exactly that many entries in the list at ``rows_at`` (dots separate keys; empty: the body itself).
    ``rpc``: the body is a JSON-RPC answer with a ``result`` and without ``error`` or a true ``isError``.
    ``rpc_error``: the body is a JSON-RPC answer whose *expected* outcome is an error (either form).
    ``contains``: a text that stands in the body. ``min_bytes``: the body's least size.
    """

    status: int = 200
    rows: int | None = None
    rows_at: str = ""
    rpc: bool = False
    rpc_error: bool = False
    contains: list[str] = Field(default_factory=list)
    min_bytes: int = 1


class ServerCounter(Model):
    """Where a simulated server counts a case's calls: the URL of its ``/counters``, and the counter's key."""

    url: str
    key: str


class Part(Model):
    """One load process of a case: hey sends one request again and again to one address.

    ``body`` is sent as it is (its file is ``body_file``, relative to the run's directory). ``requests`` is a multiple
    of ``concurrency``, for hey sends ``requests // concurrency`` per worker and drops the rest.
    """

    url: str
    body: str | None = None
    body_file: str | None = None
    requests: int
    concurrency: int
    server: str = ""
    server_counter: ServerCounter | None = None


class PlannedCase(Model):
    """A case, resolved: everything but the token is here.

    An ordinary case has one part; a case that is spread over several servers has one for each, run at the same time.
    ``group`` names a set of cases that run at the same time (mixed load).
    """

    id: str
    scenario: str
    name: str
    description: str = ""
    tool: Literal["hey", "sse"] = "hey"
    method: str = "GET"
    headers: dict[str, str] = Field(default_factory=dict)
    authenticated: bool = True
    expect: Expectation = Expectation()
    timeout_s: int
    iterations: int
    warmup_requests: int
    parts: list[Part]
    group: str = ""
    gateway_kind: Literal["tools", "resources", "prompts"] | None = None
    """As what the gateway's own metrics count a request of this case; absent when they do not."""
    gateway_fails: bool = False
    """True where the expected answer is an error, which the gateway counts as a failure."""
    cached: bool = False
    """True where a cache of the gateway may answer, so that the server may see fewer calls than were sent."""
    notes: list[str] = Field(default_factory=list)
    skipped: str = ""
    """Why the case can't be measured on this target; empty when it can."""


class PlannedDifference(Model):
    """A result of its own: what case ``of`` takes more than case ``minus`` (ids of cases)."""

    id: str
    scenario: str
    name: str
    description: str = ""
    of: str
    minus: str


class Plan(Model):
    """``plan.json``: the resolved cases of a run. ``max_error_rate`` in percent."""

    schema_version: Literal[1] = 1
    run_id: str
    created: datetime
    environment: Environment
    scenarios: list[str]
    command: str
    max_error_rate: float
    cases: list[PlannedCase]
    differences: list[PlannedDifference] = Field(default_factory=list)
    warnings: list[str] = Field(default_factory=list)
    side: SideOfRun | None = None


class Probe(Model):
    """One verified request beside a case's load. ``problem`` is empty when the answer was as expected."""

    at: datetime
    latency_ms: float
    status: int | None = None
    bytes: int = 0
    problem: str = ""


class RawPart(Model):
    """One load process: ``argv`` holds no token, ``wall_s`` is the process's lifetime.

    ``server_calls`` and ``server_failures`` are the differences of the simulated server's counter around the load;
    absent when it is not counted or the server was restarted meanwhile (then ``server_problem`` says so).
    """

    argv: list[str]
    sent: int
    started: datetime
    wall_s: float
    exit_status: int
    server_calls: int | None = None
    server_failures: int | None = None
    server_problem: str = ""


class RawIteration(Model):
    """``raw/<scenario>/<case>.<iteration>.json``: what surrounds the rows of one iteration (counted from 1).

    The rows themselves are hey's CSV: ``<case>.<iteration>.csv``, or ``<case>.<iteration>.<part>.csv`` (counted from 1)
    where the case has several parts. ``probes`` are those before and after the load, in this order.
    """

    schema_version: Literal[1] = 1
    case: str
    iteration: int
    started: datetime
    finished: datetime
    parts: list[RawPart]
    probes: list[Probe] = Field(default_factory=list)
    interrupted: bool = False


class ExecutionCount(Model):
    """Executions of one kind since the gateway began to count."""

    succeeded: int
    failed: int


class RawGatewayCounts(Model):
    """``raw/gateway_counts.json``: the gateway's own metrics around the whole run.

    ``sent`` is what this toolkit sent of each kind between the two readings, probes and warm-up included, as
    ``succeeded`` and ``failed`` by the outcome that was expected. ``settled``: the second reading had stopped moving.
    """

    schema_version: Literal[1] = 1
    before: dict[str, ExecutionCount]
    after: dict[str, ExecutionCount]
    sent: dict[str, ExecutionCount]
    settled: bool


class MonitoredParty(Model):
    """Who is sampled. ``side``: which of several gateways it belongs to; empty where it belongs to all of them.

    ``name`` is unique within its side and those without one.
    """

    name: str
    kind: PartyKind
    source: PartySource
    side: str = ""

    @property
    def id(self) -> str:
        """What samples call it; a side's label has no stroke."""
        return f"{self.side}/{self.name}" if self.side else self.name


class MonitoredConnections(Model):
    """A database's connections at one moment, in its own view; ``limit`` is how many it takes at most."""

    active: int
    idle: int
    limit: int | None = None


class MonitorHeader(Model):
    """The first line of ``raw/monitor.jsonl`` (of ``monitor.jsonl`` beside the sides where there are several gateways).

    ``cores`` are the machine's, ``usable_cores`` those that this run may use (less in a container with a limit).
    """

    schema_version: Literal[1] = 1
    started: datetime
    interval_s: float
    cores: int
    usable_cores: float
    parties: list[MonitoredParty]
    notes: list[str]


class MonitorSample(Model):
    """Every further line: what was seen at ``at_s`` seconds after :attr:`MonitorHeader.started`.

    ``cpu_percent`` (of one core, since the sample before) and ``memory_mib`` by the party's id, ``connections`` by the
    database's; who was not seen is not in them. ``parties`` and ``notes`` are those that came up since the last line.
    """

    at_s: float
    cpu_percent: dict[str, float]
    memory_mib: dict[str, float]
    connections: dict[str, MonitoredConnections] = Field(default_factory=dict)
    parties: list[MonitoredParty] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list)


def part_files(case: PlannedCase, iteration: int) -> list[str]:
    """File names of an iteration's CSVs below ``raw/<scenario>/``, one for each part of the case."""
    if len(case.parts) == 1:
        return [f"{case.name}.{iteration}.csv"]
    return [f"{case.name}.{iteration}.{part}.csv" for part in range(1, len(case.parts) + 1)]
