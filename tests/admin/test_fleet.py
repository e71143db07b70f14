"""The fleet as a whole through the API: what is wrong, what is counted, and the last hour."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import quote

import msgspec
import pytest

from bridge.config import CentralSystem, FurtherCentralSystem, Match, Pack, Quirks, Route
from bridge.lab.simulators.json_central_system import JsonCentralSystem
from bridge.lab.simulators.json_charge_point import ConnectionRefused
from tests.admin.asked import Api, api_of
from tests.e2e.stage import (
    AT_MOST,
    CS,
    SAMPLES,
    charge_point,
    envelope,
    json_charge_point,
    post,
    running,
    settings,
    stage,
)
from tests.ports import free_port


def meter_values(sampled: str) -> str:
    """Return the Body of MeterValues whose time stamp has no zone."""
    value = f"<c:timestamp>2026-01-02T04:04:05</c:timestamp>{sampled}"
    inside = f"<c:connectorId>1</c:connectorId><c:meterValue>{value}</c:meterValue>"
    return f'<c:meterValuesRequest xmlns:c="{CS}">{inside}</c:meterValuesRequest>'


FAULTED = {"connectorId": 1, "status": "Faulted", "errorCode": "GroundFailure"}


def kinds(overview: dict[str, Any]) -> list[str]:
    return [alarm["kind"] for alarm in overview["alarms"]]


async def test_nothing_is_wrong_until_something_is() -> None:
    quick = {"reconnect_min": 0.01, "reconnect_max": 0.02}
    async with stage("CP 1", central_system=quick) as scene, api_of(scene.gateway) as api:
        point = scene.charge_point
        await point.call("BootNotification", SAMPLES["BootNotification"])
        await point.call("StatusNotification", SAMPLES["StatusNotification"])
        calm = await api.get("/overview")
        assert (calm["alarms"], calm["states"]["up"], calm["transactions"], calm["moved"]) == ([], 1, 0, [])
        await point.call("StatusNotification", FAULTED)
        started = await point.call("StartTransaction", SAMPLES["StartTransaction"])
        now = await api.get("/overview")
        assert (kinds(now), now["transactions"]) == (["fault"], 1)
        fault = {"error_code": "GroundFailure", "connectors": 1, "charge_points": 1, "identity": "CP 1"}
        assert now["faults"] == [fault]
        stop = SAMPLES["StopTransaction"] | {"transactionId": started["transactionId"]}
        await point.call("StopTransaction", stop)
        await scene.central_system.stop()
        assert (await post(scene.gateway, envelope(identity="CP 1"))).status == 503
        away = await api.get("/overview")
        assert (kinds(away), away["transactions"]) == (["central_system_away", "fault"], 0)
        assert (away["alarms"][0]["subject"], away["alarms"][0]["count"]) == ("main", 1)
        (system,) = (await api.get("/central-systems"))["items"]
        assert (system["unreachable"], system["since"]) == (1, away["alarms"][0]["since"])
        assert system["last_failure"] and system["last_failure_at"]
        assert system["last_failure"] in away["alarms"][0]["text"]


async def test_json_charge_points_that_are_down_because_of_their_central_system_are_told_with_it() -> None:
    """They are let in only with it, so that nothing but their refused handshakes tells that it is away."""
    async with (
        JsonCentralSystem(port=free_port()) as central,
        running(settings(central.url)) as gateway,
        api_of(gateway) as api,
    ):
        wrong = json_charge_point(gateway, "NEW")
        async with json_charge_point(gateway, "GONE") as gone:
            await gone.call("BootNotification", SAMPLES["BootNotification"])
        point = json_charge_point(gateway, "JS/1")
        async with point:
            await point.call("BootNotification", SAMPLES["BootNotification"])
            await central.stop()
            await until_state(api, "JS/1", "down")
        # Its Central System has closed the connection, which says nothing of the next one.
        assert kinds(await api.get("/overview")) == ["down"]
        for each in (point, wrong, point):
            with pytest.raises(ConnectionRefused, match="503"):
                await each.start()
        away = await api.get("/overview")
        assert kinds(away) == ["central_system_away", "down"]
        assert [alarm["count"] for alarm in away["alarms"]] == [2, 1]
        assert away["alarms"][0]["text"].endswith(
            "1 Charge Point is down because of it: JSON Charge Points are let in only with it."
        )
        assert away["alarms"][1]["text"] == "Charge Points are down for another reason."
        assert (away["states"]["down"], away["alarms"][0]["since"] is not None) == (2, True)
        ready = await api.get("//readyz")
        assert ready["status"] == "degraded"
        assert (ready["central_systems"]["main"]["unreachable"], ready["central_systems"]["main"]["down"]) == (2, 1)
        (system,) = (await api.get("/central-systems"))["items"]
        assert (system["unreachable"], system["down"], system["degraded"]) == (2, 1, True)
        page = (await api("GET", "//metrics")).data.decode()
        assert 'ocpp_bridge_central_system_links{central_system="main",state="unreachable"} 2.0' in page
        side = (await api.get("/charge-points/JS%2F1"))["central_side"]
        assert side["failures"] == 2 and "cannot be reached" in side["reason"]
        assert (await api.get("/charge-points/GONE"))["central_side"]["failures"] == 0
        await central.start()
        async with point:
            back = await api.get("/overview")
            assert (kinds(back), back["alarms"][0]["count"]) == (["central_system_away", "down"], 1)
            async with wrong:
                assert kinds(await api.get("/overview")) == ["down"]


async def until_state(api: Api, identity: str, state: str) -> None:
    """Wait until a Charge Point has a state."""
    async with asyncio.timeout(AT_MOST):
        while (await api.get(f"/charge-points/{quote(identity, safe='')}"))["state"] != state:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_json_charge_point_is_counted_as_a_soap_one_is() -> None:
    async with JsonCentralSystem() as central, running(settings(central.url)) as gateway, api_of(gateway) as api:
        async with json_charge_point(gateway, "JS/1") as point:
            await point.call("BootNotification", SAMPLES["BootNotification"])
            await point.call("StatusNotification", FAULTED | {"connectorId": 2})
            await point.call("StartTransaction", SAMPLES["StartTransaction"])
            overview = await api.get("/overview")
            assert (overview["transactions"], [fault["error_code"] for fault in overview["faults"]]) == (
                1,
                ["GroundFailure"],
            )
            (system,) = (await api.get("/central-systems"))["items"]
            counts = [system[name] for name in ("charge_points", "sessions", "connected", "open_transactions")]
            assert counts == [1, 1, 1, 1]
            assert system["p50_ms"] is not None and system["p50_ms"] <= system["p99_ms"]
        assert (await api("DELETE", "/charge-points/JS%2F1")).status == 204
        gone = await api.get("/overview")
        assert (gone["transactions"], gone["faults"], sum(gone["states"].values())) == (0, [], 0)


async def test_what_is_doubtful_in_the_configuration_is_told_before_and_after_a_reload() -> None:
    async with JsonCentralSystem() as central:
        told = settings(central.url)
        old = CentralSystem(url="http://127.0.0.1:1/", protocol="ocpp1.6s")
        async with running(told) as gateway, api_of(gateway) as api:
            assert (await api.get("/overview"))["alarms"] == []
            both = {**told.central_systems, "old": old}
            await gateway.reload(msgspec.structs.replace(told, central_systems=both))
            (caution,) = (await api.get("/overview"))["alarms"]
            assert caution["kind"] == "caution"
            assert caution["text"].startswith("central_systems.old: whoever reaches the SOAP listener")
            slow = msgspec.structs.replace(told.gateway, call_timeout=7)
            await gateway.reload(msgspec.structs.replace(told, gateway=slow))
            (pending,) = (await api.get("/overview"))["alarms"]
            assert (pending["kind"], pending["severity"]) == ("configuration", "warning")
            assert pending["text"].endswith("to hold from the next start on: gateway.call_timeout")
            gateway.reload_refused(["bridge.toml: soap.lisen: unknown key"])
            refused, _ = (await api.get("/overview"))["alarms"]
            assert refused["text"].endswith("and the former one holds: bridge.toml: soap.lisen: unknown key")
            await gateway.reload(told)
            assert (await api.get("/overview"))["alarms"] == []


async def test_moves_are_told_and_one_to_a_central_system_that_is_gone() -> None:
    async with JsonCentralSystem() as central, JsonCentralSystem() as other:
        told = settings(central.url)
        both = msgspec.structs.replace(
            told, central_systems={**told.central_systems, "other": CentralSystem(url=other.url)}
        )
        async with running(both) as gateway, charge_point(gateway, "CP 1") as point, api_of(gateway) as api:
            await point.call("BootNotification", SAMPLES["BootNotification"])
            moved = await api("PUT", "/charge-points/CP%201/route", {"central_system": "other", "when": "now"})
            assert moved.status == 200
            wanted = {"charge_points": ["CP 2"], "central_system": "other"}
            assert (await api("POST", "/moves", wanted)).status == 200
            overview = await api.get("/overview")
            assert [(entry["identity"], entry["what"]) for entry in overview["moved"]] == [("CP 1", "move")]
            assert [move["id"] for move in overview["moves"]] == [1]
            names = {one["name"]: one["charge_points"] for one in (await api.get("/central-systems"))["items"]}
            assert names["other"] >= 1 and names["main"] == 0
            await gateway.reload(told)
            assert "moved_nowhere" in kinds(await api.get("/overview"))


async def test_each_route_has_the_number_of_its_charge_points() -> None:
    async with JsonCentralSystem() as central:
        routes = tuple(Route(charge_point=glob, central_system="main") for glob in ("NL-*", "*", "*"))
        told = msgspec.structs.replace(settings(central.url), routes=routes)
        async with running(told) as gateway, api_of(gateway) as api:
            for identity in ("NL-1", "nl-2", "BE-1"):
                assert (await post(gateway, envelope(identity=identity))).status == 200
            found = (await api.get("/routes"))["items"]
            assert [(route["charge_point"], route["charge_points"]) for route in found] == [
                ("NL-*", 2),
                ("*", 1),
                ("*", 0),
            ]
            await gateway.reload(msgspec.structs.replace(told, routes=routes[1:]))
            assert [route["charge_points"] for route in (await api.get("/routes"))["items"]] == [3, 0]


async def test_a_quirk_pack_says_for_how_many_it_is_in_force() -> None:
    async with JsonCentralSystem() as central:
        packs = (
            Pack(evidence="seen\n  in the field", match=Match(vendor="Acme*"), set=Quirks(fractions=False)),
            Pack(evidence="seen", match=Match(vendor="Other"), set=Quirks(prefix="cs")),
        )
        told = msgspec.structs.replace(settings(central.url), packs=packs)
        async with running(told) as gateway, charge_point(gateway, "CP 1") as point, api_of(gateway) as api:
            assert [pack["charge_points"] for pack in (await api.get("/quirks"))["items"]] == [0, 0]
            boot = {"chargePointVendor": "ACME Ltd", "chargePointModel": "M1"}
            await point.call("BootNotification", boot)
            first, second = (await api.get("/quirks"))["items"]
            assert first == {
                "evidence": "seen in the field",
                "match": {"vendor": "Acme*", "model": "*", "firmware": "*"},
                "settings": {"fractions": False},
                "charge_points": 1,
                "identity": "CP 1",
            }
            assert (second["charge_points"], second["identity"]) == (0, None)


async def test_losses_are_listed_and_those_of_content_are_an_alarm() -> None:
    async with stage("CP 1") as scene, api_of(scene.gateway) as api:
        told = "<c:sampledValue><c:value>1</c:value>{}</c:sampledValue>"
        for inside in ("", "<c:measurand>Nonsense</c:measurand>"):
            assert (await post(scene.gateway, envelope(meter_values(told.format(inside))))).status == 200
            found = (await api.get("/losses"))["items"]
            overview = await api.get("/overview")
            assert overview["losses"] == found
            if not inside:
                assert overview["alarms"] == []
        zone = found[0]
        assert (zone["action"], zone["field"], zone["count"]) == ("MeterValues", "meterValue.timestamp", 2)
        assert (zone["identity"], zone["dropped"]) == ("CP 1", False)
        dropped = [loss["field"] for loss in found if loss["dropped"]]
        assert dropped
        assert [(alarm["kind"], alarm["count"]) for alarm in overview["alarms"]] == [("losses", len(dropped))]


async def test_the_last_hour_is_told_minute_by_minute() -> None:
    now = [1_767_312_000.0]
    async with (
        JsonCentralSystem() as central,
        running(settings(central.url), lambda: now[0]) as gateway,
        charge_point(gateway, "CP 1") as point,
        api_of(gateway) as api,
    ):
        assert (await api.get("/overview"))["hour"]["first"] is None
        for minute in range(3):
            for _ in range(minute):
                await point.call("Heartbeat", {})
            now[0] += 60
        hour = (await api.get("/overview"))["hour"]
        assert (hour["first"], hour["messages"], hour["errors"]) == (
            "2026-01-02T00:00:00.000Z",
            [0, 1, 2],
            [0, 0, 0],
        )
        assert hour["p99_ms"][0] is None and hour["p99_ms"][2] > 0


async def test_an_observer_that_is_away_is_listed_with_what_waits_for_it() -> None:
    async with JsonCentralSystem() as central:
        told = settings(central.url)
        [route] = told.routes
        also = FurtherCentralSystem(central_system="ems", role="observer")
        systems = told.central_systems | {"ems": CentralSystem(url=f"ws://127.0.0.1:{free_port()}/ocpp")}
        told = msgspec.structs.replace(
            told, routes=(msgspec.structs.replace(route, also=(also,)),), central_systems=systems
        )
        async with running(told) as gateway, charge_point(gateway, "CP 1") as point, api_of(gateway) as api:
            (before,) = (await api.get("/observers"))["items"]
            assert (before["central_system"], before["roles"], before["routes"]) == ("ems", ["observer"], ["*"])
            assert (before["waiting"], before["oldest"], before["lost"]) == (0, None, {})
            await point.call("Heartbeat", {})
            async with asyncio.timeout(AT_MOST):
                while not (now := (await api.get("/observers"))["items"][0])["waiting"]:  # noqa: ASYNC110  the API tells nobody
                    await asyncio.sleep(0.01)
            assert now["waiting"] == 1 and now["octets"] > 0 and now["oldest"] is not None
            async with asyncio.timeout(AT_MOST):
                while not (await api.get("/observers"))["items"][0]["trouble"]:  # noqa: ASYNC110  nor that it is away
                    await asyncio.sleep(0.01)
            (alarm,) = (await api.get("/overview"))["alarms"]
            assert (alarm["kind"], alarm["subject"], alarm["since"]) == ("observer", "ems", now["oldest"])
            assert "1 message waits" in alarm["text"] and "cannot be reached" in alarm["text"]
            known = {system["name"]: system for system in (await api.get("/central-systems"))["items"]}
            assert (known["ems"]["observes"], known["main"]["observes"]) == (["observer"], [])
            assert "cannot be reached" in known["ems"]["observer_trouble"]
