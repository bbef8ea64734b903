#!/usr/bin/env -S python3 -Es
"""The state of a run over several profiles, for run-all.sh, which starts the runs.

  begin PROFILES        check the settings of each profile, make results/all_…/all.json, say how long it will take
  resume [DIR]          the same for one that was begun (default: the newest that is not complete)
  next DIR              prints the next profile and its flags, each ended by a NUL; nothing when all are done
  done DIR CODE         the profile that runs ended with this code
  stop DIR CODE         the whole is cut short with this code
  end DIR               all are done: prints the summary, the sentence first

begin and resume print the directory. DIR/running takes the directory of the profile's run once there is one. Flags
that every run gets are those of the runners; nobody but run-all.sh needs to call this.

exit: 0 done; 2 usage, configuration, or nothing to resume; of end: that of the whole run
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from benchkit import store
from benchkit.errors import ExitCode, UserError, os_reason, run_program
from benchkit.lock import take_machine
from benchkit.model import AllRuns, ProfileState
from benchkit.plain import printable
from benchkit.run.owner import write_owner
from benchkit.run.profile_sweep import (
    DOCUMENT,
    RUNNING,
    WHAT,
    begun,
    documents_of,
    ended,
    expected,
    finished,
    next_profile,
    planned,
    resumed,
    running,
    span,
    summary_lines,
    with_running,
)
from benchkit.settings import FLAGS, Settings, add_arguments, load_settings
from benchkit.verdict.stored_runs import read_history


def main() -> ExitCode:
    """Do what the command line says."""
    options = _parser().parse_args()
    match options.command:
        case "begin":
            take_machine()
            _begin(options.profiles.split(","), _given(options), options.owner)
        case "resume":
            take_machine()
            _resume(options.directory, options.profiles, _given(options), options.owner)
        case "next":
            _next(options.directory)
        case "done":
            _done(options.directory, options.code)
        case "stop":
            _stop(options.directory, options.code)
        case _:
            return _end(options.directory)
    return ExitCode.OK


def _begin(profiles: list[str], given: Mapping[str, str], owner: int) -> None:
    given = {"--scenarios": os.environ.get("SCENARIOS") or os.environ.get("PERF_SCENARIOS") or "all", **given}
    settings = _settings([name.strip() for name in profiles if name.strip()], given)
    parts = planned(settings)
    results = settings[0].results_dir
    directory = _new_directory(results)
    write_owner(directory, owner)
    options = {flag: value for flag, value in given.items() if flag != "--results-dir"}
    document = AllRuns(run_id=directory.name, started=datetime.now(UTC), options=options, profiles=parts)
    _save(directory, document)
    _announce(document, settings, results)
    print(directory)


def _resume(given_dir: Path | None, profiles: str | None, given: Mapping[str, str], owner: int) -> None:
    results = load_settings(flags=_only(given, "--results-dir")).results_dir
    directory = (_found(given_dir, results) if given_dir else _newest(results)).resolve()
    if "--results-dir" in given and results.resolve() != directory.parent:
        raise UserError(f"--results-dir {given['--results-dir']}: {directory} does not lie there; leave it out")
    document = _load(directory)
    asked = {flag: value for flag, value in given.items() if flag != "--results-dir"}
    if profiles is not None:
        asked["--profiles"] = ",".join(name.strip() for name in profiles.split(",") if name.strip())
    # What is asked for otherwise is told before what the settings say of it.
    flags = {**document.options, "--results-dir": str(directory.parent)}
    settings = _settings([one.profile for one in document.profiles], flags)
    cut = [one.profile for one in document.profiles if one.state in (ProfileState.RUNNING, ProfileState.INTERRUPTED)]
    document = resumed(with_running(document, directory), directory, asked, planned(settings))
    _save(directory, document)
    write_owner(directory, owner)
    _clear(directory)
    for name in cut:
        _say(f"{name} was cut short: it is measured again as a whole, what was measured of it is kept")
    _announce(document, settings, directory.parent)
    print(directory)


def _next(directory: Path) -> None:
    document = _load(directory)
    following = next_profile(document)
    if following is None:
        return
    _clear(directory)
    _save(directory, begun(document, following.profile, datetime.now(UTC)))
    number = 1 + document.profiles.index(following)
    _say(f"{document.run_id}: profile {number} of {len(document.profiles)}: {following.profile}")
    fields = [following.profile, "--profile", following.profile, "--results-dir", str(directory.parent)]
    for flag, value in document.options.items():
        fields += [flag, value]
    sys.stdout.write("".join(f"{field}\0" for field in fields))


def _done(directory: Path, code: int) -> None:
    document = _load(directory)
    for one in document.profiles:
        if one.state is ProfileState.RUNNING:
            document = ended(document, one.profile, datetime.now(UTC), code, running(directory))
    _save(directory, document)
    _clear(directory)


def _stop(directory: Path, code: int) -> None:
    _done(directory, code)
    document = finished(_load(directory), datetime.now(UTC), code)
    _save(directory, document)
    print(document.reason)


def _end(directory: Path) -> ExitCode:
    document = finished(_load(directory), datetime.now(UTC))
    _save(directory, document)
    print("\n".join(summary_lines(document, [documents_of(directory.parent, one) for one in document.profiles])))
    assert document.exit_code is not None, "it is finished"
    return ExitCode(document.exit_code)


def _announce(document: AllRuns, settings: list[Settings], results: Path) -> None:
    """Say what will be measured and how long that takes, before anything is started."""
    history = read_history(results)
    history.close()
    left = [
        (one, expected(ours, history.runs))
        for one, ours in zip(document.profiles, settings, strict=True)
        if one.state is not ProfileState.DONE
    ]
    _say(f"{document.run_id}: {', '.join(one.profile for one, _ in left)}; scenarios {', '.join(left[0][0].scenarios)}")
    for one, time_it_takes in left:
        _say(f"  {one.profile:<10} {time_it_takes!s:<18} ({time_it_takes.source})")
    low, high = sum(each.low_s for _, each in left), sum(each.high_s for _, each in left)
    _say(f"this will take {span(low, high)}")


def _settings(profiles: list[str], flags: Mapping[str, str]) -> list[Settings]:
    if not profiles:
        raise UserError("--profiles: names no profile; give them like light,medium")
    return [load_settings(flags=flags, profile=name) for name in profiles]


def _given(options: argparse.Namespace) -> dict[str, str]:
    """The flags of the command line that are there."""
    values = {flag: getattr(options, flag.removeprefix("--").replace("-", "_")) for flag in FLAGS}
    return {flag: value for flag, value in values.items() if value is not None}


def _only(flags: Mapping[str, str], name: str) -> dict[str, str]:
    return {flag: value for flag, value in flags.items() if flag == name}


def _new_directory(results: Path) -> Path:
    while True:
        path = results / f"all_{datetime.now():%Y-%m-%d-%H%M%S}"
        try:
            results.mkdir(parents=True, exist_ok=True)
            path.mkdir()
        except FileExistsError:
            time.sleep(0.2)
        except OSError as error:
            raise UserError(f"{path}: cannot be made: {os_reason(error)}; set RESULTS_DIR") from error
        else:
            return path.resolve()


def _found(given: Path, results: Path) -> Path:
    """The directory that was named: a path, or a name below the results' directory."""
    for path in (given, results / given):
        if (path / DOCUMENT).exists():
            return path
    raise UserError(f"--resume {given}: there is no {DOCUMENT} in it; give a directory like {results}/all_…")


