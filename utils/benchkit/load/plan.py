"""Resolve settings and the gateway's catalogue into the cases of a run. Pure: nothing is sent from here."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from pydantic import ValidationError

from benchkit.errors import ForbiddenError, UserError
from benchkit.load.checker import plan_checks
from benchkit.load.engines import DEFAULT, Engine, engine_named
from benchkit.load.job import same_for_each_worker
from benchkit.model import (
    CheckPlan,
    Entity,
    Expectation,
    Load,
    Part,
    PlannedCase,
    PlannedDifference,
    path_segments,
)
from benchkit.settings import CaseSettings, Scenario, Settings
from benchkit.store import read_json

Kind = Literal["tools", "resources", "prompts"]

MCP_ACCEPT = "application/json, text/event-stream"
"""The Accept header of MCP's streamable HTTP (specification 2025-03-26, "Sending Messages to the Server")."""

_LARGEST_PAYLOAD = 2**20

_KINDS: dict[str, Kind] = {"tools/call": "tools", "resources/read": "resources", "prompts/get": "prompts"}


@dataclass(frozen=True)
class Server:
    """An MCP server behind the gateway. ``counters_url`` is empty unless it is one of the toolkit's own."""

    name: str
    url: str
    counters_url: str = ""


class Catalogue(Protocol):
    """What the target offers; implemented in :mod:`benchkit.gateway`.

    Look-ups return ``None`` if the name does not exist. ``server`` is a server's name; empty: any.
    """

    def tool(self, original: str, server: str) -> Entity | None:
        """Return the tool that an MCP server calls ``original``."""

    def resource(self, uri: str, server: str) -> Entity | None:
        """Return the resource with this URI, or the template that matches it (then ``name`` is the URI itself)."""

    def prompt(self, original: str, server: str) -> Entity | None:
        """Return the prompt that an MCP server, or the gateway itself, calls ``original``."""

    def check_arguments(self, original: str, server: str, arguments: Mapping[str, Any]) -> str:
        """Return why the arguments do not match a tool's input schema; empty if they do."""

    def total(self, kind: str) -> int:
        """Return the number of tools, resources, prompts, servers or gateways."""

    def refused(self, kind: str) -> str:
        """Return why this token may not list them, naming the missing permission; empty if it may."""

    def listed(self, kind: str, limit: int | None) -> int:
        """Return the number of rows of a REST listing with this limit (``None``: without)."""

    def rpc_listed(self, kind: str) -> int:
        """Return the number of rows of ``tools/list``, ``resources/list`` or ``prompts/list``."""


@dataclass(frozen=True)
class Target:
    """Where requests go. ``prefix`` precedes versioned paths; ``rpc_url`` accepts JSON-RPC messages.

    ``mcp_url`` is the MCP endpoint of the toolkit's virtual server; empty if that could not be created.
    """

    base_url: str
    prefix: str
    servers: list[Server]
    rpc_url: str
    mcp_url: str
    auth_required: bool


class _CannotMeasureError(Exception):
    """The target lacks something that a case needs; the case is skipped with this message."""


@dataclass(frozen=True)
class _Message:
    """A payload, resolved for one server: the JSON-RPC message to the gateway, and the counter of its executions.

    ``entity`` is what it addresses (``None`` for lists); ``direct`` is the message in the form for the MCP server.
    """

    gateway: dict[str, Any]
    direct: dict[str, Any]
    entity: Entity | None
    kind: Kind | None
    counter: str


def load_of(settings: Settings) -> Load:
    """Return the configured load in the form of the documents."""
    load = settings.config.performance
    return Load(
        profile=settings.profile,
        requests=load.default_requests,
        concurrency=load.default_concurrency,
        timeout_s=load.default_timeout,
        iterations=load.iterations,
        warmup_requests=load.warmup_requests if load.warmup else 0,
    )


def plan_cases(settings: Settings, target: Target, catalogue: Catalogue) -> list[PlannedCase]:
    """Return the cases of the selected scenarios, in order.

    Raises:
        UserError: a payload is missing, not JSON or not JSON-RPC; its arguments do not match the tool's input schema;
            or a case's engine does not exist or cannot send its request.
    """
    return [
        case
        for name in settings.scenarios
        for case in _Planner(settings, target, catalogue).scenario(name, settings.config.scenarios[name])
    ]


