"""The HTTP client of the target: is a gateway there, which paths does it have, and what went wrong in one line.

Nothing is sent through a proxy, as hey sends nothing through one: what is asked here and what is measured take the same
way. The token is sent in a header and is never part of an error.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.client import RemoteDisconnected
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Literal
from urllib.parse import urlencode

import requests

from benchkit.errors import ForbiddenError, UserError, missing_permission

ListKind = Literal["tools", "resources", "prompts", "servers", "gateways"]
"""What the gateway lists; ``servers`` are its virtual servers, ``gateways`` the MCP servers behind it."""

LIST_KINDS: tuple[ListKind, ...] = ("tools", "resources", "prompts", "servers", "gateways")

CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 30.0

_PAGE = 500
"""Rows asked for at once: the most that a 1.x gateway gives (its PAGINATION_MAX_PAGE_SIZE)."""

_SHORT_PAGE = 50
"""Rows that 0.9 gives whatever is asked for."""

_PREFIXES = ("/v1", "")
"""Where the listings may lie. 1.0.7 serves ``/v1`` and, as deprecated, the bare paths; 0.7-1.0.0 only the latter."""


@dataclass(frozen=True)
class Answer:
    """What came back: HTTP status, headers (names in lower case), body."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    @property
    def ok(self) -> bool:
        """Whether the status says that the request was fulfilled."""
        return 200 <= self.status < 300

    def json(self) -> Any:
        """The parsed body; ``None`` when it is not JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    @property
    def reason(self) -> str:
        """The gateway's own words for a failure, shortened to a line: ``detail``, ``message`` or ``error``."""
        data = self.json()
        if not isinstance(data, dict):
            return ""
        text = data.get("message") or data.get("detail") or data.get("error") or ""
        if isinstance(text, dict):
            text = text.get("message") or text
        if not isinstance(text, str):
            text = json.dumps(text)
        return _one_line(text).rstrip(".")

    @property
    def rate_limit(self) -> int | None:
        """The limit that the gateway announces, in requests a minute; ``None`` when it announces none."""
        value = self.headers.get("x-ratelimit-limit", "")
        return int(value) if value.isdecimal() else None


class NobodyThereError(UserError):
    """Nobody listens at the address: a gateway can be started there."""


