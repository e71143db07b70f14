"""OCPP-J frames: what is written is read again and is what the official schemas want; what is read may be anything."""

from __future__ import annotations

import json
import re
import string
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import ocpp
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jsonschema import Draft4Validator

from bridge.errors import ErrorCode, MessageError, Why
from bridge.ocpp.actions import ACTIONS, SECURITY_EXTENSIONS, Party
from bridge.ocpp.device_profile import Boot
from bridge.ocpp.losses import LossReason
from bridge.ocpp.messages import (
    AuthorizeRequest,
    BootNotificationRequest,
    ClearCacheRequest,
    DataTransferRequest,
    GetConfigurationRequest,
    HeartbeatRequest,
    MeterValuesRequest,
    Response,
    SetChargingProfileRequest,
    StatusNotificationResponse,
)
from bridge.ocpp.rpc import Call, CallError, CallResult, Unanswered
from bridge.ocpp.shapes import Kind, shape_of
from bridge.ocpp.validation import AS_STRICT
from bridge.ocppj import codec
from bridge.ocppj.codec import (
    CallFrame,
    ErrorFrame,
    Frame,
    FrameError,
    IgnoredFrame,
    ResultFrame,
    decode_call,
    decode_result,
    encode,
    read_frame,
)
from tests.mutations import mutated
from tests.ocpp.strategies import payloads
from tests.ocpp.test_validation import as_json, json_values
from tests.reference import CORPUS, needs_corpus

SCHEMAS = Path(ocpp.__file__).parent / "v16" / "schemas"

unique_ids = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=codec.MAX_UNIQUE_ID)
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
objects = st.dictionaries(words, json_values, max_size=3)


@st.composite
def calls(draw: st.DrawFn) -> tuple[Call, Party]:
    action = draw(st.sampled_from([*ACTIONS.values()]))
    payload = draw(payloads(action.request, soap=False, empty_lists=True, empty_texts=True, wide_ids=True))
    sender = draw(st.sampled_from(sorted(action.senders)))
    return Call(unique_id=draw(unique_ids), action=action.name, payload=payload), sender


@st.composite
def results(draw: st.DrawFn) -> tuple[CallResult, str]:
    action = draw(st.sampled_from([*ACTIONS.values()]))
    payload = draw(payloads(action.response, soap=False, wide_ids=True))
    return CallResult(unique_id=draw(unique_ids), payload=payload), action.name


errors = st.builds(
    CallError,
    unique_id=unique_ids,
    code=words.filter(bool),
    description=words,
    details=objects,
)


def call(text: str | bytes, sender: Party = Party.CHARGE_POINT, *, strict: bool = False) -> Call:
    frame = read_frame(text)
    assert isinstance(frame, CallFrame)
    return decode_call(frame, sender, strict=strict)


def result(text: str | bytes, action: str, *, strict: bool = False) -> CallResult:
    frame = read_frame(text)
    assert isinstance(frame, ResultFrame)
    return decode_result(frame, action, strict=strict)


def call_error(text: str | bytes) -> CallError:
    frame = read_frame(text)
    assert isinstance(frame, ErrorFrame)
    return frame.error


def refused(text: str | bytes, sender: Party = Party.CHARGE_POINT, *, strict: bool = False) -> tuple[str, str]:
    """The code and the path with which a Call is refused."""
    with pytest.raises(MessageError) as caught:
        call(text, sender, strict=strict)
    return caught.value.code.value, caught.value.path


# --- What is written is read again ---


@pytest.mark.parametrize("action", ACTIONS)
@settings(max_examples=20)
@given(data=st.data(), unique_id=unique_ids, strict=st.booleans())
def test_a_call_there_and_back(action: str, data: st.DataObject, unique_id: str, strict: bool) -> None:
    record = ACTIONS[action]
    payload = data.draw(payloads(record.request, soap=False, wide_ids=True))
    sent = Call(unique_id=unique_id, action=action, payload=payload)
    for sender in record.senders:
        assert call(encode(sent), sender, strict=strict) == sent
        assert call(encode(sent).decode(), sender, strict=strict) == sent


