"""Measure the time to the first event of a Server-Sent Events stream. hey cannot: it waits for the end of the stream.

Each of -c workers connects, sends GET, waits for the first complete event, closes, and starts again, until -n requests
are sent (closed loop). The rows go to stdout in the columns of hey -o csv, in seconds: response time (connecting
included), connect, DNS (0: part of connect), request write, response delay (to the headers), response read (to the
event), status, offset. A request without an answer (refused, reset, timed out) has no row. If the first event is not of
the type --expect, the status is 0, which is not a success. Rows are printed only at the end, so INT and TERM leave
none.

With --stdin as the only argument, all arguments are read from standard input, one per line, because a token must not
appear in the list of processes.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from types import FrameType
from urllib.parse import SplitResult

from benchkit import http
from benchkit.errors import ExitCode, UserError, run_program

HEADER = "response-time,DNS+dialup,DNS,Request-write,Response-delay,Response-read,status-code,offset"
"""The header line of hey; repeated here so that this program need not import numpy."""

UNEXPECTED_EVENT = 0
_OK = 200


@dataclass(frozen=True)
class Target:
    """Where to connect, what to send, what to wait for, and the timeout in seconds."""

    url: SplitResult
    headers: dict[str, str]
    expect: str
    timeout_s: float


@dataclass
class Load:
    """State shared by the workers: the clock's start, and the rows in order of completion."""

    target: Target
    started: float
    rows: list[str] = field(default_factory=list)


def main() -> int:
    """Run the load and print its rows."""
    for number, code in ((signal.SIGINT, ExitCode.INTERRUPTED), (signal.SIGTERM, ExitCode.TERMINATED)):
        signal.signal(number, _stop_with(code))
    arguments = _arguments()
    load = Load(_target(arguments), time.perf_counter())
    per_worker = arguments.n // arguments.c  # like hey, which drops the remainder
    workers = [
        threading.Thread(target=_work, args=(load, per_worker), daemon=True, name=f"worker {number}")
        for number in range(1, arguments.c + 1)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    sys.stdout.write("\n".join([HEADER, *load.rows]) + "\n")
    return ExitCode.OK


def _stop_with(code: ExitCode) -> Callable[[int, FrameType | None], None]:
    """Return a handler that exits the process at once: workers in system calls cannot be asked to stop."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        os._exit(code)

    return stop


def _work(load: Load, requests: int) -> None:
    for _ in range(requests):
        row = _measure(load.target, load.started)
        if row is not None:
            load.rows.append(row)


def _measure(target: Target, clock: float) -> str | None:
    """Send one request; return its row, or ``None`` if there was no answer."""
    begin = time.perf_counter()
    connection = http.Connection(target.url)
    limits = connection.limits = http.Limits(target.timeout_s, http.MOST_EVENT_BYTES)
    try:
        connection.connect()
        connected = time.perf_counter()
        connection.request("GET", http.request_target(target.url), headers=target.headers)
        sent = time.perf_counter()
        with connection.getresponse() as answer:
            answered = time.perf_counter()
            status = answer.status
            if status == _OK:
                event = first_event(http.event_lines(answer, limits))
                if target.expect and event != target.expect:
                    status = UNEXPECTED_EVENT
            end = time.perf_counter()
    except http.NO_ANSWER:
        return None
    finally:
        connection.close()
    times = (end - begin, connected - begin, 0.0, sent - connected, answered - sent, end - answered)
    return ",".join([*(f"{value:.4f}" for value in times), str(status), f"{begin - clock:.4f}"])


def first_event(lines: Iterable[bytes]) -> str:
    """Return the type of the first event that is dispatched, ``message`` if the stream names none.

    Follows "Interpreting an event stream" in the HTML standard: an empty line ends an event; an event without data is
    not dispatched; a line that begins with a colon is a comment. Lines may end in LF or CR LF; a lone CR is not
    supported.

    Raises:
        EOFError: the stream ended before an event was complete.
    """
    kind, has_data = "", False
    for line in lines:
        name, _, value = line.rstrip(b"\r\n").partition(b":")
        if name == b"event":
            kind = value.removeprefix(b" ").decode("utf-8", "replace")
        elif name == b"data":
            has_data = True
        elif not line.rstrip(b"\r\n"):
            if has_data:
                return kind or "message"
            kind = ""
    raise EOFError


def _target(arguments: argparse.Namespace) -> Target:
    url = http.parse_address(arguments.url)
    if url.scheme == "https":
        http.trust()  # reports a problem with the certificates once, before the load
    headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"} | _headers(arguments.H)
    return Target(url, headers, arguments.expect, arguments.t)


def _headers(texts: Sequence[str]) -> dict[str, str]:
    headers = {}
    for text in texts:
        name, colon, value = text.partition(":")
        if not colon or not name.strip():
            # The text is not shown: it may hold a token.
            raise UserError("-H: a header is 'Name: value'")
        headers[name.strip()] = value.strip()
    return headers


def _words(typed: list[str]) -> list[str]:
    """Return the arguments as typed, or from the lines of standard input."""
    return sys.stdin.buffer.read().decode("utf-8").split("\n")[:-1] if typed == ["--stdin"] else typed


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=200, metavar="N", help="requests (200)")
    parser.add_argument("-c", type=int, default=50, metavar="C", help="workers (50); each sends N // C requests")
    parser.add_argument("-t", type=float, default=20, metavar="SECONDS", help="time for one request (20)")
    parser.add_argument("-H", action="append", default=[], metavar="'NAME: VALUE'", help="a header; may be repeated")
    parser.add_argument("--expect", default="", metavar="EVENT", help="type of the first event; default: any")
    parser.add_argument("url", metavar="URL")
    arguments = parser.parse_args(_words(sys.argv[1:]))
    if not 1 <= arguments.c <= arguments.n:
        parser.error(f"-n {arguments.n} -c {arguments.c}: at least one worker, and no more workers than requests")
    if arguments.t <= 0:
        parser.error(f"-t {arguments.t}: more than 0 seconds")
    return arguments


if __name__ == "__main__":
    run_program(main)
