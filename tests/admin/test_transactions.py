"""What an operator sees of transactions: open and ended, with energy and duration, after a restart too."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest

from bridge.admin.transactions import masked_tag
from bridge.lab.simulators.json_central_system import JsonCentralSystem
from tests.admin.asked import Api, api_of
from tests.admin.test_charge_points import kept_in
from tests.e2e.stage import charge_point, json_charge_point, running, settings

START = {"connectorId": 1, "idTag": "DRIVER-0042", "meterStart": 1000, "timestamp": "2026-01-01T10:00:00Z"}
STOP = {"meterStop": 8500, "timestamp": "2026-01-01T11:30:00Z", "reason": "EVDisconnected"}


def meter(number: int, value: str, connector: int = 1) -> dict[str, Any]:
    sample = {"value": value, "measurand": "Energy.Active.Import.Register", "unit": "kWh"}
    values = [{"timestamp": "2026-01-01T10:10:00Z", "sampledValue": [sample]}]
    return {"connectorId": connector, "transactionId": number, "meterValue": values}


async def all_of(api: Api, query: str = "") -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await api.get(f"/transactions{query}"))["items"]
    return items


@pytest.mark.parametrize("speaks", ["soap", "json"])
async def test_a_transaction_from_its_start_to_its_end(speaks: str, tmp_path: Path) -> None:
    async with JsonCentralSystem() as central:
        told = kept_in(settings(central.url), tmp_path)
        async with running(told) as gateway, api_of(gateway) as api:
            assert await all_of(api) == []
            async with (charge_point if speaks == "soap" else json_charge_point)(gateway, "CP 1") as point:
                number = (await point.call("StartTransaction", START))["transactionId"]
                (begun,) = await all_of(api)
                expected = {"identity": "CP 1", "connector": 1, "transaction_id": number, "central_system": "main"}
                assert {name: begun[name] for name in expected} == expected
                assert (begun["state"], begun["id_tag"], begun["energy"]) == ("open", "***042", None)
                assert begun["started"] == "2026-01-01T10:00:00Z" and begun["duration"] > 0
                await point.call("MeterValues", meter(number, "3.5"))
                (going_on,) = await all_of(api, "?state=open")
                assert (going_on["energy"], going_on["meter_stop"]) == (2500.0, None)
                assert await all_of(api, "?state=ended") == []
                await point.call("StopTransaction", STOP | {"transactionId": number})
                (ended,) = await all_of(api, "?identity=cp*&central_system=main&state=ended")
        assert (ended["energy"], ended["duration"], ended["meter_stop"]) == (7500.0, 5400.0, 8500)
        assert (ended["reason"], ended["stopped"]) == ("EVDisconnected", STOP["timestamp"])
        async with running(told) as gateway, api_of(gateway) as api:
            assert await all_of(api) == [ended]
            assert await all_of(api, "?identity=other") == await all_of(api, "?central_system=other") == []


async def test_page_by_page_and_as_a_file() -> None:
    async with (
        JsonCentralSystem() as central,
        running(settings(central.url)) as gateway,
        api_of(gateway) as api,
        json_charge_point(gateway, "=CP 1") as point,
    ):
        numbers = [
            (await point.call("StartTransaction", START | {"connectorId": connector}))["transactionId"]
            for connector in range(1, 6)
        ]
        found, cursor = [], ""
        while True:
            page = await api.get(f"/transactions?limit=2{cursor}")
            found += [item["transaction_id"] for item in page["items"]]
            if page["next"] is None:
                break
            cursor = f"&cursor={page['next']}"
        assert found == numbers[::-1]
        answer = await api("GET", "/transactions:table?state=open")
        assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
        assert 'filename="transactions.csv"' in answer.headers["Content-Disposition"]
        rows = list(csv.DictReader(io.StringIO(answer.data.decode())))
        assert [int(row["transaction_id"]) for row in rows] == numbers[::-1]
        # A spreadsheet must not take an identity for a formula.
        assert {row["identity"] for row in rows} == {"'=CP 1"} and rows[0]["id_tag"] == "***042"


@pytest.mark.parametrize("query", ["state=over", "limit=0", "cursor=none", "cursor=bm9uZQ", "identity=", "who=me"])
async def test_parameters_that_are_wrong(query: str) -> None:
    async with running(settings("ws://127.0.0.1:1/")) as gateway, api_of(gateway) as api:
        assert (await api("GET", f"/transactions?{query}")).status == 400


def test_an_id_tag_is_shown_by_its_end_if_it_is_long_enough() -> None:
    assert [masked_tag(tag) for tag in ("", "ANNA", "1234567", "04A2B3C4")] == ["***", "***", "***", "***3C4"]
