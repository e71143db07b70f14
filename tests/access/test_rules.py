"""One way in, and what was shown: most of it is seen over real sockets, in tests/e2e/test_access.py."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.access.rules import Asks, Rule, Shown, judge, within
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
