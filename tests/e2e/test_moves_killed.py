"""A bridge that is killed while its Charge Points are moved to and fro: each Start and Stop is where it has to be.

The kill is `kill -9`, at any moment. Charge Points send what was not answered again. Both Central Systems count their
transactions from 1. A copy that came twice has the same UniqueId.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import defaultdict
from functools import partial
from pathlib import Path

import pytest

from bridge.lab.simulators.json_central_system import JsonCentralSystem
from bridge.lab.simulators.json_charge_point import ConnectionRefused, JsonChargePoint
from bridge.lab.simulators.wire import Behaviour, CallRefused, Payload, WireMessage
from tests.e2e.processes import Bridge
from tests.e2e.stage import AT, SAMPLES, envelope, post
from tests.e2e.test_moves import BOOT
from tests.e2e.test_observers_killed import stop, until_answered
from tests.e2e.test_restart import start, told

SESSIONS, KILLS = 12, 3


class Received:
    """The StartTransactions and StopTransactions that a Central System got, by meter value, with their UniqueIds."""

    def __init__(self) -> None:
        self.system = JsonCentralSystem(observe=self._see)
        self.ids: dict[tuple[str, int], set[str]] = defaultdict(set)
        for action in ("StartTransaction", "StopTransaction"):
            self.system.behaviour[action] = _slowed(self.system.behaviour[action])

    def _see(self, message: WireMessage) -> None:
        if (message.direction, message.kind) == ("received", "call"):
            _, unique_id, action, payload = json.loads(message.text)
            meter = payload.get("meterStart", payload.get("meterStop"))
            if meter is not None:
                self.ids[action, meter].add(unique_id)


def _slowed(behaviour: Behaviour) -> Behaviour:
    """The same a little later, so that kills find it in flight."""

    async def answer(payload: Payload) -> Payload:
        await asyncio.sleep(0.01)
        told_ = behaviour(payload)
        return told_ if isinstance(told_, dict) else await told_

    return answer


class Stubborn:
    """A JSON Charge Point that connects again, and sends what was not answered again."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._point: JsonChargePoint | None = None

    async def call(self, action: str, payload: Payload) -> Payload:
        while True:
            try:
                if self._point is None:
                    self._point = JsonChargePoint(url=self._url, identity="J 1")
                    await self._point.start()
                return await self._point.call(action, payload)
            except CallRefused:
                await asyncio.sleep(0.1)
            except (ConnectionRefused, OSError, TimeoutError, EOFError):
                await self.stop()
                await asyncio.sleep(0.1)

    async def stop(self) -> None:
        if self._point is not None:
            point, self._point = self._point, None
            await point.stop()


@pytest.mark.parametrize("seed", range(2))
async def test_killed_at_any_moment(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    received = {"old": Received(), "new": Received()}
    async with received["old"].system as old, received["new"].system as new:
        systems = {
            name: {"url": one.url, "reconnect_min": 0.2, "reconnect_max": 0.5}
            for name, one in (("old", old), ("new", new))
        }
        async with Bridge(tmp_path, systems) as bridge:
            point = Stubborn(bridge.websocket_url)
            over = asyncio.Event()

            async def json_charges() -> None:
                await point.call("BootNotification", SAMPLES["BootNotification"])
                for session in range(SESSIONS):
                    begun = SAMPLES["StartTransaction"] | {"meterStart": session}
                    number = (await point.call("StartTransaction", begun))["transactionId"]
                    await point.call("Heartbeat", {})
                    ended = {"transactionId": number, "timestamp": AT, "meterStop": session}
                    await point.call("StopTransaction", ended)

            async def soap_charges() -> None:
                await until_answered(partial(post, bridge, envelope(BOOT)))
                for session in range(1000, 1000 + SESSIONS):
                    _, number = told(await until_answered(partial(post, bridge, start(meter=session))))
                    await until_answered(partial(post, bridge, stop(number, session)))

            async def move() -> None:
                kills = 0
                while not over.is_set():
                    bridge.configure(systems, {"*": chance.choice(("old", "new"))})
                    await bridge.reload()
                    await asyncio.sleep(chance.choice((0, 0.01, 0.05)))
                    if kills < KILLS:
                        kills += 1
                        await bridge.restart()

            moving = asyncio.ensure_future(move())
            await asyncio.gather(json_charges(), soap_charges())
            over.set()
            await moving
            await point.stop()
    for session in (*range(SESSIONS), *range(1000, 1000 + SESSIONS)):
        places = {
            action: [name for name, one in received.items() if (action, session) in one.ids]
            for action in ("StartTransaction", "StopTransaction")
        }
        assert places["StartTransaction"] == places["StopTransaction"], (session, places)
        assert len(places["StartTransaction"]) == 1, (session, places)
        (where,) = places["StartTransaction"]
        for action in places:
            assert len(received[where].ids[action, session]) == 1, (session, action, where)
