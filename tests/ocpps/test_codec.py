"""OCPP-S bodies: what is written is read again and is what the official services want; what is read may be anything."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from lxml import etree
from msgspec import Struct
from msgspec.structs import replace

from bridge.errors import BridgeError, ErrorCode, MessageError
from bridge.ocpp.actions import Party
from bridge.ocpp.enums import JSON_ONLY_UNITS
from bridge.ocpp.losses import Loss, LossReason
from bridge.ocpp.messages import (
    AuthorizeResponse,
    DataTransferRequest,
    GetConfigurationRequest,
    GetConfigurationResponse,
    MeterValuesRequest,
    RemoteStopTransactionRequest,
    SendLocalListRequest,
    StopTransactionRequest,
)
from bridge.ocpp.rpc import Call, CallError, CallResult
from bridge.ocpp.shapes import Kind, Shape, plain, shape_of
from bridge.ocpp.tolerance import nothing_left
from bridge.ocpp.types import KeyValue, MeterValue, SampledValue
from bridge.ocpp.validation import record_of
from bridge.ocppj import codec as ocppj
from bridge.ocpps import envelope
from bridge.ocpps.envelope import SoapVersion, write_fault
from bridge.ocpps.xml import children, local_name, parse
from tests.mutations import mutated
from tests.ocpp.strategies import payloads
from tests.ocpps.wire import (
    CODECS,
    PDUS,
    Pdu,
    envelope_of,
    messages,
    pdu,
    schema,
    with_moments,
    without_nothing,
    zeep_reads,
)

XSI_NIL = "{http://www.w3.org/2001/XMLSchema-instance}nil"
SOMETIMES = settings(max_examples=12)  # of what is done for each of the 58
every_pdu = pytest.mark.parametrize("chosen", PDUS, ids=str)


def written(chosen: Pdu, payload: Struct) -> etree._Element:
    """The body of `payload`, after a journey over the wire. Nothing was lost in writing it."""
    body, losses = chosen.write(payload)
    assert losses == ()
    return envelope.read(envelope_of(body)).body


def elements(body: etree._Element) -> list[etree._Element]:
    """All elements in `body`, itself included, that have other elements by the WSDL."""
    inner = [element for element in body.iter("*") if local_name(element) in RECORDS]
    return [body, *inner]


def records(shape: Shape) -> Iterator[str]:
    """The names of all elements inside that are records themselves."""
    for field in shape.fields.values():
        if field.shape is not None:
            yield field.name
            yield from records(field.shape)


RECORDS = {name for chosen in PDUS for name in records(shape_of(chosen.record))}


def losses_of(read: Call | CallResult) -> list[tuple[str, LossReason]]:
    return [(loss.path, loss.reason) for loss in read.losses]


# --- There and back ---


@every_pdu
@SOMETIMES
@given(data=st.data(), strict=st.booleans())
def test_every_pdu_there_and_back(chosen: Pdu, data: st.DataObject, strict: bool) -> None:
    payload = data.draw(payloads(chosen.record))
    read = chosen.read(written(chosen, payload), strict=strict)
    assert (read.payload, read.losses) == (payload, ())


@every_pdu
@SOMETIMES
@given(data=st.data())
def test_from_soap_through_json_to_soap(chosen: Pdu, data: st.DataObject) -> None:
    body = written(chosen, data.draw(payloads(chosen.record)))

    soap_in = chosen.read(body)
    frame = ocppj.read_frame(ocppj.encode(soap_in))
    json_in: Call | CallResult
    if isinstance(frame, ocppj.CallFrame):
        sender = Party.CHARGE_POINT if chosen.service == "CentralSystemService" else Party.CENTRAL_SYSTEM
        json_in = ocppj.decode_call(frame, sender, strict=True)
    else:
        assert isinstance(frame, ocppj.ResultFrame)
        json_in = ocppj.decode_result(frame, chosen.action, strict=True)
    again = written(chosen, json_in.payload)

    assert (soap_in.losses, json_in.losses) == ((), ())
    assert etree.tostring(again, method="c14n") == etree.tostring(body, method="c14n")


# --- What is written, before other judges ---


@every_pdu
@SOMETIMES
@given(data=st.data())
def test_what_is_written_is_what_the_service_wants(chosen: Pdu, data: st.DataObject) -> None:
    full = data.draw(st.sampled_from([True, False, None]))
    body = written(chosen, data.draw(payloads(chosen.record, full=full, empty_texts=True)))
    assert schema(chosen.service).validate(body), schema(chosen.service).error_log.last_error


def test_the_judge_refuses_what_is_not() -> None:
    body = etree.fromstring('<authorizeRequest xmlns="urn://Ocpp/Cs/2015/10/"/>')
    assert not schema("CentralSystemService").validate(body)


@every_pdu
@SOMETIMES
@given(data=st.data())
def test_zeep_reads_the_same_values(chosen: Pdu, data: st.DataObject) -> None:
    payload = data.draw(payloads(chosen.record))
    expected = without_nothing(with_moments(plain(payload), shape_of(chosen.record)))
    assert (zeep_reads(chosen, written(chosen, payload)) or {}) == expected


def test_fields_stand_in_the_order_of_the_wsdl_and_not_of_the_record() -> None:
    for chosen in PDUS:
        body, _ = chosen.write(example_of(chosen))
        names = [element.name for element in chosen.element.type.elements]  # type: ignore[union-attr]
        assert [*dict.fromkeys(local_name(child) for child in body)] == names


def example_of(chosen: Pdu) -> Any:
    """A payload in which every field is there."""
    return full_examples[str(chosen)]


def _full(shape: Shape) -> dict[str, Any]:
    values = {
        Kind.TEXT: "x",
        Kind.LONG_TEXT: "x",
        Kind.INTEGER: 1,
        Kind.DECIMAL: Decimal("1.5"),
        Kind.BOOLEAN: True,
        Kind.TIMESTAMP: "2024-02-29T12:00:00.120Z",
    }
    made: dict[str, Any] = {}
    for field in shape.fields.values():
        if field.shape is not None:
            value: Any = _full(field.shape)
        elif field.kind is Kind.ENUMERATION:
            value = next(iter(field.spellings.values()))
        else:
            assert field.kind is not None
            value = values[field.kind]
        made[field.name] = [value] if field.many else value
    return made


def _full_examples() -> Iterator[tuple[str, Any]]:
    for chosen in PDUS:
        yield str(chosen), record_of(_full(shape_of(chosen.record)), chosen.record)


full_examples = dict(_full_examples())


def test_lexical_forms() -> None:
    body, _ = pdu("SetChargingProfileRequest").write(example_of(pdu("SetChargingProfileRequest")))
    texts = {local_name(element): element.text for element in body.iter("*")}
    assert (texts["limit"], texts["minChargingRate"], texts["connectorId"]) == ("1.5", "1.5", "1")
    assert texts["validFrom"] == "2024-02-29T12:00:00.120Z"
    configuration, _ = pdu("GetConfigurationResponse").write(example_of(pdu("GetConfigurationResponse")))
    assert {local_name(element): element.text for element in configuration.iter("*")}["readonly"] == "true"


@pytest.mark.parametrize(
    ("value", "text"),
    [("16", "16.0"), ("1E+2", "100.0"), ("-0.0", "-0.0"), ("16.50", "16.5"), ("999999999999.9", "999999999999.9")],
)
def test_a_decimal_has_one_digit_and_no_exponent(value: str, text: str) -> None:
    made = _full(shape_of(pdu("SetChargingProfileRequest").record))
    made["csChargingProfiles"]["chargingSchedule"]["chargingSchedulePeriod"][0]["limit"] = Decimal(value)
    body, _ = pdu("SetChargingProfileRequest").write(record_of(made, pdu("SetChargingProfileRequest").record))
    assert [element.text for element in body.iter("{*}limit")] == [text]
    assert schema("ChargePointService").validate(body)


# --- Tolerant in: what does not matter ---


def shuffled(data: st.DataObject, body: etree._Element) -> None:
    """Other orders of children, in which those of one name keep theirs."""
    for element in elements(body):
        names = data.draw(st.permutations([local_name(child) for child in element]))
        queues: dict[str, list[etree._Element]] = {}
        for child in [*element]:
            queues.setdefault(local_name(child), []).append(child)
            element.remove(child)
        for name in names:
            element.append(queues[name].pop(0))


def commented(data: st.DataObject, body: etree._Element) -> None:
    """Comments and instructions between children, and in the middle of texts."""
    for element in [*body.iter("*")]:
        made = data.draw(st.sampled_from([etree.Comment(" c "), etree.ProcessingInstruction("p", "i"), None]))
        if made is None:
            continue
        made = deepcopy(made)
        at = data.draw(st.integers(0, len(element.text or "")))
        made.tail = (element.text or "")[at:] or None
        element.text = (element.text or "")[:at] or None
        element.insert(0, made)


def renamespaced(data: st.DataObject, body: etree._Element) -> None:
    """Children of no namespace, or of another's."""
    for element in body.iter("*"):
        spoken = data.draw(st.sampled_from(["", "{urn://Ocpp/Cp/2012/06/}", "{urn://Ocpp/Cs/2015/10}"]))
        element.tag = spoken + local_name(element)


