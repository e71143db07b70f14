"""In slices, the same is read as at once, and no call is given more than a slice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw, Struct

from bridge.errors import ErrorCode, MessageError
from bridge.ocpp import slices
from bridge.ocpp.messages import (
    DataTransferRequest,
    GetConfigurationResponse,
    MeterValuesRequest,
    SendLocalListRequest,
    SetChargingProfileRequest,
    StopTransactionRequest,
)
from bridge.ocpp.validation import json_value, record_of
from tests.ocpp.strategies import payloads
from tests.ocpp.test_validation import METER_VALUES, PROFILE, SAMPLE, changed, json_values

NOW = "2026-01-01T00:00:00Z"
TINY, FEW = 24, 2
DECIMALS = (Decimal,)
# Records that may be long.
LONG: tuple[type[Struct], ...] = (
    *(DataTransferRequest, GetConfigurationResponse, MeterValuesRequest, SendLocalListRequest),
    *(SetChargingProfileRequest, StopTransactionRequest),
)


@pytest.fixture(scope="module", autouse=True)
def tiny() -> Iterator[None]:
    """Each slice is so small that small messages have several."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slices, "OCTETS", TINY)
        patch.setattr(slices, "PARTS", FEW)
        yield


def values(*samples: object) -> dict[str, object]:
    """The fields of a MeterValues with these sampled values."""
    return {"connectorId": 1, "meterValue": [{"timestamp": NOW, "sampledValue": [*samples]}] * 3}


def raw(data: object) -> Raw:
    return Raw(msgspec.json.encode(data))


@given(st.one_of(*[payloads(record) for record in LONG]))
def test_a_record_is_decoded_as_at_once(payload: Struct) -> None:
    text = Raw(msgspec.json.Encoder(decimal_format="number").encode(payload))
    assert slices.decode(text, type(payload)) == payload


@given(st.one_of(*[payloads(record) for record in LONG]))
def test_plain_data_is_converted_as_at_once(payload: Struct) -> None:
    data = msgspec.json.decode(msgspec.json.Encoder(decimal_format="number").encode(payload))
    try:
        at_once = msgspec.convert(data, type(payload), builtin_types=DECIMALS)
    except msgspec.ValidationError as error:
        with pytest.raises(msgspec.ValidationError) as caught:
            slices.convert(data, type(payload), DECIMALS)
        assert str(caught.value) == str(error)
    else:
        assert slices.convert(data, type(payload), DECIMALS) == at_once


@given(json_values)
def test_plain_data_is_decoded_as_at_once(data: Any) -> None:
    text = msgspec.json.Encoder(decimal_format="number").encode(data)
    at_once = msgspec.json.decode(text)
    assert slices.plain(text, msgspec.json.decode) == at_once
    assert slices.plain(b" \n" + text, msgspec.json.decode) == at_once
    assert slices.plain(text.decode(), msgspec.json.decode) == at_once
    assert slices.plain(Raw(text), msgspec.json.decode) == at_once


