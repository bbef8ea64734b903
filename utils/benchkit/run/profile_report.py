"""Turn a CPU profile's raw/ directory into its documents."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchkit import store
from benchkit.load.collect import collect
from benchkit.load.engines import engine_named
from benchkit.model import Plan, PlannedCase
from benchkit.model.cpu_profile import Profile
from benchkit.profiling.analysis import analyse
from benchkit.report.profile_page import profile_page
from benchkit.report.profile_text import summary


def profile_of(directory: Path, interrupted: int | None = None) -> Profile:
    """Analyse a run whose gateway was sampled.

    Args:
        directory: holds ``plan.json``, and ``raw/`` as far as the run came.
        interrupted: the exit code of a run that ended early.

    Raises:
        UserError: a document or a recording is missing where it has to be, or damaged.
    """
    plan = store.load(directory / "plan.json", Plan, "plan")
    return analyse(directory, plan, collect(directory, interrupted).run, _answers)


def write_profile(directory: Path, interrupted: int | None = None) -> tuple[Profile, str]:
    """Write profile.json, profile.txt and profile.html; return the document and its summary.

    Raises:
        UserError: as :func:`profile_of`; also when a file cannot be written.
    """
    profile = profile_of(directory, interrupted)
    text = "\n".join(summary(profile)) + "\n"
    store.save(directory / "profile.json", profile)
    store.write_text(directory / "profile.txt", text)
    store.write_text(directory / "profile.html", profile_page(profile))
    return profile, text


def _answers(case: PlannedCase, path: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rows = engine_named(case.engine).rows(path)
    return rows.offset_s, rows.offset_s + rows.latency_ms / 1000
