"""Read and write this toolkit's JSON documents. No other module does.

A document is written to a temporary file in the same directory, flushed to disk and renamed. So a reader sees either
the old document or the new one, never a part. After reading, a document is validated against its model before use.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from benchkit.errors import UserError, os_reason
from benchkit.model.base import STORED, Model
from benchkit.plain import without_controls
from benchkit.strict_json import NotJSONError, parse_json

Document = TypeVar("Document", bound=Model)


SHARED_FILE = 0o666
"""Mode of a file that others may read, as far as the user's umask allows."""


def create_temporary(path: Path, *, mode: int = SHARED_FILE) -> tuple[int, Path]:
    """Create a file next to ``path``; return its descriptor, open for reading and writing, and its path.

    The umask is applied to ``mode``. ``tempfile`` is not used because its files have mode 0600, and the umask cannot be
    read without changing it for all threads.

    Raises:
        OSError: it cannot be created.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(temporary, flags, mode), temporary


def write_bytes(path: Path, data: bytes, *, mode: int = SHARED_FILE) -> None:
    """Replace the content of ``path`` with ``data`` atomically; the umask is applied to ``mode``.

    Raises:
        UserError: the directory is missing or not writable, or the disk is full. ``path`` is unchanged.
    """
    try:
        descriptor, temporary = create_temporary(path, mode=mode)
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {os_reason(error)}") from error
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {os_reason(error)}; nothing was changed") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def write_text(path: Path, text: str, *, mode: int = SHARED_FILE) -> None:
    """Write text in UTF-8, as :func:`write_bytes`."""
    write_bytes(path, text.encode("utf-8"), mode=mode)


def dump(document: BaseModel) -> str:
    """Return a document's JSON: keys in the model's order, indented by two spaces, with a final newline.

    NaN and infinity are not JSON. A document that holds one is a bug, so it raises ``ValueError``.
    """
    data = document.model_dump(mode="json", by_alias=True, exclude_none=True)
    return json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def save(path: Path, document: BaseModel, *, mode: int = SHARED_FILE) -> None:
    """Write a document atomically; raises as :func:`write_bytes`."""
    write_text(path, dump(document), mode=mode)


MOST_BYTES = 256 * 2**20
"""The largest file that is read, in bytes."""

MOST_VALUES = 20_000_000
"""Maximum number of values in a document; the resource samples of a run of days are some hundred thousand."""


def read_bytes(path: Path, what: str, *, most_bytes: int = MOST_BYTES) -> bytes:
    """Return the content of a file; ``what`` names it in an error (``baseline``, ``run``).

    Raises:
        UserError: the file does not exist, cannot be read, or is larger than ``most_bytes``.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(most_bytes + 1)
    except FileNotFoundError as error:
        raise UserError(f"{path}: there is no such {what}") from error
    except OSError as error:
        raise UserError(f"{path}: the {what} cannot be read: {os_reason(error)}") from error
    if len(data) > most_bytes:
        raise UserError(f"{path}: the {what} has more than {most_bytes:,} bytes, which is the most that is read")
    return data


def read_json(path: Path, what: str, *, most_bytes: int = MOST_BYTES) -> Any:
    """Return the parsed JSON of a file; ``what`` names it in an error (``baseline``, ``run``).

    Raises:
        UserError: the file does not exist, cannot be read, is empty or too large, or is not JSON as defined by
            :func:`parse_json`.
    """
    data = read_bytes(path, what, most_bytes=most_bytes)
    if not data.strip():
        raise UserError(f"{path}: the {what} is empty; delete it or restore it from a copy")
    try:
        return parse_json(data, most_values=MOST_VALUES)
    except NotJSONError as error:
        raise UserError(f"{path}: the {what} is damaged: {error}") from error


def load(path: Path, model: type[Document], what: str) -> Document:
    """Read a document and validate it against its model. Nothing is written.

    Raises:
        UserError: as :func:`read_json`; also when its ``schema_version`` is neither the model's nor an older one that
            can be read, or a field is missing or wrong.
    """
    data = read_json(path, what)
    if not isinstance(data, dict):
        raise UserError(f"{path}: the {what} is damaged: it holds a {type(data).__name__}, not an object")
    return check(data, model, f"{path}: the {what}")


def upgraded(data: dict[str, Any], model: type[Model]) -> dict[str, Any]:
    """Return a document's JSON object, upgraded to the model's schema version if it is older."""
    while isinstance(version := data.get("schema_version"), int) and version is not True and version in model.OLDER:
        data = model.OLDER[version](data)
    return data


def check(data: dict[str, Any], model: type[Document], name: str) -> Document:
    """Validate a JSON object as a document, without control characters; errors begin with ``name`` (``PATH: the run``).

    Raises:
        UserError: as :func:`load`.
    """
    known = model.model_fields["schema_version"].default
    found = data.get("schema_version")
    data = upgraded(data, model)
    if data.get("schema_version") != known:
        raise UserError(f"{name} has schema_version {json.dumps(found)}; this toolkit reads version {known}")
    try:
        return model.model_validate(without_controls(data), context=STORED)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the document"
        raise UserError(f"{name} is damaged: {where}: {first['msg']}") from error
