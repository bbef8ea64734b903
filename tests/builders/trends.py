"""Many stored runs of one profile."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from benchkit.model import Case, Environment
from builders.documents import environment
from builders.judged import elsewhere, measured, run_of, write_run


def store_runs(
    results: Path,
    count: int,
    levels: Mapping[str, Callable[[int], float]] | None = None,
    *,
    surroundings: Callable[[int], Environment] = lambda _: environment(),
    seed: int = 1,
    noise: float = 0.03,
) -> Path:
    """Runs 1 to ``count``, whose cases have a p50 (ms) that is a function of the run's number, with noise."""
    chance = np.random.default_rng(seed)
    for number in range(1, count + 1):
        cases: list[Case] = [
            measured(name, rounds=(round(level(number) * float(np.exp(noise * chance.standard_normal())), 2),))
            for name, level in (levels or {"tools/list": lambda _: 20.0}).items()
        ]
        write_run(results / f"light_run{number}", run_of(*cases, number=number, environment=surroundings(number)))
    return results


LEVELS: dict[str, Callable[[int], float]] = {
    "tools/steady": lambda _: 20.0,
    "tools/slower": lambda number: 40.0 if number <= 20 else 50.0,
    "resources/slides": lambda number: 10.0 * 1.01**number,
    "resources/faster": lambda number: 30.0 if number <= 25 else 24.0,
}


def released(number: int) -> Environment:
    """A release came with run 21; from run 26 on the machine was slower."""
    return elsewhere(
        environment(),
        target={"release": "1.0.6" if number <= 20 else "1.0.7"},
        machine={"control_score": 40.0 if number <= 25 else 50.0},
    )
