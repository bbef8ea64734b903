"""Record of the objects that a run creates on an external gateway, kept in the run's directory until they are deleted.

A killed run cannot delete them. The next command then reports the record, and the next run on that gateway deletes the
objects by their recorded ids. So nothing is deleted that merely looks alike and belongs to others.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field

from benchkit import store
from benchkit.errors import UserError
from benchkit.model import Model
from benchkit.run.owner import is_abandoned

DOCUMENT = "fixtures.json"
_WHAT = "record of fixtures"


class Fixture(Model):
    """One object on a gateway. ``path``: its path for DELETE below the gateway's address: ``/servers/ID``."""

    name: str
    path: str


class FixturesRecord(Model):
    """``fixtures.json``. ``gateway``: the gateway's address (``service.base_url``)."""

    schema_version: Literal[1] = 1
    gateway: str
    made: list[Fixture] = Field(min_length=1)


@dataclass(frozen=True)
class Orphan:
    """The record of a killed run. ``directory``: of the run, or of one of its variants."""

    directory: Path
    record: FixturesRecord

    def __str__(self) -> str:
        things = ", ".join(f"{one.name} ({one.path})" for one in self.record.made)
        return (
            f"{self.directory.name} was killed and left on {self.record.gateway}: {things}; the next run on that "
            f"gateway removes it, or delete it there and then remove {self.directory / DOCUMENT}"
        )


def save(run_dir: Path, gateway: str, made: list[Fixture]) -> None:
    """Write the record. Call it after each object is created. Raises as :func:`store.save`."""
    store.save(run_dir / DOCUMENT, FixturesRecord(gateway=gateway, made=made), mode=0o600)


def load(run_dir: Path) -> FixturesRecord | None:
    """Return the record of a run; ``None`` if there is none. Raises as :func:`store.load`."""
    path = run_dir / DOCUMENT
    return store.load(path, FixturesRecord, _WHAT) if path.exists() else None


def forget(run_dir: Path) -> None:
    """Delete the record, once all objects are deleted."""
    (run_dir / DOCUMENT).unlink(missing_ok=True)


def orphans(results: Path, gateway: str | None = None) -> list[Orphan]:
    """Return the records of runs that ended without deleting their objects, from a results directory.

    ``gateway``: only records of this address. Unreadable records are skipped: nothing may be deleted because of them.
    """
    found = []
    for path in sorted([*results.glob(f"*/{DOCUMENT}"), *results.glob(f"*/*/{DOCUMENT}")]):
        directory = path.parent
        top = directory if directory.parent == results else directory.parent
        if directory.is_symlink() or top.is_symlink() or not is_abandoned(top):
            continue
        try:
            record = load(directory)
        except UserError:
            continue
        if record is not None and gateway in (None, record.gateway):
            found.append(Orphan(directory, record))
    return found
