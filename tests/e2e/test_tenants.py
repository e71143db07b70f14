"""Two tenants on one bridge whose Charge Points have the same identities: nothing of one reaches the other."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from bridge import config
from bridge.admin.access import TENANT_HEADER
from bridge.app import Gateway
from bridge.commands.asking import AdminClient
from bridge.config import (
    AdminToken,
    CentralSystem,
    ChargePoint,
    FurtherCentralSystem,
    Listen,
    Policy,
    Route,
    Secret,
    SecretFile,
    Settings,
    Tenant,
)
from bridge.lab.simulators.json_central_system import JsonCentralSystem
from bridge.lab.simulators.json_charge_point import ConnectionRefused, JsonChargePoint
from bridge.lab.simulators.soap_central_system import SoapCentralSystem
from bridge.lab.simulators.soap_charge_point import SoapChargePoint
from bridge.ocpp.tenants import SEPARATOR
from tests.admin.asked import Api, api_of
from tests.admin.test_openapi import DOCUMENT
from tests.e2e.stage import (
    AT_MOST,
    PATH,
    SAMPLES,
    WSDL,
    envelope,
    reachable,
    running,
    soap_central_system,
)

SOAP, JSON = "CP 1", "JS-1"
ANYWHERE = Listen("127.0.0.1", 0)
ACME, OURS = "acme-token-0123456789", "ours-token-0123456789"
ACMES = "/tenants/acme"


def settings(ours: str, acme: str, **tables: Any) -> Settings:
    """Two Central Systems, one for each tenant, and a pair of listeners for each. The first pair has no tenant."""
    told: dict[str, Any] = {
        "soap": (
            config.Soap(listen=ANYWHERE),
            config.Soap(listen=ANYWHERE, tenant="acme", public_url="http://acme.example:8080"),
        ),
        "websocket": (config.WebSocket(listen=ANYWHERE), config.WebSocket(listen=ANYWHERE, tenant="acme")),
        "admin": config.Admin(
            listen=ANYWHERE,
            tokens=(
                AdminToken(name="ann", file=SecretFile(ACME.encode(), "a"), role="operate", tenant="acme"),
                AdminToken(name="otto", file=SecretFile(OURS.encode(), "o"), role="operate"),
            ),
        ),
        "store": config.Store(url="memory:"),
        "limits": config.Limits(new_identities_per_minute=100_000),
        "central_systems": {
            "main": CentralSystem(url=ours),
            "acme": CentralSystem(url=acme, tenant="acme"),
        },
        "routes": (
            Route(charge_point="*", central_system="main"),
            Route(charge_point="*", central_system="acme", tenant="acme"),
        ),
        "tenants": {"acme": Tenant(hosts=("acme.example",))},
    }
    return Settings(**told | tables)


def soap_url(gateway: Gateway, name: str) -> str:
    host, port = gateway.addresses[name]
    return f"http://{host}:{port}{PATH}"


def json_url(gateway: Gateway, name: str) -> str:
    host, port = gateway.addresses[name]
    return f"ws://{host}:{port}/ocpp"


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """The parties of one tenant, and its API."""

    central_system: JsonCentralSystem
    soap: SoapChargePoint
    json: JsonChargePoint
    api: Api
    prefix: str

    async def get(self, path: str) -> Any:
        return await self.api.get(self.prefix + path)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    gateway: Gateway
    api: Api
    ours: Side
    acme: Side

    @property
    def sides(self) -> tuple[Side, Side]:
        return self.ours, self.acme


@asynccontextmanager
async def world(**tables: Any) -> AsyncIterator[World]:
    """Both tenants at work, each with a Charge Point "CP 1" that speaks SOAP and one "JS-1" that speaks JSON."""
    async with AsyncExitStack() as held:
        enter = held.enter_async_context
        ours, acme = await enter(JsonCentralSystem()), await enter(JsonCentralSystem())
        gateway = await enter(running(settings(ours.url, acme.url, **tables)))
        api = await enter(api_of(gateway))
        sides = []
        for central, listeners, token, prefix in (
            (ours, ("soap", "websocket"), OURS, ""),
            (acme, ("soap-2", "websocket-2"), ACME, ACMES),
        ):
            soap, json = soap_url(gateway, listeners[0]), json_url(gateway, listeners[1])
            sides.append(
                Side(
                    central_system=central,
                    soap=await enter(SoapChargePoint(url=soap, identity=SOAP, wsdl=WSDL)),
                    json=await enter(JsonChargePoint(url=json, identity=JSON)),
                    api=api.with_token(token),
                    prefix=prefix,
                )
            )
        yield World(gateway=gateway, api=api, ours=sides[0], acme=sides[1])


async def met(side: Side, vendor: str) -> None:
    """Until both Charge Points of a tenant are known to its Central System."""
    boot = {"chargePointVendor": vendor, "chargePointModel": "m"}
    for point in (side.soap, side.json):
        await point.call("BootNotification", boot)
    await side.central_system.wait_for(SOAP)
    await side.central_system.wait_for(JSON)


def heard(central: JsonCentralSystem, action: str, field: str) -> list[tuple[str, Any]]:
    return sorted((who, payload[field]) for who, what, payload in central.received if what == action)


async def test_each_central_system_hears_of_its_own_charge_points_and_commands_no_other() -> None:
    async with world() as there:
        for side, vendor in zip(there.sides, ("ours", "acme's"), strict=True):
            await met(side, vendor)
            central = side.central_system
            assert heard(central, "BootNotification", "chargePointVendor") == [(SOAP, vendor), (JSON, vendor)]
            assert sorted(central.connections) == [SOAP, JSON]
        for side in there.sides:
            for identity in (SOAP, JSON):
                answer = await side.central_system.call(identity, "ClearCache", {})
                assert answer["status"] == "Accepted"
            for point in (side.soap, side.json):
                assert [action for action, _ in point.received] == ["ClearCache"]
            assert side.central_system.violations + side.soap.violations + side.json.violations == []


async def test_transactions_of_the_same_number_stay_apart() -> None:
    async with world() as there:
        for number, side in enumerate(there.sides):
            await met(side, "v")
            for point in (side.soap, side.json):
                start = await point.call("StartTransaction", {**SAMPLES["StartTransaction"], "meterStart": number})
                assert start["idTagInfo"]["status"] == "Accepted"
        one = await there.ours.soap.call("StopTransaction", {**SAMPLES["StopTransaction"], "transactionId": 1})
        assert one is not None
        shown = {
            side.prefix: {each["identity"]: each for each in (await side.get("/charge-points"))["items"]}
            for side in there.sides
        }
        for side in there.sides:
            central = side.central_system
            number = there.sides.index(side)
            assert heard(central, "StartTransaction", "meterStart") == [(SOAP, number), (JSON, number)]
            assert sorted(shown[side.prefix]) == [SOAP, JSON]
        stops = [who for who, action, _ in there.acme.central_system.received if action == "StopTransaction"]
        assert stops == []
        assert (shown[ACMES][SOAP]["transactions"], shown[ACMES][JSON]["transactions"]) == (1, 1)


async def test_a_repetition_is_answered_from_its_own_tenant() -> None:
    """The same StartTransaction in both tenants is two; each Central System gives its own number."""
    async with world() as there:
        for side in there.sides:
            await met(side, "v")
        there.acme.central_system.behaviour["StartTransaction"] = lambda _: {
            "transactionId": 4711,
            "idTagInfo": {"status": "Accepted"},
        }
        told = [
            (await side.soap.call("StartTransaction", SAMPLES["StartTransaction"]))["transactionId"]
            for side in (there.acme, there.ours, there.acme)
        ]
        assert told[0] == told[2] == 4711
        assert told[1] != 4711
        for side in there.sides:
            assert len(heard(side.central_system, "StartTransaction", "meterStart")) == 1


async def test_the_api_shows_each_tenant_its_own(caplog: pytest.LogCaptureFixture) -> None:
    async with world() as there:
        for side, vendor in zip(there.sides, ("ours", "acme's"), strict=True):
            await met(side, vendor)
        for side, vendor, system in zip(there.sides, ("ours", "acme's"), ("main", "acme"), strict=True):
            page = await side.get("/charge-points")
            assert [(one["identity"], one["vendor"]) for one in page["items"]] == [(SOAP, vendor), (JSON, vendor)]
            assert (page["total"], sum(page["states"].values())) == (2, 2)
            assert {one["central_system"] for one in page["items"]} == {system}
            details = await side.get("/charge-points/CP%201")
            assert (details["identity"], details["name"], details["vendor"]) == (SOAP, SOAP, vendor)
            messages = (await side.get("/messages"))["items"]
            assert {one["identity"] for one in messages} == {SOAP, JSON}
            assert len(messages) == 2
            assert {one["identity"] for one in (await side.get("/messages?identity=cp*"))["items"]} == {SOAP}
            assert len((await side.get("/charge-points/js-1/messages"))["items"]) == 1
            assert [one["name"] for one in (await side.get("/central-systems"))["items"]] == [system]
            assert (await side.get("/central-systems"))["items"][0]["sessions"] == 2
            assert [one["central_system"] for one in (await side.get("/routes"))["items"]] == [system]
        assert (await there.acme.get("/addresses"))["soap"] == [f"http://acme.example:8080{PATH}"]
        names = [[one["name"] for one in (await side.api.get("/tenants"))["items"]] for side in there.sides]
        assert names == [["default"], ["acme"]]
        assert [one["name"] for one in (await there.api.get("/tenants"))["items"]] == ["default", "acme"]
    assert SEPARATOR not in caplog.text


async def test_what_an_operator_does_is_done_in_one_tenant_and_told_there() -> None:
    async with world() as there:
        for side in there.sides:
            await met(side, "v")
        acme, ours = there.acme, there.ours
        sent = await acme.api("POST", f"{ACMES}/charge-points/CP%201/calls", {"action": "ClearCache"})
        assert sent.data["outcome"] == "result"
        assert [action for action, _ in acme.soap.received] == ["ClearCache"]
        assert (await acme.api("POST", f"{ACMES}/charge-points/JS-1/disconnect")).status == 204
        await acme.json.wait_closed()
        given = await acme.api("PUT", f"{ACMES}/charge-points/CP%209", {"password": "acme's own"})
        assert given.data["settings"]["identity"] == "CP 9"
        assert (await acme.api("DELETE", f"{ACMES}/charge-points/CP%201")).status == 204
        gone = await acme.api("GET", f"{ACMES}/charge-points/CP%201")
        assert gone.status == 404 and "\\x1f" not in gone.data["detail"] and "'CP 1'" in gone.data["detail"]
        # Nothing of it happened to the others.
        assert (await ours.get("/charge-points/CP%201"))["state"] == "up"
        assert ours.soap.received == [] and (await ours.get("/charge-points/JS-1"))["state"] == "up"
        assert (await ours.api("GET", "/charge-points/CP%209")).status == 404
        audits = [(await side.get("/audit"))["items"] for side in there.sides]
        assert audits[0] == []
        assert [(one["identity"], one["what"]) for one in reversed(audits[1])] == [
            (SOAP, "call ClearCache"),
            (JSON, "disconnect"),
            ("CP 9", "settings"),
            (SOAP, "remove"),
        ]
        assert {one["who"] for one in audits[1]} == {"127.0.0.1 (ann)"}


async def test_the_live_stream_of_a_tenant_has_its_own_events_only() -> None:
    async with world() as there, aiohttp.ClientSession() as http:
        headers = {"Authorization": f"Bearer {ACME}"}
        async with http.get(f"{there.api.base}/api/v1{ACMES}/events", headers=headers) as response:
            assert response.status == 200
            await met(there.ours, "ours")
            await there.acme.soap.call("BootNotification", {"chargePointVendor": "a", "chargePointModel": "m"})
            text = ""
            async with asyncio.timeout(AT_MOST):
                while '"action":"BootNotification"' not in text:
                    text += (await response.content.readany()).decode()
            assert '"identity":"CP 1"' in text and "JS-1" not in text and "ours" not in text
            assert '"main"' not in text and "\\u001f" not in text


async def test_a_move_and_an_import_are_of_one_tenant() -> None:
    async with JsonCentralSystem() as third:
        systems = {
            "acme-2": CentralSystem(url=third.url, tenant="acme"),
            "secret": CentralSystem(url=third.url),
        }
        async with world() as plain:
            table = dict(plain.gateway._settings.central_systems) | systems
            await plain.gateway.reload(msgspec.structs.replace(plain.gateway._settings, central_systems=table))
            for side in plain.sides:
                await met(side, "v")
            acme, ours = plain.acme, plain.ours
            for body in ({"central_system": "secret"}, {"central_system": "main"}):
                refused = await acme.api("PUT", f"{ACMES}/charge-points/CP%201/route", body)
                assert (refused.status, refused.data["path"]) == (400, "central_system")
                several = {"charge_points": "*", **body}
                assert (await acme.api("POST", f"{ACMES}/moves", several)).status == 400
            wanted = {"charge_points": "*", "central_system": "acme-2", "when": "now"}
            made = await acme.api("POST", f"{ACMES}/moves", wanted)
            assert [one["identity"] for one in made.data["members"]] == [SOAP, JSON]
            await third.wait_for(SOAP)
            assert (await ours.get("/moves"))["items"] == []
            assert (await ours.api("GET", f"/moves/{made.data['id']}")).status == 404
            assert (await ours.api("POST", f"/moves/{made.data['id']}/rollback")).status == 404
            assert [one["id"] for one in (await acme.get("/moves"))["items"]] == [made.data["id"]]
            assert (await ours.get("/charge-points/CP%201"))["central_system"] == "main"
            assert [one["identity"] for one in (await acme.get("/routes"))["moved"]] == [SOAP, JSON]
            csv = {"Content-Type": "text/csv"}
            fleet = b"identity,password\nCP 7,seven\n"
            await acme.api("POST", f"{ACMES}/charge-points:import", fleet, headers=csv)
            assert "CP 7" in (await acme.get("/charge-points:export")).decode()
            assert "CP 7" not in (await ours.get("/charge-points:export")).decode()
            files = {"tls": {"ca": "/etc/hostname"}}
            told = await acme.api("PUT", f"{ACMES}/charge-points/CP%207", files)
            assert (told.status, told.data["path"]) == (400, "tls")


def operations() -> list[tuple[str, str]]:
    return [(path, method) for path, told in DOCUMENT["paths"].items() for method in told]


NEUTRAL = {"about", "actions", "openapi", "tenants"}
# A token has no session.
SESSION = {"session", "sign-out"}
FOREIGN = (("beta", ACME), ("default", ACME), ("acme", OURS), ("beta", OURS), ("nobody", OURS))
BODIES: dict[str, Any] = {
    "call": {"action": "ClearCache"},
    "move": {"central_system": "main", "when": "now"},
    "create-move": {"charge_points": "*", "central_system": "main"},
    "put-settings": {"password": "x"},
    "patch-settings": {"password": "x"},
    "import": b"identity,password\nCP 1,x\n",
}


async def test_a_token_of_a_tenant_is_refused_wherever_another_tenant_is_asked_about() -> None:
    """Each operation of the OpenAPI document, with the paths of the default tenant and of a third one."""
    tenants = {"acme": Tenant(), "beta": Tenant(hosts=("beta.example",))}
    async with world(tenants=tenants) as there:
        for side in there.sides:
            await met(side, "ours" if side is there.ours else "acme's")
        for path, method in operations():
            told = DOCUMENT["paths"][path][method]
            name = told["operationId"].removesuffix("-of-tenant")
            for tenant, token in FOREIGN:
                if "{tenant}" not in path and token == OURS:
                    continue
                filled = path.replace("{tenant}", tenant).replace("{identity}", "CP%201").replace("{id}", "1")
                body = BODIES.get(name)
                headers = {"Content-Type": "text/csv"} if isinstance(body, bytes) else {}
                api = there.api.with_token(token)
                answer = await api(method.upper(), filled.removeprefix("/api/v1"), body, headers=headers)
                if name in SESSION:
                    assert (answer.status, "a token has no session" in answer.data["detail"]) == (404, True)
                elif "{tenant}" not in path and name in NEUTRAL:
                    assert answer.status == 200, path
                    if name == "openapi":  # the words are in its sentences
                        assert answer.data == msgspec.json.decode(msgspec.json.encode(DOCUMENT))
                    else:
                        assert "ours" not in str(answer.data) and "main" not in str(answer.data), path
                else:
                    assert answer.status == 403, (method, filled, answer)
                    assert answer.headers[TENANT_HEADER] == ("acme" if token == ACME else "default")
        assert (await there.ours.get("/audit"))["items"] == []
        assert there.ours.soap.received == there.acme.soap.received == []
        answer = await there.api("GET", "/tenants/nobody/charge-points")
        assert answer.status == 404


async def test_metrics_and_readiness_tell_a_tenant_nothing_of_the_others() -> None:
    async with world() as there:
        assert set(await there.acme.api.get("//readyz")) == {"status"}
        assert "central_systems" in await there.api.get("//readyz")
    admin = settings("ws://127.0.0.1:1", "ws://127.0.0.1:1").admin
    async with world(admin=msgspec.structs.replace(admin, open_metrics=False)) as there:
        assert (await there.acme.api("GET", "//metrics")).status == 403
        assert (await there.api("GET", "//metrics")).status == 200


async def asked_as(gateway: Gateway, name: str, *hosts: str, identity: str) -> tuple[int, str]:
    """The status and the text of the answer to a Heartbeat that is POSTed to a listener under the names `hosts`."""
    address, port = gateway.addresses[name]
    body = envelope('<heartbeatRequest xmlns="urn://Ocpp/Cs/2015/10/"/>', identity=identity)
    head = [f"POST {PATH} HTTP/1.1", *(f"Host: {each}" for each in hosts), "Content-Type: application/soap+xml"]
    head += [f"Content-Length: {len(body)}", "Connection: close", "", ""]
    reader, writer = await asyncio.open_connection(address, port)
    writer.write("\r\n".join(head).encode() + body)
    text = (await asyncio.wait_for(reader.read(), AT_MOST)).decode()
    writer.close()
    await writer.wait_closed()
    found = re.match(r"HTTP/1\.1 (\d+)", text)
    assert found is not None
    return int(found[1]), text


async def handshake_as(gateway: Gateway, name: str, host: str, identity: str) -> int:
    """The HTTP status of a handshake at a listener under the name `host`."""
    address, port = gateway.addresses[name]
    lines = [
        f"GET /ocpp/{identity} HTTP/1.1",
        f"Host: {host}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Protocol: ocpp1.6",
    ]
    reader, writer = await asyncio.open_connection(address, port)
    writer.write("\r\n".join([*lines, "", ""]).encode())
    status = int((await asyncio.wait_for(reader.readline(), AT_MOST)).split()[1])
    writer.close()
    await writer.wait_closed()
    return status


async def test_a_host_name_leads_to_its_tenant_and_never_to_another() -> None:
    tenants = {"acme": Tenant(hosts=("acme.example",)), "beta": Tenant(hosts=("beta.example",))}
    async with world(tenants=tenants) as there:
        for host in ("acme.example", "ACME.example.:8080"):
            status, _ = await asked_as(there.gateway, "soap", host, identity="H 1")
            assert status == 200
        assert (await there.acme.get("/charge-points/H%201"))["charge_point"]["transport"] == "soap"
        assert (await there.ours.api("GET", "/charge-points/H%201")).status == 404
        assert await handshake_as(there.gateway, "websocket", "acme.example", "H2") == 101
        await there.acme.central_system.wait_for("H2")
        # A name that belongs to no tenant is the default tenant's, and any name at a listener of one tenant.
        assert (await asked_as(there.gateway, "soap", "elsewhere.example", identity="H 3"))[0] == 200
        assert (await there.ours.get("/charge-points/H%203"))["central_system"] == "main"
        assert (await asked_as(there.gateway, "soap-2", "elsewhere.example", identity="H 4"))[0] == 200
        assert (await there.acme.get("/charge-points/H%204"))["central_system"] == "acme"
        # The name of one tenant at the listener of another, and two names at once, lead nowhere.
        for name, hosts in (("soap-2", ["beta.example"]), ("soap", ["acme.example", "beta.example"])):
            status, text = await asked_as(there.gateway, name, *hosts, identity="H 5")
            assert (status, "not for that host" in text) == (404, True)
        assert await handshake_as(there.gateway, "websocket-2", "beta.example", "H5") == 404
        for prefix in ("", "/tenants/acme", "/tenants/beta"):
            assert (await there.api("GET", f"{prefix}/charge-points/H%205")).status == 404
        # Without a route of its own, a tenant's Charge Points are taken by no other tenant's.
        status, text = await asked_as(there.gateway, "soap", "beta.example", identity="H 6")
        assert (status, "no route takes the Charge Point 'H 6'" in text) == (400, True)
        assert await handshake_as(there.gateway, "websocket", "beta.example", "H6") == 404


async def test_each_tenant_has_passwords_of_its_own_and_guesses_count_there() -> None:
    own = {"JS-2": ChargePoint(password=Secret(b"ours-ours"))}
    acmes = {"JS-2": ChargePoint(password=Secret(b"acme-acme"))}
    tenants = {"acme": Tenant(charge_points=acmes)}
    async with world(charge_points=own, tenants=tenants) as there:
        for listener, right, wrong in (
            ("websocket", "ours-ours", "acme-acme"),
            ("websocket-2", "acme-acme", "ours-ours"),
        ):
            url = json_url(there.gateway, listener)
            with pytest.raises(ConnectionRefused, match="401"):
                async with JsonChargePoint(url=url, identity="JS-2", password=wrong.encode()):
                    pass
            async with JsonChargePoint(url=url, identity="JS-2", password=right.encode()) as point:
                await point.call("Heartbeat", {})
        settings_of = [await side.get("/charge-points/JS-2/settings") for side in there.sides]
        assert [each["source"] for each in settings_of] == ["file", "file"]


async def test_policies_take_the_messages_of_their_tenant() -> None:
    refuse = {"sender": "charge_point", "action": "Authorize", "do": "refuse"}
    async with world(policies=(Policy(tenant="acme", **refuse),)) as there:  # type: ignore[arg-type]
        for side in there.sides:
            await met(side, "v")
        assert (await there.ours.json.call("Authorize", SAMPLES["Authorize"]))["idTagInfo"]
        with pytest.raises(Exception, match="NotSupported"):
            await there.acme.json.call("Authorize", SAMPLES["Authorize"])
        assert [who for who, what, _ in there.acme.central_system.received if what == "Authorize"] == []


async def test_a_soap_central_system_commands_through_the_address_of_its_tenant() -> None:
    """It finds the bridge in wsa:From. The same name at both Central Systems is two Charge Points."""
    ours, acme = reachable(), reachable()
    listeners = (config.Soap(**ours), config.Soap(**acme, tenant="acme"))
    async with soap_central_system() as main, soap_central_system() as theirs:
        systems = {
            "main": CentralSystem(url=main.url, protocol="ocpp1.6s"),
            "acme": CentralSystem(url=theirs.url, protocol="ocpp1.6s", tenant="acme"),
        }
        async with world(soap=listeners, central_systems=systems) as there:
            central: SoapCentralSystem
            for side, central, url in zip(
                there.sides, (main, theirs), (ours["public_url"], acme["public_url"]), strict=True
            ):
                for point in (side.soap, side.json):
                    await point.call("BootNotification", SAMPLES["BootNotification"])
                for identity in (SOAP, JSON):
                    assert (await central.wait_for(identity)).startswith(url)
                    assert (await central.call(identity, "ClearCache", {}))["status"] == "Accepted"
            for side in there.sides:
                assert [action for action, _ in side.soap.received] == ["ClearCache"]
                assert [action for action, _ in side.json.received] == ["ClearCache"]
            assert main.violations + theirs.violations == []


@pytest.mark.parametrize("protocol", ["ocpp1.6j", "ocpp1.6s"])
async def test_further_central_systems_hear_and_command_in_their_tenant(protocol: Any) -> None:
    """One further Central System for both tenants, which calls their Charge Points by names of their own."""
    both = (reachable(), reachable())
    listeners = (config.Soap(**both[0]), config.Soap(**both[1], tenant="acme"))
    further = JsonCentralSystem() if protocol == "ocpp1.6j" else soap_central_system()
    async with JsonCentralSystem() as main, JsonCentralSystem() as acme, further as ems:
        systems = {
            "main": CentralSystem(url=main.url),
            "acme": CentralSystem(url=acme.url, tenant="acme"),
            "ems": CentralSystem(url=ems.url, protocol=protocol, tenant="*"),
        }
        also = (FurtherCentralSystem(central_system="ems", commands=("ClearCache",)),)
        routes = (
            Route(charge_point="*", central_system="main", also=also),
            Route(
                charge_point="*",
                central_system="acme",
                tenant="acme",
                central_system_identity="ACME-{identity}",
                also=also,
            ),
        )
        async with world(soap=listeners, central_systems=systems, routes=routes) as there:
            for side, vendor in zip(there.sides, ("ours", "acme's"), strict=True):
                boot = {"chargePointVendor": vendor, "chargePointModel": "m"}
                for point in (side.soap, side.json):
                    await point.call("BootNotification", boot)
            for side, prefix, told in zip(there.sides, ("", "ACME-"), both, strict=True):
                for identity, point in ((SOAP, side.soap), (JSON, side.json)):
                    where = await ems.wait_for(prefix + identity)
                    if protocol == "ocpp1.6s":
                        assert str(where) == f"{told['public_url']}/services/ChargePointService/ems"
                    before = len(point.received)
                    assert (await ems.call(prefix + identity, "ClearCache", {}))["status"] == "Accepted"
                    assert len(point.received) == before + 1
                assert side.soap.violations + side.json.violations == []
            heard = {
                (who, payload["chargePointVendor"]) for who, what, payload in ems.received if what == "BootNotification"
            }
            assert heard == {
                (SOAP, "ours"),
                (JSON, "ours"),
                (f"ACME-{SOAP}", "acme's"),
                (f"ACME-{JSON}", "acme's"),
            }


async def test_a_restart_keeps_the_tenants_apart(tmp_path: Path) -> None:
    store = config.Store(url=f"sqlite:///{tmp_path}/bridge.db")
    async with world(store=store) as there:
        for side, vendor in zip(there.sides, ("ours", "acme's"), strict=True):
            await met(side, vendor)
        await there.acme.soap.call("StartTransaction", SAMPLES["StartTransaction"])
        await there.acme.api("PUT", f"{ACMES}/charge-points/CP%202", {"password": "x"})
    async with world(store=store) as there:
        for side, vendor, known in zip(
            there.sides, ("ours", "acme's"), ([SOAP, JSON], [SOAP, "CP 2", JSON]), strict=True
        ):
            await side.central_system.wait_for(SOAP)  # the bridge dials again in the name of both
            page = (await side.get("/charge-points"))["items"]
            assert [one["identity"] for one in page] == known
            assert {one["vendor"] for one in page if one["identity"] == SOAP} == {vendor}
        assert (await there.acme.get("/charge-points/CP%201"))["transactions"] == 1
        assert (await there.ours.get("/charge-points/CP%201"))["transactions"] == 0
        assert (await there.acme.get("/charge-points/CP%202"))["settings"] == "api"
        assert len((await there.acme.get("/audit"))["items"]) == 1
    # Without the tenant nobody sees what is stored of it, and nobody is connected in its name.
    alone = {
        "tenants": {},
        "routes": (Route(charge_point="*", central_system="main"),),
        "soap": (config.Soap(listen=ANYWHERE),),
        "websocket": (config.WebSocket(listen=ANYWHERE),),
        "admin": config.Admin(listen=ANYWHERE),
    }
    async with JsonCentralSystem() as central:
        told = settings(central.url, central.url, store=store, **alone)
        async with running(told) as gateway, api_of(gateway) as api:
            await gateway.resumed
            await central.wait_for(SOAP)
            page = await api.get("/charge-points")
            assert ([one["identity"] for one in page["items"]], page["total"]) == ([SOAP, JSON], 2)
            assert sum(page["states"].values()) == 2
            assert (await api.get("/audit"))["items"] == []
            assert sorted(central.connections) == [SOAP]


async def test_a_reload_brings_a_tenant_and_takes_it_away() -> None:
    async with JsonCentralSystem() as ours, JsonCentralSystem() as acme:
        shared = settings(ours.url, acme.url, soap=(config.Soap(listen=ANYWHERE),))
        shared = msgspec.structs.replace(shared, websocket=(config.WebSocket(listen=ANYWHERE),))
        alone = msgspec.structs.replace(shared, tenants={}, routes=shared.routes[:1])
        tokens = msgspec.structs.replace(shared.admin, tokens=shared.admin.tokens[1:])
        alone = msgspec.structs.replace(alone, admin=tokens, central_systems={"main": CentralSystem(url=ours.url)})
        async with running(alone) as gateway, api_of(gateway) as api:
            assert (await asked_as(gateway, "soap", "acme.example", identity=SOAP))[0] == 200
            assert "central_systems" in await api.with_token(OURS).get("//readyz")
            await gateway.reload(shared)
            assert set(await api.with_token(OURS).get("//readyz")) == {"status"}
            assert (await asked_as(gateway, "soap", "acme.example", identity=SOAP))[0] == 200
            await acme.wait_for(SOAP)
            for path in ("/charge-points", f"{ACMES}/charge-points"):
                page = await api.get(path)
                assert ([one["identity"] for one in page["items"]], page["total"]) == ([SOAP], 1)
            async with api.events() as before:
                await gateway.reload(alone)
                await acme.wait_gone(SOAP)
                assert list(ours.connections) == [SOAP]
                assert (await api.with_token(ACME)("GET", f"{ACMES}/charge-points")).status == 401
                assert (await api("GET", f"{ACMES}/charge-points")).status == 404
                assert (await api.get("/charge-points"))["total"] == 1
                assert before.response.status == 200


async def test_the_command_line_asks_about_a_tenant() -> None:
    async with world() as there:
        for side, vendor in zip(there.sides, ("ours", "acme's"), strict=True):
            await met(side, vendor)
        client = AdminClient(there.api.base, ACME.encode(), tenant="acme")
        found = await asyncio.to_thread(lambda: list(client.pages("/charge-points", limit=1)))
        assert [(one["identity"], one["vendor"]) for one in found] == [(SOAP, "acme's"), (JSON, "acme's")]
        await asyncio.to_thread(client.send, "POST", "/charge-points/CP%201/calls", {"action": "ClearCache"})
        assert [action for action, _ in there.acme.soap.received] == ["ClearCache"]
        assert there.ours.soap.received == []


async def test_the_log_names_the_tenant_beside_the_identity(caplog: pytest.LogCaptureFixture) -> None:
    from bridge.watching.lines import Lines

    with caplog.at_level("INFO", logger="bridge"):
        async with world() as there:
            for side in there.sides:
                await met(side, "v")
    lines = [Lines("text").format(record) for record in caplog.records]
    calls = [line for line in lines if " call " in line and "BootNotification" in line]
    assert len(calls) == 4
    assert sum("tenant=acme identity=" in line for line in calls) == 2
    assert not [line for line in lines if "\\x1f" in line or SEPARATOR in line]
