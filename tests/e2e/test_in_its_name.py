"""What the bridge does in a Charge Point's name, and what it tells it instead ("Delivery", D7), over real sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from msgspec.structs import replace

from bridge.app import Gateway
from bridge.config import CentralSystem
from bridge.lab.simulators.wire import Payload
from bridge.ocpp.losses import LossReason
from tests.admin.asked import api_of
from tests.e2e.raw_peer import RawPeer, Reply, answered, enveloped, http, result
from tests.e2e.stage import (
    AT,
    AT_MOST,
    CS,
    SAMPLES,
    Connection,
    RawCentralSystem,
    answering,
    dialled,
    envelope,
    listening,
    logged,
    post,
    running,
    settings,
)
from tests.e2e.test_delivery import QUICK, bridged, link_failed, request
from tests.e2e.test_restart import ACCEPTED, RESET, opened, start, through
from tests.ports import free_port

BOOT = (
    f'<bootNotificationRequest xmlns="{CS}"><chargePointVendor>V</chargePointVendor><chargePointModel>M'
    "</chargePointModel></bootNotificationRequest>"
)


def conf(status: str = "Accepted", interval: int = 86400) -> Payload:
    """The answer to a BootNotification."""
    return {"status": status, "currentTime": AT, "interval": interval}


def status_of(connector: int, status: str) -> bytes:
    """A StatusNotification."""
    return envelope(
        f'<statusNotificationRequest xmlns="{CS}"><connectorId>{connector}</connectorId><status>{status}</status>'
        "<errorCode>NoError</errorCode></statusNotificationRequest>"
    )


def losses(lines: list[str], reason: LossReason) -> list[str]:
    """The lines of the log that tell of a loss for `reason`."""
    return [line for line in lines if " loss " in line and f'reason="{reason.value}"' in line]


# A new Central System.


@pytest.mark.parametrize("says", [False, True], ids=["at once", "before what it says next"])
async def test_after_a_move_the_new_one_hears_the_boot_and_each_status_first(says: bool) -> None:
    async def _first_heard(other: RawCentralSystem, gateway: Gateway, says: bool) -> list[list[Any]]:
        link = await other.connected()  # without a word from the Charge Point
        async with asyncio.TaskGroup() as group:
            if says:
                group.create_task(post(gateway, envelope()))
            heard = [await link.serve(conf()), await link.serve({}), await link.serve({})]
            return [*heard, *[await link.serve() for _ in range(says)]]

    async with RawCentralSystem() as main, RawCentralSystem() as other:
        told = settings(main.url)
        systems = {**told.central_systems, "other": CentralSystem(url=other.url)}
        with logged() as lines:
            async with running(replace(told, central_systems=systems)) as gateway, api_of(gateway) as admin:
                _, link, _ = await opened(main, gateway, envelope(BOOT), conf())
                for connector, status in ((1, "Available"), (1, "Charging"), (2, "Faulted")):
                    await through(link, gateway, status_of(connector, status), {})
                moved = await admin("PUT", "/charge-points/CP%201/route", {"central_system": "other"})
                assert moved.status == 200
                heard = await _first_heard(other, gateway, says)
        assert [call[2] for call in heard] == [
            "BootNotification",
            *["StatusNotification"] * 2,
            *["Heartbeat"] * says,
        ]
        statuses = {(call[3]["connectorId"], call[3]["status"]) for call in heard[1:3]}
        assert statuses == {(1, "Charging"), (2, "Faulted")}
        assert len(losses(lines, LossReason.REPLAYED)) == 3, lines


async def test_one_that_hangs_up_on_the_first_call_gets_the_boot_first_on_the_next_connection() -> None:
    """What was out then is a link failure, and is not sent again by the bridge."""
    async with RawCentralSystem() as central, running(settings(central.url, central_system=QUICK)) as gateway:
        _, link, _ = await opened(central, gateway, envelope(BOOT), conf())
        await link.websocket.close(1012)
        link = await central.connected()
        async with asyncio.TaskGroup() as group:
            asked = group.create_task(post(gateway, start()))
            assert (await link.receive())[2] == "StartTransaction"
            await link.websocket.close(1008)
        assert link_failed(asked.result())
        link = await central.connected()
        assert (await link.serve(conf()))[2] == "BootNotification"
        _, call = await through(link, gateway, envelope(), {"currentTime": AT})
        assert call[2] == "Heartbeat", "the StartTransaction is the Charge Point's to send again"


@pytest.mark.parametrize("status", ["Pending", "Rejected"])
async def test_a_replayed_boot_that_is_not_accepted_makes_all_else_a_link_failure(status: str) -> None:
    """A Pending Central System's commands pass, except RemoteStart and RemoteStop."""
    async with (
        RawCentralSystem() as central,
        listening(answering(RESET)) as point,
        running(settings(central.url, central_system=QUICK | {"replay_boot": True})) as gateway,
    ):
        _, link, _ = await opened(central, gateway, envelope(BOOT, source=point.url), conf())
        await link.websocket.close(1012)
        link = await central.connected()
        assert (await link.serve(conf(status)))[2] == "BootNotification"
        assert await link.ask([2, "id", "Reset", {"type": "Soft"}]) == [3, "id", ACCEPTED]
        if status == "Pending":
            for number, (action, payload) in enumerate(
                {"RemoteStartTransaction": {"idTag": "A"}, "RemoteStopTransaction": {"transactionId": 1}}.items()
            ):
                assert await link.ask([2, f"{number}", action, payload]) == [3, f"{number}", {"status": "Rejected"}]
        for action in ("StartTransaction", "StopTransaction", "MeterValues", "Heartbeat"):
            assert link_failed(await post(gateway, request(action))), action
        # Its own BootNotification passes, and ends that.
        _, call = await through(link, gateway, envelope(BOOT, source=point.url), conf())
        assert call[2] == "BootNotification"
        _, call = await through(link, gateway, envelope(), {"currentTime": AT})
        assert call[2] == "Heartbeat"
        assert len(point.received) == 1, "only the Reset was for it"


