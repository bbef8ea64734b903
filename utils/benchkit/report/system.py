"""Resource use of gateway, servers, databases and load generator during the run, on the same time axis as the load."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from statistics import fmean
from typing import Literal

from benchkit import number_format
from benchkit.clock import seconds_between
from benchkit.model import Case, ConnectionSeries, Iteration, Resources, ResourceSeries, Run, Validity
from benchkit.number_format import Cell, absent, count
from benchkit.report.charts import Axis, Drawn, Plot, Plots, RunTime, Series, Span
from benchkit.report.reduce import Values, reduced

Line = list[float | None]

PARTIES = {
    "gateway": "gateway",
    "server": "MCP servers",
    "database": "databases",
    "cache": "cache",
    "generator": "load generator",
    "monitor": "monitor",
    "machine": "whole machine",
}
"""The heading of each kind of component, in display order."""

_DASHES = {"server": [7, 3], "database": [2, 2], "cache": [9, 3, 2, 3], "monitor": [1, 3]}
_DATABASE_COLOURS = 5
_CPU = "% of one core"
_BELOW = "means and peaks are in the table that follows"

SOURCES = {
    "system": "of the system",
    "process": "process and its children",
    "container": "container",
}


@dataclass(frozen=True)
class PartyRow:
    """One component: CPU in percent of one core, memory in MiB."""

    name: str
    component: str
    source: str
    cells: list[Cell]


@dataclass(frozen=True)
class ConnectionRow:
    """The connections to one database, as the database reports them."""

    name: str
    cells: list[Cell]


@dataclass(frozen=True)
class LoadRow:
    """CPU of each component while a case was under load; one cell for each component."""

    id: str
    has_details: bool
    samples: str
    cells: list[Cell]


@dataclass(frozen=True)
class System:
    """The section: its charts and its tables."""

    interval: str
    samples: str
    charts: list[Drawn]
    components: list[PartyRow]
    connections: list[ConnectionRow]
    load_heads: list[str]
    load: list[LoadRow]
    notes: list[str]


def build_system(run: Run, plots: Plots) -> System | None:
    """Return the section; its charts are added to ``plots``. ``None`` if nothing was sampled."""
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
        charts=[one for plot in _plots(run, resources, spans, plots) if (one := plots.add(plot))],
        components=[_component_row(one, under_load) for one in ordered],
        connections=[_connection_row(one) for one in resources.connections],
        load_heads=[PARTIES[kind] for kind in kinds],
        load=_load_rows(run, resources, kinds),
        notes=resources.notes,
    )


# ---------------------------------------------------------------------------------------------------------------------
# Periods of load


def load_spans(run: Run) -> list[Span]:
    """Return the periods of load in order of time; cases that ran at the same time share one."""
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
    """Return the indices of the times (ascending) that are inside one of the spans."""
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
            absent("none, or not reported") if one.limit is None else _whole(one.limit),
        ],
    )


def _load_rows(run: Run, resources: Resources, kinds: Sequence[str]) -> list[LoadRow]:
    """Return the mean CPU over the samples during each case's iterations; cases without samples are left out."""
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


