"""Whose a run's directory is: the processes that lead the run, so that others can tell whether it still goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from benchkit import store
from benchkit.errors import UserError
from benchkit.identity import ProcessIdentity
from benchkit.model import Model

DOCUMENT = "owner.json"


class RunOwner(Model):
    """``owner.json``: the shell that leads the run, and its measuring side."""

    schema_version: Literal[1] = 1
    processes: list[ProcessIdentity]


def write_owner(run_dir: Path, *pids: int) -> None:
    """Note who leads this run; see :func:`benchkit.store.save` for what is raised."""
    store.save(run_dir / DOCUMENT, RunOwner(processes=[ProcessIdentity.of(pid) for pid in pids]))


def is_abandoned(run_dir: Path) -> bool:
    """Whether all who led this run are gone. False where that is not known: none is noted, or the note is damaged."""
    owner = _owner(run_dir)
    return owner is not None and all(process.is_gone for process in owner.processes)


def is_led(run_dir: Path) -> bool:
    """Whether somebody who leads this run is still there, as far as that is known."""
    owner = _owner(run_dir)
    return owner is not None and not all(process.is_gone for process in owner.processes)


def _owner(run_dir: Path) -> RunOwner | None:
    path = run_dir / DOCUMENT
    if path.is_symlink() or not path.is_file():
        return None
    try:
        return store.load(path, RunOwner, "run's owner")
    except UserError:
        return None
