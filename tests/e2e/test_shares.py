"""Calls in progress: neither direction takes the half of the other, and one Central System or address not all of its
own."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import msgspec
from aiohttp import web

from bridge.config import CentralSystem, Route, Settings
from bridge.lab.simulators.json_central_system import JsonCentralSystem
from tests.e2e.stage import (
    CP,
    Connection,
    RawCentralSystem,
    answering,
    dialled,
    envelope,
    listening,
    post,
    running,
    settings,
)

ATTACKER = "127.0.0.2"
# Of 2000 Calls in all, half are a direction's, and three quarters of that one source's.
OF_ONE = 750
RESET = f'<resetResponse xmlns="{CP}"><status>Accepted</status></resetResponse>'


def two_systems(honest: str, silent: str) -> Settings:
    """The Charge Points "evil ..." belong to the Central System at `silent`, all others to that at `honest`."""
    told = settings(honest, gateway={"call_timeout": 300, "drain_timeout": 0})
    return msgspec.structs.replace(
        told,
        routes=(Route(charge_point="evil*", central_system="silent"), *told.routes),
        central_systems=told.central_systems | {"silent": CentralSystem(url=silent)},
    )


async def hang(request: bytes) -> web.Response:
    return await asyncio.Future[web.Response]()


async def refused(links: list[Connection], wanted: int) -> None:
    """Until so many Calls have been answered with CALLERROR InternalError, and none otherwise."""
    left = wanted

    async def read(link: Connection) -> None:
        nonlocal left
        while True:
            answer = await link.receive()
            assert (answer[0], answer[2]) == (4, "InternalError") and "gateway.max_in_flight" in answer[3]
            left -= 1
            if not left:
                done.set()

    done = asyncio.Event()
    readers = [asyncio.ensure_future(read(link)) for link in links]
    try:
        await asyncio.wait([asyncio.ensure_future(done.wait()), *readers], return_when=asyncio.FIRST_COMPLETED)
        assert left == 0
    finally:
        for reader in readers:
            reader.cancel()


async def test_a_thousand_commands_to_callbacks_that_hang_hurt_nobody() -> None:
    async with (
        RawCentralSystem() as silent,
        JsonCentralSystem() as central,
        listening(hang, host=ATTACKER) as deaf,
        listening(answering(RESET)) as honest,
        running(two_systems(central.url, silent.url)) as gateway,
    ):
        links = []
        for number in range(10):
            body = envelope(identity=f"evil {number}", source=deaf.url)
            waiting = asyncio.ensure_future(post(gateway, body, peer=ATTACKER))
            links.append(await silent.connected())
            await links[-1].serve()
            assert (await waiting).status == 200
        for number in range(1000):
            await links[number % 10].send([2, f"{number}", "Reset", {"type": "Soft"}])
        await refused(links, 1000 - OF_ONE)
        statuses = [(await post(gateway, envelope(source=honest.url))).status for _ in range(58)]
        assert statuses == [200] * 58
        assert await central.call("CP 1", "Reset", {"type": "Soft"}) == {"status": "Accepted"}


async def test_a_thousand_calls_of_one_address_that_nobody_answers_hurt_no_other() -> None:
    async with (
        RawCentralSystem() as silent,
        JsonCentralSystem() as central,
        listening(answering(RESET)) as honest,
        running(two_systems(central.url, silent.url)) as gateway,
        AsyncExitStack() as held,
    ):
        points = []
        for number in range(10):
            opening = dialled(gateway, f"evil%20{number}", local_addr=(ATTACKER, 0))
            points.append(await held.enter_async_context(opening))
            await silent.connected()
        for number in range(1000):
            await points[number % 10].send([2, f"{number}", "Heartbeat", {}])
        await refused(points, 1000 - OF_ONE)
        # Not from their address either, though there is room for others.
        assert (await post(gateway, envelope(identity="CP 2"), peer=ATTACKER)).status == 503
        statuses = [(await post(gateway, envelope(source=honest.url))).status for _ in range(58)]
        assert statuses == [200] * 58
        assert await central.call("CP 1", "Reset", {"type": "Soft"}) == {"status": "Accepted"}
