"""Upgrades of older documents' JSON objects to the current schema. Damaged parts stay as they are, for validation.

The history of the schema versions:

- run, plan: 2 renamed ``side`` to ``variant``. A machine has ``engines``; 1 had one version under the engine's name. In
  a planned case, ``tool`` became ``engine``; a part has a ``request``, whose fields 1 had in the case and the part. A
  case has ``resolution_ms``.
- monitor header, history.json and tune.json: 2 renamed ``side`` to ``variant`` and ``parties`` to ``components``.
- baseline: 2 added ``oldest`` and ``reason``; 3 added a machine's ``engines``.
- noise record, profile: 2 added a machine's ``engines``.
- stack.json: 2 has a list of gateways, and ``runtime`` describes what runs the stack.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Upgrade = Callable[[dict[str, Any]], dict[str, Any]]
"""Converts the JSON object of one ``schema_version`` to the next."""


def _renamed(data: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    return {names.get(key, key): value for key, value in data.items()}


def _mapped(data: dict[str, Any], key: str, change: Upgrade) -> dict[str, Any]:
    """Return ``data`` with ``change`` applied to each object in the list at ``key``, if it is a list."""
    if not isinstance(found := data.get(key), list):
        return data
    return {**data, key: [change(one) if isinstance(one, dict) else one for one in found]}


_OF_MACHINE = frozenset({"cpu_model", "cores", "memory_mib", "kernel", "python", "toolkit", "control_score"})

_RESOLUTION_MS = 0.1
"""Resolution of every engine at the time when documents did not store it."""


def with_engines(data: dict[str, Any]) -> dict[str, Any]:
    """Upgrade a document with an environment: its machine had one engine's version under the engine's name."""
    data = {**data, "schema_version": data["schema_version"] + 1}
    environment = data.get("environment")
    machine = environment.get("machine") if isinstance(environment, dict) else None
    if not isinstance(environment, dict) or not isinstance(machine, dict):
        return data
    kept = {key: value for key, value in machine.items() if key in _OF_MACHINE}
    engines = {key: value for key, value in machine.items() if key not in _OF_MACHINE}
    return {**data, "environment": {**environment, "machine": {**kept, "engines": engines}}}


def run_of_version_1(data: dict[str, Any]) -> dict[str, Any]:
    """Upgrade ``run.json`` of version 1."""
    data = with_engines(_renamed(data, {"side": "variant"}))
    return _mapped(data, "cases", lambda case: {**case, "resolution_ms": _RESOLUTION_MS})


def plan_of_version_1(data: dict[str, Any]) -> dict[str, Any]:
    """Upgrade ``plan.json`` of version 1."""
    return _mapped(with_engines(_renamed(data, {"side": "variant"})), "cases", _planned_case_of_version_1)


def _planned_case_of_version_1(case: dict[str, Any]) -> dict[str, Any]:
    shared: dict[str, Any] = {key: case[key] for key in ("method", "headers", "authenticated") if key in case}
    headers = shared.get("headers")
    if isinstance(headers, dict) and headers.get("Accept") == "text/event-stream":
        shared["answer"] = "event"

    def with_request(part: dict[str, Any]) -> dict[str, Any]:
        own = {key: part[key] for key in ("url", "body", "body_file") if key in part}
        kept = {key: value for key, value in part.items() if key not in own}
        return {**kept, "request": {"kind": "http", **shared, **own}}

    kept = {key: value for key, value in case.items() if key not in ("method", "headers", "authenticated")}
    renamed = _renamed(kept, {"tool": "engine"})
    return _mapped({**renamed, "resolution_ms": _RESOLUTION_MS}, "parts", with_request)


def _without(data: dict[str, Any], *names: str) -> dict[str, Any]:
    return {key: value for key, value in data.items() if key not in names}


def variants_from_sides(data: dict[str, Any]) -> dict[str, Any]:
    """Upgrade ``history.json`` and ``tune.json`` of version 1."""
    return {**_renamed(data, {"sides": "variants"}), "schema_version": 2}


def monitor_from_parties(data: dict[str, Any]) -> dict[str, Any]:
    """Upgrade the header of ``monitor.jsonl`` of version 1, and its samples, which have no version of their own."""
    data = _renamed(data, {"parties": "components"})
    data = _mapped(data, "components", lambda one: _renamed(one, {"side": "variant"}))
    return {**data, "schema_version": 2} if "schema_version" in data else data


OLDEST_RUNS = 3
"""Number of first accepted runs that a baseline keeps."""


def baseline_with_oldest(data: dict[str, Any]) -> dict[str, Any]:
    """Upgrade a baseline of version 1, which had no ``oldest`` and no ``reason``: its first runs become the oldest."""
    runs = data.get("runs")
    return {**data, "schema_version": 2, "oldest": runs[:OLDEST_RUNS] if isinstance(runs, list) else []}


def stack_of_one_gateway(data: dict[str, Any]) -> dict[str, Any]:
    """Upgrade ``stack.json`` of version 1, which had one gateway or none, run by supervisor."""

    def with_list(part: dict[str, Any]) -> dict[str, Any]:
        gateway = part.get("gateway")
        return {**_without(part, "gateway"), "gateways": [] if gateway is None else [gateway]}

    runtime = {"supervisor": data.get("supervisor"), "directory": data.get("runtime_dir")}
    data = {**with_list(_without(data, "supervisor", "runtime_dir")), "runtime": runtime, "schema_version": 2}
    if isinstance(topology := data.get("topology"), dict):
        data["topology"] = with_list(topology)
    return data