@pytest.mark.parametrize("action", ACTIONS)
@settings(max_examples=20)
@given(data=st.data(), unique_id=unique_ids, strict=st.booleans())
def test_a_result_there_and_back(action: str, data: st.DataObject, unique_id: str, strict: bool) -> None:
    record = ACTIONS[action].response
    payload: Response = data.draw(payloads(record, soap=False, wide_ids=True))
    sent = CallResult(unique_id=unique_id, payload=payload)
    assert result(encode(sent), action, strict=strict) == sent


@given(errors)
def test_an_error_there_and_back(sent: CallError) -> None:
    read = call_error(encode(sent))
    assert read == sent
    assert encode(read) == encode(sent)


@given(unique_ids, words)
def test_trouble_of_the_link_is_an_internal_error(unique_id: str, reason: str) -> None:
    assert call_error(encode(Unanswered(unique_id=unique_id, reason=reason))) == CallError(
        unique_id=unique_id, code="InternalError", description=reason
    )


@given(calls())
def test_a_frame_is_json_of_four_elements_without_white_space(sent: tuple[Call, Party]) -> None:
    message, _ = sent
    written = encode(message)
    kind, unique_id, action, payload = json.loads(written)
    assert (kind, unique_id, action, type(payload)) == (2, message.unique_id, message.action, dict)
    assert None not in payload.values()
    # Outside of texts, that is.
    assert not re.search(rb"\s", re.sub(rb'"(?:[^"\\]|\\.)*"', b"", written))


# --- What is written is what the official schemas want ---


@cache
def validator(pdu: str) -> Draft4Validator:
    schema = json.loads((SCHEMAS / f"{pdu.removesuffix('Request')}.json").read_text("utf-8"), parse_float=Decimal)
    return Draft4Validator(schema, format_checker=Draft4Validator.FORMAT_CHECKER)


