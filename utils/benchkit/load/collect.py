"""Compute ``run.json`` from ``plan.json`` and ``raw/``. No later step reads raw files.

It reads no settings, no environment and no clock, so the files of an old run give the same documents again. Cases are
read one at a time (the cases of a group together), and their rows are dropped once their metrics are computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchkit.errors import ExitCode
from benchkit.load import bottleneck, validity
from benchkit.load.cases import Detail, Entry, aggregate, difference, measured_entry, weakest, without_figures
from benchkit.load.rawfiles import read_case, shared_counters
from benchkit.load.resources import Monitored, read_monitor, resources
from benchkit.load.validity import CaseFacts, Judgement, Reconciled
from benchkit.model import (
    VALIDITIES,
    Case,
    Counts,
    Plan,
    PlannedCase,
    RawGatewayCounts,
    Resources,
    Run,
    RunStatus,
    Validity,
)
from benchkit.store import load

_SIGNALS = {int(ExitCode.INTERRUPTED): "Ctrl-C", int(ExitCode.TERMINATED): "TERM"}


@dataclass(frozen=True)
class Collected:
    """A run's document, and the extra details of its text summaries by case id."""

    run: Run
    details: dict[str, Detail]


def collect(run_dir: Path, interrupted: int | None = None) -> Collected:
    """Read a run directory and compute its document.

    Args:
        run_dir: holds ``plan.json`` and, depending on how far the run came, ``raw/``.
        interrupted: exit code of a run that a signal or an error ended early.

    Raises:
        UserError: ``plan.json`` or a required JSON document below ``raw/`` is missing or damaged. Damaged rows are no
            error: they make their case invalid.
    """
    plan = load(run_dir / "plan.json", Plan, "plan")
    entries: list[Entry] = []
    aggregates: dict[str, Entry] = {}
    for group, together in _groups(plan).items():
        shared = shared_counters(together)
        data = [read_case(run_dir, case, shared) for case in together]
        entries += [measured_entry(one, plan.max_error_rate) for one in data]
        if data[0].planned.group:
            aggregates[group] = aggregate(data, entries[-len(data) :])
    counts_file = run_dir / "raw" / "gateway_counts.json"
    reconciled = None
    if counts_file.exists():
        raw_counts = load(counts_file, RawGatewayCounts, "reading of the gateway's counts")
        reconciled = validity.reconcile(raw_counts, [_case_facts(entry) for entry in entries], plan.max_error_rate)
        entries = [_overrule(entry, reconciled.judgements.get(entry.case.id)) for entry in entries]
    entries, used = _with_use(read_monitor(run_dir, plan), plan, entries)
    run = _document(plan, entries, _in_order(plan, entries, aggregates), reconciled, interrupted)
    if used is not None:
        run = run.model_copy(
            update={"resources": used.resources, "warnings": [*run.warnings, *used.doubts], "doubts": used.doubts}
        )
    return Collected(run, {entry.case.id: entry.detail for entry in [*entries, *aggregates.values()]})


def _document(
    plan: Plan, entries: Sequence[Entry], cases: list[Case], reconciled: Reconciled | None, interrupted: int | None
) -> Run:
    """Assemble ``run.json``. Only cases that were measured themselves decide how the run ended."""
    measured = [entry.case for entry in entries]
    return Run(
        run_id=plan.run_id,
        profile=plan.environment.load.profile,
        status=_status(measured, interrupted),
        started=plan.created,
        finished=max([plan.created, *(one.finished for case in measured for one in case.iterations)]),
        exit_code=_exit_code(measured, interrupted),
        exit_reason=_exit_reason(measured, interrupted),
        environment=plan.environment,
        scenarios=plan.scenarios,
        commands=[plan.command, *(entry.detail.command for entry in entries if entry.detail.command)],
        cases=cases,
        gateway_counts=reconciled.counts if reconciled else [],
        load_seconds=round(_covered([interval for entry in entries for interval in entry.intervals]), 3),
        warnings=[*plan.warnings, *(reconciled.warnings if reconciled else []), *_cached(entries)],
        variant=plan.variant,
    )


def _cached(entries: Sequence[Entry]) -> list[str]:
    """Return a warning if a cache in front of the gateway answered requests of some cases."""
    cached = [entry.case.id for entry in entries if entry.cached]
    if not cached:
        return []
    cases = "1 case" if len(cached) == 1 else f"{len(cached)} cases"
    return [f"a cache in front of the gateway answered in {cases} (the first: {cached[0]}): measure without it"]


def _groups(plan: Plan) -> dict[str, list[PlannedCase]]:
    """Return the cases whose load ran at the same time, by group; a case without a group is a group of its own."""
    groups: dict[str, list[PlannedCase]] = {}
    for case in plan.cases:
        groups.setdefault(case.group or case.id, []).append(case)
    return groups


