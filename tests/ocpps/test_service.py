"""The services on Spyne: what arrives as an envelope is handled once and answered as an envelope, whatever happens."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree
from msgspec import Struct

from bridge.errors import BridgeError, ErrorCode, MessageError, Unavailable, UnknownIdentity
from bridge.ocpp.actions import ACTIONS
from bridge.ocpp.losses import LossReason
from bridge.ocpp.messages import (
    AuthorizeRequest,
    AuthorizeResponse,
    GetConfigurationResponse,
    HeartbeatRequest,
    HeartbeatResponse,
    StartTransactionResponse,
)
from bridge.ocpp.rpc import Answer, Call, CallError, CallResult, Unanswered
from bridge.ocpp.shapes import plain, shape_of
from bridge.ocpp.types import IdTagInfo
from bridge.ocpps import envelope, wsdl
from bridge.ocpps.envelope import WSA, WSA_2004, Envelope, SoapVersion, anonymous, read_fault
from bridge.ocpps.replies import Reply
from bridge.ocpps.service import PendingRequests, SoapContext, SoapService
from bridge.ocpps.xml import local_name, namespace, text_of
from tests.mutations import mutated
from tests.ocpp.strategies import payloads
from tests.ocpps.wire import (
    ENV,
    NAMES,
    OURS,
    PDUS,
    Pdu,
    client,
    envelope_of,
    messages,
    schema,
    with_moments,
    without_nothing,
    zeep_reads,
)
from tests.reference import OFFICIAL_WSDL

CS = "urn://Ocpp/Cs/2015/10/"
SOURCES = {"ours": OURS} | ({"official": OFFICIAL_WSDL / "ocpp16"} if OFFICIAL_WSDL.is_dir() else {})
CALLS = [pdu for pdu in PDUS if pdu.is_request]


Answered = Callable[[Answer], None]
PENDING = PendingRequests()
REQUESTS = count(1)


def _on_spyne(path: Path) -> SoapService:
    numbers = count(1)
    return SoapService(wsdl.load(path), lambda: f"minted-{next(numbers)}")


# Made before any test: Spyne has something to say about services of one name, which is of no interest here.
ON_SPYNE = {(source, name): _on_spyne(folder / f"{name}.wsdl") for source, folder in SOURCES.items() for name in NAMES}


def service(source: str, name: str) -> SoapService:
    return ON_SPYNE[source, name]


CENTRAL_SYSTEM = "CentralSystemService"
CHARGE_POINT = "ChargePointService"


@pytest.fixture(autouse=True)
def silence(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Refusing a message is no news to a log; only a defect of ours is, and a test that expects one clears it away."""
    caplog.set_level(logging.INFO)
    yield
    assert [record.getMessage() for record in caplog.get_records("call")] == []


class Handler:
    """What stands behind the service: notes the Calls, and answers at once."""

    def __init__(self, answer: Answer | BaseException | Callable[[Call], Answer]) -> None:
        self.answer = answer
        self.calls: list[Call] = []

    def __call__(self, call: Call, answered: Answered) -> None:
        self.calls.append(call)
        if isinstance(self.answer, BaseException):
            raise self.answer
        answered(self.answer if isinstance(self.answer, Struct) else self.answer(call))


def heartbeat() -> Handler:
    return Handler(CallResult(unique_id="1", payload=HeartbeatResponse(currentTime="2024-02-29T12:00:00Z")))


def exchange(data: bytes, handle: Callable[[Call, Answered], None], *, strict: bool = False) -> SoapContext:
    return opened_exchange(envelope.read(data), handle, strict=strict)


def opened_exchange(opened: Envelope, handle: Callable[[Call, Answered], None], *, strict: bool) -> SoapContext:
    return SoapContext(opened, "hop-1", strict, keyed(handle), key=f"1/{next(REQUESTS)}", pending=PENDING)


def keyed(handle: Callable[[Call, Answered], None]) -> Callable[[str, Call], None]:
    """As a handler that answers by the key of the request."""
    return lambda key, call: handle(call, partial(PENDING.answer, key))


