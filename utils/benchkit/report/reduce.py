"""Reduce long series for a page without losing a peak or a valley."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Values = Sequence[float | None]

MAX_SLOTS = 300
"""Number of buckets of a series; each keeps two values. A chart has roughly that many pixels per value."""


@dataclass(frozen=True)
class Reduced:
    """Series on one axis. ``at`` in seconds, ascending; ``None`` is a time without a value."""

    at: list[float]
    series: list[list[float | None]]


def reduced(at: Sequence[float], series: Sequence[Values], slots: int = MAX_SLOTS) -> Reduced:
    """Split the axis into buckets of equal length and keep the minimum and maximum of each, in their order.

    All series get the same times, the start and the middle of each bucket, so that they can be compared. A value moves
    by less than one bucket. Series with at most two values per bucket are returned unchanged.
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
    """Return the minimum and the maximum of the values present, in the order in which they occurred."""
    seen = [(value, place) for place, value in enumerate(values) if value is not None]
    if not seen:
        return None, None
    low, high = min(seen), max(seen, key=lambda pair: pair[0])
    return (low[0], high[0]) if low[1] <= high[1] else (high[0], low[0])
