"""What the report shows of a run: the view, and the tables that are made of it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchkit.model import (
    CaseComparison,
    Comparison,
    Counts,
    GatewayCount,
    Histogram,
    MetricComparison,
    PercentileCurve,
    ResourceSeries,
    Run,
    RunStatus,
    Timeline,
    TimelinePoint,
    Tone,
    Validity,
    Verdict,
)
from benchkit.report import charts
from benchkit.report.chart_library import ChartLibrary
from benchkit.report.comparison_view import PAIRED, STORED, Badge, ComparedRow, Mode, compared_rows
from benchkit.report.frame import fill_page
from benchkit.report.headline import sentence
from benchkit.report.reduce import reduced
from benchkit.report.render import PARTS
from benchkit.report.system import load_spans
from benchkit.report.view import Page, build_page
from benchkit.settings import ROOT
from builders import documents
from builders.colours import contrast

BOTH = ("latency_distribution", "throughput_timeline")
TEMPLATE = ROOT / "utils" / "report_template.html"
LIBRARY = "/* a chart library */ '</script>' //\n//# sourceMappingURL=chart.js.map\n"


def page(run: Run, comparison: Comparison | None = None) -> Page:
    return build_page(run, comparison, BOTH, ChartLibrary(LIBRARY))


def html(run: Run, comparison: Comparison | None = None) -> str:
    return html_of(page(run, comparison))


def html_of(shown: Page) -> str:
    return fill_page(TEMPLATE, shown.frame, {"page": shown}, shown.plots)


def plot(found: Page, name: str) -> charts.Plot | None:
    """The plot of this name in the system's section, or of the only case."""
    drawn = found.system.charts if found.system else found.scenarios[0].cases[0].charts
    return next((one.plot for one in drawn if one.plot.name == name), None)


def realistic() -> tuple[Run, Comparison]:
    run = documents.run(resources=documents.sampled(60))
    return run, documents.comparison(run, {"tools/list_limit_50": -14.2, "resources/read_world_times": 6.1})


def main_part(text: str) -> str:
    """What the page shows, without its styles and its scripts."""
    found = re.search(r"<header.*</footer>", text, re.DOTALL)
    assert found is not None
    return re.sub(r"\n\s*\n+", "\n", found.group()) + "\n"


# --- golden files ----------------------------------------------------------------------------------------------------


def test_data_of_a_realistic_run(golden: Callable[[str, object], None]) -> None:
    text = html(*realistic())
    block = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert block is not None
    assert json.loads(block.group(1)) == json.loads(json.dumps(page(*realistic()).plots.data()))
    data = json.loads(block.group(1))
    # Those of the differences, of the first two cases and of the system show what they all look like.
    golden("report/data.json", {**data, "plots": data["plots"][:14] + data["plots"][-4:]})


def test_tables_of_a_realistic_run(golden: Callable[[str, object], None]) -> None:
    golden("report/tables.html", main_part(html(*realistic())))


def test_tables_of_two_gateways_side_by_side(golden: Callable[[str, object], None]) -> None:
    run, comparison = documents.paired(documents.run(documents.gateway_cases()), {"gateway-core/call_rpc": -14.2})
    golden("report/paired.html", main_part(html(run, comparison)))


def nothing_but_invalid() -> Run:
    return documents.run([documents.failed_case(f"tools/{name}", "Tool not found", errors={"rpc": 9}) for name in "ab"])


def interrupted() -> Run:
    return documents.run(
        [
            documents.case("tools/a"),
            documents.case("tools/b", validity=Validity.INTERRUPTED, reason="Ctrl-C", metrics={}, advisory=[]),
        ],
        status=RunStatus.INTERRUPTED,
        exit_code=130,
        exit_reason="interrupted by Ctrl-C: 1 of 2 cases were measured to their end",
    )


def without_baseline() -> Run:
    return documents.run([documents.case()], exit_reason="")


def one_sample() -> Run:
    environment = documents.environment(requests=1, concurrency=1, iterations=1)
    return documents.run([documents.case(requests=1, iterations=1)], exit_reason="", environment=environment)


@pytest.mark.parametrize("make", [nothing_but_invalid, interrupted, without_baseline, one_sample])
def test_runs_that_are_not_whole(make: Callable[[], Run], golden: Callable[[str, object], None]) -> None:
    golden(f"report/{make.__name__}.html", main_part(html(make())))


