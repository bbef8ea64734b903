"""Regression checks for fixed bugs of the gateway. They need no load and work with any release from 0.7.0 on.

They cover two fixed bugs. First, a token's ``teams`` claim contains ids (``["a1"]``), or objects as in tokens from the
login of old releases (``[{"id": "a1", "name": "…"}]``); the second form was not understood everywhere that teams decide
about visibility. Second, logging took a large part of each request's time.

The team checks send each team-scoped request with three tokens: the ordinary token as a control, a team's token with
ids in the claim, and one with objects. Both forms must get the same answer. The control token may itself contain
objects, because the login of old releases writes them. So if the gateway fails with the control, two more tokens that
name no team show whether it fails for everyone. The checks create what a team can own, with names that begin with
``perf-conformance``, and remove it afterwards.
"""

from __future__ import annotations

import time
import uuid
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal
from urllib.parse import quote

import jwt

from benchkit.errors import UserError
from benchkit.gateway.client import Answer, Gateway
from benchkit.gateway.tokens import read_claims
from benchkit.model import Model

TIMEOUT_S = 10.0
"""Timeout of one request in seconds; a gateway without load answers within milliseconds."""

_MARK = "Made by the conformance checks of the MCP Gateway benchmark toolkit; safe to delete."
_NAME = "perf-conformance"
_URI = "perf://conformance/text"
_NOBODYS_TEAM = "0" * 32
_ABSENT = frozenset({404, 405, 501})
_TOKEN_MINUTES = 10
_QUIET_REQUESTS = 20


class Conclusion(StrEnum):
    """The result of a check. Only ``FAILED`` is a failure."""

    OK = "ok"
    FAILED = "failed"
    NOT_APPLICABLE = "not applicable"


class Finding(Model):
    """One check: its name, its conclusion, and the reason."""

    name: str
    conclusion: Conclusion
    text: str


class Conformance(Model):
    """``conformance.json``: all checks of one gateway."""

    schema_version: Literal[1] = 1
    base_url: str
    release: str | None
    findings: list[Finding]


# ---------------------------------------------------------------------------------------------------------------------
# Tokens


@dataclass(frozen=True)
class Signer:
    """Creates tokens that a gateway accepts: its secret, and the claims that it requires (its own defaults)."""

    secret: str = field(repr=False)
    algorithm: str = "HS256"
    issuer: str = "mcpgateway"
    audience: str = "mcpgateway-api"

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Signer | None:
        """Read the gateway's own variables; ``None`` if they contain no secret.

        Raises:
            UserError: it signs with a key pair.
        """
        secret = environment.get("JWT_SECRET_KEY", "")
        algorithm = environment.get("JWT_ALGORITHM") or cls.algorithm
        if not secret:
            return None
        if algorithm not in ("HS256", "HS384", "HS512"):
            raise UserError(f"JWT_ALGORITHM={algorithm}: only gateways that sign with a secret (HS256) can be checked")
        return cls(
            secret,
            algorithm,
            environment.get("JWT_ISSUER") or cls.issuer,
            environment.get("JWT_AUDIENCE") or cls.audience,
        )

    def token(self, email: str, claims: Mapping[str, Any]) -> str:
        """Return a token (RFC 7519) of a user with further claims, valid for ten minutes."""
        now = int(time.time())
        all_claims = {
            "sub": email,
            "iss": self.issuer,
            "aud": self.audience,
            "iat": now,
            "exp": now + 60 * _TOKEN_MINUTES,
            "jti": str(uuid.uuid4()),
            **claims,
        }
        with warnings.catch_warnings():
            # A short secret is the gateway's concern, which was started with it.
            warnings.simplefilter("ignore")
            return jwt.encode(all_claims, self.secret, algorithm=self.algorithm)


@dataclass(frozen=True)
class User:
    """The owner of the team: the email address for the tokens' subject, and an ordinary token."""

    email: str
    token: str = field(repr=False)


@dataclass(frozen=True)
class Team:
    """A team of the user: its id, and the object that the login of old releases writes into the claim."""

    id: str
    claim: Mapping[str, Any]

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Team:
        """Create from the gateway's answer."""
        known = {name: row[name] for name in ("id", "name", "slug", "is_personal") if name in row}
        return cls(str(row["id"]), {**known, "role": "owner"})


FORMS: tuple[tuple[str, Callable[[Team], list[Any]]], ...] = (
    ("teams as ids", lambda team: [team.id]),
    ("teams as objects", lambda team: [dict(team.claim)]),
)
"""The two forms of the claim, by name."""

