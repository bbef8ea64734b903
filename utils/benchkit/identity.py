"""Which process this is: a pid alone is given again, after a while or after a restart of the machine."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import psutil

from benchkit.model import Model

_SAME_START_S = 0.05
"""Two readings of one process's start time differ by less than this."""

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class ProcessIdentity(Model):
    """One process of one start of one machine.

    ``started``: see :func:`start_time`. ``boot``: see :func:`boot_id`; empty in documents of earlier versions.
    """

    pid: int
    started: float
    boot: str = ""
    host: str = ""

    @classmethod
    def of(cls, pid: int) -> ProcessIdentity:
        """The process that has this pid now. One that has ended already never started at 0."""
        return cls(pid=pid, started=start_time(pid) or 0.0, boot=boot_id(), host=socket.gethostname())

    @property
    def is_of_this_boot(self) -> bool:
        """Whether the machine runs since then. True where the document does not say."""
        return self.boot in ("", boot_id())

    @property
    def is_of_this_host(self) -> bool:
        """Whether it runs, or ran, on the machine or container of this name. True where the document does not say."""
        return self.host in ("", socket.gethostname())

    @property
    def is_alive(self) -> bool:
        """Whether it still runs on this machine; false for another process that got its pid."""
        return self.is_of_this_boot and is_same(self.pid, self.started)

    @property
    def is_gone(self) -> bool:
        """Whether it has certainly ended. A process of another machine may run on, so it is not gone."""
        return self.is_of_this_host and not self.is_alive


def boot_id() -> str:
    """Tells one start of this machine from the others."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        # In full minutes: on some systems it moves by a second when the clock is set.
        return str(round(psutil.boot_time() / 60))


def start_time(pid: int) -> float | None:
    """When a process started; ``None`` when there is none, or only its exit status is left.

    Only for telling processes of one pid apart: seconds since boot on Linux, where the time since the epoch is made up
    from the clock and moves with it; seconds since the epoch elsewhere.
    """
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return since_boot(process)
    except (psutil.Error, ValueError, OverflowError):
        return None


def since_boot(process: psutil.Process) -> float:
    """The start time of a process, as :func:`start_time`; raises :class:`psutil.Error` when it is gone."""
    return float(process.create_time()) - (psutil.boot_time() if psutil.LINUX else 0.0)


def is_same(pid: int, started: float) -> bool:
    """Is this still the process that started then, and not another one that got its pid?"""
    now = start_time(pid)
    return now is not None and abs(now - started) < _SAME_START_S


def started_before(process: psutil.Process, started: float) -> bool:
    """Whether a process started before that moment, and so cannot be a child of what started then."""
    return since_boot(process) < started - _SAME_START_S


def is_mine(path: Path) -> bool:
    """Whether a file or directory belongs to this user; a link is asked itself, not what it leads to."""
    try:
        return path.lstat().st_uid == os.geteuid()
    except OSError:
        return False
