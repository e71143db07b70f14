"""What an operator sees of the Charge Points: who is there, how they are, page by page."""

from __future__ import annotations

import platform
import time
from pathlib import Path

import msgspec
import pytest

from bridge import __version__
from bridge.admin.cursors import closed
from bridge.config import ChargePoint, Settings
from bridge.distribution.build import commit
from bridge.lab.simulators.json_central_system import JsonCentralSystem
from bridge.lab.simulators.wire import CallRefused
from bridge.store import ChargePointRecord, Store
from tests.admin.asked import Api, api_of
from tests.e2e.stage import SAMPLES, charge_point, envelope, json_charge_point, post, running, settings, stage


async def test_a_soap_charge_point_in_full() -> None:
    async with stage("CP 1") as scene, api_of(scene.gateway) as api:
        point = scene.charge_point
        boot = {"chargePointVendor": "Acme", "chargePointModel": "M1", "firmwareVersion": "1.0"}
        await point.call("BootNotification", boot)
        await point.call("StatusNotification", SAMPLES["StatusNotification"])
        started = await point.call("StartTransaction", SAMPLES["StartTransaction"])
        one = await api.get("/charge-points/CP%201")
        assert [one[name] for name in ("identity", "vendor", "model", "firmware")] == [
            "CP 1",
            "Acme",
            "M1",
            "1.0",
        ]
        assert one["charge_point"] == {"transport": "soap", "version": "1.6", "state": "up"}
        side = {"transport": "json", "version": "1.6", "state": "up", "failures": 0, "reason": None}
        assert one["central_side"] == side
        assert (one["route"], one["central_system"], one["state"]) == ("*", "main", "up")
        assert one["heartbeat_interval"] == 300
        assert one["callback"]["source"] == "learnt" and one["callback"]["url"] == one["address"]
        number = started["transactionId"]
        connector = {"number": 1, "status": "Available", "transaction_id": number}
        assert one["connectors"] == [connector]
        assert one["open_transactions"] == [{"connector": 1, "transaction_id": number}]
        assert (one["transactions"], one["waiting"], one["calls"], one["errors"]) == (1, 0, 3, 0)
        assert one["counters"]["results"] == 3
        assert one["addresses_to_type"]["json"][0].endswith("/ocpp/CP%201")
        (summary,) = (await api.get("/charge-points"))["items"]
        assert {name: one[name] for name in summary} == summary


async def test_a_json_charge_point_by_any_spelling() -> None:
    async with JsonCentralSystem() as central, running(settings(central.url)) as gateway, api_of(gateway) as api:
        async with json_charge_point(gateway, "JS/1") as point:
            await point.call("Heartbeat", {})
            one = await api.get("/charge-points/js%2F1")
            assert one["charge_point"] == {"transport": "json", "version": "1.6", "state": "up"}
            assert one["address"].startswith("127.0.0.1:")
            assert one["callback"] == {"url": None, "source": "none", "reason": None}
        missing = await api("GET", "/charge-points/nobody")
        assert (missing.status, missing.data["detail"]) == (404, "no Charge Point 'nobody' was ever here")


ACME = {"chargePointVendor": "Acme", "chargePointModel": "M1", "firmwareVersion": "1.0"}


@pytest.mark.parametrize("speaks", ["soap", "json"])
async def test_what_it_is_is_known_though_its_boot_was_rejected(speaks: str, tmp_path: Path) -> None:
    """After a restart, too."""
    rejected = {"status": "Rejected", "currentTime": "2026-01-01T00:00:00Z", "interval": 60}
    async with JsonCentralSystem() as central:
        central.behaviour["BootNotification"] = lambda _: rejected
        told = kept_in(settings(central.url), tmp_path)
        async with running(told) as gateway, api_of(gateway) as api:
            async with (charge_point if speaks == "soap" else json_charge_point)(gateway, "CP 1") as point:
                assert (await point.call("BootNotification", ACME))["status"] == "Rejected"
            await is_acme(api)
        async with running(told) as gateway, api_of(gateway) as api:
            await is_acme(api)


async def test_what_it_is_is_known_though_its_boot_was_not_answered(tmp_path: Path) -> None:
    told = kept_in(settings("ws://127.0.0.1:1/"), tmp_path)
    async with running(told) as gateway, api_of(gateway) as api, charge_point(gateway, "CP 1") as point:
        with pytest.raises(CallRefused):
            await point.call("BootNotification", ACME)
        await is_acme(api)
    async with running(told) as gateway, api_of(gateway) as api:
        await is_acme(api)


