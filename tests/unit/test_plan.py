"""The plan: what is sent, to whom, how often, and what must come back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from benchkit.errors import UserError
from benchkit.load.checker import plan_checks
from benchkit.load.job import same_for_each_worker
from benchkit.load.plan import (
    Server,
    Target,
    divide_workers,
    plan_cases,
    plan_differences,
    read_payload,
)
from benchkit.model import Entity, PlannedCase
from benchkit.settings import ROOT, load_settings
from builders.catalogue import FakeCatalogue

SERVERS = [Server(f"time{n}", f"http://127.0.0.1:910{n}/mcp", f"http://127.0.0.1:910{n}/counters") for n in range(1, 5)]

RPC_URL, MCP_URL = "http://127.0.0.1:4444/rpc", "http://127.0.0.1:4444/servers/virtual/mcp"


def planned(
    catalogue: FakeCatalogue | None = None, servers: list[Server] | None = None, **environ: str
) -> dict[str, PlannedCase]:
    settings = load_settings(environ={"SCENARIOS": "all", **environ})
    target = Target("http://127.0.0.1:4444", "/v1", SERVERS if servers is None else servers, RPC_URL, MCP_URL, True)
    return {case.id: case for case in plan_cases(settings, target, catalogue or FakeCatalogue())}


def test_what_a_permission_is_missing_for_is_skipped_with_its_name_and_the_rest_is_planned() -> None:
    cases = planned(FakeCatalogue(no_permission={"tools": "the token lacks the permission tools.read"}))
    skipped = {name: case.skipped for name, case in cases.items() if case.skipped}
    assert "tools/list_limit_10" in skipped
    assert set(skipped.values()) == {"the token lacks the permission tools.read"}
    assert not cases["prompts/list"].skipped if "prompts/list" in cases else True
    assert 0 < len(skipped) < len(cases) / 2


def test_every_case_of_the_configuration_is_planned_and_measurable_on_the_own_stack() -> None:
    cases = planned()
    assert [case.id for case in cases.values() if case.skipped] == []
    assert len(cases) == sum(len(scenario.cases) for scenario in load_settings(environ={}).config.scenarios.values())


def test_paths_get_the_prefix_but_health_and_rpc_do_not() -> None:
    cases = planned()
    assert cases["tools/list_limit_50"].parts[0].request.url == "http://127.0.0.1:4444/v1/tools?limit=50"
    assert cases["gateway-core/health"].parts[0].request.url == "http://127.0.0.1:4444/health"
    assert cases["tools/rpc_list"].parts[0].request.url == "http://127.0.0.1:4444/rpc"
    assert cases["resources/mcp_read_world_times"].parts[0].request.url == "http://127.0.0.1:4444/servers/virtual/mcp"


def test_the_name_that_the_gateway_lists_is_sent_and_the_original_is_counted() -> None:
    part = planned()["tools/call_get_system_time"].parts[0]
    body = json.loads(part.request.body or "")
    assert body["params"] == {"name": "time1-get-system-time", "arguments": {"timezone": "UTC"}}
    assert part.server_counter is not None
    assert part.server_counter.key == "tools/call:get_system_time"


def test_what_is_the_gateways_own_is_counted_by_no_server() -> None:
    cases = planned()
    assert cases["prompts/rpc_get_validated"].parts[0].server_counter is None
    assert cases["prompts/rpc_get_validated"].gateway_kind == "prompts"
    assert cases["prompts/rpc_get_compare_timezones"].parts[0].server_counter is not None


def test_arguments_of_a_case_replace_those_of_its_payload() -> None:
    body = json.loads(planned()["tools/call_get_system_time_tokyo"].parts[0].request.body or "")
    assert body["params"]["arguments"] == {"timezone": "Asia/Tokyo"}


def test_the_direct_route_speaks_the_servers_own_names_without_a_token() -> None:
    case = planned()["gateway-core/call_direct"]
    assert json.loads(case.parts[0].request.body or "")["params"]["name"] == "get_system_time"
    assert case.parts[0].request.url == "http://127.0.0.1:9101/mcp"
    assert not case.parts[0].request.authenticated
    assert case.gateway_kind is None
    assert "text/event-stream" in case.parts[0].request.headers["Accept"]


def test_rest_paths_take_ids_and_a_posted_prompt_takes_its_arguments_only() -> None:
    cases = planned()
    read = cases["resources/rest_read_world_times"]
    assert (read.parts[0].request.method, read.parts[0].request.url, read.parts[0].request.body) == (
        "GET",
        "http://127.0.0.1:4444/v1/resources/id-time1",
        None,
    )
    get = cases["prompts/rest_get_compare_timezones"]
    assert get.parts[0].request.method == "POST"
    assert get.parts[0].request.url.endswith("/v1/prompts/id-time1-prompt")
    assert json.loads(get.parts[0].request.body or "") == {
        "timezones": "Asia/Tokyo, Europe/London",
        "reference_time": "2025-06-01T12:00:00+00:00",
    }
    assert get.parts[0].request.headers["Content-Type"] == "application/json"
    assert "Content-Type" not in read.parts[0].request.headers


def target_of(servers: list[Server]) -> Target:
    return Target("http://127.0.0.1:4444", "/v1", servers, RPC_URL, MCP_URL, True)


def test_ids_stand_percent_encoded_in_addresses_and_a_uri_keeps_its_slashes() -> None:
    class Catalogue(FakeCatalogue):
        """Release 0.7.0: a resource's id is its URI."""

        def resource(self, uri: str, server: str) -> Entity | None:
            return Entity(uri, uri, f"{uri}?a b#\0", server)

    settings = load_settings(environ={"SCENARIOS": "all"})
    cases = {one.id: one for one in plan_cases(settings, target_of(SERVERS), Catalogue())}
    assert cases["resources/rest_read_world_times"].parts[0].request.url == (
        "http://127.0.0.1:4444/v1/resources/time://time1/current/world%3Fa%20b%23%00"
    )


