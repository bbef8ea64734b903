"""Timestamps for the documents of a run, and durations in words.

Setting the system clock during a run must not produce negative durations. So every timestamp of a process is its first
one plus the time that has passed since then on the monotonic clock.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from functools import cache


def now() -> datetime:
    """Return the current time in UTC. It never goes back within this process."""
    first, began = _anchor()
    return first + timedelta(seconds=time.monotonic() - began)


def seconds_between(started: datetime, finished: datetime) -> float:
    """Return the seconds between two times; 0 if the clock was set back between two processes that recorded them."""
    return max(0.0, (finished - started).total_seconds())


def duration(seconds: float) -> str:
    """Format a duration: ``50 ms``, ``8.4 s``, ``42 s``, ``3 min 5 s``, ``2 h 5 min``."""
    if 0 < seconds < 0.9995:
        return f"{1000 * seconds:.3g} ms"
    if seconds < 59.95:
        return f"{max(0.0, seconds):.1f}".removesuffix(".0") + " s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


@cache
def _anchor() -> tuple[datetime, float]:
    return datetime.now(UTC), time.monotonic()
