"""The cases of ``run.json``: those that were measured, the aggregate of a group, and differences between two cases."""

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
    """What only the text summary shows of a case: the distribution in milliseconds, and answers by status."""

    distribution: dict[int, float] = field(default_factory=dict)
    statuses: Counter[int] = field(default_factory=Counter)
    command: str = ""


@dataclass(frozen=True)
class Entry:
    """A case that is done, but for the verdict of the gateway's own counts."""

    planned: PlannedCase
    case: Case
    judgement: Judgement
    detail: Detail
    explained: int = 0
    intervals: tuple[tuple[float, float], ...] = ()
    cached: bool = False
    """A cache in front of the gateway gave some of its answers."""


# ---------------------------------------------------------------------------------------------------------------------
# One case


def measured_entry(data: CaseData, max_error_rate: float) -> Entry:
    """A case as it was measured, judged by its own files. ``max_error_rate`` in percent."""
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
    """Whether the complete iterations are good: those of an interrupted case are kept when nothing else is wrong."""
    if judgement.validity is not Validity.INTERRUPTED:
        return judgement.validity is Validity.VALID
    as_if_planned = data.planned.model_copy(update={"iterations": len(data.complete)})
    return bool(data.complete) and (
        validity.judge(as_if_planned, data.complete, max_error_rate).validity is Validity.VALID
    )


def _iterations(planned: PlannedCase, facts: Sequence[IterationFacts]) -> list[Iteration]:
    """The complete iterations with their counts."""
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
    """The same case with everything that is computed from its samples."""
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
    """What the counts of a valid case say to a reader."""
    notes = []
    seen = validity.wrong_answers(one.raw for one in facts)
    if seen.wrong:
        notes.append(f"{seen.words}; too few to say that more are wrong than may be")
    cached = [checks for one in facts for checks in one.checks if checks.cached]
    if cached:
        number, of = sum(one.cached for one in cached), sum(checks.sent for one in facts for checks in one.checks)
        notes.append(
            f"a cache in front of the gateway gave {number} of {of} answers that were read ({cached[0].cache}): these "
            "figures are its work"
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
        notes.append(f"{failed.total()} requests failed, within what may fail: {kinds}")
    if case.counts and case.counts.hit_ratio:
        notes.append(f"a cache of the gateway answered {case.counts.hit_ratio:.1%} of the requests")
    return notes


def _intervals(facts: Sequence[IterationFacts]) -> tuple[tuple[float, float], ...]:
    """When measured load ran: start and end of each process, as POSIX times in seconds."""
    parts = [part for one in facts for part in one.raw.parts]
    return tuple((part.started.timestamp(), part.started.timestamp() + part.wall_s) for part in parts)


def without_figures(case: Case, judgement: Judgement) -> Case:
    """A case that turned out not to be valid: counts of errors stay, latency and throughput go."""
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
# Made from other cases


def weakest(cases: Sequence[Case], none: str) -> Judgement:
    """The judgement of what is made from several cases: no better than any of them."""
    if not cases:
        return Judgement(Validity.SKIPPED, none)
    for state in VALIDITIES:
        ids = [case.id for case in cases if case.validity is state]
        if ids and state is not Validity.VALID:
            return Judgement(state, f"made from {', '.join(ids)}, which {'is' if len(ids) == 1 else 'are'} {state}")
    return Judgement(Validity.VALID)


def aggregate(data: Sequence[CaseData], entries: Sequence[Entry]) -> Entry:
    """One more case that pools what a group's cases sent at the same time."""
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
    """An iteration of each case of a group, on one clock that starts with the first process of any."""
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
    """The counts of an iteration of all cases of a group."""
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
    """For how much of the time all kinds ran at once: outside it the mix is another than planned."""
    together = whole = 0.0
    for kinds in iterations:
        starts = [min(part.start_s for part in kind.parts) for kind in kinds]
        ends = [kind.wall_s for kind in kinds]
        together += max(0.0, min(ends) - max(starts))
        whole += max(ends) - min(starts)
    return f"all {len(iterations[0])} kinds ran at once for {together / whole:.0%} of the time"


def difference(planned: PlannedDifference, by_id: dict[str, Case]) -> Case:
    """What case ``of`` takes more than case ``minus``.

    The values are differences of the two cases' pooled figures, so that a reader who subtracts one row of the table
    from the other finds them; the iterations hold the differences of iterations of the same round.
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
