"""How often an identity may be guessed, and whose guess goes first: each line is a guess, and what holds after it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bridge.access.attempts import Attempts, Rank


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def attempts(most: int = 100) -> tuple[Attempts, Clock]:
    clock = Clock()
    return Attempts(clock, most), clock


def test_five_guesses_are_free_then_there_is_one_a_second() -> None:
    found, clock = attempts()
    waits = []
    for _ in range(8):
        found.take("CP 1")
        waits.append(found.due("cp 1"))
        clock.now += waits[-1]
    assert waits == [0, 0, 0, 0, 1, 1, 1, 1]
    clock.now += 3
    found.take("CP 1")
    assert found.due("CP 1") == 0


def test_every_identity_has_its_own() -> None:
    found, _ = attempts()
    for number in range(50):
        for _ in range(5):
            found.take(f"CP {number}")
    assert found.due("CP 1") > 0
    assert found.due("CP 99") == 0


def test_who_guessed_wrong_last_goes_last() -> None:
    found, clock = attempts()
    found.wrong("10.0.0.1", "CP 1")
    assert found.rank("10.0.0.1", "cp 1") is Rank.WRONG
    assert found.rank("10.0.0.1", "CP 2") is Rank.ADDRESS_WRONG
    assert found.rank("10.0.0.2", "CP 1") is Rank.NEVER_WRONG
    found.right("10.0.0.1", "CP 2")
    assert found.rank("10.0.0.1", "CP 3") is Rank.NEVER_WRONG
    assert found.rank("10.0.0.1", "CP 1") is Rank.WRONG
    clock.now += 901
    assert found.rank("10.0.0.1", "CP 1") is Rank.NEVER_WRONG


def test_who_has_an_address_of_ipv6_has_many() -> None:
    found, _ = attempts()
    found.wrong("2001:db8::1", "CP 1")
    assert found.rank("2001:db8::ffff", "CP 1") is Rank.WRONG
    assert found.rank("2001:db8:0:1::1", "CP 1") is Rank.NEVER_WRONG
    found.wrong("::ffff:10.0.0.1", "CP 1")
    assert found.rank("10.0.0.1", "CP 1") is Rank.WRONG


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300), st.booleans())))
def test_nothing_makes_it_grow_without_bound(guesses: list[tuple[int, int, bool]]) -> None:
    found, _ = attempts(most=10)
    for address, identity, right in guesses:
        found.take(str(identity))
        (found.right if right else found.wrong)(f"10.0.{address // 256}.{address % 256}", str(identity))
        assert 0 <= found.due(str(identity)) <= 60
    assert len(found) <= 30
