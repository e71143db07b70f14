"""Which events the facts stand for."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import msgspec
import pytest
from msgspec import Raw, structs

from bridge.core.commands import Exchange, Outcome, Report
from bridge.ocpp.actions import Party
from bridge.ocpp.enums import (
    AuthorizationStatus,
    ChargePointErrorCode,
    ChargePointStatus,
    Reason,
    RegistrationStatus,
)
from bridge.ocpp.losses import Loss, LossReason
from bridge.ocpp.messages import (
    BootNotificationRequest,
    BootNotificationResponse,
    HeartbeatRequest,
    HeartbeatResponse,
    Request,
    Response,
    StartTransactionRequest,
    StartTransactionResponse,
    StatusNotificationRequest,
    StopTransactionRequest,
    StopTransactionResponse,
)
from bridge.ocpp.rpc import Call, CallResult, UnopenedRequest
from bridge.ocpp.types import IdTagInfo
from bridge.outgoing_events import derivation
from bridge.outgoing_events.derivation import EventMaker
from bridge.outgoing_events.records import AnyEvent, LinkEvent, StatusEvent, TransactionEndedEvent
from bridge.watching.facts import (
    CallAnswered,
    CallEnded,
    ChargePointMoved,
    ChargePointRemoved,
    ContentLost,
    Fact,
    LinkClosed,
    LinkLost,
    LinkOpened,
)

AT = "2026-01-02T03:04:05Z"
CP, CS = Party.CHARGE_POINT, Party.CENTRAL_SYSTEM
START = StartTransactionRequest(connectorId=2, idTag="DRIVER-1", timestamp=AT, meterStart=12000, reservationId=8)
START_CONF = StartTransactionResponse(transactionId=4711, idTagInfo=IdTagInfo(status=AuthorizationStatus.Accepted))
STOP = StopTransactionRequest(transactionId=4711, idTag="DRIVER-1", timestamp=AT, meterStop=12680, reason=Reason.Remote)
BOOT = BootNotificationRequest(chargePointVendor="v", chargePointModel="m", firmwareVersion="2")
BOOT_CONF = BootNotificationResponse(status=RegistrationStatus.Pending, currentTime=AT, interval=60)
STATUS = StatusNotificationRequest(
    connectorId=1, status=ChargePointStatus.Faulted, errorCode=ChargePointErrorCode.GroundFailure, info="hot"
)
HEAD = {"time": "2026-01-02T03:04:05.250Z", "charge_point": "CP 1", "central_system": "main"}


def maker(*, mask_id_tags: bool = True) -> EventMaker:
    """One with ids that count, and a clock that stands."""
    numbers = count(1)
    return EventMaker(
        clock=lambda: 1767323045.25,
        mint=lambda: f"id-{next(numbers)}",
        central_system_of=lambda identity: "main",
        mask_id_tags=mask_id_tags,
    )


def told(made: EventMaker, *facts: Fact) -> list[dict[str, Any]]:
    """The events of all `facts`, as plain data. Starts are remembered, as the outbox does."""
    return [msgspec.to_builtins(event) for event in events(made, *facts)]


def events(made: EventMaker, *facts: Fact) -> Iterator[AnyEvent]:
    for fact in facts:
        for event in made.of(fact):
            if (start := made.start_of(event)) is not None:
                made.remember(start)
            yield event


def answered(request: Request, response: Response, *, own: bool = False, identity: str = "CP 1") -> CallAnswered:
    return CallAnswered(identity, "main", Exchange(request=request, response=response, own=own))


def ended(
    payload: Request,
    *,
    outcome: Outcome = Outcome.RESULT,
    sender: Party = CP,
    own: bool = False,
    losses: tuple[Loss, ...] = (),
    answer_losses: tuple[Loss, ...] = (),
) -> CallEnded:
    call = Call(unique_id="1", action="Anything", payload=payload, losses=losses)
    answer = CallResult(unique_id="1", payload=HeartbeatResponse(currentTime=AT), losses=answer_losses)
    report = Report(sender=sender, call=call, outcome=outcome, arrived=0, ended=1, answer=answer, own=own)
    return CallEnded("CP 1", report, "main")


def test_a_transaction_from_its_start_to_its_end() -> None:
    start, stop = told(maker(), answered(START, START_CONF), answered(STOP, StopTransactionResponse()))
    names = {start.pop("id"), stop.pop("id")}
    assert len(names) == 2 and all(len(name) == 32 for name in names)
    assert start == HEAD | {
        "type": "transaction_started",
        "transaction_id": 4711,
        "connector": 2,
        "id_tag": "***",
        "status": "Accepted",
        "started_at": AT,
        "meter_start_wh": 12000,
        "reservation_id": 8,
    }
    assert stop == HEAD | {
        "type": "transaction_ended",
        "transaction_id": 4711,
        "connector": 2,
        "id_tag": "***",
        "started_at": AT,
        "ended_at": AT,
        "meter_start_wh": 12000,
        "meter_stop_wh": 12680,
        "energy_wh": 680,
        "reason": "Remote",
    }


def test_id_tags_are_told_where_they_are_not_masked() -> None:
    facts = (answered(START, START_CONF), answered(STOP, StopTransactionResponse()))
    assert [event["id_tag"] for event in told(maker(mask_id_tags=False), *facts)] == ["DRIVER-1", "DRIVER-1"]


def test_an_end_without_a_known_start() -> None:
    """Nor one of another Charge Point, whose transactionIds mean nothing here."""
    other = answered(START, START_CONF, identity="CP 2")
    *_, stop = events(maker(), other, answered(structs.replace(STOP, idTag=None), StopTransactionResponse()))
    assert isinstance(stop, TransactionEndedEvent)
    assert (stop.energy_wh, stop.meter_start_wh, stop.started_at, stop.connector) == (None, None, None, None)
    assert (stop.meter_stop_wh, stop.id_tag) == (12680, None)


def test_a_meter_that_goes_back_measures_nothing() -> None:
    stop = structs.replace(STOP, meterStop=11999)
    *_, event = events(maker(), answered(START, START_CONF), answered(stop, StopTransactionResponse()))
    assert isinstance(event, TransactionEndedEvent)
    assert (event.energy_wh, event.meter_start_wh, event.meter_stop_wh) == (None, 12000, 11999)


def test_the_charge_point_is_the_same_in_either_letter_case() -> None:
    stop = answered(STOP, StopTransactionResponse(), identity="cp 1")
    *_, event = events(maker(), answered(START, START_CONF), stop)
    assert isinstance(event, TransactionEndedEvent) and event.energy_wh == 680


def test_the_same_transaction_has_the_same_id_in_another_process() -> None:
    facts = (answered(START, START_CONF), answered(STOP, StopTransactionResponse()))
    assert [event.id for event in events(maker(), *facts)] == [event.id for event in events(maker(), *facts)]


@pytest.mark.parametrize(
    "other",
    [
        answered(structs.replace(START, connectorId=1), START_CONF),
        answered(structs.replace(START, meterStart=12001), START_CONF),
        answered(START, structs.replace(START_CONF, transactionId=4712)),
        answered(START, START_CONF, identity="CP 2"),
    ],
)
def test_another_transaction_has_another_id(other: CallAnswered) -> None:
    """A Charge Point without a clock sends the same values again: then the transactionId tells them apart."""
    one, two = events(maker(), answered(START, START_CONF), other)
    assert one.id != two.id


def test_the_starts_that_are_remembered_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(derivation, "MOST_STARTS", 1)
    facts = [answered(START, structs.replace(START_CONF, transactionId=number)) for number in (1, 2)]
    stops = [answered(structs.replace(STOP, transactionId=number), StopTransactionResponse()) for number in (1, 2)]
    _, _, first, second = told(maker(), *facts, *stops)
    assert (first["energy_wh"], second["energy_wh"]) == (None, 680)


@pytest.mark.parametrize("own", [False, True])
def test_a_boot(own: bool) -> None:
    (boot,) = told(maker(), answered(BOOT, BOOT_CONF, own=own))
    said = {"vendor": "v", "model": "m", "serial_number": None, "firmware": "2", "status": "Pending", "replayed": own}
    assert boot == HEAD | said | {"id": "id-1", "type": "boot"}


@pytest.mark.parametrize(("field", "value"), [("chargePointSerialNumber", "A"), ("chargeBoxSerialNumber", "B")])
def test_either_serial_number_is_one(field: str, value: str) -> None:
    (boot,) = told(maker(), answered(structs.replace(BOOT, **{field: value}), BOOT_CONF))
    assert boot["serial_number"] == value


def test_a_status() -> None:
    (status,) = told(maker(), ended(STATUS))
    assert status == HEAD | {
        "id": "id-1",
        "type": "status",
        "connector": 1,
        "status": "Faulted",
        "error_code": "GroundFailure",
        "info": "hot",
        "vendor_error_code": None,
        "timestamp": None,
        "inferred": False,
        "delivered": True,
    }


@pytest.mark.parametrize("outcome", [Outcome.UNANSWERED, Outcome.ERROR, Outcome.ABANDONED])
def test_a_status_that_the_central_system_has_not_accepted_is_a_status_too(outcome: Outcome) -> None:
    (status,) = events(maker(), ended(STATUS, outcome=outcome))
    assert isinstance(status, StatusEvent) and not status.delivered


def test_a_status_that_two_json_parties_exchange() -> None:
    (status,) = events(maker(), ended(UnopenedRequest(raw=Raw(b"{}"), read=STATUS)))
    assert isinstance(status, StatusEvent) and status.status == "Faulted"


def test_a_status_that_the_bridge_infers_is_marked() -> None:
    inferred = Loss(message="StatusNotificationRequest", path="", reason=LossReason.INFERRED_STATUS)
    status, loss = told(maker(), ended(STATUS, losses=(inferred,), own=True))
    assert status["inferred"] is True and loss["type"] == "loss"


def test_a_password_in_a_text_is_masked() -> None:
    (status,) = events(maker(), ended(structs.replace(STATUS, info="see ftp://me:secret@host/")))
    assert isinstance(status, StatusEvent) and status.info == "see ftp://me:***@host/"
    (link,) = events(maker(), LinkLost("CP 1", CS, "main", "no way to ws://me:secret@host/"))
    assert isinstance(link, LinkEvent) and link.reason == "no way to ws://me:***@host/"


def test_links() -> None:
    facts = (
        LinkOpened("CP 1", CP, "main"),
        LinkLost("CP 1", CS, "main", "it broke"),
        LinkClosed("CP 1", CS, "main", "silence"),
    )
    assert [(link["party"], link["state"], link["reason"]) for link in told(maker(), *facts)] == [
        ("charge_point", "up", None),
        ("central_system", "down", "it broke"),
        ("central_system", "closed", "silence"),
    ]


def test_moves() -> None:
    facts = (ChargePointMoved("CP 1", "main", "other", "night desk"), ChargePointMoved("CP 1", "other", None))
    operators, routes = told(maker(), *facts)
    assert operators == HEAD | {
        "id": "id-1",
        "type": "move",
        "central_system": "other",
        "moved_from": "main",
        "moved_by": "night desk",
    }
    assert (routes["central_system"], routes["moved_from"], routes["moved_by"]) == ("", "other", None)


def test_losses_of_reading_and_of_writing() -> None:
    read = Loss(message="MeterValuesRequest", path="a[1]", reason=LossReason.ASSUMED_ZONE, count=3)
    wrote = Loss(message="HeartbeatResponse", path="", reason=LossReason.FRACTION)
    call = ended(HeartbeatRequest(), losses=(read,), answer_losses=(wrote,))
    of_call, of_writing = told(maker(), call, ContentLost("CP 1", (wrote,)))
    assert [loss["path"] for loss in of_call["losses"]] == ["a[1]", ""]
    assert of_call["losses"][0] | {"reason": ""} == {
        "message": "MeterValuesRequest",
        "path": "a[1]",
        "reason": "",
        "count": 3,
    }
    assert [loss["reason"] for loss in of_writing["losses"]] == [LossReason.FRACTION.value]


@pytest.mark.parametrize(
    "fact",
    [
        ended(HeartbeatRequest()),
        ended(STATUS, outcome=Outcome.REPEATED),
        ended(STATUS, outcome=Outcome.RETRANSMITTED),
        ended(STATUS, sender=CS),
        ended(STATUS, own=True),
        ended(START),
        ended(UnopenedRequest(raw=Raw(b"{}"))),
        ChargePointRemoved("CP 1"),
        answered(HeartbeatRequest(), HeartbeatResponse(currentTime=AT)),
    ],
)
def test_what_is_no_event(fact: Fact) -> None:
    """A copy was told with the first one, and so was what the bridge sends again.

    A transaction is told when its answer is known.
    """
    assert told(maker(), fact) == []