def answer(on: SoapService, asked: SoapContext) -> Reply:
    replies: list[Reply] = []
    on.answer(asked, replies.append)
    (reply,) = replies
    return reply


def ask(data: bytes, handler: Handler, name: str = CENTRAL_SYSTEM, *, strict: bool = False) -> Reply:
    return answer(service("ours", name), exchange(data, handler, strict=strict))


def message(body: str, header: str = "", soap: SoapVersion = SoapVersion.V12) -> bytes:
    declared = f'xmlns:s="{soap.value}" xmlns:a="{WSA}" xmlns:c="{CS}"'
    return f"<s:Envelope {declared}><s:Header>{header}</s:Header><s:Body>{body}</s:Body></s:Envelope>".encode()


HEARTBEAT = message("<c:heartbeatRequest/>", "<a:MessageID>urn:uuid:7</a:MessageID>")


def headers(data: bytes) -> dict[str, str]:
    (header,) = etree.fromstring(data).iterfind("{*}Header")
    return {local_name(element): text_of(element) for element in header}


def fault_of(reply: Reply) -> tuple[str, str | None, int]:
    """The side, the subcode and the HTTP status of a refusal."""
    fault = read_fault(envelope.read(reply.body).body)
    assert fault is not None
    return fault.side, fault.subcode, reply.status


# --- All operations ---


def from_zeep(call: Pdu, payload: Any) -> bytes:
    """The envelope that a zeep client built from the WSDL sends."""
    made = client(call.service)
    values = with_moments(plain(payload), shape_of(call.record))
    sent = made.create_message(made.service, call.action, _soapheaders={"ChargeBoxIdentity": "RDAM 123"}, **values)
    return etree.tostring(sent, xml_declaration=True, encoding="UTF-8")


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("call", CALLS, ids=str)
@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_every_operation_is_answered(source: str, call: Pdu, data: st.DataObject) -> None:
    request = data.draw(payloads(call.record), label="request")
    response = data.draw(payloads(ACTIONS[call.action].response), label="response")
    handler = Handler(CallResult(unique_id="far", payload=response))
    sent = from_zeep(call, request)

    asked = exchange(sent, handler)
    reply = answer(service(source, call.service), asked)

    # << the request, as the Charge Point or the Central System wrote it
    assert asked.envelope.identity == "RDAM 123"
    (arrived,) = handler.calls
    assert (arrived.unique_id, arrived.action, arrived.losses, len(handler.calls)) == ("hop-1", call.action, (), 1)
    assert _values(call.record, arrived.payload) == _values(call.record, request)
    # >> the answer
    assert (reply.status, reply.content_type, reply.error, reply.losses) == (
        200,
        SoapVersion.V12.content_type,
        None,
        (),
    )
    assert (asked.call, asked.refusal) == (arrived, None)
    body = envelope.read(reply.body).body
    assert schema(call.service).validate(body)
    answered = next(pdu for pdu in PDUS if pdu.element.name == local_name(body) and pdu.service == call.service)
    assert answered.action == call.action
    assert (zeep_reads(answered, body) or {}) == _values(answered.record, response)
    assert headers(reply.body)["Action"] == f"/{call.action}Response"
    assert headers(reply.body)["RelatesTo"] == headers(sent)["MessageID"]


def _values(record: type[Struct], payload: Any) -> Any:
    """Values by which two spellings of a moment are equal."""
    return without_nothing(with_moments(plain(payload), shape_of(record)))


def test_there_are_29() -> None:
    assert len(CALLS) == 29
    assert [len(service("ours", name).service.operations) for name in NAMES] == [10, 19]


# --- Headers ---


def test_the_headers_of_an_answer() -> None:
    reply = ask(HEARTBEAT, heartbeat())
    said = headers(reply.body)
    assert said.pop("MessageID").startswith("urn:uuid:minted-")
    assert said == {"Action": "/HeartbeatResponse", "RelatesTo": "urn:uuid:7", "To": anonymous(WSA)}


