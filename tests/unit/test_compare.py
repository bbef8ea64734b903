"""A run held against a baseline: every rule, on documents."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchkit import store
from benchkit.errors import ExitCode
from benchkit.model import METRICS, CaseComparison, Comparison, Run, RunStatus, Validity, Verdict, Worse
from benchkit.settings import Baselines
from benchkit.verdict.compare import BY_ERRORS_ALONE, compare
from benchkit.verdict.rules import (
    BY_SEVERITY,
    CRITICAL_PERCENT,
    DERIVED,
    case_figures,
    change_percent,
    detectable_percent,
    explainable,
    judge,
    verdict_of,
    worst,
)
from benchkit.verdict.text import WIDTH, comparison_report, plain
from documents import environment
from verdicts import LIMITS, baseline_of, case_of, elsewhere, measured, run_of

STEADY = {"p50_latency": 21.0, "requests_per_sec": 10_000 / 21, "error_rate": 0.0}
"""What ``measured()`` has as its medians."""

P50 = METRICS["p50_latency"]
RPS = METRICS["requests_per_sec"]
ERRORS = METRICS["error_rate"]

positive = st.floats(min_value=1e-3, max_value=1e9)
ratio_metrics = st.sampled_from([metric for metric in METRICS.values() if not metric.absolute])


def the_case(comparison: Comparison, identity: str) -> CaseComparison:
    return next(case for case in comparison.cases if case.id == identity)


# ---------------------------------------------------------------------------------------------------------------------
# One figure


@given(ratio_metrics, positive, positive)
def test_a_change_is_positive_exactly_when_the_metric_got_better(metric, current, reference):
    change = change_percent(metric, current, reference)
    assert change is not None
    better = current < reference if metric.worse is Worse.HIGHER else current > reference
    assert change >= 0 if better or current == reference else change <= 0


def test_a_change_that_rounds_to_nothing_is_no_minus_zero():
    change = change_percent(P50, 100.000_000_001, 100.0)
    assert change == 0
    assert math.copysign(1, change) == 1


@given(ratio_metrics, positive)
def test_the_same_figure_is_unchanged(metric, value):
    assert judge(metric, value, [value], LIMITS, advisory=False).verdict is Verdict.UNCHANGED


@given(ratio_metrics, st.integers(1, 10_000), st.integers(0, 90), st.data())
def test_the_verdict_turns_exactly_at_the_threshold(metric, reference, threshold, data):
    """Whole percents, so that what is exactly at the threshold is known without arithmetic."""
    limits_to_hit = st.sampled_from([-threshold, -25, 0, 5])
    percent = data.draw(limits_to_hit) + data.draw(st.integers(-1, 1))
    limits = Baselines(regression_threshold=float(threshold), improvement_threshold=5.0)
    current = reference * (100 - percent if metric.worse is Worse.HIGHER else 100 + percent) / 100
    verdict = judge(metric, current, [float(reference)], limits, advisory=False).verdict
    worse_by = -percent
    if worse_by > 0 and worse_by >= threshold:
        expected = Verdict.CRITICAL if worse_by >= CRITICAL_PERCENT else Verdict.REGRESSION
    else:
        expected = Verdict.IMPROVEMENT if percent >= 5 else Verdict.UNCHANGED
    assert verdict is expected


@given(ratio_metrics, positive, positive, positive)
def test_a_worse_figure_never_has_a_better_verdict(metric, reference, one, other):
    low, high = sorted((one, other))
    better, worse = (low, high) if metric.worse is Worse.HIGHER else (high, low)
    verdicts = [judge(metric, value, [reference], LIMITS, advisory=False).verdict for value in (worse, better)]
    # Here "unchanged" lies between "improvement" and "regression".
    order = [Verdict.CRITICAL, Verdict.REGRESSION, Verdict.UNCHANGED, Verdict.IMPROVEMENT]
    assert order.index(verdicts[0]) <= order.index(verdicts[1])


@given(st.floats(0, 1), st.floats(0, 1))
def test_error_rates_are_compared_by_difference(before, now):
    compared = judge(ERRORS, now, [before], LIMITS, advisory=False)
    assert compared.change_percent == pytest.approx(100 * (before - now), abs=1e-5)
    if 100 * (now - before) > 0.1001:
        assert compared.verdict is Verdict.CRITICAL
    if 100 * (now - before) < 0.0999:
        assert compared.verdict in (Verdict.UNCHANGED, Verdict.IMPROVEMENT)


def test_errors_from_a_reference_of_zero_are_critical():
    compared = judge(ERRORS, 0.05, [0.0], LIMITS, advisory=False)
    assert (compared.verdict, compared.change_percent) == (Verdict.CRITICAL, -5.0)


def test_errors_at_their_threshold_are_no_regression_and_beyond_it_are():
    assert verdict_of(ERRORS, -0.1, LIMITS) is Verdict.UNCHANGED
    assert verdict_of(ERRORS, -0.100001, LIMITS) is Verdict.CRITICAL


def test_a_threshold_of_its_own_replaces_the_general_one():
    limits = Baselines(thresholds={"p95_latency": 20.0})
    assert verdict_of(METRICS["p95_latency"], -15.0, limits) is Verdict.UNCHANGED
    assert verdict_of(P50, -15.0, limits) is Verdict.REGRESSION


@pytest.mark.parametrize("threshold", [0.0, 10.0])
def test_no_change_is_no_regression_whatever_the_threshold(threshold):
    assert verdict_of(P50, 0.0, Baselines(regression_threshold=threshold)) is Verdict.UNCHANGED


@given(ratio_metrics, st.floats(), st.floats())
def test_no_figure_leads_to_nan(metric, current, reference):
    compared = judge(metric, current, [reference], LIMITS, advisory=False)
    if compared.change_percent is None:
        assert compared.verdict is Verdict.NOT_COMPARABLE
        assert compared.reason
    else:
        assert math.isfinite(compared.change_percent)


def test_the_reference_is_the_median_over_the_runs():
    compared = judge(P50, 20.0, [10.0, 20.0, 90.0], LIMITS, advisory=False)
    assert (compared.reference, compared.verdict) == (20.0, Verdict.UNCHANGED)


def test_every_verdict_has_a_severity():
    assert set(BY_SEVERITY) == set(Verdict)
    assert worst([Verdict.IMPROVEMENT, Verdict.REGRESSION, Verdict.MISSING]) is Verdict.REGRESSION


# ---------------------------------------------------------------------------------------------------------------------
# A case's figures


def test_a_figure_is_the_median_of_its_iterations_not_of_their_mean():
    assert case_figures(measured(rounds=(20.0, 90.0, 21.0)))["p50_latency"] == 21.0


def test_the_error_rate_is_pooled_so_that_one_bad_iteration_shows():
    case = measured(errors=15)
    assert [iteration.metrics["error_rate"] for iteration in case.iterations] == [0, 0, 0.15]
    assert case_figures(case)["error_rate"] == 0.05


def test_a_case_without_iterations_has_its_pooled_figures():
    assert case_figures(case_of("a/b", metrics={"throughput_ratio": 0.5})) == {"throughput_ratio": 0.5}


def test_what_is_not_a_number_was_not_measured():
    assert case_figures(case_of("a/b", metrics={"p50_latency": math.nan, "p95_latency": 1.0})) == {"p95_latency": 1.0}


# ---------------------------------------------------------------------------------------------------------------------
# Cases


def test_an_unchanged_run_passes():
    comparison = compare(run_of(measured()), baseline_of({"tools/list": STEADY}), LIMITS)
    assert (comparison.verdict, comparison.exit_code) == (Verdict.UNCHANGED, ExitCode.OK)
    assert comparison.reason == "no regression in 1 compared case; 1 unchanged"
    assert comparison.warnings == []


def test_a_regression_fails():
    comparison = compare(run_of(measured(rounds=(24.0,))), baseline_of({"tools/list": STEADY}), LIMITS)
    assert (comparison.verdict, comparison.exit_code) == (Verdict.REGRESSION, ExitCode.REGRESSION)
    metric = the_case(comparison, "tools/list").metrics["p50_latency"]
    assert (metric.current, metric.reference, metric.change_percent) == (24.0, 21.0, -14.285714)


def test_beyond_25_percent_it_is_critical():
    comparison = compare(run_of(measured(rounds=(26.25,))), baseline_of({"tools/list": STEADY}), LIMITS)
    assert (comparison.verdict, comparison.exit_code) == (Verdict.CRITICAL, ExitCode.REGRESSION)


def test_an_improvement_passes():
    comparison = compare(run_of(measured(rounds=(18.0,))), baseline_of({"tools/list": STEADY}), LIMITS)
    assert (comparison.verdict, comparison.exit_code) == (Verdict.IMPROVEMENT, ExitCode.OK)


def test_an_improvement_does_not_outweigh_a_regression():
    reference = STEADY | {"p50_latency": 40.0, "requests_per_sec": 1000.0}
    comparison = compare(run_of(measured()), baseline_of({"tools/list": reference}), LIMITS)
    case = the_case(comparison, "tools/list")
    assert case.metrics["p50_latency"].verdict is Verdict.IMPROVEMENT
    assert case.metrics["requests_per_sec"].verdict is Verdict.CRITICAL
    assert case.verdict is Verdict.CRITICAL


def test_a_metric_that_does_not_gate_is_shown_and_decides_nothing():
    reference = STEADY | {"p95_latency": 1.0}
    case = the_case(compare(run_of(measured()), baseline_of({"tools/list": reference}), LIMITS), "tools/list")
    assert (case.metrics["p95_latency"].verdict, case.metrics["p95_latency"].advisory) == (Verdict.CRITICAL, True)
    assert case.verdict is Verdict.UNCHANGED


def test_a_percentile_with_too_few_samples_decides_nothing_although_it_gates():
    run = run_of(measured(rounds=(90.0,), advisory=["p50_latency"]))
    limits = Baselines(gate=["p50_latency"])
    comparison = compare(run, baseline_of({"tools/list": STEADY}), limits)
    case = the_case(comparison, "tools/list")
    assert case.metrics["p50_latency"].advisory
    assert case.verdict is Verdict.UNCHANGED
    assert case.reason == BY_ERRORS_ALONE
    assert comparison.warnings == ["1 compared case judged by errors alone: the figures that gate are advisory there."]


def test_new_errors_fail_even_when_everything_else_got_better():
    run = run_of(measured(rounds=(10.0, 10.0, 10.0), errors=15))
    comparison = compare(run, baseline_of({"tools/list": STEADY}), LIMITS)
    assert (comparison.verdict, comparison.exit_code) == (Verdict.CRITICAL, ExitCode.REGRESSION)
    assert the_case(comparison, "tools/list").metrics["error_rate"].change_percent == -5.0


def test_an_invalid_case_fails_the_run_and_says_why():
    run = run_of(measured(), case_of("tools/call", validity=Validity.INVALID, reason="Tool not found"))
    comparison = compare(run, baseline_of({"tools/list": STEADY, "tools/call": STEADY}), LIMITS)
    assert (comparison.verdict, comparison.exit_code) == (Verdict.INVALID, ExitCode.INVALID)
    case = the_case(comparison, "tools/call")
    assert (case.verdict, case.reason, case.metrics) == (Verdict.INVALID, "Tool not found", {})


def test_a_regression_is_reported_before_an_invalid_case():
    run = run_of(measured(rounds=(90.0,)), case_of("tools/call", validity=Validity.INVALID, reason="429"))
    comparison = compare(run, baseline_of({"tools/list": STEADY}), LIMITS)
    assert comparison.exit_code == ExitCode.REGRESSION
    assert "1 invalid" in comparison.reason


def test_a_case_that_should_have_run_is_missing():
    comparison = compare(run_of(measured()), baseline_of({"tools/list": STEADY, "tools/gone": STEADY}), LIMITS)
    assert (comparison.verdict, comparison.exit_code) == (Verdict.MISSING, ExitCode.INVALID)
    assert the_case(comparison, "tools/gone").verdict is Verdict.MISSING


def test_a_skipped_case_is_missing_where_the_baseline_has_it():
    run = run_of(measured(), case_of("tools/mcp", validity=Validity.SKIPPED, reason="release 0.7.0 has none"))
    comparison = compare(run, baseline_of({"tools/list": STEADY, "tools/mcp": STEADY}), LIMITS)
    case = the_case(comparison, "tools/mcp")
    assert (case.verdict, case.reason) == (Verdict.MISSING, "skipped: release 0.7.0 has none")
    assert comparison.exit_code == ExitCode.INVALID


def test_a_case_that_both_sides_skipped_does_not_fail():
    run = run_of(measured(), case_of("tools/mcp", validity=Validity.SKIPPED, reason="release 0.7.0 has none"))
    comparison = compare(run, baseline_of({"tools/list": STEADY}), LIMITS)
    assert the_case(comparison, "tools/mcp").verdict is Verdict.NEW
    assert comparison.exit_code == ExitCode.OK


def test_scenarios_that_were_not_selected_are_told_in_one_line():
    baseline = baseline_of({"tools/list": STEADY, "mixed/a": STEADY, "mixed/b": STEADY})
    comparison = compare(run_of(measured(), scenarios=["tools"]), baseline, LIMITS)
    assert comparison.exit_code == ExitCode.OK
    assert [case.id for case in comparison.cases] == ["tools/list"]
    assert comparison.warnings == ["Not part of this run: 2 of the baseline's cases (mixed)."]


def test_a_case_without_a_reference_is_new_and_shows_its_figures():
    comparison = compare(run_of(measured(), measured("tools/new")), baseline_of({"tools/list": STEADY}), LIMITS)
    case = the_case(comparison, "tools/new")
    assert (case.verdict, case.metrics["p50_latency"].current) == (Verdict.NEW, 21.0)
    assert comparison.exit_code == ExitCode.OK
    assert "1 without a reference" in comparison.reason


def test_a_run_of_nothing_but_new_cases_does_not_pass():
    comparison = compare(run_of(measured("mixed/a")), baseline_of({"tools/list": STEADY}), LIMITS)
    assert (comparison.verdict, comparison.exit_code) == (Verdict.NEW, ExitCode.USAGE)


@pytest.mark.parametrize("validity", [Validity.INVALID, Validity.SKIPPED, Validity.INTERRUPTED])
def test_a_run_without_a_valid_case_never_passes(validity):
    run = run_of(case_of("tools/other", validity=validity, reason="because"))
    comparison = compare(run, baseline_of({"tools/list": STEADY}), LIMITS)
    assert (comparison.verdict, comparison.exit_code) == (Verdict.INVALID, ExitCode.INVALID)


def test_an_empty_run_never_passes():
    comparison = compare(run_of(), baseline_of({"tools/list": STEADY}), LIMITS)
    assert comparison.exit_code == ExitCode.INVALID
    assert "no valid case" in comparison.reason


def test_an_interrupted_run_never_passes():
    run = run_of(measured(), status=RunStatus.INTERRUPTED)
    comparison = compare(run, baseline_of({"tools/list": STEADY}), LIMITS)
    assert comparison.exit_code == ExitCode.INVALID


def test_a_gating_figure_that_is_gone_is_missing():
    metrics = {"requests_per_sec": 10_000 / 21, "error_rate": 0.0}
    comparison = compare(run_of(case_of("tools/list", metrics=metrics)), baseline_of({"tools/list": STEADY}), LIMITS)
    case = the_case(comparison, "tools/list")
    assert (case.verdict, case.reason) == (Verdict.MISSING, "p50 was not measured")
    assert comparison.exit_code == ExitCode.INVALID


def test_a_gating_figure_that_only_this_run_has_leaves_the_others_to_decide():
    comparison = compare(run_of(measured()), baseline_of({"tools/list": {"p50_latency": 21.0}}), LIMITS)
    assert the_case(comparison, "tools/list").verdict is Verdict.UNCHANGED


@pytest.mark.parametrize("reference", [0.0, -1.0, math.nan, math.inf])
def test_a_reference_without_a_ratio_never_passes(reference):
    baseline = baseline_of({"tools/list": STEADY | {"requests_per_sec": reference}})
    comparison = compare(run_of(measured()), baseline, LIMITS)
    case = the_case(comparison, "tools/list")
    assert case.verdict is Verdict.NOT_COMPARABLE
    assert "req/s has a reference of" in case.reason
    assert comparison.exit_code == ExitCode.INVALID
    if math.isfinite(reference):
        store.dump(comparison)


@pytest.mark.parametrize("gate", [["p50_latency"], ["p50_latency", *DERIVED]])
def test_derived_cases_are_shown_and_decide_nothing(gate):
    limits = Baselines(metrics=gate, gate=gate)
    derived = dict.fromkeys(DERIVED, 1.0)
    run = run_of(measured(), case_of("tools/overhead", metrics=dict.fromkeys(DERIVED, 9.0)))
    comparison = compare(run, baseline_of({"tools/list": STEADY, "tools/overhead": derived}), limits)
    case = the_case(comparison, "tools/overhead")
    assert case.metrics["added_p50_latency"].change_percent == -800.0
    assert all(metric.advisory for metric in case.metrics.values())
    assert (case.verdict, case.reason) == (Verdict.NOT_COMPARABLE, "shown only: none of its figures decides")
    assert comparison.exit_code == ExitCode.OK


# ---------------------------------------------------------------------------------------------------------------------
# Surroundings


def test_another_load_is_not_comparable():
    run = run_of(measured(), environment=environment(requests=200))
    comparison = compare(run, baseline_of({"tools/list": STEADY, "tools/gone": STEADY}), LIMITS)
    assert (comparison.verdict, comparison.exit_code) == (Verdict.NOT_COMPARABLE, ExitCode.USAGE)
    assert "requests 100 → 200" in comparison.reason
    assert {case.id for case in comparison.cases} == {"tools/list", "tools/gone"}
    assert {case.verdict for case in comparison.cases} == {Verdict.NOT_COMPARABLE}


def test_the_same_load_under_another_name_is_comparable():
    run = run_of(measured(), environment=environment(profile="ci"))
    assert compare(run, baseline_of({"tools/list": STEADY}), LIMITS).exit_code == ExitCode.OK


@pytest.mark.parametrize(
    ("change", "words"),
    [({"cores": 4}, "cores 2 → 4"), ({"cpu_model": "Other"}, "CPU Example CPU"), ({"memory_mib": 15000}, "memory MiB")],
)
def test_another_machine_stands_in_the_verdict(change, words):
    run = run_of(measured(), environment=elsewhere(environment(), machine=change))
    comparison = compare(run, baseline_of({"tools/list": STEADY}), LIMITS)
    assert comparison.reason.endswith("; measured on another machine than the baseline")
    assert words in comparison.warnings[0]
    assert comparison.exit_code == ExitCode.OK


@pytest.mark.parametrize(
    ("part", "change", "words"),
    [
        ("target", {"release": "1.0.8"}, "gateway release 1.0.7 → 1.0.8"),
        ("target", {"release": None}, "gateway release 1.0.7 → unknown"),
        ("target", {"database": "postgresql"}, "database sqlite → postgresql"),
        ("target", {"workers": 2}, "workers 1 → 2"),
        ("target", {"servers": 10}, "MCP servers 4 → 10"),
        ("target", {"settings": {"LOG_LEVEL": "DEBUG"}}, "setting LOG_LEVEL ERROR → DEBUG"),
        ("target", {"uptime_s": 3600.0}, "had run for 3600 s"),
        ("machine", {"kernel": "Linux 6.2.0"}, "kernel Linux 6.1.0 → Linux 6.2.0"),
        ("machine", {"control_score": 50.16}, "20% slower at its control work"),
    ],
)
def test_other_surroundings_are_shown_and_do_not_fail(part, change, words):
    run = run_of(measured(), environment=elsewhere(environment(), **{part: change}))
    comparison = compare(run, baseline_of({"tools/list": STEADY}), LIMITS)
    assert any(words in warning for warning in comparison.warnings)
    assert comparison.exit_code == ExitCode.OK
    assert "another machine" not in comparison.reason


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("target", {"uptime_s": 60.0}),  # Both fresh.
        ("target", {"uptime_s": None}),
        ("target", {"base_url": "http://127.0.0.1:5555"}),
        ("machine", {"memory_mib": 7900}),
        ("machine", {"control_score": 43.0}),
        ("machine", {"control_score": None}),
    ],
)
def test_what_does_not_matter_is_not_shown(part, change):
    run = run_of(measured(), environment=elsewhere(environment(), **{part: change}))
    assert compare(run, baseline_of({"tools/list": STEADY}), LIMITS).warnings == []


def test_a_run_that_is_part_of_the_baseline_is_told():
    comparison = compare(run_of(measured(), run_id="light_earlier1"), baseline_of({"tools/list": STEADY}), LIMITS)
    assert comparison.warnings == ["This run is one of the baseline's: it is compared with itself as well."]


# ---------------------------------------------------------------------------------------------------------------------
# The text


def everything() -> Run:
    """A run in which each kind of verdict occurs."""
    return run_of(
        measured("tools/list_limit_50", (24.0, 24.5, 25.0), advisory=["p99_latency"]),
        measured("tools/call_get_system_time", (41.0, 42.0, 43.0)),
        measured("tools/call_convert_time", (21.0, 21.0, 21.0), errors=3),
        measured("resources/a_case_whose_name_is_longer_than_its_column_can_be", (15.0, 16.0, 17.0)),
        measured("resources/list"),
        measured("resources/brand_new"),
        case_of(
            "prompts/list",
            validity=Validity.INVALID,
            reason="904 of 1000 answers were 429: the gateway limits the rate; start it with "
            "RATE_LIMITING_ENABLED=false, or measure less than its limit allows",
        ),
        case_of("prompts/get", validity=Validity.SKIPPED, reason="release 0.7.0 has no such prompt"),
        case_of("gateway-core/overhead_rpc", metrics={"added_p50_latency": 52.4, "throughput_ratio": 0.147}),
        environment=elsewhere(environment(), machine={"cores": 4}, target={"release": "1.0.8", "workers": 2}),
        scenarios=["tools", "resources", "prompts", "gateway-core"],
    )


def its_baseline() -> dict[str, dict[str, float]]:
    full = STEADY | {"p95_latency": 42.0, "p99_latency": 84.0, "total_time": 0.21}
    cases = ["tools/list_limit_50", "tools/call_get_system_time", "tools/call_convert_time", "tools/gone"]
    cases += ["resources/a_case_whose_name_is_longer_than_its_column_can_be", "resources/list", "prompts/get"]
    derived = {"added_p50_latency": 50.0, "throughput_ratio": 0.15}
    return dict.fromkeys([*cases, "prompts/list", "mixed/tools_call"], full) | {"gateway-core/overhead_rpc": derived}


def test_the_report_of_everything(golden: Callable[[str, str], None]) -> None:
    run = everything()
    text = plain(
        comparison_report(compare(run, baseline_of(its_baseline(), its_baseline()), LIMITS), run.environment.load)
    )
    golden("comparison_report.txt", text)
    assert max(map(len, text.splitlines())) <= WIDTH


def test_the_comparison_document(golden: Callable[[str, str], None]) -> None:
    golden("comparison.json", store.dump(compare(everything(), baseline_of(its_baseline()), LIMITS)))


def test_the_report_of_another_load(golden: Callable[[str, str], None]) -> None:
    run = run_of(measured(), environment=environment(requests=200, concurrency=20))
    comparison = compare(run, baseline_of({"tools/list": STEADY}), LIMITS)
    golden("comparison_not_comparable.txt", plain(comparison_report(comparison, run.environment.load)))


def test_the_same_documents_give_the_same_bytes():
    baseline = baseline_of(its_baseline())
    reread = type(baseline).model_validate_json(baseline.model_dump_json())
    assert store.dump(compare(everything(), baseline, LIMITS)) == store.dump(compare(everything(), reread, LIMITS))


@settings(deadline=None)
@given(st.lists(st.floats(0.1, 1e6), min_size=1, max_size=3), st.floats(0.1, 1e6))
def test_the_report_keeps_its_width(rounds, reference):
    run = run_of(measured("tools/" + "x" * 60, rounds))
    comparison = compare(run, baseline_of({"tools/" + "x" * 60: {"p50_latency": reference}}), LIMITS)
    text = plain(comparison_report(comparison, run.environment.load))
    assert max(map(len, text.splitlines())) <= WIDTH
    assert "nan" not in text


@pytest.mark.parametrize(
    ("noise", "requests", "runs", "ratio", "p50", "rps"),
    [
        (0.0, 100, 1, 2.0, 0.0, 0.0),
        # exp(3 * 0.08 * sqrt(2)) = 1.404, and its inverse 0.712
        (8.0, 100, 1, 1.0, 40.4, 28.8),
        (8.0, 100, 10, 1.0, 28.6, 22.3),
        # the deviation shrinks with the root of the requests, to 5 % at the least, or to the noise if that is less
        (8.0, 1000, 1, 1.0, 23.6, 19.1),
        (4.0, 1000, 1, 1.0, 18.5, 15.6),
        # a machine that is 1.35 times slower explains that much more, whichever side it is on
        (8.0, 100, 1, 1.35, 89.6, 47.2),
        (8.0, 100, 1, 1 / 1.35, 89.6, 47.2),
    ],
)
def test_what_noise_and_machine_can_explain(noise, requests, runs, ratio, p50, rps) -> None:
    limit = explainable(noise, requests, runs, ratio)
    assert detectable_percent(P50, limit) == pytest.approx(p50, abs=0.1)
    assert detectable_percent(RPS, limit) == pytest.approx(rps, abs=0.1)


def test_a_change_within_the_noise_is_inconclusive_and_beyond_it_a_regression() -> None:
    limits = Baselines(noise={"p50_latency": 8.0})
    verdicts = [
        judge(P50, now, [100.0], limits, advisory=False, requests=100) for now in (105.0, 139.0, 142.0, 72.0, 70.0)
    ]
    assert [one.verdict for one in verdicts if one] == [
        Verdict.UNCHANGED,
        Verdict.INCONCLUSIVE,
        Verdict.CRITICAL,
        Verdict.INCONCLUSIVE,
        Verdict.IMPROVEMENT,
    ]
    assert {one.detectable_percent for one in verdicts if one} == {40.4}


def test_few_requests_let_only_the_median_decide() -> None:
    limits = Baselines(noise={"p50_latency": 8.0, "requests_per_sec": 15.0})
    compared = compare(run_of(measured()), baseline_of({"tools/list": STEADY}), limits)
    metrics = the_case(compared, "tools/list").metrics
    assert metrics["requests_per_sec"].advisory
    assert not metrics["p50_latency"].advisory
