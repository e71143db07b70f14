"""When a Link is tried again: soon, spread, and ever more rarely."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bridge.core.links import Link, SessionTerms

TERMS = SessionTerms(reconnect_min=1, reconnect_max=60, spread=5)
chances = st.floats(0, 1, exclude_max=True)


def test_at_first_nothing_is_to_be_tried_again() -> None:
    assert Link().retry_at is None


@given(chances)
def test_one_that_was_lost_is_tried_soon_and_at_once_for_a_call(chance: float) -> None:
    link = Link()
    link.retry_later(100, TERMS, chance, lost=True)
    assert link.eager and link.retry_at is not None and 101 <= link.retry_at <= 106


@given(st.lists(chances, min_size=1, max_size=40))
def test_one_that_cannot_be_opened_is_tried_ever_more_rarely(rolls: list[float]) -> None:
    link = Link()
    for number, chance in enumerate(rolls):
        link.retry_later(100, TERMS, chance, lost=False)
        most = min(60, 2**number)
        assert not link.eager and link.retry_at is not None
        assert most / 2 <= link.retry_at - 100 <= most
    assert link.failures == len(rolls)


def test_one_that_breaks_again_and_again_is_not_lost_but_failing() -> None:
    link = Link()
    link.retry_later(0, TERMS, 0.0, lost=True)
    link.retry_later(0, TERMS, 0.0, lost=True)
    assert not link.eager and link.retry_at == 2


@given(chances)
def test_after_a_restart_all_come_back_spread(chance: float) -> None:
    link = Link()
    link.retry_soon(100, TERMS, chance)
    assert link.eager and link.retry_at is not None and 100 <= link.retry_at <= 105
