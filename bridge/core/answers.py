"""Answers to the sender of a Call: the outcome, the UniqueId, and whether the sender gets the answer at all."""

from __future__ import annotations

from msgspec import structs

from bridge.core.commands import Outcome
from bridge.core.links import Side
from bridge.ocpp.actions import TRANSACTION_RELATED, Party
from bridge.ocpp.rpc import Answer, CallError, CallResult, Unanswered


def outcome_of(answer: Answer) -> Outcome:
    """Return the outcome of the Call that `answer` ends."""
    match answer:
        case CallResult():
            return Outcome.RESULT
        case CallError():
            return Outcome.ERROR
        case Unanswered():
            return Outcome.UNANSWERED


def readdressed(answer: Answer, unique_id: str) -> Answer:
    """Return the answer under `unique_id`, the UniqueId that the sender gave its Call."""
    match answer:
        case CallResult(payload=payload, losses=losses, verbatim=verbatim):
            return CallResult(unique_id=unique_id, payload=payload, losses=losses, verbatim=verbatim)
        case CallError(code=code, description=description, details=details):
            return CallError(unique_id=unique_id, code=code, description=description, details=details)
        case Unanswered():
            return structs.replace(answer, unique_id=unique_id)


def without_losses(answer: Answer) -> Answer:
    """Return the answer for a repetition, without losses: they were reported with the first copy."""
    if not isinstance(answer, CallResult):
        return answer
    return CallResult(unique_id=answer.unique_id, payload=answer.payload, verbatim=answer.verbatim)


def is_kept_back(sender: Party, side: Side, action: str) -> bool:
    """Return whether the sender of a Call should get no answer, rather than an error for the failed link.

    OCPP-J cannot say that the link failed and not the message. A Charge Point that gets a CALLERROR may discard a
    message that bills energy (DESIGN section 1, promise 1).

    Args:
        sender: The party that sent the Call.
        side: The properties of the sender's transport.
        action: The action of the Call.
    """
    return sender is Party.CHARGE_POINT and side.carries_answers and action in TRANSACTION_RELATED
