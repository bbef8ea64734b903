#!/usr/bin/env -S python3 -Es
"""Write a run's verdict in the formats that CI systems read.

  ci_report.py results/latest                       everything below (--format all)
  ci_report.py RUN --format github                  annotations on stdout, and the step summary
  ci_report.py RUN --format gitlab                  junit.xml and metrics.txt
  ci_report.py RUN --format junit                   junit.xml: one test for each case
  ci_report.py RUN --format openmetrics             metrics.txt: every value, in OpenMetrics' text format
  ci_report.py RUN --format json                    ci_summary.json: verdict, counts, exit code, worst first

RUN is a run's directory, also one of paired runs (results/paired_...). Only its run.json and comparison.json are read;
a run without comparison, interrupted or without a valid case is reported as such. Output goes to RUN (--output-dir
elsewhere); ci_summary.json comes with ci_summary.md. Annotations are printed if requested, and by "all" if
GITHUB_ACTIONS=true; the summary is appended to the file that GITHUB_STEP_SUMMARY names.

Exit codes: 0 written, whatever the verdict is; 2 there is no such run, or it cannot be read or written. To fail a job,
use the exit code of the run, which is in ci_summary.json.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from benchkit import store
from benchkit.errors import ExitCode, UserError, os_reason, run_program
from benchkit.verdict.ci.annotations import annotation_lines
from benchkit.verdict.ci.junit import junit
from benchkit.verdict.ci.openmetrics import openmetrics
from benchkit.verdict.ci.results import RunResult, load_result
from benchkit.verdict.ci.summary import STEP_SUMMARY_BYTES, ci_summary, markdown

_FORMATS = ("all", "github", "gitlab", "junit", "openmetrics", "json")


def main(arguments: list[str] | None = None) -> ExitCode:
    """Read, write, print; the module's docstring describes the usage."""
    options = _parser().parse_args(arguments)
    result = load_result(options.run)
    wanted: str = options.format
    output: Path = options.output_dir or options.run
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{output}: cannot be made: {os_reason(error)}") from error
    if wanted in ("all", "gitlab", "junit"):
        store.write_text(output / "junit.xml", junit(result))
    if wanted in ("all", "gitlab", "openmetrics"):
        store.write_text(output / "metrics.txt", openmetrics(result))
    if wanted in ("all", "json"):
        store.save(output / "ci_summary.json", ci_summary(result))
        store.write_text(output / "ci_summary.md", markdown(result))
    if wanted in ("all", "github"):
        _append_step_summary(result)
    if wanted == "github" or (wanted == "all" and os.environ.get("GITHUB_ACTIONS") == "true"):
        print("\n".join(annotation_lines(result)))
    print(f"{result.headline}: {result.reason} (exit {result.exit_code})", file=sys.stderr)
    return ExitCode.OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, metavar="RUN", help="a run's directory")
    parser.add_argument("--format", choices=_FORMATS, default="all", help="what to write (default: all)")
    parser.add_argument("--output-dir", type=Path, metavar="DIR", help="where to write (default: RUN)")
    return parser


def _append_step_summary(result: RunResult) -> None:
    """Append to GitHub's step summary, up to the size limit that applies to a step including existing content."""
    name = os.environ.get("GITHUB_STEP_SUMMARY")
    if not name:
        return
    path = Path(name)
    try:
        there = path.stat().st_size if path.exists() else 0
        with path.open("a", encoding="utf-8") as stream:
            stream.write(markdown(result, STEP_SUMMARY_BYTES - there))
    except OSError as error:
        raise UserError(f"GITHUB_STEP_SUMMARY={name}: cannot be written: {os_reason(error)}") from error


if __name__ == "__main__":
    run_program(main)
