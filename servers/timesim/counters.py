"""Count requests by kind and outcome.

The counter wraps the MCP endpoint, so it sees each request as it arrived and each answer as it is sent. Therefore it
includes what the SDK answers by itself (``initialize``, malformed parameters, refused headers), and counts each request
exactly once, before the client can have its answer. Everything runs on the event loop, so plain integers are safe.
"""

import json
import secrets
from collections.abc import Container
from datetime import UTC, datetime
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from timesim.catalogue import PROMPTS, own_uri, public_uri, resource_kind

# Values that a client can choose freely are not used as keys, or a client could fill the memory.
UNKNOWN = "(unknown)"

# The parameter that names the subject of a method's request.
_SUBJECTS = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
_METHODS = frozenset(
    {
        "initialize",
        "notifications/cancelled",
        "notifications/initialized",
        "ping",
        "prompts/list",
        "resources/list",
        "resources/templates/list",
        "server/discover",
        "tools/list",
    }
)

# Larger answers are not searched for an error: the server's error texts are far shorter, and parsing a megabyte of JSON
# would cost more than the rest of the request.
_LONGEST_ERROR_BYTES = 16_384


class CountedEndpoint:
    """An MCP endpoint (ASGI) that counts its POST requests since the start of the process.

    The wrapped endpoint must answer with a single JSON body, not with an event stream.
    """

    def __init__(self, name: str, tools: Container[str], endpoint: ASGIApp) -> None:
        self._name = name
        self._tools = tools
        self._endpoint = endpoint
        self._counts: dict[str, dict[str, int]] = {}
        self._process = {
            "name": name,
            # Identifies the process, so that a restart is noticed, which resets the counts.
            "instance": secrets.token_hex(8),
            "started": datetime.now(UTC).isoformat(timespec="milliseconds"),
        }

    def count(self, key: str, *, ok: bool) -> None:
        """Count one answered request."""
        self._counts.setdefault(key, {"ok": 0, "failed": 0})["ok" if ok else "failed"] += 1

    def document(self) -> dict[str, object]:
        """Return the body of ``GET /counters``: name, instance, started (ISO 8601); counts of ok and failed by key."""
        return {**self._process, "counts": dict(sorted(self._counts.items()))}

    def kind_of(self, body: bytes) -> str:
        """Return the key of a JSON-RPC request, such as ``tools/call:convert_time`` or ``tools/list``."""
        try:
            request = json.loads(body)
            method = request["method"]
            if method in _METHODS:
                return str(method)
            parameter = _SUBJECTS[method]
        except (ValueError, KeyError, TypeError, RecursionError):  # not JSON, nested too deeply, or not JSON-RPC
            return UNKNOWN
        try:
            subject = self._subject(method, request["params"][parameter])
        except (KeyError, TypeError, AttributeError):
            subject = None
        return f"{method}:{subject or UNKNOWN}"

    def _subject(self, method: str, name: str) -> str | None:
        """Return the tool, resource or prompt of a request. A URI that matches the template counts as the template."""
        if method == "tools/call":
            return name if name in self._tools else None
        if method == "prompts/get":
            return name if name in PROMPTS else None
        kind = resource_kind(own_uri(self._name, name))
        return public_uri(self._name, kind) if kind else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward a request; count it right before its answer is sent, or after it failed."""
        received: list[bytes] = []
        status = 0
        counted = False

        async def watched_receive() -> Message:
            message = await receive()
            if message["type"] == "http.request":
                received.append(message.get("body", b""))
            return message

        async def watched_send(message: Message) -> None:
            nonlocal status, counted
            if message["type"] == "http.response.start":
                status = message["status"]
            elif message["type"] == "http.response.body" and not counted:
                counted = True
                self.count(self.kind_of(b"".join(received)), ok=succeeded(status, message.get("body", b"")))
            await send(message)

        try:
            await self._endpoint(scope, watched_receive, watched_send)
        finally:
            if not counted:
                self.count(self.kind_of(b"".join(received)), ok=False)


def succeeded(status: int, body: bytes) -> bool:
    """Return whether an HTTP answer is a JSON-RPC result without an error mark (or accepts a notification)."""
    if not 200 <= status < 300:
        return False
    if not body or len(body) > _LONGEST_ERROR_BYTES:
        return True
    answer: Any = json.loads(body)
    return answer is None or ("result" in answer and not answer["result"].get("isError", False))
