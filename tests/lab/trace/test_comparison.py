"""Where two answers differ."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.lab.trace.comparison import differences

TIME = "2026-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("then", "now", "expected"),
    [
        ({"status": "Accepted"}, {"status": "Accepted"}, []),
        ({"status": "Accepted"}, {"status": "Rejected"}, ["status: was 'Accepted', is 'Rejected'"]),
        ({"a": {"b": [1, 2]}}, {"a": {"b": [1, 3]}}, ["a.b[1]: was 2, is 3"]),
        ({"a": [1]}, {"a": [1, 2]}, ["a: was [1], is [1, 2]"]),
        ({"a": 1}, {}, ["a: was 1, is absent"]),
        ({}, {"a": "x"}, ["a: was absent, is 'x'"]),
        ({"transactionId": 1}, {"transactionId": 2}, []),
        ({"transactionId": 1}, {}, ["transactionId: was 1, is absent"]),
        ({"interval": 300}, {"interval": "soon"}, ["interval: was 300, is 'soon'"]),
        ({"currentTime": TIME}, {"currentTime": "2027-01-01T00:00:00+02:00"}, []),
        ({"currentTime": TIME}, {"currentTime": "noon"}, [f"currentTime: was {TIME!r}, is 'noon'"]),
        ({"idTagInfo": {"parentIdTag": "***"}}, {"idTagInfo": {"parentIdTag": "ANNA"}}, []),
        ([], {}, ["the answer: was [], is {}"]),
    ],
)
def test_differences(then: Any, now: Any, expected: list[str]) -> None:
    assert [str(each) for each in differences(then, now)] == expected
