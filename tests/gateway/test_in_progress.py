"""How many Calls may be in progress, and when none is any more."""

from __future__ import annotations

import asyncio

import pytest

from bridge.errors import Unavailable, Why
from bridge.gateway.in_progress import InProgress
from tests.e2e.stage import run

# Seconds. What is waited for comes, or the test fails.
AT_MOST = 20.0


def test_so_many_and_no_more() -> None:
    calls = InProgress(limit=2, most_waiting=3)
    calls.begin(0)
    with pytest.raises(Unavailable, match="3 Calls wait already") as refused:
        calls.begin(3)
    assert refused.value.why is Why.BUSY
    calls.begin(2)
    with pytest.raises(Unavailable, match="2 Calls are in progress") as refused:
        calls.begin(0)
    assert refused.value.why is Why.BUSY
    calls.end()
    calls.begin(0)
    assert calls.in_progress == 2


def test_none_while_it_drains() -> None:
    calls = InProgress(limit=2, most_waiting=3)
    calls.draining = True
    with pytest.raises(Unavailable):
        calls.begin(0)


def test_it_is_drained_when_the_last_one_ends() -> None:
    async def walk() -> None:
        calls = InProgress(limit=2, most_waiting=3)
        assert await calls.drained(0)  # there was none
        calls.begin(0)
        calls.begin(0)
        waits = [asyncio.ensure_future(calls.drained(AT_MOST)) for _ in range(2)]
        await asyncio.sleep(0)
        calls.end()
        assert not await calls.drained(0)
        assert not any(waiting.done() for waiting in waits)
        calls.end()
        assert await asyncio.gather(*waits) == [True, True]

    run(walk())
