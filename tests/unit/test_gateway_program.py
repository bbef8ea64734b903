"""``utils/gateway.py`` as a user calls it: output, errors, exit codes."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

import gateway as program
from benchkit.errors import ExitCode, UserError
from benchkit.gateway import registration
from benchkit.run.target import own_stack
from benchkit.stack.state import GatewayAccess, ProcessRuntime, ServerAccess, StackState, SupervisorProcess
from benchkit.stack.topology import GatewayNode, Topology
from builders.gateway_stub import EMAIL, PASSWORD, FakeGateway, Reply, Stub, make_token, serving

TOOLS = [f"tool_{number}" for number in range(100)]

Golden = Callable[[str, object], None]


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GATEWAY_TOKEN", "PROFILE", "SCENARIOS", "PERF_SCENARIOS", "PERF_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GATEWAY_EMAIL", EMAIL)
    monkeypatch.setenv("GATEWAY_PASSWORD", PASSWORD)
    monkeypatch.setenv("PERF_TOKEN_CACHE", str(tmp_path / "kept token"))
    monkeypatch.setenv("PERF_STACK_DIR", str(tmp_path / "no stack"))
    monkeypatch.setattr(registration, "_POLL_S", 0.01)


@pytest.fixture
def fake() -> FakeGateway:
    fake = FakeGateway()
    fake.metrics = {}
    return fake


@pytest.fixture
def stub(fake: FakeGateway, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stub]:
    with serving(fake) as stub:
        monkeypatch.setenv("GATEWAY_URL", stub.url)
        fake.offers[f"{stub.url}/mcp"] = {"tools": TOOLS, "resources": ["a://b"], "prompts": ["p"]}
        yield stub


def stack_of(stub: Stub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StackState:
    """A running stack whose gateway is the stub, with a password of its own."""
    (tmp_path / "no stack").mkdir()
    environment = tmp_path / "gateway env"
    environment.write_text("# made by make up\nexport JWT_SECRET_KEY='a b'\\''c'\nexport PORT=4444\n", encoding="utf-8")
    state = StackState(
        created=datetime.now(UTC),
        ready=True,
        runtime=ProcessRuntime(supervisor=SupervisorProcess(pid=1, started=0.0, socket="none"), directory="none"),
        topology=Topology(
            gateways=[
                GatewayNode(version="1.0.7", installation="1.0.7", port=4444, workers=1, database="sqlite", settings={})
            ],
            servers=[],
            postgres=None,
            redis=False,
        ),
        gateways=[
            GatewayAccess(
                url=stub.url,
                email=EMAIL,
                password=PASSWORD,
                python=sys.executable,
                env_file=str(environment),
                version="1.0.7",
            )
        ],
        servers=[
            ServerAccess(name="time1", url=f"{stub.url}/mcp", counters_url=f"{stub.url}/health", database="sqlite")
        ],
    )
    monkeypatch.setattr(program, "read_state", lambda: state)
    monkeypatch.setenv("GATEWAY_PASSWORD", "not this one")
    return state


def test_login_keeps_a_token_and_shows_nothing_of_it(
    stub: Stub, fake: FakeGateway, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert program.main(["login"]) == ExitCode.OK
    output = capsys.readouterr()
    (token,) = fake.tokens
    assert output.out == ""
    assert re.fullmatch(
        rf"token of {EMAIL} for {stub.url}: valid until [\d-]{{10}} [\d:]{{8}}, kept in {tmp_path}/kept token\n",
        output.err,
    )
    assert (tmp_path / "kept token").read_text(encoding="ascii") == f"{token}\n"


def test_token_prints_the_token_and_nothing_else(
    stub: Stub, fake: FakeGateway, capsys: pytest.CaptureFixture[str]
) -> None:
    program.main(["token"])
    first = capsys.readouterr().out
    program.main(["token"])
    assert capsys.readouterr().out == first
    program.main(["token", "--renew"])
    second = capsys.readouterr().out
    assert first != second
    assert {first, second} == {f"{token}\n" for token in fake.tokens}


def test_env_can_be_evaluated_by_a_shell(stub: Stub, fake: FakeGateway, capsys: pytest.CaptureFixture[str]) -> None:
    program.main(["env"])
    lines = [shlex.split(line) for line in capsys.readouterr().out.splitlines()]
    assert lines == [["export", f"GATEWAY_URL={stub.url}"], ["export", f"GATEWAY_TOKEN={next(iter(fake.tokens))}"]]
    fake.is_open = True
    program.main(["env"])
    assert capsys.readouterr().out.splitlines()[1] == "unset GATEWAY_TOKEN"


def test_url_wins_over_the_environment(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_URL", "http://nobody.invalid")
    assert program.main(["login", "--url", stub.url]) == ExitCode.OK


def test_a_given_token_is_named_as_such(
    stub: Stub, fake: FakeGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GATEWAY_TOKEN", "opaque")
    fake.tokens.add("opaque")
    program.main(["login"])
    assert capsys.readouterr().err == f"GATEWAY_TOKEN for {stub.url}: valid until it is revoked, not kept\n"
    assert not (tmp_path / "kept token").exists()


def test_the_stack_s_own_password_is_used_at_the_stack_s_address(
    stub: Stub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack_of(stub, tmp_path, monkeypatch)
    monkeypatch.setenv("GATEWAY_URL", stub.url.replace("127.0.0.1", "localhost"))
    assert program.main(["login"]) == ExitCode.OK
    assert (tmp_path / "no stack" / "token").exists()
    assert not (tmp_path / "kept token").exists()


def test_another_gateway_does_not_get_the_stack_s_password(
    stub: Stub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack_of(stub, tmp_path, monkeypatch)
    with serving(FakeGateway()) as other:
        with pytest.raises(UserError, match=r"the login of .* was refused"):
            program.main(["login", "--url", other.url])
        sent = [request.body["password"] for request in other.asked("/v1/auth/login")]
    assert sent == ["not this one"]


def test_info_is_the_target_as_json(stub: Stub, capsys: pytest.CaptureFixture[str]) -> None:
    program.main(["info"])
    assert json.loads(capsys.readouterr().out) == {
        "base_url": stub.url,
        "prefix": "/v1",
        "origin": "external",
        "release": "1.0.7",
        "database": "sqlite",
        "database_version": "3.40.1",
        "cache": "database",
        "uptime_s": 61.0,
        "servers": 0,
        "tools": 0,
        "resources": 0,
        "prompts": 0,
        "settings": {},
    }


def test_servers_and_fixtures_go_in_and_out(stub: Stub, fake: FakeGateway, capsys: pytest.CaptureFixture[str]) -> None:
    program.main(["register", "--servers", f"time1={stub.url}/mcp"])
    program.main(["fixtures", "create"])
    output = capsys.readouterr()
    assert output.out.strip() == fake.rows["servers"][0]["id"]
    assert "1 MCP servers registered, 0 were registered already" in output.err
    program.main(["fixtures", "remove"])
    program.main(["unregister", "--names", "time1"])
    assert "MCP servers removed: time1" in capsys.readouterr().err
    assert not any(fake.rows.values())


def test_servers_of_the_stack(stub: Stub, fake: FakeGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="no stack of this toolkit runs: make up"):
        program.main(["register", "--from-stack"])
    stack_of(stub, tmp_path, monkeypatch)
    program.main(["register", "--from-stack"])
    assert [row["name"] for row in fake.rows["gateways"]] == ["time1"]
    program.main(["unregister", "--from-stack"])
    assert not fake.rows["gateways"]


@pytest.mark.parametrize(
    "arguments", [[], ["nonsense"], ["register"], ["register", "--servers", "time1"], ["register", "--servers", "a=b"]]
)
def test_wrong_usage(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        program.main(arguments)
    assert caught.value.code == ExitCode.USAGE


def test_the_gateway_s_environment_is_read_as_the_shell_would(
    stub: Stub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = own_stack(stack_of(stub, tmp_path, monkeypatch))
    assert own is not None
    assert dict(own.mint.environment) == {"JWT_SECRET_KEY": "a b'c", "PORT": "4444"}


def checked(capsys: pytest.CaptureFixture[str], stub: Stub | None = None) -> tuple[ExitCode, str]:
    code = program.main(["check"])
    text = capsys.readouterr().out
    if stub is not None:
        text = text.replace(stub.url, "URL").replace(stub.url.replace("127.0.0.1", "localhost"), "URL")
    return code, re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "DATE", text)


def test_check_of_a_gateway_that_a_run_could_trust(
    stub: Stub, capsys: pytest.CaptureFixture[str], golden: Golden
) -> None:
    program.main(["register", "--servers", f"time1={stub.url}/mcp"])
    code, text = checked(capsys, stub)
    golden("gateway/check_ok.txt", text)
    assert code == ExitCode.OK


def test_check_of_an_empty_gateway(stub: Stub, capsys: pytest.CaptureFixture[str], golden: Golden) -> None:
    code, text = checked(capsys, stub)
    golden("gateway/check_empty.txt", text)
    assert code == ExitCode.USAGE


def test_check_where_nobody_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], golden: Golden
) -> None:
    monkeypatch.setenv("GATEWAY_URL", "http://127.0.0.1:9")
    code, text = checked(capsys)
    golden("gateway/check_nobody.txt", text)
    assert code == ExitCode.USAGE


def line(text: str, name: str) -> str:
    (found,) = [one for one in text.splitlines() if re.match(rf"\w+ +{name} ", one)]
    return found


def test_check_of_a_refused_password(
    stub: Stub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GATEWAY_PASSWORD", "wrong")
    code, text = checked(capsys, stub)
    assert code == ExitCode.USAGE
    assert line(text, "gateway").startswith("ok ")
    assert line(text, "token").startswith("wrong ")
    assert "check GATEWAY_EMAIL and GATEWAY_PASSWORD" in line(text, "token")
    assert line(text, "catalogue").endswith("not checked: see token")


def test_check_of_something_that_is_no_gateway(
    stub: Stub, fake: FakeGateway, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.special["GET", "/health"] = lambda _: Reply(404, {})
    code, text = checked(capsys, stub)
    assert code == ExitCode.USAGE
    assert line(text, "gateway").startswith("wrong ")


def test_check_of_what_the_gateway_does_not_reach(
    stub: Stub, fake: FakeGateway, capsys: pytest.CaptureFixture[str]
) -> None:
    program.main(["register", "--servers", f"time1={stub.url}/mcp"])
    fake.version["database"]["reachable"] = False
    fake.version["settings"]["cache_type"] = "redis"
    fake.rows["gateways"][0]["reachable"] = False
    code, text = checked(capsys, stub)
    assert code == ExitCode.USAGE
    assert line(text, "database").startswith("wrong ")
    assert line(text, "cache").startswith("wrong ")
    assert "is not reachable for the gateway" in line(text, "MCP servers")
    fake.rows["gateways"][0] |= {"reachable": True, "enabled": False}
    assert "is switched off" in line(checked(capsys)[1], "MCP servers")
    fake.version.clear()
    assert "does not say" in line(checked(capsys)[1], "database")
    fake.special["GET", "/v1/gateways"] = lambda _: Reply(500, {"detail": "broken"})
    assert line(checked(capsys)[1], "MCP servers").startswith("wrong ")


def test_check_of_a_gateway_that_limits(stub: Stub, fake: FakeGateway, capsys: pytest.CaptureFixture[str]) -> None:
    fake.special["GET", "/v1/version"] = lambda _: Reply(body=fake.version, headers={"X-RateLimit-Limit": "100"})
    code, text = checked(capsys, stub)
    assert code == ExitCode.USAGE
    assert "wrong    rate limiting        the gateway limits at 100/min; set RATE_LIMITING_ENABLED=false" in text


def test_check_of_the_stack_s_servers(
    stub: Stub, fake: FakeGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    state = stack_of(stub, tmp_path, monkeypatch)
    assert "is not registered: make register" in line(checked(capsys)[1], "MCP servers")
    program.main(["register", "--from-stack"])
    assert checked(capsys)[0] == ExitCode.OK
    dead = state.servers[0].model_copy(update={"counters_url": "http://127.0.0.1:9/counters"})
    object.__setattr__(state, "servers", [dead])
    assert "does not answer; make logs" in line(checked(capsys)[1], "MCP servers")


def test_check_wants_a_catalogue_that_is_long_enough(
    stub: Stub, fake: FakeGateway, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    program.main(["register", "--servers", f"time1={stub.url}/mcp"])
    fake.rows["tools"] = fake.rows["tools"][:60]
    code, text = checked(capsys, stub)
    assert code == ExitCode.USAGE
    assert "60 tools, 1 resources, 1 prompts: a case lists 100 tools" in line(text, "catalogue")
    monkeypatch.setenv("SCENARIOS", "prompts")
    assert checked(capsys)[0] == ExitCode.OK
    fake.rows["prompts"].clear()
    assert "no prompts to measure with" in line(checked(capsys)[1], "catalogue")


def test_no_command_shows_the_token_but_those_that_are_for_it(
    stub: Stub, fake: FakeGateway, capsys: pytest.CaptureFixture[str]
) -> None:
    token = make_token(5000)
    fake.tokens.add(token)
    for arguments in (
        ["login"],
        ["check"],
        ["info"],
        ["register", "--servers", f"t={stub.url}/mcp"],
        ["fixtures", "create"],
    ):
        program.main(arguments)
    output = capsys.readouterr()
    assert not any(token in output.out + output.err for token in fake.tokens)


@pytest.mark.parametrize(
    "text",
    ["\x1b]0;owned\x07", "\x1b[31mred", "\x9b31m", "a\r\nerror: forged", "\u202egnp.exe", "\ud800", "\x7f\x08\x08"],
)
def test_what_a_gateway_says_controls_no_terminal(
    stub: Stub, fake: FakeGateway, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    fake.version["app"] = {"version": text}
    fake.version["database"]["dialect"] = text
    fake.rows["gateways"] = [{"id": "1", "name": text, "url": text, "enabled": True, "reachable": True}]
    fake.special["GET", "/v1/prompts"] = lambda _: Reply(500, {"detail": text})
    program.main(["check"])
    shown = capsys.readouterr()
    assert "HTTP 500" in shown.out
    for line in (shown.out + shown.err).splitlines():
        assert line.isprintable()
        assert not line.startswith("error: forged")
    fake.special["POST", "/v1/auth/login"] = lambda _: Reply(401, {"detail": text})
    with pytest.raises(UserError) as caught:
        program.main(["token", "--renew"])
    assert str(caught.value).isprintable()
    location = text.replace("\r\n", "").encode("utf-8", "replace").decode("latin-1")
    fake.special["GET", "/health"] = lambda _: Reply(302, {}, {"Location": location})
    with pytest.raises(UserError, match="redirects to") as caught:
        program.main(["token"])
    assert str(caught.value).isprintable()
