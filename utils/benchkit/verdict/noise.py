"""How much runs of one unchanged gateway differ: the machine's A/A record, and what is assumed where there is none.

The record (``baselines/noise_<profile>.json``) is made of at least three runs of one load on one machine, one after the
other, with nothing changed between them. It makes a baseline of few runs useful: what those are too few to tell about
their own noise, it knows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from benchkit import store
from benchkit.errors import ExitCode, UserError
from benchkit.model import METRICS, Environment, MetricValues, NoiseRecord, Run, RunStatus, Validity
from benchkit.settings import Baselines
from benchkit.verdict import statistics
from benchkit.verdict.baseline_files import noise_path
from benchkit.verdict.environments import load_differences, machine_differences
from benchkit.verdict.metric_verdict import Level
from benchkit.verdict.rules import case_figures, effect_of, is_positive, percent
from benchkit.verdict.statistics import Prior

MIN_RUNS = 3
"""Two runs have one difference, which says nothing about how large it is elsewhere."""

POOLED_DEGREES = 4.0
"""Degrees of freedom of the noise of all cases together, as prior knowledge about one case."""

DEFAULT_DEGREES = 8.0
"""Degrees of freedom of the default noise. They are many, because the default is larger than most machines' noise."""

LONG_RUN_NOISE_PERCENT = 5.0
"""More requests do not repair the noise between runs: it stays at about this, however long they are."""

_CERTAIN = 1e6
"""Degrees of freedom of a deviation that is given, not estimated."""


# ---------------------------------------------------------------------------------------------------------------------
# What is known before


def default_prior(limits: Baselines, metric: str, requests: int) -> Prior:
    """What is assumed of a machine without a record, by the requests per iteration.

    The deviation shrinks with their square root, down to :data:`LONG_RUN_NOISE_PERCENT`. A setting without any noise
    asks for verdicts that allow for none.
    """
    noise = limits.noise_of(metric)
    if noise <= 0:
        return Prior(0.0, _CERTAIN)
    scaled = max(noise * math.sqrt(100 / max(requests, 1)), min(noise, LONG_RUN_NOISE_PERCENT))
    return Prior(scaled / 100, DEFAULT_DEGREES)


def recorded_prior(noise: NoiseRecord, case: str, metric: str, *, own: bool = False) -> Prior | None:
    """What the record says of a case's metric, drawn towards what it says of the metric in all cases.

    ``own``: of what the case does not share with the others of its run; the whole noise, which is larger, where the
    record was made of too few cases to tell. ``None`` where the record does not have the metric.
    """
    known = noise.own if own and pooled_deviation(noise.own, metric) is not None else noise.deviation
    pooled = pooled_deviation(known, metric)
    if pooled is None:
        return None
    degrees = min(statistics.MOST_DEGREES, len(noise.runs) - 1.0)
    of_case = known.get(case, {}).get(metric)
    if of_case is None:
        return Prior(pooled, min(POOLED_DEGREES, degrees))
    return Prior(statistics.moderated(of_case, degrees, Prior(pooled, POOLED_DEGREES)).deviation, degrees)


def pooled_deviation(deviations: Mapping[str, MetricValues], metric: str) -> float | None:
    """The root mean square of a metric's deviation over the cases; ``None`` where none has it."""
    values = [figures[metric] for figures in deviations.values() if metric in figures]
    return float(np.sqrt(np.mean(np.square(values)))) if values else None


def prior_of(
    noise: NoiseRecord | None, limits: Baselines, case: str, metric: str, requests: int, *, own: bool = False
) -> Prior:
    """The record's word where it has one, else the default; ``own`` as for :func:`recorded_prior`."""
    recorded = recorded_prior(noise, case, metric, own=own) if noise is not None else None
    return recorded or default_prior(limits, metric, requests)


def misfit(noise: NoiseRecord, current: Environment) -> str:
    """Why a record says nothing about a run; empty when it does."""
    load = load_differences(noise.environment.load, current.load)
    machine = machine_differences(noise.environment.machine, current.machine)
    if load:
        return f"its load differs: {', '.join(load)}"
    if machine:
        return f"it was made on another machine: {', '.join(machine)}"
    return ""


# ---------------------------------------------------------------------------------------------------------------------
# Making and reading it


def load_noise(directory: Path, profile: str) -> NoiseRecord | None:
    """The record of a profile; ``None`` when there is none.

    Raises:
        UserError: its file cannot be read, is damaged or of an unknown version.
    """
    path = noise_path(directory, profile)
    return store.load(path, NoiseRecord, "noise record") if path.exists() else None


