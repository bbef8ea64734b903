"""Identify a process across time: pids are reused, after a while or after a reboot."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import psutil

from benchkit.model import Model

_SAME_START_S = 0.05
"""Largest difference between two readings of one process's start time, in seconds."""

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class ProcessIdentity(Model):
    """One process of one boot of one machine.

    ``started``: see :func:`start_time`. ``boot``: see :func:`boot_id`; empty in documents of earlier versions.
    """

    pid: int
    started: float
    boot: str = ""
    host: str = ""

    @classmethod
    def of(cls, pid: int) -> ProcessIdentity:
        """Return the process that has this pid now; ``started`` is 0 if it has ended already."""
        return cls(pid=pid, started=start_time(pid) or 0.0, boot=boot_id(), host=socket.gethostname())

    @property
    def is_of_this_boot(self) -> bool:
        """Return whether the machine has not rebooted since. True if the document does not say."""
        return self.boot in ("", boot_id())

    @property
    def is_of_this_host(self) -> bool:
        """Return whether it belongs to the machine or container of this name. True if the document does not say."""
        return self.host in ("", socket.gethostname())

    @property
    def is_alive(self) -> bool:
        """Return whether it still runs on this machine; false for another process that got its pid."""
        return self.is_of_this_boot and is_same(self.pid, self.started)

    @property
    def is_gone(self) -> bool:
        """Return whether it has certainly ended. False for another machine's process, which may still run."""
        return self.is_of_this_host and not self.is_alive


def boot_id() -> str:
    """Return an id of the current boot of this machine."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        # Rounded to minutes: on some systems it shifts by a second when the clock is set.
        return str(round(psutil.boot_time() / 60))


def start_time(pid: int) -> float | None:
    """Return when a process started; ``None`` if it does not exist or is a zombie.

    Use it only to tell processes with the same pid apart. On Linux it is seconds since boot, because the time since the
    epoch is derived from the clock there and moves with it; elsewhere it is seconds since the epoch.
    """
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return since_boot(process)
    except (psutil.Error, ValueError, OverflowError):
        return None


def since_boot(process: psutil.Process) -> float:
    """Return a process's start time as :func:`start_time`; raises :class:`psutil.Error` if the process is gone."""
    return float(process.create_time()) - (psutil.boot_time() if psutil.LINUX else 0.0)


def is_same(pid: int, started: float) -> bool:
    """Return whether the process with this pid is still the one that started then, and not a reused pid."""
    now = start_time(pid)
    return now is not None and abs(now - started) < _SAME_START_S


def started_before(process: psutil.Process, started: float) -> bool:
    """Return whether a process started before that time, and so cannot be a child of a process started then."""
    return since_boot(process) < started - _SAME_START_S


def is_mine(path: Path) -> bool:
    """Return whether a file or directory belongs to this user; a link is checked itself, not its target."""
    try:
        return path.lstat().st_uid == os.geteuid()
    except OSError:
        return False
