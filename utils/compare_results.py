#!/usr/bin/env -S python3 -Es
"""Compare a run with a baseline, or two gateways: what got worse, what got better, what is undecided.

  compare_results.py results/latest                          against the baseline of the run's profile
  compare_results.py RUN --baseline nightly                  against another baseline
  compare_results.py RUN --baseline path/to/baseline.json    ... or with any baseline file
  compare_results.py RUN --save-initial                      save the run as the baseline if there is none yet
  compare_results.py RUN --join                              the same, and a run that passes is added to its baseline
  compare_results.py HEAD_RUN --against BASE_RUN             two gateways that were measured side by side

RUN is a run's directory, or its run.json. Writes comparison.json and comparison_report.txt next to it (--output-dir
elsewhere) and prints the report. Thresholds are set in config.yaml (baselines). A positive change is an improvement,
for every metric. The noise that `make noise` recorded on this machine is used if it is of the same load.

Exit codes: 0 passed; 1 regression; 2 usage, no baseline, or runs that cannot be compared (different load); 3 a case is
invalid or missing; 4 with --fail-on-inconclusive: something is undecided. A regression is reported before an invalid
case, because it is proven.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchkit import store
from benchkit.errors import ExitCode, UserError, os_reason, run_program
from benchkit.model import Baseline, CaseComparison, Comparison, MetricComparison, Run, Validity, Verdict
from benchkit.settings import Baselines, Settings, load_settings
from benchkit.verdict.baseline_files import baseline_path, read_baseline
from benchkit.verdict.baselines import join_baseline, load_baseline, save_baseline
from benchkit.verdict.compare import compare, compare_paired, undecided
from benchkit.verdict.noise import load_noise
from benchkit.verdict.runs import load_run, run_file
from benchkit.verdict.text import Line, comparison_report, plain


def main(arguments: list[str] | None = None) -> ExitCode:
    """Compare, write, print; the module's docstring describes the usage."""
    options = _parser().parse_args(arguments)
    run = load_run(options.run)
    settings = load_settings(profile=run.profile)
    if options.against is not None:
        return _side_by_side(run, options, settings)
    directory = options.baselines_dir or settings.baselines_dir
    named = options.baseline or settings.baseline_profile
    is_file = named.endswith(".json") or "/" in named
    may_save = options.save_initial or options.join
    if may_save and is_file:
        raise UserError(
            f"--baseline {named}: --save-initial and --join save into --baselines-dir; give a profile's name"
        )
    if may_save and not baseline_path(directory, named).exists():
        return _save_initial(run, directory, named, settings)
    baseline = read_baseline(Path(named)) if is_file else _baseline_to_compare(directory, named, options.run)
    noise = load_noise(directory, baseline.profile)
    comparison = compare(run, baseline, settings.config.baselines, noise)
    if may_save and comparison.verdict is Verdict.NEW:
        return _save_initial(run, directory, named, settings)
    code = _write(comparison, run, options)
    # Undecided runs must join too, or the reference would never become precise enough to decide them.
    if options.join and code in (ExitCode.OK, ExitCode.INCONCLUSIVE):
        _join(run, comparison, directory, named, settings)
    return code


def _side_by_side(head: Run, options: argparse.Namespace, settings: Settings) -> ExitCode:
    """Run the paired mode, which does not use baselines."""
    given = [flag for flag in ("baseline", "baselines_dir", "join", "save_initial") if getattr(options, flag)]
    if given:
        flag = given[0].replace("_", "-")
        raise UserError(f"--against and --{flag}: two gateways side by side need no baseline; leave one of them out")
    comparison = compare_paired(load_run(options.against), head, settings.config.baselines)
    return _write(comparison, head, options)


