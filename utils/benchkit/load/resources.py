"""Read the monitor's file for ``run.json``, and reduce the samples of long runs.

A run of several hours has tens of thousands of samples, but a chart shows a few hundred points. Above
:data:`MAX_POINTS`, consecutive samples are put into buckets of equal size. Each bucket keeps two values of every
series, its minimum and its maximum, in the order in which they occurred. So a peak of one second is still visible after
eight hours, and every value was really measured; only its time is as coarse as the bucket. The two points of a bucket
are drawn at the times of its first and its middle sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from benchkit.errors import os_reason
from benchkit.model import (
    ConnectionSeries,
    MonitoredComponent,
    MonitorHeader,
    MonitorSample,
    Plan,
    Resources,
    ResourceSeries,
)
from benchkit.model.base import Model
from benchkit.model.upgrades import monitor_from_parties
from benchkit.plain import without_controls
from benchkit.store import upgraded
from benchkit.strict_json import NotJSONError, parse_json

FILE = "monitor.jsonl"
"""In ``raw/``. With several gateways it is in the common parent directory, because one monitor watches all of them."""

MAX_POINTS = 600

Number = TypeVar("Number", int, float)


@dataclass(frozen=True)
class Monitored:
    """The monitor's file. ``components``: all that appeared; ``notes``: failed samplings and damaged lines."""

    header: MonitorHeader
    samples: list[MonitorSample]
    components: list[MonitoredComponent]
    notes: list[str]


def read_monitor(run_dir: Path, plan: Plan) -> Monitored | None:
    """Return the samples of a run, or ``None`` if there are none.

    With several gateways, the components of the other variants are left out. Damaged lines are skipped, because samples
    must not fail a run. The last line of a killed run may be damaged.
    """
    path = run_dir / "raw" / FILE
    if plan.variant is not None and not path.exists():
        path = run_dir.resolve().parent / FILE
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return None
    except OSError as error:
        return _nothing(plan, f"{path.name}: cannot be read: {os_reason(error)}")
    if len(lines) < 2:
        return None  # it was stopped before the first sample
    try:
        header = _parsed(lines[0], MonitorHeader)
    except (ValidationError, NotJSONError):
        return _nothing(plan, f"{path.name}: its first line is damaged, or another toolkit's: nothing of it is used")
    samples: list[MonitorSample] = []
    damaged = 0
    for line in lines[1:]:
        try:
            samples.append(_parsed(line, MonitorSample))
        except (ValidationError, NotJSONError):
            damaged += line is not lines[-1]
    variant = plan.variant.label if plan.variant is not None else ""
    components = [*header.components, *(component for sample in samples for component in sample.components)]
    notes = [*header.notes, *(note for sample in samples for note in sample.notes)]
    if damaged:
        notes.append(f"{path.name}: {damaged} of {len(lines)} lines are damaged and left out")
    return Monitored(
        header, samples, [component for component in components if component.variant in ("", variant)], notes
    )


Line = TypeVar("Line", bound=Model)


def _parsed(line: bytes, model: type[Line]) -> Line:
    """Parse one line of the monitor's file.

    Raises:
        NotJSONError, ValidationError: the line is damaged.
    """
    data = without_controls(parse_json(line))
    if isinstance(data, dict):
        data = upgraded(data, model) if "schema_version" in data else monitor_from_parties(data)
    return model.model_validate(data)


def resources(monitored: Monitored, run_started: datetime) -> Resources:
    """Return the series of ``run.json``, with times relative to the run's start."""
    offset_s = (monitored.header.started - run_started).total_seconds()
    samples = monitored.samples
    buckets = _buckets(len(samples))
    notes = list(monitored.notes)
    if len(samples) > MAX_POINTS:
        notes.append(
            f"{len(samples)} samples were reduced to the smallest and the largest of each {len(buckets[0])} in a row"
        )
    series = [
        ResourceSeries(
            name=component.name,
            kind=component.kind,
            source=component.source,
            cpu_percent=_reduced([sample.cpu_percent.get(component.id) for sample in samples], buckets),
            memory_mib=_reduced([sample.memory_mib.get(component.id) for sample in samples], buckets),
        )
        for component in monitored.components
        if any(component.id in sample.memory_mib or component.id in sample.cpu_percent for sample in samples)
    ]
    return Resources(
        interval_s=monitored.header.interval_s,
        at_s=_moments([round(offset_s + sample.at_s, 3) for sample in samples], buckets),
        series=series,
        connections=_connections(monitored, buckets),
        notes=notes,
    )


def _connections(monitored: Monitored, buckets: Sequence[range]) -> list[ConnectionSeries]:
    found = []
    for component in monitored.components:
        seen = [sample.connections.get(component.id) for sample in monitored.samples]
        if any(seen):
            found.append(
                ConnectionSeries(
                    name=component.name,
                    active=_reduced([one.active if one else None for one in seen], buckets),
                    idle=_reduced([one.idle if one else None for one in seen], buckets),
                    limit=next((one.limit for one in reversed(seen) if one), None),
                )
            )
    return found


def _nothing(plan: Plan, note: str) -> Monitored:
    header = MonitorHeader(started=plan.created, interval_s=0.0, cores=0, usable_cores=0.0, components=[], notes=[])
    return Monitored(header, [], [], [note])


def _buckets(count: int) -> list[range]:
    """Return the sample indexes of each bucket; if there are few samples, each is a bucket of its own."""
    size = 1 if count <= MAX_POINTS else -(-2 * count // MAX_POINTS)
    return [range(first, min(first + size, count)) for first in range(0, count, size)]


def _moments(at_s: Sequence[float], buckets: Sequence[range]) -> list[float]:
    moments = []
    for bucket in buckets:
        moments.append(at_s[bucket[0]])
        if len(bucket) > 1:
            moments.append(at_s[bucket[len(bucket) // 2]])
    return moments


def _reduced(values: Sequence[Number | None], buckets: Sequence[range]) -> list[Number | None]:
    """Return the value of each bucket with one sample, else its minimum and maximum in order of occurrence."""
    result: list[Number | None] = []
    for bucket in buckets:
        seen = [value for index in bucket if (value := values[index]) is not None]
        if len(bucket) == 1:
            result.append(values[bucket[0]])
        elif not seen:
            result += [None, None]
        else:
            low, high = min(seen), max(seen)
            result += [low, high] if seen.index(low) <= seen.index(high) else [high, low]
    return result
