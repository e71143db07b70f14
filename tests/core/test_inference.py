"""Charging and Finishing of a connector that only says Occupied (rule 19)."""

from __future__ import annotations

from typing import Any
from unittest.mock import ANY

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from bridge.core.commands import Note, Outcome, SendCall
from bridge.core.connectors import Connectors, ConnectorState, LastStatus
from bridge.core.events import CallReceived
from bridge.core.inference import INFERRED, WITHIN, InferredStatuses
from bridge.core.memory import SessionMemory
from bridge.ocpp.enums import AuthorizationStatus, ChargePointErrorCode, ChargePointStatus, MessageTrigger
from bridge.ocpp.losses import Loss, LossReason
from bridge.ocpp.messages import (
    Request,
    StartTransactionRequest,
    StartTransactionResponse,
    StatusNotificationRequest,
    StatusNotificationResponse,
    StopTransactionRequest,
    StopTransactionResponse,
    TriggerMessageRequest,
)
from bridge.ocpp.types import IdTagInfo
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
    opens,
    refuses,
    sends,
    tells,
    up,
    wait,
)
from tests.core.samples import BOOT, HEARTBEAT, HEARTBEAT_CONF, boot_conf
from tests.core.test_triggers import ACCEPTED, again, lacks

PLUGGED, BEGAN, ENDED = (f"2026-01-02T03:0{minute}:00Z" for minute in (1, 2, 3))
OCCUPIED = Loss(message="StatusNotificationRequest", path="status", reason=LossReason.OCCUPIED)
NOTED = StatusNotificationResponse()
STOPPED = StopTransactionResponse()


def status(word: str, connector: int = 1, at: str | None = PLUGGED) -> StatusNotificationRequest:
    return StatusNotificationRequest(
        connectorId=connector,
        status=ChargePointStatus(word),
        errorCode=ChargePointErrorCode.NoError,
        timestamp=at,
    )


def start(connector: int = 1, at: str = BEGAN) -> StartTransactionRequest:
    return StartTransactionRequest(connectorId=connector, idTag="A", timestamp=at, meterStart=1)


def started(transaction: int = 7, word: str = "Accepted") -> StartTransactionResponse:
    return StartTransactionResponse(idTagInfo=IdTagInfo(status=AuthorizationStatus(word)), transactionId=transaction)


def stop(transaction: int = 7, at: str = ENDED) -> StopTransactionRequest:
    return StopTransactionRequest(transactionId=transaction, timestamp=at, meterStop=2)


def connected(**options: Any) -> Playbook:
    return Playbook(SOAP_CHARGE_POINT, JSON_CENTRAL_SYSTEM, **{"infer_status": True} | options) << up(CP) << up(CS)


def said(key: str, payload: Request) -> CallReceived:
    """From a Charge Point of an older version: any status but Available and the like was Occupied there."""
    event = calls(CP, key, payload)
    if getattr(payload, "status", None) in ("Preparing", "Charging", "Finishing"):
        return structs.replace(event, call=structs.replace(event.call, losses=(OCCUPIED,)))
    return event


class Conversation:
    """A Playbook that counts its keys and UniqueIds."""

    def __init__(self, playbook: Playbook) -> None:
        self.playbook = playbook
        self._number = 0

    def tells(self, payload: Request, answer: Any, inferred: Request | None = None) -> Conversation:
        """The Charge Point says `payload`, is told `answer`, and the Central System hears `inferred` after it."""
        self._number += 1
        hop = f"h{self._number}"
        sent = sends(CS, hop, payload)
        losses = said("", payload).call.losses
        self.playbook = (
            self.playbook
            << said(f"c{self._number}", payload)
            >> structs.replace(sent, call=structs.replace(sent.call, losses=losses))
            << answers(CS, hop, answer)
            >> tells(CP, f"c{self._number}", answer)
        )
        if inferred is not None:
            self.playbook = self.playbook >> self.infers(inferred)
        return self

    def infers(self, payload: Request) -> SendCall:
        """The bridge says `payload` itself: it mints the Call's UniqueId, and that of the hop."""
        self._number += 2
        hop = f"h{self._number}"
        sent = sends(CS, hop, payload)
        return structs.replace(sent, call=structs.replace(call_of(hop, payload), losses=(INFERRED,)))

    def noted(self) -> Conversation:
        """The Central System answers the inferred one."""
        self.playbook = self.playbook << answers(CS, f"h{self._number}", NOTED)
        return self

    def __bool__(self) -> bool:
        return bool(self.playbook)


