"""A valid message with one optional part spoilt, on either wire: all the rest arrives, at the cost of one kind of Loss.

Of a Central System's request nothing is dropped that says something, and a strict route takes no spoilt request at all.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from lxml import etree

from bridge.errors import MessageError
from bridge.ocpp.actions import Party
from bridge.ocpp.losses import LossReason
from bridge.ocpp.rpc import Call, CallResult
from bridge.ocpp.shapes import Field, Kind, Shape, plain, shape_of
from bridge.ocpp.tolerance import absence_matters, nothing_left
from bridge.ocpp.validation import record_of
from bridge.ocppj import codec as json_codec
from bridge.ocppj.codec import CallFrame, ResultFrame
from tests.ocpp.strategies import payloads
from tests.ocpps.wire import PDUS, Pdu

Step = str | int
Place = tuple[tuple[Step, ...], Shape, Field]
QUALIFIERS = ("measurand", "unit", "phase", "location", "format")


# --- The two wires ---


def by_json(chosen: Pdu, data: Any, strict: bool) -> Call | CallResult:
    encoded = msgspec.json.Encoder(decimal_format="number").encode(data).decode()
    if chosen.is_request:
        frame = json_codec.read_frame(f'[2,"1","{chosen.action}",{encoded}]')
        assert isinstance(frame, CallFrame)
        sender = Party.CENTRAL_SYSTEM if is_command(chosen) else Party.CHARGE_POINT
        return json_codec.decode_call(frame, sender, strict=strict)
    answer = json_codec.read_frame(f'[3,"1",{encoded}]')
    assert isinstance(answer, ResultFrame)
    return json_codec.decode_result(answer, chosen.action, strict=strict)


def by_soap(chosen: Pdu, data: Any, strict: bool) -> Call | CallResult:
    root = etree.Element(f"{{{chosen.namespace}}}{chosen.element.name}")
    _fill(root, data, shape_of(chosen.record), chosen.namespace)
    read: Call | CallResult = chosen.read(root, strict=strict)
    return read


def _fill(node: etree._Element, data: Any, shape: Shape, namespace: str) -> None:
    for name in shape.fields:
        value = data.get(name)
        for item in value if isinstance(value, list) else [] if value is None else [value]:
            child = etree.SubElement(node, f"{{{namespace}}}{name}")
            inner = shape.fields[name].shape
            if inner is not None and isinstance(item, dict):
                _fill(child, item, inner, namespace)
            elif item != {}:
                child.text = str(item).lower() if isinstance(item, bool) else str(item)


WIRES: dict[str, Callable[[Pdu, Any, bool], Call | CallResult]] = {"json": by_json, "soap": by_soap}
both_wires = pytest.mark.parametrize("wire", WIRES)


def is_command(chosen: Pdu) -> bool:
    return chosen.is_request and chosen.service == "ChargePointService"


# --- What is spoilt ---


def lists(data: Any) -> Any:
    """Plain data that may be changed."""
    match data:
        case dict():
            return {name: lists(value) for name, value in data.items()}
        case list() | tuple():
            return [lists(value) for value in data]
    return data


def optional_places(data: Any, shape: Shape, path: tuple[Step, ...] = ()) -> Iterator[Place]:
    """Where something stands that could be left out."""
    for name, value in data.items():
        field = shape.fields[name]
        if not field.required and not field.many:
            yield (*path, name), shape, field
        if field.shape is not None:
            items = [((*path, name), value)] if isinstance(value, dict) else []
            items += [((*path, name, at), item) for at, item in enumerate(value)] if isinstance(value, list) else []
            for inner, item in items:
                yield from optional_places(item, field.shape, inner)


def put(data: Any, path: tuple[Step, ...], value: Any) -> None:
    for step in path[:-1]:
        data = data[step]
    data[path[-1]] = value


def without(data: Any, path: tuple[Step, ...]) -> None:
    for step in path[:-1]:
        data = data[step]
    del data[path[-1]]


def at(data: Any, path: tuple[Step, ...]) -> Any:
    for step in path:
        data = data[step]
    return data


def spelled(path: tuple[Step, ...]) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".")


def nothings(field: Field, wire: str) -> list[Any]:
    """What says nothing in the place of `field`."""
    if wire == "soap":
        return [{}] if field.shape is not None else [""]
    return ["", None, {}, []]


def nonsense(field: Field, wire: str) -> list[Any]:
    """What cannot be read in the place of `field`."""
    everywhere = {
        Kind.ENUMERATION: ["Furlong"],
        Kind.INTEGER: ["many", str(2**70)],
        Kind.DECIMAL: ["much", "1e13"],
        Kind.BOOLEAN: ["maybe"],
        Kind.TIMESTAMP: ["soon"],
    }
    in_json: dict[Kind, list[Any]] = {
        Kind.ENUMERATION: [7],
        Kind.INTEGER: [True, 2**70],
        Kind.DECIMAL: [True, [1, 2]],
        Kind.TIMESTAMP: [1709208000],
        Kind.TEXT: [["a", "b"]],
    }
    if field.kind is None:
        return ["text"] if wire == "json" else []
    if field.kind is Kind.INTEGER and not field.is_narrow:
        in_json[Kind.INTEGER] = [True]  # JSON's integer has no bounds, and so has no transactionId
    return everywhere.get(field.kind, []) + (in_json.get(field.kind, []) if wire == "json" else [])


Ways = Callable[[Field, str], list[Any]]


def draw_place(chosen: Pdu, transports: Ways, wire: str, draw: st.DataObject) -> tuple[Any, Place]:
    data = lists(plain(draw.draw(payloads(chosen.record, full=True))))
    places = [place for place in optional_places(data, shape_of(chosen.record)) if _can(transports, wire, *place[1:])]
    assume(places)  # of a list without an item there are none
    return data, draw.draw(st.sampled_from(places))


def _can(transports: Ways, wire: str, shape: Shape, field: Field) -> bool:
    # A setting that is set to nothing is not the same as one that is not set.
    meant = transports is nothings and (shape.name, field.name) == ("KeyValue", "value")
    return not field.required and not field.many and not meant and bool(transports(field, wire))


def spoilable(transports: Ways) -> pytest.MarkDecorator:
    """The PDUs, and on which wire each, that have a part which can be spoilt in these ways."""
    cases = [
        (wire, chosen) for wire in WIRES for chosen in PDUS if _has_place(transports, wire, shape_of(chosen.record))
    ]
    return pytest.mark.parametrize(("wire", "chosen"), cases, ids=str)


def _has_place(transports: Ways, wire: str, shape: Shape) -> bool:
    return any(
        _can(transports, wire, shape, field) or (field.shape is not None and _has_place(transports, wire, field.shape))
        for field in shape.fields.values()
    )


def same(read: Call | CallResult, chosen: Pdu, expected: Any) -> bool:
    return plain(read.payload) == plain(record_of(expected, chosen.record))


# --- ... and what arrives ---


@spoilable(nothings)
@settings(max_examples=15)
@given(draw=st.data())
def test_what_says_nothing_is_absent(wire: str, chosen: Pdu, draw: st.DataObject) -> None:
    data, (path, _, field) = draw_place(chosen, nothings, wire, draw)
    nothing = draw.draw(st.sampled_from(nothings(field, wire)))
    spoilt = copy.deepcopy(data)
    put(spoilt, path, nothing)
    if chosen.is_request:
        with pytest.raises(MessageError):
            WIRES[wire](chosen, spoilt, True)
    if is_command(chosen) and absence_matters(chosen.record.__name__):
        with pytest.raises(MessageError, match="empty") as caught:
            WIRES[wire](chosen, spoilt, False)
        assert (caught.value.code.value, caught.value.path) == ("PropertyConstraintViolation", spelled(path))
        return
    read = WIRES[wire](chosen, spoilt, False)
    without(data, path)
    assert same(read, chosen, data)
    assert [(loss.path, loss.reason) for loss in read.losses] == [(spelled(path), LossReason.EMPTY_OPTIONAL)]


@spoilable(nonsense)
@settings(max_examples=15)
@given(draw=st.data())
def test_what_cannot_be_read_is_dropped_and_nothing_around_it(wire: str, chosen: Pdu, draw: st.DataObject) -> None:
    data, (path, shape, field) = draw_place(chosen, nonsense, wire, draw)
    spoilt = copy.deepcopy(data)
    put(spoilt, path, draw.draw(st.sampled_from(nonsense(field, wire))))
    if chosen.is_request:
        with pytest.raises(MessageError):
            WIRES[wire](chosen, spoilt, True)
    if is_command(chosen):
        with pytest.raises(MessageError) as caught:
            WIRES[wire](chosen, spoilt, False)
        assert (caught.value.code.value, caught.value.path) == ("PropertyConstraintViolation", spelled(path))
        return
    read = WIRES[wire](chosen, spoilt, False)
    assert len({loss.reason for loss in read.losses} - {LossReason.NO_READINGS}) == 1
    if shape.name == "SampledValue":
        _qualify(data, path, field)
    elif (shape.name, field.name) == ("StopTransactionRequest", "reason"):
        data["reason"] = "Other"
    else:
        without(data, path)
    assert nothing_left(read.payload) or same(read, chosen, data)


def _qualify(data: Any, path: tuple[Step, ...], field: Field) -> None:
    """What becomes of a sampled value with a word that nobody knows."""
    sample = at(data, path[:-1])
    if sample.get("format") == "SignedData" and field.name != "format":
        without(data, path)
    elif field.name == "context":
        put(data, path, "Other")
    else:
        without(data, path[:-1])
        if not at(data, path[:-2]):
            without(data, path[:-3])
        if not data.get(str(path[0])):
            data.pop(str(path[0]), None)


READINGS = [chosen for chosen in PDUS if chosen.record.__name__ in ("MeterValuesRequest", "StopTransactionRequest")]


@both_wires
@pytest.mark.parametrize("chosen", READINGS, ids=str)
@given(draw=st.data())
def test_a_value_never_becomes_another_one(wire: str, chosen: Pdu, draw: st.DataObject) -> None:
    """Whatever is done to one sampled value, each that arrives was sent so."""
    data = lists(plain(draw.draw(payloads(chosen.record, full=True))))
    name = "meterValue" if "meterValue" in data else "transactionData"
    sent = [_meaning(sample) for group in data[name] for sample in group["sampledValue"]]
    group = draw.draw(st.sampled_from(data[name]))
    sample = draw.draw(st.sampled_from(group["sampledValue"]))
    part = draw.draw(st.sampled_from([key for key in sample if key != "value"]))
    way = draw.draw(st.sampled_from(["name", "case", "word", "moved", "factor"]))
    value = sample.pop(part)
    if way == "name" and wire == "json":
        sample[f"{part}s"] = value
    elif way == "case" and wire == "json":
        sample[part.upper()] = f" {value.lower()} "
    elif way == "word":
        sample[part] = f"{value}x"
    elif way == "moved" and wire == "json":
        sample["value"] = {"value": sample["value"], part: value}
    elif way == "factor" and wire == "json":
        sample |= {part: value, "multiplier": 3}
    else:
        sample[part] = value
    read = WIRES[wire](chosen, data, False)
    got = plain(read.payload).get(name) or []
    unsigned = [sample for group in got for sample in group["sampledValue"] if sample.get("format") != "SignedData"]
    for arrived in unsigned:
        meaning = _meaning(arrived)
        assert meaning in sent or (meaning[0], *meaning[2:]) in [(one[0], *one[2:]) for one in sent]


def _meaning(sample: Any) -> tuple[Any, ...]:
    return (sample["value"], sample.get("context"), *(sample.get(name) for name in QUALIFIERS))


def test_the_measure_sees_another_unit() -> None:
    assert _meaning({"value": "1", "unit": "W"}) != _meaning({"value": "1"})


# --- What may be written in another way ---


@pytest.mark.parametrize("chosen", PDUS, ids=str)
@settings(max_examples=15)
@given(draw=st.data())
def test_json_that_is_typed_otherwise_says_the_same(chosen: Pdu, draw: st.DataObject) -> None:
    """T2: numbers and truth values as text, numbers for texts, one item for a list."""
    record = draw.draw(payloads(chosen.record, full=True))
    data = lists(plain(record))
    loose = _loosened(data)
    read = by_json(chosen, loose, False)
    assert plain(read.payload) == plain(record)
    assert {loss.reason for loss in read.losses} <= {LossReason.CONVERTED}


def _loosened(data: Any) -> Any:
    match data:
        case dict():
            return {name: _loosened(value) for name, value in data.items()}
        case [dict() as item]:
            return _loosened(item)
        case list():
            return [*map(_loosened, data)]
        case bool():
            return str(data).lower()
        case int():
            return str(data)
        case Decimal():
            return str(data)
    return data


# --- Names in another letter case ---


def respelled(data: Any, respell: Callable[[str], str]) -> Any:
    match data:
        case dict():
            return {respell(name): respelled(value, respell) for name, value in data.items()}
        case list():
            return [respelled(item, respell) for item in data]
    return data


def by_soap_as_named(chosen: Pdu, data: Any, respell: Callable[[str], str], strict: bool) -> Call | CallResult:
    root = etree.Element(f"{{{chosen.namespace}}}{chosen.element.name}")
    _fill(root, data, shape_of(chosen.record), chosen.namespace)
    for node in root.iterdescendants():
        node.tag = f"{{{chosen.namespace}}}{respell(etree.QName(node).localname)}"
    read: Call | CallResult = chosen.read(root, strict=strict)
    return read


@both_wires
@pytest.mark.parametrize("chosen", [chosen for chosen in PDUS if chosen.record.__struct_fields__], ids=str)
@settings(max_examples=10)
@given(draw=st.data())
def test_names_in_another_letter_case_say_the_same(wire: str, chosen: Pdu, draw: st.DataObject) -> None:
    """In a Central System's request as well: without its connectorId a ClearChargingProfile clears every connector."""
    record = draw.draw(payloads(chosen.record, full=True))
    data = lists(plain(record))
    respell = draw.draw(st.sampled_from([str.upper, str.lower, str.capitalize, str.swapcase]))

    def read(strict: bool) -> Call | CallResult:
        if wire == "soap":
            return by_soap_as_named(chosen, data, respell, strict)
        return by_json(chosen, respelled(data, respell), strict)

    assume(any(respell(name) != name for name in data))
    assert plain(read(False).payload) == plain(record)
    assert {loss.reason for loss in read(False).losses} <= {
        LossReason.MISNAMED,
        LossReason.SIBLING_SHAPE,
        LossReason.MORE,
    }
    with pytest.raises(MessageError):
        read(True)