def _newest(results: Path) -> Path:
    """The newest one that is not complete."""
    for path in sorted(results.glob(f"all_*/{DOCUMENT}"), reverse=True):
        if not store.load(path, AllRuns, WHAT).is_complete:
            return path.parent
    raise UserError(f"{results}: nothing to resume: it holds no run over all profiles that is not complete")


def _clear(directory: Path) -> None:
    (directory / RUNNING).unlink(missing_ok=True)


def _load(directory: Path) -> AllRuns:
    return store.load(directory / DOCUMENT, AllRuns, WHAT)


def _save(directory: Path, document: AllRuns) -> None:
    store.save(directory / DOCUMENT, document)


def _say(text: str) -> None:
    print(printable(text), file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in ("begin", "resume"):
        command = commands.add_parser(name)
        command.add_argument("--owner", type=int, default=os.getppid(), help="pid of the shell that leads the run")
        add_arguments(command)
        if name == "begin":
            command.add_argument("profiles", metavar="NAME,NAME")
        else:
            command.add_argument("--profiles", metavar="NAME,NAME")
            command.add_argument("directory", type=Path, nargs="?", metavar="DIR")
    for name in ("next", "done", "stop", "end"):
        command = commands.add_parser(name)
        command.add_argument("directory", type=Path, metavar="DIR")
        if name in ("done", "stop"):
            command.add_argument("code", type=int, metavar="CODE")
    return parser


if __name__ == "__main__":
    run_program(main)
