"""What the settings make of the stack, and the environment that its gateway gets."""

from __future__ import annotations

import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from benchkit.errors import UserError
from benchkit.settings import Config, GatewayStack, Settings
from benchkit.stack.environment import database_key, gateway_environment, new_secrets
from benchkit.stack.releases import installation_name
from benchkit.stack.state import GatewayAccess, ProcessRuntime, StackState, SupervisorProcess
from benchkit.stack.topology import BalancerNode, GatewayNode, Topology, differences, topology_of


def settings(url: str = "http://127.0.0.1:4444", **stack: Any) -> Settings:
    stack["gateway"] = {"version": "1.0.7", **stack.get("gateway", {})}
    data = {"service": {"base_url": url}, "stack": stack, "scenarios": {"s": {"cases": {"c": {"path": "/health"}}}}}
    return Settings(config=Config.model_validate(data), profile="light", scenarios=["s"], sources={})


def topology(**stack: Any) -> Topology:
    return topology_of(settings(**stack), redis=True)


def test_every_second_server_is_on_postgresql() -> None:
    made = topology(servers=4)
    assert [(server.name, server.port, server.database) for server in made.servers] == [
        ("time1", 9101, "sqlite"),
        ("time2", 9102, "postgresql"),
        ("time3", 9103, "sqlite"),
        ("time4", 9104, "postgresql"),
    ]
    assert made.postgres is not None
    assert made.postgres.databases == ["time2", "time4"]


def test_postgresql_is_left_out_where_nothing_needs_it() -> None:
    made = topology(servers=1)
    assert made.postgres is None
    assert Topology.model_validate(made.model_dump(exclude_none=True)) == made


def test_postgresql_takes_what_the_gateways_workers_may_open() -> None:
    made = topology(servers=1, database="postgresql", gateway={"workers": 4})
    assert made.postgres is not None
    assert made.postgres.databases == ["gateway"]
    assert made.postgres.connections >= 4 * 210


@pytest.mark.parametrize("url", ["http://127.0.0.1:4444", "http://localhost:4444"])
def test_the_gateways_port_is_that_of_the_address(url: str) -> None:
    assert topology_of(settings(url), redis=False).gateways[0].port == 4444


@pytest.mark.parametrize(
    "url",
    [
        "http://gateway.example:4444",
        "https://127.0.0.1:4444",
        "http://127.0.0.1:4444/path",
        "http://127.0.0.1",
    ],
)
def test_the_stack_listens_on_loopback_only(url: str) -> None:
    with pytest.raises(UserError, match="the own stack cannot listen at"):
        topology_of(settings(url), redis=False)


def test_replicas_of_a_gateway_are_reached_through_their_balancer() -> None:
    node = topology().gateways[0]
    replicas = [node.model_copy(update={"name": f"gateway{number}", "port": 4450 + number}) for number in (1, 2)]
    made = Topology(gateways=replicas, balancer=BalancerNode(port=4444), servers=[], redis=True)
    access = GatewayAccess(url="http://127.0.0.1:4451", email="e", password="p", python="p", env_file="f", version="1")
    state = StackState(
        created=datetime.now(UTC),
        ready=True,
        runtime=ProcessRuntime(supervisor=SupervisorProcess(pid=1, started=0.0, socket="s"), directory="d"),
        topology=made,
        gateways=[access, access],
        servers=[],
    )
    assert state.target == access.model_copy(update={"url": "http://127.0.0.1:4444"})
    assert differences(topology(), made)[0] == "gateways are 1, wanted 2"
    for wrong in ({"gateways": replicas}, {"gateways": replicas, "balancer": BalancerNode(port=4451)}):
        with pytest.raises(ValidationError, match=r"same port|need a balancer"):
            Topology(servers=[], redis=True, **wrong)


def test_a_server_may_not_have_the_gateways_port() -> None:
    with pytest.raises(UserError, match=r"time3 would have port 4444.*first_server_port"):
        topology(first_server_port=4442)


