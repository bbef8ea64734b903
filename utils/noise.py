#!/usr/bin/env -S python3 -Es
"""Record how much runs of one unchanged gateway differ on this machine, and show what that allows to see.

  noise.py record RUN_DIR...       at least three runs of one load, with nothing changed between them
  noise.py show [PROFILE]          deviation of each metric, and the smallest change that a comparison finds

The record is baselines/noise_<profile>.json; compare_results.py uses it for runs of the same load on the same machine.
`make noise` measures the runs and records them.

Exit codes: 0 done; 2 usage, runs that are not alike, no record; 3 a run was interrupted, or no case is left.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import median

from benchkit import store
from benchkit.errors import ExitCode, UserError, os_reason, run_program
from benchkit.model import METRICS, NoiseRecord
from benchkit.settings import Baselines, load_settings
from benchkit.text_table import text_table
from benchkit.verdict.baseline_files import noise_path
from benchkit.verdict.noise import load_noise, make_record, recorded_prior, visible_percent
from benchkit.verdict.runs import load_run

RUNS = (1, 2, 5, 10)
"""Sizes of a baseline of which the table tells what it shows."""


def main(arguments: list[str] | None = None) -> ExitCode:
    """Run one command; the module's text says which there are."""
    options = _parser().parse_args(arguments)
    if options.command == "record":
        return _record(options)
    settings = load_settings(profile=options.profile)
    directory = options.baselines_dir or settings.baselines_dir
    profile = settings.baseline_profile
    noise = load_noise(directory, profile)
    if noise is None:
        raise UserError(
            f"{noise_path(directory, profile)}: there is no noise record of profile {profile!r}; make noise makes one"
        )
    print(_shown(noise, settings.config.baselines), end="")
    return ExitCode.OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--baselines-dir", type=Path, metavar="DIR", help="where records lie (default: BASELINES_DIR, config.yaml)"
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="record|show")
    record = commands.add_parser("record", parents=[common], help="make the record of some runs")
    record.add_argument("runs", type=Path, nargs="+", metavar="RUN_DIR", help="a run's directory, or its run.json")
    record.add_argument("--profile", metavar="NAME", help="the record's name (default: the baseline's)")
    show = commands.add_parser("show", parents=[common], help="print a record")
    show.add_argument("profile", nargs="?", metavar="PROFILE", help="default: PROFILE of the environment, then light")
    return parser


def _record(options: argparse.Namespace) -> ExitCode:
    runs = [load_run(path) for path in options.runs]
    settings = load_settings(profile=runs[0].profile)
    directory = options.baselines_dir or settings.baselines_dir
    profile = options.profile or settings.baseline_profile
    path = noise_path(directory, profile)
    noise = make_record(runs, profile)
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{directory}: cannot be made: {os_reason(error)}") from error
    store.save(path, noise)
    print(f"Noise of {len(noise.runs)} runs recorded: {path}")
    print(_shown(noise, settings.config.baselines), end="")
    return ExitCode.OK


def _shown(noise: NoiseRecord, limits: Baselines) -> str:
    """The record as a table: deviation in percent, the worst case, and the change that is found in 4 of 5 cases."""
    machine, load = noise.environment.machine, noise.environment.load
    hypotheses = len(noise.deviation) * len(limits.gate)
    rows = [("METRIC", "DEVIATION", "WORST CASE", *(f"{runs} RUN" + "S" * (runs > 1) for runs in RUNS))]
    rows += [row for metric in limits.metrics if (row := _row(noise, metric, limits, hypotheses))]
    table = "\n".join(text_table(rows))
    return (
        f"Noise between runs, profile {noise.profile}: {len(noise.runs)} runs of {len(noise.deviation)} cases, "
        f"{load.requests} requests, {load.concurrency} concurrent, {load.iterations} iterations\n"
        f"{machine.cpu_model}, {machine.cores} cores; newest run {noise.runs[-1]}\n\n{table}\n\n"
        "DEVIATION: standard deviation between runs, median over the cases. N RUNS: the change for the worse that a\n"
        f"comparison with N runs finds in 4 of 5 cases, when {hypotheses} figures decide and {limits.significance:.0%} "
        "of suites may\nalarm by chance. What is smaller needs two gateways side by side: ./run-advanced.sh\n"
    )


def _row(noise: NoiseRecord, metric: str, limits: Baselines, hypotheses: int) -> tuple[str, ...]:
    """A metric's cells; empty where the record does not have it."""
    by_size = sorted((values[metric], case) for case, values in noise.deviation.items() if metric in values)
    if not by_size:
        return ()
    prior = recorded_prior(noise, by_size[len(by_size) // 2][1], metric, own=True)
    assert prior is not None, "the metric is in the record"
    typical, (largest, worst_case) = median(deviation for deviation, _ in by_size), by_size[-1]
    return (
        METRICS[metric].label,
        f"{100 * typical:.1f} %",
        f"{100 * largest:.1f} %  {worst_case}",
        *(f"{visible_percent(prior, metric, runs, limits, hypotheses):.0f} %" for runs in RUNS),
    )


if __name__ == "__main__":
    run_program(main)
