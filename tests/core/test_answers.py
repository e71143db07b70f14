"""An answer on its way back: it says the same under another name, and what reading it cost is told once."""

from __future__ import annotations

import pytest

from bridge.core.answers import outcome_of, readdressed, without_losses
from bridge.core.commands import Outcome
from bridge.ocpp.losses import Loss, LossReason
from bridge.ocpp.messages import HeartbeatResponse
from bridge.ocpp.rpc import Answer, CallError, CallResult, Unanswered

LOST = Loss(message="HeartbeatResponse", path="x", reason=LossReason.UNKNOWN_FIELD)
RESULT = CallResult(unique_id="hop", payload=HeartbeatResponse(currentTime="2026-11-22T12:00:00Z"), losses=(LOST,))
ERROR = CallError(unique_id="hop", code="Custom", description="why", details={"a": 1})
NOTHING = Unanswered(unique_id="hop", reason="gone")


@pytest.mark.parametrize(
    ("answer", "outcome"), [(RESULT, Outcome.RESULT), (ERROR, Outcome.ERROR), (NOTHING, Outcome.UNANSWERED)]
)
def test_each_kind_comes_to_its_outcome_and_keeps_what_it_says(answer: Answer, outcome: Outcome) -> None:
    assert outcome_of(answer) is outcome
    there = readdressed(answer, "call")
    assert there.unique_id == "call" and readdressed(there, "hop") == answer


@pytest.mark.parametrize("answer", [RESULT, ERROR, NOTHING])
def test_a_repetition_gets_it_without_losses(answer: Answer) -> None:
    again = without_losses(answer)
    assert getattr(again, "losses", ()) == ()
    assert getattr(again, "payload", None) == getattr(answer, "payload", None)
