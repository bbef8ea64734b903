"""What makes the JSON object of an older document one of today's; what is damaged in it stays so, for validation.

The history of the schema versions:

- run, plan, monitor header, history.json and tune.json: 2 says ``variant`` and ``components`` where 1 said ``side``
  and ``parties``.
- baseline: 2 has ``oldest`` and ``reason``.
- stack.json: 2 has a list of gateways, and ``runtime`` says what runs the stack.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Upgrade = Callable[[dict[str, Any]], dict[str, Any]]
"""Turns the JSON object of one ``schema_version`` into one of the next."""


def _renamed(data: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    return {names.get(key, key): value for key, value in data.items()}


def _without(data: dict[str, Any], *names: str) -> dict[str, Any]:
    return {key: value for key, value in data.items() if key not in names}


def variant_from_side(data: dict[str, Any]) -> dict[str, Any]:
    """``run.json`` and ``plan.json`` of version 1."""
    return {**_renamed(data, {"side": "variant"}), "schema_version": 2}


def variants_from_sides(data: dict[str, Any]) -> dict[str, Any]:
    """``history.json`` and ``tune.json`` of version 1."""
    return {**_renamed(data, {"sides": "variants"}), "schema_version": 2}


def monitor_from_parties(data: dict[str, Any]) -> dict[str, Any]:
    """The header of ``monitor.jsonl`` of version 1, and its samples, which have no version of their own."""
    data = _renamed(data, {"parties": "components"})
    if isinstance(components := data.get("components"), list):
        data["components"] = [
            _renamed(one, {"side": "variant"}) if isinstance(one, dict) else one for one in components
        ]
    return {**data, "schema_version": 2} if "schema_version" in data else data


OLDEST_RUNS = 3
"""How many of the first accepted runs a baseline keeps."""


def baseline_with_oldest(data: dict[str, Any]) -> dict[str, Any]:
    """A baseline of version 1 had neither ``oldest`` nor ``reason``: its first runs are the oldest that are known."""
    runs = data.get("runs")
    return {**data, "schema_version": 2, "oldest": runs[:OLDEST_RUNS] if isinstance(runs, list) else []}


def stack_of_one_gateway(data: dict[str, Any]) -> dict[str, Any]:
    """``stack.json`` of version 1 had one gateway or none, and a supervisor ran it."""

    def with_list(part: dict[str, Any]) -> dict[str, Any]:
        gateway = part.get("gateway")
        return {**_without(part, "gateway"), "gateways": [] if gateway is None else [gateway]}

    runtime = {"supervisor": data.get("supervisor"), "directory": data.get("runtime_dir")}
    data = {**with_list(_without(data, "supervisor", "runtime_dir")), "runtime": runtime, "schema_version": 2}
    if isinstance(topology := data.get("topology"), dict):
        data["topology"] = with_list(topology)
    return data