# --- the verdict -----------------------------------------------------------------------------------------------------


def test_first_run_says_that_it_became_the_baseline() -> None:
    found = page(documents.run([documents.case()])).frame
    assert (found.word, found.sentence, found.tone) == ("Measured", "First run, saved as baseline.", "plain")


def test_run_without_baseline_says_so() -> None:
    found = page(documents.run([documents.case()], exit_reason="")).frame
    assert found.sentence == "There is no baseline to compare this run with."


def test_regression_stands_before_invalid_cases() -> None:
    run = documents.run([documents.case("tools/a"), documents.failed_case("tools/b", "http 429")])
    comparison = documents.comparison(run, verdict=Verdict.REGRESSION, reason="tools/a is 14 % slower", exit_code=1)
    found = page(run, comparison).frame
    assert (found.word, found.sentence) == ("Regression", "tools/a is 14 % slower.")
    assert "1 of 2 cases is invalid." in found.notes


def test_a_good_comparison_does_not_hide_invalid_cases() -> None:
    run = documents.run([documents.case("tools/a"), documents.failed_case("tools/b", "http 429")])
    comparison = documents.comparison(run, verdict=Verdict.UNCHANGED, reason="all is well", exit_code=0)
    found = page(run, comparison).frame
    assert (found.word, found.tone, found.sentence) == ("Invalid", "bad", "1 of 2 cases is invalid.")
    assert found.notes == ["All is well."]


@pytest.mark.parametrize(
    ("verdict", "word", "tone"),
    [
        (Verdict.UNCHANGED, "Passed", "good"),
        (Verdict.IMPROVEMENT, "Improved", "good"),
        (Verdict.SLOWER, "Slower, within limits", "warn"),
        (Verdict.INCONCLUSIVE, "Inconclusive", "warn"),
        (Verdict.CRITICAL, "Critical regression", "bad"),
        (Verdict.NOT_COMPARABLE, "Not comparable", "warn"),
    ],
)
def test_every_verdict_has_a_word_and_a_tone(verdict: Verdict, word: str, tone: str) -> None:
    run = documents.run([documents.case()])
    comparison = documents.comparison(run, verdict=verdict, reason="why", warnings=["another machine"])
    found = page(run, comparison).frame
    assert (found.word, found.tone, found.sentence, found.notes) == (word, tone, "Why.", ["Another machine."])


def test_run_with_nothing_but_invalid_cases() -> None:
    run = documents.run([documents.failed_case(f"tools/{name}", "Tool not found") for name in "abc"])
    text = html(run, documents.comparison(run))
    assert "None of the 3 cases is valid, so there is no value to report." in text
    assert page(run).problems[0].reason == "Tool not found."
    assert (page(run).frame.word, page(run).frame.tone) == ("Invalid", "bad")
    for row in page(run).groups[0].rows:
        assert all(measure.cell.absent for measure in row.measures)
        assert row.success.absent


def test_run_that_was_not_measured_at_all() -> None:
    found = page(documents.run([documents.failed_case("tools/a", "no such tool", Validity.SKIPPED, sent=0)]))
    assert found.frame.word == "Nothing measured"
    assert page(documents.run([])).frame.word == "Nothing measured"


def test_interrupted_run_stands_before_everything() -> None:
    run = documents.run(
        [
            documents.case("tools/a"),
            documents.case("tools/b", validity=Validity.INTERRUPTED, reason="Ctrl-C", metrics={}, advisory=[]),
            documents.failed_case("tools/c", "http 500"),
        ],
        status=RunStatus.INTERRUPTED,
        exit_code=130,
        exit_reason="interrupted by Ctrl-C",
    )
    found = page(run)
    assert found.frame.word == "Interrupted"
    assert found.frame.sentence == "Interrupted by Ctrl-C."
    assert found.frame.notes == ["1 of 3 cases is invalid."]
    cut = found.groups[0].rows[1]
    assert all(measure.cell.absent for measure in cut.measures)
    details = found.scenarios[0].cases[1]
    assert "not a result" in details.caution
    assert details.iterations.heads == ["1", "2", "3"]
    assert [number for number, _ in details.courses] == [1, 2, 3]


def test_run_that_failed_for_another_reason() -> None:
    run = documents.run([documents.case()], exit_code=2, exit_reason="the gateway went away")
    found = page(run).frame
    assert (found.word, found.tone, found.sentence) == ("Failed", "bad", "The gateway went away.")


