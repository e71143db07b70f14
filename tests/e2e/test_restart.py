"""The bridge is killed, and comes back: what each side was told, and how often a message arrived, in each case.

Every one of these is `kill -9`: nothing is written, closed or said on the way out.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import msgspec
import pytest

from bridge.core.silence import Presence
from bridge.gateway.persistence import Persistence
from bridge.lab.simulators.json_charge_point import JsonChargePoint
from bridge.lab.simulators.wire import Payload
from bridge.store import ChargePointRecord, ConnectorRecord, Store
from tests.e2e.processes import Bridge, all_well
from tests.e2e.stage import (
    AT,
    AT_MOST,
    CP,
    CS,
    PATH,
    SAMPLES,
    Answer,
    Connection,
    Listening,
    RawCentralSystem,
    answering,
    envelope,
    listening,
    post,
    soap_central_system,
)

RESET = f'<resetResponse xmlns="{CP}"><status>Accepted</status></resetResponse>'
ACCEPTED = {"status": "Accepted"}
Opened = tuple[Answer, Connection, list[Any]]
WIDE = 2**40 + 5
TOP = 2**31 - 1


def start(meter: int = 12000, *, connector: int = 1, **options: Any) -> bytes:
    """A StartTransaction; the same arguments are the same one."""
    body = (
        f'<startTransactionRequest xmlns="{CS}"><connectorId>{connector}</connectorId><idTag>DRIVER-1</idTag>'
        f"<timestamp>{AT}</timestamp><meterStart>{meter}</meterStart></startTransactionRequest>"
    )
    return envelope(body, **options)


def stop(transaction: int = 4711, **options: Any) -> bytes:
    """A StopTransaction; the same arguments are the same one."""
    body = (
        f'<stopTransactionRequest xmlns="{CS}"><transactionId>{transaction}</transactionId><timestamp>{AT}</timestamp>'
        f"<meterStop>12680</meterStop></stopTransactionRequest>"
    )
    return envelope(body, **options)


def told(answer: Answer) -> tuple[str, str]:
    """What a Charge Point learns from the answer: the status of the idTag, and the transactionId if there is one."""
    assert (answer.status, answer.fault) == (200, None)
    status, number = answer.content.findtext(".//{*}status"), answer.content.findtext("{*}transactionId")
    return status or "", number or ""


def started(number: int = 4711) -> Payload:
    return {"transactionId": number, "idTagInfo": ACCEPTED}


async def broken(asked: Awaitable[Answer]) -> None:
    """The connection breaks, and no answer came."""
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await asked


async def opened(central: RawCentralSystem, bridge: Listening, body: bytes, answer: Payload) -> Opened:
    """A first message, and the link that carries it."""
    async with asyncio.TaskGroup() as group:
        asked = group.create_task(post(bridge, body))
        link = await central.connected()
        call = await link.serve(answer)
    return asked.result(), link, call


async def through(link: Connection, bridge: Listening, body: bytes, answer: Payload) -> tuple[Answer, list[Any]]:
    """A message through a link that is open: what its sender got, and what the Central System did."""
    async with asyncio.TaskGroup() as group:
        asked = group.create_task(post(bridge, body))
        call = await link.serve(answer)
    return asked.result(), call


def on_this(central: RawCentralSystem) -> dict[str, dict[str, Any]]:
    """The table of central_systems, with a pause between attempts that a test can wait for."""
    return {"main": {"url": central.url, "reconnect_min": 0.05, "reconnect_max": 0.2}}


# Killed between what is sent and what is answered.


@pytest.mark.parametrize(("request_of", "answer"), [(start, started()), (stop, {"idTagInfo": ACCEPTED})])
async def test_killed_while_the_central_system_has_it(tmp_path: Path, request_of: Any, answer: Payload) -> None:
    """It arrives twice: that the first copy arrived was known to nobody who still lives, so the Charge Point must
    repeat it, and the bridge may not answer in the Central System's place. Only the Central System can tell."""
    async with RawCentralSystem() as central, Bridge(tmp_path, on_this(central)) as bridge:
        async with asyncio.TaskGroup() as group:
            group.create_task(broken(post(bridge, request_of())))
            link = await central.connected()
            first = await link.receive()
            await bridge.kill()
        await asyncio.wait_for(link.websocket.wait_closed(), AT_MOST)

        await bridge.start()
        retried, _, second = await opened(central, bridge, request_of(message_id="urn:uuid:2"), answer)
        assert second[2:] == first[2:]
        assert second[1] == first[1], "under the same UniqueId, so that the Central System can recognise it"
        # From here on it is known.
        again = await post(bridge, request_of(message_id="urn:uuid:3"))
        assert (told(again), again.status) == (told(retried), 200)


