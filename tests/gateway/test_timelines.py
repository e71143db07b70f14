"""Meter values as series, whatever the messages hold."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bridge.gateway.timelines import series_of
from bridge.recorder import CallRecord


def values(*samples: dict[str, Any], connector: Any = 1, at: Any = "2026-01-01T00:00:00Z") -> CallRecord:
    request = {"connectorId": connector, "meterValue": [{"timestamp": at, "sampledValue": list(samples)}]}
    return CallRecord(id=1, at=0.0, action="MeterValues", outcome="result", request=request, response={})


def test_each_measurand_of_each_connector_is_a_series_in_order() -> None:
    power = {"measurand": "Power.Active.Import", "unit": "W"}
    found = series_of(
        [
            values({"value": "20"} | power, {"value": "1500"}, at="2026-01-01T00:01:00Z"),
            values({"value": "10"} | power, at="2026-01-01T00:00:00Z"),
            values({"value": "7", "measurand": "Current.Import", "phase": "L1"}, connector=2),
        ]
    )
    begin = 1_767_225_600.0
    assert [(one.connector, one.measurand, one.unit, one.phase, one.points) for one in found] == [
        (1, "Energy.Active.Import.Register", "Wh", None, [(begin + 60, 1500.0)]),
        (1, "Power.Active.Import", "W", None, [(begin, 10.0), (begin + 60, 20.0)]),
        (2, "Current.Import", "", "L1", [(begin, 7.0)]),
    ]


def test_what_is_no_number_and_has_no_time_is_left_out() -> None:
    odd = [
        values({"value": "OCMF|x"}, {"value": "inf"}, {"value": None}),
        values({"value": "1"}, at="soon"),
        values({"value": "1"}, at=None),
        values({"value": "1"}, connector="one"),
        CallRecord(id=1, at=0.0, action="MeterValues", outcome="error", request=None, response="?"),
        CallRecord(id=1, at=0.0, action="MeterValues", outcome="error", request={"meterValue": [1]}, response=None),
    ]
    assert series_of(odd) == []


ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["value", "unit", "x"]), inner),
)


@given(ANYTHING, ANYTHING, ANYTHING)
def test_no_content_is_an_accident(sample: Any, connector: Any, at: Any) -> None:
    request = {"connectorId": connector, "meterValue": [{"timestamp": at, "sampledValue": [sample, {"value": sample}]}]}
    series_of([CallRecord(id=1, at=0.0, action="MeterValues", outcome="result", request=request, response=None)])