# --- figures ---------------------------------------------------------------------------------------------------------


def test_invalid_case_never_shows_latency_or_throughput() -> None:
    """Even where a document holds them against the rules."""
    case = documents.case("tools/a", validity=Validity.INVALID, reason="Tool not found")
    found = page(documents.run([case]))
    assert all(measure.cell.absent for measure in found.groups[0].rows[0].measures)
    details = found.scenarios[0].cases[0]
    assert [label for label, _ in details.iterations.rows] == ["requests sent", "good statuses"]
    assert (details.charts, details.courses, details.compared) == ([], [], [])
    assert found.plots.data() == {"plots": []}


def test_an_absent_figure_is_a_dash_with_its_reason() -> None:
    case = documents.failed_case("tools/a", "http 429")
    text = html(documents.run([case]))
    assert '<span class="absent" title="invalid: http 429"><span aria-hidden="true">\N{EN DASH}</span>' in text


def test_one_sample_is_shown_and_marked() -> None:
    run = documents.run(
        [documents.case(requests=1, iterations=1)],
        environment=documents.environment(requests=1, concurrency=1, iterations=1),
    )
    found = page(run)
    rate, p50, *_ = found.groups[0].rows[0].measures
    assert not rate.cell.advisory
    assert p50.cell.advisory
    assert p50.cell.title == "advisory: p50 needs 20 successes, this case has 1"
    assert any("p50 in 1 of 1" in text for text in found.limitations)
    assert any("single sample" in note for note in found.frame.notes)
    (drawn,) = found.scenarios[0].cases[0].charts
    assert (drawn.plot.name, drawn.plot.series[0].notes) == ("distribution", ["1 of 1 successes (100 %)"])


def test_a_change_says_better_or_worse_whichever_way_the_metric_points() -> None:
    run = documents.run([documents.case("tools/a")])
    measures = page(run, documents.comparison(run, {"tools/a": -14.2})).groups[0].rows[0].measures
    words = [(m.change.badge, m.change.text, m.change.interval) for m in measures if m.change]
    regression = Badge("regression", Tone.BAD)
    assert words[:2] == [(regression, "14.2 % worse", "\u221217.6 to \u221211.0 %")] * 2
    assert words[3] == (None, "14.2 % worse", "\u221217.6 to \u221211.0 %")  # advisory: shown, and decides nothing
    measures = page(run, documents.comparison(run, {"tools/a": 0.01})).groups[0].rows[0].measures
    assert measures[0].change is not None
    assert measures[0].change.text == "no change"


def test_error_rate_changes_in_percentage_points() -> None:
    run = documents.run([documents.case("tools/a", failures=1)])
    comparison = documents.comparison(run)
    entry = (
        comparison.cases[0]
        .metrics["p50_latency"]
        .model_copy(
            update={
                "current": 0.01,
                "reference": 0.0,
                "change_percent": -1.0,
                "threshold_percent": 0.1,
                "interval": None,
                "detectable_percent": None,
                "reason": "1.00 percentage points more",
            }
        )
    )
    case = comparison.cases[0].model_copy(update={"metrics": {"error_rate": entry}})
    row = page(run, comparison.model_copy(update={"cases": [case]})).scenarios[0].cases[0].compared[0]
    assert (row.label, row.reference.text, row.current.text) == ("errors %", "0.00", "1.00")
    assert row.change.text == "1.0 points worse"
    assert (row.threshold.text, row.note) == ("0.1 points", "1.00 percentage points more")
    assert row.detectable.absent


def test_case_of_the_baseline_that_is_not_in_the_run_is_named() -> None:
    run = documents.run([documents.case("tools/a")])
    gone = (
        documents.comparison(run)
        .cases[0]
        .model_copy(update={"id": "tools/gone", "verdict": Verdict.MISSING, "metrics": {}})
    )
    comparison = documents.comparison(run)
    found = page(run, comparison.model_copy(update={"cases": [*comparison.cases, gone]}))
    assert [(one.id, one.badge.word) for one in found.problems] == [("tools/gone", "missing")]


