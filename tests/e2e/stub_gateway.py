"""A stand-in for a gateway that misbehaves on purpose, to see what the toolkit says of it.

usage: stub_gateway.py PORT FAULT

It knows just enough of the real one's API for a run of the scenario ``tools``. FAULT is what goes wrong:

  none            nothing
  rpc-error       every answer of /rpc is a JSON-RPC error with HTTP 200
  bare            the same, from a gateway that knows little: no /v1, no pages, no prompts or resources
  rpc-error-late  the same as rpc-error, after 300 requests
  rpc-error-tenth every tenth answer to tools/call is such an error
  rpc-error-some  the same, of ten one by chance
  rate-limit      HTTP 429 after 100 requests of each case
  drop-tenth      every tenth connection is closed without an answer
  slow            every answer of /rpc takes 3 s
  lost-tool       the tool get_system_time is not there
  delay-MS        every list takes so many milliseconds
  no-record       its own metrics count nothing (DB_METRICS_RECORDING_ENABLED=false)
  late-failures   its own metrics count 60 failures of earlier work while the load runs
  reset           its own metrics fall to nothing while the load runs
  refuse-login    HTTP 401 for the password
  die             the process is gone after 150 requests
  id:JSON         what it makes has this id (a text in JSON)
  url:JSON        its MCP server has this address
"""

from __future__ import annotations

import http.server
import itertools
import json
import os
import random
import sys
import threading
import time
from typing import ClassVar

TOOLS = [
    {
        "id": f"id{number}",
        "name": f"time1-{name.replace('_', '-')}",
        "originalName": name,
        "gatewayId": "g1",
        "inputSchema": {"type": "object"},
    }
    for number, name in enumerate(["get_system_time", "convert_time", *(f"noop_{n}" for n in range(118))])
]
ANSWER = "UTC datetime Asia/Tokyo America/New_York Europe/London Pacific/Auckland Pacific/Honolulu time_difference"
TOKEN = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJzdHViIn0.c2lnbmF0dXJl"
LISTINGS: dict[str, list[dict[str, object]]] = {
    "resources": [],
    "prompts": [],
    "servers": [],
    "gateways": [{"id": "g1", "name": "time1", "url": "http://x/mcp"}],
}


