"""The format, as it is written and read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bridge.recorder.trace_records import TraceError, read, write
from tests.lab.trace.samples import call, error, result

LINE: dict[str, Any] = {
    "schemaVersion": "1.1",
    "timestamp": "2026-01-01T00:00:00.500Z",
    "transport": "json",
    "direction": "cp-to-csms",
    "messageType": "CALL",
    "messageId": "1",
    "action": "Heartbeat",
}


def line(**changes: Any) -> bytes:
    changed = LINE | changes
    return json.dumps({name: value for name, value in changed.items() if value is not None}).encode()


def test_what_is_written_is_read() -> None:
    trace = [call("1", "Authorize", {"idTag": "a", "limit": 1}), result("1"), error("2", "GenericError")]
    assert read([write(record) for record in trace]) == trace


def test_numbers_keep_their_digits() -> None:
    (record,) = read([line()[:-1] + b',"payload":{"limit":16.10}}'])
    assert b'"limit":16.10' in write(record)


def test_what_no_version_has_yet_is_passed_over() -> None:
    (record,) = read([b"\n", line(colour="red"), b""])
    assert record.at == 1767225600.5


def test_a_time_without_a_zone_is_utc() -> None:
    (record,) = read([line(timestamp="2026-01-01T00:00:00")])
    assert record.at == 1767225600


@pytest.mark.parametrize(
    "wrong",
    [
        b"{",
        b"\xff",
        b"[]",
        line(schemaVersion="2.0"),
        line(schemaVersion=None),
        line(timestamp="yesterday"),
        line(transport="fax"),
        line(direction="up"),
        line(messageType="CALL", action=None),
        line(messageType="CALLERROR"),
        line(error={"code": "x"}),
        line(connectorId=-1),
        line(meta=[]),
        b'{"payload":' + b"[" * 100_000,
    ],
)
def test_what_is_no_trace_says_where(wrong: bytes) -> None:
    with pytest.raises(TraceError, match=r"^2: "):
        read([line(), wrong])
