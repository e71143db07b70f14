"""The session of a Charge Point that speaks OCPP-S 1.6. Every payload arrives as it was sent."""

from __future__ import annotations

from collections.abc import Iterator

from bridge.lab.demo.scenario import (
    ACCEPTED,
    BOOT,
    CONFIGURATION_KEYS,
    HARD,
    HARD_TEXT,
    ID_TAG,
    ID_TAG_ACCEPTED,
    PROFILE,
    REFUSED_DOWN,
    REFUSED_UP,
    START,
    Later,
    Scenario,
    ScenarioStep,
    down,
    up,
)
from bridge.lab.simulators.wire import Payload


def _status(connector: int, status: str) -> Payload:
    return {"connectorId": connector, "status": status, "errorCode": "NoError", "timestamp": Later.NOW}


def _sampled(energy: int, ampere: str, context: str) -> Payload:
    """Return a meter reading of four values. The values `230.10` and `0.0` must keep their spelling."""
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


_STOP: Payload = {
    "transactionId": Later.TRANSACTION,
    "idTag": ID_TAG,
    "timestamp": Later.NOW,
    "meterStop": 13500,
    "reason": "Remote",
    "transactionData": [_sampled(12000, "0.0", "Transaction.Begin"), _sampled(13500, "0.0", "Transaction.End")],
}


def _steps() -> Iterator[ScenarioStep]:
    yield up("BootNotification", BOOT, ACCEPTED | {"interval": 300})
    for connector in (0, 1, 2):
        yield up("StatusNotification", _status(connector, "Available"), note=f"connector {connector}")
    yield up("Heartbeat", {})
    yield up("Authorize", {"idTag": ID_TAG}, ID_TAG_ACCEPTED)
    yield down("GetConfiguration", {"key": CONFIGURATION_KEYS}, {"unknownKey": ["NoSuchKey"]})
    yield down("ChangeConfiguration", {"key": "MeterValueSampleInterval", "value": "10"}, ACCEPTED)
    yield down("RemoteStartTransaction", {"connectorId": 1, "idTag": ID_TAG}, ACCEPTED)
    yield up("StartTransaction", START, ID_TAG_ACCEPTED)
    for number, (energy, ampere) in enumerate(((12500, "16.0"), (13000, "15.9"), (13400, "10.5")), start=1):
        yield up("MeterValues", _meter_values(energy, ampere), note=f"reading {number}")
    yield down("SetChargingProfile", {"connectorId": 1, "csChargingProfiles": PROFILE}, ACCEPTED)
    schedule = {"connectorId": 1, "duration": 3600, "chargingRateUnit": "A"}
    yield down("GetCompositeSchedule", schedule, ACCEPTED | {"connectorId": 1})
    yield down("TriggerMessage", {"requestedMessage": "StatusNotification", "connectorId": 1}, ACCEPTED)
    yield up("StatusNotification", _status(1, "Charging"), note="triggered", triggered=True)
    yield down("RemoteStopTransaction", {"transactionId": Later.TRANSACTION}, ACCEPTED)
    yield up("StopTransaction", _STOP, ID_TAG_ACCEPTED)
    yield up("DataTransfer", HARD, ACCEPTED | {"data": HARD_TEXT}, note="hard text up")
    yield down("DataTransfer", HARD, ACCEPTED | {"data": HARD_TEXT}, note="hard text down")
    yield up("FirmwareStatusNotification", {"status": "Idle"}, note="refused with a CALLERROR", refusal=REFUSED_UP)
    yield down("UnlockConnector", {"connectorId": 2}, note="answered with a Fault", refusal=REFUSED_DOWN)


SCENARIO = Scenario(
    protocol="ocpp1.6s",
    steps=tuple(_steps()),
    signs_of_life=(
        up("Heartbeat", {}),
        up("MeterValues", {"connectorId": 1, "meterValue": [_sampled(13500, "0.0", "Sample.Clock")]}),
    ),
)
"""The last two steps are refused, as intended."""
