"""Who counted the work: the gateway, and the simulated servers."""

from __future__ import annotations

import itertools

import pytest

from benchkit.gateway.client import Gateway
from benchkit.gateway.counters import (
    CountReader,
    ServerCounters,
    gateway_counts,
    lag_of,
    settle,
    wait_until_still,
)
from benchkit.model import CounterReading, ExecutionCount, ServerCounter
from builders.gateway_stub import FakeGateway, Reply, Request, serving


def count(succeeded: int, failed: int = 0) -> ExecutionCount:
    return ExecutionCount(succeeded=succeeded, failed=failed)


def silent(_: str) -> None:
    """Nobody is told."""


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


def reading(*values: int | tuple[int, int]) -> CountReader:
    """Readings of the tools' successes (and failures); the last one is repeated."""
    stream = itertools.chain(values, itertools.repeat(values[-1]))
    return CountReader(lambda: {"tools": count(*one) if isinstance(one := next(stream), tuple) else count(one)})


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


@pytest.mark.parametrize("wrong", [None, True, -1, 2**63, "12", 1.5, [], {}])
def test_what_is_no_count_is_not_taken_for_one(wrong: object) -> None:
    fake = FakeGateway()
    fake.is_open = True
    fake.metrics = {
        "tools": {"successfulExecutions": wrong, "failedExecutions": 0},
        "resources": {"successfulExecutions": 0, "failedExecutions": wrong},
        "prompts": {"successfulExecutions": 4, "failedExecutions": 0},
    }
    with serving(fake) as stub:
        assert gateway_counts(Gateway.find(stub.url)) == {"prompts": count(4)}


def test_it_is_settled_when_everything_sent_was_counted(clock: Clock) -> None:
    counts, settled = settle(
        reading((100, 0), (120, 5), (170, 5), (190, 20)),
        {"tools": count(90, 10)},
        {"tools": count(90, 10)},
        wait_s=15,
        lag_s=60,
        tell=silent,
    )
    assert (counts["tools"].succeeded, settled) == (190, True)
    assert clock.now == 1003.0


def test_what_never_arrives_is_waited_for_until_nothing_can_come_any_more(clock: Clock) -> None:
    counts, settled = settle(reading(0, 0, 50), {}, {"tools": count(100)}, wait_s=60, lag_s=8, tell=silent)
    assert (counts["tools"].succeeded, settled) == (50, True)
    assert clock.now == 1010.0


def test_the_wait_is_bounded_and_then_nothing_is_settled(clock: Clock) -> None:
    _, settled = settle(reading(0), {}, {"tools": count(100)}, wait_s=15, lag_s=125, tell=silent)
    assert not settled
    assert clock.now == 1015.0
    assert settle(reading(0), {}, {"tools": count(100)}, wait_s=0, lag_s=125, tell=silent)[1] is False
    assert clock.now == 1015.0


def test_failures_of_an_earlier_run_do_not_stand_for_executions_that_are_still_to_come(clock: Clock) -> None:
    # 60 failures of an earlier run and 40 of the 100 that were sent: as many as were sent, and not them.
    counts, settled = settle(
        reading((40, 60), (40, 60), (100, 60)), {}, {"tools": count(100)}, wait_s=15, lag_s=8, tell=silent
    )
    assert (counts["tools"], settled) == (count(100, 60), True)


def test_failures_nobody_expected_are_waited_for_longer_and_that_is_told(clock: Clock) -> None:
    told: list[str] = []
    counts, settled = settle(reading((10, 60)), {}, {"tools": count(100)}, wait_s=15, lag_s=125, tell=told.append)
    assert (counts["tools"], settled) == (count(10, 60), True)
    assert clock.now == 1015.0 + 125.0
    assert told == [
        "the gateway counts more failures than were expected: waiting until its counts stand still, 250 s at most"
    ]


def test_a_kind_that_is_not_counted_is_not_waited_for(clock: Clock) -> None:
    empty = CountReader(dict)
    assert settle(empty, {}, {"prompts": count(100)}, wait_s=15, lag_s=8, tell=silent) == ({}, True)
    assert clock.now == 1000.0


def test_a_first_reading_that_stands_still_costs_no_time(clock: Clock) -> None:
    told: list[str] = []
    first = {"tools": count(7, 2)}
    assert wait_until_still(reading((7, 2)), first, wait_s=15, lag_s=8, tell=told.append) == (first, True)
    assert (clock.now, told) == (1000.0, [])


def test_counts_of_an_earlier_run_are_waited_for_before_the_load(clock: Clock) -> None:
    told: list[str] = []
    reader = reading(100, 150, 150, 200)
    counts, still = wait_until_still(reader, {"tools": count(90)}, wait_s=30, lag_s=8, tell=told.append)
    assert (counts["tools"].succeeded, still) == (200, True)
    assert clock.now == 1011.0
    assert told == ["the gateway still counts work from before this run: waiting until that ends, 30 s at most"]


def test_counts_that_never_stand_still_are_waited_for_to_the_bound(clock: Clock) -> None:
    replicas = reading(*[1000, 400] * 50)
    _, still = wait_until_still(replicas, {"tools": count(400)}, wait_s=15, lag_s=8, tell=silent)
    assert (still, clock.now) == (False, 1015.0)
    assert replicas.fell == {"tools"}


def test_a_count_that_fell_is_noticed_even_when_it_has_grown_again() -> None:
    reader = reading((100, 5), (150, 5), (20, 5), (300, 9))
    for _ in range(2):
        reader.read()
    assert reader.fell == set()
    for _ in range(2):
        reader.read()
    assert reader.fell == {"tools"}


@pytest.mark.parametrize(
    ("settings", "seconds"),
    [
        ({"METRICS_BUFFER_FLUSH_INTERVAL": "5", "METRICS_CACHE_TTL_SECONDS": "1"}, 8),
        ({"METRICS_BUFFER_FLUSH_INTERVAL": "60", "METRICS_CACHE_TTL_SECONDS": "1"}, 63),
        ({}, 122),
        ({"METRICS_BUFFER_FLUSH_INTERVAL": "soon", "METRICS_CACHE_TTL_SECONDS": "nan"}, 122),
        ({"METRICS_BUFFER_FLUSH_INTERVAL": "-3", "METRICS_CACHE_TTL_SECONDS": "inf"}, 122),
    ],
)
def test_how_late_a_gateway_counts_follows_from_its_settings(settings: dict[str, str], seconds: float) -> None:
    assert lag_of(settings) == seconds


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