class Stub(http.server.BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    wbufsize = 65536
    fault = "none"
    lock = threading.Lock()
    seen: ClassVar[dict[str, int]] = {}
    total = 0
    executions = 0
    dropped = itertools.count(1)
    calls = itertools.count(1)
    numbers = itertools.count(1)
    sent = b""

    def do_GET(self) -> None:
        """Answer, unless it is time for the fault."""
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        self.sent = body
        path, _, query = self.path.partition("?")
        from_hey = "hey" in self.headers.get("user-agent", "")
        with self.lock:
            key = path + body.decode()
            self.seen[key] = self.seen.get(key, 0) + from_hey
            type(self).total += from_hey
            drop = self.fault == "drop-tenth" and from_hey and next(self.dropped) % 10 == 0
        if self.fault == "die" and self.total > 150:
            os._exit(1)
        if drop:
            self.close_connection = True
            return
        if path not in ("/health", "/ready") and not path.endswith("/login") and "authorization" not in self.headers:
            self.answer({"detail": "Not authenticated"}, 401)
        elif self.fault == "rate-limit" and self.seen[key] > 100:
            self.answer({"detail": "Rate limit exceeded"}, 429)
        elif path == "/rpc" or (path.startswith("/servers/") and path.endswith("/mcp")):
            self.rpc(json.loads(body))
        elif path.endswith("/login"):
            self.answer({"access_token": TOKEN}, 401 if self.fault == "refuse-login" else 200)
        else:
            self.listing(path.removeprefix("/v1").strip("/"), query)

    do_POST = do_GET  # noqa: N815
    do_DELETE = do_GET  # noqa: N815

    def rpc(self, message: dict[str, object]) -> None:
        """JSON-RPC."""
        if self.fault == "slow":
            time.sleep(3)
        late = self.fault == "rpc-error-late" and self.total > 300
        if self.fault in ("rpc-error", "bare") or late or (message["method"] == "tools/call" and self.is_unlucky()):
            self.answer({"jsonrpc": "2.0", "id": 1, "error": {"code": -32601, "message": "Tool not found: x"}})
        elif message["method"] == "tools/list":
            self.answer({"jsonrpc": "2.0", "id": 1, "result": {"tools": TOOLS}})
        else:
            with self.lock:
                type(self).executions += 1
            self.answer({"jsonrpc": "2.0", "id": 1, "result": {"isError": False, "content": ANSWER}})

    def listing(self, name: str, query: str) -> None:
        """Lists, health, and what the toolkit makes on a gateway."""
        bare = self.fault == "bare"
        kind, _, which = name.partition("/")
        if self.fault.startswith("delay-") and name == "tools":
            time.sleep(int(self.fault.removeprefix("delay-")) / 1000)
        if name in ("health", "ready"):
            self.answer({"status": "healthy" if name == "health" else "ready"})
        elif bare and (name not in ("tools", "gateways") or self.path.startswith("/v1")):
            self.answer({"detail": "Not Found"}, 404)
        elif name == "metrics" and self.fault in ("no-record", "late-failures", "reset"):
            self.answer({"tools": self.metrics()})
        elif name == "tools":
            limit = next((int(word[6:]) for word in query.split("&") if word.startswith("limit=")), 50)
            known = TOOLS[1:] if self.fault == "lost-tool" else TOOLS
            rows = known[:limit]
            self.answer({"tools": rows, "nextCursor": None} if "include_pagination" in query and not bare else rows)
        elif self.command == "POST" and name in ("servers", "prompts"):
            self.answer(self.made(name))
        elif self.command == "POST":
            self.answer({"id": self.told("id", "new"), "name": name})
        elif name == "gateways" and self.fault.startswith(("id:", "url:")):
            self.answer({name: [{"id": "g1", "name": "time1", "url": self.told("url", "http://x/mcp")}]})
        elif self.command == "DELETE" and kind in LISTINGS:
            with self.lock:
                LISTINGS[kind] = [row for row in LISTINGS[kind] if row["id"] != which]
            self.answer({"status": "success"})
        elif name in LISTINGS:
            self.answer(
                {name: LISTINGS[name], "nextCursor": None}
                if "include_pagination" in query and not bare
                else LISTINGS[name]
            )
        else:
            self.answer({"detail": "Not Found"}, 404)

    def is_unlucky(self) -> bool:
        """Is this call one of those that get an error?"""
        if self.fault == "rpc-error-tenth":
            return next(self.calls) % 10 == 0
        return self.fault == "rpc-error-some" and random.random() < 0.1

    def told(self, what: str, usual: str) -> str:
        """A text that the fault gives, else the usual one."""
        kind, _, text = self.fault.partition(":")
        return str(json.loads(text)) if kind == what else usual

    def metrics(self) -> dict[str, int]:
        """What it claims to have executed."""
        if self.fault == "no-record":
            return {"successfulExecutions": 7, "failedExecutions": 0}
        if self.fault == "reset":
            return {"successfulExecutions": 900 if self.total == 0 else self.executions // 2, "failedExecutions": 0}
        return {"successfulExecutions": self.executions, "failedExecutions": 60 if self.total > 50 else 0}

    def made(self, kind: str) -> dict[str, object]:
        """Remember what is made, as the real one does."""
        row = json.loads(self.sent)
        row = row.get(kind.removesuffix("s"), row)
        with self.lock:
            made = {
                "id": self.told("id", f"id-{next(self.numbers)}"),
                "name": row["name"],
                "description": row.get("description", ""),
            }
            LISTINGS[kind].append(made)
        return made

    def answer(self, data: object, status: int = 200) -> None:
        """Send JSON."""
        body = json.dumps(data).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, *args: object) -> None:
        """Say nothing."""


class Server(http.server.ThreadingHTTPServer):
    """Takes as many connections at once as the load opens."""

    request_queue_size = 512
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that was killed is none of its faults."""


if __name__ == "__main__":
    Stub.fault = sys.argv[2]
    Server(("127.0.0.1", int(sys.argv[1])), Stub).serve_forever()
