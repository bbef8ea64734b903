"""How a stored run ended: what its documents say, for the last line of a runner."""

from __future__ import annotations

from pathlib import Path

from benchkit import store
from benchkit.ended import Ended, ended, ended_sweep
from benchkit.model import AllRuns, Comparison, Run
from benchkit.verdict.groups import read_group


def last_word(directory: Path) -> Ended:
    """How a run ended: of one gateway, of several side by side, or of several profiles.

    Raises:
        UserError: a document is missing or damaged.
    """
    if (directory / "run.json").exists():
        run = store.load(directory / "run.json", Run, "run")
        path = directory / "comparison.json"
        return ended(run, store.load(path, Comparison, "comparison") if path.exists() else None)
    found = read_group(directory).end
    return ended_sweep(found, []) if isinstance(found, AllRuns) else found
