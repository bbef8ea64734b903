"""``utils/conformance.py`` against a gateway that is a stub: what it finds, and how it says it."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest

import conformance as program
from benchkit import store
from benchkit.errors import ExitCode, UserError
from benchkit.gateway.conformance import Conclusion, Signer, check_logging, check_quiet
from benchkit.model import CaseComparison, Comparison, MetricComparison, StepComparison, VariantStudy, Verdict
from benchkit.settings import ROOT
from builders.gateway_stub import EMAIL, PASSWORD, FakeGateway, Reply, Request, Stub, serving

SECRET = "a secret that is long enough for HS512, which wants sixty-four bytes of it"
TEAM = "7b9b51dafed04f55ae60c8a20850b8b0"
RELEASE = "1.0.7"


class TeamGateway(FakeGateway):
    """Understands teams: takes tokens that are signed with the secret, and lets tests spoil what is answered to them.

    ``spoil`` gets the request and the form of the claim and may answer in its stead. Forms are ``ids``, ``objects``,
    ``no claim``, ``admin`` (a claim that is null), and ``none`` for the login's own token.
    """

    def __init__(self, spoil: Callable[[Request, str], Reply | None] | None = None) -> None:
        super().__init__(RELEASE)
        self.spoil = spoil or (lambda _request, _form: None)
        self.deleted: list[str] = []
        self.has_teams = True

    def _answer(self, request: Request) -> Reply:
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        form = "none"
        if bearer and bearer not in self.tokens:
            claims = jwt.decode(bearer, SECRET, algorithms=["HS256"], audience="mcpgateway-api", issuer="mcpgateway")
            assert claims["sub"] == EMAIL
            (team,) = claims.get("teams") or [None]
            form = (
                "objects" if isinstance(team, dict) else "ids" if team else "admin" if "teams" in claims else "no claim"
            )
            assert claims.get("is_admin", False) is (form == "admin")
            if team and (team["id"] if isinstance(team, dict) else team) != TEAM:
                return Reply(403, {"detail": "no member"})
            self.tokens.add(bearer)
            self.forms[bearer] = form
        form = self.forms.get(bearer, form)
        spoiled = self.spoil(request, form)
        return spoiled if spoiled is not None else self._teams(request)

    forms: dict[str, str] = {}  # noqa: RUF012

    def _teams(self, request: Request) -> Reply:
        path = request.path.removeprefix(self.prefix)
        if path == "/teams/":
            row = {"id": TEAM, "name": "Admin's", "is_personal": True, "created_by": EMAIL}
            return Reply(body={"teams": [row]}) if self.has_teams else Reply(404, {"detail": "Not Found"})
        if path.startswith(f"/teams/{TEAM}"):
            return Reply(body={"id": TEAM})
        kind, _, rest = path.strip("/").partition("/")
        if request.method == "POST" and kind in self.rows and not rest:
            (singular,) = set(request.body) - {"team_id", "visibility"}
            assert (request.body["team_id"], request.body["visibility"]) == (TEAM, "team")
            row = {**request.body[singular], "id": self.new_id()}
            self.rows[kind].append(row)
            return Reply(201, row)
        if request.method == "DELETE":
            self.deleted.append(kind)
            self.rows[kind] = [row for row in self.rows[kind] if row["id"] != rest]
            return Reply(body={})
        if rest and kind in self.rows and not rest.startswith("templates"):
            return Reply(body={"id": rest})
        if path == "/rpc" or request.path == "/rpc":
            return Reply(body={"jsonrpc": "2.0", "id": 1, "result": {"rows": []}})
        return super()._answer(request)


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GATEWAY_TOKEN", "PROFILE", "SCENARIOS", "PERF_SCENARIOS", "PERF_CONFIG", "JWT_ALGORITHM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GATEWAY_EMAIL", EMAIL)
    monkeypatch.setenv("GATEWAY_PASSWORD", PASSWORD)
    monkeypatch.setenv("JWT_SECRET_KEY", SECRET)
    monkeypatch.setenv("PERF_TOKEN_CACHE", str(tmp_path / "token"))
    monkeypatch.setenv("PERF_STACK_DIR", str(tmp_path / "no stack"))
    monkeypatch.setattr(program, "_METRICS_LAG_S", 0.0)


@pytest.fixture
def gateway() -> TeamGateway:
    return TeamGateway()


@pytest.fixture
def stub(gateway: TeamGateway) -> Iterator[Stub]:
    with serving(gateway) as stub:
        yield stub


def check(stub: Stub, tmp_path: Path, *flags: str) -> tuple[ExitCode, dict[str, tuple[str, str]]]:
    """The exit code, and name to conclusion and text as conformance.json has them."""
    code = program.main(["--url", stub.url, "--json", str(tmp_path / "conformance.json"), *flags])
    document = json.loads((tmp_path / "conformance.json").read_text(encoding="utf-8"))
    assert (document["base_url"], document["release"]) == (stub.url, RELEASE)
    return code, {found["name"]: (found["conclusion"], found["text"]) for found in document["findings"]}


def failures(found: dict[str, tuple[str, str]]) -> dict[str, str]:
    return {name: text for name, (conclusion, text) in found.items() if conclusion == Conclusion.FAILED}


def test_a_gateway_that_takes_both_forms_passes_and_gets_everything_back(
    stub: Stub, gateway: TeamGateway, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, found = check(stub, tmp_path)
    assert (code, failures(found)) == (ExitCode.OK, {})
    assert found["teams: GET /tools/{id}"][0] == found["teams: tools/list on /rpc"][0] == Conclusion.OK
    assert found["teams: GET /a2a"][0] == Conclusion.NOT_APPLICABLE
    assert sorted(gateway.deleted) == ["prompts", "resources", "servers", "tools"]
    assert all(rows == [] for rows in gateway.rows.values())
    output = capsys.readouterr()
    assert output.out.splitlines()[0] == f"{stub.url}: {RELEASE}"
    assert output.out.splitlines()[-1].startswith("0 failed, ")
    assert (output.err, SECRET in output.out) == ("", False)


def on(path: str, form: str, reply: Reply) -> Callable[[Request, str], Reply | None]:
    """Spoils the answers to one path and one form of the claim."""
    return lambda request, asked: reply if request.path == path and asked == form else None


@pytest.mark.parametrize(
    ("reply", "form", "words"),
    [
        (Reply(500, {"detail": "unhashable type: 'dict'"}), "objects", "HTTP 500 (unhashable type: 'dict')"),
        (Reply(503, {}), "ids", "HTTP 503"),
        (Reply(401, {"detail": "Invalid token"}), "objects", "the token is refused: HTTP 401 (Invalid token)"),
        (Reply(403, {"detail": "Access denied"}), "objects", "not answered alike: teams as ids: HTTP 200, 1 rows; "),
        (Reply(200, []), "objects", "teams as objects: HTTP 200, 0 rows"),
        (Reply(200, [], delay_s=1.0), "objects", "no answer within 0.3 s"),
        (Reply(hang_up=True), "ids", "no HTTP answer"),
    ],
)
def test_what_one_form_alone_gets_is_a_failure_with_a_name(
    stub: Stub, gateway: TeamGateway, tmp_path: Path, reply: Reply, form: str, words: str
) -> None:
    gateway.spoil = on("/v1/prompts", form, reply)
    code, found = check(stub, tmp_path, "--timeout", "0.3")
    assert code == ExitCode.REGRESSION
    assert list(failures(found)) == ["teams: GET /prompts"]
    assert words in found["teams: GET /prompts"][1]
    assert f"teams as {form}" in found["teams: GET /prompts"][1]


def test_dicts_that_fail_everywhere_are_found_everywhere(stub: Stub, gateway: TeamGateway, tmp_path: Path) -> None:
    gateway.spoil = lambda _request, form: Reply(500, {"detail": "KeyError"}) if form == "objects" else None
    code, found = check(stub, tmp_path)
    judged = {name for name, (conclusion, _) in found.items() if conclusion != Conclusion.NOT_APPLICABLE}
    assert code == ExitCode.REGRESSION
    assert set(failures(found)) == judged - {"teams: a team that is not the user's"}
    assert len(failures(found)) > 15


def test_both_forms_that_make_the_gateway_fail_alike_are_no_refusal(
    stub: Stub, gateway: TeamGateway, tmp_path: Path
) -> None:
    gateway.spoil = lambda request, form: (
        Reply(500, {}) if request.path == "/v1/prompts" and request.method == "GET" and form != "none" else None
    )
    code, found = check(stub, tmp_path)
    assert (code, failures(found)) == (ExitCode.REGRESSION, {"teams: GET /prompts": "teams as ids: HTTP 500"})


def test_a_json_rpc_error_is_no_answer(stub: Stub, gateway: TeamGateway, tmp_path: Path) -> None:
    error = Reply(body={"jsonrpc": "2.0", "id": 1, "error": {"code": -32603, "message": "Internal error"}})
    gateway.spoil = on("/rpc", "objects", error)
    _, found = check(stub, tmp_path)
    assert "JSON-RPC error -32603" in failures(found)["teams: tools/list on /rpc"]


def test_what_fails_with_any_token_says_nothing_of_teams(stub: Stub, gateway: TeamGateway, tmp_path: Path) -> None:
    gateway.spoil = lambda request, _form: Reply(500, {}) if request.path == "/v1/metrics" else None
    code, found = check(stub, tmp_path)
    assert (code, failures(found)) == (ExitCode.OK, {})
    assert found["teams: GET /metrics"] == (
        Conclusion.NOT_APPLICABLE,
        "fails without a team's token as well: HTTP 500",
    )


def prompts(answers: dict[str, Reply]) -> Callable[[Request, str], Reply | None]:
    """Answers to the listing of prompts, by the form of the claim."""
    return lambda request, form: answers.get(form) if (request.method, request.path) == ("GET", "/v1/prompts") else None


BROKEN = Reply(500, {"detail": "unhashable type: 'dict'"})
CLOSED = Reply(403, {"detail": "Access denied"})


@pytest.mark.parametrize(
    ("answers", "conclusion", "words"),
    [
        # Old releases' logins write objects themselves: the control fails as the objects do.
        (
            {"none": BROKEN, "objects": BROKEN},
            Conclusion.FAILED,
            "teams as objects: HTTP 500 (unhashable type: 'dict')",
        ),
        ({"none": BROKEN}, Conclusion.FAILED, "the ordinary token: HTTP 500 (unhashable type: 'dict'); teams as ids: "),
        (dict.fromkeys(("none", "ids", "objects"), BROKEN), Conclusion.FAILED, "without teams it does not fail"),
        (
            dict.fromkeys(("none", "ids", "objects"), BROKEN) | dict.fromkeys(("no claim", "admin"), CLOSED),
            Conclusion.FAILED,
            "without teams it does not fail",
        ),
        (
            dict.fromkeys(("none", "ids", "objects", "no claim"), BROKEN),
            Conclusion.NOT_APPLICABLE,
            "fails without a team's token as well: HTTP 500",
        ),
        (
            dict.fromkeys(("none", "ids", "objects", "admin"), BROKEN) | {"no claim": CLOSED},
            Conclusion.NOT_APPLICABLE,
            "fails without a team's token as well: HTTP 500",
        ),
        ({"none": CLOSED, "ids": CLOSED, "objects": BROKEN}, Conclusion.FAILED, "teams as objects: HTTP 500"),
        ({"none": CLOSED, "objects": CLOSED}, Conclusion.FAILED, "not answered alike: "),
        ({"none": Reply(404, {}), "ids": Reply(404, {}), "objects": BROKEN}, Conclusion.FAILED, "teams as objects: "),
        (
            dict.fromkeys(("none", "ids", "objects"), CLOSED),
            Conclusion.NOT_APPLICABLE,
            "fails without a team's token as well: HTTP 403",
        ),
    ],
)
def test_a_control_that_fails_excuses_nothing_but_what_fails_for_everybody(
    stub: Stub, gateway: TeamGateway, tmp_path: Path, answers: dict[str, Reply], conclusion: Conclusion, words: str
) -> None:
    gateway.spoil = prompts(answers)
    code, found = check(stub, tmp_path)
    assert found["teams: GET /prompts"][0] == conclusion
    assert words in found["teams: GET /prompts"][1]
    failed = conclusion is Conclusion.FAILED
    assert list(failures(found)) == (["teams: GET /prompts"] if failed else [])
    assert code == (ExitCode.REGRESSION if failed else ExitCode.OK)


def test_a_team_that_may_not_have_its_own_fails_and_one_that_may_not_see_all_does_not(
    stub: Stub, gateway: TeamGateway, tmp_path: Path
) -> None:
    closed = ("/v1/tokens", f"/v1/teams/{TEAM}")
    gateway.spoil = lambda request, form: (
        Reply(403, {"detail": "Access denied"})
        if request.path in closed and form != "none"
        else Reply(body=[])
        if request.path == closed[0]
        else None
    )
    _, found = check(stub, tmp_path)
    assert list(failures(found)) == ["teams: GET /teams/{id}"]
    assert found["teams: GET /tokens"][0] == Conclusion.NOT_APPLICABLE


def test_a_foreign_team_that_makes_the_gateway_fail(stub: Stub, gateway: TeamGateway, tmp_path: Path) -> None:
    def answer(request: Request) -> Reply:
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        middle = bearer.split(".")[1] if bearer.count(".") == 2 else ""
        claims = json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4))) if middle else {}
        return Reply(500, {}) if isinstance((claims.get("teams") or [""])[0], dict) else gateway._answer(request)

    gateway.special[("GET", "/v1/tools")] = answer
    _, found = check(stub, tmp_path)
    assert "teams: a team that is not the user's" in failures(found)


def test_a_gateway_without_teams_has_nothing_to_check(stub: Stub, gateway: TeamGateway, tmp_path: Path) -> None:
    gateway.has_teams = False
    code, found = check(stub, tmp_path)
    assert (code, set(found)) == (ExitCode.OK, {"teams", "logging: its share of the latency"})


def test_what_an_earlier_call_left_is_removed_and_what_others_made_stays(
    stub: Stub, gateway: TeamGateway, tmp_path: Path
) -> None:
    mark = "Made by the conformance checks of the MCP Gateway benchmark toolkit; safe to delete."
    gateway.rows["prompts"] = [
        {"id": "old", "name": "perf-conformance", "description": mark},
        {"id": "theirs", "name": "perf-conformance", "description": "mine"},
    ]
    check(stub, tmp_path)
    assert [row["id"] for row in gateway.rows["prompts"]] == ["theirs"]


def test_what_cannot_be_made_is_said_and_what_cannot_be_removed_is_a_warning(
    stub: Stub, gateway: TeamGateway, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def spoil(request: Request, _form: str) -> Reply | None:
        if (request.method, request.path) == ("POST", "/v1/tools"):
            return Reply(422, {"detail": "no"})
        return Reply(401, {"detail": "not you"}) if request.method == "DELETE" else None

    gateway.spoil = spoil
    code, found = check(stub, tmp_path)
    assert code == ExitCode.OK
    assert found["teams: tools of a team"] == (
        Conclusion.NOT_APPLICABLE,
        "the team cannot have any here: HTTP 422 no",
    )
    warnings = capsys.readouterr().err.splitlines()
    assert len(warnings) == 3
    assert all(line.startswith("warning: ") and "removing perf-conformance from the" in line for line in warnings)


def test_without_the_secret_it_says_what_to_set(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JWT_SECRET_KEY")
    with pytest.raises(UserError, match=r"set JWT_SECRET_KEY to this gateway's secret$"):
        program.main(["--url", stub.url])


def test_another_secret_is_refused_everywhere_and_that_has_its_name(
    stub: Stub, gateway: TeamGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JWT_SECRET_KEY", SECRET[::-1])

    def answer(request: Request) -> Reply:
        try:
            return TeamGateway._answer(gateway, request)
        except jwt.InvalidSignatureError:
            return Reply(401, {"detail": "Invalid signature"})

    monkeypatch.setattr(gateway, "_answer", answer)
    code, found = check(stub, tmp_path)
    assert code == ExitCode.REGRESSION
    assert "the token is refused: HTTP 401 (Invalid signature)" in failures(found)["teams: GET /tools"]


@pytest.mark.parametrize("algorithm", ["RS256", "none"])
def test_a_key_pair_cannot_be_checked(algorithm: str) -> None:
    with pytest.raises(UserError, match=f"JWT_ALGORITHM={algorithm}"):
        Signer.of({"JWT_SECRET_KEY": SECRET, "JWT_ALGORITHM": algorithm})


def test_a_token_says_what_the_gateway_was_told_to_demand() -> None:
    signer = Signer.of({"JWT_SECRET_KEY": SECRET, "JWT_ISSUER": "me", "JWT_AUDIENCE": "you", "JWT_ALGORITHM": "HS512"})
    assert signer is not None
    claims = jwt.decode(
        signer.token("a@b", {"teams": [TEAM]}), SECRET, algorithms=["HS512"], audience="you", issuer="me"
    )
    assert (claims["sub"], claims["teams"]) == ("a@b", [TEAM])
    # A short secret is the gateway's to judge: here it is no warning, which this suite takes for an error.
    assert Signer("short").token("a@b", {}).count(".") == 2
    assert 0 < claims["exp"] - time.time() <= 600
    assert SECRET not in repr(signer)


def test_an_open_gateway_has_no_claims_to_check(stub: Stub, gateway: TeamGateway) -> None:
    gateway.is_open = True
    with pytest.raises(UserError, match="answers without a token"):
        program.main(["--url", stub.url])


@pytest.mark.parametrize(
    ("measured", "limit", "conclusion"),
    [
        (None, 5.0, Conclusion.NOT_APPLICABLE),
        (4.9, 5.0, Conclusion.OK),
        (5.0, 5.0, Conclusion.OK),
        (5.1, 5.0, Conclusion.FAILED),
        (-2.0, 5.0, Conclusion.OK),
        (40.0, 50.0, Conclusion.OK),
    ],
)
def test_logging_has_a_limit(measured: float | None, limit: float, conclusion: Conclusion) -> None:
    assert check_logging(measured, limit).conclusion == conclusion


def tuned(directory: Path, head: str, interval: tuple[float, float]) -> Path:
    """What ``make tune`` leaves of one setting."""
    compared = MetricComparison(verdict=Verdict.REGRESSION, change_percent=sum(interval) / 2, interval=interval)
    comparison = Comparison(
        run_id="tune/head", mode="paired", verdict=Verdict.REGRESSION, reason="", exit_code=1, cases=[],
        suite={"p50_latency": compared},
    )  # fmt: skip
    steps = [StepComparison(base="base", head=head, comparison=comparison)]
    document = VariantStudy(kind="tune", run_id="tune", machine="", load="", variants=[], steps=steps)
    directory.mkdir(exist_ok=True)
    store.save(directory / "tune.json", document)
    return directory


def test_what_logging_was_measured_to_cost_has_a_limit(stub: Stub, tmp_path: Path) -> None:
    code, found = check(stub, tmp_path, "--tune", str(tuned(tmp_path / "a", "log_level_info", (-20.0, -12.0))))
    assert code == ExitCode.REGRESSION
    assert failures(found) == {
        "logging: its share of the latency": "costs at least 12.0 % of the median latency, the limit is 5 %"
    }
    code, found = check(stub, tmp_path, "--tune", str(tuned(tmp_path / "b", "log_level_info", (-20.0, 3.0))))
    assert (code, failures(found)) == (ExitCode.OK, {})


def test_a_measurement_of_one_case_has_that_case_for_its_mean(stub: Stub, tmp_path: Path) -> None:
    place = tuned(tmp_path / "one", "log_level_info", (-20.0, -12.0))
    document = store.load(place / "tune.json", VariantStudy, "measurement of settings")
    (step,) = document.steps
    metric = step.comparison.suite["p50_latency"]

    def measured(*names: str) -> Path:
        cases = [CaseComparison(id=name, verdict=metric.verdict, metrics={"p50_latency": metric}) for name in names]
        comparison = step.comparison.model_copy(update={"suite": {}, "cases": cases})
        steps = [step.model_copy(update={"comparison": comparison})]
        store.save(place / "tune.json", document.model_copy(update={"steps": steps}))
        return place

    code, found = check(stub, tmp_path, "--tune", str(measured("tools/list")))
    assert code == ExitCode.REGRESSION
    assert "costs at least 12.0 %" in failures(found)["logging: its share of the latency"]
    # Of two cases without a mean neither stands for both.
    with pytest.raises(UserError, match="does not hold what log_level_info"):
        program.main(["--url", stub.url, "--tune", str(measured("tools/list", "tools/call"))])


def test_what_logging_costs_was_not_measured(stub: Stub, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not hold what log_level_info of paired"):
        check(stub, tmp_path, "--tune", str(tuned(tmp_path / "c", "another", (-20.0, -12.0))))


@pytest.mark.parametrize(
    ("level", "bytes_each", "conclusion"),
    [
        ("ERROR", 0, Conclusion.OK),
        ("ERROR", 100, Conclusion.FAILED),
        ("critical", 100, Conclusion.FAILED),
        ("INFO", 100, Conclusion.NOT_APPLICABLE),
    ],
)
def test_a_gateway_that_logs_each_request_is_not_silent(
    stub: Stub, gateway: TeamGateway, level: str, bytes_each: int, conclusion: Conclusion
) -> None:
    from benchkit.gateway.client import Gateway

    gateway.is_open = True
    found = Gateway.find(stub.url)
    assert check_quiet(found, "", lambda: bytes_each * len(stub.requests), level).conclusion == conclusion


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_nothing_behind(tmp_path: Path, number: signal.Signals) -> None:
    slow = TeamGateway(
        lambda request, form: Reply(body=[], delay_s=0.2) if form == "ids" and request.path == "/v1/tags" else None
    )
    with serving(slow) as stub:
        command = [sys.executable, str(ROOT / "utils" / "conformance.py"), "--url", stub.url]
        environ = {**os.environ, "PERF_TOKEN_CACHE": str(tmp_path / "kept")}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ) as child:
            assert child.stdout is not None
            for line in child.stdout:
                if "teams: GET /tools" in line:
                    child.send_signal(number)
                    break
            child.stdout.read()
            assert child.wait(timeout=20) == 128 + number
        assert sorted(slow.deleted) == ["prompts", "resources", "servers", "tools"]


def test_flags_that_make_no_sense(capsys: pytest.CaptureFixture[str]) -> None:
    for value in ("0", "-1", "nan", "inf", "ten"):
        with pytest.raises(SystemExit):
            program.main(["--timeout", value])
        assert "must be a number above 0" in capsys.readouterr().err


def any_reply(_: Any) -> Reply:
    return Reply(404, {"detail": "Not Found"})


def test_no_gateway_is_no_finding() -> None:
    with serving(any_reply) as stub, pytest.raises(UserError, match="no MCP Gateway"):
        program.main(["--url", stub.url])
