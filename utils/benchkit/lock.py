"""Only one run at a time measures on a machine, and only one goes over all profiles.

The shell opened the lock's file and keeps it open, so a lock lasts until that shell is gone, and none is left behind.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from dataclasses import dataclass

from benchkit.errors import UserError


@dataclass(frozen=True)
class Lock:
    """A lock: the descriptor on which the shell has its file, what it is refused with, and who opens it."""

    descriptor: int
    refusal: str
    opened_by: str

    def take(self, owner: int) -> None:
        """Take it for a process (by pid), which keeps the file.

        Raises:
            UserError: another process has it, or the descriptor is not open.
        """
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(f"{self.refusal}{self._holder()}: wait for it, or stop it") from error
        except OSError as error:
            raise UserError(
                f"the lock of descriptor {self.descriptor} cannot be taken: start this through {self.opened_by}"
            ) from error
        os.ftruncate(self.descriptor, 0)
        os.pwrite(self.descriptor, f"{owner}\n".encode(), 0)

    def _holder(self) -> str:
        """`` (pid 123)``; empty where its file does not say."""
        with contextlib.suppress(OSError, ValueError):
            return f" (pid {int(os.pread(self.descriptor, 32, 0))})"
        return ""


MEASURING = Lock(5, "another run measures on this machine", "run-configurable.sh")
"""Two runs would measure each other."""

ALL_PROFILES = Lock(6, "another run-all.sh is under way", "run-all.sh")
"""The runs of two of them would refuse each other, one by one."""