async def test_killed_while_the_central_system_has_it_and_the_charge_point_speaks_json(tmp_path: Path) -> None:
    held = asyncio.Event()

    async def hold(_: Payload) -> Payload:
        held.set()
        await asyncio.Event().wait()
        return {}

    async with soap_central_system() as central:
        table = {"main": {"url": central.url, "protocol": "ocpp1.6s"}}
        ordinary = central.behaviour["StartTransaction"]
        async with Bridge(tmp_path, table) as bridge:
            point = JsonChargePoint(url=bridge.websocket_url, identity="CP 1")
            central.behaviour["StartTransaction"] = hold
            async with point, asyncio.TaskGroup() as group:
                group.create_task(unanswered(point))
                await asyncio.wait_for(held.wait(), AT_MOST)
                await bridge.kill()
            assert point.close_code == 1006

            await bridge.start()
            central.behaviour["StartTransaction"] = ordinary
            async with point:
                answer = await point.call("StartTransaction", SAMPLES["StartTransaction"])
                again = await point.call("StartTransaction", SAMPLES["StartTransaction"])
        assert answer == again == started(1)
        assert [action for _, action, _ in central.received] == ["StartTransaction"] * 2
        assert point.violations == central.violations == []


async def unanswered(point: JsonChargePoint) -> None:
    """A StartTransaction that gets no answer, so that it stays in the Charge Point's queue."""
    with pytest.raises(ConnectionError):
        await point.call("StartTransaction", SAMPLES["StartTransaction"])


@pytest.mark.parametrize(("request_of", "answer"), [(start, started()), (stop, {"idTagInfo": ACCEPTED})])
async def test_killed_after_the_answer_came_and_before_it_was_told(
    tmp_path: Path, request_of: Any, answer: Payload
) -> None:
    """The Charge Point has hung up by then: that it was told nothing is certain. It arrives once."""
    async with RawCentralSystem() as central, Bridge(tmp_path, on_this(central)) as bridge:
        async with asked(bridge, request_of()) as hang_up:
            link = await central.connected()
            first = await link.receive()
            hang_up()
        await link.send([3, first[1], answer])
        assert "outcome=result" in await bridge.says("call", f"action={first[2]}")
        await bridge.restart()

        retried = await post(bridge, request_of(message_id="urn:uuid:2"))
        assert told(retried) == ("Accepted", str(answer.get("transactionId", "")))
        assert "urn:uuid:2" in retried.text
        # What the Central System sees next is the next message.
        _, _, call = await opened(central, bridge, envelope(), {"currentTime": AT})
        assert call[2] == "Heartbeat"


@asynccontextmanager
async def asked(gateway: Listening, body: bytes) -> AsyncIterator[Callable[[], None]]:
    """A request is on its way; gives what breaks its connection."""
    _, writer = await asyncio.open_connection(*gateway.soap_address)
    head = f"POST {PATH} HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/soap+xml\r\n"
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    try:
        yield writer.transport.abort
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def test_what_a_charge_point_was_told_is_never_forgotten(tmp_path: Path) -> None:
    """Killed as soon as the answer is there, again and again: each time it gets the same one."""
    async with RawCentralSystem() as central, Bridge(tmp_path, on_this(central)) as bridge:
        for meter in range(4):
            first, _, call = await opened(central, bridge, start(meter), started(meter + 1))
            assert call[3]["meterStart"] == meter
            await bridge.restart()
            assert told(await post(bridge, start(meter))) == told(first) == ("Accepted", str(meter + 1))


# What survives.


