"""The measuring side of a run, for utils/lib/load.sh, which starts and stops the processes.

The shell writes a line to standard input, the answer comes on standard output in fields that end with a NUL:

  open            ok REPORT          true or false: reporting.generate
  plan            ok DIR             the run's directory; plan.json is in it
  next            run N (OUTPUT COUNT ARGUMENT...)... | end
  done CODE...    ok                 the exit codes of the N processes
  close           ok                 the gateway's counts are read, what was made on it is removed

An answer that cannot be given is `fail CODE`, with the reason on standard error. Messages go there too.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import shutil
import signal
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from benchkit.connection import Connection, connect
from benchkit.errors import ExitCode, UserError, os_reason, run_program
from benchkit.gateway.counters import ServerCounters
from benchkit.load.driver import Driver, Step, steps, write_bodies
from benchkit.load.plan import plan_cases, plan_differences
from benchkit.load.progress import Estimate, Progress
from benchkit.machine import describe_machine
from benchkit.model import Environment, ExecutionCount, Load, Plan, PlannedCase, Probe
from benchkit.settings import ROOT, Settings, add_arguments, from_arguments
from benchkit.store import save

LOCK_FD = 5
"""The shell opened the lock file on this descriptor and keeps it: the lock lasts until the shell is gone."""

_MAX_TOKEN_NEED_S = 900.0
"""Session tokens of the gateway live 20 minutes; no step can be promised a token for longer than this."""


class _TerminatedError(BaseException):
    """The shell told this program to end; not to be mistaken for an error on the way."""


class _Pace:
    """The steps that are left, what is shown of them, and how long they will take."""

    def __init__(self, plan: Plan, first: dict[str, Probe]) -> None:
        self._left = list(steps(plan))
        self._estimate = Estimate(plan, first)
        self._progress = Progress(len(self._left), plan.environment.load.iterations)
        self._step: Step | None = None
        self._started = 0.0

    @property
    def time_left(self) -> str:
        """The time for all steps that are left, in words."""
        return self._estimate.left(self._left)

    def next(self) -> tuple[Step, float] | None:
        """The next step and the most seconds it may take; ``None`` after the last."""
        if not self._left:
            return None
        time_left = self.time_left
        self._step = self._left.pop(0)
        longest = self._estimate.of(self._step)[1]
        self._progress.begin(self._step, longest, time_left)
        return self._step, longest

    def load_starts(self) -> None:
        """The step's processes are about to be started."""
        self._started = time.monotonic()

    def load_ended(self) -> None:
        """They ended: the time that they took is the best guess for the next round."""
        assert self._step is not None, "done before next"
        self._estimate.learn(self._step, time.monotonic() - self._started)
        self.hide()

    def hide(self) -> None:
        """Take the line of progress away."""
        self._progress.end()


class Session:
    """Answers the shell, one word at a time."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._arguments = arguments
        self._settings: Settings | None = None
        self._connection: Connection | None = None
        self._driver: Driver | None = None
        self._pace: _Pace | None = None
        self._dir = Path()
        self._counts_before: dict[str, ExecutionCount] | None = None

    def open(self) -> list[str]:
        """Check everything that can be checked before anything is started."""
        settings = self._settings = from_arguments(self._arguments)
        find_hey(settings)
        _take_lock(self._arguments.owner)
        _writable(settings.results_dir)
        return ["ok", "true" if settings.config.reporting.generate else "false"]

    def plan(self) -> list[str]:
        """Resolve the cases for this target, write plan.json, and say how long it will take."""
        settings = self._settings
        assert settings is not None, "plan before open"
        self._connection = connection = connect(settings)
        cases = plan_cases(settings, connection.routes, connection.catalogue)
        if all(case.skipped for case in cases):
            raise UserError(f"nothing can be measured here: {cases[0].id}: {cases[0].skipped}")
        self._dir = _new_run_dir(settings)
        # The shell marks a run that ends early, and it may end before this word is answered.
        self._arguments.dir_file.write_text(str(self._dir), encoding="utf-8")
        plan = write_bodies(self._plan(settings, connection, cases), self._dir)
        save(self._dir / "plan.json", plan)
        self._driver = Driver(
            plan,
            self._dir,
            hey=find_hey(settings),
            token=connection.token,
            counters=ServerCounters(),
            gateway_answers=connection.answers,
        )
        self._counts_before = connection.gateway_counts()
        self._pace = _Pace(plan, self._driver.first_probes())
        _announce(plan, self._pace.time_left)
        return ["ok", str(self._dir)]

    def next(self) -> list[str]:
        """The next step's processes; a step without any is closed here and the one after it answered."""
        assert self._driver is not None, "next before plan"
        assert self._pace is not None
        while (upcoming := self._pace.next()) is not None:
            step, longest = upcoming
            processes = self._driver.begin(step, min(2 * longest + 60, _MAX_TOKEN_NEED_S))
            if processes:
                self._pace.load_starts()
                fields = ["run", str(len(processes))]
                for process in processes:
                    fields += [str(process.output), str(len(process.argv)), *process.argv]
                return fields
            self._driver.end([])
            self._pace.hide()
        return ["end"]

    def done(self, codes: list[int]) -> list[str]:
        """Close the step whose processes ended with these codes."""
        assert self._driver is not None, "done before next"
        assert self._pace is not None
        self._pace.load_ended()
        self._driver.end(codes)
        return ["ok"]

    def close(self) -> list[str]:
        """Read what the gateway itself counted, and put it back as it was."""
        assert self._driver is not None, "close before plan"
        assert self._connection is not None
        assert self._settings is not None
        if self._counts_before is not None:
            wait_s = self._settings.config.performance.metrics_wait
            # A gateway that died meanwhile cannot tell; its cases are invalid by what was seen of them.
            with contextlib.suppress(UserError):
                counts = self._connection.settled_counts(self._counts_before, self._driver.sent, wait_s)
                save(self._dir / "raw" / "gateway_counts.json", counts)
        with contextlib.suppress(UserError):
            self.restore()
        return ["ok"]

    def restore(self) -> None:
        """Remove from the gateway what this run made on it."""
        connection, self._connection = self._connection, None
        if self._pace is not None:
            self._pace.hide()
        if connection is not None:
            connection.close()

    def _plan(self, settings: Settings, connection: Connection, cases: list[PlannedCase]) -> Plan:
        load = settings.config.performance
        return Plan(
            run_id=self._dir.name,
            created=datetime.now(UTC),
            environment=Environment(
                machine=describe_machine(find_hey(settings)),
                target=connection.target,
                load=Load(
                    profile=settings.profile,
                    requests=load.default_requests,
                    concurrency=load.default_concurrency,
                    timeout_s=load.default_timeout,
                    iterations=load.iterations,
                    warmup_requests=load.warmup_requests if load.warmup else 0,
                ),
            ),
            scenarios=settings.scenarios,
            command=self._arguments.command,
            max_error_rate=load.max_error_rate,
            cases=cases,
            differences=plan_differences(settings),
            warnings=connection.warnings,
        )


