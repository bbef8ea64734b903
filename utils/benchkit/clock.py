"""The time of day that the documents of a run hold, and durations in words.

A clock that is set while a run goes on must not turn a duration around: every moment that one process writes down is
its first one plus what the monotonic clock says has passed since.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from functools import cache


def now() -> datetime:
    """This moment, in UTC. Never earlier than what an earlier call in this process answered."""
    first, began = _anchor()
    return first + timedelta(seconds=time.monotonic() - began)


def seconds_between(started: datetime, finished: datetime) -> float:
    """How long something took, in seconds; 0 where the clock was set back between two processes that wrote it down."""
    return max(0.0, (finished - started).total_seconds())


def duration(seconds: float) -> str:
    """A duration in words: ``50 ms``, ``8.4 s``, ``42 s``, ``3 min 5 s``, ``2 h 5 min``."""
    if 0 < seconds < 0.9995:
        return f"{1000 * seconds:.3g} ms"
    if seconds < 59.95:
        return f"{max(0.0, seconds):.1f}".removesuffix(".0") + " s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


@cache
def _anchor() -> tuple[datetime, float]:
    return datetime.now(UTC), time.monotonic()