CHARGING, FINISHING = status("Charging", at=BEGAN), status("Finishing", at=ENDED)


def test_a_connector_reads_preparing_charging_finishing_available() -> None:
    talk = Conversation(connected())
    assert talk.tells(status("Available"), NOTED).tells(status("Preparing"), NOTED)
    assert talk.tells(start(), started(), CHARGING).noted()
    assert talk.tells(stop(), STOPPED, FINISHING).noted()
    assert talk.tells(status("Available", at=ENDED), NOTED)
    inferred = [report for report in talk.playbook.reports if report.own]
    assert [(report.outcome, report.answer, report.call.losses) for report in inferred] == [
        (Outcome.RESULT, None, (INFERRED,))
    ] * 2
    statuses = [record.status for record in talk.playbook.records if isinstance(record, ConnectorState)]
    assert statuses == ["Available", "Preparing", "Preparing", "Charging", "Charging", "Finishing", "Available"]


def test_it_comes_before_what_the_charge_point_says_next() -> None:
    talk = Conversation(connected()).tells(status("Preparing"), NOTED)
    assert talk.tells(start(), started(), CHARGING)
    assert (
        talk.playbook
        << said("c3", HEARTBEAT)
        << answers(CS, "h4", NOTED)
        >> sends(CS, "h5", HEARTBEAT)
        << answers(CS, "h5", HEARTBEAT_CONF)
        >> tells(CP, "c3", HEARTBEAT_CONF)
    )


@pytest.mark.parametrize(
    ("before", "begin", "answer"),
    [
        pytest.param([], start(), started(), id="nothing was told"),
        pytest.param([status("Available")], start(), started(), id="not Occupied"),
        pytest.param([status("Preparing"), status("Faulted")], start(), started(), id="not Occupied any more"),
        pytest.param([status("Preparing", connector=2)], start(), started(), id="another connector"),
        pytest.param([status("Charging")], start(), started(), id="told already"),
        pytest.param([status("Preparing")], start(), started(word="Invalid"), id="not accepted"),
        pytest.param([status("Preparing", 0)], start(0), started(), id="connector 0"),
        pytest.param([status("Preparing", at=ENDED)], start(), started(), id="the start was queued"),
        pytest.param([status("Preparing", at="2026-01-02T03:02:01Z")], start(), started(), id="a second older"),
    ],
)
def test_nothing_is_inferred(before: list[Request], begin: Request, answer: Any) -> None:
    talk = Conversation(connected())
    for payload in before:
        talk.tells(payload, NOTED)
    assert talk.tells(begin, answer)


@pytest.mark.parametrize("at", [None, BEGAN, "2026-01-02T03:02:00.999Z"])
def test_a_start_of_the_same_second_is_not_older_nor_one_that_cannot_be_compared(at: str | None) -> None:
    talk = Conversation(connected()).tells(status("Preparing", at=at), NOTED)
    assert talk.tells(start(), started(), CHARGING).noted()


def test_a_status_of_1_6_is_not_occupied() -> None:
    talk = Conversation(connected())
    talk.playbook = (
        talk.playbook
        << calls(CP, "c1", status("Preparing"))
        >> sends(CS, "h1", status("Preparing"))
        << answers(CS, "h1", NOTED)
        >> tells(CP, "c1", NOTED)
        << calls(CP, "c2", start())
        >> sends(CS, "h2", start())
        << answers(CS, "h2", started())
        >> tells(CP, "c2", started())
    )
    assert talk


def test_finishing_only_of_a_connector_that_is_still_occupied() -> None:
    talk = Conversation(connected()).tells(status("Preparing"), NOTED)
    talk.tells(start(), started(), CHARGING).noted()
    assert talk.tells(status("Faulted", at=BEGAN), NOTED).tells(stop(), STOPPED)
    assert talk.tells(stop(99), STOPPED)  # nobody knows where that was


def test_no_finishing_after_a_stop_that_was_queued_while_another_vehicle_was_plugged_in() -> None:
    talk = Conversation(connected()).tells(status("Preparing"), NOTED)
    talk.tells(start(), started(), CHARGING).noted()
    assert talk.tells(status("Charging", at="2026-01-02T04:00:00Z"), NOTED).tells(stop(), STOPPED)


