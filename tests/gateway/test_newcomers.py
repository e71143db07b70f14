"""How many identities that nobody knows come from one address, and how they stop counting."""

from __future__ import annotations

import asyncio

import pytest

from bridge.errors import Unavailable
from bridge.gateway.newcomers import Newcomers


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_so_many_of_one_address_in_a_minute() -> None:
    clock = Clock()
    newcomers = Newcomers(2, clock=clock)
    for identity in ("CP 1", "CP 2", "cp 1"):
        newcomers.enter("10.0.0.1", identity)
    with pytest.raises(Unavailable, match="new_identities_per_minute"):
        newcomers.enter("10.0.0.1", "CP 3")
    newcomers.enter("10.0.0.2", "CP 3")
    clock.now += 61
    newcomers.enter("10.0.0.1", "CP 4")
    for number in range(3, 1000):
        newcomers.enter(f"10.1.{number // 256}.{number % 256}", f"other {number}")
        clock.now += 1
    assert len(newcomers) < 200


async def test_who_is_accepted_counts_no_more_and_lets_in_who_waits() -> None:
    newcomers = Newcomers(2)
    waiting = [asyncio.ensure_future(newcomers.entered("10.0.0.1", f"CP {number}")) for number in range(30)]
    for number in range(30):
        await waiting[number]
        assert sum(one.done() for one in waiting) <= number + 2
        newcomers.accepted(f"CP {number}")
    assert len(newcomers) == 0
