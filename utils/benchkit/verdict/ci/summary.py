"""The verdict for programs (``ci_summary.json``) and for people (Markdown: GitHub's step summary, a comment)."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from typing import Literal

from benchkit.model import METRICS, CiOutcome, MetricComparison, Model, Validity, main_metrics
from benchkit.number_format import change, figure
from benchkit.plain import plain_text
from benchkit.verdict.ci.results import CaseResult, RunResult
from benchkit.verdict.rules import ERROR_RATE

STEP_SUMMARY_BYTES = 1024 * 1024
"""GitHub's limit for a step summary; a longer one is not shown at all."""

_MARKDOWN = re.compile(r"([\\`*_\[\]|~#!])")


class CiCase(Model):
    """A remarkable case. ``change_percent``: the worst of its deciding metrics, negative is worse."""

    id: str
    verdict: str
    outcome: CiOutcome
    summary: str
    change_percent: float | None = None


class CiSummary(Model):
    """``ci_summary.json``. ``verdict`` and ``exit_code`` are the run's, ``cases`` the remarkable ones, worst first.

    ``verdicts`` and ``outcomes`` count all cases. ``suite``: per metric the change over all deciding cases, as in
    ``comparison.json``; ``suite_since_oldest``: the same against the oldest accepted runs.
    """

    schema_version: Literal[1] = 1
    run_id: str
    profile: str
    mode: Literal["none", "stored", "paired"]
    against: str
    verdict: str
    exit_code: int
    reason: str
    verdicts: dict[str, int]
    outcomes: dict[str, int]
    suite: dict[str, MetricComparison]
    suite_since_oldest: dict[str, MetricComparison]
    warnings: list[str]
    cases: list[CiCase]


def ci_summary(result: RunResult) -> CiSummary:
    """Return the document for a run."""
    comparison = result.comparison
    return CiSummary(
        run_id=result.run.run_id,
        profile=result.run.profile,
        mode=comparison.mode if comparison is not None else "none",
        against=result.against,
        verdict=result.verdict,
        exit_code=result.exit_code,
        reason=result.reason,
        verdicts=result.counts(),
        outcomes=result.outcomes(),
        suite=comparison.suite if comparison is not None else {},
        suite_since_oldest=comparison.suite_since_oldest if comparison is not None else {},
        warnings=_warnings(result),
        cases=[
            CiCase(
                id=case.id,
                verdict=case.verdict,
                outcome=case.outcome,
                summary=case.summary,
                change_percent=case.change,
            )
            for case in result.worst_first
            if case.is_remarkable
        ],
    )


def markdown(result: RunResult, most_bytes: int = STEP_SUMMARY_BYTES) -> str:
    """Return the summary in GitHub's Markdown: verdict, suite, what to look at, every value.

    It has at most ``most_bytes`` of UTF-8 (0 or less: empty). If it is longer, the end is cut off, with a remark.
    """
    lines = [
        f"## MCP Gateway performance: {_cell(result.headline)}",
        "",
        f"{_cell(result.reason)} (exit code {result.exit_code})",
        "",
        f"Run {_cell(result.run.run_id)}, {_cell(result.against)}. "
        f"{_cell(', '.join(f'{number} {verdict}' for verdict, number in result.counts().items()) or 'No cases')}.",
        *(f"\n> {_cell(warning)}" for warning in _warnings(result)),
        *_suite(result),
    ]
    remarkable = [case for case in result.worst_first if case.is_remarkable]
    if remarkable:
        rows = [(_cell(case.verdict), _cell(case.id), _cell(case.summary)) for case in remarkable]
        lines += ["", "### What to look at", "", *_table(("verdict", "case", "what"), rows)]
    measured = [case for case in result.worst_first if case.case is not None and case.case.validity is Validity.VALID]
    if measured:
        head = ("case", "verdict", "worst change", *(METRICS[name].label for name in _shown()))
        lines += ["", "### Figures", "", *_table(head, [_figure_row(case) for case in measured])]
    return _fitting(lines, most_bytes)


def _shown() -> list[str]:
    return [*main_metrics(), ERROR_RATE]


def _figure_row(result: CaseResult) -> tuple[str, ...]:
    case = result.case
    assert case is not None
    # "~" as in the toolkit's other tables: too few samples beyond the percentile.
    figures = (
        ("~" if name in case.advisory else "") + figure(METRICS[name], case.metrics.get(name)) for name in _shown()
    )
    worst = change(METRICS["p50_latency"], result.change)
    return _cell(result.id), _cell(result.verdict), worst, *(_cell(text) for text in figures)


def _suite(result: RunResult) -> list[str]:
    rows = []
    for name, metric, oldest in result.comparison.together() if result.comparison is not None else []:
        low, high = metric.interval or (None, None)
        words = [change(METRICS[name], value) for value in (metric.change_percent, low, high)]
        interval = f"{words[1]} to {words[2]}" if metric.interval else ""
        label = f"{METRICS[name].label}{' since the oldest runs' if oldest else ''}"
        rows.append((_cell(label), _cell(words[0]), _cell(interval), _cell(metric.verdict)))
    if not rows:
        return []
    header = ("all cases together", "change (+ is better)", "95 % interval", "verdict")
    return ["", *_table(header, rows)]


def _warnings(result: RunResult) -> list[str]:
    return [plain_text(text) for text in (result.comparison.warnings if result.comparison else [])] + [
        plain_text(text) for text in result.run.warnings
    ]


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows)]


def _cell(text: str) -> str:
    """Escape a text for a Markdown table cell: no markup, no HTML, no end of a cell or line."""
    return _MARKDOWN.sub(r"\\\1", html.escape(plain_text(text), quote=False))


def _fitting(lines: Sequence[str], most_bytes: int) -> str:
    left_out = "\n*The rest is left out because it does not fit. Everything is in ci_summary.json and in the report.*\n"
    text = "\n".join(lines) + "\n"
    if len(text.encode()) <= most_bytes:
        return text
    room = most_bytes - len(left_out.encode())
    kept: list[str] = []
    for line in lines:
        room -= len(line.encode()) + 1
        if room < 0:
            break
        kept.append(line)
    return "\n".join([*kept, left_out]) if kept else ""
