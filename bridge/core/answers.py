"""An answer on its way back: what it comes to, and under which name it is told."""

from __future__ import annotations

from bridge.core.commands import Outcome
from bridge.ocpp.rpc import Answer, CallError, CallResult, Unanswered


def outcome_of(answer: Answer) -> Outcome:
    """How its Call ended."""
    match answer:
        case CallResult():
            return Outcome.RESULT
        case CallError():
            return Outcome.ERROR
        case Unanswered():
            return Outcome.UNANSWERED


def readdressed(answer: Answer, unique_id: str) -> Answer:
    """The answer under the UniqueId that its Call had where it came from."""
    match answer:
        case CallResult(payload=payload, losses=losses):
            return CallResult(unique_id=unique_id, payload=payload, losses=losses)
        case CallError(code=code, description=description, details=details):
            return CallError(unique_id=unique_id, code=code, description=description, details=details)
        case Unanswered(reason=reason):
            return Unanswered(unique_id=unique_id, reason=reason)


def told_again(answer: Answer) -> Answer:
    """The answer as it is told once more: what reading it cost has been told."""
    return CallResult(unique_id=answer.unique_id, payload=answer.payload) if isinstance(answer, CallResult) else answer
