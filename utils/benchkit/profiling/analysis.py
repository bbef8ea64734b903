"""Compute ``profile.json`` from a profiled run's directory: ``plan.json``, ``raw/`` and the recordings.

The run is judged first, like every run: samples taken while the gateway gave wrong answers are not shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchkit.errors import ExitCode
from benchkit.load.collect import collect
from benchkit.model import Case, Iteration, Plan, RunStatus, Validity
from benchkit.profiling import folding, stalls
from benchkit.profiling.categories import classify, is_collector
from benchkit.profiling.document import IDLE, Alignment, Profile, Recording, RoundFigures, Sampler
from benchkit.profiling.rounds import SampledLoad, read_iteration, read_round, recording_name
from benchkit.profiling.samples import Thread, clipped
from benchkit.profiling.stalls import Round
from benchkit.store import load


def analyse(run_dir: Path, interrupted: int | None = None) -> Profile:
    """Return a profiled run's document.

    Args:
        run_dir: holds ``plan.json``, and ``raw/`` depending on how far the run came.
        interrupted: the exit code of a run that ended early.

    Raises:
        UserError: a required document or recording is missing or damaged.
    """
    plan = load(run_dir / "plan.json", Plan, "plan")
    run = collect(run_dir, interrupted).run
    case = run.cases[0]
    directory = run_dir / "raw" / case.scenario
    recordings = {
        one.round: one
        for path in sorted(directory.glob(recording_name(case.name, "*")))
        for one in [load(path, Recording, "record of the sampling")]
    }
    profile = Profile(
        run_id=plan.run_id,
        case=case.id,
        description=case.description,
        status=run.status,
        validity=case.validity,
        reason=case.reason,
        exit_code=run.exit_code,
        started=plan.created,
        environment=plan.environment,
        commands=run.commands,
        rounds=_figures(case, directory, recordings, plan.cases[0].iterations),
        notes=list(dict.fromkeys([*run.warnings, *(note for one in recordings.values() for note in one.notes)])),
    )
    if case.validity not in (Validity.VALID, Validity.INTERRUPTED):
        return profile
    sampled = [read_round(directory, plan.cases[0], one) for one in recordings.values()]
    if not any(thread.slices for one in sampled for thread in one.threads):
        return _without_samples(profile)
    return profile.model_copy(update=_findings(sampled, profile))


def _without_samples(profile: Profile) -> Profile:
    if profile.status is RunStatus.INTERRUPTED:
        return profile
    reason = "py-spy took no sample"
    return profile.model_copy(
        update={"validity": Validity.INVALID, "reason": reason, "exit_code": int(ExitCode.INVALID)}
    )


def _findings(sampled: Sequence[SampledLoad], profile: Profile) -> dict[str, object]:
    """Return all results from the samples, as fields of the document."""
    complete = [
        Round(one.recording.round, one.requests, clipped(one.threads, 0.0, max(one.requests.end_s)))
        for one in sampled
        if one.requests is not None and one.requests.start_s
    ]
    threads = [thread for one in complete for thread in one.threads]
    load_s = sum(one.load_s for one in complete)
    if not complete:
        # The run ended before its first sampled round was complete: use the samples without the load.
        threads = [thread for one in sampled for thread in one.threads]
        load_s = sum(_span_s(one.threads) for one in sampled)
    work = folding.working(threads)
    names = folding.Names(threads)
    found: dict[str, object] = {
        "sampler": _sampler([one.recording for one in sampled], profile.rounds),
        "load_s": round(load_s, 3),
        "working_s": round(sum(piece.seconds for thread in work for piece in thread.slices), 3),
        "busiest_share": _busiest(threads, load_s),
        "categories": folding.category_times(threads),
        "functions": folding.function_times(work, names),
        "flame": folding.flame(work, names),
        "gc_visible": any(is_collector(frame) for one in threads for piece in one.slices for frame in piece.stack),
    }
    if complete:
        threshold_s = stalls.slow_threshold_s(complete)
        latencies = [value for one in complete for value in one.requests.latencies_s]
        found |= {
            "alignment": _alignment(sampled),
            "slow_from_ms": round(threshold_s * 1000, 1),
            "slow_requests": sum(value >= threshold_s - 1e-9 for value in latencies),
            "sampled_requests": len(latencies),
            "stalls": stalls.find_stalls(complete, names),
            "over": stalls.over_represented(complete, threshold_s, names),
            "timeline": [stalls.timeline(one, threshold_s) for one in complete],
        }
    return found


# ---------------------------------------------------------------------------------------------------------------------
# Context of the samples


def _figures(case: Case, directory: Path, recordings: dict[int, Recording], rounds: int) -> list[RoundFigures]:
    """Return the measurements of each complete round; empty if the case's metrics are not valid."""
    numbers = [number for number in range(1, rounds + 1) if read_iteration(directory, case.name, number) is not None]
    return [
        RoundFigures(
            round=number,
            sampled=number in recordings,
            requests_per_sec=round(one.metrics["requests_per_sec"], 3),
            p50_ms=round(one.metrics["p50_latency"], 2),
            p95_ms=round(one.metrics["p95_latency"], 2),
            max_ms=round(one.metrics["max_latency"], 2),
        )
        for number, one in zip(numbers, _complete(case), strict=False)
        if one.metrics
    ]


def _complete(case: Case) -> list[Iteration]:
    return sorted(case.iterations, key=lambda one: one.started)


def _sampler(recordings: Sequence[Recording], rounds: Sequence[RoundFigures]) -> Sampler:
    first = recordings[0]
    processes = [one for recording in recordings for one in recording.processes]
    return Sampler(
        program=first.sampler,
        rate=first.rate,
        native=first.native,
        processes=max(len(one.processes) for one in recordings),
        samples=sum(one.samples for one in processes),
        errors=sum(one.errors for one in processes),
        behind=sum(one.behind for one in processes),
        rate_ratio=_rate_ratio(rounds),
    )


def _rate_ratio(rounds: Sequence[RoundFigures]) -> float | None:
    """Return req/s with the sampler divided by req/s without it (geometric means); ``None`` if one is missing."""
    means = []
    for sampled in (True, False):
        rates = [one.requests_per_sec for one in rounds if one.sampled is sampled]
        if not rates:
            return None
        means.append(float(np.exp(np.mean(np.log(rates)))))
    return round(means[0] / means[1], 4)


def _alignment(sampled: Sequence[SampledLoad]) -> Alignment:
    return Alignment(
        uncertainty_ms=round(max(one.uncertainty_s for one in sampled) * 1000, 1),
        moved_ms=round(max(one.late_s for one in sampled) * 1000, 1),
    )


def _busiest(threads: Sequence[Thread], seconds: float) -> float:
    """Return the fraction of the time in which the busiest thread worked."""
    busy: dict[str, float] = {}
    for thread in threads:
        own = sum(piece.seconds for piece in thread.slices if classify(piece.stack) not in IDLE)
        busy[thread.name] = busy.get(thread.name, 0.0) + own
    return round(min(1.0, max(busy.values(), default=0.0) / seconds), 4) if seconds > 0 else 0.0


def _span_s(threads: Sequence[Thread]) -> float:
    pieces = [piece for thread in threads for piece in thread.slices]
    if not pieces:
        return 0.0
    return max(piece.end_s for piece in pieces) - min(piece.start_s for piece in pieces)
