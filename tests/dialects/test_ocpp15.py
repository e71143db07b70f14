"""OCPP 1.5, held against 1.6: soap-wire.md section 5 row by row."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.dialects.known import Known
from bridge.dialects.meters import CONTEXTS_OF_15, READINGS_OF_15
from bridge.dialects.ocpp15 import OCPP15
from bridge.errors import ErrorCode, MessageError
from bridge.ocpp import messages
from bridge.ocpp.actions import ACTIONS, SECURITY_EXTENSIONS, Party
from bridge.ocpp.enums import DiagnosticsStatus, FirmwareStatus
from bridge.ocpp.losses import LossReason
from bridge.ocpp.messages import (
    DiagnosticsStatusNotificationRequest,
    FirmwareStatusNotificationRequest,
    MeterValuesRequest,
    MeterValuesResponse,
    Request,
)
from bridge.ocpp.validation import record_of
from bridge.ocpps.wsdl import ComplexType
from tests.dialects.strategies import service

NOON = "2026-01-02T12:00:00Z"
Losses = dict[str, LossReason]


def up(message: str, data: dict[str, Any], known: Known | None = None) -> tuple[dict[str, Any], Losses]:
    upgraded, losses = OCPP15.upgrade(message, data, known)
    assert {loss.message for loss in losses} <= {message}
    return upgraded, {loss.path: loss.reason for loss in losses}


def down(message: str, data: dict[str, Any]) -> tuple[dict[str, Any], Losses]:
    downgraded, losses = OCPP15.downgrade(message, data)
    assert {loss.message for loss in losses} <= {message}
    return downgraded, {loss.path: loss.reason for loss in losses}


def status(word: str, connector: str = "1", error: str = "NoError") -> dict[str, Any]:
    return {"connectorId": connector, "status": word, "errorCode": error}


# --- Upward: messages of the Charge Point, and answers of a Central System ---


@pytest.mark.parametrize("message", ["AuthorizeRequest", "HeartbeatRequest", "StartTransactionRequest", "ResetRequest"])
def test_what_has_no_rule_is_the_same_object(message: str) -> None:
    data = {"idTag": "A"}
    assert OCPP15.upgrade(message, data)[0] is data
    assert OCPP15.downgrade(message, data)[0] is data


def test_the_given_data_is_not_touched() -> None:
    data = {"connectorId": "1", "values": [{"timestamp": NOON, "value": [{"#text": "1", "unit": "Amp"}]}]}
    before = repr(data)
    up("MeterValuesRequest", data)
    assert repr(data) == before


def test_the_interval_has_another_name() -> None:
    answer = {"status": "Accepted", "currentTime": NOON, "heartbeatInterval": "300"}
    assert up("BootNotificationResponse", answer) == (
        {"status": "Accepted", "currentTime": NOON, "interval": "300"},
        {},
    )


def test_long_texts_are_left_to_the_tolerance() -> None:
    long = {"chargePointModel": "m" * 300}
    assert up("BootNotificationRequest", long) == (long, {})


@pytest.mark.parametrize(
    ("message", "data", "name"),
    [
        ("AuthorizeRequest", {"idTag": "1" * 21}, "idTag"),
        ("DataTransferRequest", {"vendorId": "v" * 256}, "vendorId"),
        ("DataTransferRequest", {"vendorId": "v", "messageId": "m" * 51}, "messageId"),
        ("ChangeConfigurationRequest", {"key": "k" * 51, "value": ""}, "key"),
        ("ChangeConfigurationRequest", {"key": "k", "value": "v" * 501}, "value"),
        ("GetConfigurationRequest", {"key": ["k" * 51]}, "key[0]"),
    ],
)
def test_what_is_compared_or_acted_upon_is_never_cut(message: str, data: dict[str, Any], name: str) -> None:
    upgraded, losses = up(message, data)
    assert (upgraded, losses) == (data, {})
    with pytest.raises(MessageError) as caught:
        record_of(upgraded, getattr(messages, message))
    assert (caught.value.code, caught.value.path) == (ErrorCode.PropertyConstraintViolation, name)


def test_meter_values_become_elements() -> None:
    values = [
        {
            "timestamp": NOON,
            "value": [
                {"#text": "230.10", "context": "Sample.Clock", "format": "Raw", "measurand": "Voltage", "unit": "Volt"},
                {"#text": "16", "measurand": "Current.Import", "location": "Inlet", "unit": " amp "},
                {"#text": "12"},
            ],
        }
    ]
    upgraded, losses = up("MeterValuesRequest", {"connectorId": "1", "transactionId": "7", "values": values})
    assert upgraded == {
        "connectorId": "1",
        "transactionId": "7",
        "meterValue": [
            {
                "timestamp": NOON,
                "sampledValue": [
                    {
                        "value": "230.10",
                        "context": "Sample.Clock",
                        "format": "Raw",
                        "measurand": "Voltage",
                        "unit": "V",
                    },
                    {"value": "16", "measurand": "Current.Import", "location": "Inlet", "unit": "A"},
                    {"value": "12"},
                ],
            }
        ],
    }
    assert losses == {}


@pytest.mark.parametrize("data", [{"connectorId": "1"}, {"connectorId": "1", "values": []}])
def test_meter_values_without_a_value_are_left_to_the_tolerance(data: dict[str, Any]) -> None:
    upgraded, losses = up("MeterValuesRequest", data)
    assert (upgraded.get("meterValue", []), losses) == ([], {})


READING = {"timestamp": NOON, "value": [{"#text": "1", "unit": "Wh"}]}
READING_16 = {"timestamp": NOON, "sampledValue": [{"value": "1", "unit": "Wh"}]}


@pytest.mark.parametrize(
    ("groups", "flat", "losses"),
    [
        pytest.param([{"values": [READING, READING]}], [READING_16, READING_16], {}, id="one group"),
        pytest.param(
            [{"values": [READING]}, {"values": [READING]}],
            [READING_16, READING_16],
            {"transactionData": LossReason.UNGROUPED},
            id="two groups",
        ),
        pytest.param([{}], None, {"transactionData[0]": LossReason.EMPTY_OPTIONAL}, id="an empty group"),
        pytest.param(
            [{"values": [READING]}, {}],
            [READING_16],
            {"transactionData[1]": LossReason.EMPTY_OPTIONAL},
            id="a group and an empty one",
        ),
    ],
)
def test_transaction_data_is_flattened(groups: list[Any], flat: list[Any] | None, losses: Losses) -> None:
    stop = {"transactionId": "1", "timestamp": NOON, "meterStop": "5"}
    wanted = stop if flat is None else {**stop, "transactionData": flat}
    assert up("StopTransactionRequest", {**stop, "transactionData": groups}) == (wanted, losses)
    assert up("StopTransactionRequest", stop) == (stop, {})


CHARGING, FINISHING = Known(charging=frozenset({1}), finishing=frozenset({1})), Known(finishing=frozenset({1}))


@pytest.mark.parametrize(
    ("word", "connector", "known", "becomes"),
    [
        pytest.param("Occupied", "1", CHARGING, "Charging", id="a transaction is open there"),
        pytest.param("Occupied", "1", FINISHING, "Finishing", id="a transaction has just ended there"),
        pytest.param("Occupied", "1", None, "Preparing", id="nothing is known"),
        pytest.param("Occupied", "2", CHARGING, "Preparing", id="the transaction is elsewhere"),
        pytest.param(" occupied ", " 1 ", CHARGING, "Charging", id="sloppily written"),
        pytest.param("Occupied", "99999999999", CHARGING, "Preparing", id="a connector that cannot be"),
    ],
)
def test_occupied_is_told_apart(word: str, connector: str, known: Known | None, becomes: str) -> None:
    upgraded, losses = up("StatusNotificationRequest", status(word, connector), known)
    assert (upgraded["status"], losses) == (becomes, {"status": LossReason.OCCUPIED})


@pytest.mark.parametrize("word", ["Occupied", "Reserved"])
def test_the_whole_charge_point_is_neither_occupied_nor_reserved(word: str) -> None:
    upgraded, losses = up("StatusNotificationRequest", status(word, "0"), CHARGING)
    assert (upgraded["status"], losses) == ("Available", {"status": LossReason.CONNECTOR_ZERO})


@pytest.mark.parametrize("word", ["Available", "Faulted", "Unavailable", "Reserved"])
def test_other_statuses_are_the_same(word: str) -> None:
    assert up("StatusNotificationRequest", status(word)) == (status(word), {})
    assert down("StatusNotificationRequest", status(word)) == (status(word), {})


def test_mode_3_error_is_another_name() -> None:
    assert up("StatusNotificationRequest", status("Faulted", error="Mode3Error")) == (
        status("Faulted", error="EVCommunicationError"),
        {},
    )
    assert down("StatusNotificationRequest", status("Faulted", error="EVCommunicationError")) == (
        status("Faulted", error="Mode3Error"),
        {},
    )


# --- Answers of a Charge Point, upward ---


@pytest.mark.parametrize(("old", "new"), [("Accepted", "Unlocked"), ("Rejected", "UnlockFailed")])
def test_unlock_answers_have_other_words(old: str, new: str) -> None:
    assert up("UnlockConnectorResponse", {"status": old}) == ({"status": new}, {})
    assert down("UnlockConnectorResponse", {"status": new}) == ({"status": old}, {})


def test_a_hash_error_is_a_failure_and_the_hash_is_dropped() -> None:
    assert up("SendLocalListResponse", {"status": "HashError", "hash": "ab"}) == (
        {"status": "Failed"},
        {"status": LossReason.COLLAPSED, "hash": LossReason.UNKNOWN_FIELD},
    )


# --- Commands of a 1.5 Central System, upward ---


def test_a_local_list_upward() -> None:
    request = {"updateType": "Full", "listVersion": "2", "localAuthorisationList": [{"idTag": "A"}], "hash": "ab"}
    assert up("SendLocalListRequest", request) == (
        {"updateType": "Full", "listVersion": "2", "localAuthorizationList": [{"idTag": "A"}]},
        {"hash": LossReason.UNKNOWN_FIELD},
    )


# --- Downward: commands of a Central System, and its answers ---


def test_pending_is_rejected_and_keeps_its_interval() -> None:
    answer = {"status": "Pending", "currentTime": NOON, "interval": 60}
    assert down("BootNotificationResponse", answer) == (
        {"status": "Rejected", "currentTime": NOON, "heartbeatInterval": 60},
        {"status": LossReason.COLLAPSED},
    )


def test_a_remote_start_loses_its_profile() -> None:
    assert down("RemoteStartTransactionRequest", {"connectorId": 1, "idTag": "A", "chargingProfile": {}}) == (
        {"connectorId": 1, "idTag": "A"},
        {"chargingProfile": LossReason.NOT_IN_VERSION},
    )


def test_a_local_list_downward_deletes_too() -> None:
    entries = [{"idTag": "A"}, {"idTag": "B", "idTagInfo": {"status": "Blocked"}}]
    assert down("SendLocalListRequest", {"listVersion": 2, "localAuthorizationList": entries}) == (
        {"listVersion": 2, "localAuthorisationList": entries},
        {},
    )


@pytest.mark.parametrize(
    ("action", "answer"),
    [
        ("ClearChargingProfile", {"status": "Unknown"}),
        ("SetChargingProfile", {"status": "NotSupported"}),
        ("GetCompositeSchedule", {"status": "Rejected"}),
        ("TriggerMessage", {"status": "NotImplemented"}),
    ],
)
def test_commands_that_1_5_lacks_are_answered(action: str, answer: dict[str, str]) -> None:
    # Its fields do not matter to the answer.
    given = OCPP15.instead(action, messages.ClearCacheRequest())
    assert given is not None
    assert given.answer == record_of(answer, ACTIONS[action].response)
    assert [(loss.message, loss.path, loss.reason) for loss in given.losses] == [
        (f"{action}Request", "", LossReason.ANSWERED_HERE)
    ]


@pytest.mark.parametrize("action", sorted(SECURITY_EXTENSIONS))
def test_security_extensions_are_not_supported(action: str) -> None:
    given = OCPP15.instead(action, None)
    assert given is not None
    assert isinstance(given.answer, MessageError)
    assert given.answer.code is ErrorCode.NotSupported
    assert given.losses == ()


def test_every_other_action_can_be_sent() -> None:
    have = {name for party in Party for name in service("1.5", party).operations}
    lacking = {"ClearChargingProfile", "SetChargingProfile", "GetCompositeSchedule", "TriggerMessage"}
    assert have == ACTIONS.keys() - lacking
    for action in have - {"DiagnosticsStatusNotification", "FirmwareStatusNotification", "MeterValues"}:
        assert OCPP15.instead(action, Request()) is None


# --- Downward: a 1.6-J Charge Point, its messages and its answers ---


@pytest.mark.parametrize("word", ["Preparing", "Charging", "SuspendedEV", "SuspendedEVSE", "Finishing"])
def test_what_1_6_tells_apart_is_occupied(word: str) -> None:
    assert down("StatusNotificationRequest", status(word)) == (status("Occupied"), {"status": LossReason.COLLAPSED})


@pytest.mark.parametrize("code", ["InternalError", "LocalListConflict", "OverVoltage"])
def test_errors_that_1_5_has_no_word_for(code: str) -> None:
    assert down("StatusNotificationRequest", status("Faulted", error=code)) == (
        status("Faulted", error="OtherError"),
        {"errorCode": LossReason.COLLAPSED},
    )


@pytest.mark.parametrize("word", FirmwareStatus)
def test_firmware_statuses(word: FirmwareStatus) -> None:
    given = OCPP15.instead("FirmwareStatusNotification", FirmwareStatusNotificationRequest(status=word))
    if word in ("Downloaded", "DownloadFailed", "InstallationFailed", "Installed"):
        assert given is None
        assert down("FirmwareStatusNotificationRequest", {"status": word.value}) == ({"status": word.value}, {})
        return
    assert given is not None and given.answer == messages.FirmwareStatusNotificationResponse()
    with pytest.raises(MessageError, match=r"status: .* cannot be said") as caught:
        down("FirmwareStatusNotificationRequest", {"status": word.value})
    assert caught.value.code is ErrorCode.NotSupported


@pytest.mark.parametrize("word", DiagnosticsStatus)
def test_diagnostics_statuses(word: DiagnosticsStatus) -> None:
    given = OCPP15.instead("DiagnosticsStatusNotification", DiagnosticsStatusNotificationRequest(status=word))
    assert (given is None) is (word in ("Uploaded", "UploadFailed"))
    if given is not None:
        assert given.answer == messages.DiagnosticsStatusNotificationResponse()


def sampled(*samples: dict[str, str]) -> dict[str, Any]:
    return {"connectorId": 1, "meterValue": ({"timestamp": NOON, "sampledValue": samples},)}


@pytest.mark.parametrize(
    ("sample", "becomes", "lost"),
    [
        pytest.param({"value": "1"}, {"#text": "1"}, {}, id="defaults stay away"),
        pytest.param({"value": "1", "unit": "A"}, {"#text": "1", "unit": "Amp"}, {}, id="ampere"),
        pytest.param({"value": "1", "unit": "V"}, {"#text": "1", "unit": "Volt"}, {}, id="volt"),
        pytest.param(
            {"value": "1", "measurand": "Voltage", "phase": "L1-N", "unit": "V"},
            {"#text": "1", "measurand": "Voltage", "unit": "Volt"},
            {"phase": LossReason.NOT_IN_VERSION},
            id="phase",
        ),
        pytest.param(
            {"value": "1", "context": "Trigger"}, {"#text": "1"}, {"context": LossReason.NOT_IN_VERSION}, id="context"
        ),
        pytest.param(
            {"value": "1", "unit": "Celcius"},
            {"#text": "1", "unit": "Celsius"},
            {"unit": LossReason.RESPELLED_UNIT},
            id="Celcius",
        ),
        *(
            pytest.param({"value": "1", name: word}, None, {name: LossReason.DROPPED_READING}, id=word)
            for name, words in {
                "measurand": ("Current.Offered", "Frequency", "Power.Factor", "Power.Offered", "RPM", "SoC"),
                "location": ("Cable", "EV"),
                "unit": ("Fahrenheit", "K", "VA", "kVA", "Percent"),
            }.items()
            for word in words
        ),
    ],
)
def test_sampled_values_downward(sample: dict[str, str], becomes: dict[str, str] | None, lost: Losses) -> None:
    kept = {"#text": "0"}
    downgraded, losses = down("MeterValuesRequest", sampled(sample, {"value": "0"}))
    values = [kept] if becomes is None else [becomes, kept]
    assert downgraded == {"connectorId": 1, "values": [{"timestamp": NOON, "value": values}]}
    assert losses == {f"meterValue[0].sampledValue[0].{name}": reason for name, reason in lost.items()}


def test_the_words_of_1_5_are_those_of_its_wsdl() -> None:
    (values,) = (
        item.type
        for item in _fields(service("1.5", Party.CHARGE_POINT).operations["MeterValues"].request.type)
        if item.name == "values"
    )
    (value,) = (item.type for item in _fields(values) if item.name == "value")
    assert isinstance(value, ComplexType)
    words = {attribute.name: {*attribute.type.enumeration} for attribute in value.attributes}
    renamed = {"Amp": "A", "Volt": "V"}
    assert {renamed.get(unit, unit) for unit in words["unit"]} == READINGS_OF_15["unit"]
    assert words["measurand"] == READINGS_OF_15["measurand"]
    assert words["location"] == READINGS_OF_15["location"]
    assert words["context"] == CONTEXTS_OF_15


def _fields(kind: Any) -> Any:
    assert isinstance(kind, ComplexType)
    return kind.elements


def test_meter_values_of_which_nothing_is_left_are_swallowed() -> None:
    soc = sampled({"value": "80", "measurand": "SoC", "unit": "Percent"})
    given = OCPP15.instead("MeterValues", record_of(soc, MeterValuesRequest))
    assert given is not None and given.answer == MeterValuesResponse()
    both = sampled({"value": "80", "measurand": "SoC"}, {"value": "1"})
    assert OCPP15.instead("MeterValues", record_of(both, MeterValuesRequest)) is None


def test_transaction_data_is_put_into_one_group() -> None:
    stop = {"transactionId": 1, "timestamp": NOON, "meterStop": 5}
    assert down("StopTransactionRequest", {**stop, "reason": "Local", "transactionData": (READING_16, READING_16)}) == (
        {**stop, "transactionData": [{"values": [READING, READING]}]},
        {"reason": LossReason.NOT_IN_VERSION},
    )
    soc = {"timestamp": NOON, "sampledValue": [{"value": "80", "measurand": "SoC"}]}
    assert down("StopTransactionRequest", {**stop, "transactionData": (soc,)}) == (
        stop,
        {"transactionData[0].sampledValue[0].measurand": LossReason.DROPPED_READING},
    )
    assert down("StopTransactionRequest", {**stop, "transactionData": ()}) == (
        stop,
        {"transactionData": LossReason.EMPTY_LIST},
    )


def test_answers_to_commands_downward() -> None:
    collapsed = {"status": LossReason.COLLAPSED}
    assert down("ChangeConfigurationResponse", {"status": "RebootRequired"}) == ({"status": "Accepted"}, collapsed)
    assert down("UnlockConnectorResponse", {"status": "NotSupported"}) == ({"status": "Rejected"}, collapsed)


def test_a_signed_value_is_never_dropped() -> None:
    signed = {"value": "AB", "format": "SignedData", "measurand": "SoC", "unit": "Percent", "context": "Trigger"}
    reading = {"timestamp": NOON, "sampledValue": [signed]}
    downgraded, losses = down("MeterValuesRequest", {"connectorId": 1, "meterValue": [reading]})
    assert downgraded["values"] == [{"timestamp": NOON, "value": [{"#text": "AB", "format": "SignedData"}]}]
    assert set(losses.values()) == {LossReason.NOT_IN_VERSION}