def test_every_answer_has_an_id_of_its_own() -> None:
    ids = [headers(ask(HEARTBEAT, heartbeat()).body)["MessageID"] for _ in range(3)]
    assert len({*ids}) == 3


def test_without_a_message_id_nothing_is_related_to() -> None:
    assert "RelatesTo" not in headers(ask(message("<c:heartbeatRequest/>"), heartbeat()).body)


def test_who_speaks_the_old_addressing_is_answered_in_it() -> None:
    reply = ask(HEARTBEAT.replace(WSA.encode(), WSA_2004.encode()), heartbeat())
    assert headers(reply.body)["To"] == anonymous(WSA_2004)
    assert {namespace(element) for element in etree.fromstring(reply.body)[0]} == {WSA_2004}


def test_the_address_in_to_and_reply_to_is_never_where_the_answer_goes() -> None:
    asked = message("<c:heartbeatRequest/>", "<a:ReplyTo><a:Address>http://10.1.2.3/</a:Address></a:ReplyTo>")
    assert headers(ask(asked, heartbeat()).body)["To"] == anonymous(WSA)


def test_headers_that_must_be_understood_are_no_obstacle() -> None:
    header = '<x:security xmlns:x="urn:x" s:mustUnderstand="true"/><a:Action s:mustUnderstand="1">/Other</a:Action>'
    assert ask(message("<c:heartbeatRequest/>", header), heartbeat()).status == 200


# --- SOAP 1.1 ---


def test_soap_1_1_is_answered_in_soap_1_1() -> None:
    reply = ask(message("<c:heartbeatRequest/>", soap=SoapVersion.V11), heartbeat())
    assert (reply.status, reply.content_type) == (200, "text/xml; charset=utf-8")
    assert etree.fromstring(reply.body).tag == f"{ENV[SoapVersion.V11]}Envelope"


@pytest.mark.parametrize("refuse", [True, False])
def test_soap_1_1_is_refused_in_soap_1_1(refuse: bool) -> None:
    if refuse:
        reply = ask(message("<c:authorizeRequest/>", soap=SoapVersion.V11), heartbeat())
    else:
        error = CallError(unique_id="1", code="SecurityError", description="no")
        reply = ask(message("<c:heartbeatRequest/>", soap=SoapVersion.V11), Handler(error))
    assert (reply.status, reply.content_type) == (400, "text/xml; charset=utf-8")
    (fault,) = etree.fromstring(reply.body)[1]
    assert (fault.tag, [child.tag for child in fault]) == (
        f"{ENV[SoapVersion.V11]}Fault",
        ["faultcode", "faultstring", "detail"],
    )


# --- What is tolerated on the way ---


@pytest.mark.parametrize(
    "body",
    [
        "<heartbeatRequest/>",
        "<heartbeatRequest xmlns='urn://Ocpp/Cs/2015/10'/>",
        "<heartbeatRequest xmlns='urn://Ocpp/Cp/2015/10/'/>",
        "<c:heartbeatRequest> \n<!-- x --></c:heartbeatRequest>",
        "<c:heartbeatRequest>text</c:heartbeatRequest>",
        "<!-- x --><c:heartbeatRequest/><c:authorizeRequest/>",
    ],
)
def test_the_operation_is_known_by_its_local_name(body: str) -> None:
    handler = heartbeat()
    assert ask(message(body), handler).status == 200
    assert [call.payload for call in handler.calls] == [HeartbeatRequest()]


def test_what_was_lost_in_reading_goes_with_the_call() -> None:
    handler = Handler(
        CallResult(unique_id="1", payload=AuthorizeResponse(idTagInfo=IdTagInfo(status="Accepted")))  # type: ignore[arg-type]
    )
    assert ask(message("<c:authorizeRequest><extra/><idTag>X</idTag></c:authorizeRequest>"), handler).status == 200
    (call,) = handler.calls
    assert (call.payload, [loss.reason for loss in call.losses]) == (
        AuthorizeRequest(idTag="X"),
        [LossReason.UNKNOWN_FIELD],
    )


