"""Recorded messages as a trace."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator
from msgspec import UNSET

from bridge.lab.trace.correlation import correlate
from bridge.recorder.messages import Half, Lost, Recorded
from bridge.recorder.trace_export import SIDES, Exported, exported
from bridge.recorder.trace_records import read, write
from tests.lab.trace.samples import SOAP_ANSWER, SOAP_CALL, SOAP_FAULT, form, recorded
from tests.reference import TRACES, needs_traces

REFUSED = recorded(
    id=8,
    identity="",
    action="",
    outcome="refused",
    unique_id="",
    hop_id=None,
    why="No.",
    request=Half(received=form("garbage", 3)),
    response=Half(),
)
DOWNWARDS = recorded(
    sender="central_system",
    action="Reset",
    outcome="error",
    unique_id="c",
    hop_id="d",
    losses=(Lost(message="ResetRequest", path="x", reason="why"),),
    request=Half(received=form('[2,"c","Reset",{"type":"Soft"}]', 5), sent=form(SOAP_CALL, 5.1)),
    response=Half(
        received=form(SOAP_FAULT, 5.2),
        model=msgspec.Raw(b'{"code":"NotSupported","description":"no","details":{}}'),
        sent=form('[4,"c","NotSupported","no",{"a":1}]', 5.3),
    ),
)


def lines(trace: Exported) -> list[Any]:
    return [json.loads(write(record)) for record in trace.records]


def test_the_charge_point_s_side() -> None:
    asked, told = lines(exported([recorded()]))
    meta = {"id": 7, "side": "charge-point", "sender": "charge_point", "outcome": "result", "ms": 300.0}
    assert asked == {
        "schemaVersion": "1.1",
        "timestamp": "2026-01-01T00:00:01.000Z",
        "ocppVersion": "1.5",
        "transport": "soap",
        "chargePointId": "CP 1",
        "direction": "cp-to-csms",
        "messageType": "CALL",
        "messageId": "urn:uuid:1",
        "action": "Authorize",
        "payload": {"idTag": "***"},
        "raw": SOAP_CALL,
        "meta": {"ocppBridge": meta | {"masked": True}},
    }
    assert (told["direction"], told["messageType"], told["messageId"]) == ("csms-to-cp", "CALLRESULT", "urn:uuid:1")
    assert told["payload"] == {"idTagInfo": {"status": "Accepted"}} and told["raw"] == SOAP_ANSWER
    assert told["meta"] == {"ocppBridge": meta}


def test_the_central_system_s_side() -> None:
    asked, told = lines(exported([recorded()], ["central-system"]))
    assert (asked["transport"], asked["messageId"], asked["payload"]) == ("json", "f", {"idTag": "***"})
    assert (asked["ocppVersion"], told["messageType"], told["messageId"]) == ("1.6", "CALLRESULT", "f")
    assert json.loads(told["raw"])[2] == told["payload"]


@pytest.mark.parametrize(
    ("side", "error"),
    [
        ("charge-point", {"code": "NotSupported", "description": "no"}),
        ("central-system", {"code": "NotSupported", "description": "no", "details": {"a": 1}}),
    ],
)
def test_a_command_that_was_refused(side: Any, error: Any) -> None:
    asked, told = lines(exported([DOWNWARDS], [side]))
    assert (asked["direction"], told["direction"]) == ("csms-to-cp", "cp-to-csms")
    assert (told["messageType"], told["error"]) == ("CALLERROR", error)
    assert told["meta"]["ocppBridge"]["losses"] == [
        {"message": "ResetRequest", "path": "x", "reason": "why", "count": 1}
    ]


def test_both_sides_in_the_order_of_time() -> None:
    trace = exported([DOWNWARDS, recorded()], SIDES)
    times = [record.timestamp for record in trace.records]
    assert times == sorted(times) and len(times) == 8
    view = correlate(trace.records)
    assert (view.unanswered_calls, view.orphan_responses) == ((), ())


def test_what_is_no_message_is_left_out_and_counted() -> None:
    assert exported([REFUSED]) == Exported(records=(), left_out=1)


def test_a_call_without_an_answer_says_so() -> None:
    """On each connection by itself: a SOAP Charge Point gets a Fault in place of the answer that did not come."""
    silent = recorded(
        outcome="unanswered",
        why="The Central System did not answer.",
        response=Half(sent=form(SOAP_FAULT, 1.3)),
    )
    trace = exported([silent], SIDES)
    first, sent, fault = lines(trace)
    assert trace.unanswered == 1 and exported([silent, recorded(id=8)], SIDES).unanswered == 1
    assert (sent["messageType"], sent["meta"]["ocppBridge"]["answered"]) == ("CALL", False)
    assert sent["meta"]["ocppBridge"]["why"] == "The Central System did not answer."
    assert fault["messageType"] == "CALLERROR" and fault["meta"]["ocppBridge"]["outcome"] == "unanswered"
    for line in (first, fault, *lines(exported([recorded()], SIDES))):
        assert "answered" not in line["meta"]["ocppBridge"]
    assert exported([silent]).unanswered == 0
    nothing = recorded(outcome="unanswered", why="No.", response=Half())
    (alone,) = lines(exported([nothing]))
    assert (alone["messageType"], alone["meta"]["ocppBridge"]["answered"]) == ("CALL", False)


def test_what_was_never_sent_is_not_there() -> None:
    message = recorded(outcome="unanswered", hop_id=None, request=Half(received=form(SOAP_CALL, 1)), response=Half())
    assert [record.message_type for record in exported([message], SIDES).records] == ["CALL"]
    assert exported([message], ["central-system"]).records == ()


def test_octets_that_are_no_text_are_not_said_to_be_raw() -> None:
    broken = msgspec.structs.replace(form('[2,"1","Heartbeat",{}]', 1), base64="/w==")
    (record,) = exported([recorded(action="Heartbeat", request=Half(received=broken), response=Half())]).records
    assert record.raw is UNSET and isinstance(record.meta, dict) and record.meta["ocppBridge"]["rawBase64"] == "/w=="


def test_connectors() -> None:
    asked = form('[2,"1","StatusNotification",{"connectorId":2}]', 1)
    (record,) = exported([recorded(action="StatusNotification", request=Half(received=asked), response=Half())]).records
    assert record.connector_id == 2


@needs_traces
@pytest.mark.parametrize("message", [recorded(), DOWNWARDS])
def test_it_conforms(message: Recorded) -> None:
    schema = Draft202012Validator(json.loads((TRACES / "trace-v1.schema.json").read_text()))
    trace = exported([message], SIDES)
    for line in lines(trace):
        schema.validate(line)
    written = [*map(write, trace.records)]
    assert [*map(write, read(written))] == written
