"""How many Calls may be in progress, and when none is any more."""

from __future__ import annotations

import asyncio

import pytest

from bridge.errors import Unavailable
from bridge.gateway.in_progress import InProgress
from bridge.ocpp.actions import Party

# Seconds. What is waited for comes, or the test fails.
AT_MOST = 20.0


CHARGE_POINT, CENTRAL_SYSTEM = Party.CHARGE_POINT, Party.CENTRAL_SYSTEM


def refused(calls: InProgress, waiting: int, sender: Party, source: str) -> str:
    with pytest.raises(Unavailable) as refusal:
        calls.begin(waiting, sender, source)
    return refusal.value.description


def test_so_many_and_no_more() -> None:
    calls = InProgress(limit=1, most_waiting=3)
    assert "3 Calls wait already" in refused(calls, 3, CHARGE_POINT, "10.0.0.1")
    calls.begin(2, CHARGE_POINT, "10.0.0.1")
    assert "1 Calls are in progress" in refused(calls, 0, CENTRAL_SYSTEM, "main")
    calls.end(CHARGE_POINT, "10.0.0.1")
    calls.begin(0, CENTRAL_SYSTEM, "main")
    assert calls.in_progress == 1


def test_each_direction_has_its_half_and_one_source_not_all_of_that() -> None:
    for sender, source, other in ((CENTRAL_SYSTEM, "main", "other"), (CHARGE_POINT, "10.0.0.1", "10.0.0.2")):
        calls = InProgress(limit=16, most_waiting=100)
        for _ in range(6):
            calls.begin(0, sender, source)
        assert "6 Calls of one" in refused(calls, 0, sender, source)
        for _ in range(2):
            calls.begin(0, sender, other)
        assert "8 Calls of" in refused(calls, 0, sender, "third")
        for _ in range(8):  # whatever the one has, the other has its half
            calls.begin(0, sender.other, f"source {calls.in_progress % 2}")
        calls.end(sender, source)
        assert "Calls are in progress" not in refused(calls, 100, sender, source)
        calls.begin(0, sender, source)


def test_all_addresses_of_one_network_of_ipv6_are_one() -> None:
    calls = InProgress(limit=16, most_waiting=100)
    for number in range(6):
        calls.begin(0, CHARGE_POINT, f"2001:db8::{number}")
    assert "6 Calls of one address" in refused(calls, 0, CHARGE_POINT, "2001:db8::7")
    calls.begin(0, CHARGE_POINT, "2001:db8:0:1::7")
    calls.end(CHARGE_POINT, "2001:db8::9")
    calls.begin(0, CHARGE_POINT, "2001:db8::7")


def test_none_while_it_drains() -> None:
    calls = InProgress(limit=8, most_waiting=3)
    calls.draining = True
    with pytest.raises(Unavailable):
        calls.begin(0, CHARGE_POINT, "10.0.0.1")


async def test_it_is_drained_when_the_last_one_ends() -> None:
    calls = InProgress(limit=8, most_waiting=3)
    assert await calls.drained(0)  # there was none
    calls.begin(0, CHARGE_POINT, "10.0.0.1")
    calls.begin(0, CHARGE_POINT, "10.0.0.1")
    waits = [asyncio.ensure_future(calls.drained(AT_MOST)) for _ in range(2)]
    await asyncio.sleep(0)
    calls.end(CHARGE_POINT, "10.0.0.1")
    assert not await calls.drained(0)
    assert not any(waiting.done() for waiting in waits)
    calls.end(CHARGE_POINT, "10.0.0.1")
    assert await asyncio.gather(*waits) == [True, True]
