"""Create run directories like those of the load driver, for the benchmarks in this directory."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

CHECKOUT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(CHECKOUT / "utils"))

# pylint: disable=wrong-import-position  # the library is found by the line above
from benchkit.model import (  # noqa: E402
    Environment,
    HttpRequest,
    Load,
    Machine,
    Part,
    Plan,
    PlannedCase,
    Probe,
    RawIteration,
    RawPart,
    Target,
)
from benchkit.store import save  # noqa: E402

Floats = NDArray[np.float64]

SCENARIO = "benchmark"
CASE = "one"


def write_plan(  # pylint: disable=too-many-arguments  # a load has as many values
    run_dir: Path, *, url: str, requests: int, concurrency: int, iterations: int, names: Sequence[str] = (CASE,)
) -> list[PlannedCase]:
    """Write ``plan.json`` with a case for each name, create ``raw/``, and return the cases."""
    cases = [
        PlannedCase(
            id=f"{SCENARIO}/{name}",
            scenario=SCENARIO,
            name=name,
            timeout_s=30,
            iterations=iterations,
            warmup_requests=0,
            engine="hey",
            resolution_ms=0.1,
            parts=[Part(request=HttpRequest(url=url), requests=requests, concurrency=concurrency)],
        )
        for name in names
    ]
    environment = Environment(
        machine=Machine(
            cpu_model=platform.machine(),
            cores=1,
            memory_mib=1,
            kernel=platform.release(),
            python=platform.python_version(),
            engines={"hey": "0.1.4"},
            toolkit="0.1.0",
        ),
        target=Target(base_url=url, prefix="", origin="external"),
        load=Load(
            profile="benchmark",
            requests=requests,
            concurrency=concurrency,
            timeout_s=30,
            iterations=iterations,
            warmup_requests=0,
        ),
    )
    plan = Plan(
        run_id="benchmark_2025-01-01-000000",
        created=datetime.now(UTC),
        environment=environment,
        scenarios=[SCENARIO],
        command=" ".join(sys.argv),
        max_error_rate=1.0,
        cases=cases,
    )
    (run_dir / "raw" / SCENARIO).mkdir(parents=True)
    save(run_dir / "plan.json", plan)
    return cases


def rows_file(run_dir: Path, iteration: int, name: str = CASE) -> Path:
    """Return the path of an iteration's rows."""
    return run_dir / "raw" / SCENARIO / f"{name}.{iteration}.csv"


def write_rows(path: Path, latency_s: Floats, offset_s: Floats) -> None:
    """Write rows in the format of hey."""
    with path.open("w", encoding="ascii") as stream:
        stream.write("response-time,DNS+dialup,DNS,Request-write,Response-delay,Response-read,status-code,offset\n")
        stream.writelines(
            f"{taken:.4f},0.0000,0.0000,0.0000,{taken:.4f},0.0000,200,{start:.4f}\n"
            for taken, start in zip(latency_s.tolist(), offset_s.tolist(), strict=True)
        )


def write_iteration(run_dir: Path, iteration: int, part: RawPart, name: str = CASE) -> None:
    """Write the record of an iteration of one load process, with a probe before and after it."""
    finished = part.started + timedelta(seconds=part.wall_s)
    raw = RawIteration(
        case=f"{SCENARIO}/{name}",
        iteration=iteration,
        started=part.started,
        finished=finished,
        parts=[part],
        probes=[Probe(at=at, latency_ms=1.0, status=200, bytes=2) for at in (part.started, finished)],
    )
    save(run_dir / "raw" / SCENARIO / f"{name}.{iteration}.json", raw)


def collect_command(run_dir: Path) -> list[str]:
    """Return the command that creates ``run.json`` from the directory."""
    return [sys.executable, str(CHECKOUT / "utils" / "collect_results.py"), str(run_dir)]


def collect(run_dir: Path) -> None:
    """Create ``run.json`` from the directory.

    Raises:
        subprocess.CalledProcessError: it did not exit 0; what it printed was shown.
    """
    subprocess.run(collect_command(run_dir), check=True, stdout=subprocess.DEVNULL)
