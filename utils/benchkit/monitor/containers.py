"""Containers of a gateway, and their resource usage as reported by the container engine.

The engine's stream of statistics is used, which has one message per second for each container. A single request would
take one to two seconds, because the engine waits for a second value. Importing the engine's library takes part of a
second, so only code that looks for containers imports this module.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import docker

from benchkit.monitor.cpu_accounting import Usage
from benchkit.monitor.processes import MIB

Kind = Literal["gateway", "server", "database", "cache"]

_TIMEOUT_S = 5
_PROJECT = "com.docker.compose.project"
_SERVICE = "com.docker.compose.service"
_NUMBER = "com.docker.compose.container-number"
_KINDS: tuple[tuple[Kind, tuple[str, ...]], ...] = (
    ("database", ("postgres", "pgbouncer", "mysql", "mariadb")),
    ("cache", ("redis", "valkey", "memcached")),
    ("gateway", ("gateway", "context-forge", "contextforge", "nginx", "haproxy", "traefik", "envoy", "caddy")),
)


@dataclass(frozen=True)
class Container:
    """A running container: its id, its display name, and its role for the gateway."""

    id: str
    name: str
    kind: Kind


def engine() -> docker.DockerClient:
    """Return a client of the engine that the environment names, or of the default one.

    Raises:
        docker.errors.DockerException: there is none, or it does not answer.
    """
    client = docker.from_env(timeout=_TIMEOUT_S)
    client.ping()
    return client


def containers_at(client: docker.DockerClient, port: int) -> list[Container]:
    """Return the container that publishes a port of this machine, followed by the others of its compose project.

    Empty if no container publishes it.

    Raises:
        docker.errors.DockerException: the engine does not answer.
    """
    # One request lists all; the library's objects would send another request per container.
    return select(client.api.containers(), port)


def select(listed: Sequence[Mapping[str, Any]], port: int) -> list[Container]:
    """Do the same as :func:`containers_at`, from the engine's list (``GET /containers/json``)."""
    front = next((one for one in listed if _publishes(one, port)), None)
    if front is None:
        return []
    project = _labels(front).get(_PROJECT)
    others = [one for one in listed if one is not front and project and _labels(one).get(_PROJECT) == project]
    services = [_labels(one).get(_SERVICE, "") for one in (front, *others)]
    return [
        Container(str(front["Id"]), _name(front, services), "gateway"),
        *(Container(str(one["Id"]), _name(one, services), _kind(one)) for one in others),
    ]


def usages(client: docker.DockerClient, container_id: str) -> Iterator[Usage]:
    """Yield a container's usage once a second while it runs.

    Raises:
        docker.errors.DockerException: the container no longer exists, or the engine does not answer.
    """
    before: Mapping[str, Any] | None = None
    for message in client.api.stats(container_id, decode=True, stream=True):
        yield usage(before, message)
        before = message


def usage(before: Mapping[str, Any] | None, now: Mapping[str, Any]) -> Usage:
    """Return a container's usage between two messages of its stream (``GET /containers/{id}/stats``)."""
    percent = None
    if before is not None:
        elapsed = (_read_at(now) - _read_at(before)).total_seconds()
        used = (_cpu_ns(now) - _cpu_ns(before)) / 1e9
        # After a restart the counter starts at 0; a stopped container has no time at all.
        if elapsed > 0 and used >= 0:
            percent = 100 * used / elapsed
    memory = now.get("memory_stats", {})
    resident = memory.get("usage")
    if resident is None:
        return Usage(None, None)
    # Like docker stats: do not count cached files, which only use free memory.
    details = memory.get("stats", {})
    cached = details.get("inactive_file", details.get("total_inactive_file", 0))
    return Usage(percent, max(0, resident - cached) / MIB)


def _cpu_ns(message: Mapping[str, Any]) -> int:
    return int(message.get("cpu_stats", {}).get("cpu_usage", {}).get("total_usage", 0))


def _read_at(message: Mapping[str, Any]) -> datetime:
    """Return when the engine read the statistics: RFC 3339 with nanoseconds, of which Python accepts six digits."""
    text = str(message.get("read", "")).rstrip("Z")
    seconds, _, fraction = text.partition(".")
    try:
        return datetime.fromisoformat(f"{seconds}.{fraction[:6]:0<6}").replace(tzinfo=UTC)
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)


def _publishes(container: Mapping[str, Any], port: int) -> bool:
    return any(one.get("PublicPort") == port for one in container.get("Ports") or ())


def _labels(container: Mapping[str, Any]) -> Mapping[str, str]:
    return container.get("Labels") or {}


def _name(container: Mapping[str, Any], services: Sequence[str]) -> str:
    """Return the compose service, with a number if it has several containers; else the container's name."""
    labels = _labels(container)
    service = labels.get(_SERVICE)
    if not service:
        return str((container.get("Names") or [container["Id"][:12]])[0]).lstrip("/")
    return f"{service}-{labels.get(_NUMBER, '1')}" if services.count(service) > 1 else service


def _kind(container: Mapping[str, Any]) -> Kind:
    """Return the kind by words in the names of service and image; anything else is an MCP server."""
    image = str(container.get("Image", "")).rpartition("/")[2]
    words = f"{_labels(container).get(_SERVICE, '')} {image}".lower()
    return next((kind for kind, names in _KINDS if any(name in words for name in names)), "server")
