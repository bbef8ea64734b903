"""Process families: their members and their resource usage."""

from __future__ import annotations

import time
from collections.abc import Callable

import psutil

from benchkit.monitor.cpu_accounting import CpuAccounting, Memory, Times, Usage, family_bytes

MIB = 2**20

_BLIND_SAMPLES = 2


class ProcessTable:
    """All processes of the system, refreshed for each sample.

    Listing pids is cheap; a process is opened only when it is new. ``new`` contains the processes found by the last
    refresh. ``parents`` contains each process's first parent, so an orphan that init adopts stays in its family.
    """

    def __init__(self) -> None:
        self.processes: dict[int, psutil.Process] = {}
        self.parents: dict[int, int] = {}
        self.new: list[psutil.Process] = []

    def refresh(self) -> None:
        """Update the table."""
        pids = psutil.pids()
        for pid in self.processes.keys() - set(pids):
            self.forget(pid)
        self.new = []
        for pid in pids:
            if pid in self.processes:
                continue
            try:
                process = psutil.Process(pid)
                self.parents[pid] = process.ppid()
            except psutil.Error:
                continue
            self.processes[pid] = process
            self.new.append(process)

    def forget(self, pid: int) -> None:
        """Remove an ended process; if its pid is reused, that is a new process."""
        self.processes.pop(pid, None)
        self.parents.pop(pid, None)


class Family:
    """A process and all its descendants. ``lives``: whether the root process still existed at the last sample."""

    def __init__(self, root: psutil.Process) -> None:
        self.root = root
        self.lives = True
        self._members: dict[int, psutil.Process] = {}
        self._ledger = CpuAccounting()
        self._at: float | None = None

    def sample(self, table: ProcessTable) -> Usage | None:
        """Return the usage since the last sample; ``None`` if the root has ended.

        Raises:
            psutil.AccessDenied: it belongs to another user, and the system gives no information.
        """
        if self._at is None:
            self._adopt(self.root, table)
        self._join(table)
        times, memory = self._read(table)
        self.lives = self.root.pid in self._members
        if not self.lives:
            return None
        return self._usage(times, memory, table)

    def _join(self, table: ProcessTable) -> None:
        for process in table.new:
            if table.parents[process.pid] in self._members:
                self._adopt(process, table)

    def _adopt(self, process: psutil.Process, table: ProcessTable) -> None:
        """Add a process and its descendants, parents before children, which :class:`CpuAccounting` requires."""
        if process.pid in self._members:
            return
        self._members[process.pid] = process
        for pid, parent in table.parents.items():
            if parent == process.pid and pid in table.processes:
                self._adopt(table.processes[pid], table)

    def _read(self, table: ProcessTable) -> tuple[dict[int, Times], list[Memory]]:
        times: dict[int, Times] = {}
        memory: list[Memory] = []
        for pid, process in list(self._members.items()):
            try:
                if not process.is_running():
                    raise psutil.NoSuchProcess(pid)
                times[pid] = times_of(process)
                info = process.memory_info()
            except psutil.NoSuchProcess:
                times.pop(pid, None)
                del self._members[pid]
                table.forget(pid)
                continue
            memory.append(Memory(info.rss, getattr(info, "shared", 0)))
        return times, memory

    def _usage(self, times: dict[int, Times], memory: list[Memory], table: ProcessTable) -> Usage:
        at = time.monotonic()
        used = self._ledger.used(times, {pid: table.parents.get(pid, 0) for pid in times})
        elapsed = at - self._at if self._at is not None else 0.0
        self._at = at
        percent = 100 * used / elapsed if used is not None and elapsed > 0 else None
        return Usage(percent, family_bytes(memory) / MIB)


