"""Build the cases of ``run.json``: measured cases, a group's aggregate, and differences between two cases."""

from __future__ import annotations

import math
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from benchkit.load import metrics, validity
from benchkit.load.metrics import CaseSamples, IterationSamples
from benchkit.load.rawfiles import CaseData
from benchkit.load.validity import IterationFacts, Judgement
from benchkit.model import (
    AGGREGATE,
    METRICS,
    VALIDITIES,
    Case,
    Counts,
    Iteration,
    MetricValues,
    PlannedCase,
    PlannedDifference,
    Validity,
)


@dataclass(frozen=True)
class Detail:
    """Details of a case that only the text summary shows: latency percentiles in milliseconds, answers by status."""

    distribution: dict[int, float] = field(default_factory=dict)
    statuses: Counter[int] = field(default_factory=Counter)
    command: str = ""


@dataclass(frozen=True)
class Entry:
    """A finished case, before the gateway's own counts are compared with it."""

    planned: PlannedCase
    case: Case
    judgement: Judgement
    detail: Detail
    explained: int = 0
    intervals: tuple[tuple[float, float], ...] = ()
    cached: bool = False
    """A cache in front of the gateway served some of its answers."""


# ---------------------------------------------------------------------------------------------------------------------
# One case


def measured_entry(data: CaseData, max_error_rate: float) -> Entry:
    """Return a measured case, judged by its own raw files. ``max_error_rate`` is in percent."""
    planned, facts = data.planned, data.complete
    judgement = validity.judge(planned, data.facts, max_error_rate)
    case = Case(
        id=planned.id,
        scenario=planned.scenario,
        name=planned.name,
        description=planned.description,
        validity=judgement.validity,
        reason=judgement.reason,
        resolution_ms=planned.resolution_ms,
        closed_loop=planned.closed_loop,
        only_variant=planned.only_variant and judgement.validity is Validity.SKIPPED,
        notes=[*planned.notes, *data.notes],
        counts=validity.count(planned, facts) if facts else None,
    )
    detail = Detail(
        statuses=sum((one.statuses for one in facts), Counter()),
        command=shlex.join(data.facts[0].raw.parts[0].argv) if data.facts and data.facts[0].raw.parts else "",
    )
    iterations = _iterations(planned, facts)
    if _figures_stand(data, judgement, max_error_rate):
        samples = CaseSamples(tuple(IterationSamples(tuple(parts)) for parts in data.samples))
        iterations = _with_metrics(iterations, samples)
    case = case.model_copy(update={"iterations": iterations})
    if judgement.validity is Validity.VALID:
        case = with_figures(case, samples)
        case = case.model_copy(update={"notes": [*case.notes, *_observations(case, data.facts)]})
        detail = replace(detail, distribution=metrics.percentiles(samples.latency_ms))
    return Entry(
        planned,
        case,
        judgement,
        detail,
        validity.explained(planned, data.facts, judgement),
        _intervals(data.facts),
        cached=any(checks.cached for one in data.facts for checks in one.checks),
    )


def _figures_stand(data: CaseData, judgement: Judgement, max_error_rate: float) -> bool:
    """Return whether the complete iterations may be used; an interrupted case keeps them if nothing else is wrong."""
    if judgement.validity is not Validity.INTERRUPTED:
        return judgement.validity is Validity.VALID
    as_if_planned = data.planned.model_copy(update={"iterations": len(data.complete)})
    return bool(data.complete) and (
        validity.judge(as_if_planned, data.complete, max_error_rate).validity is Validity.VALID
    )


def _iterations(planned: PlannedCase, facts: Sequence[IterationFacts]) -> list[Iteration]:
    """Return the complete iterations with their counts, without metrics."""
    return [
        Iteration(
            metrics={},
            sent=one.sent,
            ok=one.ok(planned),
            errors=validity.errors(planned, [one]),
            started=one.raw.started,
            finished=one.raw.finished,
        )
        for one in facts
    ]


def _with_metrics(iterations: Sequence[Iteration], samples: CaseSamples) -> list[Iteration]:
    return [
        one.model_copy(update={"metrics": metrics.figures(CaseSamples((of,)))})
        for one, of in zip(iterations, samples.iterations, strict=True)
    ]


