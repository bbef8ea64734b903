"""Turn what a run left in RUN_DIR into its document: plan.json and raw/ become run.json.

Beside run.json each scenario gets a text summary like those of load generators, and a table of all cases goes to
stdout. Nothing else is read, so an old run can be collected again. The exit code is the run's: 0, or 3 when a case is
invalid.

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
from benchkit.load.engines.hey_output import described, read
from benchkit.load.summary import print_run
from benchkit.run.killed_runs import write_run


def main() -> int:
    """Collect or show."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("run_dir", metavar="RUN_DIR", type=Path, nargs="?", help="a run's directory")
    what.add_argument("--hey", metavar="FILE", type=Path, help="print what one output of hey says")
    arguments = parser.parse_args()
    if arguments.hey is not None:
        sys.stdout.write(described(read(arguments.hey)))
        return ExitCode.OK
    if not arguments.run_dir.is_dir():
        raise UserError(f"{arguments.run_dir}: there is no such run directory; runs lie below results/")
    run = write_run(arguments.run_dir).run
    print_run(run, sys.stdout)
    return run.exit_code


if __name__ == "__main__":
    run_program(main)