@pytest.mark.parametrize(
    ("server", "words"),
    [
        (Server("time1", "http://x/\0ok\0run/mcp"), "control character U+0000"),
        (Server("time1", "-o"), "not an http:// or https:// address"),
        (Server("time1", "http://somebody:secret@host/mcp"), "user or password"),
        (Server("time1\x1b[2J", "http://x/mcp"), "control character U+001B"),
    ],
)
def test_a_server_that_no_load_can_be_sent_to_is_skipped_with_the_reason(server: Server, words: str) -> None:
    settings = load_settings(environ={"SCENARIOS": "gateway-core"})
    cases = {one.id: one for one in plan_cases(settings, target_of([server]), FakeCatalogue())}
    skipped = cases["gateway-core/call_direct"].skipped
    assert words in skipped
    assert "secret" not in skipped
    assert cases["gateway-core/health"].skipped == ""


def test_without_a_virtual_server_its_cases_are_skipped() -> None:
    settings = load_settings(environ={"SCENARIOS": "gateway-core"})
    target = replace(target_of(SERVERS), mcp_url="")
    cases = {one.id: one for one in plan_cases(settings, target, FakeCatalogue())}
    assert cases["gateway-core/call_mcp"].skipped == "the toolkit could not create its virtual server on this gateway"


def test_rows_are_expected_as_the_catalogue_has_them() -> None:
    cases = planned()
    assert cases["tools/list_limit_10"].expect.rows == 10
    assert cases["tools/list_limit_100"].expect.rows == 100
    assert (cases["tools/rpc_list"].expect.rows, cases["tools/rpc_list"].expect.rows_at) == (104, "result.tools")


def test_two_limits_that_answer_the_same_rows_are_not_measured_twice() -> None:
    cases = planned(FakeCatalogue(tools=8))
    assert cases["tools/list_limit_10"].skipped == ""
    assert "the gateway has 8 tools" in cases["tools/list_limit_50"].skipped
    assert "tools/list_limit_10" in cases["tools/list_limit_100"].skipped


def test_a_release_that_ignores_limits_is_not_measured_with_them() -> None:
    cases = planned(FakeCatalogue(honours_limit=False))
    assert "ignores ?limit=10" in cases["tools/list_limit_10"].skipped


def test_what_the_gateway_does_not_have_is_skipped_with_the_reason() -> None:
    cases = planned(FakeCatalogue(missing={"convert_time"}))
    assert "no tool convert_time" in cases["tools/call_convert_time"].skipped
    assert cases["tools/call_get_system_time"].skipped == ""


def test_without_servers_direct_calls_and_resources_are_skipped_but_listings_are_not() -> None:
    cases = planned(servers=[])
    assert "no MCP server" in cases["gateway-core/call_direct"].skipped
    assert "no resource time://{server}/current/world" in cases["resources/rpc_read_world_times"].skipped
    assert cases["tools/list_limit_10"].skipped == ""


def test_arguments_that_the_schema_refuses_are_an_error_before_the_load() -> None:
    with pytest.raises(
        UserError, match=r"payloads/tools/get_system_time\.json: arguments of get_system_time: 7 is not"
    ):
        planned(FakeCatalogue(refuses="7 is not a string"))


def test_the_expected_error_is_expected() -> None:
    case = planned()["prompts/rpc_get_missing_argument"]
    assert case.expect.rpc_error
    assert not case.expect.rpc
    assert case.gateway_fails


