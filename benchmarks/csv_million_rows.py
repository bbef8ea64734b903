"""Measure the time and memory of utils/collect_results.py for the largest file hey can write: 999,999 rows.

Prints wall time, CPU time and peak memory of the program as a child process, including start-up, for several
repetitions, and whether the best of them is within the limits: 2 s and 400 MB. The best is used because other load on
the machine can only make it slower. Exit code 0 if it is within the limits, 1 if not.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from run_directory import collect_command, rows_file, write_iteration, write_plan, write_rows

# pylint: disable=wrong-import-order  # run_directory makes it findable
from benchkit.load.job import http_request
from benchkit.model import RawPart

ROWS = 999_999
CONCURRENCY = 9  # a divisor of the number of rows
MAX_SECONDS = 2.0
MAX_MEGABYTES = 400.0


@dataclass(frozen=True)
class Cost:
    """The resources that one execution used."""

    wall_s: float
    cpu_s: float
    megabytes: float


def main() -> int:
    """Create the directory, measure, and check the limits."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=3, metavar="N", help="number of executions (3)")
    repeat = parser.parse_args().repeat
    with tempfile.TemporaryDirectory() as name:
        run_dir = Path(name) / "run"
        _write_run(run_dir)
        size = rows_file(run_dir, 1).stat().st_size / 1e6
        print(f"{ROWS:,} rows, {size:.1f} MB")
        costs = [_measure(collect_command(run_dir)) for _ in range(repeat)]
    for cost in costs:
        print(f"wall {cost.wall_s:.2f} s   processor {cost.cpu_s:.2f} s   peak {cost.megabytes:.0f} MB")
    best = min(cost.wall_s for cost in costs)
    peak = max(cost.megabytes for cost in costs)
    passed = best <= MAX_SECONDS and peak <= MAX_MEGABYTES
    print(f"{'pass' if passed else 'FAIL'}: {best:.2f} s of {MAX_SECONDS} s, {peak:.0f} MB of {MAX_MEGABYTES:.0f} MB")
    return 0 if passed else 1


def _write_run(run_dir: Path) -> None:
    [case] = write_plan(run_dir, url="http://127.0.0.1:1/", requests=ROWS, concurrency=CONCURRENCY, iterations=1)
    random = np.random.default_rng(1)
    latency = random.lognormal(-3.5, 0.6, ROWS)
    offset = np.cumsum(random.exponential(latency.mean() / CONCURRENCY, ROWS))
    write_rows(rows_file(run_dir, 1), latency, offset)
    part = RawPart(
        argv=["hey", "-n", str(ROWS), "-c", str(CONCURRENCY), "-o", "csv", http_request(case, case.parts[0]).url],
        sent=ROWS,
        started=datetime.now(UTC),
        wall_s=float(offset[-1]) + 1,
        exit_status=0,
    )
    write_iteration(run_dir, 1, part)


def _measure(command: list[str]) -> Cost:
    begin = time.perf_counter()
    # Popen and wait4, because getrusage(RUSAGE_CHILDREN) returns the maximum over all children so far.
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"{' '.join(command)}: exit status {process.returncode}")
    # Linux counts in KiB, macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return Cost(wall_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit / 1e6)


if __name__ == "__main__":
    sys.exit(main())