def _write(comparison: Comparison, run: Run, options: argparse.Namespace) -> ExitCode:
    """Write and print the comparison; return its exit code."""
    if options.fail_on_inconclusive and comparison.exit_code == ExitCode.OK and undecided(comparison):
        comparison = comparison.model_copy(update={"exit_code": int(ExitCode.INCONCLUSIVE)})
    report = comparison_report(comparison, run.environment.load)
    output = options.output_dir or run_file(options.run).parent
    _make_directory(output)
    store.save(output / "comparison.json", comparison)
    store.write_text(output / "comparison_report.txt", plain(report))
    _print(report)
    return ExitCode(comparison.exit_code)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, metavar="RUN", help="a run's directory, or its run.json")
    parser.add_argument(
        "--baseline", metavar="PROFILE|FILE", help="a profile's name, or a file (default: the run's profile)"
    )
    parser.add_argument(
        "--baselines-dir",
        type=Path,
        metavar="DIR",
        help="baselines directory (default: BASELINES_DIR, config.yaml)",
    )
    parser.add_argument(
        "--against",
        type=Path,
        metavar="BASE_RUN",
        help="the run of the gateway that was measured side by side with this one",
    )
    parser.add_argument("--output-dir", type=Path, metavar="DIR", help="where to write (default: next to run.json)")
    parser.add_argument(
        "--save-initial",
        action="store_true",
        help="if the run has no reference yet, save it as the reference and exit 0",
    )
    parser.add_argument("--join", action="store_true", help="as --save-initial; a run that passes joins its baseline")
    parser.add_argument(
        "--fail-on-inconclusive", action="store_true", help="exit 4 when nothing got worse but something is undecided"
    )
    return parser


def _join(run: Run, comparison: Comparison, directory: Path, profile: str, settings: Settings) -> None:
    """Add a run that passed to its baseline, which makes the reference more precise. A failure is only a warning."""
    limits = settings.config.baselines
    improved = frozenset(case.id for case in comparison.cases if _is_better(case, comparison, limits))
    try:
        saved = join_baseline(
            run,
            directory,
            profile=profile,
            keep_runs=limits.keep_runs,
            improved=improved,
            sustained_runs=limits.sustained_runs,
        )
    except UserError as error:
        print(f"warning: the run passed, but did not join the baseline: {error}", file=sys.stderr)
        return
    print(f"The run joined the baseline {profile}: version {saved.baseline.version}, {len(saved.baseline.runs)} runs")


def _is_better(case: CaseComparison, comparison: Comparison, limits: Baselines) -> bool:
    """Return whether a case improved, by itself or as part of the mean of all cases, which proves a common change."""
    # Check every metric: by the case's verdict, a lucky p50 would join as soon as its req/s is undecided.
    return any(
        metric.verdict is Verdict.IMPROVEMENT
        or (_improved(comparison.suite.get(name)) and (metric.change_percent or 0.0) >= limits.improvement_threshold)
        for name, metric in case.metrics.items()
        if not metric.advisory
    )


def _improved(metric: MetricComparison | None) -> bool:
    return metric is not None and metric.verdict is Verdict.IMPROVEMENT


def _baseline_to_compare(directory: Path, profile: str, run: Path) -> Baseline:
    path = baseline_path(directory, profile)
    if not path.exists():
        raise UserError(f"{path}: there is no baseline to compare with; save one: utils/baseline_manager.py save {run}")
    return load_baseline(directory, profile)


def _save_initial(run: Run, directory: Path, profile: str, settings: Settings) -> ExitCode:
    """Save a first run as the reference, with which it passes; refuse a run that has cases without a result."""
    failed = [case for case in run.cases if case.validity not in (Validity.VALID, Validity.SKIPPED)]
    if failed:
        raise UserError(
            f"run {run.run_id}: not saved as the initial baseline, {len(failed)} of its {len(run.cases)} cases have "
            f"no result; the first: {failed[0].id}, {failed[0].validity.value}: {failed[0].reason}",
            ExitCode.INVALID,
        )
    saved = save_baseline(run, directory, profile=profile, keep_runs=settings.config.baselines.keep_runs)
    print(
        f"Initial baseline saved: {profile}, version {saved.baseline.version}, run {run.run_id}: {saved.path}. "
        "The next run is compared with it."
    )
    return ExitCode.OK


def _make_directory(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{directory}: cannot be made: {os_reason(error)}") from error


def _print(report: list[Line]) -> None:
    """Print the report to stdout, coloured on a terminal unless NO_COLOR is set."""
    if not sys.stdout.isatty():
        sys.stdout.write(plain(report))
        return
    # Imported here: a pipe or a CI log does not need it.
    from rich.console import Console  # pylint: disable=import-outside-toplevel
    from rich.text import Text  # pylint: disable=import-outside-toplevel

    console = Console(highlight=False, soft_wrap=True)
    for line in report:
        console.print(Text.assemble(*((span.text, span.style) for span in line)))


if __name__ == "__main__":
    run_program(main)
