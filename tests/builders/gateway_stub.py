"""A gateway in this process: small, but with the paths and manners of a release, as they were seen on the real ones."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

PASSWORD = "right horse"
EMAIL = "admin@example.com"


def make_token(lifetime_s: float = 1200.0, serial: int = 0) -> str:
    """A token as gateways make them; the signature is nonsense."""

    def part(data: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(data).encode()).decode().rstrip("=")

    claims = {"sub": EMAIL, "exp": int(time.time() + lifetime_s), "jti": serial}
    return f"{part({'alg': 'HS256'})}.{part(claims)}.c2lnbmF0dXJl"


@dataclass
class Request:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


@dataclass
class Reply:
    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    delay_s: float = 0.0
    hang_up: bool = False


Handler = Callable[[Request], Reply]


class Stub:
    """An HTTP server whose answers are made by ``handle``; every request is kept in ``requests``."""

    def __init__(self, handle: Handler) -> None:
        self.handle = handle
        self.requests: list[Request] = []
        stub = self

        class Answering(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self) -> None:
                split = urlsplit(self.path)
                length = int(self.headers.get("Content-Length") or 0)
                data = self.rfile.read(length)
                request = Request(
                    self.command,
                    unquote(split.path),
                    {key: values[0] for key, values in parse_qs(split.query).items()},
                    {key.lower(): value for key, value in self.headers.items()},
                    json.loads(data) if data else None,
                )
                stub.requests.append(request)
                reply = stub.handle(request)
                if reply.delay_s:
                    time.sleep(reply.delay_s)
                self.close_connection = True
                if reply.hang_up:
                    return
                body = reply.raw if reply.raw is not None else json.dumps(reply.body).encode()
                self.send_response(reply.status)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Connection", "close")
                for key, value in reply.headers.items():
                    self.send_header(key, value)
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_DELETE = _answer  # noqa: N815

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass

        self._server = Server(("127.0.0.1", 0), Answering)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def asked(self, path: str) -> list[Request]:
        return [request for request in self.requests if request.path == path]


@contextmanager
def serving(handle: Handler) -> Iterator[Stub]:
    stub = Stub(handle)
    try:
        yield stub
    finally:
        stub.stop()


class FakeGateway:
    """A handler with state: the listings, what registers and deletes, the login, of one release.

    ``servers`` says what each MCP server (by URL) offers: tools, resources, prompts by their own names.
    """

    def __init__(self, release: str = "1.0.7") -> None:
        self.release = release
        self.prefix = "/v1" if release == "1.0.7" else ""
        self.old = release.startswith("0.")
        self.is_open = False
        self.lifetime_s = 1200.0
        self.rows: dict[str, list[dict[str, Any]]] = {
            kind: [] for kind in ("tools", "resources", "prompts", "servers", "gateways")
        }
        self.offers: dict[str, dict[str, list[str]]] = {}
        self.tokens: set[str] = set()
        self.special: dict[tuple[str, str], Handler] = {}
        self.listing_delay = 0
        self.metrics: dict[str, Any] = {}
        self.version: dict[str, Any] = {
            "app": {"version": release},
            "uptime_seconds": 61,
            "database": {"dialect": "sqlite", "server_version": "3.40.1", "reachable": True},
            "redis": {"available": True, "reachable": False},
            "settings": {"cache_type": "database"},
        }
        self._ids = 0
        self._lock = threading.Lock()

    def new_id(self) -> str:
        self._ids += 1
        return f"id{self._ids}"

    def __call__(self, request: Request) -> Reply:
        with self._lock:
            special = self.special.get((request.method, request.path))
            if special is not None:
                return special(request)
            return self._answer(request)

    def _answer(self, request: Request) -> Reply:
        path = request.path
        if path == "/health":
            return Reply(body={"status": "healthy"})
        if path.endswith("/login"):
            return self._login(request)
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        if path == "/rpc":
            return self._rpc(request) if bearer in self.tokens or self.is_open else Reply(401, {"detail": "no token"})
        if not path.startswith(f"{self.prefix}/") or (self.prefix == "" and path.startswith("/v1/")):
            return Reply(404, {"detail": "Not Found"})
        if not self.is_open and bearer not in self.tokens:
            return Reply(401, {"detail": "Authorization token required"})
        kind, _, rest = path.removeprefix(f"{self.prefix}/").partition("/")
        if kind == "version":
            return Reply(body=self.version)
        if kind == "metrics":
            return Reply(body=self.metrics)
        if path.endswith("/resources/templates/list"):
            return Reply(body={"resource_templates": []})
        if kind not in self.rows:
            return Reply(404, {"detail": "Not Found"})
        if request.method == "GET":
            return self._list(kind, request)
        if request.method == "POST":
            return self._register(request) if kind == "gateways" else self._create(kind, request)
        return self._delete(kind, rest)

    def _login(self, request: Request) -> Reply:
        known = {"1.0.7": ("/v1/auth/login", "/auth/login"), "0.7.0": ("/auth/email/login",)}
        if request.path == "/auth/login" and self.release == "0.7.0":
            return Reply(500, {"detail": "Authentication service error"})
        if request.path not in known.get(self.release, ("/auth/login",)):
            return Reply(404, {"detail": "Not Found"})
        if request.body != {"email": EMAIL, "password": PASSWORD}:
            if self.old:
                return Reply(500, {"detail": "Authentication service error"})
            return Reply(401, {"detail": "Invalid email or password"})
        token = make_token(self.lifetime_s, serial=len(self.tokens))
        self.tokens.add(token)
        return Reply(body={"access_token": token, "expires_in": self.lifetime_s})

    def _list(self, kind: str, request: Request) -> Reply:
        rows = self.rows[kind]
        if kind == "tools" and self.listing_delay > 0:
            self.listing_delay -= 1
            rows = []
        if self.old:
            return Reply(body=rows[:50] if self.release == "0.9.0" else rows)
        start = int(request.query.get("cursor", "0"))
        limit = min(int(request.query.get("limit", "50")), 500)
        page = rows[start : start + limit]
        if request.query.get("include_pagination") != "true":
            return Reply(body=page)
        following = str(start + limit) if start + limit < len(rows) else None
        return Reply(body={kind: page, "nextCursor": following})

    def _rpc(self, request: Request) -> Reply:
        kind, _, verb = request.body["method"].partition("/")
        if verb != "list":
            return Reply(body={"jsonrpc": "2.0", "id": 1, "error": {"code": -32000, "message": "Tool not found"}})
        rows = self.rows[kind]
        start = int(request.body["params"].get("cursor", "0"))
        size = 50 if self.release == "0.9.0" else 10**6
        result: dict[str, Any] = {kind: rows[start : start + size]}
        if start + size < len(rows):
            result["nextCursor"] = str(start + size)
        return Reply(body={"jsonrpc": "2.0", "id": 1, "result": result})

    def _register(self, request: Request) -> Reply:
        name, url = request.body["name"], request.body["url"]
        stored = url.replace("127.0.0.1", "localhost")
        if any(row["name"] == name or row["url"] == stored for row in self.rows["gateways"]):
            return Reply(409, {"message": "Gateway already exists"})
        if url not in self.offers:
            return Reply(502, {"message": f"Failed to initialize gateway at {url}: All connection attempts failed"})
        prompts = self.offers[url].get("prompts", [])
        if self.old and any(row["name"] in prompts for row in self.rows["prompts"]):
            return Reply(409, {"message": "A prompt with this name already exists", "success": False})
        identity = self.new_id()
        self.rows["gateways"].append({"id": identity, "name": name, "url": stored, "enabled": True, "reachable": True})
        for kind, names in self.offers[url].items():
            for original in names:
                self.rows[kind].append(self._row(kind, original, name, identity))
        return Reply(body={"id": identity, "name": name})

    def _row(self, kind: str, original: str, server: str, identity: str) -> dict[str, Any]:
        row: dict[str, Any] = {"id": self.new_id(), "name": f"{server}-{original.replace('_', '-')}", "_of": identity}
        if kind == "tools" or not self.old:
            row |= {"originalName": original, "gatewayId": identity}
        else:
            row["name"] = original
            row["federationSource"] = server if kind == "resources" else None
        if kind == "resources":
            row |= {"uri": original}
        return row

    def _create(self, kind: str, request: Request) -> Reply:
        body = request.body[kind.removesuffix("s")]
        if any(body["name"] in (row["name"], row.get("originalName")) for row in self.rows[kind]):
            return Reply(409, {"detail": f"Public {kind} already exists with name: {body['name']}"})
        row = {**body, "id": self.new_id()}
        if kind == "prompts" and not self.old:
            row |= {"originalName": body["name"], "name": body["name"].replace("_", "-"), "gatewayId": None}
        self.rows[kind].append(row)
        return Reply(201, row)

    def _delete(self, kind: str, identity: str) -> Reply:
        by = "name" if (self.release, kind) == ("0.7.0", "prompts") else "id"
        kept = [row for row in self.rows[kind] if row.get(by) != identity]
        if len(kept) == len(self.rows[kind]):
            return Reply(404, {"detail": f"{kind} not found: {identity}"})
        self.rows[kind] = kept
        if kind == "gateways":
            self.rows = {key: [row for row in rows if row.get("_of") != identity] for key, rows in self.rows.items()}
        return Reply(body={"status": "success"})
