"""The comparison report, as lines of at most 100 columns.

A function of the documents alone: no time, no terminal. Styles are marks that only a terminal shows; every state is
also a word.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchkit.model import METRICS, CaseComparison, Comparison, Load, Metric, MetricComparison, Verdict
from benchkit.verdict.compare import is_without_ratio
from benchkit.verdict.rules import WORSE

WIDTH = 100
"""Columns that a line may take."""

_STYLES = {
    Verdict.CRITICAL: "bold red",
    Verdict.REGRESSION: "red",
    Verdict.IMPROVEMENT: "green",
    Verdict.INVALID: "yellow",
    Verdict.MISSING: "yellow",
    Verdict.INCONCLUSIVE: "yellow",
}

_WORDS = {
    Verdict.CRITICAL: "Critical regression",
    Verdict.REGRESSION: "Regression",
    Verdict.INVALID: "Invalid",
    Verdict.MISSING: "Missing",
    Verdict.NOT_COMPARABLE: "Not comparable",
    Verdict.NEW: "Nothing to compare",
    Verdict.IMPROVEMENT: "Passed",
    Verdict.UNCHANGED: "Passed",
}
"""What a whole comparison is called."""

_CASE, _VERDICT, _METRIC, _FIGURE, _CHANGE = 34, 14, 14, 9, 12


@dataclass(frozen=True)
class Span:
    """A piece of a line; ``style`` is one of rich's, empty for plain text."""

    text: str
    style: str = ""


Line = tuple[Span, ...]


def plain(lines: Iterable[Line]) -> str:
    """The lines as a file holds them."""
    return "".join("".join(span.text for span in line).rstrip() + "\n" for line in lines)


def comparison_report(comparison: Comparison, load: Load) -> list[Line]:
    """The whole report: verdict, what to look at first, then every figure.

    ``load`` is the run's; its iterations are part of what the figures can tell.
    """
    baseline = comparison.baseline
    lines = _wrapped(
        f"{_WORDS[comparison.verdict]}: {comparison.reason}.", style=_STYLES.get(comparison.verdict, "bold")
    )
    lines += _wrapped(
        f"Run {comparison.run_id} against baseline {baseline.profile}, version {baseline.version} "
        f"({_number(len(baseline.runs), 'run')}); exit code {comparison.exit_code}."
    )
    for warning in comparison.warnings:
        lines += _wrapped(f"Note: {warning}", hanging=6)
    if comparison.verdict is Verdict.NOT_COMPARABLE:
        return lines
    lines += _section("Got worse, the worst first", _by_change(comparison.cases, WORSE), worst_first=True)
    lines += _section("Inconclusive, noise could explain it", _by_change(comparison.cases, {Verdict.INCONCLUSIVE}))
    lines += _section("Got better, the best first", _by_change(comparison.cases, {Verdict.IMPROVEMENT}))
    lines += _reasons("Without a verdict: work that did not happen, or figures that have no ratio", comparison.cases)
    lines += _limits(comparison, load)
    lines += _table(comparison.cases)
    return lines


# ---------------------------------------------------------------------------------------------------------------------
# What to look at first


def _by_change(cases: Iterable[CaseComparison], verdicts: Iterable[Verdict]) -> list[CaseComparison]:
    wanted = set(verdicts)
    return [case for case in cases if case.verdict in wanted]


def _section(title: str, cases: Sequence[CaseComparison], *, worst_first: bool = False) -> list[Line]:
    if not cases:
        return []

    def rank(case: CaseComparison) -> tuple[bool, float, str]:
        changes = [metric.change_percent for metric in _deciding(case) if metric.change_percent is not None]
        return (
            case.verdict is not Verdict.CRITICAL,
            min(changes) if worst_first else -max(changes),
            case.id,
        )

    lines = _heading(title)
    for case in sorted(cases, key=rank):
        lines.append((Span(f"  {case.verdict.value:<12} ", _STYLES[case.verdict]), Span(case.id)))
        moved = [
            _moved(METRICS[name], metric)
            for name, metric in case.metrics.items()
            if not metric.advisory and metric.verdict in (WORSE if worst_first else {Verdict.IMPROVEMENT})
        ]
        for line in moved:
            lines += _wrapped(line, indent=14)
    return lines


def _moved(metric: Metric, compared: MetricComparison) -> str:
    """``p50 20.0 → 30.0 ms (-50.0 %)``."""
    figures = f"{_figure(metric, compared.reference)} → {_figure(metric, compared.current)} {_unit(metric)}".rstrip()
    return f"{metric.label} {figures} ({_change(metric, compared)})"


def _reasons(title: str, cases: Iterable[CaseComparison]) -> list[Line]:
    listed = [case for case in cases if case.verdict in (Verdict.INVALID, Verdict.MISSING) or is_without_ratio(case)]
    if not listed:
        return []
    lines = _heading(title)
    for case in listed:
        lines.append((Span(f"  {case.verdict.value:<12} ", _STYLES.get(case.verdict, "")), Span(case.id)))
        lines += _wrapped(case.reason, indent=14)
    return lines