def padded(data: st.DataObject, body: etree._Element) -> None:
    """White space between elements, as of a document that was made to be read."""
    for element in elements(body):
        element.text = "\n  "
        for child in element:
            child.tail = data.draw(st.text(" \t\n", max_size=3))


def attributed(data: st.DataObject, body: etree._Element) -> None:
    """Attributes that say nothing new."""
    for element in body.iter("*"):
        element.set("{http://www.w3.org/2001/XMLSchema-instance}type", "xs:string")
        element.set(XSI_NIL, data.draw(st.sampled_from(["false", "0"])))


@pytest.mark.parametrize("change", [shuffled, commented, renamespaced, padded, attributed])
@given(drawn=messages(), data=st.data())
def test_what_does_not_matter(
    change: Callable[[st.DataObject, etree._Element], None], drawn: tuple[Pdu, Any], data: st.DataObject
) -> None:
    chosen, payload = drawn
    body = written(chosen, payload)
    change(data, body)
    read = chosen.read(envelope.read(envelope_of(body)).body)
    # Of the sender's namespace there is a line, which costs nothing.
    lost = [loss for loss in read.losses if loss.reason is not LossReason.SENDERS_NAMESPACE]
    assert (read.payload, lost) == (payload, [])


def test_the_changes_above_reach_every_depth() -> None:
    body, _ = pdu("MeterValuesRequest").write(example_of(pdu("MeterValuesRequest")))
    assert [local_name(element) for element in elements(body)] == ["meterValuesRequest", "meterValue", "sampledValue"]


