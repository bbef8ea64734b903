"""Who counted the work: the gateway, and the simulated servers."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from benchkit.gateway.client import Gateway
from benchkit.gateway.counters import OWN_LAG_S, ServerCounters, gateway_counts, settle
from benchkit.model import CounterReading, ExecutionCount, ServerCounter
from gateway_stub import FakeGateway, Reply, Request, serving


def count(succeeded: int, failed: int = 0) -> ExecutionCount:
    return ExecutionCount(succeeded=succeeded, failed=failed)


class Clock:
    """Time that passes only where somebody sleeps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr("benchkit.gateway.counters.time.monotonic", lambda: self.now)
        monkeypatch.setattr("benchkit.gateway.counters.time.sleep", self.sleep)

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def reading(*values: int) -> Callable[[], dict[str, ExecutionCount]]:
    """Readings of the tools' successes; the last one is repeated."""
    stream = itertools.chain(values, itertools.repeat(values[-1]))
    return lambda: {"tools": count(next(stream))}


def test_both_spellings_of_the_metrics_are_read() -> None:
    fake = FakeGateway()
    fake.is_open = True
    fake.metrics = {
        "tools": {"total_executions": 5, "successful_executions": 3, "failed_executions": 2},
        "resources": {"totalExecutions": 1, "successfulExecutions": 1, "failedExecutions": 0},
        "prompts": {"totalExecutions": 1, "successfulExecutions": None, "failedExecutions": 0},
        "a2aAgents": {"totalAgents": 0},
    }
    with serving(fake) as stub:
        counts = gateway_counts(Gateway.find(stub.url))
        assert counts == {"tools": count(3, 2), "resources": count(1)}
        fake.special["GET", "/v1/metrics"] = lambda _: Reply(body=[])
        assert gateway_counts(Gateway.find(stub.url)) == {}


def test_it_is_settled_when_everything_sent_was_counted(clock: Clock) -> None:
    counts, settled = settle(
        reading(100, 120, 150, 200), {"tools": count(90, 10)}, {"tools": count(90, 10)}, wait_s=15, lag_s=60
    )
    assert (counts["tools"].succeeded, settled) == (200, True)
    assert clock.now == 1003.0


def test_what_never_arrives_is_waited_for_until_nothing_can_come_any_more(clock: Clock) -> None:
    counts, settled = settle(reading(0, 0, 50), {}, {"tools": count(100)}, wait_s=60, lag_s=OWN_LAG_S)
    assert (counts["tools"].succeeded, settled) == (50, True)
    assert clock.now == 1002.0 + OWN_LAG_S


def test_the_wait_is_bounded_and_then_nothing_is_settled(clock: Clock) -> None:
    _, settled = settle(reading(0), {}, {"tools": count(100)}, wait_s=15, lag_s=125)
    assert not settled
    assert clock.now == 1015.0
    assert settle(reading(0), {}, {"tools": count(100)}, wait_s=0, lag_s=125)[1] is False
    assert clock.now == 1015.0


def test_a_kind_that_is_not_counted_is_not_waited_for(clock: Clock) -> None:
    assert settle(dict, {}, {"prompts": count(100)}, wait_s=15, lag_s=8) == ({}, True)
    assert clock.now == 1000.0


def test_a_simulated_server_s_counter() -> None:
    document = {"name": "time1", "instance": "abc", "counts": {"tools/call:get_system_time": {"ok": 7, "failed": 1}}}
    with serving(lambda _: Reply(body=document)) as server:
        read = ServerCounters().read
        url = f"{server.url}/counters"
        assert read(ServerCounter(url=url, key="tools/call:get_system_time")) == CounterReading("abc", 7, 1)
        assert read(ServerCounter(url=url, key="tools/call:convert_time")) == CounterReading("abc", 0, 0)


def test_a_server_that_does_not_answer_with_counters() -> None:
    replies = iter(
        [Reply(404, {}), Reply(raw=b"<html>"), Reply(body=[]), Reply(body={"counts": {}}), Reply(hang_up=True)]
    )

    def handle(_: Request) -> Reply:
        return next(replies)

    with serving(handle) as server:
        for _ in range(5):
            assert ServerCounters().read(ServerCounter(url=server.url, key="x")) is None
    assert ServerCounters().read(ServerCounter(url=server.url, key="x")) is None
