"""``run.json``: the results of one run and its environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import ClassVar, Literal

from pydantic import Field

from benchkit.model.base import Model
from benchkit.model.metrics import MetricValues
from benchkit.model.states import CiOutcome, Tone
from benchkit.model.upgrades import Upgrade, run_of_version_1


class Validity(StrEnum):
    """Whether the work of a case was really done. :data:`VALIDITIES` has a row for each state."""

    INVALID = "invalid"
    INTERRUPTED = "interrupted"
    SKIPPED = "skipped"
    VALID = "valid"

    @property
    def row(self) -> ValidityRow:
        """The row of :data:`VALIDITIES`."""
        return VALIDITIES[self]

    @property
    def severity(self) -> int:
        """The rank among all states; 0 is the worst."""
        return _SEVERITY[self]


@dataclass(frozen=True)
class ValidityRow:
    """One row of the table of validities.

    Attributes:
        counted: the name of such cases in a sentence: ``not measured to the end: tools/list``.
        tone: the colour.
        ci: the CI outcome of a case that was not compared with anything.
    """

    counted: str
    tone: Tone
    ci: CiOutcome


VALIDITIES: dict[Validity, ValidityRow] = {
    Validity.INVALID: ValidityRow("invalid", Tone.BAD, CiOutcome.ERROR),
    Validity.INTERRUPTED: ValidityRow("not measured to the end", Tone.WARN, CiOutcome.ERROR),
    Validity.SKIPPED: ValidityRow("skipped", Tone.PLAIN, CiOutcome.SKIPPED),
    Validity.VALID: ValidityRow("valid", Tone.GOOD, CiOutcome.PASSED),
}
"""Every state of a case, worst first. Cases without a result are listed in this order."""

_SEVERITY = {validity: place for place, validity in enumerate(VALIDITIES)}


class Machine(Model):
    """The machine that generated the load.

    ``engines``: the version of each load generator, by name. ``control_score``: the duration in ms of a fixed piece of
    work (the calibration loop); lower is faster.
    """

    cpu_model: str
    cores: int
    memory_mib: int
    kernel: str
    python: str
    engines: dict[str, str]
    toolkit: str
    control_score: float | None = None


class Target(Model):
    """The gateway under test, as far as it reports about itself.

    ``uptime_s`` is the gateway's age at the start of the run, absent if it does not report it. Known for the toolkit's
    own stack only: ``settings`` (those that matter for performance), ``python`` (the version that runs the gateway) and
    ``packages`` (the first digits of the SHA-256 of the lock file that its packages were installed from).
    """

    base_url: str
    prefix: str
    origin: Literal["local", "docker", "external"]
    release: str | None = None
    python: str | None = None
    packages: str | None = None
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
    """The resolved values of a profile. Runs with different loads are not comparable."""

    profile: str
    requests: int
    concurrency: int
    timeout_s: int
    iterations: int
    warmup_requests: int


class Environment(Model):
    """The facts about a run that decide whether it can be compared with another."""

    machine: Machine
    target: Target
    load: Load


class Histogram(Model):
    """Latencies of a case's successes, over all iterations. ``edges_ms`` has one entry more than ``counts``."""

    edges_ms: list[float]
    counts: list[int]


class PercentileCurve(Model):
    """Latency (ms) at several percentiles (``percent``, 0-100, ascending).

    Only percentiles with at least :data:`MIN_SAMPLES_BEYOND` samples beyond them are included. ``pooled_ms`` is over
    all iterations together and has the length of ``percent``; ``iterations_ms`` has a list per iteration, which may be
    shorter because an iteration has fewer samples.
    """

    percent: list[float]
    pooled_ms: list[float]
    iterations_ms: list[list[float]]


class TimelinePoint(Model):
    """The requests that ended in one time bucket, which starts ``at_s`` seconds after the iteration's start."""

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
    """Counts from the gateway's own metrics, for all cases of one kind together: the gateway has none per case.

    ``expected`` is the number of requests of that kind that this toolkit sent, probes and warm-up included. ``settled``
    is false if the numbers still changed at the end of the waiting time (the gateway writes them with a delay), or if
    the reading is not reliable.
    """

    kind: Literal["tools", "resources", "prompts", "servers"]
    expected: int
    succeeded: int
    failed: int
    settled: bool
    cases: list[str]

    @property
    def recorded(self) -> bool:
        """Whether the gateway counted any request."""
        return self.succeeded + self.failed > 0


class Counts(Model):
    """A case's requests, as each of the participants counted them.

    ``sent``: requests of the load generator and of the checkers, over all measured iterations; ``ok``: expected
    responses; ``server``: calls that the simulated MCP servers counted during the measured iterations (absent if the
    case does not reach one, or if the servers are not the toolkit's); ``server_failed``: those that the server answered
    with an error. ``cached``: ``server`` is smaller than ``sent`` because a cache of the gateway responded.
    ``checked``: responses that were read in full and checked while the load ran; ``wrong``: those of them that were not
    as expected. Both are absent if none were read, and in documents from before responses were read.
    """

    sent: int
    ok: int
    checked: int | None = None
    wrong: int | None = None
    server: int | None = None
    server_failed: int | None = None
    cached: bool = False

    @property
    def hit_ratio(self) -> float | None:
        """Share of requests (0-1) that a cache answered; ``None`` if no cache was involved."""
        if not self.cached or self.server is None or self.sent == 0:
            return None
        return max(0.0, 1.0 - self.server / self.sent)


