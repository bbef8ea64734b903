"""Bearer tokens: their expiry, and the file that stores one between two programs.

The file contains only the token. A second file, ``<file>.for``, names its gateway and user, so that it is not sent to
another gateway. Both have mode 0600.
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
"""Maximum length in bytes; no server accepts a longer header."""

_MOST_SECONDS = 1e11
"""Maximum Unix time; the calendar of :mod:`datetime` ends soon after."""


@dataclass(frozen=True)
class Token:
    """A bearer token. ``expires`` is a Unix time in seconds; ``None`` if the token does not contain it."""

    text: str = field(repr=False)
    expires: float | None = None

    def lasts(self, seconds: float) -> bool:
        """Return whether it is valid for this many more seconds; without an expiry it is."""
        return self.expires is None or self.expires >= time.time() + seconds


def read_token(text: str, source: str) -> Token:
    """Return a token with the ``exp`` of its claims (RFC 7519, section 4.1.4), which are read but not verified.

    An ``exp`` in milliseconds is accepted; one beyond the calendar is ignored.

    Raises:
        UserError: it cannot be sent in a header; the message names ``source`` and shows nothing of the token.
    """
    text = text.strip()
    if not text or len(text) > _LONGEST or not all(33 <= ord(character) <= 126 for character in text):
        raise UserError(f"{source}: not a token: it must be one word of printable ASCII characters")
    return Token(text, _expiry(text))


def read_claims(text: str) -> dict[str, Any]:
    """Return the unverified claims of a JSON Web Token (RFC 7519); empty if the text is no such token.

    PyJWT is not used: importing it takes 0.25 s of CPU time, and it is not safe against hostile JSON.
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
    # Some issuers use milliseconds. In seconds, a number this large would be in the year 5138 or later.
    seconds = max(0.0, float(expires)) / (1000 if expires >= _MOST_SECONDS else 1)
    return seconds if seconds < _MOST_SECONDS else None


def owner_path(path: Path) -> Path:
    """Return the path of the file that names the owner of the token in ``path``."""
    return path.with_name(f"{path.name}.for")


@dataclass(frozen=True)
class TokenCache:
    """The file that stores a token. ``owner`` identifies whose it is: address of the gateway and user."""

    path: Path
    owner: str

    @property
    def _owner_path(self) -> Path:
        return owner_path(self.path)

    def read(self) -> Token | None:
        """Return the stored token; ``None`` if there is none, or it belongs to another gateway or user.

        Raises:
            UserError: the file is a link, not a regular file, another user's, readable by others, or has no token.
        """
        text = _read_private(self.path)
        owner = _read_private(self._owner_path)
        if text is None or owner is None or owner.strip() != self.owner:
            return None
        return read_token(text, str(self.path))

    def write(self, token: Token) -> None:
        """Store a token, replacing an earlier one.

        Raises:
            UserError: as :meth:`read`, or the file cannot be written.
        """
        for path in (self.path, self._owner_path):
            _read_private(path)
        # A token without its owner file is not used, so an interrupt between the two writes cannot mix them up.
        self.forget()
        write_text(self.path, f"{token.text}\n", mode=0o600)
        write_text(self._owner_path, f"{self.owner}\n", mode=0o600)

    def forget(self) -> None:
        """Delete the stored token."""
        for path in (self._owner_path, self.path):
            with contextlib.suppress(OSError):
                path.unlink()


def _read_private(path: Path) -> str | None:
    """Return the text of a file that only this user can read; ``None`` if it does not exist.

    The opened file is checked, so that it cannot be exchanged in between.

    Raises:
        UserError: it is not such a file.
    """
    try:
        # Without NONBLOCK, opening a named pipe would block until someone writes to it.
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
