"""``profile.json``, and the records of a profiled run next to its rows.

A profiled run is no result, because half of its load runs under a sampler that slows the gateway down. Therefore it has
no ``run.json``, and nothing that reads runs (baselines, history, trend) ever uses it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import ClassVar, Literal

from pydantic import Field

from benchkit.model.base import Model
from benchkit.model.runs import Environment, RunStatus, Validity
from benchkit.model.upgrades import Upgrade, with_engines


class Category(StrEnum):
    """A category of work. Every sample has exactly one; the rules are in ``categories``."""

    GC = "gc"
    MIDDLEWARE = "middleware"
    AUTH = "auth"
    DATABASE = "database"
    CACHE = "cache"
    SERIALIZATION = "serialization"
    UPSTREAM = "upstream"
    LOGGING = "logging"
    ROUTING = "routing"
    GATEWAY = "gateway"
    LOOP = "loop"
    OTHER = "other"
    GIL = "gil"
    WAITING = "waiting"


LABELS: dict[Category, tuple[str, str]] = {
    Category.GC: ("garbage collection", "Python's collector looks for reference cycles"),
    Category.MIDDLEWARE: ("middleware", "the layers around every request: Starlette's, the gateway's, compression"),
    Category.AUTH: ("authentication", "tokens, passwords, permissions, scopes"),
    Category.DATABASE: ("database", "SQLAlchemy, the driver, and SQLite, which runs inside the gateway"),
    Category.CACHE: ("cache", "Redis, and the gateway's own caches"),
    Category.SERIALIZATION: ("serialization", "JSON and the models behind it: pydantic, orjson, json"),
    Category.UPSTREAM: ("upstream calls", "the MCP client and HTTP to the MCP servers"),
    Category.LOGGING: ("logging", "logs, metrics of single requests, tracing"),
    Category.ROUTING: ("routing", "FastAPI and Starlette: finding the endpoint, resolving its dependencies"),
    Category.GATEWAY: ("gateway's own code", "its endpoints and services, where no other row fits"),
    Category.LOOP: ("event loop and HTTP", "uvloop, asyncio, uvicorn: tasks, timers, parsing and writing of requests"),
    Category.OTHER: ("the rest", "no rule matches the stack"),
    Category.GIL: ("waiting for the interpreter", "another thread runs Python code"),
    Category.WAITING: ("waiting", "for a request, an answer, a lock, or something to do"),
}
"""Category to its name and what it stands for, in the order in which they are shown."""

IDLE = frozenset({Category.GIL, Category.WAITING})
"""Categories in which a thread does no work of its own."""


# ---------------------------------------------------------------------------------------------------------------------
# Files of the recorder in raw/


class RecordedProcess(Model):
    """The samples of one process: ``file`` (next to the record) is py-spy's Chrome trace, compressed.

    The trace's clock starts at an unknown time between ``earliest`` and ``latest``. ``errors``: samples that could not
    be taken; ``behind``: how often the sampler reported that it could not keep up.
    """

    pid: int
    file: str
    earliest: datetime
    latest: datetime
    samples: int
    errors: int
    behind: int


class Recording(Model):
    """``raw/<scenario>/<case>.<round>.samples.json``: one round's sampling. A round without it was not sampled."""

    schema_version: Literal[1] = 1
    case: str
    round: int
    sampler: str
    rate: int
    native: bool
    processes: list[RecordedProcess]
    notes: list[str] = Field(default_factory=list)


# ---------------------------------------------------------------------------------------------------------------------
# profile.json


class FrameName(Model):
    """A function and its place: a path that starts at its package. ``line`` 0: unknown (compiled code)."""

    function: str
    place: str
    line: int
    category: Category


class FunctionTime(Model):
    """A function's time: ``self_s`` in itself, ``total_s`` including what it called, in seconds of working time."""

    frame: FrameName
    self_s: float
    total_s: float


class CategoryTime(Model):
    """Seconds that threads spent in a category; ``share`` (0-1) of the working time, absent for idle categories."""

    category: Category
    label: str
    about: str
    seconds: float
    share: float | None = None