# --- Tolerant in: what is lost ---


@given(drawn=messages(), data=st.data())
def test_unknown_elements_are_dropped_with_a_loss(drawn: tuple[Pdu, Any], data: st.DataObject) -> None:
    chosen, payload = drawn
    body = written(chosen, payload)
    count = 0
    for element in elements(body):
        for _ in range(data.draw(st.integers(0, 2))):
            unknown = etree.fromstring("<x:unknown xmlns:x='urn:x'>text<idTag>X</idTag></x:unknown>")
            element.insert(data.draw(st.integers(0, len(element))), unknown)
            count += 1
    read = chosen.read(body)
    assert read.payload == payload
    assert {loss.reason for loss in read.losses} <= {LossReason.UNKNOWN_FIELD}
    assert sum(loss.count for loss in read.losses) == count
    assert all(loss.path.split(".")[-1] == "unknown" for loss in read.losses)


@pytest.mark.parametrize("name", ["StopTransactionRequest", "MeterValuesRequest", "BootNotificationRequest"])
def test_each_of_many_unknown_elements_is_counted(name: str) -> None:
    """However many there are, at every depth, with meter values or without."""
    body = written(pdu(name), example_of(pdu(name)))
    inside = elements(body)
    for element in inside:
        for _ in range(3000):
            etree.SubElement(element, "unknown").text = "text"
    read = pdu(name).read(body)
    assert read.payload == example_of(pdu(name))
    assert sorted((loss.reason, loss.count) for loss in read.losses) == [(LossReason.UNKNOWN_FIELD, 3000)] * len(inside)


@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_misspelled_unit_misleads_however_often_it_stands_there(times: int) -> None:
    unit = "<unti>W</unti>" * times
    body = etree.fromstring(
        "<meterValuesRequest><connectorId>1</connectorId><meterValue><timestamp>2024-02-29T12:00:00Z</timestamp>"
        f"<sampledValue><value>1</value></sampledValue><sampledValue><value>7018</value>{unit}</sampledValue>"
        "</meterValue></meterValuesRequest>"
    )
    read = pdu("MeterValuesRequest").read(body)
    assert [sample.value for group in read.payload.meterValue for sample in group.sampledValue] == ["1"]
    assert losses_of(read) == [("meterValue[0].sampledValue[1].unti", LossReason.MISLEADING)]


def test_a_loss_says_where() -> None:
    body = etree.fromstring(
        "<meterValuesRequest><connectorId>1</connectorId>"
        "<meterValue><timestamp>2024-02-29T12:00:00Z</timestamp><sampledValue><value>1</value></sampledValue></meterValue>"
        "<meterValue><timestamp>2024-02-29T12:00:00</timestamp><sampledValue><value>1</value></sampledValue>"
        "<sampledValue><value>2</value><signed>x</signed><unit/></sampledValue></meterValue>"
        "</meterValuesRequest>"
    )
    read = pdu("MeterValuesRequest").read(body)
    assert losses_of(read) == [
        ("meterValue[1].timestamp", LossReason.ASSUMED_ZONE),
        ("meterValue[1].sampledValue[1].signed", LossReason.UNKNOWN_FIELD),
        ("meterValue[1].sampledValue[1].unit", LossReason.EMPTY_OPTIONAL),
    ]
    assert {loss.message for loss in read.losses} == {"MeterValuesRequest"}


