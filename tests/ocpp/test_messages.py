"""Each of the 56 PDUs, held to the WSDL and to the official JSON schema, field by field.

A difference is a place, what differs there, and both sides of it. The only ones allowed are listed here by name, and
each test asks for equality: one that is not needed any more is an error too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import ocpp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.inspect import (
    BoolType,
    DecimalType,
    EnumType,
    Field,
    IntType,
    NoneType,
    StrType,
    StructType,
    Type,
    UnionType,
    VarTupleType,
    type_info,
)

from bridge.ocpp.actions import ACTIONS, Party
from bridge.ocpp.types import Timestamp
from bridge.ocpps import wsdl
from tests.ocpp.strategies import payloads

SCHEMAS = Path(ocpp.__file__).parent / "v16" / "schemas"
PDUS = {pdu.__name__: pdu for action in ACTIONS.values() for pdu in (action.request, action.response)}
INT32 = (-(2**31), 2**31 - 1)

# (place, what) -> (in our record, in the other description)
Differences = dict[tuple[str, str], tuple[Any, Any]]

_JSON_ONLY = ("Celcius",)
_UNITS = (
    *("Celsius", "Fahrenheit", "Wh", "kWh", "varh", "kvarh", "W", "kW", "VA", "kVA", "var", "kvar", "A", "V", "K"),
    "Percent",
)

# A Central System may count beyond 32 bits (rule 61).
_WIDE = ((None, None), INT32)
FROM_THE_WSDL: Differences = {
    ("ChargingProfile.transactionId", "range"): _WIDE,
    ("MeterValuesRequest.transactionId", "range"): _WIDE,
    ("RemoteStopTransactionRequest.transactionId", "range"): _WIDE,
    ("StartTransactionResponse.transactionId", "range"): _WIDE,
    ("StopTransactionRequest.transactionId", "range"): _WIDE,
    # The schema requires it, and a message without a reading says nothing.
    ("MeterValuesRequest.meterValue", "occurs"): (1, 0),
    # The schemas' misspelling (JSON_ONLY_UNITS).
    ("SampledValue.unit", "enumeration"): ((*_UNITS, *_JSON_ONLY), _UNITS),
}

# xs:sequence cannot be empty where the WSDL asks for one, so an empty array has no SOAP form (rule 62).
_NOT_EMPTY = (1, 0)
_PERIODS = "chargingSchedule.chargingSchedulePeriod"
FROM_THE_SCHEMA: Differences = {
    (f"GetCompositeScheduleResponse.{_PERIODS}", "items"): _NOT_EMPTY,
    (f"RemoteStartTransactionRequest.chargingProfile.{_PERIODS}", "items"): _NOT_EMPTY,
    (f"SetChargingProfileRequest.csChargingProfiles.{_PERIODS}", "items"): _NOT_EMPTY,
    ("StopTransactionRequest.transactionData.sampledValue", "items"): _NOT_EMPTY,
    # The `ocpp` package added Hertz to MeterValues only. OCPP 1.6 has no word for the unit of a Frequency (7.31).
    ("MeterValuesRequest.meterValue.sampledValue.unit", "enumeration"): (
        {*_UNITS, *_JSON_ONLY},
        {*_UNITS, *_JSON_ONLY, "Hertz"},
    ),
}


# --- A record, as msgspec sees it ---


def fields(record: type[Struct]) -> dict[str, Field]:
    info = type_info(record)
    assert isinstance(info, StructType)
    assert info.forbid_unknown_fields
    assert all(field.name == field.encode_name for field in info.fields)
    return {field.name: field for field in info.fields}


def present(field: Field) -> Type:
    """The field's type when it is there. Optional is: may be None, and is None unless given."""
    if not isinstance(field.type, UnionType):
        assert field.required
        return field.type
    inner = [option for option in field.type.types if not isinstance(option, NoneType)]
    assert len(inner) == 1
    assert len(field.type.types) == 2
    assert field.default is None
    return inner[0]


def item(type_: Type) -> Type:
    return type_.item_type if isinstance(type_, VarTupleType) else type_


