"""Texts of others in one plain line: what a gateway, a file or a program said, on its way to a terminal or a report."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

LONGEST = 1000
"""Characters of one text that are shown at the most, unless the caller says otherwise."""

HIDDEN = "[hidden]"

_SECRETS = re.compile(
    r"(?<![\w-])eyJ[\w-]{8,}\.[\w-]*\.[\w-]*"  # a JSON Web Token
    r"|(?<=Bearer )[^\s\"',;]{8,}"
    r"|(?<=://)[^/\s@\"'?#]+(?=@)"  # the user name and password of an address
)


def plain_text(text: str, longest: int = LONGEST) -> str:
    """The text as one line that is safe to print.

    Control characters (C0, C1, DEL), the marks that turn the direction of writing, lone surrogates and everything else
    that has no glyph become white space, and white space becomes single spaces. Tokens, and user and password of an
    address, are hidden. What is longer than ``longest`` characters is cut, with an ellipsis at its end.
    """
    # Cut before looking for tokens, so that a huge text costs no time; what is cut here is not shown anyway.
    text = text[: 20 * longest + 10_000]
    if not text.isprintable():
        text = "".join(character if character.isprintable() else " " for character in text)
    line = _SECRETS.sub(HIDDEN, " ".join(text.split()))
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


def without_secrets(text: str, secrets: Iterable[str]) -> str:
    """The text with these secrets hidden, also in the form that they have inside JSON."""
    for secret in filter(None, secrets):
        forms = {secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
        for form in sorted(forms, key=len, reverse=True):
            text = text.replace(form, HIDDEN)
    return text
