"""What each operation of the API shows to a tenant: its own, also if both tenants have the same, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp
import msgspec

from bridge import config
from bridge.config import CentralSystem, EventReceiver, FurtherCentralSystem, Match, Pack, Quirks, Route, Secret
from bridge.lab.simulators.json_central_system import JsonCentralSystem
from bridge.lab.simulators.json_charge_point import JsonChargePoint
from bridge.ocpp.tenants import SEPARATOR
from tests.admin.asked import Api
from tests.admin.test_openapi import DOCUMENT, described
from tests.e2e.stage import AT_MOST, CS, SAMPLES, envelope, reachable
from tests.e2e.test_tenants import ACMES, ANYWHERE, JSON, SOAP, Side, World, json_url, soap_url, world

# The word in all that belongs to one tenant only, and the register of its meters.
OURS, THEIRS = ("OURS", "47114711"), ("ACME", "81508150")
MODEL = "nine"
# The operations that show something of a tenant, and the query with which they show it.
SHOWN = {
    "list-charge-points": "",
    "charge-point-values": "",
    "charge-points-table": "",
    "charge-point": "",
    "settings": "",
    "export": "",
    "overview": "",
    "central-systems": "",
    "observers": "",
    "losses": "",
    "quirks": "",
    "list-moves": "",
    "one-move": "",
    "readiness": "",
    "list-messages": "",
    "messages-of-charge-point": "",
    "trace": "",
    "message": "",
    "list-transactions": "",
    "transactions-table": "",
    "timeline": "",
    "meter-values": "",
    "routes": "",
    "addresses": "",
    "audit": "",
}
# Those without a filter on the identity. The live stream does not end: another test reads it.
PLAIN, STREAM = {"about", "actions"}, "events"


def words_of(name: str) -> tuple[str, str]:
    return OURS if name == "OURS" else THEIRS


def system(url: str, tenant: str) -> CentralSystem:
    return CentralSystem(url=url, tenant=tenant, reconnect_min=0.01, reconnect_max=0.02)


def lossy(identity: str) -> bytes:
    """MeterValues from which something is lost: a time without its zone."""
    value = "<c:timestamp>2026-01-02T04:04:05</c:timestamp><c:value>1</c:value>"
    inside = f"<c:connectorId>1</c:connectorId><c:meterValue>{value}</c:meterValue>"
    return envelope(f'<c:meterValuesRequest xmlns:c="{CS}">{inside}</c:meterValuesRequest>', identity=identity)


@asynccontextmanager
async def both_at_work() -> AsyncIterator[World]:
    """Two tenants with the same Charge Points, of which the same is to be told, but for the word of each."""
    async with AsyncExitStack() as held:
        ours, theirs, shadow, other = [await held.enter_async_context(JsonCentralSystem()) for _ in range(4)]
        systems = {"shared": system(shadow.url, "*")}
        routes = []
        for word, tenant, url in (("OURS", "", ours.url), ("ACME", "acme", theirs.url)):
            systems[f"{word}-main"] = system(url, tenant)
            systems |= {f"{word}-{role}": system(other.url, tenant) for role in ("shadow", "next")}
            names = (f"{word}-shadow", "shared")
            routes.append(
                Route(
                    charge_point="*",
                    central_system=f"{word}-main",
                    # Some of these Central Systems are one program, which hears of both.
                    central_system_identity=f"{word}-{{identity}}",
                    tenant=tenant,
                    also=tuple(FurtherCentralSystem(central_system=name, role="shadow") for name in names),
                )
            )
        soap = (
            config.Soap(listen=ANYWHERE, public_url="http://OURS.example:8080"),
            config.Soap(listen=ANYWHERE, public_url="http://ACME.example:8080", tenant="acme"),
        )
        pack = Pack(evidence="a test", match=Match(model=MODEL), set=Quirks(close_after_answer=False))
        async with world(central_systems=systems, routes=tuple(routes), soap=soap, packs=(pack,)) as there:
            yield there


async def worked(there: World, side: Side, name: str, listeners: tuple[str, str]) -> dict[str, str]:
    """Let a tenant do all that is shown somewhere. Returns the names in paths."""
    word, register = words_of(name)
    boot = {"chargePointVendor": f"{word}-vendor", "chargePointModel": "m"}
    for point in (side.soap, side.json):
        await point.call("BootNotification", boot)
        await point.call("StatusNotification", {"connectorId": 1, "status": "Faulted", "errorCode": "GroundFailure"})
        await point.call("Authorize", SAMPLES["Authorize"])
        start = await point.call("StartTransaction", {**SAMPLES["StartTransaction"], "meterStart": 1})
        sampled = [{"timestamp": "2026-01-02T03:04:05Z", "sampledValue": [{"value": register}]}]
        values = {"connectorId": 1, "transactionId": start["transactionId"], "meterValue": sampled}
        await point.call("MeterValues", values)
    url, identity = json_url(there.gateway, listeners[1]), f"{word}-9"
    async with JsonChargePoint(url=url, identity=identity) as third:
        await third.call("BootNotification", boot | {"chargePointModel": MODEL})
    async with aiohttp.ClientSession() as http:
        kind = {"Content-Type": "application/soap+xml; charset=utf-8"}
        url = soap_url(there.gateway, listeners[0])
        async with http.post(url, data=lossy(f"{word}-8"), headers=kind) as response:
            assert response.status == 200, await response.text()
    api, prefix = side.api, side.prefix
    put = await api("PUT", f"{prefix}/charge-points/EXTRA", {"callback_url": f"http://127.0.0.1:1/{word}"})
    assert put.status in (200, 201), put
    moved = {"central_system": f"{word}-next", "when": "now"}
    assert (await api("PUT", f"{prefix}/charge-points/{word}-9/route", moved)).status == 200
    made = await api("POST", f"{prefix}/moves", {"charge_points": f"{word}-8", **moved})
    messages = (await side.get("/messages?action=BootNotification&limit=1"))["items"]
    return {"move": str(made.data["id"]), "message": str(messages[0]["id"]), "shadow": f"{word}-shadow"}


def filled(path: str, name: str, names: dict[str, str]) -> str:
    """The path of an operation, behind the prefix of the tenant."""
    number = {"one-move": names["move"], "message": names["message"], "readiness": names["shadow"]}.get(name, "1")
    identity = "EXTRA" if name == "settings" else "CP%201"
    return path.removeprefix("/api/v1").replace("{identity}", identity).replace("{id}", number)


def reading() -> dict[str, str]:
    """The path of each operation that reads something, by name, without those of tenants."""
    paths = {told["get"]["operationId"]: path for path, told in DOCUMENT["paths"].items() if "get" in told}
    return {name: path for name, path in paths.items() if "{tenant}" not in path}


def text_of(answer: Any) -> str:
    return answer.decode() if isinstance(answer, bytes) else msgspec.json.encode(answer).decode()


async def shown(side: Side, path: str, own: tuple[str, str]) -> str:
    """What an operation answers, as soon as it shows something of the tenant: some is known a moment later."""
    async with asyncio.timeout(AT_MOST):
        while True:
            text = text_of(await side.get(path))
            if any(word in text for word in own):
                return text
            await asyncio.sleep(0.05)


def test_each_operation_says_what_a_tenant_may_see_of_it() -> None:
    """One that reads something is in a table of this test, too."""
    scopes = {endpoint.name: endpoint.scope for endpoint in described()}
    assert set(scopes.values()) <= {"tenant", "bridge", "everybody"}
    of_tenant = {name for name, scope in scopes.items() if scope == "tenant" and not name.endswith("-of-tenant")}
    assert {f"{name}-of-tenant" for name in of_tenant} <= {*scopes}
    seen = {name for name in reading() if scopes[name] == "tenant"}
    assert seen == {*SHOWN, STREAM}, "say what this operation shows to a tenant"


async def test_each_operation_shows_a_tenant_its_own_and_nothing_of_another() -> None:
    async with both_at_work() as there:
        sides = [
            (there.ours, "OURS", ("soap", "websocket"), OURS, THEIRS),
            (there.acme, "ACME", ("soap-2", "websocket-2"), THEIRS, OURS),
        ]
        names = [await worked(there, side, name, listeners) for side, name, listeners, *_ in sides]
        paths = reading()
        for (side, _, _, own, others), mine, theirs in zip(sides, names, reversed(names), strict=True):
            for name in SHOWN:
                text = await shown(side, filled(paths[name], name, mine), own)
                assert not any(word in text for word in others), (name, text)
                assert SEPARATOR not in text and "\\u001f" not in text, (name, text)
            for name in PLAIN:
                text = text_of(await side.get(filled(paths[name], name, mine)))
                assert not any(word in text for word in (*own, *others)), name
            # What has a number or a name is as if it were not there.
            for name in ("message", "one-move", "readiness"):
                assert (await side.api("GET", side.prefix + filled(paths[name], name, theirs))).status == 404, name
            # A key in place of an identity finds nobody, and a glob with one neither.
            for key in ("acme%1FCP%201", "%1FCP%201"):
                assert (await side.api("GET", f"{side.prefix}/charge-points/{key}")).status == 400
                assert (await side.api("PUT", f"{side.prefix}/charge-points/{key}", {})).status == 400
            for glob in ("acme%1F*", "acme%1Fcp%201", "%1Fcp%201"):
                for path in (
                    "charge-points",
                    "messages",
                    "transactions",
                    f"central-systems/{mine['shadow']}/readiness",
                ):
                    found = await side.get(f"/{path}?identity={glob}")
                    assert found["items"] == [], (path, glob)
                assert not await side.get(f"/messages:trace?identity={glob}")
                for table in ("charge-points:table", "transactions:table"):
                    assert len((await side.get(f"/{table}?identity={glob}")).splitlines()) == 1, table
            other = others[0]
            for path in ("charge-points", "transactions"):
                assert (await side.get(f"/{path}?central_system={other}-main"))["items"] == []
            assert (await side.get(f"/messages?text={other}-vendor"))["items"] == []
            assert (await side.get(f"/charge-points?text={other}"))["items"] == []


async def test_counts_are_those_of_the_tenant() -> None:
    async with both_at_work() as there:
        await worked(there, there.ours, "OURS", ("soap", "websocket"))
        boot = {"chargePointVendor": "ACME-vendor", "chargePointModel": MODEL}
        for identity in ("ACME-9", "ACME-10", "ACME-11"):
            url = json_url(there.gateway, "websocket-2")
            async with JsonChargePoint(url=url, identity=identity) as point:
                await point.call("BootNotification", boot)
        ours, acme = [await side.get("/overview") for side in there.sides]
        assert (sum(ours["states"].values()), sum(acme["states"].values())) == (5, 4)
        assert (ours["transactions"], acme["transactions"]) == (2, 0)
        assert [(one["connectors"], one["charge_points"]) for one in ours["faults"]] == [(2, 2)]
        assert acme["faults"] == acme["losses"] == acme["moves"] == acme["moved"] == []
        assert ours["losses"] and ours["moves"] and ours["moved"]
        (pack,) = (await there.ours.get("/quirks"))["items"]
        (theirs,) = (await there.acme.get("/quirks"))["items"]
        assert (pack["charge_points"], theirs["charge_points"]) == (1, 3)
        (route,) = (await there.ours.get("/routes"))["items"]
        (other,) = (await there.acme.get("/routes"))["items"]
        counted = {one["name"]: one for one in (await there.ours.get("/central-systems"))["items"]}
        assert (counted["OURS-main"]["charge_points"], counted["OURS-main"]["open_transactions"]) == (3, 2)
        assert (route["charge_points"], other["charge_points"]) == (5, 4)
        for one in (await there.acme.get("/central-systems"))["items"]:
            assert one["open_transactions"] == 0, one
        for side, own in zip(there.sides, (OURS, THEIRS), strict=True):
            readiness = await side.get("/central-systems/shared/readiness")
            listed = [one["identity"] for one in readiness["items"]]
            assert readiness["charge_points"] == readiness["total"] == len(listed) == 4
            assert {one for one in listed if "-" in one and one != JSON} <= {f"{own[0]}-{n}" for n in (8, 9, 10, 11)}
        totals = [(await side.get("/charge-points?sort=errors&limit=1"))["total"] for side in there.sides]
        assert totals == [5, 4]


async def test_what_all_tenants_share_is_told_to_who_is_for_all_only() -> None:
    """The caution about open metrics is about the bridge."""
    admin = config.Admin(listen=ANYWHERE)
    assert admin.open_metrics
    async with world() as there:
        kinds = [{alarm["kind"] for alarm in (await side.get("/overview"))["alarms"]} for side in there.sides]
        assert kinds == [set(), set()]
        for path in ("/overview", f"{ACMES}/overview"):
            cautions = [one for one in (await there.api.get(path))["alarms"] if one["kind"] == "caution"]
            assert any("metrics of all tenants" in one["text"] for one in cautions)


async def test_a_receiver_that_is_away_is_told_to_its_tenant() -> None:
    away = f"http://127.0.0.1:{reachable()['listen'].port}/"
    receivers = tuple(
        EventReceiver(
            name=f"{name} receiver", kind="webhook", url=away, tenant=tenant, secret=Secret(b"0123456789abcdef")
        )
        for name, tenant in (("shared", "*"), ("OURS", ""), ("ACME", "acme"))
    )

    async def told(api: Api, path: str) -> set[str]:
        return {one["subject"] for one in (await api.get(path))["alarms"] if one["kind"] == "receiver"}

    async with world(events=receivers) as there:
        for side in there.sides:
            await side.json.call("BootNotification", SAMPLES["BootNotification"])
        async with asyncio.timeout(AT_MOST):
            while True:
                if await told(there.api, "/overview") == {receiver.name for receiver in receivers}:
                    break
                await asyncio.sleep(0.05)
        assert await told(there.ours.api, "/overview") == {"OURS receiver"}
        assert await told(there.acme.api, f"{ACMES}/overview") == {"ACME receiver"}


async def test_pages_of_a_tenant_go_on_where_they_ended() -> None:
    """Cursors hold no key: one of another tenant names a place in the own list."""
    async with both_at_work() as there:
        for side in there.sides:
            for point in (side.soap, side.json):
                await point.call("BootNotification", SAMPLES["BootNotification"])
                await point.call("Authorize", SAMPLES["Authorize"])
                await point.call("StartTransaction", SAMPLES["StartTransaction"])
        shadows = zip(there.sides, ("OURS", "ACME"), strict=True)
        paths = [(side, f"/central-systems/{name}-shadow/readiness") for side, name in shadows]
        paths += [
            (side, path)
            for side in there.sides
            for path in (
                "/charge-points",
                "/charge-points?sort=model",
                "/charge-points?order=desc",
                "/transactions",
            )
        ]
        paths += [(side, "/transactions") for side in there.sides]
        for side, path in paths:
            mark = "&" if "?" in path else "?"
            first = await side.get(f"{path}{mark}limit=1")
            second = await side.get(f"{path}{mark}limit=1&cursor={first['next']}")
            assert sorted(one["identity"] for one in (*first["items"], *second["items"])) == [SOAP, JSON], path
            assert second["next"] is None
