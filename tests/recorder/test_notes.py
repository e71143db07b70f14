"""What is taken down of a message, so that nothing of it can change any more."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from bridge.core.commands import Outcome, Report
from bridge.ocpp.actions import Party
from bridge.ocpp.enums import ChargePointStatus
from bridge.ocpp.losses import Loss, Reason
from bridge.ocpp.messages import StatusNotificationRequest, StatusNotificationResponse
from bridge.ocpp.rpc import Answer, Call, CallError, CallResult, Unanswered, UnopenedRequest, UnopenedResponse
from bridge.ocpp.wire import SEEN, End, Transport
from bridge.recorder.notes import Ended, Ending, Noted, Notes, ended

CP = Party.CHARGE_POINT
LOSS = (Loss(message="StatusNotificationRequest", path="x", reason=Reason.ROUNDED),)
CALL = Call(
    unique_id="n",
    action="StatusNotification",
    payload=StatusNotificationRequest(connectorId=1, errorCode="NoError", status=ChargePointStatus.Available),  # type: ignore[arg-type]
    losses=LOSS,
)
FRAME = b'[2, "n", "Heartbeat", {"a": 1}]'
RELAYED = Call(unique_id="n", action="Heartbeat", payload=UnopenedRequest(raw=msgspec.Raw(b'{"a": 1}'), frame=FRAME))


def report(call: Call = CALL, answer: Answer | None = None, **more: Any) -> Report:
    values: dict[str, Any] = {"sender": CP, "outcome": Outcome.RESULT, "arrived": 1.0, "ended": 2.0} | more
    return Report(call=call, answer=answer, **values)


def of(report: Report, *, framed: bool = False) -> Ended:
    return ended(Ending(1, 5.0, "A", report), framed=framed)


RESULT = CallResult(unique_id="n", payload=StatusNotificationResponse(), losses=LOSS)


def test_a_model_is_kept_as_its_json() -> None:
    note = of(report(answer=RESULT, hop_id="f", sent=1.5))
    assert (note.request, note.response) == (b'{"connectorId":1,"status":"Available","errorCode":"NoError"}', b"{}")
    assert (note.opened, note.answered, note.losses) == (True, "read", LOSS * 2)
    assert (note.why, note.hop_id, note.arrived, note.sent, note.ended) == (None, "f", 1.0, 1.5, 2.0)


def test_what_was_not_opened_is_kept_as_it_is() -> None:
    frame = b'[3, "f", {"b": 2}]'
    answer = CallResult(unique_id="n", payload=UnopenedResponse(raw=msgspec.Raw(b'{"b": 2}'), frame=frame))
    note = of(report(RELAYED, answer))
    assert (note.request, note.response) == (FRAME, frame)
    assert (note.opened, note.answered) == (False, "unopened")


def test_a_request_that_stands_in_a_frame_is_not_kept_twice() -> None:
    assert of(report(), framed=True).request is None


def test_an_operators_command_came_in_no_frame() -> None:
    request = UnopenedRequest(raw=msgspec.Raw(b'{"a": 1}'))
    call = Call(unique_id="n", action="ClearCache", payload=request)
    assert of(report(call, operator=True)).request == b'{"a": 1}'


@pytest.mark.parametrize(
    ("answer", "response", "answered"),
    [
        (
            CallError(unique_id="n", code="X"),
            b'{"code":"X","description":"","details":{}}',
            "error",
        ),
        (Unanswered(unique_id="n", reason="it is gone"), None, "error"),
        (None, None, "not"),
    ],
)
def test_what_is_no_result(answer: Answer | None, response: bytes | None, answered: str) -> None:
    note = of(report(answer=answer, outcome=Outcome.ERROR))
    assert (note.response, note.answered) == (response, answered)
    assert note.why


def sent(unique_id: str, transport: Transport) -> Noted:
    return (SEEN, End("A", False), 1.0, False, transport, "call", unique_id, None, b"x")


def test_a_frame_that_was_sent_is_remembered_until_its_call_has_ended() -> None:
    notes = Notes()
    ends = [Ending(number, 5.0, "A", report(hop_id="f")) for number in range(3)]
    noted = notes.of([sent("f", "soap"), ends[0], sent("f", "json"), ends[1], ends[2]])
    assert [note.request is None for note in noted if isinstance(note, Ended)] == [False, True, False]


def test_frames_whose_calls_never_end_are_forgotten() -> None:
    notes, end = Notes(), Ending(1, 5.0, "A", report(hop_id="0"))
    notes.of([sent(str(number), "json") for number in range(10_001)])
    (noted,) = notes.of([end])
    assert isinstance(noted, Ended) and noted.request is not None
