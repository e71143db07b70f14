"""A fleet for the pages of lists: 3000 Charge Points in every state, 300 open transactions, and some ended ones."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import aiohttp
from aiohttp import web
from msgspec.structs import replace
from playwright.async_api import Browser

from bridge.app import Gateway
from bridge.config import Admin, CentralSystem, ChargePoint, Listen, Route
from tests.console.browser import started
from tests.console.stage import envelope
from tests.e2e.stage import CS, SOAP12, address_of, json_charge_point, reachable, running, settings
from tests.ports import free_port

MANY, CHARGING, FAULTED, AWAY, UNSEEN, ENDED = 3000, 300, 24, 40, 20, 60
VENDORS = (("Alfen", "Eve Single", "6.4.1"), ("ABB", "Terra AC", "1.8.27"), ("Schneider", "EVlink Pro", "3.4.0"))
CITIES = ("AMS", "RDAM", "UTR", "EIN")
# One that has done everything.
BUSY = "RDAM-0001"
_AT_ONCE = 24
_JSON = "JSON-1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """The gateway with its Charge Points, and the browser at the console."""

    gateway: Gateway
    browser: Browser

    @property
    def base(self) -> str:
        """Where the console is."""
        host, port = self.gateway.admin_address
        return f"http://{host}:{port}"

    @property
    def token(self) -> bytes | None:
        """That of the API."""
        return self.gateway.admin_token


def identity(number: int) -> str:
    """The Charge Point with this number, from 1."""
    return f"{CITIES[number % len(CITIES)]}-{number:04}"


@asynccontextmanager
async def fleet(many: int = MANY, charging: int = CHARGING) -> AsyncIterator[Fleet]:
    """The fleet, complete. The Central System speaks SOAP, so that it takes no connection for each Charge Point."""
    async with _central_system() as url, started() as browser:
        told = settings(url, central_system={"protocol": "ocpp1.6s"}, soap=reachable(), gateway={"call_timeout": 10})
        systems = {
            "main": told.central_systems["main"],
            "other": CentralSystem(url=url, protocol="ocpp1.6s"),
            "away": CentralSystem(url="http://127.0.0.1:1/", protocol="ocpp1.6s"),
        }
        told = replace(
            told,
            central_systems=systems,
            routes=(Route(charge_point="AWAY-*", central_system="away"), *told.routes),
            charge_points={f"UNSEEN-{number:03}": ChargePoint() for number in range(UNSEEN)},
            admin=Admin(listen=Listen("127.0.0.1", free_port())),
        )
        async with running(told) as gateway:
            await _filled(gateway, many - UNSEEN - AWAY - 1, charging)
            yield Fleet(gateway=gateway, browser=browser)


@asynccontextmanager
async def _central_system() -> AsyncIterator[str]:
    """A Central System that accepts everything, as quickly as thousands of Charge Points need it. Its URL."""
    numbers = itertools.count(1)
    said = {
        "boot": "<c:status>Accepted</c:status><c:currentTime>2026-01-02T03:04:05Z</c:currentTime>"
        "<c:interval>3600</c:interval>",
        "heartbeat": "<c:currentTime>2026-01-02T03:04:05Z</c:currentTime>",
    }
    accepted = "<c:idTagInfo><c:status>Accepted</c:status></c:idTagInfo>"

    async def answer(request: web.Request) -> web.Response:
        found = re.search(r"<(?:\w+:)?(\w+)Request", await request.text())
        assert found is not None
        name = found[1]
        inside = said.get(name.removesuffix("Notification"), "") if name != "statusNotification" else ""
        if name == "startTransaction":
            inside = f"<c:transactionId>{next(numbers)}</c:transactionId>{accepted}"
        body = f"<c:{name}Response>{inside}</c:{name}Response>"
        text = f'<s:Envelope xmlns:s="{SOAP12}" xmlns:c="{CS}"><s:Header/><s:Body>{body}</s:Body></s:Envelope>'
        return web.Response(text=text, content_type="application/soap+xml")

    application = web.Application()
    application.router.add_post("/", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}/"
    finally:
        await runner.cleanup()


async def _filled(gateway: Gateway, many: int, charging: int) -> None:
    gate = asyncio.Semaphore(_AT_ONCE)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=_AT_ONCE)) as http:

        async def says(name: str, body: str, expected: int = 200) -> str:
            headers = {"Content-Type": "application/soap+xml; charset=utf-8"}
            async with gate, http.post(address_of(gateway), data=envelope(name, body), headers=headers) as response:
                text = await response.text()
                assert response.status == expected, text
                return text

        async def start(number: int) -> str:
            found = re.search(r"transactionId>(\d+)<", await says(identity(number), _start(number)))
            assert found is not None
            return found[1]

        async def one(number: int) -> None:
            name = identity(number)
            await says(name, _boot(number))
            if number <= charging:
                transaction = await start(number)
                await says(name, _status("Charging"))
                # The gateway reads the first one of a minute for the energy so far.
                for minute in range(30, 0, -1) if name == BUSY else (1 + number % 30,):
                    await says(name, _meters(number, minute, transaction))
            elif number <= charging + FAULTED:
                await says(name, _status("Faulted", "GroundFailure"))
            elif number <= charging + FAULTED + ENDED:
                await says(name, _stop(number, await start(number)))

        await asyncio.gather(*(one(number) for number in range(1, many + 1)))
        await asyncio.gather(*(says(f"AWAY-{number:03}", "<c:heartbeatRequest/>", 503) for number in range(AWAY)))
        await says(BUSY, _status("SuspendedEV"))
        await says(BUSY, _status("Charging"))
    async with json_charge_point(gateway, _JSON) as point:
        await point.call("Heartbeat", {})


def _ago(minutes: int) -> str:
    return f"{datetime.now(UTC) - timedelta(minutes=minutes):%Y-%m-%dT%H:%M:%SZ}"


def _boot(number: int) -> str:
    vendor, model, firmware = VENDORS[number % len(VENDORS)]
    return (
        f"<c:bootNotificationRequest><c:chargePointVendor>{vendor}</c:chargePointVendor>"
        f"<c:chargePointModel>{model}</c:chargePointModel>"
        f"<c:chargePointSerialNumber>SN{number:06}</c:chargePointSerialNumber>"
        f"<c:firmwareVersion>{firmware}</c:firmwareVersion></c:bootNotificationRequest>"
    )


def _status(status: str, code: str = "NoError") -> str:
    return (
        f"<c:statusNotificationRequest><c:connectorId>1</c:connectorId><c:status>{status}</c:status>"
        f"<c:errorCode>{code}</c:errorCode></c:statusNotificationRequest>"
    )


def _start(number: int) -> str:
    return (
        f"<c:startTransactionRequest><c:connectorId>1</c:connectorId><c:idTag>DRIVER-{number:04}</c:idTag>"
        f"<c:timestamp>{_ago(31 + number % 200)}</c:timestamp><c:meterStart>{number * 1000}</c:meterStart>"
        "</c:startTransactionRequest>"
    )


def _stop(number: int, transaction: str) -> str:
    return (
        f"<c:stopTransactionRequest><c:transactionId>{transaction}</c:transactionId>"
        f"<c:timestamp>{_ago(number % 30)}</c:timestamp><c:meterStop>{number * 1000 + 7350}</c:meterStop>"
        "<c:reason>EVDisconnected</c:reason></c:stopTransactionRequest>"
    )


def _meters(number: int, minute: int, transaction: str) -> str:
    energy, power, current = number * 1000 + minute * 183, 10_900 + 140 * (minute % 7), 15.8 + 0.1 * (minute % 5)
    samples = "".join(
        f"<c:sampledValue><c:value>{value}</c:value><c:measurand>{measurand}</c:measurand>{phase}<c:unit>{unit}</c:unit></c:sampledValue>"
        for value, measurand, phase, unit in (
            (energy, "Energy.Active.Import.Register", "", "Wh"),
            (power, "Power.Active.Import", "", "W"),
            *((f"{current + at / 10:.1f}", "Current.Import", f"<c:phase>L{at}</c:phase>", "A") for at in (1, 2, 3)),
        )
    )
    return (
        f"<c:meterValuesRequest><c:connectorId>1</c:connectorId><c:transactionId>{transaction}</c:transactionId>"
        "<c:meterValue>"
        f"<c:timestamp>{_ago(31 - minute)}</c:timestamp>{samples}</c:meterValue></c:meterValuesRequest>"
    )
