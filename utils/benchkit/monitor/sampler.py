"""The monitor: sample all components once per interval, and write the samples to a file."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import psutil

from benchkit.errors import UserError
from benchkit.model import MonitoredComponent, MonitoredConnections, MonitorHeader, MonitorSample
from benchkit.monitor.cpu_accounting import Pace, Usage
from benchkit.monitor.feed import Feeds
from benchkit.monitor.processes import Family, LoadFamily, Machine, ProcessTable
from benchkit.monitor.record import Recorder

INTERVAL_S = 1.0

MAX_SHARE = 0.015
"""CPU budget of sampling as a fraction of one core. With many processes, samples are taken less often to keep it."""

_LOOK_SHARE = 0.005
"""CPU budget (fraction of a core) for looking for processes that ended: cheap finders run at every sample, others less
often."""

MACHINE = MonitoredComponent(name="machine", kind="machine", source="system")
GENERATOR = MonitoredComponent(name="load generator", kind="generator", source="process")
MONITOR = MonitoredComponent(name="monitor", kind="monitor", source="process")


@dataclass(frozen=True)
class Found:
    """The components of a gateway that were found.

    ``processes``: the root process of each component. ``containers`` and ``connections`` start to read the statistics
    of the container engine and the database; their keys change when reading must be restarted.
    """

    processes: dict[MonitoredComponent, psutil.Process] = field(default_factory=dict)
    containers: dict[MonitoredComponent, tuple[str, Callable[[], Iterator[Usage]]]] = field(default_factory=dict)
    connections: dict[MonitoredComponent, tuple[str, Callable[[], Iterator[MonitoredConnections]]]] = field(
        default_factory=dict
    )
    notes: list[str] = field(default_factory=list)


Finder = Callable[[], Found]
"""Finds a gateway and its components; raises :class:`UserError` if the search fails."""


class Monitor:
    """Samples the machine, the load generator, itself, and the components that the finders return.

    Args:
        load: the run's load.
        finders: called at the start, and again after a component's process has ended, because gateways are restarted.
    """

    def __init__(self, load: LoadFamily, finders: Sequence[Finder]) -> None:
        self._finders = finders
        self._table = ProcessTable()
        self._machine = Machine()
        self._families: dict[MonitoredComponent, Family] = {GENERATOR: load, MONITOR: Family(psutil.Process())}
        self._containers: Feeds[Usage] = Feeds(self._note)
        self._connections: Feeds[MonitoredConnections] = Feeds(self._note)
        self._lost: set[MonitoredComponent] = set()
        self._look_again = 0.0
        self._known: dict[MonitoredComponent, None] = dict.fromkeys((MACHINE, GENERATOR, MONITOR))
        self._noted: set[str] = set()
        self._new_notes: list[str] = []

    def run(self, path: Path) -> None:
        """Sample until the process is terminated.

        Raises:
            UserError: the file cannot be written.
        """
        self.look()
        started, start = datetime.now(UTC), time.monotonic()
        recorder = Recorder(path)
        recorder.write(
            MonitorHeader(
                started=started,
                interval_s=INTERVAL_S,
                cores=self._machine.cores,
                usable_cores=usable_cores(self._machine.cores),
                components=list(self._known),
                notes=self._take_notes(),
            )
        )
        recorder.write(self.sample(0.0))
        pace = Pace(INTERVAL_S, MAX_SHARE, start, time.process_time())
        while True:
            time.sleep(max(0.0, pace.due(time.monotonic(), time.process_time()) - time.monotonic()))
            recorder.write(self.sample(time.monotonic() - start))

    def sample(self, at_s: float) -> MonitorSample:
        """Return a sample of all components."""
        known = set(self._known)
        if (self._lost or self._containers.stale) and time.monotonic() >= self._look_again:
            self.look()
        self._table.refresh()
        usages: dict[str, Usage] = {MACHINE.id: self._machine.sample()}
        for component, family in self._families.items():
            usage = self._of_family(component, family)
            if usage is not None:
                usages[component.id] = usage
        usages |= self._containers.latest()
        return MonitorSample(
            at_s=round(at_s, 3),
            cpu_percent={
                name: round(usage.cpu_percent, 1) for name, usage in usages.items() if usage.cpu_percent is not None
            },
            memory_mib={
                name: round(usage.memory_mib, 1) for name, usage in usages.items() if usage.memory_mib is not None
            },
            connections=self._connections.latest(),
            components=[component for component in self._known if component not in known],
            notes=self._take_notes(),
        )

    def _of_family(self, component: MonitoredComponent, family: Family) -> Usage | None:
        try:
            usage = family.sample(self._table)
        except psutil.Error as error:
            self._note(f"{component.id}: cannot be sampled: {error}")
            return None
        if not family.lives and component is not GENERATOR:
            self._lost.add(component)
        return usage

    def look(self) -> None:
        """Call all finders; a component whose process is unchanged is kept."""
        begun = time.process_time()
        for finder in self._finders:
            try:
                found = finder()
            except UserError as error:
                self._note(str(error))
                continue
            for note in found.notes:
                self._note(note)
            for component, process in found.processes.items():
                if component not in self._families or self._families[component].root != process:
                    self._families[component] = Family(process)
                self._lost.discard(component)
                self._known[component] = None
            for component, (key, usages) in found.containers.items():
                self._containers.begin(component.id, key, usages)
                self._known[component] = None
            for component, (key, connections) in found.connections.items():
                self._connections.begin(component.id, key, connections)
        self._look_again = time.monotonic() + (time.process_time() - begun) / _LOOK_SHARE

    def _note(self, text: str) -> None:
        if text not in self._noted:
            self._noted.add(text)
            self._new_notes.append(text)

    def _take_notes(self) -> list[str]:
        notes, self._new_notes = self._new_notes, []
        return notes


def usable_cores(cores: int, cgroup: Path = Path("/sys/fs/cgroup")) -> float:
    """Return how many of the machine's cores this process may use, by its affinity and its container's limit."""
    usable = float(cores)
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        usable = min(usable, len(os.sched_getaffinity(0)))
    limit = _cgroup_limit(cgroup)
    return min(usable, limit) if limit is not None else usable


def _cgroup_limit(root: Path) -> float | None:
    """Return a container's limit in cores from its control group: version 2 has one file, version 1 two."""
    for names in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        with contextlib.suppress(OSError, ValueError):
            words = " ".join((root / name).read_text(encoding="ascii") for name in names).split()
            quota, period = map(float, words)  # "max" and -1: no limit
            if quota > 0 and period > 0:
                return quota / period
    return None
