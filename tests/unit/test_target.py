"""Connecting to a gateway whose user may not do everything, and what of it all may be stored."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from benchkit.disclosure import HIDDEN
from benchkit.load.plan import plan_cases
from benchkit.load.validity import IterationFacts, judge
from benchkit.model import Expectation, Probe, RawIteration, Validity
from benchkit.run.target import GatewayTarget, connect
from benchkit.settings import Settings, load_settings
from benchkit.stack.state import GatewayAccess, ProcessRuntime, StackPaths, StackState, SupervisorProcess
from benchkit.stack.topology import GatewayNode, Topology
from benchkit.store import save
from builders.driven import case
from builders.gateway_stub import EMAIL, PASSWORD, FakeGateway, Handler, Reply, serving

SECRET = "hunter2-TOP"


def settings_for(url: str, tmp_path: Path) -> Settings:
    environ = {
        "GATEWAY_URL": url,
        "GATEWAY_EMAIL": EMAIL,
        "GATEWAY_PASSWORD": PASSWORD,
        "PERF_TOKEN_CACHE": str(tmp_path / "token"),
        "SCENARIOS": "all",
    }
    return load_settings(environ=environ)


@contextlib.contextmanager
def connected(gateway: FakeGateway, tmp_path: Path) -> Iterator[tuple[GatewayTarget, Settings]]:
    with serving(gateway) as stub:
        settings = settings_for(stub.url, tmp_path)
        connection = connect(settings, StackPaths(tmp_path / "stack"))
        yield connection, settings
        connection.close()


def denying(text: str) -> Handler:
    return lambda _request: Reply(403, {"detail": text})


def refusing(*requests: tuple[str, str, str]) -> FakeGateway:
    """A gateway that refuses requests (method, path, permission) as the real one does."""
    gateway = FakeGateway()
    for method, path, permission in requests:
        text = f"Insufficient permissions. Required: {permission}" if permission else "Access denied"
        gateway.special[method, path] = denying(text)
    gateway.rows["tools"] = [{"id": "1", "name": "t", "originalName": "t", "gatewayId": "g"}]
    gateway.rows["prompts"] = [{"id": "2", "name": "p", "originalName": "p", "gatewayId": "g"}]
    return gateway


@pytest.mark.parametrize("kind", ["tools", "resources", "prompts", "servers", "gateways"])
def test_what_may_not_be_listed_is_skipped_with_the_permission_and_the_rest_is_planned(
    kind: str, tmp_path: Path
) -> None:
    gateway = refusing(("GET", f"/v1/{kind}", f"{kind}.read"))
    with connected(gateway, tmp_path) as (connection, settings):
        cases = plan_cases(settings, connection.routes, connection.catalogue)
        skipped = {one.id: one.skipped for one in cases if one.skipped}
        listings = {
            f"{scenario}/{name}"
            for scenario in settings.scenarios
            for name, one in settings.config.scenarios[scenario].cases.items()
            if one.lists == kind
        }
        assert listings
        assert {skipped[name] for name in listings} == {f"the token lacks the permission {kind}.read"}
        assert f"{kind} cannot be listed: the token lacks the permission {kind}.read" in connection.warnings
        assert not next(one for one in cases if one.id == "gateway-core/health").skipped


def test_everything_but_the_health_check_may_be_refused(tmp_path: Path) -> None:
    kinds = ("tools", "resources", "prompts", "servers", "gateways")
    refused = [("GET", f"/v1/{kind}", "") for kind in (*kinds, "version", "metrics")]
    with connected(refusing(*refused), tmp_path) as (connection, settings):
        cases = plan_cases(settings, connection.routes, connection.catalogue)
        assert "gateway-core/health" in [one.id for one in cases if not one.skipped]
        assert connection.gateway_counts() == {}
        assert connection.target.release is None


@pytest.mark.parametrize(
    ("path", "permission", "made"),
    [("/v1/servers", "servers.create", "prompts"), ("/v1/prompts", "prompts.create", "servers")],
)
def test_what_may_not_be_created_is_told_the_other_is_created_and_removed(
    path: str, permission: str, made: str, tmp_path: Path
) -> None:
    gateway = refusing(("POST", path, permission))
    before = len(gateway.rows[made])
    with connected(gateway, tmp_path) as (connection, _):
        assert [one for one in connection.warnings if permission in one]
        assert len(gateway.rows[made]) > before
    assert len(gateway.rows[made]) == before


def test_a_listing_that_is_older_than_what_was_just_made_is_named(tmp_path: Path) -> None:
    words = "GET /servers does not list the virtual server that was made just before"
    with connected(refusing(), tmp_path) as (connection, _):
        assert not [one for one in connection.warnings if words in one]
    old = refusing()
    old.special["GET", "/v1/servers"] = lambda _request: Reply(200, {"servers": [], "nextCursor": None})
    with connected(old, tmp_path) as (connection, _):
        assert [one for one in connection.warnings if words in one]
    refused = refusing(("GET", "/v1/servers", "servers.read"))
    with connected(refused, tmp_path) as (connection, _):
        assert not [one for one in connection.warnings if words in one]


def facts(*probes: Probe) -> list[IterationFacts]:
    now = datetime.now(UTC)
    return [
        IterationFacts(RawIteration(case="s/c", iteration=1, started=now, finished=now, parts=[], probes=list(probes)))
    ]


def probe(status: int, problem: str) -> Probe:
    return Probe(at=datetime.now(UTC), latency_ms=1.0, status=status, problem=problem)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Insufficient permissions. Required: tools.execute", "the token lacks the permission tools.execute"),
        ("requires permission prompts.read", "the token lacks the permission prompts.read"),
        ("Access denied", "the token lacks a permission: HTTP 403: Access denied"),
    ],
)
def test_a_case_that_a_permission_is_missing_for_is_skipped(text: str, reason: str) -> None:
    judged = judge(case("c", "http://h/"), facts(probe(403, f"HTTP 403: {text}")), 1.0)
    assert (judged.validity, judged.reason) == (Validity.SKIPPED, reason)


def test_other_failures_are_no_missing_permission() -> None:
    assert judge(case("c", "http://h/"), facts(probe(401, "HTTP 401")), 1.0).validity is Validity.INVALID
    assert (
        judge(case("c", "http://h/"), facts(probe(200, "no rows"), probe(403, "x")), 1.0).validity is Validity.INVALID
    )
    expected = case("c", "http://h/").model_copy(update={"expect": Expectation(status=403)})
    assert judge(expected, facts(probe(403, "wrong body")), 1.0).validity is Validity.INVALID


def test_the_run_says_that_the_logins_token_stands_in_arguments(tmp_path: Path) -> None:
    with connected(FakeGateway(), tmp_path) as (connection, _):
        assert [one for one in connection.warnings if "login's token in its command line" in one]
    gateway = FakeGateway()
    gateway.is_open = True
    with connected(gateway, tmp_path) as (connection, _):
        assert not [one for one in connection.warnings if "token" in one]


@pytest.mark.parametrize(
    "url", [f"http://u:{SECRET}@127.0.0.1:9/mcp", f"http://h.invalid/mcp?key={SECRET}", f"stdio:{SECRET}"]
)
def test_an_mcp_servers_address_with_a_secret_is_not_stored(url: str, tmp_path: Path) -> None:
    gateway = FakeGateway()
    gateway.rows["gateways"] = [{"id": "g", "name": "theirs", "url": url, "enabled": True, "reachable": True}]
    with connected(gateway, tmp_path) as (connection, settings):
        assert connection.routes.servers == []
        cases = plan_cases(settings, connection.routes, connection.catalogue)
        assert SECRET not in "".join(one.model_dump_json() for one in cases)
        assert [one for one in connection.warnings if "theirs" in one]
        assert SECRET not in "".join(connection.warnings)


def test_of_the_own_gateways_settings_only_harmless_values_are_stored(tmp_path: Path) -> None:
    given = {"LANGFUSE_OTEL_AUTH": SECRET, "OTEL_EXPORTER_OTLP_HEADERS": f"a=Bearer {SECRET}", "DB_POOL_SIZE": "20"}
    made = {"LOG_LEVEL": "ERROR", "JWT_SECRET_KEY": SECRET, "PLATFORM_ADMIN_PASSWORD": SECRET, "PORT": "4444"}
    place = StackPaths(tmp_path / "stack")
    place.make()
    lines = [f"export {name}={shlex.quote(value)}\n" for name, value in {**given, **made}.items()]
    place.gateway_environment.write_text("".join(lines), encoding="utf-8")
    node = GatewayNode(version="1.0.7", installation="1.0.7", port=4444, workers=1, database="sqlite", settings=given)
    with serving(FakeGateway()) as stub:
        access = GatewayAccess(
            url=stub.url,
            email=EMAIL,
            password=PASSWORD,
            python="/bin/false",
            env_file=str(place.gateway_environment),
            version="1.0.7",
        )
        state = StackState(
            created=datetime.now(UTC),
            ready=True,
            runtime=ProcessRuntime(
                supervisor=SupervisorProcess(pid=1, started=0.0, socket="s"), directory=str(tmp_path)
            ),
            topology=Topology(gateways=[node], servers=[], redis=False),
            gateways=[access],
            servers=[],
        )
        connection = GatewayTarget(settings_for(stub.url, tmp_path), state, place)
        connection.close()
    assert connection.target.settings == {
        "DB_POOL_SIZE": "20",
        "LANGFUSE_OTEL_AUTH": HIDDEN,
        "LOG_LEVEL": "ERROR",
        "OTEL_EXPORTER_OTLP_HEADERS": HIDDEN,
    }
    save(tmp_path / "target.json", connection.target)
    assert SECRET not in (tmp_path / "target.json").read_text(encoding="utf-8")
