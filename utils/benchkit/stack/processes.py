"""Processes and ports: find their owners, and end processes."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass

import psutil

from benchkit.identity import ProcessIdentity, start_time, started_before
from benchkit.stack.topology import LOOPBACK


@dataclass(frozen=True)
class Owner:
    """The process that listens on a port. Values that the system does not provide are ``None`` (another user's)."""

    pid: int | None
    command: str | None

    def __str__(self) -> str:
        if self.pid is None:
            return "a process of another user"
        return f"pid {self.pid} ({self.command or 'unknown command'})"


def session_members(leader: ProcessIdentity) -> list[psutil.Process]:
    """Return the living processes of the session that a process opened, whether or not this leader is alive.

    A pid is not reused while a session with that number has members. So if a leader with another start time exists, the
    old session has no processes left. This holds only until the next boot: then a session with the same number is an
    unrelated one, and so is a member that is older than the leader.
    """
    if not leader.is_alive:
        # Without its leader, only the number identifies a session, so everything else must match.
        known = leader.boot and leader.is_of_this_boot and leader.is_of_this_host
        if not known or start_time(leader.pid) is not None:
            return []
    members = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) != leader.pid or process.status() == psutil.STATUS_ZOMBIE:
                continue
            if not started_before(process, leader.started):
                members.append(process)
        except (OSError, psutil.Error):
            continue
    return members


def end(processes: Iterable[psutil.Process], *, terminate_s: float) -> list[psutil.Process]:
    """Send TERM, and KILL after ``terminate_s`` seconds; return the processes that are still alive."""
    waiting = list(processes)
    for process in waiting:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    _, waiting = psutil.wait_procs(waiting, timeout=terminate_s)
    for process in waiting:
        with contextlib.suppress(psutil.Error):
            process.kill()
    _, waiting = psutil.wait_procs(waiting, timeout=1.0)
    return [process for process in waiting if start_time(process.pid) is not None]


def port_owner(port: int) -> Owner | None:
    """Return the process that listens on a TCP port of the loopback address; ``None`` if the port is free."""
    if port_is_free(port):
        return None
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.Error:
        # macOS requires root.
        return Owner(None, None)
    for connection in connections:
        # The local address is a pair (host, port).
        if connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,) and connection.pid:
            return Owner(connection.pid, _command(connection.pid))
    return Owner(None, None)


def port_is_free(port: int) -> bool:
    """Return whether a program can listen on this port of the loopback address now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        if probe.connect_ex((LOOPBACK, port)) == 0:
            return False
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # Like servers: connections that are closing do not block a port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            # Other errors are left to the program that will use the port.
            return error.errno != errno.EADDRINUSE
    return True


def _command(pid: int) -> str | None:
    try:
        return psutil.Process(pid).name()
    except psutil.Error:
        return None


def memory_bytes(pid: int) -> int | None:
    """Return the memory of a process and its children; shared pages are divided among users if the system supports it.

    ``None`` if there is no such process.
    """
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
    except psutil.Error:
        return None
    total = 0
    for each in family:
        with contextlib.suppress(psutil.Error):
            total += _memory_bytes(each)
    return total


def _memory_bytes(process: psutil.Process) -> int:
    try:
        full = process.memory_full_info()
    except (psutil.AccessDenied, PermissionError):
        return int(process.memory_info().rss)
    return int(getattr(full, "pss", 0) or full.rss)
