"""When nobody got an answer, and what the slowest requests saw."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchkit.model.cpu_profile import Category, RequestPoint
from benchkit.profiling import stalls
from benchkit.profiling.folding import Names
from benchkit.profiling.rounds import lateness_s
from benchkit.profiling.samples import Frame, Thread
from benchkit.profiling.stalls import Requests, Round
from builders.cpu_profiles import COLLECT, ENDPOINT, LOOP, POLL, QUERY, steady, thread


def with_stall(at_s: float = 1.0, lasts_s: float = 0.3) -> Requests:
    """A request every 20 ms that takes as long; those that would end within the stall end with it."""
    one = steady(100, 0.02, 0.02)
    ends = [
        at_s + lasts_s + 0.001 * number if at_s <= end < at_s + lasts_s else end for number, end in enumerate(one.end_s)
    ]
    return Requests(one.start_s, ends)


def busy(*pieces: tuple[float, float, tuple[Frame, ...]]) -> list[Thread]:
    return [thread(*pieces), thread((0.0, 2.1, (Frame("Queue.get", "queue.py", 171),)), name="pool")]


def stalled(stack: tuple[Frame, ...]) -> Round:
    ordinary = (LOOP, ENDPOINT, QUERY)
    return Round(2, with_stall(), busy((0.0, 1.0, ordinary), (1.0, 1.3, stack), (1.3, 2.1, ordinary)))


def test_a_stall_is_the_silence_and_names_what_filled_it() -> None:
    one = stalled((LOOP, ENDPOINT, COLLECT))
    (found,) = stalls.find_stalls([one], Names(one.threads))
    assert found.round == 2
    assert found.at_s == pytest.approx(0.98, abs=0.03)
    assert found.ms == pytest.approx(320, abs=40)
    assert (found.category, found.mixed) == (Category.GC, False)
    assert found.category_ms == pytest.approx(300, abs=1)
    assert [frame.function for frame in found.path] == ["gc_collect_main", "list_tools", "Runner.run"]
    assert found.path_ms == pytest.approx(300, abs=1)
    assert found.requests >= 15
    assert found.slowest >= 1


def test_a_stall_in_which_nothing_was_done_is_waiting() -> None:
    one = stalled((LOOP, POLL))
    (found,) = stalls.find_stalls([one], Names(one.threads))
    assert found.category is Category.WAITING
    assert found.path == []


def test_a_stall_of_many_things_is_mixed() -> None:
    ordinary = (LOOP, ENDPOINT, QUERY)
    pieces = [
        (0.0, 1.0, ordinary),
        (1.0, 1.1, (LOOP, ENDPOINT)),
        (1.1, 1.2, (LOOP, Frame("loads", "json/__init__.py", 3))),
        (1.2, 1.3, (LOOP, Frame("decode", "jwt/api_jwt.py", 3))),
        (1.3, 2.1, ordinary),
    ]
    one = Round(1, with_stall(), busy(*pieces))
    (found,) = stalls.find_stalls([one], Names(one.threads))
    assert found.mixed


def test_a_stack_that_did_not_change_shows_though_compiled_code_below_it_did() -> None:
    first, second = Frame("(no symbol)", "libc.so.6", 0), Frame("(no symbol)", "libpython3.11.so.1.0", 0)
    ordinary = (LOOP, ENDPOINT, QUERY)
    pieces = [(0.0, 1.0, (LOOP, ENDPOINT)), (1.0, 1.1, (*ordinary, first)), (1.1, 1.3, (*ordinary, second))]
    one = Round(1, with_stall(), busy(*pieces, (1.3, 2.1, (LOOP, ENDPOINT))))
    (found,) = stalls.find_stalls([one], Names(one.threads))
    assert found.unchanged_ms == pytest.approx(300, abs=1)


def test_without_silence_there_is_no_stall() -> None:
    one = Round(1, steady(200, 0.01, 0.02), busy((0.0, 2.1, (LOOP, ENDPOINT))))
    assert stalls.find_stalls([one], Names(one.threads)) == []


def test_frames_that_the_slowest_requests_see_more_often() -> None:
    one = stalled((LOOP, ENDPOINT, COLLECT))
    threshold = stalls.slow_threshold_s([one])
    found = stalls.over_represented([one], threshold, Names(one.threads))
    assert found[0].frame.function == "gc_collect_main"
    assert found[0].share_slow > 0.8
    assert found[0].share_rest < 0.05
    # The event loop is always there, and the query less often.
    assert {each.frame.function for each in found} <= {"gc_collect_main"}


def test_the_slowest_are_one_in_a_hundred_and_at_least_one() -> None:
    one = Round(1, steady(300, 0.01, 0.02), [])
    slow = Requests([0.0, 1.0, 2.0], [0.5, 1.9, 2.1])
    assert stalls.slow_threshold_s([Round(1, slow, [])]) == pytest.approx(0.9)
    assert stalls.slow_threshold_s([one]) == pytest.approx(0.02)


intervals = st.lists(st.tuples(st.floats(0, 100), st.floats(0, 10)).map(lambda pair: (pair[0], pair[0] + pair[1])))


@given(intervals)
def test_a_union_covers_the_same_without_overlap(some: list[tuple[float, float]]) -> None:
    merged = stalls.union(some)
    assert all(before[1] < after[0] for before, after in pairwise(merged))
    for start, end in some:
        assert any(low <= start and end <= high for low, high in merged)


@given(st.lists(st.floats(1, 500), min_size=1, max_size=4000))
def test_reducing_keeps_the_extremes(latencies: list[float]) -> None:
    points = [RequestPoint(at_s=number / 10, ms=ms, slow=ms > 495) for number, ms in enumerate(latencies)]
    kept = stalls.reduced(points)
    assert len(kept) <= 1600 + sum(point.slow for point in points)
    assert max(point.ms for point in kept) == max(latencies)
    assert min(point.ms for point in kept) == min(latencies)
    assert [point for point in points if point.slow] == [point for point in kept if point.slow]


def test_the_timeline_holds_all_work() -> None:
    one = stalled((LOOP, ENDPOINT, COLLECT))
    course = stalls.timeline(one, 0.1)
    assert set(course.shares) == {Category.DATABASE, Category.GC}
    assert sum(course.shares[Category.GC]) == pytest.approx(0.3, abs=0.001)
    assert sum(point.slow for point in course.requests) == sum(value >= 0.1 for value in one.requests.latencies_s)


@pytest.mark.parametrize(
    ("first_s", "late_s"),
    [
        (0.08, 0.08),
        (-0.5, 0.0),  # at work already
        (0.9, 0.0),  # has nothing to do with the first request
    ],
)
def test_samples_are_anchored_at_the_first_work(first_s: float, late_s: float) -> None:
    one = thread((-2.0, first_s, (LOOP, POLL)), (first_s, 3.0, (LOOP, ENDPOINT)))
    assert lateness_s([one], 0.05) == late_s
