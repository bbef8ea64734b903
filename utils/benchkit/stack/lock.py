"""Only one program at a time starts or stops a stack."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from benchkit.errors import UserError, os_reason
from benchkit.stack.interrupt import Interrupt
from benchkit.stack.state import PRIVATE_FILE, Place

_POLL_S = 0.1


@contextmanager
def locked(place: Place, *, timeout_s: float, interrupt: Interrupt, say: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock of a stack's directory, which exists; wait for who has it.

    The lock ends with its process, so none is ever left behind.

    Raises:
        UserError: it was not free in time, or a signal came.
    """
    try:
        descriptor = os.open(place.lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, PRIVATE_FILE)
    except OSError as error:
        raise UserError(f"{place.lock}: cannot be opened: {os_reason(error)}") from error
    try:
        deadline = time.monotonic() + timeout_s
        waited = False
        while not _try(descriptor):
            holder = os.pread(descriptor, 20, 0).decode().strip() or "unknown"
            if time.monotonic() > deadline:
                raise UserError(f"another start or stop of the stack (pid {holder}) did not end within {timeout_s:g} s")
            if not waited:
                say(f"another start or stop of the stack (pid {holder}) is under way: waiting for it")
                waited = True
            interrupt.check()
            time.sleep(_POLL_S)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
