"""Shapes: what is derived from the records, held against what the WSDLs say of the same fields."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from bridge.ocpp.actions import ACTIONS
from bridge.ocpp.messages import MeterValuesRequest, SetChargingProfileRequest
from bridge.ocpp.shapes import Field, Kind, Shape, plain, shape_of
from bridge.ocpp.validation import record_of
from bridge.ocpps import wsdl
from tests.ocpp.strategies import payloads

PDUS = {pdu.__name__: pdu for action in ACTIONS.values() for pdu in (action.request, action.response)}
SERVICES = [
    wsdl.load(wsdl.default_folder() / "ocpp16" / f"{name}.wsdl")
    for name in ("CentralSystemService", "ChargePointService")
]
KINDS = {"int": Kind.INTEGER, "decimal": Kind.DECIMAL, "boolean": Kind.BOOLEAN, "dateTime": Kind.TIMESTAMP}


def described(pdu: str) -> wsdl.ComplexType:
    """The type of that name in the first of our WSDLs that has it."""
    elements = (
        element
        for service in SERVICES
        for operation in service.operations.values()
        for element in (operation.request, operation.response)
    )
    return next(
        element.type for element in elements if isinstance(element.type, wsdl.ComplexType) and element.type.name == pdu
    )


def kind(described: wsdl.SimpleType) -> Kind:
    if described.enumeration:
        return Kind.ENUMERATION
    return KINDS.get(described.base) or (Kind.LONG_TEXT if described.max_length is None else Kind.TEXT)


def hold(shape: Shape, described: wsdl.ComplexType) -> None:
    """Each field of `shape` against the element of its name, all the way down."""
    assert shape.name == described.name
    assert [*shape.fields] == [element.name for element in described.elements]
    for element in described.elements:
        field = shape.fields[element.name]
        assert (field.name, field.many) == (element.name, element.is_list)
        if isinstance(element.type, wsdl.ComplexType):
            assert field.kind is None
            assert field.shape is not None
            hold(field.shape, element.type)
        else:
            assert field.shape is None
            assert field.kind is kind(element.type)


def fields(shape: Shape) -> Iterator[Field]:
    for field in shape.fields.values():
        yield field
        if field.shape is not None:
            yield from fields(field.shape)


@pytest.mark.parametrize("pdu", PDUS)
def test_a_shape_is_as_in_the_wsdl(pdu: str) -> None:
    hold(shape_of(PDUS[pdu]), described(pdu))


@pytest.mark.parametrize("pdu", PDUS)
def test_no_two_values_of_an_enumeration_are_spelled_alike(pdu: str) -> None:
    for field in fields(shape_of(PDUS[pdu])):
        assert bool(field.spellings) is (field.kind is Kind.ENUMERATION)
        assert all(lower == spelling.lower() for lower, spelling in field.spellings.items())


def test_spellings_are_all_values() -> None:
    units = shape_of(MeterValuesRequest).fields["meterValue"]
    assert units.shape is not None
    assert units.shape.fields["sampledValue"].shape is not None
    unit = units.shape.fields["sampledValue"].shape.fields["unit"]
    assert (unit.spellings["kwh"], unit.spellings["va"], unit.spellings["celcius"]) == ("kWh", "VA", "Celcius")
    # 16 of the WSDL and one that only JSON has.
    assert len(unit.spellings) == 17


@pytest.mark.parametrize(
    ("pdu", "optional"),
    [
        ("MeterValuesRequest", {"transactionId"}),
        ("StopTransactionRequest", {"idTag", "reason", "transactionData"}),
        ("GetConfigurationRequest", {"key"}),
        ("HeartbeatRequest", set()),
    ],
)
def test_what_may_be_absent(pdu: str, optional: set[str]) -> None:
    assert {name for name, field in shape_of(PDUS[pdu]).fields.items() if not field.required} == optional


# --- Records as plain data ---


def leaves(data: Any) -> Iterator[Any]:
    match data:
        case dict():
            for value in data.values():
                yield from leaves(value)
        case tuple():
            for value in data:
                yield from leaves(value)
        case _:
            yield data


@pytest.mark.parametrize("pdu", PDUS)
@settings(max_examples=25)
@given(data=st.data())
def test_plain_and_back(pdu: str, data: st.DataObject) -> None:
    record: Struct = data.draw(
        payloads(PDUS[pdu], soap=False, empty_lists=True, empty_texts=True, wide_ids=True), label="record"
    )
    made = plain(record)
    assert record_of(made, PDUS[pdu]) == record
    # Nothing of the model's own types is left, and what is absent is not there.
    assert {type(leaf) for leaf in leaves(made)} <= {str, int, bool, Decimal}


def test_plain_keeps_the_digits_of_a_decimal() -> None:
    period = {"startPeriod": 0, "limit": Decimal("16.0")}
    profile = {
        "chargingProfileId": 1,
        "stackLevel": 0,
        "chargingProfilePurpose": "TxProfile",
        "chargingProfileKind": "Relative",
        "chargingSchedule": {"chargingRateUnit": "A", "chargingSchedulePeriod": (period,)},
    }
    data = {"connectorId": 1, "csChargingProfiles": profile}
    made = plain(record_of(data, SetChargingProfileRequest))
    assert made == data
    assert str(made["csChargingProfiles"]["chargingSchedule"]["chargingSchedulePeriod"][0]["limit"]) == "16.0"
