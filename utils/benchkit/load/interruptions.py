"""Detect interruptions of a load: a suspended process, or a changed system clock."""

from __future__ import annotations

import threading
import time

import numpy as np

from benchkit.load.rows import Floats, Rows

STOPPED_S = 2.0
"""A longer pause of this process in seconds means that it was suspended: no scheduler delays a thread that long."""

CLOCK_S = 0.5
"""Tolerated difference in seconds between wall clock and monotonic clock within one round."""

GAP_S = 2.0
"""Shortest time without any answer that counts as an interruption, in seconds."""

_GAP_FACTOR = 5.0
"""A gap must be longer than the slowest other answer by this factor."""

_OTHERS = 10
"""Minimum number of answers outside the gap; with fewer, the usual latency is unknown."""

_TICK_S = 0.1


class Watch:
    """Compare both clocks while a load runs, from creation to :meth:`stop`."""

    def __init__(self) -> None:
        self._wall = time.time()
        self._clock = time.monotonic()
        self._longest = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._tick, daemon=True, name="watch")
        self._thread.start()

    def stop(self) -> str:
        """Return what interrupted the load, in words; empty if nothing did."""
        self._ended.set()
        self._thread.join()
        jump = (time.time() - self._wall) - (time.monotonic() - self._clock)
        if abs(jump) > CLOCK_S:
            return f"the clock was set by {jump:+.1f} s, or the machine slept"
        if self._longest > STOPPED_S:
            return f"the toolkit was stopped for {self._longest:.1f} s"
        return ""

    def _tick(self) -> None:
        last = time.monotonic()
        while not self._ended.wait(_TICK_S):
            now = time.monotonic()
            self._longest = max(self._longest, now - last)
            last = now
        self._longest = max(self._longest, time.monotonic() - last)


def silent_gap(rows: Rows) -> float:
    """Return the longest time without any answer that the latencies do not explain, in seconds; 0 if there is none.

    A suspended load generator and a suspended gateway look alike: no answer arrives for much longer than the slowest of
    all other answers took.
    """
    done = np.sort(rows.offset_s + rows.latency_ms / 1000)
    gaps: Floats = np.diff(done, prepend=0.0)
    longest = 0.0
    for end in np.flatnonzero(gaps > GAP_S):
        start_s, end_s = done[end] - gaps[end], done[end]
        begun, finished = rows.offset_s, rows.offset_s + rows.latency_ms / 1000
        # A row's times are rounded.
        outside = (finished <= start_s + 0.001) | (begun >= end_s - 0.001)
        others = rows.latency_ms[outside] / 1000
        if others.size >= _OTHERS and gaps[end] > _GAP_FACTOR * others.max():
            longest = max(longest, float(gaps[end]))
    return longest
