"""Settings: ``config.yaml``, a profile, the environment and flags, validated once.

Only this module knows the source of a value: flag > environment > profile > ``config.yaml``. Every error names the
source, the key, the value, and what would be valid.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from benchkit.disclosure import address_problem
from benchkit.errors import UserError, os_reason
from benchkit.model import AGGREGATE, METRICS

ROOT = Path(__file__).resolve().parents[2]
"""The checkout; relative paths in ``config.yaml`` start here."""

NEWEST = "newest"
"""Value of ``stack.gateway.version`` for the newest tested release that a Python on this machine can run."""

Percent = Annotated[float, Field(ge=0, le=1000)]
Port = Annotated[int, Field(ge=1, le=65535)]
GatewaySettings = dict[Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*$")], str | int | float | bool]
"""Environment variables of a gateway."""
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=60)]
Route = Literal["rest", "rpc", "mcp", "direct"]


class Section(BaseModel):
    """Base of the sections of ``config.yaml``: immutable, strictly typed; an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Service(Section):
    """Address and mode of the gateway."""

    base_url: str = "http://127.0.0.1:4444"
    mode: Literal["auto", "local", "docker", "external"] = "auto"
    health_check_timeout: int = Field(60, ge=1, le=3600)
    auth_required: bool = True

    @field_validator("mode")
    @classmethod
    def _is_available(cls, value: str) -> str:
        if value == "docker":
            raise ValueError(
                "starting the stack in Docker comes with a later version; use local for a stack of processes, external "
                "for a gateway that runs already, or auto"
            )
        return value

    @field_validator("base_url")
    @classmethod
    def _is_http_url(cls, value: str) -> str:
        if problem := address_problem(value):
            raise ValueError(problem)
        return value.rstrip("/")


class Auth(Section):
    """Login. ``token`` is used unchanged if it is set; ``token_cache`` is a file with mode 0600."""

    email: str = "admin@example.com"
    password: str = "changeme"  # noqa: S105 - the specification's default, a placeholder
    token: str = ""
    # Owner, mode and links are checked before each use.
    token_cache: str = "/tmp/perf_test_token.txt"  # noqa: S105, S108


class Performance(Section):
    """The load. Times in seconds, rates in percent."""

    hey_binary: str = Field("hey", min_length=1)
    default_requests: int = Field(1000, ge=1, le=999_999)
    default_concurrency: int = Field(50, ge=1, le=10_000)
    default_timeout: int = Field(30, ge=1, le=3600)
    iterations: int = Field(3, ge=1, le=1000)
    warmup: bool = True
    warmup_requests: int = Field(10, ge=0, le=100_000)
    max_error_rate: Percent = 1.0
    metrics_wait: int = Field(15, ge=0, le=600)
    monitor: bool = True


