"""The stored groups of runs: comparisons of gateways, release histories, tunings, and runs over several profiles.

Like :mod:`~benchkit.verdict.stored_runs` for what has no ``run.json`` of its own: a line each, by an index that lies in
``results/.groups.sqlite`` and can be removed at any time.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from pydantic import TypeAdapter

from benchkit import store
from benchkit.ended import Ended, ended_study, ended_together
from benchkit.errors import ExitCode, UserError, os_reason
from benchkit.model import AllRuns, Comparison, Model, Run, VariantStudy
from benchkit.verdict.results_database import FileIndex, Summary, stamp_or_none
from benchkit.verdict.stored_runs import DamagedRun, read_light, sent_by

INDEX = ".groups.sqlite"


class GroupKind(StrEnum):
    """What a group of runs is for."""

    COMPARISON = "comparison"
    HISTORY = "history"
    TUNE = "tune"
    ALL = "all"


class StoredGroup(Model):
    """One line of the list. ``name`` is the group's directory below the results' directory.

    ``end``: how its variants ended, with what was found between them; of a run over several profiles its document, for
    its runs have lines of their own. ``sent`` is 0 then, and ``finished`` absent while it goes on.
    """

    name: str
    kind: GroupKind
    profile: str
    release: str = ""
    started: datetime
    end: Ended | AllRuns
    finished: datetime | None = None
    sent: int = 0


@dataclass(frozen=True)
class Groups:
    """All groups, the oldest first, and the directories that cannot be read."""

    groups: list[StoredGroup]
    damaged: list[DamagedRun]


_GROUPS = TypeAdapter(list[StoredGroup])
_DOCUMENTS = ("all.json", "comparison.json", "history.json", "tune.json")


def read_groups(results: Path) -> Groups:
    """The groups below a results' directory, with the index brought up to date. A missing directory holds none.

    A directory with a plan and without ``run.json`` is damaged, too: its run was killed, or goes on.

    Raises:
        UserError: the directory cannot be read.
    """
    index = FileIndex(results / INDEX, _sources(results), lambda name: _summary(results / name))
    try:
        groups = _GROUPS.validate_json(f"[{','.join(index.heads().values())}]")
        damaged = [DamagedRun(name=name, problem=problem) for name, problem in index.problems().items()]
    finally:
        index.close()
    return Groups(sorted(groups, key=lambda group: (group.started, group.name)), damaged)


def _sources(results: Path) -> dict[str, str]:
    """Every directory that holds a group, or a plan alone, with the stamps of all that is read of it."""
    try:
        found = {entry.name: entry.path for entry in os.scandir(results) if entry.is_dir(follow_symlinks=False)}
        marks = {name: _marks(path) for name, path in found.items() if not stamp_or_none(f"{path}/run.json")}
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise UserError(f"{results}: the runs cannot be listed: {os_reason(error)}") from error
    return {name: mark for name, mark in marks.items() if mark}


def _marks(path: str) -> str:
    """What tells one content of a group from another; empty where there is none."""
    files = [f"{path}/{name}" for name in (*_DOCUMENTS, "plan.json")]
    with os.scandir(path) as entries:
        inner = sorted(entry.path for entry in entries if entry.is_dir(follow_symlinks=False))
    files += [f"{variant}/{name}" for variant in inner for name in ("run.json", "plan.json")]
    return " ".join(f"{file.removeprefix(path)}={mark}" for file in files if (mark := stamp_or_none(file)))


def _summary(directory: Path) -> Summary:
    try:
        return Summary(read_group(directory).model_dump_json(), "")
    except UserError as error:
        return Summary("", error.within(directory.parent))


def read_group(directory: Path) -> StoredGroup:
    """The group of a directory.

    Raises:
        UserError: it holds none, or a document is damaged.
    """
    return _all(directory) if (directory / "all.json").exists() else _variants(directory)


def _all(directory: Path) -> StoredGroup:
    document = store.load(directory / "all.json", AllRuns, "run over all profiles")
    return StoredGroup(
        name=directory.name,
        kind=GroupKind.ALL,
        profile=", ".join(one.profile for one in document.profiles),
        started=document.started,
        finished=document.finished,
        end=document,
    )


def _variants(directory: Path) -> StoredGroup:
    runs = sorted(
        (read_light(path) for path in directory.glob("*/run.json")), key=lambda run: (run.started, run.run_id)
    )
    if not runs:
        raise UserError(
            f"{directory}: there is no run.json: its run is still going on, or was killed; collect the results of a "
            f"killed run with utils/mark_interrupted.py results/{directory.name} {ExitCode.TERMINATED:d}"
        )
    kind, found = _kind(directory)
    return StoredGroup(
        name=directory.name,
        kind=kind,
        profile=runs[0].profile,
        release=_releases(runs),
        started=runs[0].started,
        finished=max(run.finished for run in runs),
        end=ended_study(found, runs) if isinstance(found, VariantStudy) else ended_together(runs, found),
        sent=sum(map(sent_by, runs)),
    )


def _kind(directory: Path) -> tuple[GroupKind, Comparison | VariantStudy | None]:
    """Return the kind of a group and its result; an interrupted group has no result, and its name gives the kind."""
    if (directory / "comparison.json").exists():
        return GroupKind.COMPARISON, store.load(directory / "comparison.json", Comparison, "comparison")
    for kind in (GroupKind.HISTORY, GroupKind.TUNE):
        path = directory / f"{kind}.json"
        if path.exists():
            study = store.load(path, VariantStudy, kind)
            return GroupKind(study.kind), study
    word = directory.name.partition("_")[0]
    return (GroupKind(word) if word in set(GroupKind) else GroupKind.COMPARISON), None


def _releases(runs: Sequence[Run]) -> str:
    """``1.0.6, 1.0.7``: the gateways in the order in which they were given, each once."""
    names = [run.environment.target.release or "not told" for run in runs]
    return ", ".join(dict.fromkeys(names))
