"""A sign-in that has begun: who began it ends it, once and in time."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.oidc import attempts
from bridge.oidc.attempts import LASTS, SignInAttempts, maker_of
from bridge.oidc.outcome import SignInRefused


class Clock:
    """Unix seconds that only a test moves."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


def refusal(held: SignInAttempts, cookie: str | None, state: str) -> str:
    """Why it does not end well."""
    with pytest.raises(SignInRefused) as caught:
        held.end(cookie, state)
    return caught.value.reason


def test_it_ends_once() -> None:
    held = SignInAttempts()
    attempt = held.begin("#/messages")
    assert len({attempt.state, attempt.nonce, attempt.verifier}) == 3
    assert held.end(held.sealed(attempt), attempt.state) == attempt
    assert "used before" in refusal(held, held.sealed(attempt), attempt.state)


@given(st.text(alphabet="#/-x", max_size=9))
def test_browsers_hold_it_without_quotes(back: str) -> None:
    held = SignInAttempts()
    attempt = held.begin(back)
    cookie = held.sealed(attempt)
    assert re.fullmatch(r"[\w.-]+", cookie, re.ASCII)
    assert held.end(cookie, attempt.state) == attempt


def test_it_ends_in_time() -> None:
    clock = Clock()
    held = SignInAttempts(clock)
    attempt = held.begin("#/")
    clock.now += LASTS
    assert "more than ten minutes" in refusal(held, held.sealed(attempt), attempt.state)


def test_another_bridge_or_another_configuration_has_other_cookies() -> None:
    one, other = SignInAttempts(), SignInAttempts()
    attempt = one.begin("#/")
    assert "has not begun" in refusal(other, one.sealed(attempt), attempt.state)
    assert "has not begun" in refusal(one, None, attempt.state)
    assert "another sign-in" in refusal(one, one.sealed(attempt), one.begin("#/").state)


HELD = SignInAttempts()
ATTEMPT = HELD.begin("#/")
COOKIE = HELD.sealed(ATTEMPT)


@given(st.integers(0, 10_000), st.characters())
def test_a_cookie_that_was_changed_is_none(place: int, char: str) -> None:
    at = place % len(COOKIE)
    changed = COOKIE[:at] + (char if char != COOKIE[at] else "~") + COOKIE[at + 1 :]
    assert "has not begun" in refusal(HELD, changed, ATTEMPT.state)


@given(st.text())
def test_any_cookie_is_read_without_a_fault(cookie: str) -> None:
    assert "has not begun" in refusal(SignInAttempts(), cookie, "state")


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "_MOST_ENDED", 3)
    clock = Clock()
    held = SignInAttempts(clock)
    for _ in range(5):
        attempt = held.begin("#/")
        held.end(held.sealed(attempt), attempt.state)
    assert len(held._ended) == 3
    clock.now += LASTS
    last = held.begin("#/")
    held.end(held.sealed(last), last.state)
    assert list(held._ended) == [last.state]


def test_a_cookie_tells_which_process_has_made_it() -> None:
    held = SignInAttempts(maker="ab12")
    attempt = held.begin("#/")
    cookie = held.sealed(attempt)
    assert maker_of(cookie) == "ab12" and maker_of(COOKIE) == ""
    for other in (cookie.removesuffix(".ab12"), f"{cookie}3", f"{cookie}.", cookie.replace(".ab12", ".AB12")):
        assert "has not begun" in refusal(held, other, attempt.state)
    assert held.end(cookie, attempt.state) == attempt


@given(st.none() | st.text(alphabet="a.", max_size=9) | st.just("a.b." + "c" * 5000))
def test_whatever_a_cookie_is_its_maker_is_a_short_word(cookie: str | None) -> None:
    assert "." not in maker_of(cookie) and len(maker_of(cookie)) <= 9
