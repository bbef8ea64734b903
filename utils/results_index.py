#!/usr/bin/env -S python3 -Es
"""Write results/index.html: all runs, the newest first, each with its verdict and a link to its report.

First marks runs that were killed, and reports what they left on gateways. Only runs that changed since the last time
are read again. Prints the page's path.

exit: 0 written; 2 the results directory cannot be read or written
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchkit.errors import ExitCode, UserError, run_program
from benchkit.report.index_page import index_page
from benchkit.report.output import write_page
from benchkit.run.killed_runs import end_killed_runs
from benchkit.run.profile_sweep import end_killed_groups
from benchkit.run.results_index import read_listing
from benchkit.settings import load_settings


def main() -> ExitCode:
    """Read, render, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--results-dir", type=Path, metavar="DIR", help="directory of the runs (default: RESULTS_DIR, config.yaml)"
    )
    results: Path = parser.parse_args().results_dir or load_settings().results_dir
    if not results.is_dir():
        raise UserError(f"{results}: there is no such directory; runs are written there")
    end_killed_runs(results, _say)
    end_killed_groups(results, _say)
    write_page(results / "index.html", index_page(*read_listing(results)))
    return ExitCode.OK


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    run_program(main)
