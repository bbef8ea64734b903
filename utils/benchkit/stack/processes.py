"""Processes and ports: whose they are, and ending them."""

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
    """The process that listens on a port. The system may not tell either value (another user's process)."""

    pid: int | None
    command: str | None

    def __str__(self) -> str:
        if self.pid is None:
            return "a process of another user"
        return f"pid {self.pid} ({self.command or 'unknown command'})"


def session_members(leader: ProcessIdentity) -> list[psutil.Process]:
    """Live processes of the session that a process opened, whether or not its leader lives.

    A pid is not given again while a session of that number has members, so a leader that started at another time means
    that none of the old session's processes is left. That holds since the machine was started: after that a session of
    the same number is somebody else's, and so is a member that is older than the leader.
    """
    if not leader.is_alive:
        # Without its leader a session is known by its number alone, so all else has to fit.
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
    """TERM, after ``terminate_s`` seconds KILL; returns those that live on nevertheless."""
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
    """Find the process that listens on a TCP port of the loopback address; ``None`` when the port is free."""
    if port_is_free(port):
        return None
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.Error:
        # macOS tells only root.
        return Owner(None, None)
    for connection in connections:
        # The local address is a pair of host and port.
        if connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,) and connection.pid:
            return Owner(connection.pid, _command(connection.pid))
    return Owner(None, None)


def port_is_free(port: int) -> bool:
    """Could a program listen on this port of the loopback address now?"""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        if probe.connect_ex((LOOPBACK, port)) == 0:
            return False
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: connections that wait for their end don't keep a port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            # A port that may not be had for another reason is for the program itself to complain about.
            return error.errno != errno.EADDRINUSE
    return True


def _command(pid: int) -> str | None:
    try:
        return psutil.Process(pid).name()
    except psutil.Error:
        return None


def memory_bytes(pid: int) -> int | None:
    """Memory of a process and its children, shared pages divided among their users where the system tells.

    ``None`` when there is no such process.
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
