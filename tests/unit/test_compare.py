"""A run held against a baseline: every rule, on documents."""

from __future__ import annotations

import json
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import fisher_exact

from benchkit import store
from benchkit.errors import ExitCode
from benchkit.model import (
    METRICS,
    CaseComparison,
    Comparison,
    Metric,
    MetricComparison,
    Resources,
    Run,
    RunStatus,
    Validity,
    Verdict,
    Worse,
    derived_metrics,
    worst,
)
from benchkit.settings import Baselines
from benchkit.verdict.compare import compare, undecided
from benchkit.verdict.metric_verdict import Known, settle, stored_finding
from benchkit.verdict.noise import default_prior, make_record
from benchkit.verdict.rules import case_figures, change_percent, effect_of, percent
from benchkit.verdict.statistics import Prior, more_fail
from benchkit.verdict.suite_verdict import BY_ERRORS_ALONE
from benchkit.verdict.text import WIDTH, comparison_report, plain
from builders.documents import environment
from builders.judged import LIMITS, baseline_of, case_of, elsewhere, measured, run_of

STEADY = {"p50_latency": 21.0, "requests_per_sec": 10_000 / 21, "error_rate": 0.0}
"""What ``measured()`` has as its medians."""

P50 = METRICS["p50_latency"]
RPS = METRICS["requests_per_sec"]
ERRORS = METRICS["error_rate"]

positive = st.floats(min_value=1e-3, max_value=1e9)
NO_NOISE = default_prior(LIMITS, "p50_latency", 100)
"""No noise is allowed for, so every change of more than one or two percent is proven."""
ratio_metrics = st.sampled_from([metric for metric in METRICS.values() if not metric.absolute])


def the_case(comparison: Comparison, identity: str) -> CaseComparison:
    return next(case for case in comparison.cases if case.id == identity)


def judge(
    metric: Metric,
    current: float,
    references: list[float],
    limits: Baselines = LIMITS,
    prior: Prior = NO_NOISE,
    requests: int = 300,
) -> MetricComparison:
    """The verdict of one figure that is the only one of its suite."""
    threshold = limits.threshold(metric.name)
    finding = stored_finding(
        metric, current, references, threshold=threshold, advisory=False, known=Known(prior, 0.1), requests=requests
    )
    assert finding is not None
    return settle({("tools/list", metric.name): finding}, limits)["tools/list", metric.name]


# ---------------------------------------------------------------------------------------------------------------------
# One figure


@given(ratio_metrics, positive, positive)
def test_a_change_is_positive_exactly_when_the_metric_got_better(metric, current, reference):
    change = change_percent(metric, current, reference)
    assert change is not None
    better = current < reference if metric.worse is Worse.HIGHER else current > reference
    assert change >= 0 if better or current == reference else change <= 0


@given(ratio_metrics, st.floats(-80, 400))
def test_percent_and_effect_are_each_others_inverse(metric, change):
    if metric.worse is Worse.HIGHER:
        change = -change
    assert percent(metric, effect_of(metric, change)) == pytest.approx(change, abs=2e-6)


def test_a_change_that_no_value_can_have_is_infinitely_far():
    assert effect_of(RPS, -100.0) == math.inf
    assert effect_of(P50, 100.0) == -math.inf


def test_a_change_that_rounds_to_nothing_is_no_minus_zero():
    change = change_percent(P50, 100.000_000_001, 100.0)
    assert change == 0
    assert math.copysign(1, change) == 1


@given(ratio_metrics, st.floats(min_value=10, max_value=1e9))
def test_the_same_figure_is_unchanged(metric, value):
    assert judge(metric, value, [value]).verdict is Verdict.UNCHANGED


@given(ratio_metrics, st.integers(1000, 10_000), st.integers(1, 90), st.data())
def test_the_verdict_turns_exactly_at_the_threshold(metric, reference, threshold, data):
    """Whole percents, so that what is exactly at the threshold is known without arithmetic."""
    worse_by = data.draw(st.sampled_from([threshold, 25, 9])) + data.draw(st.integers(-1, 1))
    limits = Baselines(regression_threshold=float(threshold))
    current = reference * (100 + worse_by if metric.worse is Worse.HIGHER else 100 - worse_by) / 100
    # So sure that a change of one percent is proven.
    verdict = judge(metric, current, [float(reference)] * 50, limits, Prior(0.0, 1e6)).verdict
    beyond = Verdict.CRITICAL if worse_by >= 25 else Verdict.REGRESSION
    expected = beyond if worse_by >= threshold else Verdict.SLOWER
    if worse_by >= 3:
        assert verdict is expected
    else:
        assert verdict in (expected, Verdict.UNCHANGED, Verdict.INCONCLUSIVE)