def make_record(runs: Sequence[Run], profile: str) -> NoiseRecord:
    """The record that these runs of one unchanged gateway are. The same runs, in any order, give the same record.

    Cases that are valid in fewer than :data:`MIN_RUNS` of them are left out.

    Raises:
        UserError: there are fewer than :data:`MIN_RUNS` (exit 2); they are not alike in load, machine, or target
            (exit 2); one was interrupted, or no case is left (exit 3).
    """
    ordered = sorted({run.run_id: run for run in runs}.values(), key=lambda run: (run.finished, run.run_id))
    if len(ordered) < MIN_RUNS:
        raise UserError(
            f"{len(ordered)} different runs are too few for a noise record; it needs {MIN_RUNS} of an unchanged one"
        )
    for run in ordered:
        if run.status is not RunStatus.COMPLETE:
            raise UserError(f"run {run.run_id}: was interrupted, so it says nothing about noise", ExitCode.INVALID)
        _require_alike(ordered[0], run)
    logs = _logarithms(ordered)
    deviation = _deviations(logs)
    if not deviation:
        raise UserError(
            f"no case is valid in {MIN_RUNS} of the {len(ordered)} runs; their run.json say why", ExitCode.INVALID
        )
    return NoiseRecord(
        profile=profile,
        created=ordered[-1].finished,
        environment=ordered[-1].environment,
        runs=[run.run_id for run in ordered],
        deviation=deviation,
        own=_own(logs, deviation),
    )


def _require_alike(first: Run, run: Run) -> None:
    target, other = first.environment.target, run.environment.target
    differing = {
        "load": load_differences(first.environment.load, run.environment.load),
        "machine": machine_differences(first.environment.machine, run.environment.machine),
        "gateway": [
            f"{name} {getattr(target, name)} → {getattr(other, name)}"
            for name in ("release", "database", "workers", "servers", "settings")
            if getattr(target, name) != getattr(other, name)
        ],
    }
    for what, lines in differing.items():
        if lines:
            raise UserError(
                f"run {run.run_id}: its {what} is not that of run {first.run_id} ({', '.join(lines)}); "
                "a noise record needs runs in which nothing was changed"
            )


_Logarithms = dict[tuple[str, str], list[float]]
"""Case and metric to a value for each run, nan where a run does not have it."""


def _deviations(logs: _Logarithms) -> dict[str, MetricValues]:
    found: dict[str, MetricValues] = {}
    for (case, name), of_runs in logs.items():
        values = [value for value in of_runs if not math.isnan(value)]
        if len(values) >= MIN_RUNS:
            found.setdefault(case, {})[name] = round(float(np.std(values, ddof=1)), 6)
    return found


def _own(logs: _Logarithms, deviation: Mapping[str, MetricValues]) -> dict[str, MetricValues]:
    """What of each deviation a case does not share with the others of its run; nothing of a metric of too few cases."""
    found: dict[str, MetricValues] = {}
    for name in dict.fromkeys(name for figures in deviation.values() for name in figures):
        cases = [case for case, figures in deviation.items() if name in figures]
        if len(cases) < statistics.FEWEST_TOGETHER:
            continue
        taken = statistics.apart(np.array([logs[case, name] for case in cases]).T)
        for case, own, degrees in zip(cases, taken.deviations, taken.degrees, strict=True):
            if degrees >= MIN_RUNS - 1:
                found.setdefault(case, {})[name] = round(float(own), 6)
    return found


def _logarithms(runs: Sequence[Run]) -> _Logarithms:
    values: _Logarithms = {}
    for place, run in enumerate(runs):
        for case in run.cases:
            if case.validity is Validity.VALID:
                for name, value in case_figures(case).items():
                    if not METRICS[name].absolute and not METRICS[name].is_derived and is_positive(value):
                        values.setdefault((case.id, name), [math.nan] * len(runs))[place] = math.log(value)
    return values


# ---------------------------------------------------------------------------------------------------------------------
# What it allows to see


def visible_percent(prior: Prior, metric: str, runs: int, limits: Baselines, hypotheses: int) -> float:
    """The smallest change for the worse that a run would show in 4 of 5 cases against a baseline of so many runs.

    The reference's own deviation is taken to be the prior's, and the machine's speed not to change.
    """
    deviation = max(prior.deviation, statistics.SMALLEST_NOISE)
    estimate = statistics.stored(0.0, _spread(deviation, runs), prior)
    level = Level(limits.significance, hypotheses)
    seen = statistics.detectable(estimate, level.each, effect_of(METRICS[metric], -limits.threshold(metric)))
    return -percent(METRICS[metric], seen)


def _spread(deviation: float, runs: int) -> list[float]:
    """So many values with exactly this deviation."""
    values = np.arange(runs, dtype=np.float64)
    if runs == 1:
        return [0.0]
    return [float(value) for value in (values - values.mean()) * deviation / values.std(ddof=1)]