def test_counts_are_reconciled_in_words() -> None:
    def remarks(**counts: object) -> list[str]:
        case = documents.case(counts=Counts(sent=300, ok=300, **counts))
        return [row.remark for row in page(documents.run([case])).scenarios[0].cases[0].counts]

    assert remarks() == ["", "none failed", "not counted for this case"]
    assert remarks(server=300) == ["", "none failed", "as many as were sent"]
    assert remarks(server=290) == ["", "none failed", "10 fewer than were sent"]
    assert remarks(server=301) == ["", "none failed", "1 more than were sent"]
    assert remarks(server=12, cached=True) == ["", "none failed", "a cache answered the rest: 96.0 % hits"]


def test_the_gateways_count_stands_with_each_case_that_it_covers() -> None:
    counted = GatewayCount(
        kind="tools", expected=342, succeeded=340, failed=0, settled=True, cases=["tools/list_limit_50"]
    )
    rows = page(documents.run([documents.case()], gateway_counts=[counted])).scenarios[0].cases[0].counts
    assert [(row.witness, row.remark) for row in rows][-1] == ("counted by the gateway", "all tools together: differs")


def test_gateway_counts_that_disagree_or_still_move() -> None:
    def state(**changes: object) -> tuple[str, str]:
        values = {"kind": "tools", "expected": 10, "succeeded": 10, "failed": 0, "settled": True, "cases": []}
        run = documents.run(gateway_counts=[GatewayCount.model_validate(values | changes)])
        row = page(run).gateway_counts[0]
        return row.badge.word, row.remark

    assert state() == ("agrees", "")
    assert state(succeeded=7, failed=3) == ("agrees", "")
    assert state(succeeded=7) == ("differs", "3 fewer than expected")
    assert state(succeeded=12, settled=False) == (
        "not settled",
        "2 more than expected; the counters were still changing",
    )


def test_differences_have_their_own_table_and_chart() -> None:
    found = page(documents.run(documents.gateway_cases()))
    assert [row.name for row in found.groups[0].rows] == ["call_direct", "call_rpc"]
    assert [row.name for row in found.differences] == ["overhead_rpc", "token_cost"]
    assert [measure.cell.text for measure in found.differences[0].measures] == ["52.4", "71.9", "96.0", "14.7"]
    assert found.difference_bars is not None
    assert found.difference_bars.plot.labels == ["overhead_rpc", "token_cost"]


def test_difference_of_an_invalid_case_is_absent_and_named() -> None:
    broken = documents.difference_case("gateway-core/x", 1.0, 2.0, 3.0, 0.5).model_copy(
        update={"validity": Validity.INVALID, "reason": "call_rpc is invalid", "metrics": {}, "iterations": []}
    )
    found = page(documents.run([documents.case(), broken]))
    assert all(measure.cell.absent for measure in found.differences[0].measures)
    assert found.difference_bars is None
    assert [one.id for one in found.problems] == ["gateway-core/x"]
    assert found.frame.word == "Measured"


def test_only_measured_cases_are_counted() -> None:
    members = [documents.case("mixed/a", requests=40), documents.case("mixed/b", requests=60)]
    found = page(documents.run([*members, documents.case("mixed/all", kind="aggregate"), *documents.gateway_cases()]))
    assert ("Cases valid", "4 of 4") in found.frame.facts
    assert ("Requests sent", "900") in found.frame.facts
    assert [row.name for row in found.groups[0].rows] == ["a", "b", "all"]


def test_load_from_another_machine_is_a_limitation() -> None:
    target = documents.environment().target.model_copy(update={"base_url": "https://gateway.example:8443/x"})
    environment = documents.environment().model_copy(update={"target": target})
    assert any("same machine" in text for text in page(documents.run()).limitations)
    assert any("another machine" in text for text in page(documents.run(environment=environment)).limitations)


# --- against a reference ---------------------------------------------------------------------------------------------


def metric(**changes: object) -> MetricComparison:
    values = {
        "verdict": Verdict.INCONCLUSIVE,
        "current": 110.0,
        "reference": 100.0,
        "change_percent": -10.0,
        "threshold_percent": 10.0,
        "interval": (-22.0, 2.0),
        "detectable_percent": 19.4,
        "q_value": 0.0213,
        "spread_percent": 5.1,
        "samples": 4,
        "decided_by": 9,
    }
    return MetricComparison.model_validate(values | changes)


def compared_row(mode: Mode = STORED, **changes: object) -> ComparedRow:
    return compared_rows(CaseComparison(id="x", verdict=Verdict.NEW, metrics={"p50_latency": metric(**changes)}), mode)[
        0
    ]


