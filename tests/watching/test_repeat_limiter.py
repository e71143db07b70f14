"""One line a minute for each source and reason, whatever comes, and a table that does not grow with it."""

from __future__ import annotations

from bridge.watching.repeat_limiter import RepeatLimiter
from tests.net.limits.test_bucket import Clock


def test_once_a_minute() -> None:
    clock = Clock()
    gate = RepeatLimiter(clock)
    assert [gate.passes("a") for _ in range(4)] == [0, None, None, None]
    assert gate.passes("b") == 0
    clock.now += 59.9
    assert gate.passes("a") is None
    clock.now += 0.2
    assert [gate.passes("a"), gate.passes("a")] == [4, None]
    clock.now += 60
    assert gate.passes("a") == 1


def test_one_may_stand_for_many() -> None:
    clock = Clock()
    gate = RepeatLimiter(clock)
    assert [gate.passes("a", 10), gate.passes("a", 5), gate.passes("a")] == [9, None, None]
    clock.now += 61
    assert gate.passes("a", 3) == 8


def test_a_flood_of_sources_does_not_fill_memory() -> None:
    clock = Clock()
    gate = RepeatLimiter(clock, most=100)
    assert gate.passes("first") == 0
    for number in range(10_000):
        clock.now += 0.001
        assert gate.passes(number) == 0
        assert len(gate) <= 100
    assert gate.passes(9_999) is None
    assert gate.passes("first") == 0


def test_what_has_nothing_to_tell_is_forgotten_after_a_minute() -> None:
    clock = Clock()
    gate = RepeatLimiter(clock)
    for number in range(1000):
        clock.now += 1
        assert gate.passes(number) == 0
        assert len(gate) <= 60


def test_what_was_held_is_told_within_the_hour() -> None:
    clock = Clock()
    gate = RepeatLimiter(clock)
    assert [gate.passes("a"), gate.passes("a")] == [0, None]
    clock.now += 3599
    assert [gate.passes("b"), gate.passes("a")] == [0, 1]
    assert gate.passes("a") is None
    clock.now += 3600
    assert gate.passes("b") == 0
    assert len(gate) == 1
    assert gate.passes("a") == 0
