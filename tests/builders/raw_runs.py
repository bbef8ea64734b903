"""Builders of run directories like those of the load driver."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchkit.model import (
    Environment,
    ExecutionCount,
    Expectation,
    HttpRequest,
    Load,
    Machine,
    Part,
    Plan,
    PlannedCase,
    PlannedDifference,
    Probe,
    RawGatewayCounts,
    RawIteration,
    RawPart,
    ServerCounter,
    Target,
    part_files,
)
from benchkit.store import save

START = datetime(2025, 10, 10, 14, 30, tzinfo=UTC)
HEADER = "response-time,DNS+dialup,DNS,Request-write,Response-delay,Response-read,status-code,offset"

ENVIRONMENT = Environment(
    machine=Machine(
        cpu_model="Test CPU",
        cores=2,
        memory_mib=4096,
        kernel="6.1",
        python="3.11.2",
        engines={"hey": "0.1.4"},
        toolkit="0.1.0",
    ),
    target=Target(base_url="http://127.0.0.1:4444", prefix="/v1", origin="local", release="1.0.7"),
    load=Load(profile="light", requests=20, concurrency=2, timeout_s=30, iterations=2, warmup_requests=2),
)


def planned(  # pylint: disable=too-many-arguments  # one per field of a case
    name: str,
    *,
    scenario: str = "tools",
    requests: int = 20,
    parts: int = 1,
    iterations: int = 2,
    status: int = 200,
    counter: str = "",
    **rest: Any,
) -> PlannedCase:
    """Return a planned case; ``counter`` is the key of the MCP servers' counters."""
    address = f"http://127.0.0.1:4444/v1/{name}"
    made = [
        http_part(address, requests=requests, concurrency=2, server_counter=_counter(number, counter))
        for number in range(parts)
    ]
    values = {
        "id": f"{scenario}/{name}",
        "scenario": scenario,
        "name": name,
        "description": f"The case {name}",
        "engine": "hey",
        "resolution_ms": 0.1,
        "expect": Expectation(status=status),
        "timeout_s": 30,
        "iterations": iterations,
        "warmup_requests": 2,
        "parts": made,
    }
    return PlannedCase.model_validate(values | rest)


def url_of(part: Part) -> str:
    """Return the URL of a part's HTTP request."""
    assert isinstance(part.request, HttpRequest)
    return part.request.url


def http_part(
    url: str,
    *,
    requests: int = 1,
    concurrency: int = 1,
    server: str = "",
    server_counter: ServerCounter | None = None,
    **request: Any,
) -> Part:
    """Return a part that sends an HTTP request; ``request`` has more fields of the request."""
    return Part(
        request=HttpRequest(url=url, **request),
        requests=requests,
        concurrency=concurrency,
        server=server,
        server_counter=server_counter,
    )


def _counter(server: int, key: str) -> ServerCounter | None:
    return ServerCounter(url=f"http://127.0.0.1:{9101 + server}/counters", key=key) if key else None


@dataclass(frozen=True)
class Answer:
    """Return one row; latency and offset are in milliseconds."""

    latency_ms: float
    status: int = 200
    offset_ms: float = 0.0