class Gateway:
    """A gateway at an address. Made by :meth:`find`, which learns ``prefix`` and ``is_open`` by asking.

    Attributes:
        base_url: address without a slash at its end.
        prefix: what stands before ``/tools`` and the other versioned paths: ``/v1`` or nothing.
        is_open: it lists without a token.
        lowest_rate_limit: the smallest limit that an answer announced, in requests a minute.
    """

    def __init__(self, base_url: str, *, prefix: str = "", is_open: bool = False) -> None:
        self.base_url = base_url.rstrip("/")
        self.prefix = prefix
        self.is_open = is_open
        self.lowest_rate_limit: int | None = None
        self._token = ""
        self._session = requests.Session()
        # With the environment come proxies, and the passwords of ~/.netrc, which would replace the token.
        self._session.trust_env = False
        self._session.verify = os.environ.get("SSL_CERT_FILE") or True
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))

    @classmethod
    def find(cls, base_url: str) -> Gateway:
        """The gateway that answers at an address.

        Raises:
            NobodyThereError: nobody listens there.
            UserError: it does not answer, is no MCP Gateway, its certificate is not trusted, or it limits requests.
        """
        gateway = cls(base_url)
        health = gateway.call("GET", "/health", authenticated=False)
        if 300 <= health.status < 400:
            raise UserError(
                f"{gateway.base_url} redirects to {health.headers.get('location', 'another address')}: "
                "set GATEWAY_URL to the address where the gateway itself answers"
            )
        state = health.json()
        if not isinstance(state, dict) or "status" not in state:
            raise gateway.error(health, "GET /health") if health.status == 429 else gateway.no_gateway(health)
        for prefix in _PREFIXES:
            listing = gateway.call("GET", f"{prefix}/tools?limit=1", authenticated=False)
            if listing.status in (401, 403) or (listing.ok and _rows(listing.json(), "tools") is not None):
                gateway.prefix = prefix
                gateway.is_open = listing.ok
                return gateway
            if listing.status != 404:
                raise gateway.error(listing, f"GET {prefix}/tools")
        raise gateway.no_gateway(health)

    def authorize(self, token: str) -> None:
        """Send this token from now on; empty: none."""
        self._token = token

    def call(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        authenticated: bool = True,
        timeout_s: float = READ_TIMEOUT_S,
    ) -> Answer:
        """Send a request and wait for the whole answer. ``path`` (with its query) follows the address.

        Raises:
            UserError: there was no answer at all.
        """
        headers = {"Accept": "application/json"}
        if authenticated and self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        try:
            response = self._send(method, path, headers, body, timeout_s)
        except requests.RequestException as error:
            raise self._explain(error, timeout_s) from None
        answer = Answer(response.status_code, {k.lower(): v for k, v in response.headers.items()}, response.content)
        limits = [limit for limit in (self.lowest_rate_limit, answer.rate_limit) if limit is not None]
        self.lowest_rate_limit = min(limits, default=None)
        return answer

    def ask(self, path: str) -> Any:
        """The parsed JSON of a GET that was fulfilled; ``path`` is a versioned one.

        Raises:
            UserError: also when the request was refused or failed.
        """
        answer = self.call("GET", f"{self.prefix}{path}")
        data = answer.json()
        if not answer.ok or data is None:
            raise self.error(answer, f"GET {self.prefix}{path}")
        return data

    def rpc(self, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """The ``result`` of a JSON-RPC call on ``/rpc``.

        Raises:
            UserError: no answer, a refusal, or a JSON-RPC error (which comes with HTTP 200).
        """
        answer = self.call("POST", "/rpc", body={"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        data = answer.json()
        if not answer.ok or not isinstance(data, dict):
            raise self.error(answer, f"{method} on /rpc")
        result = data.get("result")
        if not isinstance(result, dict):
            raise UserError(f"{self.base_url}: {method} on /rpc: {_one_line(json.dumps(data.get('error')))}")
        return result

    def rows(self, kind: ListKind) -> list[dict[str, Any]]:
        """Everything that a listing lists, however many pages that takes.

        Raises:
            UserError: as :meth:`ask`.
        """
        return [row for page in self._pages(kind) for row in page]

    def listed(self, kind: ListKind, limit: int | None) -> int:
        """How many rows one request of a listing answers with this ``limit`` (``None``: without any)."""
        rows = _rows(self.ask(f"/{kind}" if limit is None else f"/{kind}?limit={limit}"), kind)
        return len(rows or [])

    def error(self, answer: Answer, what: str) -> UserError:
        """An answer that is not the one that was hoped for, in one line; ``what`` names the request."""
        said = f" ({answer.reason})" if answer.reason else ""
        where = f"{self.base_url}: {what}: HTTP {answer.status}"
        match answer.status:
            case 401:
                return UserError(f"{where}: the token was refused{said}; log in again: utils/setup-auth.sh --renew")
            case 403:
                return ForbiddenError(
                    f"{where}: this user may not do that{said}; use an administrator's GATEWAY_EMAIL",
                    missing_permission(answer.reason),
                )
            case 429:
                return UserError(
                    f"{where}: the gateway limits requests{said}; set RATE_LIMITING_ENABLED=false on it, "
                    f"or wait {answer.headers.get('retry-after', '60')} s"
                )
        if answer.ok:
            return UserError(f"{where}: the answer is not the JSON that was expected; is this an MCP Gateway?")
        return UserError(f"{where}{said or ': no reason given'}; see the gateway's log")

    def no_gateway(self, health: Answer) -> UserError:
        """Something answers, but not as a gateway does."""
        return UserError(
            f"{self.base_url}: something answers there (GET /health: HTTP {health.status}), but it is no MCP Gateway; "
            "set GATEWAY_URL"
        )

    def _send(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: Any,
        timeout_s: float,
    ) -> requests.Response:
        for attempt in (1, 2, 3):
            try:
                return self._session.request(
                    method,
                    f"{self.base_url}{path}",
                    headers=headers,
                    json=body,
                    timeout=(CONNECT_TIMEOUT_S, timeout_s),
                    allow_redirects=False,
                )
            except requests.ConnectionError as error:
                # After an internal error the gateway closes the connection without saying so, and the next request
                # finds it dead. It was not read, so it can be sent again.
                lost = (ConnectionResetError, RemoteDisconnected)
                if attempt == 3 or not any(isinstance(cause, lost) for cause in _causes(error)):
                    raise
        raise AssertionError("unreachable")

    def _explain(self, error: requests.RequestException, timeout_s: float) -> UserError:
        causes = list(_causes(error))
        if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
            return NobodyThereError(
                f"no gateway answers at {self.base_url}: start one with make up, or set GATEWAY_URL"
            )
        if isinstance(error, requests.exceptions.SSLError):
            problem = (
                f"no trusted TLS connection ({_one_line(str(causes[-1]))}); is it https, and does SSL_CERT_FILE name "
                "its authority's certificate?"
            )
        elif isinstance(error, requests.exceptions.ConnectTimeout):
            problem = f"nobody answered within {CONNECT_TIMEOUT_S:g} s; set GATEWAY_URL"
        elif isinstance(error, requests.exceptions.Timeout):
            problem = f"connected, but there was no answer within {timeout_s:g} s; see the gateway's log"
        elif any(isinstance(cause, socket.gaierror) for cause in causes):
            problem = "there is no such host; set GATEWAY_URL"
        else:
            problem = f"no HTTP answer ({_one_line(str(causes[-1]))}); is a gateway there? set GATEWAY_URL"
        return UserError(f"{self.base_url}: {problem}")

    def _pages(self, kind: ListKind) -> Iterator[list[dict[str, Any]]]:
        query: dict[str, str | int] = {"limit": _PAGE, "include_pagination": "true"}
        while True:
            path = f"{self.prefix}/{kind}?{urlencode(query)}"
            answer = self.call("GET", path)
            if answer.status == 404:  # a gateway without this kind of thing
                return
            data = answer.json()
            if not answer.ok or data is None:
                raise self.error(answer, f"GET {path}")
            rows = _rows(data, kind)
            if rows is None:
                raise UserError(f"{self.base_url}: GET {self.prefix}/{kind}: the answer is no list of {kind}")
            yield rows
            if not isinstance(data, dict):
                if len(rows) == _SHORT_PAGE:
                    yield from self._later_rpc_pages(kind)
                return
            if not data.get("nextCursor"):
                return
            query["cursor"] = data["nextCursor"]

    def _later_rpc_pages(self, kind: ListKind) -> Iterator[list[dict[str, Any]]]:
        """The rows after the first page of a release that ignores ``include_pagination``.

        0.9 lists the first 50 and tells the cursor of the others only over JSON-RPC; 0.7 and 0.8 list everything.
        """
        if kind not in ("tools", "resources", "prompts"):
            return
        params: dict[str, str] = {}
        while True:
            try:
                page = self.rpc(f"{kind}/list", params)
            except UserError:
                return  # that /rpc fails is for the cases that use it to find
            if params:
                yield _rows(page, kind) or []
            if not page.get("nextCursor"):
                return
            params = {"cursor": page["nextCursor"]}


def rows_by_name(rows: list[dict[str, Any]], names: set[str]) -> list[dict[str, Any]]:
    """The rows whose name, or the name that they were created with, is among ``names``."""
    return [row for row in rows if row.get("name") in names or row.get("originalName") in names]


def _rows(data: Any, kind: str) -> list[dict[str, Any]] | None:
    """The rows of a listing: a bare array, or in an object under its kind."""
    rows = data.get(kind) if isinstance(data, dict) else data
    if isinstance(rows, list) and all(isinstance(row, dict) for row in rows):
        return rows
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and what led to it, the outermost first; ``requests`` and ``urllib3`` wrap several times."""
    seen: set[int] = set()
    stack = [error]
    while stack:
        current = stack.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        inner = [current.__cause__, current.__context__, getattr(current, "reason", None), *current.args]
        stack.extend(cause for cause in inner if isinstance(cause, BaseException))


def _one_line(text: str, longest: int = 200) -> str:
    line = " ".join(text.split())
    return line if len(line) <= longest else f"{line[: longest - 1]}…"
