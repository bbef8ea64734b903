"""The trend in words, as lines of at most 100 columns, worst first. It depends on the document only."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from benchkit.model import METRICS, ChangePoint, SeriesTrend, Slide, Trend, TrendRun
from benchkit.number_format import fixed, moved, plural
from benchkit.verdict import change_points

WIDTH = 100
BARS = "▁▂▃▄▅▆▇█"
SPARK = 32
"""Columns of a sparkline; with more runs, a column shows the median of several."""

_CASE, _METRIC = 40, 14


@dataclass(frozen=True)
class TrendWords:
    """The sentences about a whole trend: its scope, what was found, and what could have been detected."""

    about: str
    found: str
    limits: str


def trend_words(trend: Trend) -> TrendWords:
    """Return the sentences above and below the series."""
    if not trend.runs:
        return TrendWords(f"No stored run of profile {trend.profile} can be part of a trend{_left_out(trend)}.", "", "")
    first, last = trend.runs[0], trend.runs[-1]
    about = (
        f"Trend of profile {trend.profile}: {plural(len(trend.runs), 'run')}, {first.finished:%Y-%m-%d} to "
        f"{last.finished:%Y-%m-%d}{_left_out(trend)}."
    )
    if all(one.problem for one in trend.series):
        most = max(sum(value is not None for value in one.values) for one in trend.series)
        found = (
            f"Too few runs for a trend: a case has at most {plural(most, 'run')}, {trend.needed_runs} are needed. With "
            "fewer, a change cannot be distinguished from the noise between runs; compare a run with its baseline, or "
            "two gateways side by side. Measured so far:"
        )
        return TrendWords(about, found, "")
    changed = [one for one in trend.series if one.change_points or one.slide]
    return TrendWords(about, _summary(changed, trend.series), _limits(trend))


def trend_report(trend: Trend) -> str:
    """Return the whole report: its scope, what changed, what did not, and what could have been detected."""
    words = trend_words(trend)
    if not trend.runs:
        return _wrapped(words.about)
    end = f"\n{_wrapped(words.limits)}" if words.limits else ""
    return _wrapped(words.about) + _wrapped(words.found) + _table(trend.series) + end


def _left_out(trend: Trend) -> str:
    return f" (left out: {', '.join(trend.left_out)})" if trend.left_out else ""


def _summary(changed: Sequence[SeriesTrend], series: Sequence[SeriesTrend]) -> str:
    worse = sum(one.change_percent < 0 for one in changed)
    better = len(changed) - worse
    if not changed:
        return f"None of {len(series)} series changed its level or slides."
    return f"{worse} of {len(series)} series got worse, {better} got better; the worst first."


def _table(series: Sequence[SeriesTrend]) -> str:
    lines = [f"\n{'case':<{_CASE}} {'metric':<{_METRIC}} {'oldest to newest run':<{SPARK}} {'newest':>9}\n"]
    for one in series:
        metric = METRICS[one.metric]
        case = one.case if len(one.case) <= _CASE else one.case[: _CASE - 1] + "…"
        measured = [value for value in one.values if value is not None]
        newest = fixed(metric, measured[-1] if measured else None)
        label = metric.heading + (" ~" if one.advisory else "")
        lines.append(f"{case:<{_CASE}} {label:<{_METRIC}} {sparkline(one.values):<{SPARK}} {newest:>9}\n")
        lines += [_wrapped(words, indent=4) for words in findings(one)]
    if any(one.advisory for one in series):
        lines.append("~ a percentile with too few samples beyond it: it is shown, but varies a lot\n")
    return "".join(lines)


def findings(one: SeriesTrend) -> list[str]:
    """Return the findings of a series, one phrase each, newest change first; empty if nothing changed."""
    if one.problem:
        return [f"too few: {one.problem}"]
    slide = [_slide(one.slide)] if one.slide else []
    return slide + [_change_point(point) for point in reversed(one.change_points)]


def _change_point(point: ChangePoint) -> str:
    words = (
        f"{moved(point.change_percent, point.interval)} from {_run(point.last_before)} to {_run(point.first_after)}; "
        f"{plural(point.runs_before, 'run')} before, {point.runs_after} after"
    )
    if point.machine_percent is not None:
        speed = f"{abs(point.machine_percent):.1f} % {'slower' if point.machine_percent > 0 else 'faster'}"
        words += f". In the later runs the machine's calibration loop was {speed}"
    return words


def _slide(slide: Slide) -> str:
    word = "worse" if slide.per_ten_runs_percent < 0 else "better"
    return (
        f"slides: {abs(slide.per_ten_runs_percent):.1f} % {word} per 10 runs, in all "
        f"{moved(slide.total_percent, slide.interval)} over {slide.runs} runs since {_run(slide.since)}"
    )


def _run(run: TrendRun) -> str:
    return f"{run.run_id} (gateway {run.release})" if run.release else run.run_id


def _limits(trend: Trend) -> str:
    """Return what could have been detected: the step that is found half of the time at the series' median noise."""
    measured = [(one.noise_percent, sum(value is not None for value in one.values)) for one in trend.series]
    noise = [(percent, runs) for percent, runs in measured if percent is not None]
    middle, runs = median(percent for percent, _ in noise), min(runs for _, runs in noise)
    step = 100 * math.expm1(change_points.visible_step(middle / 100, runs, min(5, runs // 2)))
    return (
        f"Noise between neighbouring runs: {middle:.1f} % (median over the series). With it, a step of about "
        f"{step:.0f} % is found {min(5, runs // 2)} runs after it happened, and smaller ones later. A change point "
        "says which run changed, not why: the cause may be the machine, the settings or the release."
    )


def sparkline(values: Sequence[float | None], columns: int = SPARK) -> str:
    """Return the values as bars, the smallest lowest, with a gap for each missing value."""
    width = min(len(values), columns)
    bounds = [round(place * len(values) / width) for place in range(width + 1)] if width else []
    cells = []
    for start, end in pairwise(bounds):
        found = [value for value in values[start:end] if value is not None]
        cells.append(median(found) if found else None)
    known = [cell for cell in cells if cell is not None]
    if not known:
        return " " * width
    low, span = min(known), max(known) - min(known)
    return "".join(" " if cell is None else BARS[_bar(cell - low, span)] for cell in cells)


def _bar(above: float, span: float) -> int:
    return min(int(above / span * len(BARS)), len(BARS) - 1) if span > 0 else len(BARS) // 2


def _wrapped(text: str, *, indent: int = 0) -> str:
    space = " " * indent
    lines = textwrap.wrap(text, WIDTH, initial_indent=space, subsequent_indent=space, break_on_hyphens=False)
    return "".join(f"{line}\n" for line in lines)
