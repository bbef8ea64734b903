"""What counts as an answer: the traps of TRAPS.md, one by one."""

from __future__ import annotations

import json

import pytest

from benchkit.load.probe import check_answer
from benchkit.model import Expectation, HttpRequest

RPC = Expectation(rpc=True, contains=["UTC"])


def rpc(**fields: object) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 1, **fields}).encode()


@pytest.mark.parametrize(
    ("expect", "status", "body", "words"),
    [
        (
            RPC,
            200,
            rpc(error={"code": -32601, "message": "Tool not found: x"}),
            "JSON-RPC error -32601: Tool not found",
        ),
        (RPC, 200, rpc(result={"isError": True, "content": "UTC"}), "isError"),
        (RPC, 200, rpc(result={"resultType": "input_required", "content": "UTC"}), 'resultType is "input_required"'),
        (RPC, 200, rpc(result={"resultType": "task", "content": "UTC"}), 'resultType is "task"'),
        (RPC, 200, rpc(result={"resultType": ["complete"], "content": "UTC"}), "resultType is"),
        (Expectation(rpc_error=True), 200, rpc(result={"resultType": "input_required"}), "input_required"),
        (RPC, 200, rpc(result={"content": "elsewhere"}), "does not contain 'UTC'"),
        (RPC, 200, b"<html>UTC</html>", "not JSON"),
        (RPC, 200, b"[]", "no JSON-RPC answer"),
        (RPC, 200, b"", "has 0 bytes"),
        (RPC, 429, b"{}", "RATE_LIMITING_ENABLED=false"),
        (RPC, 401, b"{}", "the token is refused"),
        (RPC, 307, b"", "HTTP 307 instead of 200"),
        (RPC, 500, b"boom " * 100, "HTTP 500 instead of 200"),
        (Expectation(rows=10), 200, b"[1, 2]", "has 2 rows, expected 10"),
        (Expectation(rows=2, rows_at="result.tools"), 200, b'{"result": {"tools": {}}}', "no list at result.tools"),
        (Expectation(rows=2, rows_at="result.tools"), 200, b'{"result": [1]}', "no list at result.tools"),
        (Expectation(min_bytes=1000), 200, b"x" * 999, "999 bytes, expected at least 1000"),
        (Expectation(rpc_error=True), 200, rpc(result={"ok": 1}), "expected a JSON-RPC error"),
        (Expectation(status=422), 200, b"{}", "HTTP 200 instead of 422"),
    ],
)
def test_work_that_did_not_happen_is_noticed(expect: Expectation, status: int, body: bytes, words: str) -> None:
    problem = check_answer(expect, status, body)
    assert words in problem
    assert len(problem) < 300


@pytest.mark.parametrize(
    ("expect", "status", "body"),
    [
        (RPC, 200, rpc(result={"isError": False, "content": "UTC"})),
        (RPC, 200, rpc(result={"resultType": "complete", "content": "UTC"})),
        (RPC, 200, rpc(result={"resultType": None, "content": "UTC"})),
        (Expectation(rows=2), 200, b"[1, 2]"),
        (Expectation(rows=1, rows_at="result.tools"), 200, b'{"result": {"tools": [{}]}}'),
        (Expectation(rpc_error=True, contains=["missing"]), 200, rpc(error={"code": -32000, "message": "missing"})),
        (Expectation(rpc_error=True), 200, rpc(result={"isError": True})),
        (Expectation(status=422), 422, b"no"),
        (Expectation(contains=["größer"]), 200, "größer".encode()),
    ],
)
def test_the_expected_answer_has_no_problem(expect: Expectation, status: int, body: bytes) -> None:
    assert check_answer(expect, status, body) == ""


def test_the_token_goes_only_where_the_case_is_authenticated() -> None:
    request = HttpRequest(url="http://127.0.0.1/", headers={"Accept": "x"})
    assert request.headers_with("t0k3n") == {"Accept": "x", "Authorization": "Bearer t0k3n"}
    assert request.headers_with("") == {"Accept": "x"}
    assert request.model_copy(update={"authenticated": False}).headers_with("t0k3n") == {"Accept": "x"}
