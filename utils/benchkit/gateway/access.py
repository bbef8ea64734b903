"""Choose the gateway and the credentials: those of the settings, or of the running stack if that is the target."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from benchkit.gateway.client import Gateway
from benchkit.gateway.login import Access, Credentials, Mint, Session
from benchkit.gateway.registration import same_url
from benchkit.gateway.tokens import owner_path
from benchkit.settings import Settings


@dataclass(frozen=True)
class OwnStack:
    """Access to the gateway of the toolkit's running stack; its token is kept in ``token_cache``."""

    url: str
    credentials: Credentials
    token_cache: Path
    mint: Mint


def is_own(settings: Settings, own: OwnStack | None) -> bool:
    """Return whether ``service.base_url`` is the running stack's gateway."""
    return own is not None and same_url(settings.config.service.base_url, own.url)


def access_for(settings: Settings, own: OwnStack | None) -> Access:
    """Return the ways to get a token for ``service.base_url``; ``own`` is the running stack, ``None`` without one."""
    auth = settings.config.auth
    wanted = settings.config.service.auth_required
    if own is not None and is_own(settings, own):
        return Access(own.credentials, own.token_cache, given=auth.token, mint=own.mint, wanted=wanted)
    credentials = Credentials(auth.email, auth.password)
    return Access(credentials, _token_cache(settings), given=auth.token, wanted=wanted)


def _token_cache(settings: Settings) -> Path:
    """Return the file that stores the token: ``auth.token_cache``, or one in the home directory if that is not mine.

    All users of a machine have the same default path below /tmp, but the file belongs to one of them. A path that the
    user set is not replaced: it is rejected when it is opened.
    """
    path = settings.path(settings.config.auth.token_cache)
    if "auth.token_cache" in settings.sources or all(_is_free_or_mine(one) for one in (path, owner_path(path))):
        return path
    directory = Path.home() / ".cache" / "mcp-gateway-benchmark"
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return path
    own = directory / "token"
    print(f"{path} belongs to another user, so the token is kept in {own} (PERF_TOKEN_CACHE)", file=sys.stderr)
    return own


def _is_free_or_mine(path: Path) -> bool:
    try:
        return path.lstat().st_uid == os.geteuid()
    except OSError:
        return True


def enter(settings: Settings, own: OwnStack | None) -> tuple[Gateway, Session]:
    """Return the gateway at ``service.base_url``, with a valid token if it needs one.

    Raises:
        UserError: no gateway answers there, or there is no way to get a token.
    """
    gateway = Gateway.find(settings.config.service.base_url)
    session = Session(gateway, access_for(settings, own))
    session.start()
    return gateway, session
