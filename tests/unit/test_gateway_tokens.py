"""Tokens and the file that keeps one."""

from __future__ import annotations

import base64
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from benchkit.errors import UserError
from benchkit.gateway.access import access_for
from benchkit.gateway.tokens import Token, TokenCache, read_claims, read_token
from benchkit.settings import ROOT, load_settings
from builders.gateway_stub import make_token

OWNER = "http://127.0.0.1:4444 admin@example.com"


@pytest.fixture
def cache(tmp_path: Path) -> TokenCache:
    directory = tmp_path / "a directory"
    directory.mkdir()
    return TokenCache(directory / "token.txt", OWNER)


def test_the_expiry_is_read_from_the_claims() -> None:
    token = read_token(f" {make_token(600)}\n", "here")
    assert token.expires == pytest.approx(time.time() + 600, abs=2)
    assert token.lasts(500)
    assert not token.lasts(700)


@pytest.mark.parametrize(
    "text", ["opaque", "a.b.c", "a.!!!.c", "e30.e30.e30", "e30.W10.e30", "e30.eyJleHAiOiJ4In0.e30"]
)
def test_a_token_that_does_not_say_when_it_expires_counts_as_lasting(text: str) -> None:
    token = read_token(text, "here")
    assert token.expires is None
    assert token.lasts(1e9)


@given(st.text(max_size=200))
def test_any_text_is_a_token_or_a_clear_error_that_does_not_show_it(text: str) -> None:
    word = text.strip()
    if word and word.isascii() and word.isprintable() and " " not in word:
        assert read_token(text, "the file").text == word
        return
    with pytest.raises(UserError) as caught:
        read_token(text, "the file")
    assert str(caught.value) == "the file: not a token: it must be one word of printable ASCII characters"


@given(st.binary(max_size=60))
def test_any_claims_are_survived(claims: bytes) -> None:
    read_token(f"e30.{base64.urlsafe_b64encode(claims).decode()}.x", "here")


@pytest.mark.parametrize("claims", ["[" * 60_000, '{"exp": ' + "9" * 5000 + "}", '{"exp": NaN}', '"exp"'])
def test_hostile_claims_are_none(claims: str) -> None:
    assert read_claims(f"e30.{base64.urlsafe_b64encode(claims.encode()).decode()}.x") == {}


def test_a_token_is_not_shown_where_objects_are_printed() -> None:
    assert "secret" not in repr(Token("secret"))


def test_what_is_written_is_read_again_and_only_its_owner_may(cache: TokenCache) -> None:
    text = make_token()
    cache.write(read_token(text, "here"))
    kept = cache.read()
    assert kept is not None
    assert kept.text == text
    assert cache.path.read_text(encoding="ascii") == f"{text}\n"
    files = list(cache.path.parent.iterdir())
    assert len(files) == 2
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_nothing_is_kept_yet(cache: TokenCache) -> None:
    assert cache.read() is None


@pytest.mark.parametrize(
    "owner", ["http://elsewhere.test admin@example.com", "http://127.0.0.1:4444 somebody@example.com"]
)
def test_a_token_is_not_sent_to_another_gateway_or_for_another_user(cache: TokenCache, owner: str) -> None:
    cache.write(Token("abc"))
    assert TokenCache(cache.path, owner).read() is None


def test_a_token_without_its_owner_is_not_used(cache: TokenCache) -> None:
    cache.path.write_text("abc\n", encoding="ascii")
    cache.path.chmod(0o600)
    assert cache.read() is None


def test_forgetting_twice_is_no_error(cache: TokenCache) -> None:
    cache.write(Token("abc"))
    cache.forget()
    cache.forget()
    assert not list(cache.path.parent.iterdir())


def _link(path: Path) -> None:
    target = path.with_name("target")
    target.write_text("abc", encoding="ascii")
    target.chmod(0o600)
    path.symlink_to(target)


def _dangling_link(path: Path) -> None:
    path.symlink_to(path.with_name("nothing"))


def _open_to_others(path: Path) -> None:
    path.write_text("abc", encoding="ascii")
    path.chmod(0o640)


def _pipe(path: Path) -> None:
    os.mkfifo(path, 0o600)


def _directory(path: Path) -> None:
    path.mkdir(mode=0o700)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (_link, "it is a link"),
        (_dangling_link, "it is a link"),
        (_open_to_others, "its mode is 0640, so others may read it"),
        (_pipe, "it is not a regular file"),
        (_directory, "it is not a regular file"),
    ],
)
@pytest.mark.parametrize("suffix", ["", ".for"])
def test_a_file_that_is_not_private_is_refused_and_left_as_it_is(
    cache: TokenCache, make: Callable[[Path], None], reason: str, suffix: str
) -> None:
    path = cache.path.with_name(cache.path.name + suffix)
    make(path)
    before = path.lstat()
    for use in (cache.read, lambda: cache.write(Token("new"))):
        with pytest.raises(UserError) as caught:
            use()
        assert str(caught.value) == (
            f"{path}: not used for the token: {reason}; delete it, or set PERF_TOKEN_CACHE to another path"
        )
    assert path.lstat().st_ino == before.st_ino


def test_a_file_of_another_user_is_refused(cache: TokenCache, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.write(Token("abc"))
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(UserError, match="it belongs to another user"):
        cache.read()


def test_a_kept_file_that_is_damaged_is_named(cache: TokenCache) -> None:
    cache.write(Token("abc"))
    cache.path.write_bytes(b"two words\n")
    with pytest.raises(UserError, match=r"token\.txt: not a token"):
        cache.read()


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be written"):
        TokenCache(tmp_path / "nowhere" / "token", OWNER).write(Token("abc"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
@pytest.mark.parametrize("theirs", ["token.txt", "token.txt.for"])
def test_a_second_user_of_the_machine_gets_a_cache_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], theirs: str
) -> None:
    data = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    data["auth"]["token_cache"] = str(tmp_path / "token.txt")
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(data), encoding="utf-8")
    settings = load_settings(environ={}, config_file=tmp_path / "config.yaml")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert access_for(settings, None).cache == tmp_path / "token.txt"
    (tmp_path / theirs).touch(mode=0o600)
    os.chown(tmp_path / theirs, 65534, 65534)
    cache = access_for(settings, None).cache
    assert cache == tmp_path / "home" / ".cache" / "mcp-gateway-benchmark" / "token"
    assert cache.parent.stat().st_mode & 0o077 == 0
    assert capsys.readouterr().err.count("\n") == 1
    # A path that the user gave is not exchanged: it is refused when it is opened.
    own = load_settings(environ={"PERF_TOKEN_CACHE": str(tmp_path / "token.txt")})
    assert access_for(own, None).cache == tmp_path / "token.txt"
