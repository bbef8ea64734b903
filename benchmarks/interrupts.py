"""Interrupt runs at random moments and look for what they leave behind.

usage: benchmarks/interrupts.py [--count 20] [--seed 1203] [--stack]

Each run measures a stand-in gateway, or with --stack the toolkit's own stack, which the run starts itself. After a
random time it gets Ctrl-C (INT to its process group, as a terminal does), TERM or HUP. Then nothing of it may run any
more within 10 s, no file may be damaged, and the exit code must be 130 or 143. Prints one line for each; exit 1 when
one of them failed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "e2e"))

# pylint: disable=import-error,wrong-import-position  # the line above has to stand before
from toolkit import Toolkit, left_behind, stack_ports, stub_gateway

WITHIN_S = 10.0
LONGEST_WAIT_S = {"stub": 8.0, "stack": 45.0}
_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 143}


def interrupt_once(kit: Toolkit, flags: list[str], number: signal.Signals, after_s: float) -> list[str]:
    """Start a run, interrupt it, and answer what is wrong; nothing when all is well.

    A run that was over before its signal came is no interrupt, and is said as such.
    """
    problems = []
    with kit.start("./run-configurable.sh", *flags) as run:
        time.sleep(after_s)
        if run.poll() is not None:
            return [f"was over before: exit {run.returncode}: {run.communicate()[1].strip().splitlines()[-1:]}"]
        if number is signal.SIGINT:
            os.killpg(run.pid, number)
        else:
            run.send_signal(number)
        try:
            _, err = run.communicate(timeout=WITHIN_S)
        except subprocess.TimeoutExpired:
            os.killpg(run.pid, signal.SIGKILL)
            return [f"still ran {WITHIN_S:g} s after {number.name}"]
    if run.returncode != _CODES[number]:
        problems.append(f"exit {run.returncode}: {err.strip().splitlines()[-1:]}")
    if "Traceback" in err:
        problems.append("a traceback")
    problems += [f"left behind: {command}" for command in left_behind(kit.place)]
    problems += damaged(kit.place)
    return problems


def damaged(place: Path) -> list[str]:
    """JSON documents that cannot be read, files that were not renamed, and runs that do not say how they ended."""
    problems = [f"left {path.name}" for path in place.rglob("*.tmp")]
    for path in (place / "results").rglob("*.json"):
        try:
            json.loads(path.read_text("utf-8"))
        except ValueError:
            problems.append(f"damaged: {path}")
    for plan in (place / "results").glob("*/plan.json"):
        run = plan.with_name("run.json")
        if not run.exists():
            problems.append(f"no run.json beside {plan}")
        elif json.loads(run.read_text("utf-8"))["exit_code"] not in (130, 143):
            problems.append(f"{run} does not say that it was interrupted")
    if list((place / "baselines").glob("baseline_*.json")):
        problems.append("a baseline was written")
    return problems


def main() -> int:
    """Interrupt, look, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20, metavar="N", help="how many runs (default: 20)")
    parser.add_argument("--seed", type=int, default=1203, help="of the random moments (default: 1203)")
    parser.add_argument("--stack", action="store_true", help="with the own stack instead of a stand-in gateway")
    options = parser.parse_args()
    moments = random.Random(options.seed)
    kind = "stack" if options.stack else "stub"
    failed = 0
    for _ in range(options.count):
        number = moments.choice(list(_CODES))
        after_s = moments.uniform(0.3, LONGEST_WAIT_S[kind])
        ports = stack_ports(2)
        gateway = nullcontext(ports["GATEWAY_URL"]) if options.stack else stub_gateway("none")
        with tempfile.TemporaryDirectory(prefix="interrupt ") as place, gateway as url:
            kit = Toolkit(Path(place), {"SCENARIOS": "tools", "PERF_REQUESTS": "2000", "GATEWAY": "external"})
            if options.stack:
                kit.environ |= {
                    **ports,
                    "GATEWAY": "local",
                    "PERF_SERVERS_COUNT": "2",
                    "PERF_STACK_DIR": f"{place}/stack",
                }
            problems = interrupt_once(kit, ["--url", url], number, after_s)
            print(f"  {number.name:<7} after {after_s:5.2f} s: {'; '.join(problems) or 'ok'}", flush=True)
            failed += bool(problems)
    print(f"{options.count} interrupts, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