async def test_a_driver_is_what_the_last_authorize_said_after_a_restart(tmp_path: Path) -> None:
    """For a StartTransaction.conf that leaves the status out."""
    body = f'<authorizeRequest xmlns="{CS}"><idTag>driver-1</idTag></authorizeRequest>'
    silent = {"transactionId": 7, "idTagInfo": {}}
    async with RawCentralSystem() as central, Bridge(tmp_path, on_this(central)) as bridge:
        _, link, _ = await opened(central, bridge, envelope(body), {"idTagInfo": {"status": "Blocked"}})
        await through(link, bridge, start(1), started(1))  # on the disk, and what came before with it
        await bridge.restart()
        answer, _, _ = await opened(central, bridge, start(2), silent)
        assert told(answer) == ("Blocked", "7")


async def test_transaction_ids_keep_their_names_and_connectors_their_state(tmp_path: Path) -> None:
    meter_values = (
        f'<meterValuesRequest xmlns="{CS}"><connectorId>1</connectorId><transactionId>{TOP}</transactionId>'
        f"<meterValue><timestamp>{AT}</timestamp><sampledValue><value>1</value></sampledValue></meterValue>"
        "</meterValuesRequest>"
    )
    charging = (
        f'<statusNotificationRequest xmlns="{CS}"><connectorId>1</connectorId><status>Charging</status>'
        "<errorCode>NoError</errorCode></statusNotificationRequest>"
    )
    remote_stop = (
        f'<remoteStopTransactionResponse xmlns="{CP}"><status>Accepted</status></remoteStopTransactionResponse>'
    )

    def connector(store: Store, number: int) -> tuple[str | None, int | None]:
        [found] = [one for one in store.memory_of("CP 1").connectors if one.connector == number]
        assert isinstance(found, ConnectorRecord)
        return found.status, found.transaction_id

    async with (
        RawCentralSystem() as central,
        listening(answering(remote_stop)) as point,
        Bridge(tmp_path, on_this(central)) as bridge,
    ):
        first, link, _ = await opened(central, bridge, start(source=point.url), started(WIDE))
        assert told(first) == ("Accepted", str(TOP))
        await through(link, bridge, envelope(charging), {})
        # What is put away for good takes along what waits to be put away.
        await through(link, bridge, start(connector=2), started(8))
        await bridge.kill()
        async with bridge.put_away() as store:
            assert connector(store, 1) == ("Charging", TOP)  # as its Charge Point knows it

        await bridge.start()
        _, link, call = await opened(central, bridge, envelope(meter_values), {})
        assert call[3]["transactionId"] == WIDE
        answer = await link.ask([2, "id", "RemoteStopTransaction", {"transactionId": WIDE}])
        assert answer == [3, "id", ACCEPTED]
        assert f"transactionId>{TOP}<".encode() in point.received[-1]
        # A name that is taken is not given again.
        other, _ = await through(link, bridge, start(connector=3), started(WIDE + 1))
        assert told(other) == ("Accepted", str(TOP - 1))
        _, call = await through(link, bridge, stop(TOP), {})
        assert call[3]["transactionId"] == WIDE


def known(identity: str, *, silent: float, interval: int, **changes: Any) -> ChargePointRecord:
    """What is put away of a Charge Point that was `silent` for so many seconds."""
    record = ChargePointRecord(
        identity=identity, last_seen=time.time() - silent, transport="soap", version="1.6", interval=interval
    )
    return msgspec.structs.replace(record, **changes)


async def test_connections_of_who_was_there_are_opened_again_and_no_others(tmp_path: Path) -> None:
    there = [
        *(known(f"there {number}", silent=850, interval=100) for number in range(12)),
        known("hourly", silent=2.5 * 3600, interval=3600),
        known("daily", silent=2.5 * 86400, interval=86400),
        known("never said", silent=800, interval=0),
    ]
    gone = [
        *(known(f"gone {number}", silent=950, interval=100) for number in range(12)),
        known("of the others", silent=1, interval=100, transport="json"),
        known("stranger", silent=1, interval=100),
    ]
    async with RawCentralSystem() as central:
        bridge = Bridge(tmp_path, on_this(central), {"[!s]*": "main"})
        async with bridge.put_away() as store:
            store.put(*there, *gone)
        async with bridge:
            # Without a word from any of them; in some seconds, and in an order of chance.
            for _ in there:
                await central.connected()
            names = [unquote(request.path.rpartition("/")[2]) for request in central.requests]
            assert sorted(names) == sorted(record.identity for record in there)
            status, health = await bridge.ready()
            assert (status, health["status"], health["store"]) == (200, "ready", {"trouble": None})
            assert health["central_systems"] == {"main": all_well(len(there))}


