"""What a hostile or odd gateway can answer: each is one line, soon, and without secrets."""

from __future__ import annotations

import base64
import gzip
import http.server
import itertools
import json
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from benchkit.errors import UserError
from benchkit.gateway import client
from benchkit.gateway.arguments import problem_of
from benchkit.gateway.catalogue import load_catalogue, matches_template
from benchkit.gateway.client import Gateway
from benchkit.gateway.login import Credentials, log_in
from benchkit.gateway.registration import create_fixtures, offers, remove_fixtures, same_url
from benchkit.gateway.target import read_version
from benchkit.gateway.tokens import read_token
from benchkit.http import Session
from benchkit.load.probe import probe
from benchkit.model import Expectation, PlannedCase, ServerCounter
from benchkit.run.target import find_counters
from builders.gateway_stub import PASSWORD, FakeGateway, Handler, Reply, Request, make_token, serving
from builders.raw_runs import http_part


def open_gateway(release: str = "1.0.7") -> FakeGateway:
    fake = FakeGateway(release)
    fake.is_open = True
    return fake


# ----------------------------------------------------------------------------------------------------------------------
# Pages


def paging(cursor: Any) -> Handler:
    return lambda _: Reply(body={"tools": [{"id": "1", "name": "a"}], "nextCursor": cursor})


@pytest.mark.parametrize(
    ("cursor", "words"),
    [
        ("same", "the cursor of page 3 is a repeated one, so the pages never end"),
        (7, "the cursor of page 3 is a repeated one"),
        ("x" * 5000, "no text of at most 4096 characters"),
        ({"a": 1}, "no text of at most 4096 characters"),
        ([1], "no text of at most 4096 characters"),
    ],
)
def test_a_cursor_that_leads_nowhere_is_told(cursor: Any, words: str) -> None:
    fake = open_gateway()
    fake.special["GET", "/v1/tools"] = paging(cursor)
    with serving(fake) as stub, pytest.raises(UserError, match=words) as caught:
        Gateway(stub.url, prefix="/v1").rows("tools")
    assert len(stub.requests) < 5
    assert str(caught.value).startswith(f"{stub.url}: GET /v1/tools: ")


def test_cursors_that_are_always_new_end_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "MOST_PAGES", 20)
    numbers = itertools.count()
    fake = open_gateway()
    fake.special["GET", "/v1/tools"] = lambda _: Reply(body={"tools": [], "nextCursor": str(next(numbers))})
    with serving(fake) as stub, pytest.raises(UserError, match="there are more than 20 pages"):
        Gateway(stub.url, prefix="/v1").rows("tools")
    assert len(stub.requests) == 20


def test_cursors_of_json_rpc_that_repeat_end(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = open_gateway("0.9.0")
    fake.rows["tools"] = [{"id": str(number), "name": f"tool-{number}"} for number in range(60)]
    result = {"tools": [], "nextCursor": "again"}
    fake.special["POST", "/rpc"] = lambda _: Reply(body={"jsonrpc": "2.0", "id": 1, "result": result})
    with serving(fake) as stub, pytest.raises(UserError, match="on /rpc: the cursor of page 3 is a repeated one"):
        Gateway.find(stub.url).rows("tools")


def test_a_listing_has_a_time_for_all_of_its_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "LISTING_TIMEOUT_S", 0.5)
    numbers = itertools.count()
    fake = open_gateway()
    fake.special["GET", "/v1/tools"] = lambda _: Reply(
        body={"tools": [], "nextCursor": str(next(numbers))}, delay_s=0.1
    )
    began = time.monotonic()
    with serving(fake) as stub, pytest.raises(UserError, match=r"pages took 0\.5 s|no answer within"):
        Gateway(stub.url, prefix="/v1").rows("tools")
    assert time.monotonic() - began < 2


def test_a_listing_has_a_size_for_all_of_its_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client.http, "MOST_BYTES", 10_000)
    numbers = itertools.count()
    fake = open_gateway()
    fake.special["GET", "/v1/tools"] = lambda _: Reply(
        body={"tools": [{"id": "1", "name": "x" * 3000}], "nextCursor": str(next(numbers))}
    )
    with serving(fake) as stub, pytest.raises(UserError, match="pages have more than 10,000 bytes"):
        Gateway(stub.url, prefix="/v1").rows("tools")


# ----------------------------------------------------------------------------------------------------------------------
# Answers that break a parser


