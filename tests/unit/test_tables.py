"""The tables of verdicts, validities and metrics: every row is there and complete, and no other table repeats them."""

from __future__ import annotations

import ast
from dataclasses import fields
from pathlib import Path

import pytest

from benchkit.load.summary import tables
from benchkit.model import METRICS, VALIDITIES, VERDICTS, Metric, OpenMetrics, Tone, Validity, Verdict, Worse
from benchkit.report.chart_library import ChartLibrary
from benchkit.report.compare_page import SideBySide, compare_page
from benchkit.report.view import build_page
from benchkit.settings import ROOT
from benchkit.verdict.ci.junit import junit
from benchkit.verdict.ci.openmetrics import openmetrics
from benchkit.verdict.ci.results import run_result
from benchkit.verdict.ci.summary import markdown
from benchkit.verdict.compare import compare
from benchkit.verdict.rules import case_figures
from benchkit.verdict.text import comparison_report, plain
from builders.judged import LIMITS, baseline_of, measured, run_of

STATES = ("Verdict", "Validity")
SOURCES = [path for path in (ROOT / "utils").rglob("*.py") if path.parent.name != "model"]


def test_every_verdict_and_every_validity_has_a_row() -> None:
    assert list(VERDICTS) == list(Verdict)
    assert list(VALIDITIES) == list(Validity)


def test_every_row_is_complete() -> None:
    optional = {"annotation"}
    for row in (*VERDICTS.values(), *VALIDITIES.values()):
        for field in fields(row):
            value = getattr(row, field.name)
            assert value is not None
            assert value != "" or field.name in optional


def test_the_tables_agree_with_themselves() -> None:
    for verdict, row in VERDICTS.items():
        assert not row.is_change or row.is_judged, verdict
        assert row.fails == (row.ci.value == "failed"), verdict
        assert (row.tone is Tone.BAD) <= (row.exit_code != 0), verdict
    words = [row.headline for row in VERDICTS.values()]
    assert len(set(words)) == len(words)


def state(node: ast.expr | None) -> str:
    """``Verdict`` or ``Validity`` where an expression is a member of it, or its value."""
    if isinstance(node, ast.Attribute) and node.attr == "value":
        node = node.value
    is_member = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in STATES
    return ast.unparse(node) if is_member and node is not None else ""


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_other_module_has_a_table_of_verdicts_or_validities(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Dict):
            found = [state(key) for key in node.keys if state(key)]
            assert len(found) < 2, f"line {node.lineno}: a table by {', '.join(found)}; it belongs into benchkit/model"
        if isinstance(node, ast.Set | ast.Tuple | ast.List):
            found = [state(one) for one in node.elts if state(one)]
            assert len(found) < 3, f"line {node.lineno}: a list of {', '.join(found)}; make it a field of the row"


# --- metrics ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def queued(monkeypatch: pytest.MonkeyPatch) -> Metric:
    """A metric that is not in the table yet."""
    row = Metric(
        name="queued_latency",
        label="queued",
        heading="queued ms",
        unit="ms",
        worse=Worse.HIGHER,
        decimals=1,
        openmetrics=OpenMetrics("queued", "Time in the gateway's queue."),
        main=True,
    )
    monkeypatch.setitem(METRICS, row.name, row)
    return row


def test_a_new_row_of_the_metric_table_is_shown_everywhere(queued: Metric) -> None:
    """A new metric takes its row and what computes it; it ended ci_report.py with a KeyError."""
    documents = []
    for value in (7.7, 8.8):
        one = measured("tools/list")
        figures = one.metrics | {queued.name: value}
        iterations = [
            each.model_copy(update={"metrics": each.metrics | {queued.name: value}}) for each in one.iterations
        ]
        documents.append(run_of(one.model_copy(update={"metrics": figures, "iterations": iterations})))
    before, now = documents
    baseline = baseline_of(*[{"tools/list": case_figures(before.cases[0])}] * 3)
    comparison = compare(now, baseline, LIMITS)
    result = run_result(now, comparison)
    assert "8.8" in tables(now)[0].rows[0]
    assert queued.heading in tables(now)[0].head
    assert queued.name in comparison.cases[0].metrics
    assert "queued ms" in plain(comparison_report(comparison, now.environment.load))
    page = build_page(now, comparison, [], "")
    assert queued.heading in page.heads
    assert queued.heading in [name for name, _ in page.scenarios[0].cases[0].iterations.rows]
    assert "tools/list" in markdown(result)
    assert "| queued |" in markdown(result)
    assert 'name="list.queued_latency_ms" value="8.8"' in junit(result)
    assert 'mcp_gateway_benchmark_queued_seconds{scenario="tools",case="list"} 0.0088' in openmetrics(result)
    sides = [SideBySide(str(number), one, None, [], [], []) for number, one in enumerate(documents)]
    assert queued.heading in compare_page(sides, 0, ChartLibrary())


def test_every_metric_has_a_complete_row() -> None:
    for name, row in METRICS.items():
        assert row.name == name
        assert all((row.label, row.heading, row.unit, row.openmetrics.family, row.openmetrics.help))
        assert {row.difference_of, row.ratio_of} - {""} <= set(METRICS)
    assert len({row.heading for row in METRICS.values()}) == len(METRICS)
