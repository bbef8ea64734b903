"""The files of the baselines: ``baseline_<profile>.json``, and every earlier version of it in ``history/``.

A version's number is given once per profile and never again, and a version that was replaced or deleted lies in
``history/baseline_<profile>.v<version>.json``: nothing is overwritten, nothing is lost. Writers exclude each other by a
lock on ``.lock``; readers need none, because a file is always replaced in one step.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchkit import store
from benchkit.errors import ExitCode, UserError, os_reason
from benchkit.model import Baseline, BaselineRun, Environment, Model, Run, RunStatus, Validity
from benchkit.verdict.environments import load_differences, machine_differences
from benchkit.verdict.rules import case_figures

LOCK_WAIT_S = 10.0
"""How long a writer waits for another one, in seconds."""

_PROFILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_FILE = re.compile(rf"baseline_({_PROFILE.pattern})\.json")


@dataclass(frozen=True)
class SavedBaseline:
    """What a save did. ``kept`` is where the version before lies; ``None`` when there was none."""

    path: Path
    baseline: Baseline
    kept: Path | None


class ListedBaseline(Model):
    """One row of the list: the figures of a baseline, or the ``problem`` for which its file cannot be read."""

    profile: str
    file: str
    version: int | None = None
    runs: int | None = None
    cases: int | None = None
    newest: datetime | None = None
    machine: str | None = None
    problem: str = ""


# ---------------------------------------------------------------------------------------------------------------------
# The four operations


def save_baseline(run: Run, directory: Path, *, profile: str, keep_runs: int, force: bool = False) -> SavedBaseline:
    """Add a run to the baseline of ``profile``, or start that baseline with it.

    At most ``keep_runs`` runs are kept, the newest; a run that is in the baseline already replaces itself. With
    ``force`` the new version holds this run alone.

    Raises:
        UserError: the run has nothing to store (exit 3); its load or machine is not the baseline's, the baseline is
            damaged, another writer holds the lock too long, or a file cannot be written (exit 2). The baseline is as
            it was.
    """
    entry = baseline_run(run)
    path = baseline_path(directory, profile)
    with _locked(directory):
        earlier = load_baseline(directory, profile) if path.exists() else None
        runs, environment = [entry], run.environment
        if earlier is not None and not force:
            _require_same_kind(path, earlier, run)
            runs = _joined(path, earlier, entry, keep_runs)
            environment = _newest_environment(runs, earlier, run)
        versions = [earlier.version] if earlier is not None else []
        baseline = Baseline(
            profile=profile,
            version=1 + max([0, *versions, *_history_versions(directory, profile)]),
            created=datetime.now(UTC),
            environment=environment,
            runs=runs,
        )
        kept = _keep(path, earlier) if earlier is not None else None
        store.save(path, baseline)
    return SavedBaseline(path=path, baseline=baseline, kept=kept)


def load_baseline(directory: Path, profile: str) -> Baseline:
    """The current baseline of a profile.

    Raises:
        UserError: there is none, its file is damaged, of an unknown version, or another profile's.
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
        raise UserError(f"{path}: holds the baseline of profile {baseline.profile!r}, not {profile!r}; rename the file")
    return baseline


def list_baselines(directory: Path) -> list[ListedBaseline]:
    """Every baseline of a directory, by profile; a file that cannot be read is listed with its problem.

    Raises:
        UserError: the directory cannot be read. One that is not there holds no baseline.
    """
    try:
        paths = sorted(directory.iterdir()) if directory.exists() else []
    except OSError as error:
        raise UserError(f"{directory}: the baselines cannot be listed: {os_reason(error)}") from error
    matches = [(path, match) for path in paths if (match := _FILE.fullmatch(path.name))]
    return [_listed(directory, path, match.group(1)) for path, match in matches]


def delete_baseline(directory: Path, profile: str) -> Path:
    """Take a baseline away: its file, damaged or not, moves to ``history/``. Returns where it lies now.

    Raises:
        UserError: there is none, or the file cannot be moved.
    """
    path = baseline_path(directory, profile)
    if not path.exists():
        raise UserError(f"{path}: there is no baseline of profile {profile!r}")
    with _locked(directory):
        try:
            target = _history_file(path, f"v{read_baseline(path).version}")
        except UserError:
            target = _free_history_file(path, "unreadable")
        _refuse_other_content(target, path)
        _make_directory(target.parent)
        try:
            path.replace(target)
        except OSError as error:
            raise UserError(f"{path}: cannot be moved to {target}: {os_reason(error)}") from error
    return target


# ---------------------------------------------------------------------------------------------------------------------
# Parts that others use as well


