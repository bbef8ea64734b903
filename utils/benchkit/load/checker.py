"""Checkers: while a case's load runs, some of its workers read every answer whole and hold it against the expectation.

hey discards bodies, and a gateway can answer well before and after a load and wrongly during it. So a share of the
configured workers is not hey's: these threads send the very same request (hey's own headers, so that nobody in between
can tell them apart) in the same closed loop, for as long as the load runs. The latencies of a case are hey's alone;
the throughput counts these answers as well, for they are part of the load that was asked for.
"""

from __future__ import annotations

import contextlib
import http.client
import random
import re
import socket
import ssl
import threading
import time
import zlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from benchkit.load.probe import cache_of, check_answer
from benchkit.load.validity import TRANSPORT
from benchkit.model import CheckPlan, Checks, Part, PlannedCase

USER_AGENT = "hey/0.0.1"
"""What hey 0.1.4 calls itself (its ``-U`` is not used)."""

LEAST_CHECKED = 60
"""Answers of a case that are checked where its share may be as large as :data:`LARGEST_SHARE`.

Of answers that are wrong in one of ten, 60 miss them all with a probability of 0.2 %; and a wrong one leads to more.
"""

FEWEST_CHECKED = 10
"""Answers of a case that are checked at least."""

SMALLEST_SHARE = 0.05
LARGEST_SHARE = 0.2
"""Bounds of the share of a case's answers that are checked."""

MAX_BODY_BYTES = 64 * 2**20
"""An answer above this size is wrong; no more of it is read."""

