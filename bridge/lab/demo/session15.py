"""The session of a Charge Point that speaks OCPP-S 1.5: what 1.5 names differently from 1.6, and what 1.5 lacks."""

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

_AT_START = {name: value for name, value in PROFILE.items() if name != "transactionId"}


def booted() -> ScenarioStep:
    """Return the BootNotification step. The answer's `interval` is named `heartbeatInterval` in 1.5 and 1.2."""
    answer, given = ACCEPTED | {"heartbeatInterval": 300}, ACCEPTED | {"interval": 300}
    return up("BootNotification", BOOT, answer, given=given)


def remotely_started() -> ScenarioStep:
    """Return a RemoteStartTransaction step. Its charging profile is lost: 1.5 and 1.2 have no smart charging."""
    asked: Payload = {"connectorId": 1, "idTag": ID_TAG}
    lost = ["RemoteStartTransactionRequest.chargingProfile"]
    return down(
        "RemoteStartTransaction",
        asked | {"chargingProfile": _AT_START},
        ACCEPTED,
        note="with a profile",
        arrives=asked,
        losses=lost,
    )


def occupied(status: Payload, becomes: str) -> ScenarioStep:
    """Return a StatusNotification step with Occupied, for which the gateway infers `becomes` from the transactions."""
    said = status | {"connectorId": 1, "status": "Occupied"}
    return up(
        "StatusNotification",
        said,
        note=f"Occupied is {becomes}",
        arrives=said | {"status": becomes},
        losses=["StatusNotificationRequest.status"],
    )


def inferred(status: Payload, becomes: str) -> ScenarioStep:
    """Return a StatusNotification step that the gateway sends: the Charge Point sends Occupied only once."""
    told = status | {"connectorId": 1, "status": becomes, "timestamp": Later.NOW}
    losses = ["StatusNotificationRequest"]
    return up("StatusNotification", told, note=f"{becomes}, sent by the gateway", inferred=True, losses=losses)


def configuration_read() -> ScenarioStep:
    """Return a GetConfiguration step in which one key has another name in 1.5."""
    asked = ["HeartBeatInterval", *CONFIGURATION_KEYS[1:]]
    unknown: Payload = {"unknownKey": ["NoSuchKey"]}
    return down("GetConfiguration", {"key": CONFIGURATION_KEYS}, unknown, arrives={"key": asked}, given=unknown)


def lacking(action: str, payload: Payload, answer: Payload, note: str = "") -> ScenarioStep:
    """Return the step of a command that the version lacks. The gateway gives `answer` and sends nothing."""
    return down(action, payload, answer, note=note or "not in this version", unsent=True, losses=[f"{action}Request"])


def smart_charging_and_trigger() -> Iterator[ScenarioStep]:
    """Yield steps for smart charging and TriggerMessage, which 1.5 and 1.2 lack."""
    yield lacking("SetChargingProfile", {"connectorId": 1, "csChargingProfiles": PROFILE}, {"status": "NotSupported"})
    yield lacking("GetCompositeSchedule", {"connectorId": 1, "duration": 3600}, {"status": "Rejected"})
    yield lacking("ClearChargingProfile", {"id": 7}, {"status": "Unknown"})
    yield lacking("TriggerMessage", {"requestedMessage": "MeterValues"}, {"status": "NotImplemented"})


def refusals() -> Iterator[ScenarioStep]:
    """Yield two steps with an intended refusal, after one in which UnlockConnector's status has another name."""
    yield down("UnlockConnector", {"connectorId": 1}, {"status": "Unlocked"}, given=ACCEPTED)
    yield up("FirmwareStatusNotification", {"status": "Installed"}, note="refused with a CALLERROR", refusal=REFUSED_UP)
    yield down("UnlockConnector", {"connectorId": 2}, note="answered with a Fault", refusal=REFUSED_DOWN)


def _status(connector: int, status: str) -> Payload:
    return {"connectorId": connector, "status": status, "errorCode": "NoError", "timestamp": Later.NOW}


