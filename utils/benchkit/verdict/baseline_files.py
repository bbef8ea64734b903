"""Where baselines lie on the disk, and how a version is written so that none is ever lost.

``baseline_<profile>.json`` is the current version, ``history/baseline_<profile>.v<version>.json`` every earlier one.
A version's number is given once per profile and never again. A new version is written in two steps: the current file
is copied to the history, then it is replaced. Each step is a rename, so wherever a writer ends, the baseline can be
read and no version is lost. Writers exclude each other by a lock on ``.lock``; readers need none.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from benchkit import store
from benchkit.errors import UserError, os_reason
from benchkit.lock import locked_file
from benchkit.model import MOST_VERSION, Baseline

LOCK_WAIT_S = 10.0
"""How long a writer waits for another one, in seconds."""

PROFILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_LITTER = ".baseline_*.json.*.tmp"
"""What a writer leaves that was ended in the middle of a write; under the lock it can be nobody's."""

CURRENT = re.compile(rf"baseline_({PROFILE.pattern})\.json")


# ---------------------------------------------------------------------------------------------------------------------
# Names


def baseline_path(directory: Path, profile: str) -> Path:
    """Where the baseline of a profile lies.

    Raises:
        UserError: the profile's name cannot be part of a file's name.
    """
    if not PROFILE.fullmatch(profile):
        raise UserError(f"baseline profile {profile!r}: not a name; use letters, digits, '_', '.' and '-', at most 100")
    return directory / f"baseline_{profile}.json"


def noise_path(directory: Path, profile: str) -> Path:
    """Where the record of a profile's noise lies; raises as :func:`baseline_path`."""
    return directory / baseline_path(directory, profile).name.replace("baseline_", "noise_", 1)


def history_file(path: Path, mark: str) -> Path:
    """Where a version (``v3``) of the baseline at ``path`` lies once it is not the current one."""
    return path.parent / "history" / f"{path.stem}.{mark}.json"


def history_versions(directory: Path, profile: str) -> dict[int, Path]:
    """The versions of a profile that lie in the history, by number.

    Raises:
        UserError: the history cannot be listed.
    """
    pattern = re.compile(rf"baseline_{re.escape(profile)}\.v(\d{{1,18}})\.json")
    matches = [(name, pattern.fullmatch(name)) for name in history_names(directory)]
    return {int(match.group(1)): directory / "history" / name for name, match in sorted(matches) if match}


def history_names(directory: Path) -> list[str]:
    """The names of all files of the history; none where there is no history.

    Raises:
        UserError: it cannot be listed.
    """
    try:
        return [path.name for path in (directory / "history").iterdir()]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UserError(f"{directory / 'history'}: cannot be listed: {os_reason(error)}") from error


# ---------------------------------------------------------------------------------------------------------------------
# Reading


def read_baseline(path: Path) -> Baseline:
    """A baseline of any file, also one of schema version 1.

    Raises:
        UserError: it is not there, damaged, of an unknown version, or holds no run.
    """
    baseline = store.load(path, Baseline, "baseline")
    if not baseline.runs:
        raise UserError(f"{path}: the baseline is damaged: it holds no run")
    return baseline


# ---------------------------------------------------------------------------------------------------------------------
# Writing; all of it under the lock


def next_version(directory: Path, profile: str, current: Baseline | None) -> int:
    """The number of a version that is written next.

    Raises:
        UserError: as :func:`history_versions`, or there is no higher number.
    """
    number = 1 + max([0, *([current.version] if current else []), *history_versions(directory, profile)])
    if number > MOST_VERSION:
        raise UserError(
            f"{directory}: version {number - 1} of the baseline {profile} is the last that there can be; "
            "delete the baseline, or give the file of its history with this number a lower one"
        )
    return number


def replace_current(path: Path, text: str, current: Baseline | None) -> Path | None:
    """Write the text of a new version, after the current one was kept.

    Returns:
        Where the one before lies now; ``None`` without one.

    Raises:
        UserError: a file cannot be written. The current version is as it was.
    """
    kept = _keep(path, history_file(path, f"v{current.version}")) if current else None
    store.write_text(path, text)
    flush_directory(path.parent)
    return kept


def keep_unreadable(path: Path) -> Path:
    """Copy a file that is no baseline to the history, under a name of its own; raises as :func:`replace_current`."""
    return _keep(path, _free(path))


def move_to_history(path: Path) -> Path:
    """Take the current file away, damaged or not. Returns where it lies now.

    Raises:
        UserError: it cannot be moved.
    """
    try:
        target = history_file(path, f"v{read_baseline(path).version}")
    except UserError:
        target = _free(path)
    _refuse_other_content(target, path)
    make_directory(target.parent)
    try:
        path.replace(target)
    except OSError as error:
        raise UserError(f"{path}: cannot be moved to {target}: {os_reason(error)}") from error
    flush_directory(target.parent)
    flush_directory(path.parent)
    return target


def write_version(path: Path, text: str) -> None:
    """Write a version straight into the history, where none of its number is; raises as :func:`replace_current`."""
    make_directory(path.parent)
    if path.exists():
        raise UserError(f"{path}: is in the way; move it elsewhere")
    store.write_text(path, text)
    flush_directory(path.parent)


def make_directory(directory: Path) -> None:
    """Make a directory and those above it.

    Raises:
        UserError: it cannot be made.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{directory}: cannot be made: {os_reason(error)}") from error


def flush_directory(directory: Path) -> None:
    """Let the renames in a directory reach the disk before what follows; a file system that cannot is left alone."""
    with contextlib.suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _keep(path: Path, target: Path) -> Path:
    _refuse_other_content(target, path)
    if not target.exists():
        make_directory(target.parent)
        store.write_bytes(target, _content(path))
        flush_directory(target.parent)
    return target


def _refuse_other_content(target: Path, path: Path) -> None:
    # The same content is what a writer leaves that ended between its two steps.
    if target.exists() and _content(target) != _content(path):
        raise UserError(f"{target}: is in the way, with other content than {path}; move it elsewhere")


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {os_reason(error)}; nothing was changed") from error


def _free(path: Path) -> Path:
    number = 1
    while (target := history_file(path, f"unreadable-{number}")).exists():
        number += 1
    return target


# ---------------------------------------------------------------------------------------------------------------------
# The lock


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Keep other writers of this directory out, and remove what writers left that were ended in the middle.

    Raises:
        UserError: the lock's file cannot be opened, or another writer holds it too long.
    """
    make_directory(directory)
    with locked_file(directory / ".lock", f"another writer of baselines in {directory}", timeout_s=LOCK_WAIT_S):
        with contextlib.suppress(OSError):  # Litter harms nobody.
            for left in [*directory.glob(_LITTER), *directory.glob(f"history/{_LITTER}")]:
                left.unlink(missing_ok=True)
        yield
