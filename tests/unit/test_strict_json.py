"""JSON from outside: what is not JSON, or more of it than anybody needs, is one kind of error."""

from __future__ import annotations

import json
import math
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchkit.strict_json import NotJSONError, parse_json

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**40), 10**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(values)
def test_everything_that_is_json_is_read(value: Any) -> None:
    assert parse_json(json.dumps(value, ensure_ascii=False).encode()) == value
    assert parse_json(json.dumps(value)) == value


HOSTILE = {
    "deep arrays": ("[" * 100_000, "nested deeper than 100 levels"),
    "deep and complete": ("[" * 101 + "]" * 101, "nested deeper than 100 levels"),
    "deep objects": ('{"a":' * 5000 + "1" + "}" * 5000, "nested deeper than 100 levels"),
    "long integer": ("1" * 5000, "a number of 5,000 digits"),
    "long fraction": ("0." + "1" * 5000, "a number of 5,002 digits"),
    "too large": ("[1e999]", "1e999, which is no finite number"),
    "too small": ("[-1e999]", "-1e999, which is no finite number"),
    "infinity": ('{"a": Infinity}', "Infinity, which is no finite number"),
    "minus infinity": ("-Infinity", "-Infinity, which is no finite number"),
    "no number": ("NaN", "NaN, which is no finite number"),
    "twice": ('{"id": 1, "id": 2}', "duplicate name 'id' in one object"),
    "twice, far inside": ('[{"a": {"\\u0061": 1, "a": 2}}]', "duplicate name 'a' in one object"),
    "many values": ("[" + "0," * 2_000_001 + "0]", "more than 2,000,000 values"),
    "many arrays": ("[" + "[]," * 1_500_000 + "0]", "more than 2,000,000 values"),
    "empty": ("", "not JSON at line 1, column 1"),
    "more behind it": ("{} {}", "not JSON at line 1, column 4"),
    "byte order mark": ("\ufeff{}", "not JSON at line 1, column 1"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_none_is_one_line(name: str) -> None:
    text, words = HOSTILE[name]
    began = time.monotonic()
    with pytest.raises(NotJSONError) as caught:
        parse_json(text.encode())
    assert words in str(caught.value)
    assert len(str(caught.value)) < 200
    assert time.monotonic() - began < 2


def test_bytes_that_are_no_utf_8() -> None:
    with pytest.raises(NotJSONError, match="not UTF-8 at byte 1"):
        parse_json(b'"\xff"')


def test_half_a_surrogate_pair_can_be_written_again() -> None:
    found = parse_json(rb'{"\ud800": ["a\udfffb", "\ud83d\ude00"]}')
    assert found == {"\ufffd": ["a\ufffdb", "😀"]}
    json.dumps(found, ensure_ascii=False).encode()


def test_what_is_just_allowed() -> None:
    assert parse_json("[" * 100 + "]" * 100)
    assert math.isfinite(float(parse_json("9" * 100)))
