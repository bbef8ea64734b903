"""A baseline with its history in one file, to be committed or kept as an artifact of CI; and back.

The file holds every version as it is stored, the number of the current one, and the profile's record of noise. It has
no time of its own, so the same baseline gives the same bytes, and a SHA-256 of its content, so damage is seen before
anything is touched.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchkit import store
from benchkit.errors import UserError
from benchkit.model import Baseline, Model, NoiseRecord
from benchkit.strict_json import parse_json
from benchkit.verdict import baseline_files
from benchkit.verdict.baseline_files import baseline_path, noise_path, read_baseline
from benchkit.verdict.baselines import load_baseline


class BaselineArchive(Model):
    """An exported baseline. ``versions`` are the documents as their files hold them, the oldest first.

    ``sha256``: of the JSON of the other fields with sorted keys and without spaces, in UTF-8.
    """

    schema_version: Literal[1] = 1
    profile: str
    sha256: str
    current: int
    noise: dict[str, Any] | None = None
    versions: list[dict[str, Any]]


@dataclass(frozen=True)
class Exported:
    """An archive's text, how many versions it holds, and the files of the history that could not be read."""

    text: str
    versions: int
    left_out: list[str]


@dataclass(frozen=True)
class Imported:
    """What an import did: the current baseline now, how many versions came in, and what became of the noise record."""

    baseline: Baseline
    versions: int
    noise: Literal["none", "written", "same", "kept"]


# ---------------------------------------------------------------------------------------------------------------------
# Out


def export_baseline(directory: Path, profile: str) -> Exported:
    """The current baseline with its history and the record of noise.

    Raises:
        UserError: there is no current baseline, or it or the record of noise is damaged. A damaged file of the history
            is left out, and said so.
    """
    path = baseline_path(directory, profile)
    noise_file = noise_path(directory, profile)
    with baseline_files.locked(directory):
        current = load_baseline(directory, profile)
        documents, left_out = {current.version: store.read_json(path, "baseline")}, []
        for number, past in baseline_files.history_versions(directory, profile).items():
            if number == current.version:
                continue  # What a writer left that ended between its two steps.
            try:
                read_baseline(past)
                documents[number] = store.read_json(past, "baseline")
            except UserError as error:
                left_out.append(str(error))
        noise = None
        if noise_file.exists():
            store.load(noise_file, NoiseRecord, "noise record")
            noise = store.read_json(noise_file, "noise record")
    versions = [documents[number] for number in sorted(documents)]
    archive = BaselineArchive(
        profile=profile,
        sha256=_digest(profile, current.version, noise, versions),
        current=current.version,
        noise=noise,
        versions=versions,
    )
    return Exported(text=_text(archive.model_dump(exclude_none=True)), versions=len(versions), left_out=left_out)


def _digest(profile: str, current: int, noise: dict[str, Any] | None, versions: list[dict[str, Any]]) -> str:
    content = {"profile": profile, "current": current, "noise": noise, "versions": versions}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _text(document: dict[str, Any]) -> str:
    """JSON as :func:`benchkit.store.dump` writes it: what was stored by this toolkit becomes the same bytes again."""
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


# ---------------------------------------------------------------------------------------------------------------------
# In


@dataclass(frozen=True)
class _Incoming:
    """One version of an archive: as it stands there, and as what it is read."""

    document: dict[str, Any]
    baseline: Baseline


def import_baseline(archive_file: Path, directory: Path, *, profile: str | None = None) -> Imported:
    """Take the versions of an archive over; its current one becomes the current one here.

    Nothing that is here is overwritten. Versions that are here already are passed over; the others keep their numbers
    where these are higher than all that are here, and get the next ones otherwise. A record of noise is taken over
    where none is here. ``profile``: another name than the archive's.

    Raises:
        UserError: the archive is damaged or holds what is no baseline, the current baseline here is damaged, or a file
            cannot be written. In the last case the current baseline is as it was, and the same import again does what
            is missing.
    """
    archive, incoming = _read_archive(archive_file)
    name = profile or archive.profile
    path = baseline_path(directory, name)
    with baseline_files.locked(directory):
        current = load_baseline(directory, name) if path.exists() else None
        known = _known(directory, name, current)
        fresh = [one for one in incoming[:-1] if _identity(one.baseline) not in known]
        noise = _import_noise(archive.noise, directory, name)
        number = baseline_files.next_version(directory, name, current)
        for one in fresh:
            number = max(number, one.baseline.version)
            baseline_files.write_version(baseline_files.history_file(path, f"v{number}"), _numbered(one, name, number))
            number += 1
        if current is not None and _identity(current) == _identity(incoming[-1].baseline):
            return Imported(baseline=current, versions=len(fresh), noise=noise)
        text = _numbered(incoming[-1], name, max(number, incoming[-1].baseline.version))
        baseline_files.replace_current(path, text, current)
    now = store.check(parse_json(text, most_values=store.MOST_VALUES), Baseline, str(path))
    return Imported(baseline=now, versions=len(fresh) + 1, noise=noise)


def _read_archive(file: Path) -> tuple[BaselineArchive, list[_Incoming]]:
    """An archive with its versions, the oldest first and the current one last, all of them checked."""
    archive = store.load(file, BaselineArchive, "exported baseline")
    if archive.sha256 != _digest(archive.profile, archive.current, archive.noise, archive.versions):
        raise UserError(f"{file}: the exported baseline is damaged: its sha256 is not that of its content")
    incoming = []
    for number, document in enumerate(archive.versions, start=1):
        what = f"{file}: number {number} of the exported versions"
        baseline = store.check(document, Baseline, what)
        if not baseline.runs or baseline.profile != archive.profile:
            raise UserError(f"{what} is damaged: it holds no run, or another profile's")
        incoming.append(_Incoming(document, baseline))
    numbers = [one.baseline.version for one in incoming]
    if not numbers or numbers != sorted(set(numbers)) or numbers[-1] != archive.current:
        raise UserError(
            f"{file}: the exported baseline is damaged: its versions are not in order, the current one last"
        )
    if archive.noise is not None:
        store.check(archive.noise, NoiseRecord, f"{file}: the record of noise")
    return archive, incoming


def _known(directory: Path, profile: str, current: Baseline | None) -> set[str]:
    """The identities of all versions that are here; a damaged file of the history is none."""
    known = {_identity(current)} if current else set()
    for past in baseline_files.history_versions(directory, profile).values():
        with contextlib.suppress(UserError):
            known.add(_identity(read_baseline(past)))
    return known


def _identity(baseline: Baseline) -> str:
    """What makes a version the same one under another number or name."""
    return baseline.model_dump_json(exclude={"schema_version", "profile", "version", "reason"})


def _numbered(one: _Incoming, profile: str, number: int) -> str:
    """The version's text under its number and name here; where both are its own, as it was exported."""
    own = one.baseline
    if (own.profile, own.version) == (profile, number):
        return _text(one.document)
    reason = f"imported, was version {own.version} of {own.profile}" + (f": {own.reason}" if own.reason else "")
    return store.dump(own.model_copy(update={"profile": profile, "version": number, "reason": reason}))


def _import_noise(
    record: dict[str, Any] | None, directory: Path, profile: str
) -> Literal["none", "written", "same", "kept"]:
    if record is None:
        return "none"
    path = noise_path(directory, profile)
    document = {**record, "profile": profile}
    if not path.exists():
        store.write_text(path, _text(document))
        return "written"
    return "same" if store.read_json(path, "noise record") == document else "kept"
