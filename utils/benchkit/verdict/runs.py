"""Finding and reading the ``run.json`` that a user names."""

from __future__ import annotations

from pathlib import Path

from benchkit import store
from benchkit.model import Run


def run_file(path: Path) -> Path:
    """``run.json`` of a run's directory; a file is taken as it is."""
    return path / "run.json" if path.is_dir() else path


def load_run(path: Path) -> Run:
    """The run of a directory or a file.

    Raises:
        UserError: it is not there, damaged, or of an unknown version.
    """
    return store.load(run_file(path), Run, "run")
