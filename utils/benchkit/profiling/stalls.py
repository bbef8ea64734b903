"""Find periods without answers and the slowest requests, and what was on the stack during them.

All times are in seconds on the round's clock, which starts with its load.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from benchkit.model.cpu_profile import IDLE, Category, OverFrame, RequestPoint, SampledRound, Stall
from benchkit.profiling.categories import classify, says_something
from benchkit.profiling.folding import Function, Names, category_seconds, function_of
from benchkit.profiling.samples import Frame, Slice, Thread, clipped, is_python, within

SLOWEST = 0.01
"""Share of requests that count as the slowest."""

SLOW = 0.05
"""Share of requests that is searched for stalls. It is larger, because one stall delays all requests in flight, so the
slowest 1 % may all belong to a single stall."""

SHORTEST_STALL_S = 0.05
"""Minimum length of a stall in seconds, however fast the gateway is otherwise."""

MOST_STALLS = 20
SHARED = 0.7
"""A path is shown up to the innermost frame that this share of a stall's work has in common."""

MOSTLY = 0.5
"""Share of a stall's time that makes a category its explanation."""

PATH_FRAMES = 4
MOST_OVER = 15
LEAST_OVER = 0.05
"""Minimum difference between a frame's shares of the time with and without slow requests."""

_SAME = 0.02
_DUST_S = 1e-9
_MOST_POINTS = 1500
_MOST_BUCKETS = 400


@dataclass(frozen=True)
class Requests:
    """The requests of one round: start and end in seconds, one entry each, sorted by start."""

    start_s: list[float]
    end_s: list[float]

    def __len__(self) -> int:
        return len(self.start_s)

    @property
    def latencies_s(self) -> list[float]:
        """The duration of each request."""
        return [end - start for start, end in zip(self.start_s, self.end_s, strict=True)]


@dataclass(frozen=True)
class Round:
    """A sampled round: its number, its requests, and the threads' slices during its load."""

    number: int
    requests: Requests
    threads: list[Thread]

    @property
    def load_s(self) -> float:
        """The duration of the load."""
        return max(self.requests.end_s, default=0.0)


def slow_threshold_s(rounds: Iterable[Round], share: float = SLOWEST) -> float:
    """Return the latency from which on a request belongs to the slowest ``share`` of all requests."""
    latencies = sorted((value for one in rounds for value in one.requests.latencies_s), reverse=True)
    return latencies[max(1, math.ceil(share * len(latencies))) - 1]


def slow_windows(requests: Requests, threshold_s: float) -> list[tuple[float, float]]:
    """Return when at least one request with a latency of the threshold or more was in flight."""
    return union(
        (start, end)
        for start, end in zip(requests.start_s, requests.end_s, strict=True)
        if end - start >= threshold_s - _DUST_S
    )


