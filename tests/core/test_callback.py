"""The address that commands are POSTed to: what a message changes about it, and what nothing changes."""

from __future__ import annotations

from ipaddress import ip_network

from hypothesis import given
from hypothesis import strategies as st

from bridge.core.addresses import CallbackTarget, Learning, pinned
from bridge.core.callback import NOT_HEARD, UNCHANGED, CallbackAddress

PEER, OTHER = "192.0.2.7", "192.0.2.8"
MINE = f"http://{PEER}:8080/cp"
ANONYMOUS = "http://www.w3.org/2005/08/addressing/anonymous"
LEARNING = Learning()


def said(callback: CallbackAddress, sent_from: str | None, peer: str = PEER) -> tuple[str, bool, str]:
    """Why the address is refused, whether another one is learnt, and the URL before."""
    if not callback.is_new(sent_from, None, peer, "soap"):
        return "", False, ""
    change = callback.learn(LEARNING)
    return change.refused, change.learnt is not None, change.before


def test_the_first_message_says_where_and_the_next_says_nothing_new() -> None:
    callback = CallbackAddress(None, "1.6")
    assert callback.why_not == NOT_HEARD
    assert said(callback, MINE) == ("", True, "")
    assert callback.to is not None and callback.to.url == MINE and callback.why_not == ""
    assert not callback.is_new(MINE, None, PEER, "soap")
    assert callback.peer == PEER


def test_another_address_replaces_it_and_the_one_before_is_named() -> None:
    callback = CallbackAddress(None, "1.6")
    said(callback, MINE)
    assert said(callback, f"http://{PEER}:9090/cp") == ("", True, MINE)


def test_a_guess_replaces_nothing_but_a_guess() -> None:
    callback = CallbackAddress(None, "1.6")
    assert said(callback, ANONYMOUS)[1]
    assert said(callback, ANONYMOUS, OTHER) == ("", True, f"http://{PEER}/")
    said(callback, f"http://{OTHER}:8080/cp", OTHER)
    assert said(callback, ANONYMOUS, PEER) == ("", False, "")
    assert callback.to is not None and callback.to.url == f"http://{OTHER}:8080/cp"


def test_a_refusal_is_told_once_and_takes_away_no_address() -> None:
    callback = CallbackAddress(None, "1.6")
    elsewhere = "http://203.0.113.9/"
    refused, learnt, _ = said(callback, elsewhere)
    assert "203.0.113.9" in refused and not learnt and refused in callback.why_not
    callback.limit(None)  # the rules of the operator are applied again, and are what they were
    assert said(callback, elsewhere) == ("", False, "")
    said(callback, MINE)
    assert said(callback, elsewhere) == ("", False, "")
    assert callback.to is not None and callback.to.url == MINE


def test_an_address_that_is_another_charge_points_is_forgotten_and_learnt_again() -> None:
    callback = CallbackAddress(None, "1.6")
    said(callback, MINE)
    stale = callback.to
    assert stale is not None
    assert "IdentityMismatch" in (callback.forget(stale) or "")
    assert callback.to is None and "IdentityMismatch" in callback.why_not
    assert callback.forget(stale) is None
    assert said(callback, MINE) == ("", True, "")  # the same URL as before: nothing has moved


@given(st.lists(st.tuples(st.sampled_from([None, MINE, ANONYMOUS, "ftp://x"]), st.sampled_from([PEER, OTHER]))))
def test_nothing_changes_what_the_operator_configured(messages: list[tuple[str | None, str]]) -> None:
    to = pinned("http://cp.example:8080/")
    callback = CallbackAddress(to, "1.5", fixed=True)
    for sent_from, peer in messages:
        callback.is_new(sent_from, None, peer, "soap")
        assert callback.learn(LEARNING) == UNCHANGED
        assert callback.forget(to) is None
        callback.limit(None)
        assert callback.to == to and callback.why_not == ""


def test_what_the_operator_admits_now_limits_what_was_learnt() -> None:
    callback = CallbackAddress(CallbackTarget(url=MINE, networks=(ip_network("192.0.2.0/24"),)), "1.6")
    narrower = CallbackTarget(url=MINE, networks=(ip_network(f"{PEER}/32"),))
    callback.limit(narrower)
    assert callback.to == narrower
