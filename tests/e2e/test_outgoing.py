"""What Central Systems are shown over WebSocket and over SOAP: credentials, header fields, the identity's place."""

from __future__ import annotations

import asyncio
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from aiohttp import web

from bridge.config import CentralSystem, ChargePoint, Secret
from tests.admin.asked import api_of
from tests.e2e.stage import CS, SAMPLES, RawCentralSystem, dialled, envelope, post, running, settings

SHOWN = f"Basic {b64encode(b'CP 1:shown').decode()}"
OWN = {"CP 1": ChargePoint(central_system_password=Secret(b"own"))}
COMMON: dict[str, Any] = {
    "outgoing_username": "bridge",
    "outgoing_password": Secret(b"common"),
    "outgoing_headers": {"X-Api-Key": Secret(b"k 1")},
}
BEAT = f'<heartbeatResponse xmlns="{CS}"><currentTime>2026-01-02T03:04:05Z</currentTime></heartbeatResponse>'


class SoapRequests:
    """A SOAP Central System that answers Heartbeats. `received` holds the target and the header fields of each POST."""

    def __init__(self) -> None:
        self.url = ""
        self.received: list[tuple[str, Any]] = []


@asynccontextmanager
async def soap_requests() -> AsyncIterator[SoapRequests]:
    central = SoapRequests()

    async def answer(request: web.BaseRequest) -> web.Response:
        central.received.append((request.raw_path, request.headers))
        return web.Response(body=envelope(BEAT, identity=None), content_type="application/soap+xml")

    runner = web.ServerRunner(web.Server(answer), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    central.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield central
    finally:
        await runner.cleanup()


async def shown(near: str, far: str, path: str = "/ocpp", **tables: Any) -> tuple[str, Any]:
    """The target and the header fields of what a Charge Point's Heartbeat, which shows SHOWN, makes the bridge send."""
    async with RawCentralSystem() as over_json, soap_requests() as over_soap:
        url = over_json.url.removesuffix("/ocpp") if far == "json" else over_soap.url
        system = {"protocol": "ocpp1.6j" if far == "json" else "ocpp1.6s"} | tables.pop("central_system", {})
        async with running(settings(url + path, central_system=system, **tables)) as gateway:
            if near == "soap":
                beat = post(gateway, envelope(), headers={"Authorization": SHOWN})
                if far == "json":
                    return await handshake_of(over_json, beat)
                assert (await beat).status == 200
                return over_soap.received[0]
            async with dialled(gateway, headers=[("Authorization", SHOWN)]) as point:
                if far == "json":
                    await over_json.connected()
                    return over_json.requests[0].path, over_json.requests[0].headers
                assert (await point.ask([2, "1", "Heartbeat", {}]))[0] == 3
                return over_soap.received[0]


async def handshake_of(central: RawCentralSystem, beat: Any) -> tuple[str, Any]:
    """Those of the handshake that a SOAP message causes."""
    async with asyncio.TaskGroup() as group:
        answered = group.create_task(beat)
        await (await central.connected()).serve()
        assert (await answered).status == 200
    return central.requests[0].path, central.requests[0].headers


def basic(header: str) -> bytes:
    return b64decode(header.removeprefix("Basic "))


LEGS = [(near, far) for near in ("soap", "json") for far in ("soap", "json")]


@pytest.mark.parametrize(("near", "far"), LEGS)
async def test_own_then_common_then_what_was_shown(near: str, far: str) -> None:
    _, headers = await shown(near, far, charge_points=OWN, central_system=COMMON)
    assert (basic(headers["Authorization"]), headers["X-Api-Key"]) == (b"CP 1:own", "k 1")
    _, headers = await shown(near, far, central_system=COMMON)
    assert (basic(headers["Authorization"]), headers["X-Api-Key"]) == (b"bridge:common", "k 1")
    _, headers = await shown(near, far)
    assert headers["Authorization"] == SHOWN and "X-Api-Key" not in headers


@pytest.mark.parametrize(("near", "far"), LEGS)
async def test_the_identity_stands_where_the_address_says(near: str, far: str) -> None:
    target, _ = await shown(near, far, "/tenant/{identity}/ocpp?cp={identity}")
    assert target == "/tenant/CP%201/ocpp?cp=CP%201"
    target, _ = await shown(near, far, "/ocpp")
    assert target == ("/ocpp/CP%201" if far == "json" else "/ocpp")


async def test_a_former_central_system_is_shown_it_too() -> None:
    """It still has a transaction of the Charge Point, which was moved."""
    async with RawCentralSystem() as old, RawCentralSystem() as new:
        systems = {"main": CentralSystem(url=old.url), "new": CentralSystem(url=new.url)}
        told = msgspec.structs.replace(settings(old.url), central_systems=systems)
        headers = [("Authorization", SHOWN)]
        async with running(told) as gateway, api_of(gateway) as api:
            async with dialled(gateway, headers=headers) as point:
                link = await old.connected()
                await point.send([2, "1", "StartTransaction", SAMPLES["StartTransaction"]])
                await link.serve({"transactionId": 7, "idTagInfo": {"status": "Accepted"}})
                assert (await point.receive())[0] == 3
                now = {"central_system": "new", "when": "now"}
                answer = await api("PUT", "/charge-points/CP%201/route", now)
                assert answer.status == 200
            async with dialled(gateway, headers=headers):
                await new.connected()
                await old.connected()
        asked = [request.headers["Authorization"] for request in (*old.requests, *new.requests)]
        assert len(asked) >= 3 and set(asked) == {SHOWN}