_WITHOUT_TEAMS: tuple[Mapping[str, Any], ...] = ({}, {"teams": None, "is_admin": True})
"""Claims of tokens without a team restriction: one without the claim, and an administrator's."""


# ---------------------------------------------------------------------------------------------------------------------
# Endpoints


@dataclass(frozen=True)
class Endpoint:
    """A team-scoped request. ``owned``: it requests what the team owns, so the team must get it."""

    name: str
    method: str
    path: str
    body: Any = None
    owned: bool = False


_LISTS = ("tools", "resources", "prompts", "servers", "gateways", "a2a", "roots", "tags", "tokens", "metrics")
_RPC = ("tools/list", "resources/list", "prompts/list", "resources/templates/list")


def endpoints(gateway: Gateway, team: Team, owned: Mapping[str, str]) -> list[Endpoint]:
    """Return all team-scoped requests that change nothing; ``owned``: id of the team's own entity by kind."""
    prefix = gateway.prefix
    found = [Endpoint(f"GET /{kind}", "GET", f"{prefix}/{kind}") for kind in _LISTS]
    found += [
        Endpoint("GET /resources/templates/list", "GET", f"{prefix}/resources/templates/list"),
        Endpoint("GET /tools?team_id", "GET", f"{prefix}/tools?team_id={_quoted(team.id)}"),
        Endpoint("GET /teams/", "GET", f"{prefix}/teams/"),
        Endpoint("GET /teams/{id}", "GET", f"{prefix}/teams/{_quoted(team.id)}", owned=True),
        Endpoint("GET /teams/{id}/members", "GET", f"{prefix}/teams/{_quoted(team.id)}/members"),
        Endpoint("GET /tokens/teams/{id}", "GET", f"{prefix}/tokens/teams/{_quoted(team.id)}"),
    ]
    found += [Endpoint(f"{method} on /rpc", "POST", "/rpc", _call(method)) for method in _RPC]
    if identity := owned.get("tools"):
        found.append(Endpoint("GET /tools/{id}", "GET", f"{prefix}/tools/{_quoted(identity)}", owned=True))
    if identity := owned.get("resources"):
        found.append(Endpoint("GET /resources/{id}", "GET", f"{prefix}/resources/{_quoted(identity)}", owned=True))
        found.append(
            Endpoint("resources/read on /rpc", "POST", "/rpc", _call("resources/read", {"uri": _URI}), owned=True)
        )
    if identity := owned.get("prompts"):
        path = f"{prefix}/prompts/{_quoted(identity)}"
        found.append(Endpoint("GET /prompts/{id}", "GET", path, owned=True))
        found.append(Endpoint("POST /prompts/{id}", "POST", path, {}, owned=True))
    if identity := owned.get("servers"):
        path = f"{prefix}/servers/{_quoted(identity)}"
        found.append(Endpoint("GET /servers/{id}", "GET", path, owned=True))
        found += [
            Endpoint(f"GET /servers/{{id}}/{kind}", "GET", f"{path}/{kind}", owned=True)
            for kind in ("tools", "resources", "prompts")
        ]
    return found


