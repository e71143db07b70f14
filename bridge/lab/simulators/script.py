"""A charging session as data: reads script files, holds the built-in scripts, and runs scripts.

A script has one step per line:
    Action {payload as JSON}    send the request and wait for the answer; no payload means {}
    wait SECONDS
    # a comment
An element with both text and attributes, such as the meter values of OCPP 1.5, is {"_value_1": text, attribute: ...}.
In a payload, the string "$now" stands for the current time. The string "$transactionId" stands for the transactionId of
the last StartTransaction, or for -1 when that start was given no transactionId (OCPP 1.6 errata 3.18).
"""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol, TypeAlias

from bridge.lab.simulators.wire import CallRefused, Payload, now

DEFAULT_SCRIPT = """\
# The Charge Point starts.
BootNotification {"chargePointVendor": "ocpp-bridge", "chargePointModel": "simulator", "firmwareVersion": "1.0"}
StatusNotification {"connectorId": 0, "status": "Available", "errorCode": "NoError", "timestamp": "$now"}
StatusNotification {"connectorId": 1, "status": "Available", "errorCode": "NoError", "timestamp": "$now"}
Heartbeat

# A driver comes, and charges.
Authorize {"idTag": "DRIVER-1"}
StatusNotification {"connectorId": 1, "status": "Preparing", "errorCode": "NoError", "timestamp": "$now"}
StartTransaction {"connectorId": 1, "idTag": "DRIVER-1", "timestamp": "$now", "meterStart": 12000}
StatusNotification {"connectorId": 1, "status": "Charging", "errorCode": "NoError", "timestamp": "$now"}
MeterValues {"connectorId": 1, "transactionId": "$transactionId", "meterValue": [{"timestamp": "$now", "sampledValue": \
[{"value": "12340", "measurand": "Energy.Active.Import.Register", "unit": "Wh"}, \
{"value": "230.10", "measurand": "Voltage", "phase": "L1-N", "unit": "V"}, \
{"value": "16.0", "measurand": "Current.Import", "phase": "L1", "unit": "A"}]}]}
DataTransfer {"vendorId": "ocpp-bridge.demo", "messageId": "greeting", "data": "<hello> & {\\"good\\": \\"day\\"}"}

# The driver leaves.
StopTransaction {"transactionId": "$transactionId", "idTag": "DRIVER-1", "timestamp": "$now", "meterStop": 12680, \
"reason": "EVDisconnected", "transactionData": [{"timestamp": "$now", "sampledValue": \
[{"value": "12680", "context": "Transaction.End", "unit": "Wh"}]}]}
StatusNotification {"connectorId": 1, "status": "Finishing", "errorCode": "NoError", "timestamp": "$now"}
StatusNotification {"connectorId": 1, "status": "Available", "errorCode": "NoError", "timestamp": "$now"}
"""

_DEFAULT_SCRIPT_15 = """\
# The Charge Point starts.
BootNotification {"chargePointVendor": "ocpp-bridge", "chargePointModel": "simulator", "firmwareVersion": "1.0"}
StatusNotification {"connectorId": 0, "status": "Available", "errorCode": "NoError", "timestamp": "$now"}
StatusNotification {"connectorId": 1, "status": "Available", "errorCode": "NoError", "timestamp": "$now"}
Heartbeat

# A driver comes, and charges.
Authorize {"idTag": "DRIVER-1"}
StatusNotification {"connectorId": 1, "status": "Occupied", "errorCode": "NoError", "timestamp": "$now"}
StartTransaction {"connectorId": 1, "idTag": "DRIVER-1", "timestamp": "$now", "meterStart": 12000}
StatusNotification {"connectorId": 1, "status": "Occupied", "errorCode": "NoError", "timestamp": "$now"}
MeterValues {"connectorId": 1, "transactionId": "$transactionId", "values": [{"timestamp": "$now", "value": \
[{"_value_1": "12340", "measurand": "Energy.Active.Import.Register", "unit": "Wh"}, \
{"_value_1": "230.10", "measurand": "Voltage", "unit": "Volt"}, \
{"_value_1": "16.0", "measurand": "Current.Import", "unit": "Amp"}]}]}
DataTransfer {"vendorId": "ocpp-bridge.demo", "messageId": "greeting", "data": "<hello> & {\\"good\\": \\"day\\"}"}

# The driver leaves.
StopTransaction {"transactionId": "$transactionId", "idTag": "DRIVER-1", "timestamp": "$now", "meterStop": 12680, \
"transactionData": [{"values": [{"timestamp": "$now", "value": \
[{"_value_1": "12680", "context": "Transaction.End", "unit": "Wh"}]}]}]}
StatusNotification {"connectorId": 1, "status": "Occupied", "errorCode": "NoError", "timestamp": "$now"}
StatusNotification {"connectorId": 1, "status": "Available", "errorCode": "NoError", "timestamp": "$now"}
"""

