"""The operations on baselines: save, join, forget, load, list, delete, roll back.

:mod:`~benchkit.verdict.baseline_files` writes the files, :mod:`~benchkit.verdict.baseline_update` decides which of a
run's values are used. Nothing is overwritten or lost: every change is a new version.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from benchkit import store
from benchkit.errors import ExitCode, UserError, os_reason
from benchkit.model import Baseline, BaselineRun, Model, Run, RunStatus, Validity
from benchkit.verdict import baseline_files
from benchkit.verdict.baseline_files import baseline_path, read_baseline
from benchkit.verdict.baseline_update import Joined, hold_back, joined
from benchkit.verdict.environments import load_differences, machine_differences
from benchkit.verdict.rules import case_figures

__all__ = [
    "ListedBaseline",
    "SavedBaseline",
    "baseline_path",
    "baseline_run",
    "delete_baseline",
    "forget_cases",
    "join_baseline",
    "list_baselines",
    "load_baseline",
    "read_baseline",
    "roll_back",
    "save_baseline",
]


@dataclass(frozen=True)
class SavedBaseline:
    """The result of a save. ``kept`` is the path of the previous version; ``None`` if there was none.

    ``accepted`` are the cases whose improvement was confirmed and replaced the baseline's values.
    """

    path: Path
    baseline: Baseline
    kept: Path | None
    accepted: list[str]


class ListedBaseline(Model):
    """One row of the list: a summary of a baseline, or the ``problem`` with its file."""

    profile: str
    file: str
    version: int | None = None
    runs: int | None = None
    cases: int | None = None
    newest: datetime | None = None
    machine: str | None = None
    problem: str = ""


# ---------------------------------------------------------------------------------------------------------------------
# Adding runs


def save_baseline(run: Run, directory: Path, *, profile: str, keep_runs: int, force: bool = False) -> SavedBaseline:
    """Add all values of a run to the baseline of ``profile``, or start that baseline with it.

    Each case keeps the values of the newest ``keep_runs`` runs that measured it; a run that is in the baseline already
    replaces itself. With ``force`` the new version contains only this run.

    Raises:
        UserError: the run has nothing to store (exit 3); its load or machine is not the baseline's, the baseline is
            damaged, another writer holds the lock too long, or a file cannot be written (exit 2). The baseline is
            unchanged.
    """
    entry = baseline_run(run)
    path = baseline_path(directory, profile)
    with baseline_files.locked(directory):
        earlier = _current(directory, profile)
        if earlier is None or force:
            reason = f"replaced by force with run {run.run_id}" if earlier else f"run {run.run_id} saved"
            return _write(path, earlier, _started(profile, run, entry, reason))
        _require_same_kind(path, earlier, run)
        # This run holds nothing back, so it ends the series of earlier runs, and no improvement is accepted.
        after = joined(earlier.runs, earlier.oldest, entry, keep=keep_runs, needed=keep_runs + 1)
        return _write(path, earlier, _with_run(path, earlier, run, after, f"run {run.run_id} saved"), after)


def join_baseline(
    run: Run, directory: Path, *, profile: str, keep_runs: int, improved: frozenset[str], sustained_runs: int
) -> SavedBaseline:
    """Add a run that passed to the baseline of ``profile``, or start that baseline with it.

    The values of a case in ``improved`` are held back until the newest ``sustained_runs`` runs that measured it all
    held it back; then they replace the baseline's values of the case.

    Raises:
        UserError: like :func:`save_baseline`.
    """
    entry = baseline_run(run)
    path = baseline_path(directory, profile)
    with baseline_files.locked(directory):
        earlier = _current(directory, profile)
        if earlier is None:
            return _write(path, None, _started(profile, run, entry, f"run {run.run_id} saved"))
        _require_same_kind(path, earlier, run)
        entry = hold_back(entry, improved)
        needed = min(sustained_runs, keep_runs)
        after = joined(earlier.runs, earlier.oldest, entry, keep=keep_runs, needed=needed)
        reason = f"run {run.run_id} joined"
        if after.accepted:
            reason += f"; improvement accepted after {needed} runs: {', '.join(after.accepted)}"
        if held := sorted(set(entry.held_back) - set(after.accepted)):
            reason += f"; better, held back until {needed} runs in a row say so: {', '.join(held)}"
        return _write(path, earlier, _with_run(path, earlier, run, after, reason), after)


def baseline_run(run: Run) -> BaselineRun:
    """Return what a baseline stores of a run: the values of its valid cases, and the machine's control score.

    Raises:
        UserError: the run was interrupted or has no valid case (exit 3).
    """
    if run.status is not RunStatus.COMPLETE:
        raise UserError(
            f"run {run.run_id}: was interrupted, so it cannot be a baseline; run it again", ExitCode.INVALID
        )
    valid = [case for case in run.cases if case.validity is Validity.VALID]
    cases = {case.id: figures for case in valid if (figures := case_figures(case))}
    if not cases:
        raise UserError(
            f"run {run.run_id}: none of its {len(run.cases)} cases is valid, so it cannot be a baseline; "
            "its run.json says why",
            ExitCode.INVALID,
        )
    return BaselineRun(
        run_id=run.run_id,
        finished=run.finished,
        cases=cases,
        control_score=run.environment.machine.control_score,
    )


def forget_cases(directory: Path, profile: str, cases: Sequence[str]) -> SavedBaseline:
    """Remove cases from a baseline, as a new version, so that cases deleted from ``config.yaml`` are not "missing".

    Raises:
        UserError: there is no such baseline, it lacks one of the cases, it would have no cases left, or a file cannot
            be written. Nothing is changed then.
    """
    path = baseline_path(directory, profile)
    with baseline_files.locked(directory):
        earlier = load_baseline(directory, profile)
        known = {case for run in [*earlier.runs, *earlier.oldest] for case in [*run.cases, *run.held_back]}
        strange = [case for case in cases if case not in known]
        if strange:
            raise UserError(f"{path}: has no case {strange[0]!r}; nothing was changed")
        runs = [run for run in _without(earlier.runs, cases) if run.cases or run.held_back]
        if not runs:
            raise UserError(f"{path}: would have no cases left; utils/baseline_manager.py delete {profile}")
        oldest = [run for run in _without(earlier.oldest, cases) if run.cases]
        reason = f"forgotten: {', '.join(dict.fromkeys(cases))}"
        return _write(path, earlier, earlier.model_copy(update={"runs": runs, "oldest": oldest, "reason": reason}))


def _without(runs: Sequence[BaselineRun], cases: Sequence[str]) -> list[BaselineRun]:
    return [
        run.model_copy(
            update={
                "cases": {case: figures for case, figures in run.cases.items() if case not in cases},
                "held_back": {case: figures for case, figures in run.held_back.items() if case not in cases},
            }
        )
        for run in runs
    ]


# ---------------------------------------------------------------------------------------------------------------------
# Reading, deleting, rolling back


def load_baseline(directory: Path, profile: str) -> Baseline:
    """Load the current baseline of a profile.

    Raises:
        UserError: there is none, or its file is damaged, has an unknown version, or belongs to another profile.
    """
    path = baseline_path(directory, profile)
    if not path.exists():
        raise UserError(
            f"{path}: there is no baseline of profile {profile!r}; save one: utils/baseline_manager.py save RUN_DIR"
        )
    try:
        baseline = read_baseline(path)
    except UserError as error:
        remedy = f"utils/baseline_manager.py delete {profile} moves it out of the way"
        raise UserError(f"{error}; the file was not touched, {remedy}") from error
    if baseline.profile != profile:
        raise UserError(f"{path}: is the baseline of profile {baseline.profile!r}, not {profile!r}; rename the file")
    return baseline


def list_baselines(directory: Path) -> list[ListedBaseline]:
    """List every baseline of a directory, by profile; a file that cannot be read is listed with its problem.

    Raises:
        UserError: the directory cannot be read. If it does not exist, the list is empty.
    """
    try:
        paths = sorted(directory.iterdir()) if directory.exists() else []
    except OSError as error:
        raise UserError(f"{directory}: the baselines cannot be listed: {os_reason(error)}") from error
    matches = [(path, match) for path in paths if (match := baseline_files.CURRENT.fullmatch(path.name))]
    return [_listed(directory, path, match.group(1)) for path, match in matches]


def delete_baseline(directory: Path, profile: str) -> Path:
    """Delete a baseline: move its file, damaged or not, to ``history/``. Returns the new path.

    Raises:
        UserError: there is none, or the file cannot be moved.
    """
    path = baseline_path(directory, profile)
    if not path.exists():
        raise UserError(f"{path}: there is no baseline of profile {profile!r}")
    with baseline_files.locked(directory):
        return baseline_files.move_to_history(path)


def roll_back(directory: Path, profile: str, version: int) -> SavedBaseline:
    """Restore an earlier version, with its oldest runs, as a new version.

    This also works after a delete, and if the current file is damaged: that is moved to the history under a new name.

    Raises:
        UserError: the version does not exist, is damaged or is the current one, or a file cannot be written. Nothing is
            changed then.
    """
    path = baseline_path(directory, profile)
    with baseline_files.locked(directory):
        target = baseline_files.history_versions(directory, profile).get(version)
        try:
            current = read_baseline(path) if path.exists() else None
            damaged = False
        except UserError:
            current, damaged = None, True
        if current is not None and current.version == version:
            raise UserError(f"{path}: version {version} is the current one; nothing was changed")
        if target is None:
            raise UserError(f"{path}: there is no version {version}; utils/baseline_manager.py history {profile}")
        restored = read_baseline(target)
        kept = baseline_files.keep_unreadable(path) if damaged else None
        saved = _write(
            path,
            current,
            restored.model_copy(update={"profile": profile, "reason": f"rolled back to version {version}"}),
        )
    return replace(saved, kept=kept) if damaged else saved


# ---------------------------------------------------------------------------------------------------------------------
# A new version


def _current(directory: Path, profile: str) -> Baseline | None:
    return load_baseline(directory, profile) if baseline_path(directory, profile).exists() else None


def _started(profile: str, run: Run, entry: BaselineRun, reason: str) -> Baseline:
    """Return a baseline of one run; it gets its version number when it is written."""
    return Baseline(
        profile=profile,
        version=0,
        created=entry.finished,
        environment=run.environment,
        runs=[entry],
        oldest=[entry],
        reason=reason,
    )


def _with_run(path: Path, earlier: Baseline, run: Run, after: Joined, reason: str) -> Baseline:
    """Return the baseline after a run was added. Its environment is that of its newest run."""
    if run.run_id not in (entry.run_id for entry in after.runs):
        raise UserError(
            f"{path}: run {run.run_id} is older than the {len(after.runs)} runs of this baseline, so none of its "
            "values would be kept (baselines.keep_runs); nothing was changed"
        )
    newest = after.runs[-1].run_id == run.run_id
    return earlier.model_copy(
        update={
            "environment": run.environment if newest else earlier.environment,
            "runs": after.runs,
            "oldest": after.oldest,
            "reason": reason,
        }
    )


def _write(path: Path, current: Baseline | None, baseline: Baseline, after: Joined | None = None) -> SavedBaseline:
    """Write the next version, with its number and the current time."""
    version = baseline_files.next_version(path.parent, baseline.profile, current)
    written = baseline.model_copy(update={"version": version, "created": datetime.now(UTC)})
    kept = baseline_files.replace_current(path, store.dump(written), current)
    return SavedBaseline(path=path, baseline=written, kept=kept, accepted=after.accepted if after else [])


def _require_same_kind(path: Path, earlier: Baseline, run: Run) -> None:
    for what, lines in (
        ("load", load_differences(earlier.environment.load, run.environment.load)),
        ("machine", machine_differences(earlier.environment.machine, run.environment.machine)),
    ):
        if lines:
            raise UserError(
                f"{path}: run {run.run_id} cannot be added to this baseline, its {what} differs: {', '.join(lines)}; "
                "save it as another baseline with --profile NAME, or replace this one with --force "
                "(the earlier version is kept)"
            )


def _listed(directory: Path, path: Path, profile: str) -> ListedBaseline:
    try:
        baseline = load_baseline(directory, profile)
    except UserError as error:
        return ListedBaseline(profile=profile, file=str(path), problem=str(error))
    machine = baseline.environment.machine
    return ListedBaseline(
        profile=profile,
        file=str(path),
        version=baseline.version,
        runs=len(baseline.runs),
        cases=len({case for run in baseline.runs for case in [*run.cases, *run.held_back]}),
        newest=max(run.finished for run in baseline.runs),
        machine=f"{machine.cpu_model}, {machine.cores} cores, {machine.memory_mib} MiB",
    )