def with_figures(case: Case, samples: CaseSamples) -> Case:
    """Return the case with everything that is computed from its samples."""
    figures = metrics.figures(samples)
    step = f"{case.resolution_ms:g} ms"
    fast = figures.get("p50_latency", math.inf) < 10 * case.resolution_ms
    notes = [f"latencies are multiples of {step} (≤ {step} resolution)"] if fast else []
    return case.model_copy(
        update={
            "metrics": figures,
            "advisory": metrics.advisory(len(samples.latency_ms)),
            "notes": [*case.notes, *notes],
            "histogram": metrics.histogram(samples, case.resolution_ms),
            "percentiles": metrics.percentile_curve(samples),
            "timeline": metrics.timeline(samples),
        }
    )


def _observations(case: Case, facts: Sequence[IterationFacts]) -> list[str]:
    """Return notes for the reader about the counts of a valid case."""
    notes = []
    seen = validity.wrong_answers(one.raw for one in facts)
    if seen.wrong:
        notes.append(f"{seen.words}; too few to prove that the error rate exceeds the limit")
    cached = [checks for one in facts for checks in one.checks if checks.cached]
    if cached:
        number, of = sum(one.cached for one in cached), sum(checks.sent for one in facts for checks in one.checks)
        notes.append(
            f"a cache in front of the gateway served {number} of {of} checked answers ({cached[0].cache}): these "
            "values measure the cache"
        )
    notes += [
        f"iteration {one.raw.iteration} was measured again: {one.raw.interruption}"
        for one in facts
        if one.raw.interruption and not one.raw.interrupted
    ]
    failed = sum((Counter(one.errors) for one in case.iterations), Counter[str]())
    failed.pop(validity.WRONG_ANSWER, None)
    if failed:
        kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(failed.items()))
        notes.append(f"{failed.total()} requests failed, within the allowed error rate: {kinds}")
    if case.counts and case.counts.hit_ratio:
        notes.append(f"a cache of the gateway answered {case.counts.hit_ratio:.1%} of the requests")
    return notes


def _intervals(facts: Sequence[IterationFacts]) -> tuple[tuple[float, float], ...]:
    """Return the start and end of each measured load process, as POSIX times in seconds."""
    parts = [part for one in facts for part in one.raw.parts]
    return tuple((part.started.timestamp(), part.started.timestamp() + part.wall_s) for part in parts)


def without_figures(case: Case, judgement: Judgement) -> Case:
    """Return an invalidated case: error counts are kept, latency and throughput are removed."""
    return case.model_copy(
        update={
            "validity": judgement.validity,
            "reason": judgement.reason,
            "metrics": {},
            "advisory": [],
            "iterations": [one.model_copy(update={"metrics": {}}) for one in case.iterations],
            "histogram": None,
            "percentiles": None,
            "timeline": None,
        }
    )


# ---------------------------------------------------------------------------------------------------------------------
# Derived from other cases


def weakest(cases: Sequence[Case], none: str) -> Judgement:
    """Return the judgement of something derived from several cases: the worst of theirs."""
    if not cases:
        return Judgement(Validity.SKIPPED, none)
    for state in VALIDITIES:
        ids = [case.id for case in cases if case.validity is state]
        if ids and state is not Validity.VALID:
            return Judgement(state, f"made from {', '.join(ids)}, which {'is' if len(ids) == 1 else 'are'} {state}")
    return Judgement(Validity.VALID)


def aggregate(data: Sequence[CaseData], entries: Sequence[Entry]) -> Entry:
    """Return an extra case that pools all requests of a group whose cases ran at the same time."""
    first = data[0].planned
    present = [one for one in data if not one.planned.skipped]
    names = ", ".join(one.planned.name for one in present)
    judgement = weakest([entry.case for entry in entries if not entry.planned.skipped], "every kind is skipped")
    case = Case(
        id=f"{first.scenario}/{AGGREGATE}",
        scenario=first.scenario,
        name=AGGREGATE,
        kind="aggregate",
        description=f"All kinds together: {names}" if present else "All kinds together",
        validity=judgement.validity,
        reason=judgement.reason,
        resolution_ms=max(one.planned.resolution_ms for one in data),
        closed_loop=all(one.planned.closed_loop for one in data),
        notes=[f"without {one.planned.name}, which is skipped" for one in data if one.planned.skipped],
    )
    detail = Detail(statuses=sum((entry.detail.statuses for entry in entries), Counter()))
    if judgement.validity is Validity.VALID:
        rounds = [_round(present, number) for number in range(first.iterations)]
        samples = CaseSamples(
            tuple(IterationSamples(tuple(part for kind in kinds for part in kind.parts)) for kinds in rounds)
        )
        iterations = [_pooled(present, number) for number in range(first.iterations)]
        case = case.model_copy(
            update={
                "counts": Counts(sent=sum(one.sent for one in iterations), ok=sum(one.ok for one in iterations)),
                "iterations": _with_metrics(iterations, samples),
                "notes": [*case.notes, _overlap_note(rounds)],
            }
        )
        case = with_figures(case, samples)
        detail = replace(detail, distribution=metrics.percentiles(samples.latency_ms))
    return Entry(first, case, judgement, detail)


