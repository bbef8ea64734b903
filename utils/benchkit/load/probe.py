"""One verified request: is the answer what the case expects?

hey throws bodies away, and a gateway answers JSON-RPC errors with HTTP 200. So each load stands between two probes
that send the very same request and read the whole answer.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import requests

from benchkit.model import Expectation, Part, PlannedCase, Probe

_QUOTE = 160
"""How much of an answer is quoted when it is not what was expected, in characters."""


def request_headers(case: PlannedCase, token: str) -> dict[str, str]:
    """The headers that a case's requests carry, the token among them where the case is authenticated."""
    headers = dict(case.headers)
    if case.authenticated and token:
        headers["Authorization"] = f"Bearer {token}"
    return headers


def probe(session: requests.Session, case: PlannedCase, part: Part, token: str) -> Probe:
    """Send a part's request once and check the answer. Never raises for what the target does."""
    at = datetime.now(UTC)
    started = time.perf_counter()
    try:
        with session.request(
            case.method,
            part.url,
            data=None if part.body is None else part.body.encode("utf-8"),
            headers=request_headers(case, token),
            timeout=case.timeout_s,
            # hey follows no redirect of a POST, and a redirect is never the expected answer.
            allow_redirects=False,
            stream=case.tool == "sse",
        ) as response:
            body = _first_event(response) if case.tool == "sse" else response.content
            status = response.status_code
    except requests.RequestException as error:
        elapsed = (time.perf_counter() - started) * 1000
        return Probe(at=at, latency_ms=round(elapsed, 3), problem=_transport_problem(error, case.timeout_s))
    elapsed = (time.perf_counter() - started) * 1000
    return Probe(
        at=at,
        latency_ms=round(elapsed, 3),
        status=status,
        bytes=len(body),
        problem=check_answer(case.expect, status, body),
    )


def check_answer(expect: Expectation, status: int, body: bytes) -> str:
    """Why an answer is not the expected one, in words; empty when it is."""
    text = body.decode("utf-8", errors="replace")
    if status != expect.status:
        hint = ""
        if status == 429:
            hint = ": the gateway limits the rate; set RATE_LIMITING_ENABLED=false on it"
        elif status in (401, 403):
            hint = ": the token is refused; see utils/setup-auth.sh"
        return f"HTTP {status} instead of {expect.status}{hint}: {_quote(text)}"
    if len(body) < expect.min_bytes:
        return f"the body has {len(body)} bytes, expected at least {expect.min_bytes}: {_quote(text)}"
    if expect.rpc or expect.rpc_error or expect.rows is not None:
        problem = _check_json(expect, text)
        if problem:
            return problem
    for wanted in expect.contains:
        if wanted not in text:
            return f"the body does not contain {wanted!r}: {_quote(text)}"
    return ""


def _check_json(expect: Expectation, text: str) -> str:
    try:
        data = json.loads(text)
    except json.JSONDecodeError:
        return f"the body is not JSON: {_quote(text)}"
    if expect.rpc or expect.rpc_error:
        problem = _check_rpc(expect, data)
        if problem:
            return problem
    if expect.rows is not None:
        rows = data
        for key in filter(None, expect.rows_at.split(".")):
            rows = rows.get(key) if isinstance(rows, Mapping) else None
        if not isinstance(rows, list):
            return f"there is no list at {expect.rows_at or 'the top of the body'}: {_quote(text)}"
        if len(rows) != expect.rows:
            return f"the list has {len(rows)} rows, expected {expect.rows}"
    return ""


def _check_rpc(expect: Expectation, data: Any) -> str:
    if not isinstance(data, Mapping) or ("result" not in data and "error" not in data):
        return f"the body is no JSON-RPC answer: {_quote(json.dumps(data))}"
    error = data.get("error")
    result = data.get("result")
    failed = isinstance(result, Mapping) and result.get("isError") is True
    # MCP 2026-07-28: "input_required" asks the client for something, so the work is not done. Earlier protocols have no
    # resultType, which means "complete".
    kind = result.get("resultType") if isinstance(result, Mapping) else None
    if kind not in (None, "complete"):
        return f"the answer is not complete, its resultType is {_quote(json.dumps(kind))}: {_quote(json.dumps(result))}"
    if expect.rpc_error:
        return "" if error is not None or failed else f"expected a JSON-RPC error, got {_quote(json.dumps(result))}"
    if error is not None:
        message = error.get("message") if isinstance(error, Mapping) else error
        code = error.get("code") if isinstance(error, Mapping) else ""
        return f"JSON-RPC error {code}: {_quote(str(message))}"
    if failed:
        return f"the tool answered with isError: {_quote(json.dumps(result))}"
    return ""


def _first_event(response: requests.Response) -> bytes:
    """The lines of the first server-sent event, up to the blank line that ends it."""
    lines: list[bytes] = []
    for line in response.iter_lines(chunk_size=1):
        if not line and lines:
            break
        if line:
            lines.append(line)
    return b"\n".join(lines)


def _transport_problem(error: requests.RequestException, timeout_s: int) -> str:
    if isinstance(error, requests.Timeout):
        return f"no answer within {timeout_s} s"
    reason: BaseException = error
    while (inner := reason.__cause__ or reason.__context__) is not None:
        reason = inner
    words = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
    return f"no answer: {words[:_QUOTE]}"


def _quote(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= _QUOTE else flat[: _QUOTE - 1] + "…"
