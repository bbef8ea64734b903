"""What the charts of the pages draw; ``templates/pages.js`` places it.

A page has a list of plots, and its canvases name them by their place in it.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Literal

from benchkit.model import Tone

COLOURS = ("s1", "s2", "s3", "s4", "s5", "s6")
"""Colours of runs, in their order; the seventh run has the first's again. A legend with words stands beside each."""


@dataclass(frozen=True)
class Series:  # pylint: disable=too-many-instance-attributes # one for each way in which lines differ
    """One line, or one bar of each group.

    ``values``: one for each label of the plot, absent where there is none; or pairs of x and y where it has no labels.
    ``intervals``: the ends of a whisker for each value, where it has one. ``colour`` names a colour of the styles.
    """

    label: str
    values: list[float | None] | list[tuple[float, float]]
    colour: str
    axis: Literal["y", "right"] = "y"
    line: bool = True
    dots: Literal["none", "small", "large"] = "large"
    hollow: bool = False
    dashed: bool = False
    intervals: list[tuple[float, float] | None] | None = None


@dataclass(frozen=True)
class Mark:
    """A vertical line with a label. ``at``: a place on the x axis; 1.5 lies between the second and the third label."""

    at: float
    label: str
    tone: Tone


@dataclass(frozen=True)
class Plot:  # pylint: disable=too-many-instance-attributes # as many as a chart has parts
    """One chart. ``title`` says what it shows; ``x``, ``y`` and ``right`` are the axes' titles with their units."""

    title: str
    kind: Literal["bars", "lines"]
    y: str
    series: list[Series]
    labels: list[str] | None = None
    x: str = ""
    right: str = ""
    horizontal: bool = False
    from_zero: bool = True
    marks: list[Mark] = field(default_factory=list)


@dataclass(frozen=True)
class Drawn:
    """A plot as a template has it: its place among the page's plots, and the plot."""

    number: int
    plot: Plot


class Plots:
    """The plots of a page; none are kept where there are no charts."""

    def __init__(self, *, off: bool) -> None:
        self._off = off
        self._plots: list[Plot] = []

    def add(self, plot: Plot) -> Drawn | None:
        """Keep a plot for the page's script; ``None`` where the page has no charts, or the plot no value."""
        if self._off or not any(value is not None for one in plot.series for value in one.values):
            return None
        self._plots.append(plot)
        return Drawn(len(self._plots) - 1, plot)

    def data(self) -> dict[str, object]:
        """What the page's script gets."""
        return {"plots": [dataclasses.asdict(plot) for plot in self._plots]}


def colour(number: int) -> str:
    """The colour of the series at a place."""
    return COLOURS[number % len(COLOURS)]
