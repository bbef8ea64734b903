"""The stored runs (``results/*/run.json``), with an index that makes it fast to list thousands of them.

The index is ``results/.history.sqlite``. It is a cache, which can be deleted at any time.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from pydantic import Field, TypeAdapter
from pydantic_core import from_json

from benchkit import store
from benchkit.ended import Ended, ended
from benchkit.errors import UserError, os_reason
from benchkit.model import Comparison, Load, Machine, MetricValues, Model, Run, RunStatus, Validity
from benchkit.verdict.results_database import FileIndex, Summary, stamp_or_none
from benchkit.verdict.rules import case_figures

INDEX = ".history.sqlite"


class StoredRun(Model):
    """One line of the history. ``name`` is the run's directory in the results directory.

    ``ended``: how it ended, including its comparison if there is one; ``sent``: the requests of its measured cases.
    ``paired``: the run is one variant of a comparison of gateways.
    """

    name: str
    profile: str
    run_id: str
    started: datetime
    finished: datetime
    status: RunStatus
    release: str | None = None
    ended: Ended
    machine: Machine
    load: Load
    sent: int
    load_seconds: float
    scenarios: list[str]
    paired: bool = False

    @property
    def control_score(self) -> float | None:
        """The machine's control score at that run, in ms; lower is faster."""
        return self.machine.control_score


class DamagedRun(Model):
    """A directory whose ``run.json`` cannot be read, and why."""

    name: str
    problem: str


class CaseFigures(Model):
    """A valid case's values (:func:`~benchkit.verdict.rules.case_figures`), and the names of the advisory ones."""

    figures: MetricValues
    advisory: list[str] = Field(default_factory=list)


@dataclass(frozen=True)
class RunHistory:
    """All stored runs, oldest first, and those that cannot be read; :meth:`figures` returns their cases."""

    runs: list[StoredRun]
    damaged: list[DamagedRun]
    _index: FileIndex = field(repr=False)

    def figures(self, runs: Iterable[StoredRun]) -> list[dict[str, CaseFigures]]:
        """Return, for each of the runs, a mapping of its cases to their values."""
        names = [run.name for run in runs]
        bodies = self._index.bodies(names)
        return [_FIGURES.validate_json(bodies[name]) for name in names]

    def close(self) -> None:
        """Close the index."""
        self._index.close()


_RUNS = TypeAdapter(list[StoredRun])
_FIGURES = TypeAdapter(dict[str, CaseFigures])


def read_history(results: Path) -> RunHistory:
    """Update the index and return the runs in a results directory. If it does not exist, there are none.

    Raises:
        UserError: the directory cannot be read.
    """
    index = FileIndex(results / INDEX, _sources(results), lambda name: _summary(results, name))
    runs = _RUNS.validate_json(f"[{','.join(index.heads().values())}]")
    return RunHistory(
        runs=sorted(runs, key=lambda run: (run.finished, run.run_id)),
        damaged=[DamagedRun(name=name, problem=problem) for name, problem in index.problems().items()],
        _index=index,
    )


def _sources(results: Path) -> dict[str, str]:
    """Map every directory with a ``run.json`` to the stamps of that file and of its comparison."""
    try:
        found = {entry.name: entry.path for entry in os.scandir(results) if entry.is_dir(follow_symlinks=False)}
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise UserError(f"{results}: the runs cannot be listed: {os_reason(error)}") from error
    stamps = {
        name: (stamp_or_none(f"{path}/run.json"), stamp_or_none(f"{path}/comparison.json"))
        for name, path in found.items()
    }
    return {name: f"{run} {comparison}" for name, (run, comparison) in stamps.items() if run}


def _summary(results: Path, name: str) -> Summary:
    try:
        run = read_light(results / name / "run.json")
    except UserError as error:
        return Summary("", error.within(results))
    valid = [case for case in run.cases if case.validity is Validity.VALID]
    head = StoredRun(
        name=name,
        run_id=run.run_id,
        profile=run.profile,
        status=run.status,
        started=run.started,
        finished=run.finished,
        ended=ended(run, _comparison(results / name / "comparison.json")),
        release=run.environment.target.release,
        machine=run.environment.machine,
        load=run.environment.load,
        sent=sent_by(run),
        load_seconds=run.load_seconds,
        scenarios=run.scenarios,
        paired=run.variant is not None,
    )
    figures = {case.id: CaseFigures(figures=case_figures(case), advisory=case.advisory) for case in valid}
    return Summary(head.model_dump_json(), _FIGURES.dump_json(figures).decode())


def sent_by(run: Run) -> int:
    """Return the number of requests of all measured cases, over their iterations."""
    return sum(one.sent for case in run.cases if case.kind == "measured" for one in case.iterations)


def read_light(path: Path) -> Run:
    """Load a run without histograms and timelines, which are most of its bytes and not needed for the index.

    Raises:
        UserError: like :func:`benchkit.store.load`.
    """
    try:
        data = from_json(path.read_bytes(), allow_inf_nan=False)
        for case in data["cases"]:
            case.pop("histogram", None)
            case.pop("timeline", None)
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return store.load(path, Run, "run")  # It says what is wrong.
    return store.check(data, Run, f"{path}: the run")


def _comparison(path: Path) -> Comparison | None:
    """Load the run's comparison; ``None`` if there is none or it is damaged."""
    with contextlib.suppress(UserError):
        return store.load(path, Comparison, "comparison") if path.exists() else None
    return None
