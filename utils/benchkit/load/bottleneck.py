"""Detect runs that the load generator or unrelated processes limited.

In a closed loop every part waits for the others, so a busy generator alone proves little. Two cases are certain:

- The generator used (nearly) all the CPU time available to it. Some engines use all cores; an engine that is a single
  Python process has one core, however many are idle.
- All cores were busy, and the generator used most of that time: producing the requests took more CPU than everything
  that answers them. On another machine, the generator would leave the gateway more than twice the CPU time.

It is normal that a gateway (with database and servers) and the generator together keep both cores of a small machine
busy: then most of the time is the gateway's. A single-process gateway uses one of two cores, which leaves the generator
at most half of the busy time. Therefore the second rule requires clearly more than half.

Other work is the machine's CPU use minus that of all sampled processes. It takes CPU time from the gateway, so results
get worse, and it differs from run to run.

Only samples whose interval lies within an iteration count, and at least two seconds of them are needed. Nothing can be
said about shorter cases.
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
"""Share of its available cores: it sometimes waits for answers, so it never reaches all of them."""

_BUSY = 0.95
"""Share of all cores: a scheduler leaves some idle time between two runnable processes."""

_MOST = 0.60
"""The generator's share of the busy CPU time."""

_LEAST_S = 2.0
"""Minimum sampled time: CPU times have a resolution of 10 ms, and the samples do not start and end with the load."""


@dataclass(frozen=True)
class _Use:
    """Average CPU use during a case in percent of one core: the generator, the machine, and all sampled processes."""

    generator: float
    machine: float
    components: float


def limited_cases(monitored: Monitored, groups: Sequence[Sequence[Entry]]) -> dict[str, str]:
    """Return a note per case id that the load generator limited; ``groups``: cases whose load ran at the same time."""
    notes: dict[str, str] = {}
    for together in groups:
        use = _use(monitored, together[0].case.iterations)
        if use is not None:
            note = _note(monitored, together, use)
            notes |= {entry.case.id: note for entry in together if note and entry.case.iterations}
    return notes


def other_work(monitored: Monitored, groups: Sequence[Sequence[Entry]]) -> float | None:
    """Return the CPU use outside of all sampled processes, in percent of one core, on average during the load.

    ``None`` if it is unknown: the gateway was not sampled (its work would count as other work), or there are too few
    samples.
    """
    machine = [component.id for component in monitored.components if component.kind == "machine"]
    gateways = [component.id for component in monitored.components if component.kind == "gateway"]
    iterations = [one for together in groups for one in together[0].case.iterations]
    total_s = other = 0.0
    for seconds, sample in _within(monitored, iterations):
        if not any(name in sample.cpu_percent for name in gateways) or machine[0] not in sample.cpu_percent:
            continue
        # Including those of other variants, because they are part of the measurement.
        sampled = sum(value for name, value in sample.cpu_percent.items() if name not in machine)
        total_s += seconds
        other += seconds * (sample.cpu_percent[machine[0]] - sampled)
    return round(max(0.0, other / total_s), 1) if total_s >= _LEAST_S else None


def other_work_warning(percent: float) -> str:
    """Return the run's warning about CPU use by other processes."""
    return (
        f"other processes on this machine used {percent:.0f} % of one core during the load: they make the gateway's "
        "results worse and less repeatable; measure again when the machine is idle"
    )


def warning(limited: Sequence[str], measured: int) -> str:
    """Return the run's warning about cases that the load generator limited."""
    return (
        f"the load generator was the limit in {len(limited)} of {measured} cases ({', '.join(limited)}): their results "
        "depend on it as much as on the gateway; run it on another machine, or use more cores"
    )


def _note(monitored: Monitored, together: Sequence[Entry], use: _Use) -> str:
    """Return why the generator was the limit; empty if it was not."""
    usable, cores = monitored.header.usable_cores, monitored.header.cores
    own = 100 * min(usable, _processors(together))
    if use.generator >= _ALL_OF_ITS_OWN * own:
        return f"the load generator was the limit: it used {use.generator:.0f} % of one core, {own:.0f} % are available"
    # In a container with its own CPU limit, the machine may be idle while this run has no CPU time left.
    confined = usable < cores and use.components >= _BUSY * 100 * usable
    busy = use.components if confined else use.machine
    if (confined or use.machine >= _BUSY * 100 * cores) and use.generator >= _MOST * busy:
        return (
            "the load generator was the limit: all cores were busy, and it used "
            f"{use.generator:.0f} % of one core, out of {busy:.0f} % in total"
        )
    return ""


def _processors(together: Sequence[Entry]) -> float:
    """Return how many cores the load's processes can use at once."""
    return sum(
        len(entry.planned.parts) * (math.inf if (cores := engine_named(entry.planned.engine).cores) is None else cores)
        for entry in together
        if entry.planned.parts
    )


def _use(monitored: Monitored, iterations: Sequence[Iteration]) -> _Use | None:
    """Return the averages over the samples within the iterations; ``None`` if there are too few."""
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
    """Yield the samples whose interval lies within an iteration, with the interval's length in seconds."""
    start = monitored.header.started
    spans = [((one.started - start).total_seconds(), (one.finished - start).total_seconds()) for one in iterations]
    for before, sample in pairwise(monitored.samples):
        if any(begin <= before.at_s and sample.at_s <= end for begin, end in spans):
            yield sample.at_s - before.at_s, sample