def find_hey(settings: Settings) -> str:
    """The load generator's path: as configured, on PATH, or where the set-up put it.

    Raises:
        UserError: it is nowhere.
    """
    name = settings.config.performance.hey_binary
    found = shutil.which(name) or (shutil.which(str(ROOT / ".tools" / "bin" / "hey")) if name == "hey" else None)
    if found is None:
        source = settings.sources.get("performance.hey_binary", "config.yaml")
        raise UserError(f"{source}: performance.hey_binary = {name!r}: there is no such program; run make setup")
    return found


def _take_lock(owner: int) -> None:
    """Refuse to measure while another run measures on this machine: both would measure each other."""
    try:
        fcntl.flock(LOCK_FD, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        with contextlib.suppress(OSError, ValueError):
            pid = int(os.pread(LOCK_FD, 32, 0))
            raise UserError(f"another run measures on this machine (pid {pid}): wait for it, or stop it") from error
        raise UserError("another run measures on this machine: wait for it, or stop it") from error
    except OSError as error:
        raise UserError("the lock of descriptor 5 cannot be taken: start this through run-configurable.sh") from error
    os.ftruncate(LOCK_FD, 0)
    os.pwrite(LOCK_FD, f"{owner}\n".encode(), 0)


def _writable(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        raise UserError(f"{directory}: results cannot be written there: {os_reason(error)}; set RESULTS_DIR") from error


def _new_run_dir(settings: Settings) -> Path:
    """A directory of its own for this run, named by profile and local time."""
    while True:
        path = settings.results_dir / f"{settings.profile}_{datetime.now():%Y-%m-%d-%H%M%S}"
        try:
            path.mkdir()
            (path / "raw").mkdir()
        except FileExistsError:
            time.sleep(0.2)
        except OSError as error:
            raise UserError(f"{path}: cannot be made: {os_reason(error)}") from error
        else:
            return path


def _announce(plan: Plan, time_left: str) -> None:
    target, load = plan.environment.target, plan.environment.load
    measured = [case for case in plan.cases if not case.skipped]
    _say(
        f"{plan.run_id}: {len(measured)} cases x {load.iterations} rounds, {load.requests} requests each at "
        f"{load.concurrency} concurrent, against {target.base_url} "
        f"(gateway {target.release or 'of unknown release'}, {target.database or 'unknown database'})"
    )
    for case in plan.cases:
        if case.skipped:
            _say(f"skipped: {case.id}: {case.skipped}")
    for warning in plan.warnings:
        _say(f"warning: {warning}")
    _say(f"this will take {time_left}")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _reply(fields: list[str]) -> None:
    sys.stdout.write("".join(f"{field}\0" for field in fields))
    sys.stdout.flush()


def _answer(session: Session, line: str) -> list[str]:
    word, *rest = line.split()
    match word:
        case "open":
            return session.open()
        case "plan":
            return session.plan()
        case "next":
            return session.next()
        case "done":
            return session.done([int(code) for code in rest])
        case "close":
            return session.close()
        case _:
            raise ValueError(f"no such word: {word}")


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    raise _TerminatedError


def main() -> ExitCode:
    """Answer the shell until it has nothing more to say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--command", default="", help="what the user typed, for run.json")
    parser.add_argument(
        "--dir-file", type=Path, default=os.devnull, metavar="FILE", help="takes the run's directory once there is one"
    )
    parser.add_argument("--owner", type=int, default=os.getppid(), help="pid that holds the lock")
    add_arguments(parser)
    session = Session(parser.parse_args())
    code = ExitCode.OK
    try:
        try:
            # Ctrl-C reaches every process of the terminal; the shell decides what that means, and says so with TERM.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, _terminate)
            code = _converse(session)
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
    except _TerminatedError:
        code = ExitCode.TERMINATED
    with contextlib.suppress(UserError):
        session.restore()
    return code


def _converse(session: Session) -> ExitCode:
    """Answer line by line, until the shell closes its end; the code is that of the last failure."""
    code = ExitCode.OK
    for line in sys.stdin:
        try:
            _reply(_answer(session, line))
        except UserError as error:
            print(f"error: {error}", file=sys.stderr, flush=True)
            code = error.exit_code
            _reply(["fail", str(int(code))])
    return code


if __name__ == "__main__":
    run_program(main)
