"""What the console is shown: a real gateway, a Central System, and as many Charge Points as are wanted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

import aiohttp
from msgspec.structs import replace
from playwright.async_api import Browser

from bridge.app import Gateway
from bridge.config import Admin, CentralSystem, Listen, Settings
from bridge.lab.simulators.json_central_system import JsonCentralSystem
from bridge.lab.simulators.soap_charge_point import SoapChargePoint
from tests.console.browser import started
from tests.e2e.stage import CS, SOAP12, WSA, address_of, charge_point, reachable, running, settings
from tests.ports import free_port

IDENTITY = "RDAM 1"
_AT_ONCE = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """All parties, and the browser at the console."""

    told: Settings
    gateway: Gateway
    central_system: JsonCentralSystem
    other: JsonCentralSystem
    charge_point: SoapChargePoint
    browser: Browser

    @property
    def base(self) -> str:
        """Where the console is."""
        host, port = self.gateway.admin_address
        return f"http://{host}:{port}"

    @property
    def token(self) -> bytes | None:
        """That of the API, which the gateway made."""
        return self.gateway.admin_token

    async def greet(self) -> None:
        """The Charge Point is known, and can be commanded."""
        await self.charge_point.call("BootNotification", BOOT)
        await self.charge_point.call("StatusNotification", STATUS)
        await self.central_system.wait_for(IDENTITY)

    async def heartbeats(self, identities: Iterable[str]) -> None:
        """One of each: as many SOAP Charge Points come into being."""
        gate = asyncio.Semaphore(_AT_ONCE)

        async def beat(identity: str) -> int:
            async with gate:
                return await self.says(identity, "<c:heartbeatRequest/>")

        statuses = await asyncio.gather(*(beat(identity) for identity in identities))
        assert set(statuses) == {200}

    async def says(self, identity: str, body: str, action: str = "Heartbeat") -> int:
        """A SOAP Charge Point says this, over a connection of its own; gives the HTTP status of the answer."""
        data, headers = envelope(identity, body, action), {"Content-Type": f'{_SOAP}; action="/{action}"'}
        async with (
            aiohttp.ClientSession() as session,
            session.post(address_of(self.gateway), data=data, headers=headers) as response,
        ):
            await response.read()
            return response.status


BOOT = {"chargePointVendor": "Schneider", "chargePointModel": "EVLink 2", "firmwareVersion": "3.2.0"}
STATUS = {"connectorId": 1, "status": "Available", "errorCode": "NoError", "timestamp": "2026-01-02T03:04:05Z"}
_SOAP = "application/soap+xml; charset=utf-8"


def envelope(identity: str, body: str, action: str = "Heartbeat") -> str:
    """What `identity` says, as it stands on the wire."""
    header = f"<c:chargeBoxIdentity>{escape(identity)}</c:chargeBoxIdentity><a:Action>/{action}</a:Action>"
    header += "<a:From><a:Address>http://127.0.0.1:8090/</a:Address></a:From>"
    return (
        f'<s:Envelope xmlns:s="{SOAP12}" xmlns:a="{WSA}" xmlns:c="{CS}">'
        f"<s:Header>{header}</s:Header><s:Body>{body}</s:Body></s:Envelope>"
    )


@asynccontextmanager
async def staged(clock: Callable[[], float] = time.time, **admin: Any) -> AsyncIterator[Stage]:
    """A gateway at addresses that outlive it, and a second Central System to move to. `admin` are keys of its table.

    It takes the time from `clock`.
    """
    async with JsonCentralSystem() as central, JsonCentralSystem() as other, started() as browser:
        told = settings(central.url, soap=reachable(), gateway={"call_timeout": 10, "drain_timeout": 1})
        systems = told.central_systems | {"other": CentralSystem(url=other.url)}
        listens = Admin(listen=Listen("127.0.0.1", free_port()), **admin)
        told = replace(told, central_systems=systems, admin=listens)
        async with running(told, clock) as gateway, charge_point(gateway, IDENTITY) as point:
            yield Stage(
                told=told, gateway=gateway, central_system=central, other=other, charge_point=point, browser=browser
            )