@given(ratio_metrics, st.floats(50, 1e6), st.floats(50, 1e6), st.floats(50, 1e6), st.floats(0.0, 0.3))
def test_a_worse_figure_never_has_a_better_verdict(metric, reference, one, other, noise):
    low, high = sorted((one, other))
    better, worse = (low, high) if metric.worse is Worse.HIGHER else (high, low)
    prior = Prior(noise, 8.0)
    verdicts = [judge(metric, value, [reference], prior=prior).verdict for value in (worse, better)]
    # By what is proven: worse, nothing, better.
    rank = {Verdict.CRITICAL: 0, Verdict.REGRESSION: 1, Verdict.SLOWER: 2, Verdict.IMPROVEMENT: 4}
    assert rank.get(verdicts[0], 3) <= rank.get(verdicts[1], 3)


@given(st.floats(0, 1), st.floats(0, 1))
def test_error_rates_are_compared_by_difference(before, now):
    compared = judge(ERRORS, now, [before], requests=10**7)
    assert compared.change_percent == pytest.approx(100 * (before - now), abs=1e-5)
    if 100 * (now - before) > 0.1001:
        assert compared.verdict is Verdict.CRITICAL
    if 100 * (now - before) < 0.0999:
        assert compared.verdict is Verdict.UNCHANGED