def test_values_of_settings_become_the_texts_of_an_environment() -> None:
    made = topology(gateway={"settings": {"B": True, "A": 3, "C": 0.5, "D": "x"}})
    assert made.gateways[0].settings == {"A": "3", "B": "true", "C": "0.5", "D": "x"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, []),
        ({"servers": 2}, ["simulated servers are 4, wanted 2"]),
        ({"seed": 5}, ["simulated servers differ in port, seed or number of tools"]),
        ({"database": "postgresql"}, ["gateway database is sqlite, wanted postgresql"]),
        ({"gateway": {"workers": 2, "version": "0.9.0"}}, ["version is 1.0.7, wanted 0.9.0", "workers is 1, wanted 2"]),
        ({"gateway": {"settings": {"A": "1"}}}, ["gateway settings differ in A"]),
    ],
)
def test_differences_say_what_would_change(change: dict[str, Any], words: list[str]) -> None:
    found = differences(topology(), topology(**change))
    assert len(found) == len(words)
    for sentence, word in zip(found, words, strict=True):
        assert sentence.endswith(word)


def test_a_cache_that_appeared_or_went_is_a_difference() -> None:
    without = topology_of(settings(), redis=False)
    assert differences(without, topology()) == ["Redis does not run, wanted"]
    assert differences(topology(), without) == ["Redis runs, but redis-server is gone"]


SECRETS = new_secrets()


def environment(gateway: GatewayNode, redis: str | None = None, database: str = "sqlite:///x") -> dict[str, str]:
    return gateway_environment(gateway, SECRETS, host="127.0.0.1", database_url=database, redis_url=redis)


def test_secrets_are_strong_and_never_the_same() -> None:
    values = list(SECRETS.model_dump(exclude={"schema_version"}).values())
    assert len(set(values)) == len(values)
    assert not set(values) & set(new_secrets().model_dump(exclude={"schema_version"}).values())
    for password in (SECRETS.admin_password, SECRETS.basic_auth_password, SECRETS.default_user_password):
        assert len(password) >= 22
        for kind in ("[a-z]", "[A-Z]", "[0-9]", r"[!@#$%^&*(),.?]"):
            assert re.search(kind, password)
    assert min(len(SECRETS.jwt_secret_key), len(SECRETS.auth_encryption_secret)) >= 32


def test_settings_of_the_gateway_win() -> None:
    made = topology(gateway={"settings": {"LOG_LEVEL": "INFO", "CACHE_TYPE": "memory"}})
    assert environment(made.gateways[0], "unix:///r")["LOG_LEVEL"] == "INFO"
    assert environment(made.gateways[0], "unix:///r")["CACHE_TYPE"] == "memory"


def test_the_cache_is_only_named_where_there_is_one() -> None:
    assert "CACHE_TYPE" not in environment(topology().gateways[0])
    assert environment(topology().gateways[0], "unix:///r")["REDIS_URL"] == "unix:///r"


def test_the_database_is_kept_for_the_same_release_and_settings_wherever_it_lies() -> None:
    gateway = topology().gateways[0]
    key = database_key(gateway, "a build", environment(gateway))
    moved = gateway.model_copy(update={"port": 4445})
    assert database_key(moved, "a build", environment(moved, database="sqlite:///elsewhere")) == key
    assert database_key(gateway, "another build", environment(gateway)) != key
    for other in (
        gateway.model_copy(update={"version": "0.9.0"}),
        gateway.model_copy(update={"database": "postgresql"}),
        gateway.model_copy(update={"settings": {"A": "1"}}),
    ):
        assert database_key(other, "a build", environment(other)) != key


def test_several_gateways_share_servers_that_are_a_stack_of_their_own() -> None:
    own = settings(servers=3, database="postgresql")
    servers = topology_of(own, redis=True, part="servers")
    assert (servers.gateways, servers.redis, len(servers.servers)) == ([], False, 3)
    assert servers.postgres is not None
    assert servers.postgres.databases == ["time2"]
    gateway = topology_of(own, redis=True, part="gateway")
    assert (gateway.redis, gateway.servers) == (True, [])
    assert gateway.postgres is not None
    assert gateway.postgres.databases == ["gateway"]
    assert differences(servers, gateway)
    assert Topology.model_validate(servers.model_dump(exclude_none=True)) == servers


def test_a_build_of_ones_own_has_its_own_environment(tmp_path: Path) -> None:
    source = tmp_path / "gateway"
    name = installation_name(GatewayStack(source=str(source)))
    digest = subprocess.run(["sha256sum"], input=str(source).encode(), capture_output=True, check=True).stdout.decode()
    assert name == f"source-{digest[:12]}"
    assert installation_name(GatewayStack(version="1.0.6")) == "1.0.6"
    with pytest.raises(
        UserError, match="the gateway's build is not installed: run make setup with the same GATEWAY_SO"
    ):
        topology(gateway={"source": str(source)})
