"""A small index over many files, so that listing ten thousand documents does not have to read them all again.

One SQLite file with, per source (a file or a directory), its stamp (metadata of the file system), a short text
(``head``) and a long one (``body``). Only sources whose stamp changed are read again. The index is a cache: if it is
lost, damaged or of another layout, it is rebuilt, and if it cannot be written, it is kept in memory for this call.
SQLite's locks separate concurrent writers; readers see either the old or the new state.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchkit.store import create_temporary

LAYOUT = 3
"""Version of the table layout and of the content of the texts. A file with another version is rebuilt."""

WAIT_S = 10.0
"""Timeout for the lock of another writer, in seconds."""

_TABLES = (
    "CREATE TABLE source (name TEXT PRIMARY KEY, stamp TEXT, head TEXT) WITHOUT ROWID",
    # A separate table, so that reading all heads does not read the pages of the bodies.
    "CREATE TABLE content (name TEXT PRIMARY KEY, body TEXT)",
)


@dataclass(frozen=True)
class Summary:
    """The index entry of a source. ``head`` is read for all sources at once, ``body`` only on request.

    A source that cannot be read has an empty head; its body says why.
    """

    head: str
    body: str


def stamp_or_none(path: str) -> str:
    """Return the stamp of a file; empty if it does not exist or is not accessible."""
    try:
        return stamp(path)
    except OSError:
        return ""


def stamp(path: str) -> str:
    """Return a string that changes with a file's content, without reading it: inode, size, times of change.

    Raises:
        OSError: the file does not exist or is not accessible.
    """
    found = os.stat(path)  # noqa: PTH116 - for ten thousand files, creating the Path objects takes longer than this
    # Include ctime, which changes with permissions: a file that was unreadable may be readable now.
    return f"{found.st_ino}.{found.st_size}.{found.st_mtime_ns}.{found.st_ctime_ns}"


class FileIndex:
    """The index of one directory's sources, which is updated when it is opened.

    Args:
        path: the file of the index.
        sources: maps the names of the current sources to their stamps.
        read: returns the summary of a new or changed source; it must not raise for a damaged one.
    """

    def __init__(self, path: Path, sources: Mapping[str, str], read: Callable[[str], Summary]) -> None:
        self._path, self._sources, self._read = path, sources, read
        fresh: dict[str, Summary] = {}

        def once(name: str) -> Summary:
            # A second attempt (in memory, after the file could not be written) does not read the sources again.
            if name not in fresh:
                fresh[name] = read(name)
            return fresh[name]

        self._connection = _opened(path, sources, once)

    def heads(self) -> dict[str, str]:
        """Return the heads of the readable sources, by name."""
        return dict(self._rows("SELECT name, head FROM source WHERE head != '' ORDER BY name"))

    def problems(self) -> dict[str, str]:
        """Return the problems of the unreadable sources, by name."""
        query = "SELECT name, body FROM source JOIN content USING (name) WHERE head = '' ORDER BY name"
        return dict(self._rows(query))

    def bodies(self, names: Iterable[str]) -> dict[str, str]:
        """Return the bodies of some sources, by name."""
        return {name: self._rows("SELECT body FROM content WHERE name = ?", (name,))[0][0] for name in names}

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _rows(self, query: str, parameters: tuple[str, ...] = ()) -> list[Any]:
        try:
            return self._connection.execute(query, parameters).fetchall()
        except sqlite3.DatabaseError:
            # Damage may be noticed only when the damaged page is read.
            self.close()
            self._connection = _anew(self._path, self._sources, self._read)
            return self._connection.execute(query, parameters).fetchall()


def _opened(path: Path, sources: Mapping[str, str], read: Callable[[str], Summary]) -> sqlite3.Connection:
    """Return a connection with updated tables: to the file, to a new file that replaces it, or to memory."""
    with contextlib.suppress(sqlite3.Error, OSError):
        return _updated(_connected(path), sources, read)
    if not _is_sound(path):
        return _anew(path, sources, read)
    memory = sqlite3.connect(":memory:", isolation_level=None)
    with contextlib.suppress(sqlite3.Error), contextlib.closing(_read_only(path)) as old:
        if _layout(old) == LAYOUT:
            old.backup(memory)
    return _updated(memory, sources, read)


def _anew(path: Path, sources: Mapping[str, str], read: Callable[[str], Summary]) -> sqlite3.Connection:
    """Replace a damaged index by a new one, or build it in memory if it cannot be written."""
    with contextlib.suppress(sqlite3.Error, OSError):
        return _remade(path, sources, read)
    return _updated(sqlite3.connect(":memory:", isolation_level=None), sources, read)


def _connected(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=WAIT_S, isolation_level=None)


def _read_only(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=WAIT_S, isolation_level=None)


def _layout(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _is_sound(path: Path) -> bool:
    """Return whether the file is an index of this layout or does not exist, so that it did not cause the failure."""
    if not path.exists():
        return True
    try:
        with contextlib.closing(_read_only(path)) as connection:
            connection.execute(
                "SELECT name, stamp, head, body FROM source JOIN content USING (name) LIMIT 1"
            ).fetchall()
            return _layout(connection) == LAYOUT and connection.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok"
    except sqlite3.DatabaseError:
        return False


def _updated(
    connection: sqlite3.Connection, sources: Mapping[str, str], read: Callable[[str], Summary]
) -> sqlite3.Connection:
    """Update the tables in one transaction; if nothing changed, nothing is written.

    Raises:
        sqlite3.Error: the file is damaged, of another layout, locked too long, or cannot be written. The connection is
            closed.
    """
    try:
        if _layout(connection) == LAYOUT and _known(connection) == sources:
            return connection
        connection.execute("BEGIN IMMEDIATE")
        _prepare(connection)
        known = _known(connection)
        gone = [(name,) for name in known.keys() - sources.keys()]
        for table in ("source", "content"):
            connection.executemany(f"DELETE FROM {table} WHERE name = ?", gone)  # noqa: S608 - the names above
        for name in sorted(name for name, mark in sources.items() if known.get(name) != mark):
            summary = read(name)
            row = (name, sources[name], summary.head)
            connection.execute("INSERT OR REPLACE INTO source VALUES (?, ?, ?)", row)
            connection.execute("INSERT OR REPLACE INTO content VALUES (?, ?)", (name, summary.body))
        connection.execute("COMMIT")
    except BaseException:
        connection.close()
        raise
    return connection


def _known(connection: sqlite3.Connection) -> dict[str, str]:
    return dict(connection.execute("SELECT name, stamp FROM source"))


def _prepare(connection: sqlite3.Connection) -> None:
    """Create the tables in a new file; another layout is an error."""
    if _layout(connection) == 0 and not connection.execute("SELECT 1 FROM sqlite_master").fetchall():
        for table in _TABLES:
            connection.execute(table)
        connection.execute(f"PRAGMA user_version = {LAYOUT}")
    elif _layout(connection) != LAYOUT:
        raise sqlite3.DatabaseError("another layout")


def _remade(path: Path, sources: Mapping[str, str], read: Callable[[str], Summary]) -> sqlite3.Connection:
    """Replace a damaged index by a new one.

    It is built in a temporary file and renamed, so that readers of the old file are not disturbed.
    """
    descriptor, temporary = create_temporary(path)
    os.close(descriptor)
    try:
        _updated(_connected(temporary), sources, read).close()
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    # The journal of the damaged file must not be applied to the new one.
    path.with_name(f"{path.name}-journal").unlink(missing_ok=True)
    return _connected(path)