@given(st.integers(1, 300), st.integers(0, 300), st.integers(1, 300), st.integers(0, 300))
def test_more_failures_are_told_as_fishers_exact_test_tells_them(sent, failed, sent_before, failed_before):
    failed, failed_before = min(failed, sent), min(failed_before, sent_before)
    table = [[failed, sent - failed], [failed_before, sent_before - failed_before]]
    known = fisher_exact(table, alternative="greater").pvalue
    assert more_fail(failed, sent, failed_before, sent_before) == pytest.approx(known, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize(
    ("failed", "requests", "runs", "verdict"),
    [
        (1, 60, 1, Verdict.UNCHANGED),
        (1, 300, 10, Verdict.UNCHANGED),
        (2, 300, 5, Verdict.UNCHANGED),
        (3, 300, 5, Verdict.CRITICAL),
        (6, 300, 1, Verdict.UNCHANGED),
        (7, 300, 1, Verdict.CRITICAL),
        (300, 300, 1, Verdict.CRITICAL),
    ],
)
def test_few_failures_are_judged_as_few(failed, requests, runs, verdict):
    compared = judge(ERRORS, round(failed / requests, 6), [0.0] * runs, requests=requests)
    assert compared.verdict is verdict
    before = f"{failed} of {requests} requests failed, 0 of {requests * runs} before"
    assert compared.reason == before + ("" if verdict is Verdict.CRITICAL else ", which may be chance")


def test_a_suite_of_many_cases_needs_more_failures():
    alone, others = 3, 37
    findings = {}
    for number in range(1 + others):
        finding = stored_finding(
            ERRORS,
            0.0 if number else alone / 300,
            [0.0] * 5,
            threshold=0.1,
            advisory=False,
            known=Known(NO_NOISE, 0.1),
            requests=300,
        )
        assert finding is not None
        findings[f"tools/{number}", "error_rate"] = finding
    assert settle(findings, LIMITS)["tools/0", "error_rate"].verdict is Verdict.UNCHANGED


def test_fewer_failures_are_no_improvement():
    assert judge(ERRORS, 0.0, [0.05]).verdict is Verdict.UNCHANGED


def test_errors_at_their_threshold_are_no_regression_and_beyond_it_are():
    assert judge(ERRORS, 0.001, [0.0], requests=10**6).verdict is Verdict.UNCHANGED
    assert judge(ERRORS, 0.00100001, [0.0], requests=10**6).verdict is Verdict.CRITICAL


def test_a_threshold_of_its_own_replaces_the_general_one():
    limits = Baselines(thresholds={"p95_latency": 20.0})
    assert judge(METRICS["p95_latency"], 115.0, [100.0], limits).verdict is Verdict.SLOWER
    assert judge(P50, 115.0, [100.0], limits).verdict is Verdict.REGRESSION


def test_a_case_has_a_threshold_of_its_own():
    limits = Baselines(thresholds={"p50_latency": 12.0}, cases={"tools/list": {"p50_latency": 20.0}})
    run = run_of(measured(rounds=(24.0,)), measured("tools/other", rounds=(24.0,)))
    comparison = compare(run, baseline_of({"tools/list": STEADY, "tools/other": STEADY}), limits)
    p50 = {case.id: case.metrics["p50_latency"] for case in comparison.cases}
    assert (p50["tools/list"].verdict, p50["tools/list"].threshold_percent) == (Verdict.SLOWER, 20.0)
    assert (p50["tools/other"].verdict, p50["tools/other"].threshold_percent) == (Verdict.REGRESSION, 12.0)


@pytest.mark.parametrize("threshold", [0.0, 10.0])
def test_no_change_is_no_regression_whatever_the_threshold(threshold):
    assert judge(P50, 50.0, [50.0], Baselines(regression_threshold=threshold)).verdict not in (
        Verdict.REGRESSION,
        Verdict.CRITICAL,
    )


@given(ratio_metrics, st.floats(), st.floats())
def test_no_figure_leads_to_nan(metric, current, reference):
    compared = judge(metric, current, [reference])
    if compared.change_percent is None:
        assert compared.verdict is Verdict.NOT_COMPARABLE
        assert compared.reason
    else:
        assert math.isfinite(compared.change_percent)
        assert all(map(math.isfinite, compared.interval))
        assert math.isfinite(compared.detectable_percent)


def test_the_reference_is_the_geometric_mean_over_the_runs():
    compared = judge(P50, 20.0, [10.0, 40.0], prior=Prior(0.1, 8.0))
    assert (compared.reference, compared.change_percent) == (20.0, 0.0)


def test_the_worst_verdict_stands_first():
    assert worst([Verdict.IMPROVEMENT, Verdict.REGRESSION, Verdict.MISSING]) is Verdict.REGRESSION


# ---------------------------------------------------------------------------------------------------------------------
# Noise


def test_what_noise_can_explain_is_inconclusive_and_what_it_cannot_is_a_regression():
    prior = Prior(0.08, 8.0)
    verdicts = [judge(P50, now, [100.0], prior=prior) for now in (100.0, 130.0, 170.0, 60.0)]
    assert [one.verdict for one in verdicts] == [
        Verdict.INCONCLUSIVE,
        Verdict.INCONCLUSIVE,
        Verdict.CRITICAL,
        Verdict.IMPROVEMENT,
    ]
    # The interval holds no change of 30 %, for one more run scatters by 8 % * sqrt(2).
    assert verdicts[1].interval[0] < -50
    assert verdicts[1].detectable_percent == verdicts[0].detectable_percent
    assert 40 < verdicts[0].detectable_percent < 80


def test_what_more_runs_would_decide_is_said():
    noisy = [100.0, 106.0, 94.0]
    # Far enough, so that more runs prove it.
    some = judge(P50, 122.0, noisy, prior=Prior(0.06, 4.0))
    assert some.verdict is Verdict.INCONCLUSIVE
    assert some.decided_by is not None
    assert f"{some.decided_by} runs would decide" in some.reason
    assert "3 runs" in some.reason
    # So near that the run's own noise hides it, however many there are.
    none = judge(P50, 106.0, noisy, prior=Prior(0.06, 4.0))
    assert (none.verdict, none.decided_by) == (Verdict.INCONCLUSIVE, None)
    assert none.reason.endswith(
        "; more runs would not decide it, use a side-by-side comparison: ./run-advanced.sh --base/--head"
    )


def test_few_requests_let_only_the_median_decide() -> None:
    limits = Baselines(noise={"p50_latency": 8.0, "requests_per_sec": 15.0})
    metrics = the_case(compare(run_of(measured()), baseline_of({"tools/list": STEADY}), limits), "tools/list").metrics
    assert metrics["requests_per_sec"].advisory
    assert not metrics["p50_latency"].advisory


def with_control(now: float | None, *before: float | None) -> Comparison:
    """A p50 of 24 ms after 21 ms, an ordinary machine's control score being 40 ms."""
    run = run_of(measured(rounds=(24.0,)), environment=elsewhere(environment(), machine={"control_score": now}))
    baseline = baseline_of(*[{"tools/list": {"p50_latency": 21.0, "error_rate": 0.0}}] * len(before))
    runs = [entry.model_copy(update={"control_score": one}) for entry, one in zip(baseline.runs, before, strict=True)]
    base = elsewhere(environment(), machine={"control_score": 40.0})
    return compare(run, baseline.model_copy(update={"runs": runs, "environment": base}), LIMITS)


def test_what_the_machine_itself_became_slower_can_explain_a_change():
    for comparison in (with_control(50.0, 40.0), with_control(50.0, 40.0, 40.0), with_control(50.0, None)):
        p50 = the_case(comparison, "tools/list").metrics["p50_latency"]
        # 14 % slower, while the machine is 25 % slower: anything from 14 % worse to better is possible.
        assert (p50.verdict, p50.p_value) == (Verdict.INCONCLUSIVE, 1.0)
        assert p50.interval[0] < -14
        assert p50.interval[1] > 8
        assert "the machine is 25 % slower than it was" in p50.reason
        assert comparison.exit_code == ExitCode.OK


@pytest.mark.parametrize(("now", "before"), [(40.0, 40.0), (None, 40.0), (32.0, 40.0), (50.0, 50.0)])
def test_a_machine_that_did_not_become_slower_explains_nothing(now, before):
    p50 = the_case(with_control(now, before), "tools/list").metrics["p50_latency"]
    assert p50.verdict is Verdict.REGRESSION


def test_a_part_of_a_change_that_the_machine_explains_does_not_count_for_the_threshold():
    # 14 % slower, the machine 10 % slower: at least 4 % are the gateway's.
    p50 = the_case(with_control(44.0, 40.0), "tools/list").metrics["p50_latency"]
    assert (p50.verdict, p50.change_percent) == (Verdict.SLOWER, -14.285714)
    assert "at least 3.9 % of the change is not explained by the machine's speed" in p50.reason


# ---------------------------------------------------------------------------------------------------------------------
# The suite


def many(p50: float, count: int = 20) -> list:
    return [measured(f"tools/case{number}", (p50,)) for number in range(count)]


def test_the_correction_is_over_the_figures_that_decide():
    limits = Baselines(gate=["p50_latency"], noise={"p50_latency": 8.0})
    figures = {f"tools/case{number}": STEADY for number in range(20)}
    alone = compare(run_of(many(21.0)[0]), baseline_of({"tools/case0": STEADY}), limits)
    together = compare(run_of(*many(21.0)), baseline_of(figures), limits)
    assert (alone.hypotheses, together.hypotheses, together.significance) == (1, 20, 0.01)
    one, other = (the_case(it, "tools/case0").metrics["p50_latency"] for it in (alone, together))
    assert other.detectable_percent > one.detectable_percent
    assert one.p_value == other.p_value


def test_the_suite_shows_what_all_cases_share():
    limits = Baselines(gate=["p50_latency"], noise={"p50_latency": 8.0})
    figures = {f"tools/case{number}": STEADY for number in range(20)}
    comparison = compare(run_of(*many(25.2)), baseline_of(figures, figures), limits)
    suite = comparison.suite["p50_latency"]
    assert (suite.change_percent, suite.samples) == (-20.0, 2)
    assert suite.interval[0] < -20 < suite.interval[1]
    assert compare(run_of(measured()), baseline_of({"tools/list": STEADY}), limits).suite == {}


NOISY = Baselines(gate=["p50_latency"], noise={"p50_latency": 8.0})


def of_moment(slower: dict[int, float], *, shared: float = 1.0, runs: int = 10, cases: int = 20) -> Comparison:
    """Cases at 21 ms, ``shared`` times slower in this run, and some of them (by number) so much slower themselves."""
    names = [f"tools/case{number}" for number in range(cases)]
    # A little of each case's own, or no case would scatter around what all share.
    own = [1 + 0.02 * (number % 5 - 2) for number in range(cases)]
    now = [measured(name, (21.0 * own[n] * shared * slower.get(n, 1.0),)) for n, name in enumerate(names)]
    return compare(run_of(*now), baseline_of(*[dict.fromkeys(names, STEADY)] * runs), NOISY)


def p50_of(comparison: Comparison, number: int) -> MetricComparison:
    return the_case(comparison, f"tools/case{number}").metrics["p50_latency"]


def test_what_all_cases_share_accuses_none_of_them_and_is_judged_by_itself():
    found = of_moment({}, shared=1.5)
    assert {case.verdict for case in found.cases} == {Verdict.INCONCLUSIVE}
    assert "and all cases together are 50 % slower than they were" in p50_of(found, 3).reason
    assert found.suite["p50_latency"].verdict is Verdict.CRITICAL
    assert (found.verdict, found.exit_code) == (Verdict.CRITICAL, ExitCode.REGRESSION)
    assert found.reason.startswith("the cases together got worse (p50 50.0 % worse")


def test_a_moment_that_the_noise_explains_is_no_regression():
    found = of_moment({}, shared=1.15)
    assert found.suite["p50_latency"].verdict is Verdict.INCONCLUSIVE
    assert (found.verdict, found.exit_code) == (Verdict.INCONCLUSIVE, ExitCode.OK)


def test_a_case_is_found_beyond_what_all_share():
    found = of_moment({2: 1.8}, shared=1.15)
    p50 = p50_of(found, 2)
    assert p50.verdict is Verdict.CRITICAL
    assert "of the change is not shared by all cases" in p50.reason
    assert [case.id for case in found.cases if case.verdict is Verdict.CRITICAL] == ["tools/case2"]
    # All became faster but one, which is as it was: nothing accuses it.
    kept = of_moment({2: 1 / 0.7}, shared=0.7)
    assert p50_of(kept, 2).p_value == 1.0


def test_cases_that_scatter_make_none_of_them_sure():
    scattering = {number: 1.3 if number % 2 else 1 / 1.3 for number in range(20)}
    calm, restless = p50_of(of_moment({2: 1.6}), 2), p50_of(of_moment(scattering | {2: 1.6}), 2)
    assert (calm.verdict, restless.verdict) == (Verdict.CRITICAL, Verdict.INCONCLUSIVE)
    assert restless.spread_percent > 20 > calm.spread_percent


@pytest.mark.parametrize("changed", [11, 12, 15])
def test_more_than_half_of_the_cases_are_not_excused_by_each_other(changed):
    found = of_moment(dict.fromkeys(range(changed), 1.6) | {19: 1 / 30})
    assert found.suite["p50_latency"].verdict is Verdict.CRITICAL
    assert found.exit_code == ExitCode.REGRESSION


def test_whatever_is_excused_is_judged_together():
    """Also where no run of the baseline has all cases."""
    halves = [[f"tools/case{number}" for number in range(10)], [f"prompts/case{number}" for number in range(10)]]
    now = run_of(*(measured(name, (63.0,)) for half in halves for name in half), scenarios=["tools", "prompts"])
    found = compare(now, baseline_of(*[dict.fromkeys(half, STEADY) for half in halves * 4]), NOISY)
    assert {case.verdict for case in found.cases} == {Verdict.INCONCLUSIVE}
    assert found.suite["p50_latency"].verdict is Verdict.CRITICAL
    assert (found.suite["p50_latency"].samples, found.exit_code) == (4, ExitCode.REGRESSION)


def test_a_case_that_only_the_newest_runs_have_does_not_take_the_others_along():
    old = {f"tools/case{number}": STEADY for number in range(19)}
    baseline = baseline_of(*[old] * 9, old | {"tools/case19": STEADY})
    found = compare(run_of(*many(33.6)), baseline, NOISY)
    assert found.suite["p50_latency"].verdict is Verdict.CRITICAL
    slid = baseline.model_copy(update={"oldest": [*baseline.runs[:3], baseline.runs[-1]]})
    since = compare(run_of(*many(33.6)), slid, NOISY).suite_since_oldest["p50_latency"]
    assert since.samples == 1
    assert since.verdict in (Verdict.CRITICAL, Verdict.INCONCLUSIVE)


def test_a_metric_that_decides_few_cases_excuses_none_of_them():
    # req/s decides one case only, and is advisory in the others, for they send too few requests.
    limits = Baselines(gate=["requests_per_sec"], noise={"requests_per_sec": 8.0})
    cases = [measured(f"tools/case{number}", (63.0,)) for number in range(19)]
    steady = measured("tools/steady", (63.0,))
    steady = steady.model_copy(update={"iterations": [steady.iterations[0].model_copy(update={"sent": 500})]})
    names = dict.fromkeys([case.id for case in [*cases, steady]], STEADY)
    found = compare(run_of(*cases, steady), baseline_of(*[names] * 10), limits)
    assert the_case(found, "tools/steady").verdict is Verdict.CRITICAL


def test_a_noise_record_makes_one_run_worth_something():
    names = [f"tools/case{number}" for number in range(20)]
    chance = np.random.default_rng(3)
    runs = []
    for number, common in enumerate((0.12, -0.1, 0.08, -0.07, 0.1, -0.11, 0.02, -0.04), start=1):
        cases = [measured(name, (21 * math.exp(common + chance.normal(0, 0.03)),)) for name in names]
        runs.append(run_of(*cases, number=number))
    record = make_record(runs, "light")
    assert record.own["tools/case3"]["p50_latency"] < 0.05 < record.deviation["tools/case3"]["p50_latency"]
    now = run_of(*(measured(name, (33.6 if name == "tools/case3" else 21.0,)) for name in names), number=9)
    baseline = baseline_of(dict.fromkeys(names, STEADY))
    without, with_record = (compare(now, baseline, NOISY, noise) for noise in (None, record))
    assert p50_of(without, 3).verdict is Verdict.INCONCLUSIVE
    assert p50_of(with_record, 3).verdict is Verdict.CRITICAL
    assert [case.id for case in with_record.cases if case.verdict is Verdict.CRITICAL] == ["tools/case3"]


def test_a_metric_without_noise_excuses_nothing():
    limits = Baselines(gate=["p50_latency"], noise={"p50_latency": 0.0, "requests_per_sec": 15.0})
    found = compare(run_of(*many(31.5)), baseline_of({f"tools/case{number}": STEADY for number in range(20)}), limits)
    assert {case.verdict for case in found.cases} == {Verdict.CRITICAL}


def test_what_all_cases_gained_together_is_told():
    found = of_moment({}, shared=0.5)
    assert found.exit_code == ExitCode.OK
    assert found.suite["p50_latency"].verdict is Verdict.IMPROVEMENT
    assert "; together they are p50 50.0 % better" in found.reason


def test_one_case_does_not_hide_what_all_share():
    found = of_moment({2: 3.0}, shared=1.5)
    assert found.reason.startswith("1 of 20 compared cases got worse (1 critical)")
    assert "; the cases together got worse (p50 5" in found.reason


def test_too_few_cases_say_nothing_of_a_moment():
    found = of_moment({}, shared=1.6, cases=4)
    assert {case.verdict for case in found.cases} == {Verdict.CRITICAL}


def test_where_no_noise_is_allowed_for_nothing_is_the_moments():
    names = [f"tools/case{number}" for number in range(20)]
    now = run_of(*(measured(name, (25.2,)) for name in names))
    found = compare(now, baseline_of(dict.fromkeys(names, STEADY)), LIMITS)
    assert {case.verdict for case in found.cases} == {Verdict.REGRESSION}


def test_undecided_cases_are_named():
    limits = Baselines(gate=["p50_latency"], noise={"p50_latency": 8.0})
    comparison = compare(run_of(measured()), baseline_of({"tools/list": STEADY}), limits)
    assert undecided(comparison) == {"tools/list"}
    assert (comparison.verdict, comparison.exit_code) == (Verdict.INCONCLUSIVE, ExitCode.OK)
    assert undecided(compare(run_of(measured()), baseline_of({"tools/list": STEADY}), LIMITS)) == set()


# ---------------------------------------------------------------------------------------------------------------------
# The oldest accepted runs


def slid(*, oldest: float, newest: float, now: float, same: bool = False) -> Comparison:
    """A p50 (ms) that was accepted when it was older, newer, and is now so."""
    baseline = baseline_of({"tools/list": {"p50_latency": newest, "error_rate": 0.0}})
    first = baseline_of({"tools/list": {"p50_latency": oldest, "error_rate": 0.0}}).runs[0]
    if not same:
        first = first.model_copy(update={"run_id": "light_the_first"})
    return compare(run_of(measured(rounds=(now,))), baseline.model_copy(update={"oldest": [first]}), LIMITS)


def test_a_slow_slide_is_found_against_the_oldest_accepted_run():
    comparison = slid(oldest=20.0, newest=22.0, now=23.0)
    case = the_case(comparison, "tools/list")
    assert case.metrics["p50_latency"].verdict is Verdict.SLOWER
    assert (case.verdict, comparison.exit_code) == (Verdict.REGRESSION, ExitCode.REGRESSION)
    assert "p50 slid since light_the_first: 15.0 % worse" in case.reason
    assert case.since_oldest["p50_latency"].reference == 20.0


def test_a_slow_slide_of_all_cases_is_found_in_all_of_them_together():
    names = [f"tools/case{number}" for number in range(20)]
    baseline = baseline_of(*[dict.fromkeys(names, STEADY | {"p50_latency": 30.0})] * 10)
    first = baseline_of(*[dict.fromkeys(names, STEADY | {"p50_latency": 20.0})] * 3).runs
    first = [run.model_copy(update={"run_id": f"light_first{place}"}) for place, run in enumerate(first)]
    run = run_of(*(measured(name, (32.0,)) for name in names))
    found = compare(run, baseline.model_copy(update={"oldest": first}), NOISY)
    assert {case.verdict for case in found.cases} == {Verdict.INCONCLUSIVE}
    assert found.suite["p50_latency"].verdict is Verdict.INCONCLUSIVE
    assert found.suite_since_oldest["p50_latency"].verdict is Verdict.CRITICAL
    assert found.exit_code == ExitCode.REGRESSION
    assert found.reason.startswith("the cases together slid since light_first0 (p50 60.0 % worse")
    text = plain(comparison_report(found, run.environment.load)).replace("\n      ", " ")
    assert "of all cases together since the oldest accepted runs, critical" in text


def test_what_did_not_slide_passes_and_is_shown():
    comparison = slid(oldest=23.0, newest=22.0, now=23.0)
    case = the_case(comparison, "tools/list")
    assert (case.verdict, comparison.exit_code) == (Verdict.SLOWER, ExitCode.OK)
    assert list(case.since_oldest) == ["p50_latency"]


def test_the_oldest_runs_are_not_looked_at_twice():
    assert the_case(slid(oldest=10.0, newest=23.0, now=23.0, same=True), "tools/list").since_oldest == {}


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
    assert comparison.warnings == [
        "1 compared case judged by the error rate only: the other deciding metrics are advisory."
    ]


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


def test_a_case_that_both_variants_skipped_does_not_fail():
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


@pytest.mark.parametrize("gate", [["p50_latency"], ["p50_latency", *derived_metrics()]])
def test_derived_cases_are_shown_and_decide_nothing(gate):
    limits = Baselines(metrics=gate, gate=gate)
    derived = dict.fromkeys(derived_metrics(), 1.0)
    run = run_of(measured(), case_of("tools/overhead", metrics=dict.fromkeys(derived_metrics(), 9.0)))
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
@pytest.mark.parametrize("rounds", [(12.0, 12.1, 11.9), (20.0, 21.0, 22.0), (340.0, 341.0, 342.0)])
@pytest.mark.parametrize("names", [1, 6])
def test_nothing_stored_accuses_another_machine(change, words, rounds, names):
    cases = [f"tools/case_{number}" for number in range(names)]
    run = run_of(*(measured(name, rounds) for name in cases), environment=elsewhere(environment(), machine=change))
    baseline = baseline_of(*[dict.fromkeys(cases, STEADY)] * 5)
    comparison = compare(run, baseline, LIMITS)
    assert (comparison.verdict, comparison.exit_code) == (Verdict.INCONCLUSIVE, ExitCode.OK)
    assert "measured on another machine than the baseline: compare gateways side by side" in comparison.reason
    assert words in comparison.warnings[0]
    judged = [metric for case in comparison.cases for metric in [*case.metrics.values(), *case.since_oldest.values()]]
    judged += [metric for _, metric, _ in comparison.together()]
    assert {metric.verdict for metric in judged} - {Verdict.NEW} == {Verdict.INCONCLUSIVE}
    assert {metric.decided_by for metric in judged} == {None}
    assert plain(comparison_report(comparison, run.environment.load))


def test_failures_on_another_machine_accuse_nobody_either():
    failing = case_of("tools/list", metrics=STEADY | {"error_rate": 0.08})
    run = run_of(failing, environment=elsewhere(environment(), machine={"cpu_model": "Other"}))
    comparison = compare(run, baseline_of({"tools/list": STEADY | {"error_rate": 0.0}}), LIMITS)
    assert (comparison.verdict, comparison.exit_code) == (Verdict.INCONCLUSIVE, ExitCode.OK)


def test_an_invalid_case_on_another_machine_stays_invalid():
    invalid = case_of("tools/list", validity=Validity.INVALID, reason="HTTP 500")
    run = run_of(measured("tools/call"), invalid, environment=elsewhere(environment(), machine={"cores": 8}))
    comparison = compare(run, baseline_of({"tools/list": STEADY, "tools/call": STEADY}), LIMITS)
    assert (comparison.verdict, comparison.exit_code) == (Verdict.INVALID, ExitCode.INVALID)


@pytest.mark.parametrize(
    ("part", "change", "words"),
    [
        ("target", {"release": "1.0.8"}, "gateway release 1.0.7 → 1.0.8"),
        ("target", {"release": None}, "gateway release 1.0.7 → unknown"),
        ("target", {"python": "3.13.0"}, "gateway's Python unknown → 3.13.0"),
        ("target", {"packages": "0a0a0a0a0a0a"}, "lock of the gateway's packages unknown → 0a0a0a0a0a0a"),
        ("target", {"database": "postgresql"}, "database sqlite → postgresql"),
        ("target", {"workers": 2}, "workers 1 → 2"),
        ("target", {"servers": 10}, "MCP servers 4 → 10"),
        ("target", {"settings": {"LOG_LEVEL": "DEBUG"}}, "setting LOG_LEVEL ERROR → DEBUG"),
        ("target", {"uptime_s": 3600.0}, "had run for 3600 s"),
        ("machine", {"kernel": "Linux 6.2.0"}, "kernel Linux 6.1.0 → Linux 6.2.0"),
        ("machine", {"control_score": 50.16}, "this machine's calibration loop ran 20% slower"),
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
    assert comparison.warnings == ["This run is part of the baseline, so it is also compared with itself."]


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
        environment=elsewhere(environment(), target={"release": "1.0.8", "workers": 2}),
        scenarios=["tools", "resources", "prompts", "gateway-core"],
    )


def its_baseline() -> dict[str, dict[str, float]]:
    full = STEADY | {"p95_latency": 42.0, "p99_latency": 84.0, "total_time": 0.21}
    cases = ["tools/list_limit_50", "tools/call_get_system_time", "tools/call_convert_time", "tools/gone"]
    cases += ["resources/a_case_whose_name_is_longer_than_its_column_can_be", "resources/list", "prompts/get"]
    derived = {"added_p50_latency": 50.0, "throughput_ratio": 0.15}
    return dict.fromkeys([*cases, "prompts/list", "mixed/tools_call"], full) | {"gateway-core/overhead_rpc": derived}


def test_the_report_of_everything(golden: Callable[[str, object], None]) -> None:
    run = everything()
    text = plain(
        comparison_report(compare(run, baseline_of(its_baseline(), its_baseline()), LIMITS), run.environment.load)
    )
    golden("comparison_report.txt", text)
    assert max(map(len, text.splitlines())) <= WIDTH


def test_the_suite_of_a_stored_comparison_is_shown_with_its_verdict() -> None:
    run = everything()
    comparison = compare(run, baseline_of(its_baseline(), its_baseline()), LIMITS)
    assert comparison.suite["p50_latency"].verdict is Verdict.REGRESSION
    text = plain(comparison_report(comparison, run.environment.load))
    assert text.count(" of all cases together, regression\n") == 2


def test_the_report_counts_the_runs_that_a_case_has() -> None:
    one, two = {"tools/list": STEADY, "tools/call": STEADY}, {"tools/list": STEADY}
    run = run_of(measured("tools/list"), measured("tools/call"))
    text = plain(comparison_report(compare(run, baseline_of(one, two), LIMITS), run.environment.load))
    assert "is compared with the mean of 1-2 runs." in text.replace("\n", " ")


def test_the_comparison_document(golden: Callable[[str, object], None]) -> None:
    golden("comparison.json", json.loads(store.dump(compare(everything(), baseline_of(its_baseline()), LIMITS))))


def test_the_report_of_another_load(golden: Callable[[str, object], None]) -> None:
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


def test_other_work_of_the_machine_stands_in_the_verdict():
    busy = Resources(interval_s=1.0, at_s=[], series=[], other_cpu_percent=60.0)
    found = compare(run_of(measured(), resources=busy), baseline_of({"tools/list": STEADY}), LIMITS)
    assert any("other work" in warning for warning in found.warnings)
    idle = busy.model_copy(update={"other_cpu_percent": 3.0})
    found = compare(run_of(measured(), resources=idle), baseline_of({"tools/list": STEADY}), LIMITS)
    assert not any("other work" in warning for warning in found.warnings)
