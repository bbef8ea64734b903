"""What gateway, servers, databases and load generator used while the run went on, on one axis with the load."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import fmean

from benchkit import number_format
from benchkit.clock import seconds_between
from benchkit.model import Case, ConnectionSeries, Iteration, Resources, ResourceSeries, Run, Validity
from benchkit.number_format import Cell, absent, count
from benchkit.report.reduce import Values, reduced

PARTIES = {
    "gateway": "gateway",
    "server": "MCP servers",
    "database": "databases",
    "cache": "cache",
    "generator": "load generator",
    "monitor": "monitor",
    "machine": "whole machine",
}
"""What each kind of series is called, in the order in which they are shown."""

SOURCES = {
    "system": "of the system",
    "process": "process and its children",
    "container": "container",
}


@dataclass(frozen=True)
class Span:
    """One stretch of load, in seconds after the run's start.

    ``rate`` in successes per second, absent where no figure of it stands. ``title`` names every case in it.
    """

    start: float
    end: float
    rate: float | None
    scenario: str
    label: str
    title: str


@dataclass(frozen=True)
class Track:
    """One line over the run. ``kind`` decides how it is drawn: a component, or connections that are active or idle."""

    kind: str
    name: str
    values: list[float | None]


@dataclass(frozen=True)
class SystemSeries:
    """What the charts draw: tracks with a value for each moment of ``at`` (seconds), and when there was load.

    ``seconds`` is the axis' length; ``cores`` how many the machine has; ``limit`` the fewest connections that a
    database takes.
    """

    seconds: float
    cores: int
    at: list[float]
    load: list[Span]
    cpu: list[Track]
    memory: list[Track]
    connections: list[Track]
    limit: int | None


@dataclass(frozen=True)
class PartyRow:
    """One component: CPU in percent of one core, memory in MiB."""

    name: str
    component: str
    source: str
    cells: list[Cell]


@dataclass(frozen=True)
class ConnectionRow:
    """One database's own view of the connections to it."""

    name: str
    cells: list[Cell]


@dataclass(frozen=True)
class LoadRow:
    """Which component took how much while a case was under load; one cell for each component."""

    id: str
    has_details: bool
    samples: str
    cells: list[Cell]


@dataclass(frozen=True)
class System:
    """The section: its tables and legends. The series of its charts are :attr:`series`."""

    interval: str
    samples: str
    keys: list[tuple[str, str]]
    components: list[PartyRow]
    connections: list[ConnectionRow]
    databases: list[str]
    load_heads: list[str]
    load: list[LoadRow]
    notes: list[str]
    series: SystemSeries


def build_system(run: Run) -> System | None:
    """The section; ``None`` where nothing was sampled."""
    resources = run.resources
    if resources is None or not resources.at_s:
        return None
    spans = load_spans(run)
    under_load = _inside(resources.at_s, [(span.start, span.end) for span in spans])
    kinds = [kind for kind in PARTIES if any(one.kind == kind for one in resources.series)]
    ordered = sorted(resources.series, key=lambda one: list(PARTIES).index(one.kind))
    return System(
        interval=f"{resources.interval_s:g} s",
        samples=count(len(resources.at_s)),
        keys=[(kind, PARTIES[kind]) for kind in kinds],
        components=[_component_row(one, under_load) for one in ordered],
        connections=[_connection_row(one) for one in resources.connections],
        databases=[one.name for one in resources.connections],
        load_heads=[PARTIES[kind] for kind in kinds],
        load=_load_rows(run, resources, kinds),
        notes=resources.notes,
        series=_series(run, resources, spans, kinds),
    )


# ---------------------------------------------------------------------------------------------------------------------
# When there was load


def load_spans(run: Run) -> list[Span]:
    """Stretches of load in the order of time; cases that ran at the same time share one."""
    found = sorted(
        (
            (_after_start(run, one.started), _after_start(run, one.finished), number, one, case)
            for case in run.cases
            if case.kind == "measured"
            for number, one in enumerate(case.iterations, start=1)
        ),
        key=lambda item: item[:3],
    )
    groups: list[list[tuple[float, float, int, Iteration, Case]]] = []
    for item in found:
        if groups and item[0] < max(other[1] for other in groups[-1]):
            groups[-1].append(item)
        else:
            groups.append([item])
    return [_span(group) for group in groups]


def _after_start(run: Run, moment: datetime) -> float:
    return round((moment - run.started).total_seconds(), 2)


def _span(group: Sequence[tuple[float, float, int, Iteration, Case]]) -> Span:
    rates = [_rate(case, one) for _, _, _, one, case in group]
    known = [rate for rate in rates if rate is not None]
    scenarios = list(dict.fromkeys(case.scenario for *_, case in group))
    return Span(
        start=group[0][0],
        end=max(item[1] for item in group),
        rate=round(sum(known), 2) if len(known) == len(rates) else None,
        scenario=" + ".join(scenarios),
        label=group[0][4].name if len(group) == 1 else f"{len(group)} cases at once",
        title=", ".join(f"{case.id} ({number})" for _, _, number, _, case in group),
    )


