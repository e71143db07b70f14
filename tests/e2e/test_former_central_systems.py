"""A transaction belongs to the Central System that named it, also after its Charge Point was moved.

Both Central Systems count their transactions from 1, so that their numbers collide.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bridge import config
from bridge.app import Gateway
from bridge.config import CentralSystem, Policy
from bridge.lab.simulators.json_central_system import JsonCentralSystem
from bridge.lab.simulators.json_charge_point import JsonChargePoint
from bridge.lab.simulators.soap_central_system import SoapCentralSystem
from bridge.lab.simulators.soap_charge_point import SoapChargePoint
from bridge.lab.simulators.wire import Payload
from tests.admin.asked import api_of
from tests.e2e.stage import (
    AT,
    AT_MOST,
    SAMPLES,
    RawCentralSystem,
    charge_point,
    dialled,
    json_charge_point,
    reachable,
    running,
    settings,
)
from tests.e2e.stage import soap_central_system as soap_system

KINDS = ("json", "soap")
LEGS = [(near, old, new) for near in KINDS for old in KINDS for new in KINDS]
CENTRAL_SYSTEMS = ("main", "new")
ACCEPTED, REJECTED = {"status": "Accepted"}, {"status": "Rejected"}
ONE = "/charge-points/CP 1"
CentralSystemParty = JsonCentralSystem | SoapCentralSystem


@dataclass
class Moving:
    """A Charge Point, and two Central Systems."""

    gateway: Gateway
    systems: dict[str, CentralSystemParty]
    near: str
    point: JsonChargePoint | SoapChargePoint

    async def move(self, central_system: str) -> None:
        async with api_of(self.gateway) as api:
            assert (await api("PUT", f"{ONE}/route", {"central_system": central_system, "when": "now"})).status == 200
        if isinstance(self.point, JsonChargePoint):
            await self.comes_back()

    async def comes_back(self) -> None:
        """The JSON Charge Point was disconnected, and connects again."""
        await self.point.stop()
        self.point = json_charge_point(self.gateway)
        await self.point.start()

    async def start(self, connector: int) -> int:
        told = await self.point.call("StartTransaction", SAMPLES["StartTransaction"] | {"connectorId": connector})
        number = told["transactionId"]
        assert isinstance(number, int)
        return number

    async def meter(self, connector: int, number: int) -> None:
        await self.point.call(
            "MeterValues", SAMPLES["MeterValues"] | {"connectorId": connector, "transactionId": number}
        )

    async def stop(self, number: int, meter: int = 12680) -> None:
        await self.point.call("StopTransaction", {"transactionId": number, "timestamp": AT, "meterStop": meter})

    def received(self, name: str, *actions: str) -> list[tuple[str, Payload]]:
        """What a Central System got of these actions."""
        return [(action, payload) for _, action, payload in self.systems[name].received if action in actions]

    def ids(self, name: str) -> list[tuple[str, int]]:
        """The messages about transactions that a Central System got, and the transactionIds in them."""
        told = self.received(name, "MeterValues", "StopTransaction")
        return [(action, payload["transactionId"]) for action, payload in told]

    async def commanded(self, name: str, action: str, payload: Payload) -> Payload:
        """A command of a Central System, as soon as it can give one."""
        await self.systems[name].wait_for("CP 1")
        return await self.systems[name].call("CP 1", action, payload)


def central(kind: str) -> CentralSystemParty:
    return JsonCentralSystem() if kind == "json" else soap_system()


@asynccontextmanager
async def moving(
    near: str, old: str, new: str, *, store: str = "memory:", policies: Sequence[Policy] = (), **gateway: Any
) -> AsyncIterator[Moving]:
    async with AsyncExitStack() as held:
        systems = {"main": central(old), "new": central(new)}
        for system in systems.values():
            await held.enter_async_context(system)
        told = settings("ws://127.0.0.1:1/", soap=reachable(), gateway=gateway, policies=policies)
        named = {
            name: CentralSystem(url=system.url, protocol="ocpp1.6j" if kind == "json" else "ocpp1.6s")
            for (name, system), kind in zip(systems.items(), (old, new), strict=True)
        }
        told = msgspec.structs.replace(told, central_systems=named, store=config.Store(url=store))
        gate = Gateway(told)
        await gate.start()
        held.push_async_callback(gate.close)
        point = json_charge_point(gate) if near == "json" else charge_point(gate)
        await held.enter_async_context(point)
        stage = Moving(gate, systems, near, point)
        yield stage
        await stage.point.stop()


@pytest.mark.parametrize(("near", "old", "new"), LEGS)
async def test_every_message_about_a_transaction_comes_to_the_central_system_that_named_it(
    near: str, old: str, new: str
) -> None:
    async with moving(near, old, new) as stage:
        await stage.point.call("BootNotification", SAMPLES["BootNotification"])
        first = await stage.start(1)
        await stage.meter(1, first)
        await stage.move("new")
        second = await stage.start(2)
        assert first == 1 and second != 1, "both Central Systems gave the number 1"
        await stage.meter(1, first)
        await stage.meter(2, second)
        await stage.point.call("Authorize", SAMPLES["Authorize"])
        await stage.stop(first)
        await stage.stop(second, 99)
        assert stage.ids("main") == [("MeterValues", 1), ("MeterValues", 1), ("StopTransaction", 1)]
        assert stage.ids("new") == [("MeterValues", 1), ("StopTransaction", 1)]
        assert [payload["meterStop"] for _, payload in stage.received("new", "StopTransaction")] == [99]
        assert len(stage.received("new", "Authorize")) == 1 and not stage.received("main", "Authorize")
        assert len(stage.received("main", "StartTransaction")) == len(stage.received("new", "StartTransaction")) == 1
        # A transaction that nobody knows goes where the route says.
        await stage.stop(4711)
        assert stage.ids("new")[-1] == ("StopTransaction", 4711)


@pytest.mark.parametrize(("near", "old", "new"), [leg for leg in LEGS if leg[1] == "json"])
async def test_a_former_central_system_commands_its_own_transactions_and_nothing_else(
    near: str, old: str, new: str
) -> None:
    async with moving(near, old, new) as stage:
        await stage.point.call("BootNotification", SAMPLES["BootNotification"])
        await stage.start(1)
        await stage.move("new")
        second = await stage.start(2)
        stage.point.received.clear()
        assert (await stage.commanded("main", "RemoteStopTransaction", {"transactionId": 1}))["status"] == "Accepted"
        assert (await stage.commanded("main", "RemoteStopTransaction", {"transactionId": 9}))["status"] == "Rejected"
        assert (await stage.commanded("main", "Reset", {"type": "Hard"}))["status"] == "Rejected"
        assert (await stage.commanded("new", "RemoteStopTransaction", {"transactionId": 1}))["status"] == "Accepted"
        asked = [(action, payload.get("transactionId")) for _, action, payload in named(stage.point)]
        assert asked == [("RemoteStopTransaction", 1), ("RemoteStopTransaction", second)]


def named(point: JsonChargePoint | SoapChargePoint) -> list[tuple[str, str, Payload]]:
    """The commands that a Charge Point got."""
    return [("", *received[-2:]) for received in point.received]


@pytest.mark.parametrize("near", KINDS)
async def test_the_connection_for_a_transaction_ends_with_it(near: str) -> None:
    async with moving(near, "json", "json") as stage:
        main = stage.systems["main"]
        assert isinstance(main, JsonCentralSystem)
        number = await stage.start(1)
        await stage.move("new")
        await main.wait_for("CP 1")  # it is opened again, without a message of the Charge Point
        await stage.point.call("StatusNotification", SAMPLES["StatusNotification"] | {"status": "Charging"})
        await seen(stage, "main", "StatusNotification")
        await stage.stop(number)
        await main.wait_gone("CP 1")
        await stage.point.call("StatusNotification", SAMPLES["StatusNotification"])
        assert len(stage.received("main", "StatusNotification")) == 1
        assert len(stage.received("new", "StatusNotification")) == 2


async def seen(stage: Moving, name: str, action: str) -> None:
    async with asyncio.timeout(AT_MOST):
        while not stage.received(name, action):  # noqa: ASYNC110  the simulator tells nobody
            await asyncio.sleep(0.01)


@asynccontextmanager
async def restarted(stage: Moving, told: config.Settings) -> AsyncIterator[None]:
    """Another gateway in the place of the one that was, with these settings, until the end."""
    await stage.gateway.close()
    await stage.point.stop()
    async with running(told) as gateway:
        stage.gateway, stage.point = gateway, charge_point(gateway)
        await stage.point.start()
        yield
        await stage.point.stop()


async def test_it_is_known_after_a_restart(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'bridge.db'}"
    async with moving("soap", "json", "json", store=store) as stage:
        await stage.point.call("BootNotification", SAMPLES["BootNotification"])
        first = await stage.start(1)
        await stage.move("new")
        second = await stage.start(2)
        async with restarted(stage, stage.gateway._settings):
            await stage.systems["main"].wait_for("CP 1")  # resumed without a message
            await stage.stop(first)
            await stage.stop(second, 99)
        assert stage.ids("main") == [("StopTransaction", 1)]
        assert stage.ids("new") == [("StopTransaction", 1)]


async def test_a_central_system_that_is_not_configured_any_more_loses_no_message_to_another(tmp_path: Path) -> None:
    """The Charge Point is told that the link failed, so that it keeps its message."""
    store = f"sqlite:///{tmp_path / 'bridge.db'}"
    async with moving("soap", "json", "json", store=store) as stage:
        number = await stage.start(1)
        await stage.move("new")
        told = stage.gateway._settings
        only = msgspec.structs.replace(
            told,
            central_systems={"new": told.central_systems["new"]},
            routes=tuple(msgspec.structs.replace(route, central_system="new") for route in told.routes),
        )
        async with restarted(stage, only):
            with pytest.raises(Exception, match="not configured any more"):
                await stage.stop(number)
            assert not stage.ids("new")
        async with restarted(stage, told):
            await stage.stop(number)
        assert stage.ids("main") == [("StopTransaction", 1)] and not stage.ids("new")


async def test_a_message_in_flight_is_answered_when_its_charge_point_moves_on() -> None:
    async with RawCentralSystem() as main, JsonCentralSystem() as new, JsonCentralSystem() as third:
        told = settings(main.url)
        others = {"new": CentralSystem(url=new.url), "third": CentralSystem(url=third.url)}
        told = msgspec.structs.replace(told, central_systems=told.central_systems | others)
        async with running(told) as gateway, charge_point(gateway) as point, api_of(gateway) as api:
            async with asyncio.TaskGroup() as group:
                started = group.create_task(point.call("StartTransaction", SAMPLES["StartTransaction"]))
                accepted = {"transactionId": 1, "idTagInfo": {"status": "Accepted"}}
                await (await main.connected()).serve(accepted)
                assert (await started)["transactionId"] == 1
                assert (await api("PUT", f"{ONE}/route", {"central_system": "new", "when": "now"})).status == 200
                link = await main.connected()
                stopped = group.create_task(point.call("StopTransaction", SAMPLES["StopTransaction"]))
                call = await link.receive()
                assert (await api("PUT", f"{ONE}/route", {"central_system": "third", "when": "now"})).status == 200
                await third.wait_for("CP 1")
                await link.send([3, call[1], {}])
                await stopped
            assert (await link.ended())[0] == 1012


async def test_a_soap_central_system_is_answered_after_its_charge_point_was_moved_twice() -> None:
    """It is former all the time: its command does not end at the Session that belonged to the second Central System."""
    main = soap_system()
    async with main, JsonCentralSystem() as new, JsonCentralSystem() as third:
        told = settings("ws://127.0.0.1:1/", soap=reachable())
        systems = {
            "main": CentralSystem(url=main.url, protocol="ocpp1.6s"),
            "new": CentralSystem(url=new.url),
            "third": CentralSystem(url=third.url),
        }
        told = msgspec.structs.replace(told, central_systems=systems)
        async with running(told) as gateway, charge_point(gateway) as point, api_of(gateway) as api:
            await point.call("StartTransaction", SAMPLES["StartTransaction"])
            for name, central in (("new", new), ("third", third)):
                moved = await api("PUT", f"{ONE}/route", {"central_system": name, "when": "now"})
                assert moved.status == 200
                await point.call("Heartbeat", {})
                await central.wait_for("CP 1")
            await main.wait_for("CP 1")
            assert await main.call("CP 1", "RemoteStopTransaction", {"transactionId": 1}) == ACCEPTED
            assert await main.call("CP 1", "Reset", {"type": "Hard"}) == REJECTED


async def test_a_command_that_a_former_central_system_repeats_is_carried_out_once() -> None:
    """And two that use the same UniqueId at the same time each get the answer to their own."""
    async with RawCentralSystem() as main, RawCentralSystem() as new:
        told = settings(main.url)
        others = {"new": CentralSystem(url=new.url)}
        told = msgspec.structs.replace(told, central_systems=told.central_systems | others)
        async with running(told) as gateway, dialled(gateway) as point, api_of(gateway) as api:
            link = await main.connected()
            await point.send([2, "1", "StartTransaction", SAMPLES["StartTransaction"]])
            await link.serve({"transactionId": 1, "idTagInfo": {"status": "Accepted"}})
            assert (await point.receive())[0] == 3
            assert (await api("PUT", f"{ONE}/route", {"central_system": "new", "when": "now"})).status == 200
            async with dialled(gateway) as again:
                present, former = await new.connected(), await main.connected()
                stop = [2, "same", "RemoteStopTransaction", {"transactionId": 1}]
                await former.send(stop)
                await former.send(stop)
                asked = await again.receive()
                assert asked[2:] == stop[2:]
                await present.send([2, "same", "ClearCache", {}])
                await again.send([3, asked[1], ACCEPTED])
                assert await former.receive() == [3, "same", ACCEPTED]
                asked = await again.receive()
                assert asked[2] == "ClearCache"
                await again.send([3, asked[1], REJECTED])
                assert await present.receive() == [3, "same", REJECTED]
