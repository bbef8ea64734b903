"""The trend page: what changed, in a sentence each, and every series with its change points and slides marked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchkit import number_format
from benchkit.model import METRICS, ChangePoint, SeriesTrend, Tone, Trend
from benchkit.number_format import Cell, absent
from benchkit.report.chart_library import ChartLibrary
from benchkit.report.charts import Axis, Drawn, Mark, Plot, Plots, Series
from benchkit.report.frame import Frame, fill_page


@dataclass(frozen=True)
class SeriesWords:
    """The findings of one series: a phrase for each; empty if there are none."""

    series: SeriesTrend
    findings: Sequence[str]


@dataclass(frozen=True)
class TrendRow:
    """One series in the table. ``values`` has the bare numbers of newest, change and noise."""

    case: str
    metric: str
    newest: Cell
    change: Cell
    noise: Cell
    values: list[str]
    state: str
    tone: Tone
    findings: Sequence[str]


@dataclass(frozen=True)
class TrendCase:
    """A case: its rows, and the chart of each."""

    id: str
    state: str
    tone: Tone
    moved: bool
    rows: list[TrendRow]
    charts: list[Drawn]


def trend_page(
    trend: Trend,
    words: Sequence[SeriesWords],
    sentences: tuple[str, str, str],
    library: ChartLibrary,
) -> str:
    """Return the HTML.

    Args:
        trend: the trend over the runs.
        words: every series of the trend, in its order, with its findings in words.
        sentences: the trend's subject, the findings, and the detectable changes.
        library: the chart library to embed.

    Raises:
        UserError: as :func:`benchkit.report.frame.fill_page`.
    """
    about, found, limits = sentences
    plots = Plots(library)
    rows = [_row(one) for one in words]
    cases = [
        _case(case, [(row, one.series) for row, one in zip(rows, words, strict=True) if row.case == case], trend, plots)
        for case in dict.fromkeys(row.case for row in rows)
    ]
    word, tone = _word([one.series for one in words])
    frame = Frame(
        title=f"Trend of the {trend.profile} profile",
        subject=f"{len(trend.runs)} runs",
        target=about,
        tone=tone,
        word=word,
        sentence=found or about,
        notes=[limits] if limits else [],
        footer="Every value on this page is in the run.json of its run; the search is that of utils/trend.py.",
    )
    context = {
        "rows": rows,
        "cases": cases,
        "found": [
            (row.case, row.metric, text)
            for row, one in zip(rows, words, strict=True)
            if not one.series.problem
            for text in row.findings
        ],
    }
    return fill_page("trend.html", frame, context, plots)


def _word(series: Sequence[SeriesTrend]) -> tuple[str, Tone]:
    """Return the worst finding as a word with its tone."""
    if any(one.change_points or one.slide for one in series):
        worse = any(one.change_percent < 0 for one in series)
        return ("Got worse", Tone.BAD) if worse else ("Got better", Tone.GOOD)
    if not series:
        return "No trend", Tone.WARN
    return ("Too few runs", Tone.WARN) if all(one.problem for one in series) else ("Steady", Tone.GOOD)


def _row(words: SeriesWords) -> TrendRow:
    one = words.series
    metric = METRICS[one.metric]
    newest = next((value for value in reversed(one.values) if value is not None), None)
    moved = bool(one.change_points or one.slide)
    state, tone = _state(one)
    cell = absent("not measured")
    if newest is not None:
        text = number_format.metric(one.metric, newest)
        cell = Cell(text, "advisory: too few samples beyond it", advisory=True) if one.advisory else Cell(text)
    noise = one.noise_percent
    return TrendRow(
        case=one.case,
        metric=metric.heading,
        newest=cell,
        change=Cell(number_format.signed(one.change_percent)) if moved else absent(one.problem or "nothing changed"),
        noise=absent(one.problem or "not known") if noise is None else Cell(f"{noise:.1f}"),
        values=[
            "" if newest is None else f"{newest:.6g}",
            f"{one.change_percent:.6g}" if moved else "",
            "" if noise is None else f"{noise:.6g}",
        ],
        state=state,
        tone=tone,
        findings=words.findings,
    )


def _state(one: SeriesTrend) -> tuple[str, Tone]:
    if one.problem:
        return "too few runs", Tone.PLAIN
    if not one.change_points and one.slide is None:
        return "steady", Tone.PLAIN
    verb = "slides, " if one.slide is not None else ""
    return (f"{verb}worse", Tone.BAD) if one.change_percent < 0 else (f"{verb}better", Tone.GOOD)


def _case(case: str, pairs: Sequence[tuple[TrendRow, SeriesTrend]], trend: Trend, plots: Plots) -> TrendCase:
    rows = [row for row, _ in pairs]
    order = [Tone.BAD, Tone.GOOD, Tone.WARN, Tone.PLAIN]
    worst = min(rows, key=lambda row: order.index(row.tone))
    drawn = [plots.add(_plot(one, trend)) for _, one in pairs]
    return TrendCase(
        id=case,
        state=worst.state,
        tone=worst.tone,
        moved=any(row.tone in (Tone.BAD, Tone.GOOD) for row in rows),
        rows=rows,
        charts=[one for one in drawn if one],
    )


def _plot(one: SeriesTrend, trend: Trend) -> Plot:
    metric = METRICS[one.metric]
    runs = [run.run_id for run in trend.runs]
    heading = metric.heading.replace(" ms", ", ms")
    few = len(runs) <= 60
    series = [Series(heading, list(one.values), "s1", dots="large" if few else "small")]
    marks = [_mark(point, runs) for point in one.change_points]
    if one.slide is not None:
        start = runs.index(one.slide.since.run_id)
        low, high = sorted(one.slide.interval)
        slope = number_format.signed(one.slide.per_ten_runs_percent)
        label = f"slides from here: {_moved(one.slide.total_percent, low, high)}, {slope} % per 10 runs"
        marks.append(Mark(start, label, _tone(one.slide.total_percent)))
    scores = [run.control_score for run in trend.runs]
    if any(score is not None for score in scores):
        series.append(
            Series("calibration loop of the machine, ms", list(scores), "s6", axis="right", dots="none", dash=[6, 4])
        )
    return Plot(
        title=f"{one.case}: {heading}",
        kind="lines",
        x=Axis("run"),
        y=Axis(heading, from_zero=False, room=15),
        right=Axis("control work, ms", from_zero=False, room=15) if len(series) > 1 else None,
        labels=[f"{run.finished:%Y-%m-%d %H:%M}" + (f" · {run.release}" if run.release else "") for run in trend.runs],
        series=series,
        marks=sorted(marks, key=lambda mark: mark.at),
    )


def _mark(point: ChangePoint, runs: Sequence[str]) -> Mark:
    """Mark a change point between the last run before it and the first run after it that have a value."""
    at = (runs.index(point.last_before.run_id) + runs.index(point.first_after.run_id)) / 2
    low, high = sorted(point.interval)
    return Mark(at, _moved(point.change_percent, low, high), _tone(point.change_percent))


def _moved(percent: float, low: float, high: float) -> str:
    change, worse, better = map(number_format.signed, (percent, low, high))
    return f"{change} % ({worse} to {better})"


def _tone(percent: float) -> Tone:
    return Tone.BAD if percent < 0 else Tone.GOOD
