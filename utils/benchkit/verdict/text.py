"""The comparison report, as lines of at most 100 columns.

It depends on the documents only: not on the time, not on the terminal. Styles are for terminals; every state is also a
word.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from dataclasses import dataclass

from benchkit.model import METRICS, CaseComparison, Comparison, Load, Metric, MetricComparison, Verdict
from benchkit.number_format import change, change_within, figure, fixed, plural
from benchkit.verdict.rules import SIDE_BY_SIDE, STEADY_REQUESTS
from benchkit.verdict.suite_verdict import case_word, is_shown_only

WIDTH = 100
"""Maximum columns of a line."""

FIRST_LINES = 14
"""Lines for cases on the first screen; the last case may exceed it. The other cases are in the table."""

_CASE, _VERDICT, _METRIC, _FIGURE, _CHANGE = 34, 14, 14, 9, 12


@dataclass(frozen=True)
class Span:
    """A piece of a line; ``style`` is one of rich's, empty for plain text."""

    text: str
    style: str = ""


Line = tuple[Span, ...]


def plain(lines: Iterable[Line]) -> str:
    """Return the lines as plain text."""
    return "".join("".join(span.text for span in line).rstrip() + "\n" for line in lines)


def comparison_report(comparison: Comparison, load: Load) -> list[Line]:
    """Return the whole report: first the verdict and the cases to look at, worst first; then every value.

    ``load`` is that of the run; the report mentions its iterations.
    """
    row = comparison.verdict.row
    lines = _wrapped(f"{row.headline}: {comparison.reason}.", style=f"bold {row.headline_tone.style}".strip())
    lines += _wrapped(f"{_what(comparison)}; exit code {comparison.exit_code}.")
    for metric, compared, oldest in comparison.together():
        since = " since the oldest accepted runs" if oldest else ""
        lines += _wrapped(_suite(METRICS[metric], compared, since), hanging=6)
    for warning in comparison.warnings:
        lines += _wrapped(f"Note: {warning}", hanging=6)
    if comparison.verdict is Verdict.NOT_COMPARABLE:
        return lines
    lines += _first_screen(comparison.cases)
    lines += _limits(comparison, load)
    lines += _table(comparison)
    return lines


def _what(comparison: Comparison) -> str:
    if comparison.paired is not None:
        paired = comparison.paired
        return (
            f"Head {paired.head} against base {paired.base}, side by side (runs {comparison.run_id}, {paired.run_id})"
        )
    baseline = comparison.baseline
    assert baseline is not None, "a stored comparison names its baseline"
    runs = plural(len(baseline.runs), "run")
    return f"Run {comparison.run_id} against baseline {baseline.profile}, version {baseline.version} ({runs})"


def _suite(metric: Metric, compared: MetricComparison, since: str) -> str:
    """``Suite: p50 -2.1 % (-3.9 to -0.3 %) of all cases together, unchanged``."""
    moved = change_within(metric, compared.change_percent, compared.interval)
    return f"Suite: {metric.label} {moved} of all cases together{since}, {compared.verdict.value}"


# ---------------------------------------------------------------------------------------------------------------------
# What to look at first


def _first_screen(cases: Iterable[CaseComparison]) -> list[Line]:
    """Return the worst cases, each with the reason in words; the table has the others."""
    listed = sorted((case for case in cases if _is_news(case)), key=_rank)
    if not listed:
        return []
    lines = _heading("What to look at, the worst first")
    for shown, case in enumerate(listed):
        if len(lines) > FIRST_LINES:
            lines += _wrapped(f"and {len(listed) - shown} more, in the table below", indent=2)
            break
        lines.append((Span(f"  {case_word(case):<14} ", case.verdict.row.tone.style), Span(case.id)))
        # A case that was not measured has its reason in the case, a measured one in its metrics.
        for line in _moved(case) or [case.reason]:
            lines += _wrapped(line, indent=17)
    return lines


def _is_news(case: CaseComparison) -> bool:
    """Return whether the first screen shows the case: unchanged, new and shown-only cases are left out."""
    return case.verdict not in (Verdict.UNCHANGED, Verdict.NEW) and not is_shown_only(case)


def _rank(case: CaseComparison) -> tuple[int, float, str]:
    """Sort by verdict, then by the size of the change, largest first."""
    changes = [
        metric.change_percent
        for metric in [*_deciding(case), *case.since_oldest.values()]
        if metric.change_percent is not None and metric.verdict is case.verdict
    ]
    largest = max(map(abs, changes), default=0.0)
    return case.verdict.severity, -largest, case.id


def _moved(case: CaseComparison) -> list[str]:
    """Return ``p50 20.0 → 30.0 ms: 50.0 % worse (41.2 to 59.1), q = 0.0004, 5 runs`` for each metric in question."""
    lines = [
        f"{row.label} {_figures(row, metric)}: {metric.reason or change(row, metric.change_percent)}"
        for name, metric in case.metrics.items()
        if (row := METRICS[name])
        and not metric.advisory
        and metric.verdict is case.verdict
        and metric.change_percent is not None
    ]
    slid = [
        f"{METRICS[name].label} {_figures(METRICS[name], metric)} since the oldest accepted runs: {metric.reason}"
        for name, metric in case.since_oldest.items()
        if metric.verdict.row.fails
    ]
    return lines + slid