def test_an_open_figure_says_what_could_have_been_seen_and_what_would_decide() -> None:
    row = compared_row()
    assert (row.change.text, row.change.interval) == ("10.0 % worse", "\u221222.0 to +2.0 %")
    assert (row.threshold.text, row.detectable.text, row.decided_by.text) == ("10", "19.4", "9 runs")
    assert row.note == "q = 0.021, 4 runs, deviation 5.1 %"
    assert compared_row(decided_by=None).decided_by.text == "too noisy for any number of runs: compare side by side"
    assert compared_row(PAIRED, decided_by=None).decided_by.text == "too noisy for any number of blocks"
    assert compared_row(PAIRED, decided_by=1).decided_by.text == "1 block"
    assert compared_row(verdict=Verdict.UNCHANGED).decided_by.absent
    assert compared_row(advisory=True).decided_by.absent


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"explained_by": "machine", "unexplained_percent": 3.1},
            "at least 3.1 % of the change is not explained by the machine's speed",
        ),
        (
            {"explained_by": "cases", "unexplained_percent": 3.1},
            "at least 3.1 % of the change is not shared by all cases",
        ),
        ({"explained_by": "machine", "shift_percent": 12.0}, "the machine is 12 % slower than it was"),
        ({"explained_by": "cases", "shift_percent": -12.0}, "all cases together are 12 % faster than they were"),
    ],
)
def test_what_explains_a_change_stands_beside_it(changes: dict[str, object], words: str) -> None:
    assert compared_row(**changes).note.endswith(f", {words}")
    assert words not in compared_row().note


def test_what_was_held_against_the_oldest_runs_has_rows_of_its_own() -> None:
    compared = CaseComparison(
        id="x",
        verdict=Verdict.REGRESSION,
        metrics={"p50_latency": metric(verdict=Verdict.UNCHANGED)},
        since_oldest={"p50_latency": metric(verdict=Verdict.REGRESSION)},
    )
    rows = compared_rows(compared, STORED)
    assert [row.label for row in rows] == ["p50 ms", "p50 ms, since the oldest accepted runs"]
    assert [row.change.badge.word for row in rows if row.change.badge] == ["unchanged", "regression"]


def test_the_mean_of_all_cases_is_shown_with_its_verdict() -> None:
    run = documents.run([documents.case()])
    comparison = documents.comparison(run)
    slid = comparison.model_copy(update={"suite_since_oldest": {"p50_latency": metric(verdict=Verdict.REGRESSION)}})
    words = [(row.label, row.change.badge.word) for row in page(run, slid).suite if row.change.badge]
    unchanged = [("p50", "unchanged"), ("req/s", "unchanged")]
    assert words == [*unchanged, ("p50 since the oldest runs", "regression")]
    side_by_side = page(*documents.paired(run)).suite
    assert [(row.label, row.change.badge.word) for row in side_by_side if row.change.badge] == unchanged


def test_thresholds_and_what_could_be_seen_are_told_by_metric() -> None:
    run = documents.run([documents.case("tools/a"), documents.case("tools/b")])
    comparison = documents.comparison(run)
    first = comparison.cases[0].model_copy(
        update={"metrics": {"p50_latency": metric(threshold_percent=5.0, detectable_percent=4.0)}}
    )
    found = page(run, comparison.model_copy(update={"cases": [first, comparison.cases[1]]}))
    assert found.thresholds.replace("\u00a0", " ").startswith("p50 5 to 10 %, req/s 10 %")
    assert "p50 4.0 to 11.2 %" in found.could_be_seen


def test_two_gateways_side_by_side_read_right() -> None:
    run, comparison = documents.paired(documents.run([documents.case()]))
    found = page(run, comparison)
    assert (found.mode.reference, found.mode.current) == ("base", "head")
    assert "base \u201c1.0.6\u201d" in found.baseline
    assert any("block by block" in text for text in found.limitations)
    text = html(run, comparison)
    assert "Against the baseline" not in text
    assert ">this run<" not in text


# --- the system ------------------------------------------------------------------------------------------------------


def test_a_run_without_samples_has_no_system_section() -> None:
    found = page(documents.run())
    assert found.system is None
    assert 'id="system"' not in html(documents.run())
    assert any("was not sampled" in text for text in found.limitations)


