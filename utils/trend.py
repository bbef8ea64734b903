#!/usr/bin/env -S python3 -Es
"""Show the trend over stored runs: which run changed a case's level, and which values drift slowly.

  trend.py                                             p50 and req/s of every case, over the newest 200 runs
  trend.py --profile medium --case 'tools/*'           some cases of another profile
  trend.py --metric p95_latency --last 50              another metric; only the newest 50 runs
  trend.py --json trend.json                           chart data as well (- for stdout, instead of the text)
  trend.py --html                                      a page with charts as well: trend.html in the results directory

Only comparable runs count: complete, of one profile, with the load and on the machine of the newest. A change of level
is reported with its size, its 95 % interval, and the runs and gateway releases on both sides; a slow slide in percent
per 10 runs and in total. Fewer than 1 in 100 unchanged series get a false change of level, provided that the noise of
consecutive runs is independent.

Exit codes: 0 shown, whatever the trend is; 2 usage, no run of that profile, or no such case or metric.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

# numpy's linear algebra, which is not used here, would start a thread per core: a tenth of a second, and memory.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# pylint: disable=wrong-import-position  # the line above must run before numpy is imported
from benchkit import store
from benchkit.errors import ExitCode, UserError, run_program
from benchkit.model import METRICS
from benchkit.report.chart_library import chart_library
from benchkit.report.output import write_page
from benchkit.run.pages import page_of_trend
from benchkit.settings import load_settings
from benchkit.verdict.stored_runs import RunHistory, read_history
from benchkit.verdict.trend import trend_of
from benchkit.verdict.trend_text import trend_report

LAST = 200
"""Default number of runs: half a year of nightly ones. The search time grows with the square of the number."""


def main(arguments: list[str] | None = None) -> ExitCode:
    """Read, search, print; the module's docstring describes the usage."""
    options = _parser().parse_args(arguments)
    settings = load_settings(profile=options.profile)
    results = options.results_dir or settings.results_dir
    history = read_history(results)
    _say_damaged(history)
    if not any(run.profile == settings.profile for run in history.runs):
        known = ", ".join(sorted({run.profile for run in history.runs})) or "none"
        raise UserError(f"{results}: holds no run of profile {settings.profile!r}; runs of: {known}")
    metrics = options.metric or [name for name in settings.config.baselines.gate if not METRICS[name].absolute]
    trend = trend_of(history, settings.profile, cases=options.case, metrics=metrics, last=options.last)
    if trend.runs and not trend.series:
        raise UserError(f"--case {options.case!r}: no run has figures of such a case and {', '.join(metrics)}")
    if options.json == "-":
        sys.stdout.write(store.dump(trend))
        return ExitCode.OK
    sys.stdout.write(trend_report(trend))
    if options.json:
        store.save(Path(options.json), trend)
    if options.html is not None:
        page = Path(options.html) if options.html else results / "trend.html"
        write_page(page, page_of_trend(trend, chart_library(settings.config.reporting)))
    return ExitCode.OK


def _say_damaged(history: RunHistory) -> None:
    for run in history.damaged:
        print(f"warning: left out: {run.problem}", file=sys.stderr)


def _metric(text: str) -> str:
    if text not in METRICS:
        raise argparse.ArgumentTypeError(f"there is no metric {text!r}; known: {', '.join(METRICS)}")
    if METRICS[text].absolute:
        raise argparse.ArgumentTypeError(f"{text} is no ratio, so it has no trend in percent")
    return text


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: a number of runs, at least 1")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", metavar="NAME", help="load profile (default: PROFILE, else light)")
    parser.add_argument("--case", metavar="GLOB", default="*", help="which cases, for example 'tools/*' (all)")
    parser.add_argument(
        "--metric",
        metavar="NAME",
        type=_metric,
        action="append",
        help="may be repeated (baselines.gate of config.yaml)",
    )
    parser.add_argument("--last", metavar="N", type=_count, default=LAST, help=f"the newest N runs ({LAST})")
    parser.add_argument("--json", metavar="FILE", help="write the chart data; - prints it instead of the text")
    parser.add_argument(
        "--html",
        metavar="FILE",
        nargs="?",
        const="",
        help="write a page too (default: trend.html in the results directory)",
    )
    parser.add_argument(
        "--results-dir", type=Path, metavar="DIR", help="directory of the runs (default: RESULTS_DIR, config.yaml)"
    )
    return parser


if __name__ == "__main__":
    run_program(main)
