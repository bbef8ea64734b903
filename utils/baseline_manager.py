#!/usr/bin/env -S python3 -Es
"""Save, show and compare baselines: versioned measurements of earlier runs of a profile.

  baseline_manager.py save results/latest              add a run to the baseline of its profile
  baseline_manager.py save RUN --profile nightly       ... to a baseline of another name
  baseline_manager.py save RUN --force                 restart the baseline with this run alone
  baseline_manager.py forget light tools/old_case      remove cases from it that config.yaml no longer has
  baseline_manager.py load light                       print a baseline (JSON)
  baseline_manager.py list [--json]                    profile, version, runs, cases, newest run, machine
  baseline_manager.py delete light [--yes]             delete a baseline
  baseline_manager.py history light [--json]           every version: when, how many runs, why
  baseline_manager.py diff light [A] [B]               what changed between two versions (the newest two)
  baseline_manager.py rollback light --to 3            make version 3 the current one again, as a new version
  baseline_manager.py export light --output FILE       one file with the baseline, its history and noise record
  baseline_manager.py import FILE [--profile NAME]     read such a file; the current baseline moves to the history

A baseline is stored in baselines/baseline_<profile>.json. It contains the newest runs (baselines.keep_runs of
config.yaml) of one load on one machine; runs with another load or from another machine cannot be added. Every earlier
version is kept in baselines/history/, deleted ones too.

Exit codes: 0 done; 2 usage, a baseline that is damaged or does not exist, a run that does not fit; 3 the run is
interrupted or has no valid case.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

from benchkit import number_format, store
from benchkit.errors import ExitCode, UserError, run_program
from benchkit.model import METRICS, Run, Validity
from benchkit.settings import load_settings
from benchkit.text_table import text_table
from benchkit.verdict.baseline_archive import export_baseline, import_baseline
from benchkit.verdict.baseline_files import noise_path
from benchkit.verdict.baseline_history import Change, diff_versions, read_history
from benchkit.verdict.baselines import (
    ListedBaseline,
    SavedBaseline,
    delete_baseline,
    forget_cases,
    list_baselines,
    load_baseline,
    roll_back,
    save_baseline,
)
from benchkit.verdict.runs import load_run


def main(arguments: list[str] | None = None) -> ExitCode:
    """Run one command; the module's docstring lists them."""
    options = _parser().parse_args(arguments)
    if options.command == "save":
        return _save(options)
    directory: Path = options.baselines_dir or load_settings().baselines_dir
    command: Callable[[Path, argparse.Namespace], ExitCode] = options.run_command
    return command(directory, options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--baselines-dir",
        type=Path,
        metavar="DIR",
        help="baselines directory (default: BASELINES_DIR, config.yaml)",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(
        name: str, text: str, run: Callable[[Path, argparse.Namespace], ExitCode] | None
    ) -> argparse.ArgumentParser:
        command = commands.add_parser(name, parents=[common], help=text)
        command.set_defaults(run_command=run)
        return command

    save = add("save", "add a run to a baseline", None)
    save.add_argument("run", type=Path, metavar="RUN", help="a run's directory, or its run.json")
    save.add_argument("--profile", metavar="NAME", help="the baseline's name (default: the run's profile)")
    save.add_argument("--force", action="store_true", help="restart the baseline with this run alone")
    load = add("load", "print a baseline", _load)
    forget = add("forget", "remove cases from a baseline", _forget)
    listing = add("list", "list the baselines", _list)
    listing.add_argument("--json", action="store_true", help="machine-readable")
    delete = add("delete", "move a baseline to the history", _delete)
    delete.add_argument("--yes", action="store_true", help="do not ask")
    history = add("history", "list every version of a baseline", _history)
    history.add_argument("--json", action="store_true", help="machine-readable")
    diff = add("diff", "show what changed between two versions", _diff)
    back = add("rollback", "make an earlier version the current one again", _rollback)
    back.add_argument("--to", type=int, required=True, metavar="VERSION", help="its number, as history shows it")
    out = add("export", "write a baseline with its history into one file", _export)
    out.add_argument("--output", type=Path, metavar="FILE", help="where to (default: stdout)")
    for command in (forget, load, delete, history, diff, back, out):
        command.add_argument("profile", metavar="PROFILE")
    forget.add_argument("case", nargs="+", metavar="CASE", help="like tools/list_limit_50")
    diff.add_argument("before", type=int, nargs="?", metavar="A", help="a version (default: the one before B)")
    diff.add_argument("after", type=int, nargs="?", metavar="B", help="a version (default: the current one)")
    back_in = add("import", "import an exported baseline", _import)
    back_in.add_argument("file", type=Path, metavar="FILE", help="what export wrote")
    back_in.add_argument("--profile", metavar="NAME", help="the baseline's name here (default: as exported)")
    return parser


def _load(directory: Path, options: argparse.Namespace) -> ExitCode:
    sys.stdout.write(store.dump(load_baseline(directory, options.profile)))
    return ExitCode.OK


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


def _forget(directory: Path, options: argparse.Namespace) -> ExitCode:
    saved = forget_cases(directory, options.profile, options.case)
    print(
        f"Baseline {options.profile}, version {saved.baseline.version}: {saved.baseline.reason}: {saved.path}; version "
        f"before: {saved.kept}"
    )
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


def _list(directory: Path, options: argparse.Namespace) -> ExitCode:
    listed = list_baselines(directory)
    if options.json:
        rows = [entry.model_dump(mode="json", exclude_none=True) for entry in listed]
        print(json.dumps(rows, indent=2, ensure_ascii=False))
    elif not listed:
        print(f"No baselines in {directory}; save one: utils/baseline_manager.py save RUN_DIR")
    else:
        print(_listing(listed))
    return _say_damaged([entry.problem for entry in listed if entry.problem])


def _listing(listed: list[ListedBaseline]) -> str:
    rows = [("PROFILE", "VERSION", "RUNS", "CASES", "NEWEST RUN", "MACHINE")]
    for entry in listed:
        if entry.problem:
            rows.append((entry.profile, "damaged", "-", "-", "-", "-"))
        else:
            newest = f"{entry.newest:%Y-%m-%d %H:%M}" if entry.newest else "-"
            rows.append(
                (entry.profile, str(entry.version), str(entry.runs), str(entry.cases), newest, entry.machine or "-")
            )
    return "\n".join(text_table(rows))


def _say_damaged(problems: list[str]) -> ExitCode:
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    return ExitCode.USAGE if problems else ExitCode.OK


def _delete(directory: Path, options: argparse.Namespace) -> ExitCode:
    profile = options.profile
    if not options.yes:
        if not sys.stdin.isatty():
            raise UserError(f"delete {profile}: there is no terminal to ask on; confirm with --yes")
        print(f"Delete the baseline {profile} in {directory}? Its file moves to history/. [y/N] ", end="", flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            print("Nothing was changed.")
            return ExitCode.OK
    print(f"Baseline {profile} deleted; its file is now {delete_baseline(directory, profile)}")
    return ExitCode.OK


# ---------------------------------------------------------------------------------------------------------------------
# Versions


def _history(directory: Path, options: argparse.Namespace) -> ExitCode:
    history = read_history(directory, options.profile)
    if options.json:
        print(json.dumps(history.model_dump(mode="json"), indent=2, ensure_ascii=False))
    else:
        rows = [("VERSION", "WRITTEN", "RUNS", "CASES", "NEWEST RUN", "WHY")]
        for one in history.versions:
            number = f"{one.version}{' (current)' if one.current else ''}"
            why = one.reason or "not recorded"
            rows.append((number, f"{one.created:%Y-%m-%d %H:%M}", str(one.runs), str(one.cases), one.newest_run, why))
        print("\n".join(text_table(rows)))
        if not any(one.current for one in history.versions):
            print(f"None of them is current; utils/baseline_manager.py rollback {options.profile} --to VERSION")
    return _say_damaged([one.problem for one in history.damaged])


def _rollback(directory: Path, options: argparse.Namespace) -> ExitCode:
    saved = roll_back(directory, options.profile, options.to)
    kept = f"; version before: {saved.kept}" if saved.kept else ""
    print(
        f"Baseline {options.profile}, version {saved.baseline.version}: holds what version {options.to} held: "
        f"{saved.path}{kept}"
    )
    return ExitCode.OK


def _diff(directory: Path, options: argparse.Namespace) -> ExitCode:
    diff = diff_versions(directory, options.profile, options.before, options.after)
    print(f"Baseline {options.profile}, version {diff.before.version} → version {diff.after.version}; + is better")
    if diff.after.reason:
        print(f"Version {diff.after.version}: {diff.after.reason}")
    for what, names in (
        ("runs that left", diff.runs_gone),
        ("runs that came", diff.runs_new),
        ("cases that left", diff.cases_gone),
        ("cases that came", diff.cases_new),
    ):
        if names:
            print(f"{what}: {', '.join(names)}")
    if diff.changes:
        rows = [("CASE", "METRIC", f"VERSION {diff.before.version}", f"VERSION {diff.after.version}", "CHANGE")]
        print("\n".join(text_table([*rows, *(_changed(change) for change in diff.changes)])))
    print(f"{diff.same} values are the same.")
    return ExitCode.OK


def _changed(change: Change) -> tuple[str, ...]:
    metric = METRICS[change.metric]
    figures = (number_format.fixed(metric, value) for value in (change.before, change.after))
    return (change.case, metric.heading, *figures, number_format.change(metric, change.percent))


# ---------------------------------------------------------------------------------------------------------------------
# One file


def _export(directory: Path, options: argparse.Namespace) -> ExitCode:
    exported = export_baseline(directory, options.profile)
    for problem in exported.left_out:
        print(f"warning: left out: {problem}", file=sys.stderr)
    if options.output is None:
        sys.stdout.write(exported.text)
        return ExitCode.OK
    store.write_text(options.output, exported.text)
    versions = f"{exported.versions} version" + ("" if exported.versions == 1 else "s")
    print(f"Baseline {options.profile} exported with {versions}: {options.output}")
    return ExitCode.OK


def _import(directory: Path, options: argparse.Namespace) -> ExitCode:
    done = import_baseline(options.file, directory, profile=options.profile)
    name = f"Baseline {done.baseline.profile}, version {done.baseline.version}"
    if done.versions:
        print(f"{name}: imported, {done.versions} version{'' if done.versions == 1 else 's'} came in")
    else:
        print(f"{name}: is what {options.file} holds; nothing was changed")
    if done.noise == "written":
        print("Its noise record was imported as well")
    if done.noise == "kept":
        print(f"The existing noise record is kept: {noise_path(directory, done.baseline.profile)}")
    return ExitCode.OK


if __name__ == "__main__":
    run_program(main)