def test_every_component_has_its_mean_and_its_peak() -> None:
    resources = documents.sampled(
        4,
        series=[
            ResourceSeries(
                name="gateway",
                kind="gateway",
                source="process",
                cpu_percent=[10.0, 90.0, None, 20.0],
                memory_mib=[100.0, 300.0, None, 200.0],
            ),
            ResourceSeries(
                name="gone", kind="cache", source="container", cpu_percent=[None] * 4, memory_mib=[None] * 4
            ),
        ],
    )
    case = documents.case(requests=20, iterations=1, started=documents.after(0.9))
    shown = page(documents.run([case], resources=resources))
    found = shown.system
    assert found is not None
    first, gone = found.components
    assert [cell.text for cell in first.cells] == ["40.0", "90.0", "90.0", "200", "300"]
    assert all(cell.absent for cell in gone.cells)
    assert (gone.component, gone.source) == ("cache", "container")
    cpu = plot(shown, "cpu")
    assert cpu is not None
    assert [one.label for one in cpu.series] == ["gateway"]
    assert [(row.id, row.samples, row.cells[0].text) for row in found.load] == [("tools/list_limit_50", "1", "90.0")]


def test_processes_of_one_component_are_one_line_of_what_was_seen() -> None:
    def server(name: str, *cpu: float | None) -> ResourceSeries:
        return ResourceSeries(name=name, kind="server", source="process", cpu_percent=list(cpu), memory_mib=[None] * 3)

    resources = documents.sampled(3, series=[server("a", 1.0, None, None), server("b", 2.0, 5.0, None)])
    shown = page(documents.run(resources=resources))
    cpu = plot(shown, "cpu")
    assert cpu is not None
    assert [(one.label, one.values) for one in cpu.series] == [("MCP servers", [3.0, 5.0, None])]
    assert plot(shown, "memory") is None


def test_cases_under_load_at_once_share_a_span() -> None:
    cases = [
        documents.case("tools/a", iterations=1, started=documents.after(5)),
        documents.case("mixed/b", iterations=1, started=documents.after(20)),
        documents.case("mixed/c", iterations=1, started=documents.after(20.2)),
        documents.failed_case("tools/d", "no").model_copy(
            update={"iterations": [documents.case(started=documents.after(40)).iterations[0]]}
        ),
    ]
    spans = load_spans(documents.run(cases))
    assert [(span.label, span.scenario, span.start) for span in spans] == [
        ("a", "tools", 5.0),
        ("2 cases at once", "mixed", 20.0),
        ("d", "tools", 40.0),
    ]
    assert spans[1].title == "mixed/b (1), mixed/c (1)"
    assert spans[1].rate == round(sum(case.metrics["requests_per_sec"] for case in cases[1:3]), 2)
    assert spans[2].rate is None  # an invalid case has no throughput, on no chart


def test_connections_and_their_limit() -> None:
    shown = page(documents.run(resources=documents.sampled(20)))
    found = shown.system
    assert found is not None
    assert [cell.text for cell in found.connections[0].cells][1::2] == ["6", "9", "100"]
    connections = plot(shown, "connections")
    assert connections is not None
    # The limit of 100 is far away, so it has no line.
    assert [one.label for one in connections.series] == ["postgresql, active", "postgresql, idle"]


def test_a_generator_that_was_the_bottleneck_stands_in_the_headline() -> None:
    warning = "the load generator took 97 % of all cores: it was the bottleneck"
    run = documents.run([documents.case()], warnings=["something else", warning], doubts=[warning])
    for comparison in (None, documents.comparison(run)):
        assert page(run, comparison).frame.notes[0] == sentence(warning)
    assert not any("generator" in note for note in page(documents.run([documents.case()])).frame.notes)


@given(
    st.lists(st.one_of(st.none(), st.floats(-1e3, 1e6)), max_size=300),
    st.integers(1, 20),
)
def test_a_reduced_series_keeps_its_extremes_and_its_gaps(values: list[float | None], slots: int) -> None:
    at = [float(place) for place in range(len(values))]
    found = reduced(at, [values], slots)
    [series] = found.series
    seen = [value for value in values if value is not None]
    kept = [value for value in series if value is not None]
    assert len(series) == len(found.at) <= max(2 * slots, len(values) if len(values) <= 2 * slots else 0)
    assert (min(kept, default=None), max(kept, default=None)) == (min(seen, default=None), max(seen, default=None))
    assert set(kept) <= set(seen)
    assert found.at == sorted(found.at)


