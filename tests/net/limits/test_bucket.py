"""So many a second, so many at once, and not one more."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.net.limits.bucket import Bucket


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_and_then_the_rate() -> None:
    clock = Clock()
    bucket = Bucket(2, 3, clock)
    assert [bucket.take() for _ in range(5)] == [0.0, 0.0, 0.0, 0.5, 0.5]
    clock.now += 0.25
    assert bucket.take() == 0.25
    clock.now += 0.25
    assert bucket.take() == 0.0
    assert bucket.take() == 0.5


def test_what_was_not_used_is_kept_up_to_the_burst() -> None:
    clock = Clock()
    bucket = Bucket(10, 3, clock)
    clock.now += 3600
    assert [bucket.take() for _ in range(4)] == [0.0, 0.0, 0.0, pytest.approx(0.1)]


def test_waiting_as_long_as_it_says_is_enough() -> None:
    clock = Clock()
    bucket = Bucket(3, 1, clock)
    assert bucket.take() == 0.0
    for _ in range(1000):
        while wait := bucket.take():
            clock.now += wait


@given(
    rate=st.floats(0.01, 1000),
    burst=st.integers(1, 1000),
    waits=st.lists(st.floats(0, 10), max_size=200),
)
def test_never_more_than_the_rate_and_the_burst(rate: float, burst: int, waits: list[float]) -> None:
    clock = Clock()
    bucket, taken = Bucket(rate, burst, clock), 0
    for wait in waits:
        clock.now += wait
        taken += bucket.take() == 0.0
    assert taken <= burst + rate * sum(waits) + 1e-3
