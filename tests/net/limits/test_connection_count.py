"""Who is in, and who has to stay outside."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bridge.net.limits.connection_count import ConnectionCount


def test_so_many_of_one_address() -> None:
    crowd = ConnectionCount(most=10, most_of_one=2)
    assert [crowd.enter("a"), crowd.enter("a")] == [None, None]
    assert crowd.enter("a") == "2 connections of this address are open (limits.connections_per_address)"
    assert crowd.enter("b") is None
    crowd.leave("a")
    assert crowd.enter("a") is None


def test_so_many_in_all() -> None:
    crowd = ConnectionCount(most=2, most_of_one=2)
    assert [crowd.enter("a"), crowd.enter("b")] == [None, None]
    assert crowd.enter("c") == "2 connections are open (limits.connections)"
    crowd.leave("b")
    assert crowd.enter("c") is None


def test_a_connection_that_is_no_single_address() -> None:
    """It counts in all; an address that sends something on it is counted while that lasts."""
    crowd = ConnectionCount(most=2, most_of_one=1)
    assert [crowd.enter(None), crowd.enter(None)] == [None, None]
    assert crowd.enter("a") == "2 connections are open (limits.connections)"
    assert crowd.assign("a") is None
    assert crowd.assign("a") == "1 connections of this address are open (limits.connections_per_address)"
    crowd.release("a")
    assert crowd.assign("a") is None
    crowd.leave("a")
    crowd.leave(None)
    assert len(crowd) == 0 and crowd.enter("a") is None


@given(st.lists(st.tuples(st.booleans(), st.sampled_from("abc")), max_size=200))
def test_it_counts_right_and_forgets_who_has_gone(moves: list[tuple[bool, str]]) -> None:
    crowd, inside = ConnectionCount(most=5, most_of_one=3), list[str]()
    for comes, address in moves:
        if comes and crowd.enter(address) is None:
            inside.append(address)
        elif not comes and address in inside:
            crowd.leave(address)
            inside.remove(address)
        assert len(crowd) == len(inside) <= 5
        assert all(inside.count(each) <= 3 for each in inside)
    for address in inside:
        crowd.leave(address)
    assert vars(crowd) | {"_of": {}} == vars(crowd)
