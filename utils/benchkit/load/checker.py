"""Checkers: threads that validate complete answers while a case's load runs.

A load generator discards bodies, and a gateway can answer correctly before and after a load but wrongly during it.
Therefore some of the configured workers are threads of the toolkit instead. They send the same request in a closed loop
for as long as the load runs, with the engine's own headers, so that no server or proxy can tell them apart. Latencies
come from the load generator only. Throughput includes the checkers' answers, because they are part of the configured
load.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchkit import http
from benchkit.load.engines import engine_named
from benchkit.load.job import http_request
from benchkit.load.probe import cache_of, check_answer
from benchkit.load.validity import TRANSPORT
from benchkit.model import CheckPlan, Checks, HttpRequest, Part, PlannedCase

LEAST_CHECKED = 60
"""Number of a case's answers to check, as long as that is at most a share of :data:`LARGEST_SHARE`.

If one answer in ten is wrong, 60 checks miss all of them with a probability of 0.2 %. After a wrong one, more follow.
"""

FEWEST_CHECKED = 10
"""Minimum number of answers to check per case."""

SMALLEST_SHARE = 0.05
LARGEST_SHARE = 0.2
"""Limits of the share of a case's answers that is checked."""

_SMALL_BYTES = 2**16
"""Answers smaller than this are cached with their result, so that identical bytes are not validated again."""

_REMEMBERED = 32
_START_PATIENCE_S = 5.0
_START_POLL_S = 0.001
_EXTRA = 100
"""Number of answers to check after a load that had a wrong answer."""

_EXTRA_S = 30.0
"""Time limit of these extra checks in seconds, plus the timeout of requests in flight."""


