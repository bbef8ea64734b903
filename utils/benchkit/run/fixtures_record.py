"""What a run made on a gateway that is not its own, kept in the run's directory until it is removed again.

A run that is killed cannot remove it. Then this record is what the next command names, and what the next run on that
gateway goes by: the ids of what was made, so that nothing of others is removed that only looks alike.
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
    """One thing on a gateway. ``path``: where it is deleted, below the gateway's address: ``/servers/ID``."""

    name: str
    path: str


class FixturesRecord(Model):
    """``fixtures.json``. ``gateway``: its address (``service.base_url``)."""

    schema_version: Literal[1] = 1
    gateway: str
    made: list[Fixture] = Field(min_length=1)


@dataclass(frozen=True)
class Orphan:
    """A record whose run was killed. ``directory``: that of the run, or of one of its variants."""

    directory: Path
    record: FixturesRecord

    def __str__(self) -> str:
        things = ", ".join(f"{one.name} ({one.path})" for one in self.record.made)
        return (
            f"{self.directory.name} was killed and left on {self.record.gateway}: {things}; the next run on that "
            f"gateway removes it, or delete it there and then remove {self.directory / DOCUMENT}"
        )


def save(run_dir: Path, gateway: str, made: list[Fixture]) -> None:
    """Write the record as soon as something is made; again when more of it is. Raises as :func:`store.save`."""
    store.save(run_dir / DOCUMENT, FixturesRecord(gateway=gateway, made=made), mode=0o600)


def load(run_dir: Path) -> FixturesRecord | None:
    """The record of a run; ``None`` where there is none. Raises as :func:`store.load`."""
    path = run_dir / DOCUMENT
    return store.load(path, FixturesRecord, _WHAT) if path.exists() else None


def forget(run_dir: Path) -> None:
    """It is all removed."""
    (run_dir / DOCUMENT).unlink(missing_ok=True)


def orphans(results: Path, gateway: str | None = None) -> list[Orphan]:
    """The records below a results' directory whose runs ended without removing what they made.

    ``gateway``: only those of this address. A record that cannot be read is left out: nothing may be removed by it.
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