def _figures(metric: Metric, compared: MetricComparison) -> str:
    return f"{fixed(metric, compared.reference)} → {figure(metric, compared.current)}"


def _range(values: list[float]) -> str:
    low, high = f"{min(values):.0f}", f"{max(values):.0f}"
    return low if low == high else f"{low}-{high}"


def _limits(comparison: Comparison, load: Load) -> list[Line]:
    """Return the section about the smallest changes that the comparison can detect."""
    limits: dict[str, list[float]] = {}
    samples: list[float] = []
    for case in comparison.cases:
        for name, metric in case.metrics.items():
            if metric.detectable_percent is not None and not metric.advisory:
                limits.setdefault(name, []).append(metric.detectable_percent)
                samples.append(metric.samples or 0)
    if comparison.mode == "paired":
        text = "Two gateways are compared block by block"
        text += f", {_range(samples)} blocks. " if samples else ". "
        more = f"More blocks lower these limits (--blocks){'' if _steady(load) else ', and so do more requests'}."
    else:
        # Not every run of a baseline has every case.
        held = _range(samples) if samples else str(len(comparison.baseline.runs) if comparison.baseline else 0)
        runs = f"{held} run{'' if held == '1' else 's'}"
        text = f"One run (the median of {plural(load.iterations, 'iteration')}) is compared with the mean of {runs}. "
        more = (
            "More runs in the baseline and this machine's noise record (make noise) lower these limits; to detect "
            f"smaller changes, compare two gateways side by side ({SIDE_BY_SIDE})."
        )
    if limits:
        words = " and ".join(f"{_range(values)} % of {METRICS[name].label}" for name, values in limits.items())
        text += (
            f"With {plural(comparison.hypotheses, 'deciding figure')} and the noise that was found, a change for the "
            f"worse of {words} is detected in 4 of 5 cases, a smaller one less often. {more}"
        )
    else:
        text += "None of the deciding figures could be judged."
    return _heading("What this can tell") + _wrapped(text)


def _steady(load: Load) -> bool:
    return load.requests >= STEADY_REQUESTS


# ---------------------------------------------------------------------------------------------------------------------
# Every figure


def _table(comparison: Comparison) -> list[Line]:
    before, now = ("base", "head") if comparison.mode == "paired" else ("reference", "current")
    lines = _heading("All cases")
    lines += _wrapped(
        "Change: + is better, - is worse; errors in percentage points. In brackets: shown only, not judged."
    )
    header = (
        f"{'case':<{_CASE}} {'verdict':<{_VERDICT}} {'metric':<{_METRIC}} {before:>{_FIGURE}}   "
        f"{now:>{_FIGURE}} {'change':>{_CHANGE}}"
    )
    lines += [(Span(header, "bold"),)]
    for case in comparison.cases:
        lines += _case_rows(case)
    return lines


def _case_rows(case: CaseComparison) -> list[Line]:
    verdict = Span(f"{case_word(case):<{_VERDICT}}", case.verdict.row.tone.style)
    name = case.id if len(case.id) <= _CASE else case.id[: _CASE - 1] + "…"
    rows = [_metric_row(METRICS[metric], compared) for metric, compared in case.metrics.items()] or [()]
    lines: list[Line] = [(Span(f"{name:<{_CASE}} "), verdict, Span(" "), *rows[0])]
    lines += [(Span(" " * (_CASE + _VERDICT + 2)), *row) for row in rows[1:]]
    return lines


def _metric_row(metric: Metric, compared: MetricComparison) -> Line:
    moved = change(metric, compared.change_percent, _CHANGE - 5)
    shown = f"[{moved}]" if compared.advisory and moved else f"{moved} "
    return (
        Span(f"{metric.heading:<{_METRIC}} {fixed(metric, compared.reference, _FIGURE):>{_FIGURE}} → "),
        Span(f"{fixed(metric, compared.current, _FIGURE):>{_FIGURE}} "),
        Span(f"{shown:>{_CHANGE}}", "" if compared.advisory else compared.verdict.row.tone.style),
    )


# ---------------------------------------------------------------------------------------------------------------------
# Words


def _deciding(case: CaseComparison) -> list[MetricComparison]:
    return [metric for metric in case.metrics.values() if not metric.advisory]


def _heading(title: str) -> list[Line]:
    return [(), (Span(title, "bold"),)]


def _wrapped(text: str, *, indent: int = 0, hanging: int = 0, style: str = "") -> list[Line]:
    space = " " * indent
    wrapped = textwrap.wrap(
        text, WIDTH, initial_indent=space, subsequent_indent=space + " " * hanging, break_on_hyphens=False
    )
    return [(Span(line, style),) for line in wrapped]
