"""A plan and its surroundings, for what drives load."""

from __future__ import annotations

from datetime import UTC, datetime

from benchkit.model import (
    CounterReading,
    Environment,
    Load,
    Machine,
    Plan,
    PlannedCase,
    ServerCounter,
    Target,
)
from builders.raw_runs import http_part


class Counters:
    """A simulated server that counts ten calls between two readings."""

    def __init__(self, *, restart: bool = False, answers: bool = True) -> None:
        self._restart = restart
        self._answers = answers
        self._reads = 0

    def read(self, counter: ServerCounter) -> CounterReading | None:
        self._reads += 1
        instance = f"process-{self._reads}" if self._restart else "process"
        return CounterReading(instance, ok=10 * self._reads, failed=0) if self._answers else None


def case(name: str, url: str, **fields: object) -> PlannedCase:
    part = {key: fields.pop(key) for key in ("body", "method", "headers", "server_counter") if key in fields}
    values = {"timeout_s": 5, "iterations": 2, "warmup_requests": 4, "engine": "hey", "resolution_ms": 0.1, **fields}
    return PlannedCase(
        id=f"s/{name}", scenario="s", name=name, **values, parts=[http_part(url, requests=10, concurrency=2, **part)]
    )


def plan_of(*cases: PlannedCase) -> Plan:
    return Plan(
        run_id="light_x",
        created=datetime.now(UTC),
        environment=Environment(
            machine=Machine(
                cpu_model="x", cores=2, memory_mib=1, kernel="x", python="3", engines={"hey": "x"}, toolkit="x"
            ),
            target=Target(base_url="http://127.0.0.1", prefix="", origin="external"),
            load=Load(profile="light", requests=10, concurrency=2, timeout_s=5, iterations=2, warmup_requests=4),
        ),
        scenarios=["s"],
        command="x",
        max_error_rate=1.0,
        cases=list(cases),
    )
