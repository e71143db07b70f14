"""Every message of 1.5 and 1.2, both ways: by the rules alone, through the codec, and judged by the official files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import ocpp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft4Validator
from lxml import etree
from msgspec import Struct

from bridge.dialects.dialect import Dialect
from bridge.dialects.known import Known
from bridge.dialects.versions import DIALECTS, OCPP16
from bridge.errors import ErrorCode, MessageError
from bridge.ocpp.actions import ACTIONS, Party
from bridge.ocpp.enums import MessageTrigger
from bridge.ocpp.losses import Loss, LossReason
from bridge.ocpp.messages import HeartbeatRequest, Request, Response, TriggerMessageRequest
from bridge.ocpp.rpc import CallError
from bridge.ocpp.shapes import plain
from bridge.ocpp.tolerance import nothing_left
from bridge.ocpps import envelope as soap
from bridge.ocpps.envelope import Addressing, Envelope, SoapVersion
from bridge.ocpps.xml import local_name, namespace
from tests.dialects import strategies
from tests.dialects.strategies import body, codec, official_schema, pdus
from tests.ocpp.strategies import payloads
from tests.ocpp.strategies import texts as anything
from tests.reference import CORPUS, needs_corpus

SCHEMAS = Path(ocpp.__file__).parent / "v16" / "schemas"
PDU = tuple[Party, str, bool]
EVERY = [(version, pdu) for version in ("1.5", "1.2") for pdu in pdus(version)]
# What has been seen on two connectors: on 1 a transaction is open, on 2 one has ended.
KNOWN = Known(charging=frozenset({1}), finishing=frozenset({2}), now="2026-01-02T12:00:00Z")

every_pdu = pytest.mark.parametrize(
    ("version", "pdu"),
    [pytest.param(v, p, id=f"{v}-{p[0].value}-{p[1]}-{'req' if p[2] else 'conf'}") for v, p in EVERY],
)
few = settings(max_examples=20)


def name_of(pdu: PDU) -> str:
    return f"{pdu[1]}{'Request' if pdu[2] else 'Response'}"


def record_type(pdu: PDU) -> type[Request] | type[Response]:
    return ACTIONS[pdu[1]].request if pdu[2] else ACTIONS[pdu[1]].response


# --- Differences between two messages, as paths ---


def differences(one: Any, other: Any, path: str = "") -> Iterator[str]:
    if isinstance(one, dict) and isinstance(other, dict):
        for name in one.keys() | other.keys():
            yield from differences(one.get(name), other.get(name), f"{path}.{name}".lstrip("."))
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for index, (left, right) in enumerate(zip(one, other, strict=True)):
            yield from differences(left, right, f"{path}[{index}]")
    elif one != other:
        yield path


_INDEX = re.compile(r"\[[0-9]+\]")


def unexplained(one: Any, other: Any, losses: tuple[Loss, ...]) -> list[str]:
    """The differences at which no Loss is listed, neither there, nor above or below, indexes of lists aside."""
    listed = [_INDEX.sub("[]", loss.path) for loss in losses]
    return [path for path in differences(one, other) if not any(_meet(_INDEX.sub("[]", path), loss) for loss in listed)]


def _meet(one: str, other: str) -> bool:
    shorter, longer = sorted((one, other), key=len)
    return longer == shorter or longer.startswith((f"{shorter}.", f"{shorter}["))


def texts(value: Any) -> Any:
    """Every leaf as text, as XML has it."""
    if isinstance(value, dict):
        return {name: texts(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [texts(inner) for inner in value]
    return str(value).lower() if isinstance(value, bool) else str(value)


def test_the_measure_sees_what_no_loss_explains() -> None:
    loss = Loss(message="X", path="a[1].b", reason=LossReason.COLLAPSED)
    assert unexplained({"a": [1, {"b": 1}], "c": 1}, {"a": [1, {"b": 2}], "c": 2}, (loss,)) == ["c"]
    assert unexplained({"a": [1]}, {"a": []}, (loss,)) == []
    assert unexplained({"a": 1}, {}, ()) == ["a"]
    assert unexplained({"ab": 1}, {}, (Loss(message="X", path="a", reason=LossReason.COLLAPSED),)) == ["ab"]


# --- The rules alone ---


@every_pdu
@few
@given(draw=st.data())
def test_up_and_down_again_is_the_identity_save_the_losses(version: str, pdu: PDU, draw: st.DataObject) -> None:
    data = draw.draw(strategies.data(version, pdu))
    dialect = DIALECTS[version]
    upgraded, losses = dialect.upgrade(name_of(pdu), data, KNOWN)
    assert {loss.message for loss in losses} <= {name_of(pdu)}
    again, _ = dialect.downgrade(name_of(pdu), upgraded)
    assert unexplained(data, texts(again), losses) == []


# --- Through the codec ---


def opened(element: etree._Element) -> Envelope:
    """As if it had come over the wire."""
    parsed = etree.fromstring(etree.tostring(element))
    return Envelope(soap=SoapVersion.V12, identity="CP1", addressing=Addressing(), body=parsed)


def read(version: str, pdu: PDU, element: etree._Element, *, strict: bool = False) -> tuple[Struct, tuple[Loss, ...]]:
    caller, action, is_request = pdu
    if is_request:
        call = codec(version, caller).read_call(opened(element), "1", strict=strict, known=KNOWN)
        assert call.action == action
        return call.payload, call.losses
    answer = codec(version, caller).read_answer(opened(element), action, "1", strict=strict, known=KNOWN)
    assert not isinstance(answer, CallError)
    return answer.payload, answer.losses


def write(version: str, pdu: PDU, payload: Any) -> tuple[etree._Element, tuple[Loss, ...]]:
    caller, action, is_request = pdu
    chosen = codec(version, caller)
    body, losses = (chosen.write_call if is_request else chosen.write_result)(payload, action)
    return etree.fromstring(body), losses


@cache
def json_schema(message: str) -> Draft4Validator:
    schema = json.loads((SCHEMAS / f"{message.removesuffix('Request')}.json").read_text("utf-8"), parse_float=Decimal)
    return Draft4Validator(schema, format_checker=Draft4Validator.FORMAT_CHECKER)


def assert_fit_for_json(payload: Struct) -> None:
    source = msgspec.json.Encoder(decimal_format="number").encode(payload)
    json_schema(type(payload).__name__).validate(json.loads(source, parse_float=Decimal))


def assert_official(version: str, pdu: PDU, element: etree._Element) -> None:
    schema = official_schema(version, pdu[0])
    assert schema.validate(element), schema.error_log.last_error


def tree(element: etree._Element) -> Any:
    """An element as comparable data."""
    return local_name(element), dict(element.attrib), (element.text or ""), [tree(child) for child in element]


@every_pdu
@few
@given(draw=st.data())
def test_what_is_generated_is_valid(version: str, pdu: PDU, draw: st.DataObject) -> None:
    assert_official(version, pdu, body(version, pdu, draw.draw(strategies.data(version, pdu))))


@every_pdu
@few
@given(draw=st.data())
def test_what_is_read_fits_the_json_schema_and_comes_back(version: str, pdu: PDU, draw: st.DataObject) -> None:
    element = body(version, pdu, draw.draw(strategies.data(version, pdu)))
    payload, losses = read(version, pdu, element)
    assert isinstance(payload, record_type(pdu))
    if nothing_left(payload):
        return
    assert_fit_for_json(payload)
    again, _ = write(version, pdu, payload)
    assert_official(version, pdu, again)
    if not losses:
        assert tree(again) == tree(element)


@every_pdu
@few
@given(draw=st.data())
def test_texts_of_any_length_are_read_or_refused(version: str, pdu: PDU, draw: st.DataObject) -> None:
    element = body(version, pdu, draw.draw(strategies.data(version, pdu, longest=600)))
    try:
        payload, _ = read(version, pdu, element)
    except MessageError as error:
        assert error.code is ErrorCode.PropertyConstraintViolation
        assert "length <=" in str(error) or "no value that this field can have" in str(error)
        return
    if nothing_left(payload):
        return
    assert_fit_for_json(payload)


@every_pdu
@few
@given(draw=st.data())
def test_a_damaged_message_is_read_or_refused(version: str, pdu: PDU, draw: st.DataObject) -> None:
    element = body(version, pdu, draw.draw(strategies.data(version, pdu)))
    for _ in range(draw.draw(st.integers(1, 3))):
        damage(draw, element)
    try:
        read(version, pdu, element)
    except MessageError as error:
        assert str(error)


def damage(draw: st.DataObject, element: etree._Element) -> None:
    """Another text, a child gone, doubled or put elsewhere."""
    everywhere = [*element.iter()]
    one, other = draw.draw(st.sampled_from(everywhere)), draw.draw(st.sampled_from(everywhere))
    match draw.draw(st.sampled_from(["text", "remove", "graft"])):
        case "text":
            one.text = draw.draw(ODD_TEXTS)
        case "remove" if (parent := one.getparent()) is not None:
            parent.remove(one)
        case "graft":
            other.append(etree.fromstring(etree.tostring(one)))


ODD_TEXTS = anything() | st.sampled_from(["", " ", "0", "-1", "9" * 5000, "NaN", "1e999", "٣", "Occupied", "24:00:00"])


@every_pdu
@few
@given(draw=st.data())
def test_what_is_written_is_accepted_by_the_official_types(version: str, pdu: PDU, draw: st.DataObject) -> None:
    payload = draw.draw(payloads(record_type(pdu), soap=False, empty_lists=True, empty_texts=True))
    if isinstance(payload, Request) and DIALECTS[version].instead(pdu[1], payload) is not None:
        return
    element, losses = write(version, pdu, payload)
    assert_official(version, pdu, element)
    assert {loss.message for loss in losses} <= {name_of(pdu)}


def lossless(version: str, pdu: PDU) -> bool:
    """Whether 1.6 and `version` have the same PDU but for names and order."""
    return not DIALECTS[version].downgrades.get(name_of(pdu)) and not DIALECTS[version].upgrades.get(name_of(pdu))


@pytest.mark.parametrize(("version", "pdu"), [(v, p) for v, p in EVERY if lossless(v, p)])
@few
@given(draw=st.data())
def test_a_pdu_without_rules_loses_nothing_of_a_1_6_message(version: str, pdu: PDU, draw: st.DataObject) -> None:
    payload = draw.draw(payloads(record_type(pdu)))
    element, losses = write(version, pdu, payload)
    assert losses == ()
    assert read(version, pdu, element)[0] == payload


@pytest.mark.parametrize("version", ["1.5", "1.2"])
@pytest.mark.parametrize("action", ACTIONS)
@few
@given(draw=st.data())
def test_what_stands_in_is_an_answer_that_json_takes(version: str, action: str, draw: st.DataObject) -> None:
    request = draw.draw(payloads(ACTIONS[action].request))
    given = DIALECTS[version].instead(action, request)
    senders = ACTIONS[action].senders
    carried = all(action in strategies.service(version, caller).operations for caller in senders)
    assert carried or given is not None
    if given is not None:
        assert isinstance(given.answer, ACTIONS[action].response)
        assert_fit_for_json(given.answer)
        assert [loss.reason for loss in given.losses] == [LossReason.ANSWERED_HERE]


def test_an_action_without_an_operation_is_not_supported() -> None:
    request = TriggerMessageRequest(requestedMessage=MessageTrigger.Heartbeat)
    with pytest.raises(MessageError, match=r"ChargePointService of OCPP 1\.5 has no TriggerMessage") as caught:
        codec("1.5", Party.CENTRAL_SYSTEM).write_call(request, "TriggerMessage")
    assert caught.value.code is ErrorCode.NotSupported


def test_an_attribute_that_nobody_knows_is_a_loss_and_one_of_xml_is_not() -> None:
    pdu = (Party.CHARGE_POINT, "MeterValues", True)
    reading = {"timestamp": "2026-01-02T12:00:00Z", "value": [{"#text": "1", "unit": "Volt"}]}
    element = body("1.5", pdu, {"connectorId": "1", "values": [reading]})
    value = element[1][1]
    value.set("colour", "red")
    value.set("{http://www.w3.org/2001/XMLSchema-instance}type", "x")
    payload, losses = read("1.5", pdu, element)
    [loss] = losses
    assert loss.path.endswith(".colour") and loss.reason is LossReason.UNKNOWN_FIELD
    assert plain(payload)["meterValue"][0]["sampledValue"][0] == {"value": "1", "unit": "V"}


def test_a_phase_in_1_5_is_read_as_1_6_has_it() -> None:
    """Without it, the voltage of one phase would be that of all."""
    pdu = (Party.CHARGE_POINT, "MeterValues", True)
    reading = {"timestamp": "2026-01-02T12:00:00Z", "value": [{"#text": "1", "unit": "Volt"}]}
    element = body("1.5", pdu, {"connectorId": "1", "values": [reading]})
    element[1][1].set("phase", "L1")
    payload, losses = read("1.5", pdu, element)
    assert [(loss.path, loss.reason) for loss in losses] == [("values[0].value[0]", LossReason.SIBLING_SHAPE)]
    assert plain(payload)["meterValue"][0]["sampledValue"][0] == {"value": "1", "unit": "V", "phase": "L1"}


def test_a_character_that_xml_has_not_is_refused_in_a_text_with_attributes() -> None:
    pdu = (Party.CHARGE_POINT, "MeterValues", True)
    data = {"connectorId": 1, "meterValue": [{"timestamp": "2026-01-02T12:00:00Z", "sampledValue": [{"value": "\0"}]}]}
    payload = msgspec.convert(data, ACTIONS["MeterValues"].request)
    with pytest.raises(MessageError, match=r"values\[0\]\.value\[0\]: holds a character"):
        write("1.5", pdu, payload)


def test_strict_refuses_what_is_lossy() -> None:
    pdu = (Party.CHARGE_POINT, "StatusNotification", True)
    occupied = {"connectorId": "1", "status": "Occupied", "errorCode": "NoError"}
    element = body("1.5", pdu, occupied)
    with pytest.raises(MessageError, match="strict"):
        read("1.5", pdu, element, strict=True)
    assert read("1.5", pdu, body("1.5", pdu, {**occupied, "status": "Faulted"}), strict=True)[1] == ()


# --- 1.6 ---


def test_1_6_is_the_identity() -> None:
    data = {"anything": ["at", {"all": 1}]}
    for message in ("StatusNotificationRequest", "MeterValuesRequest", "Nothing"):
        assert OCPP16.upgrade(message, data)[0] is data
        assert OCPP16.downgrade(message, data)[0] is data
    assert OCPP16.instead("Heartbeat", HeartbeatRequest()) is None
    assert DIALECTS["1.6"] is OCPP16


def test_a_dialect_may_be_written_anew() -> None:
    """As a quirk pack would."""
    dialect = Dialect(version="1.6", upgrades={"HeartbeatResponse": (lambda record, at: record.pop("x", None),)})
    assert dialect.upgrade("HeartbeatResponse", {"x": 1, "currentTime": "now"}) == ({"currentTime": "now"}, ())


# --- The corpus ---


def outcome(data: bytes) -> str:
    """What becomes of one file: what was read and lost, or why not."""
    try:
        message = soap.read(data)
        fault = soap.read_fault(message.body)
        if fault is not None:
            return f"Fault {fault.subcode}"
        name = local_name(message.body)
        spoken = namespace(message.body).lower()
        caller = Party.CHARGE_POINT if "/cs/" in spoken else Party.CENTRAL_SYSTEM
        chosen = codec("1.5", caller)
        for action, operation in chosen.service.operations.items():
            if name == operation.response.name:
                answer = chosen.read_answer(message, action, "1", strict=False, known=KNOWN)
                return f"answer to {action}; {told(answer)}"
        call = chosen.read_call(message, "1", strict=False, known=KNOWN)
        return f"{call.action}; {told(call)}"
    except MessageError as error:
        assert str(error)
        return f"refused, {error.code}: {error}"


def told(message: Any) -> str:
    assert_fit_for_json(message.payload)
    return "; ".join(map(str, message.losses)) or "nothing lost"


def corpus() -> list[Path]:
    return sorted(CORPUS.glob("soap/*_1.5_*"))


# Everything else that calls itself 1.5 is read.
REFUSED = {
    # No operation of OCPP.
    "h_006_1.5_GetLocalList_cp2cs-resp.xml": "has no request <getLocalListResponse>",
    # What a Charge Point sends, addressed to a Charge Point.
    "izi15_032_1.5_DiagnosticsStatusNotification_cs2cp-req.xml": "ChargePointService has no request <diagnosticsStatus",
    # An entity (rule 114).
    "shiv_007_1.5_heartbeat_req.xml": "not well-formed XML",
}


@needs_corpus
@pytest.mark.parametrize("path", corpus(), ids=lambda path: path.name)
def test_the_corpus_is_read_or_refused_with_a_reason(path: Path) -> None:
    became = outcome(path.read_bytes())
    print(f"{path.name}: {became}")
    refused = REFUSED.get(path.name)
    assert became.startswith("refused") is (refused is not None), became
    assert refused is None or refused in became


@needs_corpus
def test_the_list_of_the_refused_is_of_files_that_exist() -> None:
    assert REFUSED.keys() <= {path.name for path in corpus()}
