"""The session of a Charge Point that speaks OCPP-S 1.2, the oldest version, with the fewest actions and fields."""

from __future__ import annotations

from collections.abc import Iterator

from bridge.lab.demo.scenario import (
    ACCEPTED,
    CONFIGURATION_KEYS,
    HARD,
    ID_TAG,
    ID_TAG_ACCEPTED,
    START,
    Later,
    Scenario,
    ScenarioStep,
    down,
    up,
)
from bridge.lab.demo.session15 import (
    booted,
    inferred,
    lacking,
    occupied,
    refusals,
    remotely_started,
    smart_charging_and_trigger,
)
from bridge.lab.simulators.wire import Payload


def _status(connector: int, status: str) -> Payload:
    return {"connectorId": connector, "status": status, "errorCode": "NoError"}


def _metered(energy: int, note: str = "") -> ScenarioStep:
    """Return a MeterValues step with one number: the energy imported, in Wh."""
    sent = {"connectorId": 1, "values": [{"timestamp": Later.NOW, "value": energy}]}
    readings = [{"timestamp": Later.NOW, "sampledValue": [{"value": str(energy)}]}]
    return up("MeterValues", sent, note=note, arrives={"connectorId": 1, "meterValue": readings})


def _lists_and_reservations() -> Iterator[ScenarioStep]:
    yield lacking("GetLocalListVersion", {}, {"listVersion": -1})
    yield lacking("SendLocalList", {"listVersion": 4, "updateType": "Full"}, {"status": "NotSupported"})
    reservation = {"connectorId": 1, "expiryDate": Later.NOW, "idTag": ID_TAG, "reservationId": 3}
    yield lacking("ReserveNow", reservation, {"status": "Rejected"})
    yield lacking("CancelReservation", {"reservationId": 3}, {"status": "Rejected"})
    yield lacking("DataTransfer", HARD, {"status": "Rejected"})


def _steps() -> Iterator[ScenarioStep]:
    yield booted()
    for connector in (0, 1, 2):
        yield up("StatusNotification", _status(connector, "Available"), note=f"connector {connector}")
    yield up("Heartbeat", {})
    yield up("Authorize", {"idTag": ID_TAG}, ID_TAG_ACCEPTED)
    yield lacking("GetConfiguration", {"key": CONFIGURATION_KEYS}, {"unknownKey": CONFIGURATION_KEYS})
    yield down("ChangeConfiguration", {"key": "MeterValueSampleInterval", "value": "10"}, ACCEPTED)
    yield from _lists_and_reservations()
    yield remotely_started()
    yield occupied(_status(1, ""), "Preparing")
    yield up("StartTransaction", START, ID_TAG_ACCEPTED)
    yield inferred(_status(1, ""), "Charging")
    for number, energy in enumerate((12500, 13000), start=1):
        yield _metered(energy, note=f"reading {number}")
    yield from smart_charging_and_trigger()
    yield down("RemoteStopTransaction", {"transactionId": Later.TRANSACTION}, ACCEPTED)
    stop = {"transactionId": Later.TRANSACTION, "idTag": ID_TAG, "timestamp": Later.NOW, "meterStop": 13500}
    yield up("StopTransaction", stop, ID_TAG_ACCEPTED)
    yield inferred(_status(1, ""), "Finishing")
    yield up("StatusNotification", _status(1, "Available"), note="the driver has left")
    yield from refusals()


SCENARIO = Scenario(
    protocol="ocpp1.2s",
    steps=tuple(_steps()),
    signs_of_life=(
        up("Heartbeat", {}),
        up("MeterValues", {"connectorId": 1, "values": [{"timestamp": Later.NOW, "value": 13500}]}),
    ),
)
