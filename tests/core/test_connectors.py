"""What is known of the connectors, as messages and their answers go by."""

from __future__ import annotations

import pytest

from bridge.core.connectors import Connectors, ConnectorState
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


def start(connectors: Connectors, connector: int, transaction: int, status: str = "Accepted") -> ConnectorState | None:
    request = StartTransactionRequest(connectorId=connector, idTag="A", timestamp=NOON, meterStart=0)
    info = IdTagInfo(status=AuthorizationStatus(status))
    return connectors.see(request, StartTransactionResponse(transactionId=transaction, idTagInfo=info))


def stop(connectors: Connectors, transaction: int) -> ConnectorState | None:
    request = StopTransactionRequest(transactionId=transaction, timestamp=NOON, meterStop=1)
    return connectors.see(request, StopTransactionResponse())


def say(connectors: Connectors, connector: int, status: str) -> ConnectorState | None:
    request = StatusNotificationRequest(
        connectorId=connector, status=ChargePointStatus(status), errorCode=ChargePointErrorCode.NoError
    )
    return connectors.see(request, StatusNotificationResponse())


def state(connectors: Connectors, number: int = 1) -> tuple[str | None, int | None, bool]:
    of = connectors.of(number)
    return of.status, of.transaction_id, of.ended


def test_a_session() -> None:
    connectors = Connectors(())
    assert state(connectors) == (None, None, False)
    say(connectors, 1, "Preparing")
    start(connectors, 1, 7)
    assert (state(connectors), state(connectors, 2)) == (("Preparing", 7, False), (None, None, False))
    say(connectors, 1, "Charging")
    assert state(connectors) == ("Charging", 7, False)
    stop(connectors, 7)
    assert state(connectors) == ("Charging", None, True)
    say(connectors, 1, "Finishing")
    assert state(connectors) == ("Finishing", None, True)
    say(connectors, 1, "Available")
    assert state(connectors) == ("Available", None, False)


def test_the_next_driver_plugs_in_while_the_last_one_is_still_said_to_be_there() -> None:
    connectors = Connectors((ConnectorState(number=1, status="Finishing", ended=True),))
    say(connectors, 1, "Preparing")
    assert state(connectors) == ("Preparing", None, False)
    connectors = Connectors((ConnectorState(number=1, status="Finishing", ended=True),))
    start(connectors, 1, 8)
    assert state(connectors) == ("Finishing", 8, False)


@pytest.mark.parametrize("status", ["Available", "Reserved", "Unavailable"])
def test_a_stop_that_was_missed_is_made_up_for_by_a_connector_without_a_vehicle(status: str) -> None:
    connectors = Connectors((ConnectorState(number=1, status="Charging", transaction_id=7),))
    say(connectors, 1, status)
    assert state(connectors) == (status, None, False)
    assert stop(connectors, 7) is None  # it comes late, and says nothing of the connector any more


def test_a_stop_that_was_missed_is_made_up_for_by_the_next_start() -> None:
    connectors = Connectors((ConnectorState(number=1, status="Charging", transaction_id=7),))
    start(connectors, 1, 8)
    assert state(connectors) == ("Charging", 8, False)
    assert stop(connectors, 7) is None
    start(connectors, 2, 9)
    assert (state(connectors)[1], state(connectors, 2)[1]) == (8, 9)


@pytest.mark.parametrize("status", ["Faulted", "SuspendedEV", "SuspendedEVSE", "Finishing", "Charging", "Preparing"])
def test_no_other_status_ends_a_transaction(status: str) -> None:
    connectors = Connectors((ConnectorState(number=1, transaction_id=7),))
    say(connectors, 1, status)
    assert state(connectors) == (status, 7, False)


def test_what_says_nothing_new_changes_no_record() -> None:
    connectors = Connectors((ConnectorState(number=1, status="Charging", transaction_id=7),))
    assert stop(connectors, -1) is None
    assert say(connectors, 1, "Charging") is None
    assert connectors.see(HeartbeatRequest(), HeartbeatResponse(currentTime=NOON)) is None
    assert say(connectors, 1, "Faulted") == ConnectorState(number=1, status="Faulted", transaction_id=7)


@pytest.mark.parametrize("status", ["Blocked", "Expired", "Invalid", "ConcurrentTx"])
def test_an_id_tag_that_is_not_accepted_opens_no_transaction(status: str) -> None:
    connectors = Connectors((ConnectorState(number=1, status="Finishing", ended=True),))
    start(connectors, 1, 0, status)
    assert state(connectors) == ("Finishing", None, False)
    start(connectors, 2, 0, status)
    assert stop(connectors, 0) is None
    assert (state(connectors)[2], state(connectors, 2)) == (False, (None, None, False))


def test_a_transaction_id_that_stands_for_several_connectors_ends_none() -> None:
    connectors = Connectors(())
    for number in (1, 2):
        start(connectors, number, 0)
    assert stop(connectors, 0) is None
    say(connectors, 1, "Available")
    assert stop(connectors, 0) == ConnectorState(number=2, ended=True)


def test_the_one_that_was_not_heard_of_for_the_longest_is_forgotten() -> None:
    connectors = Connectors((), limit=3)
    for number in (1, 2, 3, 1, 4):
        say(connectors, number, "Faulted")
    assert [*connectors.by_number] == [3, 1, 4]
    assert state(connectors, 2) == (None, None, False)


def test_one_with_an_open_transaction_is_kept_while_others_can_go() -> None:
    connectors = Connectors(
        (ConnectorState(number=9, transaction_id=7), ConnectorState(number=1), ConnectorState(number=2)), limit=2
    )
    assert [*connectors.by_number] == [9, 2]
    for number in range(1000):
        say(connectors, 1000 + number, "Faulted")
    assert (state(connectors, 9)[1], len(connectors.by_number)) == (7, 2)
    for number in (1, 2):
        start(connectors, number, number)
    assert [*connectors.by_number] == [1, 2]


def test_a_hostile_charge_point_fills_no_memory() -> None:
    connectors = Connectors(())
    for number in range(1000):
        start(connectors, number, number)
    assert len(connectors.by_number) == 256