def test_mixed_kinds_share_the_load_and_reach_every_server() -> None:
    cases = [case for case in planned(PERF_REQUESTS="1000", PERF_CONCURRENCY="50").values() if case.scenario == "mixed"]
    assert {case.group for case in cases} == {"mixed"}
    checks = cases[0].checks
    assert checks is not None
    assert checks.workers == 3
    assert all(case.checks is not None and case.checks.workers == 3 for case in cases)
    assert sum(part.concurrency for case in cases for part in case.parts) + checks.workers == 50
    calls = next(case for case in cases if case.name == "tools_call")
    assert [part.server for part in calls.parts] == ["time1", "time2", "time3", "time4"]
    assert calls.checks is not None
    assert 0.35 <= (sum(part.requests for part in calls.parts) + calls.checks.requests) / 1000 <= 0.41
    assert all(part.requests % part.concurrency == 0 for case in cases for part in case.parts)


def test_a_mix_without_a_worker_for_each_kind_is_skipped() -> None:
    cases = planned(PERF_CONCURRENCY="3")
    assert "need a worker each; the concurrency is 3" in cases["mixed/tools_list"].skipped


def test_dropped_requests_are_said() -> None:
    case = planned(PERF_REQUESTS="1000", PERF_CONCURRENCY="300")["tools/list_limit_10"]
    assert case.checks is not None
    assert case.parts[0].requests + case.checks.requests == 900
    assert case.parts[0].concurrency + case.checks.workers == 300
    assert case.notes == ["900 requests per iteration instead of 1000: the same number for each of 300 workers"]


@pytest.mark.parametrize(
    ("requests", "concurrency", "iterations"),
    [(100, 10, 3), (100, 10, 1), (20, 10, 1), (1000, 50, 3), (5000, 200, 3), (40, 2, 3), (60, 20, 1), (21, 7, 2)],
)
def test_checkers_are_part_of_the_concurrency_and_check_enough(
    requests: int, concurrency: int, iterations: int
) -> None:
    checks, left = plan_checks(requests, concurrency, iterations)
    assert checks.workers + left == concurrency
    assert left >= 1
    assert checks.requests + requests // concurrency * left == requests
    assert checks.requests * iterations >= min(10, requests * iterations // 2)
    assert checks.requests > 0.05 * requests


def test_one_worker_keeps_its_load_and_a_checker_pauses_beside_it() -> None:
    checks, left = plan_checks(100, 1, 3)
    assert left == 1
    assert checks.workers == 1
    assert checks.busy == 0.1
    assert checks.requests * 3 >= 10


def test_a_mix_with_just_enough_workers_is_checked_beside_its_load() -> None:
    cases = [case for case in planned(PERF_CONCURRENCY="4").values() if case.scenario == "mixed"]
    assert [part.concurrency for case in cases for part in case.parts] == [1, 1, 1, 1]
    assert all(case.checks is not None and case.checks.busy < 1 for case in cases)


def test_differences_name_cases_by_id() -> None:
    found = {one.id: one for one in plan_differences(load_settings(environ={"SCENARIOS": "gateway-core"}))}
    assert found["gateway-core/overhead_rpc"].of == "gateway-core/call_rpc"
    assert found["gateway-core/overhead_rpc"].minus == "gateway-core/call_direct"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not JSON"),
        ("[]", "not a JSON-RPC request"),
        ('{"jsonrpc": "2.0", "params": {}}', "not a JSON-RPC request"),
        ('{"jsonrpc": "2.0", "method": "tools/call", "params": {}}', "params.name"),
        ('{"jsonrpc": "2.0", "method": "resources/read", "params": {"uri": 1}}', "params.uri"),
    ],
)
def test_a_payload_that_is_none(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "payload.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=words) as caught:
        read_payload(path)
    assert str(path) in str(caught.value)


def test_a_payload_that_is_not_there(tmp_path: Path) -> None:
    data = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    data["scenarios"]["tools"]["cases"]["call_get_system_time"]["payload"] = "nope.json"
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    with pytest.raises(UserError, match=r"payloads/tools/nope\.json: there is no such payload"):
        planned(PERF_CONFIG=str(path))


@given(st.lists(st.integers(1, 100), min_size=1, max_size=20), st.integers(0, 500))
def test_workers_are_divided_completely_and_nobody_gets_none(weights: list[int], spare: int) -> None:
    total = len(weights) + spare
    workers = divide_workers(total, weights)
    assert sum(workers) == total
    assert min(workers) >= 1
    exact = [1 + spare * weight / sum(weights) for weight in weights]
    assert all(abs(got - share) <= 1 for got, share in zip(workers, exact, strict=True))


@given(st.integers(1, 100_000), st.integers(1, 500))
def test_requests_are_a_multiple_of_the_workers_and_not_more_than_asked(requests: int, workers: int) -> None:
    rounded = same_for_each_worker(requests, workers)
    assert rounded % workers == 0
    assert rounded <= max(requests, workers)
    assert rounded > requests - workers
