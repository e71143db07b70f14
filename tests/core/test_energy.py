"""The energy register in a MeterValues: read or unread, in any unit, or not there."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from bridge.core.energy import register_of
from bridge.ocpp.messages import MeterValuesRequest
from bridge.ocpp.rpc import Call, UnopenedRequest

AT = "2026-01-01T00:00:00Z"


def payload(*samples: dict[str, Any]) -> dict[str, Any]:
    return {"connectorId": 1, "meterValue": [{"timestamp": AT, "sampledValue": [sample]} for sample in samples]}


def unread(data: bytes) -> Call:
    return Call(unique_id="1", action="MeterValues", payload=UnopenedRequest(raw=Raw(data)))


@pytest.mark.parametrize(
    ("samples", "energy"),
    [
        ([{"value": "1500"}], 1500.0),
        ([{"value": "1.5", "unit": "kWh"}], 1500.0),
        ([{"value": "7", "measurand": "Energy.Active.Import.Register", "unit": "Wh"}], 7.0),
        ([{"value": "7"}, {"value": "9"}], 9.0),
        ([{"value": "7"}, {"value": "230", "measurand": "Voltage", "unit": "V"}], 7.0),
        ([{"value": "7"}, {"value": "3", "phase": "L1"}], 7.0),
        ([{"value": "7", "measurand": "Energy.Active.Export.Register"}], None),
        ([{"value": "7", "unit": "varh"}], None),
        ([{"value": "OCMF|{}"}], None),
        ([{"value": "nan"}], None),
        ([{"value": "1e999"}], None),
    ],
)
def test_the_last_register_of_all_phases_is_found(samples: list[dict[str, Any]], energy: float | None) -> None:
    data = payload(*samples)
    read = msgspec.convert(data, MeterValuesRequest)
    assert register_of(Call(unique_id="1", action="MeterValues", payload=read)) == energy
    assert register_of(unread(json.dumps(data).encode())) == energy


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"{}", b'{"meterValue":[{}]}', b'{"meterValue":[{"sampledValue":[{}]}]}']
)
def test_what_has_no_register_tells_none(data: bytes) -> None:
    assert register_of(unread(data)) is None


@given(st.binary(max_size=50) | st.text(max_size=50).map(str.encode))
def test_no_octets_are_an_accident(data: bytes) -> None:
    assert register_of(unread(data)) is None