def items(type_: Type) -> int | None:
    """How many items a list needs; None if it is not a list."""
    if not isinstance(type_, VarTupleType):
        return None
    assert type_.max_length is None
    return type_.min_length or 0


def kind(type_: Type) -> str:
    """A scalar's kind, in the words of XML Schema."""
    match type_:
        case StrType() if type_ == type_info(Timestamp):
            return "dateTime"
        case StrType(pattern=None) | EnumType():
            return "string"
        case IntType():
            return "int"
        case DecimalType():
            return "decimal"
        case BoolType():
            return "boolean"
    raise AssertionError(type_)


def values(type_: Type) -> tuple[str, ...]:
    return tuple(member.value for member in type_.cls) if isinstance(type_, EnumType) else ()


def longest(type_: Type) -> int | None:
    return type_.max_length if isinstance(type_, StrType) else None


def differing(place: str, **sides: tuple[Any, Any]) -> Iterator[tuple[tuple[str, str], tuple[Any, Any]]]:
    for what, (ours, theirs) in sides.items():
        if ours != theirs:
            yield (place, what), (ours, theirs)


# --- Against the WSDL. Places are named after the record, which the WSDL has as a type of the same name ---


def from_the_wsdl(record: type[Struct], described: wsdl.ComplexType) -> Differences:
    ours = fields(record)
    found = dict(
        differing(
            record.__name__,
            name=(record.__name__, described.name),
            fields=([*ours], [element.name for element in described.elements]),
        )
    )
    for element in described.elements:
        found |= from_the_element(f"{record.__name__}.{element.name}", ours[element.name], element)
    return found


def from_the_element(place: str, field: Field, element: wsdl.Element) -> Differences:
    type_ = present(field)
    assert element.max_occurs in (1, None)
    # A list has as many elements as items: an optional one has none when it is absent.
    fewest = (items(type_) if isinstance(type_, VarTupleType) else 1) if field.required else 0
    found = dict(
        differing(
            place,
            occurs=(fewest, element.min_occurs),
            many=(isinstance(type_, VarTupleType), element.is_list),
        )
    )
    inner = item(type_)
    if isinstance(element.type, wsdl.ComplexType):
        assert isinstance(inner, StructType)
        return found | from_the_wsdl(inner.cls, element.type)
    return found | from_the_simple_type(place, inner, element.type)


def from_the_simple_type(place: str, type_: Type, described: wsdl.SimpleType) -> Differences:
    name = (type_.cls.__name__, described.name) if isinstance(type_, EnumType) else (None, None)
    return dict(
        differing(
            place,
            # JSON and the model have no type for addresses.
            kind=(kind(type_), "string" if described.base == "anyURI" else described.base),
            enumeration=(values(type_), described.enumeration),
            name=name,
            length=(longest(type_), described.max_length),
            range=((type_.ge, type_.le), INT32) if isinstance(type_, IntType) else (None, None),
            digits=(1 if isinstance(type_, DecimalType) else None, described.fraction_digits),
        )
    )


def in_the_wsdls(pdu: str) -> list[wsdl.ComplexType]:
    """The type of that name in both services: DataTransfer's is in each."""
    found = [
        element.type
        for party in Party
        for operation in service(party).operations.values()
        for element in (operation.request, operation.response)
        if isinstance(element.type, wsdl.ComplexType) and element.type.name == pdu
    ]
    assert len(found) == (2 if pdu.startswith("DataTransfer") else 1)
    return found


def service(called_by: Party) -> wsdl.Service:
    name = {Party.CHARGE_POINT: "CentralSystemService", Party.CENTRAL_SYSTEM: "ChargePointService"}[called_by]
    return wsdl.load(wsdl.default_folder() / "ocpp16" / f"{name}.wsdl")


@pytest.mark.parametrize("pdu", PDUS)
def test_a_pdu_is_as_in_the_wsdl(pdu: str) -> None:
    for described in in_the_wsdls(pdu):
        places = {*records(PDUS[pdu])}
        allowed = {key: sides for key, sides in FROM_THE_WSDL.items() if key[0].partition(".")[0] in places}
        assert from_the_wsdl(PDUS[pdu], described) == allowed


