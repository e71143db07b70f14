"""One way in, and what was shown: most of it is seen over real sockets, in tests/e2e/test_access.py."""

from __future__ import annotations

from base64 import b64encode
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.access.rules import Asks, Credentials, Rule, Shown, judge, within
from bridge.errors import AccessDenied, FaultCode, Why

ASKS: tuple[Asks, ...] = ("none", "basic", "certificate", "network", "token")


@pytest.mark.parametrize("asks", ASKS)
def test_a_certificate_of_somebody_else_is_refused_whatever_is_asked(asks: Asks) -> None:
    rule = Rule(identity="CP 1", asks=asks, networks=(ip_network("0.0.0.0/0"),))
    for names in ((), ("CP 2",), ("CP",), ("xCP 1",)):
        with pytest.raises(AccessDenied) as caught:
            judge(rule, Shown(peer="10.0.0.1", certificate=names))
        assert caught.value.why is Why.WRONG_CERTIFICATE


@pytest.mark.parametrize("asks", ASKS)
def test_names_that_disagree_are_refused_whatever_is_asked(asks: Asks) -> None:
    rule = Rule(identity="CP 1", asks=asks, networks=(ip_network("0.0.0.0/0"),))
    with pytest.raises(AccessDenied) as caught:
        judge(rule, Shown(peer="10.0.0.1", named=("CP 1", "CP 2"), certificate=("CP 1",)))
    assert (caught.value.why, caught.value.fault) == (Why.WRONG_IDENTITY, FaultCode.IdentityMismatch)


@given(st.text(max_size=20), st.none() | st.text(max_size=40), st.none() | st.text(max_size=20))
def test_nothing_but_what_is_asked_for_lets_in(user: str, authorization: str | None, token: str | None) -> None:
    shown = Shown(peer="10.0.0.1", named=(user,), authorization=authorization, token=token)
    with pytest.raises(AccessDenied):
        judge(Rule(identity=user, asks="certificate"), shown)


def test_addresses() -> None:
    networks = (ip_network("10.1.0.0/16"), ip_network("2001:db8::/32"))
    assert within("10.1.2.3", networks)
    assert within("::ffff:10.1.2.3", networks)
    assert within("2001:db8::1%eth0", networks)
    assert not within("10.2.0.1", networks)
    assert not within("", networks)
    assert not within("10.1.2.3", ())


def test_nothing_secret_is_shown() -> None:
    rule = Rule(identity="CP 1", asks="basic", passwords=(b"secret",), token=b"secret")
    shown = Shown(peer="10.0.0.1", authorization="Basic Q1AgMTpzZWNyZXQ=", token="secret")
    guess = judge(rule, Shown(peer="x", authorization=shown.authorization))
    assert "secret" not in repr(rule) + repr(shown) + repr(guess)
    assert "Q1A" not in repr(shown)


# HTTP Basic: user and password are bytes, and whatever is no Basic is nobody's.


def basic(credentials: bytes) -> str:
    return f"Basic {b64encode(credentials).decode()}"


CREDENTIALS: dict[str, tuple[str | None, Credentials | None]] = {
    "none": (None, None),
    "empty": ("", None),
    "text": (basic(b"CP1:secret"), Credentials(b"CP1", b"secret")),
    "raw bytes": (basic(b"CP1:" + bytes(range(256))), Credentials(b"CP1", bytes(range(256)))),
    "a colon in the password": (basic(b"CP1:a:b"), Credentials(b"CP1", b"a:b")),
    "no password": (basic(b"CP1:"), Credentials(b"CP1", b"")),
    "another case": (basic(b"CP1:x").replace("Basic", "bASIC"), Credentials(b"CP1", b"x")),
    "more blanks": (basic(b"CP1:x").replace(" ", "   "), Credentials(b"CP1", b"x")),
    "no colon": (basic(b"CP1"), None),
    "not base64": ("Basic Q1Ax*Og==", None),
    "not ASCII": ("Basic é", None),
    "bearer": ("Bearer abc", None),
}


@pytest.mark.parametrize(("header", "credentials"), CREDENTIALS.values(), ids=CREDENTIALS)
def test_credentials_are_raw_bytes(header: str | None, credentials: Credentials | None) -> None:
    assert Credentials.read(header) == credentials


@given(st.binary().filter(lambda user: b":" not in user), st.binary())
def test_what_is_written_is_read(user: bytes, password: bytes) -> None:
    assert Credentials.read(basic(user + b":" + password)) == Credentials(user, password)


@given(st.text() | st.text().map(lambda text: f"Basic {text}") | st.binary().map(lambda d: f"Basic {d!r}"))
def test_any_header_is_credentials_or_nothing(header: str) -> None:
    found = Credentials.read(header)
    assert found is None or b":" not in found.user


def test_a_password_is_not_shown() -> None:
    assert "secret" not in repr(Credentials(b"CP1", b"secret"))
