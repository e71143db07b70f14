"""A StartTransaction.conf without a status has the one that the driver was told last."""

from __future__ import annotations

import pytest

from bridge.core.authorizations import Authorizations, Authorized
from bridge.ocpp.enums import AuthorizationStatus
from bridge.ocpp.losses import Loss, LossReason
from bridge.ocpp.messages import (
    AuthorizeRequest,
    AuthorizeResponse,
    HeartbeatRequest,
    HeartbeatResponse,
    StartTransactionRequest,
    StartTransactionResponse,
)
from bridge.ocpp.rpc import CallResult
from bridge.ocpp.types import IdTagInfo

AT = "2026-01-02T03:04:05Z"
ASSUMED = (Loss(message="StartTransactionResponse", path="idTagInfo.status", reason=LossReason.ASSUMED_STATUS),)
Status = AuthorizationStatus


def authorize(known: Authorizations, tag: str, status: Status) -> None:
    response = AuthorizeResponse(idTagInfo=IdTagInfo(status=status))
    assert known.see(AuthorizeRequest(idTag=tag), response) == Authorized(id_tag=tag.lower(), status=status)


def started(known: Authorizations, tag: str, losses: tuple[Loss, ...] = ASSUMED) -> Status:
    """The status that the Charge Point is told."""
    info = IdTagInfo(status=Status.Invalid, parentIdTag="P")
    answer = CallResult(unique_id="2", payload=StartTransactionResponse(transactionId=5, idTagInfo=info), losses=losses)
    told = known.completed(StartTransactionRequest(connectorId=1, idTag=tag, timestamp=AT, meterStart=0), answer)
    assert isinstance(told.payload, StartTransactionResponse)
    assert (told.payload.transactionId, told.payload.idTagInfo.parentIdTag, told.losses) == (5, "P", losses)
    return told.payload.idTagInfo.status


@pytest.mark.parametrize("status", [Status.Accepted, Status.Blocked, Status.ConcurrentTx])
def test_it_is_that_of_the_last_authorize(status: Status) -> None:
    known = Authorizations()
    authorize(known, "Tag", Status.Expired)
    authorize(known, "TAG", status)
    authorize(known, "other", Status.Expired)
    assert started(known, "tag") is status


def test_a_driver_that_nobody_asked_about_is_invalid() -> None:
    known = Authorizations()
    authorize(known, "other", Status.Accepted)
    assert started(known, "tag") is Status.Invalid


def test_a_status_that_was_said_stays() -> None:
    known = Authorizations()
    authorize(known, "tag", Status.Accepted)
    assert started(known, "tag", losses=()) is Status.Invalid


def test_the_oldest_are_forgotten() -> None:
    known = Authorizations()
    for number in range(101):
        authorize(known, f"{number}", Status.Accepted)
    assert (started(known, "0"), started(known, "1")) == (Status.Invalid, Status.Accepted)


def test_other_answers_are_left_alone() -> None:
    answer = CallResult(unique_id="1", payload=HeartbeatResponse(currentTime=AT))
    assert Authorizations().completed(HeartbeatRequest(), answer) is answer
    assert Authorizations().see(HeartbeatRequest(), answer.payload) is None


def test_what_was_known_before_a_restart() -> None:
    before = (Authorized(id_tag="tag", status=Status.Blocked), Authorized(id_tag="other", status=Status.Accepted))
    known = Authorizations(before)
    assert (started(known, "TAG"), started(known, "other")) == (Status.Blocked, Status.Accepted)