def plan_differences(settings: Settings) -> list[PlannedDifference]:
    """Return the planned differences between two cases."""
    return [
        PlannedDifference(
            id=f"{scenario}/{name}",
            scenario=scenario,
            name=name,
            description=difference.description,
            of=f"{scenario}/{difference.of}",
            minus=f"{scenario}/{difference.minus}",
        )
        for scenario in settings.scenarios
        for name, difference in settings.config.scenarios[scenario].differences.items()
    ]


def divide_workers(total: int, weights: list[int]) -> list[int]:
    """Divide ``total`` workers by weight (largest remainder method), at least one for each part.

    Raises:
        ValueError: there are fewer workers than parts.
    """
    if total < len(weights):
        raise ValueError(f"{total} workers for {len(weights)} parts")
    spare = total - len(weights)
    shares = [spare * weight / sum(weights) for weight in weights]
    workers = [1 + int(share) for share in shares]
    by_remainder = sorted(range(len(weights)), key=lambda index: (int(shares[index]) - shares[index], index))
    for index in by_remainder[: total - sum(workers)]:
        workers[index] += 1
    return workers


@dataclass(frozen=True)
class _Share:
    """A case's share of the load: engine, requests, workers, and the checks that run with them."""

    engine: Engine
    requests: float
    concurrency: int
    checks: CheckPlan | None = None
    notes: list[str] = field(default_factory=list)


