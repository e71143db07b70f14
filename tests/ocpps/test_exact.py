"""The quick way in and the way that forgives are one: what the first reads, the second reads alike, without a Loss."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree
from msgspec import Struct

from bridge.dialects.versions import DIALECTS
from bridge.errors import MessageError
from bridge.ocpp.actions import Party
from bridge.ocpp.losses import Loss
from bridge.ocpp.messages import MeterValuesRequest
from bridge.ocpp.rpc import CallError
from bridge.ocpp.types import MeterValue, SampledValue
from bridge.ocpps import exact
from bridge.ocpps.codec import Codec
from bridge.ocpps.envelope import Addressing, Envelope, SoapVersion
from bridge.ocpps.exact import ExactPlan, NotExact
from bridge.ocpps.wsdl import ComplexType, Element
from tests.dialects import strategies
from tests.dialects.strategies import service
from tests.dialects.test_dialects import EVERY, KNOWN, PDU, damage, name_of
from tests.ocpp.strategies import payloads
from tests.ocpps.wire import PDUS, SERVICES, Pdu, pdu

FEW = settings(max_examples=8)
CALLERS = {"CentralSystemService": Party.CHARGE_POINT, "ChargePointService": Party.CENTRAL_SYSTEM}


class Forgiving(Codec):
    """Without the quick way."""

    def _read_exact(self, *args: Any) -> Any:
        raise NotExact


def outcome(codec: Codec, action: str, is_request: bool, body: etree._Element) -> tuple[Struct, tuple[Loss, ...]] | str:
    opened = Envelope(soap=SoapVersion.V12, identity=None, addressing=Addressing(), body=body)
    try:
        if is_request:
            call = codec.read_call(opened, "1", strict=False, known=KNOWN)
            return call.payload, call.losses
        answer = codec.read_answer(opened, action, "1", strict=False, known=KNOWN)
    except MessageError as error:
        return str(error)
    assert not isinstance(answer, CallError)
    return answer.payload, answer.losses


def assert_alike(version: str, caller: Party, action: str, is_request: bool, body: etree._Element) -> None:
    both = [kind(service(version, caller), DIALECTS[version]) for kind in (Codec, Forgiving)]
    quick, forgiving = (outcome(codec, action, is_request, body) for codec in both)
    assert quick == forgiving


@pytest.mark.parametrize("chosen", PDUS, ids=str)
@FEW
@given(draw=st.data())
def test_of_1_6(chosen: Pdu, draw: st.DataObject) -> None:
    body, _ = chosen.write(draw.draw(payloads(chosen.record)))
    for _ in range(draw.draw(st.integers(0, 2))):
        damage(draw, body)
    assert_alike("1.6", CALLERS[chosen.service], chosen.action, chosen.is_request, body)


@pytest.mark.parametrize(("version", "pdu"), EVERY, ids=lambda item: item if isinstance(item, str) else name_of(item))
@FEW
@given(draw=st.data())
def test_of_older_versions(version: str, pdu: PDU, draw: st.DataObject) -> None:
    body = strategies.body(version, pdu, draw.draw(strategies.data(version, pdu)))
    for _ in range(draw.draw(st.integers(0, 2))):
        damage(draw, body)
    caller, action, is_request = pdu
    assert_alike(version, caller, action, is_request, body)


def plan_of(element: Element) -> ExactPlan:
    assert isinstance(element.type, ComplexType)
    return ExactPlan(element.type, SERVICES["CentralSystemService"].namespace)


METER_VALUES = pdu("MeterValuesRequest")
READING = MeterValuesRequest(
    connectorId=1,
    meterValue=(MeterValue(timestamp="2026-11-22T12:00:00Z", sampledValue=(SampledValue(value="1"),)),),
)


def test_what_the_fleet_sends_takes_the_quick_way() -> None:
    body, _ = METER_VALUES.write(READING)
    data = exact.read(body, plan_of(METER_VALUES.element))
    assert exact.record_of(data, MeterValuesRequest) == READING


@pytest.mark.parametrize(
    ("what", "instead"),
    [
        ("<c:connectorId>1</c:connectorId>", "<connectorId>1</connectorId>"),
        ("<c:connectorId>1</c:connectorId>", "<c:connectorId> 1</c:connectorId>"),
        ("<c:connectorId>1</c:connectorId>", "<c:connectorId>-1</c:connectorId>"),
        ("<c:connectorId>1</c:connectorId>", "<c:connectorId>٣</c:connectorId>"),
        ("<c:connectorId>1</c:connectorId>", "<c:connectorId>1</c:connectorId><c:connectorId>2</c:connectorId>"),
        ("<c:value>1</c:value>", "<c:value/>"),
        ("<c:value>1</c:value>", "<c:value>1<!-- or -->2</c:value>"),
        ("<c:value>1</c:value>", "<c:value>1</c:value><!-- that was it -->"),
        ("<c:value>1</c:value>", "<c:value>1</c:value><c:color>red</c:color>"),
        ("<c:value>1</c:value>", ""),
    ],
)
def test_what_is_odd_does_not(what: str, instead: str) -> None:
    body, _ = METER_VALUES.write(READING)
    text = etree.tostring(body, encoding="unicode")
    assert what in text
    with pytest.raises(NotExact):
        exact.read(etree.fromstring(text.replace(what, instead)), plan_of(METER_VALUES.element))


def test_what_the_model_refuses_is_odd() -> None:
    with pytest.raises(NotExact):
        exact.record_of({"connectorId": 1}, MeterValuesRequest)
