"""Build the pages that compare several stored runs.

Joins ``verdict`` and ``report``, which do not import each other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from benchkit.errors import UserError
from benchkit.model import Comparison, Environment, ScalingStudy, Trend, Varied
from benchkit.report.chart_library import ChartLibrary
from benchkit.report.compare_page import SideBySide, compare_page, database_page
from benchkit.report.scaling_page import scaling_page
from benchkit.report.trend_page import SeriesWords, trend_page
from benchkit.verdict.environments import lesser_differences, load_differences, machine_differences
from benchkit.verdict.runs import NamedRun, judgement, load_runs
from benchkit.verdict.trend_text import findings, trend_words

PAGES = ("compare", "scalability", "database")


def page_of(kind: str, paths: Sequence[Path], reference: int, library: ChartLibrary) -> str:
    """Return the HTML of a page about several runs.

    Args:
        kind: one of :data:`PAGES`.
        paths: directories of runs, or of groups of runs.
        reference: number of the run that the others are compared with, counted from 1.
        library: the chart library to embed.

    Raises:
        UserError: a run cannot be read, there is only one, or the runs do not fit the page.
    """
    runs = load_runs(paths)
    if len(runs) < 2:
        raise UserError(f"{paths[0]}: holds one run, and --page {kind} takes at least two; name another one")
    if not 1 <= reference <= len(runs):
        raise UserError(f"--reference {reference}: there are {len(runs)} runs; give a number from 1 to {len(runs)}")
    match kind:
        case "scalability":
            return _scalability(runs, library)
        case "database":
            return _databases(runs, library)
        case _:
            first = runs[reference - 1]
            comparisons = [None if one is first else judgement(first, one) for one in runs]
            return compare_page(_beside(runs, first, comparisons), reference - 1, library)


def page_of_trend(trend: Trend, library: ChartLibrary) -> str:
    """Return the HTML of a trend; raises :class:`~benchkit.errors.UserError` if the template fails."""
    words = trend_words(trend)
    series = [SeriesWords(one, findings(one)) for one in trend.series]
    return trend_page(trend, series, (words.about, words.found, words.limits), library)


def _beside(runs: Sequence[NamedRun], first: NamedRun, comparisons: Sequence[Comparison | None]) -> list[SideBySide]:
    base = first.run.environment
    return [
        SideBySide(
            label=label,
            run=one.run,
            comparison=comparison,
            load=load_differences(base.load, one.run.environment.load),
            machine=machine_differences(base.machine, one.run.environment.machine),
            lesser=lesser_differences(base, one.run.environment),
        )
        for label, one, comparison in zip(labels(runs), runs, comparisons, strict=True)
    ]


def labels(runs: Sequence[NamedRun]) -> list[str]:
    """Return each run's name: its variant's label if all labels are set and distinct, else its id or its directory."""
    variants = [one.run.variant.label if one.run.variant else "" for one in runs]
    names = [one.run.run_id for one in runs]
    for found in (variants, names):
        if all(found) and len(set(found)) == len(found):
            return found
    counted = Counter(names)
    return [name if counted[name] == 1 else str(one.directory) for name, one in zip(names, runs, strict=True)]


# ---------------------------------------------------------------------------------------------------------------------
# Databases


def _databases(runs: Sequence[NamedRun], library: ChartLibrary) -> str:
    silent = [one for one in runs if not one.run.environment.target.database]
    if silent:
        raise UserError(
            f"{silent[0].directory}: the run does not say which database its gateway had, so it cannot be part of "
            "--page database; leave it out"
        )
    names = sorted(
        {one.run.environment.target.database or "" for one in runs}, key=lambda name: (name != "sqlite", name)
    )
    if len(names) < 2:
        raise UserError(
            f"--page database: all {len(runs)} runs had {names[0]}; give runs of at least two databases "
            "(make test PERF_DB_BACKEND=postgresql)"
        )
    first = next(one for one in runs if one.run.environment.target.database == names[0])
    variants = _beside(runs, first, [None] * len(runs))
    groups = {
        name: [variant for variant in variants if variant.run.environment.target.database == name] for name in names
    }
    return database_page(groups, library)


# ---------------------------------------------------------------------------------------------------------------------
# Scalability


def _scalability(runs: Sequence[NamedRun], library: ChartLibrary) -> str:
    # Imported here: scipy's fit takes a third of a second to load, and no other page needs it.
    from benchkit.verdict.scaling import scaling_of  # pylint: disable=import-outside-toplevel

    study = scaling_of([one.run for one in runs])
    target = runs[0].run.environment.target
    machine = runs[0].run.environment.machine
    about = f"MCP Gateway {target.release or '(release not told)'}; {machine.cpu_model}, {machine.cores} cores"
    return scaling_page(study, about, _also(runs, study), library)


def _also(runs: Sequence[NamedRun], study: ScalingStudy) -> list[str]:
    """List how the runs differ from the first one apart from the varied setting, each difference once."""
    base = runs[0].run.environment
    lines = [
        line
        for environment in (_unvaried(one.run.environment, base, study.varied) for one in runs)
        for line in (
            *load_differences(base.load, environment.load),
            *machine_differences(base.machine, environment.machine),
            *lesser_differences(base, environment),
        )
    ]
    return list(dict.fromkeys(lines))


def _unvaried(environment: Environment, base: Environment, varied: Varied) -> Environment:
    """Return the environment with the deliberately varied values replaced by the base's."""
    if varied == "servers":
        target = environment.target.model_copy(update={"servers": base.target.servers})
        return environment.model_copy(update={"target": target})
    load = environment.load.model_copy(update={"concurrency": base.load.concurrency})
    return environment.model_copy(update={"load": load})
