"""Parse JSON from outside: answers of servers, stored documents, payloads, claims of tokens. No other parser is used.

Python's parser accepts what is not JSON (NaN, infinite numbers, duplicate names), and fails in several ways on deeply
nested values and on very long numbers. Here all of these raise one kind of error.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from typing import Any, NoReturn

from benchkit.plain import plain_text

MOST_DEPTH = 100
"""Maximum nesting depth of arrays and objects."""

MOST_DIGITS = 100
"""Maximum length of a number, in characters."""

MOST_VALUES = 2_000_000
"""Maximum number of values in a text. A value takes up to some hundred bytes of memory, however short its text is."""

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


class NotJSONError(ValueError):
    """The text is not JSON, or exceeds a limit. The message starts with the reason: ``not JSON at line 1 …``."""


def parse_json(data: bytes | str, *, most_values: int = MOST_VALUES) -> Any:
    """Return the value of a JSON text (RFC 8259, UTF-8). A lone surrogate becomes the replacement character.

    Raises:
        NotJSONError: the text is not JSON, holds a number that is not finite, a duplicate name in an object, or more
            than :data:`MOST_DEPTH` levels, :data:`MOST_DIGITS` digits or ``most_values`` values.
    """
    if isinstance(data, bytes):
        try:
            data = data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise NotJSONError(f"not UTF-8 at byte {error.start}") from None
    openings = data.count("[") + data.count("{")
    # This also counts commas and brackets inside strings, so it can be slightly too strict, but never too lax.
    if openings + data.count(",") > most_values:
        raise NotJSONError(f"it holds more than {most_values:,} values")
    try:
        value = json.loads(
            data,
            parse_constant=_refuse_constant,
            parse_int=_integer,
            parse_float=_float,
            object_pairs_hook=_object,
        )
    except json.JSONDecodeError as error:
        raise NotJSONError(f"not JSON at line {error.lineno}, column {error.colno} ({error.msg})") from None
    except RecursionError:
        raise _too_deep() from None
    if openings > MOST_DEPTH:
        _check_depth(value)
    # Only an escape can create a lone surrogate, because UTF-8 cannot encode one.
    return _repaired(value) if "\\ud" in data or "\\uD" in data else value


def _too_deep() -> NotJSONError:
    return NotJSONError(f"it is nested deeper than {MOST_DEPTH} levels")


def _check_depth(value: Any) -> None:
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(MOST_DEPTH):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
    if level:
        raise _too_deep()


def _refuse_constant(constant: str) -> NoReturn:
    raise NotJSONError(f"it holds {constant}, which is no finite number")


def _check_digits(text: str) -> None:
    if len(text) > MOST_DIGITS:
        raise NotJSONError(f"it holds a number of {len(text):,} digits; {MOST_DIGITS} are the most")


def _integer(text: str) -> int:
    _check_digits(text)
    return int(text)


def _float(text: str) -> float:
    _check_digits(text)
    value = float(text)
    if not math.isfinite(value):
        raise NotJSONError(f"it holds {text}, which is no finite number")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = Counter(name for name, _ in pairs)
        twice = names.most_common(1)[0][0]
        raise NotJSONError(f"duplicate name {plain_text(twice, 60)!r} in one object")
    return found


def _repaired(value: Any) -> Any:
    """Replace lone surrogates in all strings of a value with the replacement character."""
    if isinstance(value, str):
        return _LONE_SURROGATE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_repaired(one) for one in value]
    if isinstance(value, dict):
        return {_repaired(name): _repaired(one) for name, one in value.items()}
    return value
