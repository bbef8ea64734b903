"""The plan, the files that the load driver and the monitor write to ``raw/``, and what ``gateway/`` returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from benchkit.model.base import Model
from benchkit.model.runs import ComponentKind, ComponentSource, Environment, VariantOfRun
from benchkit.model.texts import HttpAddress, OneLine
from benchkit.model.upgrades import Upgrade, monitor_from_parties, plan_of_version_1

# ---------------------------------------------------------------------------------------------------------------------
# What gateway/ returns to the packages that plan and measure


@dataclass(frozen=True)
class Entity:
    """A tool, resource or prompt as the gateway lists it: the name or URI to send, its id, and its counter's name.

    ``original`` is its name on the MCP server, under which that server counts it; for a resource its URI, or the
    template that its URI belongs to. ``server`` is the name of that server; empty if the entity is the gateway's own,
    or if the release does not report its server.
    """

    name: str
    original: str
    id: str
    server: str = ""


@dataclass(frozen=True)
class CounterReading:
    """A simulated server's counts of one kind of call, and the process (``instance``) that counted them."""

    instance: str
    ok: int
    failed: int


# ---------------------------------------------------------------------------------------------------------------------
# The plan, and the files that the load driver writes to raw/


class Expectation(Model):
    """The conditions that a response must meet for its request to count as done.

    ``rows``: the list at ``rows_at`` (keys separated by dots; empty: the body itself) has exactly so many entries.
    ``rpc``: the body is a JSON-RPC response with a ``result`` and without ``error`` or a true ``isError``.
    ``rpc_error``: the body is a JSON-RPC response whose *expected* outcome is an error (either form).
    ``contains``: texts that the body contains. ``min_bytes``: the minimum size of the body.
    """

    status: int = 200
    rows: int | None = None
    rows_at: str = ""
    rpc: bool = False
    rpc_error: bool = False
    contains: list[str] = Field(default_factory=list)
    min_bytes: int = 1


class ServerCounter(Model):
    """A simulated server's counter of a case's calls: the URL of its ``/counters``, and the key of the counter."""

    url: HttpAddress
    key: OneLine


AnswerForm = Literal["body", "event"]
"""The part of a response that is checked: the ``body``, or the first ``event`` of a stream of server-sent events."""


class HttpRequest(Model):
    """An HTTP request to one address.

    ``body`` is sent unchanged (its file is ``body_file``, relative to the run's directory). ``authenticated``: the
    request carries the run's token.
    """

    kind: Literal["http"] = "http"
    method: str = "GET"
    url: HttpAddress
    headers: dict[str, str] = Field(default_factory=dict)
    body: str | None = None
    body_file: str | None = None
    authenticated: bool = True
    answer: AnswerForm = "body"

    def headers_with(self, token: str) -> dict[str, str]:
        """Return the headers, with the token if the request is authenticated and the token is not empty."""
        return self.headers | ({"Authorization": f"Bearer {token}"} if self.authenticated and token else {})


class SqlStatement(Model):
    """A statement for the database of this name."""

    kind: Literal["sql"] = "sql"
    database: OneLine
    statement: str


Request = Annotated[HttpRequest | SqlStatement, Field(discriminator="kind")]
"""The request that a load process repeats."""


class Part(Model):
    """One load process of a case, which repeats one request.

    The engine decides how many ``requests`` there are for ``concurrency`` workers.
    """

    request: Request
    requests: int
    concurrency: int
    server: OneLine = ""
    server_counter: ServerCounter | None = None


class CheckPlan(Model):
    """How responses of a case are read in full and checked while its load runs.

    ``workers`` checkers send the case's request in a closed loop and check each response against the expectation. They
    are part of the configured concurrency: the load generator gets so many workers fewer. The cases of a group share
    the workers. ``requests`` is the expected number of checked responses per iteration.

    ``busy``: the share of time (0-1) in which a checker has a request in flight. It is below 1 only with a concurrency
    of 1: the load keeps its only worker, and an additional checker pauses between its requests.
    """

    workers: int
    requests: int
    busy: float = 1.0


