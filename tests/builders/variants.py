"""A directory of several gateways, as ./run-advanced.sh leaves it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from benchkit import store
from builders.documents import STARTED
from builders.paired import blocks_of, noisy, variant

FACTORS = {"1.0.5": (1.0, 1.0), "1.0.6": (1.0, 1.0), "1.0.7": (1.5, 1.0)}
"""Release to how many times as long its two cases take."""


def measured(directory: Path, factors: dict[str, tuple[float, float]] | None = None) -> Path:
    """A directory as ./run-advanced.sh leaves it: one run for each gateway, started one after the other."""
    for number, (label, (first, second)) in enumerate((factors or FACTORS).items()):
        cases = [
            blocks_of("tools/list", noisy(number, 50.0 * first, noise=0.01)),
            blocks_of("gateway-core/health", noisy(number + 50, 20.0 * second, noise=0.01)),
        ]
        run = variant(label, *cases, started=STARTED + timedelta(milliseconds=number))
        (directory / label).mkdir(parents=True)
        store.save(directory / label / "run.json", run)
    return directory


TUNED = {"base": (1.0, 1.0), "logs": (1.3, 1.3), "cache": (0.7, 0.7), "nothing": (1.0, 1.0)}