def boot(more: str) -> etree._Element:
    source = "<chargePointVendor>V</chargePointVendor><chargePointModel>M</chargePointModel>"
    return parse(
        f"<bootNotificationRequest xmlns:i='http://www.w3.org/2001/XMLSchema-instance'>{source}{more}"
        f"</bootNotificationRequest>".encode()
    )


@pytest.mark.parametrize(
    ("more", "iccid", "losses"),
    [
        ("<iccid>1</iccid>", "1", []),
        ("<iccid> 1 </iccid>", " 1 ", []),
        ("<iccid/>", None, [("iccid", LossReason.EMPTY_OPTIONAL)]),
        ("<iccid></iccid>", None, [("iccid", LossReason.EMPTY_OPTIONAL)]),
        ("<iccid><!-- none --></iccid>", None, [("iccid", LossReason.EMPTY_OPTIONAL)]),
        ("<iccid i:nil='true'/>", None, []),
        ("<iccid i:nil='1'/>", None, []),
        ("<iccid i:nil='true'>1</iccid>", None, []),
        ("<iccid nil='true'>1</iccid>", "1", [("iccid.nil", LossReason.UNKNOWN_FIELD)]),
        ("<iccid>1</iccid><iccid>2</iccid>", "2", [("iccid", LossReason.REPEATED)]),
        ("<iccid>1</iccid><iccid>2</iccid><iccid>3</iccid>", "3", [("iccid", LossReason.REPEATED)]),
        ("<Iccid>1</Iccid>", "1", [("Iccid", LossReason.MISNAMED)]),
        ("<iccid>1</iccid><Iccid>2</Iccid>", "1", [("Iccid", LossReason.UNKNOWN_FIELD)]),
    ],
)
def test_one_optional_text(more: str, iccid: str | None, losses: list[tuple[str, LossReason]]) -> None:
    read = pdu("BootNotificationRequest").read(boot(more))
    assert (read.payload.iccid, losses_of(read)) == (iccid, losses)


@pytest.mark.parametrize(
    ("source", "code", "path"),
    [
        ("<authorizeRequest/>", "ProtocolError", "idTag"),
        ("<authorizeRequest>04A2B3</authorizeRequest>", "ProtocolError", "idTag"),
        (
            "<authorizeRequest><idTag>123456789012345678901</idTag></authorizeRequest>",
            "PropertyConstraintViolation",
            "idTag",
        ),
        (
            "<authorizeRequest xmlns:i='http://www.w3.org/2001/XMLSchema-instance'><idTag i:nil='true'/>"
            "</authorizeRequest>",
            "ProtocolError",
            "idTag",
        ),
        (
            "<statusNotificationRequest><connectorId>x</connectorId><status>Available</status>"
            "<errorCode>NoError</errorCode></statusNotificationRequest>",
            "TypeConstraintViolation",
            "connectorId",
        ),
        (
            "<statusNotificationRequest><connectorId/><status>Available</status>"
            "<errorCode>NoError</errorCode></statusNotificationRequest>",
            "TypeConstraintViolation",
            "connectorId",
        ),
        (
            "<statusNotificationRequest><connectorId>2147483648</connectorId><status>Available</status>"
            "<errorCode>NoError</errorCode></statusNotificationRequest>",
            "PropertyConstraintViolation",
            "connectorId",
        ),
        (
            "<statusNotificationRequest><connectorId>1</connectorId><status>Occupied</status>"
            "<errorCode>NoError</errorCode></statusNotificationRequest>",
            "PropertyConstraintViolation",
            "status",
        ),
        # Something stands where meter values belong, and nobody knows what.
        (
            "<meterValuesRequest><connectorId>1</connectorId><reading><at>1</at></reading></meterValuesRequest>",
            "ProtocolError",
            "meterValue",
        ),
        (
            "<meterValuesRequest><connectorId>1</connectorId><meterValue><timestamp>2024-02-29T12:00:00Z</timestamp>"
            "<reading>1</reading></meterValue></meterValuesRequest>",
            "ProtocolError",
            "meterValue",
        ),
    ],
)
def test_what_cannot_be_forgiven(source: str, code: str, path: str) -> None:
    body = parse(source.encode())
    chosen = next(item for item in PDUS if item.element.name == local_name(body))
    with pytest.raises(MessageError) as caught:
        chosen.read(body)
    assert (caught.value.code.value, caught.value.path) == (code, path)


