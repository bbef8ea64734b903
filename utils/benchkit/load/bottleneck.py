"""Whether the load generator, or work that is no part of the measurement, was the limit of what was measured.

In a closed loop everybody waits for everybody, so a busy generator alone says little. Two things are beyond doubt:

- It took (nearly) all the processor time that it can have. Some engines spread over all cores; one that is a
  single Python process has one core, however many are idle.
- All cores were busy, and most of that was the generator: more work went into making the requests than into answering
  them, all others together. Taken off the machine, it would leave what is measured more than twice the time it had.

That a gateway (with its database and servers) keeps both cores of a small machine busy while the generator has its part
of them is the ordinary case and no alarm: then the gateway's share is the greater part. A gateway of one process that
has a core of two for itself leaves the generator half of the busy time at the most, which is why the second rule asks
for clearly more than half.

Work of others is what the machine did beyond all that is sampled. It takes the gateway's turns on the processor, so the
figures are worse than the gateway's own, and no two runs meet the same of it.

Only samples count whose interval lies within an iteration, two seconds of them at the least; of shorter cases nothing
can be said.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from benchkit.load.cases import Entry
from benchkit.load.engines import engine_named
from benchkit.load.resources import Monitored
from benchkit.model import Iteration, MonitorSample

_ALL_OF_ITS_OWN = 0.90
"""Of the cores that it can have: it also waits for answers now and then, so it never gets them all."""

_BUSY = 0.95
"""Of all cores: the rest is what a scheduler leaves idle between two that are ready."""

_MOST = 0.60
"""Of the time in which a core was busy."""

_LEAST_S = 2.0
"""Processor times are counted in hundredths of a second, but the samples' edges and the load's differ."""


@dataclass(frozen=True)
class _Use:
    """Per cent of one core, on average over the samples within a case: the generator, and all that was busy."""

    generator: float
    machine: float
    components: float


def limited_cases(monitored: Monitored, groups: Sequence[Sequence[Entry]]) -> dict[str, str]:
    """Case id to a note, for those whose limit was the load generator; ``groups``: cases whose load ran together."""
    notes: dict[str, str] = {}
    for together in groups:
        use = _use(monitored, together[0].case.iterations)
        if use is not None:
            note = _note(monitored, together, use)
            notes |= {entry.case.id: note for entry in together if note and entry.case.iterations}
    return notes


def other_work(monitored: Monitored, groups: Sequence[Sequence[Entry]]) -> float | None:
    """What the machine took beyond all that is sampled, in percent of one core, on average while load ran.

    ``None`` where that cannot be told: the gateway is not seen (its work would be taken for another's), or there are
    too few samples.
    """
    machine = [component.id for component in monitored.components if component.kind == "machine"]
    gateways = [component.id for component in monitored.components if component.kind == "gateway"]
    iterations = [one for together in groups for one in together[0].case.iterations]
    total_s = other = 0.0
    for seconds, sample in _within(monitored, iterations):
        if not any(name in sample.cpu_percent for name in gateways) or machine[0] not in sample.cpu_percent:
            continue
        # All of them, also those of other variants: they are part of the measurement.
        sampled = sum(value for name, value in sample.cpu_percent.items() if name not in machine)
        total_s += seconds
        other += seconds * (sample.cpu_percent[machine[0]] - sampled)
    return round(max(0.0, other / total_s), 1) if total_s >= _LEAST_S else None


def other_work_warning(percent: float) -> str:
    """What the whole run says of it."""
    return (
        f"something else on this machine took {percent:.0f} % of one core while load ran: the figures are worse than "
        "the gateway's own, and two runs differ by it; measure again when the machine has nothing else to do"
    )


def warning(limited: Sequence[str], measured: int) -> str:
    """What the whole run says of it."""
    return (
        f"the load generator was the limit in {len(limited)} of {measured} cases ({', '.join(limited)}): their figures "
        "are its own as much as the gateway's; give it a machine of its own, or more cores"
    )


def _note(monitored: Monitored, together: Sequence[Entry], use: _Use) -> str:
    """Empty where the generator was not the limit."""
    usable, cores = monitored.header.usable_cores, monitored.header.cores
    own = 100 * min(usable, _processors(together))
    if use.generator >= _ALL_OF_ITS_OWN * own:
        return f"the load generator was the limit: it took {use.generator:.0f} % of one core, and it can have {own:.0f}"
    # In a container with a limit of its own the machine may be idle while this run has nothing left.
    confined = usable < cores and use.components >= _BUSY * 100 * usable
    busy = use.components if confined else use.machine
    if (confined or use.machine >= _BUSY * 100 * cores) and use.generator >= _MOST * busy:
        return (
            "the load generator was the limit: all cores were busy, and it took "
            f"{use.generator:.0f} % of one core of the {busy:.0f} % that all took together"
        )
    return ""


def _processors(together: Sequence[Entry]) -> float:
    """How many cores the load's processes could use at once."""
    return sum(
        len(entry.planned.parts) * (math.inf if (cores := engine_named(entry.planned.engine).cores) is None else cores)
        for entry in together
        if entry.planned.parts
    )


def _use(monitored: Monitored, iterations: Sequence[Iteration]) -> _Use | None:
    """The averages over the samples that lie within the iterations; ``None`` where there are too few."""
    generator = [component.id for component in monitored.components if component.kind == "generator"]
    machine = [component.id for component in monitored.components if component.kind == "machine"]
    processes = [component.id for component in monitored.components if component.source == "process"]
    total_s, sums = 0.0, [0.0, 0.0, 0.0]
    for seconds, sample in _within(monitored, iterations):
        if not all(name in sample.cpu_percent for name in (*generator, *machine)):
            continue
        total_s += seconds
        for index, names in enumerate((generator, machine, processes)):
            sums[index] += seconds * sum(sample.cpu_percent.get(name, 0.0) for name in names)
    return _Use(*(one / total_s for one in sums)) if total_s >= _LEAST_S else None


def _within(monitored: Monitored, iterations: Sequence[Iteration]) -> Iterator[tuple[float, MonitorSample]]:
    """The samples whose interval lies within one of the iterations, with its length in seconds."""
    start = monitored.header.started
    spans = [((one.started - start).total_seconds(), (one.finished - start).total_seconds()) for one in iterations]
    for before, sample in pairwise(monitored.samples):
        if any(begin <= before.at_s and sample.at_s <= end for begin, end in spans):
            yield sample.at_s - before.at_s, sample
