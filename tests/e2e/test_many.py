"""Many Charge Points at once through one gateway: all are answered, each message arrives once and in its order."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from bridge.lab.simulators.json_central_system import JsonCentralSystem
from bridge.lab.simulators.soap_charge_point import SoapChargePoint
from bridge.lab.simulators.wire import Payload
from tests.e2e.stage import AT, SAMPLES, charge_point, logged, running, settings

try:
    import resource
except ImportError:  # not on Windows, which has no such limit
    resource = None  # type: ignore[assignment]

CHARGE_POINTS = 500
# A listener, and two connections with both of their ends, for each; in one process.
_FILES = CHARGE_POINTS * 6 + 200


@pytest.fixture(autouse=True)
def enough_files() -> None:
    """As many open files as this test needs, where the system lets us."""
    if resource is None:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < _FILES:
        pytest.skip(f"the system allows {hard} open files, and {_FILES} are needed")
    if soft != resource.RLIM_INFINITY and soft < _FILES:
        resource.setrlimit(resource.RLIMIT_NOFILE, (_FILES, hard))


def session(number: int) -> list[tuple[str, Payload]]:
    """What Charge Point `number` sends, its transaction's id apart: no two messages of all are alike."""

    def reading(value: int) -> list[Payload]:
        return [{"timestamp": AT, "sampledValue": [{"value": f"{number}.{value}0"}]}]

    return [
        ("BootNotification", SAMPLES["BootNotification"] | {"chargePointSerialNumber": str(number)}),
        ("StatusNotification", SAMPLES["StatusNotification"] | {"info": str(number)}),
        ("Authorize", {"idTag": f"TAG {number}"}),
        ("StartTransaction", SAMPLES["StartTransaction"] | {"meterStart": number}),
        ("MeterValues", {"connectorId": 1, "meterValue": reading(1)}),
        ("MeterValues", {"connectorId": 1, "meterValue": reading(2)}),
        ("StopTransaction", {"idTag": f"TAG {number}", "timestamp": AT, "meterStop": number + 1}),
    ]


async def through(point: SoapChargePoint, number: int) -> list[tuple[str, Payload]]:
    """A whole session; gives what was sent."""
    sent: list[tuple[str, Payload]] = []
    transaction = 0
    for action, payload in session(number):
        if action in ("MeterValues", "StopTransaction"):
            payload = payload | {"transactionId": transaction}
        answer = await point.call(action, payload)
        sent.append((action, payload))
        if action == "StartTransaction":
            transaction = answer["transactionId"]
        if action == "Authorize":
            assert answer == {"idTagInfo": {"status": "Accepted"}}
    return sent


async def test_five_hundred_charge_points_at_once() -> None:
    patient = {"call_timeout": 200}  # however slow the machine
    async with (
        JsonCentralSystem() as central,
        running(settings(central.url, gateway=patient)) as gateway,
        AsyncExitStack() as held,
    ):
        points = [charge_point(gateway, f"CP {number}", timeout=250) for number in range(CHARGE_POINTS)]
        for point in points:
            await held.enter_async_context(point)
        with logged() as lines:
            sent = await asyncio.gather(*(through(point, number) for number, point in enumerate(points)))
        arrived: dict[str, list[tuple[str, Payload]]] = {point.identity: [] for point in points}
        for identity, action, payload in central.received:
            arrived[identity].append((action, payload))
        assert arrived == {point.identity: messages for point, messages in zip(points, sent, strict=True)}
        transactions = {messages[-1][1]["transactionId"] for messages in sent}
        assert len(transactions) == CHARGE_POINTS
        assert len(central.connections) == CHARGE_POINTS
        # And the other way, all at once.
        answers = await asyncio.gather(*(central.call(point.identity, "ClearCache", {}, 250) for point in points))
        assert answers == [{"status": "Accepted"}] * CHARGE_POINTS
        assert [point.received for point in points] == [[("ClearCache", {})]] * CHARGE_POINTS
        assert central.violations == []
        assert [point.violations for point in points if point.violations] == []
    assert len([line for line in lines if "outcome=result" in line]) == 7 * CHARGE_POINTS