@pytest.mark.parametrize(
    "inside",
    [
        "",
        "<meterValue/>",
        "<meterValue><timestamp>2024-02-29T12:00:00Z</timestamp></meterValue>",
        "<meterValue><timestamp>2024-02-29T12:00:00Z</timestamp><sampledValue/></meterValue>",
        "<meterValue><timestamp>soon</timestamp><sampledValue><value>1</value></sampledValue></meterValue>",
        "<meterValue><timestamp>2024-02-29T12:00:00Z</timestamp><sampledValue><value>1</value><unit>Furlong</unit>"
        "</sampledValue></meterValue>",
    ],
)
def test_a_meter_values_without_a_value_is_one_that_nobody_is_sent(inside: str) -> None:
    body = parse(f"<meterValuesRequest><connectorId>1</connectorId>{inside}</meterValuesRequest>".encode())
    read = pdu("MeterValuesRequest").read(body)
    assert nothing_left(read.payload)
    assert losses_of(read)[-1] == ("meterValue", LossReason.NO_READINGS)


def test_required_texts_may_be_empty() -> None:
    read = pdu("AuthorizeRequest").read(parse(b"<authorizeRequest><idTag/></authorizeRequest>"))
    assert (read.payload.idTag, read.losses) == ("", ())


def test_an_empty_value_of_a_configuration_key_is_one() -> None:
    key = "<configurationKey><key>K</key><readonly> TRUE </readonly>{}</configurationKey>"
    source = f"<getConfigurationResponse>{key}</getConfigurationResponse>"
    chosen = pdu("GetConfigurationResponse")
    for value, read_value in (("<value/>", ""), ("", None), ("<value> </value>", " ")):
        read = chosen.read(parse(source.format(value).encode()))
        assert read.payload == GetConfigurationResponse(
            configurationKey=(KeyValue(key="K", readonly=True, value=read_value),)
        )
        assert read.losses == ()


def test_elements_in_a_text_are_kept_as_their_source() -> None:
    inner = 'a &lt; b<x y="1">é&amp;</x><!-- c -->tail'
    source = f"<dataTransferRequest><vendorId>V</vendorId><data>{inner}</data></dataTransferRequest>"
    read = pdu("DataTransferRequest").read(parse(source.encode()))
    assert read.payload == DataTransferRequest(vendorId="V", data=inner)
    assert losses_of(read) == [("data", LossReason.MARKUP_AS_TEXT)]


def test_escaped_elements_in_a_text_are_text() -> None:
    source = "<dataTransferRequest><vendorId>V</vendorId><data>&lt;x/&gt;<![CDATA[<y/>]]></data></dataTransferRequest>"
    read = pdu("DataTransferRequest").read(parse(source.encode()))
    assert (read.payload.data, read.losses) == ("<x/><y/>", ())


# --- What SOAP cannot carry ---

illegal = st.sampled_from([*map(chr, range(32)), "\ufffe", "\uffff", "\ud800", "\udfff"]).filter(
    lambda char: char not in "\t\n\r"
)


@given(before=st.text(max_size=5), char=illegal, after=st.text(max_size=5))
def test_characters_that_xml_does_not_have(before: str, char: str, after: str) -> None:
    sampled = SampledValue(value=before + char + after)
    value = MeterValue(timestamp="2024-02-29T12:00:00Z", sampledValue=(SampledValue(value="1"), sampled))
    with pytest.raises(MessageError) as caught:
        pdu("MeterValuesRequest").write(MeterValuesRequest(connectorId=1, meterValue=(value,)))
    assert caught.value.code is ErrorCode.PropertyConstraintViolation
    assert caught.value.path == "meterValue[0].sampledValue[1].value"


WIDE = [chosen for chosen in PDUS if "transactionId" in shape_of(chosen.record).fields]


@pytest.mark.parametrize("chosen", WIDE, ids=str)
@given(data=st.data(), number=st.integers(2**31, 2**70) | st.integers(-(2**70), -(2**31) - 1))
@example(None, 2**31)
@example(None, -(2**31) - 1)
def test_a_transaction_id_beyond_32_bits(chosen: Pdu, data: st.DataObject | None, number: int) -> None:
    payload = example_of(chosen) if data is None else data.draw(payloads(chosen.record))
    with pytest.raises(MessageError) as caught:
        chosen.write(_replaced(payload, transactionId=number))
    assert (caught.value.code, caught.value.path) == (ErrorCode.PropertyConstraintViolation, "transactionId")


def test_there_are_four_messages_with_a_transaction_id() -> None:
    assert {chosen.record.__name__ for chosen in WIDE} == {
        "MeterValuesRequest",
        "RemoteStopTransactionRequest",
        "StartTransactionResponse",
        "StopTransactionRequest",
    }


@pytest.mark.parametrize("number", [2**31 - 1, -(2**31), 0, -1])
def test_a_transaction_id_of_32_bits(number: int) -> None:
    body = written(pdu("RemoteStopTransactionRequest"), RemoteStopTransactionRequest(transactionId=number))
    assert body[0].text == str(number)


def _replaced(record: Any, **fields: Any) -> Any:
    return replace(record, **fields)


