"""utils/clean.py: what it removes, what it leaves, and that it asks."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from benchkit.run import owner
from benchkit.settings import ROOT
from benchkit.stack.state import StackPaths

RUN = "light_2026-03-02-093000"
PAIRED = "paired_2026-03-02-093100"
ALL = "all_2026-03-02-093200"


def clean(what: str, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "utils" / "clean.py"), what, *words],
        env={**os.environ, **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def plan(path: Path, run_id: str, **changes: object) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    (path / "plan.json").write_text(json.dumps({"schema_version": 2, "run_id": run_id, "cases": [], **changes}))
    return path


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """One run of each kind, their list and the link."""
    results = tmp_path / "the results"
    plan(results / RUN, RUN)
    plan(results / PAIRED / "base", f"{PAIRED}/base")
    (results / ALL).mkdir()
    (results / ALL / "all.json").write_text(json.dumps({"schema_version": 1, "run_id": ALL, "profiles": []}))
    (results / "latest").symlink_to(RUN)
    (results / "index.html").write_text("<title>All runs · MCP Gateway benchmark</title>")
    with closing(sqlite3.connect(results / ".history.sqlite")) as index:
        index.execute("CREATE TABLE source (name TEXT)")
        index.execute("CREATE TABLE content (name TEXT)")
    return results


def names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def test_all_that_a_run_made_is_removed(results: Path) -> None:
    done = clean("results", "--yes", RESULTS_DIR=str(results))
    assert done.returncode == 0, done.stderr
    assert "3 runs removed" in done.stderr
    assert names(results) == set()


def test_without_a_yes_nothing_is_removed(results: Path) -> None:
    before = names(results)
    done = clean("results", RESULTS_DIR=str(results))
    assert done.returncode == 2
    assert "3 runs" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert names(results) == before


def test_directories_of_others_stay(tmp_path: Path) -> None:
    """Also those that hold a plan.json, as terraform's do."""
    (tmp_path / "infra" / "prod").mkdir(parents=True)
    (tmp_path / "infra" / "main.tf").write_text("")
    (tmp_path / "infra" / "prod" / "plan.json").write_text("{}")
    plan(tmp_path / "webapp", "webapp")
    plan(tmp_path / "backup_2026-03-02-093000", RUN)  # another run's plan
    plan(tmp_path / "tool_2026-03-02-093000", "tool_2026-03-02-093000", schema_version=7)
    (tmp_path / "damaged_2026-03-02-093000").mkdir()
    (tmp_path / "damaged_2026-03-02-093000" / "plan.json").write_text('{"schema_version":')
    (tmp_path / "index.html").write_text("<title>My projects</title>")
    (tmp_path / ".history.sqlite").write_bytes(b"SQLite format 3\0 of another program")
    (tmp_path / "latest").mkdir()
    before = names(tmp_path)
    done = clean("results", "--yes", RESULTS_DIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "there is nothing to remove" in done.stderr
    assert names(tmp_path) == before
    assert (tmp_path / "infra" / "prod" / "plan.json").exists()


def test_links_are_not_followed(results: Path, tmp_path: Path) -> None:
    """A run that is a link, a link within a run, and `latest` that leads elsewhere."""
    mine = plan(tmp_path / "elsewhere" / "heavy_2026-03-02-093000", "heavy_2026-03-02-093000")
    (results / mine.name).symlink_to(mine)
    (results / RUN / "data").symlink_to(tmp_path / "elsewhere")
    (results / "latest").unlink()
    (results / "latest").symlink_to(tmp_path / "elsewhere")
    done = clean("results", "--yes", RESULTS_DIR=str(results))
    assert done.returncode == 0, done.stderr
    assert names(results) == {mine.name, "latest"}
    assert (mine / "plan.json").exists()


def test_a_run_that_goes_on_stays(results: Path) -> None:
    owner.write_owner(results / RUN, os.getpid())
    done = clean("results", "--yes", RESULTS_DIR=str(results))
    assert f"kept: {RUN}: goes on" in done.stderr
    assert (results / RUN / "plan.json").exists()


def test_settings_that_cannot_be_read_remove_nothing(results: Path) -> None:
    before = names(results)
    done = clean("results", "--yes", RESULTS_DIR=str(results), PERF_CONFIG="/nonexistent.yaml")
    assert done.returncode == 2
    assert names(results) == before


def test_baselines_of_others_stay(tmp_path: Path) -> None:
    ours = {"schema_version": 2, "profile": "light", "runs": []}
    (tmp_path / "baseline_light.json").write_text(json.dumps(ours))
    (tmp_path / "history").mkdir()
    (tmp_path / "history" / "baseline_light.v1.json").write_text(json.dumps(ours))
    (tmp_path / "history" / "notes.txt").write_text("mine")
    (tmp_path / "baseline_schedule.json").write_text('{"tasks": []}')
    done = clean("baselines", "--yes", BASELINES_DIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert names(tmp_path) == {"history", "baseline_schedule.json"}
    assert names(tmp_path / "history") == {"notes.txt"}


def test_a_history_that_is_a_link_is_left(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    old = {"schema_version": 2, "profile": "light", "runs": []}
    (other / "baseline_light.v1.json").write_text(json.dumps(old))
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "history").symlink_to(other)
    assert clean("baselines", "--yes", BASELINES_DIR=str(tmp_path / "b")).returncode == 0
    assert names(other) == {"baseline_light.v1.json"}


def test_a_stack_directory_of_others_stays(tmp_path: Path) -> None:
    (tmp_path / "work" / "logs").mkdir(parents=True)
    done = clean("stack", "--yes", PERF_STACK_DIR=str(tmp_path / "work"))
    assert done.returncode == 2
    assert (tmp_path / "work" / "logs").exists()


def test_a_stack_directory_of_ours_goes(tmp_path: Path) -> None:
    StackPaths(tmp_path / "stack").make()
    assert clean("stack", PERF_STACK_DIR=str(tmp_path / "stack")).returncode == 2
    assert clean("stack", "--yes", PERF_STACK_DIR=str(tmp_path / "stack")).returncode == 0
    assert not (tmp_path / "stack").exists()