class LoadFamily(Family):
    """The load processes that the run's shell starts, with their descendants; the shell itself does not count.

    A load process may start and end between two samples; but the shell waits for it and so receives its CPU time.
    ``is_load`` tells load apart from the shell's other children; it returns ``None`` while that is unknown (a child
    that is still a copy of the shell). When one of the others ends, the load's part of the shell's ``reaped`` time is
    unknown. Then there is no CPU value for that interval and for the next, in which the end may be accounted.
    """

    def __init__(self, shell: psutil.Process, is_load: Callable[[psutil.Process], bool | None]) -> None:
        super().__init__(shell)
        self._is_load = is_load
        self._undecided: list[psutil.Process] = []
        self._others: list[psutil.Process] = []
        self._blind = 0

    def _adopt(self, process: psutil.Process, table: ProcessTable) -> None:
        if process is self.root:
            self._members[process.pid] = process
            self._undecided = [
                table.processes[pid]
                for pid, parent in table.parents.items()
                if parent == process.pid and pid in table.processes
            ]
        elif table.parents[process.pid] == self.root.pid:
            self._undecided.append(process)
        else:
            super()._adopt(process, table)

    def _join(self, table: ProcessTable) -> None:
        super()._join(table)
        waiting, self._undecided = self._undecided, []
        for process in waiting:
            if process.pid not in table.processes:
                continue
            verdict = self._is_load(process)
            if verdict is None:
                self._undecided.append(process)
            elif verdict:
                super()._adopt(process, table)
            else:
                self._others.append(process)

    def _usage(self, times: dict[int, Times], memory: list[Memory], table: ProcessTable) -> Usage:
        shell = times[self.root.pid]
        rest = memory[1:]  # the root is first
        usage = super()._usage({**times, self.root.pid: Times(0.0, shell.reaped)}, rest, table)
        living = [process for process in self._others if process.is_running()]
        self._blind = _BLIND_SAMPLES if len(living) < len(self._others) else max(0, self._blind - 1)
        self._others = living
        return Usage(None, usage.memory_mib) if self._blind else usage


def times_of(process: psutil.Process) -> Times:
    """Return the CPU time of a process; systems without the sum of ended children (macOS) report 0 for it."""
    times = process.cpu_times()
    return Times(times.user + times.system, times.children_user + times.children_system)


class Machine:
    """The whole machine: 200 percent are two busy cores. Time stolen by a hypervisor counts as busy."""

    def __init__(self) -> None:
        self.cores = psutil.cpu_count() or 1
        psutil.cpu_percent()  # starts counting
        self._first = True

    def sample(self) -> Usage:
        """Return the usage since the last sample."""
        percent = psutil.cpu_percent() * self.cores
        memory = psutil.virtual_memory()
        usage = Usage(None if self._first else percent, (memory.total - memory.available) / MIB)
        self._first = False
        return usage


def listener(port: int) -> psutil.Process | None:
    """Return the process that listens at a TCP port of this machine; if several share it, their common ancestor.

    ``None`` if no process listens, or the system gives no information (another user's process).
    """
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.Error:
        return None  # macOS requires root
    pids = {
        connection.pid
        for connection in connections
        # The local address is a pair (host, port).
        if connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,) and connection.pid
    }
    try:
        heads = {_head(psutil.Process(pid), port) for pid in pids}
        parents = {process.ppid() for process in heads}
        if len(heads) > 1 and len(parents) == 1 and min(parents) > 1:
            return psutil.Process(parents.pop())  # parent of workers that each opened the port
    except psutil.Error:
        return None
    return min(heads, key=lambda process: process.pid, default=None)


def _head(process: psutil.Process, port: int) -> psutil.Process:
    """Return the topmost process with an inherited listening port; psutil names any of those that have it."""
    while (parent := process.parent()) is not None and parent.pid > 1 and _listens(parent, port):
        process = parent
    return process


def _listens(process: psutil.Process, port: int) -> bool:
    try:
        connections = process.net_connections(kind="tcp")
    except psutil.Error:
        return False
    return any(one.status == psutil.CONN_LISTEN and one.laddr[1:] == (port,) for one in connections)