@dataclass(frozen=True)
class _Used:
    """The resources that were used, and reasons why the measurements may not reflect the gateway alone."""

    resources: Resources
    doubts: list[str]


def _with_use(monitored: Monitored | None, plan: Plan, entries: list[Entry]) -> tuple[list[Entry], _Used | None]:
    """Add a note to cases that the load generator limited; the second value is ``None`` if nothing was sampled."""
    if monitored is None:
        return entries, None
    together = _together(plan, entries)
    limited = bottleneck.limited_cases(monitored, together)
    used = resources(monitored, plan.created).model_copy(
        update={"other_cpu_percent": bottleneck.other_work(monitored, together)}
    )
    doubts = [bottleneck.warning(list(limited), len(entries))] if limited else []
    if used.other_cpu_percent is not None and used.has_other_work:
        doubts.append(bottleneck.other_work_warning(used.other_cpu_percent))
    noted = [_with_note(entry, limited.get(entry.case.id)) for entry in entries]
    return noted, _Used(used, doubts)


def _together(plan: Plan, entries: Sequence[Entry]) -> list[list[Entry]]:
    """Return the entries in groups whose load ran at the same time."""
    by_id = {entry.case.id: entry for entry in entries}
    return [[by_id[case.id] for case in cases] for cases in _groups(plan).values()]


def _with_note(entry: Entry, note: str | None) -> Entry:
    if note is None:
        return entry
    return replace(entry, case=entry.case.model_copy(update={"notes": [*entry.case.notes, note]}))


def _covered(intervals: Sequence[tuple[float, float]]) -> float:
    """Return the seconds that at least one interval covers."""
    covered, reached = 0.0, float("-inf")
    for start, end in sorted(intervals):
        covered += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return covered


def _case_facts(entry: Entry) -> CaseFacts:
    counts = entry.case.counts or Counts(sent=0, ok=0)
    return CaseFacts(entry.planned, entry.judgement, counts, entry.explained)


def _overrule(entry: Entry, judgement: Judgement | None) -> Entry:
    """Replace the judgement of a case; a case that is no longer valid loses its metrics."""
    if judgement is None:
        return entry
    return replace(
        entry,
        judgement=judgement,
        case=without_figures(entry.case, judgement),
        detail=replace(entry.detail, distribution={}),
    )


def _in_order(plan: Plan, entries: Sequence[Entry], aggregates: dict[str, Entry]) -> list[Case]:
    """Return all cases in the plan's order; a scenario's aggregates and differences come after its cases."""
    by_id = {entry.case.id: entry.case for entry in entries}
    cases: list[Case] = []
    for scenario in dict.fromkeys(case.scenario for case in plan.cases):
        cases += [case for case in by_id.values() if case.scenario == scenario]
        for group, entry in aggregates.items():
            if entry.case.scenario == scenario:
                members = [by_id[case.id] for case in plan.cases if case.group == group and not case.skipped]
                cases.append(_judged_again(entry.case, members))
        cases += [difference(one, by_id) for one in plan.differences if one.scenario == scenario]
    return cases


def _judged_again(case: Case, members: Sequence[Case]) -> Case:
    """Judge a group's aggregate again after the gateway's counts may have invalidated some members."""
    judgement = weakest(members, case.reason)
    return case if judgement.validity is case.validity else without_figures(case, judgement)


def _status(cases: Sequence[Case], interrupted: int | None) -> RunStatus:
    cut = interrupted is not None or any(case.validity is Validity.INTERRUPTED for case in cases)
    return RunStatus.INTERRUPTED if cut else RunStatus.COMPLETE


def _exit_code(cases: Sequence[Case], interrupted: int | None) -> int:
    if interrupted is not None:
        return interrupted
    states = {case.validity for case in cases}
    trusted = Validity.VALID in states and states <= {Validity.VALID, Validity.SKIPPED}
    return int(ExitCode.OK if trusted else ExitCode.INVALID)


def _exit_reason(cases: Sequence[Case], interrupted: int | None) -> str:
    valid = sum(case.validity is Validity.VALID for case in cases)
    if interrupted is not None:
        cause = _SIGNALS.get(interrupted, f"an error (exit {interrupted})")
        return f"interrupted by {cause}: {valid} of {len(cases)} cases were measured to their end"
    words = [f"{valid} of {len(cases)} cases are valid"]
    for state, row in VALIDITIES.items():
        ids = [case.id for case in cases if case.validity is state is not Validity.VALID]
        if ids:
            words.append(f"{row.counted}: {', '.join(ids)}")
    return "; ".join(words)