async def test_a_command_arrives_right_after_a_restart(tmp_path: Path) -> None:
    async with (
        RawCentralSystem() as central,
        listening(answering(RESET)) as point,
        Bridge(tmp_path, on_this(central)) as bridge,
    ):
        await opened(central, bridge, start(source=point.url), started())
        await bridge.restart()
        link = await central.connected()
        assert await link.ask([2, "id", "Reset", {"type": "Soft"}]) == [3, "id", ACCEPTED]
        assert len(point.received) == 1


def boot(source: str, serial: str) -> bytes:
    """A BootNotification of a Charge Point that is called back at `source`."""
    body = (
        f'<bootNotificationRequest xmlns="{CS}"><chargePointVendor>V</chargePointVendor><chargePointModel>M'
        f"</chargePointModel><chargePointSerialNumber>{serial}</chargePointSerialNumber></bootNotificationRequest>"
    )
    return envelope(body, source=source)


async def test_killed_as_soon_as_a_boot_notification_is_answered(tmp_path: Path) -> None:
    """What the BootNotification taught is on disk before: the callback address, the Boot and the interval."""
    async with RawCentralSystem() as central, AsyncExitStack() as points:
        bridge = await points.enter_async_context(Bridge(tmp_path, on_this(central)))
        link = None
        for number in (1, 2):  # each time it comes from another address, and learns another interval
            point = await points.enter_async_context(listening(answering(RESET)))
            conf = {"status": "Accepted", "currentTime": AT, "interval": 600 + number}
            body = boot(point.url, f"{number}")
            if link is None:
                answer, _, _ = await opened(central, bridge, body, conf)
            else:
                answer, _ = await through(link, bridge, body, conf)
            await bridge.kill()
            assert told(answer)[0] == "Accepted"

            async with bridge.put_away() as store:
                [kept] = store.charge_points()
            assert (kept.callback_url, kept.interval, kept.boot_status) == (point.url, 600 + number, "Accepted")
            assert msgspec.json.decode(kept.boot or b"")["chargePointSerialNumber"] == f"{number}"
            # Without a word from it: its Central System is connected to, and commands arrive where it was last.
            await bridge.start()
            link = await central.connected()
            assert await link.ask([2, "id", "Reset", {"type": "Soft"}]) == [3, "id", ACCEPTED]
            assert len(point.received) == 1


async def test_an_address_outlives_a_silence_too(tmp_path: Path) -> None:
    """Nothing was opened for it at the start, and its first message does not say where it is."""
    async with RawCentralSystem() as central, listening(answering(RESET)) as point:
        bridge = Bridge(tmp_path, on_this(central))
        address = {"callback_url": point.url, "callback_networks": ("127.0.0.1/32",)}
        async with bridge.put_away() as store:
            store.put(known("CP 1", silent=5000, interval=100, **address))
        async with bridge:
            _, link, _ = await opened(central, bridge, envelope(), {"currentTime": AT})
            assert await link.ask([2, "id", "Reset", {"type": "Soft"}]) == [3, "id", ACCEPTED]


async def test_a_command_of_a_soap_central_system_arrives_right_after_a_restart(tmp_path: Path) -> None:
    async with soap_central_system() as central, listening(answering(RESET)) as point:
        table = {"main": {"url": central.url, "protocol": "ocpp1.6s"}}
        async with Bridge(tmp_path, table) as bridge:
            assert told(await post(bridge, start(source=point.url))) == ("Accepted", "1")
            await bridge.restart()
            assert await central.call("CP 1", "Reset", {"type": "Soft"}) == ACCEPTED
            assert len(point.received) == 1


def test_when_a_charge_point_was_last_heard_of_is_known_to_within_its_heartbeat() -> None:
    """Else one that is heard of every ten seconds would seem to be silent for a minute."""
    now = 1000.0
    store = Store("memory:", clock=lambda: now)
    persistence = Persistence(store, clock=lambda: now)
    for identity, interval in (("CP 1", 10), ("CP 2", 300)):
        persistence.heard(identity)
        persistence.note(identity, [Presence(interval=interval)])
    now += 10
    persistence.heard("CP 1")
    persistence.heard("CP 2")
    assert {record.identity: record.last_seen for record in store.charge_points()} == {"CP 1": 1010, "CP 2": 1000}
