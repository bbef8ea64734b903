"""Find and read the ``run.json`` files that a user names, and the stored comparison of two of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchkit import store
from benchkit.model import Comparison, Run, VariantStudy


@dataclass(frozen=True)
class NamedRun:
    """A run and its directory."""

    directory: Path
    run: Run


def run_file(path: Path) -> Path:
    """Return the ``run.json`` of a run's directory; the path of a file is returned unchanged."""
    return path / "run.json" if path.is_dir() else path


def load_run(path: Path) -> Run:
    """Load the run of a directory or a file.

    Raises:
        UserError: it does not exist, is damaged, or has an unknown version.
    """
    return store.load(run_file(path), Run, "run")


def holds_several(path: Path) -> bool:
    """Return whether a directory is not a run but contains runs: variants of a comparison, or releases of a history."""
    return not (path / "run.json").exists() and any(path.glob("*/run.json"))


def load_runs(paths: Sequence[Path]) -> list[NamedRun]:
    """Load the runs of all directories, in their order; those of one directory by start time. No run is repeated.

    Raises:
        UserError: like :func:`load_run`.
    """
    found: dict[Path, NamedRun] = {}
    for path in paths:
        if holds_several(path):
            inside = [NamedRun(file.parent, load_run(file)) for file in sorted(path.glob("*/run.json"))]
            several = sorted(inside, key=lambda one: (one.run.started, one.run.run_id))
        else:
            several = [NamedRun(run_file(path).parent, load_run(path))]
        for one in several:
            found.setdefault(one.directory.resolve(), one)
    return list(found.values())


def judgement(reference: NamedRun, current: NamedRun) -> Comparison | None:
    """Return the stored comparison of exactly these two runs, or ``None``; this function does not compare.

    It may be a ``comparison.json`` in the run's directory or, for paired runs, in the common parent; a step of a
    history or of tuning; or a comparison with a baseline that contains only the reference.

    Raises:
        UserError: a document is damaged.
    """
    for comparison in _comparisons(current.directory):
        if comparison.run_id == current.run.run_id and reference.run.run_id in _references(comparison):
            return comparison
    return None


def _comparisons(directory: Path) -> Iterator[Comparison]:
    above = directory.resolve().parent
    for path in (directory / "comparison.json", above / "comparison.json"):
        if path.exists():
            yield store.load(path, Comparison, "comparison")
    for path in (above / "history.json", above / "tune.json"):
        if path.exists():
            document = store.load(path, VariantStudy, path.stem)
            yield from (step.comparison for step in document.steps)


def _references(comparison: Comparison) -> list[str]:
    """Return the id of the only reference run of a comparison; empty if there are several."""
    if comparison.paired is not None:
        return [comparison.paired.run_id]
    runs = comparison.baseline.runs if comparison.baseline else []
    return runs if len(runs) == 1 else []
