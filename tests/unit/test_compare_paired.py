"""Two gateways that were measured side by side: every rule, on documents."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from benchkit import store
from benchkit.errors import ExitCode, UserError
from benchkit.model import (
    Comparison,
    RunStatus,
    Validity,
    Verdict,
)
from benchkit.verdict.compare import compare_paired, undecided
from benchkit.verdict.text import WIDTH, comparison_report, plain
from builders.documents import STARTED, environment
from builders.judged import LIMITS, case_of, elsewhere
from builders.paired import TWENTY, blocks_of, noisy, two, variant


def test_the_same_gateway_twice_is_unchanged():
    comparison = two(TWENTY)
    assert (comparison.verdict, comparison.exit_code) == (Verdict.UNCHANGED, ExitCode.OK)
    assert (comparison.mode, comparison.hypotheses) == ("paired", 40)
    assert comparison.significance == pytest.approx(0.01)
    assert comparison.paired is not None
    assert (comparison.paired.base, comparison.paired.head) == ("base-1.0", "head-1.0")
    assert comparison.baseline is None
    assert abs(comparison.suite["p50_latency"].change_percent or 0.0) < 2


def test_one_slower_case_of_twenty_is_found_and_named():
    comparison = two(TWENTY | {"tools/case7": 1.2})
    assert (comparison.verdict, comparison.exit_code) == (Verdict.REGRESSION, ExitCode.REGRESSION)
    slow = next(case for case in comparison.cases if case.id == "tools/case7")
    p50 = slow.metrics["p50_latency"]
    assert [case.id for case in comparison.cases if case.verdict is Verdict.REGRESSION] == [slow.id]
    assert p50.change_percent == pytest.approx(-20, abs=5)
    assert p50.interval is not None
    assert p50.interval[0] < p50.interval[1] < -10
    assert (p50.samples, p50.sign_flip_p) == (8, 0.00781)
    assert "8 blocks" in slow.reason


def test_far_slower_is_critical_and_faster_is_an_improvement():
    comparison = two({"tools/a": 1.5, "tools/b": 0.8})
    assert [case.verdict for case in comparison.cases] == [Verdict.CRITICAL, Verdict.IMPROVEMENT]


def test_a_proven_change_below_the_threshold_is_slower_and_passes():
    comparison = two({"tools/a": 1.06}, noise=0.005)
    assert (comparison.cases[0].verdict, comparison.exit_code) == (Verdict.SLOWER, ExitCode.OK)
    assert "below the threshold of 10 %" in comparison.cases[0].reason


def test_what_noise_hides_is_inconclusive_with_the_blocks_that_would_decide():
    comparison = two({"tools/a": 1.12, **{f"tools/{n}": 1.0 for n in range(19)}}, noise=0.1, blocks=5)
    metric = comparison.cases[0].metrics["p50_latency"]
    assert metric.verdict is Verdict.INCONCLUSIVE
    assert metric.decided_by is not None
    assert metric.decided_by > 5
    assert f"{metric.decided_by} blocks would decide" in metric.reason
    assert "tools/a" in undecided(comparison)
    assert comparison.exit_code == ExitCode.OK


def test_every_look_costs_a_share_of_the_error():
    pair = [blocks_of("tools/a", noisy(seed, 50.0, noise=0.08)) for seed in (1, 2)]
    once, thrice = (
        compare_paired(variant("base", pair[0], looks=looks), variant("head", pair[1], looks=looks), LIMITS)
        for looks in (1, 3)
    )
    seen = [it.cases[0].metrics["p50_latency"].detectable_percent or 0.0 for it in (once, thrice)]
    assert seen[0] < seen[1]
    assert once.significance == thrice.significance == pytest.approx(0.01)


def test_one_wild_block_is_no_regression():
    base, head = noisy(1, 50.0, noise=0.01), noisy(2, 50.0, noise=0.01)
    head[3] *= 8
    comparison = compare_paired(
        variant("base", blocks_of("tools/a", base)), variant("head", blocks_of("tools/a", head)), LIMITS
    )
    assert comparison.exit_code == ExitCode.OK
    assert abs(comparison.cases[0].metrics["p50_latency"].change_percent or 99.0) < 3


def test_fewer_than_five_blocks_tell_nothing():
    comparison = two({"tools/a": 1.5}, blocks=4)
    metric = comparison.cases[0].metrics["p50_latency"]
    assert (metric.verdict, metric.p_value) == (Verdict.INCONCLUSIVE, None)
    assert metric.change_percent == pytest.approx(-50, abs=8)
    assert metric.reason == "4 of at least 5 blocks: too few to decide"
    assert comparison.hypotheses == 0


def test_throughput_does_not_decide_with_few_requests():
    pair = [blocks_of("tools/a", noisy(seed, 50.0), sent=100) for seed in (1, 2)]
    metrics = compare_paired(variant("base", pair[0]), variant("head", pair[1]), LIMITS).cases[0].metrics
    assert metrics["requests_per_sec"].advisory
    assert not metrics["p50_latency"].advisory


def test_new_errors_are_critical():
    base, head = blocks_of("tools/a", noisy(1, 50.0)), blocks_of("tools/a", noisy(2, 50.0), errors=0.01)
    comparison = compare_paired(variant("base", base), variant("head", head), LIMITS)
    assert (comparison.verdict, comparison.exit_code) == (Verdict.CRITICAL, ExitCode.REGRESSION)
    assert comparison.cases[0].reason == "errors 24 of 2400 requests failed, 0 of 2400 before"


def test_a_case_with_more_blocks_than_the_others_keeps_them_and_the_suite_takes_the_shared():
    base = [blocks_of("tools/a", noisy(1, 50.0, blocks=16)), blocks_of("tools/b", noisy(2, 50.0))]
    head = [blocks_of("tools/a", noisy(3, 50.0, blocks=16)), blocks_of("tools/b", noisy(4, 50.0))]
    comparison = compare_paired(variant("base", *base), variant("head", *head), LIMITS)
    assert [case.metrics["p50_latency"].samples for case in comparison.cases] == [16, 8]
    assert comparison.suite["p50_latency"].samples == 8


def test_a_block_that_one_variant_lacks_does_not_count():
    base, head = blocks_of("tools/a", noisy(1, 50.0)), blocks_of("tools/a", noisy(2, 50.0))
    empty = head.iterations[2].model_copy(update={"metrics": {}})
    holed = head.model_copy(update={"iterations": [*head.iterations[:2], empty, *head.iterations[3:]]})
    shifted = compare_paired(variant("base", base), variant("head", holed), LIMITS).cases[0].metrics["p50_latency"]
    assert shifted.samples == 7
    short = head.model_copy(update={"iterations": head.iterations[:6]})
    comparison = compare_paired(variant("base", base), variant("head", short), LIMITS)
    assert comparison.cases[0].metrics["p50_latency"].samples == 6
    assert comparison.warnings == ["Blocks that only one variant has are not used: 1 case (the first: tools/a)."]


GOOD = blocks_of("tools/a", noisy(1, 50.0))
BAD = case_of("tools/b", validity=Validity.INVALID, reason="Tool not found")
GONE = case_of("tools/b", validity=Validity.SKIPPED, reason="release 0.7.0 has none")
FINE = blocks_of("tools/b", noisy(2, 50.0))


@pytest.mark.parametrize(
    ("base", "head", "verdict", "code", "words"),
    [
        ([GOOD, FINE], [GOOD, BAD], Verdict.INVALID, 3, "Tool not found"),
        ([GOOD, BAD], [GOOD, FINE], Verdict.INVALID, 3, "on the base: Tool not found"),
        ([GOOD, FINE], [GOOD], Verdict.MISSING, 3, "the base has it, the head does not"),
        ([GOOD], [GOOD, FINE], Verdict.NEW, 0, "the base does not have it"),
        ([GOOD, FINE], [GOOD, GONE], Verdict.MISSING, 3, "skipped: release 0.7.0 has none"),
        ([GOOD, GONE], [GOOD, FINE], Verdict.NEW, 0, "the base does not have it: release 0.7.0 has none"),
        ([GOOD, GONE], [GOOD, GONE], Verdict.NEW, 0, "skipped: release 0.7.0 has none"),
        ([GOOD, BAD], [GOOD, BAD], Verdict.INVALID, 3, "Tool not found"),
    ],
)
def test_no_case_of_either_variant_is_passed_over(base, head, verdict, code, words):
    comparison = compare_paired(variant("base", *base), variant("head", *head), LIMITS)
    other = next(case for case in comparison.cases if case.id == "tools/b")
    assert (other.verdict, other.reason, comparison.exit_code) == (verdict, words, code)


@pytest.mark.parametrize("which", ["base", "head"])
def test_an_interrupted_variant_never_passes(which):
    runs = {name: variant(name, GOOD) for name in ("base", "head")}
    runs[which] = variant(which, GOOD, status=RunStatus.INTERRUPTED)
    assert compare_paired(runs["base"], runs["head"], LIMITS).exit_code == ExitCode.INVALID


def test_another_load_is_not_comparable():
    head = variant("head", GOOD, environment=environment(requests=500))
    comparison = compare_paired(variant("base", GOOD), head, LIMITS)
    assert (comparison.verdict, comparison.exit_code) == (Verdict.NOT_COMPARABLE, ExitCode.USAGE)
    assert "the load differs from the base's (requests 300 → 500)" in comparison.reason


def test_what_differs_between_the_gateways_is_shown():
    other = elsewhere(environment(requests=300), target={"release": "1.0.8"})
    head = variant("head", GOOD, environment=other, fresh=False)
    warnings = compare_paired(variant("base", GOOD), head, LIMITS).warnings
    assert warnings[0].startswith("Not started for this comparison: head-1.0.")
    assert warnings[1] == "Different between base and head: gateway release 1.0.7 → 1.0.8."


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"variant": None}, "was not measured side by side with another gateway"),
        ({"started": STARTED + timedelta(hours=2), "finished": STARTED + timedelta(hours=3)}, "at the same time"),
    ],
)
def test_runs_that_are_no_pair_are_refused(change, words):
    with pytest.raises(UserError, match=words):
        compare_paired(variant("base", GOOD), variant("head", GOOD).model_copy(update=change), LIMITS)


def everything() -> Comparison:
    base = [blocks_of(f"tools/case{number}", noisy(number, 50.0)) for number in range(6)]
    factors = (1.3, 1.18, 0.7, 1.0, 1.0, 1.0)
    head = [
        blocks_of(f"tools/case{number}", noisy(number + 50, 50.0 * factor)) for number, factor in enumerate(factors)
    ]
    return compare_paired(variant("base", *base, BAD), variant("head", *head, BAD), LIMITS)


def test_the_report(golden: Callable[[str, object], None]) -> None:
    text = plain(comparison_report(everything(), environment(requests=300).load))
    golden("comparison_report_paired.txt", text)
    assert max(map(len, text.splitlines())) <= WIDTH


def test_the_same_runs_give_the_same_bytes():
    assert store.dump(everything()) == store.dump(everything())


def test_what_slows_all_cases_down_alike_is_a_regression_although_no_case_shows_it():
    # 15 % slower, in noise of 12 % a block: one case would need many more blocks.
    comparison = two(dict.fromkeys(TWENTY, 1.15), noise=0.12)
    assert {case.verdict for case in comparison.cases} == {Verdict.INCONCLUSIVE}
    assert comparison.suite["p50_latency"].verdict is Verdict.REGRESSION
    assert (comparison.verdict, comparison.exit_code) == (Verdict.REGRESSION, ExitCode.REGRESSION)
    assert comparison.reason.startswith("the cases together got worse (p50 ")


def test_a_few_percent_in_all_cases_are_shown_and_fail_nothing():
    comparison = two(dict.fromkeys(TWENTY, 1.04), noise=0.02)
    assert comparison.suite["p50_latency"].verdict is Verdict.SLOWER
    assert comparison.exit_code == ExitCode.OK


def test_the_rounds_of_a_block_are_one_sample():
    # Within a block the rounds go up and down by 30 %; the blocks differ by 10 %, each of them.
    base = blocks_of("tools/list", [50.0, 65.0] * 5)
    head = blocks_of("tools/list", [71.5, 55.0] * 5)
    comparison = compare_paired(variant("base", base, rounds=2), variant("head", head, rounds=2), LIMITS)
    found = comparison.cases[0].metrics["p50_latency"]
    assert found.samples == 5
    assert found.change_percent == pytest.approx(-10.0, abs=0.1)
    assert found.spread_percent is not None
    assert found.spread_percent < 1


def test_a_block_that_lacks_a_round_does_not_count():
    base, head = blocks_of("tools/list", [50.0] * 11), blocks_of("tools/list", [50.0] * 11)
    comparison = compare_paired(variant("base", base, rounds=2), variant("head", head, rounds=2), LIMITS)
    assert comparison.cases[0].metrics["p50_latency"].samples == 5


def test_a_case_that_only_the_base_could_measure_is_missing():
    known = blocks_of("tools/list", [50.0] * 8)
    lost = blocks_of("tools/call", [50.0] * 8)
    skipped = {"validity": Validity.SKIPPED, "metrics": {}, "iterations": []}
    base = lost.model_copy(update={**skipped, "reason": "no other variant can measure it", "only_variant": True})
    head = lost.model_copy(update={**skipped, "reason": "no tool of this name"})
    comparison = compare_paired(variant("base", known, base), variant("head", known, head), LIMITS)
    assert comparison.cases[1].verdict is Verdict.MISSING
    assert comparison.exit_code == ExitCode.INVALID
