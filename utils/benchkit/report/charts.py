"""Describe the charts of all pages as plain data, which ``templates/charts.js`` draws.

A page has a list of plots, and its canvases refer to them by index. The pages describe their own charts; the charts of
a run's case are here.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

from benchkit import number_format
from benchkit.model import METRICS, Case, Histogram, Iteration, MetricValues, PercentileCurve, Timeline, TimelinePoint
from benchkit.report.chart_library import ChartLibrary

COLOURS = ("s1", "s2", "s3", "s4", "s5", "s6")
"""Colours of runs, in order; they repeat from the seventh run on. Each chart also has a legend in words."""


_MOST_LABELS = 8
"""Maximum number of labels on a time axis."""

Values = Sequence[float | None] | Sequence[tuple[float, float]]
PointForm = Literal["circle", "rect", "triangle", "rectRot", "cross", "star", "crossRot"]

# ---------------------------------------------------------------------------------------------------------------------
# The description


@dataclass(frozen=True)
class Axis:
    """An axis: its title with the unit, its scale, and its ends.

    ``scale``: ``percentile`` gives each additional nine the same length, for values of :func:`nines`; ``clock`` is in
    seconds. ``low`` and ``high`` fix the ends; the axis extends at least to ``reach``. ``room``: percent of its length
    to keep free. ``every``: write one label in so many.
    """

    title: str = ""
    scale: Literal["linear", "logarithmic", "percentile", "clock"] = "linear"
    low: float | None = None
    high: float | None = None
    reach: float | None = None
    from_zero: bool = True
    room: int = 0
    whole: bool = False
    every: int = 1


@dataclass(frozen=True)
class Series:  # pylint: disable=too-many-instance-attributes # one for each property of a series
    """One line, or one bar of each group.

    ``values``: one for each label of the plot (or point of the timeline), ``None`` if missing; or pairs of x and y.
    ``intervals``: the ends of an error bar for each value that has one. ``colour`` names a colour of the styles, or is
    ``hue-`` with degrees. ``dash``: lengths of strokes and gaps. ``notes`` replace the values in the points' tooltips;
    ``silent`` series have no tooltips.
    """

    label: str
    values: Values
    colour: str
    kind: Literal["", "line", "bar"] = ""
    axis: Literal["y", "right"] = "y"
    line: bool = True
    dots: Literal["none", "small", "large"] = "large"
    form: PointForm = "circle"
    hollow: bool = False
    dash: list[int] = field(default_factory=list)
    width: float = 2
    stepped: bool = False
    filled: bool = False
    silent: bool = False
    unit: str = ""
    intervals: list[tuple[float, float] | None] | None = None
    notes: list[str] | None = None


@dataclass(frozen=True)
class Mark:
    """A vertical line with a label. ``at``: its x position; 1.5 is midway between the second and the third label."""

    at: float
    label: str
    colour: str


@dataclass(frozen=True)
class Span:
    """A period of load, in seconds after the run's start.

    ``rate``: successes per second, ``None`` if it must not be shown. ``title`` names all cases of the period.
    """

    start: float
    end: float
    rate: float | None
    scenario: str
    label: str
    title: str


@dataclass(frozen=True)
class RunTime:
    """Data shared by all plots over the run's time: the sample times in seconds, and the periods of load."""

    at: list[float]
    spans: list[Span]


