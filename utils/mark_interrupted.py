#!/usr/bin/env -S python3 -Es
"""Give a run in DIR that ended early its last document, and say what is left of it.

utils/lib/runner.sh calls this; nobody else needs to. CODE is the exit code that the run ends with.

exit: 0 done; 2 a document is damaged or cannot be written
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

# numpy's linear algebra, which is not used here, would start a thread per core: a tenth of a second, and memory.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# pylint: disable=wrong-import-position  # the line above has to stand before numpy is loaded
from benchkit.errors import ExitCode, UserError, run_program
from benchkit.run.killed_runs import cut_short


def main() -> ExitCode:
    """Mark it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", metavar="DIR", type=Path)
    parser.add_argument("code", metavar="CODE", type=int, choices=range(1, 256))
    arguments = parser.parse_args()
    if not arguments.directory.is_dir():
        raise UserError(f"{arguments.directory}: there is no such run directory; runs lie below results/")
    print(cut_short(arguments.directory, arguments.code))
    return ExitCode.OK


if __name__ == "__main__":
    run_program(main)
