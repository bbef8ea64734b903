"""From credentials to a token that is valid when it is needed."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchkit.errors import UserError, os_reason
from benchkit.gateway.client import Answer, Gateway
from benchkit.gateway.tokens import Token, TokenCache, read_token

_LOGINS = ("/v1/auth/login", "/auth/login", "/auth/email/login")
"""Tried in this order. 0.7.0 fails at ``/auth/login`` for everybody (HTTP 500), 0.9.0 at ``/auth/email/login``."""

_MARGIN_S = 30.0
"""Seconds that a token must last beyond the time that it is needed for: clocks differ."""

_MINT_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Credentials:
    """The e-mail address and password of a login. ``source`` names for errors where they are set."""

    email: str
    password: str = field(repr=False)
    source: str = "GATEWAY_EMAIL and GATEWAY_PASSWORD"


@dataclass(frozen=True)
class Mint:
    """A gateway of this toolkit's own, whose secret is known: its interpreter, and the environment it runs with."""

    python: Path
    environment: Mapping[str, str] = field(repr=False)


def log_in(gateway: Gateway, credentials: Credentials) -> Token:
    """A token for a user and a password.

    Raises:
        UserError: the password is wrong, the account is locked, logins are limited, or no login answers with a token.
    """
    failures: list[str] = []
    body = {"email": credentials.email, "password": credentials.password}
    for path in _LOGINS:
        answer = gateway.call("POST", path, body=body, authenticated=False, secrets=(credentials.password,))
        data = answer.json()
        text = data.get("access_token") if isinstance(data, dict) else None
        if answer.ok and isinstance(text, str) and text:
            return read_token(text, f"{gateway.base_url}{path}")
        if answer.status not in (404, 405) and not answer.ok and answer.status < 500:
            raise _refusal(gateway, credentials, path, answer)
        if answer.status not in (404, 405):
            failures.append(
                f"{path}: HTTP {answer.status}{f' {answer.reason}' if answer.reason else ' without a token'}"
            )
    raise UserError(
        f"{gateway.base_url}: no login gives a token ({'; '.join(failures) or 'there is none'}): check "
        f"{credentials.source} (releases before 1.0 answer a wrong password with HTTP 500), or set GATEWAY_TOKEN"
    )


def _refusal(gateway: Gateway, credentials: Credentials, path: str, answer: Answer) -> UserError:
    where = f"{gateway.base_url}: the login of {credentials.email} was refused (POST {path}: HTTP {answer.status}"
    where += f", {answer.reason})" if answer.reason else ")"
    reason = answer.reason.lower()
    if answer.status == 423 or "locked" in reason:
        return UserError(f"{where}: the account is locked; wait until it is open again, or unlock it on the gateway")
    if answer.status == 429:
        return UserError(
            f"{where}: logins are limited; wait {answer.retry_after}, or set RATE_LIMITING_ENABLED=false on the gateway"
        )
    if answer.status == 403 and "password change" in reason:
        return UserError(
            f"{where}: change the password on the gateway first, or set PASSWORD_CHANGE_ENFORCEMENT_ENABLED=false there"
        )
    if answer.status in (300, 301, 302, 303, 307, 308):
        return UserError(f"{where}: it redirects; set GATEWAY_URL to the address where the gateway itself answers")
    return UserError(f"{where}: check {credentials.source}")


def mint_token(mint: Mint, email: str, minutes: int) -> Token:
    """A token that the gateway's own code makes with the gateway's own secret; every release since 0.7.0 has it.

    The secret goes through the environment, so that it stands in no argument list. The working directory is an empty
    one, for the gateway's code reads ``.env`` there.

    Raises:
        UserError: it failed.
    """
    command = [str(mint.python), "-m", "mcpgateway.utils.create_jwt_token", "-u", email, "-e", str(minutes)]
    try:
        with tempfile.TemporaryDirectory() as empty:
            done = subprocess.run(
                command,
                cwd=empty,
                env=dict(mint.environment),
                capture_output=True,
                text=True,
                timeout=_MINT_TIMEOUT_S,
                check=False,
            )
    except subprocess.TimeoutExpired as error:
        raise UserError(f"{mint.python}: making a token took more than {_MINT_TIMEOUT_S:g} s") from error
    except OSError as error:
        raise UserError(f"{mint.python}: cannot be started to make a token: {os_reason(error)}") from error
    lines = done.stdout.split()
    if done.returncode != 0 or not lines:
        # What it printed may hold the secret, so it is not repeated here.
        raise UserError(f"{mint.python}: mcpgateway.utils.create_jwt_token failed (exit {done.returncode}): make setup")
    return read_token(lines[-1], str(mint.python))