def _call(method: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": dict(params or {})}


# ---------------------------------------------------------------------------------------------------------------------
# Answers


@dataclass(frozen=True)
class _Seen:
    """The parts of an answer that are compared: its status, its description, and the number of its rows."""

    status: int | None
    words: str
    rows: int | None = None

    @property
    def ok(self) -> bool:
        """Whether the request succeeded."""
        return self.status is not None and 200 <= self.status < 300 and not self.words.startswith("JSON-RPC error")

    @property
    def failing(self) -> bool:
        """Whether the gateway itself failed, or did not answer."""
        return self.status is None or self.status >= 500


def _ask(gateway: Gateway, endpoint: Endpoint, token: str, timeout_s: float) -> _Seen:
    """Send the request with this token; a missing answer is a result too."""
    gateway.authorize(token)
    try:
        answer = gateway.call(endpoint.method, endpoint.path, body=endpoint.body, timeout_s=timeout_s)
    except UserError as error:
        return _Seen(None, str(error).removeprefix(f"{gateway.base_url}: "))
    return _read(answer)


def _read(answer: Answer) -> _Seen:
    data = answer.json()
    if answer.ok and isinstance(data, dict) and data.get("jsonrpc") and data.get("error"):
        error = data["error"]
        return _Seen(answer.status, f"JSON-RPC error {error.get('code') if isinstance(error, dict) else error}")
    if answer.ok and isinstance(data, dict) and isinstance(data.get("result"), dict):
        data = data["result"]
    lists = [data] if isinstance(data, list) else [*data.values()] if isinstance(data, dict) else []
    rows = [len(value) for value in lists if isinstance(value, list)]
    reason = f" ({answer.reason})" if answer.reason and not answer.ok else ""
    shown = f", {rows[0]} rows" if answer.ok and rows else ""
    return _Seen(answer.status, f"HTTP {answer.status}{reason}{shown}", rows[0] if rows else None)


def judge(
    endpoint: Endpoint, control: _Seen, answers: Mapping[str, _Seen], without_teams: Callable[[], Iterable[_Seen]]
) -> Finding:
    """Judge an endpoint by its answers.

    Args:
        endpoint: the request.
        control: the answer for the ordinary token.
        answers: the answer for each form of the claim (as in :data:`FORMS`).
        without_teams: sends the request with tokens that name no team; called only if the others are inconclusive.
    """
    conclusion, text = _conclusion(endpoint, control, answers, without_teams)
    return Finding(name=f"teams: {endpoint.name}", conclusion=conclusion, text=text)


def _conclusion(
    endpoint: Endpoint, control: _Seen, answers: Mapping[str, _Seen], without_teams: Callable[[], Iterable[_Seen]]
) -> tuple[Conclusion, str]:
    # First, because a failure with only one of the tokens is caused by its claim.
    if broken := _broken(answers, control) or _unlike(answers):
        return Conclusion.FAILED, broken
    if control.status in _ABSENT and not endpoint.owned:
        return Conclusion.NOT_APPLICABLE, f"this release does not have it ({control.words})"
    # The ordinary token may itself name teams; then it is no control for failures of the gateway.
    if control.failing and not any(seen.failing for seen in without_teams()):
        return (
            Conclusion.FAILED,
            f"the ordinary token: {control.words}; {_said(answers)}; without teams it does not fail",
        )
    if not control.ok:
        return Conclusion.NOT_APPLICABLE, f"fails without a team's token as well: {control.words}"
    return _alike(endpoint, answers)


def _alike(endpoint: Endpoint, answers: Mapping[str, _Seen]) -> tuple[Conclusion, str]:
    """Judge answers that are the same for both forms, if the ordinary token is not refused."""
    said = _said(answers)
    if all(answer.ok for answer in answers.values()):
        return Conclusion.OK, said
    if endpoint.owned:
        return Conclusion.FAILED, f"the team has no access to its own entity: {said}"
    return Conclusion.NOT_APPLICABLE, f"refused for every token of a team: {said}"


def _said(answers: Mapping[str, _Seen]) -> str:
    return "; ".join(f"{form}: {answer.words}" for form, answer in answers.items())


def _broken(answers: Mapping[str, _Seen], control: _Seen) -> str:
    """Return the first form whose token makes the gateway fail, or is rejected, while another one is not."""
    everywhere = all(seen.failing for seen in (control, *answers.values()))
    for form, answer in answers.items():
        if answer.failing and not everywhere:
            return f"{form}: {answer.words}"
        if answer.status == 401 and control.status != 401:
            return f"{form}: the token is refused: {answer.words}"
    return ""


def _unlike(answers: Mapping[str, _Seen]) -> str:
    alike = len({(answer.status, answer.ok, answer.rows) for answer in answers.values()}) == 1
    return "" if alike else f"not answered alike: {_said(answers)}"


# ---------------------------------------------------------------------------------------------------------------------
# The checks


def check_teams(
    gateway: Gateway,
    user: User,
    signer: Signer,
    warn: Callable[[str], None],
    *,
    timeout_s: float = TIMEOUT_S,
    lag_s: float = 0.0,
) -> Iterator[Finding]:
    """Yield a finding for each team-scoped endpoint.

    Args:
        gateway: the gateway to check.
        user: owner of the team whose tokens are tried.
        signer: creates these tokens.
        warn: receives a line about anything that could not be removed from the gateway.
        timeout_s: timeout of one request.
        lag_s: maximum time until the gateway writes its own metrics. Created entities are removed only then: 1.0.7
            loses all unwritten metrics of prompts when one of the prompts is deleted.

    Raises:
        UserError: the gateway does not answer with the ordinary token.
    """

    def ask(endpoint: Endpoint, team: Team) -> dict[str, _Seen]:
        return {
            form: _ask(gateway, endpoint, signer.token(user.email, {"teams": claim(team)}), timeout_s)
            for form, claim in FORMS
        }

    def judged(endpoint: Endpoint, team: Team) -> Finding:
        control = _ask(gateway, endpoint, user.token, timeout_s)
        return judge(
            endpoint,
            control,
            ask(endpoint, team),
            lambda: (_ask(gateway, endpoint, signer.token(user.email, one), timeout_s) for one in _WITHOUT_TEAMS),
        )

    with _team(gateway, user.token, user.email, warn) as team:
        if team is None:
            yield Finding(
                name="teams",
                conclusion=Conclusion.NOT_APPLICABLE,
                text="this release has no teams, or this user may not have one",
            )
            return
        with _owned(gateway, user.token, team, lag_s, warn) as (owned, problems):
            for endpoint in endpoints(gateway, team, owned):
                yield judged(endpoint, team)
        for kind, problem in problems.items():
            yield Finding(
                name=f"teams: {kind} of a team",
                conclusion=Conclusion.NOT_APPLICABLE,
                text=f"the team cannot have any here: {problem}",
            )
    foreign = Endpoint("a team that is not the user's", "GET", f"{gateway.prefix}/tools")
    yield _judge_foreign(foreign, ask(foreign, Team.of({"id": _NOBODYS_TEAM, "name": "Nobody's"})))


def _judge_foreign(endpoint: Endpoint, answers: Mapping[str, _Seen]) -> Finding:
    """Judge a foreign team: refused, or ignored (0.7), but the same for both forms, and no gateway failure."""
    failing = any(answer.failing for answer in answers.values())
    unlike = _unlike(answers)
    return Finding(
        name=f"teams: {endpoint.name}",
        conclusion=Conclusion.FAILED if failing or unlike else Conclusion.OK,
        text=unlike or _said(answers),
    )


def check_logging(measured_percent: float | None, limit_percent: float) -> Finding:
    """Check that the measured share of logging in the median latency does not exceed its limit."""
    name = "logging: its share of the latency"
    if measured_percent is None:
        return Finding(name=name, conclusion=Conclusion.NOT_APPLICABLE, text="not measured: make tune measures it")
    conclusion = Conclusion.OK if measured_percent <= limit_percent else Conclusion.FAILED
    text = f"costs at least {measured_percent:.1f} % of the median latency, the limit is {limit_percent:g} %"
    return Finding(name=name, conclusion=conclusion, text=text)


def check_quiet(gateway: Gateway, token: str, log_bytes: Callable[[], int], log_level: str) -> Finding:
    """Check that successful requests log nothing at ``LOG_LEVEL=ERROR``. ``log_bytes`` returns the log's size.

    Raises:
        UserError: the gateway does not answer.
    """
    name = "logging: silent at LOG_LEVEL=ERROR"
    if log_level.upper() not in ("ERROR", "CRITICAL"):
        return Finding(
            name=name, conclusion=Conclusion.NOT_APPLICABLE, text=f"the gateway runs with LOG_LEVEL={log_level}"
        )
    gateway.authorize(token)
    before = log_bytes()
    succeeded = sum(gateway.call("GET", f"{gateway.prefix}/tools?limit=1").ok for _ in range(_QUIET_REQUESTS))
    written = log_bytes() - before
    text = f"{succeeded} requests that succeeded wrote {written} bytes into the log"
    # At least a short line per request; a single message of a background task does not count.
    loud = succeeded > 0 and written >= 20 * succeeded
    return Finding(name=name, conclusion=Conclusion.FAILED if loud else Conclusion.OK, text=text)


# ---------------------------------------------------------------------------------------------------------------------
# Entities created on the gateway


@contextmanager
def _team(gateway: Gateway, token: str, email: str, warn: Callable[[str], None]) -> Iterator[Team | None]:
    """Yield the user's personal team; if there is none, create a team for the checks and remove it afterwards."""
    gateway.authorize(token)
    personal = _personal_team(gateway, token, email)
    if personal is not None:
        yield personal
        return
    body = {"name": _NAME, "description": _MARK, "visibility": "private"}
    answer = gateway.call("POST", f"{gateway.prefix}/teams/", body=body)
    row = answer.json()
    if not answer.ok or not isinstance(row, dict) or "id" not in row:
        yield None
        return
    try:
        yield Team.of(row)
    finally:
        gateway.authorize(token)
        _delete(gateway, "teams", [str(row["id"])], warn)


def _personal_team(gateway: Gateway, token: str, email: str) -> Team | None:
    """Return the team in the ordinary token's claim (logins before 1.0 write it as objects), else from the listing."""
    rows = _rows(gateway, "teams/?limit=50", "teams")
    for row in [*_claimed_teams(token), *(row for row in rows if row.get("created_by") == email)]:
        if row.get("id") and row.get("is_personal"):
            return Team.of(row)
    return None


def _claimed_teams(token: str) -> list[dict[str, Any]]:
    teams = read_claims(token).get("teams")  # The gateway verifies it; here it is only read.
    return [team for team in teams if isinstance(team, dict)] if isinstance(teams, list) else []


@contextmanager
def _owned(
    gateway: Gateway, token: str, team: Team, lag_s: float, warn: Callable[[str], None]
) -> Iterator[tuple[dict[str, str], dict[str, str]]]:
    """Create a virtual server, prompt, resource and tool of the team; yield their ids and the failures by kind."""
    gateway.authorize(token)
    owned: dict[str, str] = {}
    made: dict[str, list[str]] = {}
    problems: dict[str, str] = {}
    try:
        for kind, (singular, body) in _bodies(gateway).items():
            _remove_leftovers(gateway, kind, warn)
            wrapped = {singular: {**body, "description": _MARK}, "team_id": team.id, "visibility": "team"}
            answer = gateway.call("POST", f"{gateway.prefix}/{kind}", body=wrapped)
            row = answer.json()
            if answer.ok and isinstance(row, dict) and "id" in row:
                made[kind] = _identities(row)
                owned[kind] = _reachable(gateway, kind, made[kind])
            else:
                problems[kind] = f"HTTP {answer.status} {answer.reason}".rstrip()
        yield owned, problems
        time.sleep(lag_s if made.keys() & {"prompts", "resources"} else 0)
    finally:
        gateway.authorize(token)
        for kind, identities in made.items():
            _delete(gateway, kind, identities, warn)


def _bodies(gateway: Gateway) -> dict[str, tuple[str, dict[str, Any]]]:
    """Return by kind the key of the request body, and the body."""
    return {
        "servers": ("server", {"name": _NAME}),
        "prompts": ("prompt", {"name": _NAME, "template": "Conformance", "arguments": []}),
        "resources": ("resource", {"uri": _URI, "name": _NAME, "mime_type": "text/plain", "content": "conformance"}),
        "tools": (
            "tool",
            {
                "name": _NAME,
                "url": f"{gateway.base_url}/health",
                "integration_type": "REST",
                "request_type": "GET",
                "input_schema": {"type": "object", "properties": {}},
            },
        ),
    }


def _identities(row: Mapping[str, Any]) -> list[str]:
    """Return the keys that may identify a row: its id; in 0.7 a resource's URI and a prompt's name."""
    return [str(row[name]) for name in ("id", "uri", "name") if row.get(name)]


def _reachable(gateway: Gateway, kind: str, identities: list[str]) -> str:
    """Return the first that the gateway accepts; the id if it accepts none."""
    for identity in identities:
        if gateway.call("GET", f"{gateway.prefix}/{kind}/{_quoted(identity)}").ok:
            return identity
    return identities[0]


def _remove_leftovers(gateway: Gateway, kind: str, warn: Callable[[str], None]) -> None:
    """Remove leftovers of an earlier run that was killed, by the mark in their description."""
    for row in _rows(gateway, f"{kind}?limit=500", kind):
        if row.get("description") == _MARK and row.get("id"):
            _delete(gateway, kind, _identities(row), warn)


def _delete(gateway: Gateway, kind: str, identities: list[str], warn: Callable[[str], None]) -> None:
    for identity in identities:
        answer = gateway.call("DELETE", f"{gateway.prefix}/{kind}/{_quoted(identity)}")
        if answer.ok:
            return
        if answer.status not in (404, 422):
            warn(f"{gateway.error(answer, f'removing {_NAME} from the {kind}')}")
            return


def _rows(gateway: Gateway, path: str, key: str) -> list[dict[str, Any]]:
    """Return the rows of a listing; empty if it is refused."""
    answer = gateway.call("GET", f"{gateway.prefix}/{path}")
    data = answer.json()
    rows = data.get(key) if isinstance(data, dict) else data
    return [row for row in rows if isinstance(row, dict)] if answer.ok and isinstance(rows, list) else []


def _quoted(identity: str) -> str:
    return quote(identity, safe="")
