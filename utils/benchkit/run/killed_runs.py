"""Write the final document of a run that was interrupted or killed.

The run's own shell does it. If that shell was killed, the next command does.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import psutil

from benchkit.errors import ExitCode, UserError
from benchkit.identity import is_mine
from benchkit.load.collect import Collected, collect
from benchkit.load.summary import scenario_summary, summary_name
from benchkit.model import Plan, Run
from benchkit.run import fixtures_record, owner
from benchkit.run.profile_report import write_profile
from benchkit.run.profile_sweep import DOCUMENT, stop_sweep
from benchkit.store import load, save, write_text

RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*_\d{4}-\d{2}-\d{2}-\d{6}")
"""Names of run directories: KIND_YYYY-MM-DD-HHMMSS."""

_STAMP = len("YYYY-MM-DD-HHMMSS")
_LITTER = ".*.tmp"
"""Temporary files left behind by an interrupted write."""

_TEMPORARY = re.compile(r"perf_test\.(\d+)\.\w+")
"""A run shell's temporary directory; the group is the shell's pid. See runner::make_tmp in utils/lib/runner.sh."""

_KILLED = "killed; what was measured is kept and marked"


def write_run(run_dir: Path, interrupted: int | None = None, reason: str = "") -> Collected:
    """Collect a run, write ``run.json`` and the summaries, and point ``latest`` to the run.

    Args:
        run_dir: as for :func:`collect`.
        interrupted: as for :func:`collect`.
        reason: why the run was interrupted, in words, where the exit code does not say.

    Raises:
        UserError: as :func:`collect`; also when a file cannot be written.
    """
    collected = collect(run_dir, interrupted)
    for scenario in collected.run.scenarios:
        text = scenario_summary(collected.run, scenario, collected.details)
        write_text(run_dir / summary_name(collected.run, scenario), text)
    run: Run = collected.run.model_copy(update={"exit_reason": reason}) if reason else collected.run
    save(run_dir / "run.json", run)
    if run.variant is None:
        # A variant's directory is inside that of its comparison, and "latest" points to the comparison.
        point_latest(run_dir)
    return collected


def cut_short(directory: Path, code: int, reason: str = "") -> str:
    """Write the final document of a run that ended early: run.json (one per variant), profile.json or all.json.

    Args:
        directory: of the run; no living process may own it.
        code: the exit code that the run ended with.
        reason: why it ended, in words, where the code does not say.

    Returns:
        What is kept, in words. Empty if nothing was planned yet; then the directory is removed.

    Raises:
        UserError: as :func:`write_run`.
    """
    if (directory / DOCUMENT).exists():
        return f"{stop_sweep(directory, code).reason}; ./run-all.sh --resume goes on"
    variants = [directory, *sorted(path for path in directory.iterdir() if path.is_dir() and not path.is_symlink())]
    planned = [variant for variant in variants if (variant / "plan.json").is_file()]
    if not planned:
        if RUN_NAME.fullmatch(directory.name):
            _remove_empty(directory)
        return ""
    for path in directory.rglob(_LITTER):
        path.unlink(missing_ok=True)
    for variant in planned:
        if load(variant / "plan.json", Plan, "plan").is_cpu_profile:
            write_profile(variant, code)
            return "interrupted; what was sampled is kept and marked"
        write_run(variant, code, reason)
    return "interrupted; what was measured is kept and marked"


def _remove_empty(directory: Path) -> None:
    """Remove a run's directory that was only just created. Any other content is kept, and the directory with it."""
    for path in (directory / owner.DOCUMENT, *directory.glob(_LITTER)):
        path.unlink(missing_ok=True)
    if (directory / fixtures_record.DOCUMENT).exists():
        return
    for made in [*sorted(directory.glob("*/raw")), *sorted(directory.glob("*")), directory]:
        with contextlib.suppress(OSError):
            made.rmdir()


def point_latest(run_dir: Path) -> None:
    """Point the ``latest`` link next to a run to that run, unless it points to a newer one.

    A path of that name that is not a link is left alone. Failing to create the link is not an error.
    """
    run_dir = run_dir.resolve()
    link = run_dir.parent / "latest"
    if link.is_symlink() and link.exists() and link.resolve().name[-_STAMP:] > run_dir.name[-_STAMP:]:
        return
    new = run_dir.parent / f".latest.{os.getpid()}"
    with contextlib.suppress(OSError):
        new.symlink_to(run_dir.name)
        try:
            new.replace(link)
        finally:
            new.unlink(missing_ok=True)


def end_killed_runs(results: Path, say: Callable[[str], None]) -> None:
    """Write the final document of every run whose shell was killed, and report what it left on gateways.

    A run is skipped if its owner is alive or unknown.
    """
    sweep_temporary()
    for path in sorted(results.glob(f"*/{owner.DOCUMENT}")):
        directory = path.parent
        if not RUN_NAME.fullmatch(directory.name) or directory.is_symlink() or not is_mine(directory):
            continue
        if _has_last_word(directory) or not owner.is_abandoned(directory):
            continue
        try:
            marked = cut_short(directory, ExitCode.TERMINATED, _KILLED)
        except (UserError, OSError) as error:
            say(f"warning: {directory.name} was killed, and what it left cannot be read: {error}")
        else:
            say(f"{directory.name} was killed: " + ("marked as interrupted" if marked else "nothing was measured yet"))
    for orphan in fixtures_record.orphans(results):
        say(f"warning: {orphan}")


def _has_last_word(directory: Path) -> bool:
    """Return whether each plan in a directory has its final document. A run over several profiles has its own."""
    if (directory / DOCUMENT).exists():
        return True
    plans = [*directory.glob("plan.json"), *directory.glob("*/plan.json")]
    last = ("run.json", "profile.json")
    return bool(plans) and all(any(plan.with_name(name).exists() for name in last) for plan in plans)


def sweep_temporary() -> None:
    """Remove the temporary directories of killed shells; they hold pipes and at most a few arguments."""
    for path in Path(tempfile.gettempdir()).glob("perf_test.*"):
        match = _TEMPORARY.fullmatch(path.name)
        if match is None or path.is_symlink() or not path.is_dir() or not is_mine(path):
            continue
        if not _is_of_running(int(match.group(1)), path):
            shutil.rmtree(path, ignore_errors=True)


def _is_of_running(pid: int, path: Path) -> bool:
    """Return whether the process that made a directory still runs: it has this pid and started before the directory."""
    try:
        return float(psutil.Process(pid).create_time()) <= path.stat().st_ctime + 1.0
    except (psutil.Error, ValueError, OverflowError):
        return False
    except OSError:
        return True
