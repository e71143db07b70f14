"""Which error OCPP-J has for what (table 7), where it says it is, and that no input leads to any other exception."""

from __future__ import annotations

import json
import sys
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bridge.errors import ErrorCode, MessageError
from bridge.ocpp.actions import ACTIONS
from bridge.ocpp.losses import Loss, LossReason
from bridge.ocpp.validation import json_value, record_of, refuse_losses

PDUS = {pdu.__name__: pdu for action in ACTIONS.values() for pdu in (action.request, action.response)}

AUTHORIZE: dict[str, Any] = {"idTag": "04A2B3"}
SAMPLE = {"value": "230.10", "unit": "V"}
METER_VALUES: dict[str, Any] = {
    "connectorId": 1,
    "meterValue": [{"timestamp": "2024-02-29T12:00:00Z", "sampledValue": [SAMPLE]}],
}
PROFILE: dict[str, Any] = {
    "connectorId": 1,
    "csChargingProfiles": {
        "chargingProfileId": 1,
        "stackLevel": 0,
        "chargingProfilePurpose": "TxProfile",
        "chargingProfileKind": "Relative",
        "chargingSchedule": {
            "chargingRateUnit": "A",
            "chargingSchedulePeriod": [{"startPeriod": 0, "limit": Decimal("16.0")}],
        },
    },
}
LIMIT = ("csChargingProfiles", "chargingSchedule", "chargingSchedulePeriod", 0, "limit")
ABSENT = object()

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.decimals(-(10**20), 10**20, allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def changed(data: Any, path: tuple[str | int, ...], value: Any) -> Any:
    """A copy of `data` with `value` at `path`, or without it."""
    if not path:
        return value
    step, *rest = path
    copy = data.copy()
    inner = changed(copy[step] if rest else None, tuple(rest), value)
    if inner is ABSENT:
        del copy[step]
    else:
        copy[step] = inner
    return copy


def refused(pdu: str, data: Any) -> tuple[str, str]:
    """The code and the path with which `data` is refused."""
    with pytest.raises(MessageError) as caught:
        record_of(data, PDUS[pdu])
    assert caught.value.description.startswith(caught.value.path)
    return caught.value.code.value, caught.value.path


def test_the_examples_are_valid() -> None:
    examples: dict[str, dict[str, Any]] = {
        "AuthorizeRequest": AUTHORIZE,
        "MeterValuesRequest": METER_VALUES,
        "SetChargingProfileRequest": PROFILE,
    }
    for pdu, data in examples.items():
        record_of(data, PDUS[pdu])


# --- OCPP-J 1.6 table 7 ---


@pytest.mark.parametrize(
    ("pdu", "data", "path", "value", "code", "says"),
    [
        # A field that must be there, at every depth.
        ("AuthorizeRequest", AUTHORIZE, ("idTag",), ABSENT, "ProtocolError", "idTag"),
        ("MeterValuesRequest", METER_VALUES, ("meterValue",), ABSENT, "ProtocolError", "meterValue"),
        (
            "MeterValuesRequest",
            METER_VALUES,
            ("meterValue", 0, "sampledValue", 0, "value"),
            ABSENT,
            "ProtocolError",
            "meterValue[0].sampledValue[0].value",
        ),
        # A field that the PDU does not have.
        ("AuthorizeRequest", AUTHORIZE, ("idtag",), "1", "FormationViolation", ""),
        (
            "MeterValuesRequest",
            METER_VALUES,
            ("meterValue", 0, "extra"),
            1,
            "FormationViolation",
            "meterValue[0]",
        ),
        # Too few of them.
        ("MeterValuesRequest", METER_VALUES, ("meterValue",), [], "OccurenceConstraintViolation", "meterValue"),
        (
            "MeterValuesRequest",
            METER_VALUES,
            ("meterValue", 0, "sampledValue"),
            [],
            "OccurenceConstraintViolation",
            "meterValue[0].sampledValue",
        ),
        # Of another type.
        ("AuthorizeRequest", AUTHORIZE, ("idTag",), 5, "TypeConstraintViolation", "idTag"),
        ("AuthorizeRequest", AUTHORIZE, ("idTag",), None, "TypeConstraintViolation", "idTag"),
        ("AuthorizeRequest", AUTHORIZE, ("idTag",), {}, "TypeConstraintViolation", "idTag"),
        ("MeterValuesRequest", METER_VALUES, ("connectorId",), "1", "TypeConstraintViolation", "connectorId"),
        ("MeterValuesRequest", METER_VALUES, ("connectorId",), True, "TypeConstraintViolation", "connectorId"),
        ("MeterValuesRequest", METER_VALUES, ("transactionId",), "x", "TypeConstraintViolation", "transactionId"),
        ("MeterValuesRequest", METER_VALUES, ("meterValue",), {}, "TypeConstraintViolation", "meterValue"),
        ("MeterValuesRequest", METER_VALUES, ("meterValue", 0), [], "TypeConstraintViolation", "meterValue[0]"),
        (
            "MeterValuesRequest",
            METER_VALUES,
            ("meterValue", 0, "sampledValue", 0, "unit"),
            7,
            "TypeConstraintViolation",
            "meterValue[0].sampledValue[0].unit",
        ),
        (
            "SetChargingProfileRequest",
            PROFILE,
            LIMIT,
            "16.0",
            "TypeConstraintViolation",
            "csChargingProfiles.chargingSchedule.chargingSchedulePeriod[0].limit",
        ),
        # Of the right type, with a value that it cannot have.
        ("AuthorizeRequest", AUTHORIZE, ("idTag",), "1" * 21, "PropertyConstraintViolation", "idTag"),
        ("MeterValuesRequest", METER_VALUES, ("connectorId",), 2**31, "PropertyConstraintViolation", "connectorId"),
        ("MeterValuesRequest", METER_VALUES, ("connectorId",), -(2**70), "PropertyConstraintViolation", "connectorId"),
        (
            "MeterValuesRequest",
            METER_VALUES,
            ("meterValue", 0, "timestamp"),
            "yesterday",
            "PropertyConstraintViolation",
            "meterValue[0].timestamp",
        ),
        (
            "MeterValuesRequest",
            METER_VALUES,
            ("meterValue", 0, "sampledValue", 0, "unit"),
            "Volt",
            "PropertyConstraintViolation",
            "meterValue[0].sampledValue[0].unit",
        ),
        # One that is said of the record, because that is what checks it.
        (
            "SetChargingProfileRequest",
            PROFILE,
            LIMIT,
            Decimal("16.05"),
            "PropertyConstraintViolation",
            "csChargingProfiles.chargingSchedule.chargingSchedulePeriod[0]",
        ),
    ],
)
def test_what_is_wrong_and_where(
    pdu: str, data: Any, path: tuple[str | int, ...], value: Any, code: str, says: str
) -> None:
    assert refused(pdu, changed(data, path, value)) == (code, says)


def test_the_sentence_is_for_a_person() -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({}, "currentTime: required, and missing"),
        ({"currentTime": "12:00"}, "currentTime: not a point in time (ISO 8601, with a zone)"),
        ({"currentTime": 1}, "currentTime: Expected `str`, got `int`"),
    ]
    for data, sentence in cases:
        with pytest.raises(MessageError) as caught:
            record_of(data, PDUS["HeartbeatResponse"])
        assert caught.value.description == sentence


