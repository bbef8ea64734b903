"""Only one program at a time starts or stops a stack."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from benchkit.lock import locked_file
from benchkit.stack.interrupt import Interrupt
from benchkit.stack.state import StackPaths


@contextmanager
def locked(place: StackPaths, *, timeout_s: float, interrupt: Interrupt, say: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock of a stack's directory, which exists; wait for who has it.

    Raises:
        UserError: it cannot be opened, was not free in time, or a signal came.
    """
    told: set[str] = set()

    def wait(holder: str) -> None:
        if not told:
            say(f"another start or stop of the stack (pid {holder}) is under way: waiting for it")
            told.add(holder)
        interrupt.check()

    def late(holder: str) -> str:
        return f"another start or stop of the stack (pid {holder}) did not end within {timeout_s:g} s"

    with locked_file(place.lock, timeout_s=timeout_s, late=late, wait=wait):
        yield
