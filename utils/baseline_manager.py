#!/usr/bin/env python3
"""Save, show, list and delete baselines: what earlier runs of a profile measured.

  baseline_manager.py save results/latest              add a run to the baseline of its profile
  baseline_manager.py save RUN --profile nightly       ... to a baseline of another name
  baseline_manager.py save RUN --force                 start the baseline anew, with this run alone
  baseline_manager.py load light                       print a baseline (JSON)
  baseline_manager.py list [--json]                    profile, version, runs, cases, newest run, machine
  baseline_manager.py delete light [--yes]             take a baseline away

A baseline lies in baselines/baseline_<profile>.json. It remembers the newest runs (baselines.keep_runs of config.yaml)
of one load on one machine; a run with another load or from another machine does not join them. Every earlier version
lies in baselines/history/, deleted ones too.

Exit codes: 0 done; 2 usage, a baseline that is damaged or not there, a run that does not fit; 3 the run is interrupted
or has no valid case.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from benchkit import store
from benchkit.errors import ExitCode, UserError, run_program
from benchkit.model import Run, Validity
from benchkit.settings import load_settings
from benchkit.verdict.baselines import (
    ListedBaseline,
    SavedBaseline,
    delete_baseline,
    list_baselines,
    load_baseline,
    save_baseline,
)
from benchkit.verdict.runs import load_run


def main(arguments: list[str] | None = None) -> ExitCode:
    """Run one command; the module's text says which there are."""
    options = _parser().parse_args(arguments)
    if options.command == "save":
        return _save(options)
    directory = options.baselines_dir or load_settings().baselines_dir
    if options.command == "load":
        sys.stdout.write(store.dump(load_baseline(directory, options.profile)))
        return ExitCode.OK
    if options.command == "list":
        return _list(directory, as_json=options.json)
    return _delete(directory, options.profile, confirmed=options.yes)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--baselines-dir", type=Path, metavar="DIR", help="where baselines lie (default: BASELINES_DIR, config.yaml)"
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="save|load|list|delete")
    save = commands.add_parser("save", parents=[common], help="add a run to a baseline")
    save.add_argument("run", type=Path, metavar="RUN", help="a run's directory, or its run.json")
    save.add_argument("--profile", metavar="NAME", help="the baseline's name (default: the run's profile)")
    save.add_argument("--force", action="store_true", help="start the baseline anew, with this run alone")
    load = commands.add_parser("load", parents=[common], help="print a baseline")
    load.add_argument("profile", metavar="PROFILE")
    listing = commands.add_parser("list", parents=[common], help="list the baselines")
    listing.add_argument("--json", action="store_true", help="machine-readable")
    delete = commands.add_parser("delete", parents=[common], help="move a baseline to the history")
    delete.add_argument("profile", metavar="PROFILE")
    delete.add_argument("--yes", action="store_true", help="do not ask")
    return parser


def _save(options: argparse.Namespace) -> ExitCode:
    run = load_run(options.run)
    settings = load_settings(profile=run.profile)
    saved = save_baseline(
        run,
        options.baselines_dir or settings.baselines_dir,
        profile=options.profile or settings.baseline_profile,
        keep_runs=settings.config.baselines.keep_runs,
        force=options.force,
    )
    print(_saved_words(saved, run))
    left_out = [case for case in run.cases if case.validity is not Validity.VALID]
    for case in left_out:
        print(f"  left out: {case.id}, {case.validity.value}: {case.reason}")
    return ExitCode.OK


def _saved_words(saved: SavedBaseline, run: Run) -> str:
    baseline = saved.baseline
    cases = {entry.run_id: len(entry.cases) for entry in baseline.runs}[run.run_id]
    runs = f"{len(baseline.runs)} run" + ("" if len(baseline.runs) == 1 else "s")
    kept = f"; version before: {saved.kept}" if saved.kept else ""
    return (
        f"Baseline {baseline.profile}, version {baseline.version}: holds {runs}, now with {run.run_id} ({cases} of "
        f"{len(run.cases)} cases): {saved.path}{kept}"
    )


def _list(directory: Path, *, as_json: bool) -> ExitCode:
    listed = list_baselines(directory)
    if as_json:
        rows = [entry.model_dump(mode="json", exclude_none=True) for entry in listed]
        print(json.dumps(rows, indent=2, ensure_ascii=False))
    elif not listed:
        print(f"No baselines in {directory}; save one: utils/baseline_manager.py save RUN_DIR")
    else:
        print(_table(listed), end="")
    damaged = [entry for entry in listed if entry.problem]
    for entry in damaged:
        print(f"error: {entry.problem}", file=sys.stderr)
    return ExitCode.USAGE if damaged else ExitCode.OK


def _table(listed: list[ListedBaseline]) -> str:
    rows = [("PROFILE", "VERSION", "RUNS", "CASES", "NEWEST RUN", "MACHINE")]
    for entry in listed:
        if entry.problem:
            rows.append((entry.profile, "damaged", "-", "-", "-", "-"))
        else:
            newest = f"{entry.newest:%Y-%m-%d %H:%M}" if entry.newest else "-"
            rows.append(
                (entry.profile, str(entry.version), str(entry.runs), str(entry.cases), newest, entry.machine or "-")
            )
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = ("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "".join(line.rstrip() + "\n" for line in lines)


def _delete(directory: Path, profile: str, *, confirmed: bool) -> ExitCode:
    if not confirmed:
        if not sys.stdin.isatty():
            raise UserError(f"delete {profile}: nobody is here to ask; say --yes to delete it")
        print(f"Delete the baseline {profile} in {directory}? Its file moves to history/. [y/N] ", end="", flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            print("Nothing was changed.")
            return ExitCode.OK
    print(f"Baseline {profile} deleted; its file lies in {delete_baseline(directory, profile)}")
    return ExitCode.OK


if __name__ == "__main__":
    run_program(main)