_DEFAULT_SCRIPT_12 = """\
# The Charge Point starts.
BootNotification {"chargePointVendor": "ocpp-bridge", "chargePointModel": "simulator", "firmwareVersion": "1.0"}
StatusNotification {"connectorId": 0, "status": "Available", "errorCode": "NoError"}
StatusNotification {"connectorId": 1, "status": "Available", "errorCode": "NoError"}
Heartbeat

# A driver comes, and charges.
Authorize {"idTag": "DRIVER-1"}
StatusNotification {"connectorId": 1, "status": "Occupied", "errorCode": "NoError"}
StartTransaction {"connectorId": 1, "idTag": "DRIVER-1", "timestamp": "$now", "meterStart": 12000}
StatusNotification {"connectorId": 1, "status": "Occupied", "errorCode": "NoError"}
MeterValues {"connectorId": 1, "values": [{"timestamp": "$now", "value": 12340}]}

# The driver leaves.
StopTransaction {"transactionId": "$transactionId", "idTag": "DRIVER-1", "timestamp": "$now", "meterStop": 12680}
StatusNotification {"connectorId": 1, "status": "Occupied", "errorCode": "NoError"}
StatusNotification {"connectorId": 1, "status": "Available", "errorCode": "NoError"}
"""

# The built-in script of each protocol.
DEFAULT_SCRIPTS: Mapping[str, str] = {
    "ocpp1.6j": DEFAULT_SCRIPT,
    "ocpp1.6s": DEFAULT_SCRIPT,
    "ocpp1.5s": _DEFAULT_SCRIPT_15,
    "ocpp1.2s": _DEFAULT_SCRIPT_12,
}

_NO_TRANSACTION = -1


class ScriptError(ValueError):
    """A script cannot be run. The text begins with FILE:LINE."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """A step that sends a request. The payload still holds the placeholders that begin with $."""

    action: str
    payload: Payload


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """A step that waits for a number of seconds."""

    seconds: float


Step: TypeAlias = Send | Wait


class ScriptedChargePoint(Protocol):
    """The interface of a simulated Charge Point that a script needs."""

    async def call(self, action: str, payload: Mapping[str, Any], /) -> Payload:
        """Return the answer's payload. Raises Refused, ConnectionError, TimeoutError or ValueError without one."""


def read_script(text: str, name: str) -> list[Step]:
    """Return the steps in `text`. `name` is the file name for error texts. Raises ScriptError."""
    steps: list[Step] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if (line := line.strip()) and not line.startswith("#"):
            try:
                steps.append(_step(line))
            except ValueError as error:
                raise ScriptError(f"{name}:{number}: {error}") from error
    return steps


def _step(line: str) -> Step:
    word, _, rest = line.partition(" ")
    rest = rest.strip()
    if word == "wait":
        return Wait(seconds=_seconds(rest))
    if not re.fullmatch("[A-Z][A-Za-z]*", word):
        raise ValueError(f"{word!r} is neither an Action nor wait")
    try:
        payload = json.loads(rest or "{}")
    except json.JSONDecodeError as error:
        raise ValueError(f"the payload of {word} is not JSON: {error.msg} at character {error.pos + 1} of it") from None
    if not isinstance(payload, dict):
        raise ValueError(f"the payload of {word} is not a JSON object")
    return Send(action=word, payload=payload)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise ValueError(f"wait needs a number of seconds, not {text!r}")
    return seconds


async def run_script(charge_point: ScriptedChargePoint, steps: Iterable[Step], say: Callable[[str], None]) -> bool:
    """Run every step, even after a failed one. Returns True when every request got an answer that is no refusal."""
    transaction = _NO_TRANSACTION
    well = True
    for step in steps:
        if isinstance(step, Wait):
            say(f"wait {step.seconds:g} s")
            await asyncio.sleep(step.seconds)
            continue
        if step.action == "StartTransaction":
            transaction = _NO_TRANSACTION
        try:
            answer = await charge_point.call(step.action, _filled(step.payload, transaction))
        except CallRefused as refusal:
            say(f"{step.action}: refused, {refusal}")
            well = False
        except (OSError, ValueError) as error:
            say(f"{step.action}: no answer, {error}")
            well = False
        else:
            say(f"{step.action}: {json.dumps(answer, default=_number)}")
            if step.action == "StartTransaction":
                transaction = answer.get("transactionId", _NO_TRANSACTION)
    return well


def _filled(value: Any, transaction: int) -> Any:
    if isinstance(value, dict):
        return {name: _filled(inner, transaction) for name, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, transaction) for inner in value]
    return {"$transactionId": transaction, "$now": now()}.get(value, value) if isinstance(value, str) else value


def _number(value: Any) -> float:
    """Return a Decimal as a float, because JSON has no Decimal. A reader needs no more precision."""
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(f"{value!r} in an answer")
