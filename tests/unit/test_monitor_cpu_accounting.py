"""Processor time of processes that come and go, memory that is shared, and when the next sample is due."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchkit.monitor.cpu_accounting import CpuAccounting, Memory, Pace, Times, family_bytes

SHELL = 1
PARENTS = {1: 0, 2: 1, 3: 1, 4: 2}


def times(own: float, reaped: float = 0.0) -> Times:
    return Times(own, reaped)


def used(ledger: CpuAccounting, now: dict[int, Times]) -> float | None:
    return ledger.used(now, {pid: PARENTS[pid] for pid in now})


def test_the_first_sample_says_nothing_of_what_was_before() -> None:
    ledger = CpuAccounting()
    assert used(ledger, {1: times(50.0, 20.0)}) is None
    assert used(ledger, {1: times(50.5, 20.0)}) == pytest.approx(0.5)


def test_a_process_that_was_never_seen_counts_by_what_its_parent_waited_for() -> None:
    ledger = CpuAccounting()
    used(ledger, {1: times(0.0, 3.0)})
    assert used(ledger, {1: times(0.0, 3.7)}) == pytest.approx(0.7)


def test_of_one_that_was_seen_only_the_rest_is_added_when_it_ends() -> None:
    ledger = CpuAccounting()
    used(ledger, {1: times(0.0)})
    assert used(ledger, {1: times(0.0), 2: times(0.9)}) == pytest.approx(0.9)
    assert used(ledger, {1: times(0.0, 1.3)}) == pytest.approx(0.4)
    assert used(ledger, {1: times(0.0, 1.3)}) == 0.0


def test_who_waits_for_one_that_waited_gets_both_and_both_are_taken_off() -> None:
    ledger = CpuAccounting()
    used(ledger, {1: times(0.0)})
    used(ledger, {1: times(0.0), 2: times(0.5), 4: times(1.0)})
    # 4 ended with 1.2, 2 waited for it and ended with 0.6 of its own; 1 waited for 2.
    assert used(ledger, {1: times(0.0, 1.8)}) == pytest.approx(0.3)


def test_what_an_ended_one_had_waited_for_before_is_taken_off_too() -> None:
    ledger = CpuAccounting()
    used(ledger, {1: times(0.0)})
    assert used(ledger, {1: times(0.0), 2: times(0.5, 1.0)}) == pytest.approx(1.5)
    assert used(ledger, {1: times(0.0, 1.6)}) == pytest.approx(0.1)


def test_one_that_ends_between_its_parents_reading_and_its_own_is_settled_a_sample_later() -> None:
    ledger = CpuAccounting()
    used(ledger, {1: times(0.0)})
    used(ledger, {1: times(0.0), 2: times(0.9)})
    assert used(ledger, {1: times(0.0, 0.0)}) == 0.0  # gone, and not yet in the parent's times
    assert used(ledger, {1: times(0.0, 1.0)}) == pytest.approx(0.1)
    assert used(ledger, {1: times(0.0, 1.5)}) == pytest.approx(0.5)


def test_children_that_nobody_waits_for_take_nothing_off_for_long() -> None:
    ledger = CpuAccounting()
    used(ledger, {1: times(0.0)})
    used(ledger, {1: times(0.0), 2: times(5.0)})
    assert used(ledger, {1: times(0.2)}) == pytest.approx(0.2)
    assert used(ledger, {1: times(0.2)}) == 0.0
    assert used(ledger, {1: times(0.2, 1.0)}) == pytest.approx(1.0)


def test_an_orphan_goes_on_to_count() -> None:
    ledger = CpuAccounting()
    used(ledger, {1: times(0.0), 2: times(0.0), 4: times(1.0)})
    assert used(ledger, {1: times(0.0, 0.0), 4: times(1.5)}) == pytest.approx(0.5)


@settings(deadline=None)  # as long as a busy machine makes it
@given(
    st.lists(
        st.tuples(st.integers(0, 6), st.integers(1, 8), st.lists(st.integers(0, 50), min_size=8, max_size=8)),
        max_size=12,
    )
)
def test_whatever_comes_and_goes_nothing_is_lost_and_nothing_counted_twice(
    lives: list[tuple[int, int, list[int]]],
) -> None:
    """Children of a shell: each begins at a sample, lives for some, and uses so many ticks in each interval."""
    ledger = CpuAccounting()
    total = 0.0
    ends = max((begin + length for begin, length, _ in lives), default=0)
    for moment in range(ends + 2):
        now = {
            SHELL: times(0.0, sum(sum(ticks[:length]) for begin, length, ticks in lives if begin + length <= moment))
        }
        for number, (begin, length, ticks) in enumerate(lives, start=10):
            # Seen from the sample after its begin on, if it still lives then.
            if begin < moment < begin + length:
                now[number] = times(sum(ticks[: moment - begin]))
        one = ledger.used(now, dict.fromkeys(now, SHELL) | {SHELL: 0})
        assert one is None or one >= 0
        total += one or 0.0
    assert total == pytest.approx(sum(sum(ticks[:length]) for _, length, ticks in lives))


def test_shared_memory_counts_once() -> None:
    assert family_bytes([]) == 0
    assert family_bytes([Memory(100, 30)]) == 100
    assert family_bytes([Memory(100, 80), Memory(90, 80), Memory(85, 60)]) == 20 + 10 + 25 + 80
    assert family_bytes([Memory(100, 0), Memory(50, 0)]) == 150  # where the system does not tell what is shared


def test_samples_are_due_at_whole_intervals() -> None:
    pace = Pace(interval_s=1.0, share=0.015, start=100.0, used_at_start=0.5)
    assert pace.due(100.004, 0.504) == 101.0
    assert pace.due(101.7, 0.51) == 102.0
    assert pace.due(104.2, 0.52) == 105.0  # what was missed is not made up for


@settings(deadline=None)  # as long as a busy machine makes it
@given(st.lists(st.floats(0.0001, 0.2), min_size=20, max_size=60))
def test_samples_never_take_more_than_their_share(costs: list[float]) -> None:
    pace = Pace(interval_s=1.0, share=0.015, start=0.0, used_at_start=0.0)
    now = spent = 0.0
    for cost in costs:
        spent += cost
        now = pace.due(now + cost, spent)
        assert spent <= 0.015 * now + 1e-9
        assert now == pytest.approx(round(now))