def _range(values: list[float]) -> str:
    low, high = f"{min(values):.0f}", f"{max(values):.0f}"
    return low if low == high else f"{low}-{high}"


def _limits(comparison: Comparison, load: Load) -> list[Line]:
    """What the run could not have told, with the limits that applied."""
    runs = _number(len(comparison.baseline.runs), "run")
    limits: dict[str, list[float]] = {}
    for case in comparison.cases:
        for name, metric in case.metrics.items():
            if metric.detectable_percent is not None and not metric.advisory:
                limits.setdefault(name, []).append(metric.detectable_percent)
    text = f"One run (the median of {_number(load.iterations, 'iteration')}) is held against the median of {runs}. "
    if limits:
        words = " and ".join(f"{_range(values)} % of {METRICS[name].label}" for name, values in limits.items())
        text += (
            "Two runs of an unchanged gateway differ as well, and so does the machine's own speed: a change below "
            f"{words} (by the case's requests) can be that, and is called inconclusive. More requests lower these "
            "limits (PROFILE=medium), and so do more runs in the baseline."
        )
    else:
        text += "No noise is allowed for (baselines.noise): a change that counts here can be the machine's."
    return _heading("What this can tell") + _wrapped(text)


# ---------------------------------------------------------------------------------------------------------------------
# Every figure


def _table(cases: Sequence[CaseComparison]) -> list[Line]:
    lines = _heading("All cases")
    lines += _wrapped(
        "Change: + is better, - is worse; errors in percentage points. In brackets: shown, decides nothing."
    )
    header = (
        f"{'case':<{_CASE}} {'verdict':<{_VERDICT}} {'metric':<{_METRIC}} {'reference':>{_FIGURE}}   "
        f"{'current':>{_FIGURE}} {'change':>{_CHANGE}}"
    )
    lines += [(Span(header, "bold"),)]
    for case in cases:
        lines += _case_rows(case)
    return lines


def _case_rows(case: CaseComparison) -> list[Line]:
    verdict = Span(f"{_table_word(case):<{_VERDICT}}", _STYLES.get(case.verdict, ""))
    name = case.id if len(case.id) <= _CASE else case.id[: _CASE - 1] + "…"
    rows = [_metric_row(METRICS[metric], compared) for metric, compared in case.metrics.items()] or [()]
    lines: list[Line] = [(Span(f"{name:<{_CASE}} "), verdict, Span(" "), *rows[0])]
    lines += [(Span(" " * (_CASE + _VERDICT + 2)), *row) for row in rows[1:]]
    return lines


def _metric_row(metric: Metric, compared: MetricComparison) -> Line:
    change = _change(metric, compared)
    shown = f"[{change}]" if compared.advisory and change else f"{change} "
    label = f"{metric.label} {_unit(metric)}" if metric.label not in ("req/s", "of direct") else metric.label
    return (
        Span(f"{label:<{_METRIC}} {_figure(metric, compared.reference):>{_FIGURE}} → "),
        Span(f"{_figure(metric, compared.current):>{_FIGURE}} "),
        Span(f"{shown:>{_CHANGE}}", "" if compared.advisory else _STYLES.get(compared.verdict, "")),
    )


def _table_word(case: CaseComparison) -> str:
    return "shown only" if case.verdict is Verdict.NOT_COMPARABLE and not is_without_ratio(case) else case.verdict.value


# ---------------------------------------------------------------------------------------------------------------------
# Figures and words


def _deciding(case: CaseComparison) -> list[MetricComparison]:
    return [metric for metric in case.metrics.values() if not metric.advisory]


def _figure(metric: Metric, value: float | None) -> str:
    if value is None:
        return "-"
    return _short(f"{100 * value:.2f}" if metric.absolute else f"{value:.{metric.decimals}f}", value, _FIGURE)


def _short(text: str, value: float, width: int) -> str:
    """The text, or three digits of the value where it would break its column."""
    return text if len(text) <= width else f"{value:.3g}"


def _unit(metric: Metric) -> str:
    if metric.absolute:
        return "%"
    return metric.unit if metric.unit in ("ms", "s") else ""


def _change(metric: Metric, compared: MetricComparison) -> str:
    if compared.change_percent is None:
        return ""
    decimals = 2 if metric.absolute else 1
    # Adding zero after rounding: what rounds to nothing is no "-0.0".
    change = round(compared.change_percent, decimals) + 0.0
    return _short(f"{change:+.{decimals}f}", change, _CHANGE - 5) + (" pp" if metric.absolute else " %")


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("" if count == 1 else "s")


def _heading(title: str) -> list[Line]:
    return [(), (Span(title, "bold"),)]


def _wrapped(text: str, *, indent: int = 0, hanging: int = 0, style: str = "") -> list[Line]:
    space = " " * indent
    wrapped = textwrap.wrap(
        text, WIDTH, initial_indent=space, subsequent_indent=space + " " * hanging, break_on_hyphens=False
    )
    return [(Span(line, style),) for line in wrapped]