def test_the_validator_looks_at_formats_and_digits() -> None:
    assert not validator("HeartbeatResponse").is_valid({"currentTime": "yesterday"})
    assert "date-time" in Draft4Validator.FORMAT_CHECKER.checkers
    schedule = {"chargingRateUnit": "A", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": Decimal("21.4")}]}
    conf = {"status": "Accepted", "chargingSchedule": schedule}
    assert validator("GetCompositeScheduleResponse").is_valid(conf)
    schedule["chargingSchedulePeriod"] = [{"startPeriod": 0, "limit": Decimal("21.45")}]
    assert not validator("GetCompositeScheduleResponse").is_valid(conf)


@pytest.mark.parametrize("pdu", [name for action in ACTIONS for name in (f"{action}Request", f"{action}Response")])
@settings(max_examples=20)
@given(data=st.data())
def test_every_pdu_is_accepted_by_its_schema(pdu: str, data: st.DataObject) -> None:
    action = ACTIONS[pdu.removesuffix("Request").removesuffix("Response")]
    if pdu.endswith("Request"):
        request = data.draw(payloads(action.request, soap=False, empty_texts=True, wide_ids=True))
        written = encode(Call(unique_id="1", action=action.name, payload=request))
    else:
        response = data.draw(payloads(action.response, soap=False, empty_texts=True, wide_ids=True))
        written = encode(CallResult(unique_id="1", payload=response))
    validator(pdu).validate(json.loads(written, parse_float=Decimal)[-1])


# --- Whatever comes in is a frame or a FrameError, and a Call or an answer or a MessageError ---


def survive(text: str | bytes) -> None:
    try:
        frame = read_frame(text)
    except FrameError as error:
        assert error.code is ErrorCode.FormationViolation
        return
    survive_decoding(frame)


def survive_decoding(frame: Frame) -> None:
    match frame:
        case CallFrame():
            for sender in Party:
                for strict in (True, False):
                    try:
                        decoded = decode_call(frame, sender, strict=strict)
                    except MessageError as error:
                        encode(CallError.of(frame.unique_id, error))
                    else:
                        encode(decoded)
        case ResultFrame():
            for action in ACTIONS:
                try:
                    encode(decode_result(frame, action, strict=False))
                except MessageError as error:
                    assert error.description
        case ErrorFrame(error=error):
            assert call_error(encode(error)) == error
        case IgnoredFrame():
            assert frame.reason


TOKENS = [
    *(b"null", b"true", b"2", b"[", b"]", b"{", b"}", b'"', b",", b"\\", b":", b"-", b"\x00", b"\xff", b"\xed\xa0\x80"),
    *(b"1e999999", b"1e9999999", b"-1e99999999999999999999", b"9" * 400, b"9" * 5000, b"[" * 90, b"[" * 5000),
    *(b"\\ud800", b"\\u0000", b'"data":{"a":1}', b'"":1,', b"NaN", b"1.0", b"0.05"),
]
frames = (
    calls().map(lambda drawn: encode(drawn[0])) | results().map(lambda drawn: encode(drawn[0])) | errors.map(encode)
)


@given(st.text() | st.text(string.punctuation + "0123456789" + "aeu "))
@example("")
@example("\ud800")
@example('["\ud800"]')
@example("\ufeff[2]")
def test_any_text(text: str) -> None:
    survive(text)


@given(st.binary())
def test_any_bytes(data: bytes) -> None:
    survive(data)


@given(st.lists(json_values, max_size=7) | st.tuples(st.sampled_from([2, 3, 4]), json_values, json_values, json_values))
def test_any_json(value: Any) -> None:
    survive(json.dumps(value, default=str))


@settings(max_examples=300)
@given(mutated(frames, TOKENS))
def test_broken_frames(data: bytes) -> None:
    survive(data)
    survive(data.decode("utf-8", "replace"))


@given(action=st.sampled_from([*ACTIONS]), payload=objects, data=st.data())
def test_any_payload(action: str, payload: dict[str, Any], data: st.DataObject) -> None:
    names = [*shape_of(ACTIONS[action].request).fields, *shape_of(ACTIONS[action].response).fields, "other"]
    payload |= data.draw(st.dictionaries(st.sampled_from(names), json_values, max_size=4))
    for frame in ([2, "1", action, payload], [3, "1", payload]):
        survive(as_json(frame))


@pytest.mark.parametrize("depth", [*range(90, 1100, 45), 100_000])
def test_any_depth(depth: int) -> None:
    deep = "[" * depth + "]" * depth
    for text in (
        deep,
        f'[2,"1","DataTransfer",{{"vendorId":"a","data":{deep}}}]',
        f'[2,"1","DataTransfer",{deep}]',
        f'[4,"1","InternalError","",{{"a":{deep}}}]',
        f'[4,"1","InternalError","",{deep}]',
        f'[{deep},"1"]',
    ):
        survive(text)
        survive(text.removesuffix("]"))


# --- Frames ---


@pytest.mark.parametrize("kind", ["1", "5", "0", "-1", "22", '"2"', "null", "true", "{}", "[]", "2.5", "1e400"])
def test_an_unknown_message_type_is_ignored(kind: str) -> None:
    assert isinstance(read_frame(f'[{kind},"19223201","Heartbeat",{{}}]'), IgnoredFrame)


def test_nothing_is_ignored_too() -> None:
    assert isinstance(read_frame("[]"), IgnoredFrame)
    assert len(read_frame(f'["{"x" * 10_000}"]').reason) < 200  # type: ignore[union-attr]


def test_white_space_and_a_float_for_the_type_are_forgiven() -> None:
    for text in (' [ 2 , "1" ,\n"Heartbeat"\t, { } ] \r\n', '[2.0,"1","Heartbeat",{}]'):
        assert call(text) == Call(unique_id="1", action="Heartbeat", payload=HeartbeatRequest())


@pytest.mark.parametrize("written", ["7", "0", "-12", "1.50", "1e5", "18446744073709551616"])
def test_a_number_for_an_id_is_its_digits(written: str) -> None:
    assert call(f'[2,{written},"Heartbeat",{{}}]').unique_id == written
    assert result(f"[3, {written} ,{{}}]", "MeterValues").unique_id == written
    assert call_error(f'[4,{written},"GenericError","",{{}}]').unique_id == written


@pytest.mark.parametrize("written", ["null", "true", '""', "{}", "[]", "9" * 5000, '"\\ud800"'])
def test_what_cannot_be_an_id(written: str) -> None:
    for text in (f'[2,{written},"Heartbeat",{{}}]', f"[3,{written},{{}}]", f'[4,{written},"","",{{}}]'):
        with pytest.raises(FrameError) as caught:
            read_frame(text)
        assert caught.value.unique_id is None


def test_depth_has_a_bound() -> None:
    codec.read_frame('[2,"1","x",' + "[" * 31 + "]" * 31 + "]")
    with pytest.raises(codec.FrameError, match="more than 32 objects and lists") as caught:
        codec.read_frame('[2,"1","x",' + '{"a":' * 32 + "1" + "}" * 32 + "]")
    assert (caught.value.unique_id, caught.value.why) == ("1", Why.TOO_DEEP)
    codec.read_frame('[2,"1","x",' + "[" * 98 + "]" * 98 + "]", 99)


@given(st.text(string.ascii_letters, min_size=37, max_size=80))
def test_an_id_that_is_too_long(unique_id: str) -> None:
    # Of a Call: refused, under that id. Of an answer: it answers nothing that we sent, and harms nobody.
    with pytest.raises(FrameError, match="more than 36 characters") as caught:
        read_frame(f'[2,"{unique_id}","Heartbeat",{{}}]')
    assert caught.value.unique_id == unique_id
    assert result(f'[3,"{unique_id}",{{}}]', "MeterValues").unique_id == unique_id


@pytest.mark.parametrize(
    "text",
    [
        '[2,"19223201"]',
        '[2,"19223201","Heartbeat"]',
        '[2,"19223201",{}]',
        '[2,"19223201",5,{}]',
        '[2,"19223201",null,{}]',
        '[2,"19223201","Heartbeat",{},{}]',
        '[2,"19223201","\\ud800",{}]',
        '[2,"19223201","Heartbeat",{}',
        '[2,"19223201","Heartbeat",{]]',
        '[2, "19223201" ,"Heartbeat',
        ' [ 2 ,\n"19223201"',
        b'[2,"19223201","Heart\xffbeat",{}]',
    ],
)
def test_a_broken_call_is_refused_under_its_id(text: str | bytes) -> None:
    with pytest.raises(FrameError) as caught:
        read_frame(text)
    assert (caught.value.code, caught.value.unique_id) == (ErrorCode.FormationViolation, "19223201")


@pytest.mark.parametrize(
    "text",
    ["", "x", "2", '"[2]"', "{}", '{"2":1}', "[2]", "[2,]", '[3,"19223201",{]', '[4,"19223201"', "\ufeff[2]", "[NaN]"],
)
def test_what_is_no_frame_and_has_no_call_to_answer(text: str) -> None:
    with pytest.raises(FrameError) as caught:
        read_frame(text)
    assert caught.value.unique_id is None


def test_a_result_without_a_payload_is_empty() -> None:
    assert result('[3,"1"]', "MeterValues") == result('[3,"1",{}]', "MeterValues")
    assert result('[3,"1",{},"more"]', "MeterValues") == result('[3,"1",{}]', "MeterValues")
    assert result('[3,"1",null]', "MeterValues") == result('[3,"1",{}]', "MeterValues")


# --- CALLERRORs, as peers send them ---


@pytest.mark.parametrize(
    ("text", "code", "description", "details"),
    [
        ('[4,"1","NotSupported","no",{"a":1.50}]', "NotSupported", "no", {"a": Decimal("1.50")}),
        ('[4,"1","NotSupported","no","some text"]', "NotSupported", "no", {"details": "some text"}),
        ('[4,"1","NotSupported","no",["a"]]', "NotSupported", "no", {"details": ["a"]}),
        ('[4,"1","NotSupported","no",5]', "NotSupported", "no", {"details": 5}),
        ('[4,"1","NotSupported","no",null]', "NotSupported", "no", {}),
        ('[4,"1","NotSupported","no",""]', "NotSupported", "no", {}),
        ('[4,"1","NotSupported","no",[]]', "NotSupported", "no", {}),
        ('[4,"1","NotSupported","no"]', "NotSupported", "no", {}),
        ('[4,"1","NotSupported"]', "NotSupported", "", {}),
        ('[4,"1"]', "GenericError", "", {}),
        ('[4,"1","",null,null]', "GenericError", "", {}),
        ('[4,"1",500,["x"],{}]', "GenericError", "", {}),
        ('[4,"1","FormatViolation","",{}]', "FormatViolation", "", {}),
        ('[4,"1","RpcFrameworkError","",{},"more"]', "RpcFrameworkError", "", {}),
        (b'[4,"1","NotSupported","\xff",{}]', "NotSupported", "", {}),
    ],
)
def test_an_error_of_a_peer(text: str | bytes, code: str, description: str, details: dict[str, Any]) -> None:
    read = call_error(text)
    assert read == CallError(unique_id="1", code=code, description=description, details=details)
    # OCPP-J 1.6 section 4.2.3: five elements, whatever it was made of.
    assert len(json.loads(encode(read))) == 5


# --- Actions ---


@given(st.text().filter(lambda name: name not in ACTIONS and name not in SECURITY_EXTENSIONS))
@example("heartbeat")
@example("HEARTBEAT")
@example("/Heartbeat")
@example("")
def test_an_action_that_nobody_knows(name: str) -> None:
    text = json.dumps([2, "1", name, {}])
    if "\\ud" not in text:
        assert refused(text)[0] == "NotImplemented"


@pytest.mark.parametrize("action", [action for action in ACTIONS.values() if len(action.senders) == 1])
def test_an_action_in_the_wrong_direction(action: Any) -> None:
    (sender,) = action.senders
    assert refused(f'[2,"1","{action.name}",{{}}]', sender.other)[0] == "NotSupported"


@pytest.mark.parametrize("sender", Party)
@pytest.mark.parametrize("name", sorted(SECURITY_EXTENSIONS))
def test_the_security_extensions_are_known_but_not_for_soap(name: str, sender: Party) -> None:
    assert refused(f'[2,"1","{name}",{{}}]', sender)[0] == "NotSupported"


def test_a_data_transfer_goes_both_ways() -> None:
    for sender in Party:
        payload = call('[2,"1","DataTransfer",{"vendorId":"org.example"}]', sender).payload
        assert payload == DataTransferRequest(vendorId="org.example")


# --- Payloads. What each rule of tolerance does is in test_tolerance; here: that it is asked, and what is not ---


@pytest.mark.parametrize("payload", ["[]", "5", '"x"', "true", "[{}]"])
def test_a_payload_that_is_no_object(payload: str) -> None:
    assert refused(f'[2,"1","Heartbeat",{payload}]') == ("FormationViolation", "")


def test_no_payload_is_an_empty_one_unless_strict() -> None:
    # OCPP-J 1.6 section 4.2.1.
    assert call('[2,"1","ClearCache",null]', Party.CENTRAL_SYSTEM).payload == ClearCacheRequest()
    assert refused('[2,"1","ClearCache",null]', Party.CENTRAL_SYSTEM, strict=True)[0] == "TypeConstraintViolation"


BOOT = '[2,"1","BootNotification",{"chargePointVendor":"V","chargePointModel":"M"%s}]'


def test_tolerant_reads_and_says_what_it_lost() -> None:
    read = call(BOOT % ',"iccid":null,"firmware":"1.0","imsi":""')
    assert read.payload == BootNotificationRequest(chargePointVendor="V", chargePointModel="M")
    assert [(loss.message, loss.path, loss.reason) for loss in read.losses] == [
        ("BootNotificationRequest", "iccid", LossReason.EMPTY_OPTIONAL),
        ("BootNotificationRequest", "firmware", LossReason.UNKNOWN_FIELD),
        ("BootNotificationRequest", "imsi", LossReason.EMPTY_OPTIONAL),
    ]
    answer = result('[3,"1",{"currentTime":"2024-02-29T12:00:00"}]', "Heartbeat")
    assert [loss.reason for loss in answer.losses] == [LossReason.ASSUMED_ZONE]


@pytest.mark.parametrize(
    ("more", "code"),
    [
        (',"firmware":"1.0"', "FormationViolation"),
        (',"iccid":null', "TypeConstraintViolation"),
        (',"iccid":5', "TypeConstraintViolation"),
        (f',"imsi":"{21 * "1"}"', "PropertyConstraintViolation"),
    ],
)
def test_strict_refuses(more: str, code: str) -> None:
    assert refused(BOOT % more, strict=True)[0] == code


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (BOOT % ',"firmware":"1.0"', True),
        (BOOT % f',"imsi":"{21 * "1"}"', True),
        ('[2,"1","BootNotification",{"chargePointVendor":"V"}]', False),
    ],
)
def test_a_strict_refusal_says_so_if_a_tolerant_route_refuses_nothing(text: str, says: bool) -> None:
    with pytest.raises(MessageError) as caught:
        call(text, strict=True)
    assert caught.value.description.endswith(AS_STRICT) is says


