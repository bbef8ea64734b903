"""The page of a study of several gateways: a release history, or the effect of settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from benchkit.model import METRICS, MetricComparison, StepComparison, Tone, VariantStudy, Worse
from benchkit.number_format import change, change_within, interval
from benchkit.report.chart_library import ChartLibrary
from benchkit.report.charts import Axis, Drawn, Mark, Plot, Plots, Series
from benchkit.report.frame import Frame, fill_page
from benchkit.report.headline import sentence

_TITLES = {"history": "Release history", "tune": "Effect of settings"}
_WHOSE = {"history": "the release before", "tune": "the gateway without it"}
_KINDS: dict[str, Literal["bars", "lines"]] = {"history": "lines", "tune": "bars"}  # settings have no order
_AXES = {"history": "release", "tune": "setting"}
_CHARTED = ("p50_latency", "requests_per_sec")
_LOOKS = (("p50_latency", "p50 latency", "s2"), ("requests_per_sec", "throughput", "s1"))
_UNITS = {"p50_latency": "p50, ms", "requests_per_sec": "req/s"}
_SHOWN = ("p50_latency", "requests_per_sec", "p95_latency")


@dataclass(frozen=True)
class StepRow:
    """A change in one case between two gateways."""

    case: str
    metric: str
    change: str
    value: str
    interval: str
    word: str
    tone: Tone


@dataclass(frozen=True)
class StepView:
    """A comparison of two gateways: the sentence, the mean over all cases, and the changed cases."""

    title: str
    sentence: str
    suite: list[str]
    rows: list[StepRow]


@dataclass(frozen=True)
class BrokenCase:
    """A case that is invalid in some gateways: where, and (gateway, reason) of each."""

    id: str
    where: str
    reasons: list[tuple[str, str]]


@dataclass(frozen=True)
class CaseChart:
    """A case on every gateway, and whether it changed between two of them."""

    id: str
    changed: bool
    drawn: Drawn | None


def variants_page(document: VariantStudy, library: ChartLibrary) -> str:
    """Return the HTML; raises :class:`~benchkit.errors.UserError` as :func:`benchkit.report.frame.fill_page`."""
    cases = list(dict.fromkeys(case for variant in document.variants for case in variant.cases))
    plots = Plots(library)
    overall = plots.add(_overall(document))
    tone, word = _word(document)
    frame = Frame(
        title=_TITLES[document.kind],
        subject=document.run_id,
        target=f"{document.machine}; {document.load}",
        tone=tone,
        word=word,
        sentence=_finding(document),
        footer=f"{document.run_id}. Every value on this page is in its {document.kind}.json.",
    )
    changed = {case for step in document.steps for name in _SHOWN for case, _ in step.changed(name)}
    context = {
        "document": document,
        "overall": overall,
        "broken": [
            BrokenCase(
                case, broken_words(document, case), [(variant.label, variant.failed[case]) for variant in variants]
            )
            for case, variants in document.broken.items()
        ],
        "steps": [_step(step) for step in document.steps],
        "cases": cases,
        "shown": [METRICS[name] for name in _CHARTED],
        "whose": _WHOSE[document.kind],
        "charts": [CaseChart(case, case in changed, plots.add(_case_plot(document, case))) for case in cases],
    }
    return fill_page("variants.html", frame, context, plots)


# ---------------------------------------------------------------------------------------------------------------------
# Findings


def _neighbours(document: VariantStudy) -> list[StepComparison]:
    """Return the steps except the one from the first release to the newest, which is the sum of the others."""
    whole = document.kind == "history" and len(document.variants) > 2
    return document.steps[:-1] if whole else document.steps


def _word(document: VariantStudy) -> tuple[Tone, str]:
    found = {
        compared.verdict for step in _neighbours(document) for name in _SHOWN for _, compared in step.changed(name)
    }
    tones = {verdict.row.tone for verdict in found}
    if document.kind == "tune":
        return Tone.PLAIN, "Settings differ" if found else "No setting matters"
    if Tone.BAD in tones or Tone.WARN in tones:
        return (Tone.BAD if Tone.BAD in tones else Tone.WARN), "Got slower"
    return (Tone.GOOD, "Got faster") if found else (Tone.PLAIN, "No change found")


def _finding(document: VariantStudy) -> str:
    steps = _neighbours(document)
    changed = [step for step in steps if any(step.changed(name) for name in _SHOWN)]
    broken = [f" {case} is {broken_words(document, case)}." for case in document.broken]
    if document.kind == "tune":
        what, where = "settings", [step.head for step in changed]
    else:
        what, where = "steps", [f"{step.base} → {step.head}" for step in changed]
    found = (
        f"{len(changed)} of {len(steps)} {what} changed a case beyond doubt{': ' if where else ''}{', '.join(where)}."
    )
    return found + "".join(broken)


def broken_words(document: VariantStudy, case: str) -> str:
    """``broken in 0.9.0, 1.0.3``, or in all gateways."""
    if case in document.says_nothing:
        return "broken in all gateways, so it is no difference between them"
    return f"broken in {', '.join(variant.label for variant in document.broken[case])}"


# ---------------------------------------------------------------------------------------------------------------------
# Charts


def _overall(document: VariantStudy) -> Plot:
    first = document.variants[0]
    title = f"Median over the cases, % of {first.label}"
    return Plot(
        title=title,
        kind=_KINDS[document.kind],
        x=Axis(_AXES[document.kind]),
        y=Axis(f"% of {first.label}"),
        labels=[variant.label for variant in document.variants],
        series=[
            Series(label, [_percent(variant.ratio_to(first, name)) for variant in document.variants], colour)
            for name, label, colour in _LOOKS
        ],
    )


def _case_plot(document: VariantStudy, case: str) -> Plot:
    """Plot a case's latency and throughput with the interval of each step, and mark the significant changes."""
    labels = [variant.label for variant in document.variants]
    series: list[Series] = []
    for name, label, colour in _LOOKS:
        values = [variant.cases.get(case, {}).get(name) for variant in document.variants]
        intervals = [_ends(document, number, case, name) for number in range(len(labels))]
        axis: Literal["y", "right"] = "y" if name == "p50_latency" else "right"
        series.append(
            Series(_UNITS.get(name, label), values, colour, axis=axis, intervals=intervals if any(intervals) else None)
        )
    marks = []
    if document.kind == "history":
        for step in _neighbours(document):
            # One mark per step: the median's change, or the throughput's if only that changed.
            found = [(name, found) for name in _CHARTED for one, found in step.changed(name) if one == case]
            if found:
                name, compared = found[0]
                text = _moved(name, compared)
                marks.append(Mark(labels.index(step.base) + 0.5, text, compared.verdict.row.tone))
    return Plot(
        title=case,
        kind=_KINDS[document.kind],
        x=Axis(_AXES[document.kind]),
        y=Axis(_UNITS["p50_latency"]),
        right=Axis("req/s"),
        labels=labels,
        series=series,
        marks=marks,
    )