def test_once_a_transaction() -> None:
    talk = Conversation(connected()).tells(status("Preparing"), NOTED)
    talk.tells(start(), started(), CHARGING).noted()
    assert talk
    # A copy of the StartTransaction is answered from memory.
    assert talk.playbook << calls(CP, "again", start()) >> tells(CP, "again", started())
    assert talk.tells(status("Charging"), NOTED)
    assert talk.tells(stop(), STOPPED, FINISHING).noted()
    assert talk.playbook << calls(CP, "again", stop()) >> tells(CP, "again", STOPPED)


def test_what_the_charge_point_says_itself_is_always_passed_on() -> None:
    talk = Conversation(connected()).tells(status("Preparing"), NOTED)
    talk.tells(start(), started(), CHARGING).noted()
    assert talk.tells(status("Charging"), NOTED).tells(status("Charging"), NOTED)


def test_it_has_five_seconds_and_its_failure_touches_nobody() -> None:
    talk = Conversation(connected(call_timeout=30.0)).tells(status("Preparing"), NOTED)
    assert talk.tells(start(), started(), CHARGING)
    assert WITHIN == 5
    assert (
        talk.playbook
        << said("c3", HEARTBEAT)
        << wait(5)
        >> sends(CS, "h5", HEARTBEAT)
        << answers(CS, "h5", HEARTBEAT_CONF)
        >> tells(CP, "c3", HEARTBEAT_CONF)
    )
    assert [report.outcome for report in talk.playbook.reports if report.own] == [Outcome.UNANSWERED]


def test_a_refusal_is_not_told_and_not_remembered() -> None:
    talk = Conversation(connected()).tells(status("Preparing"), NOTED)
    assert talk.tells(start(), started(), CHARGING)
    assert talk.playbook << refuses(CS, "h4")
    # The Central System was last told Preparing.
    [*_, last] = [record for record in talk.playbook.records if isinstance(record, ConnectorState)]
    assert last == ConnectorState(number=1, status="Preparing", transaction_id=7)
    assert talk.tells(stop(), STOPPED, FINISHING).noted()


def test_a_link_that_breaks_meanwhile_breaks_nothing_else() -> None:
    talk = Conversation(connected()).tells(status("Preparing"), NOTED)
    assert talk.tells(start(), started(), CHARGING)
    assert talk.playbook << down(CS) << said("c3", HEARTBEAT) >> opens(CS) << up(CS) >> sends(CS, "h5", HEARTBEAT)


@pytest.mark.parametrize(("older", "infers"), [(True, True), (False, False)])
def test_it_goes_on_after_a_restart(older: bool, infers: bool) -> None:
    connectors = (ConnectorState(number=1, status="Charging", transaction_id=7),)
    memory = SessionMemory(connectors=connectors, older_version=older)
    talk = Conversation(connected(memory=memory))
    assert talk.tells(stop(), STOPPED, FINISHING if infers else None)


def test_it_is_off_where_the_operator_says_so() -> None:
    talk = Conversation(connected(infer_status=False)).tells(status("Preparing"), NOTED)
    assert talk.tells(start(), started()).tells(stop(), STOPPED)


def test_a_soap_central_system_is_told_too() -> None:
    playbook = Playbook(SOAP_CHARGE_POINT, SOAP_CENTRAL_SYSTEM, infer_status=True) << up(CP) << up(CS)
    talk = Conversation(playbook).tells(status("Preparing"), NOTED)
    assert talk.tells(start(), started(), CHARGING).noted()


def test_what_is_said_again_is_what_was_inferred_last() -> None:
    talk = Conversation(connected(emulate_trigger=True)).tells(status("Preparing"), NOTED)
    talk.tells(start(), started(), CHARGING).noted()
    trigger = TriggerMessageRequest(requestedMessage=MessageTrigger.StatusNotification, connectorId=1)
    assert (
        talk.playbook
        << calls(CS, "t1", trigger)
        >> sends(CP, "h5", trigger)
        << lacks("h5")
        >> tells(CS, "t1", ACCEPTED)
        >> again("h7", CHARGING)
    )


def noted_statuses(playbook: Playbook) -> list[str]:
    """What is kept as the last StatusNotification, in its order."""
    return [record.request.status.value for record in playbook.records if isinstance(record, LastStatus)]


