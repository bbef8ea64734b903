"""The files of baselines, and how a version is written without ever losing one.

``baseline_<profile>.json`` is the current version, ``history/baseline_<profile>.v<version>.json`` every earlier one.
A version number is used once per profile and never again. A new version is written in two steps: the current file is
copied to the history, then it is replaced. Each step is a rename, so wherever a writer is interrupted, the baseline can
be read and no version is lost. Writers take a lock on ``.lock``; readers need none.
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
"""Timeout for the lock of another writer, in seconds."""

PROFILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_LITTER = ".baseline_*.json.*.tmp"
"""Temporary files of writers that were killed in the middle of a write. Under the lock, no other writer uses them."""

CURRENT = re.compile(rf"baseline_({PROFILE.pattern})\.json")


# ---------------------------------------------------------------------------------------------------------------------
# Names


def baseline_path(directory: Path, profile: str) -> Path:
    """Return the path of a profile's baseline.

    Raises:
        UserError: the profile's name cannot be part of a file name.
    """
    if not PROFILE.fullmatch(profile):
        raise UserError(f"baseline profile {profile!r}: not a name; use letters, digits, '_', '.' and '-', at most 100")
    return directory / f"baseline_{profile}.json"


def noise_path(directory: Path, profile: str) -> Path:
    """Return the path of a profile's noise record; raises like :func:`baseline_path`."""
    return directory / baseline_path(directory, profile).name.replace("baseline_", "noise_", 1)


def history_file(path: Path, mark: str) -> Path:
    """Return the path in the history of a version (``v3``) of the baseline at ``path``."""
    return path.parent / "history" / f"{path.stem}.{mark}.json"


def history_versions(directory: Path, profile: str) -> dict[int, Path]:
    """Return the versions of a profile in the history, by number.

    Raises:
        UserError: the history cannot be listed.
    """
    pattern = re.compile(rf"baseline_{re.escape(profile)}\.v(\d{{1,18}})\.json")
    matches = [(name, pattern.fullmatch(name)) for name in history_names(directory)]
    return {int(match.group(1)): directory / "history" / name for name, match in sorted(matches) if match}


def history_names(directory: Path) -> list[str]:
    """Return the names of all files of the history; empty if there is no history.

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
    """Read a baseline from any file, of any schema version that can be upgraded.

    Raises:
        UserError: it does not exist, is damaged, has an unknown version, or contains no run.
    """
    baseline = store.load(path, Baseline, "baseline")
    if not baseline.runs:
        raise UserError(f"{path}: the baseline is damaged: it holds no run")
    return baseline


# ---------------------------------------------------------------------------------------------------------------------
# Writing; the caller holds the lock


def next_version(directory: Path, profile: str, current: Baseline | None) -> int:
    """Return the number of the next version.

    Raises:
        UserError: like :func:`history_versions`, or there is no higher number.
    """
    number = 1 + max([0, *([current.version] if current else []), *history_versions(directory, profile)])
    if number > MOST_VERSION:
        raise UserError(
            f"{directory}: version {number - 1} of the baseline {profile} is the last that there can be; "
            "delete the baseline, or give the file of its history with this number a lower one"
        )
    return number


def replace_current(path: Path, text: str, current: Baseline | None) -> Path | None:
    """Copy the current version to the history, then write the text of the new one.

    Returns:
        The path of the previous version; ``None`` if there was none.

    Raises:
        UserError: a file cannot be written. The current version is unchanged.
    """
    kept = _keep(path, history_file(path, f"v{current.version}")) if current else None
    store.write_text(path, text)
    flush_directory(path.parent)
    return kept


def keep_unreadable(path: Path) -> Path:
    """Copy an unreadable baseline to the history, under a new name; raises like :func:`replace_current`."""
    return _keep(path, _free(path))


def move_to_history(path: Path) -> Path:
    """Move the current file, damaged or not, to the history. Returns its new path.

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
    """Write a new version directly to the history; raises like :func:`replace_current`, or if the number exists."""
    make_directory(path.parent)
    if path.exists():
        raise UserError(f"{path}: is in the way; move it elsewhere")
    store.write_text(path, text)
    flush_directory(path.parent)


def make_directory(directory: Path) -> None:
    """Create a directory and its parents.

    Raises:
        UserError: it cannot be created.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{directory}: cannot be made: {os_reason(error)}") from error


def flush_directory(directory: Path) -> None:
    """Flush the renames in a directory to the disk before later steps; ignored if the file system cannot."""
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
    # A file with the same content was left by a writer that was interrupted between its two steps.
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
    """Hold the lock of this directory, and remove temporary files of killed writers.

    Raises:
        UserError: the lock file cannot be opened, or another writer holds the lock too long.
    """
    make_directory(directory)
    with locked_file(directory / ".lock", f"another writer of baselines in {directory}", timeout_s=LOCK_WAIT_S):
        with contextlib.suppress(OSError):  # Leftovers do no harm.
            for left in [*directory.glob(_LITTER), *directory.glob(f"history/{_LITTER}")]:
                left.unlink(missing_ok=True)
        yield