def test_a_peak_of_one_second_in_ten_hours_is_kept() -> None:
    values: list[float | None] = [10.0] * 36_000
    values[20_000] = 180.0
    found = reduced([float(second) for second in range(36_000)], [values])
    assert len(found.at) == 600
    peak = found.series[0].index(180.0)
    assert abs(found.at[peak] - 20_000) < 36_000 / 300


# --- charts ----------------------------------------------------------------------------------------------------------


def test_chart_types_choose_the_charts() -> None:
    run = documents.run([documents.case()])
    only = build_page(run, None, ["latency_distribution"], ChartLibrary(LIBRARY)).scenarios[0].cases[0]
    assert only.courses == []
    assert [one.plot.name for one in only.charts] == ["distribution", "curve"]
    off = build_page(run, None, BOTH, ChartLibrary(off="switched off"))
    assert off.scenarios[0].cases[0].charts == []
    assert off.plots.data() == {"plots": []}
    assert "<canvas" not in html_of(off)
    assert "switched off" in html_of(off)


def values(found: charts.Plot) -> dict[str, object]:
    return {one.label: one.values for one in found.series}


def test_a_bucket_in_which_nothing_ended_is_zero_requests_and_no_latency() -> None:
    points = [
        TimelinePoint(at_s=0.5, ok=5, failed=1, p95_ms=40.0, max_ms=312.3),
        TimelinePoint(at_s=1.5, ok=2, failed=0),
    ]
    ((number, found),) = charts.courses("x", Timeline(bucket_s=0.5, iterations=[[], points]))
    assert (number, found.slots) == (2, (4, 0.5))
    assert values(found) == {
        "successes per second": [0.0, 10.0, 0.0, 4.0],
        "failures per second": [0.0, 2.0, 0.0, 0.0],
        "p95 ms": [None, 40.0, None, None],
        "slowest answer, ms": [None, 312.3, None, None],
    }
    assert found.right is not None
    assert (found.y.reach, found.right.reach) == (12.0, 312.3)


def test_empty_series_make_no_chart() -> None:
    assert charts.courses("x", Timeline(bucket_s=1.0, iterations=[[], []])) == []
    assert charts.distribution("x", Histogram(edges_ms=[1.0, 2.0, 3.0], counts=[0, 0]), {}) is None


def test_a_curve_is_drawn_as_far_as_it_goes() -> None:
    points = PercentileCurve(percent=[0.0, 50.0], pooled_ms=[1.0, 2.0], iterations_ms=[[1.0], [1.5, 2.0]])
    found = charts.curve("x", points)
    assert found is not None
    assert [one.values for one in found.series] == [[(1.0, 1.0), (2.0, 2.0)], [(1.0, 1.0)], [(1.0, 1.5), (2.0, 2.0)]]
    assert found.titles == ["p0", "p50"]
    alone = charts.curve("x", points.model_copy(update={"iterations_ms": [[1.0, 2.0]]}))
    assert alone is not None
    assert [one.values for one in alone.series] == [[(1.0, 1.0), (2.0, 2.0)]]
    assert charts.curve("x", PercentileCurve(percent=[0.0], pooled_ms=[1.0], iterations_ms=[[1.0]])) is None


def test_an_old_run_without_a_curve_has_its_other_charts() -> None:
    found = page(documents.run([documents.case(percentiles=None)])).scenarios[0].cases[0]
    assert [one.plot.name for one in found.charts] == ["distribution", "rounds"]
    assert len(found.courses) == 3


def test_failures_are_drawn_by_kind_and_iteration_even_of_an_invalid_case() -> None:
    run = documents.run([documents.case(failures=2), documents.failed_case("tools/b", "429", errors={"http 429": 7})])
    failing, invalid = page(run).scenarios[0].cases
    assert values(failing.charts[-1].plot) == {f"iteration {number}": [2] for number in (1, 2, 3)}
    (drawn,) = invalid.charts
    assert (drawn.plot.labels, values(drawn.plot), invalid.courses) == (["http 429"], {"iteration 1": [7]}, [])


