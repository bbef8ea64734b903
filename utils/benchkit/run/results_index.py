"""Read all runs of a results directory as rows for their list."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from benchkit.clock import seconds_between
from benchkit.ended import ended_sweep
from benchkit.model import AllRuns
from benchkit.report.index_page import Damaged, IndexRow
from benchkit.verdict.groups import GroupKind, StoredGroup, read_groups
from benchkit.verdict.stored_runs import StoredRun, read_history

_REPORTS = {GroupKind.HISTORY: "history.html", GroupKind.TUNE: "tune.html"}
"""The report file of each kind of group whose report is not ``report.html``."""


def read_listing(results: Path) -> tuple[list[IndexRow], list[Damaged]]:
    """Return a row for every run and every group of runs, and the directories that cannot be read.

    Raises:
        UserError: the results directory cannot be read.
    """
    history = read_history(results)
    history.close()
    groups = read_groups(results)
    runs = {run.name: run for run in history.runs}
    rows = [_run(results, run) for run in history.runs]
    rows += [_group(results, group, runs) for group in groups.groups]
    damaged = [*history.damaged, *groups.damaged]
    return rows, [Damaged(one.name, one.problem) for one in sorted(damaged, key=lambda one: one.name)]


def _run(results: Path, run: StoredRun) -> IndexRow:
    return IndexRow(
        name=run.name,
        report=_report(results, run.name, "report.html"),
        started=run.started,
        profile=run.profile,
        kind="run",
        release=run.release or "",
        word=run.ended.word,
        tone=run.ended.tone,
        valid=run.ended.valid,
        measured=run.ended.measured,
        sent=run.sent,
        seconds=seconds_between(run.started, run.finished),
        exit_code=run.ended.exit_code,
    )


def _group(results: Path, group: StoredGroup, runs: Mapping[str, StoredRun]) -> IndexRow:
    profiles = group.end.profiles if isinstance(group.end, AllRuns) else []
    parts = [runs[one.run] for one in profiles if one.run in runs]
    end = ended_sweep(group.end, [part.ended for part in parts]) if isinstance(group.end, AllRuns) else group.end
    is_over = group.finished is not None
    return IndexRow(
        name=group.name,
        report=_report(results, group.name, _REPORTS.get(group.kind, "report.html")),
        started=group.started,
        profile=group.profile,
        kind=group.kind.value,
        release=group.release or ", ".join(dict.fromkeys(part.release for part in parts if part.release)),
        word=end.word,
        tone=end.tone,
        valid=end.valid,
        measured=end.measured if is_over else None,
        sent=group.sent + sum(part.sent for part in parts),
        seconds=seconds_between(group.started, group.finished) if group.finished else None,
        exit_code=end.exit_code if is_over else None,
    )


def _report(results: Path, name: str, file: str) -> str:
    return file if (results / name / file).exists() else ""
