"""What a Charge Point said last, and a TriggerMessage that its version lacks (rule 16)."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from bridge.core.commands import Outcome, Report, SendCall
from bridge.core.events import AnswerReceived
from bridge.core.memory import SessionMemory
from bridge.core.silence import Presence
from bridge.core.triggers import LastSaid, said_again
from bridge.errors import ErrorCode
from bridge.ocpp.enums import (
    ChargePointErrorCode,
    ChargePointStatus,
    DiagnosticsStatus,
    FirmwareStatus,
    MessageTrigger,
    TriggerMessageStatus,
)
from bridge.ocpp.messages import (
    DiagnosticsStatusNotificationRequest,
    FirmwareStatusNotificationRequest,
    MeterValuesRequest,
    MeterValuesResponse,
    Request,
    StatusNotificationRequest,
    StatusNotificationResponse,
    TriggerMessageRequest,
    TriggerMessageResponse,
)
from bridge.ocpp.rpc import CallResult
from bridge.ocpp.types import MeterValue, SampledValue
from tests.core.playbook import (
    CP,
    CS,
    JSON_CENTRAL_SYSTEM,
    SOAP_CENTRAL_SYSTEM,
    SOAP_CHARGE_POINT,
    Playbook,
    answers,
    call_of,
    calls,
    down,
    drops,
    opens,
    refuses,
    sends,
    tells,
    tells_error,
    up,
    wait,
)
from tests.core.samples import (
    AUTHORIZE,
    BOOT,
    HEARTBEAT,
    HEARTBEAT_CONF,
    LIST_VERSION,
    LIST_VERSION_CONF,
    START,
    boot_conf,
)

EARLIER = "2026-01-02T03:04:05Z"
ACCEPTED = TriggerMessageResponse(status=TriggerMessageStatus.Accepted)
NOT_IMPLEMENTED = TriggerMessageResponse(status=TriggerMessageStatus.NotImplemented)
NOTED = StatusNotificationResponse()


def status(word: str, connector: int = 1) -> StatusNotificationRequest:
    return StatusNotificationRequest(
        connectorId=connector,
        status=ChargePointStatus(word),
        errorCode=ChargePointErrorCode.NoError,
        timestamp=EARLIER,
    )


def meter(value: int, connector: int = 1, transaction: int | None = None) -> MeterValuesRequest:
    reading = MeterValue(timestamp=EARLIER, sampledValue=(SampledValue(value=str(value)),))
    return MeterValuesRequest(connectorId=connector, transactionId=transaction, meterValue=(reading,))


def trigger(what: str, connector: int | None = None) -> TriggerMessageRequest:
    return TriggerMessageRequest(requestedMessage=MessageTrigger(what), connectorId=connector)


def lacks(hop_id: str, payload: Any = NOT_IMPLEMENTED) -> AnswerReceived:
    """The Charge Point's version has no such request: it is answered in its place."""
    return AnswerReceived(at=0, party=CP, answer=CallResult(unique_id=hop_id, payload=payload), instead=True)


def again(hop_id: str, payload: Request) -> SendCall:
    """The same, in the Charge Point's name."""
    return structs.replace(
        sends(CS, hop_id, payload), call=structs.replace(call_of(hop_id, payload), losses=(said_again(payload),))
    )


# What is kept


EACH: list[Request] = [
    BOOT,
    DiagnosticsStatusNotificationRequest(status=DiagnosticsStatus.Uploaded),
    FirmwareStatusNotificationRequest(status=FirmwareStatus.Installed),
    HEARTBEAT,
    meter(1),
    status("Available"),
]


@pytest.mark.parametrize("request_", EACH)
def test_every_message_that_can_be_asked_for_is_kept(request_: Request) -> None:
    name = type(request_).__name__.removesuffix("Request")
    for kind in MessageTrigger:
        assert LastSaid([request_]).asked_for(trigger(kind)) == ([request_] if kind == name else [])
    assert {type(request).__name__.removesuffix("Request") for request in EACH} == {*MessageTrigger}


