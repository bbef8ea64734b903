"""All runs of a results' directory as rows of their list, by the indexes over them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from benchkit.clock import seconds_between
from benchkit.errors import ExitCode
from benchkit.model import RunStatus, Validity, Verdict
from benchkit.report.headline import Tone, outcome
from benchkit.report.index_page import Damaged, IndexRow
from benchkit.verdict.groups import GroupKind, StoredGroup, read_groups
from benchkit.verdict.stored_runs import DamagedRun, StoredRun, read_history

_REPORTS = {GroupKind.HISTORY: "history.html", GroupKind.TUNE: "tune.html"}
"""What a group's report is called where it is not ``report.html``."""


def read_listing(results: Path) -> tuple[list[IndexRow], list[Damaged]]:
    """Every run and every group of runs, and the directories that cannot be read.

    Raises:
        UserError: the directory cannot be read.
    """
    history = read_history(results)
    history.close()
    groups = read_groups(results)
    runs = {run.name: run for run in history.runs}
    rows = [_run(results, run) for run in history.runs]
    rows += [_group(results, group, runs) for group in groups.groups]
    damaged = [*history.damaged, *groups.damaged]
    return rows, [_damaged(one) for one in sorted(damaged, key=lambda one: one.name)]


def _run(results: Path, run: StoredRun) -> IndexRow:
    word, tone = outcome(run.status, run.tally, run.verdict, run.exit_code)
    return IndexRow(
        name=run.name,
        report=_report(results, run.name, "report.html"),
        started=run.started,
        profile=run.profile,
        kind="run",
        release=run.release or "",
        word=word,
        tone=tone,
        valid=run.tally.get(Validity.VALID, 0),
        measured=_measured(run.tally),
        sent=run.sent,
        seconds=seconds_between(run.started, run.finished),
        exit_code=run.exit_code,
    )


def _group(results: Path, group: StoredGroup, runs: Mapping[str, StoredRun]) -> IndexRow:
    parts = [runs[name] for name in group.runs if name in runs]
    tally = sum((Counter(part.tally) for part in parts), Counter(group.tally))
    word, tone = _word(group, tally, parts)
    return IndexRow(
        name=group.name,
        report=_report(results, group.name, _REPORTS.get(group.kind, "report.html")),
        started=group.started,
        profile=group.profile,
        kind=group.kind.value,
        release=group.release or ", ".join(dict.fromkeys(part.release for part in parts if part.release)),
        word=word,
        tone=tone,
        valid=tally[Validity.VALID],
        measured=_measured(tally) if group.finished else None,
        sent=group.sent + sum(part.sent for part in parts),
        seconds=seconds_between(group.started, group.finished) if group.finished else None,
        exit_code=group.exit_code,
    )


def _word(group: StoredGroup, tally: Mapping[Validity, int], parts: list[StoredRun]) -> tuple[str, Tone]:
    """What came out of a group; of one over several profiles the worst that any of its runs says."""
    if group.exit_code is None:
        return "Running", Tone.PLAIN
    if group.kind is not GroupKind.ALL:
        return outcome(group.status, tally, group.verdict, group.exit_code)
    if group.status is not RunStatus.INTERRUPTED and group.exit_code == ExitCode.OK:
        return "Passed", Tone.GOOD
    critical = group.exit_code == ExitCode.REGRESSION and any(part.verdict is Verdict.CRITICAL for part in parts)
    # Its exit code says what came out of all of them together; the cases of one don't decide it.
    return outcome(group.status, {Validity.VALID: 1}, Verdict.CRITICAL if critical else None, group.exit_code)


def _measured(tally: Mapping[Validity, int]) -> int:
    """Cases that were to be measured: all but those that the target does not have."""
    return sum(tally.values()) - tally.get(Validity.SKIPPED, 0)


def _report(results: Path, name: str, file: str) -> str:
    return file if (results / name / file).exists() else ""


def _damaged(one: DamagedRun) -> Damaged:
    """The problem without the place of this checkout: its path begins with the directory's own name."""
    return Damaged(one.name, re.sub(rf"^.*?/(?={re.escape(one.name)}[/:])", "", one.problem, count=1))
