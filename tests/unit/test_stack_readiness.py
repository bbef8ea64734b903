"""Whether a gateway is there is asked as the load will go: straight, and only there."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator

import pytest

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
