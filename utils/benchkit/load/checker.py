"""Checkers: while a case's load runs, some of its workers read every answer whole and hold it against the expectation.

A load generator discards bodies, and a gateway can answer well before and after a load and wrongly during it. So a
share of the configured workers is not the load generator's: these threads send the very same request (with the
engine's own headers, so that nobody in between can tell them apart) in a closed loop, for as long as the load runs. The
latencies of a case are the load generator's alone; the throughput counts these answers as well, for they are part of
the load that was asked for.
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
"""Answers of a case that are checked where its share may be as large as :data:`LARGEST_SHARE`.

Of answers that are wrong in one of ten, 60 miss them all with a probability of 0.2 %; and a wrong one leads to more.
"""

FEWEST_CHECKED = 10
"""Answers of a case that are checked at least."""

SMALLEST_SHARE = 0.05
LARGEST_SHARE = 0.2
"""Bounds of the share of a case's answers that are checked."""

_SMALL_BYTES = 2**16
"""An answer below this size is remembered, so that the same bytes need no second look."""

_REMEMBERED = 32
_START_PATIENCE_S = 5.0
_START_POLL_S = 0.001
_EXTRA = 100
"""Answers that are checked after a load in which a wrong one came."""

_EXTRA_S = 30.0
"""Seconds that this may take at most, beyond the timeout of the requests under way."""


def plan_checks(requests: int, concurrency: int, iterations: int) -> tuple[CheckPlan, int]:
    """How a load is shared between checkers and the load generator.

    Args:
        requests: of the case (or group) in an iteration, a multiple of ``concurrency``.
        concurrency: workers of the case (or group).
        iterations: rounds of the case.

    Returns:
        The checks, and the workers that are left for the load generator. At a concurrency of 1 it keeps its worker.
    """
    total = requests * iterations
    # A tiny load gets ten checked answers all the same, but never more than half of what it sends.
    fewest = min(0.5, FEWEST_CHECKED / total)
    wanted = max(SMALLEST_SHARE, min(LARGEST_SHARE, LEAST_CHECKED / total), fewest)
    if concurrency == 1:
        busy = max(2 * SMALLEST_SHARE, fewest)  # there is no worker to take
        return CheckPlan(workers=1, requests=max(1, round(busy * requests)), busy=busy), 1
    # One more than the smallest share needs: a pause now and then must not bring it below.
    workers = max(int(concurrency * SMALLEST_SHARE) + 1, round(wanted * concurrency))
    return CheckPlan(workers=workers, requests=workers * (requests // concurrency)), concurrency - workers


@dataclass
class _Source:  # pylint: disable=too-many-instance-attributes  # a request, and all that is counted of it
    """A part whose request the checkers send, and what came back so far."""

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
        parts: case, part, and the file that takes the load generator's rows: it appears when the generator is started,
            which is when the checkers begin.
        token: the run's token, which must not show in a quoted answer.
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
        """Begin as soon as the load generator was started; this does not wait for it."""
        self._threads = [
            threading.Thread(target=self._work, daemon=True, name=f"checker {number}")
            for number in range(self._workers)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End when the requests under way are answered, at the latest after their timeout."""
        self._stop.set()
        deadline = time.monotonic() + self._timeout_s + 1
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._threads = []

    def results(self, started: float) -> list[Checks]:
        """What came back so far for each part, in the order given; ``started``: the monotonic clock's zero."""
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
        """After the load: check :data:`_EXTRA` answers of each part of these cases (ids).

        Returns:
            Requests and wrong answers of each part, in the order given.
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
        """One checker during the load."""
        if not self._load_began():
            return
        dice = random.SystemRandom()
        with http.Session() as session:
            while not self._stop.is_set():
                source, plan = self._next()
                took = self._check(source, session)
                # A server that treats every n-th request differently could else keep step with the workers, and a
                # checker would see none of those requests, or only those.
                pause = took * dice.uniform(0.0, 2 / max(2, self._workers + source.part.concurrency))
                self._stop.wait(pause + took * (1 / plan.busy - 1))

    def _check_so_many(self, source: _Source, count: int, until: float) -> None:
        """One checker after the load."""
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
        """The source that is furthest behind its share of the requests."""
        with self._lock:
            source, plan = min(self._checked, key=lambda one: (one[0].sent + 1) / one[0].part.requests)
            source.sent += 1
            return source, plan

    def _check(self, source: _Source, session: http.Session) -> float:
        """Send a request and judge its answer; the seconds that it took."""
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
        """Why an answer is wrong; listings answer the same bytes each time, so most answers need no second look."""
        key = (answer.status, answer.body)
        if key in source.known:
            return source.known[key]
        problem = check_answer(source.case.expect, answer.status, answer.body, secrets=[self._token])
        if len(answer.body) < _SMALL_BYTES and len(source.known) < _REMEMBERED:
            source.known[key] = problem
        return problem
