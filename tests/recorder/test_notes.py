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
from bridge.recorder.notes import ended

CP = Party.CHARGE_POINT
LOSS = (Loss(message="StatusNotificationRequest", path="x", reason=Reason.ROUNDED),)
CALL = Call(
    unique_id="n",
    action="StatusNotification",
    payload=StatusNotificationRequest(connectorId=1, errorCode="NoError", status=ChargePointStatus.Available),  # type: ignore[arg-type]
    losses=LOSS,
)
RELAYED = Call(unique_id="n", action="Heartbeat", payload=UnopenedRequest(raw=msgspec.Raw(b'{"a": 1}')))


def report(call: Call = CALL, answer: Answer | None = None, **more: Any) -> Report:
    values: dict[str, Any] = {"sender": CP, "outcome": Outcome.RESULT, "arrived": 1.0, "ended": 2.0} | more
    return Report(call=call, answer=answer, **values)


RESULT = CallResult(unique_id="n", payload=StatusNotificationResponse(), losses=LOSS)


def test_a_model_is_kept_as_its_json() -> None:
    note = ended(1, 5.0, "A", report(answer=RESULT, hop_id="f", sent=1.5), False)
    assert (note.request, note.response) == (b'{"connectorId":1,"status":"Available","errorCode":"NoError"}', b"{}")
    assert (note.opened, note.understood, note.answered, note.losses) == (True, True, True, LOSS * 2)
    assert (note.why, note.hop_id, note.arrived, note.sent, note.ended) == (None, "f", 1.0, 1.5, 2.0)


def test_what_was_not_opened_is_kept_as_it_is() -> None:
    answer = CallResult(unique_id="n", payload=UnopenedResponse(raw=msgspec.Raw(b'{"b": 2}')))
    note = ended(1, 5.0, "A", report(RELAYED, answer), False)
    assert (note.request, note.response) == (b'{"a": 1}', b'{"b": 2}')
    assert (note.opened, note.understood) == (False, False)


def test_a_request_that_stands_in_a_frame_is_not_kept_twice() -> None:
    assert ended(1, 5.0, "A", report(), True).request is None
    assert ended(1, 5.0, "A", report(RELAYED), True).request is None


@pytest.mark.parametrize(
    ("answer", "response", "answered"),
    [
        (
            CallError(unique_id="n", code="X"),
            b'{"code":"X","description":"","details":{}}',
            True,
        ),
        (Unanswered(unique_id="n", reason="it is gone"), None, True),
        (None, None, False),
    ],
)
def test_what_is_no_result(answer: Answer | None, response: bytes | None, answered: bool) -> None:
    note = ended(1, 5.0, "A", report(answer=answer, outcome=Outcome.ERROR), False)
    assert (note.response, note.answered, note.understood) == (response, answered, False)
    assert note.why
