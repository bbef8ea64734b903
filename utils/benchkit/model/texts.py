"""Texts that come from outside, checked where they enter a document.

A URL or an id of a gateway ends up in a command line, in a file and on a terminal, so a plan cannot carry one that does
not fit into a line there.
"""

from __future__ import annotations

import unicodedata
from typing import Annotated
from urllib.parse import quote, urlsplit

from pydantic import AfterValidator

_FORBIDDEN = {"Cc": "control character", "Zl": "line separator", "Zp": "paragraph separator", "Cs": "lone surrogate"}
"""Unicode's general categories of what no line of text holds."""


def forbidden_character(text: str) -> str:
    """The first character that one line of text cannot hold, in words (``control character U+0000``); empty: none."""
    for character in text:
        kind = _FORBIDDEN.get(unicodedata.category(character))
        if kind is not None:
            return f"{kind} U+{ord(character):04X}"
    return ""


def one_line(text: str) -> str:
    """The text itself.

    Raises:
        ValueError: it holds a control character, so it is not one line.
    """
    found = forbidden_character(text)
    if found:
        raise ValueError(f"{ascii(text)[:80]} holds a {found}")
    return text


def http_address(text: str) -> str:
    """The text itself: an address that a load can be sent to.

    Raises:
        ValueError: it is no http:// or https:// address with a host, holds white space or a control character, or a
            user and password (which are not repeated).
    """
    if not text.startswith(("http://", "https://")):
        raise ValueError(f"{ascii(text)[:80]} is not an http:// or https:// address")
    authority = text.partition("://")[2].partition("/")[0].partition("?")[0].partition("#")[0]
    if "@" in authority:
        raise ValueError("the address holds a user or password; no address may")
    one_line(text)
    if any(character.isspace() for character in text) or "\\" in authority:
        raise ValueError(f"{ascii(text)[:80]} holds white space or a backslash; percent-encode it")
    try:
        parts = urlsplit(text)
        has_host = bool(parts.hostname) and parts.port != 0
    except ValueError as error:
        raise ValueError(f"{ascii(text)[:80]} is not an address: {error}") from error
    if not has_host:
        raise ValueError(f"{ascii(text)[:80]} names no host")
    return text


def path_segment(identity: str) -> str:
    """An id as one segment of a URL's path, percent-encoded.

    Raises:
        ValueError: no segment can hold it: it is empty, or dots that a client would resolve.
    """
    if identity.strip(".") == "":
        raise ValueError(f"the id {identity!r} cannot stand in an address")
    return quote(identity, safe="", errors="surrogatepass")


def path_segments(identity: str) -> str:
    """An id that may be a URI (release 0.7.0 names resources so): like :func:`path_segment`, but its slashes stay.

    Raises:
        ValueError: the id is empty or has a segment of dots.
    """
    if any(part in (".", "..") for part in identity.split("/")) or not identity.strip("/"):
        raise ValueError(f"the id {identity!r} cannot stand in an address")
    return quote(identity, safe="/:", errors="surrogatepass")


OneLine = Annotated[str, AfterValidator(one_line)]
HttpAddress = Annotated[str, AfterValidator(http_address)]