@dataclass(frozen=True)
class Plot:  # pylint: disable=too-many-instance-attributes # as many as a chart has parts
    """One chart.

    ``title`` says what it shows, also for screen readers, and ``where`` which table has its values. ``caption`` is
    shown above the chart instead of the title. ``point`` heads a point's tooltip, with ``{x}`` for its label or
    number, unless ``titles`` has a heading for each point. ``edges``: the bin edges of a ``distribution``. ``slots``:
    the number of time buckets, each labelled with its start, and their length in s. ``timed`` plots share the page's
    :class:`RunTime`.
    """

    title: str
    kind: Literal["bars", "lines", "distribution", "load"]
    y: Axis
    series: list[Series]
    labels: list[str] | list[list[str]] | None = None
    slots: tuple[int, float] | None = None
    x: Axis = field(default_factory=Axis)
    right: Axis | None = None
    horizontal: bool = False
    stacked: bool = False
    timed: bool = False
    legend: Literal["above", "inside", "none"] = "above"
    marks: list[Mark] = field(default_factory=list)
    edges: list[float] | None = None
    point: str = "{x}"
    titles: list[str] | None = None
    name: str = ""
    caption: str = ""
    where: str = "the values are in the table of this page"

    @property
    def keys(self) -> list[Series]:
        """Return the entries of the legend: each name once."""
        if self.legend != "above":
            return []
        return list({one.label: one for one in self.series if one.label}.values())

    @property
    def description(self) -> str:
        """Return a text alternative for the chart."""
        names = ", ".join(dict.fromkeys(one.label for one in self.series if one.label))
        marks = [mark.label for mark in self.marks]
        return "; ".join([f"{self.title}: {names}" if names else self.title, *marks, self.where])


_WORDS = {"title", "caption", "where", "name"}
"""Fields that the template uses and the script does not need."""


@dataclass(frozen=True)
class Drawn:
    """A plot as a template gets it: its index among the page's plots, and the plot."""

    number: int
    plot: Plot


class Plots:
    """The plots of a page; empty if the page has no charts."""

    def __init__(self, library: ChartLibrary) -> None:
        self.library = library
        self.time: RunTime | None = None
        self._plots: list[Plot] = []

    def add(self, plot: Plot | None) -> Drawn | None:
        """Add a plot to the page's data; ``None`` if charts are off, or the plot has no value."""
        if plot is None or self.library.source is None:
            return None
        if not any(value is not None for one in plot.series for value in one.values):
            return None
        self._plots.append(plot)
        return Drawn(len(self._plots) - 1, plot)

    def data(self) -> dict[str, Any]:
        """Return the data for the page's script, without fields that have their default."""
        plots = [{key: value for key, value in _unusual(one).items() if key not in _WORDS} for one in self._plots]
        return {"plots": plots, **({"time": dataclasses.asdict(self.time)} if plots and self.time else {})}


def _unusual(part: Any) -> Any:
    """Return a description without the fields that have their default."""
    if isinstance(part, list) and part and dataclasses.is_dataclass(part[0]):
        return [_unusual(one) for one in part]
    if not dataclasses.is_dataclass(part) or isinstance(part, type):
        return part
    found = {}
    for one in dataclasses.fields(part):
        value = getattr(part, one.name)
        usual = one.default if one.default_factory is dataclasses.MISSING else one.default_factory()
        if value != usual:
            found[one.name] = _unusual(value)
    return found


def colour(number: int) -> str:
    """Return the colour of the series at an index."""
    return COLOURS[number % len(COLOURS)]


def nines(percent: float) -> float:
    """Return the position of a percentile on a ``percentile`` axis: 1 / (1 - p)."""
    return float(f"{100 / (100 - percent):.6g}")


# ---------------------------------------------------------------------------------------------------------------------
# The charts of a case


