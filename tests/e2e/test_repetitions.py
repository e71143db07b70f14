"""Repetitions between two parties that speak JSON: their frames pass as they are, and are read on the side ("Delivery",
D5). Of Charge Points that speak SOAP, tests/e2e/test_restart.py and test_outages.py tell."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bridge.lab.simulators.wire import Payload
from tests.admin.asked import api_of
from tests.e2e.processes import Bridge
from tests.e2e.stage import AT, SAMPLES, Connection, RawCentralSystem, dialled, running, settings
from tests.e2e.test_own_refusals import connected
from tests.e2e.test_restart import ACCEPTED, on_this, started

START, STOP = SAMPLES["StartTransaction"], SAMPLES["StopTransaction"] | {"transactionId": 4711}


def call(action: str, payload: Payload, number: int) -> list[Any]:
    return [2, f"{number}", action, payload]


async def exchanged(point: Connection, link: Connection, frame: list[Any], answer: Payload) -> list[Any]:
    """A Call that the Central System gets and answers; gives what it got."""
    await point.send(frame)
    got = await link.serve(answer)
    assert await point.receive() == [3, frame[1], answer]
    return got


# What is spelled in another way is the same message.
SAME = {
    "the same": {},
    "another letter case": {"idTag": "driver-1"},
    "another spelling of the time": {"timestamp": "2026-01-02T05:04:05.000+02:00"},
}
OTHER = {"connectorId": 2, "idTag": "DRIVER-2", "timestamp": "2026-01-02T03:04:06Z", "meterStart": 12001}


@pytest.mark.parametrize("again", SAME.values(), ids=SAME)
async def test_a_start_that_was_answered_gets_that_answer_octet_for_octet(again: Payload) -> None:
    """Until the StopTransaction of that transaction has been answered: then it is a new one."""
    async with RawCentralSystem() as central, running(settings(central.url)) as gateway:
        first = START | {"timestamp": "2026-01-02T03:04:05Z"}
        kept = '{"transactionId":4711, "idTagInfo" : {"status":"Accepted"},"vendor":[1.50]}'
        async with dialled(gateway) as point:
            link = await central.connected()
            await point.send(call("StartTransaction", first, 1))
            got = await link.receive()
            await link.send(f'[3,"{got[1]}",{kept}]')
            assert kept in await point.text()
        async with dialled(gateway) as point:  # it lost the answer, and comes again
            link = await central.connected()
            await point.send(call("StartTransaction", first | again, 2))
            text = await point.text()
            assert (kept in text, json.loads(text)[:2]) == (True, [3, "2"])
            got = await exchanged(point, link, call("StopTransaction", STOP, 3), {})
            assert got[2] == "StopTransaction", "the repetition did not arrive"
            got = await exchanged(point, link, call("StartTransaction", first | again, 4), started(4712))
            assert got[2] == "StartTransaction"


@pytest.mark.parametrize("field", OTHER)
async def test_a_start_that_differs_is_another(field: str) -> None:
    async with (
        RawCentralSystem() as central,
        running(settings(central.url)) as gateway,
        dialled(gateway) as point,
    ):
        link = await central.connected()
        await exchanged(point, link, call("StartTransaction", START, 1), started(1))
        other = START | {field: OTHER[field]}
        got = await exchanged(point, link, call("StartTransaction", other, 2), started(2))
        assert got[3] == other


@pytest.mark.parametrize(("action", "payload"), [("StartTransaction", START), ("StopTransaction", STOP)])
async def test_one_without_an_answer_goes_out_under_its_unique_id_after_a_kill_too(
    tmp_path: Path, action: str, payload: Payload
) -> None:
    answer = started() if action == "StartTransaction" else {"idTagInfo": ACCEPTED}
    async with RawCentralSystem() as central, Bridge(tmp_path, on_this(central)) as bridge:
        async with connected(bridge, "CP%201") as point:
            link = await central.connected()
            await point.send(call(action, payload, 1))
            first = await link.receive()
            await link.websocket.close(1012)
            await point.ended()
        async with connected(bridge, "CP%201") as point:
            link = await central.connected()
            await point.send(call(action, payload, 2))
            second = await link.receive()
            await bridge.kill()
        await bridge.start()
        async with connected(bridge, "CP%201") as point:
            link = await central.connected()
            third = await exchanged(point, link, call(action, payload, 3), answer)
        assert first == second == third
        await bridge.restart()
        async with connected(bridge, "CP%201") as point:
            await central.connected()
            assert await point.ask(call(action, payload, 4)) == [3, "4", answer]


async def test_boots_and_statuses_are_read() -> None:
    async with (
        RawCentralSystem() as central,
        running(settings(central.url)) as gateway,
        api_of(gateway) as admin,
        dialled(gateway) as point,
    ):
        link = await central.connected()
        boot = {"chargePointVendor": "ACME", "chargePointModel": "M 1"}
        conf = {"status": "Accepted", "currentTime": AT, "interval": 777}
        await exchanged(point, link, call("BootNotification", boot, 1), conf)
        status = {"connectorId": 2, "status": "Faulted", "errorCode": "NoError"}
        await exchanged(point, link, call("StatusNotification", status, 2), {})
        one = await admin.get("/charge-points/CP%201")
        assert (one["vendor"], one["model"], one["heartbeat_interval"]) == ("ACME", "M 1", 777)
        assert [(each["number"], each["status"]) for each in one["connectors"]] == [(2, "Faulted")]
