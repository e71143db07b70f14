"""The worst messages cost little more than the largest valid ones of their size, in instructions."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest

from bridge.dialects.versions import DIALECTS
from bridge.errors import MessageError
from bridge.ocpp.actions import Party
from bridge.ocppj.codec import CallFrame, decode_call, read_frame
from bridge.ocpps import envelope as soap
from bridge.ocpps.codec import Codec
from bridge.ocpps.wsdl import default_folder, folder_name, load
from tests.bench.codecs import from_json, from_soap
from tests.bench.counting import instructions
from tests.bench.isolation import envelope, frame

# Times what the largest valid message of its size costs: the costliest that we know with as many octets; or with as
# many members and items of JSON, for these have a bound of their own.
MOST = 3.0
# Times what an ordinary valid one costs, which is read in the quick way.
MOST_OF_ORDINARY_JSON, MOST_OF_ORDINARY_XML = 7.0, 11.0
NOW, LOCAL, OFFSET = "2026-01-01T00:00:00Z", "2026-01-01T00:00:00", "2026-01-01T00:00:00+01:00"
COUNT = 400


def codec() -> Codec:
    return Codec(load(default_folder() / folder_name("1.6") / "CentralSystemService.wsdl"), DIALECTS["1.6"])


def values(stamp: str, sample: dict[str, object], count: int = COUNT) -> bytes:
    value = {"timestamp": stamp, "sampledValue": [sample]}
    return frame("MeterValues", {"connectorId": 1, "meterValue": [value] * count})


def elements(stamp: str, inside: str, count: int = COUNT) -> bytes:
    one = f"<meterValue><timestamp>{stamp}</timestamp><sampledValue>{inside}</sampledValue></meterValue>"
    return envelope(f"<meterValuesRequest><connectorId>1</connectorId>{one * count}</meterValuesRequest>")


def samples(*given: object, count: int = COUNT) -> bytes:
    return frame(
        "MeterValues", {"connectorId": 1, "meterValue": [{"timestamp": NOW, "sampledValue": [*given] * count}]}
    )


def groups(*given: object) -> bytes:
    return frame("MeterValues", {"connectorId": 1, "meterValue": [*given] * COUNT})


def in_group(inside: str) -> bytes:
    group = f"<meterValue><timestamp>{NOW}</timestamp>{inside * COUNT}</meterValue>"
    return envelope(f"<meterValuesRequest><connectorId>1</connectorId>{group}</meterValuesRequest>")


def in_message(inside: str) -> bytes:
    return envelope(f"<meterValuesRequest><connectorId>1</connectorId>{inside * COUNT}</meterValuesRequest>")


VALID_JSON = {
    "ordinary": values(NOW, {"value": "1"}),
    "one group": samples({"value": "1"}),
    "to be escaped": samples({"value": "&"}),
    "an offset": values(OFFSET, {"value": "1"}),
    "qualified": samples({"value": "&", "unit": "Wh", "phase": "L1"}),
}
VALID_SOAP = {
    "ordinary": elements(NOW, "<value>1</value>"),
    "one group": in_group("<sampledValue><value>1</value></sampledValue>"),
    "empty values": in_group("<sampledValue><value/></sampledValue>"),
    "an offset": elements(OFFSET, "<value>1</value>"),
    "qualified": in_group("<sampledValue><value/><phase>L1</phase><unit>Wh</unit></sampledValue>"),
}
JSON = {
    "without a zone": values(LOCAL, {"value": "1"}),
    "wrong words": values(NOW, {"value": "1", "unit": "x", "phase": "y"}),
    "numbers for texts": values(NOW, {"value": 1}),
    "unknown members": frame("Heartbeat", {f"a{number}": 1 for number in range(COUNT * 4)}),
    "unknown members everywhere": values(NOW, {"value": "1", "more": 1}),
    "nulls": values(NOW, {"value": "1", "unit": None, "phase": None}),
    "a factor": samples({"value": "1", "multiplier": 3}),
    "a word under another name": samples({"value": "1", "unti": "W"}),
    "another letter case": samples({"VALUE": "&"}),
    "control characters": samples({"value": "\1"}),
    "empty records": samples({}),
    "empty texts": samples(""),
    "empty groups": groups({}),
    "groups without a time": groups({"sampledValue": [{"value": "1"}]}),
    "lists in lists": samples([[1]]),
    "lists of one": samples({"value": [1]}),
    "nothing": samples(None),
    "numbers for groups": groups(1),
    "numbers for values": samples(1),
    "numbers of numbers": samples({"value": 1}),
    "of all kinds": samples({"value": 1}, 1, None, {}, "", [], {"a": 1}, {"value": "&", "unit": "x"}),
    "the form of 1.5": groups({"timestamp": LOCAL, "value": "1"}),
    "to be escaped, and unknown members": samples({"value": "&", "a": 1}),
    "values in values": samples({"value": {"value": {"value": "1"}}}),
    "words in another letter case": samples({"value": "1", "unit": "wh"}),
}
SOAP = {
    "without a zone": elements(LOCAL, "<value>1</value>"),
    "wrong words": elements(NOW, "<value>1</value><unit>x</unit><phase>y</phase>"),
    "unknown elements": envelope(f"<heartbeatRequest>{'<a/>' * COUNT * 4}</heartbeatRequest>"),
    "unknown elements everywhere": elements(NOW, "<value>1</value><more/>"),
    "empty elements": elements(NOW, "<value>1</value><unit/><phase/>"),
    "another letter case": in_group("<VALUE/>"),
    "attributes": in_group("<value a='1'/>"),
    "elements for texts": envelope(
        f"<dataTransferRequest><vendorId>v</vendorId><data>{'<b/>' * COUNT * 4}</data></dataTransferRequest>"
    ),
    "elements in elements": in_group("<a><a><a/></a></a>"),
    "empty groups": in_message("<meterValue/>"),
    "empty records": in_group("<sampledValue/>"),
    "many attributes": in_group("<value a='1' b='1' c='2'/>"),
    "many names": envelope(
        f"<heartbeatRequest>{''.join(f'<a{number}/>' for number in range(COUNT * 4))}</heartbeatRequest>"
    ),
    "nil": in_group("<value xmlns:x='http://www.w3.org/2001/XMLSchema-instance' x:nil='1'/>"),
    "of all kinds": in_group("<value/><VALUE/><a/><value a='1'/><sampledValue><unit/></sampledValue><timestamp/>"),
    "one element again and again": envelope(f"<authorizeRequest>{'<idTag/>' * COUNT * 4}</authorizeRequest>"),
    "the form of 1.5": in_message("<values/>"),
    "unknown elements in groups": in_group("<a/>"),
    "unknown elements in messages": in_message("<a/>"),
    "unknown elements in values": in_group("<sampledValue><value/><a/></sampledValue>"),
    "values in values": in_group("<value><value><value/></value></value>"),
}


def cost(work: Callable[[Codec, bytes], bytes], message: bytes) -> float:
    """Instructions for an octet."""
    return taken(work, message) / len(message)


def taken(work: Callable[[Codec, bytes], bytes], message: bytes) -> int:
    """Instructions."""
    reading = codec()

    def once() -> None:
        with suppress(MessageError):
            work(reading, message)

    return instructions(once)


def members(message: bytes) -> int:
    """Those of the objects in a text of JSON, and the items of its lists."""
    return message.count(b",") + message.count(b"{") + message.count(b"[") - message.count(b"{}") - message.count(b"[]")


@pytest.fixture(scope="module")
def of_valid_json() -> tuple[float, float]:
    """What the costliest valid ones cost, for an octet and for a member."""
    costs = [(taken(from_json, message), message) for message in VALID_JSON.values()]
    return max(cost / len(one) for cost, one in costs), max(cost / members(one) for cost, one in costs)


@pytest.fixture(scope="module")
def of_valid_xml() -> float:
    """What the costliest valid one costs, for an octet."""
    return max(cost(from_soap, message) for message in VALID_SOAP.values())


@pytest.mark.parametrize("kind", JSON)
def test_what_is_odd_in_json_costs_no_more_than_three_times_what_is_valid(
    kind: str, of_valid_json: tuple[float, float]
) -> None:
    octet, member = of_valid_json
    message = JSON[kind]
    assert taken(from_json, message) <= MOST * max(octet * len(message), member * members(message))


@pytest.mark.parametrize("kind", SOAP)
def test_what_is_odd_in_xml_costs_no_more_than_three_times_what_is_valid(kind: str, of_valid_xml: float) -> None:
    assert cost(from_soap, SOAP[kind]) <= MOST * of_valid_xml


@pytest.mark.parametrize("kind", [*JSON][:6])
def test_what_is_odd_in_json_costs_little_more_than_what_is_ordinary(kind: str) -> None:
    assert cost(from_json, JSON[kind]) <= MOST_OF_ORDINARY_JSON * cost(from_json, VALID_JSON["ordinary"])


@pytest.mark.parametrize("kind", [*SOAP][:5])
def test_what_is_odd_in_xml_costs_little_more_than_what_is_ordinary(kind: str) -> None:
    assert cost(from_soap, SOAP[kind]) <= MOST_OF_ORDINARY_XML * cost(from_soap, VALID_SOAP["ordinary"])


@pytest.mark.parametrize("kind", VALID_JSON)
def test_valid_json_costs_nothing(kind: str) -> None:
    """It is valid, and comes through."""
    read = read_frame(VALID_JSON[kind])
    assert isinstance(read, CallFrame)
    assert decode_call(read, Party.CHARGE_POINT, strict=False).losses == ()


@pytest.mark.parametrize("kind", VALID_SOAP)
def test_valid_xml_costs_nothing(kind: str) -> None:
    """It is valid, and comes through."""
    assert codec().read_call(soap.read(VALID_SOAP[kind]), "1", strict=True).losses == ()


def test_ten_times_as_much_costs_ten_times_as_much() -> None:
    """Nothing is quadratic."""
    few = [cost(from_json, values(LOCAL, {"value": "1", "more": None}, count)) for count in (40, 400)]
    assert few[1] < 1.5 * few[0]
