"""Describe the gateway from its own answers: release, uptime, database, cache, and number of entities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from benchkit.gateway.catalogue import Catalogue
from benchkit.gateway.client import Gateway
from benchkit.model import Target
from benchkit.plain import plain_text

_LONGEST = 100
_OLDEST_S = 1e9


@dataclass(frozen=True)
class Version:
    """The answer of ``/version``. Values that the release or this user's rights do not provide are ``None``."""

    release: str | None = None
    uptime_s: float | None = None
    database: str | None = None
    database_version: str | None = None
    database_reachable: bool | None = None
    cache: str | None = None
    cache_reachable: bool | None = None


def read_version(gateway: Gateway) -> Version:
    """Read ``/version``; if the gateway refuses it (administrators only), all values are ``None``.

    Raises:
        UserError: there was no answer.
    """
    answer = gateway.call("GET", f"{gateway.prefix}/version")
    data = answer.json()
    if not answer.ok or not isinstance(data, dict):
        return Version()
    database, redis = _part(data, "database"), _part(data, "redis")
    cache = _text(_part(data, "settings").get("cache_type"))
    uptime = data.get("uptime_seconds")
    return Version(
        release=_text(_part(data, "app").get("version")),
        uptime_s=min(max(0.0, float(uptime)), _OLDEST_S) if isinstance(uptime, int | float) else None,
        database=_text(database.get("dialect")),
        database_version=_text(database.get("server_version")),
        database_reachable=_flag(database.get("reachable")),
        cache=cache,
        # The default address of a Redis that is not configured is also reported.
        cache_reachable=_flag(redis.get("reachable")) if cache == "redis" else None,
    )


def describe_target(
    gateway: Gateway,
    version: Version,
    catalogue: Catalogue,
    origin: Literal["local", "docker", "external"],
) -> Target:
    """Return the target as stored with a run, without the facts that only the toolkit's own stack knows."""
    return Target(
        base_url=gateway.base_url,
        prefix=gateway.prefix,
        origin=origin,
        release=version.release,
        database=version.database,
        database_version=version.database_version,
        cache=version.cache,
        uptime_s=version.uptime_s,
        servers=catalogue.total("gateways"),
        tools=catalogue.total("tools"),
        resources=catalogue.total("resources"),
        prompts=catalogue.total("prompts"),
    )


def _part(data: dict[str, Any], name: str) -> dict[str, Any]:
    part = data.get(name)
    return part if isinstance(part, dict) else {}


def _text(value: Any) -> str | None:
    return (plain_text(value, _LONGEST) or None) if isinstance(value, str) else None


def _flag(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None
