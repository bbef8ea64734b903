"""A small index over many files, so that ten thousand documents need not be read again to show a line of each.

One SQLite file: per source (a file or a directory) its stamp (what the file system says of it), a short text (``head``)
and a long one (``body``). Only a source whose stamp changed is read again. The index holds nothing that the sources do
not: one that is lost, damaged or of another layout is made anew, and where none can be written it is kept in memory for
this one call. SQLite's own locks keep writers at the same time apart; readers see one state or the next.
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
"""Number of the table's layout and of what the texts hold; another one in the file means that it is made anew."""

WAIT_S = 10.0
"""How long a writer waits for another one, in seconds."""

_TABLES = (
    "CREATE TABLE source (name TEXT PRIMARY KEY, stamp TEXT, head TEXT) WITHOUT ROWID",
    # Apart, so that reading all heads does not go through the pages of the bodies.
    "CREATE TABLE content (name TEXT PRIMARY KEY, body TEXT)",
)


@dataclass(frozen=True)
class Summary:
    """What the index remembers of a source. ``head`` is read for every source at once, ``body`` for those asked for.

    A source that cannot be read has no head; its body says why.
    """

    head: str
    body: str


def stamp_or_none(path: str) -> str:
    """The stamp of a file; empty where there is none, or nobody may look."""
    try:
        return stamp(path)
    except OSError:
        return ""


def stamp(path: str) -> str:
    """What tells one content of a file from another without reading it: inode, size, times of change.

    Raises:
        OSError: there is no such file.
    """
    found = os.stat(path)  # noqa: PTH116 - for ten thousand files, making a Path of each takes longer than this
    # The status time changes with permissions as well: a file that could not be read then can be now.
    return f"{found.st_ino}.{found.st_size}.{found.st_mtime_ns}.{found.st_ctime_ns}"


class FileIndex:
    """The index of one directory's sources, brought up to date when it is opened.

    Args:
        path: the index's own file.
        sources: the names of what is there now, each with its stamp.
        read: makes the summary of a source that is new or changed; it must not raise for a damaged one.
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
        """The heads of the sources that can be read, by name."""
        return dict(self._rows("SELECT name, head FROM source WHERE head != '' ORDER BY name"))

    def problems(self) -> dict[str, str]:
        """Why a source cannot be read, by name."""
        query = "SELECT name, body FROM source JOIN content USING (name) WHERE head = '' ORDER BY name"
        return dict(self._rows(query))

    def bodies(self, names: Iterable[str]) -> dict[str, str]:
        """The bodies of some sources, by name."""
        return {name: self._rows("SELECT body FROM content WHERE name = ?", (name,))[0][0] for name in names}

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def _rows(self, query: str, parameters: tuple[str, ...] = ()) -> list[Any]:
        try:
            return self._connection.execute(query, parameters).fetchall()
        except sqlite3.DatabaseError:
            # Damage shows where it is read, and that may be here only.
            self.close()
            self._connection = _anew(self._path, self._sources, self._read)
            return self._connection.execute(query, parameters).fetchall()


def _opened(path: Path, sources: Mapping[str, str], read: Callable[[str], Summary]) -> sqlite3.Connection:
    """A connection whose tables are up to date: to the file, to a new file in its place, or to memory."""
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
    """A new index in the place of a damaged one, or in memory where it cannot be written."""
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
    """Whether the file is an index of this layout, or there is none: then what failed lies elsewhere."""
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
    """Bring the tables up to date in one transaction; where nothing changed, nothing is written.

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
    """Make the tables in a file that is new; one of another layout is an error."""
    if _layout(connection) == 0 and not connection.execute("SELECT 1 FROM sqlite_master").fetchall():
        for table in _TABLES:
            connection.execute(table)
        connection.execute(f"PRAGMA user_version = {LAYOUT}")
    elif _layout(connection) != LAYOUT:
        raise sqlite3.DatabaseError("another layout")


def _remade(path: Path, sources: Mapping[str, str], read: Callable[[str], Summary]) -> sqlite3.Connection:
    """A new index in the place of a damaged one.

    It is made beside and renamed, so that whoever still reads the old file is not disturbed.
    """
    descriptor, temporary = create_temporary(path)
    os.close(descriptor)
    try:
        _updated(_connected(temporary), sources, read).close()
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    # A journal that belonged to the damaged file must not be taken for the new one's.
    path.with_name(f"{path.name}-journal").unlink(missing_ok=True)
    return _connected(path)
