"""Get a token from credentials, and keep it valid as long as it is needed."""

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
"""Tried in this order. 0.7.0 always fails at ``/auth/login`` (HTTP 500), 0.9.0 at ``/auth/email/login``."""

_MARGIN_S = 30.0
"""Seconds that a token must be valid beyond the time it is needed, because clocks differ."""

_MINT_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Credentials:
    """The e-mail address and password of a login. ``source`` tells in errors where they are set."""

    email: str
    password: str = field(repr=False)
    source: str = "GATEWAY_EMAIL and GATEWAY_PASSWORD"


@dataclass(frozen=True)
class Mint:
    """Access to the toolkit's own gateway, whose secret is known: its interpreter and its environment."""

    python: Path
    environment: Mapping[str, str] = field(repr=False)


def log_in(gateway: Gateway, credentials: Credentials) -> Token:
    """Log in with user and password; return the token.

    Raises:
        UserError: the password is wrong, the account is locked, logins are rate-limited, or no login returns a token.
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
        return UserError(f"{where}: the account is locked; wait until the lock expires, or unlock it on the gateway")
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
    """Create a token with the gateway's own code and secret; every release since 0.7.0 supports it.

    The secret is passed in the environment, so that it is not visible in an argument list. The working directory is an
    empty one, because the gateway's code reads ``.env`` there.

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
        # Its output may contain the secret, so it is not repeated here.
        raise UserError(f"{mint.python}: mcpgateway.utils.create_jwt_token failed (exit {done.returncode}): make setup")
    return read_token(lines[-1], str(mint.python))


@dataclass(frozen=True)
class Access:
    """All ways to get a token.

    ``given`` is the user's own token, used unchanged (empty: none). ``mint`` creates one for the toolkit's own gateway.
    ``wanted`` is false if the user says that this gateway needs none.
    """

    credentials: Credentials
    cache: Path
    given: str = field(default="", repr=False)
    mint: Mint | None = None
    wanted: bool = True


class Session:
    """Provides a gateway with a valid token: given, cached, from a login, or minted; renewed before it expires.

    Args:
        gateway: receives each new token (:meth:`Gateway.authorize`).
        access: the ways to get a token.
    """

    def __init__(self, gateway: Gateway, access: Access) -> None:
        self._gateway = gateway
        self._access = access
        self._cache = TokenCache(access.cache, f"{gateway.base_url} {access.credentials.email}")
        self._given = read_token(access.given, "GATEWAY_TOKEN") if access.given else None
        self._token: Token | None = None

    @property
    def needed(self) -> bool:
        """Whether requests carry a token; not if the gateway is open."""
        return self._given is not None or (self._access.wanted and not self._gateway.is_open)

    def renewed_for(self, seconds: float) -> str:
        """Return a token that is valid for this many seconds; empty if the gateway needs none.

        The gateway limits the lifetime of a login's token (1.x: 20 minutes). If even a new one is too short, a token
        for the toolkit's own gateway is minted; for another gateway the newest one is returned.

        Raises:
            UserError: a given token expired, or there is no way to get a token.
        """
        if not self.needed:
            return ""
        given = self._given
        # For the toolkit's own gateway, GATEWAY_TOKEN may be an old one that `make env` set in a shell.
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
        """Return a new token after the last one was refused; otherwise as :meth:`renewed_for`.

        Raises:
            UserError: a given token cannot be renewed, or there is no way to get a token.
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
        """Return a token as :meth:`renewed_for`, after testing it on the gateway, because a cached one may be revoked.

        Raises:
            UserError: there is no token that the gateway accepts.
        """
        token = self.renewed_for(seconds)
        answer = self._asked()
        if answer.status == 401 and self.needed:
            token = self.renew()
            answer = self._asked()
        if answer.status == 404 and self._gateway.prefix:
            # A gateway that checks the token before the path answers 401 for missing paths.
            self._gateway.prefix = ""
            answer = self._asked()
        # A token without the permission to list tools is accepted too; its permissions are found out per case.
        if not answer.ok and not (token and answer.status == 403):
            if not token and answer.status in (401, 403):
                raise UserError(f"{self._gateway.base_url} wants a token; set service.auth_required: true")
            raise self._gateway.error(answer, f"GET {self._gateway.prefix}/tools")
        return token

    @property
    def expires(self) -> float | None:
        """When the current token expires, as Unix time in seconds; ``None`` if it is unknown or there is no token."""
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
