"""The owner of a run's directory: the processes that control the run. It tells other commands if the run is alive."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from benchkit import store
from benchkit.errors import UserError
from benchkit.identity import ProcessIdentity
from benchkit.model import Model

DOCUMENT = "owner.json"


class RunOwner(Model):
    """``owner.json``: the run's shell and its measuring process."""

    schema_version: Literal[1] = 1
    processes: list[ProcessIdentity]


def write_owner(run_dir: Path, *pids: int) -> None:
    """Record the processes that own this run; raises as :func:`benchkit.store.save`."""
    store.save(run_dir / DOCUMENT, RunOwner(processes=[ProcessIdentity.of(pid) for pid in pids]))


def is_abandoned(run_dir: Path) -> bool:
    """Return whether all owners of this run are gone. False if unknown: no record, or a damaged one."""
    owner = _owner(run_dir)
    return owner is not None and all(process.is_gone for process in owner.processes)


def is_led(run_dir: Path) -> bool:
    """Return whether an owner of this run is alive, as far as that is known."""
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
