"""Compare the toolkit's results with an independent witness: a server that measures its own responses.

An HTTP server responds after 10, 20 or 50 ms (60, 37 and 3 % of the requests, shuffled, so that no percentile is at a
step). It counts its requests and records three times for each: the nominal service time; the actual service time, from
request to response; and the cycle, from one response to the next on the same connection. In a closed loop a client
sends its next request as soon as it has a response, so the cycle is the client's waiting time, seen from the server:
service, network in both directions, and whatever a busy machine adds on both sides.

hey is run like by the load driver, its rows are collected by utils/collect_results.py, and the values of run.json must
agree with the server's, each as the median over the repetitions:

  p50, p95, p99   with the cycles: within 1 % or hey's 0.1 ms
                  with the nominal times: the same, plus the excess of the cycles over them
  req/s           with the server's own count over its own wall time: within 1 %

Exit code 0 if all agree, 1 if not.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import selectors
import sys
import tempfile
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import numpy as np
from run_directory import CASE, SCENARIO, collect, rows_file, write_iteration, write_plan

from benchkit.load.engines.hey import Hey

# pylint: disable=wrong-import-order  # run_directory makes it findable
from benchkit.model import MetricValues, RawPart, Run
from benchkit.settings import load_settings
from benchkit.store import load

SERVICE_MS = {10: 0.60, 20: 0.37, 50: 0.03}
REQUESTS = 2000
CONCURRENCY = 4
WITHIN_PERCENT = 1.0
WITHIN_MS = 0.1
PERCENTILES = {"p50_latency": 50.0, "p95_latency": 95.0, "p99_latency": 99.0}
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass
class Witness:
    """The server's measurements of one repetition; times in seconds of the event loop's clock."""

    service_ms: list[int]
    service_s: list[float] = field(default_factory=list)
    cycle_s: list[float] = field(default_factory=list)
    requests: int = 0
    first: float = 0.0
    last: float = 0.0

    def arrived(self, now: float) -> float:
        """Record a request, and return its service time in seconds."""
        if not self.requests:
            self.first = now
        self.requests += 1
        return self.service_ms[self.requests - 1] / 1000

    def answered(self, previous: float, arrived: float, now: float) -> None:
        """Record a response: when the previous one was sent, when its request arrived, and when it was sent."""
        self.service_s.append(now - arrived)
        self.cycle_s.append(now - previous)
        self.last = now

    @property
    def requests_per_sec(self) -> float:
        """The throughput by this server's own count and clock."""
        return self.requests / (self.last - self.first)


class Connection(asyncio.Protocol):
    """One keep-alive connection, which answers each GET after its service time."""

    def __init__(self, witness: Witness) -> None:
        self._witness = witness
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._previous = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport; the first cycle begins here."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._previous = self._loop.time()

    def data_received(self, data: bytes) -> None:
        """Schedule the response to a complete request; a closed loop has one at a time."""
        now = self._loop.time()
        self._received += data
        if self._received.endswith(b"\r\n\r\n"):
            self._received = b""
            self._loop.call_at(now + self._witness.arrived(now), self._answer, now)

    def _answer(self, arrived: float) -> None:
        assert self._transport is not None
        # Take the time before writing, because writing wakes the client, which may run first.
        now = self._loop.time()
        self._transport.write(ANSWER)
        self._witness.answered(self._previous, arrived, now)
        self._previous = now


@dataclass(frozen=True)
class Repetition:
    """One repetition: the toolkit's results and the witness."""

    toolkit: MetricValues
    witness: Witness


@dataclass(frozen=True)
class Agreement:
    """One comparison: the toolkit's value, the server's, and the allowed difference."""

    name: str
    toolkit: float
    server: float
    allowed: float

    @property
    def holds(self) -> bool:
        """Whether they agree."""
        return abs(self.toolkit - self.server) <= self.allowed


