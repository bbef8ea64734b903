"""Turn what a run left in RUN_DIR into its document: plan.json and raw/ become run.json.

Beside run.json each scenario gets a text summary in hey's style, and a table of all cases goes to stdout. Nothing else
is read, so an old run can be collected again. The exit code is the run's: 0, or 3 when a case is invalid.

With --hey the figures of one output of hey, rows or text summary, are printed.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

# numpy's linear algebra, which is not used here, would start a thread per core: a tenth of a second, and memory.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# pylint: disable=wrong-import-position  # the line above has to stand before numpy is loaded
from benchkit.errors import ExitCode, UserError, run_program
from benchkit.load.hey import read
from benchkit.load.summary import hey_output, print_run
from benchkit.model import Run
from benchkit.run.killed_runs import cut_short, point_latest, write_run
from benchkit.store import load


def main() -> int:
    """Collect or show."""
    arguments = _arguments()
    if arguments.hey is not None:
        sys.stdout.write(hey_output(read(arguments.hey)))
        return ExitCode.OK
    document: Path = arguments.run_dir / "run.json"
    if not arguments.run_dir.is_dir():
        raise UserError(f"{arguments.run_dir}: there is no such run directory; runs lie below results/")
    if arguments.latest:
        point_latest(arguments.run_dir)
        return ExitCode.OK
    if arguments.interrupted is not None:
        cut_short(arguments.run_dir, arguments.interrupted)
        if document.exists():
            print_run(load(document, Run, "run"), sys.stdout)
        return int(arguments.interrupted)
    run = write_run(arguments.run_dir).run
    print_run(run, sys.stdout)
    return run.exit_code


def _stop_code(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 255:
        raise argparse.ArgumentTypeError(f"{text}: an exit code from 1 to 255")
    return int(text)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run_dir", metavar="RUN_DIR", type=Path, nargs="?", help="a run's directory")
    parser.add_argument(
        "--interrupted",
        metavar="CODE",
        type=_stop_code,
        help="the run ended early with this exit code (130, 143, or an error's): collect what there is",
    )
    parser.add_argument("--latest", action="store_true", help="only let `latest` lead to this run")
    parser.add_argument("--hey", metavar="FILE", type=Path, help="print what one output of hey says")
    arguments = parser.parse_args()
    if (arguments.run_dir is None) == (arguments.hey is None):
        parser.error("give a RUN_DIR, or --hey FILE")
    return arguments


if __name__ == "__main__":
    run_program(main)