def baseline_path(directory: Path, profile: str) -> Path:
    """Where the baseline of a profile lies.

    Raises:
        UserError: the profile's name cannot be part of a file's name.
    """
    if not _PROFILE.fullmatch(profile):
        raise UserError(f"baseline profile {profile!r}: not a name; use letters, digits, '_', '.' and '-', at most 100")
    return directory / f"baseline_{profile}.json"


def read_baseline(path: Path) -> Baseline:
    """A baseline of any file.

    Raises:
        UserError: it is not there, damaged, of an unknown version, or holds no run.
    """
    baseline = store.load(path, Baseline, "baseline")
    if not baseline.runs:
        raise UserError(f"{path}: the baseline is damaged: it holds no run")
    return baseline


def baseline_run(run: Run) -> BaselineRun:
    """What a baseline remembers of a run: the figures of its valid cases.

    Raises:
        UserError: the run was interrupted or no case of it is valid (exit 3).
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
    return BaselineRun(run_id=run.run_id, finished=run.finished, cases=cases)


# ---------------------------------------------------------------------------------------------------------------------
# Joining


def _require_same_kind(path: Path, earlier: Baseline, run: Run) -> None:
    for what, lines in (
        ("load", load_differences(earlier.environment.load, run.environment.load)),
        ("machine", machine_differences(earlier.environment.machine, run.environment.machine)),
    ):
        if lines:
            raise UserError(
                f"{path}: run {run.run_id} cannot join this baseline, its {what} differs: {', '.join(lines)}; "
                "give it a baseline of its own with --profile NAME, or replace this one with --force "
                "(the earlier version is kept)"
            )


def _joined(path: Path, earlier: Baseline, entry: BaselineRun, keep_runs: int) -> list[BaselineRun]:
    others = [run for run in earlier.runs if run.run_id != entry.run_id]
    runs = sorted([*others, entry], key=lambda run: (run.finished, run.run_id))[-keep_runs:]
    if entry not in runs:
        raise UserError(
            f"{path}: run {entry.run_id} is older than the {keep_runs} runs that this baseline remembers "
            "(baselines.keep_runs); nothing was changed"
        )
    return runs


def _newest_environment(runs: list[BaselineRun], earlier: Baseline, run: Run) -> Environment:
    """A baseline stands for the target that its newest run measured."""
    return run.environment if runs[-1].run_id == run.run_id else earlier.environment


# ---------------------------------------------------------------------------------------------------------------------
# History


def _history_file(path: Path, mark: str) -> Path:
    return path.parent / "history" / f"{path.stem}.{mark}.json"


def _history_versions(directory: Path, profile: str) -> list[int]:
    pattern = re.compile(rf"baseline_{re.escape(profile)}\.v(\d+)\.json")
    matches = (pattern.fullmatch(path.name) for path in (directory / "history").glob("*.json"))
    return [int(match.group(1)) for match in matches if match]


def _free_history_file(path: Path, mark: str) -> Path:
    number = 1
    while (target := _history_file(path, f"{mark}-{number}")).exists():
        number += 1
    return target


def _keep(path: Path, earlier: Baseline) -> Path:
    """Copy the current file to the history, before it is replaced."""
    target = _history_file(path, f"v{earlier.version}")
    _refuse_other_content(target, path)
    _make_directory(target.parent)
    store.write_bytes(target, path.read_bytes())
    return target


def _refuse_other_content(target: Path, path: Path) -> None:
    # The same content is what a writer leaves that ended between its two steps.
    if target.exists() and target.read_bytes() != path.read_bytes():
        raise UserError(f"{target}: is in the way, with other content than {path}; move it elsewhere")


# ---------------------------------------------------------------------------------------------------------------------
# Listing


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
        cases=len({case for run in baseline.runs for case in run.cases}),
        newest=max(run.finished for run in baseline.runs),
        machine=f"{machine.cpu_model}, {machine.cores} cores, {machine.memory_mib} MiB",
    )


# ---------------------------------------------------------------------------------------------------------------------
# Directories and the lock


def _make_directory(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{directory}: cannot be made: {os_reason(error)}") from error


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Keep other writers of this directory out.

    The system releases the lock when its process ends, however it ends, so the file that stays behind means nothing.
    """
    _make_directory(directory)
    path = directory / ".lock"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {os_reason(error)}; nothing was changed") from error
    try:
        _acquire(descriptor, path)
        with contextlib.suppress(OSError):  # Who holds the lock is for a message only; a full disk must not matter.
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, path: Path) -> None:
    deadline = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() >= deadline:
                owner = os.pread(descriptor, 20, 0).decode(errors="replace").strip() or "unknown"
                raise UserError(
                    f"{path}: process {owner} has been writing baselines for {LOCK_WAIT_S:g} s; "
                    "wait for it or stop it, then try again; nothing was changed"
                ) from error
            time.sleep(0.05)
        except OSError as error:
            raise UserError(f"{path}: cannot be locked: {os_reason(error)}") from error
        else:
            return
