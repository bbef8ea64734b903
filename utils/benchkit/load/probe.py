"""One verified request: check that the answer is what the case expects.

Load generators discard bodies, and a gateway returns JSON-RPC errors with HTTP 200. Therefore the same request is sent
before and after each load, and the whole answer is checked.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from benchkit import clock, http
from benchkit.load.job import http_request
from benchkit.model import Expectation, Part, PlannedCase, Probe
from benchkit.plain import plain_text, without_secrets
from benchkit.strict_json import NotJSONError, parse_json

_CACHE_HEADER = re.compile(r"(x-.*cache.*|.*-cache-status|cache-status|x-varnish-hit)")
_HIT = re.compile(r"\bhit\b|_HIT\b", re.IGNORECASE)
_CACHE_WORDS = 60
"""Maximum number of characters to quote of a cache header."""

_QUOTE = 160
"""Maximum number of characters to quote of an unexpected answer."""


def probe(session: http.Session, case: PlannedCase, part: Part, token: str) -> Probe:
    """Send a part's request once and check the answer. Failures of the target are in the result, not raised.

    Raises:
        UserError: the certificates named by the environment cannot be read, or the request is no HTTP request.
    """
    at = clock.now()
    request = http_request(case, part)
    send = session.first_event if request.answer == "event" else session.send
    started = time.perf_counter()
    try:
        answer = send(
            request.method,
            request.url,
            body=None if request.body is None else request.body.encode("utf-8"),
            headers=request.headers_with(token),
            timeout_s=case.timeout_s,
        )
    except http.AnswerError as error:
        elapsed = (time.perf_counter() - started) * 1000
        return Probe(at=at, latency_ms=round(elapsed, 3), problem=error.problem)
    elapsed = (time.perf_counter() - started) * 1000
    return Probe(
        at=at,
        latency_ms=round(elapsed, 3),
        status=answer.status,
        bytes=len(answer.body),
        problem=check_answer(case.expect, answer.status, answer.body, secrets=[token]),
        cache=cache_of(answer.headers),
    )


def cache_of(headers: Mapping[str, str]) -> str:
    """Return the header that shows that a cache in front of the gateway served the answer; empty if there is none.

    ``headers`` have lower-case names. A cache shows a hit with ``X-Cache: HIT`` or a similar header, with
    ``Cache-Status: …; hit`` (RFC 9211), or with an ``Age`` above 0 (RFC 9111, section 5.1). ``Via`` alone names a
    proxy, not a cache.
    """
    for name, value in headers.items():
        if _CACHE_HEADER.fullmatch(name) and _HIT.search(value):
            return plain_text(f"{name.title()}: {value}", _CACHE_WORDS)
    age = headers.get("age", "").strip()
    if age.isascii() and age.isdecimal() and age.strip("0"):
        via = f", Via: {headers['via']}" if "via" in headers else ""
        return plain_text(f"Age: {age}{via}", _CACHE_WORDS)
    return ""


def check_answer(expect: Expectation, status: int, body: bytes, *, secrets: Collection[str] = ()) -> str:
    """Return why an answer is not the expected one; empty if it is. ``secrets`` are masked in quotes."""

    def quote(text: str) -> str:
        return plain_text(without_secrets(text, secrets), _QUOTE)

    text = body.decode("utf-8", errors="replace")
    if status != expect.status:
        hint = ""
        if status == 429:
            hint = ": the gateway limits the rate; set RATE_LIMITING_ENABLED=false on it"
        elif status == 401:
            hint = ": the token is refused; see utils/setup-auth.sh"
        elif status == 403:
            hint = ": the token lacks a permission"
        return f"HTTP {status} instead of {expect.status}{hint}: {quote(text)}"
    if len(body) < expect.min_bytes:
        return f"the body has {len(body)} bytes, expected at least {expect.min_bytes}: {quote(text)}"
    if expect.rpc or expect.rpc_error or expect.rows is not None:
        problem = _check_json(expect, text, quote)
        if problem:
            return problem
    for wanted in expect.contains:
        if wanted not in text:
            return f"the body does not contain {wanted!r}: {quote(text)}"
    return ""


def _check_json(expect: Expectation, text: str, quote: Callable[[str], str]) -> str:
    try:
        data = parse_json(text)
    except NotJSONError as error:
        return f"the body is not JSON ({error}): {quote(text)}"
    if expect.rpc or expect.rpc_error:
        problem = _check_rpc(expect, data, quote)
        if problem:
            return problem
    if expect.rows is not None:
        rows = data
        for key in filter(None, expect.rows_at.split(".")):
            rows = rows.get(key) if isinstance(rows, Mapping) else None
        if not isinstance(rows, list):
            return f"there is no list at {expect.rows_at or 'the top of the body'}: {quote(text)}"
        if len(rows) != expect.rows:
            return f"the list has {len(rows)} rows, expected {expect.rows}"
    return ""


def _check_rpc(expect: Expectation, data: Any, quote: Callable[[str], str]) -> str:
    if not isinstance(data, Mapping) or ("result" not in data and "error" not in data):
        return f"the body is no JSON-RPC answer: {quote(json.dumps(data))}"
    error = data.get("error")
    result = data.get("result")
    failed = isinstance(result, Mapping) and result.get("isError") is True
    # MCP 2026-07-28: "input_required" asks the client for input, so the work is not done. Earlier protocols have no
    # resultType, which means "complete".
    kind = result.get("resultType") if isinstance(result, Mapping) else None
    if kind not in (None, "complete"):
        return f"the answer is not complete, its resultType is {quote(json.dumps(kind))}: {quote(json.dumps(result))}"
    if expect.rpc_error:
        return "" if error is not None or failed else f"expected a JSON-RPC error, got {quote(json.dumps(result))}"
    if error is not None:
        message = error.get("message") if isinstance(error, Mapping) else error
        code = error.get("code") if isinstance(error, Mapping) else ""
        return f"JSON-RPC error {plain_text(str(code), 40)}: {quote(str(message))}"
    if failed:
        return f"the tool answered with isError: {quote(json.dumps(result))}"
    return ""
