"""The scalability page: throughput and p95 of each case over MCP servers or concurrency, with the knee marked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from benchkit import number_format
from benchkit.model import METRICS, ScalingCase, ScalingCurve, ScalingStudy, Tone
from benchkit.number_format import Cell, absent
from benchkit.report.chart_library import ChartLibrary
from benchkit.report.charts import Axis, Drawn, Mark, Plot, Plots, Series
from benchkit.report.frame import Frame, fill_page

_NOUNS = {"servers": "MCP servers", "concurrency": "concurrent requests"}
_RATE, _TAIL = "requests_per_sec", "p95_latency"


@dataclass(frozen=True)
class ScalingRow:
    """A case: its values at the first and the last place, its highest throughput, its knees and its scaling law.

    ``values`` has the bare numbers of ``cells``; empty where there is none.
    """

    id: str
    cells: list[Cell]
    values: list[str]
    state: str
    tone: Tone
    remarks: list[str]
    drawn: Drawn | None


def scaling_page(study: ScalingStudy, target: str, differences: Sequence[str], library: ChartLibrary) -> str:
    """Return the HTML.

    Args:
        study: the measured curves.
        target: gateway and machine, in words.
        differences: other differences between the runs, in words.
        library: the chart library to embed.

    Raises:
        UserError: as :func:`benchkit.report.frame.fill_page`.
    """
    noun = _NOUNS[study.varied]
    plots = Plots(library)
    rows = [_row(case, study, plots) for case in study.cases]
    frame = Frame(
        title="Scalability",
        subject=f"over {noun}",
        target=target,
        tone=Tone.PLAIN,
        word=f"{study.places[0]} to {study.places[-1]} {noun}",
        sentence=_finding(study),
        notes=[f"The runs also differ in other settings, which affects every curve: {'; '.join(differences)}."]
        if differences
        else [],
        footer="Every value on this page is in the run.json of its runs.",
    )
    first, last = study.places[0], study.places[-1]
    heads = [
        f"req/s at {first}",
        f"req/s at {last}",
        "highest req/s",
        f"at {noun}",
        f"p95 ms at {first}",
        f"p95 ms at {last}",
        "knee of req/s",
        "knee of p95",
    ]
    if study.varied == "concurrency":
        heads += ["fitted peak at", "contention", "coherency"]
    context = {"heads": heads, "rows": rows, "noun": noun, "study": study, "law": study.varied == "concurrency"}
    return fill_page("scaling.html", frame, context, plots)


def _finding(study: ScalingStudy) -> str:
    rates = [case.curves[0] for case in study.cases]
    measured = [curve for curve in rates if curve.medians]
    if not measured:
        return "No case has a value, so there is no result."
    runs = f"{study.runs} runs at {len(study.places)} points"
    bent = [curve.knee for curve in measured if curve.knee is not None]
    if bent:
        where = f"{min(bent):g}" if min(bent) == max(bent) else f"{min(bent):g} to {max(bent):g}"
        return (
            f"{runs}: the throughput of {len(bent)} of {len(measured)} cases has a knee, at {where} "
            f"{_NOUNS[study.varied]}."
        )
    few = all(curve.is_sparse for curve in measured)
    return f"{runs}: {'too few points for a knee' if few else 'no knee within the measured range'}."


def _row(case: ScalingCase, study: ScalingStudy, plots: Plots) -> ScalingRow:
    rate, tail = case.curves
    ends = [_at(rate, study.places[0]), _at(rate, study.places[-1])]
    best = max(rate.medians, key=lambda point: point[1], default=None)
    law = rate.law
    pairs: list[tuple[str, float | None]] = [
        (_RATE, ends[0]),
        (_RATE, ends[1]),
        (_RATE, best[1] if best else None),
        ("", best[0] if best else None),
        (_TAIL, _at(tail, study.places[0])),
        (_TAIL, _at(tail, study.places[-1])),
        ("", rate.knee),
        ("", tail.knee),
    ]
    if study.varied == "concurrency":
        pairs += [
            ("", law.peak_at if law else None),
            ("share", law.contention if law else None),
            ("share", law.coherency if law else None),
        ]
    remarks = [f"{METRICS[curve.metric].label}: {curve.remark}" for curve in case.curves if curve.remark]
    state, tone = ("knee", Tone.WARN) if rate.knee is not None else ("no knee", Tone.PLAIN)
    if len(rate.medians) < len(study.places):
        state, tone = ("not everywhere", Tone.WARN) if rate.medians else ("no value", Tone.BAD)
    return ScalingRow(
        id=case.id,
        cells=[_cell(name, value) for name, value in pairs],
        values=["" if value is None else f"{value:.6g}" for _, value in pairs],
        state=state,
        tone=tone,
        remarks=[*remarks, *case.left_out],
        drawn=plots.add(_plot(case, study)),
    )


def _at(curve: ScalingCurve, place: int) -> float | None:
    return next((y for x, y in curve.medians if x == place), None)


def _cell(name: str, value: float | None) -> Cell:
    if value is None:
        return absent("none within the measured range")
    if name == "share":
        return Cell(f"{value:.2g}")
    return Cell(number_format.metric(name, value) if name else number_format.significant(value, 1).removesuffix(".0"))


def _plot(case: ScalingCase, study: ScalingStudy) -> Plot:
    rate, tail = case.curves
    repeated = len(rate.points) > len(rate.medians)
    series = [
        *_series(rate, "req/s", "s1", repeated=repeated),
        *_series(tail, "p95, ms", "s2", repeated=repeated),
    ]
    marks = [
        Mark(curve.knee, f"knee of {METRICS[curve.metric].label} at {curve.knee:g}", Tone.WARN)
        for curve in (rate, tail)
        if curve.knee is not None
    ]
    return Plot(
        title=case.id,
        kind="lines",
        x=Axis(_NOUNS[study.varied]),
        y=Axis("req/s"),
        right=Axis("p95, ms"),
        point=f"{_NOUNS[study.varied]} {{x}}",
        series=series,
        marks=sorted(marks, key=lambda mark: mark.at),
    )


def _series(curve: ScalingCurve, label: str, colour: str, *, repeated: bool) -> list[Series]:
    """Return the medians as a line; if places were measured several times, also each run as a point."""
    axis: Literal["y", "right"] = "y" if curve.metric == _RATE else "right"
    line = Series(
        f"{label}, median" if repeated else label,
        list(curve.medians),
        colour,
        axis=axis,
        dots="none" if repeated else "large",
        dash=[6, 4] if axis == "right" else [],
    )
    if not repeated:
        return [line]
    runs = Series(
        f"{label}, each run",
        list(curve.points),
        colour,
        axis=axis,
        line=False,
        form="rectRot" if axis == "right" else "circle",
    )
    return [line, runs]
