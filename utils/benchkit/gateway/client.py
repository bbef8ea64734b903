"""HTTP client of the target: find the gateway and its paths, and explain failures in one line.

The token is sent in a header and never appears in an error, even if an answer repeats it.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlencode

from benchkit import http
from benchkit.errors import ForbiddenError, UserError, missing_permission
from benchkit.model import path_segment
from benchkit.plain import plain_text, without_secrets

ListKind = Literal["tools", "resources", "prompts", "servers", "gateways"]
"""The kinds of listings: ``servers`` are the gateway's virtual servers, ``gateways`` the MCP servers behind it."""

LIST_KINDS: tuple[ListKind, ...] = ("tools", "resources", "prompts", "servers", "gateways")

TIMEOUT_S = 30.0
"""Timeout of one answer in seconds, from the connection to its last byte."""

MOST_PAGES = 1000
"""Maximum number of pages of one listing."""

LISTING_TIMEOUT_S = 300.0
"""Timeout of all pages of one listing in seconds."""

_LONGEST_CURSOR = 4096
_LONGEST_REASON = 200
_LONGEST_ID = 500

_PAGE = 500
"""Page size to request: the maximum of a 1.x gateway (its PAGINATION_MAX_PAGE_SIZE)."""

_SHORT_PAGE = 50
"""Page size of 0.9, whatever is requested."""

_PREFIXES = ("/v1", "")
"""Prefixes of the listings. 1.0.7 serves ``/v1`` and, as deprecated, the bare paths; 0.7-1.0.0 only the latter."""


@dataclass(frozen=True)
class Answer(http.Answer):
    """An answer of the gateway. ``secrets`` were sent to it, and are masked if the answer repeats them."""

    secrets: tuple[str, ...] = field(default=(), repr=False)

    @property
    def reason(self) -> str:
        """The gateway's own reason for a failure (``detail``, ``message`` or ``error``), shortened to a line."""
        data = self.json()
        if not isinstance(data, dict):
            return ""
        text = data.get("message") or data.get("detail") or data.get("error") or ""
        if isinstance(text, dict):
            text = text.get("message") or text
        if not isinstance(text, str):
            text = json.dumps(text)
        return plain_text(without_secrets(text, self.secrets), _LONGEST_REASON).rstrip(".")

    @property
    def rate_limit(self) -> int | None:
        """The announced rate limit in requests per minute; ``None`` if there is none."""
        value = self.headers.get("x-ratelimit-limit", "")
        return int(value) if re.fullmatch("[0-9]{1,15}", value) else None

    @property
    def retry_after(self) -> str:
        """The time that the gateway asks to wait: ``60 s``, or its own text if that is no number of seconds."""
        value = self.headers.get("retry-after", "60")
        return f"{value} s" if re.fullmatch("[0-9]{1,9}", value) else plain_text(value, 40)


class NobodyThereError(UserError):
    """No process listens at the address, so a gateway can be started there."""


