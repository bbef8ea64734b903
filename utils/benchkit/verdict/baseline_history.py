"""The versions of a baseline: the list of them, and the difference between two.

The list of a profile's versions is cached in an index, ``history/.<profile>.sqlite``, which can be deleted at any time.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import median

from pydantic import TypeAdapter

from benchkit.errors import UserError
from benchkit.model import METRICS, Baseline, Model
from benchkit.verdict import baseline_files
from benchkit.verdict.baseline_files import baseline_path, read_baseline
from benchkit.verdict.baselines import load_baseline
from benchkit.verdict.results_database import FileIndex, Summary, stamp
from benchkit.verdict.rules import change_percent


class Version(Model):
    """One version of a baseline. ``newest_run`` is the last of its ``runs``; ``file`` is its path."""

    version: int
    created: datetime
    runs: int
    cases: int
    newest_run: str
    reason: str
    file: str
    current: bool = False


class DamagedVersion(Model):
    """A file of the history that cannot be read, and why."""

    file: str
    problem: str


class BaselineHistory(Model):
    """Every version of a profile's baseline, newest first, and the files that cannot be read."""

    profile: str
    versions: list[Version]
    damaged: list[DamagedVersion]


_VERSIONS = TypeAdapter(list[Version])


def read_history(directory: Path, profile: str) -> BaselineHistory:
    """Return every version of a baseline, also from before it was deleted.

    Raises:
        UserError: there is no version, or the history cannot be listed.
    """
    path = baseline_path(directory, profile)
    # Read the current file first: if it is moved to the history meanwhile, it is seen twice instead of missed.
    current = _summary(path) if path.exists() else None
    index = _index(directory, profile)
    past = _VERSIONS.validate_json(f"[{','.join(index.heads().values())}]")
    problems = {str(directory / "history" / name): problem for name, problem in index.problems().items()}
    index.close()
    versions = {entry.version: entry for entry in past}
    if current is not None and current.head:
        newest = Version.model_validate_json(current.head)
        versions[newest.version] = newest.model_copy(update={"current": True})
    elif current is not None:
        problems[str(path)] = current.body
    if not versions and not problems:
        raise UserError(
            f"{path}: profile {profile!r} has no baseline and no history; save one: "
            "utils/baseline_manager.py save RUN_DIR"
        )
    return BaselineHistory(
        profile=profile,
        versions=[versions[number] for number in sorted(versions, reverse=True)],
        damaged=[DamagedVersion(file=file, problem=problem) for file, problem in problems.items()],
    )


def _index(directory: Path, profile: str) -> FileIndex:
    """Open the index of a profile's files in the history. Each profile has its own index."""
    history = directory / "history"
    sources = {}
    for name in baseline_files.history_names(directory):
        if re.fullmatch(rf"baseline_{re.escape(profile)}\.(v\d{{1,18}}|unreadable-\d+)\.json", name):
            with contextlib.suppress(FileNotFoundError):
                sources[name] = stamp(str(history / name))
    return FileIndex(history / f".{profile}.sqlite", sources, lambda name: _summary(history / name))


def _summary(path: Path) -> Summary:
    try:
        baseline = read_baseline(path)
    except UserError as error:
        return Summary("", str(error))
    version = Version(
        version=baseline.version,
        created=baseline.created,
        runs=len(baseline.runs),
        cases=len({case for run in baseline.runs for case in [*run.cases, *run.held_back]}),
        newest_run=baseline.runs[-1].run_id,
        reason=baseline.reason,
        file=str(path),
    )
    return Summary(version.model_dump_json(), "")


# ---------------------------------------------------------------------------------------------------------------------
# The difference between two versions


@dataclass(frozen=True)
class Change:
    """One metric of a case in two versions: medians over their runs. ``percent`` is positive if it got better."""

    case: str
    metric: str
    before: float
    after: float
    percent: float


@dataclass(frozen=True)
class VersionDiff:
    """The differences between two versions: changed values (worst first), and runs and cases that only one has.

    ``same`` is the number of equal values. Values without a relative change (the reference is zero) are left out.
    """

    before: Baseline
    after: Baseline
    changes: list[Change]
    same: int
    runs_gone: list[str]
    runs_new: list[str]
    cases_gone: list[str]
    cases_new: list[str]


def diff_versions(directory: Path, profile: str, before: int | None, after: int | None) -> VersionDiff:
    """Compare two versions of a baseline. By default ``after`` is the current one, and ``before`` the one before it.

    Raises:
        UserError: a version does not exist or is damaged.
    """
    newer = _version(directory, profile, after)
    older = _version(directory, profile, _before(directory, profile, newer) if before is None else before)
    old, new = _medians(older), _medians(newer)
    old_cases, new_cases = {case for case, _ in old}, {case for case, _ in new}
    old_runs, new_runs = [run.run_id for run in older.runs], [run.run_id for run in newer.runs]
    return VersionDiff(
        before=older,
        after=newer,
        changes=_changes(old, new),
        same=sum(old[key] == new[key] for key in old.keys() & new.keys()),
        runs_gone=[run for run in old_runs if run not in new_runs],
        runs_new=[run for run in new_runs if run not in old_runs],
        cases_gone=sorted(old_cases - new_cases),
        cases_new=sorted(new_cases - old_cases),
    )


def _changes(old: dict[tuple[str, str], float], new: dict[tuple[str, str], float]) -> list[Change]:
    changes = []
    for case, metric in old.keys() & new.keys():
        before, after = old[case, metric], new[case, metric]
        percent = change_percent(METRICS[metric], after, before)
        if before != after and percent is not None:
            changes.append(Change(case, metric, before=before, after=after, percent=percent))
    return sorted(changes, key=lambda change: (change.percent, change.case, change.metric))


def _version(directory: Path, profile: str, number: int | None) -> Baseline:
    path = baseline_path(directory, profile)
    if number is None:
        return load_baseline(directory, profile)
    past = baseline_files.history_versions(directory, profile).get(number)
    if past is not None:
        return read_baseline(past)
    if path.exists() and (current := load_baseline(directory, profile)).version == number:
        return current
    raise UserError(f"{path}: there is no version {number}; utils/baseline_manager.py history {profile}")


def _before(directory: Path, profile: str, newer: Baseline) -> int:
    earlier = [number for number in baseline_files.history_versions(directory, profile) if number < newer.version]
    if not earlier:
        path = baseline_path(directory, profile)
        raise UserError(f"{path}: version {newer.version} is the first one; there is none before it")
    return max(earlier)


def _medians(baseline: Baseline) -> dict[tuple[str, str], float]:
    values: dict[tuple[str, str], list[float]] = {}
    for run in baseline.runs:
        for case, figures in run.cases.items():
            for metric, value in figures.items():
                if metric in METRICS:
                    values.setdefault((case, metric), []).append(value)
    return {key: median(found) for key, found in values.items()}
