"""The page of several gateways: a release history, or what settings are worth."""

from __future__ import annotations

from dataclasses import dataclass

from benchkit.model import METRICS, MetricComparison, SidesDocument, StepComparison
from benchkit.report.headline import VERDICT_TONES, Tone, sentence
from benchkit.report.render import PARTS, fill

_TITLES = {"history": "Release history", "tune": "What settings are worth"}
_CHARTED = ("p50_latency", "requests_per_sec")
_SHOWN = ("p50_latency", "requests_per_sec", "p95_latency")


@dataclass(frozen=True)
class StepRow:
    """One change of one case between two gateways."""

    case: str
    metric: str
    change: str
    interval: str
    word: str
    tone: Tone


@dataclass(frozen=True)
class StepView:
    """Two gateways held against each other: the sentence, the mean over all cases, and what changed."""

    title: str
    sentence: str
    suite: list[str]
    rows: list[StepRow]


def sides_page(document: SidesDocument, chart_library: str | None, charts_off: str) -> str:
    """The HTML; raises :class:`~benchkit.errors.UserError` as :func:`benchkit.report.render.fill`."""
    cases = list(dict.fromkeys(case for side in document.sides for case in side.cases))
    first = document.sides[0]
    data = {
        "labels": [side.label for side in document.sides],
        "kind": document.kind,
        "overall": {name: [_percent(side.ratio_to(first, name)) for side in document.sides] for name in _CHARTED},
        "cases": [
            {
                "id": case,
                "p50": [side.cases.get(case, {}).get("p50_latency") for side in document.sides],
                "rate": [side.cases.get(case, {}).get("requests_per_sec") for side in document.sides],
            }
            for case in cases
        ],
    }
    context = {
        "title": _TITLES[document.kind],
        "document": document,
        "steps": [_step(step) for step in document.steps],
        "cases": cases,
        "shown": [METRICS[name] for name in _CHARTED],
        "charts_off": charts_off,
    }
    return fill(PARTS / "sides.html", context, data, ["sides.js"], chart_library)


def change_words(compared: MetricComparison) -> str:
    """``+12.3 %``, positive is better."""
    return "" if compared.change_percent is None else f"{compared.change_percent:+.1f} %"


def interval_words(compared: MetricComparison) -> str:
    """``-16.4 to -8.1 %``, or nothing."""
    if compared.interval is None:
        return ""
    low, high = compared.interval
    return f"{low:+.1f} to {high:+.1f} %"


def _step(step: StepComparison) -> StepView:
    rows = [
        StepRow(
            case=case,
            metric=METRICS[name].label,
            change=change_words(compared),
            interval=interval_words(compared),
            word=compared.verdict.value,
            tone=VERDICT_TONES[compared.verdict],
        )
        for name in _SHOWN
        for case, compared in step.changed(name)
    ]
    suite = [
        f"{METRICS[name].label} over all cases: {change_words(compared)} ({interval_words(compared)})"
        for name, compared in step.comparison.suite.items()
    ]
    return StepView(f"{step.base} → {step.head}", sentence(step.comparison.reason), suite, rows)


def _percent(ratio: float | None) -> float | None:
    return None if ratio is None else round(100 * ratio, 1)
