"""Arithmetic of the samples: CPU time of short-lived processes, shared memory, and the time of the next sample.

Nothing here queries the system.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Times:
    """Cumulated CPU time of one process, user and system together, in seconds.

    ``reaped``: CPU time of its ended children that it waited for, including theirs; the kernel sums it up
    (``cutime`` and ``cstime`` of proc(5)).
    """

    own: float
    reaped: float


@dataclass(frozen=True)
class Memory:
    """Resident memory of one process in bytes, and how much of it may be shared (files, shared memory)."""

    resident: int
    shared: int


@dataclass(frozen=True)
class Usage:
    """Usage of a component: CPU in percent of one core since the last sample (``None`` in the first), memory in MiB."""

    cpu_percent: float | None
    memory_mib: float | None


@dataclass
class CpuAccounting:
    """CPU time of a process family from one sample to the next, including processes that ended in between.

    A process that lives for less than a second is rarely sampled, and for others the last part is missed. But the
    process that waited for it receives its exact CPU time: a parent's ``reaped`` grows by everything that the ended
    child ever used. What was already counted while the child lived is subtracted again.

    The family is read in sequence, parents first (the order of ``now``). So a child that is still alive cannot be in
    its parent's ``reaped`` yet. A child that ends in between is missing in this sample but appears in ``reaped`` only
    in the next one, so the amount to subtract is kept for one more sample.
    """

    _before: dict[int, Times] = field(default_factory=dict)
    _parents: dict[int, int] = field(default_factory=dict)
    _owed: dict[int, float] = field(default_factory=dict)
    _begun: bool = False

    def used(self, now: Mapping[int, Times], parents: Mapping[int, int]) -> float | None:
        """Return the CPU seconds since the last sample; ``None`` for the first one.

        Args:
            now: times of the living processes by pid.
            parents: parent's pid of each of them.
        """
        fresh: dict[int, float] = {}
        for pid in self._before.keys() - now.keys():
            heir = self._heir(pid, now)
            if heir is not None:
                times = self._before[pid]
                fresh[heir] = fresh.get(heir, 0.0) + times.own + times.reaped
        seconds, owed = 0.0, {}
        for pid, times in now.items():
            before = self._before.get(pid, Times(0.0, 0.0))
            gain = max(0.0, times.reaped - before.reaped)
            due = self._owed.get(pid, 0.0) + fresh.get(pid, 0.0)
            # If a parent ignores its children (SIGCHLD), they never appear in reaped, so the result is clamped at 0.
            seconds += max(0.0, times.own - before.own) + max(0.0, gain - due)
            owed[pid] = min(fresh.get(pid, 0.0), max(0.0, due - gain))
        first = not self._begun
        self._begun = True
        self._before, self._owed = dict(now), owed
        self._parents |= parents
        self._parents = {pid: parent for pid, parent in self._parents.items() if pid in now}
        return None if first else seconds

    def _heir(self, pid: int, living: Collection[int]) -> int | None:
        """Return the nearest living ancestor, which inherited the CPU time through the chain of waiting parents."""
        seen = {pid}
        while (parent := self._parents.get(pid)) is not None and parent not in seen:
            if parent in living:
                return parent
            seen.add(parent)
            pid = parent
        return None


def family_bytes(members: Collection[Memory]) -> int:
    """Return the memory of a family: each member's private pages, plus the largest shared part once.

    A sum of the resident sizes would count PostgreSQL's buffers once per connection. Proportional sizes (PSS) are
    exact, but the kernel has to walk all pages for them: 0.25 ms for a small process, several ms for the gateway, which
    is too much for every second.
    """
    own = sum(max(0, one.resident - one.shared) for one in members)
    return own + max((one.shared for one in members), default=0)


@dataclass
class Pace:
    """Schedules samples at whole intervals, and less often if sampling exceeds its CPU budget.

    ``share``: CPU budget of sampling as a fraction of one core, in the long run.
    """

    interval_s: float
    share: float
    start: float
    used_at_start: float

    def due(self, now: float, used: float) -> float:
        """Return the time of the next sample, on the clock of ``start`` and ``now``; ``used``: own CPU seconds."""
        earliest = max(now, self.start + (used - self.used_at_start) / self.share)
        return self.start + (int((earliest - self.start) / self.interval_s) + 1) * self.interval_s