class FlameNode(Model):
    """A node of the flame graph, in preorder: ``frame`` is an index into ``frames``, ``depth`` counts from 0.

    ``ms`` is the node's time including its children. Nodes that were too small are merged into one of frame -1.
    """

    frame: int
    depth: int
    ms: float


class Flame(Model):
    """The flame graph: stacks merged from the outermost frame inwards, working time only."""

    total_ms: float
    frames: list[FrameName]
    nodes: list[FlameNode]


class OverFrame(Model):
    """A frame that is on the stack more often while the slowest requests run: seconds per second of each period."""

    frame: FrameName
    share_slow: float
    share_rest: float


class Stall(Model):
    """A period without any answer, ``at_s`` after the start of the round's load; ``requests`` were waiting.

    ``slowest`` of those are among the slowest 1 %. ``category``: the category with the most time, ``category_ms``;
    ``mixed``: that is less than half of the period, so it is no explanation. ``path``: the frames that most stacks of
    the category share, innermost first, for ``path_ms``. ``unchanged_ms``: the longest time in which the Python frames
    of a working thread did not change.
    """

    round: int
    at_s: float
    ms: float
    requests: int
    slowest: int
    category: Category
    category_ms: float
    mixed: bool
    path: list[FrameName]
    path_ms: float
    unchanged_ms: float


class RequestPoint(Model):
    """One request: its start (seconds after the start of the round's load) and its duration."""

    at_s: float
    ms: float
    slow: bool


class SampledRound(Model):
    """One sampled round over time: ``shares`` has the seconds per bucket for each category."""

    round: int
    requests: list[RequestPoint]
    bucket_s: float
    shares: dict[Category, list[float]]


class RoundFigures(Model):
    """The load generator's measurements of one round, with or without the sampler. Latencies in ms."""

    round: int
    sampled: bool
    requests_per_sec: float
    p50_ms: float
    p95_ms: float
    max_ms: float


class Sampler(Model):
    """The sampling and its cost: ``rate_ratio`` is req/s with the sampler divided by req/s without it."""

    program: str
    rate: int
    native: bool
    processes: int
    samples: int
    errors: int
    behind: int
    rate_ratio: float | None = None


class Alignment(Model):
    """Accuracy of the alignment between the sampler's clock and the load generator's.

    ``uncertainty_ms``: half of the longest interval that contains the start of both clocks. ``moved_ms``: the largest
    shift of the samples that makes the gateway start to work with the first request.
    """

    uncertainty_ms: float
    moved_ms: float


class Profile(Model):
    """``profile.json``. If the case is not valid, or there are no samples, it has no shares.

    ``working_s``: seconds of work of all threads; ``load_s``: seconds of sampled load. ``gc_visible``: whether these
    samples can show collections of Python's garbage collector.
    """

    OLDER: ClassVar[Mapping[int, Upgrade]] = {1: with_engines}

    schema_version: Literal[2] = 2
    run_id: str
    case: str
    description: str
    status: RunStatus
    validity: Validity
    reason: str
    exit_code: int
    started: datetime
    environment: Environment
    commands: list[str]
    rounds: list[RoundFigures] = Field(default_factory=list)
    sampler: Sampler | None = None
    alignment: Alignment | None = None
    load_s: float = 0.0
    working_s: float = 0.0
    busiest_share: float = 0.0
    """Load (0-1) of the busiest thread: near 1, this thread limits the gateway."""
    categories: list[CategoryTime] = Field(default_factory=list)
    functions: list[FunctionTime] = Field(default_factory=list)
    flame: Flame | None = None
    slow_from_ms: float | None = None
    slow_requests: int = 0
    sampled_requests: int = 0
    stalls: list[Stall] = Field(default_factory=list)
    over: list[OverFrame] = Field(default_factory=list)
    timeline: list[SampledRound] = Field(default_factory=list)
    gc_visible: bool = False
    notes: list[str] = Field(default_factory=list)
