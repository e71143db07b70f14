"""The octets that a Call carries through a Session reach the Report of that Call, and no other."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

from bridge.core.commands import Command, Drop, Keep, Report, SendAnswer, SendCall
from bridge.core.events import AnswerReceived, CallReceived, LinkDown, LinkUp, RecordsKept
from bridge.core.links import SessionTerms, Side
from bridge.core.session import Session
from bridge.ocpp.actions import Party
from bridge.ocpp.messages import (
    BootNotificationRequest,
    HeartbeatRequest,
    HeartbeatResponse,
    Request,
    StopTransactionRequest,
)
from bridge.ocpp.rpc import Answer, Call, CallError, CallResult, Failure, Unanswered
from bridge.ocpp.wire import Octets, Wires

CP, CS = Party.CHARGE_POINT, Party.CENTRAL_SYSTEM
WEBSOCKET = Side(dialable=False, carries_answers=True)
HEARTBEAT = HeartbeatRequest()
NOW = HeartbeatResponse(currentTime="2026-01-01T00:00:00Z")
CAME = Octets("json", 1.0, b"answer")


def session(wires: Callable[[], Wires | None] = lambda: None, **terms: object) -> Session:
    """Two JSON parties, both connected."""
    numbers = count(1)
    made = Session(
        {CP: WEBSOCKET, CS: WEBSOCKET},
        SessionTerms(**terms),  # type: ignore[arg-type]
        mint=lambda: f"h{next(numbers)}",
        chance=lambda: 0.0,
        wires=wires,
    )
    for party in (CP, CS):
        made.handle(LinkUp(at=0.0, party=party))
    return made


def called(at: float, unique_id: str, wires: Wires | None, payload: Request = HEARTBEAT) -> CallReceived:
    action = type(payload).__name__.removesuffix("Request")
    call = Call(unique_id=unique_id, action=action, payload=payload, wires=wires)
    return CallReceived(at=at, party=CP, key=unique_id, call=call)


def answered(at: float, answer: Answer) -> AnswerReceived:
    return AnswerReceived(at=at, party=CS, answer=answer, came=CAME)


def only(commands: list[Command], kind: type[Command]) -> Command:
    (found,) = [command for command in commands if isinstance(command, kind)]
    return found


def test_they_go_with_the_call_its_answer_and_its_report() -> None:
    made, wires = session(), Wires(Octets("json", 0.5, b"request"))
    sent = only(made.handle(called(1.0, "1", wires)), SendCall)
    assert isinstance(sent, SendCall) and sent.call.wires is wires
    commands = made.handle(answered(2.0, CallResult(unique_id=sent.call.unique_id, payload=NOW)))
    told, report = only(commands, SendAnswer), only(commands, Report)
    assert isinstance(told, SendAnswer) and told.wires is wires
    assert isinstance(report, Report) and report.call.wires is wires and wires.answer_received is CAME


def test_an_error_is_an_answer_and_a_link_failure_is_none() -> None:
    for answer, came in (
        (CallError(unique_id="h1", code="GenericError"), CAME),
        (Unanswered(unique_id="h1", reason="malformed", failure=Failure.MALFORMED_ANSWER), None),
    ):
        made, wires = session(), Wires()
        made.handle(called(1.0, "1", wires))
        made.handle(answered(2.0, answer))
        assert wires.answer_received is came


def test_an_answer_that_comes_too_late_is_dropped_with_what_it_came_in() -> None:
    made, wires = session(), Wires()
    made.handle(called(1.0, "1", wires))
    made.handle(LinkDown(at=2.0, party=CP, reason="it hung up"))
    dropped = only(made.handle(answered(3.0, CallResult(unique_id="h1", payload=NOW))), Drop)
    assert isinstance(dropped, Drop) and dropped.came is CAME and wires.answer_received is None
    dropped = only(made.handle(answered(4.0, CallResult(unique_id="h1", payload=NOW))), Drop)
    assert isinstance(dropped, Drop) and dropped.came is CAME


def test_a_repetition_has_its_own() -> None:
    made = session()
    first, second = Wires(), Wires()
    stop = StopTransactionRequest(transactionId=1, timestamp="2026-01-01T00:00:00Z", meterStop=1)
    keep = only(made.handle(called(1.0, "1", first, stop)), Keep)
    assert isinstance(keep, Keep)
    made.handle(RecordsKept(at=1.1, key=keep.key))
    made.handle(called(1.5, "2", second, stop))
    commands = made.handle(answered(2.0, CallError(unique_id="h1", code="GenericError")))
    told = [command.wires for command in commands if isinstance(command, SendAnswer)]
    assert told[0] is first and told[1] is second
    assert (first.answer_received, second.answer_received) == (CAME, None)


def test_a_call_of_the_bridge_itself_carries_them_where_they_are_recorded() -> None:
    posts = Side(dialable=False, carries_answers=False)
    for wires in (Wires, lambda: None):
        numbers = count(1)
        made = Session(
            {CP: posts, CS: Side(dialable=True, carries_answers=True)},
            SessionTerms(replay_boot=True),
            mint=lambda numbers=numbers: f"h{next(numbers)}",  # type: ignore[misc]
            chance=lambda: 0.0,
            wires=wires,
        )
        boot = BootNotificationRequest(chargePointVendor="v", chargePointModel="m")
        made.handle(called(1.0, "1", None, boot))
        made.handle(LinkDown(at=2.0, party=CS, reason="refused"))
        made.handle(called(9.0, "2", None))
        sent = only(made.handle(LinkUp(at=10.0, party=CS)), SendCall)
        assert isinstance(sent, SendCall) and isinstance(sent.call.payload, BootNotificationRequest)
        assert isinstance(sent.call.wires, Wires) is (wires is Wires)
