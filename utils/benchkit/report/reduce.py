"""Long series made short for a page, in such a way that no peak and no valley is lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Values = Sequence[float | None]

MAX_SLOTS = 300
"""How many pieces of time a series is cut into; each keeps two values. A chart has about so many pixels to a value."""


@dataclass(frozen=True)
class Reduced:
    """Series on one axis. ``at`` in seconds, rising; ``None`` is a moment at which nothing was seen."""

    at: list[float]
    series: list[list[float | None]]


def reduced(at: Sequence[float], series: Sequence[Values], slots: int = MAX_SLOTS) -> Reduced:
    """Cut the axis into equal pieces of time and keep of each its smallest and its largest value, in their order.

    Every series gets the same moments, so that they can be read beside each other: the pieces' beginnings and middles.
    A value is moved by less than one piece. What has at most two values for each piece stays as it is.
    """
    if len(at) <= 2 * slots:
        return Reduced(list(at), [list(one) for one in series])
    first, last = at[0], at[-1]
    width = (last - first) / slots
    pieces: list[list[int]] = [[] for _ in range(slots)]
    for place, moment in enumerate(at):
        pieces[min(int((moment - first) / width), slots - 1)].append(place)
    used = [(number, places) for number, places in enumerate(pieces) if places]
    moments = [first + (number + half) * width for number, _ in used for half in (0.0, 0.5)]
    return Reduced(
        [round(moment, 1) for moment in moments],
        [[value for _, places in used for value in _extremes([one[place] for place in places])] for one in series],
    )


def _extremes(values: Values) -> tuple[float | None, float | None]:
    """The smallest and the largest of what was seen, the one that came first first."""
    seen = [(value, place) for place, value in enumerate(values) if value is not None]
    if not seen:
        return None, None
    low, high = min(seen), max(seen, key=lambda pair: pair[0])
    return (low[0], high[0]) if low[1] <= high[1] else (high[0], low[0])
