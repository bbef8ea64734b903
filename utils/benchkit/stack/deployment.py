"""The interface that starts, watches and stops a stack. Processes under a supervisor are its first form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from benchkit.identity import ProcessIdentity
from benchkit.model import ComponentKind
from benchkit.stack.interrupt import Interrupt
from benchkit.stack.state import ServerAccess, StackState
from benchkit.stack.topology import Topology

Say = Callable[[str], None]
"""Takes a line for the user."""


def _nothing(_: object) -> None:
    return


@dataclass(frozen=True)
class StartCallbacks:
    """Callbacks of a start or a stop: ``say`` takes lines for the user, ``interrupt`` knows of signals.

    ``progress`` takes the lines that only say how far the work is.
    ``began`` is called as soon as there is something that would have to be stopped. ``complete`` is called in a thread
    when all programs are ready, and belongs to the start: when it fails, or a signal comes meanwhile, all is stopped.
    ``owner`` is the run that stops what is started here; absent where that is left to the user.
    """

    say: Say
    interrupt: Interrupt
    progress: Say = _nothing
    began: Callable[[StackState], None] = _nothing
    complete: Callable[[StackState], None] = _nothing
    owner: ProcessIdentity | None = None


@dataclass(frozen=True)
class ProgramStatus:
    """One program of a stack. ``state`` is a word for the user; ``pid`` is 0 when the program does not run.

    ``port`` is absent where the program listens on a Unix socket.
    """

    name: str
    state: str
    pid: int
    uptime_s: int
    exit_status: int
    kind: ComponentKind = "server"
    port: int | None = None

    @property
    def runs(self) -> bool:
        """Is there a process?"""
        return self.pid != 0

    @property
    def has_ended(self) -> bool:
        """Was it started, and has ended?"""
        return self.state in ("EXITED", "FATAL", "UNKNOWN")


class Deployment(Protocol):
    """The stack of one directory. The caller holds the directory's lock during :meth:`start` and :meth:`stop`."""

    @property
    def has_redis(self) -> bool:
        """Can a Redis server be started?"""

    def start(
        self, topology: Topology, callbacks: StartCallbacks, *, timeout_s: float, shared_servers: Sequence[ServerAccess]
    ) -> StackState:
        """Start a topology and wait until all of it is ready. ``stack.json`` is written before the first program.

        Args:
            topology: what to start; its ports are free.
            callbacks: hear what is waited for.
            timeout_s: how long the programs may take until they are ready.
            shared_servers: servers of another stack, for a gateway that has none of its own.

        Raises:
            UserError: this form cannot start the topology, something is not installed or did not get ready in time, or
                a signal came. Everything that was started is stopped again.
        """

    def statuses(self, state: StackState) -> list[ProgramStatus]:
        """The programs of a running stack, in the order of their names.

        Raises:
            UserError: what runs them does not answer.
        """

    def log_command(self, name: str | None, *, lines: int, follow: bool) -> list[str]:
        """The command that prints the last lines of all logs, or of one program's, and then what ``follow``s.

        Raises:
            UserError: there is no such log.
        """

    def stop(self, state: StackState) -> None:
        """Stop the stack of ``state``, or what is left of it, and remove ``stack.json``.

        Raises:
            UserError: something could not be stopped; ``stack.json`` stays.
        """