def test_what_was_lost_in_writing_goes_with_the_reply() -> None:
    answered = CallResult(unique_id="1", payload=GetConfigurationResponse(unknownKey=()))
    reply = ask(envelope_of(etree.fromstring("<getConfigurationRequest/>")), Handler(answered), CHARGE_POINT)
    assert (reply.status, [loss.reason for loss in reply.losses]) == (200, [LossReason.EMPTY_LIST])


def test_strict_is_handed_on() -> None:
    headers = "<a:MessageID>urn:uuid:7</a:MessageID><a:Action>/Heartbeat</a:Action>"
    body = message("<c:heartbeatRequest><extra/></c:heartbeatRequest>", headers)
    handler = heartbeat()
    assert ask(body, handler).status == 200
    assert fault_of(ask(body, handler, strict=True)) == ("Sender", "ProtocolError", 400)
    assert ask(message("<c:heartbeatRequest/>", headers), handler, strict=True).status == 200
    assert len(handler.calls) == 2


# --- Refusals of the other party ---


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("SecurityError", ("Sender", "SecurityError", 400)),
        ("FormationViolation", ("Sender", "ProtocolError", 400)),
        ("ProtocolError", ("Sender", "ProtocolError", 400)),
        ("PropertyConstraintViolation", ("Sender", "ProtocolError", 400)),
        ("OccurenceConstraintViolation", ("Sender", "ProtocolError", 400)),
        ("TypeConstraintViolation", ("Sender", "ProtocolError", 400)),
        ("NotImplemented", ("Receiver", "NotSupported", 500)),
        ("NotSupported", ("Receiver", "NotSupported", 500)),
        ("InternalError", ("Receiver", "InternalError", 500)),
        ("GenericError", ("Receiver", "InternalError", 500)),
        ("SomethingElse", ("Receiver", "InternalError", 500)),
    ],
)
@pytest.mark.parametrize("soap", SoapVersion)
def test_a_call_error_as_a_fault(soap: SoapVersion, code: str, fault: tuple[str, str, int]) -> None:
    error = CallError(unique_id="far", code=code, description="it <broke>", details={"a": [1, "é"]})
    handler = Handler(error)
    reply = ask(message("<c:heartbeatRequest/>", "<a:MessageID>7</a:MessageID>", soap), handler)
    assert (len(handler.calls), reply.error, fault_of(reply)) == (1, error, fault)
    body = envelope.read(reply.body)
    read = read_fault(body.body)
    assert read is not None
    assert read.as_error("far") == error
    assert (headers(reply.body)["RelatesTo"], headers(reply.body)["To"]) == ("7", anonymous(WSA))
    # WS-Addressing 1.0 SOAP binding, section 6.
    assert headers(reply.body)["Action"] == f"{WSA}/fault"


def test_unanswered_is_said_by_http_too() -> None:
    handler = Handler(Unanswered(unique_id="far", reason="no answer within 30 s"))
    asked = exchange(HEARTBEAT, handler)
    reply = answer(service("ours", CENTRAL_SYSTEM), asked)
    assert (len(handler.calls), fault_of(reply)) == (1, ("Receiver", "InternalError", 503))
    assert b"no answer within 30 s" in reply.body
    assert (asked.call, asked.refusal) == (handler.calls[0], None)


# --- Refusals of our own ---


