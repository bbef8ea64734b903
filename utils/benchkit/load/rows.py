"""The answers that one load process measured, in the same form for every engine."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Rows:
    """The answers of one load process in order of completion: three arrays of the same length.

    ``latency_ms``: time from the start of the request to the end of its answer in milliseconds, in steps of the
    engine's resolution. ``status``: HTTP status. ``offset_s``: start of the request in seconds after the start of the
    process. A request without an answer has no row.
    """

    latency_ms: Floats
    status: NDArray[np.int16]
    offset_s: Floats

    def __len__(self) -> int:
        return len(self.status)

    def statuses(self) -> Counter[int]:
        """Return the number of answers per status."""
        counts = np.bincount(self.status)
        return Counter({int(status): int(counts[status]) for status in np.flatnonzero(counts)})
