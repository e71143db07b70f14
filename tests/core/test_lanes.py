"""First in, first out, and one at a time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.lanes import Lane, Pending
from bridge.ocpp.actions import Party
from tests.core.playbook import call_of
from tests.core.samples import HEARTBEAT


def pending(key: str, *, deadline: float = 30.0) -> Pending:
    call = call_of(key, HEARTBEAT)
    return Pending(sender=Party.CHARGE_POINT, key=key, call=call, arrived=0.0, deadline=deadline, own=False)


def lane(*waiting: Pending) -> Lane:
    made = Lane()
    made.waiting.extend(waiting)
    return made


def keys(lane: Lane) -> list[str]:
    return [item.key for item in lane]


def test_an_empty_one() -> None:
    empty = lane()
    assert (len(empty), keys(empty), empty.out, empty.next_deadline()) == (0, [], None, float("inf"))


def test_the_first_that_waits_is_sent() -> None:
    a, b = pending("a"), pending("b")
    both = lane(a, b)
    assert both.send(both.waiting[0], "h1", 5.0) is a
    assert both.out is a
    assert (a.hop_id, a.sent) == ("h1", 5.0)
    assert (b.hop_id, b.sent) == (None, None)
    assert (len(both), keys(both)) == (2, ["a", "b"])


def test_only_one_is_out() -> None:
    both = lane(pending("a"), pending("b"))
    both.send(both.waiting[0], "h1", 0.0)
    with pytest.raises(AssertionError):
        both.send(both.waiting[0], "h2", 0.0)


def test_one_that_did_not_arrive_is_the_first_again() -> None:
    a, b = pending("a"), pending("b")
    both = lane(a, b)
    both.send(both.waiting[0], "h1", 5.0)
    both.take_back()
    assert (both.out, a.hop_id, a.sent, keys(both)) == (None, None, None, ["a", "b"])
    assert both.send(both.waiting[0], "h2", 6.0) is a
    assert a.hop_id == "h2"


def test_another_than_the_first_may_be_sent() -> None:
    a, b = pending("a"), pending("b")
    both = lane(a, b)
    b.instead = True
    assert both.send(b, "h1", 5.0) is b
    assert (both.out, b.hop_id, keys(both)) == (b, "h1", ["b", "a"])
    both.take_back()
    assert (b.instead, keys(both)) == (False, ["b", "a"]), "it was tried to send it"


def test_nothing_can_be_taken_back_when_nothing_is_out() -> None:
    with pytest.raises(AssertionError):
        lane(pending("a")).take_back()


def test_what_is_over_is_gone_wherever_it_was() -> None:
    a, b, c = pending("a"), pending("b"), pending("c")
    three = lane(a, b, c)
    three.send(three.waiting[0], "h1", 0.0)
    three.remove(b)
    assert keys(three) == ["a", "c"]
    three.remove(a)
    assert (three.out, keys(three)) == (None, ["c"])


def test_the_next_deadline_is_the_earliest_whoever_has_it() -> None:
    three = lane(pending("a", deadline=30.0), pending("b", deadline=20.0), pending("c", deadline=40.0))
    assert three.next_deadline() == 20.0
    three.send(three.waiting[0], "h1", 0.0)
    three.remove(three.waiting[0])
    assert three.next_deadline() == 30.0


def test_how_one_shows_itself() -> None:
    a = pending("a")
    assert repr(a) == "<Heartbeat a -> waiting>"
    lane(a).send(a, "h1", 0.0)
    assert repr(a) == "<Heartbeat a -> h1>"


@given(steps=st.lists(st.sampled_from(["arrive", "send", "answer", "return"])))
def test_they_leave_as_they_came(steps: list[str]) -> None:
    made, arrived, left = Lane(), 0, []
    for number, step in enumerate(steps):
        if step == "arrive":
            arrived += 1
            made.waiting.append(pending(str(arrived)))
        elif step == "send" and made.out is None and made.waiting:
            made.send(made.waiting[0], f"h{number}", float(number))
        elif step == "answer" and made.out is not None:
            left.append(made.out.key)
            made.remove(made.out)
        elif step == "return" and made.out is not None:
            made.take_back()
        assert len(made) == len(keys(made)) == arrived - len(left)
    assert left + keys(made) == [str(number) for number in range(1, arrived + 1)]