@pytest.mark.parametrize("unit", JSON_ONLY_UNITS)
def test_units_that_only_json_has(unit: Any) -> None:
    values = (SampledValue(value="1", unit=unit), SampledValue(value="2"))
    value = MeterValue(timestamp="2024-02-29T12:00:00Z", sampledValue=values)
    stop = StopTransactionRequest(
        transactionId=1, timestamp="2024-02-29T12:00:00Z", meterStop=2, transactionData=(value,)
    )
    for chosen, payload, path in (
        (pdu("MeterValuesRequest"), MeterValuesRequest(connectorId=1, meterValue=(value,)), "meterValue"),
        (pdu("StopTransactionRequest"), stop, "transactionData"),
    ):
        body, losses = chosen.write(payload)
        spelled = [element.text for element in body.iter("{*}unit")]
        expected = {"Celcius": (["Celsius"], LossReason.RESPELLED_UNIT)}[unit.value]
        assert (spelled, [loss.reason for loss in losses]) == (expected[0], [expected[1]])
        assert losses == (
            Loss(message=chosen.record.__name__, path=f"{path}[0].sampledValue[0].unit", reason=expected[1]),
        )
        assert schema(chosen.service).validate(body)


def test_every_unit_that_only_json_has_is_tested() -> None:
    assert {unit.value for unit in JSON_ONLY_UNITS} == {"Celcius"}


def test_a_unit_in_the_misspelling_of_json_is_not_read_from_soap_in_strict() -> None:
    source = etree.tostring(pdu("MeterValuesRequest").write(example_of(pdu("MeterValuesRequest")))[0]).decode()
    assert "Celsius" in source
    body = parse(source.replace("Celsius", "Celcius").encode())
    with pytest.raises(MessageError, match="Celcius"):
        pdu("MeterValuesRequest").read(body, strict=True)


@pytest.mark.parametrize(
    ("name", "payload", "field"),
    [
        ("GetConfigurationRequest", GetConfigurationRequest(key=()), "key"),
        (
            "SendLocalListRequest",
            SendLocalListRequest(listVersion=1, localAuthorizationList=(), updateType="Full"),  # type: ignore[arg-type]
            "localAuthorizationList",
        ),
    ],
)
def test_an_empty_list_arrives_as_an_absent_one(name: str, payload: Any, field: str) -> None:
    body, losses = pdu(name).write(payload)
    assert [(loss.message, loss.path, loss.reason) for loss in losses] == [(name, field, LossReason.EMPTY_LIST)]
    assert pdu(name).read(body).payload == _replaced(payload, **{field: None})


# --- Calls and answers ---


@pytest.mark.parametrize("name", CODECS)
def test_the_operation_is_that_of_the_body(name: str) -> None:
    for chosen in PDUS:
        body, _ = chosen.write(example_of(chosen))
        mine = chosen.service == name or chosen.action == "DataTransfer"
        if chosen.is_request and mine:
            assert CODECS[name].operation_of(body).name == chosen.action
        else:
            with pytest.raises(MessageError) as caught:
                CODECS[name].operation_of(body)
            assert caught.value.code is ErrorCode.NotImplemented


@pytest.mark.parametrize("source", ["<Heartbeat/>", "<heartBeatRequest/>", "<signCertificateRequest/>", "<x/>"])
def test_an_operation_that_nobody_knows(source: str) -> None:
    for codec in CODECS.values():
        with pytest.raises(MessageError, match="has no request") as caught:
            codec.read_call(envelope.read(envelope_of(parse(source.encode()))), "1", strict=False)
        assert caught.value.code is ErrorCode.NotImplemented


def test_a_call_has_the_id_it_was_given() -> None:
    call = CODECS["CentralSystemService"].read_call(
        envelope.read(envelope_of(parse(b"<heartbeatRequest/>"))), "urn:uuid:7", strict=False
    )
    assert (call.unique_id, call.action) == ("urn:uuid:7", "Heartbeat")


@pytest.mark.parametrize("source", ["<heartbeatRequest/>", "<authorizeResponse/>", "<html/>"])
def test_what_does_not_answer(source: str) -> None:
    with pytest.raises(MessageError, match="does not answer Heartbeat") as caught:
        CODECS["CentralSystemService"].read_answer(
            envelope.read(envelope_of(parse(source.encode()))), "Heartbeat", "1", strict=False
        )
    assert caught.value.code is ErrorCode.FormationViolation


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("soap", SoapVersion)
def test_a_fault_is_an_answer(soap: SoapVersion, strict: bool) -> None:
    error = CallError(unique_id="7", code="NotSupported", description="no", details={"a": Decimal("1.50")})
    body = write_fault(error, "urn://Ocpp/Cp/2015/10/").element(soap)
    opened = envelope.read(envelope_of(body, soap))
    assert CODECS["ChargePointService"].read_answer(opened, "Reset", "7", strict=strict) == error


