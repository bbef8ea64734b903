"""The gateway's counts around a run, over HTTP: which readings are no witness of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchkit.model import ExecutionCount
from benchkit.run.target import GatewayTarget, connect
from benchkit.settings import load_settings
from benchkit.stack.state import StackPaths
from builders.gateway_stub import FakeGateway, Reply, Stub, make_token, serving

SENT = {"tools": ExecutionCount(succeeded=10, failed=0)}


def told(succeeded: int, failed: int = 0) -> dict[str, Any]:
    return {"tools": {"successfulExecutions": succeeded, "failedExecutions": failed}}


@pytest.fixture
def fake() -> FakeGateway:
    gateway = FakeGateway()
    gateway.is_open = True
    gateway.metrics = told(100)
    return gateway


@pytest.fixture
def stub(fake: FakeGateway) -> Iterator[Stub]:
    with serving(fake) as server:
        yield server


@pytest.fixture
def connection(stub: Stub, tmp_path: Path) -> GatewayTarget:
    environ = {"GATEWAY_URL": stub.url, "GATEWAY_TOKEN": make_token()}
    return connect(load_settings(environ=environ), StackPaths(tmp_path))


def test_counts_that_catch_up_are_beyond_doubt(connection: GatewayTarget, fake: FakeGateway) -> None:
    lines: list[str] = []
    opened = connection.still_counts(connection.gateway_counts(), 15, lines.append)
    assert opened is not None
    fake.metrics = told(110)
    counts = connection.settled_counts(opened, SENT, 15, lines.append)
    assert (counts.settled, counts.doubt, lines) == (True, "", [])
    assert (counts.before["tools"].succeeded, counts.after["tools"].succeeded) == (100, 110)


def test_counts_that_were_reset_in_the_middle_are_in_doubt(connection: GatewayTarget, fake: FakeGateway) -> None:
    opened = connection.still_counts(connection.gateway_counts(), 15, print)
    assert opened is not None
    fake.metrics = told(3)
    connection.watch_counts()
    fake.metrics = told(500)
    counts = connection.settled_counts(opened, SENT, 0, print)
    assert counts.doubt == ("its counts of tools fell meanwhile (they were reset, or several replicas answer in turn)")


def test_a_gateway_that_was_started_anew_may_have_lost_what_it_had_not_written(
    connection: GatewayTarget, fake: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = connection.still_counts(connection.gateway_counts(), 15, print)
    assert opened is not None
    later = time.monotonic() + 600
    monkeypatch.setattr("benchkit.run.target.time.monotonic", lambda: later)
    assert connection.settled_counts(opened, SENT, 0, print).doubt == "it was started anew during the run"
    fake.version["uptime_seconds"] = 661
    assert connection.settled_counts(opened, SENT, 0, print).doubt == ""


def test_metrics_that_break_after_the_first_reading_are_told(connection: GatewayTarget, fake: FakeGateway) -> None:
    first = connection.gateway_counts()
    fake.special["GET", "/v1/metrics"] = lambda _: Reply(500, {"detail": "no such table"})
    assert connection.still_counts(first, 0, print) is None
    assert "not there any more to be compared with" in connection.warnings[-1]
    assert connection.gateway_counts() == {}
    assert connection.still_counts({}, 0, print) is None
