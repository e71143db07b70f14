"""The messages of a siege, in both protocols: each holds its number, and is found again by it."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from bridge.lab.simulators.wire import Payload
from tests.e2e.stage import CS, envelope

_BEGIN = datetime(2026, 1, 2, tzinfo=UTC)
_NUMBERS = {
    "StartTransaction": re.compile(rb"meterStart>([0-9]+)<"),
    "StopTransaction": re.compile(rb"meterStop>([0-9]+)<"),
    "MeterValues": re.compile(rb"value>([0-9]+)<"),
}


def _at(number: int) -> str:
    return (_BEGIN + timedelta(seconds=number)).isoformat().replace("+00:00", "Z")


def payload(action: str, number: int, transaction: int) -> Payload:
    """What a JSON Charge Point sends. `transaction` is of no use to a StartTransaction."""
    if action == "StartTransaction":
        return {"connectorId": 1, "idTag": "DRIVER-1", "timestamp": _at(number), "meterStart": number}
    if action == "StopTransaction":
        return {"transactionId": transaction, "timestamp": _at(number), "meterStop": number}
    sample = {"timestamp": _at(number), "sampledValue": [{"value": str(number)}]}
    return {"connectorId": 1, "transactionId": transaction, "meterValue": [sample]}


def posted(identity: str, action: str, number: int, transaction: int, unique_id: str) -> bytes:
    """What a SOAP Charge Point sends."""
    name = action[:1].lower() + action[1:]
    if action == "StartTransaction":
        inside = (
            f"<connectorId>1</connectorId><idTag>DRIVER-1</idTag><timestamp>{_at(number)}</timestamp>"
            f"<meterStart>{number}</meterStart>"
        )
    elif action == "StopTransaction":
        inside = (
            f"<transactionId>{transaction}</transactionId><timestamp>{_at(number)}</timestamp>"
            f"<meterStop>{number}</meterStop>"
        )
    else:
        inside = (
            f"<connectorId>1</connectorId><transactionId>{transaction}</transactionId><meterValue>"
            f"<timestamp>{_at(number)}</timestamp><sampledValue><value>{number}</value></sampledValue></meterValue>"
        )
    body = f'<{name}Request xmlns="{CS}">{inside}</{name}Request>'
    return envelope(body, identity=identity, message_id=f"urn:uuid:{unique_id}")


def number_in_payload(action: str, sent: Any) -> int | None:
    """The number of a message that arrived in JSON; None for an action that has none."""
    if action == "StartTransaction":
        return int(sent["meterStart"])
    if action == "StopTransaction":
        return int(sent["meterStop"])
    return int(sent["meterValue"][0]["sampledValue"][0]["value"]) if action == "MeterValues" else None


def number_in_envelope(action: str, data: bytes) -> int | None:
    """The same for one that arrived in SOAP."""
    if action not in _NUMBERS:
        return None
    match = _NUMBERS[action].search(data)
    assert match is not None, data
    return int(match[1])