@pytest.mark.parametrize(
    ("body", "fault", "code"),
    [
        ("<c:authorizeRequest/>", ("Sender", "ProtocolError", 400), "ProtocolError"),
        ("<c:authorizeRequest><idTag>{21}</idTag></c:authorizeRequest>", ("Sender", "ProtocolError", 400), "Property"),
        ("<c:meterValuesRequest/>", ("Sender", "ProtocolError", 400), "ProtocolError"),
        ("<c:noSuchRequest/>", ("Receiver", "NotSupported", 500), "NotImplemented"),
        ("<c:resetRequest><type>Hard</type></c:resetRequest>", ("Receiver", "NotSupported", 500), "NotImplemented"),
        ("<c:heartbeatResponse/>", ("Receiver", "NotSupported", 500), "NotImplemented"),
        ("<s:Fault/>", ("Receiver", "NotSupported", 500), "NotImplemented"),
    ],
)
def test_what_cannot_be_read_is_refused_and_not_handled(body: str, fault: tuple[str, str, int], code: str) -> None:
    handler = heartbeat()
    asked = exchange(message(body.replace("{21}", "x" * 21), "<a:MessageID>7</a:MessageID>"), handler)
    reply = answer(service("ours", CENTRAL_SYSTEM), asked)
    assert (fault_of(reply), handler.calls, asked.call) == (fault, [], None)
    assert isinstance(asked.refusal, MessageError)
    assert asked.refusal.code.value.startswith(code)
    assert reply.error == CallError.of("hop-1", asked.refusal)
    assert headers(reply.body)["RelatesTo"] == "7"


def test_an_answer_that_soap_cannot_carry() -> None:
    result = StartTransactionResponse(transactionId=2**31, idTagInfo=IdTagInfo(status="Accepted"))  # type: ignore[arg-type]
    handler = Handler(CallResult(unique_id="far", payload=result))
    body = "<c:startTransactionRequest><connectorId>1</connectorId><idTag>X</idTag>"
    body += "<timestamp>2024-02-29T12:00:00Z</timestamp><meterStart>0</meterStart></c:startTransactionRequest>"
    asked = exchange(message(body), handler)
    reply = answer(service("ours", CENTRAL_SYSTEM), asked)
    # The Charge Point's message is not at fault.
    assert (len(handler.calls), fault_of(reply)) == (1, ("Receiver", "InternalError", 500))
    assert asked.refusal is not None
    assert "transactionId: 2147483648 does not fit into 32 bits" in asked.refusal.description


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (UnknownIdentity("RDAM 123"), ("Sender", "IdentityMismatch", 400)),
        (MessageError(ErrorCode.FormationViolation, "not XML"), ("Sender", "ProtocolError", 400)),
        (MessageError(ErrorCode.NotSupported, "not here"), ("Receiver", "NotSupported", 500)),
        (Unavailable("no more than 1000 Calls at once"), ("Receiver", "InternalError", 503)),
        (BridgeError(ErrorCode.SecurityError, "no"), ("Sender", "SecurityError", 400)),
    ],
)
@pytest.mark.parametrize("soap", SoapVersion)
def test_a_message_is_turned_away_before_its_operation(
    soap: SoapVersion, error: BridgeError, fault: tuple[str, str, int]
) -> None:
    handler = heartbeat()
    asked = exchange(message("<c:heartbeatRequest/>", "<a:MessageID>7</a:MessageID>", soap), handler)
    reply = service("ours", CENTRAL_SYSTEM).refuse(asked, error)
    assert (fault_of(reply), handler.calls, asked.refusal) == (fault, [], error)
    assert reply.content_type == soap.content_type
    assert headers(reply.body)["RelatesTo"] == "7"
    read = read_fault(envelope.read(reply.body).body)
    assert read is not None
    assert error.description in read.reason


def test_the_subcode_is_of_the_called_service() -> None:
    for name in NAMES:
        reply = ask(envelope_of(etree.fromstring("<noSuchRequest/>")), heartbeat(), name)
        (value,) = etree.fromstring(reply.body).iterfind(
            f".//{ENV[SoapVersion.V12]}Subcode/{ENV[SoapVersion.V12]}Value"
        )
        prefix, _, _ = (value.text or "").partition(":")
        assert value.nsmap[prefix] == service("ours", name).service.namespace


# --- Defects behind the service ---

FAILURES = [KeyError("x"), RuntimeError(), AssertionError("no"), TimeoutError(), ValueError("\x00")]