def test_strict_refuses_in_answers_too() -> None:
    frame = read_frame('[3,"1",{"currentTime":"2024-02-29T12:00:00+01:00"}]')
    assert isinstance(frame, ResultFrame)
    assert decode_result(frame, "Heartbeat", strict=False).losses == ()
    with pytest.raises(MessageError, match="currentTime: not a point in time"):
        decode_result(frame, "Heartbeat", strict=True)


@pytest.mark.parametrize(
    ("payload", "code", "path"),
    [
        ("{}", "ProtocolError", "idTag"),
        ('{"idTag":[5,6]}', "TypeConstraintViolation", "idTag"),
        (f'{{"idTag":"{21 * "1"}"}}', "PropertyConstraintViolation", "idTag"),
        ('{"idTag":null}', "TypeConstraintViolation", "idTag"),
    ],
)
def test_what_cannot_be_forgiven_is_refused_with_its_place(payload: str, code: str, path: str) -> None:
    assert refused(f'[2,"1","Authorize",{payload}]') == (code, path)


def test_texts_keep_every_character() -> None:
    tag = "\x00é\U0001f50c<&'\" "
    sent = json.dumps([2, "1", "Authorize", {"idTag": tag}])
    assert call(sent).payload == AuthorizeRequest(idTag=tag)
    assert call(encode(call(sent))).payload == AuthorizeRequest(idTag=tag)


