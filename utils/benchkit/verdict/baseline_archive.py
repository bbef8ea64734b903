"""Export of a baseline with its history to one file (to commit, or to keep as a CI artifact), and import.

The file contains every version as it is stored, the number of the current one, and the profile's noise record. It has
no timestamp, so the same baseline gives the same bytes. It has a SHA-256 of its content, so damage is found before
anything is changed.
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
    """An exported baseline. ``versions`` are the documents as in their files, oldest first.

    ``sha256``: of the other fields as JSON with sorted keys and without spaces, in UTF-8.
    """

    schema_version: Literal[1] = 1
    profile: str
    sha256: str
    current: int
    noise: dict[str, Any] | None = None
    versions: list[dict[str, Any]]


@dataclass(frozen=True)
class Exported:
    """The text of an archive, its number of versions, and the files of the history that could not be read."""

    text: str
    versions: int
    left_out: list[str]


@dataclass(frozen=True)
class Imported:
    """The result of an import: the current baseline, the number of new versions, and the state of the noise record."""

    baseline: Baseline
    versions: int
    noise: Literal["none", "written", "same", "kept"]


# ---------------------------------------------------------------------------------------------------------------------
# Export


def export_baseline(directory: Path, profile: str) -> Exported:
    """Export the current baseline with its history and the noise record.

    Raises:
        UserError: there is no current baseline, or it or the noise record is damaged. A damaged file of the history is
            left out and reported.
    """
    path = baseline_path(directory, profile)
    noise_file = noise_path(directory, profile)
    with baseline_files.locked(directory):
        current = load_baseline(directory, profile)
        documents, left_out = {current.version: store.read_json(path, "baseline")}, []
        for number, past in baseline_files.history_versions(directory, profile).items():
            if number == current.version:
                continue  # Left by a writer that was interrupted between its two steps.
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
    """Return JSON in the format of :func:`benchkit.store.dump`, so stored documents give the same bytes again."""
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


# ---------------------------------------------------------------------------------------------------------------------
# Import


@dataclass(frozen=True)
class _Incoming:
    """One version of an archive: the stored document, and the baseline that was read from it."""

    document: dict[str, Any]
    baseline: Baseline


def import_baseline(archive_file: Path, directory: Path, *, profile: str | None = None) -> Imported:
    """Import the versions of an archive; its current version becomes the current version here.

    Nothing is overwritten. Versions that exist already are skipped. The others keep their numbers if these are higher
    than all existing ones, otherwise they get the next free numbers. The noise record is imported if there is none
    here. ``profile``: a name other than the archive's.

    Raises:
        UserError: the archive is damaged or contains something that is not a baseline, the current baseline here is
            damaged, or a file cannot be written. In the last case the current baseline is unchanged, and repeating the
            import completes it.
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
    """Read and check an archive and its versions, oldest first, the current one last."""
    archive = store.load(file, BaselineArchive, "exported baseline")
    if archive.sha256 != _digest(archive.profile, archive.current, archive.noise, archive.versions):
        raise UserError(f"{file}: the exported baseline is damaged: its sha256 is not that of its content")
    incoming = []
    for number, document in enumerate(archive.versions, start=1):
        what = f"{file}: number {number} of the exported versions"
        baseline = store.check(document, Baseline, what)
        if not baseline.runs or baseline.profile != archive.profile:
            raise UserError(f"{what} is damaged: it contains no run, or belongs to another profile")
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
    """Return the identities of all existing versions; damaged files of the history are ignored."""
    known = {_identity(current)} if current else set()
    for past in baseline_files.history_versions(directory, profile).values():
        with contextlib.suppress(UserError):
            known.add(_identity(read_baseline(past)))
    return known


def _identity(baseline: Baseline) -> str:
    """Return a string that is equal for equal versions, whatever their number and name."""
    return baseline.model_dump_json(exclude={"schema_version", "profile", "version", "reason"})


def _numbered(one: _Incoming, profile: str, number: int) -> str:
    """Return the version's text with its new number and name; if both are its own, exactly as exported."""
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