def distribution(case: str, histogram: Histogram, metrics: MetricValues) -> Plot | None:
    """Plot the successes per bin of latency, with the percentiles marked; ``None`` if nothing succeeded.

    A bar's height is the percentage of all successes per 10 % of latency. Bins have different widths on a logarithmic
    axis, so a bar's area must represent its count; with counts as heights the chart would look like a comb.
    """
    filled = [number for number, value in enumerate(histogram.counts) if value]
    if not filled:
        return None
    first, last = filled[0], filled[-1]
    # A logarithmic axis has no zero, so half of the smallest edge replaces it.
    smallest = min((edge for edge in histogram.edges_ms if edge > 0), default=1.0) / 2
    edges = [round(max(edge, smallest), 4) for edge in histogram.edges_ms[first : last + 2]]
    if edges[0] >= edges[-1]:
        edges = [round(edges[0] * 0.9, 4), round(edges[0] * 1.1, 4)]
    counts = histogram.counts[first : last + 1]
    total = sum(counts)
    bins = list(pairwise(edges))
    values = [
        (round(math.sqrt(low * high), 4), round(100 * value / total / math.log(high / low, 1.1), 3))
        for value, (low, high) in zip(counts, bins, strict=True)
    ]
    notes = [f"{value} of {total} successes ({number_format.percent_of(value / total)} %)" for value in counts]
    return Plot(
        title=f"Latency distribution of {case}",
        name="distribution",
        kind="distribution",
        caption="Latency distribution: the area of a bar is its share of the successes; ms on a logarithmic axis",
        where="its percentiles are in the table of iterations",
        x=Axis("latency, ms", "logarithmic", low=edges[0], high=edges[-1]),
        y=Axis("% per 10 % of latency", room=12),
        series=[Series("", values, "bar", line=False, dots="none", notes=notes)],
        edges=edges,
        titles=[f"{_three_digits(low)} {number_format.ABSENT} {_three_digits(high)} ms" for low, high in bins],
        marks=[
            Mark(round(metrics[name], 4), row.label, "curve")
            for name, row in METRICS.items()
            if row.percentile is not None and name in metrics
        ],
    )


def curve(case: str, percentiles: PercentileCurve) -> Plot | None:
    """Plot latency by percentile, of all iterations together and of each; ``None`` if there is only one point."""
    if len(percentiles.percent) < 2:
        return None
    places = [nines(percent) for percent in percentiles.percent]
    several = len(percentiles.iterations_ms) > 1
    last = f"p{percentiles.percent[-1]:g}"

    def line(label: str, ms: list[float], name: str, *, width: float, silent: bool) -> Series:
        values = [(place, round(value, 2)) for place, value in zip(places, ms, strict=False)]
        return Series(label, values, name, dots="none", width=width, silent=silent, unit=" ms")

    each = [
        line("each iteration", ms, "bar-soft", width=1, silent=True)
        for ms in percentiles.iterations_ms
        if ms and several
    ]
    return Plot(
        title=f"Latency by percentile of {case}, up to {last}",
        name="curve",
        kind="lines",
        caption=f"Latency by percentile, up to {last}; beyond it are fewer than 10 successes",
        where="p50, p95 and p99 are in the table of iterations",
        x=Axis("percentile", "percentile", low=1, high=places[-1]),
        y=Axis("latency, ms"),
        series=[line("all" if each else "", percentiles.pooled_ms, "bar", width=2.5, silent=False), *each],
        titles=[f"p{percent:g}" for percent in percentiles.percent],
    )


def courses(case: str, timeline: Timeline) -> list[tuple[int, Plot]]:
    """Plot throughput and latency over time for each iteration, as pairs of its number and the plot.

    Buckets without requests are included, with zero throughput and no latency. All iterations of a case share the same
    axes, so that they can be compared by eye.
    """
    bucket = timeline.bucket_s
    found = {number: _slots(points, bucket) for number, points in enumerate(timeline.iterations, start=1) if points}
    if not found:
        return []
    seen = [point for slots in found.values() for point in slots if point]
    buckets = max(map(len, found.values()))
    every = next((step for step in (1, 2, 5, 10, 20, 50) if buckets / step <= _MOST_LABELS), 100)
    most = max(_short((point.ok + point.failed) / bucket) for point in seen)
    failed = any(point.failed for point in seen)
    slowest = max((point.max_ms or 0.0 for point in seen), default=0.0)
    return [
        (
            number,
            Plot(
                title=f"Over time, {case}, iteration {number}",
                name="course",
                kind="bars",
                stacked=True,
                where="its values are in the table of iterations",
                slots=(buckets, bucket),
                x=Axis("seconds", every=every),
                y=Axis("requests/s", reach=most),
                right=Axis("ms", reach=slowest),
                series=_course(slots, bucket, failed=failed),
                point="from {x} s on",
            ),
        )
        for number, slots in found.items()
    ]