def _rate(case: Case, one: Iteration) -> float | None:
    if case.validity not in (Validity.VALID, Validity.INTERRUPTED):
        return None
    return one.metrics.get("requests_per_sec")


def _inside(at: Sequence[float], spans: Iterable[tuple[float, float]]) -> list[int]:
    """The places of those moments (which rise) that lie in one of the spans."""
    found = {place for start, end in spans for place in range(bisect_left(at, start), bisect_right(at, end))}
    return sorted(found)


# ---------------------------------------------------------------------------------------------------------------------
# Tables


def _component_row(one: ResourceSeries, under_load: Sequence[int]) -> PartyRow:
    cpu, memory = _seen(one.cpu_percent), _seen(one.memory_mib)
    loaded = _seen([one.cpu_percent[place] for place in under_load])
    return PartyRow(
        one.name,
        PARTIES[one.kind],
        SOURCES[one.source],
        [
            _cell(fmean(cpu) if cpu else None, "not seen"),
            _cell(fmean(loaded) if loaded else None, "not seen under load"),
            _cell(max(cpu, default=None), "not seen"),
            _cell(fmean(memory) if memory else None, "not seen"),
            _cell(max(memory, default=None), "not seen"),
        ],
    )


def _connection_row(one: ConnectionSeries) -> ConnectionRow:
    active, idle = _seen(one.active), _seen(one.idle)
    peak = max(
        (busy + (free or 0) for busy, free in zip(one.active, one.idle, strict=True) if busy is not None), default=None
    )
    return ConnectionRow(
        one.name,
        [
            _cell(fmean(active) if active else None, "not seen"),
            _whole(max(active, default=None)),
            _cell(fmean(idle) if idle else None, "not seen"),
            _whole(max(idle, default=None)),
            _whole(peak),
            absent("it has none, or does not tell") if one.limit is None else _whole(one.limit),
        ],
    )


def _load_rows(run: Run, resources: Resources, kinds: Sequence[str]) -> list[LoadRow]:
    """Means of CPU over the samples during each case's iterations; cases that no sample fell into are left out."""
    sums = {kind: _total([one.cpu_percent for one in resources.series if one.kind == kind]) for kind in kinds}
    rows = []
    for case in run.cases:
        if case.kind != "measured":
            continue
        spans = [(_after_start(run, one.started), _after_start(run, one.finished)) for one in case.iterations]
        places = _inside(resources.at_s, spans)
        if places:
            means = [_seen([sums[kind][place] for place in places]) for kind in kinds]
            cells = [_cell(fmean(values) if values else None, "not seen") for values in means]
            rows.append(LoadRow(case.id, bool(case.iterations), count(len(places)), cells))
    return rows


def _cell(value: float | None, why: str) -> Cell:
    return absent(why) if value is None else Cell(number_format.significant(value, 1), value=value)


def _whole(value: float | None) -> Cell:
    return absent("not seen") if value is None else Cell(count(round(value)), value=value)


def _seen(values: Values) -> list[float]:
    return [value for value in values if value is not None]


# ---------------------------------------------------------------------------------------------------------------------
# Charts


def _series(run: Run, resources: Resources, spans: list[Span], kinds: Sequence[str]) -> SystemSeries:
    cpu = {kind: _total([one.cpu_percent for one in resources.series if one.kind == kind]) for kind in kinds}
    memory = {
        kind: _total([one.memory_mib for one in resources.series if one.kind == kind])
        for kind in kinds
        if kind != "machine"  # it would flatten all others; the table has it
    }
    connections: dict[tuple[str, str], Values] = {}
    for one in resources.connections:
        connections["active", one.name], connections["idle", one.name] = one.active, one.idle
    whole = reduced(resources.at_s, [*cpu.values(), *memory.values(), *connections.values()])
    lines = iter([[None if value is None else float(f"{value:.4g}") for value in one] for one in whole.series])
    ends = [resources.at_s[-1], seconds_between(run.started, run.finished), *(span.end for span in spans)]
    limits = [one.limit for one in resources.connections if one.limit is not None]
    return SystemSeries(
        seconds=round(max(ends), 1),
        cores=run.environment.machine.cores,
        at=whole.at,
        load=spans,
        cpu=_tracks([Track(kind, PARTIES[kind], next(lines)) for kind in cpu]),
        memory=_tracks([Track(kind, PARTIES[kind], next(lines)) for kind in memory]),
        connections=_tracks([Track(state, name, next(lines)) for state, name in connections]),
        limit=min(limits, default=None),
    )


def _tracks(tracks: list[Track]) -> list[Track]:
    """Those that were seen at all."""
    return [track for track in tracks if any(value is not None for value in track.values)]


def _total(series: Sequence[Values]) -> list[float | None]:
    """Several series of one component added up, moment by moment, of those that were seen at it."""
    return [sum(seen) if (seen := _seen(values)) else None for values in zip(*series, strict=True)]
