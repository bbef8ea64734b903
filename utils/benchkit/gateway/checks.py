"""Check whether a run against this target would be trustworthy, with one line per requirement."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from benchkit import http
from benchkit.clock import duration
from benchkit.disclosure import redacted
from benchkit.errors import UserError
from benchkit.gateway.catalogue import Catalogue, Upstream
from benchkit.gateway.client import Gateway
from benchkit.gateway.login import Session
from benchkit.gateway.registration import same_url
from benchkit.gateway.target import Version
from benchkit.settings import Scenario

_COUNTERS_TIMEOUT_S = 5.0


class State(StrEnum):
    """The state of a requirement. Only ``OK`` makes a run trustworthy."""

    OK = "ok"
    MISSING = "missing"
    WRONG = "wrong"


@dataclass(frozen=True)
class Check:
    """One line: the state of a requirement, and what was found or what to do."""

    state: State
    name: str
    text: str


@dataclass(frozen=True)
class KnownServer:
    """An MCP server of the stack, which should be registered. ``counters_url`` responds if it runs."""

    name: str
    url: str
    counters_url: str


def attempt(name: str, check: Callable[[], Check]) -> Check:
    """Return a check's line; a :class:`UserError` becomes the line."""
    try:
        return check()
    except UserError as error:
        return Check(State.WRONG, name, str(error))


def check_gateway(gateway: Gateway, version: Version) -> Check:
    """Describe the gateway that answers."""
    release = version.release or "release unknown"
    paths = f"{gateway.prefix}/…" if gateway.prefix else "paths without prefix"
    age = "" if version.uptime_s is None else f", up for {duration(version.uptime_s)}"
    return Check(State.OK, "gateway", f"{gateway.base_url}: {release}, {paths}{age}")


def check_token(session: Session) -> Check:
    """Check that there is a token that the gateway accepts; ``session`` must have been started."""
    if not session.needed:
        return Check(State.OK, "token", "not needed: the gateway answers without one")
    expires = session.expires
    until = f"valid until {datetime.fromtimestamp(expires):%Y-%m-%d %H:%M:%S}" if expires else "does not expire"
    return Check(State.OK, "token", until)


def check_database(version: Version) -> Check:
    """Check that the gateway reaches its database."""
    if version.database is None:
        return Check(State.OK, "database", "the gateway does not say (it tells only administrators, see GATEWAY_EMAIL)")
    text = f"{version.database} {version.database_version or ''}".strip()
    if version.database_reachable is False:
        return Check(State.WRONG, "database", f"{text}: the gateway does not reach it; see DATABASE_URL and its log")
    return Check(State.OK, "database", text)


def check_cache(version: Version) -> Check:
    """Check that the gateway reaches its external cache, if it has one."""
    if version.cache is None:
        return Check(State.OK, "cache", "the gateway does not say")
    if version.cache_reachable is False:
        return Check(
            State.WRONG, "cache", "redis: the gateway does not reach it; start it, see REDIS_URL, or CACHE_TYPE=memory"
        )
    return Check(State.OK, "cache", version.cache)


def check_servers(upstreams: Sequence[Upstream], known: Sequence[KnownServer]) -> Check:
    """Check that MCP servers are registered and reachable: those of the stack if it runs, else any."""
    for server in known:
        if not _answers(server):
            return Check(
                State.WRONG, "MCP servers", f"{server.name} ({server.url}) does not answer; make logs, make restart"
            )
        if not any(upstream.name == server.name and same_url(upstream.url, server.url) for upstream in upstreams):
            return Check(State.MISSING, "MCP servers", f"{server.name} ({server.url}) is not registered: make register")
    if not upstreams:
        return Check(State.MISSING, "MCP servers", "none is registered: make up, then make register")
    for upstream in upstreams:
        if not upstream.enabled or not upstream.reachable:
            problem = "switched off" if not upstream.enabled else "not reachable for the gateway"
            return Check(State.WRONG, "MCP servers", f"{upstream.name} ({redacted(upstream.url)}) is {problem}")
    return Check(State.OK, "MCP servers", f"{len(upstreams)} registered: {_some(one.name for one in upstreams)}")


def check_rate_limit(gateway: Gateway) -> Check:
    """Check that no answer so far announced a rate limit. Every answer would, so no limit has to be provoked."""
    limit = gateway.lowest_rate_limit
    if limit is None:
        return Check(State.OK, "rate limiting", "no answer announces a limit")
    return Check(
        State.WRONG,
        "rate limiting",
        f"the gateway limits at {limit}/min; set RATE_LIMITING_ENABLED=false on it and restart it",
    )


def check_catalogue(catalogue: Catalogue, scenarios: Iterable[Scenario]) -> Check:
    """Check that the listings are long enough for the cases' limits, and that there is something to read and to get."""
    totals = ", ".join(f"{catalogue.total(kind)} {kind}" for kind in ("tools", "resources", "prompts"))
    cases = [case for scenario in scenarios for case in scenario.cases.values()]
    for kind in ("tools", "resources", "prompts"):
        used = any(case.lists == kind or kind.removesuffix("s") in case.payload for case in cases)
        if used and catalogue.total(kind) == 0:
            return Check(State.MISSING, "catalogue", f"{totals}: no {kind} to measure with: make register")
    for case in cases:
        limit = case.query.get("limit")
        if case.lists is not None and isinstance(limit, int) and catalogue.total(case.lists) < limit:
            return Check(
                State.MISSING,
                "catalogue",
                f"{totals}: a case lists {limit} {case.lists}; register more MCP servers (PERF_SERVERS_COUNT), or lower"
                " its limit in config.yaml",
            )
    return Check(State.OK, "catalogue", totals)


def _answers(server: KnownServer) -> bool:
    with http.Session() as session:
        try:
            return session.send("GET", server.counters_url, timeout_s=_COUNTERS_TIMEOUT_S).ok
        except http.AnswerError:
            return False


def _some(names: Iterable[str], most: int = 6) -> str:
    listed = list(names)
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more
