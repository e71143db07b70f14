"""The honest side of a soak: Charge Points of both kinds, with Central Systems of both kinds, and what they say in a
minute. Connections break and Central Systems restart; what was not answered is said again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any

from bridge.lab.simulators.json_central_system import JsonCentralSystem
from bridge.lab.simulators.json_charge_point import JsonChargePoint
from bridge.lab.simulators.soap_central_system import SoapCentralSystem
from bridge.lab.simulators.soap_charge_point import SoapChargePoint
from bridge.lab.simulators.wire import CallRefused, Payload
from tests.e2e.processes import Bridge
from tests.e2e.stage import COMMANDS, PATH, SAMPLES, WSDL

# By their own protocol and that of their Central System, how many of two hundred.
SHARES = {"SJ": 90, "JJ": 60, "JS": 30, "SS": 20}
_OTHERS = [action for action in SAMPLES if action != "MeterValues"]
_AGAIN = 0.05  # seconds before something is said again
_AT_ONCE = 40
# Seconds until a JSON Charge Point repeats what nobody answered: transactions that its Central System took with it.
_PATIENCE = 3

Point = JsonChargePoint | SoapChargePoint


@dataclass(slots=True)
class Fleet:
    """All of them. `answered` counts the Calls that were, `again` those that had to be said again, and `restarts` the
    times that the Central Systems went and came."""

    bridge: Bridge
    json: JsonCentralSystem
    soap: SoapCentralSystem
    random: Random
    points: list[Point] = field(default_factory=list)
    answered: int = 0
    again: int = 0
    restarts: int = 0

    async def connect(self, held: AsyncExitStack) -> None:
        """Start all Charge Points; `held` stops them."""
        soap = f"http://127.0.0.1:{self.bridge.soap_address[1]}{PATH}"
        for kind, share in SHARES.items():
            for number in range(share):
                identity = f"good {kind} {number}"
                if kind.startswith("S"):
                    spoken = SoapChargePoint(url=soap, identity=identity, wsdl=WSDL)
                    self.points.append(await held.enter_async_context(spoken))
                else:
                    point = JsonChargePoint(url=self.bridge.websocket_url, identity=identity, timeout=_PATIENCE)
                    self.points.append(await held.enter_async_context(point))

    async def minute(self, number: int) -> None:
        """What each of them says and is asked in a minute, in any order."""
        order = self.random.sample(range(len(self.points)), len(self.points))
        room = asyncio.Semaphore(_AT_ONCE)

        async def live(index: int) -> None:
            async with room:
                await self._minute_of(index, number)

        await asyncio.gather(*(live(index) for index in order))

    async def _minute_of(self, index: int, minute: int) -> None:
        point = self.points[index]
        if index % 10 == minute % 10:
            await _broken(point)
        for action in ("MeterValues", _OTHERS[(index + minute) % len(_OTHERS)]):
            await self._until_answered(point, partial(point.call, action, SAMPLES[action]))
        if index % 4 == minute % 4:
            action = list(COMMANDS)[(index // 4 + minute) % len(COMMANDS)]
            central = self.json if point.identity.split()[1].endswith("J") else self.soap
            await self._until_answered(point, partial(central.call, point.identity, action, COMMANDS[action]))

    async def _until_answered(self, point: Point, call: Callable[[], Awaitable[Payload]]) -> None:
        while True:
            try:
                await call()
            except (CallRefused, OSError, TimeoutError):
                self.again += 1
                await asyncio.sleep(_AGAIN)
                await _mended(point)
            else:
                self.answered += 1
                return

    async def restart(self) -> None:
        """Both Central Systems go, and come back at the same addresses."""
        self.restarts += 1
        await self.json.stop()
        await self.soap.down()
        await self.json.start()
        await self.soap.up()
        self.restarts += 1

    async def settle(self) -> None:
        """Until each has been answered once more, and stands by."""
        for point in self.points:
            await self._until_answered(point, partial(point.call, "Heartbeat", {}))
            if point.identity.split()[1].endswith("J"):
                await self.json.wait_for(point.identity)

    def violations(self) -> list[str]:
        """What any of them objects to."""
        parties: list[Any] = [self.json, self.soap, *self.points]
        return [violation for party in parties for violation in party.violations]


async def _broken(point: Point) -> None:
    """The line is cut without a word; a SOAP Charge Point comes back at another port."""
    if isinstance(point, JsonChargePoint):
        if point.link is not None:
            point.link.websocket.transport.abort()
            await point.wait_closed()
    else:
        await point.stop()
        await point.start()
    await _mended(point)


async def _mended(point: Point) -> None:
    """A JSON Charge Point is connected again, if somebody is there."""
    if isinstance(point, JsonChargePoint) and point.close_code is not None:
        with contextlib.suppress(OSError, TimeoutError):
            await point.stop()
            await point.start()
