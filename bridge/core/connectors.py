"""What is known of a Charge Point's connectors, from the messages that pass: where a transaction is open or just ended.

It tells apart what OCPP 1.5 calls Occupied. Two rules of it are ours, where messages leave open what is so:

A StartTransaction whose idTag the Central System does not accept opens no transaction: the Charge Point stops it or
holds its energy back (OCPP 1.6 edition 2, 3.5.4), and what such an answer has for a transactionId is often 0, again and
again.

A StopTransaction whose transactionId stands for several connectors says of none of them that it is over there: the
next message about each does.
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

# A connector that says so has no vehicle, nor a transaction that was open there, whatever messages were missed before.
_WITHOUT_VEHICLE = frozenset({ChargePointStatus.Available, ChargePointStatus.Reserved, ChargePointStatus.Unavailable})
_TELLING = frozenset({StartTransactionRequest, StatusNotificationRequest, StopTransactionRequest})
# Far more than a Charge Point has; fewer than a hostile one can make up.
_MOST = 256


class Connector(Struct, frozen=True, kw_only=True):
    """The last known state of a connector. `ended`: its last transaction was stopped, and it was not free since."""

    number: int
    status: str | None = None
    transaction_id: int | None = None
    ended: bool = False


class Connectors:
    """Each of them by its number, `limit` at most: the one that was not heard of for the longest goes, one with an open
    transaction only where all have one."""

    def __init__(self, known: Iterable[Connector], limit: int = _MOST) -> None:
        self._limit = limit
        self.by_number: dict[int, Connector] = {}
        for record in known:
            self._put(record)

    def see(self, request: Request | Any, response: Response | Any | None) -> Connector | None:
        """Learn from a Call and its CallResult; the record that changed, if one did."""
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
                # Preparing: the next driver is there.
                ended = self.of(number).ended and status is not ChargePointStatus.Preparing
                return self._now(number, status=status.value, ended=ended)
        return None

    def of(self, number: int) -> Connector:
        """The connector, known or not."""
        return self.by_number.get(number, Connector(number=number))

    def _of(self, transaction_id: int) -> int | None:
        """The one connector with that transaction."""
        found = [c.number for c in self.by_number.values() if c.transaction_id == transaction_id]
        return found[0] if len(found) == 1 else None

    def _now(self, number: int, **changes: Any) -> Connector | None:
        before = self.of(number)
        after = msgspec.structs.replace(before, **changes)
        self._put(after)
        return None if after == before else after

    def _put(self, record: Connector) -> None:
        """As the one that was heard of last."""
        self.by_number.pop(record.number, None)
        self.by_number[record.number] = record
        if len(self.by_number) > self._limit:
            idle = (number for number, one in self.by_number.items() if one.transaction_id is None)
            del self.by_number[next(idle, next(iter(self.by_number)))]
