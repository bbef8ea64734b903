"""Texts of others: one plain line, without control characters and secrets."""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

import stack
import variants
from benchkit.errors import UserError
from benchkit.plain import HIDDEN, plain_text, without_secrets
from benchkit.run import session
from builders.gateway_stub import make_token


@pytest.mark.parametrize("say", [session.say, stack._say, variants._say])
def test_whoever_passes_texts_of_others_on_passes_on_no_controls(
    say: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    say("\x1b]0;title\x07a\x9b31m\u202eb\nc")
    said = capsys.readouterr().err
    assert said.endswith("\n")
    assert said[:-1].isprintable()


@given(st.text(st.characters(codec=None)))
def test_what_comes_out_is_safe_to_print(text: str) -> None:
    line = plain_text(text)
    assert line.isprintable()
    assert line == line.strip()
    line.encode("utf-8")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("\x1b]0;title\x07\x1b[31mred", "]0;title [31mred"),
        ("a\x9b31mb\x85c\x7fd", "a 31mb c d"),
        ("abc\u202edef\u2066g\u200fh", "abc def g h"),
        ("two\r\nlines\u2028three\ttabs\x00", "two lines three tabs"),
        ("half \ud83d pair", "half pair"),
        ("größer 東京 → 😀", "größer 東京 → 😀"),
    ],
)
def test_control_characters_become_white_space(text: str, line: str) -> None:
    assert plain_text(text) == line
    assert str(UserError(text)) == line
    assert not any(unicodedata.category(character) in ("Cc", "Cf", "Cs") for character in line)


def test_a_long_text_is_cut() -> None:
    assert plain_text("x" * 50, 10) == "x" * 9 + "…"
    began = time.monotonic()
    assert len(str(UserError("eyJ" * 20_000_000))) == 2000
    assert time.monotonic() - began < 2


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (f"token {make_token()} is dead", f"token {HIDDEN} is dead"),
        (f"token {make_token()[:-3]}", f"token {HIDDEN}"),
        ('{"authorization": "Bearer abcdef0123456789"}', f'{{"authorization": "Bearer {HIDDEN}"}}'),
        ("http://admin:hunter2@host:4444/x", f"http://{HIDDEN}@host:4444/x"),
        ("a bearer of news, mail me@example.com", "a bearer of news, mail me@example.com"),
    ],
)
def test_secrets_are_hidden_wherever_a_text_comes_from(text: str, line: str) -> None:
    assert plain_text(text) == line


def test_a_token_is_hidden_before_the_text_is_cut() -> None:
    assert make_token()[:20] not in plain_text(f"{'x' * 100} {make_token()}", 130)


def test_known_secrets_are_hidden_in_the_form_that_they_have_in_json() -> None:
    assert without_secrets(r'{"input": "p\"ä\u00e4"} p"ä', ['p"ä', ""]) == f'{{"input": "{HIDDEN}\\u00e4"}} {HIDDEN}'
