#!/usr/bin/env python3
"""Measure the CPU cost of the monitor, in percent of one core, with as many processes as in a real run.

A stub of the stack listens at a port and has as many child processes as gateway, four MCP servers and PostgreSQL with
its connections have together. A shell starts short load processes several times a second. The monitor's CPU time is
that reported by the system, without its start-up.

exit: 0 below the limit; 1 not
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIMIT_PERCENT = 2.0

_STACK = """
import os, socket, sys, time
server = socket.create_server(("127.0.0.1", 0))
for _ in range(int(sys.argv[1])):
    if os.fork() == 0:
        server.close()
        time.sleep(3600)
print(server.getsockname()[1], flush=True)
sys.stdin.read()
os.killpg(0, 9)
"""
_SHELL = """
"$1" "$2" --shell $$ "$3" &
monitor=$!
while kill -0 $monitor 2>/dev/null; do
  sleep 0.2 &
  wait $!
done
wait $monitor
"""


def main() -> int:
    """Measure, print the result, and check the limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0, help="duration in seconds (30)")
    parser.add_argument("--processes", type=int, default=60, help="number of processes of the stack (60)")
    arguments = parser.parse_args()
    stack = [sys.executable, "-c", _STACK, str(arguments.processes)]
    with (
        tempfile.TemporaryDirectory() as directory,
        subprocess.Popen(
            stack, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            percent, samples, seen = _measure(
                int(process.stdout.readline()), Path(directory) / "monitor.jsonl", arguments.seconds
            )
        finally:
            process.stdin.close()
    print(
        f"monitor: {percent:.2f} % of one core over {samples} samples, {seen:.0f} MiB seen of {arguments.processes} "
        f"processes; limit {LIMIT_PERCENT:g} %"
    )
    return 0 if percent < LIMIT_PERCENT and samples >= 2 and seen > 0 else 1


def _measure(port: int, file: Path, seconds: float) -> tuple[float, int, float]:
    """Return the monitor's CPU in percent of one core, its number of samples, and the stack's memory in the last."""
    environment = {**os.environ, "GATEWAY_URL": f"http://127.0.0.1:{port}", "PERF_STACK_DIR": str(file.parent / "none")}
    words = ["bash", "-c", _SHELL, "shell", sys.executable, str(ROOT / "utils" / "monitor.py"), str(file)]
    with subprocess.Popen(words, env=environment) as shell:
        deadline = time.monotonic() + 20
        while not file.exists() and time.monotonic() < deadline and shell.poll() is None:
            time.sleep(0.05)
        time.sleep(seconds)
        shell.kill()  # the monitor exits with it
    samples = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()[1:]]
    percents = [one["cpu_percent"]["monitor"] for one in samples if "monitor" in one["cpu_percent"]]
    return sum(percents) / max(1, len(percents)), len(percents), samples[-1]["memory_mib"].get("gateway", 0.0)


if __name__ == "__main__":
    sys.exit(main())
