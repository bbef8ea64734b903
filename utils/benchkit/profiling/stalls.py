"""When the gateway answered nobody, which requests were the slowest, and what was on the stack meanwhile.

Everything here is on one clock, in seconds: that of the round, which starts with its load.
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
"""The share of requests that counts as the slowest."""

SLOW = 0.05
"""The share of requests that is searched for stalls. One stall holds up all requests that are under way, so among the
slowest 1 % of them may be those of a single one."""

SHORTEST_STALL_S = 0.05
"""A stretch without answers that is shorter is none of interest, however fast the gateway is otherwise."""

MOST_STALLS = 20
SHARED = 0.7
"""A path is shown as far in as so much of a stall's work shares it."""

MOSTLY = 0.5
"""A stall is of a category that takes so much of it."""

PATH_FRAMES = 4
MOST_OVER = 15
LEAST_OVER = 0.05
"""A frame that the slowest requests see more often has to be on the stack for so much more of their time."""

_SAME = 0.02
_DUST_S = 1e-9
_MOST_POINTS = 1500
_MOST_BUCKETS = 400


@dataclass(frozen=True)
class Requests:
    """The requests of one round: begin and end in seconds, one entry for each, in order of begin."""

    start_s: list[float]
    end_s: list[float]

    def __len__(self) -> int:
        return len(self.start_s)

    @property
    def latencies_s(self) -> list[float]:
        """How long each took."""
        return [end - start for start, end in zip(self.start_s, self.end_s, strict=True)]


@dataclass(frozen=True)
class Round:
    """A sampled round: its number, its requests, and the threads' slices during its load."""

    number: int
    requests: Requests
    threads: list[Thread]

    @property
    def load_s(self) -> float:
        """How long the load took."""
        return max(self.requests.end_s, default=0.0)


def slow_threshold_s(rounds: Iterable[Round], share: float = SLOWEST) -> float:
    """The latency of the fastest of so large a share of all requests, the slowest: who took as long is one of them."""
    latencies = sorted((value for one in rounds for value in one.requests.latencies_s), reverse=True)
    return latencies[max(1, math.ceil(share * len(latencies))) - 1]


def slow_windows(requests: Requests, threshold_s: float) -> list[tuple[float, float]]:
    """When at least one request was under way that takes as long as the threshold, or longer."""
    return union(
        (start, end)
        for start, end in zip(requests.start_s, requests.end_s, strict=True)
        if end - start >= threshold_s - _DUST_S
    )


def union(intervals: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """The same stretches of time without overlap, in order."""
    merged: list[tuple[float, float]] = []
    for start, end in sorted(intervals):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


# ---------------------------------------------------------------------------------------------------------------------
# Stretches without an answer


def find_stalls(rounds: Sequence[Round], names: Names) -> list[Stall]:
    """The longest stretches without any answer while slow requests were under way, in order of time."""
    slow_s, slowest_s = slow_threshold_s(rounds, SLOW), slow_threshold_s(rounds)
    found = [
        _stall(one, start, end, slowest_s, names)
        for one in rounds
        for start, end in silent_stretches(one.requests, slow_s)
    ]
    longest = sorted(found, key=lambda stall: -stall.ms)[:MOST_STALLS]
    return sorted(longest, key=lambda stall: (stall.round, stall.at_s))


def silent_stretches(requests: Requests, threshold_s: float) -> list[tuple[float, float]]:
    """For each stretch of time in which slow requests were under way: the longest part of it without any answer."""
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
    """What took the most of so many seconds, and how much of them: waiting, where little work was done."""
    work = {category: spent for category, spent in category_seconds(threads).items() if category not in IDLE}
    idle_s = seconds - sum(work.values())
    if not work or idle_s > (1 - MOSTLY) * seconds:
        return Category.WAITING, idle_s
    return max(work.items(), key=lambda item: item[1])


def shared_path(slices: Sequence[Slice]) -> tuple[list[Frame], float]:
    """The frames, innermost first, that most of the work shares, and for how long: inwards as far as that is so."""
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
    # What all of the loop's work shares, and no more than that, is no answer.
    if not work or depth == 0 or classify(work[0].stack[:depth]) in (Category.LOOP, Category.OTHER):
        return [], 0.0
    shared = work[0].stack[:depth]
    telling = [frame for frame in shared if says_something(frame)] or list(shared)
    return list(reversed(telling[-PATH_FRAMES:])), shared_s


def _longest_unchanged(threads: Iterable[Thread]) -> float:
    """The longest time in which a working thread's Python frames stayed the same; compiled code does not count."""
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
# What the slowest requests saw


def over_represented(rounds: Sequence[Round], threshold_s: float, names: Names) -> list[OverFrame]:
    """Frames that are on the stack for more of the time while the slowest requests are under way than otherwise.

    A share is seconds on any thread's stack for each second of time, waiting included. Of frames that are always on the
    stack together only the innermost is listed.
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
    # Among those that differ by about as much the innermost comes first: it is nearer to the cause.
    listed.sort(key=lambda function: round(10 * (shares[function][1] - shares[function][0])))
    return [
        OverFrame(frame=names.of(one), share_slow=round(shares[one][0], 4), share_rest=round(shares[one][1], 4))
        for one in listed[:MOST_OVER]
    ]


class _Presence:
    """For how long each function was on a working thread's stack within some stretches of time, and how deep."""

    def __init__(self) -> None:
        self.time_s = 0.0
        self._seconds: defaultdict[Function, float] = defaultdict(float)
        self._depths: defaultdict[Function, float] = defaultdict(float)

    @property
    def functions(self) -> list[Function]:
        """All that were seen."""
        return list(self._seconds)

    def add(self, threads: Iterable[Thread], windows: Sequence[tuple[float, float]]) -> None:
        """Count what lies within these stretches as well."""
        self.time_s += sum(end - start for start, end in windows)
        for thread in threads:
            for start, end in windows:
                for one in within(thread.slices, start, end):
                    if classify(one.stack) not in IDLE:
                        self._count(one)

    def share(self, function: Function) -> float:
        """Seconds on the stack for each second of time."""
        return self._seconds[function] / self.time_s

    def depth(self, function: Function) -> float:
        """Its mean depth."""
        return self._depths[function] / self._seconds[function]

    def _count(self, one: Slice) -> None:
        # A function that is on a stack twice is there once.
        telling = {function_of(frame): depth for depth, frame in enumerate(one.stack) if says_something(frame)}
        for function, depth in telling.items():
            self._seconds[function] += one.seconds
            self._depths[function] += depth * one.seconds


def _between(windows: Sequence[tuple[float, float]], end_s: float) -> list[tuple[float, float]]:
    """What lies outside the windows, from 0 to the end."""
    edges = [0.0, *(edge for window in windows for edge in window), end_s]
    return [(start, end) for start, end in zip(edges[::2], edges[1::2], strict=True) if end > start]


# ---------------------------------------------------------------------------------------------------------------------
# Over time


def timeline(one: Round, threshold_s: float) -> SampledRound:
    """The round over time, reduced for the page: of the requests the slowest stay."""
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
    """At most about 1500 points: of each stretch the slowest and the fastest, and every one of the slowest 1 %."""
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
    """Add a slice's seconds to the buckets that it lies in."""
    first = max(0, int(piece.start_s / bucket_s))
    last = min(len(row) - 1, int(piece.end_s / bucket_s))
    for number in range(first, last + 1):
        start, end = max(piece.start_s, number * bucket_s), min(piece.end_s, (number + 1) * bucket_s)
        row[number] += max(0.0, end - start)
