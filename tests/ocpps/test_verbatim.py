"""Between two parties of one older version a Body passes as it came (design: OCPP 1.5 and 1.2 in their own words)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from bridge.dialects.known import Known
from bridge.errors import ErrorCode, MessageError
from bridge.ocpp.actions import Party
from bridge.ocpp.device_profile import DeviceProfile, Overlong
from bridge.ocpp.losses import Loss, LossReason
from bridge.ocpp.rpc import Call, CallResult
from bridge.ocpp.tolerance import nothing_left
from bridge.ocpps.envelope import Addressing, Envelope, SoapVersion
from bridge.ocpps.wsdl import ComplexType, SimpleType
from tests.dialects import strategies
from tests.dialects.strategies import codec

CP, CS = Party.CHARGE_POINT, Party.CENTRAL_SYSTEM
PDU = tuple[Party, str, bool]
AT = "2026-01-02T03:04:05Z"
NOW = Known(now=AT)


def canonical(body: bytes | etree._Element) -> bytes:
    """Without the namespaces that are only in scope: the envelope around it is another one."""
    source = body if isinstance(body, bytes) else etree.tostring(body, with_tail=False)
    return etree.tostring(etree.fromstring(source), method="c14n", exclusive=True)


def opened(body: etree._Element) -> Envelope:
    return Envelope(soap=SoapVersion.V12, identity="CP", addressing=Addressing(), body=body)


def read(version: str, pdu: PDU, body: etree._Element, **options: Any) -> Any:
    """As it is read where it passes."""
    caller, action, is_request = pdu
    told: dict[str, Any] = {"strict": False, "known": NOW, "passes": True} | options
    if is_request:
        return codec(version, caller).read_call(opened(body), "1", **told)
    return codec(version, caller).read_answer(opened(body), action, "1", **told)


def write(version: str, pdu: PDU, said: Call | CallResult, **options: Any) -> tuple[bytes, tuple[Loss, ...]]:
    caller, action, is_request = pdu
    written: Any = codec(version, caller).write_call if is_request else codec(version, caller).write_result
    result: tuple[bytes, tuple[Loss, ...]] = written(said.payload, action, came=said.verbatim, **options)
    return result


def element(version: str, pdu: PDU, inside: str) -> etree._Element:
    name = strategies.element_of(version, pdu).name
    namespace = strategies.service(version, pdu[0]).namespace
    return etree.fromstring(f'<x:{name} xmlns:x="{namespace}" xmlns="{namespace}">{inside}</x:{name}>')


every_pdu = pytest.mark.parametrize(
    ("version", "pdu"),
    [
        pytest.param(version, pdu, id=f"{version} {strategies.element_of(version, pdu).name}")
        for version in ("1.5", "1.2")
        for pdu in strategies.pdus(version)
    ],
)


@every_pdu
def test_what_is_written_is_the_body_that_came(version: str, pdu: PDU) -> None:
    """Texts without a limit in the older version may be longer than 1.6 allows."""

    @given(strategies.data(version, pdu, longest=600), st.booleans())
    def walk(data: Any, strict: bool) -> None:
        body = strategies.body(version, pdu, data)
        if pdu[1:] == ("MeterValues", True) and not data.get("values"):
            assert nothing_left(read(version, pdu, body, strict=False, profile=DeviceProfile()).payload)
            return
        said = read(version, pdu, body, strict=strict, profile=DeviceProfile(overlong=Overlong.REFUSE))
        assert said.losses == ()
        written, losses = write(version, pdu, said)
        assert canonical(written) == canonical(body)
        assert losses == ()
        assert strategies.official_schema(version, pdu[0]).validate(etree.fromstring(written))

    walk()


_NONSENSE = {"boolean": "maybe", "dateTime": "soon", "int": "many"}


def _spoilt(node: etree._Element, kind: Any, way: str, optional: bool = False) -> Iterator[Callable[[], None]]:
    """What spoils one part inside `node` that could be left out, in this way."""
    if isinstance(kind, SimpleType) or kind.text is not None:
        return
    if way == "unknown":
        yield lambda: node.append(etree.fromstring(f'<colour xmlns="{etree.QName(node).namespace}">red</colour>'))
    inside = {inner.name: inner for inner in kind.elements}
    for child in node:
        inner = inside[etree.QName(child).localname]
        may_go = optional or not inner.min_occurs
        yield from _spoilt(child, inner.type, way, may_go)
        leaf = inner.type.text or inner.type if isinstance(inner.type, ComplexType) else inner.type
        if not may_go or not isinstance(leaf, SimpleType):
            continue
        nonsense = "Furlong" if leaf.enumeration else _NONSENSE.get(leaf.base)
        if way == "nonsense" and nonsense is not None and inner.name != "value":  # a text in 1.6
            yield partial(setattr, child, "text", nonsense)
        elif way == "empty" and not inner.min_occurs:
            yield partial(setattr, child, "text", "")
        elif way == "long" and leaf.max_length is not None:
            yield partial(setattr, child, "text", "x" * (leaf.max_length + 1))


@every_pdu
@pytest.mark.parametrize("way", ["unknown", "nonsense", "empty", "long"])
def test_a_body_with_an_optional_part_spoilt_passes_as_it_came(version: str, pdu: PDU, way: str) -> None:
    """T8 over T0: what T1 to T7 would drop, or refuse in a Central System's request, is told and not done."""

    @settings(max_examples=15)
    @given(strategies.data(version, pdu), st.data())
    def walk(data: Any, draw: st.DataObject) -> None:
        body = strategies.body(version, pdu, data)
        transports = list(_spoilt(body, strategies.element_of(version, pdu).type, way))
        if not transports:
            return
        draw.draw(st.sampled_from(transports))()
        said = read(version, pdu, body)
        if said.verbatim is None:
            assert nothing_left(said.payload)
            return
        assert canonical(write(version, pdu, said)[0]) == canonical(body)
        # A setting that is set to nothing, and an empty data, are no faults.
        assert said.losses or way == "empty"
        if said.losses and pdu[2]:
            with pytest.raises(MessageError):
                read(version, pdu, body, strict=True)

    walk()


