"""The interface to start, inspect and stop a stack. Processes under a supervisor are its first implementation."""

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
"""Prints a line for the user."""


def _nothing(_: object) -> None:
    return


@dataclass(frozen=True)
class StartCallbacks:
    """Callbacks of a start or a stop: ``say`` prints lines for the user, ``interrupt`` remembers signals.

    ``progress`` prints lines that only report progress. ``began`` is called as soon as there is something that would
    have to be stopped. ``complete`` is called in a thread when all programs are ready, and is part of the start: if it
    fails, or a signal arrives meanwhile, everything is stopped. ``owner`` is the run that stops the stack; ``None`` if
    the user does that.
    """

    say: Say
    interrupt: Interrupt
    progress: Say = _nothing
    began: Callable[[StackState], None] = _nothing
    complete: Callable[[StackState], None] = _nothing
    owner: ProcessIdentity | None = None


@dataclass(frozen=True)
class ProgramStatus:
    """One program of a stack. ``state`` is a word for the user; ``pid`` is 0 if the program does not run.

    ``port`` is ``None`` if the program listens on a Unix socket.
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
        """Whether the process exists."""
        return self.pid != 0

    @property
    def has_ended(self) -> bool:
        """Whether it was started and has ended."""
        return self.state in ("EXITED", "FATAL", "UNKNOWN")


class Deployment(Protocol):
    """The stack of one directory. The caller holds the directory's lock in :meth:`start` and :meth:`stop`."""

    @property
    def has_redis(self) -> bool:
        """Whether a Redis server can be started."""

    def start(
        self, topology: Topology, callbacks: StartCallbacks, *, timeout_s: float, shared_servers: Sequence[ServerAccess]
    ) -> StackState:
        """Start a topology and wait until all of it is ready. ``stack.json`` is written before the first program.

        Args:
            topology: what to start; its ports are free.
            callbacks: receive progress, see :class:`StartCallbacks`.
            timeout_s: maximum time until the programs are ready.
            shared_servers: servers of another stack, for a gateway without servers of its own.

        Raises:
            UserError: the topology is not supported, something is not installed or was not ready in time, or a signal
                arrived. Everything that was started is stopped again.
        """

    def statuses(self, state: StackState) -> list[ProgramStatus]:
        """Return the programs of a running stack, sorted by name.

        Raises:
            UserError: the supervisor does not answer.
        """

    def log_command(self, name: str | None, *, lines: int, follow: bool) -> list[str]:
        """Return the command that prints the last lines of all logs or of one program's; ``follow``: keep printing.

        Raises:
            UserError: there is no such log.
        """

    def stop(self, state: StackState) -> None:
        """Stop the stack of ``state``, or the rest of it, and remove ``stack.json``.

        Raises:
            UserError: something could not be stopped; ``stack.json`` is kept.
        """
