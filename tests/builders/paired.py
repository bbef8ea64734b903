"""Two gateways that were measured side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

import numpy as np

from benchkit.model import (
    Case,
    Comparison,
    Iteration,
    Run,
    VariantOfRun,
)
from benchkit.settings import Baselines
from benchkit.verdict.compare import compare_paired
from builders.documents import STARTED, environment
from builders.judged import LIMITS, case_of, run_of

BLOCKS = 8


def figures(p50: float, errors: float = 0.0) -> dict[str, float]:
    return {
        "p50_latency": round(p50, 1),
        "p95_latency": round(2 * p50, 1),
        "requests_per_sec": 10_000 / p50,
        "error_rate": errors,
    }


def blocks_of(identity: str, medians: Sequence[float], *, sent: int = 300, errors: float = 0.0) -> Case:
    """A valid case with one iteration for each p50 (ms)."""
    iterations = [
        Iteration(
            metrics=figures(p50),
            sent=sent,
            ok=sent,
            errors={},
            started=STARTED + timedelta(minutes=number),
            finished=STARTED + timedelta(minutes=number + 1),
        )
        for number, p50 in enumerate(medians)
    ]
    return case_of(identity, metrics=figures(float(np.median(medians)), errors), iterations=iterations)


def variant(label: str, *cases: Case, looks: int = 3, fresh: bool = True, rounds: int = 1, **changes: object) -> Run:
    """A variant of a comparison; ``spec`` is the label and a number."""
    what = VariantOfRun(label=label, spec=f"{label}-1.0", fresh=fresh, looks=looks, rounds=rounds)
    values = {"variant": what, "started": STARTED, "finished": STARTED + timedelta(hours=1), "run_id": label}
    return run_of(*cases, **(values | {"environment": environment(requests=300)} | changes))


def noisy(seed: int, level: float, *, noise: float = 0.02, blocks: int = BLOCKS) -> list[float]:
    return [float(level * np.exp(one)) for one in np.random.default_rng(seed).normal(0, noise, blocks)]


def two(
    changes: Mapping[str, float], *, noise: float = 0.02, blocks: int = BLOCKS, limits: Baselines = LIMITS
) -> Comparison:
    """Cases whose head takes so many times as long as the base."""
    base, head = [], []
    for number, (identity, factor) in enumerate(changes.items()):
        base.append(blocks_of(identity, noisy(number, 50.0, noise=noise, blocks=blocks)))
        head.append(blocks_of(identity, noisy(number + 100, 50.0 * factor, noise=noise, blocks=blocks)))
    return compare_paired(variant("base", *base), variant("head", *head), limits)


TWENTY = {f"tools/case{number}": 1.0 for number in range(20)}
