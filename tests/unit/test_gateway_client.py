"""Finding a gateway, and saying in one line why there is none."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from benchkit.errors import UserError
from benchkit.gateway.client import Gateway, NobodyThereError
from builders.gateway_stub import FakeGateway, Reply, Request, make_token, serving


@pytest.fixture
def fake() -> FakeGateway:
    return FakeGateway()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize(("release", "prefix"), [("1.0.7", "/v1"), ("1.0.0", ""), ("0.9.0", ""), ("0.7.0", "")])
def test_the_prefix_is_found_by_asking(release: str, prefix: str) -> None:
    with serving(FakeGateway(release)) as stub:
        gateway = Gateway.find(f"{stub.url}/")
    assert gateway.prefix == prefix
    assert not gateway.is_open
    assert gateway.base_url == stub.url
    assert not any("authorization" in request.headers for request in stub.requests)


def test_an_id_stands_percent_encoded_in_an_address_or_not_at_all() -> None:
    gateway = Gateway("http://gw:4444")
    assert gateway.rpc_url == "http://gw:4444/rpc"
    assert gateway.mcp_url('x\0ok\n"/..') == "http://gw:4444/servers/x%00ok%0A%22%2F../mcp"
    for identity in ("..", ".", ""):
        with pytest.raises(ValueError, match="cannot be part of a URL"):
            gateway.mcp_url(identity)


def test_a_gateway_that_lists_without_a_token_is_open(fake: FakeGateway) -> None:
    fake.is_open = True
    with serving(fake) as stub:
        assert Gateway.find(stub.url).is_open


def test_nobody_listens() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(NobodyThereError, match=f"^no gateway answers at {url}: start one with make up"):
        Gateway.find(url)


def test_there_is_no_such_host() -> None:
    with pytest.raises(UserError, match="there is no such host"):
        Gateway.find("http://nobody.invalid:4444")


@pytest.mark.parametrize(
    "health",
    [
        Reply(404, {"detail": "Not Found"}),
        Reply(200, raw=b"<html>welcome</html>"),
        Reply(200, ["healthy"]),
        Reply(200, {"name": "time1", "status": "ok"}),
    ],
)
def test_something_else_answers(health: Reply) -> None:
    def handle(request: Request) -> Reply:
        return health if request.path == "/health" else Reply(404, {})

    with serving(handle) as stub, pytest.raises(UserError, match="it is no MCP Gateway; set GATEWAY_URL") as caught:
        Gateway.find(stub.url)
    assert not isinstance(caught.value, NobodyThereError)


def test_a_website_that_answers_everything_with_a_page_is_no_gateway() -> None:
    def handle(request: Request) -> Reply:
        return Reply(body={"status": "healthy"}) if request.path == "/health" else Reply(raw=b"<html>")

    with serving(handle) as stub, pytest.raises(UserError, match="not the expected JSON"):
        Gateway.find(stub.url)


def test_a_redirect_names_the_address_to_use() -> None:
    moved = Reply(308, {}, {"Location": "https://example/"})
    with serving(lambda _: moved) as stub, pytest.raises(UserError, match="redirects to https://example/: set GATEWAY"):
        Gateway.find(stub.url)


def test_tls_towards_a_server_without_it() -> None:
    with serving(FakeGateway()) as stub, pytest.raises(UserError, match="no trusted TLS connection"):
        Gateway.find(stub.url.replace("http:", "https:"))


def test_no_answer_in_time() -> None:
    late = Reply(body={}, delay_s=0.5)
    with serving(lambda _: late) as stub, pytest.raises(UserError, match=r"no answer within 0\.1 s"):
        Gateway(stub.url).call("GET", "/health", timeout_s=0.1)


def test_a_connection_that_is_cut_has_no_answer() -> None:
    with serving(lambda _: Reply(hang_up=True)) as stub, pytest.raises(UserError, match="no HTTP answer"):
        Gateway.find(stub.url)


def test_proxies_and_netrc_of_the_environment_are_not_used(
    fake: FakeGateway, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n", encoding="utf-8")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    token = make_token()
    fake.tokens.add(token)
    with serving(fake) as stub:
        gateway = Gateway.find(stub.url)
        gateway.authorize(token)
        assert gateway.rows("tools") == []
    assert stub.requests[-1].headers["authorization"] == f"Bearer {token}"


@pytest.mark.parametrize("release", ["1.0.7", "0.9.0", "0.8.0"])
def test_every_row_is_listed_however_long_the_pages_are(release: str) -> None:
    fake = FakeGateway(release)
    fake.is_open = True
    fake.rows["tools"] = [{"id": str(number), "name": f"tool-{number}"} for number in range(1203)]
    with serving(fake) as stub:
        rows = Gateway.find(stub.url).rows("tools")
    assert [row["id"] for row in rows] == [str(number) for number in range(1203)]


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (401, {"detail": "expired"}, r"the token was refused \(expired\); log in again: utils/setup-auth.sh --renew"),
        (403, {"detail": "Access denied"}, r"this user may not do that \(Access denied\)"),
        (429, {"message": "Maximum 100"}, r"limits requests \(Maximum 100\); set RATE_LIMITING_ENABLED=false"),
        (500, {"detail": {"message": "broken"}}, r"HTTP 500 \(broken\); see the gateway's log"),
        (503, ["x"], "HTTP 503: no reason given"),
        (200, "text", "the answer is no list of tools"),
    ],
)
def test_failures_are_explained_and_never_show_the_token(
    fake: FakeGateway, status: int, body: object, words: str
) -> None:
    token = make_token()
    fake.tokens.add(token)
    with serving(fake) as stub:
        gateway = Gateway.find(stub.url)
        gateway.authorize(token)
        fake.special["GET", "/v1/tools"] = lambda _: Reply(status, body)
        with pytest.raises(UserError, match=words) as caught:
            gateway.rows("tools")
    assert stub.url in str(caught.value)
    assert token not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_json_rpc_error_with_200_is_an_error(fake: FakeGateway) -> None:
    fake.is_open = True
    with serving(fake) as stub, pytest.raises(UserError, match=r"tools/call on /rpc: .*Tool not found"):
        Gateway.find(stub.url).rpc("tools/call", {"name": "x"})


def test_the_lowest_limit_that_was_announced_is_remembered(fake: FakeGateway) -> None:
    limits = iter(["500", "100", "many", "300"])
    fake.special["GET", "/limited"] = lambda _: Reply(body={}, headers={"X-RateLimit-Limit": next(limits)})
    with serving(fake) as stub:
        gateway = Gateway.find(stub.url)
        assert gateway.lowest_rate_limit is None
        for _ in range(4):
            gateway.call("GET", "/limited")
    assert gateway.lowest_rate_limit == 100
