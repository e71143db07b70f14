"""Envelopes that were found in the open: each is opened and read, or refused with a reason."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from msgspec import Struct

from bridge.errors import MessageError
from bridge.ocpp.losses import LossReason
from bridge.ocpp.rpc import Call, CallError, CallResult
from bridge.ocpp.shapes import plain
from bridge.ocpps import envelope
from bridge.ocpps.xml import local_name
from tests.ocpps.wire import CODECS, schema
from tests.reference import CORPUS, needs_corpus, needs_reference

pytestmark = needs_corpus

# Which service a message belongs to, and whether it is a Call.
DIRECTIONS = {
    "cp2cs-req": ("CentralSystemService", True),
    "cs2cp-resp": ("CentralSystemService", False),
    "cs2cp-req": ("ChargePointService", True),
    "cp2cs-resp": ("ChargePointService", False),
}


class Found(Struct, frozen=True):
    """A line of the corpus' index."""

    file: str
    version: str
    operation: str
    direction: str
    schema: str

    @property
    def data(self) -> bytes:
        return (CORPUS / self.file).read_bytes()

    @property
    def is_valid(self) -> bool:
        return self.schema == "valid"


def index() -> list[Found]:
    path = CORPUS / "INDEX.tsv"
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as lines:
        rows = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [Found(*(row[name] for name in Found.__struct_fields__)) for row in rows if row["file"].endswith(".xml")]


FOUND = index()
WELL_FORMED = [found for found in FOUND if found.schema != "unparsable"]
OF_1_6 = [found for found in WELL_FORMED if found.version == "1.6"]


def name(found: Found) -> str:
    return Path(found.file).stem


def read(found: Found, *, strict: bool = False) -> Call | CallResult | CallError:
    service, is_call = DIRECTIONS[found.direction]
    opened = envelope.read(found.data)
    if is_call:
        return CODECS[service].read_call(opened, "1", strict=strict)
    return CODECS[service].read_answer(opened, found.operation, "1", strict=strict)


# --- Another reading of the same bytes, that shares nothing with the codec ---


def leaves(element: ElementTree.Element, path: str = "") -> Iterator[tuple[str, Any]]:
    """The path and the value of every element inside that has a text and no elements."""
    for child in element:
        here = f"{path}/{child.tag.rpartition('}')[2]}"
        if len(child):
            yield from leaves(child, here)
        elif child.text:
            yield here, value(child.text)


def body_of(data: bytes) -> ElementTree.Element:
    (body,) = ElementTree.fromstring(data.strip()).iterfind("{*}Body")
    (message,) = body
    return message


def leaves_of_model(data: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    match data:
        case dict():
            for name, inner in data.items():
                yield from leaves_of_model(inner, f"{path}/{name}")
        case tuple():
            for inner in data:
                yield from leaves_of_model(inner, path)
        case bool():
            yield path, value(str(data).lower())
        case _:
            yield path, value(str(data))


def value(text: str) -> Any:
    """The text; as a point in time or a number if it is one."""
    for read_as in (lambda: datetime.fromisoformat(text.strip()).astimezone(UTC), lambda: Decimal(text.strip())):
        try:
            return read_as()
        except (ValueError, ArithmeticError):
            continue
    return text


def test_the_two_readings_are_compared_by_value() -> None:
    source = "<a><b><c> 5 </c></b><b><c>x</c></b><d>2024-02-29T13:00:00+01:00</d><e/></a>"
    model = {"b": ({"c": 5}, {"c": "x"}), "d": "2024-02-29T12:00:00Z"}
    assert [*leaves(ElementTree.fromstring(source))] == [*leaves_of_model(model)]
    assert value("x ") == "x " != value("x")


# --- All of it ---


def test_there_is_something_to_read() -> None:
    assert len(WELL_FORMED) > 70
    assert len(OF_1_6) > 20
    assert {found.direction for found in OF_1_6} == {*DIRECTIONS}
    assert sum(found.is_valid for found in OF_1_6) > 10


@pytest.mark.parametrize("found", FOUND, ids=name)
def test_every_envelope_is_opened_or_refused_with_a_reason(found: Found) -> None:
    if found in WELL_FORMED:
        opened = envelope.read(found.data)
        assert envelope.read_fault(opened.body) is None
        assert local_name(opened.body) == body_of(found.data).tag.rpartition("}")[2]
    else:
        with pytest.raises(MessageError, match=r"not well-formed XML: .+"):
            envelope.read(found.data)


@pytest.mark.parametrize("found", WELL_FORMED, ids=name)
def test_the_headers_of_every_envelope_are_read(found: Found) -> None:
    opened = envelope.read(found.data)
    headers = ElementTree.fromstring(found.data.strip()).find("{*}Header")
    said = (
        {}
        if headers is None
        else {header.tag.rpartition("}")[2].lower(): "".join(header.itertext()).strip() or None for header in headers}
    )
    assert opened.identity == said.get("chargeboxidentity")
    addressing = opened.addressing
    assert (addressing.message_id, *addressing.relates_to) == (
        said.get("messageid"),
        *filter(None, [said.get("relatesto")]),
    )
    assert (addressing.sent_from, addressing.reply_to) == (said.get("from"), said.get("replyto"))
    assert addressing.action == said.get("action")


@pytest.mark.parametrize("found", OF_1_6, ids=name)
def test_every_1_6_message_is_read_or_refused_with_a_reason(found: Found) -> None:
    try:
        message = read(found)
    except MessageError as error:
        assert not found.is_valid
        assert error.path
        assert len(error.description) > len(error.path) + 10
        return
    assert isinstance(message, Call if DIRECTIONS[found.direction][1] else CallResult)
    if isinstance(message, Call):
        assert message.action == found.operation


def test_few_are_refused_and_for_what_is_missing() -> None:
    refused = {}
    for found in OF_1_6:
        try:
            read(found)
        except MessageError as error:
            refused[name(found)] = error.description
    assert refused == {
        "izi16_003_1.6_BootNotification_cp2cs-req": "chargePointModel: required, and missing",
    }


# --- What the official types accept ---


@needs_reference
@pytest.mark.parametrize("found", OF_1_6, ids=name)
def test_the_index_says_what_the_official_schema_says(found: Found) -> None:
    body = envelope.read(found.data).body
    assert schema(DIRECTIONS[found.direction][0]).validate(body) is found.is_valid


@pytest.mark.parametrize("found", [found for found in OF_1_6 if found.is_valid], ids=name)
def test_what_the_official_types_accept_is_read_with_equal_values(found: Found) -> None:
    message = read(found)
    assert not isinstance(message, CallError)
    assert Counter(leaves_of_model(plain(message.payload))) == Counter(leaves(body_of(found.data)))


@pytest.mark.parametrize("found", [found for found in OF_1_6 if found.is_valid], ids=name)
def test_what_the_official_types_accept_is_accepted_in_strict_unless_something_is_lost(found: Found) -> None:
    tolerant = read(found)
    assert not isinstance(tolerant, CallError)
    if tolerant.losses:
        assert {loss.reason for loss in tolerant.losses} <= {LossReason.EMPTY_OPTIONAL, LossReason.ASSUMED_ZONE}
        with pytest.raises(MessageError):
            read(found, strict=True)
    else:
        assert read(found, strict=True) == tolerant


@pytest.mark.parametrize("found", [found for found in OF_1_6 if not found.is_valid], ids=name)
def test_strict_refuses_the_others(found: Found) -> None:
    with pytest.raises(MessageError):
        read(found, strict=True)
