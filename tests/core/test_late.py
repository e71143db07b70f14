"""Answers after the deadline: which of them are still of use, and who waits for them."""

from __future__ import annotations

import pytest

from bridge.core.lanes import Pending
from bridge.core.late import LateAnswers
from bridge.core.repetitions import fingerprint
from bridge.errors import ErrorCode
from bridge.ocpp.actions import Party
from bridge.ocpp.messages import Request, Response
from bridge.ocpp.rpc import CallError, CallResult, Unanswered
from tests.core.playbook import CP, CS, call_of
from tests.core.samples import HEARTBEAT, HEARTBEAT_CONF, START, START_CONF, STOP, STOP_CONF


def unanswered(payload: Request, hop_id: str | None = "h1", sender: Party = CP) -> Pending:
    pending = Pending(sender=sender, key="c1", call=call_of("c1", payload), arrived=0, deadline=30, own=False)
    pending.mark, pending.hop_id = fingerprint(payload), hop_id
    return pending


def result(payload: Response, hop_id: str = "h1") -> CallResult:
    return CallResult(unique_id=hop_id, payload=payload)


@pytest.mark.parametrize("posted", [False, True])
@pytest.mark.parametrize(("request_", "response"), [(START, START_CONF), (STOP, STOP_CONF)])
def test_an_answer_is_matched_once(request_: Request, response: Response, posted: bool) -> None:
    late, pending = LateAnswers(), unanswered(request_)
    late.expect(pending, posted=posted)
    assert late.answered(CS, result(response, "h2")) is None
    assert late.answered(CS, result(response)) is pending
    assert late.answered(CS, result(response)) is None


def test_only_the_answer_itself_is() -> None:
    late, pending = LateAnswers(), unanswered(START)
    late.expect(pending, posted=False)
    assert late.answered(CP, result(START_CONF)) is None
    assert late.answered(CS, result(STOP_CONF)) is None
    assert late.answered(CS, Unanswered(unique_id="h1", reason="")) is None
    assert late.answered(CS, result(START_CONF)) is not None


@pytest.mark.parametrize("posted", [False, True])
@pytest.mark.parametrize(
    "pending", [unanswered(HEARTBEAT), unanswered(START, None), unanswered(START, sender=CS)], ids=repr
)
def test_nothing_is_expected_of_what_is_not_sent_again_or_never_went_out(pending: Pending, posted: bool) -> None:
    late = LateAnswers()
    late.expect(pending, posted=posted)
    assert late.answered(CS, result(HEARTBEAT_CONF)) is None
    assert late.answered(CS, result(START_CONF)) is None
    assert not late.posts


def test_the_oldest_is_given_up_when_there_are_too_many() -> None:
    late = LateAnswers(limit=2)
    for number in range(3):
        late.expect(unanswered(START, f"h{number}"), posted=False)
    known = [late.answered(CS, result(START_CONF, f"h{number}")) is None for number in range(3)]
    assert known == [True, False, False]


def test_a_call_that_is_over_has_no_deadline_and_its_repetitions_wait_for_its_post() -> None:
    late, pending, again = LateAnswers(), unanswered(START), unanswered(START)
    late.expect(pending, posted=True)
    assert (pending.over, pending.deadline, pending.followers) == (True, float("inf"), [])
    late.posts["h1"].followers.append(again)
    assert list(late.repetitions()) == [again]


def test_a_refusal_is_a_verdict_as_well_and_is_told_once() -> None:
    late, error = LateAnswers(limit=1), CallError(unique_id="h1", code=ErrorCode.InternalError.value)
    late.expect(unanswered(START), posted=False)
    assert late.answered(CS, error) is not None
    late.remember_error("other", error)
    late.remember_error("mark", error)
    assert [late.error_for("other"), late.error_for("mark"), late.error_for("mark")] == [None, error, None]