STOP: PDU = (CP, "StopTransaction", True)
_VALUES = f'<values><timestamp>{AT}</timestamp><value unit="Wh">1</value></values>'
_STOPPED = f"<transactionId>7</transactionId><timestamp>{AT}</timestamp><meterStop>1</meterStop>"


@pytest.mark.parametrize(
    ("pdu", "inside"),
    [
        ((CP, "StatusNotification", True), "<connectorId>0</connectorId><status>Reserved</status>"),
        ((CP, "StatusNotification", True), "<connectorId>0</connectorId><status>Occupied</status>"),
        (
            (CP, "StatusNotification", True),
            f"<connectorId>1</connectorId><status>Faulted</status><info>{'i' * 99}</info>",
        ),
        ((CS, "SendLocalList", True), "<updateType>Full</updateType><listVersion>1</listVersion><hash>aa</hash>"),
        ((CS, "SendLocalList", False), "<status>HashError</status><hash>aa</hash>"),
        (STOP, f"{_STOPPED}<transactionData/><transactionData>{_VALUES}{_VALUES}</transactionData>"),
        ((CS, "ChangeConfiguration", True), "<key>HeartBeatInterval</key><value>1</value>"),
        ((CS, "UnlockConnector", False), "<status>Accepted</status>"),
    ],
)
def test_what_1_6_has_other_words_for_keeps_its_own(pdu: PDU, inside: str) -> None:
    if pdu[1] == "StatusNotification":
        inside = inside.replace("</status>", "</status><errorCode>Mode3Error</errorCode>")
    body = element("1.5", pdu, inside)
    said = read("1.5", pdu, body)
    assert said.losses == ()
    assert canonical(write("1.5", pdu, said)[0]) == canonical(body)


def test_what_the_tolerance_would_change_is_told_and_not_changed() -> None:
    start = "<connectorId> 1 </connectorId><idTag>A</idTag><meterStart>1</meterStart><colour>red</colour>"
    body = element("1.5", (CP, "StartTransaction", True), f"{start}<timestamp>2026-01-02T03:04:05</timestamp>")
    said = read("1.5", (CP, "StartTransaction", True), body)
    assert {loss.path: loss.reason for loss in said.losses} == {
        "colour": LossReason.UNKNOWN_FIELD,
        "timestamp": LossReason.ASSUMED_ZONE,
    }
    assert canonical(write("1.5", (CP, "StartTransaction", True), said)[0]) == canonical(body)


