"""OCPP 1.2: what it has differently from 1.5, soap-wire.md section 5 row by row."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.dialects.known import Known
from bridge.dialects.ocpp12 import OCPP12
from bridge.ocpp.actions import ACTIONS, Party
from bridge.ocpp.enums import ChargePointErrorCode
from bridge.ocpp.losses import LossReason
from bridge.ocpp.messages import GetConfigurationRequest, MeterValuesRequest, Request
from bridge.ocpp.validation import record_of
from bridge.ocpps.wsdl import SimpleType
from tests.dialects.strategies import service

NOON = "2026-01-02T12:00:00Z"
Losses = dict[str, LossReason]


def up(message: str, data: dict[str, Any], known: Known | None = None) -> tuple[dict[str, Any], Losses]:
    upgraded, losses = OCPP12.upgrade(message, data, known)
    return upgraded, {loss.path: loss.reason for loss in losses}


def down(message: str, data: dict[str, Any]) -> tuple[dict[str, Any], Losses]:
    downgraded, losses = OCPP12.downgrade(message, data)
    return downgraded, {loss.path: loss.reason for loss in losses}


# --- Upward ---


def test_a_meter_reading_is_a_sampled_value_with_every_default() -> None:
    values = [{"timestamp": NOON, "value": " 12340\n"}, {"timestamp": NOON, "value": "12350"}]
    assert up("MeterValuesRequest", {"connectorId": "1", "values": values}) == (
        {
            "connectorId": "1",
            "meterValue": [
                {"timestamp": NOON, "sampledValue": [{"value": "12340"}]},
                {"timestamp": NOON, "sampledValue": [{"value": "12350"}]},
            ],
        },
        {},
    )
    assert up("MeterValuesRequest", {"connectorId": "1"}) == ({"connectorId": "1"}, {})


def test_long_texts_are_left_to_the_tolerance() -> None:
    assert up("BootNotificationRequest", {"chargePointModel": "m" * 21}) == ({"chargePointModel": "m" * 21}, {})
    assert up("StopTransactionRequest", {"idTag": "t" * 21}) == ({"idTag": "t" * 21}, {})


def test_occupied_and_mode_3_error_as_in_1_5() -> None:
    request = {"connectorId": "1", "status": "Occupied", "errorCode": "Mode3Error"}
    assert up("StatusNotificationRequest", request, Known(charging=frozenset({1}))) == (
        {"connectorId": "1", "status": "Charging", "errorCode": "EVCommunicationError"},
        {"status": LossReason.OCCUPIED},
    )


@pytest.mark.parametrize(
    ("answer", "becomes", "losses"),
    [
        pytest.param(
            {"status": "Accepted", "currentTime": NOON, "heartbeatInterval": "60"},
            {"status": "Accepted", "currentTime": NOON, "interval": "60"},
            {},
            id="complete",
        ),
        pytest.param(
            {"status": "Accepted"},
            {"status": "Accepted", "currentTime": NOON, "interval": "300"},
            {"currentTime": LossReason.ASSUMED_TIME, "heartbeatInterval": LossReason.ASSUMED_INTERVAL},
            id="accepted, and no more",
        ),
        pytest.param(
            {"status": "Rejected", "currentTime": " ", "heartbeatInterval": ""},
            {"status": "Rejected", "currentTime": NOON, "interval": "0"},
            {"currentTime": LossReason.ASSUMED_TIME, "heartbeatInterval": LossReason.ASSUMED_INTERVAL},
            id="rejected, and empty elements",
        ),
        pytest.param(
            {"status": "Accepted", "currentTime": "soon", "heartbeatInterval": "many"},
            {"status": "Accepted", "currentTime": NOON, "interval": "300"},
            {"currentTime": LossReason.UNREADABLE, "heartbeatInterval": LossReason.UNREADABLE},
            id="what cannot be read",
        ),
    ],
)
def test_a_boot_answer_is_completed(answer: dict[str, str], becomes: dict[str, str], losses: Losses) -> None:
    assert up("BootNotificationResponse", answer, Known(now=NOON)) == (becomes, losses)


def test_without_a_clock_no_time_is_made_up() -> None:
    assert "currentTime" not in up("BootNotificationResponse", {"status": "Accepted"})[0]


# --- Downward ---


@pytest.mark.parametrize(
    "status", ["Preparing", "Charging", "SuspendedEV", "SuspendedEVSE", "Finishing", "Reserved", "Available", "Faulted"]
)
def test_statuses(status: str) -> None:
    downgraded, losses = down("StatusNotificationRequest", {"status": status, "errorCode": "NoError"})
    same = status in ("Available", "Faulted")
    assert downgraded["status"] == (status if same else "Occupied")
    assert losses == ({} if same else {"status": LossReason.COLLAPSED})


def test_what_1_2_has_no_word_for_is_no_error_rather_than_a_wrong_one() -> None:
    (code,) = (
        item.type
        for item in service("1.2", Party.CHARGE_POINT).operations["StatusNotification"].request.type.elements  # type: ignore[union-attr]
        if item.name == "errorCode"
    )
    assert isinstance(code, SimpleType)
    for error in ChargePointErrorCode:
        request = {"status": "Faulted", "errorCode": error.value}
        wanted = error.value if error.value in code.enumeration else "NoError"
        if error is ChargePointErrorCode.EVCommunicationError:
            assert down("StatusNotificationRequest", request) == ({**request, "errorCode": "Mode3Error"}, {})
            continue
        losses = {} if wanted == error.value else {"errorCode": LossReason.COLLAPSED}
        assert down("StatusNotificationRequest", request) == ({**request, "errorCode": wanted}, losses)


@pytest.mark.parametrize(
    ("message", "names"),
    [
        ("StatusNotificationRequest", ("info", "timestamp", "vendorId", "vendorErrorCode")),
        ("StartTransactionRequest", ("reservationId",)),
        ("StopTransactionRequest", ("reason", "transactionData")),
        ("MeterValuesRequest", ("transactionId",)),
        ("RemoteStartTransactionRequest", ("chargingProfile",)),
    ],
)
def test_fields_that_1_2_does_not_have(message: str, names: tuple[str, ...]) -> None:
    request = {"connectorId": 1, **dict.fromkeys(names, "x")}
    assert down(message, request) == ({"connectorId": 1}, dict.fromkeys(names, LossReason.NOT_IN_VERSION))


ENERGY = "Energy.Active.Import.Register"


@pytest.mark.parametrize(
    ("sample", "value", "lost"),
    [
        pytest.param({"value": "12"}, 12, {}, id="defaults"),
        pytest.param(
            {
                "value": "12.0",
                "measurand": ENERGY,
                "unit": "Wh",
                "format": "Raw",
                "location": "Outlet",
                "context": "Sample.Periodic",
            },
            12,
            {},
            id="defaults, written out",
        ),
        pytest.param({"value": "1.2345", "unit": "kWh"}, 1234, {"value": LossReason.WHOLE_WATT_HOURS}, id="kWh"),
        pytest.param({"value": "1.25", "unit": "kWh"}, 1250, {}, id="kWh, whole Wh"),
        pytest.param({"value": "12.5"}, 12, {"value": LossReason.WHOLE_WATT_HOURS}, id="half a Wh"),
        pytest.param(
            {"value": "12", "context": "Transaction.End"}, 12, {"context": LossReason.NOT_IN_VERSION}, id="context"
        ),
        *(
            pytest.param({"value": "12", **other}, None, {"": LossReason.DROPPED_READING}, id=str(other))
            for other in (
                {"measurand": "Power.Active.Import", "unit": "W"},
                {"phase": "L1"},
                {"location": "EV"},
                {"format": "SignedData"},
                {"unit": "varh"},
                {"value": "twelve"},
                {"value": "1e3"},
                {"value": "2147483648"},
                {"value": "2147484", "unit": "kWh"},
            )
        ),
    ],
)
def test_only_a_register_of_imported_energy_goes_down(sample: dict[str, str], value: int | None, lost: Losses) -> None:
    request = {"connectorId": 1, "meterValue": ({"timestamp": NOON, "sampledValue": (sample,)},)}
    losses = {".".join(filter(None, ("meterValue[0].sampledValue[0]", name))): reason for name, reason in lost.items()}
    values = {} if value is None else {"values": [{"timestamp": NOON, "value": value}]}
    assert down("MeterValuesRequest", request) == ({"connectorId": 1, **values}, losses)
    given = OCPP12.instead("MeterValues", record_of(request, MeterValuesRequest))
    assert (given is None) is (value is not None)


def test_one_value_for_each_point_in_time() -> None:
    samples = ({"value": "9", "measurand": "SoC"}, {"value": "10"}, {"value": "11", "context": "Trigger"})
    request = {"connectorId": 1, "meterValue": ({"timestamp": NOON, "sampledValue": samples},)}
    assert down("MeterValuesRequest", request) == (
        {"connectorId": 1, "values": [{"timestamp": NOON, "value": 10}]},
        {"meterValue[0].sampledValue[0]": LossReason.DROPPED_READING},  # and [2], which is counted there
    )


# --- What stands in ---


@pytest.mark.parametrize(
    ("action", "answer"),
    [
        ("CancelReservation", {"status": "Rejected"}),
        ("ClearChargingProfile", {"status": "Unknown"}),
        ("DataTransfer", {"status": "Rejected"}),
        ("GetCompositeSchedule", {"status": "Rejected"}),
        ("GetLocalListVersion", {"listVersion": -1}),
        ("ReserveNow", {"status": "Rejected"}),
        ("SendLocalList", {"status": "NotSupported"}),
        ("SetChargingProfile", {"status": "NotSupported"}),
        ("TriggerMessage", {"status": "NotImplemented"}),
    ],
)
def test_actions_that_1_2_lacks_are_answered(action: str, answer: dict[str, Any]) -> None:
    given = OCPP12.instead(action, Request())
    assert given is not None
    assert given.answer == record_of(answer, ACTIONS[action].response)


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ({"key": ["A", "B"]}, {"unknownKey": ["A", "B"]}),
        ({"key": []}, {}),
        ({}, {}),
    ],
)
def test_get_configuration_knows_no_key(asked: dict[str, Any], answer: dict[str, Any]) -> None:
    given = OCPP12.instead("GetConfiguration", record_of(asked, GetConfigurationRequest))
    assert given is not None
    assert given.answer == record_of(answer, ACTIONS["GetConfiguration"].response)


def test_every_other_action_can_be_sent() -> None:
    have = {name for party in Party for name in service("1.2", party).operations}
    conditional = {"DiagnosticsStatusNotification", "FirmwareStatusNotification", "MeterValues"}
    for action in ACTIONS.keys() - conditional - {"GetConfiguration"}:
        assert (OCPP12.instead(action, Request()) is None) is (action in have)
    assert conditional < have