@dataclass(frozen=True)
class Access:
    """All ways to a token.

    ``given`` is a token of the user's own, used as it is (empty: none). ``mint`` makes one where the gateway is the
    toolkit's own. ``wanted`` is false where the user says that this gateway takes none.
    """

    credentials: Credentials
    cache: Path
    given: str = field(default="", repr=False)
    mint: Mint | None = None
    wanted: bool = True


class Session:
    """Keeps a gateway supplied with a valid token: given, kept, by login, or minted; renewed when it is due.

    Args:
        gateway: gets each new token (:meth:`Gateway.authorize`).
        access: the ways to a token.
    """

    def __init__(self, gateway: Gateway, access: Access) -> None:
        self._gateway = gateway
        self._access = access
        self._cache = TokenCache(access.cache, f"{gateway.base_url} {access.credentials.email}")
        self._given = read_token(access.given, "GATEWAY_TOKEN") if access.given else None
        self._token: Token | None = None

    @property
    def needed(self) -> bool:
        """Do requests carry a token? They do not where the gateway is open."""
        return self._given is not None or (self._access.wanted and not self._gateway.is_open)

    def renewed_for(self, seconds: float) -> str:
        """A token that is valid and lasts so many seconds; empty where the gateway takes none.

        A login's token lives as long as the gateway lets it (1.x: 20 minutes). When even a new one does not last, the
        toolkit's own gateway gets one that does; another gateway's newest one is answered.

        Raises:
            UserError: a given token expired, or there is no way to a token.
        """
        if not self.needed:
            return ""
        given = self._given
        # At the toolkit's own gateway, GATEWAY_TOKEN is one that `make env` put into a shell some time ago.
        if given is not None and (self._access.mint is None or given.lasts(seconds + _MARGIN_S)):
            if not given.lasts(0):
                raise UserError("GATEWAY_TOKEN has expired; unset it to log in with GATEWAY_EMAIL and GATEWAY_PASSWORD")
            return self._use(given)
        token = self._token or self._cache.read()
        if token is None or not token.lasts(seconds + _MARGIN_S):
            token = self._new(seconds + _MARGIN_S)
            self._cache.write(token)
        return self._use(token)

    def renew(self) -> str:
        """As :meth:`renewed_for`, with a new token in any case: the last one was refused.

        Raises:
            UserError: a given token cannot be renewed, or there is no way to a token.
        """
        if self._given is not None and self._access.mint is None:
            raise UserError(
                f"{self._gateway.base_url}: GATEWAY_TOKEN is refused, or to be renewed: set another one, or unset it "
                "to log in with GATEWAY_EMAIL and GATEWAY_PASSWORD"
            )
        self._given = None
        self._token = None
        self._cache.forget()
        return self.renewed_for(0)

    def start(self, seconds: float = 0.0) -> str:
        """As :meth:`renewed_for`, and the gateway is asked whether it takes the token: one that is kept may be dead.

        Raises:
            UserError: there is no token that the gateway takes.
        """
        token = self.renewed_for(seconds)
        answer = self._asked()
        if answer.status == 401 and self.needed:
            token = self.renew()
            answer = self._asked()
        if answer.status == 404 and self._gateway.prefix:
            # Who asks for a token before looking at the path answers 401 for paths that are not there.
            self._gateway.prefix = ""
            answer = self._asked()
        # A token that may not list tools is one all the same: what it may do is found out case by case.
        if not answer.ok and not (token and answer.status == 403):
            if not token and answer.status in (401, 403):
                raise UserError(f"{self._gateway.base_url} wants a token; set service.auth_required: true")
            raise self._gateway.error(answer, f"GET {self._gateway.prefix}/tools")
        return token

    @property
    def expires(self) -> float | None:
        """When the present token expires, as Unix time in seconds; ``None`` where it does not say or there is none."""
        return self._token.expires if self._token else None

    def _asked(self) -> Answer:
        return self._gateway.call("GET", f"{self._gateway.prefix}/tools?limit=1")

    def _use(self, token: Token) -> str:
        self._token = token
        self._gateway.authorize(token.text)
        return token.text

    def _new(self, seconds: float) -> Token:
        mint, credentials = self._access.mint, self._access.credentials
        minutes = int(seconds // 60) + 60
        try:
            token = log_in(self._gateway, credentials)
        except UserError:
            if mint is None:
                raise
            return mint_token(mint, credentials.email, minutes)
        if mint is not None and not token.lasts(seconds):
            return mint_token(mint, credentials.email, minutes)
        return token
