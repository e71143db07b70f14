"""Many Charge Points move with a new configuration: some at a time, between which others are served."""

from __future__ import annotations

import asyncio

import msgspec

from bridge.config import CentralSystem, Route
from tests.e2e.stage import running, settings

MANY = 2000


async def test_others_are_served_while_many_are_looked_at_and_moved() -> None:
    turns = 0

    async def serve_others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    told = settings("ws://127.0.0.1:1/", gateway={"drain_timeout": 0})
    other = msgspec.structs.replace(
        told,
        central_systems=told.central_systems | {"other": CentralSystem(url="ws://127.0.0.1:2/")},
        routes=(Route(charge_point="*", central_system="other"),),
    )
    async with running(told) as gateway:
        for number in range(MANY):
            gateway._persistence.heard(f"CP {number}", "soap", "1.6")
            gateway._sessions.soap(gateway._placements.of(f"CP {number}"), "1.6")
        others = asyncio.ensure_future(serve_others())
        await gateway.reload(other)
        assert turns >= 2 * MANY // 100
        others.cancel()
        assert not any(runner.placement.central_system == "main" for runner in gateway._sessions)
