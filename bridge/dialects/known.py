"""What the Session knows of a Charge Point's connectors: what it takes to tell apart what OCPP 1.5 calls Occupied."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import replace

from bridge.ocpp.enums import ChargePointStatus
from bridge.ocpp.messages import (
    Request,
    Response,
    StartTransactionRequest,
    StartTransactionResponse,
    StatusNotificationRequest,
    StopTransactionRequest,
)

# A connector that says so has no vehicle, whatever messages were missed before.
_FREE = frozenset({ChargePointStatus.Available, ChargePointStatus.Reserved, ChargePointStatus.Unavailable})


class Known(Struct, frozen=True, kw_only=True):
    """One Charge Point, as its messages and their answers have shown it.

    transactions   the open ones: transactionId -> connectorId
    finishing      the connectors whose transaction has ended, and which have not said since that they are free
    now            the time, in the model's spelling; for answers of OCPP 1.2 that leave it out
    """

    transactions: Mapping[int, int] = {}
    finishing: frozenset[int] = frozenset()
    now: str | None = None

    def occupied(self, connector: int | None) -> ChargePointStatus:
        """What an Occupied connector does (soap-wire 5.1, StatusNotification.status):

        a transaction is open on it -> Charging; else one has just ended there -> Finishing; else Preparing.
        """
        if connector in self.transactions.values():
            return ChargePointStatus.Charging
        return ChargePointStatus.Finishing if connector in self.finishing else ChargePointStatus.Preparing

    def after(self, request: Request, response: Response) -> Known:
        """What is known once `request`, in its 1.6 form, has been answered with `response`."""
        match request, response:
            case StartTransactionRequest(connectorId=connector), StartTransactionResponse(transactionId=transaction):
                freed = self._freed(connector)
                return replace(freed, transactions={**freed.transactions, transaction: connector})
            case StopTransactionRequest(transactionId=transaction), _ if transaction in self.transactions:
                connector = self.transactions[transaction]
                return replace(self._freed(connector), finishing=self.finishing | {connector})
            case StatusNotificationRequest(connectorId=connector, status=status), _ if status in _FREE:
                return self._freed(connector)
        return self

    def _freed(self, connector: int) -> Known:
        open_elsewhere = {number: place for number, place in self.transactions.items() if place != connector}
        return replace(self, transactions=open_elsewhere, finishing=self.finishing - {connector})
