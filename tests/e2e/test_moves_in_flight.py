"""Charge Points are moved to and fro in quick succession, with Calls in flight in both directions.

Every Call of a Charge Point is answered, once, and every message about a transaction is at the Central System that
named it, once. No Central System ever has two connections in the name of one Charge Point. All of them count their
transactions from 1.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import msgspec
import pytest
from websockets.protocol import State

from bridge.config import CentralSystem
from bridge.lab.simulators.json_central_system import JsonCentralSystem
from bridge.lab.simulators.json_charge_point import JsonChargePoint
from bridge.lab.simulators.json_link import JsonLink
from bridge.lab.simulators.soap_central_system import SoapCentralSystem
from bridge.lab.simulators.soap_charge_point import SoapChargePoint
from bridge.lab.simulators.wire import Behaviour, Payload
from tests.admin.asked import api_of
from tests.e2e.stage import (
    AT,
    SAMPLES,
    charge_point,
    json_charge_point,
    reachable,
    running,
    settings,
    soap_central_system,
)

KINDS = {"a": "json", "b": "json", "c": "soap"}
SESSIONS = 8
COMMANDS: list[tuple[str, Payload]] = [("ClearCache", {}), ("RemoteStopTransaction", {"transactionId": 1})]


class Jealous(JsonCentralSystem):
    """Notes each connection that takes the place of an open one."""

    def __init__(self) -> None:
        super().__init__()
        self.replaced: list[str] = []

    async def _replace(self, identity: str, old: JsonLink | None, new: JsonLink | None) -> None:
        before = self.connections.get(identity)
        if new is not None and before is not None and before.websocket.state is State.OPEN:
            self.replaced.append(identity)
        await super()._replace(identity, old, new)


def slowed(behaviour: Behaviour, chance: random.Random) -> Callable[[Payload], Any]:
    """The same, sometimes later."""

    async def answer(payload: Payload) -> Payload:
        await asyncio.sleep(chance.choice((0, 0, 0.005, 0.03)))
        told = behaviour(payload)
        return told if isinstance(told, dict) else await told

    return answer


@pytest.mark.parametrize("seed", range(4))
async def test_in_quick_succession(seed: int) -> None:
    chance = random.Random(seed)
    async with AsyncExitStack() as held:
        enter = held.enter_async_context
        central: dict[str, Jealous | SoapCentralSystem] = {}
        for name, kind in KINDS.items():
            one: Jealous | SoapCentralSystem = Jealous() if kind == "json" else soap_central_system()
            central[name] = await enter(one)
            if isinstance(one, JsonCentralSystem):
                one.behaviour.update({action: slowed(each, chance) for action, each in one.behaviour.items()})
        told = settings("ws://127.0.0.1:1/", soap=reachable(), route={"central_system": "a"})
        systems = {
            name: CentralSystem(url=one.url, protocol="ocpp1.6j" if KINDS[name] == "json" else "ocpp1.6s")
            for name, one in central.items()
        }
        gateway = await enter(running(msgspec.structs.replace(told, central_systems=systems)))
        api = await enter(api_of(gateway))
        points: dict[str, JsonChargePoint | SoapChargePoint] = {
            "J 1": json_charge_point(gateway, "J 1"),
            "J 2": json_charge_point(gateway, "J 2"),
            "S 1": charge_point(gateway, "S 1"),
        }
        for point in points.values():
            await enter(point)
            await point.call("BootNotification", SAMPLES["BootNotification"])
        over = asyncio.Event()

        async def charge(identity: str) -> None:
            point = points[identity]
            for session in range(SESSIONS):
                begun = SAMPLES["StartTransaction"] | {"meterStart": session, "connectorId": 1 + session % 2}
                number = (await point.call("StartTransaction", begun))["transactionId"]
                said = {"transactionId": number, "connectorId": begun["connectorId"]}
                for _ in range(2):
                    await point.call("MeterValues", SAMPLES["MeterValues"] | said)
                    await point.call("Heartbeat", {})
                await point.call("StatusNotification", SAMPLES["StatusNotification"] | {"status": "Charging"})
                ended = {"transactionId": number, "timestamp": AT, "meterStop": session, "reason": "Local"}
                await point.call("StopTransaction", ended)

        async def move() -> None:
            while not over.is_set():
                when = chance.choice(("now", "now", "idle"))
                wanted = {"central_system": chance.choice(list(KINDS)), "when": when}
                answer = await api("PUT", f"/charge-points/{chance.choice(list(points))}/route", wanted)
                assert answer.status == 200, answer
                await asyncio.sleep(chance.choice((0, 0.002, 0.02)))

        async def command(name: str) -> None:
            while not over.is_set():
                identity = chance.choice(list(points))
                action, payload = chance.choice((("ClearCache", {}), ("RemoteStopTransaction", {"transactionId": 1})))
                try:
                    answer = await central[name].call(identity, action, payload)
                    assert answer["status"] in ("Accepted", "Rejected")
                except ConnectionError:  # it is not, or no longer, connected
                    pass
                await asyncio.sleep(0.01)

        others = [asyncio.ensure_future(command(name)) for name, kind in KINDS.items() if kind == "json"]
        others.append(asyncio.ensure_future(move()))
        try:
            await asyncio.gather(*map(charge, points))
        finally:
            over.set()
            await asyncio.gather(*others)
        for point in points.values():
            if isinstance(point, JsonChargePoint):
                assert point.close_code is None
        check(central, points)


def check(
    central: dict[str, Jealous | SoapCentralSystem], points: dict[str, JsonChargePoint | SoapChargePoint]
) -> None:
    """Each transaction is whole, and in one place."""
    begun: Counter[str] = Counter()
    for name, one in central.items():
        assert not one.violations, (name, one.violations)
        if isinstance(one, Jealous):
            assert not one.replaced, (name, one.replaced)
        counted: dict[tuple[str, str], list[int]] = defaultdict(list)
        for identity, action, payload in one.received:
            if action == "StartTransaction":
                counted[identity, action].append(payload["meterStart"])
                begun[identity] += 1
            elif action == "StopTransaction":
                counted[identity, action].append(payload["meterStop"])
            elif action == "MeterValues":
                counted[identity, action].append(payload["transactionId"])
        for identity in points:
            starts = counted[identity, "StartTransaction"]
            assert starts == counted[identity, "StopTransaction"], (name, identity)
            assert len(set(starts)) == len(starts)
            meters = Counter(counted[identity, "MeterValues"])
            assert len(meters) == len(starts) and set(meters.values()) <= {2}, (name, identity, meters)
    assert begun == dict.fromkeys(points, SESSIONS)
    for point in points.values():
        assert not point.violations
