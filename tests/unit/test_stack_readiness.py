"""Whether a gateway is there is asked as the load will go: straight, and only there."""

from __future__ import annotations

import contextlib
import http.server
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from benchkit.stack import readiness
from benchkit.stack.readiness import gateway_problem


class Handler(http.server.BaseHTTPRequestHandler):
    """/health answers well, /moved/health leads there, /old/health knows nothing."""

    def do_GET(self) -> None:
        status = {"/health": 200, "/moved/health": 302}.get(self.path, 404)
        self.send_response(status)
        if status == 302:
            self.send_header("location", "/health")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Tests are quiet."""


@pytest.fixture
def url() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy", "https_proxy"])
def test_a_proxy_of_the_environment_is_not_the_way_to_the_gateway(
    url: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert gateway_problem(url) is None


def test_another_address_is_another_target(url: str) -> None:
    assert gateway_problem(f"{url}/moved") == "HTTP 302"
    assert gateway_problem(f"{url}/old") == "HTTP 404"


def test_nobody_answers() -> None:
    assert gateway_problem("http://127.0.0.1:1") == "Connection refused"


def test_an_answer_that_drips_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "_FOREIGN_TIMEOUT_S", 0.5)
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            connection, _ = server.accept()
            with connection, contextlib.suppress(OSError):
                connection.sendall(b"HTTP/1.1 200 OK\r\n")
                while not ended.wait(0.1):
                    connection.sendall(b"X-Drop: 1\r\n")

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        begun = time.monotonic()
        problem = gateway_problem(f"http://127.0.0.1:{server.getsockname()[1]}")
        took_s = time.monotonic() - begun
        ended.set()
        thread.join()
    assert problem is not None
    assert "0.5 s" in problem
    assert took_s < 3
