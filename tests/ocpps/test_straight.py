"""The quick way out and the careful one are one: what the first writes, the second writes alike, without a Loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from bridge.dialects.versions import DIALECTS
from bridge.errors import MessageError
from bridge.ocpp.enums import UnitOfMeasure
from bridge.ocpp.messages import (
    ChangeConfigurationRequest,
    GetConfigurationRequest,
    GetConfigurationResponse,
    MeterValuesRequest,
    StartTransactionResponse,
)
from bridge.ocpp.types import IdTagInfo, KeyValue, MeterValue, SampledValue
from bridge.ocpps import straight
from bridge.ocpps.codec import Codec
from bridge.ocpps.exact import NotExact
from bridge.ocpps.straight import StraightPlan
from tests.dialects.strategies import service
from tests.dialects.test_dialects import EVERY, PDU, name_of, record_type
from tests.ocpp.strategies import payloads
from tests.ocpps.test_exact import CALLERS
from tests.ocpps.wire import PDUS, Pdu, pdu

FEW = settings(max_examples=12)


class Careful(Codec):
    """Without the quick way."""

    _straight: Mapping[str, StraightPlan] = {}


def outcome(codec: Codec, action: str, is_request: bool, payload: Any) -> Any:
    try:
        return (codec.write_call if is_request else codec.write_result)(payload, action)
    except MessageError as error:
        return str(error)


def assert_alike(version: str, pdu: PDU, payload: Struct) -> None:
    caller, action, is_request = pdu
    described, dialect = service(version, caller), DIALECTS[version]
    quick, careful = (outcome(kind(described, dialect), action, is_request, payload) for kind in (Codec, Careful))
    assert quick == careful


def anything(record: type[Struct]) -> st.SearchStrategy[Struct]:
    return payloads(record, soap=False, empty_lists=True, empty_texts=True, wide_ids=True)


@pytest.mark.parametrize("chosen", PDUS, ids=str)
@FEW
@given(draw=st.data())
def test_of_1_6(chosen: Pdu, draw: st.DataObject) -> None:
    payload = draw.draw(anything(chosen.record))
    assert_alike("1.6", (CALLERS[chosen.service], chosen.action, chosen.is_request), payload)


@pytest.mark.parametrize(("version", "pdu"), EVERY, ids=lambda item: item if isinstance(item, str) else name_of(item))
@FEW
@given(draw=st.data())
def test_of_older_versions(version: str, pdu: PDU, draw: st.DataObject) -> None:
    assert_alike(version, pdu, draw.draw(anything(record_type(pdu))))


def straightly(payload: Struct) -> bytes:
    """Raises NotExact."""
    of = pdu(type(payload).__name__)
    return straight.write(payload, StraightPlan(of.element, of.record, of.namespace))


@pytest.mark.parametrize("chosen", PDUS, ids=str)
def test_every_message_of_1_6_has_a_quick_way(chosen: Pdu) -> None:
    assert StraightPlan(chosen.element, chosen.record, chosen.namespace).record is chosen.record


def reading(**parts: Any) -> MeterValuesRequest:
    sample = SampledValue(**({"value": "1", "unit": UnitOfMeasure.A} | parts))
    return MeterValuesRequest(
        connectorId=1, meterValue=(MeterValue(timestamp="2026-11-22T12:00:00.5Z", sampledValue=(sample, sample)),)
    )


def test_what_the_fleet_is_told_takes_the_quick_way() -> None:
    sample = "<c:sampledValue><c:value>1</c:value><c:unit>A</c:unit></c:sampledValue>"
    assert straightly(reading()).decode() == (
        '<c:meterValuesRequest xmlns:c="urn://Ocpp/Cs/2015/10/"><c:connectorId>1</c:connectorId><c:meterValue>'
        f"<c:timestamp>2026-11-22T12:00:00.5Z</c:timestamp>{sample}{sample}</c:meterValue></c:meterValuesRequest>"
    )


@pytest.mark.parametrize(
    "payload",
    [
        reading(value="<"),
        reading(value="\x00"),
        reading(unit=UnitOfMeasure.Celcius),
        StartTransactionResponse(transactionId=2**31, idTagInfo=IdTagInfo(status="Accepted")),  # type: ignore[arg-type]
        ChangeConfigurationRequest(key="a&b", value="1"),
        GetConfigurationRequest(key=()),
        GetConfigurationResponse(configurationKey=(KeyValue(key="\r", readonly=True),)),
    ],
    ids=repr,
)
def test_what_has_to_be_looked_at_does_not(payload: Struct) -> None:
    with pytest.raises(NotExact):
        straightly(payload)


def test_another_record_does_not() -> None:
    of = pdu("MeterValuesRequest")
    with pytest.raises(NotExact):
        straight.write(GetConfigurationRequest(), StraightPlan(of.element, of.record, of.namespace))
    with pytest.raises(NotExact):
        StraightPlan(of.element, GetConfigurationRequest, of.namespace)