@pytest.mark.parametrize("payload", [b'{"key":["a"],"x":"\xff"}', b'{"key":["a"],"x":"\xed\xa0\x80"}'])
def test_a_payload_that_cannot_be_read_is_never_taken_for_an_empty_one(payload: bytes) -> None:
    frame = b'[2,"1","GetConfiguration",%s]' % payload
    assert refused(frame, Party.CENTRAL_SYSTEM)[0] == "FormationViolation"
    assert call(b'[2,"1","GetConfiguration",{"key":["a"]}]', Party.CENTRAL_SYSTEM).payload == GetConfigurationRequest(
        key=("a",)
    )


PERIOD = {"startPeriod": 0, "limit": "LIMIT"}
SCHEDULE = {"chargingRateUnit": "A", "chargingSchedulePeriod": [PERIOD]}
PROFILE = {
    "chargingProfileId": 1,
    "stackLevel": 0,
    "chargingProfilePurpose": "TxProfile",
    "chargingProfileKind": "Relative",
    "chargingSchedule": SCHEDULE,
}
SET_PROFILE = json.dumps([2, "1", "SetChargingProfile", {"connectorId": 1, "csChargingProfiles": PROFILE}])


@pytest.mark.parametrize(
    ("written", "limit"), [("16", "16"), ("16.0", "16.0"), ("1.65e1", "16.5"), ('"16.5"', "16.5"), ("16.55", "16.5")]
)
def test_a_limit_keeps_its_digits(written: str, limit: str) -> None:
    read = call(SET_PROFILE.replace('"LIMIT"', written), Party.CENTRAL_SYSTEM)
    assert isinstance(read.payload, SetChargingProfileRequest)
    (period,) = read.payload.csChargingProfiles.chargingSchedule.chargingSchedulePeriod
    assert str(period.limit) == limit
    reasons = {'"16.5"': [LossReason.CONVERTED], "16.55": [LossReason.ROUNDED]}.get(written, [])
    assert [loss.reason for loss in read.losses] == reasons
    assert f'"limit":{limit}'.encode() in encode(read)