BODIES = {
    "deep": b"[" * 200_000,
    "digits": b'{"status": ' + b"1" * 5000 + b"}",
    "infinite": b'{"status": 1e999}',
    "twice": b'{"status": "x", "status": "healthy"}',
    "not text": b'{"status": "\xff"}',
    "nothing": b"",
}


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("path", ["/health", "/v1/tools", "/v1/version", "/v1/metrics", "/v1/auth/login"])
def test_an_answer_that_is_no_json_is_no_traceback(name: str, path: str) -> None:
    fake = FakeGateway()
    token = make_token()
    fake.tokens.add(token)
    for method in ("GET", "POST"):
        fake.special[method, path] = lambda _: Reply(raw=BODIES[name])
    with serving(fake) as stub:
        gateway = Gateway(stub.url, prefix="/v1")
        for ask in (
            lambda: Gateway.find(stub.url),
            lambda: log_in(gateway, Credentials("admin@example.com", PASSWORD)),
            lambda: gateway.authorize(token),
            lambda: gateway.rows("tools"),
            lambda: gateway.ask("/metrics"),
            lambda: read_version(gateway),
        ):
            try:
                ask()
            except UserError as error:
                assert len(str(error)) < 500  # noqa: PT017


@pytest.mark.parametrize("name", BODIES)
def test_the_probe_tells_what_is_wrong_with_a_body(name: str) -> None:
    with serving(lambda _: Reply(raw=BODIES[name])) as stub:
        found = probe(Session(), case(expect=Expectation(rpc=True)), http_part(stub.url), "")
    assert found.problem.startswith("the body ")
    assert len(found.problem) < 500


def test_a_compressed_bomb_is_a_problem_of_the_probe_and_of_a_listing() -> None:
    bomb = Reply(raw=gzip.compress(bytes(80 * 2**20)), headers={"Content-Encoding": "gzip"})
    fake = open_gateway()
    fake.special["GET", "/v1/tools"] = lambda _: bomb
    with serving(fake) as stub:
        found = probe(Session(), case(), http_part(f"{stub.url}/v1/tools"), "")
        with pytest.raises(UserError, match="the answer has more than 67,108,864 bytes"):
            Gateway(stub.url, prefix="/v1").rows("tools")
        assert offers(f"{stub.url}/v1/tools") is None
        assert find_counters(f"{stub.url}/v1/tools") == ""
    assert found.problem == "the answer has more than 67,108,864 bytes, which is the most that is read"


def test_an_answer_that_drips_costs_the_probe_its_time_and_no_more() -> None:
    class Dripping(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            for _ in range(100):
                self.wfile.write(b"x")
                time.sleep(0.1)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Dripping)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}/"
    try:
        for answer in ("body", "event"):
            began = time.monotonic()
            found = probe(Session(), case(), http_part(url, answer=answer), "")
            assert time.monotonic() - began < 2
            assert "within 1 s" in found.problem
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("limit", ["1" * 5000, "²", "-5", "1e3", "", "٣"])
def test_a_rate_limit_that_is_no_number_is_none(limit: str) -> None:
    fake = open_gateway()
    headers = {
        "X-RateLimit-Limit": limit.encode("utf-8").decode("latin-1"),
        "Retry-After": limit.encode().decode("latin-1"),
    }
    fake.special["GET", "/v1/tools"] = lambda _: Reply(429, {}, headers)
    with serving(fake) as stub:
        gateway = Gateway(stub.url, prefix="/v1")
        with pytest.raises(UserError, match="limits requests") as caught:
            gateway.rows("tools")
    assert gateway.lowest_rate_limit is None
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("value", ["\\ud800", "\\u001b]0;x\\u0007", "\\u202e1.0.7"])
def test_a_version_is_stored_and_shown_without_odd_characters(value: str) -> None:
    fake = open_gateway()
    fake.special["GET", "/v1/version"] = lambda _: Reply(
        raw=f'{{"app": {{"version": "{value}x"}}, "uptime_seconds": {"9" * 60}}}'.encode()
    )
    with serving(fake) as stub:
        version = read_version(Gateway(stub.url, prefix="/v1"))
    assert version.release is not None
    assert (version.release.isprintable(), version.uptime_s) == (True, 1e9)
    version.release.encode("utf-8")


# ----------------------------------------------------------------------------------------------------------------------
# Ids


@pytest.mark.parametrize("identity", [None, "", {}, [1], "a b", "x\x00ok", "x\x1b", "x" * 600, True])
@pytest.mark.parametrize("kind", ["servers", "prompts"])
def test_a_row_without_a_usable_id_is_one_line(kind: str, identity: Any) -> None:
    fake = open_gateway()
    made: dict[str, Any] = {"name": "perf-virtual" if kind == "servers" else "perf_validated"}
    made |= {"description": "Made by the MCP Gateway benchmark toolkit; safe to delete."}
    fake.rows[kind] = [made if identity is None else made | {"id": identity}]
    with serving(fake) as stub, pytest.raises(UserError, match="the invalid id "):
        remove_fixtures(Gateway(stub.url, prefix="/v1"))


