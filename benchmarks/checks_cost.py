#!/usr/bin/env python3
"""Measure the cost of checking a share of the responses: hey alone, and hey together with checkers, in turns.

Starts its own stack, measures three cases once to get their plan, then repeats the load of each case: once with ten
workers of hey, once as the toolkit does (eight of hey's and two checkers), in the order A B B A. A block is one of
each; the ratio of a block is "with checkers" divided by "without". Prints, for each case, the ratio of the p50 of hey's
latencies and of all responses per second, over all blocks (Hodges-Lehmann), with its 95 % interval.

exit: 0 if no interval is completely beyond the limit; 1 otherwise
"""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "utils"))
sys.path.insert(0, str(ROOT / "tests" / "e2e"))

# pylint: disable=wrong-import-position  # the lines above must come first
from benchkit import store  # noqa: E402
from benchkit.load.checker import Checkers  # noqa: E402
from benchkit.load.engines import engine_named  # noqa: E402
from benchkit.load.job import http_request  # noqa: E402
from benchkit.load.rows import Rows  # noqa: E402
from benchkit.model import Plan, PlannedCase, RawIteration  # noqa: E402
from benchkit.verdict.statistics import Estimate, paired  # noqa: E402
from toolkit import Toolkit, stack_ports  # noqa: E402  # pylint: disable=import-error

CASES = ("gateway-core/health", "gateway-core/call_direct", "tools/list_limit_10")
CONCURRENCY = 10
LIMIT_PERCENT = 2.0
OK = 200


@dataclass(frozen=True)
class Seen:
    """One load: the p50 of hey's latencies in ms, and correct responses per second of hey and checkers together."""

    p50_ms: float
    per_second: float


def main() -> int:
    """Measure, print the results, and check them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=20, help="pairs of measurements per case (20)")
    parser.add_argument("--requests", type=int, default=300, help="requests of a load (300)")
    parser.add_argument("--cases", default=",".join(CASES), metavar="SCENARIO/NAME,…", help="cases (all three)")
    arguments = parser.parse_args()
    cases = arguments.cases.split(",")
    with tempfile.TemporaryDirectory() as directory:
        kit = Toolkit(Path(directory), {**stack_ports(4), "PERF_STACK_DIR": f"{directory}/stack", "GATEWAY": "local"})
        with _stack(kit):
            run_dir, token = _planned(kit)
            plan = store.load(run_dir / "plan.json", Plan, "plan")
            dear = [
                not _is_cheap(case, run_dir, token, arguments.blocks, arguments.requests)
                for case in plan.cases
                if case.id in cases
            ]
    return 1 if any(dear) or len(dear) < len(cases) else 0


@contextmanager
def _stack(kit: Toolkit) -> Iterator[None]:
    done = kit.run(sys.executable, "utils/stack.py", "up")
    try:
        if done.returncode != 0:
            sys.exit(done.stderr)
        yield
    finally:
        kit.run(sys.executable, "utils/stack.py", "down")


def _planned(kit: Toolkit) -> tuple[Path, str]:
    """Make a short run over the cases; return its directory, and a token."""
    done = kit.measure(
        "--scenarios", "gateway-core,tools", "--baseline", "skip", "--requests", "20", "--iterations", "1"
    )
    if done.returncode not in (0, 3):
        sys.exit(done.stderr)
    token = kit.run(sys.executable, "utils/gateway.py", "token").stdout.strip()
    return kit.run_dirs()[-1], token


def _is_cheap(case: PlannedCase, run_dir: Path, token: str, blocks: int, requests: int) -> bool:
    """Measure a case, print its two ratios, and return whether both may be within the limit."""
    seen: dict[bool, list[Seen]] = {False: [], True: []}
    for number in range(-1, blocks):  # block -1 is the warm-up
        for checked in (False, True) if number % 2 == 0 else (True, False):
            one = _load(case, run_dir, token, requests, checked=checked)
            if number >= 0:
                seen[checked].append(one)
    p50 = paired([math.log(there.p50_ms / bare.p50_ms) for bare, there in zip(seen[False], seen[True], strict=True)])
    rate = paired(
        [math.log(there.per_second / bare.per_second) for bare, there in zip(seen[False], seen[True], strict=True)]
    )
    print(f"{case.id:<28} p50 {_ratio(p50)}   req/s {_ratio(rate)}   ({blocks} blocks of {requests})", flush=True)
    limit = math.log1p(LIMIT_PERCENT / 100)
    return p50.low <= limit and rate.high >= -limit


def _ratio(found: Estimate) -> str:
    return f"ratio {math.exp(found.effect):.3f} ({math.exp(found.low):.3f} to {math.exp(found.high):.3f})"


def _load(case: PlannedCase, run_dir: Path, token: str, requests: int, *, checked: bool) -> Seen:
    """Send a load with or without checkers; exits if a response to hey was not as expected."""
    assert case.checks is not None
    workers = CONCURRENCY - case.checks.workers if checked else CONCURRENCY
    output = run_dir / "load.csv"
    output.unlink(missing_ok=True)
    argv = _arguments(case, run_dir, token, workers, requests // CONCURRENCY * workers)
    part = case.parts[0].model_copy(update={"requests": requests, "concurrency": workers})
    checkers = Checkers([(case, part, output)] if checked else [], token)
    start = time.monotonic()
    checkers.start()
    with output.open("wb") as rows:
        subprocess.run(argv, stdout=rows, cwd=run_dir, check=True)
    ended_s = time.monotonic() - start
    checkers.stop()
    right_s = [at - ended_s for at in checkers.results(start)[0].right_s] if checked else []
    return _seen(engine_named(case.engine).rows(output), right_s, requests // CONCURRENCY * workers)


def _seen(rows: Rows, right_s: list[float], sent: int) -> Seen:
    """Compute the result from hey's rows and the checkers' correct responses (``right_s``: seconds after hey's end)."""
    if int((rows.status == OK).sum()) != sent:
        sys.exit(f"not all of {sent} answers have status {OK}")
    first_s, last_s = float(rows.offset_s.min()), float((rows.offset_s + rows.latency_ms / 1000).max())
    window_s = last_s - first_s
    beside = np.asarray(right_s)
    answers = sent + int(((beside >= -window_s) & (beside <= 0)).sum())
    return Seen(float(np.median(rows.latency_ms)), answers / window_s)


def _arguments(case: PlannedCase, run_dir: Path, token: str, workers: int, requests: int) -> list[str]:
    """Return the command line of hey, as in the run."""
    raw = store.load(run_dir / "raw" / case.scenario / f"{case.name}.1.json", RawIteration, "iteration")
    argv = raw.parts[0].argv
    argv[argv.index("-c") + 1] = str(workers)
    argv[argv.index("-n") + 1] = str(requests)
    secret = http_request(case, case.parts[0]).headers_with(token).get("Authorization")
    return [argv[0], *(["-H", f"Authorization: {secret}"] if secret else []), *argv[1:]]


if __name__ == "__main__":
    sys.exit(main())