def test_strict_wants_a_number_for_a_limit() -> None:
    assert call(SET_PROFILE.replace('"LIMIT"', "16"), Party.CENTRAL_SYSTEM, strict=True).losses == ()
    text = SET_PROFILE.replace('"LIMIT"', '"16.5"')
    assert refused(text, Party.CENTRAL_SYSTEM, strict=True)[0] == "TypeConstraintViolation"


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("limit", ["1e9999999", "-1e9999999", "1e99999999999999999999", '"1e9999999"', "9" * 5000])
def test_a_limit_that_nobody_means(limit: str, strict: bool) -> None:
    code, _ = refused(SET_PROFILE.replace('"LIMIT"', limit), Party.CENTRAL_SYSTEM, strict=strict)
    assert code in ("PropertyConstraintViolation", "TypeConstraintViolation")


@pytest.mark.parametrize(
    ("data", "text"),
    [("5", "5"), ("1.50", "1.50"), ('{"a": [1, null]}', '{"a":[1,null]}'), ("true", "true"), ("[1]", "[1]")],
)
def test_json_where_text_belongs_is_kept_as_its_source(data: str, text: str) -> None:
    read = call(f'[2,"1","DataTransfer",{{"vendorId":"a","data":{data}}}]')
    assert read.payload == DataTransferRequest(vendorId="a", data=text)
    assert [loss.reason for loss in read.losses] == [LossReason.NOT_TEXT]


