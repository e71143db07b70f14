"""Messages that an operator looks for: by what is in them, by time, by loss and error; and a trace of them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bridge.admin import messages
from bridge.lab.simulators.json_central_system import JsonCentralSystem
from bridge.lab.simulators.wire import CallRefused
from bridge.recorder import Recorder
from bridge.recorder.trace_records import read
from tests.admin.asked import Api, api_of
from tests.e2e.stage import CS, charge_point, envelope, json_charge_point, post, running, settings


async def found(api: Api, query: str) -> list[str]:
    page = await api.get(f"/messages?{query}")
    return [item["action"] for item in page["items"]]


def refusing(_: object) -> dict[str, object]:
    raise CallRefused("NotSupported", "no data, thank you")


async def test_filters_on_what_is_in_a_message() -> None:
    async with JsonCentralSystem() as central, running(settings(central.url)) as gateway, api_of(gateway) as api:
        central.behaviour["DataTransfer"] = refusing
        async with charge_point(gateway, "CP 1") as soap, json_charge_point(gateway, "CP 2") as json:
            values = [{"timestamp": "2026-01-02T03:04:05Z", "sampledValue": [{"value": "4711"}]}]
            await soap.call("MeterValues", {"connectorId": 1, "meterValue": values})
            odd = envelope(f'<heartbeatRequest xmlns="{CS}"><oddField>1</oddField></heartbeatRequest>', identity="CP 3")
            assert (await post(gateway, odd)).status == 200
            await json.call("Heartbeat", {})
            with pytest.raises(CallRefused):
                await json.call("DataTransfer", {"vendorId": "Ümlaut", "data": "Needle"})
            assert await found(api, "text=4711") == ["MeterValues"]
            assert await found(api, "text=needle") == await found(api, "text=Ümlaut") == ["DataTransfer"]
            assert await found(api, "text=needle&identity=cp+1") == await found(api, "text=nowhere") == []
            assert await found(api, "failed=true") == await found(api, "error=THANK YOU") == ["DataTransfer"]
            assert await found(api, "failed=false") == ["Heartbeat", "Heartbeat", "MeterValues"]
            assert await found(api, "lossy=true") == await found(api, "loss=oddfield") == ["Heartbeat"]
            assert await found(api, "lossy=false&identity=CP+2") == ["DataTransfer", "Heartbeat"]
            assert await found(api, "loss=elsewhere") == []
            one = await api.get("/charge-points/CP%202/messages?text=needle")
            assert [item["action"] for item in one["items"]] == ["DataTransfer"]
            for wrong in ("text=", "failed=perhaps", "since=yesterday"):
                assert (await api("GET", f"/messages?{wrong}")).status == 400


async def test_a_trace_of_what_was_found() -> None:
    async with JsonCentralSystem() as central, running(settings(central.url)) as gateway, api_of(gateway) as api:
        async with json_charge_point(gateway, "CP 1") as point:
            for number in range(3):
                await point.call("DataTransfer", {"vendorId": f"v{number}"})
            await point.call("Heartbeat", {})
        answer = await api("GET", "/messages:trace?action=DataTransfer&side=both")
        assert answer.headers["Content-Type"] == "application/jsonl"
        assert messages.TRUNCATED not in answer.headers
        records = read(answer.data.splitlines())
        assert [record.timestamp for record in records] == sorted(record.timestamp for record in records)
        assert {record.action for record in records} == {"DataTransfer"} and len(records) == 12
        near = read((await api("GET", "/messages:trace?identity=CP+1&text=v1")).data.splitlines())
        assert [record.message_type for record in near] == ["CALL", "CALLRESULT"]
        assert near[0].payload == {"vendorId": "v1"}
        assert (await api("GET", "/messages:trace?action=Reset")).data is None
        assert (await api("GET", "/messages:trace?side=left")).status == 400


@pytest.mark.parametrize(("bound", "value"), [("MOST_TRACED", 2), ("_MOST_OCTETS", 1)])
async def test_a_trace_says_that_it_is_cut(bound: str, value: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, bound, value)
    monkeypatch.setattr(messages, "_TRACED_AT_ONCE", 2)
    async with JsonCentralSystem() as central, running(settings(central.url)) as gateway, api_of(gateway) as api:
        async with json_charge_point(gateway, "CP 1") as point:
            for number in range(3):
                await point.call("DataTransfer", {"vendorId": f"v{number}"})
        answer = await api("GET", "/messages:trace")
        assert answer.headers[messages.TRUNCATED] == "true"
        told: list[Any] = [record.payload for record in read(answer.data.splitlines()) if record.message_type == "CALL"]
        assert told == [{"vendorId": "v1"}, {"vendorId": "v2"}]


async def test_what_was_refused_unread_has_its_answer() -> None:
    async with running(settings("ws://127.0.0.1:1/")) as gateway, api_of(gateway) as api:
        answer = await post(gateway, envelope(identity="CP 1").replace(b"</", b"<", 1))
        assert answer.status == 400
        (item,) = (await api.get("/messages"))["items"]
        whole = await api.get(f"/messages/{item['id']}")
        assert whole["response"]["received"] is None
        assert "Fault" in whole["response"]["sent"]["text"]
        assert "strict" not in whole["why"]


async def test_a_search_goes_on_where_it_came_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """So many messages are looked through at once, whatever is found."""
    monkeypatch.setattr("bridge.recorder.recorder._SEARCH_SLICE", 10)
    monkeypatch.setattr("bridge.recorder.recorder._SEARCH_SLICES", 2)
    async with JsonCentralSystem() as central, running(settings(central.url)) as gateway, api_of(gateway) as api:
        async with json_charge_point(gateway, "CP 1") as point:
            await point.call("DataTransfer", {"vendorId": "needle"})
            for _ in range(45):
                await point.call("Heartbeat", {})
        recorder: Recorder = gateway._recorder
        await recorder.flush()
        pages, cursor = [], ""
        while True:
            page = await api.get(f"/messages?text=needle{cursor}")
            pages.append(len(page["items"]))
            if page["next"] is None:
                break
            assert page["searched_to"] is not None
            cursor = f"&cursor={page['next']}"
        assert pages == [0, 0, 1]
        assert page["searched_to"] is None
        both = await asyncio.gather(*(found(api, "text=heartbeat&limit=5") for _ in range(2)))
        assert both == [["Heartbeat"] * 5] * 2
