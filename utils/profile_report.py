#!/usr/bin/env -S python3 -Es
"""Write where the gateway's time went: profile.json and profile.html of a directory of ./run-profile.sh.

  profile_report.py results/profile_2026-01-31-120000

Reads plan.json and raw/ and prints a summary of one screen. It can be run again on an old directory.

exit: 0 written; 2 usage, or a file is missing or damaged; 3 the case's work did not happen, so nothing is said
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

# numpy's linear algebra, which is not used here, would start a thread per core: a tenth of a second, and memory.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# pylint: disable=wrong-import-position  # the line above has to stand before numpy is loaded
from benchkit.errors import UserError, run_program
from benchkit.run.profile_report import write_profile


def main() -> int:
    """Analyse, write, print."""
    arguments = _parser().parse_args()
    directory: Path = arguments.directory
    if not directory.is_dir():
        raise UserError(f"{directory}: there is no such directory; ./run-profile.sh writes results/profile_…")
    profile, text = write_profile(directory)
    print(text, end="")
    print(directory / "profile.html")
    return profile.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path, metavar="DIR", help="results/profile_…")
    return parser


if __name__ == "__main__":
    run_program(main)