METERED: PDU = (CP, "MeterValues", True)
_AT_1 = f"<connectorId>1</connectorId><values><timestamp>{AT}</timestamp>{{}}</values>"


@pytest.mark.parametrize(
    ("inside", "reasons"),
    [
        (_AT_1.format('<value measurand="Sunshine">1</value>'), {LossReason.UNKNOWN_VALUE, LossReason.NO_READINGS}),
        (_AT_1.format('<value measurand="Sunshine">1</value><value>2</value>'), {LossReason.UNKNOWN_VALUE}),
        (_AT_1.format('<value x:unit="kWh" xmlns:x="urn:x">1</value>'), {LossReason.MISNAMED}),
        (
            f"<connectorId>1</connectorId><meterValue><timestamp>{AT}</timestamp><sampledValue><value>1</value>"
            "</sampledValue></meterValue>",
            {LossReason.SIBLING_SHAPE},
        ),
    ],
)
def test_meter_values_that_the_tolerance_would_mend_pass_as_they_came(inside: str, reasons: set[LossReason]) -> None:
    body = element("1.5", METERED, inside)
    said = read("1.5", METERED, body)
    assert {loss.reason for loss in said.losses} == reasons
    assert canonical(write("1.5", METERED, said)[0]) == canonical(body)
    with pytest.raises(MessageError):
        read("1.5", METERED, body, strict=True)


@pytest.mark.parametrize("inside", ["", f"<values><timestamp>{AT}</timestamp></values>", "<values/>"])
def test_meter_values_without_a_value_do_not_pass(inside: str) -> None:
    said = read("1.5", METERED, element("1.5", METERED, f"<connectorId>1</connectorId>{inside}"))
    assert said.verbatim is None


@pytest.mark.parametrize(
    "inside",
    [
        f"<meterStart>1</meterStart><timestamp>{AT}</timestamp><connectorId>1</connectorId><idTag>A</idTag>",
        "<connectorId>1</connectorId><idTag>A</idTag><timestamp>2026-01-02T03:04:05</timestamp><meterStart>1</meterStart>",
    ],
)
def test_strict_refuses_it(inside: str) -> None:
    with pytest.raises(MessageError):
        read("1.5", (CP, "StartTransaction", True), element("1.5", (CP, "StartTransaction", True), inside), strict=True)


def test_what_cannot_be_read_is_refused_as_ever() -> None:
    body = element("1.5", (CP, "StatusNotification", True), "<connectorId>1</connectorId><status>Asleep</status>")
    with pytest.raises(MessageError) as refusal:
        read("1.5", (CP, "StatusNotification", True), body)
    assert refusal.value.code in (ErrorCode.ProtocolError, ErrorCode.PropertyConstraintViolation)


def test_an_alias_stands_in_the_place_of_the_transaction_id_and_nothing_else_changes() -> None:
    body = element("1.5", STOP, f"<!-- kept -->{_STOPPED}<transactionData>{_VALUES}</transactionData><own>x</own>")
    said = read("1.5", STOP, body)
    renamed = msgspec.structs.replace(said, payload=msgspec.structs.replace(said.payload, transactionId=9_999_999_999))
    expected = etree.tostring(body).replace(b">7<", b">9999999999<")
    assert canonical(write("1.5", STOP, renamed)[0]) == canonical(expected)


def test_a_capped_interval_and_a_dropped_field_are_changed_in_the_body() -> None:
    boot: PDU = (CP, "BootNotification", False)
    inside = f"<status>Accepted</status><currentTime>{AT}</currentTime><heartbeatInterval>900</heartbeatInterval>"
    said = read("1.5", boot, element("1.5", boot, inside))
    capped = msgspec.structs.replace(said, payload=msgspec.structs.replace(said.payload, interval=60))
    assert canonical(write("1.5", boot, capped)[0]) == canonical(element("1.5", boot, inside.replace("900", "60")))
    tag = "<idTagInfo><status>Accepted</status><expiryDate>2026-01-02T03:04:05Z</expiryDate></idTagInfo>"
    authorized: PDU = (CP, "Authorize", False)
    said = read("1.5", authorized, element("1.5", authorized, tag))
    info = msgspec.structs.replace(said.payload.idTagInfo, expiryDate=None)
    dropped = msgspec.structs.replace(said, payload=msgspec.structs.replace(said.payload, idTagInfo=info))
    left = element("1.5", authorized, "<idTagInfo><status>Accepted</status></idTagInfo>")
    assert canonical(write("1.5", authorized, dropped)[0]) == canonical(left)