def test_every_opaque_text_is_one_that_the_model_has_no_limit_for() -> None:
    names = {
        name
        for action in ACTIONS.values()
        for record in (action.request, action.response)
        for name, field in shape_of(record).fields.items()
        if field.kind is Kind.LONG_TEXT
    }
    assert names == {"data", "location"}


# --- Frames that were found in the open ---


@needs_corpus
@pytest.mark.parametrize("path", sorted(CORPUS.glob("json/*.json")), ids=lambda path: path.stem)
def test_the_corpus(path: Path) -> None:
    data = path.read_bytes()
    survive(data)
    survive(data.decode())
    try:
        kind, *rest = json.loads(data)
    except ValueError:
        with pytest.raises(FrameError):
            read_frame(data)
        return
    expected = {2: (CallFrame, FrameError), 3: (ResultFrame,), 4: (ErrorFrame,)}[kind]
    try:
        frame: Frame | FrameError = read_frame(data)
    except FrameError as error:
        frame = error
    assert isinstance(frame, expected)
    assert isinstance(frame, FrameError) is (kind == 2 and (len(rest) != 3 or not isinstance(rest[1], str)))
    if not isinstance(frame, FrameError | IgnoredFrame):
        assert frame.unique_id == str(rest[0])


@needs_corpus
@pytest.mark.parametrize("path", sorted(CORPUS.glob("json/*_CALL_*.json")), ids=lambda path: path.stem)
def test_calls_of_the_corpus_that_the_schema_accepts_are_read_with_equal_values(path: Path) -> None:
    try:
        _, _, action, payload = json.loads(path.read_bytes(), parse_float=Decimal)
    except ValueError:
        return
    if action not in ACTIONS or not validator(f"{action}Request").is_valid(payload):
        return
    sender = sorted(ACTIONS[action].senders)[0]
    again = json.loads(encode(call(path.read_bytes(), sender)), parse_float=Decimal)[3]
    said = {name: value for name, value in payload.items() if value != ""}  # what is empty says nothing
    assert _moments_aside(again) == _moments_aside(said)


def _moments_aside(data: Any) -> Any:
    """Offsets are brought to UTC; test_tolerance shows that the moment stays."""
    match data:
        case dict():
            return {name: _moments_aside(value) for name, value in data.items()}
        case list():
            return [*map(_moments_aside, data)]
        case str() if data[10:11] == "T":
            return len(data.partition(".")[2].rstrip("Z").partition("+")[0])
    return data


# --- What one Charge Point, or its Central System, needs ---


@pytest.mark.parametrize(
    ("text", "boot"),
    [
        ('[2,"1","BootNotification",{"chargePointVendor":"V","chargePointModel":"M"}]', Boot(vendor="V", model="M")),
        ('[2,"1","BootNotification",{"firmwareVersion":"1","chargePointModel":5,"x":[]}]', Boot(firmware="1")),
        ('[2,"1","BootNotification",[]]', None),
        ('[2,"1","Heartbeat",{"chargePointVendor":"V"}]', None),
    ],
)
def test_what_a_charge_point_says_of_itself(text: str, boot: Boot | None) -> None:
    frame = read_frame(text)
    assert isinstance(frame, CallFrame)
    assert codec.boot_of(frame) == boot


def _temperatures(*units: str | None) -> Call:
    samples = [{"value": "230.10"} | ({} if unit is None else {"unit": unit}) for unit in units]
    value = {"timestamp": "2026-01-02T03:04:05Z", "sampledValue": samples}
    payload = json.dumps({"connectorId": 1, "meterValue": [value, value]})
    return call(f'[2,"1","MeterValues",{payload}]', Party.CHARGE_POINT)


