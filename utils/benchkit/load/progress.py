"""Progress display during the load: what is running, what is left, and how long that will take."""

from __future__ import annotations

import shutil
import sys
import threading
import time
from collections.abc import Set
from typing import TextIO

from benchkit.clock import duration
from benchkit.load.driver import WARM_UP, Step
from benchkit.model import Plan, PlannedCase, Probe
from benchkit.plain import printable


def span(low: float, high: float) -> str:
    """Return a range of seconds in words: ``about 4 min 0 s``, or ``2 min 0 s to 9 min 0 s``."""
    if high <= 1.2 * low or high < 10:
        return f"about {duration(round(high))}"
    return f"{duration(round(low))} to {duration(round(high))}"


class Estimate:
    """Estimates how long the remaining steps will take.

    Before the first round, the latency of a single request bounds it: with ``c`` workers, ``n`` requests take between
    ``n/c`` and ``n`` times as long as one. The upper bound is a gateway that handles one request at a time. After that,
    the time of a case's last round replaces the bounds.

    Args:
        plan: what to measure.
        first: the first probe of every case.
        failed: ids of cases that are not measured any more; read again each time, because the set grows.
    """

    def __init__(self, plan: Plan, first: dict[str, Probe], failed: Set[str] = frozenset()) -> None:
        self._failed = failed
        # A case whose first check failed is not measured if the next check fails as well.
        self._doubtful = {case for case, probe in first.items() if probe.problem}
        self._per_request: dict[str, tuple[float, float]] = {}
        for case in plan.cases:
            if case.id in first:
                latency_s = first[case.id].latency_ms / 1000
                workers = sum(part.concurrency for part in case.parts)
                self._per_request[case.id] = (latency_s / workers, latency_s)

    def learn(self, step: Step, seconds: float) -> None:
        """Record the time that a step took."""
        for case in step.cases:
            sent = _requests(case, step.round)
            if sent and seconds > 0:
                self._per_request[case.id] = (seconds / sent, seconds / sent)
                self._doubtful.discard(case.id)

    def of(self, step: Step) -> tuple[float, float]:
        """Return the minimum and maximum seconds of a step; the cases of a group run at the same time."""
        return self._bounds(step, frozenset())

    def expected(self, step: Step) -> tuple[float, float]:
        """Return the same, without the cases that are known not to be measured."""
        return self._bounds(step, self._failed | self._doubtful)

    def _bounds(self, step: Step, without: Set[str]) -> tuple[float, float]:
        bounds = [
            (low * _requests(case, step.round), high * _requests(case, step.round))
            for case in step.cases
            if case.id not in without
            for low, high in [self._per_request.get(case.id, (0.0, 0.0))]
        ]
        return max((low for low, _ in bounds), default=0.0), max((high for _, high in bounds), default=0.0)

    def left(self, steps: list[Step]) -> str:
        """Return the time for all these steps in words: ``about 4 min``, or a range if little is known."""
        bounds = [self.expected(step) for step in steps]
        return span(sum(low for low, _ in bounds), sum(high for _, high in bounds))


def _requests(case: PlannedCase, round_number: int) -> int:
    planned = sum(part.requests for part in case.parts)
    return min(planned, case.warmup_requests) if round_number == WARM_UP else planned


class Progress:
    """Prints progress: on a terminal one line that is updated each second, elsewhere a line per step."""

    def __init__(self, total: int, rounds: int, stream: TextIO | None = None, *, word: str = "round") -> None:
        self._total = total
        self._rounds = rounds
        self._word = word
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()
        self._done = 0
        self._stop = threading.Event()
        self._ticker: threading.Thread | None = None

    def begin(self, step: Step, expected_s: float, left: str, *, who: str = "") -> None:
        """Show the step that starts; ``who``: the gateway, if there are several."""
        self._done += 1
        what = "warm-up" if step.round == WARM_UP else f"{self._word} {step.round}/{self._rounds}"
        text = printable(f"[{self._done}/{self._total}] {what}  {f'{who}: ' if who else ''}{step.name}")
        if not self._live:
            return self._print(f"{text}  (left: {left})")
        self._stop.clear()
        self._ticker = threading.Thread(target=self._tick, args=(text, expected_s, left), daemon=True)
        self._ticker.start()
        return None

    def end(self) -> None:
        """Remove the line."""
        if self._ticker is not None:
            self._stop.set()
            self._ticker.join()
            self._ticker = None
            self._print("\r\033[K", end="")

    def _tick(self, text: str, expected_s: float, left: str) -> None:
        started = time.monotonic()
        while True:
            elapsed = time.monotonic() - started
            of = f" of about {duration(round(expected_s))}" if expected_s >= 2 else ""
            line = f"{text}  {duration(round(elapsed))}{of}  (left: {left})"
            # A line that wraps could not be removed.
            self._print(f"\r\033[K{line[: shutil.get_terminal_size().columns - 1]}", end="")
            if self._stop.wait(1.0):
                return

    def _print(self, text: str, end: str = "\n") -> None:
        # A closed terminal is no reason to stop measuring; the shell gets its own signal.
        try:
            print(text, end=end, file=self._stream, flush=True)
        except OSError:
            self._live = False
