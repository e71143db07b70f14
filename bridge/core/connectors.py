"""State of each connector of a Charge Point, with its open or just ended transaction, learnt from the messages.

The state decides which status of OCPP 1.6 stands for Occupied of OCPP 1.5. Two rules are the bridge's own, because the
specification leaves the case open:

A StartTransaction whose idTag the Central System does not accept opens no transaction: the Charge Point stops it or
holds its energy back (OCPP 1.6 edition 2, 3.5.4), and the transactionId of such answers is often 0 each time.

A StopTransaction whose transactionId is open at several connectors ends the transaction at none of them: the next
message about each connector decides.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct

from bridge.ocpp.enums import AuthorizationStatus, ChargePointStatus
from bridge.ocpp.messages import (
    Request,
    Response,
    StartTransactionRequest,
    StartTransactionResponse,
    StatusNotificationRequest,
    StopTransactionRequest,
    StopTransactionResponse,
)

# A connector with such a status has no vehicle and no open transaction, whatever messages were missed before.
_WITHOUT_VEHICLE = frozenset({ChargePointStatus.Available, ChargePointStatus.Reserved, ChargePointStatus.Unavailable})
_TELLING = frozenset({StartTransactionRequest, StatusNotificationRequest, StopTransactionRequest})
# Far more connectors than a Charge Point has, and a bound on those that a hostile one makes up.
_MOST = 256


class ConnectorState(Struct, frozen=True, kw_only=True):
    """The last known state of a connector.

    Attributes:
        number: The connectorId.
        status: The last status, None if it is not known.
        transaction_id: The open transaction, None if none is open.
        ended: Whether the last transaction was stopped and the connector was not free since.
    """

    number: int
    status: str | None = None
    transaction_id: int | None = None
    ended: bool = False


class Connectors:
    """The state of each connector, by connectorId.

    Args:
        known: The stored state.
        limit: The most connectors that are kept. The one without messages for the longest time is removed, among those
            without an open transaction if there are any.
    """

    def __init__(self, known: Iterable[ConnectorState], limit: int = _MOST) -> None:
        self._limit = limit
        self.by_number: dict[int, ConnectorState] = {}
        for record in known:
            self._put(record)

    def see(self, request: Request | Any, response: Response | Any | None) -> ConnectorState | None:
        """Learn from a Call and its CallResult. Return the record that changed, None if none did."""
        if type(request) not in _TELLING:
            return None
        match request, response:
            case StartTransactionRequest(connectorId=number), StartTransactionResponse():
                accepted = response.idTagInfo.status is AuthorizationStatus.Accepted
                return self._now(number, transaction_id=response.transactionId if accepted else None, ended=False)
            case StopTransactionRequest(transactionId=transaction_id), StopTransactionResponse():
                where = self._of(transaction_id)
                return None if where is None else self._now(where, transaction_id=None, ended=True)
            case StatusNotificationRequest(connectorId=number, status=status), _ if status in _WITHOUT_VEHICLE:
                return self._now(number, status=status.value, transaction_id=None, ended=False)
            case StatusNotificationRequest(connectorId=number, status=status), _:
                # Preparing means that the next driver has come.
                ended = self.of(number).ended and status is not ChargePointStatus.Preparing
                return self._now(number, status=status.value, ended=ended)
        return None

    def of(self, number: int) -> ConnectorState:
        """Return the state of connector `number`; an empty one if it is not known."""
        return self.by_number.get(number, ConnectorState(number=number))

    def _of(self, transaction_id: int) -> int | None:
        """Return the connectorId of `transaction_id`, None if no connector or more than one has it."""
        found = [c.number for c in self.by_number.values() if c.transaction_id == transaction_id]
        return found[0] if len(found) == 1 else None

    def _now(self, number: int, **changes: Any) -> ConnectorState | None:
        before = self.of(number)
        after = msgspec.structs.replace(before, **changes)
        self._put(after)
        return None if after == before else after

    def _put(self, record: ConnectorState) -> None:
        """Store `record` as the newest one."""
        self.by_number.pop(record.number, None)
        self.by_number[record.number] = record
        if len(self.by_number) > self._limit:
            idle = (number for number, one in self.by_number.items() if one.transaction_id is None)
            del self.by_number[next(idle, next(iter(self.by_number)))]


class LastStatus(Struct, frozen=True, kw_only=True):
    """The last StatusNotification of a connector, sent by the Charge Point or by the bridge in its name."""

    request: StatusNotificationRequest


class LastStatuses:
    """The last StatusNotification of each connector, for the `limit` connectors with the newest ones."""

    def __init__(self, known: Iterable[LastStatus], limit: int = _MOST) -> None:
        self._limit = limit
        self._by_number = {record.request.connectorId: record.request for record in known}

    def see(self, request: object) -> LastStatus | None:
        """Keep `request` if it is a StatusNotification. Return the new record, None if nothing changed."""
        if not isinstance(request, StatusNotificationRequest):
            return None
        if self._by_number.get(request.connectorId) == request:
            return None
        self._by_number.pop(request.connectorId, None)
        self._by_number[request.connectorId] = request
        if len(self._by_number) > self._limit:
            del self._by_number[next(iter(self._by_number))]
        return LastStatus(request=request)

    def requests(self) -> list[StatusNotificationRequest]:
        """Return the StatusNotifications, in the order of the connectorIds."""
        return [self._by_number[number] for number in sorted(self._by_number)]
