"""Which containers belong to a gateway, and what they use: from answers in the engine's form."""

from __future__ import annotations

from typing import Any

import pytest

from benchkit.monitor.containers import select, usage
from benchkit.monitor.cpu_accounting import Usage

MIB = 2**20


def listed(number: int, image: str, *, port: int | None = None, service: str = "", **labels: str) -> dict[str, Any]:
    """An entry of ``GET /containers/json``, with what is read of it."""
    if service:
        labels = {"com.docker.compose.project": "stack", "com.docker.compose.service": service, **labels}
    return {
        "Id": f"{number:064x}",
        "Names": [f"/name-{number}"],
        "Image": image,
        "Labels": labels,
        "Ports": [
            {"PrivatePort": 9, "Type": "tcp"},
            *([{"PrivatePort": 80, "PublicPort": port, "Type": "tcp"}] if port else []),
        ],
    }


def number(value: int) -> dict[str, str]:
    return {"com.docker.compose.container-number": str(value)}


def test_a_container_of_its_own_stands_alone() -> None:
    others = [listed(1, "postgres:17"), listed(2, "busybox", port=5555)]
    found = select([*others, listed(3, "ghcr.io/ibm/mcp-context-forge:1", port=4444)], 4444)
    assert [(one.name, one.kind) for one in found] == [("name-3", "gateway")]


def test_the_others_of_the_same_compose_project() -> None:
    found = select(
        [
            listed(1, "docker.io/library/postgres:17", service="db"),
            listed(2, "redis:7", service="cache"),
            listed(3, "x/y:1", service="gateway", **number(1)),
            listed(4, "x/y:1", service="gateway", **number(2)),
            listed(5, "nginx:1", service="front", port=8080),
            listed(6, "bench/time-server", service="time1"),
            listed(7, "postgres:17"),
            listed(8, "postgres:17", service="db", **{"com.docker.compose.project": "another"}),
        ],
        8080,
    )
    assert [(one.name, one.kind) for one in found] == [
        ("front", "gateway"),
        ("db", "database"),
        ("cache", "cache"),
        ("gateway-1", "gateway"),
        ("gateway-2", "gateway"),
        ("time1", "server"),
    ]


@pytest.mark.parametrize("answer", [[], [listed(1, "x", port=80)], [{"Id": "a" * 64, "Ports": None, "Labels": None}]])
def test_nobody_publishes_the_port(answer: list[dict[str, Any]]) -> None:
    assert select(answer, 4444) == []


def test_a_container_without_a_name() -> None:
    found = select([{"Id": "a" * 64, "Ports": [{"PublicPort": 1}], "Labels": None, "Names": None}], 1)
    assert found[0].name == "a" * 12


def message(at: str, cpu_ns: int, memory: dict[str, Any] | None) -> dict[str, Any]:
    """A message of ``GET /containers/{id}/stats``."""
    return {
        "read": f"2025-10-10T14:30:{at}Z",
        "cpu_stats": {"cpu_usage": {"total_usage": cpu_ns}},
        "memory_stats": memory or {},
    }


def test_per_cent_of_one_core_over_the_time_between_two_messages() -> None:
    before = message("01.123456789", 5_000_000_000, {"usage": 10 * MIB})
    now = message("03.123456789", 8_000_000_000, {"usage": 10 * MIB})
    assert usage(before, now) == Usage(150.0, 10.0)
    assert usage(None, now) == Usage(None, 10.0)


@pytest.mark.parametrize("key", ["inactive_file", "total_inactive_file"])
def test_cached_files_are_no_use_of_memory_in_either_version_of_control_groups(key: str) -> None:
    now = message("01.0", 0, {"usage": 10 * MIB, "stats": {key: 4 * MIB}})
    assert usage(None, now).memory_mib == 6.0


def test_a_container_that_was_started_again_counts_from_nothing() -> None:
    before = message("01.0", 9_000_000_000, {"usage": MIB})
    assert usage(before, message("02.0", 1_000_000, {"usage": MIB})) == Usage(None, 1.0)


def test_a_container_that_does_not_run() -> None:
    stopped = {"read": "0001-01-01T00:00:00Z", "cpu_stats": {"cpu_usage": {"total_usage": 0}}, "memory_stats": {}}
    assert usage(message("01.0", 9, {"usage": MIB}), stopped) == Usage(None, None)
    assert usage(stopped, stopped) == Usage(None, None)
    assert usage({}, {}) == Usage(None, None)
