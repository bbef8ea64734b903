"""The one HTTP client: every answer has a deadline and a size limit, whatever a server does."""

from __future__ import annotations

import ast
import contextlib
import gzip
import itertools
import socket
import ssl
import subprocess
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchkit import http
from benchkit.errors import UserError
from benchkit.http import AnswerError, Failure, Session
from benchkit.settings import ROOT
from benchkit.stack.readiness import gateway_problem

OK = b"HTTP/1.1 200 OK\r\n"
Play = Callable[[socket.socket, int], None]


class Server:
    """A TCP server that plays a part on each connection; the part gets the connection and its number, from 1."""

    def __init__(self, play: Play, context: ssl.SSLContext | None = None) -> None:
        self._play = play
        self._context = context
        self.connections = itertools.count(1)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"{'https' if context else 'http'}://127.0.0.1:{self.port}"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        number = next(self.connections)
        with contextlib.suppress(OSError):
            if self._context:
                connection = self._context.wrap_socket(connection, server_side=True)
            with connection:
                self._play(connection, number)


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(play: Play, context: ssl.SSLContext | None = None) -> Server:
        servers.append(Server(play, context))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def session() -> Iterator[Session]:
    with Session() as one:
        yield one


def hear(connection: socket.socket) -> bytes:
    request = b""
    while b"\r\n\r\n" not in request:
        piece = connection.recv(4096)
        if not piece:
            raise OSError
        request += piece
    return request


def answering(*pieces: bytes, every_s: float = 0.0, repeat: bytes = b"") -> Play:
    """Sends the pieces after a request; then ``repeat`` for ever, with a pause before each."""

    def play(connection: socket.socket, _number: int) -> None:
        hear(connection)
        for piece in pieces:
            connection.sendall(piece)
        while repeat:
            time.sleep(every_s)
            connection.sendall(repeat)

    return play


def whole(body: bytes, *headers: bytes) -> bytes:
    lines = [b"Content-Length: %d" % len(body), *headers]
    return OK + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body