def test_what_cannot_be_changed_in_the_body_is_written_anew() -> None:
    """OCPP 1.2 lets an answer leave out the interval."""
    boot: PDU = (CP, "BootNotification", False)
    said = read("1.2", boot, element("1.2", boot, "<status>Accepted</status>"))
    assert canonical(write("1.2", boot, said)[0]) == canonical(element("1.2", boot, "<status>Accepted</status>"))
    capped = msgspec.structs.replace(said, payload=msgspec.structs.replace(said.payload, interval=60))
    written = etree.fromstring(write("1.2", boot, capped)[0])
    assert [child.text for child in written] == ["Accepted", AT, "60"]


def test_fractions_are_cut_where_the_route_says_so() -> None:
    beat: PDU = (CP, "Heartbeat", False)
    said = read("1.5", beat, element("1.5", beat, "<currentTime>2026-01-02T03:04:05.678+01:00</currentTime>"))
    written, losses = write("1.5", beat, said, profile=DeviceProfile(fractions=False))
    assert canonical(written) == canonical(element("1.5", beat, "<currentTime>2026-01-02T03:04:05+01:00</currentTime>"))
    assert losses == (Loss(message="HeartbeatResponse", path="currentTime", reason=LossReason.FRACTION),)
    whole = read("1.5", beat, element("1.5", beat, f"<currentTime>{AT}</currentTime>"))
    assert write("1.5", beat, whole, profile=DeviceProfile(fractions=False))[1] == ()


def test_another_version_or_namespace_is_written_anew() -> None:
    beat: PDU = (CP, "Heartbeat", False)
    said = read("1.5", beat, element("1.5", beat, f"<currentTime>{AT}</currentTime>"))
    written = etree.fromstring(write("1.2", beat, said)[0])
    assert written.tag == element("1.2", beat, "").tag
    elsewhere = etree.fromstring(
        f'<heartbeatResponse xmlns="urn:x"><currentTime>{AT}</currentTime></heartbeatResponse>'
    )
    assert read("1.5", beat, elsewhere).verbatim is None
    assert read("1.5", beat, element("1.5", beat, f"<currentTime>{AT}</currentTime>"), passes=False).verbatim is None


def test_namespaces_that_only_a_value_uses_come_along() -> None:
    source = (
        '<Body xmlns:v="urn:vendor" xmlns:c="urn://Ocpp/Cs/2012/06/"><c:dataTransferRequest>'
        "<c:vendorId>v</c:vendorId><c:data>v:name</c:data></c:dataTransferRequest> tail </Body>"
    )
    body = etree.fromstring(source)[0]
    said = read("1.5", (CP, "DataTransfer", True), body)
    written = etree.fromstring(write("1.5", (CP, "DataTransfer", True), said)[0])
    assert written.nsmap["v"] == "urn:vendor"
    assert written.tail is None


@pytest.mark.parametrize(
    ("version", "action", "inside"),
    [
        (
            "1.5",
            "StatusNotification",
            "<connectorId>0</connectorId><status>Reserved</status><errorCode>NoError</errorCode>",
        ),
        ("1.2", "Authorize", "<idTag>a tag of more than twenty characters</idTag>"),
    ],
)
@pytest.mark.parametrize(
    "spelled",
    [
        lambda space: space.rstrip("/"),
        str.upper,
        lambda space: space.replace("/Cs/", "/Cp/"),
        lambda space: space.replace("/Cs/", "/cp/").rstrip("/"),
    ],
)
def test_in_a_namespace_that_is_spelled_otherwise_only_that_is_changed(
    version: str, action: str, inside: str, spelled: Callable[[str], str]
) -> None:
    pdu = (CP, action, True)
    right = element(version, pdu, inside)
    service = strategies.service(version, CP).namespace
    sent = etree.fromstring(etree.tostring(right).replace(service.encode(), spelled(service).encode()))
    written, losses = write(version, pdu, read(version, pdu, sent))
    assert (canonical(written), losses) == (canonical(right), ())