_CHUNK_BYTES = 2**16
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
class _Source:  # pylint: disable=too-many-instance-attributes  # a request, and each thing that is counted of it
    """A part whose request the checkers send, and what came back so far."""

    case: PlannedCase
    part: Part
    output: Path
    request: bytes
    url: SplitResult
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
        parts: case, part, headers with the token, and the file that takes the load generator's rows: it appears when
            the generator is started, which is when the checkers begin.
        secrets: texts that must not show in a quoted answer.
    """

    def __init__(
        self, parts: Sequence[tuple[PlannedCase, Part, Mapping[str, str], Path]], secrets: Sequence[str] = ()
    ) -> None:
        self._secrets = [secret for secret in secrets if secret]
        self._sources = [self._source(*part) for part in parts]
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._open: set[socket.socket] = set()
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
        with self._lock:
            stuck = list(self._open)
        for connection in stuck:
            # An answer that drips lasts as long as the other side likes; this ends its reading.
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(1.0)
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
        """After the load: check :data:`_EXTRA` answers of each part of these cases (ids) that gave a wrong one.

        Returns:
            Requests and wrong answers of each part, in the order given.
        """
        more = []
        for source in self._sources:
            before = source.sent, source.wrong
            if source.wrong and source.case.id in cases:
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

    @staticmethod
    def _source(case: PlannedCase, part: Part, headers: Mapping[str, str], output: Path) -> _Source:
        url = urlsplit(part.url)
        body = b"" if part.body is None else part.body.encode("utf-8")
        lines = [
            f"{case.method} {url.path or '/'}{f'?{url.query}' if url.query else ''} HTTP/1.1",
            f"Host: {url.netloc}",
        ]
        lines += [f"User-Agent: {USER_AGENT}"]
        lines += [f"Content-Length: {len(body)}"] if body or case.method not in ("GET", "HEAD") else []
        lines += [f"{name}: {value}" for name, value in ({"Content-Type": "text/html"} | dict(headers)).items()]
        lines += ["Accept-Encoding: gzip"]
        request = "\r\n".join([*lines, "", ""]).encode("latin-1") + body
        return _Source(case, part, output, request, url)

    def _work(self) -> None:
        """One checker during the load."""
        if not self._load_began():
            return
        dice = random.SystemRandom()
        connections: dict[int, socket.socket] = {}
        try:
            while not self._stop.is_set():
                source, plan = self._next()
                took = self._check(source, connections)
                # A server that treats every n-th request differently could else keep step with the workers, and a
                # checker would see none of those requests, or only those.
                pause = took * dice.uniform(0.0, 2 / max(2, self._workers + source.part.concurrency))
                self._stop.wait(pause + took * (1 / plan.busy - 1))
        finally:
            for connection in connections.values():
                self._close(connection)

    def _check_so_many(self, source: _Source, count: int, until: float) -> None:
        """One checker after the load."""
        connections: dict[int, socket.socket] = {}
        try:
            for _ in range(count):
                if time.monotonic() >= until:
                    break
                with self._lock:
                    source.sent += 1
                self._check(source, connections)
        finally:
            for connection in connections.values():
                self._close(connection)

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

    def _check(self, source: _Source, connections: dict[int, socket.socket]) -> float:
        """Send a request and judge its answer; the seconds that it took."""
        begun = time.monotonic()
        try:
            status, headers, body = self._exchange(source, connections, begun + source.case.timeout_s)
        except (OSError, http.client.HTTPException, EOFError, ValueError, zlib.error) as error:
            self._drop(source, connections)
            with self._lock:
                if isinstance(error, _AnswerError):
                    source.wrong += 1
                    source.first_wrong = source.first_wrong or str(error)
                else:
                    source.failed[TRANSPORT] += 1
            return time.monotonic() - begun
        done = time.monotonic()
        # Listings answer the same bytes each time, so most answers need no second look.
        problem = source.known.get((status, body)) if len(body) < _CHUNK_BYTES else None
        if problem is None:
            problem = self._mask(check_answer(source.case.expect, status, body))
            if len(source.known) < 32:
                source.known[status, body] = problem
        cache = cache_of(headers)
        with self._lock:
            if status != source.case.expect.status:
                source.failed[f"http {status}"] += 1
            elif problem:
                source.wrong += 1
                source.first_wrong = source.first_wrong or problem
            else:
                source.right_at.append(done)
            if cache:
                source.cached += 1
                source.cache = cache
        return done - begun

    def _exchange(
        self, source: _Source, connections: dict[int, socket.socket], deadline: float
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Send the request and read the whole answer, over a kept connection where there is one."""
        kept = connections.get(id(source))
        connection = kept or self._connect(source, connections, deadline)
        try:
            return self._send(source, connection, connections, deadline)
        except (ConnectionError, http.client.BadStatusLine):
            if kept is None:
                raise
            # The other side may close a connection that it kept; as in hey, the request is sent again on a new one.
            self._drop(source, connections)
            return self._send(source, self._connect(source, connections, deadline), connections, deadline)

    def _send(
        self,
        source: _Source,
        connection: socket.socket,
        connections: dict[int, socket.socket],
        deadline: float,
    ) -> tuple[int, Mapping[str, str], bytes]:
        connection.settimeout(_left(deadline))
        connection.sendall(source.request)
        answer = http.client.HTTPResponse(connection, method=source.case.method)
        try:
            answer.begin()
            body = _read(answer, connection, deadline)
            headers = {name.lower(): value for name, value in answer.getheaders()}
            if answer.will_close:
                self._drop(source, connections)
        finally:
            answer.close()
        if headers.get("content-encoding", "").lower() == "gzip":
            body = _inflate(body)
        return answer.status, headers, body

    def _connect(self, source: _Source, connections: dict[int, socket.socket], deadline: float) -> socket.socket:
        host, is_tls = source.url.hostname or "", source.url.scheme == "https"
        port = source.url.port or (443 if is_tls else 80)
        connection = socket.create_connection((host, port), _left(deadline))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if is_tls:
            connection = _tls_context().wrap_socket(connection, server_hostname=host)
        connections[id(source)] = connection
        with self._lock:
            self._open.add(connection)
        return connection

    def _drop(self, source: _Source, connections: dict[int, socket.socket]) -> None:
        connection = connections.pop(id(source), None)
        if connection is not None:
            self._close(connection)

    def _close(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.discard(connection)
        with contextlib.suppress(OSError):
            connection.close()

    def _mask(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return _TOKEN.sub("***", text)


class _AnswerError(ValueError):
    """An answer that came and cannot be right."""


_TOKEN = re.compile(r"eyJ[\w-]{6,}\.[\w-]{6,}(?:\.[\w-]*)?")
"""A JSON web token (RFC 7519): two or three base64url parts, the first of which begins with ``{"``."""


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _read(answer: http.client.HTTPResponse, connection: socket.socket, deadline: float) -> bytes:
    chunks = []
    size = 0
    while True:
        connection.settimeout(_left(deadline))
        chunk = answer.read1(_CHUNK_BYTES)
        if not chunk:
            break
        chunks.append(chunk)
        size += len(chunk)
        if size > MAX_BODY_BYTES:
            raise _AnswerError(f"the body has more than {MAX_BODY_BYTES // 2**20} MiB")
    if answer.length:
        raise _AnswerError(f"the body was cut off after {size} bytes, {answer.length} are missing")
    return b"".join(chunks)


def _inflate(body: bytes) -> bytes:
    inflater = zlib.decompressobj(wbits=31)
    data = inflater.decompress(body, MAX_BODY_BYTES)
    if inflater.unconsumed_tail:
        raise _AnswerError(f"the body has more than {MAX_BODY_BYTES // 2**20} MiB when it is decompressed")
    return data


def _tls_context() -> ssl.SSLContext:
    return ssl.create_default_context()
