"""What the report shows of a run: the view, and the tables that are made of it."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable

import pytest

from benchkit.model import (
    Comparison,
    Counts,
    GatewayCount,
    Histogram,
    Run,
    RunStatus,
    Timeline,
    TimelinePoint,
    Validity,
    Verdict,
)
from benchkit.report import charts
from benchkit.report.render import PARTS, render, series
from benchkit.report.view import Page, build_page
from benchkit.settings import ROOT
from unit import documents

BOTH = ("latency_distribution", "throughput_timeline")
TEMPLATE = ROOT / "utils" / "report_template.html"
LIBRARY = "/* a chart library */ '</script>' //\n//# sourceMappingURL=chart.js.map\n"


def page(run: Run, comparison: Comparison | None = None) -> Page:
    return build_page(run, comparison, BOTH, "")


def html(run: Run, comparison: Comparison | None = None) -> str:
    return render(page(run, comparison), TEMPLATE, LIBRARY)


def realistic() -> tuple[Run, Comparison]:
    run = documents.run()
    return run, documents.comparison(run, {"tools/list_limit_50": -14.2, "resources/read_world_times": 6.1})


# --- golden files ----------------------------------------------------------------------------------------------------


def test_view_of_a_realistic_run(golden: Callable[[str, str], None]) -> None:
    view = dataclasses.asdict(page(*realistic()))
    golden("report/view.json", json.dumps(view, indent=1, ensure_ascii=False) + "\n")


def test_data_of_a_realistic_run(golden: Callable[[str, str], None]) -> None:
    text = html(*realistic())
    block = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert block is not None
    assert json.loads(block.group(1)) == json.loads(json.dumps(series(page(*realistic()))))
    golden("report/data.json", json.dumps(json.loads(block.group(1)), indent=1) + "\n")


def test_tables_of_a_realistic_run(golden: Callable[[str, str], None]) -> None:
    main = re.search(r"<main.*</main>", html(*realistic()), re.DOTALL)
    assert main is not None
    golden("report/tables.html", re.sub(r"\n\s*\n+", "\n", main.group()) + "\n")


# --- the verdict -----------------------------------------------------------------------------------------------------


def test_first_run_says_that_it_became_the_baseline() -> None:
    found = page(documents.run([documents.case()])).headline
    assert (found.word, found.sentence, found.tone) == ("Measured", "First run, saved as baseline.", "plain")


def test_run_without_baseline_says_so() -> None:
    found = page(documents.run([documents.case()], exit_reason="")).headline
    assert found.sentence == "There is no baseline to hold this run against."


def test_regression_stands_before_invalid_cases() -> None:
    run = documents.run([documents.case("tools/a"), documents.failed_case("tools/b", "http 429")])
    comparison = documents.comparison(run, verdict=Verdict.REGRESSION, reason="tools/a is 14 % slower", exit_code=1)
    found = page(run, comparison).headline
    assert (found.word, found.sentence) == ("Regression", "tools/a is 14 % slower.")
    assert "1 of 2 cases is invalid." in found.notes


def test_a_good_comparison_does_not_hide_invalid_cases() -> None:
    run = documents.run([documents.case("tools/a"), documents.failed_case("tools/b", "http 429")])
    comparison = documents.comparison(run, verdict=Verdict.UNCHANGED, reason="all is well", exit_code=0)
    found = page(run, comparison).headline
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
    found = page(run, comparison).headline
    assert (found.word, found.tone, found.sentence, found.notes) == (word, tone, "Why.", ["Another machine."])


def test_run_with_nothing_but_invalid_cases() -> None:
    run = documents.run([documents.failed_case(f"tools/{name}", "Tool not found") for name in "abc"])
    text = html(run, documents.comparison(run))
    assert "None of the 3 cases is valid, so there is no figure to report." in text
    assert page(run).problems[0].reason == "Tool not found."
    for row in page(run).groups[0].rows:
        assert all(measure.cell.absent for measure in row.measures)
        assert row.success.absent


def test_run_that_was_not_measured_at_all() -> None:
    found = page(documents.run([documents.failed_case("tools/a", "no such tool", Validity.SKIPPED, sent=0)]))
    assert found.headline.word == "Nothing measured"
    assert page(documents.run([])).headline.word == "Nothing measured"


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
    assert found.headline.word == "Interrupted"
    assert found.headline.sentence == "Interrupted by Ctrl-C."
    assert found.headline.notes == ["1 of 3 cases is invalid."]
    cut = found.groups[0].rows[1]
    assert all(measure.cell.absent for measure in cut.measures)
    details = found.scenarios[0].cases[1]
    assert "not a result" in details.caution
    assert details.iterations.heads == ["1", "2", "3"]
    assert details.courses == [1, 2, 3]


def test_run_that_failed_for_another_reason() -> None:
    run = documents.run([documents.case()], exit_code=2, exit_reason="the gateway went away")
    found = page(run).headline
    assert (found.word, found.tone, found.sentence) == ("Failed", "bad", "The gateway went away.")


# --- figures ---------------------------------------------------------------------------------------------------------


def test_invalid_case_never_shows_latency_or_throughput() -> None:
    """Even where a document holds them against the rules."""
    case = documents.case("tools/a", validity=Validity.INVALID, reason="Tool not found")
    found = page(documents.run([case]))
    assert all(measure.cell.absent for measure in found.groups[0].rows[0].measures)
    details = found.scenarios[0].cases[0]
    assert [label for label, _ in details.iterations.rows] == ["requests sent", "good statuses"]
    assert (details.distribution, details.courses, details.compared) == (False, [], [])
    assert found.series == [charts.CaseCharts(None, None)]


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
    assert p50.cell.title == "advisory: p50 needs 20 successes, here are 1"
    assert any("p50 in 1 of 1" in text for text in found.limitations)
    distribution = found.series[0].distribution
    assert distribution is not None
    assert sum(distribution.counts) == 1


def test_a_change_says_better_or_worse_whichever_way_the_metric_points() -> None:
    run = documents.run([documents.case("tools/a")])
    measures = page(run, documents.comparison(run, {"tools/a": -14.2})).groups[0].rows[0].measures
    words = [(m.change.badge.word, m.change.badge.tone, m.change.text) for m in measures if m.change]
    assert words[:2] == [("regression", "bad", "14.2 % worse")] * 2
    assert words[3] == ("inconclusive", "warn", "14.2 % worse")
    measures = page(run, documents.comparison(run, {"tools/a": 0.01})).groups[0].rows[0].measures
    assert measures[0].change is not None
    assert measures[0].change.text == "no change"


def test_error_rate_changes_in_percentage_points() -> None:
    run = documents.run([documents.case("tools/a", failures=1)])
    comparison = documents.comparison(run)
    entry = (
        comparison.cases[0]
        .metrics["p50_latency"]
        .model_copy(update={"current": 0.01, "reference": 0.0, "change_percent": -1.0})
    )
    case = comparison.cases[0].model_copy(update={"metrics": {"error_rate": entry}})
    row = page(run, comparison.model_copy(update={"cases": [case]})).scenarios[0].cases[0].compared[0]
    assert (row.label, row.reference.text, row.current.text) == ("errors %", "0.00", "1.00")
    assert row.change.text == "1.0 points worse"


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


def test_gateway_counts_that_disagree_or_still_move() -> None:
    def state(**changes: object) -> tuple[str, str]:
        values = {"kind": "tools", "expected": 10, "succeeded": 10, "failed": 0, "settled": True, "cases": []}
        run = documents.run(gateway_counts=[GatewayCount.model_validate(values | changes)])
        row = page(run).gateway_counts[0]
        return row.badge.word, row.remark

    assert state() == ("agrees", "")
    assert state(succeeded=7, failed=3) == ("agrees", "")
    assert state(succeeded=7) == ("differs", "3 fewer than expected")
    assert state(succeeded=12, settled=False) == ("not settled", "2 more than expected; the numbers were still moving")


def test_differences_have_their_own_table_and_chart() -> None:
    found = page(documents.run(documents.gateway_cases()))
    assert [row.name for row in found.groups[0].rows] == ["call_direct", "call_rpc"]
    assert [row.name for row in found.differences] == ["overhead_rpc", "token_cost"]
    assert [measure.cell.text for measure in found.differences[0].measures] == ["52.4", "71.9", "96.0", "14.7"]
    assert found.difference_bars is not None
    assert found.difference_bars.labels == ["overhead_rpc", "token_cost"]


def test_difference_of_an_invalid_case_is_absent_and_named() -> None:
    broken = documents.difference_case("gateway-core/x", 1.0, 2.0, 3.0, 0.5).model_copy(
        update={"validity": Validity.INVALID, "reason": "call_rpc is invalid", "metrics": {}, "iterations": []}
    )
    found = page(documents.run([documents.case(), broken]))
    assert all(measure.cell.absent for measure in found.differences[0].measures)
    assert found.difference_bars is None
    assert [one.id for one in found.problems] == ["gateway-core/x"]
    assert found.headline.word == "Measured"


def test_only_measured_cases_are_counted() -> None:
    members = [documents.case("mixed/a", requests=40), documents.case("mixed/b", requests=60)]
    found = page(documents.run([*members, documents.case("mixed/all", kind="aggregate"), *documents.gateway_cases()]))
    assert ("Cases valid", "4 of 4") in found.facts
    assert ("Requests sent", "900") in found.facts
    assert [row.name for row in found.groups[0].rows] == ["a", "b", "all"]


def test_load_from_another_machine_is_a_limitation() -> None:
    target = documents.environment().target.model_copy(update={"base_url": "https://gateway.example:8443/x"})
    environment = documents.environment().model_copy(update={"target": target})
    assert any("same machine" in text for text in page(documents.run()).limitations)
    assert any("another machine" in text for text in page(documents.run(environment=environment)).limitations)


# --- charts ----------------------------------------------------------------------------------------------------------


def test_chart_types_choose_the_charts() -> None:
    run = documents.run([documents.case()])
    only = build_page(run, None, ["latency_distribution"], "")
    assert only.series[0].course is None
    assert only.series[0].distribution is not None
    assert only.scenarios[0].cases[0].courses == []
    off = build_page(run, None, BOTH, "switched off")
    assert off.series == [charts.CaseCharts(None, None)]
    assert "<canvas" not in render(off, TEMPLATE, None)


def test_a_bucket_in_which_nothing_ended_is_zero_requests_and_no_latency() -> None:
    points = [TimelinePoint(at_s=0.5, ok=5, failed=1, p95_ms=40.0), TimelinePoint(at_s=1.5, ok=2, failed=0)]
    found = charts.course(Timeline(bucket_s=0.5, iterations=[[], points]))
    assert found is not None
    assert found.buckets == 4
    assert found.iterations == [
        charts.IterationCourse(2, [0.0, 10.0, 0.0, 4.0], [0.0, 2.0, 0.0, 0.0], [None, 40.0, None, None])
    ]


def test_empty_series_make_no_chart() -> None:
    assert charts.course(Timeline(bucket_s=1.0, iterations=[[], []])) is None
    assert charts.distribution(Histogram(edges_ms=[1.0, 2.0, 3.0], counts=[0, 0]), {}) is None


def test_equal_shares_of_a_logarithmic_axis_have_equal_heights() -> None:
    """Twice as wide with twice the count is as high: otherwise bins of unequal width make a comb."""
    found = charts.distribution(Histogram(edges_ms=[1.0, 1.1, 1.21, 1.4641], counts=[5, 5, 10]), {})
    assert found is not None
    assert found.heights == [25.0, 25.0, 25.0]


def test_a_distribution_fits_a_logarithmic_axis() -> None:
    found = charts.distribution(Histogram(edges_ms=[0.0, 0.1, 0.2, 0.4], counts=[3, 1, 0]), {"p50_latency": 0.0})
    assert found is not None
    assert found.edges == [0.05, 0.1, 0.2]
    assert found.counts == [3, 1]
    same = charts.distribution(Histogram(edges_ms=[10.0, 10.0], counts=[1]), {})
    assert same is not None
    assert same.edges == [9.0, 11.0]


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
    assert text.count("<script") == 3  # data, Chart.js, the page's own
    assert text.count("</script>") == 3
    assert "<img" not in text
    assert "<svg" not in text
    assert "{{ 7 * 7 }}" in text


def test_data_block_holds_nothing_that_html_or_javascript_could_read() -> None:
    block = html(hostile()).split('id="data">')[1].split("</script>")[0]
    assert not re.search("[<>&\u2028\u2029]", block)
    assert json.loads(block)["differences"]["labels"] == list(documents.HOSTILE_NAMES)


def test_page_loads_nothing() -> None:
    text = html(*realistic())
    assert not re.search(r"""(?:src|href)\s*=\s*["'](?!#|data:,)""", text)
    assert "sourceMappingURL" not in text
    assert "@import" not in text
    assert "url(" not in text
    assert "default-src &#39;none&#39;" in text


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours (WCAG 2.2, "contrast ratio" and "relative luminance")."""

    def luminance(colour: str) -> float:
        channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
        linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


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
    for graphic in ("bar", "failed", "curve"):
        assert contrast(colours[graphic], colours["page"]) >= 3