DRIPPING = {
    "headers": answering(OK, repeat=b"X-Drip: 1\r\n", every_s=0.1),
    "a header's name": answering(OK, repeat=b"X", every_s=0.05),
    "status line": answering(repeat=b"H", every_s=0.05),
    "body": answering(OK + b"Content-Length: 100000\r\n\r\n", repeat=b"x", every_s=0.05),
    "body without an end": answering(OK + b"\r\n", repeat=b"x", every_s=0.05),
    "chunks": answering(OK + b"Transfer-Encoding: chunked\r\n\r\n", repeat=b"1\r\nx\r\n", every_s=0.05),
    "chunk's size": answering(OK + b"Transfer-Encoding: chunked\r\n\r\n", repeat=b"0", every_s=0.05),
    "trailers": answering(OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", repeat=b"A: b\r\n", every_s=0.05),
    "answers that go before": answering(repeat=b"HTTP/1.1 100 Continue\r\n\r\n", every_s=0.05),
}


@pytest.mark.parametrize("part", DRIPPING)
def test_an_answer_that_drips_ends_at_its_deadline(serve: Callable[..., Server], session: Session, part: str) -> None:
    server = serve(DRIPPING[part])
    began = time.monotonic()
    with pytest.raises(AnswerError) as caught:
        session.send("GET", server.url, timeout_s=0.6)
    assert time.monotonic() - began < 1.5
    assert caught.value.failure is Failure.LATE
    assert "within 0.6 s" in caught.value.problem


def test_a_tls_handshake_that_is_not_answered_ends_at_the_deadline(serve: Callable[..., Server]) -> None:
    server = serve(lambda connection, _: time.sleep(3))
    with Session() as session, pytest.raises(AnswerError) as caught:
        session.send("GET", server.url.replace("http:", "https:"), timeout_s=0.3)
    assert caught.value.failure is Failure.LATE


def test_a_request_that_nobody_reads_ends_at_the_deadline(serve: Callable[..., Server], session: Session) -> None:
    server = serve(lambda connection, _: time.sleep(3))
    with pytest.raises(AnswerError) as caught:
        session.send("POST", server.url, body=b"x" * 2**24, timeout_s=0.3)
    assert caught.value.failure is Failure.LATE


@pytest.mark.parametrize(
    "play",
    [
        answering(OK + b"\r\n", repeat=b"x" * 65536),
        answering(OK + b"Transfer-Encoding: chunked\r\n\r\n", repeat=b"10000\r\n" + b"x" * 65536 + b"\r\n"),
        answering(whole(b"x" * 5_000_000)),
        answering(whole(gzip.compress(bytes(300_000_000)), b"Content-Encoding: gzip")),
        # A negative size makes the standard library read to the end of the stream.
        answering(OK + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n", repeat=b"x" * 65536),
    ],
    ids=["endless", "endless chunks", "long", "compressed", "negative chunk"],
)
def test_an_answer_that_is_too_large_is_not_read(serve: Callable[..., Server], session: Session, play: Play) -> None:
    server = serve(play)
    tracemalloc.start()
    try:
        with pytest.raises(AnswerError) as caught:
            session.send("GET", server.url, timeout_s=20, most_bytes=1_000_000)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert caught.value.failure is Failure.LARGE
    assert "the answer has more than 1,000,000 bytes" in str(caught.value)
    assert server.url in str(caught.value)
    assert peak < 25_000_000


@pytest.mark.parametrize("members", [1, 3])
def test_compressed_answers_are_read_whole(serve: Callable[..., Server], session: Session, members: int) -> None:
    part = bytes(range(256)) * 2000
    data = gzip.compress(part, mtime=0) * members
    server = serve(answering(whole(data, b"Content-Encoding: gzip")))
    assert session.send("GET", server.url, timeout_s=5).body == part * members


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (OK + b"Content-Length: 10\r\n\r\nxxx", "ended 7 bytes before the answer did"),
        (whole(gzip.compress(b"x" * 999, mtime=0)[:-9], b"Content-Encoding: gzip"), "not complete"),
        (whole(b"plain", b"Content-Encoding: gzip"), "incorrect header check"),
        (whole(b"plain", b"Content-Encoding: br"), "the content encoding is br"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", "no HTTP answer"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "no HTTP answer"),
        (OK + b"X: " + b"y" * 70000 + b"\r\n\r\n", "no HTTP answer"),
        (OK + b"X: y\r\n" * 200 + b"\r\n", "no HTTP answer"),
        (b"", "no HTTP answer"),
    ],
)
def test_what_is_no_answer_is_one_line(
    serve: Callable[..., Server], session: Session, answer: bytes, words: str
) -> None:
    with pytest.raises(AnswerError) as caught:
        session.send("GET", serve(answering(answer)).url, timeout_s=5)
    assert caught.value.failure is Failure.BROKEN
    assert words in caught.value.problem
    assert "\n" not in str(caught.value)


def test_a_connection_is_kept_and_one_that_died_meanwhile_is_replaced(
    serve: Callable[..., Server], session: Session
) -> None:
    heard: list[int] = []

    def play(connection: socket.socket, number: int) -> None:
        for _ in range(2):
            hear(connection)
            heard.append(number)
            connection.sendall(whole(b"ok"))

    url = serve(play).url
    for _ in range(4):
        assert session.send("GET", url, timeout_s=5).body == b"ok"
        time.sleep(0.05)
    assert heard == [1, 1, 2, 2]


def test_several_threads_share_a_session(serve: Callable[..., Server], session: Session) -> None:
    def play(connection: socket.socket, number: int) -> None:
        while True:
            path = hear(connection).split(b" ")[1]
            time.sleep(0.01)
            connection.sendall(whole(path))

    url = serve(play).url
    wrong: list[bytes] = []

    def ask(thread: int) -> None:
        for number in range(20):
            body = session.send("GET", f"{url}/{thread}.{number}", timeout_s=5).body
            if body != f"/{thread}.{number}".encode():
                wrong.append(body)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_nothing_of_the_environment_is_used(
    serve: Callable[..., Server], session: Session, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n", encoding="utf-8")
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    heard: list[bytes] = []

    def play(connection: socket.socket, _number: int) -> None:
        heard.append(hear(connection))
        connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: /else\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n")

    url = serve(play).url
    for _ in range(2):
        assert session.send("GET", url, timeout_s=5).status == 302
    assert len(heard) == 2
    assert b"ookie" not in heard[1]
    assert b"uthorization" not in heard[1]


def test_the_address_is_encoded_and_a_header_that_cannot_be_sent_is_not_shown(
    serve: Callable[..., Server], session: Session
) -> None:
    heard: list[bytes] = []

    def play(connection: socket.socket, _number: int) -> None:
        heard.append(hear(connection))
        connection.sendall(whole(b""))

    url = serve(play).url
    session.send("GET", f"{url}/a b/größe%20?x=\x00\n|é#part", timeout_s=5)
    assert heard[0].startswith(b"GET /a%20b/gr%C3%B6%C3%9Fe%20?x=%00%7C%C3%A9 HTTP/1.1\r\n")
    for value in ("Bearer very-secret\nX: y", "Bearer very-secret-\u20ac"):
        with pytest.raises(AnswerError) as caught:
            session.send("GET", url, headers={"Authorization": value}, timeout_s=5)
        assert caught.value.failure is Failure.ADDRESS
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ftp://127.0.0.1/", "not an http:// or https:// address"),
        ("file:///etc/passwd", "not an http:// or https:// address"),
        ("http://[::1/", "not an http:// or https:// address"),
        ("http://127.0.0.1:99999/", "not an http:// or https:// address"),
        ("nonsense", "not an http:// or https:// address"),
        ("http://user:hunter2@127.0.0.1/", "may not hold a user name or a password"),
    ],
)
def test_an_address_that_is_none(session: Session, url: str, words: str) -> None:
    with pytest.raises(AnswerError, match=words) as caught:
        session.send("GET", url, timeout_s=1)
    assert "hunter2" not in str(caught.value)


