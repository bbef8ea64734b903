"""Putting servers, a virtual server and prompts into a gateway, and taking them out again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from benchkit.errors import UserError
from benchkit.gateway import registration
from benchkit.gateway.client import Gateway
from benchkit.gateway.registration import (
    Registration,
    create_fixtures,
    offers,
    register,
    remove_fixtures,
    same_url,
    unregister,
)
from builders.gateway_stub import FakeGateway, Reply, Request, serving

SERVERS = [(f"time{number}", f"http://127.0.0.1:{number}/mcp") for number in range(1, 5)]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registration, "_POLL_S", 0.01)


@pytest.fixture
def fake() -> FakeGateway:
    return make("1.0.7")


@pytest.fixture
def gateway(fake: FakeGateway) -> Iterator[Gateway]:
    with serving(fake) as stub:
        yield Gateway.find(stub.url)


def make(release: str) -> FakeGateway:
    fake = FakeGateway(release)
    fake.is_open = True
    for name, url in SERVERS:
        fake.offers[url] = {
            "tools": ["get_system_time"],
            "resources": [f"time://{name}/world"],
            "prompts": ["compare_timezones"],
        }
    return fake


def names(fake: FakeGateway, kind: str) -> set[str]:
    return {row["name"] for row in fake.rows[kind]}


def test_servers_are_registered_once(fake: FakeGateway, gateway: Gateway) -> None:
    assert register(gateway, SERVERS) == Registration(added=("time1", "time2", "time3", "time4"), kept=())
    before = [row["id"] for row in fake.rows["gateways"]]
    assert register(gateway, SERVERS) == Registration(added=(), kept=("time1", "time2", "time3", "time4"))
    assert [row["id"] for row in fake.rows["gateways"]] == before
    assert len(fake.rows["tools"]) == 4


def test_a_server_of_the_same_name_at_another_address_is_replaced(fake: FakeGateway, gateway: Gateway) -> None:
    register(gateway, SERVERS[:2])
    fake.offers["http://127.0.0.1:77/mcp"] = {"tools": ["other"]}
    assert register(gateway, [("time1", "http://127.0.0.1:77/mcp")]).added == ("time1",)
    assert {row["originalName"] for row in fake.rows["tools"]} == {"other", "get_system_time"}
    assert len(fake.rows["gateways"]) == 2


@pytest.mark.parametrize("state", ["enabled", "reachable"])
def test_a_server_that_the_gateway_gave_up_is_registered_anew(fake: FakeGateway, gateway: Gateway, state: str) -> None:
    register(gateway, SERVERS[:1])
    fake.rows["gateways"][0][state] = False
    assert register(gateway, SERVERS[:1]).added == ("time1",)
    assert fake.rows["gateways"][0][state] is True


def test_an_address_that_has_another_name_already(gateway: Gateway) -> None:
    register(gateway, SERVERS[:1])
    with pytest.raises(UserError, match=r"is registered already, as time1; .* unregister --names time1"):
        register(gateway, [("mine", SERVERS[0][1])])


def test_a_server_that_is_not_reachable_is_named_and_the_others_are_there(fake: FakeGateway, gateway: Gateway) -> None:
    servers = [*SERVERS[:2], ("dead", "http://127.0.0.1:99/mcp")]
    with pytest.raises(UserError, match=r"MCP server dead \(http://127.0.0.1:99/mcp\).*does not reach it"):
        register(gateway, servers)
    assert names(fake, "gateways") == {"time1", "time2"}


def test_before_1_0_two_servers_cannot_have_a_prompt_of_the_same_name() -> None:
    words = "cannot hold two servers with a prompt of the same name"
    fake = make("0.9.0")
    with serving(fake) as stub, pytest.raises(UserError, match=words):
        register(Gateway.find(stub.url), SERVERS)
    assert names(fake, "gateways") == {"time1"}


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply(422, {"message": "An error occurred, please try again."}), "SSRF_ALLOW_LOCALHOST=true"),
        (Reply(500, {"message": "Unexpected error"}), "HTTP 500 Unexpected error: the gateway failed; see its log"),
        (Reply(403, {"detail": "Access denied"}), "this user may not do that"),
        (Reply(429, {"message": "Maximum 100"}), "RATE_LIMITING_ENABLED=false"),
    ],
)
def test_a_refused_registration_is_explained(fake: FakeGateway, gateway: Gateway, reply: Reply, words: str) -> None:
    fake.special["POST", "/v1/gateways"] = lambda _: reply
    with pytest.raises(UserError, match=words):
        register(gateway, SERVERS[:1])


def test_one_that_is_refused_beside_others_is_registered_alone(fake: FakeGateway, gateway: Gateway) -> None:
    refused = []

    def locked(request: Request) -> Reply:
        if request.body["name"] != "time1" and request.body["name"] not in refused:
            refused.append(request.body["name"])
            return Reply(500, {"message": "Unexpected error"})
        return fake._register(request)

    fake.special["POST", "/v1/gateways"] = locked
    assert register(gateway, SERVERS).added == ("time1", "time2", "time3", "time4")
    assert len(refused) == 3


def test_somebody_else_who_registers_the_same_server_meanwhile_is_no_error(fake: FakeGateway, gateway: Gateway) -> None:
    def twice(request: Request) -> Reply:
        fake._register(request)
        return fake._register(request)

    fake.special["POST", "/v1/gateways"] = twice
    assert register(gateway, SERVERS[:1]).added == ("time1",)


def test_registration_waits_until_the_tools_are_listed(fake: FakeGateway, gateway: Gateway) -> None:
    fake.listing_delay = 3
    register(gateway, SERVERS[:1])
    assert fake.listing_delay == 0


def test_the_wait_is_bounded_and_says_what_was_waited_for(fake: FakeGateway, gateway: Gateway) -> None:
    fake.listing_delay = 10**6
    with pytest.raises(UserError, match=r"only 0 of 1 tools of MCP server time1 are listed after 0\.05 s of waiting"):
        register(gateway, SERVERS[:1], wait_s=0.05)


def test_everything_that_a_server_offers_is_waited_for(fake: FakeGateway, gateway: Gateway) -> None:
    def mcp(request: Request) -> Reply:
        kind = request.body["method"].split("/")[0]
        rows = {"tools": [1, 2], "resources": [1], "prompts": []}[kind]
        return Reply(body={"jsonrpc": "2.0", "id": 1, "result": {kind: rows}})

    with serving(mcp) as server:
        fake.offers[server.url] = {"tools": ["one"], "resources": ["a://b"]}
        assert offers(server.url) == {"tools": 2, "resources": 1, "prompts": 0}
        with pytest.raises(UserError, match="only 1 of 2 tools of MCP server new are listed"):
            register(gateway, [("new", server.url)], wait_s=0.05)


def test_what_a_server_offers_is_unknown_where_it_does_not_say() -> None:
    assert offers("http://127.0.0.1:9/mcp") is None
    bodies: list[Any] = [{"error": {}}, [], {"result": {"tools": 3}}, {"result": {"tools": [], "nextCursor": "x"}}]
    with serving(lambda _: Reply(body=bodies.pop())) as server:
        while bodies:
            assert offers(server.url) is None


@pytest.mark.parametrize("release", ["1.0.7", "0.8.0", "0.7.0"])
def test_unregistering_takes_out_what_registering_put_in(release: str) -> None:
    fake = make(release)
    fake.rows["resources"].append({"id": "r", "name": "mine", "uri": "mine://x", "gatewayId": None})
    with serving(fake) as stub:
        gateway = Gateway.find(stub.url)
        register(gateway, SERVERS[:1])
        assert unregister(gateway, ["time1", "nobody"]) == ("time1",)
        assert unregister(gateway, ["time1"]) == ()
    assert not fake.rows["gateways"]
    assert not fake.rows["tools"]
    assert names(fake, "resources") == {"mine"}


def test_unregistering_waits_for_a_cached_listing(fake: FakeGateway, gateway: Gateway) -> None:
    register(gateway, SERVERS[:1])
    stale = list(fake.rows["tools"])
    answers = iter([stale, stale, []])
    fake.special["GET", "/v1/tools"] = lambda _: Reply(body=next(answers))
    unregister(gateway, ["time1"])
    assert next(answers, None) is None
    fake.special.clear()
    register(gateway, SERVERS[:1])
    stale = list(fake.rows["tools"])
    fake.special["GET", "/v1/tools"] = lambda _: Reply(body=stale)
    with pytest.raises(UserError, match=r"tools of time1 are still listed 0\.05 s after"):
        unregister(gateway, ["time1"], wait_s=0.05)


@pytest.mark.parametrize("release", ["1.0.7", "1.0.0", "0.9.0", "0.8.0", "0.7.0"])
def test_fixtures_are_created_once_and_removed_without_a_trace(release: str) -> None:
    fake = make(release)
    fake.rows["prompts"].append({"id": "p", "name": "mine", "description": "mine"})
    fake.rows["servers"].append({"id": "s", "name": "mine", "description": "mine"})
    with serving(fake) as stub:
        gateway = Gateway.find(stub.url)
        register(gateway, SERVERS[:1])
        create_fixtures(gateway)
        identity = create_fixtures(gateway)
        (virtual,) = [row for row in fake.rows["servers"] if row["name"] == "perf-virtual"]
        assert virtual["id"] == identity
        own = {row.get("originalName") or row["name"]: row for row in fake.rows["prompts"]}
        assert own["perf_validated"]["template"] == "Compare {{ timezone }} at {{ reference_time }}"
        assert [one["required"] for one in own["perf_validated"]["arguments"]] == [True, True]
        assert own["perf_unvalidated"]["template"] == "Compare Asia/Tokyo at 12:00"
        assert own["perf_unvalidated"]["arguments"] == []
        assert set(remove_fixtures(gateway)) == {"perf-virtual", "perf_validated", "perf_unvalidated"}
        assert remove_fixtures(gateway) == ()
    assert names(fake, "servers") == {"mine"}
    assert len(fake.rows["prompts"]) == 2


def test_the_virtual_server_offers_what_the_named_servers_offer(fake: FakeGateway, gateway: Gateway) -> None:
    register(gateway, SERVERS)
    create_fixtures(gateway, ["time2", "time3"])
    created = fake.rows["servers"][0]

    def owners(kind: str) -> set[str]:
        ids = {row["id"]: row["name"].split("-")[0] for row in fake.rows[kind]}
        return {ids[one] for one in created[f"associated_{kind}"]}

    assert owners("tools") == owners("resources") == owners("prompts") == {"time2", "time3"}


def test_ids_are_sent_as_text_and_at_most_a_hundred_of_a_kind(fake: FakeGateway, gateway: Gateway) -> None:
    fake.rows["tools"] = [{"id": number, "name": f"tool{number}"} for number in range(130)]
    create_fixtures(gateway)
    associated: list[Any] = fake.rows["servers"][0]["associated_tools"]
    assert associated == [str(number) for number in range(100)]


def test_something_of_the_same_name_that_is_not_the_toolkit_s_is_left_alone(
    fake: FakeGateway, gateway: Gateway
) -> None:
    mine = {"id": "p", "name": "perf-validated", "originalName": "perf_validated", "description": "mine"}
    fake.rows["prompts"].append(mine)
    with pytest.raises(UserError, match="there is a perf_validated already that this toolkit did not make"):
        create_fixtures(gateway)
    remove_fixtures(gateway)
    assert fake.rows["prompts"] == [mine]


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("http://127.0.0.1:9101/mcp", "http://localhost:9101/mcp/", True),
        ("http://localhost:9101", "http://[::1]:9101/", True),
        ("http://127.0.0.1:9101/mcp", "http://127.0.0.1:9102/mcp", False),
        ("http://127.0.0.1:9101/mcp", "https://127.0.0.1:9101/mcp", False),
        ("http://127.0.0.1:9101/mcp", "http://127.0.0.2:9101/mcp", False),
        ("http://127.0.0.1:9101/mcp", "http://127.0.0.1:9101/sse", False),
    ],
)
def test_addresses_that_lead_to_the_same_place(first: str, second: str, same: bool) -> None:
    assert same_url(first, second) is same
