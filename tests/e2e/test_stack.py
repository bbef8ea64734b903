"""The local stack with the real gateway, the real databases and the real simulated servers."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest

from benchkit.settings import ROOT, load_settings
from benchkit.stack.processes import port_owner, session_members
from benchkit.stack.releases import wanted_release
from benchkit.stack.state import StackPaths, StackState, load_state, read_state

pytestmark = pytest.mark.e2e

_UP_S = 150
_STOP_S = 8


def _ports(count: int) -> list[int]:
    """Free ports: one for the gateway, and as many as are wanted in a row for the servers."""
    for _ in range(50):
        with ExitStack() as stack:
            first = stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1]
            gateway = stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1]
            wanted = range(first, first + count - 1)
            if gateway not in wanted and wanted[-1] <= 65535 and all(port_owner(port) is None for port in wanted[1:]):
                return [gateway, *wanted]
    pytest.fail(f"no {count} free ports")


class Stack:
    """The program ``utils/stack.py`` in a directory of its own, with two servers."""

    def __init__(self, directory: Path) -> None:
        gateway = ROOT / ".tools" / "gateway" / wanted_release(load_settings(environ={}).config.stack.gateway)
        assert (gateway / "bin" / "mcpgateway").exists(), f"{gateway} is missing: run make setup"
        self.place = StackPaths(directory / "st ack")
        self.ports = _ports(3)
        self.environment = {
            "PATH": os.environ["PATH"],
            "PERF_STACK_DIR": str(self.place.root),
            "GATEWAY_URL": f"http://127.0.0.1:{self.ports[0]}",
            "PERF_FIRST_SERVER_PORT": str(self.ports[1]),
            "PERF_SERVERS_COUNT": "2",
        }

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, str(ROOT / "utils" / "stack.py"), *arguments]

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        # With pipes: they must not stay open because a daemon has them.
        return subprocess.run(
            self.command(*arguments),
            env=self.environment | variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=_UP_S,
        )

    def up(self, **variables: str) -> StackState:
        result = self.run("up", **variables)
        assert result.returncode == 0, result.stderr
        state = read_state(self.place)
        assert state is not None
        return state

    def assert_nothing_left(self, state: StackState) -> None:
        assert session_members(state.runtime.supervisor) == []
        assert not Path(state.runtime.directory).exists()
        assert not self.place.state.exists()
        for port in self.ports:
            assert port_owner(port) is None
        in_use = [process.pid for process in psutil.process_iter() if str(self.place.root) in _command(process)]
        assert in_use == []


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def get(url: str, **headers: str) -> Any:
    request = urllib.request.Request(url, headers=headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    made = Stack(tmp_path_factory.mktemp("stack"))
    yield made
    made.run("down")


def log_in(state: StackState) -> str:
    credentials = json.dumps({"email": state.target.email, "password": state.target.password}).encode()
    for path in ("/v1/auth/login", "/auth/login"):
        request = urllib.request.Request(state.target.url + path, credentials, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return str(json.load(answer)["access_token"])
        except urllib.error.HTTPError as error:
            error.close()
    pytest.fail("no login")


def test_up_status_and_down(stack: Stack, tmp_path: Path) -> None:
    state = stack.up()
    assert stat.S_IMODE(stack.place.state.stat().st_mode) == 0o600

    status = stack.run("status")
    assert status.returncode == 0, status.stdout
    lines = {line.split()[0]: line for line in status.stdout.splitlines()}
    assert {"gateway", "time1", "time2", "postgres"} <= set(lines)
    assert all(" RUNNING " in line and "MiB" in line for line in lines.values())
    assert f"port {stack.ports[0]}" in lines["gateway"]

    assert [server.database for server in state.servers] == ["sqlite", "postgresql"]
    for server in state.servers:
        assert get(server.counters_url.replace("/counters", "/health"))["database"] == server.database
    token = log_in(state)
    listed = get(f"{state.target.url}/v1/gateways", Authorization=f"Bearer {token}")
    assert {row["name"] for row in listed} == {"time1", "time2"}

    for process in session_members(state.runtime.supervisor):
        assert state.target.password not in _command(process)
        for connection in process.net_connections(kind="tcp"):
            assert connection.status != psutil.CONN_LISTEN or connection.laddr[0] == "127.0.0.1"

    again = stack.run("up")
    assert again.returncode == 0
    assert "already up" in again.stderr
    other = stack.run("up", PERF_SERVERS_COUNT="1")
    assert other.returncode == 2
    assert "simulated servers are 2, wanted 1: run make down first" in other.stderr
    owner = tmp_path / "owner.json"
    ensured = stack.run("ensure", "--owner-file", str(owner))
    assert json.loads(ensured.stdout) == {"started": False, "url": state.target.url}
    assert not owner.exists()

    began = time.monotonic()
    assert stack.run("down").returncode == 0
    assert time.monotonic() - began < _STOP_S
    stack.assert_nothing_left(state)
    assert "nothing to stop" in stack.run("down").stderr


def test_a_killed_supervisor_and_the_next_start(stack: Stack, tmp_path: Path) -> None:
    owner = tmp_path / "owner.json"
    first = stack.run("ensure", "--owner-file", str(owner))
    assert json.loads(first.stdout)["started"] is True
    state = read_state(stack.place)
    assert state is not None
    os.kill(state.runtime.supervisor.pid, signal.SIGKILL)
    time.sleep(0.2)
    assert read_state(stack.place) is None
    assert stack.run("status").returncode == 2
    assert stack.run("down", "--owner-file", str(owner)).returncode == 0
    stack.assert_nothing_left(state)


def test_postgresql(stack: Stack) -> None:
    state = stack.up(PERF_DB_BACKEND="postgresql")
    ready = get(f"{state.target.url}/ready")
    assert ready["status"] == "ready"
    assert log_in(state)
    databases = subprocess.run(
        ["/bin/sh", "-c", '. "$1" && echo "$DATABASE_URL"', "sh", state.target.env_file],
        capture_output=True,
        text=True,
        check=True,
    )
    assert databases.stdout.startswith("postgresql+psycopg://")
    assert stack.run("down").returncode == 0
    stack.assert_nothing_left(state)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_during_up(stack: Stack, number: signal.Signals, code: int) -> None:
    process = subprocess.Popen(
        stack.command("up"), env=stack.environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    state = None
    while state is None:
        time.sleep(0.1)
        assert process.poll() is None
        state = load_state(stack.place)
    time.sleep(1)
    # To the whole group, as a terminal does.
    os.killpg(process.pid, number)
    _, errors = process.communicate(timeout=_STOP_S)
    assert process.returncode == code, errors
    stack.assert_nothing_left(state)