def union(intervals: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the intervals merged, without overlap and sorted."""
    merged: list[tuple[float, float]] = []
    for start, end in sorted(intervals):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


# ---------------------------------------------------------------------------------------------------------------------
# Periods without an answer


def find_stalls(rounds: Sequence[Round], names: Names) -> list[Stall]:
    """Return the longest periods without any answer during slow requests, in order of time."""
    slow_s, slowest_s = slow_threshold_s(rounds, SLOW), slow_threshold_s(rounds)
    found = [
        _stall(one, start, end, slowest_s, names)
        for one in rounds
        for start, end in silent_stretches(one.requests, slow_s)
    ]
    longest = sorted(found, key=lambda stall: -stall.ms)[:MOST_STALLS]
    return sorted(longest, key=lambda stall: (stall.round, stall.at_s))


def silent_stretches(requests: Requests, threshold_s: float) -> list[tuple[float, float]]:
    """Return the longest period without any answer for each period with slow requests."""
    answers = [0.0, *sorted(requests.end_s)]
    found = set()
    for start, end in slow_windows(requests, threshold_s):
        gaps = [(before, after) for before, after in pairwise(answers) if after > start and before < end]
        longest = max(gaps, key=lambda gap: gap[1] - gap[0], default=(0.0, 0.0))
        if longest[1] - longest[0] >= SHORTEST_STALL_S:
            found.add(longest)
    return sorted(found)


def _stall(one: Round, start: float, end: float, slowest_s: float, names: Names) -> Stall:
    waiting = [
        latency
        for begin, latency in zip(one.requests.start_s, one.requests.latencies_s, strict=True)
        if begin < end and begin + latency > start
    ]
    threads = clipped(one.threads, start, end)
    category, spent_s = _mostly(threads, end - start)
    mixed = spent_s < MOSTLY * (end - start)
    pieces = [piece for thread in threads for piece in thread.slices]
    path, path_s = shared_path(pieces if mixed else [piece for piece in pieces if classify(piece.stack) is category])
    return Stall(
        round=one.number,
        at_s=round(start, 3),
        ms=round((end - start) * 1000, 1),
        requests=len(waiting),
        slowest=sum(latency >= slowest_s - _DUST_S for latency in waiting),
        category=category,
        category_ms=round(spent_s * 1000, 1),
        mixed=mixed,
        path=[names.of(function_of(frame)).model_copy(update={"line": frame.line}) for frame in path],
        path_ms=round(path_s * 1000, 1),
        unchanged_ms=round(_longest_unchanged(threads) * 1000, 1),
    )


def _mostly(threads: Sequence[Thread], seconds: float) -> tuple[Category, float]:
    """Return the category with the most time, and that time; it is ``WAITING`` if there was little work."""
    work = {category: spent for category, spent in category_seconds(threads).items() if category not in IDLE}
    idle_s = seconds - sum(work.values())
    if not work or idle_s > (1 - MOSTLY) * seconds:
        return Category.WAITING, idle_s
    return max(work.items(), key=lambda item: item[1])


def shared_path(slices: Sequence[Slice]) -> tuple[list[Frame], float]:
    """Return the frames that most of the work shares, innermost first, and the time that they share."""
    work = [one for one in slices if classify(one.stack) not in IDLE]
    total = sum(one.seconds for one in work)
    depth, shared_s = 0, total
    while work:
        seconds: defaultdict[Frame, float] = defaultdict(float)
        for one in work:
            if len(one.stack) > depth:
                seconds[one.stack[depth]] += one.seconds
        if not seconds:
            break
        frame, longest = max(seconds.items(), key=lambda item: item[1])
        if longest < SHARED * total:
            break
        work = [one for one in work if len(one.stack) > depth and one.stack[depth] == frame]
        depth, shared_s = depth + 1, longest
    # A path that ends in the event loop explains nothing.
    if not work or depth == 0 or classify(work[0].stack[:depth]) in (Category.LOOP, Category.OTHER):
        return [], 0.0
    shared = work[0].stack[:depth]
    telling = [frame for frame in shared if says_something(frame)] or list(shared)
    return list(reversed(telling[-PATH_FRAMES:])), shared_s


def _longest_unchanged(threads: Iterable[Thread]) -> float:
    """Return the longest time in which a working thread's Python frames did not change; compiled code is ignored."""
    longest = 0.0
    for thread in threads:
        run_s, previous, reached = 0.0, None, -1.0
        for one in thread.slices:
            if classify(one.stack) in IDLE:
                previous = None
                continue
            visible = tuple(frame for frame in one.stack if is_python(frame))
            run_s = run_s + one.seconds if visible == previous and one.start_s <= reached + 1e-6 else one.seconds
            previous, reached = visible, one.end_s
            longest = max(longest, run_s)
    return longest


# ---------------------------------------------------------------------------------------------------------------------
# Frames during the slowest requests


def over_represented(rounds: Sequence[Round], threshold_s: float, names: Names) -> list[OverFrame]:
    """Return frames that are on the stack for more of the time during the slowest requests than otherwise.

    A share is seconds on any thread's stack per second of time. Of frames that are always on the stack together, only
    the innermost is listed.
    """
    slow, rest = _Presence(), _Presence()
    for one in rounds:
        windows = slow_windows(one.requests, threshold_s)
        slow.add(one.threads, windows)
        rest.add(one.threads, _between(windows, one.load_s))
    if slow.time_s <= 0 or rest.time_s <= 0:
        return []
    shares = {function: (slow.share(function), rest.share(function)) for function in slow.functions}
    candidates = [function for function, (here, there) in shares.items() if here - there >= LEAST_OVER]
    listed: list[Function] = []
    for function in sorted(candidates, key=lambda one: (-slow.depth(one), one)):
        if all(abs(shares[function][0] - shares[other][0]) > _SAME for other in listed):
            listed.append(function)
    # If differences are similar, the innermost frame comes first, because it is nearer to the cause.
    listed.sort(key=lambda function: round(10 * (shares[function][1] - shares[function][0])))
    return [
        OverFrame(frame=names.of(one), share_slow=round(shares[one][0], 4), share_rest=round(shares[one][1], 4))
        for one in listed[:MOST_OVER]
    ]


class _Presence:
    """Time and mean depth of each function on working threads' stacks, within some periods."""

    def __init__(self) -> None:
        self.time_s = 0.0
        self._seconds: defaultdict[Function, float] = defaultdict(float)
        self._depths: defaultdict[Function, float] = defaultdict(float)

    @property
    def functions(self) -> list[Function]:
        """All functions that were seen."""
        return list(self._seconds)

    def add(self, threads: Iterable[Thread], windows: Sequence[tuple[float, float]]) -> None:
        """Add the slices within these periods."""
        self.time_s += sum(end - start for start, end in windows)
        for thread in threads:
            for start, end in windows:
                for one in within(thread.slices, start, end):
                    if classify(one.stack) not in IDLE:
                        self._count(one)

    def share(self, function: Function) -> float:
        """Return seconds on the stack per second of time."""
        return self._seconds[function] / self.time_s

    def depth(self, function: Function) -> float:
        """Return its mean depth."""
        return self._depths[function] / self._seconds[function]

    def _count(self, one: Slice) -> None:
        # Count a function once even if it is on the stack twice.
        telling = {function_of(frame): depth for depth, frame in enumerate(one.stack) if says_something(frame)}
        for function, depth in telling.items():
            self._seconds[function] += one.seconds
            self._depths[function] += depth * one.seconds


def _between(windows: Sequence[tuple[float, float]], end_s: float) -> list[tuple[float, float]]:
    """Return the intervals outside the windows, from 0 to the end."""
    edges = [0.0, *(edge for window in windows for edge in window), end_s]
    return [(start, end) for start, end in zip(edges[::2], edges[1::2], strict=True) if end > start]


# ---------------------------------------------------------------------------------------------------------------------
# Timeline


def timeline(one: Round, threshold_s: float) -> SampledRound:
    """Return the round over time, reduced for the page; the slowest requests are kept."""
    points = [
        RequestPoint(at_s=round(start, 4), ms=round((end - start) * 1000, 1), slow=end - start >= threshold_s - _DUST_S)
        for start, end in zip(one.requests.start_s, one.requests.end_s, strict=True)
    ]
    bucket_s = _bucket_s(one.load_s)
    buckets = max(1, math.ceil(one.load_s / bucket_s))
    shares: dict[Category, list[float]] = {}
    for thread in one.threads:
        for piece in thread.slices:
            category = classify(piece.stack)
            if category not in IDLE:
                _spread(piece, shares.setdefault(category, [0.0] * buckets), bucket_s)
    return SampledRound(
        round=one.number,
        requests=reduced(points),
        bucket_s=bucket_s,
        shares={category: [round(value, 4) for value in row] for category, row in sorted(shares.items())},
    )


def reduced(points: Sequence[RequestPoint]) -> list[RequestPoint]:
    """Return about 1500 points at most: the slowest and the fastest of each stretch, and all of the slowest 1 %."""
    if len(points) <= _MOST_POINTS:
        return list(points)
    size = math.ceil(len(points) / (_MOST_POINTS / 2))
    kept: set[int] = {number for number, point in enumerate(points) if point.slow}
    for first in range(0, len(points), size):
        stretch = range(first, min(first + size, len(points)))
        kept |= {
            max(stretch, key=lambda number: points[number].ms),
            min(stretch, key=lambda number: points[number].ms),
        }
    return [points[number] for number in sorted(kept)]


def _bucket_s(load_s: float) -> float:
    for bucket in (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0):
        if load_s <= bucket * _MOST_BUCKETS:
            return bucket
    return 60.0


def _spread(piece: Slice, row: list[float], bucket_s: float) -> None:
    """Add a slice's seconds to the buckets that it overlaps."""
    first = max(0, int(piece.start_s / bucket_s))
    last = min(len(row) - 1, int(piece.end_s / bucket_s))
    for number in range(first, last + 1):
        start, end = max(piece.start_s, number * bucket_s), min(piece.end_s, (number + 1) * bucket_s)
        row[number] += max(0.0, end - start)
