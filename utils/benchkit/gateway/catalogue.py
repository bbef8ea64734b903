"""Find what the gateway lists (tools, resources, templates, prompts) by the names that its MCP servers use.

The gateway renames: ``get_system_time`` of the server ``time1`` is ``time1-get-system-time``. Payloads contain the
original name, and the name to send is looked up here. Identifiers by release:

=========  =======================  ==========================  ============================  ==================
release    prompt over /rpc         prompt in a path            resource in a path            belongs to a server
=========  =======================  ==========================  ============================  ==================
0.7.0      name                     name                        URI                           ``federationSource``
0.8.0      name                     id                          id                            ``federationSource``
0.9.0      id                       id                          id                            ``federationSource``
1.x        name                     id                          id                            ``gatewayId``
=========  =======================  ==========================  ============================  ==================

(Tools have always had ``gatewayId``; a prompt of 0.x does not name its server.)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from benchkit.errors import ForbiddenError, UserError
from benchkit.gateway.client import LIST_KINDS, Gateway, ListKind
from benchkit.model import Entity


@dataclass(frozen=True)
class Upstream:
    """An MCP server behind the gateway. ``url`` is as the gateway stores it (localhost instead of 127.0.0.1)."""

    id: str
    name: str
    url: str
    enabled: bool
    reachable: bool


@dataclass(frozen=True)
class Listed:
    """A tool, resource, template or prompt. ``server`` is its server's name; empty: unknown or the gateway's own.

    ``original`` is the MCP server's name for it; for resources it is the URI, for templates the URI template.
    ``schema`` is a tool's input schema.
    """

    entity: Entity
    server: str
    schema: dict[str, Any] | None = None


class Catalogue:
    """Everything that the target offered when it was loaded; see :func:`load_catalogue`.

    Look-ups return ``None`` if the name does not exist. ``server`` is a server's name; empty: any.
    """

    def __init__(
        self,
        gateway: Gateway,
        listings: Mapping[ListKind, list[dict[str, Any]]],
        release: str | None,
        refused: Mapping[ListKind, str],
    ) -> None:
        self._gateway = gateway
        self._refused = refused
        self.upstreams = tuple(_upstream(row) for row in listings["gateways"])
        names = {upstream.id: upstream.name for upstream in self.upstreams}
        # Some releases list entities of a deleted server from a cache: 1.0.0 for 20 s, 0.7 and 0.8 for an hour.
        # If the servers may not be listed, these entities cannot be recognized.
        rows = {
            kind: [row for row in listings[kind] if "gateways" in refused or _is_alive(row, names)]
            for kind in LIST_KINDS
        }
        self.server_ids = frozenset(str(row.get("id")) for row in listings["servers"])
        """Ids of the listed virtual servers."""
        self._totals = {kind: len(rows[kind]) for kind in LIST_KINDS}
        generation = _generation(release)
        templates = [row for row in rows["resources"] if _is_template(row)] or _templates(gateway)
        self._entries = {
            "tools": [_tool(row, names) for row in rows["tools"]],
            "resources": [_resource(row, names, generation) for row in rows["resources"] if not _is_template(row)],
            "templates": [_template(row, names) for row in templates],
            "prompts": [_prompt(row, names, generation) for row in rows["prompts"]],
        }
        self._listed: dict[tuple[str, int | None], int] = {}

    def tool(self, original: str, server: str) -> Entity | None:
        """Return the tool that an MCP server calls ``original``."""
        return _entity(self._tool(original, server))

    def resource(self, uri: str, server: str) -> Entity | None:
        """Return the resource with this URI, or the template that matches it (then ``name`` is the URI itself)."""
        found = _first(self._entries["resources"], uri, server)
        if found is not None:
            return _entity(found)
        for template in self._entries["templates"]:
            reachable = not server or template.server in ("", server)
            if reachable and matches_template(template.entity.original, uri):
                return Entity(uri, template.entity.original, template.entity.id, template.server)
        return None

    def prompt(self, original: str, server: str) -> Entity | None:
        """Return the prompt that an MCP server, or the gateway itself, calls ``original``."""
        return _entity(_first(self._entries["prompts"], original, server))

    def check_arguments(self, original: str, server: str, arguments: Mapping[str, Any]) -> str:
        """Return why a tool's input schema rejects arguments: argument and rule; empty if it accepts them."""
        found = self._tool(original, server)
        if found is None or found.schema is None:
            return ""
        # The import takes 0.2 s, and most programs never check arguments.
        from benchkit.gateway.arguments import problem_of  # pylint: disable=import-outside-toplevel

        return problem_of(found.schema, arguments)

    def refused(self, kind: str) -> str:
        """Return why this token may not list them, naming the missing permission; empty if it may."""
        return self._refused.get(cast(ListKind, kind), "")

    def total(self, kind: str) -> int:
        """Return the number of tools, resources, prompts, servers (virtual) or gateways (MCP servers)."""
        return self._totals[cast(ListKind, kind)]

    def listed(self, kind: str, limit: int | None) -> int:
        """Return the number of rows of a REST listing with this limit (``None``: without); it is requested once."""
        key = (kind, limit)
        if key not in self._listed:
            self._listed[key] = self._gateway.listed(cast(ListKind, kind), limit)
        return self._listed[key]

    def rpc_listed(self, kind: str) -> int:
        """Return the number of rows on the first page of ``tools/list``, ``resources/list`` or ``prompts/list``."""
        rows = self._gateway.rpc(f"{kind}/list", {}).get(kind)
        if not isinstance(rows, list):
            raise UserError(f"{self._gateway.base_url}: {kind}/list on /rpc: the answer is no list of {kind}")
        return len(rows)

    def _tool(self, original: str, server: str) -> Listed | None:
        return _first(self._entries["tools"], original, server)


