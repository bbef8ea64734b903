"""The report over several profiles: what got worse anywhere, what has no result, and how each case scales."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any
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
    main_metrics,
)
from benchkit.number_format import ABSENT
from benchkit.report.headline import sentence
from benchkit.report.render import PARTS, fill

_SINCE = " since the oldest runs"
_CHARTED = ("requests_per_sec", "p95_latency")


@dataclass(frozen=True)
class ProfileDocuments:
    """What there is of one profile: its entry in the whole, its run and comparison, and why one cannot be read.

    ``report``: the address of its own report, empty where there is none.
    """

    entry: ProfileRun
    run: Run | None = None
    comparison: Comparison | None = None
    report: str = ""
    problem: str = ""

    @property
    def ended(self) -> Ended | None:
        """How its run ended; ``None`` where there is none."""
        return ended(self.run, self.comparison) if self.run else None


@dataclass(frozen=True)
class Figure:
    """A cell: what is shown, and the plain value that it is sorted by; both empty of what was not measured."""

    text: str = ABSENT
    value: float | str = ""


@dataclass(frozen=True)
class Worse:
    """A metric of a case, or of all cases together (then without ``link``), that got worse beyond doubt."""

    profile: str
    case: str
    link: str
    metric: str
    current: str
    reference: str
    change: Figure
    interval: str
    word: str
    tone: Tone


@dataclass(frozen=True)
class Problem:
    """A case of a profile that has no result, or a profile that has none (then ``case`` is empty)."""

    profile: str
    case: str
    link: str
    word: str
    tone: Tone
    reason: str


@dataclass(frozen=True)
class ProfileRow:
    """A profile in the summary."""

    profile: str
    report: str
    word: str
    tone: Tone
    load: str
    cells: list[tuple[str, Figure]]


@dataclass(frozen=True)
class CaseRow:
    """A case under one profile."""

    case: str
    profile: str
    link: str
    cells: list[Figure]
    validity: str
    validity_tone: Tone
    verdict: str
    verdict_tone: Tone


@dataclass(frozen=True)
class Page:  # pylint: disable=too-many-instance-attributes  # everything on one page
    """Everything that the template shows."""

    run_id: str
    started: str
    started_iso: str
    word: str
    tone: Tone
    sentence: str
    notes: list[str]
    facts: list[tuple[str, str]]
    worse: list[Worse]
    problems: list[Problem]
    profiles: list[ProfileRow]
    heads: list[str]
    cases: list[CaseRow]
    charts: list[str]
    charts_off: str


def all_page(
    document: AllRuns, profiles: Sequence[ProfileDocuments], chart_library: str | None, charts_off: str
) -> str:
    """The HTML; raises :class:`~benchkit.errors.UserError` as :func:`benchkit.report.render.fill`."""
    page = build_page(document, profiles, charts_off)
    scripts = ["page.js", "profile_sweep.js", "tools.js"]
    return fill(
        PARTS / "profile_sweep.html", {"page": page}, chart_data(profiles), scripts, chart_library, styles=["tools.css"]
    )


def build_page(document: AllRuns, profiles: Sequence[ProfileDocuments], charts_off: str) -> Page:
    """What the page shows, from the documents alone."""
    worse = _worse(profiles)
    problems = _problems(profiles)
    end = ended_sweep(document, [one.ended for one in profiles if one.ended])
    measured = [one for one in profiles if one.run is not None]
    return Page(
        run_id=document.run_id,
        started=f"{document.started.astimezone():%Y-%m-%d %H:%M}",
        started_iso=document.started.isoformat(),
        word=end.word,
        tone=end.tone,
        sentence=sentence(end.reason),
        notes=_notes(document, profiles),
        facts=_facts(document, profiles, end),
        worse=worse,
        problems=problems,
        profiles=[_profile_row(one) for one in profiles],
        heads=[METRICS[name].heading for name in main_metrics()],
        cases=[
            _case_row(one, case)
            for identity in dict.fromkeys(case.id for one in measured for case in _cases(one))
            for one in measured
            for case in _cases(one)
            if case.id == identity
        ],
        charts=[] if charts_off else _scenarios(profiles),
        charts_off=charts_off,
    )


def chart_data(profiles: Sequence[ProfileDocuments]) -> dict[str, Any]:
    """What the page's script gets: a label for each profile, by concurrency, and per scenario a line for each case.

    What was not measured or is not valid is a gap (``None``).
    """
    ordered = sorted(profiles, key=lambda one: one.entry.load.concurrency)
    found = [{case.id: case for case in _cases(one)} for one in ordered]
    scenarios = []
    for scenario in _scenarios(profiles):
        ids = dict.fromkeys(key for cases in found for key, case in cases.items() if case.scenario == scenario)
        lines = [
            {"case": key, **{name: [_charted(cases.get(key), name) for cases in found] for name in _CHARTED}}
            for key in ids
        ]
        scenarios.append({"name": scenario, "cases": lines})
    labels = [[one.entry.profile, f"{one.entry.load.concurrency} concurrent"] for one in ordered]
    return {"labels": labels, "scenarios": scenarios}


# ---------------------------------------------------------------------------------------------------------------------
# Beside the verdict


def _notes(document: AllRuns, profiles: Sequence[ProfileDocuments]) -> list[str]:
    """What has to be known beside the verdict."""
    notes = []
    first = [one.entry.profile for one in profiles if one.run is not None and one.comparison is None]
    if first:
        notes.append(
            f"Not held against a baseline: {', '.join(first)}. A profile's first run becomes its baseline; the next "
            "one is compared with it."
        )
    notes += [one.problem for one in profiles if one.problem]
    releases = dict.fromkeys(one.run.environment.target.release or "not told" for one in profiles if one.run)
    if len(releases) > 1:
        notes.append(f"The profiles did not measure one gateway: releases {', '.join(releases)}.")
    earlier = [name for one in document.profiles for name in one.earlier]
    if earlier:
        notes.append(f"Cut short and measured again: {', '.join(earlier)} (kept, no part of this report).")
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
# What must not be overlooked


def _worse(profiles: Sequence[ProfileDocuments]) -> list[Worse]:
    """Every metric that got worse beyond doubt, critical ones first, and then the largest change."""
    found = [
        (compared.verdict.severity, compared.change_percent or 0.0, _worse_row(one, case, name, where))
        for one in profiles
        for case, where in (_judged(one.comparison) if one.comparison else [])
        for name, compared in where.metrics.items()
        if compared.verdict.row.fails and not compared.advisory
    ]
    return [row for _, _, row in sorted(found, key=lambda item: item[:2])]


def _judged(comparison: Comparison) -> Iterator[tuple[str, _Reference]]:
    """All that a comparison judged: its cases together (without an id), then each; against either reference."""
    for metrics, since in ((comparison.suite, ""), (comparison.suite_since_oldest, _SINCE)):
        yield "", _Reference(since, metrics)
    for case in comparison.cases:
        for metrics, since in ((case.metrics, ""), (case.since_oldest, _SINCE)):
            yield case.id, _Reference(since, metrics)


@dataclass(frozen=True)
class _Reference:
    """What a case was held against: words beside the metric, and how that came out."""

    words: str
    metrics: dict[str, MetricComparison]


def _worse_row(one: ProfileDocuments, case: str, name: str, reference: _Reference) -> Worse:
    compared = reference.metrics[name]
    unit = " points" if METRICS[name].absolute else " %"
    change = compared.change_percent
    return Worse(
        profile=one.entry.profile,
        case=case or "all cases together",
        link=_link(one, case) if case else "",
        metric=f"{METRICS[name].heading}{reference.words}",
        current=_plain(name, compared.current),
        reference=_plain(name, compared.reference),
        change=Figure() if change is None else Figure(f"{number_format.signed(change)}{unit}", change),
        interval=number_format.signed_interval(METRICS[name], compared.interval),
        word=compared.verdict.value,
        tone=compared.verdict.row.tone,
    )


def _problems(profiles: Sequence[ProfileDocuments]) -> list[Problem]:
    """Profiles without a run first, the worst end before the others, then cases that have no result."""
    entries = sorted((one for one in profiles if one.run is None), key=lambda one: severity(one.entry.exit_code or 0))
    found = [
        Problem(
            profile=one.entry.profile,
            case="",
            link="",
            word=_state_word(one.entry),
            tone=Tone.PLAIN if one.entry.state is ProfileState.PENDING else Tone.BAD,
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
            word=case.validity.value,
            tone=case.validity.row.tone,
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
        word=one.ended.word if one.ended else _state_word(one.entry).capitalize(),
        tone=one.ended.tone if one.ended else Tone.BAD,
        load=f"{load.iterations} {number_format.TIMES} {number_format.count(load.requests)} at {load.concurrency}",
        cells=_profile_cells(one),
    )


def _profile_cells(one: ProfileDocuments) -> list[tuple[str, Figure]]:
    cases = _measured(one)
    valid = [case for case in cases if case.validity is Validity.VALID]
    sent, failed = _requests(cases)
    took = _seconds(one.entry)
    share = one.run.load_seconds / took if one.run and took else None
    code = one.entry.exit_code
    return [
        (
            "valid cases",
            Figure(f"{one.ended.valid} of {one.ended.measured}", one.ended.valid) if one.ended else Figure(),
        ),
        ("got worse", Figure(one.comparison.worse_cases, one.comparison.worse_cases) if one.comparison else Figure()),
        ("requests", Figure(number_format.count(sent), sent) if one.run else Figure()),
        ("failed %", Figure(number_format.percent_of(failed / sent), failed / sent) if sent else Figure()),
        ("p50 ms", _median(valid, "p50_latency")),
        ("p95 ms", _median(valid, "p95_latency")),
        ("took", Figure(duration(took), round(took, 1)) if took is not None else Figure()),
        ("under load %", Figure(number_format.percent_of(share), round(share, 4)) if share is not None else Figure()),
        ("exit", Figure(str(code), code) if code is not None else Figure()),
    ]


def _median(cases: Sequence[Case], name: str) -> Figure:
    """The median of a metric over the valid cases: no mean, for one slow kind of request would be most of it."""
    values = [case.metrics[name] for case in cases if name in case.metrics]
    return Figure(number_format.metric(name, median(values)), median(values)) if values else Figure()


def _case_row(one: ProfileDocuments, case: Case) -> CaseRow:
    compared = {entry.id: entry for entry in one.comparison.cases} if one.comparison else {}
    verdict = compared[case.id].verdict if case.id in compared else None
    return CaseRow(
        case=case.id,
        profile=one.entry.profile,
        link=_link(one, case.id),
        cells=[
            Figure(number_format.count(one.entry.load.concurrency), one.entry.load.concurrency),
            *(_cell(case, name) for name in main_metrics()),
        ],
        validity=case.validity.value,
        validity_tone=case.validity.row.tone,
        verdict=verdict.value if verdict else "",
        verdict_tone=verdict.row.tone if verdict else Tone.PLAIN,
    )


def _cell(case: Case, name: str) -> Figure:
    if case.validity is not Validity.VALID or name not in case.metrics:
        return Figure()
    mark = "~" if name in case.advisory else ""
    return Figure(f"{mark}{number_format.metric(name, case.metrics[name])}", case.metrics[name])


# ---------------------------------------------------------------------------------------------------------------------
# Small things


def _cases(one: ProfileDocuments) -> list[Case]:
    """What has a rate of its own: everything but differences."""
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
    """Sent, and failed."""
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
