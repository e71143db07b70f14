"""A fleet as an operator has one: thousands of Charge Points, hundreds of transactions, and some that is wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from http import HTTPStatus

import pytest
from msgspec.structs import replace

from bridge.config import Match, Pack, Quirks, Route
from tests.console.stage import Stage

try:
    import resource
except ImportError:  # not on Windows, which has no such limit
    resource = None  # type: ignore[assignment]

MANY, CHARGING, FAULTED, AWAY = 3000, 300, 12, 40
# Two ends of a WebSocket for each Charge Point, in one process.
_FILES = MANY * 3
_AT_ONCE = 40
_WHEN = "2026-01-02T03:04:05Z"
_PACKS = (
    Pack(evidence="seen in the field", match=Match(vendor="Schneider*", model="EVLink*"), set=Quirks(fractions=False)),
    Pack(evidence="told by its vendor", match=Match(vendor="Acme"), set=Quirks(prefix="cs", overlong="drop")),
)
_ERRORS = ("GroundFailure", "GroundFailure", "ConnectorLockFailure", "OverVoltage")


def enough_files() -> None:
    """Allow this process as many open files as the fleet needs; skip the test where the system does not."""
    if resource is None:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < _FILES:
        pytest.skip(f"the system allows {hard} open files, and {_FILES} are needed")
    if soft != resource.RLIM_INFINITY and soft < _FILES:
        resource.setrlimit(resource.RLIMIT_NOFILE, (_FILES, hard))


def identities(number: int = MANY) -> list[str]:
    """The identities of the Charge Points at the Central System that is there."""
    return [f"EVLINK-{index:04}" for index in range(number)]


async def introduce(stage: Stage, charging: int = CHARGING, number: int = MANY - AWAY) -> None:
    """Charge Points that are there, of which the first ones have transactions and some have faults."""
    routes = (Route(charge_point="DEPOT-*", central_system="other"), *stage.told.routes)
    await stage.gateway.reload(replace(stage.told, routes=routes, packs=_PACKS))
    known = identities(number)
    await stage.heartbeats(known)
    await say(stage, ((one, "StartTransaction", started(index)) for index, one in enumerate(known[:charging])))
    faults = zip(known[-FAULTED:], _ERRORS * FAULTED, strict=False)
    await say(stage, ((one, "StatusNotification", faulted(code)) for one, code in faults))
    await say(stage, ((one, "MeterValues", METER_VALUES) for one in known[:5]))
    await stage.greet()


async def lose(stage: Stage, number: int = AWAY) -> None:
    """The other Central System is gone, and `number` Charge Points cannot do without it."""
    depot = [f"DEPOT-{index:02}" for index in range(number)]
    await stage.heartbeats(depot)
    await stage.other.stop()
    for identity in depot:
        assert await stage.says(identity, "<c:heartbeatRequest/>") == HTTPStatus.SERVICE_UNAVAILABLE


def started(index: int) -> str:
    """Return the Body of a StartTransaction."""
    inside = f"<c:connectorId>1</c:connectorId><c:idTag>DRIVER-{index}</c:idTag><c:timestamp>{_WHEN}</c:timestamp>"
    return f"<c:startTransactionRequest>{inside}<c:meterStart>12000</c:meterStart></c:startTransactionRequest>"


def faulted(code: str) -> str:
    """Return the Body of a StatusNotification of a connector with a fault."""
    inside = f"<c:connectorId>1</c:connectorId><c:status>Faulted</c:status><c:errorCode>{code}</c:errorCode>"
    return f"<c:statusNotificationRequest>{inside}</c:statusNotificationRequest>"


# Its time stamp has no zone: that of the bridge is assumed.
METER_VALUES = (
    "<c:meterValuesRequest><c:connectorId>1</c:connectorId><c:meterValue>"
    "<c:timestamp>2026-01-02T04:04:05</c:timestamp><c:sampledValue><c:value>1</c:value></c:sampledValue>"
    "</c:meterValue></c:meterValuesRequest>"
)


async def say(stage: Stage, said: Iterable[tuple[str, str, str]]) -> None:
    """Each of `said` is an identity, an action, and the Body of its request, which is answered."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(identity: str, action: str, body: str) -> int:
        async with gate:
            return await stage.says(identity, body, action)

    assert set(await asyncio.gather(*(one(*each) for each in said))) <= {HTTPStatus.OK}
