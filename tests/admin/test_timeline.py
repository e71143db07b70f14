"""What happened at one Charge Point: connections, boots, statuses, transactions; and its meter values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from bridge.config import Recorder
from bridge.lab.simulators.json_central_system import JsonCentralSystem
from tests.admin.asked import Api, api_of
from tests.admin.test_charge_points import ACME, kept_in
from tests.admin.test_transactions import START, STOP, meter
from tests.e2e.stage import json_charge_point, running, settings

STATUS = {"connectorId": 1, "status": "Available", "errorCode": "NoError"}


async def timeline(api: Api, query: str = "") -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await api.get(f"/charge-points/CP%201/timeline{query}"))["items"]
    return items


async def test_everything_that_happened_is_there_the_newest_first(tmp_path: Path) -> None:
    async with JsonCentralSystem() as central:
        told = kept_in(settings(central.url), tmp_path)
        async with running(told) as gateway, api_of(gateway) as api:
            async with json_charge_point(gateway, "CP 1") as point:
                await point.call("BootNotification", ACME)
                await point.call("StatusNotification", STATUS)
                await point.call("StatusNotification", STATUS)
                number = (await point.call("StartTransaction", START))["transactionId"]
                await point.call("StopTransaction", STOP | {"transactionId": number})
                faulted = STATUS | {"status": "Faulted", "errorCode": "GroundFailure", "info": "wet"}
                await point.call("StatusNotification", faulted)
                await gateway._recorder.flush()
                items = await timeline(api)
                assert await timeline(api, "?limit=2") == items[:2]
            said = [(item["kind"], item["text"]) for item in items if item["kind"] not in ("link", "state")]
            assert said == [
                ("status", "Faulted: GroundFailure (wet)"),
                ("transaction_ended", "EVDisconnected"),
                ("transaction_started", "at main"),
                ("status", "Available"),
                ("boot", "Accepted"),
            ]
            links = {(item["party"], item["text"]) for item in items if item["kind"] == "link"}
            assert ("charge_point", "connected") in links and ("central_system", "connected to main") in links
            ended = next(item for item in items if item["kind"] == "transaction_ended")
            assert (ended["energy"], ended["transaction_id"], ended["connector"]) == (7500.0, number, 1)
            message = await api.get(f"/messages/{ended['message']}")
            assert message["action"] == "StopTransaction"
            assert [item["at"] for item in items] == sorted((item["at"] for item in items), reverse=True)
        async with running(told) as gateway, api_of(gateway) as api:
            again = [(item["kind"], item["text"]) for item in await timeline(api)]
            assert [item for item in again if item[0] not in ("link", "state")] == said


async def test_transactions_are_there_though_no_message_is_recorded() -> None:
    async with JsonCentralSystem() as central:
        told = replace(settings(central.url), recorder=Recorder(enabled=False))
        async with running(told) as gateway, api_of(gateway) as api:
            async with json_charge_point(gateway, "CP 1") as point:
                number = (await point.call("StartTransaction", START))["transactionId"]
                await point.call("StopTransaction", STOP | {"transactionId": number})
                items = [item for item in await timeline(api) if item["kind"].startswith("transaction")]
            assert [(item["at"], item["message"]) for item in items] == [
                (STOP["timestamp"], None),
                (START["timestamp"], None),
            ]


async def test_meter_values_are_series() -> None:
    async with (
        JsonCentralSystem() as central,
        running(settings(central.url)) as gateway,
        api_of(gateway) as api,
        json_charge_point(gateway, "CP 1") as point,
    ):
        for value in ("1.5", "2.5"):
            await point.call("MeterValues", meter(7, value, connector=2))
        await gateway._recorder.flush()
        (series,) = (await api.get("/charge-points/CP%201/meter-values"))["series"]
        told = [series[name] for name in ("connector", "measurand", "unit", "phase")]
        assert told == [2, "Energy.Active.Import.Register", "kWh", None]
        assert [value for _, value in series["points"]] == [2.5]  # both have one time
        assert (await api.get("/charge-points/CP%201/meter-values?limit=1"))["series"] == [series]


@pytest.mark.parametrize("what", ["timeline", "meter-values"])
async def test_nobody_has_none(what: str) -> None:
    async with running(settings("ws://127.0.0.1:1/")) as gateway, api_of(gateway) as api:
        assert (await api("GET", f"/charge-points/nobody/{what}")).status == 404
        assert (await api("GET", f"/charge-points/nobody/{what}?limit=0")).status == 400