def kept_in(told: Settings, folder: Path) -> Settings:
    """The same with a store on the disk."""
    return msgspec.structs.replace(told, store=msgspec.structs.replace(told.store, url=f"sqlite:///{folder}/bridge.db"))


async def is_acme(api: Api) -> None:
    one = await api.get("/charge-points/CP%201")
    assert ([one[name] for name in ("vendor", "model", "firmware")], one["accepted"]) == (["Acme", "M1", "1.0"], False)


async def test_those_that_are_listed_and_were_never_seen() -> None:
    listed = {identity: ChargePoint() for identity in ("Listed 1", "LISTED 2")}
    async with JsonCentralSystem() as central:
        told = settings(central.url, charge_points=listed)
        async with running(told) as gateway, api_of(gateway) as api, charge_point(gateway, "listed 2") as point:
            await point.call("Heartbeat", {})
            page = await api.get("/charge-points")
            assert [(each["identity"], each["state"]) for each in page["items"]] == [
                ("Listed 1", "never_seen"),
                ("LISTED 2", "up"),
            ]
            assert page["states"] == {"up": 1, "no_central_system": 0, "stale": 0, "down": 0, "never_seen": 1}
            one = await api.get("/charge-points/listed%201")
            assert (one["charge_point"], one["last_seen"], one["central_system"]) == (None, None, "main")
            call = await api("POST", "/charge-points/listed%201/calls", {"action": "ClearCache"})
            assert call.status == 409
            # They come and go with the configuration.
            await gateway.reload(settings(central.url, charge_points={"Listed 3": ChargePoint()}))
            page = await api.get("/charge-points")
            assert [each["identity"] for each in page["items"]] == ["LISTED 2", "Listed 3"]
            assert page["states"]["never_seen"] == 1


async def test_what_went_wrong_last() -> None:
    async with running(settings("ws://127.0.0.1:1/")) as gateway, api_of(gateway) as api:
        assert (await post(gateway, envelope(identity="CP 1"))).status == 503
        one = await api.get("/charge-points/CP%201")
        assert (one["errors"], one["counters"]["unanswered"]) == (1, 1)
        assert "did not answer" in one["last_error"] and one["last_error_at"].endswith("Z")
        assert one["central_side"]["failures"] == 1 and one["central_side"]["reason"]


async def test_page_by_page_and_by_what_is_asked_for() -> None:
    async with JsonCentralSystem() as central, running(settings(central.url)) as gateway, api_of(gateway) as api:
        for number in range(5):
            assert (await post(gateway, envelope(identity=f"SOAP {number}"))).status == 200
        async with json_charge_point(gateway, "JSON 1") as point:
            await point.call("Heartbeat", {})

        async def found(query: str) -> list[str]:
            page = await api.get(f"/charge-points{query}")
            assert page["total"] == len(page["items"]) or page["next"]
            return [each["identity"] for each in page["items"]]

        everybody = ["JSON 1", *(f"SOAP {number}" for number in range(5))]
        assert await found("") == everybody
        assert await found("?identity=soap*") == everybody[1:]
        assert await found("?identity=*%203") == ["SOAP 3"]
        assert await found("?transport=json") == ["JSON 1"]
        assert await found("?state=down&transport=json") == ["JSON 1"]
        assert await found("?state=up") == everybody[1:]  # heard of, though nobody knows where to call them back
        assert await found("?state=down") == ["JSON 1"]
        assert await found("?state=stale") == await found("?state=never_seen") == []
        assert await found("?central_system=main&state=up&identity=soap*") == everybody[1:]
        assert await found("?central_system=other") == []
        paged, cursor = [], ""
        while True:
            page = await api.get(f"/charge-points?limit=2{cursor}")
            assert page["total"] == 6
            paged += [each["identity"] for each in page["items"]]
            if page["next"] is None:
                break
            cursor = f"&cursor={page['next']}"
        assert paged == everybody


@pytest.mark.parametrize(
    "query",
    [
        *("limit=0", "limit=1001", "limit=x", "state=gone", "transport=smoke", "identity=", "cursor=", "cursor=***"),
        *("state=null", "transport=NULL", "unknown=1", "limit=1&limit=2", f"identity={'x' * 256}"),
    ],
)
async def test_parameters_that_are_wrong(query: str) -> None:
    async with running(settings("ws://127.0.0.1:1/")) as gateway, api_of(gateway) as api:
        answer = await api("GET", f"/charge-points?{query}")
        assert (answer.status, answer.data["status"]) == (400, 400)
        assert answer.data["detail"]