class Gateway:
    """A gateway at an address. Created by :meth:`find`, which detects ``prefix`` and ``is_open``.

    Attributes:
        base_url: address without a trailing slash.
        prefix: prefix of ``/tools`` and the other versioned paths: ``/v1`` or empty.
        is_open: it lists without a token.
        lowest_rate_limit: the lowest limit that an answer announced, in requests per minute.
    """

    def __init__(self, base_url: str, *, prefix: str = "", is_open: bool = False) -> None:
        self.base_url = base_url.rstrip("/")
        self.prefix = prefix
        self.is_open = is_open
        self.lowest_rate_limit: int | None = None
        self._token = ""
        self._session = http.Session()

    @property
    def rpc_url(self) -> str:
        """The address for JSON-RPC messages."""
        return f"{self.base_url}/rpc"

    def mcp_url(self, server_id: str) -> str:
        """Return the MCP endpoint of a virtual server; ``ValueError`` if the id cannot be part of an address."""
        return f"{self.base_url}/servers/{path_segment(server_id)}/mcp"

    @classmethod
    def find(cls, base_url: str) -> Gateway:
        """Return the gateway at an address.

        Raises:
            NobodyThereError: no process listens there.
            UserError: it does not answer, is no MCP Gateway, its certificate is not trusted, or it limits the rate.
        """
        gateway = cls(base_url)
        health = gateway.call("GET", "/health", authenticated=False)
        if 300 <= health.status < 400:
            raise UserError(
                f"{gateway.base_url} redirects to "
                f"{plain_text(health.headers.get('location', 'another address'), _LONGEST_REASON)}: "
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
        """Send this token from now on; empty: send none."""
        self._token = token

    def call(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        authenticated: bool = True,
        timeout_s: float = TIMEOUT_S,
        secrets: tuple[str, ...] = (),
    ) -> Answer:
        """Send a request and wait for the complete answer. ``path`` (with its query) is appended to the address.

        ``secrets``: parts of the body that must be masked if the answer repeats them.

        Raises:
            UserError: there was no complete answer.
        """
        headers = {"Accept": "application/json"}
        if authenticated and self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        data = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            data = json.dumps(body).encode("utf-8")
        try:
            found = self._session.send(
                method, f"{self.base_url}{path}", headers=headers, body=data, timeout_s=timeout_s
            )
        except http.AnswerError as error:
            raise self._explain(error) from None
        answer = Answer(found.status, found.headers, found.body, (self._token, *secrets))
        limits = [limit for limit in (self.lowest_rate_limit, answer.rate_limit) if limit is not None]
        self.lowest_rate_limit = min(limits, default=None)
        return answer

    def ask(self, path: str) -> Any:
        """Return the parsed JSON of a successful GET of a versioned path.

        Raises:
            UserError: no answer, a refusal, or an error.
        """
        answer = self.call("GET", f"{self.prefix}{path}")
        data = answer.json()
        if not answer.ok or data is None:
            raise self.error(answer, f"GET {self.prefix}{path}")
        return data

    def rpc(self, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return the ``result`` of a JSON-RPC call on ``/rpc``.

        Raises:
            UserError: no answer, a refusal, or a JSON-RPC error (which comes with HTTP 200).
        """
        return self._rpc(method, params, TIMEOUT_S)[0]

    def _rpc(self, method: str, params: Mapping[str, Any], timeout_s: float) -> tuple[dict[str, Any], int]:
        """Do the same as :meth:`rpc`; return the result and the size of the answer in bytes."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answer = self.call("POST", "/rpc", body=body, timeout_s=timeout_s)
        data = answer.json()
        if not answer.ok or not isinstance(data, dict):
            raise self.error(answer, f"{method} on /rpc")
        result = data.get("result")
        if not isinstance(result, dict):
            words = without_secrets(json.dumps(data.get("error")), answer.secrets)
            raise UserError(f"{self.base_url}: {method} on /rpc: {plain_text(words, _LONGEST_REASON)}")
        return result, len(answer.body)

    def rows(self, kind: ListKind) -> list[dict[str, Any]]:
        """Return all rows of a listing, from as many pages as it has.

        Raises:
            UserError: as :meth:`ask`.
        """
        return [row for page in self._pages(kind) for row in page]

    def listed(self, kind: ListKind, limit: int | None) -> int:
        """Return the number of rows in one answer of a listing with this ``limit`` (``None``: without)."""
        rows = _rows(self.ask(f"/{kind}" if limit is None else f"/{kind}?limit={limit}"), kind)
        return len(rows or [])

    def error(self, answer: Answer, what: str) -> UserError:
        """Return the error for an unexpected answer, in one line; ``what`` names the request."""
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
                    f"or wait {answer.retry_after}"
                )
        if answer.ok:
            return UserError(f"{where}: the answer is not the expected JSON; is this an MCP Gateway?")
        return UserError(f"{where}{said or ': no reason given'}; see the gateway's log")

    def no_gateway(self, health: Answer) -> UserError:
        """Return the error for a service that is no gateway."""
        return UserError(
            f"{self.base_url}: something answers there (GET /health: HTTP {health.status}), but it is no MCP Gateway; "
            "set GATEWAY_URL"
        )

    def _explain(self, error: http.AnswerError) -> UserError:
        """Return the error for a missing answer, with advice."""
        match error.failure:
            case http.Failure.REFUSED:
                return NobodyThereError(
                    f"no gateway answers at {self.base_url}: start one with make up, or set GATEWAY_URL"
                )
            case http.Failure.UNTRUSTED:
                advice = "is it https, and does SSL_CERT_FILE name its authority's certificate?"
            case http.Failure.LATE | http.Failure.LARGE:
                advice = "see the gateway's log"
            case http.Failure.BROKEN:
                advice = "is a gateway there? set GATEWAY_URL"
            case _:
                advice = "set GATEWAY_URL"
        return UserError(f"{self.base_url}: {error.problem}; {advice}")

    def _pages(self, kind: ListKind) -> Iterator[list[dict[str, Any]]]:
        query: dict[str, str | int] = {"limit": _PAGE, "include_pagination": "true"}
        what = f"GET {self.prefix}/{kind}"
        listing = _Listing(f"{self.base_url}: {what}")
        while True:
            answer = self.call("GET", f"{self.prefix}/{kind}?{urlencode(query)}", timeout_s=listing.time_left())
            if answer.status == 404:  # a gateway without this kind
                return
            data = answer.json()
            if not answer.ok or data is None:
                raise self.error(answer, what)
            rows = _rows(data, kind)
            if rows is None:
                raise UserError(f"{self.base_url}: {what}: the answer is no list of {kind}")
            yield rows
            if not isinstance(data, dict):
                if len(rows) == _SHORT_PAGE:
                    yield from self._later_rpc_pages(kind)
                return
            query["cursor"] = listing.following(data.get("nextCursor"), len(answer.body))
            if not query["cursor"]:
                return

    def _later_rpc_pages(self, kind: ListKind) -> Iterator[list[dict[str, Any]]]:
        """Yield the pages after the first of a release that ignores ``include_pagination``.

        0.9 lists the first 50 rows and returns a cursor for the others only over JSON-RPC; 0.7 and 0.8 list all rows.
        """
        if kind not in ("tools", "resources", "prompts"):
            return
        listing = _Listing(f"{self.base_url}: {kind}/list on /rpc")
        params: dict[str, str] = {}
        while True:
            left_s = listing.time_left()
            try:
                page, size = self._rpc(f"{kind}/list", params, left_s)
            except UserError:
                return  # the cases that use /rpc report why it fails
            if params:
                yield _rows(page, kind) or []
            cursor = listing.following(page.get("nextCursor"), size)
            if not cursor:
                return
            params = {"cursor": cursor}


class _Listing:
    """Limits of one listing: the number of its pages, their total size, and the total time."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._end = time.monotonic() + LISTING_TIMEOUT_S
        self._cursors: set[str] = set()
        self._bytes = 0

    def time_left(self) -> float:
        """Return the timeout of the next page in seconds.

        Raises:
            UserError: the time limit of the listing is exceeded.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise self._error(f"{len(self._cursors)} pages took {LISTING_TIMEOUT_S:g} s, and there are more")
        return min(TIMEOUT_S, left)

    def following(self, cursor: object, size: int) -> str:
        """Return the cursor of the next page, or empty after the last. ``size``: bytes of this page.

        Raises:
            UserError: the cursor is repeated or invalid, or the pages are too many or too large.
        """
        self._bytes += size
        if not cursor:
            return ""
        text = str(cursor) if isinstance(cursor, str | int) else ""
        if not 0 < len(text) <= _LONGEST_CURSOR:
            raise self._error(f"the cursor of the next page is no text of at most {_LONGEST_CURSOR} characters")
        if text in self._cursors:
            raise self._error(f"the cursor of page {len(self._cursors) + 2} is a repeated one, so the pages never end")
        self._cursors.add(text)
        if len(self._cursors) >= MOST_PAGES:
            raise self._error(f"there are more than {MOST_PAGES} pages")
        if self._bytes > http.MOST_BYTES:
            raise self._error(f"the first {len(self._cursors)} pages have more than {http.MOST_BYTES:,} bytes")
        return text

    def _error(self, problem: str) -> UserError:
        return UserError(f"{self._what}: {problem}; see the gateway's log")


def row_id(row: Any, what: str) -> str:
    """Return the id of something that the gateway listed or created; before 0.9 ids are numbers.

    Raises:
        UserError: there is no id, or it cannot be part of an address.
    """
    identity = row.get("id") if isinstance(row, Mapping) else None
    text = str(identity) if isinstance(identity, str | int) and not isinstance(identity, bool) else ""
    if not text or len(text) > _LONGEST_ID or not text.isprintable() or " " in text:
        shown = plain_text(json.dumps(identity), 60)
        raise UserError(f"the gateway gives {what} the invalid id {shown}; see the gateway's log")
    return text


def rows_by_name(rows: list[dict[str, Any]], names: set[str]) -> list[dict[str, Any]]:
    """Return the rows whose name, or original name, is in ``names``."""
    return [row for row in rows if row.get("name") in names or row.get("originalName") in names]


def _rows(data: Any, kind: str) -> list[dict[str, Any]] | None:
    """Return the rows of a listing, which is an array, or an object with the array under its kind."""
    rows = data.get(kind) if isinstance(data, dict) else data
    if isinstance(rows, list) and all(isinstance(row, dict) for row in rows):
        return rows
    return None