def records(record: type[Struct]) -> Iterator[str]:
    """The names of a record and of all records inside it."""
    yield record.__name__
    for field in fields(record).values():
        inner = item(present(field))
        if isinstance(inner, StructType):
            yield from records(inner.cls)


def test_the_exceptions_from_the_wsdl_are_of_records_that_exist() -> None:
    existing = {name for pdu in PDUS.values() for name in records(pdu)}
    assert {key[0].partition(".")[0] for key in FROM_THE_WSDL} <= existing


# --- Against the JSON schema. Records inside have no names there: places are paths from the PDU ---


def from_the_schema(place: str, record: type[Struct], schema: Mapping[str, Any]) -> Differences:
    ours, properties = fields(record), schema["properties"]
    assert schema["type"] == "object"
    found = dict(
        differing(
            place,
            fields=({*ours}, {*properties}),
            required=({name for name, field in ours.items() if field.required}, {*schema.get("required", [])}),
            closed=(True, schema.get("additionalProperties") is False),
        )
    )
    for name in ours.keys() & properties.keys():
        found |= from_the_property(f"{place}.{name}", present(ours[name]), properties[name])
    return found


def from_the_property(place: str, type_: Type, schema: Mapping[str, Any]) -> Differences:
    listed = schema["type"] == "array"
    found = dict(differing(place, items=(items(type_), schema.get("minItems", 0) if listed else None)))
    assert "maxItems" not in schema
    inner, described = item(type_), schema["items"] if listed else schema
    if isinstance(inner, StructType):
        return found | from_the_schema(place, inner.cls, described)
    theirs, digits = KINDS[described["type"], described.get("format")], described.get("multipleOf")
    return found | dict(
        differing(
            place,
            kind=(kind(inner), theirs),
            enumeration=({*values(inner)}, {*described.get("enum", [])}),
            length=(longest(inner), described.get("maxLength")),
            digits=(0.1 if isinstance(inner, DecimalType) else None, digits),
            unknown=(set(), described.keys() - KEYWORDS),
        )
    )


KINDS = {
    ("string", None): "string",
    ("string", "uri"): "string",
    ("string", "date-time"): "dateTime",
    ("integer", None): "int",
    ("number", None): "decimal",
    ("boolean", None): "boolean",
}
# additionalProperties beside a string says nothing, but the official schemas have it.
KEYWORDS = {"type", "format", "enum", "maxLength", "multipleOf", "additionalProperties"}


@pytest.mark.parametrize("pdu", PDUS)
def test_a_pdu_is_as_in_the_schema(pdu: str) -> None:
    schema = json.loads((SCHEMAS / f"{pdu.removesuffix('Request')}.json").read_text("utf-8"))
    assert schema["title"] == pdu
    allowed = {key: sides for key, sides in FROM_THE_SCHEMA.items() if key[0].partition(".")[0] == pdu}
    assert from_the_schema(pdu, PDUS[pdu], schema) == allowed


def test_the_exceptions_from_the_schema_are_of_pdus_that_exist() -> None:
    assert {key[0].partition(".")[0] for key in FROM_THE_SCHEMA} <= PDUS.keys()


# --- What the strategies make of the records, on which the codecs' tests stand ---


@pytest.mark.parametrize("pdu", PDUS)
@settings(max_examples=20)
@given(data=st.data())
def test_generated_pdus_are_valid(pdu: str, data: st.DataObject) -> None:
    full = data.draw(st.sampled_from([True, False, None]))
    wider = data.draw(st.booleans())
    payload = data.draw(
        payloads(PDUS[pdu], full=full, soap=not wider, empty_lists=wider, empty_texts=wider, wide_ids=wider)
    )
    # The constructor takes anything; decoding does not.
    plain = msgspec.to_builtins(payload, builtin_types=(Decimal,))
    assert msgspec.convert(plain, PDUS[pdu]) == payload
    if full is not None:
        given_fields = {name for name in fields(PDUS[pdu]) if getattr(payload, name) is not None}
        assert given_fields == {name for name, field in fields(PDUS[pdu]).items() if full or field.required}
