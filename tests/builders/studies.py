"""Builders of several related runs, for the tests of the pages about them; equal at every call."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from benchkit.model import Case, Counts, Environment, Run, Validity
from builders.documents import STARTED, difference_case, environment, failed_case
from builders.judged import case_of, elsewhere, run_of, write_run

CASES = {
    "tools/list_limit_50": 60.0,
    "tools/call_get_system_time": 90.0,
    "resources/read_world_times": 40.0,
    "prompts/get_validated": 25.0,
}
"""Maps a case to its p50 (ms) in the reference run."""


def figured(identity: str, p50: float, rate: float | None = None, *, tail: float | None = None, ok: int = 300) -> Case:
    """Return a valid case of 300 requests with exact values; its p99 has too few samples."""
    figures = {
        "p50_latency": p50,
        "p95_latency": 2 * p50 if tail is None else tail,
        "p99_latency": 4 * p50,
        "requests_per_sec": 10_000 / p50 if rate is None else rate,
        "error_rate": (300 - ok) / 300,
    }
    return case_of(identity, metrics=figures, advisory=["p99_latency"], counts=Counts(sent=300, ok=ok))


def ordinary(number: int, factor: float = 1.0, **changes: Any) -> Run:
    """Return a run whose latencies are ``factor`` times those of :data:`CASES`."""
    cases = [figured(name, round(p50 * factor, 3)) for name, p50 in CASES.items()]
    cases.append(difference_case("gateway-core/overhead_rpc", 52.4 * factor, 71.9, 96.0, 0.147))
    return run_of(*cases, number=number, started=STARTED + timedelta(hours=number), **changes)


def spoilt(run: Run) -> Run:
    """Return the run with one case invalid, one interrupted, one skipped and one missing."""
    first, second, third, _, *rest = run.cases
    reasons = [
        failed_case(first.id, "298 of 300 requests failed: http 429", errors={"http 429": 298}),
        failed_case(second.id, "the run was stopped", Validity.INTERRUPTED, sent=20),
        failed_case(third.id, "release 0.7.0 has no resources", Validity.SKIPPED, sent=0),
    ]
    return run.model_copy(update={"cases": [*reasons, *rest]})


def usl(x: float) -> float:
    """Return a throughput that levels off with concurrency; its peak is near 70."""
    return 20 * x / (1 + 0.05 * (x - 1) + 0.0002 * x * (x - 1))


def scaled(
    places: Sequence[int],
    *,
    rate: Callable[[float], float] = usl,
    repeats: int = 1,
    noise: float = 0.0,
    servers: bool = False,
) -> list[Run]:
    """Return runs at these concurrencies (or numbers of servers), with a throughput that depends on them."""
    chance = np.random.default_rng(4)
    runs = []
    for number, place in enumerate(place for place in places for _ in range(repeats)):
        around: Environment = environment() if servers else environment(concurrency=place)
        if servers:
            around = elsewhere(around, target={"servers": place})
        moved = rate(place) * float(np.exp(noise * chance.standard_normal()))
        cases = [
            figured("tools/list_limit_50", 1000 * place / moved, moved, tail=1600 * place / moved),
            figured("gateway-core/health", 20.0, 100.0 + 3 * place, tail=30 + 0.01 * place),
        ]
        runs.append(run_of(*cases, number=number, environment=around, started=STARTED + timedelta(hours=number)))
    return runs


def on_databases(repeats: int = 2) -> list[Run]:
    """Return runs on SQLite and on PostgreSQL, which is a quarter faster."""
    runs = []
    for number in range(2 * repeats):
        name, version = ("sqlite", "3.40.1") if number % 2 == 0 else ("postgresql", "16.4")
        around = elsewhere(environment(), target={"database": name, "database_version": version})
        factor = (1.0 if name == "sqlite" else 0.75) * math.exp(0.01 * (number // 2))
        runs.append(ordinary(number, factor, environment=around))
    return runs


def written(root: Path, runs: Sequence[Run]) -> list[Path]:
    """Write these runs to directories in ``root``, and return the directories."""
    return [write_run(root / run.run_id, run) for run in runs]
