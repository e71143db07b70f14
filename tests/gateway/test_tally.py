"""What each Charge Point did is counted, and the last thing that went wrong is remembered; strangers are not."""

from __future__ import annotations

import pytest

from bridge.core.commands import Drop, Outcome, Report
from bridge.errors import BridgeError, ErrorCode, Why
from bridge.gateway.tally import Tally
from bridge.ocpp.actions import Party
from bridge.ocpp.losses import Loss, Reason
from bridge.ocpp.messages import HeartbeatRequest, HeartbeatResponse
from bridge.ocpp.rpc import Answer, Call, CallError, CallResult, Unanswered

LOSS = Loss(message="HeartbeatRequest", path="x", reason=Reason.UNKNOWN_FIELD)


def tally(*known: str) -> Tally:
    return Tally(set(known).__contains__, clock=lambda: 7.0)


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
    counted = tally("A")
    counted.exchanged("A", report(outcome))
    counted.exchanged("A", report(outcome, own=True))  # nobody's but the bridge's
    entry = counted.of("a")
    assert (entry.calls, getattr(entry.told(), name), entry.failed) == (1, 1, failed)


def test_losses_and_drops() -> None:
    counted = tally("A")
    result = CallResult(unique_id="1", payload=HeartbeatResponse(currentTime="2026-01-01T00:00:00Z"), losses=(LOSS,))
    counted.exchanged("A", report(Outcome.RESULT, result, losses=(LOSS, LOSS)))
    counted.lost("A", [LOSS])
    counted.lost("A", [])
    counted.dropped("A", Drop(party=Party.CENTRAL_SYSTEM, unique_id="1", reason="late"))
    assert (counted.of("A").losses, counted.of("A").dropped) == (4, 1)


def test_what_went_wrong_last() -> None:
    counted = tally("A")
    counted.exchanged("A", report(Outcome.ERROR, CallError(unique_id="1", code="X", description="y")))
    assert (counted.of("A").error, counted.of("A").error_at) == ("Heartbeat: X: y", 7.0)
    counted.exchanged("A", report(Outcome.ERROR, CallError(unique_id="1", code="X")))
    assert counted.of("A").error == "Heartbeat: X"
    counted.exchanged("A", report(Outcome.UNANSWERED, Unanswered(unique_id="1", reason="gone")))
    assert counted.of("A").error == "Heartbeat: gone"
    counted.link_down("A", Party.CENTRAL_SYSTEM, "main", "refused")
    assert counted.of("A").error == "the way to its Central System: refused"
    counted.handshake_refused("A", "10.0.0.1", 401, "the password", Why.WRONG_PASSWORD)
    assert counted.of("A").error == "HTTP 401: the password"
    counted.refused("A", None, BridgeError(ErrorCode.InternalError, "see ftp://u:secret@h/ " + "x" * 1000))
    error = counted.of("A").error
    assert error is not None and "secret" not in error and len(error) == 500
    assert counted.of("A").refused == 2


def test_strangers_are_not_counted() -> None:
    counted = tally("A")
    for number in range(1000):
        counted.handshake_refused(f"STRANGER-{number}", "10.0.0.1", 404, "no route", Why.NO_ROUTE)
        counted.refused(None, None, BridgeError(ErrorCode.SecurityError, "no route"))
    assert counted._entries == {}
