"""Bearer tokens: when one expires, and the file that keeps it between two programs.

The file holds the bare token. Beside it, ``<file>.for`` names the gateway and the user that it belongs to, so that it
is not sent to another gateway. Both have mode 0600.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import errno
import os
import stat
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchkit.errors import UserError, os_reason
from benchkit.store import write_text
from benchkit.strict_json import parse_json

_LONGEST = 100_000
"""Bytes; a token is a header, and no server takes one that long."""

_MOST_SECONDS = 1e11
"""Unix time; the calendar of :mod:`datetime` does not go much further."""


@dataclass(frozen=True)
class Token:
    """A bearer token. ``expires`` is a Unix time in seconds, ``None`` where the token does not say."""

    text: str = field(repr=False)
    expires: float | None = None

    def lasts(self, seconds: float) -> bool:
        """Is it valid for so many seconds more? A token without an expiry counts as lasting."""
        return self.expires is None or self.expires >= time.time() + seconds


def read_token(text: str, source: str) -> Token:
    """A token with the ``exp`` of its claims (RFC 7519, section 4.1.4), which are read and not verified.

    An ``exp`` in milliseconds is understood; one beyond the calendar counts as none.

    Raises:
        UserError: it cannot be sent in a header; the line names ``source`` and shows nothing of the token.
    """
    text = text.strip()
    if not text or len(text) > _LONGEST or not all(33 <= ord(character) <= 126 for character in text):
        raise UserError(f"{source}: not a token: it must be one word of printable ASCII characters")
    return Token(text, _expiry(text))


def read_claims(text: str) -> dict[str, Any]:
    """The claims of a JSON Web Token (RFC 7519), which are not verified; none where the text is no such token.

    Not by PyJWT: importing it takes a quarter of a second of CPU time, and it is not proof against hostile JSON.
    """
    parts = text.split(".")
    if len(parts) != 3:
        return {}
    try:
        claims = parse_json(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, binascii.Error):
        return {}
    return claims if isinstance(claims, dict) else {}


def _expiry(text: str) -> float | None:
    expires = read_claims(text).get("exp")
    if not isinstance(expires, int | float) or isinstance(expires, bool):
        return None
    # Some issuers count milliseconds. Seconds with that many digits would be in the year 5138 or later.
    seconds = max(0.0, float(expires)) / (1000 if expires >= _MOST_SECONDS else 1)
    return seconds if seconds < _MOST_SECONDS else None


def owner_path(path: Path) -> Path:
    """The file that says whose token the file ``path`` keeps."""
    return path.with_name(f"{path.name}.for")


@dataclass(frozen=True)
class TokenCache:
    """The file that keeps a token. ``owner`` says whose it is: address of the gateway and user."""

    path: Path
    owner: str

    @property
    def _owner_path(self) -> Path:
        return owner_path(self.path)

    def read(self) -> Token | None:
        """The kept token; ``None`` when there is none, or it belongs to another gateway or user.

        Raises:
            UserError: the file is a link, no regular file, somebody else's, open to others, or holds no token.
        """
        text = _read_private(self.path)
        owner = _read_private(self._owner_path)
        if text is None or owner is None or owner.strip() != self.owner:
            return None
        return read_token(text, str(self.path))

    def write(self, token: Token) -> None:
        """Keep a token, in the place of an earlier one.

        Raises:
            UserError: as :meth:`read`, or the file cannot be written.
        """
        for path in (self.path, self._owner_path):
            _read_private(path)
        # Without its owner a token is not used: an interrupt between the two writes must not pair it with a wrong one.
        self.forget()
        write_text(self.path, f"{token.text}\n", mode=0o600)
        write_text(self._owner_path, f"{self.owner}\n", mode=0o600)

    def forget(self) -> None:
        """Keep nothing."""
        for path in (self._owner_path, self.path):
            with contextlib.suppress(OSError):
                path.unlink()


def _read_private(path: Path) -> str | None:
    """The text of a file that only this user can read; ``None`` when there is no such file.

    The checks are made on the opened file, so that nobody can exchange it in between.

    Raises:
        UserError: it is not such a file.
    """
    try:
        # Without NONBLOCK a named pipe would block until somebody writes to it.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK):
            raise _refused(path, "it is a link") from error
        raise UserError(f"{path}: the token cannot be read: {os_reason(error)}") from error
    try:
        state = os.fstat(descriptor)
        if not stat.S_ISREG(state.st_mode):
            raise _refused(path, "it is not a regular file")
        if state.st_uid != os.geteuid():
            raise _refused(path, "it belongs to another user")
        if state.st_mode & 0o077:
            raise _refused(path, f"its mode is {stat.S_IMODE(state.st_mode):04o}, so others may read it")
        return os.read(descriptor, _LONGEST + 1).decode("ascii", errors="replace")
    finally:
        os.close(descriptor)


def _refused(path: Path, reason: str) -> UserError:
    return UserError(f"{path}: not used for the token: {reason}; delete it, or set PERF_TOKEN_CACHE to another path")
