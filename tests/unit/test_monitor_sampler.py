"""Gateways that end and are started again while they are sampled, and finders that fail."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import psutil
import pytest

from benchkit.errors import UserError
from benchkit.model import MonitoredComponent, MonitoredConnections, MonitorSample
from benchkit.monitor import sampler
from benchkit.monitor.cpu_accounting import Usage
from benchkit.monitor.processes import LoadFamily
from benchkit.monitor.sampler import Found, Monitor

GATEWAY = MonitoredComponent(name="gateway", kind="gateway", source="process", variant="base")
DATABASE = MonitoredComponent(name="postgres", kind="database", source="process")
CONTAINER = MonitoredComponent(name="front", kind="gateway", source="container")


@pytest.fixture
def gateway() -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    made: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        made.append(subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE))
        return made[-1]

    yield start
    for process in made:
        process.communicate()


def monitor(*finders: Callable[[], Found]) -> Monitor:
    made = Monitor(LoadFamily(psutil.Process(), lambda process: False), finders)
    made.look()
    return made


def sample_until(one: Monitor, condition: Callable[[MonitorSample], bool]) -> MonitorSample:
    deadline = time.monotonic() + 15
    while not condition(sample := one.sample(0.0)):
        assert time.monotonic() < deadline, sample
        time.sleep(0.05)
    return sample


def test_a_gateway_that_is_started_again_is_found_again(
    gateway: Callable[[], subprocess.Popen[bytes]],
) -> None:
    runs = [gateway()]
    one = monitor(lambda: Found({GATEWAY: psutil.Process(runs[0].pid)} if runs else {}))
    assert "base/gateway" in one.sample(0.0).memory_mib
    runs.pop().communicate()
    assert "base/gateway" not in sample_until(one, lambda sample: "base/gateway" not in sample.memory_mib).cpu_percent
    runs.append(gateway())
    sample = sample_until(one, lambda sample: "base/gateway" in sample.memory_mib)
    # Another process: nothing of what it used before is known to have been used since the last sample.
    assert "base/gateway" not in sample.cpu_percent
    assert "base/gateway" in sample_until(one, lambda sample: "base/gateway" in sample.cpu_percent).cpu_percent


def test_looking_for_who_is_lost_is_no_cost(
    gateway: Callable[[], subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampler, "_LOOK_SHARE", 1e-9)
    asked = []
    run = gateway()
    process = psutil.Process(run.pid)

    def find() -> Found:
        asked.append(1)
        return Found({GATEWAY: process} if run.poll() is None else {})

    one = monitor(find)
    one.sample(0.0)
    run.communicate()
    for _ in range(5):
        one.sample(0.0)
    assert len(asked) == 1


def test_a_finder_that_fails_is_a_note_and_the_others_are_asked() -> None:
    def fail() -> Found:
        raise UserError("stack.json: is damaged")

    one = monitor(fail, lambda: Found({GATEWAY: psutil.Process()}))
    sample = one.sample(0.0)
    assert "base/gateway" in sample.memory_mib
    assert sample.notes == ["stack.json: is damaged"]
    assert one.sample(1.0).notes == []


def test_another_users_process_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: psutil.Process) -> None:
        raise psutil.AccessDenied(self.pid)

    one = monitor(lambda: Found({GATEWAY: psutil.Process()}))
    monkeypatch.setattr(psutil.Process, "memory_info", refuse)
    sample = one.sample(0.0)
    assert "base/gateway" not in sample.memory_mib
    assert any(note.startswith("base/gateway: cannot be sampled") for note in sample.notes)
    assert "machine" in sample.memory_mib


def test_containers_and_connections_stand_beside_the_processes() -> None:
    def usages() -> Iterator[Usage]:
        while True:
            yield Usage(12.5, 100.0)
            time.sleep(0.05)

    def connections() -> Iterator[MonitoredConnections]:
        yield MonitoredConnections(active=1, idle=2, limit=30)
        raise OSError("it went away")

    one = monitor(
        lambda: Found({}, {CONTAINER: ("id", usages)}, {DATABASE: ("socket", connections)}, ["something is not known"])
    )
    sample = sample_until(one, lambda sample: "front" in sample.cpu_percent and "postgres" in sample.connections)
    assert sample.memory_mib["front"] == 100.0
    assert sample.connections["postgres"].idle == 2
    sample = one.sample(1.0)
    assert sample.components == []