def test_equal_shares_of_a_logarithmic_axis_have_equal_heights() -> None:
    """Twice as wide with twice the count is as high: otherwise bins of unequal width make a comb."""
    found = charts.distribution("x", Histogram(edges_ms=[1.0, 1.1, 1.21, 1.4641], counts=[5, 5, 10]), {})
    assert found is not None
    assert [height for _, height in found.series[0].values] == [25.0, 25.0, 25.0]  # type: ignore[misc]
    assert found.series[0].notes == ["5 of 20 successes (25.0 %)"] * 2 + ["10 of 20 successes (50.0 %)"]
    assert found.titles is not None
    assert found.titles[0] == "1 \u2013 1.1 ms"


def test_a_distribution_fits_a_logarithmic_axis() -> None:
    found = charts.distribution("x", Histogram(edges_ms=[0.0, 0.1, 0.2, 0.4], counts=[3, 1, 0]), {"p50_latency": 0.0})
    assert found is not None
    assert found.edges == [0.05, 0.1, 0.2]
    assert (found.x.low, found.x.high) == (0.05, 0.2)
    same = charts.distribution("x", Histogram(edges_ms=[10.0, 10.0], counts=[1]), {})
    assert same is not None
    assert same.edges == [9.0, 11.0]


def test_what_is_as_usual_is_left_out_of_the_data() -> None:
    plots = charts.Plots(ChartLibrary(LIBRARY))
    plots.add(charts.Plot("t", "lines", charts.Axis("ms"), [charts.Series("a", [1.0, None], "s1")], labels=["x", "y"]))
    series = [{"label": "a", "values": [1.0, None], "colour": "s1"}]
    assert plots.data() == {"plots": [{"kind": "lines", "y": {"title": "ms"}, "series": series, "labels": ["x", "y"]}]}


# --- the page --------------------------------------------------------------------------------------------------------


def hostile() -> Run:
    cases = [
        documents.case(f"tools/{number}", id=name, scenario=name, name=name, description=name, notes=[name])
        for number, name in enumerate(documents.HOSTILE_NAMES)
    ]
    cases += [documents.failed_case(f"x/{name}", name, errors={name: 3}) for name in documents.HOSTILE_NAMES]
    cases += [documents.difference_case(f"y/{name}", 1.0, 2.0, 3.0, 0.5) for name in documents.HOSTILE_NAMES]
    return documents.run(cases, exit_reason=documents.HOSTILE_NAMES[0], warnings=list(documents.HOSTILE_NAMES))


def test_hostile_names_stay_text() -> None:
    text = html(hostile())
    assert text.count("<script") == 5  # data, Chart.js, the page's own three
    assert text.count("</script>") == 5
    assert "<img" not in text
    assert "<svg" not in text
    assert "{{ 7 * 7 }}" in text


def test_data_block_holds_nothing_that_html_or_javascript_could_read() -> None:
    block = html(hostile()).split('id="data">')[1].split("</script>")[0]
    assert not re.search("[<>&\u2028\u2029]", block)
    assert json.loads(block)["plots"][0]["labels"] == list(documents.HOSTILE_NAMES)


def test_page_loads_nothing() -> None:
    text = html(*realistic())
    assert not re.search(r"""(?:src|href)\s*=\s*["'](?!#|data:,)""", text)
    assert "sourceMappingURL" not in text
    assert "@import" not in text
    assert "url(" not in text
    assert "default-src &#39;none&#39;" in text


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_has_enough_contrast_in_both_schemes(scheme: int) -> None:
    css = (PARTS / "report.css").read_text(encoding="utf-8")
    blocks = re.findall(r":root[^{]*\{([^}]*)\}", css)
    colours = dict(re.findall(r"--([\w-]+):\s*(#[0-9a-f]{6})", blocks[scheme]))
    pairs = [(text, back) for text in ("text", "muted", "link") for back in ("page", "surface")]
    pairs += [(tone, back) for tone in ("good", "bad", "warn", "plain") for back in ("page", f"{tone}-back")]
    pairs += [("text", f"{tone}-back") for tone in ("good", "bad", "warn", "plain")]
    assert {
        pair: contrast(colours[pair[0]], colours[pair[1]])
        for pair in pairs
        if contrast(colours[pair[0]], colours[pair[1]]) < 4.5
    } == {}
    graphics = [
        name for name in colours if name in ("bar", "failed", "curve") or re.match("component-|database-", name)
    ]
    assert len(graphics) == 14
    for graphic in graphics:
        assert contrast(colours[graphic], colours["page"]) >= 3
