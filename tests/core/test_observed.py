"""A message and its answer as further Central Systems get them."""

from __future__ import annotations

from itertools import count

import msgspec
import pytest
from msgspec import Raw

from bridge.core.commands import Keep, SendAnswer, SendCall
from bridge.core.events import AnswerReceived, CallReceived, Event, LinkUp, RecordsKept
from bridge.core.links import SessionTerms
from bridge.core.observed import START, STOP, Observed, content_of, observed, read_answer, with_tag
from bridge.core.session import Session
from bridge.ocpp.enums import ReadingContext
from bridge.ocpp.messages import (
    HeartbeatRequest,
    HeartbeatResponse,
    MeterValuesRequest,
    Request,
    StartTransactionResponse,
    StatusNotificationResponse,
    StopTransactionResponse,
)
from bridge.ocpp.rpc import Answer, Call, CallError, CallResult, Unanswered, UnopenedRequest, UnopenedResponse
from bridge.ocpp.types import MeterValue, SampledValue
from tests.core.playbook import CP, CS, JSON_CHARGE_POINT, SOAP_CENTRAL_SYSTEM, SOAP_CHARGE_POINT
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


# The Session keeps them with the answer (rule 28).


def kept(*, narrow: bool = False, named: int = 3) -> list[Observed]:
    """What the Session with `main` keeps of a Start and its Stop, with the observers `ems` and `main`."""
    session = Session(
        {CP: SOAP_CHARGE_POINT if narrow else JSON_CHARGE_POINT, CS: SOAP_CENTRAL_SYSTEM},
        SessionTerms(central_system="main"),
        mint=map("h{}".format, count(1)).__next__,
        chance=lambda: 0.0,
        observers=lambda: ("ems", "main"),
    )
    found: list[Observed] = []

    def happens(event: Event) -> None:
        for command in session.handle(event):
            match command:
                case Keep(key=key, records=records):
                    found.extend(record for record in records if isinstance(record, Observed))
                    happens(RecordsKept(at=1.0, key=key))
                case SendCall(call=call):
                    payload = start_conf(named) if call.action == "StartTransaction" else StopTransactionResponse()
                    happens(
                        AnswerReceived(at=1.0, party=CS, answer=CallResult(unique_id=call.unique_id, payload=payload))
                    )
                case SendAnswer(answer=CallResult(payload=StartTransactionResponse(transactionId=number))):
                    numbers.append(number)

    numbers: list[int] = []
    for party in (CP, CS):
        happens(LinkUp(at=0.0, party=party))
    for again in range(2):  # a repetition is not kept again
        happens(
            CallReceived(at=1.0, party=CP, key=f"a{again}", call=Call(unique_id="a", action=START, payload=start()))
        )
    assert numbers[0] == numbers[1]
    ends = Call(unique_id="b", action=STOP, payload=stop(numbers[0]))
    happens(CallReceived(at=2.0, party=CP, key="b", call=ends))
    return found


def test_a_session_keeps_each_start_and_stop_once_for_the_others() -> None:
    assert [(one.action, one.observers, one.number, one.key) for one in kept()] == [
        (START, ("ems",), 3, "h1"),
        (STOP, ("ems",), 3, "h2"),
    ]


def test_it_keeps_the_number_that_the_charge_point_was_told() -> None:
    began, ended = kept(narrow=True, named=2**40)
    assert began.number == ended.number != 2**40 and msgspec.json.decode(began.answer[3:-1])["transactionId"] == (
        began.number
    )
