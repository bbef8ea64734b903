"""Choose the gateway and the credentials: the settings', or the running stack's where that is the target."""

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
    """Does ``service.base_url`` lead to the running stack's gateway?"""
    return own is not None and same_url(settings.config.service.base_url, own.url)


def access_for(settings: Settings, own: OwnStack | None) -> Access:
    """The ways to a token for ``service.base_url``; ``own`` is the running stack, ``None`` where none runs."""
    auth = settings.config.auth
    wanted = settings.config.service.auth_required
    if own is not None and is_own(settings, own):
        return Access(own.credentials, own.token_cache, given=auth.token, mint=own.mint, wanted=wanted)
    credentials = Credentials(auth.email, auth.password)
    return Access(credentials, _token_cache(settings), given=auth.token, wanted=wanted)


def _token_cache(settings: Settings) -> Path:
    """The file that keeps the token: ``auth.token_cache``, or the user's own where config.yaml's is another user's.

    Two users of a machine have the same config.yaml, and a file below /tmp is one's only. A path that was given is not
    replaced: it is refused when it is opened.
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
    """The gateway at ``service.base_url``, with a token that it takes, where it needs one.

    Raises:
        UserError: nobody answers there, or there is no way to a token.
    """
    gateway = Gateway.find(settings.config.service.base_url)
    session = Session(gateway, access_for(settings, own))
    session.start()
    return gateway, session
