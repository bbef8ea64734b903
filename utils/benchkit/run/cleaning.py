"""Find and remove the toolkit's own output: runs, their indexes, and baselines.

A path is removed only if its name follows the toolkit's pattern *and* a document inside confirms it. The name alone is
not enough: many programs write a ``plan.json``, and people call directories ``results``. Everything else is kept. It is
reported only if it looks like the toolkit's.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchkit import store
from benchkit.errors import UserError, os_reason
from benchkit.identity import is_mine
from benchkit.model import AllRuns, Model, Plan
from benchkit.run.killed_runs import RUN_NAME
from benchkit.run.owner import is_led
from benchkit.verdict import groups, stored_runs
from benchkit.verdict.baseline_files import CURRENT, PROFILE, history_names

_PAGES = ("index.html", "trend.html")
_PAGE_MARK = b"MCP Gateway benchmark"
_INDEX_TABLES = {"source", "content"}
_INDEX_SUFFIXES = ("", "-journal", "-wal", "-shm")
_HEAD_BYTES = 65536
_VERSION = re.compile(rf"baseline_({PROFILE.pattern})\.(?:v\d+|unreadable-\d+)\.json")


@dataclass
class Findings:
    """Paths to remove. ``things`` are the names a user knows, ``extras`` the files that belong to them.

    ``kept``: messages about paths that look like the toolkit's but are kept, with the reason.
    """

    things: list[Path] = field(default_factory=list)
    extras: list[Path] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)


def find_runs(results: Path) -> Findings:
    """Find the runs in a results directory, the list of runs, its indexes, and the ``latest`` link.

    Raises:
        UserError: the directory cannot be listed.
    """
    found = Findings()
    for path in _listed(results):
        if RUN_NAME.fullmatch(path.name):
            problem = _no_run(path)
            if problem:
                found.kept.append(f"{path.name}: {problem}")
            else:
                found.things.append(path)
    latest = results / "latest"
    if latest.is_symlink() and RUN_NAME.fullmatch(str(latest.readlink())):
        found.extras.append(latest)
    found.extras += [path for name in _PAGES if _is_page(path := results / name)]
    for name in (stored_runs.INDEX, groups.INDEX):
        if _is_index(results / name):
            found.extras += [path for suffix in _INDEX_SUFFIXES if (path := results / f"{name}{suffix}").is_file()]
    return found


def find_baselines(directory: Path) -> Findings:
    """Find the baselines in a directory, and their history.

    Raises:
        UserError: the directory or its history cannot be listed.
    """
    found = Findings()
    for path in _listed(directory):
        match = CURRENT.fullmatch(path.name)
        if match:
            _sort_baseline(path, match.group(1), found, found.things)
    old = directory / "history"
    if not old.is_symlink():
        for name in sorted(history_names(directory)):
            match = _VERSION.fullmatch(name)
            if match:
                _sort_baseline(old / name, match.group(1), found, found.extras)
    return found


def _sort_baseline(path: Path, profile: str, found: Findings, ours: list[Path]) -> None:
    data = _document(path)
    if data.get("profile") == profile and isinstance(data.get("runs"), list) and "schema_version" in data:
        ours.append(path)
    else:
        found.kept.append(f"{path.name}: holds no baseline of {profile}; remove it by hand")


def remove(found: Findings, base: Path) -> None:
    """Remove all findings below ``base``. Links are removed, never followed.

    Raises:
        UserError: a path cannot be removed; the paths after it are not tried.
    """
    for path in [*found.things, *found.extras]:
        try:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        except OSError as error:
            raise UserError(f"{path}: cannot be removed: {os_reason(error)}") from error
    with contextlib.suppress(OSError):  # the directory is missing, or still holds other people's files
        if not (base / "history").is_symlink():
            (base / "history").rmdir()


def _listed(directory: Path) -> list[Path]:
    try:
        return sorted(directory.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UserError(f"{directory}: cannot be listed: {os_reason(error)}") from error


def _no_run(path: Path) -> str:
    """Return why a directory must not be removed as a run; empty if it may be removed."""
    if path.is_symlink():
        return "is a symbolic link"
    if not path.is_dir() or not is_mine(path):
        return "is no directory of yours"
    if not any(_is_marked(document, run_id, key) for document, run_id, key in _marks(path)):
        return "holds no plan of a run of this name"
    return "goes on" if is_led(path) else ""


def _marks(path: Path) -> Iterator[tuple[Path, str, str]]:
    """Yield the documents that identify a run: path, expected ``run_id``, and a key that must be present."""
    yield path / "plan.json", path.name, "cases"
    yield path / "all.json", path.name, "profiles"
    for variant in path.glob("*/plan.json"):
        if not variant.parent.is_symlink():
            yield variant, f"{path.name}/{variant.parent.name}", "cases"


def _is_marked(document: Path, run_id: str, key: str) -> bool:
    data = _document(document)
    known = data.get("schema_version") in range(1, _newest_version(Plan if key == "cases" else AllRuns) + 1)
    return known and data.get("run_id") == run_id and isinstance(data.get(key), list)


def _newest_version(model: type[Model]) -> int:
    return int(model.model_fields["schema_version"].default)


def _document(path: Path) -> dict[str, object]:
    """Return the JSON object in a file; an empty one if the file is missing or holds no object."""
    if path.is_symlink() or not path.is_file():
        return {}
    try:
        data = store.read_json(path, "document")
    except (UserError, RecursionError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def _is_page(path: Path) -> bool:
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as stream:
        head = stream.read(_HEAD_BYTES)
    title = head.partition(b"<title>")[2].partition(b"</title>")[0]
    return _PAGE_MARK in title


def _is_index(path: Path) -> bool:
    """Return whether a file is an index of runs: an SQLite database with exactly these two tables."""
    if path.is_symlink() or not path.is_file():
        return False
    try:
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)) as connection:
            rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    except sqlite3.Error:
        return False
    return {name for (name,) in rows} == _INDEX_TABLES
