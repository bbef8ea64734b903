"""The deciding side of a run, for utils/lib/runner.sh, which starts and stops the processes.

It reads the runner's command line (benchkit/run/options.py), checks it, and says on standard output

  ok REPORT N FIELD...           whether HTML is written, and the load generators' programs

Then it answers every line `next CODE...` with the run's next step (benchkit/run/steps.py; runner.sh lists them). All
answers are fields that end with a NUL. `fail CODE` says that the run cannot go on, with the reason on standard error.
Messages go there too. TERM, and the end of standard input, end it: what was made on a gateway is removed.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from benchkit.errors import ExitCode, UserError, raise_again, run_program
from benchkit.run.command import typed_command
from benchkit.run.cpu_profile import CpuProfileSession
from benchkit.run.options import check, parser_for
from benchkit.run.paired import PairedSession
from benchkit.run.profile_sweep_session import ProfileSweep
from benchkit.run.repeat import RepeatedRuns
from benchkit.run.session import RunSession, Session, Shell, engine_fields, wants_report
from benchkit.run.steps import Step, StepFailedError

_KINDS: dict[str, Callable[[argparse.Namespace, Shell], Session]] = {
    "run": RunSession,
    "scenario": RunSession,
    "paired": PairedSession,
    "cpu-profile": CpuProfileSession,
    "profile-sweep": ProfileSweep,
    "repeat": RepeatedRuns,
}


class _TerminatedError(BaseException):
    """The shell told this program to end; not to be mistaken for an error on the way."""


def _reply(fields: list[str]) -> None:
    if any("\0" in field for field in fields):
        raise UserError("an answer to the shell holds a NUL, so it would be read as another one")
    sys.stdout.write("".join(f"{field}\0" for field in fields))
    sys.stdout.flush()


class _Signals:
    """What signals do to this program, from :meth:`install` on.

    The handlers stay what they are until the end: a signal that arrives while one is replaced by ``SIG_IGN`` makes
    Python print a traceback (``Signal 15 ignored due to race condition``).
    """

    def __init__(self) -> None:
        self.is_ending = False

    def install(self) -> None:
        """Let TERM raise :class:`_TerminatedError`, once at the most and only until :attr:`is_ending`.

        Ctrl-C, and the end of a terminal, reach every process of it; the shell decides what that means, and says so
        with TERM. What was made on a gateway is then removed.
        """
        raise_again(_TerminatedError, self._was_dropped)
        signal.signal(signal.SIGTERM, self._terminate)
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda _number, _frame: None)

    def _was_dropped(self) -> None:
        self.is_ending = False

    def _terminate(self, _number: int, _frame: FrameType | None) -> None:
        if not self.is_ending:
            self.is_ending = True
            raise _TerminatedError


def main() -> ExitCode:
    """Answer the shell until it has nothing more to ask."""
    arguments = _arguments()
    parser = parser_for(arguments.kind, arguments.program)
    options = parser.parse_args(arguments.words)
    check(arguments.kind, parser, options)
    command = typed_command(arguments.program, arguments.words)
    shell = Shell(arguments.shell, arguments.tmp, arguments.dir_file, command)
    session: Session = _KINDS[arguments.kind.partition("/")[0]](options, shell)
    code = ExitCode.OK
    signals = _Signals()
    try:
        signals.install()
        settings = session.open()
        engines = engine_fields(settings)
        report = "true" if wants_report(settings, options) else "false"
        _reply(["ok", report, str(len(engines)), *engines])
        code = _converse(session)
        signals.is_ending = True
    except _TerminatedError:
        code = ExitCode.TERMINATED
    with contextlib.suppress(UserError):
        session.restore()
    return code


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", help="what kind of run; see benchkit/run/options.py")
    parser.add_argument("--program", required=True, help="the runner, as it was called")
    parser.add_argument("--shell", required=True, type=int, metavar="PID", help="the shell that leads the run")
    parser.add_argument("--tmp", required=True, type=Path, metavar="DIR", help="the shell's temporary directory")
    parser.add_argument("--dir-file", type=Path, metavar="FILE", help="takes the run's directory once there is one")
    parser.epilog = "The runner's own arguments stand after --."
    split = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    arguments = parser.parse_args(sys.argv[1:split])
    arguments.words = sys.argv[split + 1 :]
    return arguments


def _converse(session: Session) -> ExitCode:
    """Answer line by line, until the shell closes its end or the run is over."""
    steps = session.steps()
    codes: list[int] | None = None
    for line in sys.stdin:
        if codes is not None:
            codes = [int(word) for word in line.split()[1:]]
        answer: Step
        try:
            answer = next(steps) if codes is None else steps.send(codes)
            fields = answer.fields()
        except StopIteration as stop:
            _reply(stop.value.fields())
            return ExitCode.OK
        except StepFailedError as failure:
            _reply(["fail", str(failure.code)])
            return ExitCode.OK
        except UserError as error:
            print(f"error: {error}", file=sys.stderr, flush=True)
            _reply(["fail", str(int(error.exit_code))])
            return error.exit_code
        codes = []
        _reply(fields)
    return ExitCode.OK


if __name__ == "__main__":
    run_program(main)