class PlannedCase(Model):
    """A resolved case: everything that is needed to run it, except the token.

    An ordinary case has one part. A case that is spread over several servers has one part for each, which run at the
    same time. ``group`` names a set of cases that run at the same time (mixed load).
    """

    id: str
    scenario: str
    name: str
    description: str = ""
    engine: OneLine
    """Name of the load generator in :data:`benchkit.load.engines.ENGINES`."""
    resolution_ms: float = Field(gt=0)
    """Resolution of the latencies that the engine reports."""
    closed_loop: bool = True
    """Whether each worker waits for the response before it sends the next request."""
    expect: Expectation = Expectation()
    timeout_s: int
    iterations: int
    warmup_requests: int
    parts: list[Part]
    checks: CheckPlan | None = None
    """Absent if no responses are read during the load because the engine itself checks each of them."""
    group: str = ""
    gateway_kind: Literal["tools", "resources", "prompts"] | None = None
    """The kind under which the gateway's own metrics count a request of this case; absent if they do not."""
    gateway_fails: bool = False
    """True if the expected response is an error, which the gateway counts as a failure."""
    cached: bool = False
    """True if a cache of the gateway may respond, so that the server may see fewer calls than were sent."""
    notes: list[str] = Field(default_factory=list)
    skipped: str = ""
    """Why the case cannot be measured on this target; empty if it can."""
    only_variant: bool = False
    """True if it is skipped because none of the other compared gateways can measure it."""


class PlannedDifference(Model):
    """A separate result: the difference between case ``of`` and case ``minus`` (ids of cases)."""

    id: str
    scenario: str
    name: str
    description: str = ""
    of: str
    minus: str


class Plan(Model):
    """``plan.json``: the resolved cases of a run. ``max_error_rate`` is in percent."""

    OLDER: ClassVar[Mapping[int, Upgrade]] = {1: plan_of_version_1}

    schema_version: Literal[2] = 2
    run_id: str
    created: datetime
    environment: Environment
    scenarios: list[str]
    command: str
    max_error_rate: float
    cases: list[PlannedCase]
    differences: list[PlannedDifference] = Field(default_factory=list)
    warnings: list[str] = Field(default_factory=list)
    variant: VariantOfRun | None = None
    is_cpu_profile: bool = False
    """True if the gateway is sampled in some of the rounds, so the values do not describe the gateway alone."""


class Probe(Model):
    """One checked request before or after a case's load. ``problem`` is empty if the response was as expected.

    ``when``: the phase in which it was sent. Absent in documents of older runs, whose probes are distinguished by time.
    ``cache``: the header with which a cache in front of the gateway says that it responded (``X-Cache: HIT``).
    ``retried``: the problem of an earlier response, if the request was repeated and the repetition was correct.
    """

    when: Literal["before", "after"] | None = None
    at: datetime
    latency_ms: float
    status: int | None = None
    bytes: int = 0
    problem: str = ""
    cache: str = ""
    retried: str = ""


class Checks(Model):
    """Responses of one part that were read in full and checked in one iteration.

    ``sent``: requests of the checkers. ``failed``: those without the expected status, by kind (``http 503``,
    ``transport``: no response). ``wrong``: responses with the expected status whose content is not what the case
    expects; ``first_wrong`` quotes the first, with secrets masked. ``cached``: responses from a cache in front of the
    gateway; ``cache`` is the header that says so. ``right_s``: when each correct response was complete, in seconds
    after the start of the iteration.

    ``extra_sent`` and ``extra_wrong`` count the additional checks right after the load that follow a wrong response
    during it. They only estimate how often responses are wrong; no metric includes these requests.
    """

    sent: int = 0
    failed: dict[str, int] = Field(default_factory=dict)
    wrong: int = 0
    first_wrong: str = ""
    cached: int = 0
    cache: str = ""
    right_s: list[float] = Field(default_factory=list)
    extra_sent: int = 0
    extra_wrong: int = 0


