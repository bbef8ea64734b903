#!/usr/bin/env python3
"""Check that with ten thousand stored runs, history, trend, comparison and the list of all runs take at most 2 s each.

Creates 10,000 run.json of 20 cases and a baseline of 10,000 versions, each with 10 runs, in a temporary directory
(about 2 GB, removed afterwards). The indexes are updated once (cold, printed separately). Then each command runs
several times as a separate program, including start-up; its best time counts, because of other load on the machine.

  baseline_manager.py history    every version of the baseline
  trend.py                       p50 and req/s of every case over the newest 200 runs
  compare_results.py             the newest run against the full baseline
  results_index.py               the list of all runs, written again

Exit code 0 if each takes at most 2 s, 1 if not.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from run_directory import CHECKOUT

# pylint: disable=wrong-import-order  # run_directory makes it findable
from benchkit import store
from benchkit.model import (
    Baseline,
    BaselineRun,
    Case,
    Counts,
    Environment,
    Histogram,
    Iteration,
    Load,
    Machine,
    MetricValues,
    Run,
    RunStatus,
    Target,
    Timeline,
    TimelinePoint,
    Validity,
)

LIMIT_S = 2.0
CASES = 20
ITERATIONS = 3
KEPT_RUNS = 10
STARTED = datetime(2026, 1, 1, tzinfo=UTC)
NOISE = 0.06
REQUESTS = 300


def main() -> int:
    """Create the files, warm up, time the commands, and print the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10_000, metavar="N", help="stored runs and versions (10000)")
    parser.add_argument("--repeat", type=int, default=5, metavar="N", help="how often each command runs (5)")
    parser.add_argument("--directory", type=Path, metavar="DIR", help="where to make the files (a temporary directory)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.directory) as name:
        results, baselines = Path(name, "results"), Path(name, "baselines")
        began = time.monotonic()
        newest = make_runs(results, arguments.runs)
        make_versions(baselines, arguments.runs)
        print(f"{arguments.runs} runs and versions made in {time.monotonic() - began:.0f} s", flush=True)
        # The first call of each command updates its index; the comparison has none.
        commands = {
            "history": ["baseline_manager.py", "history", "light", "--baselines-dir", str(baselines)],
            "trend": ["trend.py", "--profile", "light", "--results-dir", str(results)],
            "index": ["results_index.py", "--results-dir", str(results)],
            "comparison": ["compare_results.py", str(newest), "--baselines-dir", str(baselines)],
        }
        late = [what for what, command in commands.items() if not is_fast(what, command, arguments.repeat)]
    return 1 if late else 0


def is_fast(what: str, command: list[str], repeat: int) -> bool:
    """Time a command, print the results, and return whether its best time is within the limit."""
    cold, *warm = [timed(command) for _ in range(repeat + 1)]
    best = min(warm)
    verdict = "pass" if best <= LIMIT_S else "FAIL"
    times = ", ".join(f"{seconds:.2f}" for seconds in sorted(warm))
    print(f"{what:<12} best {best:5.2f} s of {times}; limit {LIMIT_S:g} s; cold {cold:6.2f} s  {verdict}", flush=True)
    return best <= LIMIT_S


def timed(command: list[str]) -> float:
    """Return the duration of a program of the toolkit, in seconds.

    Raises:
        RuntimeError: it failed; a comparison may find what it finds.
    """
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, str(CHECKOUT / "utils" / command[0]), *command[1:]],
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.monotonic() - began
    if done.returncode not in ((0, 1) if command[0] == "compare_results.py" else (0,)) or not done.stdout:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {done.stderr}")
    return seconds


# ---------------------------------------------------------------------------------------------------------------------
# Documents


def make_runs(results: Path, count: int) -> Path:
    """Write the runs and return the newest one's directory. In the last 60 runs, one case is 20 % slower."""
    chance = random.Random(1)
    data: dict[str, Any] = run_document().model_dump(mode="json", exclude_none=True)
    directory = results
    for number in range(count):
        finished = STARTED + timedelta(hours=number)
        data |= {"run_id": f"light_{finished:%Y-%m-%d-%H%M%S}", "finished": finished.isoformat()}
        slower = number >= count - 60
        data["environment"]["target"]["release"] = "1.0.7" if slower else "1.0.6"
        for case_number, case in enumerate(data["cases"]):
            middle = (20 + 10 * case_number) * (1.2 if slower and case_number == 3 else 1)
            for iteration in case["iterations"]:
                iteration["metrics"] = figures(middle, chance)
            case["metrics"] = case["iterations"][0]["metrics"]
        directory = results / data["run_id"]
        directory.mkdir(parents=True)
        # Without indentation, which makes writing faster and hardly affects the time to index it.
        (directory / "run.json").write_text(json.dumps(data), encoding="utf-8")
    return directory


