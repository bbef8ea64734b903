"""``run.json``: what one run measured, and where."""

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
    """Whether the work that a case stands for happened; what each state means stands in :data:`VALIDITIES`."""

    INVALID = "invalid"
    INTERRUPTED = "interrupted"
    SKIPPED = "skipped"
    VALID = "valid"

    @property
    def row(self) -> ValidityRow:
        """Its row of :data:`VALIDITIES`."""
        return VALIDITIES[self]

    @property
    def severity(self) -> int:
        """Its place among all states; 0 is the worst."""
        return _SEVERITY[self]


@dataclass(frozen=True)
class ValidityRow:
    """One row of the table of validities.

    Attributes:
        counted: what such cases are called in a sentence: ``not measured to the end: tools/list``.
        tone: the colour.
        ci: what a case is for a CI system that was held against nothing.
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
"""Every state of a case, the worst first: in this order cases without a result are listed."""

_SEVERITY = {validity: place for place, validity in enumerate(VALIDITIES)}


class Machine(Model):
    """Where the load was generated.

    ``engines``: what made the load, by name, and its version. ``control_score``: the time in ms of a fixed piece of
    work, lower is faster.
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
    """The gateway under test, as far as it tells. ``settings`` are those that matter, of the toolkit's own stack only.

    ``uptime_s`` is the gateway's age when the run began, absent where it does not say. ``python`` is the version that
    runs it, ``packages`` the beginning of the SHA-256 of the lock that its packages were installed from; both of the
    toolkit's own stack only.
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


class Histogram(Model):
    """Latencies of a case's successes, all iterations. ``edges_ms`` has one entry more than ``counts``."""

    edges_ms: list[float]
    counts: list[int]


class PercentileCurve(Model):
    """Latency (ms) at each of some percentiles (``percent``, 0-100, rising), so far as the samples carry it.

    A point is there only where at least :data:`MIN_SAMPLES_BEYOND` samples lie beyond it. ``pooled_ms`` is of all
    iterations together and as long as ``percent``; ``iterations_ms`` has a list for each iteration, which has fewer
    samples and so may end earlier.
    """

    percent: list[float]
    pooled_ms: list[float]
    iterations_ms: list[list[float]]


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
    numbers were still moving (the gateway writes them with a delay) at the end of the time that was waited, or their
    reading is in doubt.
    """

    kind: Literal["tools", "resources", "prompts", "servers"]
    expected: int
    succeeded: int
    failed: int
    settled: bool
    cases: list[str]

    @property
    def recorded(self) -> bool:
        """Whether the gateway counted anything at all."""
        return self.succeeded + self.failed > 0


class Counts(Model):
    """How often a case's work was counted, by those who saw it.

    ``sent``: requests of the load generator and of the checkers, over all measured iterations; ``ok``: answers as
    expected; ``server``: calls that the simulated MCP servers counted during the measured iterations (absent where the
    case does not reach one, or the servers are not ours); ``server_failed``: those that the server answered with an
    error. ``cached``: a cache of the gateway explains that ``server`` is smaller than ``sent``.
    ``checked``: answers that were read whole and checked while the load ran, ``wrong`` of them were not what the case
    expects; absent where none were read, and in documents that were written before answers were.
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
        """Share of requests (0-1) that a cache answered, where one may."""
        if not self.cached or self.server is None or self.sent == 0:
            return None
        return max(0.0, 1.0 - self.server / self.sent)


class Iteration(Model):
    """One repetition of a case's load. ``metrics`` is empty when nothing succeeded.

    ``errors`` counts failures by kind: ``http 429``, ``transport`` (no answer at all: refused, reset, timed out).
    """

    metrics: MetricValues
    sent: int
    ok: int
    errors: dict[str, int]
    started: datetime
    finished: datetime