@pytest.mark.parametrize("failure", FAILURES, ids=repr)
def test_a_handler_that_fails_at_once(failure: Exception, caplog: pytest.LogCaptureFixture) -> None:
    reply = answer(service("ours", CENTRAL_SYSTEM), exchange(HEARTBEAT, Handler(failure)))
    assert fault_of(reply) == ("Receiver", "InternalError", 500)
    # Its sender learns nothing of it; the log does.
    assert b"its log says why" in reply.body
    assert [record.exc_info is not None for record in caplog.records] == [True]
    caplog.clear()


def test_a_handler_that_refuses() -> None:
    handler = Handler(Unavailable("away"))
    reply = ask(HEARTBEAT, handler)
    assert (len(handler.calls), fault_of(reply)) == (1, ("Receiver", "InternalError", 503))


def test_a_handler_that_fails_when_it_has_answered(caplog: pytest.LogCaptureFixture) -> None:
    def handle(call: Call, answered: Answered) -> None:
        answered(CallError(unique_id="1", code="NotSupported"))
        answered(CallError(unique_id="1", code="GenericError"))
        raise KeyError("x")

    reply = answer(service("ours", CENTRAL_SYSTEM), exchange(HEARTBEAT, handle))
    assert fault_of(reply) == ("Receiver", "NotSupported", 500)
    assert [record.exc_info is not None for record in caplog.records] == [True]
    caplog.clear()


def test_an_answer_that_cannot_be_told_is_no_fault_of_who_gave_it(caplog: pytest.LogCaptureFixture) -> None:
    later: list[Answered] = []
    replies: list[Reply] = []
    service("ours", CENTRAL_SYSTEM).answer(
        exchange(HEARTBEAT, lambda call, answered: later.append(answered)), replies.append
    )
    assert not replies
    later[0](CallResult(unique_id="1", payload=cast(HeartbeatResponse, "no payload")))
    assert [fault_of(reply) for reply in replies] == [("Receiver", "InternalError", 500)]
    assert [record.exc_info is not None for record in caplog.records] == [True]
    caplog.clear()


# --- Many at once ---


def test_messages_that_wait_do_not_wait_for_each_other() -> None:
    waiting: list[tuple[str, Answered]] = []
    replies: dict[int, Reply] = {}

    def handle(call: Call, answered: Answered) -> None:
        assert isinstance(call.payload, AuthorizeRequest)
        waiting.append((call.payload.idTag, answered))

    on = service("ours", CENTRAL_SYSTEM)
    for n in range(50):
        asked = exchange(message(f"<c:authorizeRequest><idTag>{n}</idTag></c:authorizeRequest>"), handle)
        on.answer(asked, partial(replies.__setitem__, n))
    assert not replies
    for tag, answered in reversed(waiting):
        answered(CallError(unique_id="1", code="GenericError", description=tag))
    assert {n: reply.error and reply.error.description for n, reply in replies.items()} == {
        n: str(n) for n in range(50)
    }


# --- Anything that is an envelope ---

PIECES = [
    b"<x/>",
    b"<!-- -->",
    b"<?x y?>",
    b"&#13;",
    b" xmlns=''",
    b"<s:Fault/>",
    b"<c:heartbeatRequest/>",
    b"9" * 50,
    b"T",
]


@st.composite
def sent(draw: st.DrawFn) -> bytes:
    chosen, payload = draw(messages())
    return envelope_of(chosen.write(payload)[0])


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=mutated(sent() | st.just(HEARTBEAT), PIECES), name=st.sampled_from(NAMES), strict=st.booleans())
def test_every_envelope_gets_one_answer(data: bytes, name: str, strict: bool) -> None:
    try:
        opened: Envelope = envelope.read(data)
    except MessageError:
        return
    handler = Handler(CallError(unique_id="1", code="GenericError"))
    asked = opened_exchange(opened, handler, strict=strict)
    reply = answer(service("ours", name), asked)
    assert reply.status in (400, 500)
    assert len(handler.calls) == (asked.refusal is None)
    assert read_fault(envelope.read(reply.body).body) is not None