def test_an_answer_in_the_namespace_of_the_other_service() -> None:
    source = b"<authorizeResponse xmlns='urn://Ocpp/Cp/2012/06/'><idTagInfo><status>ACCEPTED</status></idTagInfo></authorizeResponse>"
    answer = pdu("AuthorizeResponse").read(parse(source))
    assert isinstance(answer.payload, AuthorizeResponse)
    assert answer.payload.idTagInfo.status == "Accepted"


# --- Strict ---

CHANGES: list[tuple[str, str]] = [
    ("xmlns:c", "xmlns:c"),
    ("Accepted", "accepted"),
    ("12:00:00.120Z", "12:00:00.120"),
    ("12:00:00.120Z", "13:00:00.120+01:00"),
    ("2024-02-29T12:00:00.120Z", "2024-02-28T24:00:00Z"),
    ("2024-02-29T12", "2023-02-29T12"),
    (">1<", "> 1 <"),
    (">1<", "><"),
    (">1<", ">2147483648<"),
    (">1<", ">+1<"),
    (">1.5<", ">1.55<"),
    (">1.5<", ">1.50<"),
    (">1.5<", ">16<"),
    (">1.5<", ">1e1<"),
    (">x<", "><"),
    (">x<", f">{'x' * 600}<"),
    (">x<", "><b/>x<"),
    (">x<", "><!-- -->x<"),
    (">true<", ">True<"),
    (">true<", ">1<"),
    ("<c:", "<c:extra/><c:"),
    ("</c:", "<c:extra/></c:"),
    ("urn://Ocpp", "urn:other"),
    ("<c:value>x</c:value>", ""),
    ("<c:value>x</c:value>", "<c:value>x</c:value><c:value>x</c:value>"),
    ("<c:status>", "<c:status> "),
]


def accepts(chosen: Pdu, body: etree._Element, *, strict: bool) -> Call | CallResult | None:
    try:
        read = chosen.read(body, strict=strict)
    except MessageError:
        return None
    assert isinstance(read, Call | CallResult)
    return read


@every_pdu
def test_strict_takes_exactly_what_the_xsd_takes_and_no_request_that_costs_something(chosen: Pdu) -> None:
    source = etree.tostring(chosen.write(example_of(chosen))[0]).decode()
    tried = 0
    for old, new in CHANGES:
        at = [index for index in range(len(source)) if source.startswith(old, index)]
        for index in at:
            changed_source = source[:index] + new + source[index + len(old) :]
            try:
                body = parse(changed_source.encode())
            except MessageError:
                continue
            if local_name(body) != chosen.element.name:
                continue
            tried += 1
            valid = schema(chosen.service).validate(body)
            tolerant = accepts(chosen, body, strict=False)
            strict = accepts(chosen, body, strict=True)
            # What a valid answer costs is told, strict or not: it cannot be unasked.
            free = tolerant is not None and (isinstance(tolerant, CallResult) or not tolerant.losses)
            assert (strict is not None) is (valid and free), changed_source
            if strict is not None:
                assert tolerant == strict
    assert tried


def test_strict_refuses_other_orders() -> None:
    body, _ = pdu("StartTransactionRequest").write(example_of(pdu("StartTransactionRequest")))
    assert accepts(pdu("StartTransactionRequest"), body, strict=True)
    body.append(body[0])
    assert accepts(pdu("StartTransactionRequest"), body, strict=False)
    with pytest.raises(MessageError, match=r"connectorId|idTag") as caught:
        pdu("StartTransactionRequest").read(body, strict=True)
    assert caught.value.code is ErrorCode.FormationViolation


def test_strict_refuses_an_assumed_zone_in_a_request() -> None:
    chosen = pdu("StopTransactionRequest")
    body = chosen.write(StopTransactionRequest(transactionId=1, timestamp="2024-02-29T12:00:00Z", meterStop=2))[0]
    when = body.find("{*}timestamp")
    assert when is not None
    when.text = "2024-02-29T12:00:00"
    assert schema("CentralSystemService").validate(body)
    with pytest.raises(MessageError, match=r"timestamp: .*UTC.*strict"):
        chosen.read(body, strict=True)


def test_strict_tells_an_assumed_zone_in_an_answer() -> None:
    source = "<c:heartbeatResponse xmlns:c='urn://Ocpp/Cs/2015/10/'><c:currentTime>2024-02-29T12:00:00</c:currentTime></c:heartbeatResponse>"
    body = parse(source.encode())
    assert schema("CentralSystemService").validate(body)
    read = pdu("HeartbeatResponse").read(body, strict=True)
    assert losses_of(read) == [("currentTime", LossReason.ASSUMED_ZONE)]
    assert plain(read.payload) == {"currentTime": "2024-02-29T12:00:00Z"}