AGGREGATE = "aggregate"
"""Name of the result that stands for a group's cases together, so no case of such a group has it."""


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
    resolution_ms: float = Field(0.0, ge=0)
    """The step in which its latencies were told; 0 where there are none."""
    closed_loop: bool = True
    """Whether each worker of its load waited for an answer before it sent the next request."""
    only_variant: bool = False
    """True where it is skipped because no other of the compared gateways can measure it."""
    metrics: MetricValues = Field(default_factory=dict)
    """Pooled over the iterations' samples; empty unless the case is valid."""
    advisory: list[str] = Field(default_factory=list)
    """Metrics whose percentile has too few samples beyond it."""
    notes: list[str] = Field(default_factory=list)
    """What a reader has to know beside the figures: rounded counts, resolution, a release that ignores a limit."""
    iterations: list[Iteration] = Field(default_factory=list)
    counts: Counts | None = None
    histogram: Histogram | None = None
    percentiles: PercentileCurve | None = None
    """Absent where the samples carry none, and in documents that were written before there was one."""
    timeline: Timeline | None = None


ComponentKind = Literal["machine", "gateway", "server", "database", "cache", "generator", "monitor"]
"""What a sampled component is for the run."""

ComponentSource = Literal["system", "process", "container"]
"""Whose figures a component's are: the system's, those of a process and its children, or a container's."""


class ResourceSeries(Model):
    """What one component used: a value for each moment of ``Resources.at_s``, absent where it was not seen.

    ``cpu_percent`` is of one core, so 250 is two cores and a half; of kind ``machine`` it is all cores together.
    ``source``: whose figures they are: the system's, those of a process and its children, or a container's.
    """

    name: str
    kind: ComponentKind
    source: ComponentSource
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


OTHER_WORK_PERCENT = 25.0
"""Of one core. What the kernel does for sockets belongs to no process and is some percent; this is somebody's work."""


class Resources(Model):
    """What was used while a run went on. ``at_s``: seconds after the run's start, the same axis for all series.

    ``notes``: what could not be sampled, and why. ``other_cpu_percent``: what the whole machine took beyond all that is
    sampled, in percent of one core, on average while load ran; absent where the gateway is not among the sampled.
    """

    interval_s: float
    at_s: list[float]
    series: list[ResourceSeries]
    connections: list[ConnectionSeries] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list)
    other_cpu_percent: float | None = None

    @property
    def has_other_work(self) -> bool:
        """Whether something that is no part of the measurement took the machine's time as well."""
        return self.other_cpu_percent is not None and self.other_cpu_percent >= OTHER_WORK_PERCENT


class RunStatus(StrEnum):
    """Whether a run came to its end."""

    COMPLETE = "complete"
    INTERRUPTED = "interrupted"


class VariantOfRun(Model):
    """Which of several gateways a run measured; all were measured at the same time, block by block.

    ``spec`` is what the user named it by. Iteration ``i`` of every variant was measured back to back with the others';
    ``rounds`` of them make a block, and each block had gateways that were started for it (``fresh``; false for one that
    the toolkit cannot start). ``looks`` is how many comparisons may have been made with these figures, of whatever
    variants and at whatever moment: the error that a verdict may make is divided by it.
    """

    label: str
    spec: str
    fresh: bool
    looks: int
    rounds: int = 1


class Run(Model):
    """``run.json``: everything that one run measured. The last document that is made from ``raw/``."""

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
    """What was typed, and one command of a load process per case, without the token."""
    cases: list[Case]
    gateway_counts: list[GatewayCount] = Field(default_factory=list)
    load_seconds: float = 0.0
    """Wall time during which measured load ran, in seconds."""
    warnings: list[str] = Field(default_factory=list)
    doubts: list[str] = Field(default_factory=list)
    """Those of the warnings after which the figures are not the gateway's alone: the load generator was the limit, or
    the machine had other work."""
    variant: VariantOfRun | None = None
    resources: Resources | None = None
    """What gateway, servers, databases and load generator used meanwhile; absent where nothing was sampled."""
