"""The SSE load: time to the first event, in hey's columns."""

from __future__ import annotations

import contextlib
import itertools
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchkit.load.engines import hey_output
from benchkit.load.rows import Rows
from sse_load import first_event

PROGRAM = Path(__file__).parents[2] / "utils" / "sse_load.py"
DELAY_S = 0.08
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


class Server:  # pylint: disable=too-few-public-methods
    """Answers by path, on a port of its own; ``closed`` counts the clients that went away by themselves."""

    def __init__(self) -> None:
        self.closed = 0
        self.requests: list[bytes] = []
        self._numbers = itertools.count(1)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            request = b""
            while b"\r\n\r\n" not in request:
                request += connection.recv(4096)
            self.requests.append(request)
            if request.startswith(b"GET /headers"):
                while True:
                    connection.sendall(b"X")
                    time.sleep(0.05)
            path = request.split(b" ")[1].split(b"?")[0]
            number = next(self._numbers)
            if path == b"/drop" and number % 4 == 0:
                return
            if path == b"/refuse":
                connection.sendall(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno")
                return
            connection.sendall(HEAD + chunk(b": hello\r\n\r\n"))
            if path == b"/end":
                connection.sendall(b"0\r\n\r\n")
                return
            if path == b"/drip":
                while True:
                    connection.sendall(chunk(b": still here\n"))
                    time.sleep(0.05)
            if path == b"/letters":
                while True:
                    connection.sendall(chunk(b"x"))
                    time.sleep(0.05)
            if path == b"/flood":
                while True:
                    connection.sendall(chunk(b"x" * 65000))
            if path == b"/silent":
                connection.recv(1)
                return
            time.sleep(DELAY_S)
            # One event in two chunks, cut in the middle of a line.
            connection.sendall(chunk(b"event: endpoint\r\ndata: /mess") + chunk(b"ages/?id=1\r\n\r\n"))
            if connection.recv(1) == b"":
                self.closed += 1


@pytest.fixture
def server() -> Iterator[Server]:
    one = Server()
    yield one
    one.close()


def load(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(PROGRAM), *arguments, url]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def rows(tmp_path: Path, result: subprocess.CompletedProcess[str]) -> Rows:
    assert (result.returncode, result.stderr) == (0, "")
    (tmp_path / "rows.csv").write_text(result.stdout)
    return hey_output.read_rows(tmp_path / "rows.csv")


def test_the_time_to_the_first_event_is_measured(tmp_path: Path, server: Server) -> None:
    result = load(
        f"{server.url}/sse?x=1", "-n", "12", "-c", "3", "--expect", "endpoint", "-H", "Authorization: Bearer t"
    )
    output = rows(tmp_path, result)
    assert output.statuses() == {200: 12}
    assert output.latency_ms.min() >= 1000 * DELAY_S
    # A busy machine only ever adds; the quickest of twelve shows what the program itself costs.
    assert output.latency_ms.min() < 1000 * DELAY_S + 40
    assert (output.offset_s >= 0).all()
    # Four rounds of a closed loop, one after the other.
    assert output.offset_s.max() >= 3 * DELAY_S
    assert all(request.startswith(b"GET /sse?x=1 HTTP/1.1\r\n") for request in server.requests)
    assert all(b"Authorization: Bearer t\r\n" in request for request in server.requests)
    assert all(b"Accept: text/event-stream\r\n" in request for request in server.requests)
    assert "Bearer" not in result.stdout


def test_arguments_from_standard_input_stand_in_no_list_of_processes(server: Server) -> None:
    lines = ["-H", "Authorization: Bearer s3cret", "-n", "2", "-c", "2", "-t", "60", f"{server.url}/silent"]
    command = [sys.executable, str(PROGRAM), "--stdin"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write("".join(f"{line}\n" for line in lines).encode())
        process.stdin.close()
        deadline = time.monotonic() + 20
        while len(server.requests) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        words = psutil.Process(process.pid).cmdline()
        process.terminate()
    assert words[-1] == "--stdin"
    assert not [word for word in words if "s3cret" in word]
    assert all(b"Authorization: Bearer s3cret\r\n" in request for request in server.requests)
    assert len(server.requests) == 2


@pytest.mark.parametrize("last", ["--help", "-o", "@/etc/passwd", ""])
def test_a_line_of_standard_input_is_no_option_where_an_address_belongs(last: str) -> None:
    done = subprocess.run(
        [sys.executable, str(PROGRAM), "--stdin"], input=f"{last}\n", capture_output=True, text=True, check=False
    )
    assert "root:" not in done.stdout + done.stderr
    assert done.returncode == (0 if last == "--help" else 2)


def test_the_stream_is_closed_after_the_event(tmp_path: Path, server: Server) -> None:
    rows(tmp_path, load(f"{server.url}/sse", "-n", "4", "-c", "2"))
    deadline = time.monotonic() + 5
    while server.closed < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert server.closed == 4


def test_workers_send_equally_many_and_the_rest_is_dropped(tmp_path: Path, server: Server) -> None:
    assert len(rows(tmp_path, load(f"{server.url}/sse", "-n", "8", "-c", "3"))) == 6


def test_another_event_is_a_failure(tmp_path: Path, server: Server) -> None:
    output = rows(tmp_path, load(f"{server.url}/sse", "-n", "3", "-c", "3", "--expect", "welcome"))
    assert output.statuses() == {0: 3}


def test_another_status_is_a_row_with_that_status(tmp_path: Path, server: Server) -> None:
    output = rows(tmp_path, load(f"{server.url}/refuse", "-n", "3", "-c", "3", "--expect", "endpoint"))
    assert output.statuses() == {401: 3}


def test_no_answer_leaves_no_row(tmp_path: Path, server: Server) -> None:
    assert rows(tmp_path, load(f"{server.url}/drop", "-n", "8", "-c", "1")).statuses() == {200: 6}
    assert len(rows(tmp_path, load(f"{server.url}/end", "-n", "2", "-c", "1"))) == 0


@pytest.mark.parametrize("path", ["/silent", "/drip", "/letters", "/headers"])
def test_a_stream_without_an_event_times_out(tmp_path: Path, server: Server, path: str) -> None:
    begin = time.monotonic()
    assert len(rows(tmp_path, load(server.url + path, "-n", "2", "-c", "2", "-t", "0.5"))) == 0
    assert time.monotonic() - begin < 10


def test_an_event_without_an_end_is_given_up(tmp_path: Path, server: Server) -> None:
    begin = time.monotonic()
    assert len(rows(tmp_path, load(f"{server.url}/flood", "-n", "1", "-c", "1", "-t", "50"))) == 0
    assert time.monotonic() - begin < 20


def test_a_server_that_is_not_there_leaves_no_row(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    result = load(f"http://127.0.0.1:{port}/", "-n", "4", "-c", "2")
    assert len(rows(tmp_path, result)) == 0
    assert result.stdout == hey_output.HEADER.decode()


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_signal_stops_it_at_once(server: Server, name: str, code: int) -> None:
    command = [sys.executable, str(PROGRAM), "-n", "8", "-c", "8", "-t", "60", f"{server.url}/silent"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        deadline = time.monotonic() + 20
        while len(server.requests) < 8 and time.monotonic() < deadline:
            time.sleep(0.01)
        begin = time.monotonic()
        process.send_signal(getattr(signal, name))
        output, _ = process.communicate(timeout=20)
        assert time.monotonic() - begin < 5
        assert (process.returncode, output) == (code, b"")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-n", "2", "-c", "3", "http://127.0.0.1/"], "no more workers than requests"),
        (["-n", "0", "-c", "0", "http://127.0.0.1/"], "at least one worker"),
        (["-t", "0", "http://127.0.0.1/"], "more than 0 seconds"),
        (["ftp://127.0.0.1/"], "not an http:// or https:// address"),
        (["http://me:secret@127.0.0.1/"], "may not hold a user name or a password"),
        (["-H", "secret", "http://127.0.0.1/"], "a header is 'Name: value'"),
    ],
)
def test_usage(arguments: list[str], words: str) -> None:
    result = load(arguments[-1], *arguments[:-1])
    assert result.returncode == 2
    assert words in result.stderr
    assert "secret" not in result.stderr
    assert "Traceback" not in result.stderr


# The format


@pytest.mark.parametrize(
    ("stream", "kind"),
    [
        (b"event: endpoint\ndata: /x\n\n", "endpoint"),
        (b"event:endpoint\r\ndata\r\n\r\n", "endpoint"),
        (b"data: /x\n\n", "message"),
        (b": ping\n\ndata: /x\n\n", "message"),
        (b"event: empty\n\nevent: full\ndata: 1\n\n", "full"),
        (b"event: empty\n\ndata: 1\n\n", "message"),
        (b"id: 7\nretry: 10\nevent: a\nevent: b\ndata: 1\ndata: 2\n\n", "b"),
    ],
)
def test_the_first_event_that_is_dispatched(stream: bytes, kind: str) -> None:
    assert first_event(iter(stream.splitlines(keepends=True))) == kind


@given(st.binary())
def test_a_stream_that_ends_too_early_is_no_event(stream: bytes) -> None:
    lines = [line for line in stream.splitlines(keepends=True) if line.strip()]
    with pytest.raises(EOFError):
        first_event(iter(lines))
