"""Studies of several gateways that were measured side by side: what changed in each step.

``history``: releases in their order, each compared with the previous one, and the last with the first. ``tune``: one
gateway with different settings, each compared with the gateway without them.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Literal

from benchkit import store
from benchkit.errors import UserError
from benchkit.model import Load, MeasuredVariant, Run, StepComparison, Validity, VariantStudy
from benchkit.settings import Baselines
from benchkit.verdict.compare import compare_paired
from benchkit.verdict.rules import case_figures


def load_variants(directory: Path) -> list[Run]:
    """Load the runs of all variants, in the order in which the user gave them.

    Raises:
        UserError: there are fewer than two, or a document is damaged.
    """
    runs = [store.load(path, Run, "run") for path in sorted(directory.glob("*/run.json"))]
    if len(runs) < 2:
        raise UserError(
            f"{directory}: contains {len(runs)} measured variants; at least two are needed (./run-advanced.sh)"
        )
    return sorted(runs, key=lambda run: (run.started, run.run_id))


def history(directory: Path, limits: Baselines) -> VariantStudy:
    """Compare each release with the previous one; raises like :func:`load_variants`."""
    runs = load_variants(directory)
    pairs = list(pairwise(runs))
    if len(runs) > 2:
        pairs.append((runs[0], runs[-1]))
    return _document("history", directory, runs, [_step(base, head, limits) for base, head in pairs])


def tune(directory: Path, limits: Baselines) -> VariantStudy:
    """Compare each setting with the gateway without it; raises like :func:`load_variants`."""
    runs = load_variants(directory)
    return _document("tune", directory, runs, [_step(runs[0], head, limits) for head in runs[1:]])


def label_of(run: Run) -> str:
    """Return the label of the run's variant."""
    assert run.variant is not None, "a variant's run says which one it is"
    return run.variant.label


def _step(base: Run, head: Run, limits: Baselines) -> StepComparison:
    return StepComparison(base=label_of(base), head=label_of(head), comparison=compare_paired(base, head, limits))


def _document(
    kind: Literal["history", "tune"], directory: Path, runs: Sequence[Run], steps: list[StepComparison]
) -> VariantStudy:
    machine, load = runs[0].environment.machine, runs[0].environment.load
    return VariantStudy(
        kind=kind,
        run_id=directory.resolve().name,
        machine=f"{machine.cpu_model}, {machine.cores} cores, {machine.memory_mib // 1024} GiB",
        load=_load_words(load, runs),
        variants=[_variant(run) for run in runs],
        steps=steps,
    )


def _load_words(load: Load, runs: Sequence[Run]) -> str:
    rounds = max(run.variant.rounds for run in runs if run.variant is not None)
    blocks = max((len(case.iterations) // rounds for run in runs for case in run.cases), default=0)
    times = f"{rounds} times {load.requests}" if rounds > 1 else str(load.requests)
    return f"{times} requests at {load.concurrency} concurrent, {blocks} blocks"


def _variant(run: Run) -> MeasuredVariant:
    assert run.variant is not None, "a variant's run says which one it is"
    valid = [case for case in run.cases if case.validity is Validity.VALID]
    return MeasuredVariant(
        label=run.variant.label,
        spec=run.variant.spec,
        release=run.environment.target.release or "",
        settings=run.environment.target.settings,
        cases={case.id: case_figures(case) for case in valid},
        failed={case.id: case.reason for case in run.cases if case.validity is not Validity.VALID},
        broken=[case.id for case in run.cases if case.validity is Validity.INVALID],
    )
