"""The report over several profiles: what got worse, what has no result, and how each case scales."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple
from urllib.parse import quote

from benchkit import number_format
from benchkit.clock import duration, seconds_between
from benchkit.ended import Ended, ended, ended_sweep
from benchkit.errors import severity
from benchkit.model import (
    METRICS,
    AllRuns,
    Case,
    Comparison,
    MetricComparison,
    ProfileRun,
    ProfileState,
    Run,
    Tone,
    Validity,
)
from benchkit.number_format import ABSENT, Cell, absent
from benchkit.report.chart_library import ChartLibrary
from benchkit.report.charts import Axis, Drawn, Plot, Plots, PointForm, Series
from benchkit.report.comparison_table import Column, ColumnsTable, case_keys, columns_table, outcomes
from benchkit.report.comparison_view import Badge
from benchkit.report.frame import Frame, fill_page
from benchkit.report.headline import sentence

_SHOWN = ("requests_per_sec", "p50_latency", "p95_latency")
_CHARTS = {"requests_per_sec": ("req/s", " req/s"), "p95_latency": ("p95, ms", " ms")}
"""The charted metrics: title, and the unit after a value."""

_FORMS: tuple[PointForm, ...] = ("circle", "rect", "triangle", "rectRot", "cross", "star", "crossRot")
"""Shapes of the points: lines differ in colour and in point shape."""

_ROOM = 1.25
"""The axis extends to this multiple of the largest value."""

_NONE = "not measured"


@dataclass(frozen=True)
class ProfileDocuments:
    """The documents of one profile: its entry in the sweep, its run and comparison, or why one cannot be read.

    ``report``: the address of its own report, empty if there is none.
    """

    entry: ProfileRun
    run: Run | None = None
    comparison: Comparison | None = None
    report: str = ""
    problem: str = ""

    @property
    def ended(self) -> Ended | None:
        """Return how its run ended; ``None`` if there is no run."""
        return ended(self.run, self.comparison) if self.run else None


@dataclass(frozen=True)
class WorseRow:
    """A significant regression in a metric of a case, or of all cases together (then without ``link``)."""

    profile: str
    case: str
    link: str
    metric: str
    current: str
    reference: str
    change: Cell
    interval: str
    verdict: Badge


@dataclass(frozen=True)
class Problem:
    """A case without a result, or a profile without one (then ``case`` is empty)."""

    profile: str
    case: str
    link: str
    state: Badge
    reason: str


@dataclass(frozen=True)
class ProfileRow:
    """A profile in the summary table."""

    profile: str
    report: str
    verdict: Badge
    load: str
    cells: list[tuple[str, Cell]]


@dataclass(frozen=True)
class Page:
    """All content of the template. ``charts``: by scenario; ``table``: one column for each profile."""

    run_id: str
    worse: list[WorseRow]
    problems: list[Problem]
    profiles: list[ProfileRow]
    table: ColumnsTable | None
    charts: list[tuple[str, list[Drawn]]]


def profile_sweep_page(document: AllRuns, profiles: Sequence[ProfileDocuments], library: ChartLibrary) -> str:
    """Return the HTML; raises :class:`~benchkit.errors.UserError` as :func:`benchkit.report.frame.fill_page`."""
    plots = Plots(library)
    page = build_page(document, profiles, plots)
    return fill_page("profile_sweep.html", build_frame(document, profiles), {"page": page}, plots)


def build_frame(document: AllRuns, profiles: Sequence[ProfileDocuments]) -> Frame:
    """Return the head of the page: the result over all profiles."""
    end = ended_sweep(document, [one.ended for one in profiles if one.ended])
    started = f"{document.started.astimezone():%Y-%m-%d %H:%M}"
    return Frame(
        title="All profiles",
        subject=started,
        started=started,
        started_iso=document.started.isoformat(),
        tone=end.tone,
        word=end.word,
        sentence=sentence(end.reason),
        notes=_notes(document, profiles),
        facts=_facts(document, profiles, end),
    )


def build_page(document: AllRuns, profiles: Sequence[ProfileDocuments], plots: Plots) -> Page:
    """Return the content of the page, from the documents alone; its charts are added to ``plots``."""
    columns = [_column(one, one.run) for one in profiles if one.run]
    keys = case_keys([one.run for one in profiles if one.run], differences=False)
    return Page(
        run_id=document.run_id,
        worse=_worse(profiles),
        problems=_problems(profiles),
        profiles=[_profile_row(one) for one in profiles],
        table=columns_table(columns, None, keys, _SHOWN) if keys else None,
        charts=[(name, drawn) for name in _scenarios(profiles) if (drawn := _charts(name, profiles, plots))],
    )


def _column(one: ProfileDocuments, run: Run) -> Column:
    compared = {case.id: case for case in one.comparison.cases} if one.comparison else {}
    label = f"{one.entry.profile}, {one.entry.load.concurrency} concurrent"
    return Column(label, outcomes(run), compared, report=one.report)


def _charts(scenario: str, profiles: Sequence[ProfileDocuments], plots: Plots) -> list[Drawn]:
    """Plot a line for each case over the profiles, ordered by concurrency. Missing and invalid results are gaps."""
    ordered = sorted(profiles, key=lambda one: one.entry.load.concurrency)
    found = [{case.id: case for case in _cases(one) if case.scenario == scenario} for one in ordered]
    cases = list(dict.fromkeys(key for cases in found for key in cases))
    drawn = []
    for name, (title, unit) in _CHARTS.items():
        lines = {case: [_charted(cases.get(case), name) for cases in found] for case in cases}
        positive = [value for line in lines.values() for value in line if value]
        plot = Plot(
            title=f"{title} of the cases of {scenario} under each profile",
            caption=title,
            kind="lines",
            where="the values are in the table that follows",
            legend="inside",
            labels=[[one.entry.profile, f"{one.entry.load.concurrency} concurrent"] for one in ordered],
            y=Axis(scale="logarithmic", low=min(positive) / _ROOM, high=max(positive) * _ROOM) if positive else Axis(),
            series=[
                Series(
                    case.partition("/")[2] or case,
                    line,
                    f"hue-{(360 * place // len(cases) + 210) % 360}",
                    form=_FORMS[place % len(_FORMS)],
                    unit=unit,
                )
                for place, (case, line) in enumerate(lines.items())
            ],
        )
        drawn.append(plots.add(plot))
    return [one for one in drawn if one]


# ---------------------------------------------------------------------------------------------------------------------
# Notes on the verdict


def _notes(document: AllRuns, profiles: Sequence[ProfileDocuments]) -> list[str]:
    """Return notes that a reader needs to understand the verdict."""
    notes = []
    first = [one.entry.profile for one in profiles if one.run is not None and one.comparison is None]
    if first:
        notes.append(
            f"Not compared with a baseline: {', '.join(first)}. A profile's first run becomes its baseline; the next "
            "one is compared with it."
        )
    notes += [one.problem for one in profiles if one.problem]
    releases = dict.fromkeys(one.run.environment.target.release or "unknown" for one in profiles if one.run)
    if len(releases) > 1:
        notes.append(f"The profiles measured different gateways: releases {', '.join(releases)}.")
    earlier = [name for one in document.profiles for name in one.earlier]
    if earlier:
        notes.append(f"Interrupted and measured again: {', '.join(earlier)} (kept, not part of this report).")
    return notes


def _facts(document: AllRuns, profiles: Sequence[ProfileDocuments], end: Ended) -> list[tuple[str, str]]:
    sent, failed = _requests([case for one in profiles for case in _measured(one)])
    measured = sum(one.run is not None and one.entry.state is ProfileState.DONE for one in profiles)
    facts = [
        ("Profiles measured", f"{measured} of {len(profiles)}"),
        ("Cases valid", f"{end.valid} of {end.measured}"),
        ("Requests sent", number_format.count(sent)),
    ]
    if sent:
        facts.append(("Requests failed", f"{number_format.percent_of(failed / sent)} %"))
    took = sum(_seconds(one.entry) or 0.0 for one in profiles)
    facts.append(("Time", duration(took) if took else ABSENT))
    if document.exit_code is not None:
        facts.append(("Exit code", str(document.exit_code)))
    return facts


# ---------------------------------------------------------------------------------------------------------------------
# Regressions and problems


def _worse(profiles: Sequence[ProfileDocuments]) -> list[WorseRow]:
    """Return every significant regression, critical ones first, then by size."""
    found = [
        (compared.verdict.severity, compared.change_percent or 0.0, _worse_row(one, case, name, compared))
        for one in profiles
        for case, name, compared in (_judged(one.comparison) if one.comparison else [])
        if compared.verdict.row.fails and not compared.advisory
    ]
    return [row for _, _, row in sorted(found, key=lambda item: item[:2])]


def _judged(comparison: Comparison) -> Iterator[tuple[str, _Metric, MetricComparison]]:
    """Yield all judged metrics by case (empty: all cases together), against either reference."""
    for name, compared, is_oldest in comparison.together():
        yield "", _Metric(name, is_oldest), compared
    for case in comparison.cases:
        for metrics, is_oldest in ((case.metrics, False), (case.since_oldest, True)):
            for name, compared in metrics.items():
                yield case.id, _Metric(name, is_oldest), compared


class _Metric(NamedTuple):
    """A metric, and whether its reference is the oldest accepted runs."""

    name: str
    is_oldest: bool


def _worse_row(one: ProfileDocuments, case: str, metric: _Metric, compared: MetricComparison) -> WorseRow:
    name = metric.name
    unit = " points" if METRICS[name].absolute else " %"
    change = compared.change_percent
    return WorseRow(
        profile=one.entry.profile,
        case=case or "all cases together",
        link=_link(one, case) if case else "",
        metric=METRICS[name].heading + (" since the oldest runs" if metric.is_oldest else ""),
        current=_plain(name, compared.current),
        reference=_plain(name, compared.reference),
        change=absent(_NONE) if change is None else Cell(f"{number_format.signed(change)}{unit}", value=change),
        interval=number_format.signed_interval(METRICS[name], compared.interval),
        verdict=Badge(compared.verdict.value, compared.verdict.row.tone),
    )


def _problems(profiles: Sequence[ProfileDocuments]) -> list[Problem]:
    """Return profiles without a run, the worst exit first, then cases without a result."""
    entries = sorted((one for one in profiles if one.run is None), key=lambda one: severity(one.entry.exit_code or 0))
    found = [
        Problem(
            profile=one.entry.profile,
            case="",
            link="",
            state=Badge(_state_word(one.entry), Tone.PLAIN if one.entry.state is ProfileState.PENDING else Tone.BAD),
            reason=sentence(one.problem or one.entry.reason),
        )
        for one in entries
    ]
    cases = [(one, case) for one in profiles for case in _measured(one) if case.validity is not Validity.VALID]
    found += [
        Problem(
            profile=one.entry.profile,
            case=case.id,
            link=_link(one, case.id),
            state=Badge(case.validity.value, case.validity.row.tone),
            reason=sentence(case.reason),
        )
        for one, case in sorted(cases, key=lambda pair: pair[1].validity.severity)
    ]
    return found


def _state_word(entry: ProfileRun) -> str:
    return {ProfileState.PENDING: "not measured", ProfileState.RUNNING: "running"}.get(entry.state, "no run")


# ---------------------------------------------------------------------------------------------------------------------
# Tables


def _profile_row(one: ProfileDocuments) -> ProfileRow:
    load = one.entry.load
    return ProfileRow(
        profile=one.entry.profile,
        report=one.report,
        verdict=_ended(one),
        load=f"{load.iterations} {number_format.TIMES} {number_format.count(load.requests)} at {load.concurrency}",
        cells=_profile_cells(one),
    )


def _ended(one: ProfileDocuments) -> Badge:
    if one.ended is None:
        return Badge(_state_word(one.entry).capitalize(), Tone.BAD)
    return Badge(one.ended.word, one.ended.tone)


def _profile_cells(one: ProfileDocuments) -> list[tuple[str, Cell]]:
    cases = _measured(one)
    valid = [case for case in cases if case.validity is Validity.VALID]
    sent, failed = _requests(cases)
    took = _seconds(one.entry)
    share = one.run.load_seconds / took if one.run and took else None
    code = one.entry.exit_code
    ran = one.run is not None
    return [
        (
            "valid cases",
            _cell(f"{one.ended.valid} of {one.ended.measured}", one.ended.valid) if one.ended else absent(_NONE),
        ),
        ("got worse", Cell(one.comparison.worse_cases) if one.comparison else absent(_NONE)),
        ("requests", _cell(number_format.count(sent), sent if ran else None)),
        ("failed %", _share(failed / sent if sent else None)),
        ("p50 ms", _median(valid, "p50_latency")),
        ("p95 ms", _median(valid, "p95_latency")),
        ("took", absent(_NONE) if took is None else Cell(duration(took), value=round(took, 1))),
        ("under load %", _share(share)),
        ("exit", _cell(str(code), code)),
    ]


def _cell(text: str, value: float | None) -> Cell:
    return absent(_NONE) if value is None else Cell(text, value=value)


def _share(share: float | None) -> Cell:
    return absent(_NONE) if share is None else Cell(number_format.percent_of(share), value=round(share, 4))


def _median(cases: Sequence[Case], name: str) -> Cell:
    """Return the median of a metric over the valid cases. A mean would be dominated by one slow kind of request."""
    values = [case.metrics[name] for case in cases if name in case.metrics]
    return Cell(number_format.metric(name, median(values)), value=median(values)) if values else absent(_NONE)


# ---------------------------------------------------------------------------------------------------------------------
# Helpers


def _cases(one: ProfileDocuments) -> list[Case]:
    """Return the cases with a rate of their own: all except differences."""
    return [case for case in one.run.cases if case.kind != "difference"] if one.run else []


def _measured(one: ProfileDocuments) -> list[Case]:
    return [case for case in one.run.cases if case.kind == "measured"] if one.run else []


def _scenarios(profiles: Sequence[ProfileDocuments]) -> list[str]:
    return list(dict.fromkeys(case.scenario for one in profiles for case in _cases(one)))


def _charted(case: Case | None, name: str) -> float | None:
    if case is None or case.validity is not Validity.VALID or name not in case.metrics:
        return None
    return round(case.metrics[name], 2)


def _requests(cases: Sequence[Case]) -> tuple[int, int]:
    """Return the number of sent and of failed requests."""
    sent = sum(each.sent for case in cases for each in case.iterations)
    return sent, sent - sum(each.ok for case in cases for each in case.iterations)


def _seconds(entry: ProfileRun) -> float | None:
    if entry.started is None or entry.finished is None:
        return None
    return seconds_between(entry.started, entry.finished)


def _link(one: ProfileDocuments, case: str) -> str:
    return f"{one.report}#{quote(case)}" if one.report else ""


def _plain(name: str, value: float | None) -> str:
    return ABSENT if value is None else number_format.metric(name, value)