def _slots(points: list[TimelinePoint], bucket: float) -> list[TimelinePoint | None]:
    slots = {round(point.at_s / bucket): point for point in points}
    return [slots.get(slot) for slot in range(max(slots) + 1)]


def _course(slots: list[TimelinePoint | None], bucket: float, *, failed: bool) -> list[Series]:
    bars = [Series("successes per second", [_short(one.ok / bucket) if one else 0.0 for one in slots], "bar")]
    if failed:
        failures: Values = [_short(one.failed / bucket) if one else 0.0 for one in slots]
        bars.append(Series("failures per second", failures, "failed"))
    p95 = [_short(one.p95_ms) if one and one.p95_ms is not None else None for one in slots]
    slowest = [_short(one.max_ms) if one and one.max_ms is not None else None for one in slots]
    return [
        *bars,
        Series("p95 ms", p95, "curve", kind="line", axis="right", dots="none"),
        Series(
            "slowest answer, ms", slowest, "curve", kind="line", axis="right", line=False, dots="small", hollow=True
        ),
    ]


def rounds(case: str, iterations: list[Iteration]) -> Plot | None:
    """Plot the iterations side by side; ``None`` if there is only one."""
    if sum(bool(one.metrics) for one in iterations) < 2:
        return None

    def values(name: str) -> Values:
        return [round(one.metrics[name], 2) if name in one.metrics else None for one in iterations]

    return Plot(
        title=f"Iterations of {case} side by side",
        name="rounds",
        kind="bars",
        caption="Iterations side by side, latencies on the right axis",
        where="the values are in the table of iterations",
        labels=[str(number) for number in range(1, len(iterations) + 1)],
        x=Axis("iteration"),
        y=Axis("req/s"),
        right=Axis("ms"),
        series=[
            Series("req/s", values("requests_per_sec"), "bar"),
            Series("p95 ms", values("p95_latency"), "curve", kind="line", axis="right"),
            Series("p50 ms", values("p50_latency"), "curve", kind="line", axis="right", dash=[5, 3]),
        ],
        point="iteration {x}",
    )


def errors(case: str, iterations: list[Iteration]) -> Plot | None:
    """Plot failures by kind and iteration, the most frequent kind first; ``None`` if nothing failed."""
    kinds = {kind: [one.errors.get(kind, 0) for one in iterations] for each in iterations for kind in each.errors}
    ordered = sorted((kind for kind in kinds if sum(kinds[kind])), key=lambda kind: (-sum(kinds[kind]), kind))
    if not ordered:
        return None
    return Plot(
        title=f"Failures of {case} by kind",
        name="errors",
        kind="bars",
        horizontal=True,
        stacked=True,
        caption="Failures by kind, iteration after iteration from the left",
        where="the values are in the table of failures",
        legend="none",
        labels=ordered,
        y=Axis("requests that failed", whole=True),
        series=[
            Series(f"iteration {number}", [kinds[kind][number - 1] or None for kind in ordered], "failed")
            for number in range(1, len(iterations) + 1)
        ],
    )


def overhead(cases: list[Case]) -> Plot | None:
    """Plot what differences add to the median and the tail."""
    if not cases:
        return None
    differences = [row for row in METRICS.values() if row.difference_of]
    return Plot(
        title="Added latency in ms",
        name="differences",
        kind="bars",
        caption="In ms",
        where="the values are in the table that follows",
        labels=[case.name for case in cases],
        y=Axis("added, ms"),
        series=[
            Series(row.label, [case.metrics.get(row.name) for case in cases], one, unit=" ms")
            for row, one in zip(differences, itertools.cycle(("bar-soft", "bar", "curve")), strict=False)
        ],
    )


def _three_digits(value: float) -> str:
    """Format an axis value with three significant digits, and all digits before the decimal point."""
    return number_format.count(round(value)) if value >= 100 else f"{value:.3g}"


def _short(value: float) -> float:
    """Round to four significant digits: no chart shows more, and a page holds thousands of values."""
    return float(f"{value:.4g}")