def _ends(document: VariantStudy, number: int, case: str, name: str) -> tuple[float, float] | None:
    """Return the interval of a gateway's value, derived from the interval of its change from its reference."""
    label = document.variants[number].label
    step = next((one for one in _neighbours(document) if one.head == label), None)
    if step is None:
        return None
    compared = next((one.metrics.get(name) for one in step.comparison.cases if one.id == case), None)
    if compared is None or compared.interval is None or compared.reference is None:
        return None
    sign = -1 if METRICS[name].worse is Worse.HIGHER else 1
    low, high = sorted(compared.reference * (1 + sign * end / 100) for end in compared.interval)
    return round(max(low, 0.0), 3), round(high, 3)


def _moved(name: str, compared: MetricComparison, of: str = "") -> str:
    return f"{METRICS[name].label}{of} {change_within(METRICS[name], compared.change_percent, compared.interval)}"


def _step(step: StepComparison) -> StepView:
    rows = [
        StepRow(
            case=case,
            metric=METRICS[name].label,
            change=change(METRICS[name], compared.change_percent),
            value=f"{compared.change_percent:.6g}" if compared.change_percent is not None else "",
            interval=interval(compared.interval),
            word=compared.verdict.value,
            tone=compared.verdict.row.tone,
        )
        for name in _SHOWN
        for case, compared in step.changed(name)
    ]
    suite = [_moved(name, compared, " over all cases:") for name, compared in step.comparison.suite.items()]
    return StepView(f"{step.base} → {step.head}", sentence(step.comparison.reason), suite, rows)


def _percent(ratio: float | None) -> float | None:
    return None if ratio is None else round(100 * ratio, 1)
