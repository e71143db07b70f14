"""Which answer belongs to which Call."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from bridge.lab.trace.correlation import correlate
from bridge.recorder.trace_records import read
from tests.lab.trace.samples import call, error, result
from tests.reference import TRACES, needs_traces

FIXTURES = sorted(TRACES.glob("fixtures/*/trace.jsonl"))


@needs_traces
@pytest.mark.parametrize("trace", FIXTURES, ids=[path.parent.name for path in FIXTURES])
def test_the_fixtures(trace: Path) -> None:
    view = json.loads(msgspec.json.encode(correlate(read(trace.read_bytes().splitlines()))))
    assert view == json.loads((trace.parent / "expected.json").read_text())


def test_an_id_that_is_used_again_is_the_latest_call_s() -> None:
    view = correlate([call("1", "Heartbeat"), call("1", "Authorize"), result("1"), result("1"), result("1")])
    assert [each.correlates_with for each in view.records[2:4]] == [1, 0]
    assert [each.action for each in view.records[2:4]] == ["Authorize", "Heartbeat"]
    assert (view.orphan_responses, view.unanswered_calls) == ((4,), ())


def test_directions_are_apart() -> None:
    view = correlate([call("1", "Heartbeat"), call("1", "Reset", up=False), error("1", "GenericError", up=False)])
    assert (view.answers(), view.unanswered_calls) == ({1: 2}, (0,))
    assert (view.counts.records, view.counts.calls, view.counts.call_errors) == (3, 2, 1)