def steady(number: int, latency_ms: float = 10.0, status: int = 200) -> list[Answer]:
    """Return rows of two workers, in turns, with latencies that grow by 0.1 ms."""
    return [
        Answer(round(latency_ms + 0.1 * index, 1), status, round((index // 2) * (latency_ms + 5), 1))
        for index in range(number)
    ]


@dataclass(frozen=True)
class Measured:  # pylint: disable=too-many-instance-attributes  # one per thing that can go wrong
    """The output of one iteration of a case; lists have one entry per part."""

    answers: Sequence[Sequence[Answer]]
    sent: int = 20
    wall_s: float = 1.0
    started: datetime = START
    exit_status: int = 0
    calls: Sequence[int | None] = (None,)
    failures: Sequence[int | None] = (None,)
    server_problem: str = ""
    before: str = ""
    after: str = ""
    probes: bool = True
    interrupted: bool = False
    delays_s: Sequence[float] = field(default_factory=lambda: (0.0,) * 9)


def good(latency_ms: float = 10.0, number: int = 20, **changes: Any) -> Measured:
    """Return a successful iteration of one part."""
    return replace(Measured([steady(number, latency_ms)], sent=number), **changes)


class RunDirectory:
    """A run directory under construction."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.cases: list[PlannedCase] = []

    def add(self, case: PlannedCase, *iterations: Measured) -> PlannedCase:
        """Add a case to the plan, and write its iterations."""
        self.cases.append(case)
        for number, measured in enumerate(iterations, start=1):
            self.write_iteration(case, number, measured)
        return case

    def write_iteration(self, case: PlannedCase, number: int, measured: Measured) -> None:
        """Write the rows and the record of an iteration."""
        directory = self.path / "raw" / case.scenario
        directory.mkdir(parents=True, exist_ok=True)
        started = measured.started + timedelta(seconds=10 * number)
        parts = []
        for index, (name, answers) in enumerate(zip(part_files(case, number), measured.answers, strict=False)):
            write_rows(directory / name, answers)
            parts.append(
                RawPart(
                    argv=["hey", "-n", str(measured.sent), "-c", "2", "-o", "csv", url_of(case.parts[index])],
                    sent=measured.sent,
                    started=started + timedelta(seconds=measured.delays_s[index]),
                    wall_s=measured.wall_s,
                    exit_status=measured.exit_status,
                    server_calls=measured.calls[index % len(measured.calls)],
                    server_failures=measured.failures[index % len(measured.failures)],
                    server_problem=measured.server_problem,
                )
            )
        finished = started + timedelta(seconds=measured.wall_s)
        checks = ((started - timedelta(milliseconds=50), measured.before), (finished, measured.after))
        probes = [Probe(at=at, latency_ms=9.0, status=200, bytes=2, problem=problem) for at, problem in checks]
        raw = RawIteration(
            case=case.id,
            iteration=number,
            started=started,
            finished=finished,
            parts=parts,
            probes=probes if measured.probes else [],
            interrupted=measured.interrupted,
        )
        save(directory / f"{case.name}.{number}.json", raw)

    def gateway_counts(
        self,
        sent: tuple[int, int],
        counted: tuple[int, int],
        *,
        before: tuple[int, int] = (7, 3),
        settled: bool = True,
        doubt: str = "",
    ) -> None:
        """Write the gateway's own counts of tools; each pair is (succeeded, failed)."""
        raw = RawGatewayCounts(
            before={"tools": ExecutionCount(succeeded=before[0], failed=before[1])},
            after={"tools": ExecutionCount(succeeded=before[0] + counted[0], failed=before[1] + counted[1])},
            sent={"tools": ExecutionCount(succeeded=sent[0], failed=sent[1])},
            settled=settled,
            doubt=doubt,
        )
        (self.path / "raw").mkdir(exist_ok=True)
        save(self.path / "raw" / "gateway_counts.json", raw)

    def finish(self, *differences: PlannedDifference, max_error_rate: float = 1.0) -> Path:
        """Write the plan and return the directory."""
        plan = Plan(
            run_id="light_2025-10-10-143000",
            created=START,
            environment=ENVIRONMENT,
            scenarios=list(dict.fromkeys(case.scenario for case in self.cases)),
            command="./run-configurable.sh --profile light",
            max_error_rate=max_error_rate,
            cases=self.cases,
            differences=list(differences),
        )
        save(self.path / "plan.json", plan)
        return self.path


def write_rows(path: Path, answers: Sequence[Answer]) -> None:
    """Write rows in the format of hey."""
    lines = [HEADER]
    for one in answers:
        taken, offset = f"{one.latency_ms / 1000:.4f}", f"{one.offset_ms / 1000:.4f}"
        lines.append(f"{taken},0.0000,0.0000,0.0000,{taken},0.0000,{one.status},{offset}")
    path.write_text("\n".join(lines) + "\n", encoding="ascii")