@pytest.mark.parametrize(
    ("record", "data"),
    [
        (MeterValuesRequest, METER_VALUES),
        (MeterValuesRequest, values(SAMPLE, SAMPLE, {**SAMPLE, "unit": "parsec"})),
        (MeterValuesRequest, values(SAMPLE, {"unit": "V"})),
        (MeterValuesRequest, values(*[SAMPLE] * 5, 7)),
        (MeterValuesRequest, values(*[SAMPLE] * 5, {**SAMPLE, "more": 1})),
        (MeterValuesRequest, {"meterValue": [7] * 30}),
        (MeterValuesRequest, {"connectorId": 1, "meterValue": "x" * 30}),
        (MeterValuesRequest, {"connectorId": 1, "meterValue": {"x" * 30: 1}}),
        (MeterValuesRequest, {**values(SAMPLE), "connectorId": "1"}),
        (MeterValuesRequest, {**values(SAMPLE), "m" * 30: 1}),
        (MeterValuesRequest, [SAMPLE] * 5),
        (MeterValuesRequest, "x" * 30),
        (SendLocalListRequest, {"listVersion": 1, "localAuthorizationList": [{"idTag": "x"}] * 9 + [{"idTag": 1}]}),
        (SetChargingProfileRequest, changed(PROFILE, ("csChargingProfiles", "chargingSchedule", "duration"), "x" * 9)),
        (SetChargingProfileRequest, changed(PROFILE, ("csChargingProfiles", "stackLevel"), "x")),
    ],
)
def test_an_error_is_that_of_the_whole(record: type[Struct], data: Any) -> None:
    """With the index of an item in its list, not in its slice."""
    text = raw(json.loads(json.dumps(data, default=float)))
    try:
        at_once = msgspec.json.decode(text, type=record)
    except msgspec.ValidationError as error:
        with pytest.raises(msgspec.ValidationError) as caught:
            slices.decode(text, record)
        assert str(caught.value) == str(error)
    else:
        assert slices.decode(text, record) == at_once


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("meterValue", 2, "sampledValue", 3, "unit"), "parsec"),
        (("meterValue", 1, "sampledValue", 3), 7),
        (("meterValue", 2, "timestamp"), "noon"),
        (("meterValue",), {}),
        (("connectorId",), "x"),
    ],
)
def test_an_error_in_plain_data_has_its_place(path: tuple[str | int, ...], value: object) -> None:
    data = changed(values(*[SAMPLE] * 4), path, value)
    with pytest.raises(msgspec.ValidationError) as at_once:
        msgspec.convert(data, MeterValuesRequest)
    with pytest.raises(MessageError) as caught:
        record_of(data, MeterValuesRequest)
    assert f"`$.{caught.value.path}`" in str(at_once.value)


def test_a_wrong_number_has_its_place() -> None:
    numbers = [[1.5] * 30, {"a": [1.5] * 30}]
    text = json.dumps(numbers).replace("1.5]", "1e9999]")
    with pytest.raises(MessageError) as caught:
        json_value(text)
    assert (caught.value.code, caught.value.path) == (ErrorCode.PropertyConstraintViolation, "[0][29]")
    with pytest.raises(MessageError) as caught:
        json_value(text.replace("1e9999]", "1.5]", 1))
    assert caught.value.path == "[1][...][29]"


@pytest.mark.parametrize("text", ['["x', "[1,", '{"a":[1,2}', '["\\x"]', "[1]x", '{"a" 1}'])
def test_what_is_not_json_is_told(text: str) -> None:
    with pytest.raises(MessageError, match="not JSON"):
        json_value(text.replace("x", "x" * 30))


def test_a_list_of_blanks_is_empty() -> None:
    text = Raw(b'{"connectorId":1,"meterValue":[%b]}' % (b" " * 50))
    with pytest.raises(msgspec.ValidationError, match="length >= 1"):
        slices.decode(text, MeterValuesRequest)


def test_a_check_of_a_record_is_made() -> None:
    """Which msgspec makes in `__post_init__`."""
    inside = ("csChargingProfiles", "chargingSchedule")
    data = changed(PROFILE, (*inside, "minChargingRate"), Decimal("0.05"))
    data = changed(data, (*inside, "chargingSchedulePeriod"), [{"startPeriod": 0, "limit": Decimal(1)}] * 5)
    with pytest.raises(msgspec.ValidationError) as at_once:
        msgspec.convert(data, SetChargingProfileRequest, builtin_types=DECIMALS)
    with pytest.raises(msgspec.ValidationError) as caught:
        slices.convert(data, SetChargingProfileRequest, DECIMALS)
    assert str(caught.value) == str(at_once.value)


def test_no_call_decodes_more_than_a_slice() -> None:
    given: list[bytes] = []

    def decode(text: bytes) -> Any:
        given.append(bytes(text))
        return msgspec.json.decode(text)

    data = {"a": [{"b": [1] * 50, "c": {"d": [2] * 50}}] * 5, "e": 3}
    assert slices.plain(raw(data), decode) == data
    assert max(map(len, given)) <= TINY + 1  # with the brackets, without the last comma


def test_what_is_freed_is_empty() -> None:
    long: list[object] = [[1, 2], {"a": 3}] * 50
    data = {"a": [{"b": long}], "c": 1}
    slices.free(data)
    assert data == {"a": [{"b": []}], "c": 1}
    slices.free("a text")