async def test_cursors_of_others() -> None:
    async with running(settings("ws://127.0.0.1:1/")) as gateway, api_of(gateway) as api:
        for path in ("/audit", "/messages"):
            for cursor in (closed("x"), closed("-1"), closed(str(2**70)), "_w", "!"):
                answer = await api("GET", f"{path}?cursor={cursor}")
                assert (answer.status, answer.data["path"]) == (400, "cursor")


async def test_who_was_there_before_the_restart_is_not_forgotten(tmp_path: object) -> None:
    url = f"sqlite:///{tmp_path}/bridge.db"
    store = Store(url)
    store.open()
    last = time.time() - 3600
    for identity in ("CP 1", "ELSEWHERE"):
        store.put(ChargePointRecord(identity=identity, last_seen=last, transport="json", version="1.6"))
    store.close()
    told = settings("ws://127.0.0.1:1/", route={"charge_point": "CP*"})
    told = msgspec.structs.replace(told, store=msgspec.structs.replace(told.store, url=url))
    async with running(told) as gateway, api_of(gateway) as api:
        one, other = (await api.get("/charge-points"))["items"]
        assert (one["identity"], one["charge_point"]["state"], one["state"]) == ("CP 1", "down", "down")
        assert one["central_side"]["reason"].startswith("it has not been heard of")
        assert (other["route"], other["central_system"], other["central_side"]) == (None, None, None)
        assert (await api.get("/charge-points?state=down"))["total"] == 2
        call = await api("POST", "/charge-points/CP%201/calls", {"action": "ClearCache"})
        assert (call.status, call.data["detail"]) == (409, "the Charge Point 'CP 1' is not connected now")


async def test_ten_thousand_of_them_are_quick_to_list() -> None:
    """What is told of a Charge Point is worked out for those of the page, not for all."""
    async with running(settings("ws://127.0.0.1:1/")) as gateway, api_of(gateway) as api:
        for number in range(10_000):
            gateway._persistence.heard(f"CP {number:05}", "json")
        made = 0
        placements = gateway._placements
        find = placements.route_of

        def counted(identity: str) -> str | None:
            nonlocal made
            made += 1
            return find(identity)

        placements.route_of = counted  # type: ignore[method-assign]
        page = await api.get("/charge-points?limit=100&state=down")
        assert (page["total"], len(page["items"]), made) == (10_000, 100, 100)


async def test_the_configuration_as_it_is_in_force() -> None:
    told = settings(
        "ws://127.0.0.1:1/",
        route={"charge_point": "EVLINK-*", "overlong": "drop"},
        charge_points={"EVLINK-1": ChargePoint(callback_url="http://10.0.0.1/")},
    )
    async with running(told) as gateway, api_of(gateway) as api:
        (route,) = (await api.get("/routes"))["items"]
        assert (route["charge_point"], route["central_system"]) == ("EVLINK-*", "main")
        assert route["quirks"] == {"overlong": "drop"}
        (system,) = (await api.get("/central-systems"))["items"]
        assert (system["name"], system["sessions"], system["degraded"]) == ("main", 0, False)
        addresses = await api.get("/addresses")
        port = gateway.websocket_address[1]
        assert addresses["json"] == [f"ws://127.0.0.1:{port}/ocpp/{{identity}}"]
        assert addresses["soap"][0].endswith("/services/CentralSystemService")
        assert addresses["central_systems_to_bridge"][0].endswith("/services/ChargePointService")


async def test_what_runs_here() -> None:
    async with running(settings("ws://127.0.0.1:1/")) as gateway, api_of(gateway) as api:
        about = await api.get("/about")
        runs = {"version": __version__, "commit": commit(), "python": platform.python_version()}
        assert about == runs | {"role": "operate"}


async def test_no_such_address() -> None:
    async with running(settings("ws://127.0.0.1:1/")) as gateway, api_of(gateway) as api:
        answer = await api("GET", "/nothing")
        assert answer.status == 404 and "openapi.json" in answer.data["detail"]
        answer = await api("DELETE", "/routes")
        assert (answer.status, answer.headers["Allow"], answer.data["status"]) == (405, "GET", 405)


@pytest.mark.parametrize("since", ["0", "1e3", "2026-01-01", "2026-01-01T00:00:00", "yesterday", "null"])
async def test_what_is_no_point_in_time(since: str) -> None:
    async with running(settings("ws://127.0.0.1:1/")) as gateway, api_of(gateway) as api:
        for name in ("since", "until"):
            answer = await api("GET", f"/messages?{name}={since}")
            assert (answer.status, answer.data["path"]) == (400, name)
        assert await api.get("/messages?since=0001-01-01T00:00:00%2B14:00&until=9999-12-31T23:59:59-14:00")
