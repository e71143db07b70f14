"""Answers after the deadline: which of them are still of use."""

from __future__ import annotations

import pytest

from bridge.core.lanes import Pending
from bridge.core.late import LateAnswers
from bridge.core.memory import Answered, fingerprint
from bridge.ocpp.actions import Party
from bridge.ocpp.messages import Request, Response
from bridge.ocpp.rpc import CallResult, Unanswered
from tests.core.playbook import CP, CS, call_of
from tests.core.samples import HEARTBEAT, HEARTBEAT_CONF, START, START_CONF, STOP, STOP_CONF


def unanswered(payload: Request, hop_id: str | None = "h1", sender: Party = CP) -> Pending:
    pending = Pending(sender=sender, key="c1", call=call_of("c1", payload), arrived=0, deadline=30, own=False)
    pending.mark, pending.hop_id = fingerprint(payload), hop_id
    return pending


def result(payload: Response, hop_id: str = "h1") -> CallResult:
    return CallResult(unique_id=hop_id, payload=payload)


@pytest.mark.parametrize(("request_", "response"), [(START, START_CONF), (STOP, STOP_CONF)])
def test_an_answer_is_matched_once(request_: Request, response: Response) -> None:
    late, pending = LateAnswers(), unanswered(request_)
    late.expect(pending)
    assert late.asked(CS, result(response, "h2")) is None
    assert late.asked(CS, result(response)) == (pending, result(response))
    assert late.asked(CS, result(response)) is None


def test_only_the_answer_itself_is() -> None:
    late, pending = LateAnswers(), unanswered(START)
    late.expect(pending)
    assert late.asked(CP, result(START_CONF)) is None
    assert late.asked(CS, result(STOP_CONF)) is None
    assert late.asked(CS, Unanswered(unique_id="h1", reason="")) is None
    assert late.asked(CS, result(START_CONF)) is not None


@pytest.mark.parametrize(
    "pending", [unanswered(HEARTBEAT), unanswered(START, None), unanswered(START, sender=CS)], ids=repr
)
def test_nothing_is_expected_of_what_is_not_sent_again_or_never_went_out(pending: Pending) -> None:
    late = LateAnswers()
    late.expect(pending)
    assert late.asked(CS, result(HEARTBEAT_CONF)) is None
    assert late.asked(CS, result(START_CONF)) is None


def test_the_oldest_is_given_up_when_there_are_too_many() -> None:
    late = LateAnswers(limit=2)
    for number in range(3):
        late.expect(unanswered(START, f"h{number}"))
    assert [late.asked(CS, result(START_CONF, f"h{number}")) is None for number in range(3)] == [True, False, False]


def test_what_is_put_away_is_told_once() -> None:
    late, record = LateAnswers(), Answered(fingerprint="x", answer=START_CONF)
    late.keep("h1", record)
    assert [late.kept("h2"), late.kept("h1"), late.kept("h1")] == [None, record, None]
