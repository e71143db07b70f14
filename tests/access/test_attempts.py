"""Who was wrong has to wait, and nobody else: each line is a guess, and how long the next one has to wait then."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bridge.access.attempts import Attempts


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def attempts(most: int = 100) -> tuple[Attempts, Clock]:
    clock = Clock()
    return Attempts(clock, most), clock


def test_a_few_guesses_are_free_then_each_waits_twice_as_long() -> None:
    found, clock = attempts()
    waits = []
    for _ in range(13):
        found.wrong("10.0.0.1", "CP 1")
        waits.append(found.wait("10.0.0.1", "cp 1"))
        clock.now += waits[-1]
    assert waits == [0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60]
    clock.now += 901
    found.wrong("10.0.0.1", "CP 1")
    assert found.wait("10.0.0.1", "CP 1") == 0


def test_who_is_right_begins_anew() -> None:
    found, _ = attempts()
    for _ in range(4):
        found.wrong("10.0.0.1", "CP 1")
    found.right("10.0.0.1", "CP 1")
    found.wrong("10.0.0.1", "CP 1")
    assert found.wait("10.0.0.1", "CP 1") == 0


def test_another_address_and_another_identity_do_not_wait() -> None:
    found, _ = attempts()
    for _ in range(50):
        found.wrong("10.0.0.1", "CP 1")
    assert found.wait("10.0.0.1", "CP 1") > 0
    assert found.wait("10.0.0.2", "CP 1") == 0
    assert found.wait("10.0.0.1", "CP 2") == 0


def test_an_address_that_is_wrong_about_many_waits_for_those_it_was_never_right_about() -> None:
    found, _ = attempts()
    found.right("10.0.0.1", "neighbour")
    for number in range(21):
        found.wrong("10.0.0.1", f"CP {number}")
    assert found.wait("10.0.0.1", "CP 99") > 0
    assert found.wait("10.0.0.1", "neighbour") == 0
    assert found.wait("10.0.0.2", "CP 99") == 0


def test_an_identity_that_many_are_wrong_about_gives_each_address_one_guess() -> None:
    found, _ = attempts()
    for number in range(20):
        found.wrong(f"10.0.1.{number}", "CP 1")
    assert found.wait("10.0.0.1", "CP 1") == 0
    found.wrong("10.0.0.1", "CP 1")
    assert found.wait("10.0.0.1", "CP 1") > 0


def test_who_has_an_address_of_ipv6_has_many() -> None:
    found, _ = attempts()
    for number in range(5):
        found.wrong(f"2001:db8::{number}", "CP 1")
    assert found.wait("2001:db8::ffff", "CP 1") > 0
    assert found.wait("2001:db8:0:1::1", "CP 1") == 0
    for _ in range(5):
        found.wrong("::ffff:10.0.0.1", "CP 1")
    assert found.wait("10.0.0.1", "CP 1") > 0


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300), st.booleans())))
def test_nothing_makes_it_grow_without_bound(guesses: list[tuple[int, int, bool]]) -> None:
    found, _ = attempts(most=10)
    for address, identity, right in guesses:
        (found.right if right else found.wrong)(f"10.0.{address // 256}.{address % 256}", str(identity))
        assert 0 <= found.wait(f"10.0.0.{address % 256}", str(identity)) <= 60
    assert len(found) <= 30
