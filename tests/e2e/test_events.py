"""Events for other systems, from a bridge in a process of its own: killed, sent away, told by SIGHUP."""

from __future__ import annotations

import asyncio
import json
import random
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from bridge import config
from bridge.config import EventReceiver, Secret
from bridge.lab.simulators.json_central_system import JsonCentralSystem
from bridge.lab.simulators.wire import Payload
from tests.e2e.processes import Bridge
from tests.e2e.stage import AT, CS, Answer, envelope, json_charge_point, post, running, settings
from tests.outgoing_events.killed import POINTS
from tests.outgoing_events.receivers import (
    SECRET,
    Event,
    HttpReceiver,
    broker,
    eventually,
    http_receiver,
    nats,
    nats_client,
    subscribed,
)
from tests.ports import free_port

MONEY = ["transaction_started", "transaction_ended"]
METER = 12000


def table(**keys: Any) -> str:
    """An [[events]] table."""
    return "[[events]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items())


def webhook(at: HttpReceiver, **keys: Any) -> str:
    return table(**({"name": "billing", "kind": "webhook", "url": at.url, "secret": SECRET.decode()} | keys))


class KilledBridge(Bridge):
    """One that is killed at a point of `tests.outgoing_events.killed`, at its first run."""

    def __init__(self, *arguments: Any, point: str = "", **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._arguments = ("tests.outgoing_events.killed", *self._arguments[1:])
        self.environment: Mapping[str, str] = {"KILLED": point} if point else {}


def start(tag: str = "DRIVER-1", identity: str = "CP 1") -> bytes:
    body = (
        f'<startTransactionRequest xmlns="{CS}"><connectorId>1</connectorId><idTag>{tag}</idTag>'
        f"<timestamp>{AT}</timestamp><meterStart>{METER}</meterStart></startTransactionRequest>"
    )
    return envelope(body, identity=identity)


def stop(transaction: int, energy: int = 680, identity: str = "CP 1") -> bytes:
    body = (
        f'<stopTransactionRequest xmlns="{CS}"><transactionId>{transaction}</transactionId><timestamp>{AT}</timestamp>'
        f"<meterStop>{METER + energy}</meterStop></stopTransactionRequest>"
    )
    return envelope(body, identity=identity)


async def repeated(bridge: Bridge, body: bytes) -> Answer:
    """The answer, for which a Charge Point repeats its message until it comes."""
    while True:
        try:
            answer = await post(bridge, body)
            if answer.status == 200:
                return answer
        except (OSError, asyncio.IncompleteReadError):
            await asyncio.sleep(0.05)  # the bridge is away


def central_system() -> JsonCentralSystem:
    """One that recognises a StartTransaction: the same has the same transactionId."""
    central = JsonCentralSystem()
    known: dict[str, int] = {}

    async def begin(payload: Payload) -> Payload:
        number = known.setdefault(payload["idTag"], 4711 + len(known))
        return {"transactionId": number, "idTagInfo": {"status": "Accepted"}}

    central.behaviour["StartTransaction"] = begin
    return central


def ids(events: list[Event], kind: str) -> set[str]:
    return {event["id"] for event in events if event["type"] == kind}


# Killed.


@pytest.mark.parametrize("point", POINTS)
async def test_killed_between_two_steps_no_transaction_is_missed(tmp_path: Path, point: str) -> None:
    """And what comes twice has the same id."""
    async with http_receiver() as at, central_system() as central:
        tables = {"main": {"url": central.url, "reconnect_min": 0.05, "reconnect_max": 0.2}}
        more = webhook(at, types=MONEY)
        async with KilledBridge(tmp_path, tables, more=more, point=point) as bridge:
            began = asyncio.ensure_future(repeated(bridge, start()))
            assert await bridge.ended() == -9
            bridge.environment = {}
            await bridge.start()
            number = (await began).content.findtext("{*}transactionId")
            assert number == "4711"
            await repeated(bridge, stop(4711))
            await at.until(lambda: bool(ids(at.events, "transaction_ended")))
            assert len(ids(at.events, "transaction_started")) == 1
            assert len(ids(at.events, "transaction_ended")) == 1
            assert at.events[0]["type"] == "transaction_started"
            ended = at.events[-1]
            assert (ended["energy_wh"], ended["transaction_id"], ended["connector"]) == (680, 4711, 1)


async def test_killed_at_any_time_no_transaction_is_missed(tmp_path: Path) -> None:
    """Ten Charge Points charge while the bridge is killed, again and again."""
    points, each, kills = 10, 4, 5
    async with http_receiver() as at, central_system() as central:
        tables = {"main": {"url": central.url, "reconnect_min": 0.05, "reconnect_max": 0.2}}
        async with Bridge(tmp_path, tables, more=webhook(at, types=MONEY)) as bridge:

            async def charges(name: str) -> None:
                for turn in range(each):
                    answer = await repeated(bridge, start(f"{name}-{turn}", name))
                    number = int(answer.content.findtext("{*}transactionId") or "")
                    await repeated(bridge, stop(number, turn, name))

            async with asyncio.TaskGroup() as group:
                for point in range(points):
                    group.create_task(charges(f"CP {point}"))
                for _ in range(kills):
                    asked = len(at.asked) + random.randrange(1, 2 * points * each // (kills + 1))
                    await at.until(lambda asked=asked: len(at.asked) >= asked)  # type: ignore[misc]
                    await bridge.restart()
            await at.until(lambda: len(ids(at.events, "transaction_ended")) == points * each)
            assert len(ids(at.events, "transaction_started")) == points * each
            for point in range(points):
                in_order: list[tuple[str, int]] = []
                for event in at.events:
                    told = (event["type"], event["transaction_id"])
                    if event["charge_point"] == f"CP {point}" and told not in in_order:
                        in_order.append(told)
                numbers = [number for kind, number in in_order if kind == "transaction_started"]
                assert in_order == [(kind, number) for number in numbers for kind in MONEY]


# Away.


async def test_a_receiver_that_is_away_is_told_and_gets_all_when_it_is_back(tmp_path: Path) -> None:
    port = free_port()
    async with central_system() as central:
        at = HttpReceiver(port)
        more = webhook(at, types=MONEY)
        async with Bridge(tmp_path, {"main": {"url": central.url}}, more=more) as bridge:
            assert (await bridge.ready())[1]["events"]["billing"]["waiting"] == 0
            await repeated(bridge, start())
            await repeated(bridge, stop(4711))
            await bridge.says("events are not delivered, and wait", "receiver=billing")
            status, health = await bridge.ready()
            assert (status, health["status"]) == (200, "degraded")
            billing = health["events"]["billing"]
            assert billing["waiting"] == 2 and "cannot be reached" in billing["trouble"]
            assert billing["since"] is not None and billing["oldest"] is not None
            text = await metrics(bridge)
            assert 'ocpp_bridge_events_waiting{receiver="billing"} 2.0' in text
            assert 'ocpp_bridge_events_trouble{receiver="billing"} 1.0' in text
            await at.start()
            try:
                await at.has(2)
                await bridge.says("events are delivered again")
                assert [event["type"] for event in at.events] == MONEY
                assert (await bridge.ready())[1]["status"] == "ready"
                assert 'events_delivered_total{receiver="billing"} 2.0' in await metrics(bridge)
            finally:
                await at.stop()


async def metrics(bridge: Bridge) -> str:
    url = f"http://127.0.0.1:{bridge.admin_address[1]}/metrics"
    async with aiohttp.ClientSession() as http, http.get(url) as response:
        return await response.text()


async def test_what_overflows_is_counted_in_the_metrics(tmp_path: Path) -> None:
    async with central_system() as central:
        more = webhook(HttpReceiver(free_port()), types=MONEY, max_events=1)
        async with Bridge(tmp_path, {"main": {"url": central.url}}, more=more) as bridge:
            for number in range(3):
                await repeated(bridge, start(f"DRIVER-{number}"))
            await bridge.says("events are dropped", "reason=too_many")
            dropped = 'events_dropped_total{reason="too_many",receiver="billing"}'
            while f"{dropped} 0.0" in (text := await metrics(bridge)):
                pass
            assert dropped in text


# Told by SIGHUP.


async def test_receivers_are_taken_over_without_a_restart(tmp_path: Path) -> None:
    async with http_receiver() as first, http_receiver() as second, central_system() as central:
        tables = {"main": {"url": central.url}}
        away = webhook(HttpReceiver(free_port()), types=MONEY)
        async with Bridge(tmp_path, tables, more=away) as bridge:
            await repeated(bridge, start())
            bridge.more = webhook(first, types=MONEY)
            bridge.configure(tables)
            await bridge.reload()
            (event,) = await first.has(1)
            assert event["type"] == "transaction_started", "what waited goes to the new address"

            bridge.more = webhook(second, name="other", types=MONEY)
            bridge.configure(tables)
            await bridge.reload()
            await repeated(bridge, stop(4711))
            (event,) = await second.has(1)
            assert event["energy_wh"] == 680 and len(first.events) == 1

            bridge.more = webhook(second, kind="pigeon")
            bridge.configure(tables)
            bridge.told(signal.SIGHUP)
            await bridge.says("events[0].kind", "expected one of")
            await repeated(bridge, start("DRIVER-2"))
            await second.has(2)


# Every kind of event, to every kind of receiver.


async def test_a_boot_a_status_a_loss_and_a_move(tmp_path: Path) -> None:
    async with http_receiver() as at, central_system() as one, central_system() as other:
        tables = {"main": {"url": one.url}, "other": {"url": other.url}}
        async with Bridge(tmp_path, tables, more=webhook(at)) as bridge:
            boot = f'<bootNotificationRequest xmlns="{CS}"><chargePointVendor>v</chargePointVendor>'
            boot += "<chargePointModel>m</chargePointModel><unheardOf>x</unheardOf></bootNotificationRequest>"
            assert (await post(bridge, envelope(boot))).status == 200
            status = f'<statusNotificationRequest xmlns="{CS}"><connectorId>1</connectorId>'
            status += "<status>Faulted</status><errorCode>GroundFailure</errorCode></statusNotificationRequest>"
            assert (await post(bridge, envelope(status))).status == 200
            bridge.configure(tables, {"*": "other"})
            await bridge.reload()
            wanted = {"boot", "status", "loss", "move", "link"}
            await at.until(lambda: {event["type"] for event in at.events} >= wanted)
            of = {event["type"]: event for event in reversed(at.events)}
            assert (of["boot"]["vendor"], of["boot"]["status"]) == ("v", "Accepted")
            assert (of["status"]["status"], of["status"]["error_code"]) == ("Faulted", "GroundFailure")
            assert of["loss"]["losses"][0]["message"] == "BootNotificationRequest"
            assert (of["move"]["moved_from"], of["move"]["central_system"]) == ("main", "other")


async def test_a_broker_and_a_stream_that_come_later_get_what_happened_before(tmp_path: Path) -> None:
    mqtt, jetstream = free_port(), free_port()
    more = table(name="fleet", kind="mqtt", url=f"mqtt://127.0.0.1:{mqtt}", types=MONEY)
    more += table(name="lake", kind="nats", url=f"nats://127.0.0.1:{jetstream}", types=MONEY)
    async with central_system() as central, Bridge(tmp_path, {"main": {"url": central.url}}, more=more) as bridge:
        await repeated(bridge, start())
        await bridge.restart()
        await repeated(bridge, stop(4711))
        with broker(tmp_path, mqtt), nats(tmp_path, jetstream):
            async with subscribed(mqtt) as taken, nats_client(jetstream) as client:
                await client.jetstream().add_stream(name="ocpp", subjects=["ocpp.>"])
                await eventually(lambda: len(taken) == 2)
                assert [topic for topic, _ in taken] == [f"ocpp/CP 1/{kind}" for kind in MONEY]
                subscription = await client.jetstream().subscribe("ocpp.>", ordered_consumer=True)
                kinds = [json.loads((await subscription.next_msg(30)).data)["type"] for _ in MONEY]
                assert kinds == MONEY


@pytest.mark.parametrize("masked", [True, False])
async def test_a_json_charge_point_with_a_json_central_system(tmp_path: Path, masked: bool) -> None:
    """Whose messages are passed on as they came."""
    async with http_receiver() as at, central_system() as central:
        receiver = EventReceiver(
            name="billing",
            kind="webhook",
            url=at.url,
            secret=Secret(SECRET),
            types=("status", "transaction_started", "transaction_ended"),
        )
        told = msgspec.structs.replace(
            settings(central.url), events=(receiver,), recorder=config.Recorder(mask_id_tags=masked)
        )
        async with running(told) as gateway, json_charge_point(gateway) as point:
            await point.call("StatusNotification", {"connectorId": 1, "status": "Preparing", "errorCode": "NoError"})
            begun = {"connectorId": 1, "idTag": "DRIVER-1", "timestamp": AT, "meterStart": METER}
            await point.call("StartTransaction", begun)
            await point.call("StopTransaction", {"transactionId": 4711, "timestamp": AT, "meterStop": METER + 5})
            status, started, ended = await at.has(3)
            assert (status["status"], status["delivered"]) == ("Preparing", True)
            assert started["id_tag"] == ("***" if masked else "DRIVER-1")
            assert (ended["energy_wh"], ended["id_tag"]) == (5, None)