# --- Whatever comes in is a Call, an answer or a BridgeError ---

PIECES = [
    *(
        b"<",
        b">",
        b"&",
        b"]]>",
        b"<!-- -->",
        b"<?x y?>",
        b"&#13;",
        b"\x00",
        b"\xff",
        b"\xef\xbf\xbf",
        b"<b/>",
        b"<![CDATA[<]]>",
    ),
    *(
        b" xsi:nil='true'",
        b" xmlns=''",
        b"NaN",
        b"INF",
        b"1e9999999",
        b"9" * 5000,
        b"-",
        b"+1",
        b"0x1",
        b"2147483648",
        b"T",
    ),
    *(b"24:00:00", b"+14:00", b"<c:x>" * 300, b"<Fault/>", b"<!DOCTYPE a>", "١".encode(), b"\xc2\xa0", b"<c:value/>"),
]


@st.composite
def sent(draw: st.DrawFn) -> bytes:
    chosen, payload = draw(messages())
    return envelope_of(chosen.write(payload)[0])


def survive(data: bytes) -> None:
    try:
        opened = envelope.read(data)
    except MessageError:
        return
    for codec in CODECS.values():
        for strict in (True, False):
            for action in ("Heartbeat", "MeterValues", "GetConfiguration", local_action(opened.body)):
                try:
                    answer = codec.read_answer(opened, action, "1", strict=strict)
                    assert isinstance(answer, CallResult | CallError)
                    ocppj.encode(answer)
                except BridgeError as error:
                    assert error.description
            try:
                call = codec.read_call(opened, "1", strict=strict)
                assert isinstance(call, Call)
                ocppj.encode(call)
            except BridgeError as error:
                assert error.description


def local_action(body: etree._Element) -> str:
    name = local_name(body).removesuffix("Response")
    return name[:1].upper() + name[1:]


@given(st.binary() | st.lists(st.sampled_from(PIECES)).map(b"".join))
def test_any_bytes(data: bytes) -> None:
    survive(data)


@settings(max_examples=300)
@given(mutated(sent(), PIECES))
def test_broken_messages(data: bytes) -> None:
    survive(data)


@given(drawn=messages(), data=st.data())
def test_any_text_in_any_field(drawn: tuple[Pdu, Any], data: st.DataObject) -> None:
    chosen, payload = drawn
    body = written(chosen, payload)
    leaves = [element for element in body.iter("*") if not len(element)]
    assume(leaves)
    leaf = data.draw(st.sampled_from(leaves))
    leaf.text = data.draw(
        st.sampled_from(
            [
                "",
                " ",
                "x",
                "NaN",
                "INF",
                "1e9999999",
                "1e-9999999",
                "9" * 5000,
                "1_0",
                "١",
                "true",
                "0001-01-01T00:00:00+14:00",
            ]
        )
        | st.text(st.characters(min_codepoint=32, max_codepoint=0xD7FF))
    )
    survive(envelope_of(body))


@given(drawn=messages(), data=st.data())
def test_any_part_missing_or_doubled(drawn: tuple[Pdu, Any], data: st.DataObject) -> None:
    chosen, payload = drawn
    body = written(chosen, payload)
    inner = [*body.iter("*")][1:]
    assume(inner)
    part = data.draw(st.sampled_from(inner))
    parent = part.getparent()
    assert parent is not None
    if data.draw(st.booleans()):
        parent.remove(part)
    else:
        parent.append(deepcopy(part))
    read = accepts(chosen, body, strict=False)
    if read is not None and nothing_left(read.payload):
        # Nobody is sent it, so it is not written (T4).
        assert LossReason.NO_READINGS in {loss.reason for loss in read.losses}
    elif read is not None:
        again = written(chosen, read.payload)
        assert chosen.read(again).payload == read.payload
        assert all(local_name(child) for child in children(again))
    survive(envelope_of(body))


@pytest.mark.parametrize(
    ("attributes", "lost"),
    [
        ('colour="red"', ["colour"]),
        ('v:Id="7" xmlns:v="urn:v"', ["Id"]),
        ('i:type="T" xmlns:i="http://www.w3.org/2001/XMLSchema-instance"', []),
        ("", []),
    ],
)
def test_an_attribute_of_the_message_itself_is_a_loss(attributes: str, lost: list[str]) -> None:
    chosen = pdu("AuthorizeRequest")
    body = etree.fromstring(
        f'<authorizeRequest xmlns="{chosen.namespace}" {attributes}><idTag>A</idTag></authorizeRequest>'
    )
    assert losses_of(chosen.read(body)) == [(name, LossReason.UNKNOWN_FIELD) for name in lost]
    if lost:
        with pytest.raises(MessageError):
            chosen.read(body, strict=True)