def make_versions(baselines: Path, count: int) -> None:
    """Write the versions of a full baseline, all but the last to the history."""
    chance = random.Random(2)
    (baselines / "history").mkdir(parents=True)
    runs = [baseline_run(number, chance) for number in range(KEPT_RUNS)]
    oldest = runs[:3]
    for version in range(1, count + 1):
        runs = [*runs[1:], baseline_run(KEPT_RUNS + version, chance)]
        baseline = Baseline(
            profile="light",
            version=version,
            created=runs[-1].finished,
            environment=environment(),
            runs=runs,
            oldest=oldest,
            reason=f"run {runs[-1].run_id} joined",
        )
        if version == count:
            store.save(baselines / "baseline_light.json", baseline)
        else:
            path = baselines / "history" / f"baseline_light.v{version}.json"
            path.write_text(baseline.model_dump_json(exclude_none=True), encoding="utf-8")


def figures(middle: float, chance: random.Random) -> MetricValues:
    """Return a case's values around a median latency in ms, with the noise of a shared machine."""
    p50 = round(middle * math.exp(chance.gauss(0, NOISE)), 1)
    rate = round(10_000 / middle * math.exp(chance.gauss(0, NOISE)), 2)
    return {
        "p50_latency": p50,
        "p95_latency": round(2.2 * p50 * math.exp(chance.gauss(0, NOISE)), 1),
        "p99_latency": round(4.1 * p50 * math.exp(chance.gauss(0, 2 * NOISE)), 1),
        "mean_latency": round(1.1 * p50, 2),
        "min_latency": round(0.4 * p50, 1),
        "max_latency": round(6 * p50, 1),
        "requests_per_sec": rate,
        "total_time": round(REQUESTS / rate, 3),
        "error_rate": 0.0,
    }


def baseline_run(number: int, chance: random.Random) -> BaselineRun:
    """Return one run of a baseline."""
    return BaselineRun(
        run_id=f"light_earlier{number}",
        finished=STARTED + timedelta(hours=number),
        cases={case_id(case): figures(20 + 10 * case, chance) for case in range(CASES)},
        control_score=round(40 * math.exp(chance.gauss(0, 0.03)), 3),
    )


def run_document() -> Run:
    """Return a light run of valid cases, as large as a real one; its values are set for each run."""
    return Run(
        run_id="light_run",
        profile="light",
        status=RunStatus.COMPLETE,
        started=STARTED,
        finished=STARTED,
        exit_code=0,
        exit_reason="passed",
        environment=environment(),
        scenarios=["tools"],
        commands=["./run-configurable.sh", *(f"hey -n 300 -c 10 http://127.0.0.1:4444/v1/{n}" for n in range(CASES))],
        cases=[case_document(number) for number in range(CASES)],
    )


def case_document(number: int) -> Case:
    """Return one case with a histogram and the timeline of three iterations."""
    iteration = Iteration(metrics={}, sent=REQUESTS, ok=REQUESTS, errors={}, started=STARTED, finished=STARTED)
    points = [
        TimelinePoint(at_s=round(0.2 * at, 1), ok=10, failed=0, p50_ms=21.5, p95_ms=48.2, max_ms=310.4)
        for at in range(REQUESTS // 10)
    ]
    return Case(
        id=case_id(number),
        scenario="tools",
        name=case_id(number).partition("/")[2],
        description="A case of the benchmark",
        validity=Validity.VALID,
        resolution_ms=0.1,
        advisory=["p99_latency"],
        iterations=[iteration] * ITERATIONS,
        counts=Counts(sent=ITERATIONS * REQUESTS, ok=ITERATIONS * REQUESTS),
        histogram=Histogram(edges_ms=[float(edge) for edge in range(41)], counts=list(range(40))),
        timeline=Timeline(bucket_s=0.2, iterations=[points] * ITERATIONS),
    )


def case_id(number: int) -> str:
    """Return the name of a case."""
    return f"tools/case_{number:02}"


def environment() -> Environment:
    """Return the environment of all runs."""
    return Environment(
        machine=Machine(
            cpu_model="Example CPU @ 2.60GHz",
            cores=2,
            memory_mib=7940,
            kernel="Linux 6.1.0",
            python="3.11.2",
            engines={"hey": "0.1.4"},
            toolkit="0.1.0",
            control_score=40.0,
        ),
        target=Target(base_url="http://127.0.0.1:4444", prefix="/v1", origin="local", release="1.0.7"),
        load=Load(
            profile="light",
            requests=REQUESTS,
            concurrency=10,
            timeout_s=30,
            iterations=ITERATIONS,
            warmup_requests=10,
        ),
    )


if __name__ == "__main__":
    sys.exit(main())
