"""Make foreign text safe as one plain line: output of a gateway, a file or a program, for a terminal or a report."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

LONGEST = 1000
"""Default maximum length of a text, in characters."""

HIDDEN = "[hidden]"

_SECRETS = re.compile(
    r"(?<![\w-])eyJ[\w-]{8,}\.[\w-]*\.[\w-]*"  # a JSON Web Token
    r"|(?<=Bearer )[^\s\"',;]{8,}"
    r"|(?<=://)[^/\s@\"'?#]+(?=@)"  # the user name and password of an address
)

_CONTROLS = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"  # C0 except tab and line ends, DEL, C1
    "\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"  # line ends, and marks that change the writing direction
    "\ud800-\udfff]"  # halves of surrogate pairs
)


def printable(text: str) -> str:
    """Replace each character without a glyph, line ends included, with a space; columns keep their position."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else " " for character in text)


def without_controls(value: Any) -> Any:
    """Replace control characters in all strings and names of a JSON value with spaces; keep tabs and line ends."""
    if isinstance(value, str):
        return _CONTROLS.sub(" ", value)
    if isinstance(value, list):
        return [without_controls(one) for one in value]
    if isinstance(value, dict):
        return {without_controls(name): without_controls(one) for name, one in value.items()}
    return value


def plain_text(text: str, longest: int = LONGEST) -> str:
    """Return the text as one line that is safe to print.

    Control characters (C0, C1, DEL), marks that change the writing direction, lone surrogates and all other characters
    without a glyph become white space; white space becomes single spaces. Tokens, and users and passwords in addresses,
    are hidden. A text longer than ``longest`` characters is cut and ends with an ellipsis.
    """
    # Cut before the search for tokens, so that a huge text stays cheap; the removed part would not be shown anyway.
    text = printable(text[: 20 * longest + 10_000])
    line = _SECRETS.sub(HIDDEN, " ".join(text.split()))
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


def without_secrets(text: str, secrets: Iterable[str]) -> str:
    """Hide these secrets in a text, also where they are escaped as in JSON."""
    for secret in filter(None, secrets):
        forms = {secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
        for form in sorted(forms, key=len, reverse=True):
            text = text.replace(form, HIDDEN)
    return text