def load_catalogue(gateway: Gateway, release: str | None) -> Catalogue:
    """Load everything that the gateway lists.

    Args:
        gateway: with a token, if it needs one.
        release: its release, or ``None`` if unknown (then 1.x is assumed).

    Raises:
        UserError: a listing fails. A listing without permission is empty instead, see :meth:`Catalogue.refused`.
    """
    listings: dict[ListKind, list[dict[str, Any]]] = {}
    refused: dict[ListKind, str] = {}
    for kind in LIST_KINDS:
        try:
            listings[kind] = gateway.rows(kind)
        except ForbiddenError as error:
            listings[kind], refused[kind] = [], error.lacks
    return Catalogue(gateway, listings, release, refused)


def upstreams(gateway: Gateway) -> list[Upstream]:
    """Return the registered MCP servers.

    Raises:
        UserError: the listing is refused or fails.
    """
    return [_upstream(row) for row in gateway.rows("gateways")]


def server_of(row: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """Return the name of the server that owns a listed row; empty if it is unknown or the gateway's own."""
    if row.get("gatewayId"):
        return names.get(str(row["gatewayId"]), "")
    return str(row.get("federationSource") or "")


def _entity(found: Listed | None) -> Entity | None:
    return replace(found.entity, server=found.server) if found else None


def _first(listed: Iterable[Listed], original: str, server: str) -> Listed | None:
    """Return the first with this name: of this server, else of no known server (0.x does not name a prompt's)."""
    candidates = [one for one in listed if one.entity.original == original]
    own = [one for one in candidates if one.server == server] if server else candidates
    unknown = [one for one in candidates if not one.server]
    return next(iter(own + unknown), None)


def _is_alive(row: Mapping[str, Any], names: Mapping[str, str]) -> bool:
    if row.get("gatewayId"):
        return str(row["gatewayId"]) in names
    return not row.get("federationSource") or row["federationSource"] in names.values()


def _generation(release: str | None) -> str:
    """Return ``0.9`` for ``0.9.0``."""
    return ".".join((release or "1.0").split(".")[:2])


def _upstream(row: Mapping[str, Any]) -> Upstream:
    return Upstream(
        id=str(row.get("id", "")),
        name=str(row.get("name", "")),
        url=str(row.get("url", "")),
        enabled=bool(row.get("enabled", row.get("isActive", True))),
        reachable=bool(row.get("reachable", True)),
    )


def _tool(row: Mapping[str, Any], names: Mapping[str, str]) -> Listed:
    schema = row.get("inputSchema")
    name = str(row.get("name", ""))
    return Listed(
        Entity(name=name, original=str(row.get("originalName") or name), id=str(row.get("id", ""))),
        server_of(row, names),
        schema if isinstance(schema, dict) else None,
    )


def _resource(row: Mapping[str, Any], names: Mapping[str, str], generation: str) -> Listed:
    uri = str(row.get("uri", ""))
    return Listed(
        Entity(name=uri, original=uri, id=uri if generation == "0.7" else str(row.get("id", ""))), server_of(row, names)
    )


def _prompt(row: Mapping[str, Any], names: Mapping[str, str], generation: str) -> Listed:
    name, identity = str(row.get("name", "")), str(row.get("id", ""))
    return Listed(
        Entity(
            name=identity if generation == "0.9" else name,
            original=str(row.get("originalName") or name),
            id=name if generation == "0.7" else identity,
        ),
        server_of(row, names),
    )


def _is_template(row: Mapping[str, Any]) -> bool:
    """Return whether a row of /resources is a template; 0.9 lists templates there, with braces in the URI."""
    return bool(row.get("uriTemplate")) or "{" in str(row.get("uri", ""))


def _template(row: Mapping[str, Any], names: Mapping[str, str]) -> Listed:
    text = str(row.get("uriTemplate") or row.get("uri") or "")
    return Listed(Entity(name=text, original=text, id=str(row.get("id", ""))), server_of(row, names))


def _templates(gateway: Gateway) -> list[dict[str, Any]]:
    """Return the templates of releases that list them separately; 0.7 and 0.8 have neither path nor templates."""
    answer = gateway.call("GET", f"{gateway.prefix}/resources/templates/list")
    data = answer.json()
    if not answer.ok or not isinstance(data, dict):
        return []
    rows = data.get("resource_templates") or data.get("resourceTemplates") or []
    return [row for row in rows if isinstance(row, dict)]


def matches_template(template: str, uri: str) -> bool:
    """Return whether a URI matches a URI template of level 1 (RFC 6570).

    A variable matches one segment, ``{+name}`` matches several; both match at least one character. The run time is at
    most proportional to the product of both lengths, whatever the gateway lists.
    """
    ends = [0]  # positions in the URI where the parts so far can end, sorted
    for number, part in enumerate(re.split(r"\{([^{}]*)\}", template)):
        if number % 2 == 0:
            ends = [end + len(part) for end in ends if uri.startswith(part, end)]
        elif part.startswith("+"):
            ends = list(range(ends[0] + 1, len(uri) + 1))
        else:
            reached = 0
            segments: list[int] = []
            for end in ends:
                stop = uri.find("/", end)
                stop = len(uri) if stop < 0 else stop
                segments += range(max(end, reached) + 1, stop + 1)
                reached = max(reached, stop)
            ends = segments
        if not ends:
            return False
    return ends[-1] == len(uri)