def test_the_last_of_each_connector_is_kept_and_nothing_else() -> None:
    said = LastSaid([status("Available", 2), status("Faulted"), status("Available", 0), AUTHORIZE, START])
    said.see(status("Charging"))
    assert said.asked_for(trigger("StatusNotification")) == [
        status("Available", 0),
        status("Charging"),
        status("Available", 2),
    ]
    assert said.asked_for(trigger("StatusNotification", 1)) == [status("Charging")]
    assert said.asked_for(trigger("StatusNotification", 3)) == []
    assert said.asked_for(trigger("MeterValues")) == []


@pytest.mark.parametrize("request_", EACH[:4])
def test_what_is_about_no_connector_is_about_every_one(request_: Request) -> None:
    what = type(request_).__name__.removesuffix("Request")
    assert LastSaid([request_]).asked_for(trigger(what, 7)) == [request_]


def test_it_has_bounds() -> None:
    said = LastSaid([BOOT], limit=3)
    for connector in range(1000):
        said.see(status("Available", connector))
    assert said.asked_for(trigger("BootNotification")) == []
    assert said.asked_for(trigger("StatusNotification")) == [status("Available", n) for n in (997, 998, 999)]
    said.see(status("Faulted", 997))  # the newest now
    said.see(status("Available", 5))
    assert said.asked_for(trigger("StatusNotification")) == [
        status("Available", 5),
        status("Faulted", 997),
        status("Available", 999),
    ]


# Rule 16


def connected(**terms: Any) -> Playbook:
    return Playbook(SOAP_CHARGE_POINT, JSON_CENTRAL_SYSTEM, **{"emulate_trigger": True} | terms) << up(CP) << up(CS)


def told(playbook: Playbook, key: str, hop: int, payload: Request, answer: Any = NOTED) -> Playbook:
    """The Charge Point says `payload`, and the Central System hears it."""
    return (
        playbook
        << calls(CP, key, payload)
        >> sends(CS, f"h{hop}", payload)
        << answers(CS, f"h{hop}", answer)
        >> tells(CP, key, answer)
    )


def test_it_is_accepted_and_what_was_said_last_is_sent_again_after_the_answer() -> None:
    playbook = told(told(connected(), "c1", 1, status("Available", 2)), "c2", 2, status("Charging"))
    assert (
        playbook
        << calls(CS, "t1", trigger("StatusNotification"))
        >> sends(CP, "h3", trigger("StatusNotification"))
        << lacks("h3")
        >> tells(CS, "t1", ACCEPTED)
        >> again("h6", status("Charging"))
        << answers(CS, "h6", NOTED)
        >> again("h7", status("Available", 2))
        << answers(CS, "h7", NOTED)
    )
    *_, asked, first, second = playbook.reports
    assert (asked.own, asked.call.losses) == (False, ())
    assert [(report.own, report.outcome, report.answer) for report in (first, second)] == [
        (True, Outcome.RESULT, None)
    ] * 2
    assert [report.call.losses for report in (first, second)] == [(said_again(status("Charging")),)] * 2


def test_readings_are_sent_again_as_they_were() -> None:
    playbook = told(connected(), "c1", 1, meter(17, transaction=7), MeterValuesResponse())
    assert (
        playbook
        << calls(CS, "t1", trigger("MeterValues", 1))
        >> sends(CP, "h2", trigger("MeterValues", 1))
        << lacks("h2")
        >> tells(CS, "t1", ACCEPTED)
        >> again("h4", meter(17, transaction=7))
    )


def test_nothing_is_known_of_it() -> None:
    assert (
        told(connected(), "c1", 1, status("Available"))
        << calls(CS, "t1", trigger("StatusNotification", 2))
        >> sends(CP, "h2", trigger("StatusNotification", 2))
        << lacks("h2")
        >> tells(CS, "t1", NOT_IMPLEMENTED)
    )


def test_it_is_off_unless_the_operator_says_otherwise() -> None:
    assert (
        told(connected(emulate_trigger=False), "c1", 1, status("Available"))
        << calls(CS, "t1", trigger("StatusNotification"))
        >> sends(CP, "h2", trigger("StatusNotification"))
        << lacks("h2")
        >> tells(CS, "t1", NOT_IMPLEMENTED)
    )


