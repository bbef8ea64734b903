"""What was typed, for run.json, without the values of a gateway's settings, which may be secret."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

_HIDDEN = "(not shown)"
_KEY = re.compile(r"[A-Z][A-Z0-9_]*")
_FLAGS = ("--base-env", "--head-env")


def typed_command(program: str, words: Sequence[str]) -> str:
    """A runner's command line; of ``--base-env KEY=VALUE`` and ``--head-env`` only the key is told."""
    shown = []
    before = ""
    for word in words:
        flag, equals, value = word.partition("=")
        if before in _FLAGS:
            shown.append(_without_value(word))
        elif equals and flag in _FLAGS:
            shown.append(f"{flag}={_without_value(value)}")
        else:
            shown.append(word)
        before = word
    return shlex.join([Path(program).name, *shown])


def _without_value(setting: str) -> str:
    key, equals, _ = setting.partition("=")
    key = key if _KEY.fullmatch(key) else _HIDDEN
    return f"{key}={_HIDDEN}" if equals else key
