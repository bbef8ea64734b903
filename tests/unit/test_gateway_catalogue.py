"""What the gateway lists, looked up by the names that MCP servers gave."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from benchkit.errors import UserError
from benchkit.gateway.catalogue import Catalogue, load_catalogue
from benchkit.gateway.client import Gateway
from benchkit.gateway.registration import register
from benchkit.model import Entity
from builders.gateway_stub import FakeGateway, Reply, serving

URL = "http://127.0.0.1:{}/mcp"
SCHEMA = {
    "type": "object",
    "properties": {
        "time": {"type": "string", "pattern": "^[0-9]{2}:[0-9]{2}$"},
        "zones": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["time"],
}


def release(name: str, servers: int = 2) -> FakeGateway:
    """A gateway with simulated servers time1, time2 … registered."""
    fake = FakeGateway(name)
    fake.is_open = True
    for number in range(1, servers + 1):
        fake.offers[URL.format(number)] = {
            "tools": ["get_system_time", "convert_time"],
            "resources": [f"timezone://time{number}/info"],
            "prompts": ["compare_timezones"],
        }
    return fake


@contextmanager
def catalogue_of(fake: FakeGateway) -> Iterator[Catalogue]:
    with serving(fake) as stub:
        gateway = Gateway.find(stub.url)
        servers = [(f"time{number}", url) for number, url in enumerate(fake.offers, start=1)]
        register(gateway, [server for server in servers if not fake.rows["gateways"]], wait_s=2)
        yield load_catalogue(gateway, fake.release)


def identity(fake: FakeGateway, kind: str, **wanted: str) -> str:
    return next(str(row["id"]) for row in fake.rows[kind] if wanted.items() <= row.items())


def test_a_tool_is_found_by_its_own_name_on_its_server() -> None:
    fake = release("1.0.7")
    with catalogue_of(fake) as catalogue:
        found = catalogue.tool("get_system_time", "time2")
        assert found == Entity(
            name="time2-get-system-time",
            original="get_system_time",
            id=identity(fake, "tools", name="time2-get-system-time"),
            server="time2",
        )
        assert catalogue.tool("get_system_time", "") is not None
        assert catalogue.tool("get_system_time", "time3") is None
        assert catalogue.tool("time2-get-system-time", "time2") is None


def test_what_belongs_to_a_deleted_server_is_not_offered() -> None:
    fake = release("1.0.0")
    with catalogue_of(fake):
        pass
    fake.rows["gateways"] = [row for row in fake.rows["gateways"] if row["name"] != "time1"]
    with catalogue_of(fake) as catalogue:
        assert catalogue.tool("get_system_time", "time1") is None
        found = catalogue.tool("get_system_time", "")
        assert found is not None
        assert found.name.startswith("time2")
        assert catalogue.total("tools") == 2


def test_a_resource_of_a_deleted_server_is_not_offered_by_releases_that_name_its_server() -> None:
    fake = release("0.8.0", servers=1)
    fake.rows["resources"].append({"id": "9", "uri": "old://x", "federationSource": "gone"})
    with catalogue_of(fake) as catalogue:
        assert catalogue.resource("old://x", "") is None
        assert catalogue.total("resources") == 1


@pytest.mark.parametrize(
    ("name", "sent", "in_path"),
    [
        ("1.0.7", "name", "id"),
        ("1.0.0", "name", "id"),
        ("0.9.0", "id", "id"),
        ("0.8.0", "name", "id"),
        ("0.7.0", "name", "name"),
    ],
)
def test_how_a_release_identifies_prompts(name: str, sent: str, in_path: str) -> None:
    fake = release(name, servers=1)
    with catalogue_of(fake) as catalogue:
        found = catalogue.prompt("compare_timezones", "time1")
    row = fake.rows["prompts"][0]
    # Before 1.0 a prompt does not say whose it is.
    owner = "time1" if name.startswith("1.") else ""
    assert found == Entity(name=row[sent], original="compare_timezones", id=row[in_path], server=owner)


def test_the_gateway_s_own_prompts_belong_to_every_server() -> None:
    fake = release("1.0.7")
    fake.rows["prompts"].append(
        {"id": "own", "name": "perf-validated", "originalName": "perf_validated", "gatewayId": None}
    )
    with catalogue_of(fake) as catalogue:
        for server in ("", "time1"):
            found = catalogue.prompt("perf_validated", server)
            assert found is not None
            assert (found.name, found.id) == ("perf-validated", "own")


def test_resources_by_uri_and_templates_that_a_uri_belongs_to() -> None:
    fake = release("1.0.7")
    template = "time://time1/zones.v1/{area}/{city}"
    fake.special["GET", "/v1/resources/templates/list"] = lambda _: Reply(
        body={"resource_templates": [{"id": "t1", "uriTemplate": template, "name": "zone"}]}
    )
    with catalogue_of(fake) as catalogue:
        info = catalogue.resource("timezone://time1/info", "time1")
        zone = catalogue.resource("time://time1/zones.v1/Europe/Berlin", "time1")
        assert catalogue.resource("timezone://time1/info", "time2") is None
        assert catalogue.resource("time://time1/zones.v1/Berlin", "time1") is None
        assert catalogue.resource("time://time1/zonesXv1/Europe/Berlin", "time1") is None
    assert info is not None
    assert (info.name, info.original) == ("timezone://time1/info", "timezone://time1/info")
    assert zone == Entity(name="time://time1/zones.v1/Europe/Berlin", original=template, id="t1")


def test_0_9_lists_templates_among_the_resources() -> None:
    fake = release("0.9.0", servers=1)
    fake.rows["resources"].append({"id": "t1", "uri": "time://time1/zones/{+zone}", "federationSource": "time1"})
    with catalogue_of(fake) as catalogue:
        zone = catalogue.resource("time://time1/zones/Europe/Berlin", "time1")
    assert zone is not None
    assert zone.id == "t1"


def test_0_7_reads_resources_by_uri() -> None:
    with catalogue_of(release("0.7.0", servers=1)) as catalogue:
        found = catalogue.resource("timezone://time1/info", "time1")
    assert found is not None
    assert found.id == "timezone://time1/info"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"time": "12:00"}, ""),
        ({}, "'time' is a required property (rule: required)"),
        ({"time": "noon"}, "time: 'noon' does not match '^[0-9]{2}:[0-9]{2}$' (rule: pattern)"),
        ({"time": "12:00", "zones": ["UTC", 3]}, "zones.1: 3 is not of type 'string' (rule: type)"),
    ],
)
def test_arguments_are_held_against_the_input_schema(arguments: dict[str, Any], problem: str) -> None:
    fake = release("1.0.7")
    with catalogue_of(fake):
        for row in fake.rows["tools"]:
            row["inputSchema"] = SCHEMA
    with catalogue_of(fake) as catalogue:
        assert catalogue.check_arguments("get_system_time", "time1", arguments) == problem


def test_a_tool_without_a_schema_takes_anything_and_a_wrong_schema_is_said() -> None:
    fake = release("1.0.7")
    with catalogue_of(fake) as catalogue:
        assert catalogue.check_arguments("get_system_time", "time1", {"x": 1}) == ""
        assert catalogue.check_arguments("nothing", "time1", {"x": 1}) == ""
        for row in fake.rows["tools"]:
            row["inputSchema"] = {"type": "nonsense"}
    with catalogue_of(fake) as catalogue:
        assert "own input schema is wrong" in catalogue.check_arguments("get_system_time", "time1", {})


def test_counts_and_limits_are_those_that_the_gateway_answers_with() -> None:
    fake = release("1.0.7", servers=40)
    with catalogue_of(fake) as catalogue:
        assert [catalogue.total(kind) for kind in ("tools", "resources", "prompts", "gateways")] == [80, 40, 40, 40]
        assert [catalogue.listed("tools", limit) for limit in (10, 50, 100, None)] == [10, 50, 80, 50]
        assert catalogue.rpc_listed("tools") == 80


def test_a_release_that_ignores_limits() -> None:
    with catalogue_of(release("0.8.0", servers=1)) as catalogue:
        assert catalogue.listed("tools", 1) == 2


def test_an_rpc_listing_of_another_shape_is_said() -> None:
    fake = release("1.0.7")
    with catalogue_of(fake) as catalogue:
        fake.special["POST", "/rpc"] = lambda _: Reply(body={"jsonrpc": "2.0", "id": 1, "result": {"content": []}})
        with pytest.raises(UserError, match="tools/list on /rpc: the answer is no list of tools"):
            catalogue.rpc_listed("tools")
