#!/usr/bin/env -S python3 -Es
"""Say how a run ended, in one line, and end with the same exit code.

  ended.py results/latest

DIR is a run's directory, that of several gateways side by side, or that of a run over several profiles. Only its
documents are read (run.json, comparison.json, all.json …), and the baseline of its profile, to say that it became that.

exit: that of the run; 2 where there is no run, or a document is damaged
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchkit import store
from benchkit.ended import Ended, ended, ended_sweep
from benchkit.errors import UserError, run_program
from benchkit.model import AllRuns, Comparison, Run
from benchkit.settings import load_settings
from benchkit.verdict.baseline_files import baseline_path
from benchkit.verdict.baselines import load_baseline
from benchkit.verdict.groups import read_group


def main() -> int:
    """Read, and say it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path, metavar="DIR", help="results/…")
    directory: Path = parser.parse_args().directory
    if not directory.is_dir():
        raise UserError(f"{directory}: there is no such directory; runs lie below results/")
    end, saved = _end(directory)
    print(saved or end.line)
    return end.exit_code


def _end(directory: Path) -> tuple[Ended, str]:
    """How it ended; and of a run that was held against nothing whether it became part of the baseline, in words."""
    if not (directory / "run.json").exists():
        found = read_group(directory).end
        return (ended_sweep(found, []) if isinstance(found, AllRuns) else found), ""
    run = store.load(directory / "run.json", Run, "run")
    path = directory / "comparison.json"
    if path.exists():
        return ended(run, store.load(path, Comparison, "comparison")), ""
    end = ended(run)
    return end, _saved(run) if end.exit_code == 0 else ""


def _saved(run: Run) -> str:
    settings = load_settings(profile=run.profile)
    directory, profile = settings.baselines_dir, settings.baseline_profile
    if not baseline_path(directory, profile).exists():
        return ""
    runs = [one.run_id for one in load_baseline(directory, profile).runs]
    if run.run_id not in runs:
        return ""
    return "passed: saved as the initial baseline" if len(runs) == 1 else "saved as baseline"


if __name__ == "__main__":
    run_program(main)
