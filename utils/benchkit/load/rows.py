"""What a load process measured: its answers, whichever engine sent the requests."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Rows:
    """The answers of one load process, in order of completion: three arrays of one length.

    ``latency_ms``: from the request to the end of its answer, in milliseconds, in steps of the engine's resolution.
    ``status``: HTTP status. ``offset_s``: start of the request in seconds after the process's own start. A request
    without an answer has no row.
    """

    latency_ms: Floats
    status: NDArray[np.int16]
    offset_s: Floats

    def __len__(self) -> int:
        return len(self.status)

    def statuses(self) -> Counter[int]:
        """Answers by status."""
        counts = np.bincount(self.status)
        return Counter({int(status): int(counts[status]) for status in np.flatnonzero(counts)})
