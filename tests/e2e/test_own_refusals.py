"""What the bridge refuses by itself is no verdict: busy, and shutting down ("Delivery", D2)."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.e2e.processes import Bridge
from tests.e2e.raw_peer import RawPeer, Reply, answered, answering_well
from tests.e2e.stage import Answer, Connection, Listening, RawCentralSystem, dialled, post
from tests.e2e.test_delivery import ACTIONS, QUICK, TRANSACTION_RELATED, bridged, call, link_failed, request

ONE = {"max_in_flight": 1}


def come_back(answer: Answer) -> bool:
    """D2: "HTTP 503 with Retry-After"."""
    return link_failed(answer) and answer.headers.get("Retry-After", "").isdecimal()


def _held(gate: asyncio.Event) -> RawPeer:
    """A Central System that answers all, once the gate is open."""
    return RawPeer(lambda asked: Reply(octets=answered(asked), after=gate))


async def test_too_many_in_flight_is_no_verdict_to_a_soap_charge_point() -> None:
    gate = asyncio.Event()
    async with _held(gate) as peer, bridged(peer, gateway=ONE) as gateway, asyncio.TaskGroup() as group:
        held = group.create_task(post(gateway, request("StopTransaction")))
        await peer.asked("StopTransaction")
        for action in ACTIONS:
            assert come_back(await post(gateway, request(action, "CP 2"))), action
        gate.set()
        assert (await held).status == 200
        for action in ACTIONS:
            assert (await post(gateway, request(action, "CP 2"))).status == 200


async def test_too_many_that_wait_is_no_verdict_to_a_soap_charge_point() -> None:
    """One is out. Of two that come then one waits, and the other is refused at once."""
    gate = asyncio.Event()
    few = {"waiting_per_charge_point": 1}
    async with _held(gate) as peer, bridged(peer, limits=few) as gateway, asyncio.TaskGroup() as group:
        held = group.create_task(post(gateway, request("StopTransaction")))
        await peer.asked("StopTransaction")
        two = [group.create_task(post(gateway, request(action))) for action in ("StartTransaction", "MeterValues")]
        (refused,), (waiting,) = await asyncio.wait(two, return_when=asyncio.FIRST_COMPLETED)
        assert come_back(refused.result())
        gate.set()
        assert ((await held).status, (await waiting).status) == (200, 200)


@pytest.mark.parametrize("action", ACTIONS)
async def test_busy_is_no_verdict_to_a_json_charge_point(action: str) -> None:
    """The connection stays; what it kept gets through when there is room again."""
    gate = asyncio.Event()
    async with (
        _held(gate) as peer,
        bridged(peer, gateway=ONE) as gateway,
        dialled(gateway, "CP%202") as connection,
        asyncio.TaskGroup() as group,
    ):
        held = group.create_task(post(gateway, request("StopTransaction")))
        await peer.asked("StopTransaction")
        await connection.send(call(action))
        # Refused at once and in order: what is answered next is the other.
        refused = await connection.ask([2, "after", "DataTransfer", {"vendorId": "v"}])
        if action not in TRANSACTION_RELATED:
            assert refused[:3] == [4, f"{action} 1", "InternalError"]
            refused = await connection.receive()
        assert refused[:3] == [4, "after", "InternalError"]
        gate.set()
        assert (await held).status == 200
        assert (await connection.ask(call(action, 2)))[:2] == [3, f"{action} 2"]
        assert len(peer.requests) == 2


@pytest.mark.parametrize("action", ACTIONS)
async def test_too_many_that_wait_is_no_verdict_to_a_json_charge_point(action: str) -> None:
    """One is out, one waits. The connection stays."""
    gate = asyncio.Event()
    few = {"waiting_per_charge_point": 1}
    async with _held(gate) as peer, bridged(peer, limits=few) as gateway, dialled(gateway) as connection:
        await connection.send([2, "out", "DataTransfer", {"vendorId": "v"}])
        await peer.asked("DataTransfer")
        await connection.send([2, "waits", "DataTransfer", {"vendorId": "w"}])
        await connection.send(call(action))
        await connection.send([2, "last", "DataTransfer", {"vendorId": "x"}])
        # Refused at once and in order, before what is out is answered.
        refused = [await connection.receive() for _ in range(1 if action in TRANSACTION_RELATED else 2)]
        names = ["last"] if action in TRANSACTION_RELATED else [f"{action} 1", "last"]
        assert [frame[:3] for frame in refused] == [[4, name, "InternalError"] for name in names]
        gate.set()
        assert [(await connection.receive())[:2] for _ in range(2)] == [[3, "out"], [3, "waits"]]
        assert (await connection.ask(call(action, 2)))[:2] == [3, f"{action} 2"]


# Shutting down.


@asynccontextmanager
async def draining(folder: Path, url: str, protocol: str) -> AsyncIterator[Bridge]:
    """A process that has until drain_timeout when it is told to go."""
    async with Bridge(folder, {"main": {"url": url, "protocol": protocol, **QUICK}}) as bridge:
        yield bridge


async def _told_to_go(bridge: Bridge) -> None:
    bridge.told(signal.SIGTERM)
    await bridge.says("draining")


@asynccontextmanager
async def connected(bridge: Bridge, identity: str) -> AsyncIterator[Connection]:
    """A JSON Charge Point."""
    async with dialled(_Dialled(bridge), identity) as connection:  # type: ignore[arg-type]
        yield connection


class _Dialled:
    """What `dialled` wants to know of a gateway."""

    def __init__(self, bridge: Bridge) -> None:
        self.websocket_address = bridge.websocket_address


async def test_an_idle_json_charge_point_is_closed_at_once_and_others_when_they_are_answered(tmp_path: Path) -> None:
    gate = asyncio.Event()
    async with (
        RawPeer(answering_well()) as peer,
        draining(tmp_path, peer.url, "ocpp1.6s") as bridge,
        connected(bridge, "idle") as idle,
        connected(bridge, "busy") as busy,
    ):
        for connection in (idle, busy):
            assert (await connection.ask(call("Heartbeat")))[0] == 3
        peer.respond = lambda asked: Reply(octets=answered(asked), after=gate)
        await busy.send(call("StartTransaction"))
        await peer.asked("StartTransaction")
        await _told_to_go(bridge)
        assert (await idle.ended())[0] == 1001
        # Neither passed on nor answered: a Call of any kind.
        for action in ("StopTransaction", "Heartbeat"):
            await busy.send(call(action, 2))
        gate.set()
        assert (await busy.receive())[:2] == [3, "StartTransaction 1"]
        assert (await busy.ended())[0] == 1001
        assert [asked.action for asked in peer.requests] == ["Heartbeat", "Heartbeat", "StartTransaction"]
        assert await bridge.ended() == 0


async def test_an_idle_charge_point_of_a_json_central_system_is_closed_at_once_too(tmp_path: Path) -> None:
    """Another one has a Call in flight, so that the bridge goes on."""
    async with (
        RawCentralSystem() as central,
        draining(tmp_path, central.url, "ocpp1.6j") as bridge,
        connected(bridge, "idle") as idle,
        connected(bridge, "busy") as busy,
    ):
        links = {}
        for connection in (idle, busy):
            links[connection] = await central.connected()
        await busy.send(call("StartTransaction"))
        passed = await links[busy].receive()
        await _told_to_go(bridge)
        assert (await idle.ended())[0] == 1001
        assert (await links[idle].ended())[0] in (1000, 1001)
        await links[busy].send([3, passed[1], {"transactionId": 1, "idTagInfo": {"status": "Accepted"}}])
        assert (await busy.receive())[:2] == [3, "StartTransaction 1"]
        assert (await busy.ended())[0] == 1001
        assert await bridge.ended() == 0


async def test_an_answer_of_a_json_charge_point_is_read_while_the_bridge_drains(tmp_path: Path) -> None:
    """A command is in flight to it."""
    async with (
        RawCentralSystem() as central,
        draining(tmp_path, central.url, "ocpp1.6j") as bridge,
        connected(bridge, "CP%201") as point,
    ):
        link = await central.connected()
        await link.send([2, "id", "Reset", {"type": "Soft"}])
        command = await point.receive()
        await _told_to_go(bridge)
        await point.send(call("StartTransaction"))
        await point.send([3, command[1], {"status": "Accepted"}])
        assert await link.receive() == [3, "id", {"status": "Accepted"}]
        assert (await point.ended())[0] == 1001
        assert (await link.ended())[0] in (1000, 1001)
        assert await bridge.ended() == 0


@pytest.mark.parametrize("action", ACTIONS)
async def test_a_soap_charge_point_is_told_to_come_back(tmp_path: Path, action: str) -> None:
    gate = asyncio.Event()
    async with (
        _held(gate) as peer,
        draining(tmp_path, peer.url, "ocpp1.6s") as bridge,
        asyncio.TaskGroup() as group,
    ):
        held = group.create_task(_posted(bridge, "DRAINED"))
        await peer.asked("Heartbeat")
        await _told_to_go(bridge)
        assert come_back(await post(bridge, request(action)))
        gate.set()
        assert (await held).status == 200
        assert await bridge.ended() == 0


async def _posted(bridge: Listening, identity: str) -> Answer:
    return await post(bridge, request("Heartbeat", identity))