async def repeat(run_dir: Path, hey: str, seed: int) -> Repetition:
    """Load the server once and collect hey's rows."""
    service_ms = [value for value, share in SERVICE_MS.items() for _ in range(round(share * REQUESTS))]
    random.Random(seed).shuffle(service_ms)
    witness = Witness(service_ms)
    server = await asyncio.get_running_loop().create_server(lambda: Connection(witness), "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        write_plan(run_dir, url=url, requests=REQUESTS, concurrency=CONCURRENCY, iterations=1)
        argv = [hey, "-n", str(REQUESTS), "-c", str(CONCURRENCY), "-t", "30", "-o", "csv", "-m", "GET", url]
        write_iteration(run_dir, 1, await _load(argv, rows_file(run_dir, 1)))
    collect(run_dir)
    run = load(run_dir / "run.json", Run, "run")
    case = next(case for case in run.cases if case.id == f"{SCENARIO}/{CASE}")
    return Repetition(case.metrics, witness)


async def _load(argv: list[str], output: Path) -> RawPart:
    """Run the load generator like the load driver does."""
    started, begin = datetime.now(UTC), time.monotonic()
    with output.open("wb") as rows:
        process = await asyncio.create_subprocess_exec(*argv, stdout=rows)
        status = await process.wait()
    return RawPart(argv=argv, sent=REQUESTS, started=started, wall_s=time.monotonic() - begin, exit_status=status)


def agreements(repetitions: list[Repetition]) -> list[Agreement]:
    """Return all comparisons, each with medians over the repetitions."""
    found = []
    for name, percent in PERCENTILES.items():
        toolkit = median(one.toolkit[name] for one in repetitions)
        nominal = median(float(np.percentile(one.witness.service_ms, percent)) for one in repetitions)
        service = median(1000 * float(np.percentile(one.witness.service_s, percent)) for one in repetitions)
        cycle = median(1000 * float(np.percentile(one.witness.cycle_s, percent)) for one in repetitions)
        allowed = max(WITHIN_PERCENT / 100 * cycle, WITHIN_MS)
        found.append(Agreement(f"{name} ms, cycle", toolkit, cycle, allowed))
        label = f"{name} ms, nominal (served in {service:.2f})"
        found.append(Agreement(label, toolkit, nominal, allowed + max(0.0, cycle - nominal)))
    ratio = median(one.toolkit["requests_per_sec"] / one.witness.requests_per_sec for one in repetitions)
    rate = median(one.witness.requests_per_sec for one in repetitions)
    found.append(Agreement("requests_per_sec", ratio * rate, rate, WITHIN_PERCENT / 100 * rate))
    return found


def _precise_loop() -> asyncio.AbstractEventLoop:
    """Return an event loop with microsecond timers; epoll, asyncio's default, rounds up to the next millisecond."""
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


def main() -> int:
    """Repeat the measurement, compare, and print the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=3, metavar="N", help="repetitions (3)")
    program = Hey().program(load_settings())[0]
    parser.add_argument("--hey", default=program, metavar="PROGRAM", help="the load generator (as config.yaml says)")
    arguments = parser.parse_args()
    repetitions = []
    for number in range(arguments.repeat):
        with tempfile.TemporaryDirectory() as name, asyncio.Runner(loop_factory=_precise_loop) as runner:
            repetitions.append(runner.run(repeat(Path(name) / "run", arguments.hey, number)))
    print(f"{REQUESTS} requests, {CONCURRENCY} at a time, {len(repetitions)} repetitions (medians)")
    found = agreements(repetitions)
    for one in found:
        print(
            f"{one.name:40} toolkit {one.toolkit:8.2f}  server {one.server:8.2f}  "
            f"off {one.toolkit - one.server:+6.2f}  allowed {one.allowed:5.2f}  {'pass' if one.holds else 'FAIL'}"
        )
    return 0 if all(one.holds for one in found) else 1


if __name__ == "__main__":
    sys.exit(main())
