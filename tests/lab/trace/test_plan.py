"""What of a trace is to be sent."""

from __future__ import annotations

import pytest

from bridge.lab.trace.plan import RecordedCall, ReplayedTransactions, plan
from bridge.ocpp.comparison import PlainAnswer
from bridge.recorder.trace_records import TraceError
from tests.lab.trace.samples import call, error, result

TRACE = [
    call("1", "Heartbeat", second=2, charge_point_id="A"),
    result("1", {"currentTime": "x"}, second=3),
    call("c", "Reset", {"type": "Soft"}, second=4, up=False, charge_point_id="A"),
    error("c", "NotSupported", second=5, up=False),
    call("2", "Authorize", {"idTag": "***"}, second=6, charge_point_id="A"),
    call("3", "Reset", second=7, up=False),
]


def test_the_charge_point_s_calls_and_answers() -> None:
    planned = plan(TRACE)
    assert [(step.at, step.action, step.expected) for step in planned.steps] == [
        (0.0, "Heartbeat", PlainAnswer(payload={"currentTime": "x"})),
        (4.0, "Authorize", None),
    ]
    assert planned.answers == {"Reset": [({"type": "Soft"}, PlainAnswer(code="NotSupported"))]}
    assert (planned.identity, planned.masked, planned.commands) == ("A", 1, 1)


def test_one_of_several() -> None:
    trace = [call("1", "Heartbeat", charge_point_id="A"), call("2", "Authorize", charge_point_id="B")]
    with pytest.raises(TraceError, match="of 2 Charge Points: say with --identity which"):
        plan(trace)
    assert [step.action for step in plan(trace, "B").steps] == ["Authorize"]
    with pytest.raises(TraceError, match="no CALL of the Charge Point C"):
        plan(trace, "C")
    assert plan(trace[:1], "C").identity == "C"
    assert plan([call("1", "Heartbeat")]).identity == "CP-1"


def test_nothing_to_send() -> None:
    with pytest.raises(TraceError, match="it holds no CALL to be sent"):
        plan([result("1")])


def test_new_transaction_ids() -> None:
    transactions = ReplayedTransactions()
    transactions.learn({"transactionId": 1}, {"transactionId": 77})
    transactions.learn({"transactionId": 2}, None)
    renewed = transactions.renewed({"transactionId": 1, "a": [{"transactionId": 2}], "connectorId": 1})
    assert renewed == {"transactionId": 77, "a": [{"transactionId": 2}], "connectorId": 1}


def test_answers_as_they_were_given() -> None:
    first, second, third = (
        PlainAnswer(payload={"n": 1}),
        PlainAnswer(payload={"n": 2}),
        PlainAnswer(payload={"n": 3}),
    )
    answers = RecordedCall({"X": [({"a": 1}, first), ({"a": 2}, second), ({"a": 3}, third)]})
    given = [answers.answer("X", request) for request in ({"a": 2}, {"a": 9}, {"a": 9}, {"a": 9})]
    assert given == [second, first, third, third]
    assert answers.actions() == ["X"]
