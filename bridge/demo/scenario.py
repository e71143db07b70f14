"""The demo's session, as data: each step, who asks, what is asked, and what is to come of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from bridge.simulators.wire import Payload, Refused, now

IDENTITY = "DEMO-1"
VENDOR = "ocpp-bridge.demo"
ID_TAG = "DRIVER-1"


class Later(Enum):
    """What a payload holds that is known only when it is sent."""

    NOW = auto()
    TRANSACTION = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The far side refuses.

    raised   what it says
    arrives  how the near side reads it (`str` of its Refused), having crossed the table of errors
    holds    the details that come along
    """

    raised: Refused
    arrives: str
    holds: Payload


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One Call and its outcome.

    upwards    the Charge Point asks the Central System; else the other way
    answer     what the answer must hold, at least
    refusal    instead of an answer
    triggered  the Charge Point sends it by itself once it has answered the command before
    """

    action: str
    upwards: bool
    payload: Payload = field(default_factory=dict)
    answer: Payload = field(default_factory=dict)
    note: str = ""
    refusal: Refusal | None = None
    triggered: bool = False

    @property
    def name(self) -> str:
        """The action, and what tells this step from others of the same action."""
        return f"{self.action}, {self.note}" if self.note else self.action


def _up(action: str, payload: Payload, answer: Payload | None = None, note: str = "", **more: Any) -> Step:
    return Step(action=action, upwards=True, payload=payload, answer=answer or {}, note=note, **more)


def _down(action: str, payload: Payload, answer: Payload | None = None, note: str = "", **more: Any) -> Step:
    return Step(action=action, upwards=False, payload=payload, answer=answer or {}, note=note, **more)


def filled(template: Any, transaction: int) -> Any:
    """`template` with what is known now in place of each Later."""
    if isinstance(template, dict):
        return {name: filled(inner, transaction) for name, inner in template.items()}
    if isinstance(template, list):
        return [filled(inner, transaction) for inner in template]
    if isinstance(template, Later):
        return now() if template is Later.NOW else transaction
    return template


_ACCEPTED: Payload = {"status": "Accepted"}
_ID_TAG_ACCEPTED: Payload = {"idTagInfo": {"status": "Accepted"}}


def _status(connector: int, status: str) -> Payload:
    return {"connectorId": connector, "status": status, "errorCode": "NoError", "timestamp": Later.NOW}


def _sampled(energy: int, ampere: str, context: str) -> Payload:
    """A meter reading of four values. `230.10` and `0.0` must keep their spelling."""
    return {
        "timestamp": Later.NOW,
        "sampledValue": [
            {
                "value": str(energy),
                "context": context,
                "format": "Raw",
                "measurand": "Energy.Active.Import.Register",
                "location": "Outlet",
                "unit": "Wh",
            },
            {"value": "230.10", "context": context, "measurand": "Voltage", "phase": "L1-N", "unit": "V"},
            {"value": ampere, "context": context, "measurand": "Current.Import", "phase": "L1", "unit": "A"},
            {"value": "31.0", "context": context, "measurand": "Temperature", "location": "Cable", "unit": "Celsius"},
        ],
    }


def _meter_values(energy: int, ampere: str) -> Payload:
    readings = [_sampled(energy, ampere, "Sample.Periodic")]
    return {"connectorId": 1, "transactionId": Later.TRANSACTION, "meterValue": readings}


def _limits(*limits: tuple[int, float]) -> list[Payload]:
    return [{"startPeriod": start, "limit": limit, "numberPhases": 3} for start, limit in limits]


_BOOT: Payload = {
    "chargePointVendor": "ocpp-bridge",
    "chargePointModel": "demo",
    "chargePointSerialNumber": "SN-0001",
    "firmwareVersion": "1.0.0",
    "meterType": "MID class B",
}
_PROFILE: Payload = {
    "chargingProfileId": 7,
    "transactionId": Later.TRANSACTION,
    "stackLevel": 0,
    "chargingProfilePurpose": "TxProfile",
    "chargingProfileKind": "Absolute",
    "chargingSchedule": {
        "duration": 3600,
        "startSchedule": Later.NOW,
        "chargingRateUnit": "A",
        "chargingSchedulePeriod": _limits((0, 16.0), (1800, 10.5)),
        "minChargingRate": 6.0,
    },
}
_STOP: Payload = {
    "transactionId": Later.TRANSACTION,
    "idTag": ID_TAG,
    "timestamp": Later.NOW,
    "meterStop": 13500,
    "reason": "Remote",
    "transactionData": [_sampled(12000, "0.0", "Transaction.Begin"), _sampled(13500, "0.0", "Transaction.End")],
}
# All that XML and JSON treat in their own ways: markup, quotes, line breaks, and characters of one to four bytes.
_HARD_TEXT = '<tariff id="1">5 € & \'more\'</tariff>\nZürich \\ Ελλάδα\r\n東京\t"🔌"'

_REFUSED_UP = Refusal(
    raised=Refused("NotSupported", "firmware is managed elsewhere", {"profile": "FirmwareManagement", "since": 2024}),
    arrives="Receiver/NotSupported: NotSupported: firmware is managed elsewhere",
    holds={"profile": "FirmwareManagement", "since": 2024},
)
_REFUSED_DOWN = Refusal(
    raised=Refused("Receiver", "the lock of connector 2 is jammed", subcode="InternalError"),
    arrives="InternalError: the lock of connector 2 is jammed",
    holds={"soapCode": "Receiver"},
)


def _steps() -> Iterator[Step]:
    yield _up("BootNotification", _BOOT, _ACCEPTED | {"interval": 300})
    for connector in (0, 1, 2):
        yield _up("StatusNotification", _status(connector, "Available"), note=f"connector {connector}")
    yield _up("Heartbeat", {})
    yield _up("Authorize", {"idTag": ID_TAG}, _ID_TAG_ACCEPTED)
    keys = ["HeartbeatInterval", "AuthorizeRemoteTxRequests", "NoSuchKey"]
    yield _down("GetConfiguration", {"key": keys}, {"unknownKey": ["NoSuchKey"]})
    yield _down("ChangeConfiguration", {"key": "MeterValueSampleInterval", "value": "10"}, _ACCEPTED)
    yield _down("RemoteStartTransaction", {"connectorId": 1, "idTag": ID_TAG}, _ACCEPTED)
    start = {"connectorId": 1, "idTag": ID_TAG, "timestamp": Later.NOW, "meterStart": 12000}
    yield _up("StartTransaction", start, _ID_TAG_ACCEPTED)
    for number, (energy, ampere) in enumerate(((12500, "16.0"), (13000, "15.9"), (13400, "10.5")), start=1):
        yield _up("MeterValues", _meter_values(energy, ampere), note=f"reading {number}")
    yield _down("SetChargingProfile", {"connectorId": 1, "csChargingProfiles": _PROFILE}, _ACCEPTED)
    schedule = {"connectorId": 1, "duration": 3600, "chargingRateUnit": "A"}
    yield _down("GetCompositeSchedule", schedule, _ACCEPTED | {"connectorId": 1})
    yield _down("TriggerMessage", {"requestedMessage": "StatusNotification", "connectorId": 1}, _ACCEPTED)
    yield _up("StatusNotification", _status(1, "Charging"), note="triggered", triggered=True)
    yield _down("RemoteStopTransaction", {"transactionId": Later.TRANSACTION}, _ACCEPTED)
    yield _up("StopTransaction", _STOP, _ID_TAG_ACCEPTED)
    hard: Payload = {"vendorId": VENDOR, "messageId": "hard-text", "data": _HARD_TEXT}
    yield _up("DataTransfer", hard, _ACCEPTED | {"data": _HARD_TEXT}, note="hard text up")
    yield _down("DataTransfer", hard, _ACCEPTED | {"data": _HARD_TEXT}, note="hard text down")
    yield _up("FirmwareStatusNotification", {"status": "Idle"}, note="refused with a CALLERROR", refusal=_REFUSED_UP)
    yield _down("UnlockConnector", {"connectorId": 2}, note="answered with a Fault", refusal=_REFUSED_DOWN)


STEPS: tuple[Step, ...] = tuple(_steps())
"""In their order. The last two are refused on purpose."""

SIGNS_OF_LIFE: tuple[Step, ...] = (
    _up("Heartbeat", {}),
    _up("MeterValues", {"connectorId": 1, "meterValue": [_sampled(13500, "0.0", "Sample.Clock")]}),
)
"""What the Charge Point goes on to send, by turns."""
