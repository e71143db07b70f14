"""All Charge Points at once, as after a power cut: everybody is served, and past what may wait refused in words that a
Charge Point understands."""

from __future__ import annotations

import asyncio

from bridge.lab.simulators.json_central_system import JsonCentralSystem
from tests.e2e.stage import CS, envelope, logged, post, running, settings


async def test_some_hundred_at_once_are_all_served() -> None:
    async with JsonCentralSystem() as central, running(settings(central.url)) as gateway:
        some = [post(gateway, envelope(identity=f"CP {number}")) for number in range(300)]
        answers = await asyncio.gather(*some)
        assert {(answer.status, answer.fault) for answer in answers} == {(200, None)}


async def test_more_than_may_wait_are_refused() -> None:
    told = settings("ws://127.0.0.1:1/", gateway={"max_in_flight": 1})
    with logged() as lines:
        async with running(told) as gateway:
            some = [post(gateway, envelope(identity="CP 1")) for _ in range(40)]
            answers = await asyncio.gather(*some)
    assert {answer.status for answer in answers} == {503}
    assert {answer.fault and answer.fault[1] for answer in answers} == {f"{{{CS}}}InternalError"}
    # Told in a sum, at the latest when the listener closes.
    assert [line for line in lines if "too many requests wait already" in line]