def _plots(run: Run, resources: Resources, spans: list[Span], plots: Plots) -> list[Plot]:
    """Return the charts of the load and of the resource use, on one time axis."""
    cpu, memory = _sums(resources, "cpu_percent"), _sums(resources, "memory_mib")
    memory.pop("machine", None)  # its scale would flatten all other lines; the table has it
    taken = {(one.name, state): getattr(one, state) for one in resources.connections for state in ("active", "idle")}
    whole = reduced(resources.at_s, [*cpu.values(), *memory.values(), *taken.values()])
    lines = [[None if value is None else float(f"{value:.4g}") for value in one] for one in whole.series]
    plots.time = RunTime(whole.at, spans)
    timed = partial(Plot, timed=True, x=_time_axis(run, resources, spans))
    all_cores = 100 * run.environment.machine.cores
    connections = dict(zip(taken, lines[len(cpu) + len(memory) :], strict=True))
    return [
        timed(
            title="Which scenario was under load when, and its throughput",
            name="load",
            kind="load",
            caption="Load, successes per second, on the same time axis as the charts below",
            where="the cases are in the table of CPU while each case was under load",
            y=Axis("req/s"),
            series=[_load(spans)],
        ),
        timed(
            title="CPU of each component over the run",
            name="cpu",
            kind="lines",
            caption="CPU in % of one core",
            where=_BELOW,
            y=Axis(_CPU, high=all_cores) if _seen(cpu.get("machine", [])) else Axis(_CPU, reach=100),
            series=_components(cpu, lines, " %"),
        ),
        timed(
            title="Memory of each component over the run",
            name="memory",
            kind="lines",
            caption=f"Memory in MiB{'; that of the whole machine is in the table' if 'machine' in cpu else ''}",
            where=_BELOW,
            y=Axis("MiB"),
            series=_components(memory, lines[len(cpu) :], " MiB"),
        ),
        timed(
            title="Active and idle connections to each database over the run",
            name="connections",
            kind="lines",
            caption="Connections to the databases; the limit is in the table, and a line where they come near it",
            where="means, peaks and limits are in the table that follows",
            y=Axis("connections", whole=True),
            series=_connections(connections, [one.limit for one in resources.connections if one.limit is not None]),
        ),
    ]


def _time_axis(run: Run, resources: Resources, spans: Sequence[Span]) -> Axis:
    ends = [resources.at_s[-1], seconds_between(run.started, run.finished), *(span.end for span in spans)]
    return Axis("minutes and seconds after the start", "clock", low=0, high=round(max(ends), 1))


def _sums(resources: Resources, unit: Literal["cpu_percent", "memory_mib"]) -> dict[str, Line]:
    """Return the use of each kind of component, summed over its processes."""
    found = {kind: [getattr(one, unit) for one in resources.series if one.kind == kind] for kind in PARTIES}
    return {kind: _total(values) for kind, values in found.items() if values}


def _load(spans: Sequence[Span]) -> Series:
    """Return a point in the middle of each period, for its tooltip; the periods are drawn separately."""
    return Series(
        "",
        [(round((one.start + one.end) / 2, 2), one.rate or 0.0) for one in spans],
        "bar",
        line=False,
        dots="none",
        notes=[
            "no throughput" if one.rate is None else f"{number_format.significant(one.rate, 1)} req/s" for one in spans
        ],
    )


def _components(kinds: Iterable[str], lines: Iterable[Line], unit: str) -> list[Series]:
    """Return the lines of the components that were found at least once."""
    found = []
    for kind, values in zip(kinds, lines, strict=False):
        whole = kind == "machine"
        name, width = (kind, 1) if whole else (f"component-{kind}", 2)
        if _seen(values):
            line = Series(PARTIES[kind], values, name, dots="none", dash=_DASHES.get(kind, []), unit=unit)
            found.append(replace(line, width=width, filled=whole))
    return found


def _connections(taken: Mapping[tuple[str, str], Line], limits: Sequence[int]) -> list[Series]:
    names = list(dict.fromkeys(name for name, _ in taken))
    found = [
        Series(
            f"{name}, {state}",
            values,
            f"database-{names.index(name) % _DATABASE_COLOURS}",
            dots="none",
            dash=[2, 3] if state == "idle" else [],
            stepped=True,
        )
        for (name, state), values in taken.items()
        if _seen(values)
    ]
    most = max((value for one in taken.values() for value in _seen(one)), default=0)
    if limits and most > min(limits) / 2:  # a distant limit would flatten all other lines
        flat = [min(limits)] * len(next(iter(taken.values())))
        found.append(Series("limit", flat, "failed", dots="none", width=1, dash=[8, 4]))
    return found


def _total(series: Sequence[Values]) -> Line:
    """Sum several series of one component at each time, over the values present."""
    return [sum(seen) if (seen := _seen(values)) else None for values in zip(*series, strict=True)]
