"""Arithmetic of the samples: processor time of processes that come and go, memory that they share, the next one's time.

Nothing here asks the system for anything.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Times:
    """Processor time of one process up to a moment, user and system together, in seconds.

    ``reaped``: of its children that ended and that it waited for, with theirs; the kernel adds that up
    (``cutime`` and ``cstime`` of proc(5)).
    """

    own: float
    reaped: float


@dataclass(frozen=True)
class Memory:
    """Resident memory of one process in bytes, and how much of it others may have as well (files, shared memory)."""

    resident: int
    shared: int


@dataclass(frozen=True)
class Usage:
    """What a component took: per cent of one core since the sample before (absent in the first), and MiB now."""

    cpu_percent: float | None
    memory_mib: float | None


@dataclass
class CpuAccounting:
    """Processor time of a family of processes from one sample to the next, of those that ended in between too.

    A process that lives less than a second is hardly ever seen, and of one that is, the last part is missed. But who
    waited for it got its times, to the tick: so a parent's ``reaped`` grows by all that an ended child ever used, and
    what of that was counted while the child lived is taken off again.

    The family is read one after the other, parents first (the order of ``now``). Then a child that is seen alive cannot
    be in its parent's ``reaped`` yet, and one that ended in between is gone from the sample and in ``reaped`` only at
    the next; so what is to be taken off is remembered for one sample more.
    """

    _before: dict[int, Times] = field(default_factory=dict)
    _parents: dict[int, int] = field(default_factory=dict)
    _owed: dict[int, float] = field(default_factory=dict)
    _begun: bool = False

    def used(self, now: Mapping[int, Times], parents: Mapping[int, int]) -> float | None:
        """Seconds of processor time since the sample before; ``None`` for the first one.

        Args:
            now: pid to times of those that live.
            parents: pid to the parent's, of each of them.
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
            # A child whose parent does not care for its end (SIGCHLD ignored) is never in reaped: never below 0.
            seconds += max(0.0, times.own - before.own) + max(0.0, gain - due)
            owed[pid] = min(fresh.get(pid, 0.0), max(0.0, due - gain))
        first = not self._begun
        self._begun = True
        self._before, self._owed = dict(now), owed
        self._parents |= parents
        self._parents = {pid: parent for pid, parent in self._parents.items() if pid in now}
        return None if first else seconds

    def _heir(self, pid: int, living: Collection[int]) -> int | None:
        """The nearest ancestor that lives: who waits for the one who waited has what that one got."""
        seen = {pid}
        while (parent := self._parents.get(pid)) is not None and parent not in seen:
            if parent in living:
                return parent
            seen.add(parent)
            pid = parent
        return None


def family_bytes(members: Collection[Memory]) -> int:
    """Memory of a family: each one's own pages, and once the largest of what they may share.

    A sum of the resident sizes would count PostgreSQL's buffers once for each connection. Proportional sizes (PSS) are
    exact, but to get them the kernel walks all pages, a quarter of a millisecond for a small process and several for
    the gateway: too much for once a second.
    """
    own = sum(max(0, one.resident - one.shared) for one in members)
    return own + max((one.shared for one in members), default=0)


@dataclass
class Pace:
    """When the next sample is due: at whole intervals, and later where samples cost more than their share.

    ``share``: of one core, what sampling may take in the long run.
    """

    interval_s: float
    share: float
    start: float
    used_at_start: float

    def due(self, now: float, used: float) -> float:
        """The moment of the next sample, on the clock of ``start`` and ``now``; ``used``: own CPU seconds so far."""
        earliest = max(now, self.start + (used - self.used_at_start) / self.share)
        return self.start + (int((earliest - self.start) / self.interval_s) + 1) * self.interval_s