@pytest.mark.parametrize(("celsius", "other"), [("Celsius", "Celcius"), ("Celcius", "Celsius")])
def test_temperatures_in_the_spelling_that_is_wanted(celsius: str, other: str) -> None:
    respelled, losses = codec.respelled(_temperatures("Wh", other, None), celsius)
    assert respelled == _temperatures("Wh", celsius, None)
    assert [(loss.message, loss.path, loss.reason, loss.count) for loss in losses] == [
        ("MeterValuesRequest", "meterValue[0].sampledValue[1].unit", LossReason.RESPELLED_UNIT, 2)
    ]
    untouched = _temperatures("Wh", celsius, None)
    assert codec.respelled(untouched, celsius) == (untouched, ())


def test_the_temperatures_of_a_transaction() -> None:
    value = {"timestamp": "2026-01-02T03:04:05Z", "sampledValue": [{"value": "1", "unit": "Celsius"}]}
    stop = {"transactionId": 1, "timestamp": "2026-01-02T03:04:05Z", "meterStop": 1}
    with_data = call(json.dumps([2, "1", "StopTransaction", stop | {"transactionData": [value]}]), Party.CHARGE_POINT)
    respelled, losses = codec.respelled(with_data, "Celcius")
    assert b'"Celcius"' in encode(respelled)
    assert [loss.path for loss in losses] == ["transactionData[0].sampledValue[0].unit"]
    without = call(json.dumps([2, "1", "StopTransaction", stop]), Party.CHARGE_POINT)
    beat = call('[2,"1","Heartbeat",{}]', Party.CHARGE_POINT)
    assert codec.respelled(without, "Celcius") == (without, ())
    assert codec.respelled(beat, "Celcius") == (beat, ())


@pytest.mark.parametrize("written", ["1e5", "1E+5", "1.50", "0.1e1", "-2.5E-3", "1E400", "12345678901234567890123"])
def test_a_number_in_the_place_of_a_text_keeps_its_spelling(written: str) -> None:
    readings = f'[{{"timestamp":"2026-01-02T03:04:05Z","sampledValue":[{{"value":{written}}},{written}]}}]'
    sent = decoded(f'[2,"1","MeterValues",{{"connectorId":1,"meterValue":{readings}}}]')
    assert isinstance(sent.payload, MeterValuesRequest)
    assert [sample.value for sample in sent.payload.meterValue[0].sampledValue] == [written, written]
    data = f'{{"a":[{written}],"b":{written}}}'
    sent = decoded(f'[2,"1","DataTransfer",{{"vendorId":"v","data":{data}}}]')
    assert isinstance(sent.payload, DataTransferRequest)
    assert sent.payload.data == data


@pytest.mark.parametrize("field", ["connectorId", "meterStart", "timestamp", "idTag", "reservationId"])
def test_an_exponent_is_read_wherever_a_number_stands(field: str) -> None:
    values = {
        "connectorId": "1",
        "meterStart": "2",
        "timestamp": '"2026-01-02T03:04:05Z"',
        "idTag": '"a"',
        "reservationId": "3",
    }
    payload = ",".join(f'"{name}":{value}' for name, value in (values | {field: "1e1"}).items())
    frame = f'[2,"1","StartTransaction",{{{payload}}}]'
    if field == "timestamp":
        with pytest.raises(MessageError, match="got `decimal`"):
            decoded(frame)
    else:
        assert getattr(decoded(frame).payload, field) == ("1e1" if field == "idTag" else 10)


def decoded(text: str) -> Call:
    frame = read_frame(text)
    assert isinstance(frame, CallFrame)
    return decode_call(frame, Party.CHARGE_POINT, strict=False)


@pytest.mark.parametrize("payload", ["[]", '""', "null", "{}"])
def test_quirk_55_an_answer_that_says_nothing_is_empty(payload: str) -> None:
    """PHP writes an empty object as []."""
    frame = read_frame(f'[3,"1",{payload}]')
    assert isinstance(frame, ResultFrame)
    assert decode_result(frame, "StatusNotification", strict=False).payload == StatusNotificationResponse()
    if payload != "{}":
        with pytest.raises(MessageError):
            decode_result(frame, "StatusNotification", strict=True)
    with pytest.raises(MessageError):
        decode_result(frame, "Heartbeat", strict=False)


def test_a_byte_order_mark_before_a_frame_is_forgiven() -> None:
    text = '[3,"1",{}]'
    assert read_frame(f"\ufeff{text}") == read_frame(f"\ufeff{text}".encode()) == read_frame(text)