class Iteration(Model):
    """One repetition of a case's load. ``metrics`` is empty if no request succeeded.

    ``errors`` counts failures by kind: ``http 429``, ``transport`` (no response: refused, reset, timed out).
    """

    metrics: MetricValues
    sent: int
    ok: int
    errors: dict[str, int]
    started: datetime
    finished: datetime


AGGREGATE = "aggregate"
"""Name of the result over all cases of a group. No case of such a group may have this name."""


class Case(Model):
    """One kind of request: its results, or the reason why there are none."""

    id: str
    scenario: str
    name: str
    description: str = ""
    kind: Literal["measured", "aggregate", "difference"] = "measured"
    """``aggregate``: all cases of a group together; ``difference``: one case minus another."""
    validity: Validity
    reason: str = ""
    resolution_ms: float = Field(0.0, ge=0)
    """Resolution of its latencies; 0 if it has none."""
    closed_loop: bool = True
    """Whether each worker of its load waited for the response before it sent the next request."""
    only_variant: bool = False
    """True if it is skipped because none of the other compared gateways can measure it."""
    metrics: MetricValues = Field(default_factory=dict)
    """Computed from the pooled samples of all iterations; empty unless the case is valid."""
    advisory: list[str] = Field(default_factory=list)
    """Percentile metrics with too few samples beyond them."""
    notes: list[str] = Field(default_factory=list)
    """Remarks that a reader needs with the values: rounded counts, resolution, a release that ignores a limit."""
    iterations: list[Iteration] = Field(default_factory=list)
    counts: Counts | None = None
    histogram: Histogram | None = None
    percentiles: PercentileCurve | None = None
    """Absent if there are too few samples, and in documents that are older than this field."""
    timeline: Timeline | None = None


ComponentKind = Literal["machine", "gateway", "server", "database", "cache", "generator", "monitor"]
"""The role of a sampled component in the run."""

ComponentSource = Literal["system", "process", "container"]
"""Where a component's values come from: the system, a process with its children, or a container."""


class ResourceSeries(Model):
    """Resource usage of one component: a value for each time in ``Resources.at_s``, ``None`` if it was not found.

    ``cpu_percent`` is relative to one core, so 250 means two and a half cores; for kind ``machine`` it is the sum over
    all cores.
    """

    name: str
    kind: ComponentKind
    source: ComponentSource
    cpu_percent: list[float | None]
    memory_mib: list[float | None]


class ConnectionSeries(Model):
    """The connections that a database reports, a value for each time in :attr:`Resources.at_s`.

    ``limit`` is the maximum it accepts.
    """

    name: str
    active: list[int | None]
    idle: list[int | None]
    limit: int | None = None


OTHER_WORK_PERCENT = 25.0
"""Threshold, in percent of one core. The kernel's work for sockets belongs to no process, but is only a few percent."""


class Resources(Model):
    """Resource usage during a run. ``at_s``: seconds after the run's start, the common axis of all series.

    ``notes``: what could not be sampled, and why. ``other_cpu_percent``: average CPU usage of the whole machine while
    load ran, minus that of all sampled components, in percent of one core; absent if the gateway was not sampled.
    """

    interval_s: float
    at_s: list[float]
    series: list[ResourceSeries]
    connections: list[ConnectionSeries] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list)
    other_cpu_percent: float | None = None

    @property
    def has_other_work(self) -> bool:
        """Whether a program that is not part of the measurement used a relevant share of the CPU."""
        return self.other_cpu_percent is not None and self.other_cpu_percent >= OTHER_WORK_PERCENT


class RunStatus(StrEnum):
    """Whether a run was completed."""

    COMPLETE = "complete"
    INTERRUPTED = "interrupted"


class VariantOfRun(Model):
    """The gateway that a run measured, one of several that were measured together, block by block.

    ``spec`` is the user's name for it. Iteration ``i`` of all variants was measured back to back; ``rounds`` iterations
    form a block. Each block started new gateways (``fresh``; false for a gateway that the toolkit cannot start).
    ``looks`` is the maximum number of comparisons that were made with these values, over all pairs of variants and all
    interim analyses: the allowed error of a verdict is divided by it.
    """

    label: str
    spec: str
    fresh: bool
    looks: int
    rounds: int = 1


class Run(Model):
    """``run.json``: all results of one run. No later document is computed from ``raw/``."""

    OLDER: ClassVar[Mapping[int, Upgrade]] = {1: run_of_version_1}

    schema_version: Literal[2] = 2
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
    """The command that the user typed, and one command of a load process per case, without the token."""
    cases: list[Case]
    gateway_counts: list[GatewayCount] = Field(default_factory=list)
    load_seconds: float = 0.0
    """Wall time during which measured load ran, in seconds."""
    warnings: list[str] = Field(default_factory=list)
    doubts: list[str] = Field(default_factory=list)
    """Those warnings that say that something else than the gateway limited the results: the load generator, or other
    work on the machine."""
    variant: VariantOfRun | None = None
    resources: Resources | None = None
    """Resource usage of gateway, servers, databases and load generator; absent if nothing was sampled."""
