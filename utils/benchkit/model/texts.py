"""Checks of texts from outside when they enter a document.

A URL or an id of a gateway is written to a command line, a file and a terminal, so a plan accepts only texts that are a
single line there.
"""

from __future__ import annotations

import unicodedata
from typing import Annotated
from urllib.parse import quote, urlsplit

from pydantic import AfterValidator

_FORBIDDEN = {"Cc": "control character", "Zl": "line separator", "Zp": "paragraph separator", "Cs": "lone surrogate"}
"""Unicode's general categories of characters that a line of text must not contain."""


def forbidden_character(text: str) -> str:
    """Return the first forbidden character of a line, in words (``control character U+0000``); empty if none."""
    for character in text:
        kind = _FORBIDDEN.get(unicodedata.category(character))
        if kind is not None:
            return f"{kind} U+{ord(character):04X}"
    return ""


def one_line(text: str) -> str:
    """Return the text unchanged.

    Raises:
        ValueError: it contains a control character, so it is not one line.
    """
    found = forbidden_character(text)
    if found:
        raise ValueError(f"{ascii(text)[:80]} contains a {found}")
    return text


def http_address(text: str) -> str:
    """Return the text, a URL that load can be sent to, unchanged.

    Raises:
        ValueError: it is not an http:// or https:// URL with a host, or it contains white space, a control character,
            or a user and password (which the message does not repeat).
    """
    if not text.startswith(("http://", "https://")):
        raise ValueError(f"{ascii(text)[:80]} is not an http:// or https:// address")
    authority = text.partition("://")[2].partition("/")[0].partition("?")[0].partition("#")[0]
    if "@" in authority:
        raise ValueError("the address contains a user or password, which is not allowed")
    one_line(text)
    if any(character.isspace() for character in text) or "\\" in authority:
        raise ValueError(f"{ascii(text)[:80]} contains white space or a backslash; percent-encode it")
    try:
        parts = urlsplit(text)
        has_host = bool(parts.hostname) and parts.port != 0
    except ValueError as error:
        raise ValueError(f"{ascii(text)[:80]} is not an address: {error}") from error
    if not has_host:
        raise ValueError(f"{ascii(text)[:80]} has no host")
    return text


def path_segment(identity: str) -> str:
    """Return an id as one segment of a URL's path, percent-encoded.

    Raises:
        ValueError: it is empty, or consists of dots, which a client would resolve.
    """
    if identity.strip(".") == "":
        raise ValueError(f"the id {identity!r} cannot be part of a URL")
    return quote(identity, safe="", errors="surrogatepass")


def path_segments(identity: str) -> str:
    """Return an id that may be a URI (as resources have in release 0.7.0), percent-encoded except for its slashes.

    Raises:
        ValueError: the id is empty or has a segment of dots.
    """
    if any(part in (".", "..") for part in identity.split("/")) or not identity.strip("/"):
        raise ValueError(f"the id {identity!r} cannot be part of a URL")
    return quote(identity, safe="/:", errors="surrogatepass")


OneLine = Annotated[str, AfterValidator(one_line)]
HttpAddress = Annotated[str, AfterValidator(http_address)]
