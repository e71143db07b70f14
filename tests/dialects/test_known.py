"""What is known of the connectors, as messages and their answers go by."""

from __future__ import annotations

from bridge.dialects.known import Known
from bridge.ocpp.enums import AuthorizationStatus, ChargePointErrorCode, ChargePointStatus
from bridge.ocpp.messages import (
    HeartbeatRequest,
    HeartbeatResponse,
    StartTransactionRequest,
    StartTransactionResponse,
    StatusNotificationRequest,
    StatusNotificationResponse,
    StopTransactionRequest,
    StopTransactionResponse,
)
from bridge.ocpp.types import IdTagInfo

NOON = "2026-01-02T12:00:00Z"


def start(known: Known, connector: int, transaction: int) -> Known:
    request = StartTransactionRequest(connectorId=connector, idTag="A", timestamp=NOON, meterStart=0)
    answer = StartTransactionResponse(
        transactionId=transaction, idTagInfo=IdTagInfo(status=AuthorizationStatus.Accepted)
    )
    return known.after(request, answer)


def stop(known: Known, transaction: int) -> Known:
    request = StopTransactionRequest(transactionId=transaction, timestamp=NOON, meterStop=1)
    return known.after(request, StopTransactionResponse())


def say(known: Known, connector: int, status: ChargePointStatus) -> Known:
    request = StatusNotificationRequest(connectorId=connector, status=status, errorCode=ChargePointErrorCode.NoError)
    return known.after(request, StatusNotificationResponse())


def test_a_session() -> None:
    known = Known()
    assert known.occupied(1) == "Preparing"
    known = start(known, 1, 7)
    assert (known.occupied(1), known.occupied(2)) == ("Charging", "Preparing")
    known = say(known, 1, ChargePointStatus.Charging)
    assert known.occupied(1) == "Charging"
    known = stop(known, 7)
    assert known.occupied(1) == "Finishing"
    known = say(known, 1, ChargePointStatus.Finishing)
    assert known.occupied(1) == "Finishing"
    known = say(known, 1, ChargePointStatus.Available)
    assert known == Known()


def test_the_next_driver_plugs_in_while_the_last_one_is_still_said_to_be_there() -> None:
    known = start(stop(start(Known(), 1, 7), 7), 1, 8)
    assert (known.occupied(1), known.finishing) == ("Charging", frozenset())


def test_a_stop_that_was_missed_is_made_up_for_by_the_next_start_or_a_free_connector() -> None:
    missed = start(Known(), 1, 7)
    assert start(missed, 1, 8).transactions == {8: 1}
    assert start(missed, 2, 8).transactions == {7: 1, 8: 2}
    assert say(missed, 1, ChargePointStatus.Available) == Known()


def test_a_stop_of_a_transaction_that_nobody_knows_says_nothing() -> None:
    known = start(Known(), 1, 7)
    assert stop(known, -1) is known
    assert known.after(HeartbeatRequest(), HeartbeatResponse(currentTime=NOON)) is known


def test_a_fault_does_not_end_a_transaction() -> None:
    assert say(start(Known(), 1, 7), 1, ChargePointStatus.Faulted).occupied(1) == "Charging"
