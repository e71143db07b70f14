"""What waits to be recorded: in order, and within its bounds."""

from __future__ import annotations

import threading
from concurrent.futures import Future

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.ocpp.actions import Party
from bridge.recorder.backlog import Backlog
from bridge.recorder.notes import Dropped, Gap, Note


def note(octets: int) -> Dropped:
    return Dropped(octets, 1, 1.0, "A", Party.CHARGE_POINT, "f", "")


def put(backlog: Backlog, octets: int) -> bool:
    """Whether it was put."""
    lost = backlog.lost
    backlog.put(note(octets))
    return backlog.lost == lost


def test_in_order_and_who_waits_behind_them() -> None:
    backlog, future = Backlog(threading.Event(), 100), Future[None]()
    notes = [note(1), note(2)]
    for one in notes:
        backlog.put(one)
    backlog.mark(future)
    assert (len(backlog), backlog.octets) == (3, 3)
    assert [backlog.take() for _ in range(3)] == [*notes, future]
    assert (len(backlog), backlog.octets) == (0, 0)
    with pytest.raises(IndexError):
        backlog.take()


def test_it_wakes_once() -> None:
    wake = threading.Event()
    backlog = Backlog(wake, 100)
    backlog.put(note(1))
    assert wake.is_set()
    wake.clear()
    backlog.put(note(1))
    assert not wake.is_set()
    backlog.asleep()
    backlog.put(note(1))
    assert wake.is_set()


def test_when_it_is_full_all_is_lost_until_a_good_deal_is_free() -> None:
    backlog = Backlog(threading.Event(), 80)
    taken = [put(backlog, 20) for _ in range(6)]
    assert taken == [True] * 5 + [False]
    assert (backlog.lost, backlog.full) == (1, True)
    backlog.take()
    assert backlog.full  # 80 of 80
    backlog.take()
    assert not backlog.full and put(backlog, 1)
    rest = [backlog.take() for _ in range(len(backlog))]
    assert [one.octets for one in rest if not isinstance(one, Future)] == [20, 20, 20, 0, 1]
    assert isinstance(rest[3], Gap)


@given(
    most=st.integers(0, 100),
    steps=st.lists(st.one_of(st.integers(0, 60), st.none()), max_size=200),
)
def test_never_more_than_what_fits_and_one(most: int, steps: list[int | None]) -> None:
    """None takes."""
    backlog, expected = Backlog(threading.Event(), most), list[Note]()
    lost = 0
    for octets in steps:
        if octets is not None:
            lost += not put(backlog, octets)
        elif len(backlog):
            taken = backlog.take()
            assert not isinstance(taken, Future)
            expected.append(taken)
        assert 0 <= backlog.octets <= most + 60
    while len(backlog):
        backlog.take()
    assert not backlog.full and backlog.octets == 0 and backlog.lost == lost
