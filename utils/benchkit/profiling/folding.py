"""Sum up samples: time per category and per function, and the flame graph. Each of them conserves the total time.

Only work counts: waiting is left out, because the threads of an idle pool would outweigh everything else.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from benchkit.model.cpu_profile import IDLE, LABELS, Category, CategoryTime, Flame, FlameNode, FrameName, FunctionTime
from benchkit.profiling.categories import classify, frame_category, owner, says_something, without_start
from benchkit.profiling.samples import Frame, Slice, Thread

MOST_FUNCTIONS = 30
"""Number of functions to list, those with the largest self or total times."""

SMALLEST_SHARE = 0.001
"""Nodes of the flame graph below this share of all work are folded into one node."""

FOLDED = -1
"""Frame of a node that stands for all nodes that are too small."""

Function = tuple[str, str]
"""A function's name and place, which identify it independently of the sampled line."""


def function_of(frame: Frame) -> Function:
    """Return the function that a frame belongs to."""
    return frame.function, frame.place


def category_seconds(threads: Iterable[Thread]) -> dict[Category, float]:
    """Return the seconds of all threads by category."""
    seconds: defaultdict[Category, float] = defaultdict(float)
    for thread in threads:
        for one in thread.slices:
            seconds[classify(one.stack)] += one.seconds
    return dict(seconds)


def category_times(threads: Iterable[Thread]) -> list[CategoryTime]:
    """Return all categories that occur, the largest first and idle ones last, with their shares of the work."""
    seconds = category_seconds(threads)
    work = sum(value for category, value in seconds.items() if category not in IDLE)
    return [
        CategoryTime(
            category=category,
            label=LABELS[category][0],
            about=LABELS[category][1],
            seconds=round(seconds[category], 6),
            share=None if category in IDLE else round(seconds[category] / work, 6),
        )
        for category in sorted(seconds, key=lambda one: (one in IDLE, -seconds[one], one))
        if seconds[category] > 0
    ]


def working(threads: Iterable[Thread]) -> list[Thread]:
    """Return the threads' work, without the uninformative frames that start a thread or a task."""
    found = []
    for thread in threads:
        slices = [
            Slice(one.start_s, one.end_s, without_start(one.stack))
            for one in thread.slices
            if classify(one.stack) not in IDLE
        ]
        if slices:
            found.append(Thread(thread.name, slices))
    return found


class Names:
    """Names of functions in the document, with the line in which most of their time was spent."""

    def __init__(self, threads: Iterable[Thread]) -> None:
        lines: defaultdict[Function, defaultdict[int, float]] = defaultdict(lambda: defaultdict(float))
        for thread in threads:
            for one in thread.slices:
                for frame in one.stack:
                    lines[function_of(frame)][frame.line] += one.seconds
        self._lines = {
            function: max(seconds.items(), key=lambda item: (item[1], -item[0]))[0]
            for function, seconds in lines.items()
        }

    def of(self, function: Function) -> FrameName:
        """Return the function's name for the document."""
        name, place = function
        line = self._lines.get(function, 0)
        return FrameName(function=name, place=place, line=line, category=frame_category(Frame(name, place, line)))


def function_times(work: Sequence[Thread], names: Names) -> list[FunctionTime]:
    """Return the functions with the largest times, sorted by self time.

    A function's self time includes the compiled code that it called: ``(no symbol)`` in a library is not informative,
    its caller is. Only the collector is listed itself.
    """
    own: defaultdict[Function, float] = defaultdict(float)
    total: defaultdict[Function, float] = defaultdict(float)
    for thread in work:
        for one in thread.slices:
            whose = function_of(owner(one.stack))
            own[whose] += one.seconds
            for function in {whose, *(function_of(frame) for frame in one.stack if says_something(frame))}:
                total[function] += one.seconds
    most = sorted(own, key=lambda one: (-own[one], one))[:MOST_FUNCTIONS]
    most += sorted(total, key=lambda one: (-total[one], one))[: MOST_FUNCTIONS // 2]
    return [
        FunctionTime(frame=names.of(one), self_s=round(own[one], 6), total_s=round(total[one], 6))
        for one in sorted(set(most), key=lambda one: (-own[one], -total[one], one))
    ]


# ---------------------------------------------------------------------------------------------------------------------
# The flame graph


@dataclass
class _Node:
    seconds: float = 0.0
    below: dict[Function, _Node] = field(default_factory=dict)


def flame(work: Sequence[Thread], names: Names, smallest_share: float = SMALLEST_SHARE) -> Flame:
    """Merge all stacks, from the outermost frame inwards.

    Nodes below ``smallest_share`` of all work are folded: one node next to their larger siblings stands for them.
    """
    root = _Node()
    for thread in work:
        for one in thread.slices:
            root.seconds += one.seconds
            node = root
            for frame in one.stack:
                node = node.below.setdefault(function_of(frame), _Node())
                node.seconds += one.seconds
    frames: dict[Function, int] = {}
    nodes: list[FlameNode] = []
    # Iterative, because a stack may be deeper than Python's recursion limit.
    todo: list[tuple[int, Function | None, _Node]] = [
        (0, function, node) for function, node in _by_size(root, root.seconds * smallest_share)
    ]
    while todo:
        depth, function, node = todo.pop(0)
        number = FOLDED if function is None else frames.setdefault(function, len(frames))
        nodes.append(FlameNode(frame=number, depth=depth, ms=round(node.seconds * 1000, 3)))
        todo[:0] = [(depth + 1, inner, below) for inner, below in _by_size(node, root.seconds * smallest_share)]
    return Flame(total_ms=round(root.seconds * 1000, 3), frames=[names.of(one) for one in frames], nodes=nodes)


def _by_size(node: _Node, smallest_s: float) -> list[tuple[Function | None, _Node]]:
    """Return a node's children, the largest first, and one node for those that are too small, if any."""
    large: list[tuple[Function | None, _Node]] = [
        (function, below)
        for function, below in sorted(node.below.items(), key=lambda item: (-item[1].seconds, item[0]))
        if below.seconds >= smallest_s
    ]
    small = sum(below.seconds for below in node.below.values() if below.seconds < smallest_s)
    return [*large, (None, _Node(small))] if small > 0 else large
