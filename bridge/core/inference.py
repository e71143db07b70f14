"""The connector status that OCPP 1.5 and 1.2 leave out between plugging in and unplugging (`infer_status`).

OCPP 1.6 edition 2, 4.9: a connector reports Preparing, then Charging, then Finishing. OCPP 1.5 and 1.2 report Occupied
for all three, and a Charge Point reports it once. So the bridge sends Charging after the answer that began a
transaction, and Finishing after the answer that ended the transaction, in the Charge Point's name.

Nothing is inferred
- for connector 0, which is the whole Charge Point;
- for a connector whose last reported status was not Occupied, or that has not reported one;
- if the Central System already has that status as its last one;
- if the connector's last status is newer than the StartTransaction or StopTransaction, which was then queued for a
  while. Both time stamps come from the Charge Point's own clock. Without a time stamp in the StatusNotification (OCPP
  1.2 has none) nothing is compared.

The Session passes each transaction's Start and Stop to this module once, so nothing is sent twice for a transaction.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from bridge.core.connectors import ConnectorState
from bridge.core.memory import SessionMemory
from bridge.ocpp.enums import AuthorizationStatus, ChargePointErrorCode, ChargePointStatus
from bridge.ocpp.losses import Loss, LossReason
from bridge.ocpp.messages import (
    StartTransactionRequest,
    StartTransactionResponse,
    StatusNotificationRequest,
    StopTransactionRequest,
    StopTransactionResponse,
)
from bridge.ocpp.rpc import Call

# Seconds that the Central System may take to answer an inferred StatusNotification.
WITHIN = 5.0
# The statuses of OCPP 1.6 that `bridge.dialects.known` makes from Occupied.
_OCCUPIED = frozenset({ChargePointStatus.Preparing, ChargePointStatus.Charging, ChargePointStatus.Finishing})
_TELLING = frozenset({StartTransactionRequest, StatusNotificationRequest, StopTransactionRequest})
_WHOLE_SECONDS = len("2026-01-02T03:04:05")
# The same number of connectors as in `Connectors`.
_MOST = 256


class _Told(Struct, frozen=True, kw_only=True):
    """The last status of a connector that was sent to the Central System.

    Attributes:
        status: The status of OCPP 1.6.
        occupied: Whether the Charge Point itself last reported Occupied.
        at: The time stamp of the Charge Point's own last StatusNotification, None if it had none.
    """

    status: str
    occupied: bool
    at: str | None = None


class InferredStatuses:
    """The decision which StatusNotifications the bridge sends in a Charge Point's name.

    Args:
        memory: The records, with the state of the connectors, that were stored before the bridge started.
    """

    def __init__(self, memory: SessionMemory) -> None:
        self._told: dict[int, _Told] = {}
        for connector in memory.connectors:
            if connector.status is not None:
                occupied = memory.older_version and connector.status in _OCCUPIED
                self._put(connector.number, _Told(status=connector.status, occupied=occupied))

    def see(self, call: Call, response: Any, changed: ConnectorState | None) -> StatusNotificationRequest | None:
        """Learn from a Charge Point's Call that was answered.

        Args:
            call: The Call.
            response: The payload of its CallResult.
            changed: The connector that the Call changed, as `Connectors.see` returned it.

        Returns:
            The StatusNotification to send to the Central System now, None if there is none.
        """
        if type(call.payload) not in _TELLING:
            return None
        match call.payload, response:
            case StatusNotificationRequest(connectorId=number, status=status, timestamp=at), _:
                occupied = any(loss.reason is LossReason.OCCUPIED for loss in call.losses)
                self._put(number, _Told(status=status.value, occupied=occupied, at=at))
            case StartTransactionRequest(connectorId=number, timestamp=began), StartTransactionResponse():
                if response.idTagInfo.status is AuthorizationStatus.Accepted:
                    return self._inferred(number, ChargePointStatus.Charging, began)
            case StopTransactionRequest(timestamp=ended), StopTransactionResponse() if changed is not None:
                return self._inferred(changed.number, ChargePointStatus.Finishing, ended)
        return None

    def told(self, request: StatusNotificationRequest) -> None:
        """Note that the Central System has answered the inferred `request`."""
        before = self._told.get(request.connectorId)
        if before is not None:
            self._told[request.connectorId] = replace(before, status=request.status.value)

    def _inferred(self, number: int, status: ChargePointStatus, at: str) -> StatusNotificationRequest | None:
        told = self._told.get(number)
        if number == 0 or told is None or not told.occupied or told.status == status.value:
            return None
        # Compared in whole seconds: not all messages of a Charge Point have fractions of a second.
        if told.at is not None and told.at[:_WHOLE_SECONDS] > at[:_WHOLE_SECONDS]:
            return None
        return StatusNotificationRequest(
            connectorId=number, status=status, errorCode=ChargePointErrorCode.NoError, timestamp=at
        )

    def _put(self, number: int, told: _Told) -> None:
        self._told.pop(number, None)
        self._told[number] = told
        if len(self._told) > _MOST:
            del self._told[next(iter(self._told))]


INFERRED = Loss(message="StatusNotificationRequest", path="", reason=LossReason.INFERRED_STATUS)


def is_inferred(call: Call) -> bool:
    """Return whether the bridge's own `call` is an inferred StatusNotification."""
    return INFERRED in call.losses