class _Planner:
    """Resolves the cases of a scenario for one target."""

    def __init__(self, settings: Settings, target: Target, catalogue: Catalogue) -> None:
        self._settings = settings
        self._target = target
        self._catalogue = catalogue
        self._load = settings.config.performance

    def scenario(self, scenario_name: str, scenario: Scenario) -> Iterable[PlannedCase]:
        """Plan all cases of a scenario; cases that the target does not support are marked as skipped."""
        rows_seen: dict[tuple[str, int], str] = {}
        shared = self._shared_checks(scenario)
        workers = self._workers(scenario, shared)
        for (name, case), concurrency in zip(scenario.cases.items(), workers, strict=True):
            engine = engine_named(case.engine or DEFAULT)
            share = self._share(scenario, case, engine, concurrency, shared)
            base = PlannedCase(
                id=f"{scenario_name}/{name}",
                scenario=scenario_name,
                name=name,
                description=case.description,
                engine=engine.name,
                resolution_ms=engine.resolution_ms,
                closed_loop=engine.closed_loop,
                timeout_s=self._load.default_timeout,
                iterations=self._load.iterations,
                warmup_requests=max(self._load.warmup_requests, share.concurrency) if self._load.warmup else 0,
                parts=[],
                checks=share.checks,
                notes=share.notes,
                group=scenario_name if scenario.concurrent else "",
            )
            try:
                if concurrency == 0:
                    raise _CannotMeasureError(
                        f"its {len(scenario.cases)} kinds of request run at once and need a worker each; "
                        f"the concurrency is {self._load.default_concurrency}"
                    )
                planned = self._case(base, scenario, case, share)
                _check_engine(engine, planned)
                yield _skip_repeated_listing(planned, case, rows_seen)
            except _CannotMeasureError as reason:
                yield base.model_copy(update={"skipped": str(reason)})

    def _share(
        self, scenario: Scenario, case: CaseSettings, engine: Engine, concurrency: int, shared: CheckPlan | None
    ) -> _Share:
        """Return what a case's load generator sends and what its checkers send."""
        requests = self._load.default_requests * case.share_of_requests
        if scenario.concurrent:
            weight = case.weight / sum(other.weight for other in scenario.cases.values())
            if shared is None or engine.answer == "event":
                return _Share(engine, requests * weight, concurrency)
            checks = shared.model_copy(update={"requests": max(1, round(shared.requests * weight))})
            return _Share(engine, requests * weight - checks.requests, concurrency, checks)
        if engine.answer == "event":
            return _Share(engine, requests, concurrency)
        planned = engine.requests(requests, concurrency)
        checks, left = plan_checks(planned, concurrency, self._load.iterations)
        return _Share(
            engine, planned * left / concurrency, left, checks, _rounding_note(requests, planned, concurrency)
        )

    def _shared_checks(self, scenario: Scenario) -> CheckPlan | None:
        """Return the checks of a scenario whose cases run at once and share the checkers."""
        load = self._load
        spare = load.default_concurrency - len(scenario.cases)
        if not scenario.concurrent or spare < 0:
            return None
        planned = same_for_each_worker(load.default_requests, load.default_concurrency)
        checks, left = plan_checks(planned, load.default_concurrency, load.iterations)
        if left >= len(scenario.cases):
            return checks
        if spare == 0:
            return plan_checks(planned, 1, load.iterations)[0]  # in addition to the load, which needs every worker
        return checks.model_copy(update={"workers": spare, "requests": spare * planned // load.default_concurrency})

    def _workers(self, scenario: Scenario, checks: CheckPlan | None) -> list[int]:
        concurrency = self._load.default_concurrency
        if checks is not None and checks.busy == 1.0:
            concurrency -= checks.workers
        if not scenario.concurrent:
            return [concurrency] * len(scenario.cases)
        if concurrency < len(scenario.cases):
            return [0] * len(scenario.cases)
        return divide_workers(concurrency, [case.weight for case in scenario.cases.values()])

    def _case(self, base: PlannedCase, scenario: Scenario, case: CaseSettings, share: _Share) -> PlannedCase:
        payload = self._payload(scenario, case)
        if payload is None:
            parts = [self._plain_part(case, share)]
            expect = self._expectation(case, None)
            return base.model_copy(
                update={"parts": parts, "expect": expect, "notes": [*base.notes, *_notes(share.requests, parts)]}
            )
        servers: list[Server | None] = list(self._servers_for(payload, scenario, share.concurrency))
        parts = []
        messages = []
        for server, workers in zip(servers, divide_workers(share.concurrency, [1] * len(servers)), strict=True):
            message = self._message(scenario, case, payload, server)
            messages.append(message)
            of_server = _Share(share.engine, share.requests * workers / share.concurrency, workers)
            parts.append(self._part(case, message, server, of_server))
        first = messages[0]
        return base.model_copy(
            update={
                "parts": parts,
                "expect": self._expectation(case, first),
                "gateway_kind": None if case.route == "direct" else first.kind,
                "gateway_fails": case.expect.rpc_error,
                "cached": first.kind == "resources",
                "notes": [*base.notes, *_notes(share.requests, parts)],
            }
        )

    def _servers_for(self, payload: Mapping[str, Any], scenario: Scenario, concurrency: int) -> list[Server | None]:
        """Return the servers for a payload: the first that has the named entity; in a concurrent scenario all."""
        if payload["method"] not in _KINDS:
            return [None]
        fitting: list[Server | None] = [
            server for server in self._target.servers if self._entity(_fill(payload, server), server) is not None
        ]
        if not fitting:
            return [None]
        return fitting[:concurrency] if scenario.concurrent else fitting[:1]

    def _payload(self, scenario: Scenario, case: CaseSettings) -> dict[str, Any] | None:
        if not case.payload:
            return None
        path = self._settings.path(scenario.payloads_dir) / case.payload
        data = read_payload(path)
        if case.arguments is not None:
            data["params"] = {**data["params"], "arguments": case.arguments}
        return data

    def _message(
        self, scenario: Scenario, case: CaseSettings, payload: Mapping[str, Any], server: Server | None
    ) -> _Message:
        direct = _fill(payload, server)
        method = direct["method"]
        kind = _KINDS.get(method)
        if kind is None:
            return _Message(gateway=direct, direct=direct, entity=None, kind=None, counter="")
        entity = self._entity(direct, server)
        params = direct["params"]
        asked = params.get("uri") or params.get("name")
        if entity is None:
            if refused := self._catalogue.refused(kind):
                raise _CannotMeasureError(f"it is not known whether there is {asked}: {refused}")
            raise _CannotMeasureError(
                f"the gateway has no {kind.removesuffix('s')} {asked}: make register adds the simulated MCP servers"
            )
        if kind == "tools":
            problem = self._catalogue.check_arguments(
                params["name"], server.name if server else "", params.get("arguments") or {}
            )
            if problem:
                raise UserError(f"{scenario.payloads_dir}/{case.payload}: arguments of {params['name']}: {problem}")
        key = "uri" if kind == "resources" else "name"
        return _Message(
            gateway={**direct, "params": {**params, key: entity.name}},
            direct=direct,
            entity=entity,
            kind=kind,
            counter=f"{method}:{entity.original}",
        )

    def _entity(self, message: Mapping[str, Any], server: Server | None) -> Entity | None:
        params = message["params"]
        name = server.name if server else ""
        match message["method"]:
            case "tools/call":
                return self._catalogue.tool(params["name"], name)
            case "resources/read":
                return self._catalogue.resource(params["uri"], name)
            case _:
                return self._catalogue.prompt(params["name"], name)

    def _plain_part(self, case: CaseSettings, share: _Share) -> Part:
        """Return a part that sends a GET to a path, without payload."""
        query = "&".join(f"{key}={value}" for key, value in case.query.items())
        url = self._address(case) + (f"?{query}" if query else "")
        return _checked_part(
            request=self._request(case, share.engine, url),
            requests=share.engine.requests(share.requests, share.concurrency),
            concurrency=share.concurrency,
        )

    def _request(self, case: CaseSettings, engine: Engine, url: str, body: str | None = None) -> dict[str, Any]:
        """Return the fields of a case's request to one address."""
        return {
            "kind": "http",
            "method": case.method or ("GET" if case.route == "rest" else "POST"),
            "url": url,
            "headers": _headers(case, engine),
            "body": body,
            "authenticated": case.authenticated and case.route != "direct" and self._target.auth_required,
            "answer": engine.answer,
        }

    def _address(self, case: CaseSettings) -> str:
        return f"{self._target.base_url}{self._target.prefix if case.versioned else ''}{case.path}"

    def _part(self, case: CaseSettings, message: _Message, server: Server | None, share: _Share) -> Part:
        body: str | None = json.dumps(message.gateway)
        match case.route:
            case "rpc":
                url = self._target.rpc_url
            case "mcp":
                if not self._target.mcp_url:
                    raise _CannotMeasureError("the toolkit could not create its virtual server on this gateway")
                url = self._target.mcp_url
            case "direct":
                if server is None:
                    raise _CannotMeasureError("no MCP server of this gateway is known by address")
                url, body = server.url, json.dumps(message.direct)
            case _:
                if message.entity is None:
                    raise _CannotMeasureError("a REST path takes a payload that reads a resource or gets a prompt")
                identity = _encoded(message.entity.id)
                url = self._address(case).replace("{resource}", identity).replace("{prompt}", identity)
                arguments = message.gateway["params"].get("arguments") or {}
                body = json.dumps(arguments) if case.method == "POST" else None
        counter: dict[str, str] | None = None
        owner = message.entity.server if message.entity else ""
        # Entities of the gateway itself never reach a server, so no server counts them.
        if server is not None and server.name == owner and server.counters_url:
            counter = {"url": server.counters_url, "key": message.counter}
        return _checked_part(
            request=self._request(case, share.engine, url, body),
            requests=share.engine.requests(share.requests, share.concurrency),
            concurrency=share.concurrency,
            server=server.name if server else "",
            server_counter=counter,
        )

    def _expectation(self, case: CaseSettings, message: _Message | None) -> Expectation:
        rows = None
        if case.lists is not None:
            if refused := self._catalogue.refused(case.lists):
                raise _CannotMeasureError(refused)
            limit = case.query.get("limit")
            rows = self._catalogue.listed(case.lists, int(limit) if limit is not None else None)
            if limit is not None and rows > int(limit):
                raise _CannotMeasureError(f"this release ignores ?limit={limit} and answers all {rows} rows")
        elif message is not None and message.kind is None:
            rows = self._rpc_rows(message.gateway["method"].split("/")[0])
        if rows == 0:
            raise _CannotMeasureError("the gateway lists none of them, so there is nothing to measure")
        is_rpc = case.route in ("rpc", "mcp", "direct")
        return Expectation(
            status=case.expect.status,
            rows=rows,
            rows_at=case.expect.rows_at,
            rpc=is_rpc and not case.expect.rpc_error,
            rpc_error=case.expect.rpc_error,
            contains=case.expect.contains,
            min_bytes=case.expect.min_bytes,
        )

    def _rpc_rows(self, kind: str) -> int | None:
        """Return the expected rows of a JSON-RPC listing; ``None`` if listing fails (the probe then reports why)."""
        try:
            return self._catalogue.rpc_listed(kind)
        except ForbiddenError as error:
            raise _CannotMeasureError(error.lacks) from error
        except UserError:
            return None


def _checked_part(**fields: Any) -> Part:
    """Build a part whose texts come from the gateway.

    Raises:
        _CannotMeasureError: an address or a name cannot be used for a load.
    """
    try:
        return Part(**fields)
    except ValidationError as error:
        reason = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
        raise _CannotMeasureError(f"no load can be sent there: {reason}") from error


def _check_engine(engine: Engine, planned: PlannedCase) -> None:
    """Raise :class:`UserError` if the engine cannot send a case's request."""
    for part in planned.parts:
        if problem := engine.problem_with(part.request):
            raise UserError(
                f"{planned.id}: the engine {engine.name} cannot send its request: {problem}; see config.yaml"
            )


def _encoded(identity: str) -> str:
    try:
        return path_segments(identity)
    except ValueError as error:
        raise _CannotMeasureError(f"no load can be sent there: {error}") from error


def read_payload(path: Path) -> dict[str, Any]:
    """Read a JSON-RPC message of ``payloads/``; the result always has ``params``.

    Raises:
        UserError: the file is missing, not JSON, or not a JSON-RPC request with a method and an object as params.
    """
    data = read_json(path, "payload", most_bytes=_LARGEST_PAYLOAD)
    params = data.get("params", {}) if isinstance(data, dict) else None
    if not isinstance(params, dict) or data.get("jsonrpc") != "2.0" or not isinstance(data.get("method"), str):
        raise UserError(
            f'{path}: not a JSON-RPC request: it needs "jsonrpc": "2.0", a "method" and an object as "params"'
        )
    needed = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}.get(data["method"])
    if needed and not isinstance(params.get(needed), str):
        raise UserError(f"{path}: {data['method']} needs a text as params.{needed}")
    return {**data, "params": params}


def _fill(payload: Mapping[str, Any], server: Server | None) -> dict[str, Any]:
    """Replace ``{server}`` in the payload's URI: the simulated servers have their name in their URIs."""
    params = dict(payload["params"])
    if "uri" in params and server is not None:
        params["uri"] = params["uri"].replace("{server}", server.name)
    return {**payload, "params": params}


def _headers(case: CaseSettings, engine: Engine) -> dict[str, str]:
    if engine.answer == "event":
        return {"Accept": "text/event-stream"}
    headers = {"Accept": MCP_ACCEPT if case.route in ("mcp", "direct") else "application/json"}
    if case.payload and case.method != "GET" and not (case.route == "rest" and case.method is None):
        headers["Content-Type"] = "application/json"
    return headers


def _notes(requests: float, parts: list[Part]) -> list[str]:
    """Return a note if the requests were rounded, because each worker sends the same number."""
    return _rounding_note(requests, sum(part.requests for part in parts), sum(part.concurrency for part in parts))


def _rounding_note(requests: float, planned: int, workers: int) -> list[str]:
    if planned == int(requests):
        return []
    return [
        f"{planned} requests per iteration instead of {int(requests)}: the same number for each of {workers} workers"
    ]


def _skip_repeated_listing(
    planned: PlannedCase, case: CaseSettings, rows_seen: dict[tuple[str, int], str]
) -> PlannedCase:
    """Skip a listing that returns the same rows as an earlier one: both would measure the same under two names."""
    rows = planned.expect.rows
    if case.lists is None or rows is None or "limit" not in case.query:
        return planned
    earlier = rows_seen.setdefault((case.path, rows), planned.id)
    if earlier == planned.id:
        return planned
    reason = f"the gateway has {rows} {case.lists}, so this would measure the same answer as {earlier}"
    return planned.model_copy(update={"skipped": reason})
