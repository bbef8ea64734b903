#!/usr/bin/env -S python3 -Es
"""Remove the toolkit's output, after asking.

  clean.py results      all runs in RESULTS_DIR (reporting.output_dir), with their list
  clean.py baselines    all baselines in BASELINES_DIR (baselines.storage_dir), with their history
  clean.py stack        stop the local stack, and remove its directory (.stack, PERF_STACK_DIR)

Only output that carries the toolkit's marks is removed: a run's directory by its name and the plan in it, a baseline by
its name and the profile in it. Everything else in these directories is kept, and so is a run that is in progress.

exit: 0 done, or there was nothing to remove; 2 usage, or the question was not answered with yes; 130, 143 interrupted
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from benchkit.errors import ExitCode, UserError, os_reason, run_program
from benchkit.run.cleaning import Findings, find_baselines, find_runs, remove
from benchkit.settings import load_settings
from benchkit.stack.deployment import StartCallbacks
from benchkit.stack.interrupt import Interrupt
from benchkit.stack.lifecycle import down
from benchkit.stack.state import default_paths, variant_places

_SHOWN = 5


def main() -> ExitCode:
    """Find, show, ask, remove."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["results", "baselines", "stack"])
    parser.add_argument("--yes", action="store_true", help="do not ask")
    options = parser.parse_args()
    if options.what == "stack":
        _clean_stack(yes=options.yes)
        return ExitCode.OK
    settings = load_settings()
    if options.what == "results":
        _clean(settings.results_dir, find_runs(settings.results_dir), "run", yes=options.yes)
    else:
        directory = settings.baselines_dir
        _clean(directory, find_baselines(directory), "baseline", yes=options.yes)
    return ExitCode.OK


def _clean(directory: Path, found: Findings, noun: str, *, yes: bool) -> None:
    for line in found.kept:
        _say(f"kept: {line}")
    if not found.things and not found.extras:
        _say(f"{directory}: there is nothing to remove")
        return
    count = f"{len(found.things)} {noun}{'' if len(found.things) == 1 else 's'}"
    names = [path.name for path in found.things] or [path.name for path in found.extras]
    _say(f"{directory}: {', '.join(names[:_SHOWN])}{' …' if len(names) > _SHOWN else ''}")
    _ask(f"Remove {count} from {directory}?", yes=yes)
    remove(found, directory)
    _say(f"{count} removed from {directory}")


def _clean_stack(*, yes: bool) -> None:
    place = default_paths()
    if not place.root.exists():
        _say(f"{place.root}: there is nothing to remove")
        return
    if not place.is_ours:
        raise UserError(f"{place.root}: was not made by this toolkit, so it is not removed; see PERF_STACK_DIR")
    _ask(f"Stop the stack in {place.root}, and remove its databases and logs?", yes=yes)
    callbacks = StartCallbacks(say=_say, progress=_say, interrupt=Interrupt().watch())
    for each in [place, *variant_places(place)]:
        down(each, callbacks)
    try:
        shutil.rmtree(place.root)
    except OSError as error:
        raise UserError(f"{error.filename or place.root}: cannot be removed: {os_reason(error)}") from error
    _say(f"{place.root} removed")


def _ask(question: str, *, yes: bool) -> None:
    """Return if the answer is yes; raise :class:`UserError` if it is not, or there is no terminal to ask on."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise UserError(
            f"{question} There is no terminal to ask on: confirm with make … FORCE=1, or --yes; nothing was removed"
        )
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise UserError("nothing was removed")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    run_program(main)