def _values(energy: int, ampere: str, context: str) -> Payload:
    """Return a meter reading of four values in the form of 1.5: texts with attributes, other names of units."""
    return {
        "timestamp": Later.NOW,
        "value": [
            {
                "_value_1": str(energy),
                "context": context,
                "format": "Raw",
                "measurand": "Energy.Active.Import.Register",
                "location": "Outlet",
                "unit": "Wh",
            },
            {"_value_1": "230.10", "context": context, "measurand": "Voltage", "unit": "Volt"},
            {"_value_1": ampere, "context": context, "measurand": "Current.Import", "unit": "Amp"},
            {"_value_1": "31.0", "context": context, "measurand": "Temperature", "location": "Body", "unit": "Celsius"},
        ],
    }


def _sampled(energy: int, ampere: str, context: str) -> Payload:
    """Return the same reading in the form of OCPP 1.6. The values `230.10` and `0.0` must keep their spelling."""
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
            {"value": "230.10", "context": context, "measurand": "Voltage", "unit": "V"},
            {"value": ampere, "context": context, "measurand": "Current.Import", "unit": "A"},
            {"value": "31.0", "context": context, "measurand": "Temperature", "location": "Body", "unit": "Celsius"},
        ],
    }


def _metered(energy: int, ampere: str, note: str = "") -> ScenarioStep:
    where: Payload = {"connectorId": 1, "transactionId": Later.TRANSACTION}
    sent = where | {"values": [_values(energy, ampere, "Sample.Periodic")]}
    arrives = where | {"meterValue": [_sampled(energy, ampere, "Sample.Periodic")]}
    return up("MeterValues", sent, note=note, arrives=arrives)


def _stopped() -> ScenarioStep:
    """Return the StopTransaction step. Its transactionData has groups of values; the grouping is lost in 1.6."""
    stop: Payload = {
        "transactionId": Later.TRANSACTION,
        "idTag": ID_TAG,
        "timestamp": Later.NOW,
        "meterStop": 13500,
    }
    begin, end = (12000, "0.0", "Transaction.Begin"), (13500, "0.0", "Transaction.End")
    return up(
        "StopTransaction",
        stop | {"transactionData": [{"values": [_values(*begin)]}, {"values": [_values(*end)]}]},
        ID_TAG_ACCEPTED,
        arrives=stop | {"transactionData": [_sampled(*begin), _sampled(*end)]},
        losses=["StopTransactionRequest.transactionData"],
    )


def _local_list() -> Iterator[ScenarioStep]:
    about: Payload = {"listVersion": 4, "updateType": "Full"}
    entries: list[Payload] = [{"idTag": ID_TAG, "idTagInfo": {"status": "Accepted"}}, {"idTag": "DRIVER-2"}]
    yield down(
        "SendLocalList",
        about | {"localAuthorizationList": entries},
        ACCEPTED,
        arrives=about | {"localAuthorisationList": entries},
    )
    yield down("GetLocalListVersion", {}, {"listVersion": 4})


def _steps() -> Iterator[ScenarioStep]:
    yield booted()
    for connector in (0, 1, 2):
        yield up("StatusNotification", _status(connector, "Available"), note=f"connector {connector}")
    yield up("Heartbeat", {})
    yield up("Authorize", {"idTag": ID_TAG}, ID_TAG_ACCEPTED)
    yield configuration_read()
    yield down("ChangeConfiguration", {"key": "MeterValueSampleInterval", "value": "10"}, ACCEPTED)
    yield from _local_list()
    yield remotely_started()
    yield occupied(_status(1, ""), "Preparing")
    yield up("StartTransaction", START, ID_TAG_ACCEPTED)
    yield inferred(_status(1, ""), "Charging")
    for number, (energy, ampere) in enumerate(((12500, "16.0"), (13000, "15.9")), start=1):
        yield _metered(energy, ampere, note=f"reading {number}")
    yield from smart_charging_and_trigger()
    yield down("RemoteStopTransaction", {"transactionId": Later.TRANSACTION}, ACCEPTED)
    yield _stopped()
    yield inferred(_status(1, ""), "Finishing")
    yield up("StatusNotification", _status(1, "Available"), note="the driver has left")
    yield up("DataTransfer", HARD, ACCEPTED | {"data": HARD_TEXT}, note="hard text up")
    yield down("DataTransfer", HARD, ACCEPTED | {"data": HARD_TEXT}, note="hard text down")
    yield from refusals()


SCENARIO = Scenario(
    protocol="ocpp1.5s",
    steps=tuple(_steps()),
    signs_of_life=(
        up("Heartbeat", {}),
        up("MeterValues", {"connectorId": 1, "values": [_values(13500, "0.0", "Sample.Clock")]}),
    ),
)
