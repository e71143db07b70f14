"""What each Charge Point did is counted, and the last thing that went wrong is remembered; strangers are not."""

from __future__ import annotations

import pytest

from bridge.core.commands import Drop, Outcome, Report
from bridge.errors import BridgeError, ErrorCode, Why
from bridge.gateway.call_counters import CallCounters
from bridge.ocpp.actions import Party
from bridge.ocpp.losses import Loss, LossReason
from bridge.ocpp.messages import HeartbeatRequest, HeartbeatResponse
from bridge.ocpp.rpc import Answer, Call, CallError, CallResult, Unanswered
from bridge.watching.facts import AnswerDropped, CallEnded, ContentLost, HandshakeRefused, LinkLost, MessageRefused

LOSS = Loss(message="HeartbeatRequest", path="x", reason=LossReason.UNKNOWN_FIELD)


def call_counters(*known: str) -> CallCounters:
    return CallCounters(set(known).__contains__, clock=lambda: 7.0)


def report(outcome: Outcome, answer: Answer | None = None, own: bool = False, losses: tuple[Loss, ...] = ()) -> Report:
    call = Call(unique_id="1", action="Heartbeat", payload=HeartbeatRequest(), losses=losses)
    return Report(sender=Party.CHARGE_POINT, call=call, outcome=outcome, arrived=0, ended=1, answer=answer, own=own)


@pytest.mark.parametrize(
    ("outcome", "name", "failed"),
    [
        (Outcome.RESULT, "results", 0),
        (Outcome.REPEATED, "results", 0),
        (Outcome.ERROR, "errors", 1),
        (Outcome.UNANSWERED, "unanswered", 1),
        (Outcome.REFUSED, "refused", 1),
        (Outcome.ABANDONED, "dropped", 0),
    ],
)
def test_every_outcome_is_counted(outcome: Outcome, name: str, failed: int) -> None:
    counted = call_counters("A")
    counted.see(CallEnded("A", report(outcome)))
    counted.see(CallEnded("A", report(outcome, own=True)))  # nobody's but the bridge's
    entry = counted.of("a")
    assert (entry.calls, getattr(entry.told(), name), entry.failed) == (1, 1, failed)


def test_losses_and_drops() -> None:
    counted = call_counters("A")
    result = CallResult(unique_id="1", payload=HeartbeatResponse(currentTime="2026-01-01T00:00:00Z"), losses=(LOSS,))
    counted.see(CallEnded("A", report(Outcome.RESULT, result, losses=(LOSS, LOSS))))
    counted.see(ContentLost("A", (LOSS,)))
    counted.see(ContentLost("A", ()))
    counted.see(AnswerDropped("A", Drop(party=Party.CENTRAL_SYSTEM, unique_id="1", reason="late")))
    assert (counted.of("A").losses, counted.of("A").dropped) == (4, 1)


def test_what_went_wrong_last() -> None:
    counted = call_counters("A")
    counted.see(CallEnded("A", report(Outcome.ERROR, CallError(unique_id="1", code="X", description="y"))))
    assert (counted.of("A").error, counted.of("A").error_at) == ("Heartbeat: X: y", 7.0)
    counted.see(CallEnded("A", report(Outcome.ERROR, CallError(unique_id="1", code="X"))))
    assert counted.of("A").error == "Heartbeat: X"
    counted.see(CallEnded("A", report(Outcome.UNANSWERED, Unanswered(unique_id="1", reason="gone"))))
    assert counted.of("A").error == "Heartbeat: gone"
    counted.see(LinkLost("A", Party.CENTRAL_SYSTEM, "main", "refused"))
    assert counted.of("A").error == "the way to its Central System: refused"
    counted.see(HandshakeRefused("A", "10.0.0.1", 401, "the password", Why.WRONG_PASSWORD))
    assert counted.of("A").error == "HTTP 401: the password"
    counted.see(
        MessageRefused.of("A", None, BridgeError(ErrorCode.InternalError, "see ftp://u:secret@h/ " + "x" * 1000))
    )
    error = counted.of("A").error
    assert error is not None and "secret" not in error and len(error) == 500
    assert counted.of("A").refused == 2


def test_strangers_are_not_counted() -> None:
    counted = call_counters("A")
    for number in range(1000):
        counted.see(HandshakeRefused(f"STRANGER-{number}", "10.0.0.1", 404, "no route", Why.NO_ROUTE))
        counted.see(MessageRefused.of(None, None, BridgeError(ErrorCode.SecurityError, "no route")))
    assert counted._entries == {}