def _round(data: Sequence[CaseData], number: int) -> list[IterationSamples]:
    """Return one iteration of each case of a group; times are relative to the first process that started."""
    starts = [min(part.started for part in one.facts[number].raw.parts) for one in data]
    return [
        IterationSamples(
            tuple(
                replace(part, start_s=part.start_s + (start - min(starts)).total_seconds())
                for part in one.samples[number]
            )
        )
        for one, start in zip(data, starts, strict=True)
    ]


def _pooled(data: Sequence[CaseData], number: int) -> Iteration:
    """Return the summed counts of one iteration of all cases of a group."""
    kinds = [iteration for one in data for iteration in _iterations(one.planned, [one.facts[number]])]
    return Iteration(
        metrics={},
        sent=sum(one.sent for one in kinds),
        ok=sum(one.ok for one in kinds),
        errors=dict(sum((Counter(one.errors) for one in kinds), Counter[str]())),
        started=min(one.started for one in kinds),
        finished=max(one.finished for one in kinds),
    )


def _overlap_note(iterations: Sequence[Sequence[IterationSamples]]) -> str:
    """Return a note with the share of time in which all kinds ran at once; outside it the mix is not as planned."""
    together = whole = 0.0
    for kinds in iterations:
        starts = [min(part.start_s for part in kind.parts) for kind in kinds]
        ends = [kind.wall_s for kind in kinds]
        together += max(0.0, min(ends) - max(starts))
        whole += max(ends) - min(starts)
    return f"all {len(iterations[0])} kinds ran at once for {together / whole:.0%} of the time"


def difference(planned: PlannedDifference, by_id: dict[str, Case]) -> Case:
    """Return the extra cost of case ``of`` over case ``minus``.

    The values are differences of the two cases' pooled metrics, so subtracting one row of the table from the other
    gives the same numbers. The iterations hold the differences between iterations of the same round.
    """
    pair = [by_id[one] for one in (planned.of, planned.minus) if one in by_id]
    judgement = weakest(pair, "") if len(pair) == 2 else Judgement(Validity.SKIPPED, "a case of it is not in this run")
    case = Case(
        id=planned.id,
        scenario=planned.scenario,
        name=planned.name,
        kind="difference",
        description=planned.description or f"{planned.of} minus {planned.minus}",
        validity=judgement.validity,
        reason=judgement.reason,
        resolution_ms=max((one.resolution_ms for one in pair), default=0.0),
        closed_loop=all(one.closed_loop for one in pair),
    )
    if judgement.validity is not Validity.VALID:
        return case
    of, minus = pair
    return case.model_copy(
        update={
            "metrics": _subtract(of.metrics, minus.metrics),
            "advisory": [name for name, row in METRICS.items() if row.difference_of in {*of.advisory, *minus.advisory}],
            "notes": [f"{planned.of} minus {planned.minus}; the ratio is of requests per second"],
            "iterations": [
                Iteration(
                    metrics=_subtract(one.metrics, other.metrics),
                    sent=0,
                    ok=0,
                    errors={},
                    started=min(one.started, other.started),
                    finished=max(one.finished, other.finished),
                )
                for one, other in zip(of.iterations, minus.iterations, strict=False)
            ],
        }
    )


def _subtract(of: MetricValues, minus: MetricValues) -> MetricValues:
    if not of or not minus:
        return {}
    differences = {
        name: of[row.difference_of] - minus[row.difference_of] for name, row in METRICS.items() if row.difference_of
    }
    ratios = {name: of[row.ratio_of] / minus[row.ratio_of] for name, row in METRICS.items() if row.ratio_of}
    return {name: round(value, 6) for name, value in (differences | ratios).items()}