EVENT = OK + b"Content-Type: text/event-stream\r\n\r\n"


def test_the_first_event_is_read_and_nothing_after_it(serve: Callable[..., Server], session: Session) -> None:
    server = serve(answering(EVENT, b"\r\nevent: endpoint\r\n", b"data: x\r\n\r\n", repeat=b": more\n", every_s=0.05))
    answer = session.first_event("GET", server.url, timeout_s=5)
    assert (answer.status, answer.body) == (200, b"event: endpoint\ndata: x")


@pytest.mark.parametrize(
    ("repeat", "failure"),
    [
        (b": still here\n", Failure.LATE),
        (b"x", Failure.LATE),
        (b"x" * 65536, Failure.LARGE),
        (b"x\n" * 9999, Failure.LARGE),
    ],
)
def test_an_event_that_never_ends(
    serve: Callable[..., Server], session: Session, repeat: bytes, failure: Failure
) -> None:
    server = serve(answering(EVENT, repeat=repeat, every_s=0.02))
    began = time.monotonic()
    with pytest.raises(AnswerError) as caught:
        session.first_event("GET", server.url, timeout_s=0.8 if failure is Failure.LATE else 20)
    assert caught.value.failure is failure
    assert time.monotonic() - began < 8


# ----------------------------------------------------------------------------------------------------------------------
# Certificates


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a certificate for 127.0.0.1 that it signed itself, and its key."""
    place = tmp_path_factory.mktemp("certificate")
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", "key.pem", "-out", "own.pem"]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject, *files],
        cwd=place,
        check=True,
        capture_output=True,
    )
    return place


@pytest.fixture
def secure(serve: Callable[..., Server], certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "own.pem", certificate / "key.pem")
    return serve(answering(whole(b"ok")), context)


def test_an_unknown_authority_is_not_trusted(secure: Server, session: Session) -> None:
    with pytest.raises(AnswerError, match="no trusted TLS connection") as caught:
        session.send("GET", secure.url, timeout_s=5)
    assert caught.value.failure is Failure.UNTRUSTED


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SSL_CERT_FILE", "own.pem"),
        ("REQUESTS_CA_BUNDLE", "own.pem"),
        ("REQUESTS_CA_BUNDLE", "."),
        ("CURL_CA_BUNDLE", "own.pem"),
        ("SSL_CERT_DIR", "."),
    ],
)
def test_the_authority_that_the_environment_names_is_trusted(
    secure: Server, session: Session, certificate: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, str(certificate / value))
    assert session.send("GET", secure.url, timeout_s=5).body == b"ok"
    assert gateway_problem(secure.url) is None


def test_a_gateway_of_an_unknown_authority_is_told(secure: Server) -> None:
    assert "no trusted TLS connection" in str(gateway_problem(secure.url))


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_DIR"])
def test_certificates_that_are_not_there_are_one_line(
    secure: Server, session: Session, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "/nowhere/at/all.pem")
    with pytest.raises(UserError, match=f"^{name}=/nowhere/at/all.pem: no certificates can be read there: No such"):
        session.send("GET", secure.url, timeout_s=5)


# ----------------------------------------------------------------------------------------------------------------------
# The rule

CLIENTS = {"requests", "urllib.request", "http.client", "httpx", "urllib3", "aiohttp"}
ALLOWED = {
    "benchkit/http.py": "it is the one",
    "benchkit/run/monitor_targets.py": "an exception that Docker's library lets through",
    "benchkit/stack/supervisor.py": "XML-RPC with the own supervisor, over a Unix socket",
    "benchkit/stack/readiness.py": "asks the own programs of a stack, on loopback; gateways by benchkit/http.py",
}


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def test_nothing_else_sends_requests() -> None:
    found = {
        str(path.relative_to(ROOT / "utils"))
        for path in (ROOT / "utils").rglob("*.py")
        if any(name == one or name.startswith(f"{one}.") for name in imported(path) for one in CLIENTS)
    }
    assert found == set(ALLOWED)
    assert http.MOST_BYTES == 64 * 2**20