@pytest.mark.parametrize("answer", [{}, {"id": "x\x00ok\x00run"}, [], "text"])
def test_what_was_made_must_have_a_usable_id(answer: Any) -> None:
    fake = open_gateway()
    fake.special["POST", "/v1/servers"] = lambda _: Reply(201, answer)
    with serving(fake) as stub, pytest.raises(UserError, match="virtual server perf-virtual the invalid id"):
        create_fixtures(Gateway(stub.url, prefix="/v1"))


def test_a_tool_without_an_id_is_one_line_where_it_is_needed() -> None:
    fake = open_gateway()
    fake.rows["tools"] = [{"name": "a"}]
    with serving(fake) as stub:
        gateway = Gateway(stub.url, prefix="/v1")
        load_catalogue(gateway, "1.0.7")
        with pytest.raises(UserError, match="one of its tools the invalid id null"):
            create_fixtures(gateway)


def test_an_id_is_one_segment_of_a_path() -> None:
    fake = open_gateway()
    row = {"id": "../tools/1?x=/y", "name": "perf-virtual"}
    fake.rows["servers"] = [row | {"description": "Made by the MCP Gateway benchmark toolkit; safe to delete."}]
    heard: list[Request] = []

    def handle(request: Request) -> Reply:
        heard.append(request)
        return fake(request) if request.method == "GET" else Reply(body={})

    with serving(handle) as stub:
        remove_fixtures(Gateway(stub.url, prefix="/v1"))
    deleted = next(request for request in heard if request.method == "DELETE")
    assert (deleted.path, deleted.query) == ("/v1/servers/../tools/1?x=/y", {})


@pytest.mark.parametrize("url", ["http://[::1", "http://host:99999999/mcp", "http://host:x/", "\x00", ""])
def test_an_mcp_server_with_no_address_is_another_server(url: str) -> None:
    assert not same_url(url, "http://127.0.0.1:9101/mcp")
    assert find_counters(url) == ""
    assert offers(url) is None
    with pytest.raises(ValidationError):
        ServerCounter(url=url, key="tools/call:x")


# ----------------------------------------------------------------------------------------------------------------------
# Secrets


def test_a_password_that_the_gateway_repeats_is_not_shown() -> None:
    secret = 'hunter2-"TOP"-ä'
    fake = FakeGateway()
    detail = [{"loc": ["body"], "msg": "bad", "input": {"email": "a", "password": secret}}]
    fake.special["POST", "/v1/auth/login"] = lambda _: Reply(422, {"detail": detail})
    with serving(fake) as stub, pytest.raises(UserError) as caught:
        log_in(Gateway(stub.url), Credentials("admin@example.com", secret))
    assert "hunter2" not in str(caught.value)
    assert "bad" in str(caught.value)


@pytest.mark.parametrize("token", [make_token(), "opaque-token-0123456789"])
@pytest.mark.parametrize("status", [200, 401, 500])
def test_a_token_that_the_gateway_repeats_is_not_shown(token: str, status: int) -> None:
    def handle(request: Request) -> Reply:
        return Reply(status, {"detail": "x" * 130 + request.headers.get("authorization", "")[len("Bearer ") :]})

    with serving(handle) as stub:
        gateway = Gateway(stub.url)
        gateway.authorize(token)
        with pytest.raises(UserError) as caught:
            gateway.rows("tools")
        found = probe(Session(), case(expect=Expectation(rows=1)), http_part(stub.url), token)
    assert found.problem
    for text in (str(caught.value), found.problem):
        assert token[:12] not in text


# ----------------------------------------------------------------------------------------------------------------------
# Tokens


@pytest.mark.parametrize(
    ("expires", "lasts"),
    [
        (10**18, True),
        (10**30, True),
        (1e200, True),
        (4_102_444_800_000, True),  # the year 2100 in milliseconds
        (1_600_000_000_000, False),  # the year 2020
        (-(10**18), False),
        (0, False),
        ("1" * 5000, True),
        (True, True),
    ],
)
def test_an_expiry_beyond_the_calendar_or_in_milliseconds(expires: Any, lasts: bool) -> None:
    claims = base64.urlsafe_b64encode(json.dumps({"exp": expires}).encode()).decode().rstrip("=")
    token = read_token(f"e30.{claims}.x", "here")
    assert token.lasts(60) is lasts
    datetime.fromtimestamp(token.expires or 0.0)


