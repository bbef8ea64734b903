"""Which case counts, and why not: one test for each row of the tables in ``benchkit.load.validity``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchkit.load.collect import collect
from benchkit.model import Case, ExecutionCount, PlannedCase, RawGatewayCounts, Run, Validity
from benchkit.store import save
from builders.raw_runs import Answer, Measured, RunDirectory, good, planned, steady


def run_of(tmp_path: Path, case: PlannedCase, *iterations: Measured, max_error_rate: float = 1.0) -> tuple[Run, Case]:
    directory = RunDirectory(tmp_path)
    directory.add(case, *iterations)
    run = collect(directory.finish(max_error_rate=max_error_rate)).run
    return run, run.cases[0]


def judged(tmp_path: Path, case: PlannedCase, *iterations: Measured, max_error_rate: float = 1.0) -> Case:
    _, result = run_of(tmp_path, case, *iterations, max_error_rate=max_error_rate)
    if result.validity is not Validity.VALID:
        assert result.metrics == {}
        assert result.histogram is None
        assert result.timeline is None
        assert result.advisory == []
        assert result.reason
    if result.validity in (Validity.INVALID, Validity.SKIPPED):
        assert all(one.metrics == {} for one in result.iterations)
    return result


def reason(tmp_path: Path, case: PlannedCase, *iterations: Measured) -> str:
    result = judged(tmp_path, case, *iterations)
    assert result.validity is Validity.INVALID
    return result.reason


# A case by itself


def test_everything_as_expected(tmp_path: Path) -> None:
    run, case = run_of(tmp_path, planned("a"), good(), good())
    assert (case.validity, case.reason) == (Validity.VALID, "")
    assert (run.exit_code, run.status) == (0, "complete")
    assert case.counts is not None
    assert (case.counts.sent, case.counts.ok, case.counts.server) == (40, 40, None)


def test_skipped(tmp_path: Path) -> None:
    case = judged(tmp_path, planned("a", skipped="release 0.7.0 has no /ready"))
    assert (case.validity, case.reason, case.counts) == (Validity.SKIPPED, "release 0.7.0 has no /ready", None)


def test_an_iteration_that_was_cut_short_is_not_counted_and_the_others_are_kept(tmp_path: Path) -> None:
    run, case = run_of(tmp_path, planned("a", iterations=3), good(), good(interrupted=True))
    assert case.validity is Validity.INTERRUPTED
    assert case.reason == "interrupted: 1 of 3 iterations were measured"
    assert [one.sent for one in case.iterations] == [20]
    assert case.iterations[0].metrics["p50_latency"] > 0
    assert (case.metrics, run.exit_code, run.status) == ({}, 3, "interrupted")


def test_an_interrupted_case_that_is_also_wrong_keeps_no_figures(tmp_path: Path) -> None:
    case = judged(tmp_path, planned("a", iterations=3), good(after="Tool not found"), good(interrupted=True))
    assert case.validity is Validity.INTERRUPTED
    assert [one.metrics for one in case.iterations] == [{}]


def test_fewer_iterations_than_planned(tmp_path: Path) -> None:
    case = judged(tmp_path, planned("a"), good())
    assert (case.validity, case.reason) == (
        Validity.INTERRUPTED,
        "not measured to its end: 1 of 2 iterations were measured",
    )


def test_nothing_was_left(tmp_path: Path) -> None:
    assert judged(tmp_path, planned("a")).validity is Validity.INTERRUPTED


def test_a_check_that_failed_before_the_load(tmp_path: Path) -> None:
    # The driver does not load a case whose check failed, nor comes back to it.
    failed = Measured([], before="JSON-RPC error -32601: Tool not found")
    assert reason(tmp_path, planned("a", iterations=3), failed) == (
        "before its load (iteration 1 of 3): JSON-RPC error -32601: Tool not found"
    )


def test_a_check_that_failed_after_the_load(tmp_path: Path) -> None:
    words = reason(tmp_path, planned("a", iterations=1), good(after="isError is true"))
    assert words == "after its load: isError is true"


def test_a_failed_check_before_is_named_first(tmp_path: Path) -> None:
    words = reason(tmp_path, planned("a"), good(after="late"), good(before="early"))
    assert words == "before its load (iteration 2 of 2): early"


def test_an_answer_that_nobody_checked(tmp_path: Path) -> None:
    assert "no answer was checked" in reason(tmp_path, planned("a"), good(probes=False), good(probes=False))


def test_damaged_rows_cost_one_case_and_not_the_run(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    directory.add(planned("broken"), good(), good())
    directory.add(planned("whole"), good(), good())
    file = tmp_path / "raw" / "tools" / "broken.2.csv"
    file.write_bytes(file.read_bytes()[:-20])
    run = collect(directory.finish()).run
    assert [case.validity for case in run.cases] == [Validity.INVALID, Validity.VALID]
    assert f"{file}: line 21: not a row of hey's" in run.cases[0].reason
    assert run.cases[0].iterations[1].errors == {}
    assert run.exit_code == 3


def test_rows_that_are_missing_altogether(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    directory.add(planned("a"), good(), good())
    (tmp_path / "raw" / "tools" / "a.1.csv").unlink()
    assert "No such file" in collect(directory.finish()).run.cases[0].reason


def test_no_rows(tmp_path: Path) -> None:
    words = reason(tmp_path, planned("a"), good(number=0, sent=20), good(number=0, sent=20))
    assert words == "none of 40 requests got an answer: refused, reset or timed out after 30 s"


def test_no_rows_because_hey_failed(tmp_path: Path) -> None:
    empty = good(number=0, sent=20, exit_status=1)
    assert reason(tmp_path, planned("a"), empty, empty) == (
        "none of 40 requests got an answer; hey ended with exit status 1"
    )


def test_a_load_process_that_was_killed(tmp_path: Path) -> None:
    killed = good(number=12, sent=20, exit_status=137)
    assert reason(tmp_path, planned("a"), good(), killed) == "hey ended with exit status 137 after 32 of 40 answers"


def test_more_rows_than_requests(tmp_path: Path) -> None:
    assert "42 rows for 40 requests" in reason(tmp_path, planned("a"), good(), good(number=22, sent=20))


def test_a_single_429_is_too_many(tmp_path: Path) -> None:
    limited = Measured([[*steady(19), Answer(1.0, 429)]])
    case = judged(tmp_path, planned("a"), good(), limited, max_error_rate=50.0)
    assert case.validity is Validity.INVALID
    assert case.reason.startswith("1 of 40 answers were HTTP 429: the gateway limits the rate: ")
    assert "RATE_LIMITING_ENABLED=false" in case.reason
    assert case.iterations[1].errors == {"http 429": 1}


def test_429_where_it_is_the_expected_answer(tmp_path: Path) -> None:
    limited = Measured([steady(20, status=429)])
    assert judged(tmp_path, planned("a", status=429), limited, limited).validity is Validity.VALID


def test_failures_by_kind_above_the_limit(tmp_path: Path) -> None:
    some = Measured([[*steady(16), Answer(1.0, 503)]])
    assert reason(tmp_path, planned("a"), some, good()) == (
        "1 of 40 answers were HTTP 503; 3 of 40 requests got no answer (refused, reset or timed out after 30 s): "
        "10 % failed, the limit is 1 % (performance.max_error_rate)"
    )


def test_failures_within_the_limit_are_told(tmp_path: Path) -> None:
    case = judged(tmp_path, planned("a"), Measured([steady(19)]), good(), max_error_rate=2.5)
    assert case.validity is Validity.VALID
    assert case.metrics["error_rate"] == 0.025
    assert case.notes == ["1 requests failed, within the allowed error rate: 1 transport"]


def test_nothing_but_failures_is_invalid_whatever_may_fail(tmp_path: Path) -> None:
    wrong = Measured([steady(20, status=500)])
    assert judged(tmp_path, planned("a"), wrong, wrong, max_error_rate=100.0).validity is Validity.INVALID


def test_another_event_than_expected(tmp_path: Path) -> None:
    wrong = Measured([[*steady(10), *steady(10, status=0)]])
    words = reason(tmp_path, planned("sse", engine="sse"), wrong, wrong)
    assert "20 of 40 connections started with an unexpected event" in words


# The MCP servers' own counts


def counted(calls: int | None, failures: int | None = 0, **changes: Any) -> Measured:
    return good(calls=(calls,), failures=(failures,), **changes)


def test_every_call_was_counted(tmp_path: Path) -> None:
    case = judged(tmp_path, planned("a", counter="k"), counted(20), counted(20))
    assert case.validity is Validity.VALID
    assert case.counts is not None
    assert (case.counts.server, case.counts.server_failed) == (40, 0)


def test_a_server_that_was_restarted(tmp_path: Path) -> None:
    lost = counted(None, None, server_problem="the MCP server time1 was restarted during the load")
    words = reason(tmp_path, planned("a", counter="k"), counted(20), lost)
    assert words.endswith("(iteration 2): the MCP server time1 was restarted during the load")


def test_errors_inside_answers_with_status_200(tmp_path: Path) -> None:
    words = reason(tmp_path, planned("a", counter="k"), counted(20, 20), counted(20, 3))
    assert words.startswith("the MCP server answered 23 calls with an error")


def test_errors_that_the_case_expects(tmp_path: Path) -> None:
    case = planned("a", counter="k", gateway_fails=True)
    assert judged(tmp_path, case, counted(20, 20), counted(20, 20)).validity is Validity.VALID


def test_fewer_calls_than_answers(tmp_path: Path) -> None:
    words = reason(tmp_path, planned("a", counter="k"), counted(20), counted(5))
    assert words == "40 answers came, the MCP server was called 25 times: 15 answers did not come from it"


@pytest.mark.parametrize("explanation", ["cached", "gateway_fails"])
def test_fewer_calls_that_are_explained(tmp_path: Path, explanation: str) -> None:
    changes: dict[str, Any] = {explanation: True}
    case = judged(tmp_path, planned("a", counter="k", **changes), counted(20), counted(5))
    assert case.validity is Validity.VALID
    expected = ["a cache of the gateway answered 37.5% of the requests"] if explanation == "cached" else []
    assert case.notes == expected


def test_calls_of_requests_without_an_answer_are_no_mismatch(tmp_path: Path) -> None:
    slow = counted(20, 0, answers=[steady(19)])
    case = judged(tmp_path, planned("a", counter="k"), slow, counted(20), max_error_rate=5.0)
    assert case.validity is Validity.VALID


def test_more_calls_than_requests(tmp_path: Path) -> None:
    words = reason(tmp_path, planned("a", counter="k"), counted(20), counted(25))
    assert words.startswith("40 requests were sent, the MCP server was called 45 times: another client")


def test_a_counter_that_two_kinds_of_a_mix_move_is_not_held_against_either(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    for name in ("a", "b"):
        directory.add(planned(name, counter="k", group="mix"), counted(40), counted(40))
    directory.add(planned("alone", counter="k"), counted(40), counted(40))
    cases = {case.name: case for case in collect(directory.finish()).run.cases}
    assert cases["a"].validity is cases["b"].validity is Validity.VALID
    assert cases["a"].counts is not None
    assert cases["a"].counts.server is None
    assert "another load at the same time" in cases["a"].notes[0]
    assert cases["alone"].validity is Validity.INVALID


def test_errors_show_even_in_a_shared_counter(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    for name in ("a", "b"):
        directory.add(planned(name, counter="k", group="mix"), counted(40, 7), counted(40))
    cases = collect(directory.finish()).run.cases
    assert [case.validity for case in cases] == [Validity.INVALID] * 3


# The gateway's counts per kind


Pair = tuple[int, int]


def reconciled(
    tmp_path: Path,
    sent: Pair,
    seen: Pair,
    *cases: tuple[PlannedCase, Measured],
    **changes: Any,
) -> Run:
    directory = RunDirectory(tmp_path)
    for case, measured in cases:
        directory.add(case, measured)
    directory.gateway_counts(sent, seen, **changes)
    return collect(directory.finish()).run


def tool(name: str = "a", **rest: Any) -> PlannedCase:
    return planned(name, iterations=1, gateway_kind="tools", **rest)


def validities(run: Run) -> list[str]:
    return [case.validity.value for case in run.cases]


def test_the_gateway_agrees(tmp_path: Path) -> None:
    run = reconciled(tmp_path, (24, 5), (24, 5), (tool(), good()))
    assert (validities(run), run.warnings) == (["valid"], [])
    (count,) = run.gateway_counts
    assert (count.kind, count.expected, count.succeeded, count.failed, count.settled) == ("tools", 29, 24, 5, True)
    assert count.cases == ["tools/a"]


def test_hidden_failures_accuse_every_case_of_the_kind(tmp_path: Path) -> None:
    other = planned("list", iterations=1)
    cases = ((tool("a"), good()), (tool("b"), good()), (other, good()))
    run = reconciled(tmp_path, (48, 0), (41, 7), *cases)
    assert validities(run) == ["invalid", "invalid", "valid"]
    assert run.cases[0].reason.startswith(
        "the gateway counts 41 successful and 7 failed executions of tools, where 48 and 0 were sent: "
        "7 failed without showing in the answers' status"
    )
    assert "per kind only" in run.cases[0].reason
    assert (run.cases[0].metrics, run.cases[0].histogram, run.cases[0].timeline) == ({}, None, None)
    assert run.cases[0].iterations[0].metrics == {}
    assert run.exit_code == 3


@pytest.mark.parametrize("seen", [(12, 0), (12, 60), (0, 60)])
def test_counts_that_still_move_are_a_warning(tmp_path: Path, seen: Pair) -> None:
    # What failed may be an earlier run's, and what is missing may still come.
    run = reconciled(tmp_path, (24, 0), seen, (tool(), good()), settled=False)
    assert validities(run) == ["valid"]
    assert "had not counted all of them when the wait for it ended" in run.warnings[0]


@pytest.mark.parametrize("settled", [True, False])
def test_a_gateway_that_records_nothing_is_a_warning(tmp_path: Path, settled: bool) -> None:
    run = reconciled(tmp_path, (317, 0), (0, 0), (tool(), good()), settled=settled)
    assert (validities(run), run.exit_code) == (["valid"], 0)
    assert run.warnings[0].startswith("the gateway counts none of the 317 executions of tools that were sent")
    assert ("metrics_wait" in run.warnings[0]) is not settled


def test_one_kind_that_is_not_recorded_says_nothing_of_another(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    directory.add(tool(), good())
    directory.add(planned("prompt", iterations=1, gateway_kind="prompts"), good())
    zero, sent = ExecutionCount(succeeded=5, failed=0), ExecutionCount(succeeded=24, failed=0)
    after = {"tools": ExecutionCount(succeeded=5 + 20, failed=4), "prompts": zero}
    counts = RawGatewayCounts(
        before={"tools": zero, "prompts": zero}, after=after, sent={"tools": sent, "prompts": sent}, settled=True
    )
    save(tmp_path / "raw" / "gateway_counts.json", counts)
    run = collect(directory.finish()).run
    assert validities(run) == ["invalid", "valid"]
    assert "none of the 24 executions of prompts" in run.warnings[1]


@pytest.mark.parametrize("seen", [(-5, 0), (-900, 0), (24, -1), (-7, 31)])
def test_counts_that_fell_are_no_negative_number(tmp_path: Path, seen: Pair) -> None:
    run = reconciled(tmp_path, (24, 0), seen, (tool(), good()), before=(907, 3))
    assert (validities(run), run.exit_code, run.gateway_counts) == (["valid"], 0, [])
    assert "fell during the run, from 907 successful and 3 failed" in run.warnings[0]
    assert "cannot be reconciled" in run.warnings[0]


def test_counts_that_are_not_told_after_the_run_are_a_warning(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    directory.add(tool(), good())
    pair = ExecutionCount(succeeded=24, failed=0)
    save(
        tmp_path / "raw" / "gateway_counts.json",
        RawGatewayCounts(before={"tools": pair}, after={}, sent={"tools": pair}, settled=True),
    )
    run = collect(directory.finish()).run
    assert validities(run) == ["valid"]
    assert run.warnings == [
        "the gateway did not report its counts of tools after the run: they cannot be reconciled with what was sent"
    ]


@pytest.mark.parametrize("seen", [(24, 60), (40, 60), (24, 1), (84, 0)])
def test_executions_of_an_earlier_run_that_arrive_late_accuse_nobody(tmp_path: Path, seen: Pair) -> None:
    run = reconciled(tmp_path, (24, 0), seen, (tool(), good()))
    assert validities(run) == ["valid"]
    assert "earlier executions were counted late" in run.warnings[0]


def test_more_failures_than_a_surplus_explains_accuse(tmp_path: Path) -> None:
    run = reconciled(tmp_path, (24, 0), (20, 60), (tool(), good()))
    assert validities(run) == ["invalid"]
    assert "4 failed without showing" in run.cases[0].reason


@pytest.mark.parametrize("seen", [(20, 0), (20, 4), (24, 60)])
def test_counts_in_doubt_accuse_nobody(tmp_path: Path, seen: Pair) -> None:
    run = reconciled(tmp_path, (24, 0), seen, (tool(), good()), doubt="it was started anew during the run")
    assert (validities(run), run.gateway_counts[0].settled) == (["valid"], False)
    assert "it was started anew during the run: they cannot be reconciled" in run.warnings[0]


def test_missing_executions(tmp_path: Path) -> None:
    run = reconciled(tmp_path, (24, 0), (20, 0), (tool(), good()))
    assert validities(run) == ["invalid"]
    assert "4 executions are missing" in run.cases[0].reason


def test_missing_executions_that_a_cache_explains(tmp_path: Path) -> None:
    run = reconciled(tmp_path, (24, 0), (4, 0), (tool(cached=True), good()))
    assert (validities(run), run.warnings) == (["valid"], [])


def test_executions_of_somebody_else_are_a_warning(tmp_path: Path) -> None:
    run = reconciled(tmp_path, (24, 0), (90, 0), (tool(), good()))
    assert validities(run) == ["valid"]
    assert "another client used the gateway" in run.warnings[0]


def test_an_expected_error_that_the_gateway_counts_as_a_success(tmp_path: Path) -> None:
    run = reconciled(tmp_path, (0, 24), (24, 0), (tool(gateway_fails=True), good()))
    assert (validities(run), run.warnings) == (["valid"], [])


@pytest.mark.parametrize(("seen", "valid"), [((23, 1), True), ((23, 0), True), ((20, 0), False), ((20, 4), False)])
def test_failures_that_are_known_explain_as_many(tmp_path: Path, seen: tuple[int, int], valid: bool) -> None:
    one_failed = Measured([[*steady(19), Answer(1.0, 502)]])
    run = reconciled(tmp_path, (24, 0), seen, (tool(), one_failed))
    assert validities(run) == ["valid" if valid else "invalid"]


@pytest.mark.parametrize(
    ("seen", "problem"),
    [((23, 1), "1 failed without showing"), ((22, 2), "2 failed"), ((23, 0), "1 execution is missing")],
)
def test_few_failures_that_only_the_gateway_counts_are_told(tmp_path: Path, seen: Pair, problem: str) -> None:
    run = reconciled(tmp_path, (24, 0), seen, (tool(), good()))
    assert validities(run) == ["valid"]
    assert problem in run.warnings[0]
    assert run.warnings[0].endswith("too few to prove that the error rate exceeds the limit")


def test_a_case_whose_check_failed_explains_its_own_executions(tmp_path: Path) -> None:
    cases = ((tool("good"), good()), (tool("bad"), good(after="isError is true")))
    assert validities(reconciled(tmp_path / "a", (48, 0), (25, 23), *cases)) == ["valid", "invalid"]
    assert validities(reconciled(tmp_path / "b", (48, 0), (12, 36), *cases)) == ["invalid", "invalid"]


def test_a_case_that_was_never_loaded_explains_nothing(tmp_path: Path) -> None:
    cases = ((tool("good"), good()), (tool("bad"), Measured([], before="Tool not found")))
    run = reconciled(tmp_path, (24, 0), (14, 10), *cases)
    assert validities(run) == ["invalid", "invalid"]


def test_the_servers_own_count_clears_a_case(tmp_path: Path) -> None:
    cases = ((tool("cleared", counter="k"), counted(20)), (tool("doubtful"), good()))
    run = reconciled(tmp_path, (48, 0), (41, 7), *cases)
    assert validities(run) == ["valid", "invalid"]
    assert "1 cases stay valid, because the MCP servers counted each of their calls" in run.warnings[0]


def test_when_every_case_is_cleared_only_the_warning_stays(tmp_path: Path) -> None:
    run = reconciled(tmp_path, (24, 0), (17, 7), (tool(counter="k"), counted(20)))
    assert (validities(run), run.exit_code, len(run.warnings)) == (["valid"], 0, 1)


def test_an_accused_case_takes_its_aggregate_and_differences_along(tmp_path: Path) -> None:
    cases = ((tool("a", group="mix"), good()), (planned("b", iterations=1, group="mix"), good()))
    run = reconciled(tmp_path, (24, 0), (20, 4), *cases)
    assert validities(run) == ["invalid", "valid", "invalid"]
    assert run.cases[2].reason == "made from tools/a, which is invalid"
    assert (run.cases[2].metrics, run.cases[2].timeline) == ({}, None)
