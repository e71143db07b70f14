"""Make events from facts. Pure: clock and names come from the caller.

The id of a transaction's event is made from the message that began or ended the transaction. So an event that is made
again, because the bridge was killed before the Charge Point had its answer, has the id that it had before.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from bridge.core.commands import Exchange, Outcome, Report
from bridge.ocpp.actions import Party
from bridge.ocpp.losses import Loss, LossReason
from bridge.ocpp.messages import (
    BootNotificationRequest,
    BootNotificationResponse,
    StartTransactionRequest,
    StartTransactionResponse,
    StatusNotificationRequest,
    StopTransactionRequest,
    StopTransactionResponse,
)
from bridge.ocpp.rpc import CallResult, UnopenedRequest
from bridge.ocpp.tenants import identity_of, key_of, tenant_of
from bridge.outgoing_events.records import (
    AnyEvent,
    BootEvent,
    LinkEvent,
    LossEvent,
    LostContent,
    MoveEvent,
    StatusEvent,
    TransactionEndedEvent,
    TransactionStartedEvent,
)
from bridge.watching.facts import (
    CallAnswered,
    CallEnded,
    ChargePointMoved,
    ContentLost,
    Fact,
    LinkClosed,
    LinkLost,
    LinkOpened,
)
from bridge.watching.masking import MASK, without_password

# The most starts that are remembered, for the energy in the event of the end.
MOST_STARTS = 50_000
# The outcomes of a Call that is a copy of another one.
_COPIES = frozenset({Outcome.REPEATED, Outcome.RETRANSMITTED})


class TransactionStart(Struct, frozen=True, kw_only=True):
    """The start of a transaction, which the event of its end refers to.

    Attributes:
        charge_point: The key of the Charge Point, as `folded` returns it.
        transaction_id: The transactionId of the Central System.
        connector: The connectorId.
        started_at: The time in the StartTransaction.
        meter_start_wh: The meter value in Wh.
    """

    charge_point: str
    transaction_id: int
    connector: int
    started_at: str
    meter_start_wh: int


class EventMaker:
    """Makes events.

    Args:
        clock: Returns the time in unix seconds.
        mint: Returns a new id.
        central_system_of: Returns the name of a Charge Point's Central System, "" if it has none.
        mask_id_tags: Whether the idTags of drivers are masked.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        mint: Callable[[], str],
        central_system_of: Callable[[str], str],
        mask_id_tags: bool,
    ) -> None:
        self._clock = clock
        self._mint = mint
        self._central_system_of = central_system_of
        self._mask_id_tags = mask_id_tags
        self._starts: OrderedDict[tuple[str, int], TransactionStart] = OrderedDict()

    def remember(self, start: TransactionStart) -> None:
        """Take note of the start of a transaction. The oldest of more than MOST_STARTS is forgotten."""
        key = (start.charge_point, start.transaction_id)
        self._starts.pop(key, None)
        self._starts[key] = start
        if len(self._starts) > MOST_STARTS:
            self._starts.popitem(last=False)

    def of(self, fact: Fact) -> Iterator[AnyEvent]:
        """Yield the events that `fact` stands for; most facts stand for none."""
        match fact:
            case CallAnswered(identity, central_system, exchange):
                yield from self._answered(identity, central_system, exchange)
            case CallEnded(identity, report, central_system):
                yield from self._ended(identity, report, central_system)
            case ContentLost(identity, losses, central_system):
                yield self._loss(identity, losses, central_system or self._central_system_of(identity))
            case LinkOpened(identity, party, central_system):
                yield self._link(identity, party, central_system, "up", None)
            case LinkLost(identity, party, central_system, reason):
                yield self._link(identity, party, central_system, "down", reason)
            case LinkClosed(identity, party, central_system, reason):
                yield self._link(identity, party, central_system, "closed", reason)
            case ChargePointMoved(identity, before, after, by):
                head = self._head(identity, after or "")
                yield MoveEvent(**head, moved_from=before, moved_by=by)

    def start_of(self, event: AnyEvent) -> TransactionStart | None:
        """Return what is to be remembered of the start of a transaction; None for any other event."""
        if not isinstance(event, TransactionStartedEvent):
            return None
        return TransactionStart(
            charge_point=folded(key_of(event.tenant, event.charge_point)),
            transaction_id=event.transaction_id,
            connector=event.connector,
            started_at=event.started_at,
            meter_start_wh=event.meter_start_wh,
        )

    def _head(self, identity: str, central_system: str, name: str | None = None) -> dict[str, Any]:
        return {
            "id": name or self._mint(),
            "time": moment(self._clock()),
            "charge_point": identity_of(identity),
            "central_system": central_system,
            "tenant": tenant_of(identity),
        }

    def _answered(self, identity: str, central_system: str, exchange: Exchange) -> Iterator[AnyEvent]:
        match exchange.request, exchange.response:
            case BootNotificationRequest() as boot, BootNotificationResponse(status=status):
                yield BootEvent(
                    **self._head(identity, central_system),
                    vendor=boot.chargePointVendor,
                    model=boot.chargePointModel,
                    serial_number=boot.chargePointSerialNumber or boot.chargeBoxSerialNumber,
                    firmware=boot.firmwareVersion,
                    status=status.value,
                    replayed=exchange.own,
                )
            case StartTransactionRequest() as start, StartTransactionResponse() as answer:
                said = ("start", start.connectorId, start.idTag, start.timestamp, start.meterStart)
                name = _name_of(identity, *said, answer.transactionId)
                yield TransactionStartedEvent(
                    **self._head(identity, central_system, name),
                    transaction_id=answer.transactionId,
                    connector=start.connectorId,
                    id_tag=MASK if self._mask_id_tags else start.idTag,
                    status=answer.idTagInfo.status.value,
                    started_at=start.timestamp,
                    meter_start_wh=start.meterStart,
                    reservation_id=start.reservationId,
                )
            case StopTransactionRequest() as stop, StopTransactionResponse():
                name = _name_of(identity, "stop", stop.transactionId, stop.idTag, stop.timestamp, stop.meterStop)
                yield self._stopped(stop, self._head(identity, central_system, name))

    def _stopped(self, stop: StopTransactionRequest, head: dict[str, Any]) -> TransactionEndedEvent:
        start = self._starts.get((folded(key_of(head["tenant"], head["charge_point"])), stop.transactionId))
        energy = None if start is None else stop.meterStop - start.meter_start_wh
        return TransactionEndedEvent(
            **head,
            transaction_id=stop.transactionId,
            connector=None if start is None else start.connector,
            id_tag=MASK if self._mask_id_tags and stop.idTag is not None else stop.idTag,
            started_at=None if start is None else start.started_at,
            ended_at=stop.timestamp,
            meter_start_wh=None if start is None else start.meter_start_wh,
            meter_stop_wh=stop.meterStop,
            energy_wh=None if energy is None or energy < 0 else energy,
            reason=None if stop.reason is None else stop.reason.value,
        )

    def _ended(self, identity: str, report: Report, central_system: str) -> Iterator[AnyEvent]:
        if report.outcome in _COPIES:
            return
        payload: Any = report.call.payload
        request = payload.read if isinstance(payload, UnopenedRequest) else payload
        inferred = any(loss.reason is LossReason.INFERRED_STATUS for loss in report.call.losses)
        # A message that the bridge sends again, or to another Central System too, made its event before.
        told = report.sender is Party.CHARGE_POINT and (inferred or not report.own)
        if isinstance(request, StatusNotificationRequest) and told:
            yield self._status(identity, request, report, central_system, inferred=inferred)
        answered = report.answer.losses if isinstance(report.answer, CallResult) else ()
        if report.call.losses or answered:
            yield self._loss(identity, (*report.call.losses, *answered), central_system)

    def _status(
        self, identity: str, request: StatusNotificationRequest, report: Report, central_system: str, *, inferred: bool
    ) -> StatusEvent:
        return StatusEvent(
            **self._head(identity, central_system),
            connector=request.connectorId,
            status=request.status.value,
            error_code=request.errorCode.value,
            info=_harmless(request.info),
            vendor_error_code=_harmless(request.vendorErrorCode),
            timestamp=request.timestamp,
            inferred=inferred,
            delivered=report.outcome is Outcome.RESULT,
        )

    def _loss(self, identity: str, losses: tuple[Loss, ...], central_system: str) -> LossEvent:
        told = [
            LostContent(message=loss.message, path=loss.path, reason=loss.reason.value, count=loss.count)
            for loss in losses
        ]
        return LossEvent(**self._head(identity, central_system), losses=tuple(told))

    def _link(self, identity: str, party: Party, central_system: str, state: Any, reason: str | None) -> LinkEvent:
        head = self._head(identity, central_system)
        return LinkEvent(**head, party=party.value, state=state, reason=_harmless(reason))


def folded(identity: str) -> str:
    """Return the identity without regard to letter case, as a text that SQLite takes: without halves of surrogates."""
    return identity.casefold().encode("utf-8", "replace").decode()


def moment(seconds: float) -> str:
    """Return unix seconds as a time of RFC 3339 in UTC, with milliseconds."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def _name_of(identity: str, *parts: object) -> str:
    """Return the id of the event about a message with these parts."""
    text = "\0".join(map(str, (identity.casefold(), *parts)))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _harmless(text: str | None) -> str | None:
    return None if text is None else without_password(text)