# ----------------------------------------------------------------------------------------------------------------------
# Schemas and templates


def hostile_schemas(tmp_path: Path, url: str) -> dict[str, tuple[dict[str, Any], str]]:
    secret = tmp_path / "secret.json"
    secret.write_text('{"const": "hunter2"}', encoding="utf-8")
    loop: dict[str, Any] = {"$ref": "#"}
    deep: dict[str, Any] = {}
    for _ in range(3000):
        deep = {"not": deep}
    laughs: dict[str, Any] = {"l0": {"type": "object"}}
    for number in range(1, 40):
        laughs[f"l{number}"] = {"allOf": [{"$ref": f"#/$defs/l{number - 1}"}] * 2}
    return {
        "another address": ({"$ref": f"{url}/schema"}, "nothing is fetched"),
        "a file": ({"$ref": secret.as_uri()}, "nothing is fetched"),
        "inside": ({"properties": {"time": {"$dynamicRef": f"{url}/x#y"}}}, "nothing is fetched"),
        "not there": ({"$ref": "#/$defs/none"}, "which it does not hold"),
        "another identity": ({"$id": f"{url}/a/", "properties": {"time": {"$ref": "b.json"}}}, "nothing is fetched"),
        "itself": (loop, "refers to itself"),
        "deep": (deep, "nested too deeply"),
        "doubling": ({"$ref": "#/$defs/l39", "$defs": laughs}, "takes more than"),
        "pattern": ({"properties": {"time": {"pattern": "^(a+)+$"}}}, "takes more than"),
        "names": ({"patternProperties": {"^(([a-z])+.)+[A-Z]$": {}}}, "takes more than"),
        "no pattern": ({"properties": {"time": {"pattern": "(("}}}, "schema is wrong"),
        "another language": ({"$schema": f"{url}/meta", "type": 7}, "schema is wrong"),
    }


SCHEMAS = (
    "another address, a file, inside, not there, another identity, itself, deep, doubling, pattern, names, no pattern, "
    "another language"
)


@pytest.mark.parametrize("name", SCHEMAS.split(", "))
def test_a_hostile_schema_is_one_line_and_nothing_is_fetched(tmp_path: Path, name: str) -> None:
    with serving(lambda _: Reply(body={})) as stub:
        schema, words = hostile_schemas(tmp_path, stub.url)[name]
        began = time.monotonic()
        problem = problem_of(schema, {"time": "a" * 40 + "!", "a" * 60: 1})
        assert time.monotonic() - began < 6
    assert words in problem
    assert "hunter2" not in problem
    assert len(problem) < 400
    assert stub.requests == []


@pytest.mark.parametrize(
    ("template", "uri", "matches"),
    [
        ("time://zones/{area}/{city}", "time://zones/Europe/Berlin", True),
        ("time://zones/{area}/{city}", "time://zones/Europe/Berlin/x", False),
        ("time://zones/{area}/{city}", "time://zones/Europe/", False),
        ("time://zones/{+rest}", "time://zones/Europe/Berlin", True),
        ("time://zones/{+rest}", "time://zones/", False),
        ("{a}{b}", "ab", True),
        ("{a}{b}", "a", False),
        ("{a}b{c}", "abb", True),
        ("{a}b{c}", "bab", False),
        ("{+a}/x/{b}", "1/x/2/x/3", True),
        ("x", "x", True),
        ("x", "xx", False),
        ("", "", True),
        ("{+a}z", "y" * 10 + "z", True),
        ("a.c", "abc", False),
    ],
)
def test_a_uri_belongs_to_a_template(template: str, uri: str, matches: bool) -> None:
    assert matches_template(template, uri) is matches


@pytest.mark.parametrize("template", ["{+a}" * 25, "{+a}{b}" * 500 + "!", "{a}/" * 200, "{+a}x" * 100, "{" * 5000])
def test_a_template_takes_no_time(template: str) -> None:
    began = time.monotonic()
    matches_template(template, "timezone://" + "x" * 300 + "/info")
    assert time.monotonic() - began < 1


def case(**fields: Any) -> PlannedCase:
    values: dict[str, Any] = {"timeout_s": 1, "iterations": 1, "warmup_requests": 0, "parts": []} | fields
    values |= {"engine": "hey", "resolution_ms": 0.1}
    return PlannedCase(id="a/b", scenario="a", name="b", **values)