class Baselines(Section):
    """Where baselines are stored, and which changes count. Thresholds in percent.

    ``significance`` is the share (0-1) of suites without any change in which a false finding is accepted.
    ``thresholds`` are per metric, ``cases`` per case and metric; the most specific one applies. ``noise``: metric to
    the standard deviation, in percent, between runs of an unchanged gateway with 100 requests per case and iteration.
    It applies until this machine's noise is recorded (``make noise``). Without any, no noise is assumed.
    """

    storage_dir: str = Field("baselines", min_length=1)
    profile: str = ""
    keep_runs: int = Field(10, ge=1, le=1000)
    sustained_runs: int = Field(3, ge=1, le=1000)
    significance: float = Field(0.01, gt=0, lt=0.5)
    regression_threshold: Percent = 10.0
    critical_threshold: Percent = 25.0
    improvement_threshold: Percent = 5.0
    error_rate_threshold: Percent = 0.1
    metrics: list[str] = ["p50_latency", "requests_per_sec", "p95_latency", "p99_latency", "total_time"]
    gate: list[str] = ["p50_latency", "requests_per_sec"]
    thresholds: dict[str, Percent] = {}
    cases: dict[str, dict[str, Percent]] = {}
    noise: dict[str, Percent] = {}

    @field_validator("metrics", "gate", "thresholds", "noise")
    @classmethod
    def _metrics_exist(cls, value: Any) -> Any:
        for name in value:
            if name not in METRICS:
                raise ValueError(f"there is no metric {name!r}; known: {', '.join(METRICS)}")
        return value

    @field_validator("cases")
    @classmethod
    def _cases_have_metrics(cls, value: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
        for thresholds in value.values():
            cls._metrics_exist(thresholds)
        return value

    @model_validator(mode="after")
    def _gate_is_compared(self) -> Baselines:
        for name in self.gate:
            if name not in self.metrics:
                raise ValueError(f"gate names {name!r}, which is not among metrics")
        return self

    def threshold(self, metric: str, case: str = "") -> float:
        """Return the change in percent (percentage points for the error rate) from which a regression counts."""
        general = self.error_rate_threshold if METRICS[metric].absolute else self.regression_threshold
        return self.cases.get(case, {}).get(metric, self.thresholds.get(metric, general))

    def noise_of(self, metric: str) -> float:
        """Return the noise of a metric in percent; a metric that is not listed has the largest listed noise."""
        return self.noise.get(metric, max(self.noise.values(), default=0.0))


class Expect(Section):
    """The expected answers of a case; see :class:`benchkit.model.Expectation`."""

    status: int = Field(200, ge=100, le=599)
    rows_at: str = ""
    rpc_error: bool = False
    contains: list[str] = []
    min_bytes: int = Field(1, ge=0)


class CaseSettings(Section):
    """One kind of request.

    ``route``: ``rest`` (a path), ``rpc`` (JSON-RPC on ``/rpc``), ``mcp`` (streamable HTTP of a virtual server),
    ``direct`` (the MCP server itself). ``engine``: the load engine (:mod:`benchkit.load.engines`); empty: the first
    one. ``arguments`` replaces the payload's own. ``lists`` names what a REST listing contains, so that its rows can
    be counted. ``versioned`` paths get the release's prefix (``/v1``). ``weight`` is the share of a concurrent
    scenario's requests.
    """

    description: str = ""
    route: Route = "rest"
    engine: str = ""
    method: Literal["GET", "POST"] | None = None
    path: str = ""
    query: dict[str, str | int] = {}
    versioned: bool = True
    authenticated: bool = True
    payload: str = ""
    arguments: dict[str, Any] | None = None
    lists: Literal["tools", "resources", "prompts", "servers", "gateways"] | None = None
    share_of_requests: float = Field(1.0, gt=0, le=10)
    weight: int = Field(1, ge=1, le=1000)
    expect: Expect = Expect()

    @field_validator("route", mode="before")
    @classmethod
    def _is_no_engine(cls, value: object) -> object:
        if value not in get_args(Route):
            raise ValueError(
                f"must be one of {', '.join(get_args(Route))}; to name what makes the load, use engine: {value}"
            )
        return value

    @model_validator(mode="after")
    def _is_whole(self) -> CaseSettings:
        if self.route == "rest":
            if not self.path.startswith("/"):
                raise ValueError("route rest needs a path that starts with /")
            if self.method == "POST" and not self.payload:
                raise ValueError("a POST needs a payload")
            limit = str(self.query.get("limit", 1))
            if self.lists is not None and not (limit.isdecimal() and int(limit) > 0):
                raise ValueError(f"query.limit: {limit!r} is not a number of rows")
        elif not self.payload:
            raise ValueError(f"route {self.route} needs a payload")
        elif self.path or self.method or self.query:
            raise ValueError(f"route {self.route} posts its payload: path, method and query do not apply")
        return self


class Difference(Section):
    """A derived result: how much more case ``of`` takes than case ``minus``."""

    description: str = ""
    of: Name
    minus: Name


class Scenario(Section):
    """A group of cases with one purpose. ``concurrent`` runs them at the same time, weighted.

    ``description``, ``endpoint`` and ``methods`` are for readers; no program uses them.
    """

    description: str = ""
    endpoint: str = ""
    methods: list[Literal["GET", "POST"]] = ["GET"]
    payloads_dir: str = "payloads"
    concurrent: bool = False
    cases: dict[Name, CaseSettings] = Field(min_length=1)
    differences: dict[Name, Difference] = {}

    @model_validator(mode="after")
    def _differences_have_cases(self) -> Scenario:
        for name, difference in self.differences.items():
            if name in self.cases:
                raise ValueError(f"differences.{name} has the name of a case")
            for case in (difference.of, difference.minus):
                if case not in self.cases:
                    raise ValueError(f"differences.{name} names the case {case!r}, which is not there")
        for section, names in (("cases", self.cases), ("differences", self.differences)):
            if self.concurrent and AGGREGATE in names:
                raise ValueError(f"{section}.{AGGREGATE}: the cases of a concurrent scenario together are called that")
        return self


class GatewayStack(Section):
    """The gateway that the local stack runs; ``settings`` are additional environment variables for it.

    ``version``: a release, or ``newest``, which :func:`benchkit.stack.releases.wanted_release` resolves.
    ``source``: a wheel or a checkout of the gateway to build and run instead of the release ``version``. Empty means
    the release, and so does ``none`` (an empty environment variable would leave config.yaml's value).
    """

    version: str = NEWEST
    source: str = ""
    workers: int = Field(1, ge=1, le=64)
    settings: GatewaySettings = {}

    @field_validator("version")
    @classmethod
    def _is_release(cls, version: str) -> str:
        if version != NEWEST and not re.fullmatch(r"[0-9]+(\.[0-9a-z]+)*", version):
            raise ValueError(f'is not a version: give one like 1.0.7, or "{NEWEST}"')
        return version

    @field_validator("source")
    @classmethod
    def _none_is_empty(cls, source: str) -> str:
        return "" if source == "none" else source


class Stack(Section):
    """The services that the toolkit starts itself."""

    database: Literal["sqlite", "postgresql"] = "sqlite"
    servers: int = Field(4, ge=1, le=100)
    server_tools: int = Field(24, ge=0, le=1000)
    first_server_port: Port = 9101
    seed: int = Field(1203, ge=0)
    gateway: GatewayStack = GatewayStack()

    @model_validator(mode="after")
    def _ports_fit(self) -> Stack:
        if self.first_server_port + self.servers - 1 > 65535:
            raise ValueError(f"{self.servers} servers from port {self.first_server_port} on end above 65535")
        return self


class Variant(Section):
    """Settings of the gateway whose effect ``make tune`` measures."""

    description: str = ""
    settings: GatewaySettings = Field(min_length=1)


class Paired(Section):
    """Gateways side by side. ``blocks`` is the number of paired measurements, ``first_port`` the lowest port to try.

    In a block each case is measured ``rounds`` times per variant, with ``requests`` each time. Undecided cases get up
    to twice as many blocks. ``tune``: the variants to compare with the toolkit's own settings.
    """

    blocks: int = Field(8, ge=5, le=100)
    rounds: int = Field(3, ge=1, le=20)
    requests: int = Field(100, ge=1, le=999_999)
    first_port: Port = 4460
    first_server_port: Port = 9161
    tune: dict[Name, Variant] = {}


class Profiling(Section):
    """CPU profiling. ``rate``: samples per second; ``pairs``: of one round with the sampler and one without it."""

    rate: int = Field(25, ge=1, le=1000)
    pairs: int = Field(2, ge=1, le=50)
    requests: int = Field(500, ge=1, le=999_999)


class Conformance(Section):
    """Limits of ``make conformance``: how much logging may cost, in percent of the median latency."""

    max_logging_percent: Percent = 5.0


class Reporting(Section):
    """Output after a run."""

    output_dir: str = Field("results", min_length=1)
    generate: bool = True
    html_template: str = "utils/report_template.html"
    open_browser: bool = True
    include_charts: bool = True
    chart_types: list[Literal["latency_distribution", "throughput_timeline"]] = [
        "latency_distribution",
        "throughput_timeline",
    ]


class Config(Section):
    """All content of ``config.yaml``."""

    service: Service = Service()
    auth: Auth = Auth()
    performance: Performance = Performance()
    baselines: Baselines = Baselines()
    scenarios: dict[Name, Scenario] = Field(min_length=1)
    stack: Stack = Stack()
    paired: Paired = Paired()
    profiling: Profiling = Profiling()
    conformance: Conformance = Conformance()
    reporting: Reporting = Reporting()

    @model_validator(mode="after")
    def _thresholds_are_of_scenarios(self) -> Config:
        for case in self.baselines.cases:
            scenario, _, name = case.partition("/")
            if scenario not in self.scenarios or not name:
                raise ValueError(
                    f"baselines.cases names {case!r}, which is no case (scenario/name) of {', '.join(self.scenarios)}"
                )
            there = self.scenarios[scenario]
            names = [*there.cases, *there.differences, *([AGGREGATE] if there.concurrent else [])]
            if name not in names:
                raise ValueError(
                    f"baselines.cases names {case!r}, which is not there; {scenario} has {', '.join(names)}"
                )
        return self

    @model_validator(mode="after")
    def _requests_reach_every_worker(self) -> Config:
        load = self.performance
        if load.default_requests < load.default_concurrency:
            raise ValueError(
                f"performance.default_requests ({load.default_requests}) is below performance.default_concurrency "
                f"({load.default_concurrency}): each worker needs at least one request"
            )
        return self


class Settings(Section):
    """The resolved settings of one call.

    ``scenarios`` are the names of those to run, in the order of ``config.yaml``. ``sources`` maps each dotted key that
    is not from ``config.yaml`` to its source; ``given`` are the keys among them from a flag or the environment.
    """

    config: Config
    profile: str
    scenarios: list[str]
    sources: dict[str, str]
    given: frozenset[str] = frozenset()

    def is_given(self, key: str) -> bool:
        """Return whether a dotted key's value is from a flag or the environment, not from profile or config.yaml."""
        return key in self.given

    def path(self, value: str) -> Path:
        """Return a path of the configuration; relative ones start at the checkout."""
        return ROOT / value

    @property
    def results_dir(self) -> Path:
        """The directory for runs."""
        return self.path(self.config.reporting.output_dir)

    @property
    def baselines_dir(self) -> Path:
        """The directory for baselines."""
        return self.path(self.config.baselines.storage_dir)

    @property
    def baseline_profile(self) -> str:
        """The name of the baseline that runs of this profile are compared with."""
        return self.config.baselines.profile or self.profile


ENVIRONMENT: dict[str, str] = {
    "GATEWAY": "service.mode",
    "GATEWAY_URL": "service.base_url",
    "GATEWAY_EMAIL": "auth.email",
    "GATEWAY_PASSWORD": "auth.password",
    "GATEWAY_TOKEN": "auth.token",
    "GATEWAY_VERSION": "stack.gateway.version",
    "GATEWAY_SOURCE": "stack.gateway.source",
    "RESULTS_DIR": "reporting.output_dir",
    "BASELINES_DIR": "baselines.storage_dir",
    "SCENARIOS": "scenarios",
    "PERF_TOKEN_CACHE": "auth.token_cache",
    "PERF_HEY": "performance.hey_binary",
    "PERF_REQUESTS": "performance.default_requests",
    "PERF_CONCURRENCY": "performance.default_concurrency",
    "PERF_TIMEOUT": "performance.default_timeout",
    "PERF_ITERATIONS": "performance.iterations",
    "PERF_WARMUP": "performance.warmup",
    "PERF_WARMUP_REQUESTS": "performance.warmup_requests",
    "PERF_MAX_ERROR_RATE": "performance.max_error_rate",
    "PERF_MONITOR": "performance.monitor",
    "PERF_SCENARIOS": "scenarios",
    "PERF_DB_BACKEND": "stack.database",
    "PERF_SERVERS_COUNT": "stack.servers",
    "PERF_FIRST_SERVER_PORT": "stack.first_server_port",
    "PERF_BASELINE_PROFILE": "baselines.profile",
    "PERF_REGRESSION_THRESHOLD": "baselines.regression_threshold",
    "PERF_IMPROVEMENT_THRESHOLD": "baselines.improvement_threshold",
    "PERF_BLOCKS": "paired.blocks",
    "PERF_ROUNDS": "paired.rounds",
    "PERF_PAIRED_REQUESTS": "paired.requests",
    "PERF_SAMPLE_RATE": "profiling.rate",
    "PERF_SAMPLE_PAIRS": "profiling.pairs",
    "PERF_SAMPLE_REQUESTS": "profiling.requests",
    "PERF_GENERATE_REPORT": "reporting.generate",
    "PERF_OPEN_BROWSER": "reporting.open_browser",
}
"""Environment variable (also in profiles) to the key of ``config.yaml`` that it sets."""

FLAGS: dict[str, str] = {
    "--scenarios": "scenarios",
    "--requests": "performance.default_requests",
    "--concurrency": "performance.default_concurrency",
    "--timeout": "performance.default_timeout",
    "--iterations": "performance.iterations",
    "--url": "service.base_url",
    "--results-dir": "reporting.output_dir",
    "--blocks": "paired.blocks",
    "--rounds": "paired.rounds",
    "--rate": "profiling.rate",
    "--pairs": "profiling.pairs",
}
"""Flag of the runners to the key that it sets."""

SECRET_KEYS = frozenset({"auth.password", "auth.token"})
"""Keys whose values are never printed."""

_NOT_REPEATED = re.compile(r"auth\.|stack\.gateway\.settings|paired\.tune\.")
"""Keys whose wrong values are not repeated in an error: they may hold a secret."""

NOT_IN_PROFILES = frozenset({"PERF_HEY", "PERF_TOKEN_CACHE"})
"""Variables that a profile must not set. Profiles are passed around as files of load values, so one must not choose the
program that gets the token, or the file that the token is written to."""

_SELECTION = "scenarios"
"""The key that selects scenarios to run; it does not set a value of ``config.yaml``."""

_PROFILE_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=(.*)")


def read_profile(name: str, directory: Path) -> dict[str, tuple[str, str]]:
    """Return the variables of a profile: name to (value, ``file:line``). The file is parsed, never executed.

    Raises:
        UserError: there is no such profile, or a line is not ``export NAME=VALUE`` with a variable of the toolkit.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name):
        raise UserError(f"profile {name!r}: not a profile's name; there are: {_profiles(directory)}")
    path = directory / f"{name}.env"
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise UserError(f"profile {name!r}: there is no {_shown(path)}; there are: {_profiles(directory)}") from error
    except (OSError, UnicodeDecodeError) as error:
        reason = os_reason(error) if isinstance(error, OSError) else "not UTF-8"
        raise UserError(f"{_shown(path)}: cannot be read: {reason}") from error
    values: dict[str, tuple[str, str]] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        where = f"{_shown(path)}:{number}"
        try:
            words = shlex.split(line, comments=True)
        except ValueError as error:
            raise UserError(f"{where}: a quotation mark is not closed: {line.strip()!r}") from error
        if not words:
            continue
        match = _PROFILE_LINE.fullmatch(" ".join(words[-2:]) if words[0] == "export" else words[0])
        if match is None or len(words) > (2 if words[0] == "export" else 1) or "$" in line or "`" in line:
            raise UserError(f"{where}: {line.strip()!r} is not a value; a profile has lines like PERF_REQUESTS=100")
        variable = match.group(1)
        if variable in NOT_IN_PROFILES:
            raise UserError(
                f"{where}: {variable} cannot be set by a profile: set it in the environment, or "
                f"{ENVIRONMENT[variable]} in config.yaml"
            )
        if not variable.startswith("PERF_") or variable not in ENVIRONMENT:
            known = ", ".join(sorted(key for key in {*ENVIRONMENT} - NOT_IN_PROFILES if key.startswith("PERF_")))
            raise UserError(f"{where}: {variable}: there is no such variable; a profile may set {known}")
        values[variable] = (match.group(2), where)
    return values


def load_settings(
    *,
    flags: Mapping[str, str] | None = None,
    profile: str | None = None,
    environ: Mapping[str, str] | None = None,
    config_file: Path | None = None,
    profiles_dir: Path | None = None,
) -> Settings:
    """Resolve all settings.

    Args:
        flags: flag (a key of :data:`FLAGS`) to its text on the command line.
        profile: the profile's name; default: ``PROFILE`` from the environment, then ``light``.
        environ: the environment (default: this process's). Empty variables count as unset.
        config_file: default: ``PERF_CONFIG`` from the environment, then ``config.yaml`` of the checkout.
        profiles_dir: default: ``profiles/`` of the checkout.

    Raises:
        UserError: something is wrong; the line names source, key, value, and what would be valid.
    """
    environ = os.environ if environ is None else environ
    config_file = config_file or Path(environ.get("PERF_CONFIG") or ROOT / "config.yaml")
    profile = profile or environ.get("PROFILE") or "light"
    data = _read_config(config_file)
    sources: dict[str, str] = {}
    # Validate the file alone too, so that a mistake shows even if this call's profile or environment overrides it.
    _validate(data, config_file, sources)
    selection: tuple[str, str] | None = None
    for key, text, source in _layers(read_profile(profile, profiles_dir or ROOT / "profiles"), environ, flags or {}):
        sources[key] = source
        if key == _SELECTION:
            selection = (text, source)
        else:
            _set(data, key, _typed(key, text, source), source)
    config = _validate(data, config_file, sources)
    given = {FLAGS[flag] for flag in flags or {}} | {key for name, key in ENVIRONMENT.items() if environ.get(name)}
    return Settings(
        config=config,
        profile=profile,
        scenarios=_select(selection, config),
        sources=sources,
        given=frozenset(given),
    )


def _layers(
    profile: Mapping[str, tuple[str, str]], environ: Mapping[str, str], flags: Mapping[str, str]
) -> list[tuple[str, str, str]]:
    """Return key, text and source of everything that overrides ``config.yaml``, lowest precedence first."""
    layers = [(ENVIRONMENT[name], value, f"{where}: {name}") for name, (value, where) in profile.items()]
    # SCENARIOS is the short name of PERF_SCENARIOS and overrides it.
    variables = sorted(ENVIRONMENT, key=lambda name: name == "SCENARIOS")
    layers += [
        (ENVIRONMENT[name], environ[name], f"environment variable {name}") for name in variables if environ.get(name)
    ]
    layers += [(FLAGS[flag], value, flag) for flag, value in flags.items()]
    return layers


def _validate(data: dict[str, Any], config_file: Path, sources: Mapping[str, str]) -> Config:
    try:
        return Config.model_validate(data)
    except ValidationError as error:
        raise _explain(error, config_file, sources) from error


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the runners' flags to a program, so that the shell can pass them on: ``--profile`` and :data:`FLAGS`."""
    group = parser.add_argument_group("settings (a flag wins over the environment, the profile and config.yaml)")
    group.add_argument("--profile", metavar="NAME", help="load profile, a file of profiles/ (default: light)")
    for flag, key in FLAGS.items():
        group.add_argument(flag, metavar="VALUE", help=f"instead of {key} of config.yaml")


def given_flags(arguments: argparse.Namespace) -> dict[str, str]:
    """Return the flags of :data:`FLAGS` on a command line with their values; a program may accept only some of them."""
    values = {flag: getattr(arguments, flag.removeprefix("--").replace("-", "_"), None) for flag in FLAGS}
    return {flag: value for flag, value in values.items() if value is not None}


def from_arguments(arguments: argparse.Namespace) -> Settings:
    """Return the settings for a command line; raises as :func:`load_settings`."""
    return load_settings(flags=given_flags(arguments), profile=getattr(arguments, "profile", None))


def _read_config(path: Path) -> dict[str, Any]:
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeyLoader)  # noqa: S506 - a SafeLoader
    except FileNotFoundError as error:
        raise UserError(f"{_shown(path)}: there is no such file") from error
    except (OSError, UnicodeDecodeError) as error:
        reason = os_reason(error) if isinstance(error, OSError) else "not UTF-8"
        raise UserError(f"{_shown(path)}: cannot be read: {reason}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f":{mark.line + 1}" if mark else ""
        raise UserError(f"{_shown(path)}{where}: not YAML: {getattr(error, 'problem', None) or error}") from error
    if not isinstance(data, dict):
        raise UserError(f"{_shown(path)}: must hold sections (service, auth, …), not a {type(data).__name__}")
    return data


class _UniqueKeyLoader(yaml.SafeLoader):  # pylint: disable=too-many-ancestors  # all of them are the library's
    """In YAML a later key silently replaces an earlier one of the same name; here that is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"duplicate key {key!r}", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


_BOOLEANS = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}


def _typed(key: str, text: str, source: str) -> object:
    """Convert the text of a flag, a variable or a profile to the type of its key."""
    kind = _annotation(key)
    try:
        if kind is bool:
            return _BOOLEANS[text.strip().lower()]
        if kind in (int, float):
            return kind(text)
    except (KeyError, ValueError) as error:
        right = {bool: "true or false", int: "a whole number", float: "a number"}[kind]
        raise UserError(f"{source}={text!r} (sets {key}): must be {right}") from error
    return text


def _annotation(key: str) -> Any:
    annotation: Any = Config
    for part in key.split("."):
        fields: dict[str, Any] = dict(annotation.model_fields)
        annotation = fields[part].annotation
    return annotation


def _set(data: dict[str, Any], key: str, value: object, source: str) -> None:
    *sections, last = key.split(".")
    for section in sections:
        data = data.setdefault(section, {})
        if not isinstance(data, dict):
            raise UserError(f"{source}: {section} of config.yaml must be a section with keys")
    data[last] = value


def _select(selection: tuple[str, str] | None, config: Config) -> list[str]:
    text, source = selection or ("all", "default")
    names = [name.strip() for name in text.split(",") if name.strip()]
    if names == ["all"]:
        return list(config.scenarios)
    known = ", ".join(["all", *config.scenarios])
    for name in names:
        if name not in config.scenarios:
            raise UserError(
                f"{source}={text!r}: there is no scenario {name!r}; use all or: {', '.join(config.scenarios)}"
            )
    if not names:
        raise UserError(f"{source}={text!r}: names no scenario; there are {known}")
    return [name for name in config.scenarios if name in names]


def _explain(error: ValidationError, config_file: Path, sources: Mapping[str, str]) -> UserError:
    """Return pydantic's first problem as an error of one line with its source."""
    problem = error.errors(include_url=False)[0]
    parts = [str(part) for part in problem["loc"] if part not in ("function-after", "[key]")]
    key = ".".join(parts)
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        message = f"there is no such key; known here: {', '.join(_known_keys(parts[:-1]))}"
        return UserError(f"{_shown(config_file)}: {key}: {message}")
    culprits = [key] if key in sources else [name for name in sources if re.search(rf"\b{re.escape(name)}\b", message)]
    source = " and ".join(sources[name] for name in culprits) or _shown(config_file)
    value = problem["input"]
    hidden = _NOT_REPEATED.match(key) or (key == "service.base_url" and re.search(r"[@?#]", str(value)))
    shown = "" if isinstance(value, dict | BaseModel) or hidden else f" = {value!r}"
    return UserError(f"{source}: {key or 'configuration'}{shown}: {message}")


def _known_keys(parts: list[str]) -> list[str]:
    model: Any = Config
    for part in parts:
        field = getattr(model, "model_fields", {}).get(part)
        model = field.annotation if field is not None else _value_type(model)
    return list(getattr(model, "model_fields", {}))


def _value_type(annotation: Any) -> Any:
    """``Scenario`` of ``dict[Name, Scenario]``."""
    arguments = getattr(annotation, "__args__", ())
    return arguments[-1] if arguments else None


def _profiles(directory: Path) -> str:
    return ", ".join(sorted(path.stem for path in directory.glob("*.env"))) or "none"


def _shown(path: Path) -> str:
    """Return a path as the user knows it: relative to the checkout if it is inside."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)
