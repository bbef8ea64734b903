"""A stack of stubs: a gateway and servers that only answer their health checks, under the real supervisor."""

from __future__ import annotations

import contextlib
import shutil
import socket
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from benchkit.settings import Config, Settings
from benchkit.stack import lifecycle, local
from benchkit.stack.deployment import StartCallbacks
from benchkit.stack.interrupt import Interrupt
from benchkit.stack.programs import Installation
from benchkit.stack.state import StackPaths
from benchkit.stack.topology import Topology

# STUB says how it behaves: well, or not.
_HEALTH = """
import http.server, os, signal, sys, time
stub = os.environ.get("STUB", "")
if stub == "dies":
    sys.exit("this is why it died")
if stub == "deaf":
    time.sleep(60)
if stub == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(503 if stub == "unready" and self.path == "/ready" else 200)
        self.end_headers()
        self.wfile.write(os.environ.get("GREETING", "").encode())
    def log_message(self, *_):
        pass
port = int(sys.argv[sys.argv.index("--port") + 1])
http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""

# Migrating means leaving a database; how often that happened can be counted.
_PYTHON = """#!/bin/sh
if [ "$1" = -m ]; then
  echo "$2" >>migrations
  : >"${DATABASE_URL#sqlite:///./}"
  [ "$STUB" != "cannot migrate" ] || { echo "no migration today" >&2; exit 1; }
  exit
fi
exec '%s' "$@"
"""


def free_ports(count: int) -> list[int]:
    """Ports that nobody has right now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in sockets]


@dataclass
class StubStack:
    """A place, settings and a caller for a stack of one gateway and one server; what the caller heard is ``said``."""

    place: StackPaths
    ports: list[int]
    said: list[str] = field(default_factory=list)
    interrupt: Interrupt = field(default_factory=Interrupt)

    @property
    def caller(self) -> StartCallbacks:
        """Takes notes."""
        return StartCallbacks(say=self.said.append, progress=self.said.append, interrupt=self.interrupt)

    def settings(self, *, timeout: int = 20, **gateway: str) -> Settings:
        """Settings with further variables for the gateway."""
        config = Config.model_validate(
            {
                "service": {"base_url": f"http://127.0.0.1:{self.ports[0]}", "health_check_timeout": timeout},
                "stack": {
                    "servers": 1,
                    "first_server_port": self.ports[1],
                    "gateway": {"version": "1.0.7", "settings": gateway},
                },
                "scenarios": {"s": {"cases": {"c": {"path": "/health"}}}},
            }
        )
        return Settings(config=config, profile="light", scenarios=["s"], sources={})

    def up(self, *, timeout: int = 20, **gateway: str) -> lifecycle.Outcome:
        """Start it."""
        return lifecycle.up(self.settings(timeout=timeout, **gateway), self.place, self.caller)

    def down(self) -> bool:
        """Stop it."""
        return lifecycle.down(self.place, self.caller)


def make_stub_stack(directory: Path, monkeypatch: pytest.MonkeyPatch) -> StubStack:
    """A stack below ``directory`` whose programs are stubs; Redis and PostgreSQL are left out."""
    binaries = directory / "gateway install" / "bin"
    binaries.mkdir(parents=True)
    (binaries / "python").write_text(_PYTHON % sys.executable)
    (binaries / "python").chmod(0o700)
    (binaries / "mcpgateway").write_text(_HEALTH)
    server = directory / "server.py"
    server.write_text(_HEALTH)

    def find(topology: Topology, redis_server: str | None) -> Installation:
        return Installation(python=Path(sys.executable), server_script=server, gateway=binaries.parent)

    monkeypatch.setattr(local, "find_installation", find)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    return StubStack(place=StackPaths(directory / "st ack ;100% #1'"), ports=free_ports(2))