def plan_checks(requests: int, concurrency: int, iterations: int) -> tuple[CheckPlan, int]:
    """Split a load between the checkers and the load generator.

    Args:
        requests: requests of the case (or group) per iteration, a multiple of ``concurrency``.
        concurrency: workers of the case (or group).
        iterations: rounds of the case.

    Returns:
        The plan of the checks, and the number of workers left for the load generator. At a concurrency of 1 the
        generator keeps its only worker.
    """
    total = requests * iterations
    # Even a tiny load gets ten checked answers, but never more than half of what it sends.
    fewest = min(0.5, FEWEST_CHECKED / total)
    wanted = max(SMALLEST_SHARE, min(LARGEST_SHARE, LEAST_CHECKED / total), fewest)
    if concurrency == 1:
        busy = max(2 * SMALLEST_SHARE, fewest)  # no worker can be taken from the generator
        return CheckPlan(workers=1, requests=max(1, round(busy * requests)), busy=busy), 1
    # One more than the smallest share needs, because the checkers' pauses must not bring it below that share.
    workers = max(int(concurrency * SMALLEST_SHARE) + 1, round(wanted * concurrency))
    return CheckPlan(workers=workers, requests=workers * (requests // concurrency)), concurrency - workers


@dataclass
class _Source:  # pylint: disable=too-many-instance-attributes  # a request and all of its counts
    """A part whose request the checkers send, with the results so far."""

    case: PlannedCase
    part: Part
    request: HttpRequest
    output: Path
    headers: Mapping[str, str]
    body: bytes | None
    sent: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    wrong: int = 0
    first_wrong: str = ""
    cached: int = 0
    cache: str = ""
    right_at: list[float] = field(default_factory=list)
    known: dict[tuple[int, bytes], str] = field(default_factory=dict)


class Checkers:
    """The checkers of one step: threads that run from :meth:`start` to :meth:`stop`.

    Args:
        parts: case, part, and the output file of the load generator. The checkers begin when that file appears, which
            is when the generator starts.
        token: the run's token, which must not appear in a quoted answer.
    """

    def __init__(self, parts: Sequence[tuple[PlannedCase, Part, Path]], token: str = "") -> None:
        self._token = token
        self._sources = [self._source(*part) for part in parts]
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._checked = [(one, one.case.checks) for one in self._sources if one.case.checks is not None]
        plans = {source.case.group or source.case.id: plan for source, plan in self._checked}
        self._workers = sum(plan.workers for plan in plans.values())
        self._timeout_s = max((source.case.timeout_s for source in self._sources), default=1)

    def start(self) -> None:
        """Start the threads without waiting; they begin to send when the load generator starts."""
        self._threads = [
            threading.Thread(target=self._work, daemon=True, name=f"checker {number}")
            for number in range(self._workers)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop the threads once the requests in flight are answered, or after their timeout at the latest."""
        self._stop.set()
        deadline = time.monotonic() + self._timeout_s + 1
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._threads = []

    def results(self, started: float) -> list[Checks]:
        """Return each part's results so far, in the given order; times are relative to ``started`` (monotonic)."""
        return [
            Checks(
                sent=source.sent,
                failed=dict(source.failed),
                wrong=source.wrong,
                first_wrong=source.first_wrong,
                cached=source.cached,
                cache=source.cache,
                right_s=[round(at - started, 6) for at in sorted(source.right_at)],
            )
            for source in self._sources
        ]

    def check_more(self, cases: Collection[str]) -> list[tuple[int, int]]:
        """After the load, check :data:`_EXTRA` answers of each part of the given cases (ids).

        Returns:
            The number of requests and of wrong answers per part, in the given order.
        """
        more = []
        for source in self._sources:
            before = source.sent, source.wrong
            if source.case.id in cases:
                workers = max(1, min(_EXTRA, sum(part.concurrency for part in source.case.parts) + self._workers))
                quota = [_EXTRA // workers + (number < _EXTRA % workers) for number in range(workers)]
                until = time.monotonic() + _EXTRA_S
                threads = [
                    threading.Thread(target=self._check_so_many, args=(source, count, until), daemon=True)
                    for count in quota
                ]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
            more.append((source.sent - before[0], source.wrong - before[1]))
        return more

    # -----------------------------------------------------------------------------------------------------------------

    def _source(self, case: PlannedCase, part: Part, output: Path) -> _Source:
        request = http_request(case, part)
        headers = dict(engine_named(case.engine).headers) | request.headers_with(self._token)
        body = None if request.body is None else request.body.encode("utf-8")
        return _Source(case, part, request, output, headers, body)

    def _work(self) -> None:
        """Run one checker during the load."""
        if not self._load_began():
            return
        dice = random.SystemRandom()
        with http.Session() as session:
            while not self._stop.is_set():
                source, plan = self._next()
                took = self._check(source, session)
                # Without a random pause, the checkers could stay in step with a server that treats every n-th request
                # differently. Then a checker would see none of those requests, or only those.
                pause = took * dice.uniform(0.0, 2 / max(2, self._workers + source.part.concurrency))
                self._stop.wait(pause + took * (1 / plan.busy - 1))

    def _check_so_many(self, source: _Source, count: int, until: float) -> None:
        """Run one checker after the load."""
        with http.Session() as session:
            for _ in range(count):
                if time.monotonic() >= until:
                    break
                with self._lock:
                    source.sent += 1
                self._check(source, session)

    def _load_began(self) -> bool:
        deadline = time.monotonic() + _START_PATIENCE_S
        while not self._stop.is_set() and time.monotonic() < deadline:
            if any(source.output.exists() for source, _ in self._checked):
                return True
            time.sleep(_START_POLL_S)
        return False

    def _next(self) -> tuple[_Source, CheckPlan]:
        """Return the source that is furthest behind its share of the requests."""
        with self._lock:
            source, plan = min(self._checked, key=lambda one: (one[0].sent + 1) / one[0].part.requests)
            source.sent += 1
            return source, plan

    def _check(self, source: _Source, session: http.Session) -> float:
        """Send a request and judge its answer; return the time it took in seconds."""
        begun = time.monotonic()
        case = source.case
        try:
            answer = session.send(
                source.request.method,
                source.request.url,
                timeout_s=case.timeout_s,
                headers=source.headers,
                body=source.body,
            )
        except http.AnswerError as error:
            with self._lock:
                if error.failure is http.Failure.LARGE:
                    source.wrong += 1
                    source.first_wrong = source.first_wrong or error.problem
                else:
                    source.failed[TRANSPORT] += 1
            return time.monotonic() - begun
        done = time.monotonic()
        problem = self._problem(source, answer)
        cache = cache_of(answer.headers)
        with self._lock:
            if answer.status != case.expect.status:
                source.failed[f"http {answer.status}"] += 1
            elif problem:
                source.wrong += 1
                source.first_wrong = source.first_wrong or problem
            else:
                source.right_at.append(done)
            if cache:
                source.cached += 1
                source.cache = cache
        return done - begun

    def _problem(self, source: _Source, answer: http.Answer) -> str:
        """Return why an answer is wrong; for bytes that were seen before the result is cached, as in most listings."""
        key = (answer.status, answer.body)
        if key in source.known:
            return source.known[key]
        problem = check_answer(source.case.expect, answer.status, answer.body, secrets=[self._token])
        if len(answer.body) < _SMALL_BYTES and len(source.known) < _REMEMBERED:
            source.known[key] = problem
        return problem
