"""Add MCP servers, a virtual server and prompts to the gateway, and remove them again."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from benchkit import http
from benchkit.errors import ForbiddenError, UserError
from benchkit.gateway.catalogue import Upstream, server_of, upstreams
from benchkit.gateway.client import Answer, Gateway, ListKind, row_id, rows_by_name

VIRTUAL_SERVER = "perf-virtual"
VALIDATED_PROMPT = "perf_validated"
UNVALIDATED_PROMPT = "perf_unvalidated"

_MARK = "Made by the MCP Gateway benchmark toolkit; safe to delete."
"""Description of everything that :func:`create_fixtures` creates; it identifies these entities later."""

_PROMPTS: dict[str, tuple[str, list[dict[str, Any]]]] = {
    VALIDATED_PROMPT: (
        "Compare {{ timezone }} at {{ reference_time }}",
        [
            {"name": "timezone", "description": "IANA time zone", "required": True},
            {"name": "reference_time", "description": "Time of day", "required": True},
        ],
    ),
    # The same text as the other prompt after expansion, so that only the validation differs.
    UNVALIDATED_PROMPT: ("Compare Asia/Tokyo at 12:00", []),
}

_PARALLEL = 8
_REGISTRATION_TIMEOUT_S = 60.0
_OFFERS_TIMEOUT_S = 5.0
_MOST_ASSOCIATED = 100
_POLL_S = 0.5

_MCP_HEADERS = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
_SERVED_KINDS: tuple[ListKind, ...] = ("tools", "resources", "prompts")


@dataclass(frozen=True)
class Registration:
    """The result of :func:`register`: names of the added servers, and of those that already existed."""

    added: tuple[str, ...]
    kept: tuple[str, ...]


def register(gateway: Gateway, servers: Sequence[tuple[str, str]], *, wait_s: float = 60.0) -> Registration:
    """Register MCP servers (name, URL of streamable HTTP) in parallel, and wait until they are listed.

    A server that is registered with the same URL is kept; one with the same name but another URL is replaced.

    Args:
        gateway: with an administrator's token.
        servers: names and URLs.
        wait_s: maximum wait until all of their tools, resources and prompts are listed.

    Raises:
        UserError: the gateway cannot reach a server, its URL is registered under another name, its prompts' names are
            taken, or it was not listed in time; the message names the first such server.
    """
    present = {upstream.name: upstream for upstream in upstreams(gateway)}
    kept = [name for name, url in servers if name in present and _is_usable(present[name], url)]
    for name, url in servers:
        if name in present and name not in kept:
            _delete(gateway, f"/gateways/{_quoted(present[name].id)}", f"MCP server {name}")
        _refuse_second_name(gateway, name, url, present.values())
    missing = [(name, url) for name, url in servers if name not in kept]
    # The first server is registered alone, so that a problem of all servers is reported once, and so that it is always
    # the same server if there is room for only one (releases before 1.0, see _registration_error).
    for batch in (missing[:1], missing[1:]):
        with ThreadPoolExecutor(max_workers=_PARALLEL) as pool:
            # list() waits for all of them, so that no request is in flight after a failure.
            errors = list(pool.map(lambda server: _register_one(gateway, *server), batch))
        for server, error in zip(batch, errors, strict=True):
            # 1.0.0rc1 with SQLite rejects some concurrent requests: "database is locked".
            final = _register_one(gateway, *server) if error is not None and len(batch) > 1 else error
            if final is not None:
                raise final
    _wait_until_listed(gateway, servers, wait_s)
    return Registration(added=tuple(name for name, _ in missing), kept=tuple(kept))


def unregister(gateway: Gateway, names: Iterable[str], *, wait_s: float = 60.0) -> tuple[str, ...]:
    """Remove MCP servers, and wait until their tools are no longer listed; unknown names are ignored.

    Returns:
        The names of the removed servers.

    Raises:
        UserError: the gateway refuses, or still lists their tools after ``wait_s`` seconds.
    """
    wanted = set(names)
    doomed = [upstream for upstream in upstreams(gateway) if upstream.name in wanted]
    for upstream in doomed:
        _delete(gateway, f"/gateways/{_quoted(upstream.id)}", f"MCP server {upstream.name}")
    ids = {upstream.id for upstream in doomed}
    deadline = time.monotonic() + wait_s
    # 1.0.0 serves listings from a cache that is not invalidated when a server is deleted.
    while ids and any(str(row.get("gatewayId")) in ids for row in gateway.rows("tools")):
        if time.monotonic() >= deadline:
            raise UserError(
                f"{gateway.base_url}: tools of {', '.join(sorted(wanted))} are still listed {wait_s:g} s after these "
                "servers were unregistered"
            )
        time.sleep(_POLL_S)
    return tuple(upstream.name for upstream in doomed)


def create_fixtures(
    gateway: Gateway,
    servers: Sequence[str] = (),
    *,
    warn: Callable[[str], None] = lambda _text: None,
    note: Callable[[str, str], None] = lambda _name, _path: None,
) -> str:
    """Create the virtual server ``perf-virtual`` and two prompts of the gateway's own; replace existing ones.

    The virtual server offers the tools, resources and prompts of ``servers`` (names; empty: of all), at most 100 of
    each kind. ``perf_validated`` declares two required arguments, ``perf_unvalidated`` has the same text and none.

    ``warn`` receives a line per prompt that this user may not create; the virtual server is created without it.
    ``note`` is called as soon as something is created, with its name and the path that deletes it (see
    :func:`remove_made`).

    Returns:
        The virtual server's id, for ``/servers/{id}/mcp``.

    Raises:
        UserError: the gateway refuses, or something with these names exists that this toolkit did not create.
    """
    remove_fixtures(gateway)
    for name, (template, arguments) in _PROMPTS.items():
        body = {"name": name, "description": _MARK, "template": template, "arguments": arguments}
        try:
            row = _create(gateway, "/prompts", {"prompt": body}, name)
            note(name, f"/prompts/{_quoted(row_id(row, f'prompt {name}'))}")
        except ForbiddenError as error:
            warn(f"cases with the prompt {name} are skipped: {error.lacks}")
    associated = _associations(gateway, servers)
    server = {
        "name": VIRTUAL_SERVER,
        "description": _MARK,
        "associated_tools": associated["tools"],
        "associated_resources": associated["resources"],
        "associated_prompts": associated["prompts"],
    }
    row = _create(gateway, "/servers", {"server": server}, VIRTUAL_SERVER)
    identity = row_id(row, f"virtual server {VIRTUAL_SERVER}")
    note(VIRTUAL_SERVER, f"/servers/{_quoted(identity)}")
    return identity


def remove_made(gateway: Gateway, made: Iterable[tuple[str, str]]) -> None:
    """Delete created entities, by name and path as noted by :func:`create_fixtures`, the newest first.

    Listings are not used, because they may come from a cache that is older than the entities.

    Raises:
        UserError: the gateway refuses.
    """
    for name, path in reversed(list(made)):
        answer = gateway.call("DELETE", f"{gateway.prefix}{path}", timeout_s=_REGISTRATION_TIMEOUT_S)
        if answer.status == 404 and path.startswith("/prompts/"):
            _delete(gateway, f"/prompts/{_quoted(name)}", f"prompt {name}")  # 0.7 deletes prompts by name
        elif not answer.ok and answer.status != 404:
            raise gateway.error(answer, f"deleting {name}")


def remove_fixtures(gateway: Gateway) -> tuple[str, ...]:
    """Remove what an earlier run of :func:`create_fixtures` left, found in the listings by name and mark.

    Returns:
        The names of the removed entities.

    Raises:
        UserError: the gateway refuses.
    """
    removed = []
    for row in rows_by_name(_rows_if_allowed(gateway, "servers"), {VIRTUAL_SERVER}):
        if row.get("description") == _MARK:
            removed.append(VIRTUAL_SERVER)
            what = f"virtual server {VIRTUAL_SERVER}"
            _delete(gateway, f"/servers/{_quoted(row_id(row, what))}", what)
    for row in rows_by_name(_rows_if_allowed(gateway, "prompts"), set(_PROMPTS)):
        if row.get("description") == _MARK:
            removed.append(str(row.get("originalName") or row.get("name")))
            _delete_prompt(gateway, row)
    return tuple(removed)


def _rows_if_allowed(gateway: Gateway, kind: ListKind) -> list[dict[str, Any]]:
    try:
        return gateway.rows(kind)
    except ForbiddenError:
        return []  # a user who may not list them cannot have created any that could be found


def offers(url: str) -> dict[ListKind, int] | None:
    """Return an MCP server's numbers of tools, resources and prompts; ``None`` if it does not provide them.

    Only servers without sessions (as the simulated ones) answer without an initialization.
    """
    counts: dict[ListKind, int] = {}
    with http.Session() as session:
        for kind in _SERVED_KINDS:
            body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": f"{kind}/list"}).encode("utf-8")
            try:
                answer = session.send("POST", url, body=body, headers=_MCP_HEADERS, timeout_s=_OFFERS_TIMEOUT_S)
                result = answer.json()["result"]
                if result.get("nextCursor"):
                    return None
                counts[kind] = len(result[kind])
            except (http.AnswerError, KeyError, TypeError, AttributeError):
                return None
    return counts


def same_url(first: str, second: str) -> bool:
    """Return whether two URLs are equivalent: the gateway stores ``localhost`` instead of ``127.0.0.1``."""
    return _normal(first) == _normal(second)


def _normal(url: str) -> tuple[str, str, int | None, str]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # a gateway may list an invalid address, which equals only itself
        return url, "", None, ""
    host = "localhost" if parts.hostname in ("127.0.0.1", "::1") else parts.hostname or ""
    return parts.scheme, host, port, parts.path.rstrip("/")


def _is_usable(upstream: Upstream, url: str) -> bool:
    return same_url(upstream.url, url) and upstream.enabled and upstream.reachable


def _refuse_second_name(gateway: Gateway, name: str, url: str, present: Iterable[Upstream]) -> None:
    for upstream in present:
        if upstream.name != name and same_url(upstream.url, url):
            raise UserError(
                f"{gateway.base_url}: {url} is registered already, as {upstream.name}; "
                f"remove that first: utils/gateway.py unregister --names {upstream.name}"
            )


def _register_one(gateway: Gateway, name: str, url: str) -> UserError | None:
    """Register one server; return errors instead of raising, so that the others are completed."""
    body = {"name": name, "url": url, "transport": "STREAMABLEHTTP"}
    try:
        answer = gateway.call("POST", f"{gateway.prefix}/gateways", body=body, timeout_s=_REGISTRATION_TIMEOUT_S)
        if answer.ok:
            return None
        if answer.status == 409 and any(
            upstream.name == name and same_url(upstream.url, url) for upstream in upstreams(gateway)
        ):
            return None  # another client registered it in the meantime
    except UserError as error:
        return error
    return _registration_error(gateway, name, url, answer)


def _registration_error(gateway: Gateway, name: str, url: str, answer: Answer) -> UserError:
    where = f"{gateway.base_url}: MCP server {name} ({url}) cannot be registered: HTTP {answer.status} {answer.reason}"
    reason = answer.reason.lower()
    if answer.status in (401, 403, 429):
        return gateway.error(answer, f"registering MCP server {name}")
    if answer.status == 409 and "prompt" in reason:
        return UserError(
            f"{where}: releases before 1.0.0b2 cannot hold two servers with a prompt of the same name; "
            "register one server only (PERF_SERVERS_COUNT=1)"
        )
    if "connect" in reason or "initialize" in reason or answer.status in (502, 503):
        return UserError(f"{where}: the gateway does not reach it; is it running, and can the gateway's host see it?")
    if answer.status >= 500:
        return UserError(f"{where}: the gateway failed; see its log")
    return UserError(
        f"{where}: 1.x refuses servers on this machine or a private network unless it runs with "
        "SSRF_ALLOW_LOCALHOST=true and SSRF_ALLOW_PRIVATE_NETWORKS=true"
    )


def _wait_until_listed(gateway: Gateway, servers: Sequence[tuple[str, str]], wait_s: float) -> None:
    expected = {name: offers(url) or {"tools": 1} for name, url in servers}
    deadline = time.monotonic() + wait_s
    while lacking := _lacking(gateway, expected):
        if time.monotonic() >= deadline:
            raise UserError(
                f"{gateway.base_url}: {lacking} after {wait_s:g} s of waiting; see the gateway's log, or register again"
            )
        time.sleep(_POLL_S)


def _lacking(gateway: Gateway, expected: Mapping[str, Mapping[ListKind, int]]) -> str:
    """Return what the gateway does not list yet of the first incomplete server; empty if all are complete."""
    names = {upstream.id: upstream.name for upstream in upstreams(gateway)}
    for kind in _SERVED_KINDS:
        rows = gateway.rows(kind)
        # Before 1.0 a prompt does not name its server, and 0.7 does not list what requires its server to be read.
        if kind != "tools" and not all("gatewayId" in row for row in rows):
            continue
        for name, offered in expected.items():
            listed = sum(1 for row in rows if server_of(row, names) == name)
            if listed < offered.get(kind, 0):
                return f"only {listed} of {offered[kind]} {kind} of MCP server {name} are listed"
    return ""


def _associations(gateway: Gateway, servers: Sequence[str]) -> dict[ListKind, list[str]]:
    names = {upstream.id: upstream.name for upstream in upstreams(gateway)}
    associated: dict[ListKind, list[str]] = {}
    for kind in _SERVED_KINDS:
        rows = gateway.rows(kind)
        own = [row for row in rows if not servers or server_of(row, names) in servers]
        # 0.7 and 0.8 use numbers as ids, but require them as text.
        associated[kind] = [row_id(row, f"one of its {kind}") for row in own[:_MOST_ASSOCIATED]]
    return associated


def _create(gateway: Gateway, path: str, body: Mapping[str, Any], name: str) -> Any:
    answer = gateway.call("POST", f"{gateway.prefix}{path}", body=body)
    if answer.status == 409:
        raise UserError(
            f"{gateway.base_url}: there is a {name} already that this toolkit did not make ({answer.reason}); "
            "rename or delete it"
        )
    if not answer.ok:
        raise gateway.error(answer, f"creating {name}")
    return answer.json()


def _delete(gateway: Gateway, path: str, what: str) -> None:
    """Delete something; it is no error if it does not exist."""
    answer = gateway.call("DELETE", f"{gateway.prefix}{path}", timeout_s=_REGISTRATION_TIMEOUT_S)
    if not answer.ok and answer.status != 404:
        raise gateway.error(answer, f"deleting {what}")


def _delete_prompt(gateway: Gateway, row: Mapping[str, Any]) -> None:
    """Delete a prompt: 0.7 deletes by name, later releases by id."""
    name = str(row.get("name"))
    answer = gateway.call("DELETE", f"{gateway.prefix}/prompts/{_quoted(row_id(row, f'prompt {name}'))}")
    if answer.status == 404:
        _delete(gateway, f"/prompts/{_quoted(name)}", f"prompt {name}")
    elif not answer.ok:
        raise gateway.error(answer, f"deleting prompt {name}")


def _quoted(identity: str) -> str:
    """Return an id or a name, which the gateway chose, as one path segment."""
    return quote(identity, safe="")