# Heartbeats.


@pytest.mark.parametrize(
    ("status", "interval", "told"),
    [("Accepted", 86400, 300), ("Accepted", 60, 60), ("Accepted", 0, 0), ("Pending", 86400, 86400)],
)
async def test_heartbeat_max_caps_an_accepted_interval_that_a_soap_charge_point_is_told(
    status: str, interval: int, told: int
) -> None:
    route = {"heartbeat_max": 300}
    async with RawCentralSystem() as central, running(settings(central.url, route=route)) as gateway:
        with logged() as lines:
            answer, _, _ = await opened(central, gateway, envelope(BOOT), conf(status, interval))
        assert answer.content.findtext("{*}interval") == f"{told}"
        assert len(losses(lines, LossReason.CAPPED_INTERVAL)) == (told != interval), lines


@asynccontextmanager
async def booted(gateway: Gateway, identity: str) -> AsyncIterator[None]:
    """A JSON Charge Point that says nothing but a BootNotification, and is told to be heard of every second."""
    async with dialled(gateway, identity.replace(" ", "%20")) as connection:
        answer = await connection.ask([2, "1", "BootNotification", SAMPLES["BootNotification"]])
        assert answer[2]["interval"] == 1
        yield


async def test_a_json_charge_point_that_only_pings_has_its_heartbeats_sent_to_a_soap_central_system() -> None:
    """OCPP-J 1.6 section 5.3: its Pings take the place of Heartbeats."""

    def respond(asked: Any) -> Reply:
        if asked.action != "BootNotification":
            return Reply(octets=answered(asked))
        parts = f"<status>Accepted</status><currentTime>{AT}</currentTime><interval>1</interval>"
        return Reply(octets=http("200 OK", enveloped(result(asked.action, parts=parts), asked.message_id)))

    def beats(identity: str) -> int:
        return sum(asked.identity == identity for asked in peer.of("Heartbeat"))

    async with RawPeer(respond) as peer, bridged(peer) as gateway:
        with logged() as lines:
            async with booted(gateway, "CP 1"):
                await peer.until(lambda _: beats("CP 1") == 2)
        assert losses(lines, LossReason.HEARTBEAT), lines
        # Not without its connection: nothing is sent in its name while another's Heartbeats are.
        async with booted(gateway, "CP 2"):
            await peer.until(lambda _: beats("CP 2") == 3)
        assert beats("CP 1") <= 3  # one may have been on its way


# Waking.


@asynccontextmanager
async def waker() -> AsyncIterator[tuple[str, asyncio.Queue[Any]]]:
    """An address to be asked at, and what was asked there."""
    asked: asyncio.Queue[Any] = asyncio.Queue()

    async def taken(body: bytes) -> web.Response:
        asked.put_nowait(json.loads(body))
        return web.Response(status=202)

    async with listening(taken) as there:
        yield there.url, asked


def _reset(identity: str) -> list[Any]:
    return [2, identity, "Reset", {"type": "Soft"}]


async def test_a_command_for_who_cannot_be_reached_has_it_woken_and_waits_for_it() -> None:
    """Once, however many commands wait: not again within five minutes."""

    async def _awake(gateway: Gateway, link: Connection, url: str) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(post(gateway, envelope(source=url)))
            frames: list[Any] = []
            while len(frames) < 2:
                frame = await link.receive()
                if frame[0] == 2:
                    await link.send([3, frame[1], {"currentTime": AT}])
                else:
                    frames.append(frame)
        assert frames == [[3, "1", ACCEPTED], [3, "2", ACCEPTED]]

    async with waker() as (url, asked), RawCentralSystem() as central, listening(answering(RESET)) as point:
        route = {"wake_url": url, "command_timeout": AT_MOST}
        told = settings(central.url, route=route, gateway={"call_timeout": 1})
        async with running(told) as gateway:
            nowhere = f"http://127.0.0.1:{free_port()}/"
            _, link, _ = await opened(central, gateway, envelope(source=nowhere), {"currentTime": AT})
            await link.send(_reset("1"))
            await link.send(_reset("2"))
            assert await asyncio.wait_for(asked.get(), AT_MOST) == {"identity": "CP 1"}
            await asyncio.sleep(1.2)  # longer than a Call of the Charge Point would have
            await _awake(gateway, link, point.url)
            assert asked.empty()
            assert len(point.received) == 2


async def test_one_that_does_not_wake_is_answered_for_at_the_deadline_of_commands() -> None:
    async with waker() as (url, asked), RawCentralSystem() as central:
        route = {"wake_url": url, "command_timeout": 1}
        async with running(settings(central.url, route=route)) as gateway:
            nowhere = f"http://127.0.0.1:{free_port()}/"
            _, link, _ = await opened(central, gateway, envelope(source=nowhere), {"currentTime": AT})
            answer = await link.ask(_reset("1"))
            assert answer[:3] == [4, "1", "InternalError"]
            assert "within 1 s" in answer[3]
            assert asked.qsize() == 1
