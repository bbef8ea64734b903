#!/usr/bin/env -S python3 -Es
"""Summarise a run over several profiles: one screen, and one HTML file that works offline.

  profile_sweep_report.py results/all_2026-01-31-120000

Reads all.json of DIR, and run.json and comparison.json of each profile's run beside it, and nothing else. Prints the
summary and the report's path. A run that cannot be read is told in the report and leaves the others in it.

exit: 0 written; 2 there is no all.json, or it is damaged, or the report cannot be written
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchkit import store
from benchkit.errors import ExitCode, run_program
from benchkit.model import AllRuns
from benchkit.report.chart_library import chart_library
from benchkit.report.output import add_open_argument, write_and_open_page
from benchkit.report.profile_sweep_page import profile_sweep_page
from benchkit.run.profile_sweep import DOCUMENT, WHAT, documents_of, summary_lines
from benchkit.settings import load_settings


def main() -> ExitCode:
    """Read, render, write, and show where that is wanted."""
    options = _parser().parse_args()
    directory: Path = options.directory
    reporting = load_settings().config.reporting
    document = store.load(directory / DOCUMENT, AllRuns, WHAT)
    profiles = [documents_of(directory.absolute().parent, one) for one in document.profiles]
    print("\n".join(summary_lines(document, profiles)))
    if options.no_html:
        return ExitCode.OK
    html = profile_sweep_page(document, profiles, chart_library(reporting))
    write_and_open_page(directory / "report.html", html, reporting, asked=options.open)
    return ExitCode.OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path, metavar="DIR", help="results/all_…")
    parser.add_argument("--no-html", action="store_true", help="only print the summary")
    add_open_argument(parser)
    return parser


if __name__ == "__main__":
    run_program(main)
