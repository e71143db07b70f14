"""A message and its answer as further Central Systems get them."""

from __future__ import annotations

import msgspec
import pytest
from msgspec import Raw

from bridge.core.observed import Observed, content_of, observed, read_answer, with_tag
from bridge.ocpp.enums import ReadingContext
from bridge.ocpp.messages import (
    HeartbeatRequest,
    HeartbeatResponse,
    MeterValuesRequest,
    Request,
    StartTransactionResponse,
    StatusNotificationResponse,
)
from bridge.ocpp.rpc import Answer, Call, CallError, CallResult, Unanswered, UnopenedRequest, UnopenedResponse
from bridge.ocpp.types import MeterValue, SampledValue
from tests.core.samples import NOW, start, start_conf, stop


def seen(payload: Request, answer: Answer | None = None, action: str = "") -> Observed:
    name = action or type(payload).__name__.removesuffix("Request")
    return observed(Call(unique_id="7", action=name, payload=payload), answer, "hop", ("ems",))


def meters(*contexts: ReadingContext | None) -> MeterValuesRequest:
    samples = tuple(SampledValue(value="1", context=context) for context in contexts)
    return MeterValuesRequest(
        connectorId=2, transactionId=5, meterValue=(MeterValue(timestamp=NOW, sampledValue=samples),)
    )


def test_a_start_has_the_number_that_the_charge_point_was_told() -> None:
    told = CallResult(unique_id="7", payload=start_conf(3))
    one = seen(start(connector=2), told)
    assert (one.key, one.observers, one.action) == ("hop", ("ems",), "StartTransaction")
    assert (one.connector, one.number, one.ends, one.periodic) == (2, 3, True, False)
    assert msgspec.json.decode(one.request)["idTag"] == "TAG"
    raw = UnopenedResponse(raw=Raw(b'{"transactionId":4,"idTagInfo":{"status":"Accepted"}}'))
    assert seen(start(), CallResult(unique_id="7", payload=raw)).number == 4
    assert seen(start(), CallError(unique_id="7", code="GenericError")).number is None
    assert seen(start(), CallResult(unique_id="7", payload=UnopenedResponse(raw=Raw(b"7")))).number is None


def test_a_stop_has_the_number_in_it() -> None:
    one = seen(stop(9))
    assert (one.number, one.ends, one.connector) == (9, True, None)


@pytest.mark.parametrize(
    ("contexts", "periodic"),
    [
        ((None,), True),
        ((ReadingContext.SamplePeriodic, None), True),
        ((ReadingContext.TransactionBegin,), False),
        ((None, ReadingContext.TransactionEnd), False),
        ((ReadingContext.SampleClock,), False),
        ((ReadingContext.Trigger,), False),
    ],
)
def test_which_meter_values_are_periodic(contexts: tuple[ReadingContext | None, ...], periodic: bool) -> None:
    payload = meters(*contexts)
    typed = seen(payload)
    unread = seen(UnopenedRequest(raw=Raw(content_of(payload))), action="MeterValues")
    assert typed.periodic == unread.periodic == periodic
    assert (typed.connector, typed.number) == (unread.connector, unread.number) == (2, 5)
    assert typed.request == unread.request


@pytest.mark.parametrize("raw", [b"7", b'{"connectorId":"one"}', b'{"transactionId":{}}', b"[]", b"null"])
def test_what_passes_unread_may_be_anything(raw: bytes) -> None:
    one = seen(UnopenedRequest(raw=Raw(raw)), action="MeterValues")
    assert (one.request, one.connector, one.number) == (raw, None, None)


def test_the_token_of_the_driver_is_replaced_where_there_is_one() -> None:
    for payload in (start(), UnopenedRequest(raw=Raw(content_of(start())))):
        one = with_tag(seen(payload, action="StartTransaction"), "FLEET")
        assert msgspec.json.decode(one.request) == msgspec.json.decode(content_of(start())) | {"idTag": "FLEET"}
    assert with_tag(seen(stop(9)), "FLEET") == seen(stop(9))  # it has none
    assert with_tag(seen(start()), "") == seen(start())
    beat = seen(HeartbeatRequest())
    assert with_tag(beat, "FLEET") is beat
    unreadable = seen(UnopenedRequest(raw=Raw(b'["TAG"]')), action="Authorize")
    assert b"TAG" not in with_tag(unreadable, "FLEET").request


@pytest.mark.parametrize(
    ("answer", "read"),
    [
        (CallResult(unique_id="7", payload=HeartbeatResponse(currentTime=NOW)), HeartbeatResponse(currentTime=NOW)),
        (CallResult(unique_id="7", payload=UnopenedResponse(raw=Raw(b'{"currentTime":"%b"}' % NOW.encode()))), None),
        (CallResult(unique_id="7", payload=StatusNotificationResponse()), None),
    ],
)
def test_an_answer_is_read_back(answer: CallResult, read: object) -> None:
    one = seen(HeartbeatRequest(), answer)
    back = read_answer("Heartbeat", one.answer)
    assert isinstance(back, CallResult) and back.unique_id == ""
    assert read is None or back.payload == read


def test_an_error_is_read_back_and_no_answer_is_none() -> None:
    error = CallError(unique_id="", code="GenericError", description='so "it" is', details={"more": 1})
    back = read_answer("Heartbeat", seen(HeartbeatRequest(), error).answer)
    assert back == CallError(unique_id="", code="GenericError", description='so "it" is')
    for none in (None, Unanswered(unique_id="7", reason="no")):
        assert read_answer("Heartbeat", seen(HeartbeatRequest(), none).answer) is None
    assert isinstance(start_conf(3), StartTransactionResponse)
