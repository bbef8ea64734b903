"""Builders of runs and baselines with exact values, for the tests of benchkit.verdict."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from benchkit import store
from benchkit.model import Baseline, BaselineRun, Case, Environment, Iteration, Run, Validity
from benchkit.settings import ROOT, Baselines
from builders.documents import STARTED, environment, run

LIMITS = Baselines()
"""The thresholds of the specification: 10 % worse, 5 % better, 0.1 percentage points of errors."""


def measured(identity: str = "tools/list", rounds: Sequence[float] = (20.0, 21.0, 22.0), **changes: Any) -> Case:
    """Return a valid case with one iteration for each p50 in ``rounds`` (ms); the other values are derived from it.

    ``errors``: the failures of the last iteration, of 100 requests each.
    """
    errors = int(changes.pop("errors", 0))
    iterations = [
        Iteration(
            metrics={
                "p50_latency": p50,
                "p95_latency": p50 * 2,
                "p99_latency": p50 * 4,
                "requests_per_sec": 10_000 / p50,
                "total_time": p50 / 100,
                "error_rate": (errors if number == len(rounds) else 0) / 100,
            },
            sent=100,
            ok=100 - (errors if number == len(rounds) else 0),
            errors={"http 500": errors} if errors and number == len(rounds) else {},
            started=STARTED + timedelta(seconds=number),
            finished=STARTED + timedelta(seconds=number + 1),
        )
        for number, p50 in enumerate(rounds, start=1)
    ]
    pooled = {**iterations[len(iterations) // 2].metrics, "error_rate": errors / (100 * len(rounds))}
    return case_of(identity, metrics=pooled, iterations=iterations, **changes)


def case_of(identity: str, **values: Any) -> Case:
    """Return a case with these fields, valid by default."""
    scenario, _, name = identity.partition("/")
    fixed = {"id": identity, "scenario": scenario, "name": name, "validity": Validity.VALID, "resolution_ms": 0.1}
    return Case(**(fixed | values))


def run_of(*cases: Case, number: int = 1, **changes: Any) -> Run:
    """Return a complete run; ``number`` determines its id and its time, higher numbers are newer."""
    values: dict[str, Any] = {
        "run_id": f"light_run{number}",
        "finished": finished(number),
        "gateway_counts": [],
        "warnings": [],
    }
    return run(list(cases), **(values | changes))


def finished(number: int) -> datetime:
    """Return when run ``number`` ended."""
    return STARTED + timedelta(hours=number)


def baseline_of(*runs: dict[str, dict[str, float]], **changes: Any) -> Baseline:
    """Return a baseline whose runs have these values (case to metric to value)."""
    values: dict[str, Any] = {
        "profile": "light",
        "version": 3,
        "created": STARTED,
        "environment": environment(),
        "runs": [
            BaselineRun(run_id=f"light_earlier{number}", finished=finished(-number), cases=cases)
            for number, cases in enumerate(runs, start=1)
        ],
    }
    return Baseline(**(values | changes))


def elsewhere(base: Environment, **changes: Any) -> Environment:
    """Return an environment with changes: ``machine``, ``target`` or ``load``, each a dict of changed fields."""
    parts = {part: getattr(base, part).model_copy(update=values) for part, values in changes.items()}
    return base.model_copy(update=parts)


@cache
def config_without_noise() -> str:
    """Return the path of a config.yaml with which every change is significant, for tests of its consequences."""
    data = yaml.safe_load((ROOT / "config.yaml").read_text("utf-8"))
    data["baselines"]["noise"] = {}
    path = Path(tempfile.mkdtemp()) / "config.yaml"
    path.write_text(yaml.safe_dump(data), "utf-8")
    return str(path)


def program(
    name: str, *arguments: object, environ: Mapping[str, str] | None = None, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run ``utils/<name>`` like a user and wait for its end, with only ``PATH`` and ``environ`` in the environment."""
    return subprocess.run(
        [sys.executable, str(ROOT / "utils" / name), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={"PATH": os.environ["PATH"], "PERF_CONFIG": config_without_noise(), **(environ or {})},
        **options,
    )


def write_run(path: Path, document: Run) -> Path:
    """Write ``run.json`` to a run's directory and return the directory."""
    path.mkdir(parents=True, exist_ok=True)
    store.save(path / "run.json", document)
    return path