class RawPart(Model):
    """One load process. ``argv`` contains no token, ``wall_s`` is the lifetime of the process.

    ``server_calls`` and ``server_failures`` are the increase of the simulated server's counter during the load. They
    are absent if the case is not counted, or if the server was restarted meanwhile (then ``server_problem`` says so).
    """

    argv: list[str]
    sent: int
    started: datetime
    wall_s: float
    ended_s: float | None = None
    """When the generator wrote its rows, in seconds after ``started``; absent if unknown."""
    exit_status: int
    checks: Checks | None = None
    server_calls: int | None = None
    server_failures: int | None = None
    server_problem: str = ""


class RawIteration(Model):
    """``raw/<scenario>/<case>.<iteration>.json``: metadata of one iteration (counted from 1).

    The engine's rows are in the same directory: ``<case>.<iteration>.csv``, or ``<case>.<iteration>.<part>.csv``
    (counted from 1) if the case has several parts. ``probes`` are those before and after the load, in this order.
    """

    schema_version: Literal[1] = 1
    case: str
    iteration: int
    started: datetime
    finished: datetime
    parts: list[RawPart]
    probes: list[Probe] = Field(default_factory=list)
    interrupted: bool = False
    interruption: str = ""
    """What interrupted the iteration; if ``interrupted`` is false, what interrupted its discarded first attempt."""


class ExecutionCount(Model):
    """Executions of one kind since the gateway began to count."""

    succeeded: int
    failed: int


class RawGatewayCounts(Model):
    """``raw/gateway_counts.json``: the gateway's own metrics before and after the whole run.

    ``sent`` is the number of requests of each kind that this toolkit sent between the two readings, probes and warm-up
    included, as ``succeeded`` and ``failed`` by the expected outcome. ``settled``: the second reading had stabilized.
    ``doubt``: why the counts cannot be used as evidence for this run, in words; empty if they can.
    """

    schema_version: Literal[1] = 1
    before: dict[str, ExecutionCount]
    after: dict[str, ExecutionCount]
    sent: dict[str, ExecutionCount]
    settled: bool
    doubt: str = ""


class MonitoredComponent(Model):
    """A component that the monitor samples. ``variant``: the gateway it belongs to; empty if it is shared by all.

    ``name`` is unique among the components of its variant and the shared ones.
    """

    name: str
    kind: ComponentKind
    source: ComponentSource
    variant: str = ""

    @property
    def id(self) -> str:
        """Key in samples: ``variant/name``, or ``name`` if it is shared. A variant's label never contains ``/``."""
        return f"{self.variant}/{self.name}" if self.variant else self.name


class MonitoredConnections(Model):
    """A database's connections at one moment, as it reports them; ``limit`` is the maximum it accepts."""

    active: int
    idle: int
    limit: int | None = None


class MonitorHeader(Model):
    """The first line of ``raw/monitor.jsonl``; with several gateways, of ``monitor.jsonl`` in their parent directory.

    ``cores`` are the machine's, ``usable_cores`` those that this run may use (fewer in a container with a limit).
    """

    OLDER: ClassVar[Mapping[int, Upgrade]] = {1: monitor_from_parties}

    schema_version: Literal[2] = 2
    started: datetime
    interval_s: float
    cores: int
    usable_cores: float
    components: list[MonitoredComponent]
    notes: list[str]


class MonitorSample(Model):
    """Every further line: a sample, taken ``at_s`` seconds after :attr:`MonitorHeader.started`.

    ``cpu_percent`` (of one core, since the previous sample) and ``memory_mib`` are keyed by the component's id,
    ``connections`` by the database's. A component that was not found is absent. ``components`` and ``notes`` list those
    that are new since the previous line.
    """

    at_s: float
    cpu_percent: dict[str, float]
    memory_mib: dict[str, float]
    connections: dict[str, MonitoredConnections] = Field(default_factory=dict)
    components: list[MonitoredComponent] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list)


def part_files(case: PlannedCase, iteration: int) -> list[str]:
    """Return the names of an iteration's CSV files in ``raw/<scenario>/``, one for each part of the case."""
    if len(case.parts) == 1:
        return [f"{case.name}.{iteration}.csv"]
    return [f"{case.name}.{iteration}.{part}.csv" for part in range(1, len(case.parts) + 1)]