def test_the_next_central_system_is_told_what_was_inferred_last() -> None:
    """After a move its picture is that of the one before, and what is inferred then goes on from there."""
    talk = Conversation(connected()).tells(status("Preparing"), NOTED)
    assert talk.tells(start(), started(), CHARGING).noted()
    assert noted_statuses(talk.playbook) == ["Preparing", "Charging"]
    moved = SessionMemory(
        boot=BOOT,
        introduce=True,
        older_version=True,
        statuses=(LastStatus(request=CHARGING),),
        connectors=(ConnectorState(number=1, status="Charging", transaction_id=7),),
    )
    playbook = Playbook(SOAP_CHARGE_POINT, JSON_CENTRAL_SYSTEM, infer_status=True, memory=moved)
    assert (
        playbook
        << up(CP)
        << said("c1", stop())
        >> opens(CS)
        << up(CS)
        >> sends(CS, "h3", BOOT, losses=ANY)
        << answers(CS, "h3", boot_conf(300))
        >> sends(CS, "h4", CHARGING, losses=ANY)
        << answers(CS, "h4", NOTED)
        >> sends(CS, "h5", stop())
        << answers(CS, "h5", STOPPED)
        >> tells(CP, "c1", STOPPED)
        >> sends(CS, "h7", FINISHING, losses=ANY)
    )


def test_what_the_charge_point_says_meanwhile_is_newer_than_what_was_inferred() -> None:
    talk = Conversation(connected()).tells(status("Preparing"), NOTED)
    assert talk.tells(start(), started(), CHARGING)
    available = status("Available", at=ENDED)
    assert talk.playbook << said("c3", available) << answers(CS, "h4", NOTED) >> sends(CS, "h5", available)
    assert noted_statuses(talk.playbook) == ["Preparing", "Charging", "Available"]


def test_no_more_connectors_are_known_than_a_charge_point_can_have() -> None:
    talk = Conversation(connected(showing=(Note,)))
    for number in range(300):
        talk.playbook.session._inferred.see(said("", status("Preparing", number)).call, NOTED, None)  # type: ignore[union-attr]
    assert len(talk.playbook.session._inferred._told) == 256  # type: ignore[union-attr]


# Whatever a Charge Point of an older version says, in whatever order

WORDS = st.sampled_from(["Available", "Occupied", "Faulted", "Unavailable"])
CONNECTOR = st.integers(0, 2)
SAID = st.one_of(
    st.tuples(st.just("status"), CONNECTOR, WORDS),
    st.tuples(st.just("start"), CONNECTOR, st.sampled_from(["Accepted", "Invalid"])),
    st.tuples(st.just("stop"), st.integers(1, 4), st.just("")),
)


@given(st.lists(SAID, max_size=40), st.data())
def test_an_inferred_status_is_new_true_and_sent_once_a_transaction(
    told: list[tuple[str, int, str]], chosen: st.DataObject
) -> None:
    connectors, inferred = Connectors(()), InferredStatuses(SessionMemory())
    own: dict[int, str] = {}  # the Charge Point's last word on each connector
    last: dict[int, str] = {}  # what the Central System was told last
    sent: set[tuple[int, str]] = set()
    transaction = 0
    for what, number, word in told:
        request: Request
        answer: Any = NOTED
        losses: tuple[Loss, ...] = ()
        if what == "status":
            known = connectors.of(number)
            becomes = word
            if word == "Occupied":
                becomes = (
                    "Charging" if known.transaction_id is not None else "Finishing" if known.ended else "Preparing"
                )
                losses = (OCCUPIED,)
            request, own[number], last[number] = status(becomes, number), word, becomes
        elif what == "start":
            transaction += 1
            request, answer = start(number), started(transaction, word)
        else:
            request, answer = stop(number), STOPPED
        changed = connectors.see(request, answer)
        call = structs.replace(call_of("c", request), losses=losses)
        status_sent = inferred.see(call, answer, changed)
        if status_sent is None:
            continue
        connector, becomes = status_sent.connectorId, status_sent.status.value
        assert connector != 0 and own[connector] == "Occupied" and last[connector] != becomes
        assert what == {"Charging": "start", "Finishing": "stop"}[becomes]
        about = transaction if what == "start" else number
        assert (about, becomes) not in sent
        sent.add((about, becomes))
        if chosen.draw(st.booleans()):  # else the Central System did not take it
            inferred.told(status_sent)
            last[connector] = becomes
