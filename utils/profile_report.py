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
from benchkit import store
from benchkit.errors import UserError, run_program
from benchkit.profiling.analysis import analyse
from benchkit.profiling.text import summary
from benchkit.report.output import write_page
from benchkit.report.profile_page import profile_page


def main() -> int:
    """Analyse, write, print."""
    arguments = _parser().parse_args()
    directory: Path = arguments.directory
    if not directory.is_dir():
        raise UserError(f"{directory}: there is no such directory; ./run-profile.sh writes results/profile_…")
    profile = analyse(directory, arguments.interrupted)
    text = "\n".join(summary(profile)) + "\n"
    store.save(directory / "profile.json", profile)
    store.write_text(directory / "profile.txt", text)
    print(text, end="")
    write_page(directory / "profile.html", profile_page(profile))
    return profile.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path, metavar="DIR", help="results/profile_…")
    parser.add_argument(
        "--interrupted", metavar="CODE", type=int, choices=range(1, 256), help="it ended early with this exit code"
    )
    return parser


if __name__ == "__main__":
    run_program(main)
