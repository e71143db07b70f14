"""What waits to be recorded: in order, as it was, and within its bounds."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.commands import Outcome, Report
from bridge.ocpp.actions import Party
from bridge.ocpp.losses import Loss, Reason
from bridge.ocpp.messages import HeartbeatRequest
from bridge.ocpp.rpc import Call
from bridge.ocpp.wire import SEEN, End
from bridge.recorder.backlog import TOGETHER, Backlog
from bridge.recorder.notes import Answered, Cost, Dropped, Ended, Ending, Gap, Note, Seen, TurnedAway, ended

CP = Party.CHARGE_POINT
# What a note of `note` takes besides its padding, at most.
ROOM = 40

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
times = st.floats(0, 2e9)
losses = st.lists(st.builds(Loss, message=texts, path=texts, reason=st.sampled_from(Reason)), max_size=3).map(tuple)
maybe = texts | st.none()
notes: st.SearchStrategy[Note] = st.one_of(
    st.builds(
        Seen,
        end=st.builds(End, texts, st.booleans()),
        at=times,
        inbound=st.booleans(),
        transport=st.sampled_from(["soap", "json"]),
        kind=st.sampled_from(["call", "result", "error", "other"]),
        unique_id=texts,
        action=maybe,
        data=st.binary(max_size=2000),
    ),
    st.builds(
        Ended,
        number=st.integers(0, 2**60),
        at=times,
        identity=texts,
        sender=st.sampled_from(Party),
        operator=st.booleans(),
        own=st.booleans(),
        action=texts,
        outcome=st.sampled_from(Outcome),
        unique_id=texts,
        hop_id=maybe,
        why=maybe,
        arrived=times,
        sent=times | st.none(),
        ended=times,
        framed=st.booleans(),
        opened=st.booleans(),
        request=st.binary(max_size=50) | st.none(),
        answered=st.sampled_from(get_args(Answered)),
        response=st.binary(max_size=50) | st.none(),
        losses=losses,
    ),
    st.builds(
        Dropped, st.integers(0, 2**60), times, texts, st.sampled_from(Party), texts, texts, st.binary(max_size=50)
    ),
    st.builds(
        TurnedAway,
        *(st.integers(0, 2**60), times, texts, st.sampled_from(Party) | st.none(), texts, texts, maybe),
        st.binary(max_size=50),
    ),
    st.builds(Cost, times, texts, losses),
    st.builds(Gap, times),
)


def note(octets: int = 0) -> Dropped:
    return Dropped(1, 1.0, "A", CP, "f", "x" * octets, b"")


def report() -> Report:
    call = Call(unique_id="n", action="Heartbeat", payload=HeartbeatRequest())
    return Report(sender=CP, call=call, outcome=Outcome.RESULT, arrived=1.0, ended=2.0)


def put(backlog: Backlog, octets: int) -> bool:
    """Whether it was put."""
    lost = backlog.lost
    backlog.put(note(octets))
    return backlog.lost == lost


def all_of(backlog: Backlog) -> list[Note | Future[None]]:
    return [backlog.take() for _ in range(len(backlog))]


@given(put=st.lists(notes | st.none(), max_size=60))
def test_in_order_as_they_were_and_who_waits_behind_them(put: list[Note | None]) -> None:
    """None is somebody who waits."""
    backlog = Backlog(threading.Event(), 1_000_000)
    expected = [Future[None]() if one is None else one for one in put]
    for one in expected:
        if isinstance(one, Future):
            backlog.mark(one)
        else:
            backlog.put(one)
    assert len(backlog) == len(expected)
    assert all_of(backlog) == expected
    assert (len(backlog), backlog.octets) == (0, 0)
    with pytest.raises(IndexError):
        backlog.take()


def test_many_are_taken_in_several_goes() -> None:
    backlog, many = Backlog(threading.Event(), 10_000_000), [note(number) for number in range(1000)]
    for one in many[:900]:
        backlog.put(one)
    assert [backlog.take() for _ in range(500)] == many[:500]
    assert 0 < backlog.octets < 500_000
    for one in many[900:]:
        backlog.put(one)
    assert all_of(backlog) == many[500:]
    assert backlog.octets == 0


def test_it_wakes_once() -> None:
    wake = threading.Event()
    backlog = Backlog(wake, 1000)
    backlog.put(note())
    assert wake.is_set()
    wake.clear()
    backlog.put(note())
    assert not wake.is_set()
    backlog.asleep()
    backlog.append(note())
    assert not wake.is_set()
    backlog.put(note())
    assert wake.is_set()


def test_when_it_is_full_all_is_lost_until_it_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.recorder.backlog.TOGETHER", 1)
    backlog = Backlog(threading.Event(), 5000)
    taken = [put(backlog, 1000) for _ in range(6)]
    assert taken == [True] * 5 + [False]
    assert (backlog.lost, backlog.full) == (1, True)
    rest = all_of(backlog)
    assert rest == [*[note(1000)] * 5, Gap()]
    assert not backlog.full and put(backlog, 1)


def test_what_is_no_text_is_lost_and_what_follows_is_not() -> None:
    backlog = Backlog(threading.Event(), 1000)
    backlog.put(note())
    backlog.put(Dropped(1, 1.0, "\ud800", CP, "f", "", b""))
    backlog.put(note())
    end = Future[None]()
    backlog.mark(end)
    assert backlog.lost == 1
    assert all_of(backlog) == [note(), note(), end]


def test_what_was_only_noted_becomes_a_note() -> None:
    backlog, end = Backlog(threading.Event(), 1000), End("A", True)
    ending = Ending(7, 2.5, "A", report())
    backlog.append((SEEN, end, 1.5, False, "json", "call", "f", None, b"[]"))
    backlog.put(ending)
    assert all_of(backlog) == [Seen(end, 1.5, False, "json", "call", "f", None, b"[]"), ended(ending)]


def test_what_is_no_text_in_it_is_lost_alone() -> None:
    backlog = Backlog(threading.Event(), 1000)
    backlog.put(Ending(7, 2.5, "\ud800", report()))
    backlog.append((SEEN, End("\ud800", True), 1.5, False, "json", "call", "f", None, b"[]"))
    backlog.put(note())
    assert backlog.take() == note()
    assert (backlog.lost, len(backlog)) == (1, 0)  # of a message there is one end


def test_while_it_is_full_what_is_appended_does_not_pile_up() -> None:
    backlog = Backlog(threading.Event(), 1000)
    while not backlog.full:
        backlog.put(note(100))
    packed = len(backlog)
    for _ in range(10 * TOGETHER):
        backlog.append((SEEN, End("A", True), 1.5, False, "json", "call", "f", None, b"[]"))
        backlog.put(Ending(7, 2.5, "A", report()))
    assert len(backlog) < packed + TOGETHER
    assert backlog.lost == 10 * TOGETHER
    taken = all_of(backlog)
    assert Gap() in taken and not any(isinstance(one, Ended) for one in taken)


@given(
    most=st.integers(0, 1000),
    steps=st.lists(st.one_of(st.integers(0, 600), st.none()), max_size=200),
)
def test_never_more_than_what_fits_and_one(most: int, steps: list[int | None]) -> None:
    """None takes."""
    backlog, lost = Backlog(threading.Event(), most), 0
    for octets in steps:
        if octets is not None:
            lost += not put(backlog, octets)
        elif len(backlog):
            assert not isinstance(backlog.take(), Future)
        assert 0 <= backlog.octets <= most + 600 + 2 * ROOM
    all_of(backlog)
    assert not backlog.full and backlog.octets == 0 and backlog.lost == lost