def test_the_word_of_a_charge_point_that_has_the_request_counts() -> None:
    assert (
        told(connected(), "c1", 1, status("Available"))
        << calls(CS, "t1", trigger("StatusNotification"))
        >> sends(CP, "h2", trigger("StatusNotification"))
        << answers(CP, "h2", NOT_IMPLEMENTED)
        >> tells(CS, "t1", NOT_IMPLEMENTED)
        << calls(CS, "t2", trigger("StatusNotification"))
        >> sends(CP, "h3", trigger("StatusNotification"))
        << refuses(CP, "h3", ErrorCode.NotSupported)
        >> tells_error(CS, "t2", ErrorCode.NotSupported)
    )


def test_other_requests_that_the_version_lacks_are_answered_as_ever() -> None:
    assert (
        told(connected(), "c1", 1, status("Available"))
        << calls(CS, "t1", LIST_VERSION)
        >> sends(CP, "h2", LIST_VERSION)
        << lacks("h2", LIST_VERSION_CONF)
        >> tells(CS, "t1", LIST_VERSION_CONF)
    )


def test_what_is_on_its_way_again_is_not_sent_twice() -> None:
    """A Central System that asks faster than it answers."""
    assert (
        told(connected(), "c1", 1, status("Available"))
        << calls(CS, "t1", trigger("StatusNotification"))
        >> sends(CP, "h2", trigger("StatusNotification"))
        << lacks("h2")
        >> tells(CS, "t1", ACCEPTED)
        >> again("h4", status("Available"))
        << calls(CS, "t2", trigger("StatusNotification"))
        >> sends(CP, "h5", trigger("StatusNotification"))
        << lacks("h5")
        >> tells(CS, "t2", ACCEPTED)
        << answers(CS, "h4", NOTED)
    )


def test_nobody_is_told_who_is_gone() -> None:
    assert (
        told(connected(), "c1", 1, status("Available"))
        << calls(CS, "t1", trigger("StatusNotification"))
        >> sends(CP, "h2", trigger("StatusNotification"))
        << down(CS)
        << lacks("h2")
        >> drops(CP, "h2")
    )


def test_a_soap_central_system_gets_it_too() -> None:
    playbook = Playbook(SOAP_CHARGE_POINT, SOAP_CENTRAL_SYSTEM, emulate_trigger=True) << up(CP) << up(CS)
    assert (
        told(playbook, "c1", 1, status("Available"))
        << calls(CS, "t1", trigger("StatusNotification"))
        >> sends(CP, "h2", trigger("StatusNotification"))
        << lacks("h2")
        >> tells(CS, "t1", ACCEPTED)
        >> again("h4", status("Available"))
        << answers(CS, "h4", NOTED)
    )


def test_after_a_restart_the_last_boot_notification_is_known() -> None:
    """And what its repetition is answered is not what the Charge Point was told."""
    playbook = (
        Playbook(
            SOAP_CHARGE_POINT,
            JSON_CENTRAL_SYSTEM,
            emulate_trigger=True,
            memory=SessionMemory(boot=BOOT, presence=Presence(interval=300)),
        )
        << up(CP)
        << up(CS)
    )
    assert (
        playbook
        << calls(CS, "t1", trigger("StatusNotification"))
        >> sends(CP, "h1", trigger("StatusNotification"))
        << lacks("h1")
        >> tells(CS, "t1", NOT_IMPLEMENTED)
        << calls(CS, "t2", trigger("BootNotification"))
        >> sends(CP, "h2", trigger("BootNotification"))
        << lacks("h2")
        >> tells(CS, "t2", ACCEPTED)
        >> again("h4", BOOT)
        << answers(CS, "h4", boot_conf(20))
    )
    assert playbook.session.heartbeat == 300


def test_a_repetition_that_is_not_answered_ends_at_its_deadline() -> None:
    playbook = told(connected(call_timeout=5.0), "c1", 1, HEARTBEAT, HEARTBEAT_CONF)
    assert (
        playbook
        << calls(CS, "t1", trigger("Heartbeat"))
        >> sends(CP, "h2", trigger("Heartbeat"))
        << lacks("h2")
        >> tells(CS, "t1", ACCEPTED)
        >> again("h4", HEARTBEAT)
        << wait(5)
        << down(CS)
        << calls(CP, "c2", HEARTBEAT)
        >> opens(CS)
    )
    last: Report = playbook.reports[-1]
    assert (last.own, last.outcome) == (True, Outcome.UNANSWERED)
    assert playbook.session.in_progress() == 1
