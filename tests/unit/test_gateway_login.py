"""From credentials to a token that is valid when it is needed."""

from __future__ import annotations

import re
import stat
import sys
import time
from pathlib import Path

import pytest

from benchkit.errors import UserError
from benchkit.gateway.client import Gateway
from benchkit.gateway.login import Access, Credentials, Mint, Session, log_in, mint_token
from builders.gateway_stub import EMAIL, PASSWORD, FakeGateway, Reply, Stub, make_token, serving

RIGHT = Credentials(EMAIL, PASSWORD)
WRONG = Credentials(EMAIL, "wrong horse")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "token"


def logins(stub: Stub) -> int:
    return sum(request.path.endswith("/login") for request in stub.requests)


@pytest.mark.parametrize("release", ["1.0.7", "1.0.0", "0.9.0", "0.8.0", "0.7.0"])
def test_every_release_s_login_is_found(release: str) -> None:
    fake = FakeGateway(release)
    with serving(fake) as stub:
        token = log_in(Gateway.find(stub.url), RIGHT)
    assert {token.text} == fake.tokens


def test_a_wrong_password_is_asked_once_and_names_what_to_set() -> None:
    with serving(FakeGateway()) as stub:
        with pytest.raises(UserError, match=r"Invalid email or password\): check GATEWAY_EMAIL and GATEWAY_PASSWORD$"):
            log_in(Gateway.find(stub.url), WRONG)
        assert logins(stub) == 1


def test_before_1_0_a_wrong_password_looks_like_a_fault() -> None:
    words = r"check GATEWAY_EMAIL and GATEWAY_PASSWORD .*HTTP 500.*or set GATEWAY_TOKEN"
    with serving(FakeGateway("0.9.0")) as stub, pytest.raises(UserError, match=words):
        log_in(Gateway.find(stub.url), WRONG)


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply(429, {"message": "Maximum 10"}, {"Retry-After": "42"}), "logins are limited; wait 42 s"),
        (Reply(429, {"error": "Account locked"}), "the account is locked"),
        (Reply(423, {"detail": "no"}), "the account is locked"),
        (Reply(401, {"detail": "Account is locked until noon"}), "the account is locked"),
        (Reply(403, {"detail": "Password change required."}), "PASSWORD_CHANGE_ENFORCEMENT_ENABLED=false"),
        (Reply(403, {"detail": "Login disabled"}), "Login disabled"),
        (Reply(422, {"detail": [{"msg": "not an email"}]}), "not an email"),
        (Reply(307, {}), "it redirects; set GATEWAY_URL"),
        (Reply(200, {"token": "?"}), "no login gives a token .*without a token"),
        (Reply(200, {"access_token": "two words"}), "not a token"),
        (Reply(404, {}), "there is none"),
    ],
)
def test_a_refused_login_is_explained(reply: Reply, words: str) -> None:
    fake = FakeGateway()
    for path in ("/v1/auth/login", "/auth/login", "/auth/email/login"):
        fake.special["POST", path] = lambda _: reply
    with serving(fake) as stub, pytest.raises(UserError, match=words) as caught:
        log_in(Gateway.find(stub.url), RIGHT)
    assert PASSWORD not in str(caught.value)


def test_secrets_are_not_shown_where_objects_are_printed() -> None:
    shown = repr(Access(RIGHT, Path("x"), given="tok", mint=Mint(Path("python"), {"JWT_SECRET_KEY": "hush"})))
    assert not any(secret in shown for secret in (PASSWORD, "tok'", "hush"))


def test_a_token_is_kept_and_used_by_the_next_program(cache: Path) -> None:
    with serving(FakeGateway()) as stub:
        first = Session(Gateway.find(stub.url), Access(RIGHT, cache)).start()
        second = Session(Gateway.find(stub.url), Access(RIGHT, cache)).start()
        assert first == second
        assert logins(stub) == 1
    assert stat.S_IMODE(cache.stat().st_mode) == 0o600


def test_a_kept_token_that_is_refused_is_renewed(cache: Path) -> None:
    fake = FakeGateway()
    with serving(fake) as stub:
        first = Session(Gateway.find(stub.url), Access(RIGHT, cache)).start()
        fake.tokens.clear()
        second = Session(Gateway.find(stub.url), Access(RIGHT, cache)).start()
    assert {second} == fake.tokens
    assert first != second or logins(stub) == 2
    assert cache.read_text(encoding="ascii").strip() == second


def test_a_token_is_renewed_when_it_would_not_last(cache: Path) -> None:
    fake = FakeGateway()
    with serving(fake) as stub:
        session = Session(Gateway.find(stub.url), Access(RIGHT, cache))
        fake.lifetime_s = 100
        short = session.renewed_for(10)
        assert session.renewed_for(60) == short
        fake.lifetime_s = 1200
        long = session.renewed_for(90)
        assert long != short
        assert session.renewed_for(1000) == long
        assert session.expires == pytest.approx(time.time() + 1200, abs=5)
        assert logins(stub) == 2


def test_renewed_requests_carry_the_new_token(cache: Path) -> None:
    fake = FakeGateway()
    with serving(fake) as stub:
        gateway = Gateway.find(stub.url)
        session = Session(gateway, Access(RIGHT, cache))
        session.start()
        token = session.renew()
        gateway.rows("tools")
    assert stub.requests[-1].headers["authorization"] == f"Bearer {token}"


