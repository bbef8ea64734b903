"""Texts of others in one plain line: what a gateway, a file or a program said, on its way to a terminal or a report."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

LONGEST = 1000
"""Characters of one text that are shown at the most, unless the caller says otherwise."""

HIDDEN = "[hidden]"

_SECRETS = re.compile(
    r"(?<![\w-])eyJ[\w-]{8,}\.[\w-]*\.[\w-]*"  # a JSON Web Token
    r"|(?<=Bearer )[^\s\"',;]{8,}"
    r"|(?<=://)[^/\s@\"'?#]+(?=@)"  # the user name and password of an address
)

_CONTROLS = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"  # C0 but tab and line ends, DEL, C1
    "\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"  # ends of lines, and marks that turn the direction of writing
    "\ud800-\udfff]"  # halves of surrogate pairs
)


def printable(text: str) -> str:
    """The text with a space for each character that has no glyph, line ends among them; columns stay where they are."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else " " for character in text)


def without_controls(value: Any) -> Any:
    """A JSON value with a space for each control character in its strings and names; tabs and line ends stay."""
    if isinstance(value, str):
        return _CONTROLS.sub(" ", value)
    if isinstance(value, list):
        return [without_controls(one) for one in value]
    if isinstance(value, dict):
        return {without_controls(name): without_controls(one) for name, one in value.items()}
    return value


def plain_text(text: str, longest: int = LONGEST) -> str:
    """The text as one line that is safe to print.

    Control characters (C0, C1, DEL), the marks that turn the direction of writing, lone surrogates and everything else
    that has no glyph become white space, and white space becomes single spaces. Tokens, and user and password of an
    address, are hidden. What is longer than ``longest`` characters is cut, with an ellipsis at its end.
    """
    # Cut before looking for tokens, so that a huge text costs no time; what is cut here is not shown anyway.
    text = printable(text[: 20 * longest + 10_000])
    line = _SECRETS.sub(HIDDEN, " ".join(text.split()))
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


def without_secrets(text: str, secrets: Iterable[str]) -> str:
    """The text with these secrets hidden, also in the form that they have inside JSON."""
    for secret in filter(None, secrets):
        forms = {secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
        for form in sorted(forms, key=len, reverse=True):
            text = text.replace(form, HIDDEN)
    return text
