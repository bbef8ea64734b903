"""The measuring side of a run, for utils/lib/load.sh, which starts and stops the processes.

The shell writes a line to standard input, the answer comes on standard output in fields that end with a NUL:

  open            ok REPORT N (ENGINE WORDS WORD...)*   true or false: reporting.generate; the N engines that may be
                                     used, each with the first words of its command
  installs        ok N (RELEASE SOURCE)...   several gateways: what has to be installed, one of both is empty
  plan            ok DIR             the run's directory; plan.json is in it
  next            run N | end        N load processes, whose arguments stand in .load/1.args … of the run's directory
                  restart            several gateways: all are to be started anew; then comes `restarted`
  done CODE...    ok                 the exit codes of the N processes
  restarted       ok
  close           ok                 the gateway's counts are read, what was made on it is removed

An answer that cannot be given is `fail CODE`, with the reason on standard error. Messages go there too.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
from pathlib import Path
from types import FrameType

from benchkit.errors import ExitCode, UserError, run_program
from benchkit.run.cpu_profile import CpuProfileSession
from benchkit.run.paired import PairedSession
from benchkit.run.session import RunProtocol, Session
from benchkit.settings import add_arguments


class _TerminatedError(BaseException):
    """The shell told this program to end; not to be mistaken for an error on the way."""


def _reply(fields: list[str]) -> None:
    if any("\0" in field for field in fields):
        raise UserError("an answer to the shell holds a NUL, so it would be read as another one")
    sys.stdout.write("".join(f"{field}\0" for field in fields))
    sys.stdout.flush()


def _answer(session: RunProtocol, line: str) -> list[str]:
    word, *rest = line.split()
    answers = {"open": session.open, "plan": session.plan, "next": session.next, "close": session.close}
    if isinstance(session, PairedSession):
        answers |= {"installs": session.installs, "restarted": session.restarted}
    if word == "done":
        return session.done([int(code) for code in rest])
    if word not in answers:
        raise ValueError(f"no such word: {word}")
    return answers[word]()


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
        signal.signal(signal.SIGTERM, self._terminate)
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda _number, _frame: None)

    def _terminate(self, _number: int, _frame: FrameType | None) -> None:
        if not self.is_ending:
            self.is_ending = True
            raise _TerminatedError


def main() -> ExitCode:
    """Answer the shell until it has nothing more to say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--command", default="", help="what the user typed, for run.json")
    parser.add_argument(
        "--dir-file", type=Path, default=os.devnull, metavar="FILE", help="takes the run's directory once there is one"
    )
    parser.add_argument("--owner", type=int, default=os.getppid(), help="pid of the shell that leads the run")
    parser.add_argument(
        "--variants-file", type=Path, metavar="FILE", help="several gateways: takes where each one lies"
    )
    parser.add_argument("--variant", action="append", default=[], metavar="LABEL=SPEC", help="one of several gateways")
    parser.add_argument(
        "--variant-env-file", type=Path, metavar="FILE", help="their settings: LABEL:KEY=VALUE and a NUL"
    )
    parser.add_argument(
        "--tune", metavar="SPEC", help="one gateway with each setting of paired.tune; empty: the usual one"
    )
    parser.add_argument("--cases", metavar="PATTERNS", help="several gateways: only cases like these (tools/list_*,…)")
    parser.add_argument("--name", default="paired", help="several gateways: how the directory's name begins")
    parser.add_argument("--sample", metavar="SCENARIO/NAME", help="sample the gateway while this case runs")
    parser.add_argument("--python-only", action="store_true", help="with --sample: without compiled code's frames")
    add_arguments(parser)
    arguments = parser.parse_args()
    session = _session(arguments)
    code = ExitCode.OK
    signals = _Signals()
    try:
        signals.install()
        code = _converse(session)
        signals.is_ending = True
    except _TerminatedError:
        code = ExitCode.TERMINATED
    with contextlib.suppress(UserError):
        session.restore()
    return code


def _session(arguments: argparse.Namespace) -> RunProtocol:
    if arguments.sample:
        return CpuProfileSession(arguments)
    return PairedSession(arguments) if arguments.variant or arguments.tune is not None else Session(arguments)


def _converse(session: RunProtocol) -> ExitCode:
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