def test_an_open_gateway_needs_no_token(cache: Path) -> None:
    fake = FakeGateway()
    fake.is_open = True
    with serving(fake) as stub:
        session = Session(Gateway.find(stub.url), Access(WRONG, cache))
        assert session.start() == ""
        assert not session.needed
    assert not any("authorization" in request.headers for request in stub.requests)
    assert not cache.exists()


def test_a_gateway_that_wants_a_token_although_the_settings_say_not(cache: Path) -> None:
    words = re.escape("wants a token; set service.auth_required: true")
    with serving(FakeGateway()) as stub, pytest.raises(UserError, match=words):
        Session(Gateway.find(stub.url), Access(RIGHT, cache, wanted=False)).start()


def test_a_given_token_is_used_as_it_is_and_not_kept(cache: Path) -> None:
    fake = FakeGateway()
    fake.tokens.add("opaque")
    with serving(fake) as stub:
        assert Session(Gateway.find(stub.url), Access(WRONG, cache, given="opaque")).start() == "opaque"
        assert logins(stub) == 0
    assert not cache.exists()


def test_a_given_token_that_expired_or_is_refused(cache: Path) -> None:
    with serving(FakeGateway()) as stub:
        gateway = Gateway.find(stub.url)
        with pytest.raises(UserError, match="GATEWAY_TOKEN has expired; unset it"):
            Session(gateway, Access(RIGHT, cache, given=make_token(-5))).start()
        with pytest.raises(UserError, match="GATEWAY_TOKEN is refused"):
            Session(gateway, Access(RIGHT, cache, given=make_token(500))).start()
        assert logins(stub) == 0


# A stand-in for a gateway's interpreter: checks how it is called, and prints what its environment says.
_PYTHON = """\
import os, sys
assert sys.argv[1:4] == ["-m", "mcpgateway.utils.create_jwt_token", "-u"], sys.argv
assert sys.argv[4] == "admin@example.com" and sys.argv[5] == "-e", sys.argv
assert not os.listdir("."), "not an empty directory"
assert os.environ["JWT_SECRET_KEY"] == "hush" and "HOME" not in os.environ
print(os.environ.get("NOISE", ""))
print(os.environ["MINTED"])
sys.exit(int(os.environ.get("STATUS", "0")))
"""


@pytest.fixture
def python(tmp_path: Path) -> Path:
    program = tmp_path / "program.py"
    program.write_text(_PYTHON, encoding="utf-8")
    path = tmp_path / "a python"
    path.write_text(f"#!/bin/sh\nexec '{sys.executable}' '{program}' \"$@\"\n", encoding="utf-8")
    path.chmod(0o700)
    return path


def test_a_token_is_minted_by_the_gateway_s_own_code(python: Path) -> None:
    text = make_token()
    token = mint_token(Mint(python, {"JWT_SECRET_KEY": "hush", "MINTED": text, "NOISE": "warning"}), EMAIL, 60)
    assert token.text == text


def test_a_failing_mint_does_not_show_the_secret(python: Path) -> None:
    mint = Mint(python, {"JWT_SECRET_KEY": "hush", "MINTED": "hush", "STATUS": "3"})
    with pytest.raises(UserError, match=r"create_jwt_token failed \(exit 3\)") as caught:
        mint_token(mint, EMAIL, 60)
    assert "hush" not in str(caught.value)
    with pytest.raises(UserError, match="cannot be started to make a token: No such file or directory"):
        mint_token(Mint(python.with_name("none"), {}), EMAIL, 60)


def test_the_own_gateway_gets_a_minted_token_where_no_login_gives_one(cache: Path, python: Path) -> None:
    fake = FakeGateway()
    minted = make_token(7200)
    fake.tokens.add(minted)
    fake.special["POST", "/v1/auth/login"] = lambda _: Reply(500, {})
    fake.special["POST", "/auth/login"] = lambda _: Reply(500, {})
    mint = Mint(python, {"JWT_SECRET_KEY": "hush", "MINTED": minted})
    with serving(fake) as stub:
        assert Session(Gateway.find(stub.url), Access(RIGHT, cache, mint=mint)).start() == minted


def test_the_own_gateway_gets_a_minted_token_where_a_login_s_does_not_last(cache: Path, python: Path) -> None:
    minted = make_token(7200)
    mint = Mint(python, {"JWT_SECRET_KEY": "hush", "MINTED": minted})
    with serving(FakeGateway()) as stub:
        session = Session(Gateway.find(stub.url), Access(RIGHT, cache, mint=mint))
        assert session.renewed_for(600) != minted
        assert session.renewed_for(3600) == minted


def test_at_the_own_gateway_an_old_token_from_the_shell_is_replaced(cache: Path, python: Path) -> None:
    fake = FakeGateway()
    mint = Mint(python, {"JWT_SECRET_KEY": "hush", "MINTED": make_token(7200)})
    with serving(fake) as stub:
        for old in (make_token(-5), make_token(20), make_token(600, serial=99)):
            token = Session(Gateway.find(stub.url), Access(RIGHT, cache, given=old, mint=mint)).start()
            assert token in fake.tokens
