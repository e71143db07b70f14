"""How late the event loop is, on a clock of our own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

import pytest

from bridge.gateway.event_loop_lag import EventLoopLag


class Loop:
    """An event loop that calls when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0
        self.due = 0.0
        self.cancelled = False
        self._callback: Callable[[], None] | None = None

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], None]) -> Loop:
        self.due, self._callback = when, callback
        return self

    def cancel(self) -> None:
        self.cancelled = True

    def turn(self, late: float = 0.0) -> None:
        """Call what is due, so many seconds late."""
        self.now = self.due + late
        assert self._callback is not None
        self._callback()


def started() -> tuple[EventLoopLag, Loop]:
    """A EventLoopLag that beats."""
    loop = Loop()
    pulse = EventLoopLag(cast(asyncio.AbstractEventLoop, loop))
    pulse.start()
    return pulse, loop


def test_a_loop_that_turns_is_not_late() -> None:
    pulse, loop = started()
    assert (pulse.lag, pulse.most) == (0, 0)
    for _ in range(3):
        loop.turn(-0.001)  # it may call a moment early
    assert (pulse.lag, pulse.most) == (0, 0)


def test_the_last_beat_counts_now_and_the_latest_for_a_minute() -> None:
    pulse, loop = started()
    loop.turn(2.0)
    assert (pulse.lag, pulse.most) == (2.0, 2.0)
    loop.turn(0.25)
    assert (pulse.lag, pulse.most) == (0.25, 2.0)
    for _ in range(120):
        loop.turn()
    assert (pulse.lag, pulse.most) == (0, 0)


def test_a_beat_that_is_due_counts_before_it_comes() -> None:
    pulse, loop = started()
    loop.now = loop.due + 7
    assert pulse.lag == pulse.most == pytest.approx(7)


def test_it_beats_no_more_when_it_is_stopped() -> None:
    pulse, loop = started()
    pulse.stop()
    assert loop.cancelled
    EventLoopLag(cast(asyncio.AbstractEventLoop, loop)).stop()
