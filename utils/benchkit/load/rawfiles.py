"""Read a case's files in ``raw/``, which the driver and the load processes wrote."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import numpy as np

from benchkit.errors import UserError
from benchkit.load import validity
from benchkit.load.engines import engine_named
from benchkit.load.metrics import PartSamples
from benchkit.load.rows import Rows
from benchkit.load.validity import IterationFacts
from benchkit.model import PlannedCase, RawIteration, RawPart, ServerCounter, part_files
from benchkit.store import load


@dataclass(frozen=True)
class CaseData:
    """A case's raw files: the facts of every existing iteration, and the rows of complete iterations."""

    planned: PlannedCase
    facts: list[IterationFacts]
    samples: list[list[PartSamples]]
    notes: list[str]

    @property
    def complete(self) -> list[IterationFacts]:
        """The complete iterations; ``samples`` has one entry for each."""
        return validity.complete(self.facts)


def shared_counters(cases: Sequence[PlannedCase]) -> set[tuple[str, str]]:
    """Return the MCP servers' counters that more than one load process increments at the same time."""
    users = Counter(_key(part.server_counter) for case in cases for part in case.parts if part.server_counter)
    return {key for key, number in users.items() if number > 1}


def _key(counter: ServerCounter) -> tuple[str, str]:
    return (counter.url, counter.key)


def read_case(run_dir: Path, case: PlannedCase, shared: set[tuple[str, str]]) -> CaseData:
    """Read all files of a case.

    Args:
        run_dir: the run's directory.
        case: the case as planned.
        shared: counters with calls of several processes, from :func:`shared_counters`.

    Raises:
        UserError: the record of an iteration is damaged. Damaged rows are no error here; they are noted in the facts.
    """
    facts: list[IterationFacts] = []
    samples: list[list[PartSamples]] = []
    notes: list[str] = []
    directory = run_dir / "raw" / case.scenario
    if any(part.server_counter and _key(part.server_counter) in shared for part in case.parts):
        notes.append("calls at the MCP servers are not shown: another load at the same time moves the same counters")
    for number in range(1, case.iterations + 1):
        document = directory / f"{case.name}.{number}.json"
        if case.skipped or not document.exists():
            continue
        raw = load(document, RawIteration, "record of an iteration")
        if notes:
            parts = [part.model_copy(update={"server_calls": None}) for part in raw.parts]
            raw = raw.model_copy(update={"parts": parts})
        one = IterationFacts(raw)
        if raw.parts and not raw.interrupted:
            one, rows = _read_rows(one, case, [directory / name for name in part_files(case, number)])
            samples.append(rows)
        facts.append(one)
    return CaseData(case, facts, samples, notes)


def _read_rows(
    facts: IterationFacts, case: PlannedCase, files: Sequence[Path]
) -> tuple[IterationFacts, list[PartSamples]]:
    """Read an iteration's rows; damaged rows become the facts' ``problem``, so that other cases are not affected."""
    start = min(part.started for part in facts.raw.parts)
    samples = []
    statuses: Counter[int] = Counter()
    try:
        for part, file in zip(facts.raw.parts, files, strict=True):
            rows = engine_named(case.engine).rows(file)
            statuses += rows.statuses()
            samples.append(_part_samples(rows, case, part, start))
    except UserError as error:
        return replace(facts, problem=str(error)), []
    return replace(facts, statuses=statuses), samples


def _part_samples(rows: Rows, case: PlannedCase, part: RawPart, start: datetime) -> PartSamples:
    samples = PartSamples(
        rows=rows,
        expected_status=case.expect.status,
        sent=part.sent,
        start_s=(part.started - start).total_seconds(),
        wall_s=part.wall_s,
    )
    if part.checks is None:
        return samples
    # The generator's clock starts with its first request, some milliseconds after the process start. Its rows are
    # written after the last answer. So the zero of its clock is computed backwards from the end.
    loaded_s = samples.end_s - samples.start_s
    zero_s = max(0.0, (part.wall_s if part.ended_s is None else part.ended_s) - loaded_s)
    at = np.asarray(part.checks.right_s, dtype=np.float64) - zero_s
    return replace(
        samples,
        checked_s=at[(at >= 0) & (at <= loaded_s)],
        checked_failed=part.checks.wrong + sum(part.checks.failed.values()),
    )
