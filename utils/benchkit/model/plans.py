"""The plan, what the driver and the monitor leave in ``raw/``, and what the gateway's room tells the others."""

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

    url: HttpAddress
    key: OneLine


AnswerForm = Literal["body", "event"]
"""What the answer to a request is: its ``body``, or the first ``event`` of a stream of server-sent events."""


class HttpRequest(Model):
    """An HTTP request to one address.

    ``body`` is sent as it is (its file is ``body_file``, relative to the run's directory). ``authenticated``: it
    carries the run's token.
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
        """Its headers, the token's among them where it carries one; an empty token is left out."""
        return self.headers | ({"Authorization": f"Bearer {token}"} if self.authenticated and token else {})


class SqlStatement(Model):
    """A statement for a database of this name."""

    kind: Literal["sql"] = "sql"
    database: OneLine
    statement: str


Request = Annotated[HttpRequest | SqlStatement, Field(discriminator="kind")]
"""What a load process sends again and again."""


class Part(Model):
    """One load process of a case, which sends one request again and again.

    The engine's rule decides how many ``requests`` there are for ``concurrency`` workers.
    """

    request: Request
    requests: int
    concurrency: int
    server: OneLine = ""
    server_counter: ServerCounter | None = None


class CheckPlan(Model):
    """How answers of a case are read whole and checked while its load runs.

    ``workers`` checkers send the case's request in a closed loop, each answer being held against the expectation. They
    are part of the configured concurrency: the load generator gets that many workers fewer. In a group its cases share
    the workers. ``requests`` is how many checked answers an iteration is expected to give.

    ``busy``: the share of the time (0-1) that a checker has a request under way. It is below 1 only where the
    concurrency is 1: then there is no worker to take, and a checker beside the load pauses between its requests.
    """

    workers: int
    requests: int
    busy: float = 1.0


class PlannedCase(Model):
    """A case, resolved: everything but the token is here.

    An ordinary case has one part; a case that is spread over several servers has one for each, run at the same time.
    ``group`` names a set of cases that run at the same time (mixed load).
    """

    id: str
    scenario: str
    name: str
    description: str = ""
    engine: OneLine
    """What makes the load, by its name in :data:`benchkit.load.engines.ENGINES`."""
    resolution_ms: float = Field(gt=0)
    """The step in which the engine tells latencies."""
    closed_loop: bool = True
    """Whether each worker waits for an answer before it sends the next request."""
    expect: Expectation = Expectation()
    timeout_s: int
    iterations: int
    warmup_requests: int
    parts: list[Part]
    checks: CheckPlan | None = None
    """Absent where no answer is read during the load, for the engine itself checks each."""
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
    only_variant: bool = False
    """True where it is skipped because no other of the compared gateways can measure it."""


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
    """True where the gateway is sampled in some of the rounds, so that the figures are no measurement of it."""


class Probe(Model):
    """One verified request beside a case's load. ``problem`` is empty when the answer was as expected.

    ``when``: in which phase it was sent. Absent in documents of older runs, whose probes are told apart by their time.
    ``cache``: the header by which a cache in front of the gateway says that it gave the answer (``X-Cache: HIT``).
    ``retried``: what was wrong with an earlier answer, where the request was sent again and then answered rightly.
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
    """Answers of one part that were read whole and checked in one iteration.

    ``sent``: requests of the checkers. ``failed``: those without the expected status, by kind (``http 503``,
    ``transport``: no answer). ``wrong``: answers with the expected status that are not what the case expects;
    ``first_wrong`` says what came, with secrets masked. ``cached``: answers that a cache in front of the
    gateway gave; ``cache`` is the header that says so. ``right_s``: when each right answer was complete, in seconds
    after the iteration's start.

    ``extra_sent`` and ``extra_wrong`` count what was checked right after the load because a wrong answer had come
    during it: no figure is made of these requests, they only say how often answers are wrong.
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
    """One load process: ``argv`` holds no token, ``wall_s`` is the process's lifetime.

    ``server_calls`` and ``server_failures`` are the differences of the simulated server's counter around the load;
    absent when it is not counted or the server was restarted meanwhile (then ``server_problem`` says so).
    """

    argv: list[str]
    sent: int
    started: datetime
    wall_s: float
    ended_s: float | None = None
    """When the generator wrote its rows, in seconds after ``started``; absent where that is not known."""
    exit_status: int
    checks: Checks | None = None
    server_calls: int | None = None
    server_failures: int | None = None
    server_problem: str = ""


class RawIteration(Model):
    """``raw/<scenario>/<case>.<iteration>.json``: what surrounds the rows of one iteration (counted from 1).

    The engine's rows stand beside it: ``<case>.<iteration>.csv``, or ``<case>.<iteration>.<part>.csv`` (counted from 1)
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
    interruption: str = ""
    """What interrupted the iteration; where ``interrupted`` is false, its first attempt, which does not count."""


class ExecutionCount(Model):
    """Executions of one kind since the gateway began to count."""

    succeeded: int
    failed: int


class RawGatewayCounts(Model):
    """``raw/gateway_counts.json``: the gateway's own metrics around the whole run.

    ``sent`` is what this toolkit sent of each kind between the two readings, probes and warm-up included, as
    ``succeeded`` and ``failed`` by the outcome that was expected. ``settled``: the second reading had stopped moving.
    ``doubt``: why the counts are no witness of this run, in words; empty where nothing speaks against them.
    """

    schema_version: Literal[1] = 1
    before: dict[str, ExecutionCount]
    after: dict[str, ExecutionCount]
    sent: dict[str, ExecutionCount]
    settled: bool
    doubt: str = ""


class MonitoredComponent(Model):
    """Who is sampled. ``variant``: which of several gateways it belongs to; empty where it belongs to all of them.

    ``name`` is unique within its variant and those without one.
    """

    name: str
    kind: ComponentKind
    source: ComponentSource
    variant: str = ""

    @property
    def id(self) -> str:
        """What samples call it; a variant's label has no stroke."""
        return f"{self.variant}/{self.name}" if self.variant else self.name


class MonitoredConnections(Model):
    """A database's connections at one moment, in its own view; ``limit`` is how many it takes at most."""

    active: int
    idle: int
    limit: int | None = None


class MonitorHeader(Model):
    """The first line of ``raw/monitor.jsonl``; with several gateways, of ``monitor.jsonl`` beside their directories.

    ``cores`` are the machine's, ``usable_cores`` those that this run may use (less in a container with a limit).
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
    """Every further line: what was seen at ``at_s`` seconds after :attr:`MonitorHeader.started`.

    ``cpu_percent`` (of one core, since the sample before) and ``memory_mib`` by the component's id, ``connections`` by
    the database's; a component that was not seen is absent. ``components`` and ``notes`` are new since the last line.
    """

    at_s: float
    cpu_percent: dict[str, float]
    memory_mib: dict[str, float]
    connections: dict[str, MonitoredConnections] = Field(default_factory=dict)
    components: list[MonitoredComponent] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list)


def part_files(case: PlannedCase, iteration: int) -> list[str]:
    """File names of an iteration's CSVs below ``raw/<scenario>/``, one for each part of the case."""
    if len(case.parts) == 1:
        return [f"{case.name}.{iteration}.csv"]
    return [f"{case.name}.{iteration}.{part}.csv" for part in range(1, len(case.parts) + 1)]
