"""The transactionIds of an observer beside those of the Charge Point."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bridge.core.observer_ids import ObserverId, ObserverIds


def test_both_ways() -> None:
    ids = ObserverIds()
    assert ids.named(3) is None and ids.number_for(7) is None
    assert ids.started(3, 7) == ObserverId(number=3, named=7)
    assert (ids.named(3), ids.number_for(7), ids.number_for(3), ids.open) == (7, 3, None, 1)
    assert ids.ended(3) == ObserverId(number=3, named=7, ended=True)
    assert ids.ended(3) is None and ids.ended(4) is None and ids.ended(None) is None
    # A late MeterValues still goes to it.
    assert ids.named(3) == 7 and ids.open == 0


def test_a_start_without_a_number_names_nothing() -> None:
    ids = ObserverIds()
    assert ids.started(None, 7) is None and ids.started(0, 7) is None and ids.started(-1, 7) is None
    assert ids.number_for(7) is None and ids.number_for(0) is None


def test_a_refused_start_takes_the_number_from_the_one_before() -> None:
    ids = ObserverIds([ObserverId(number=3, named=7)])
    assert ids.started(3, None) == ObserverId(number=3, named=None)
    assert ids.named(3) is None and ids.number_for(7) is None


def test_of_two_with_one_number_of_the_observer_the_open_one_is_meant() -> None:
    ids = ObserverIds()
    ids.started(1, 7)
    ids.started(2, 7)
    ids.ended(2)
    assert ids.number_for(7) == 1
    ids.ended(1)
    assert ids.number_for(7) == 2


def test_the_oldest_ended_one_is_forgotten_first() -> None:
    ids = ObserverIds([ObserverId(number=1, named=1), ObserverId(number=2, named=2, ended=True)], limit=2)
    ids.started(3, 3)
    assert [ids.named(number) for number in (1, 2, 3)] == [1, None, 3]
    ids.started(4, 4)
    assert [ids.named(number) for number in (1, 3, 4)] == [None, 3, 4]


def test_what_was_stored_is_older() -> None:
    ids = ObserverIds()
    ids.started(1, 10)
    ids.take_back([ObserverId(number=1, named=5), ObserverId(number=2, named=6)])
    assert (ids.named(1), ids.named(2)) == (10, 6)


@given(st.lists(st.tuples(st.integers(1, 4), st.one_of(st.none(), st.integers(1, 4)), st.booleans())))
def test_whatever_is_named(events: list[tuple[int, int | None, bool]]) -> None:
    """What is sent is what the observer gave last for that number, never the number itself."""
    ids, last = ObserverIds(), dict[int, int | None]()
    for number, named, ends in events:
        if ends:
            ids.ended(number)
        else:
            ids.started(number, named)
            last[number] = named
        for one in range(1, 5):
            assert ids.named(one) == last.get(one)
            back = ids.number_for(one)
            assert (back is None) == (one not in last.values()) and (back is None or last[back] == one)