@given(st.sampled_from([*PDUS]), st.dictionaries(st.text(), json_values, max_size=4))
@example("HeartbeatRequest", {"` - at `$.x`": 1})
@example("HeartbeatRequest", {"a\nb": 1})
def test_any_data_is_a_record_or_a_message_error(pdu: str, data: dict[str, Any]) -> None:
    try:
        record_of(data, PDUS[pdu])
    except MessageError as error:
        assert error.code in ErrorCode


# --- Strict ---


def test_the_first_loss_is_refused() -> None:
    losses = (
        Loss(message="HeartbeatResponse", path="currentTime", reason=LossReason.ASSUMED_ZONE),
        Loss(message="HeartbeatResponse", path="extra", reason=LossReason.UNKNOWN_FIELD),
    )
    with pytest.raises(MessageError, match=r"currentTime: .*UTC.*strict") as caught:
        refuse_losses(losses)
    assert (caught.value.code, caught.value.path) == (ErrorCode.PropertyConstraintViolation, "currentTime")


def test_without_a_loss_nothing_is_refused() -> None:
    refuse_losses(())


def test_a_loss_is_one_line() -> None:
    loss = Loss(message="HeartbeatResponse", path="currentTime", reason=LossReason.ASSUMED_ZONE)
    assert str(loss) == f"HeartbeatResponse.currentTime: {LossReason.ASSUMED_ZONE.value}"


# --- JSON of any kind ---


@given(json_values)
@example({"a": [{"b": Decimal("1.50")}]})
def test_any_json_value_with_the_digits_it_was_written_with(value: Any) -> None:
    source = as_json(value)
    read = json_value(source)
    assert read == json.loads(source, parse_float=Decimal)
    assert as_json(read) == source


def as_json(value: Any) -> str:
    """Its JSON source, decimals with their digits."""
    return msgspec.json.Encoder(decimal_format="number").encode(value).decode()


@given(st.text() | st.binary())
def test_any_text_is_a_value_or_a_message_error(source: str | bytes) -> None:
    try:
        json_value(source)
    except MessageError as error:
        assert error.code in (ErrorCode.FormationViolation, ErrorCode.PropertyConstraintViolation)


@pytest.mark.parametrize(
    "number",
    ["1e1000", "-1e1000", "1e-1000", "0e1000", "1e99999999999999999999", "1e-99999999999999999999", "1" + "0" * 5000],
)
def test_a_number_that_nobody_means(number: str) -> None:
    for source in (number, f'{{"a":[{number}]}}'):
        with pytest.raises(MessageError) as caught:
            json_value(source)
        assert caught.value.code is ErrorCode.PropertyConstraintViolation


def test_what_is_nested_as_deep_as_allowed_can_be_written_again() -> None:
    deep: Any = json_value("[" * 100 + "]" * 100)
    assert as_json(deep) == "[" * 100 + "]" * 100


@pytest.mark.parametrize("depth", [*range(101, sys.getrecursionlimit() + 50, 37), 100_000])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_what_is_nested_deeper_is_refused(depth: int, opening: str, closing: str) -> None:
    with pytest.raises(MessageError) as caught:
        json_value(opening * depth + "1" + closing * depth)
    assert caught.value.code is ErrorCode.FormationViolation
