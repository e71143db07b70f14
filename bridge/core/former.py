"""The rights of a Central System over a Charge Point that was moved away from it (design/central-systems.md M1).

The Central System keeps its transactions until they end: it may stop them, and set their charging profiles. Every other
command is answered here with the refusal that its action has, and is never passed on.

This module is pure.
"""

from __future__ import annotations

from collections.abc import Mapping

from bridge.core.transaction_ids import commanded, commanded_number
from bridge.core.transactions import Transactions
from bridge.errors import ErrorCode
from bridge.ocpp.enums import (
    AvailabilityStatus,
    CancelReservationStatus,
    ChargingProfileStatus,
    ClearCacheStatus,
    ClearChargingProfileStatus,
    ConfigurationStatus,
    DataTransferStatus,
    GetCompositeScheduleStatus,
    RemoteStartStopStatus,
    ReservationStatus,
    ResetStatus,
    TriggerMessageStatus,
    UnlockStatus,
    UpdateStatus,
)
from bridge.ocpp.messages import (
    CancelReservationResponse,
    ChangeAvailabilityResponse,
    ChangeConfigurationResponse,
    ClearCacheResponse,
    ClearChargingProfileResponse,
    DataTransferResponse,
    GetCompositeScheduleResponse,
    GetConfigurationResponse,
    RemoteStartTransactionResponse,
    RemoteStopTransactionResponse,
    ReserveNowResponse,
    ResetResponse,
    Response,
    SendLocalListResponse,
    SetChargingProfileResponse,
    TriggerMessageResponse,
    UnlockConnectorResponse,
)
from bridge.ocpp.rpc import Call, CallError, CallResult

WHY = "the Charge Point belongs to another Central System now"
# The commands that name a transaction.
_OF_TRANSACTIONS = frozenset({"RemoteStopTransaction", "SetChargingProfile"})
# An action that has no status for a refusal is not here: it gets the CALLERROR NotSupported.
REFUSALS: Mapping[str, Response] = {
    "CancelReservation": CancelReservationResponse(status=CancelReservationStatus.Rejected),
    "ChangeAvailability": ChangeAvailabilityResponse(status=AvailabilityStatus.Rejected),
    "ChangeConfiguration": ChangeConfigurationResponse(status=ConfigurationStatus.Rejected),
    "ClearCache": ClearCacheResponse(status=ClearCacheStatus.Rejected),
    "ClearChargingProfile": ClearChargingProfileResponse(status=ClearChargingProfileStatus.Unknown),
    "DataTransfer": DataTransferResponse(status=DataTransferStatus.Rejected),
    "GetCompositeSchedule": GetCompositeScheduleResponse(status=GetCompositeScheduleStatus.Rejected),
    "GetConfiguration": GetConfigurationResponse(),
    "RemoteStartTransaction": RemoteStartTransactionResponse(status=RemoteStartStopStatus.Rejected),
    "RemoteStopTransaction": RemoteStopTransactionResponse(status=RemoteStartStopStatus.Rejected),
    "ReserveNow": ReserveNowResponse(status=ReservationStatus.Rejected),
    "Reset": ResetResponse(status=ResetStatus.Rejected),
    "SendLocalList": SendLocalListResponse(status=UpdateStatus.Failed),
    "SetChargingProfile": SetChargingProfileResponse(status=ChargingProfileStatus.Rejected),
    "TriggerMessage": TriggerMessageResponse(status=TriggerMessageStatus.Rejected),
    "UnlockConnector": UnlockConnectorResponse(status=UnlockStatus.UnlockFailed),
}


def refusal_of(call: Call, why: str = WHY) -> CallResult | CallError:
    """Return the refusal of a command, in the form that its action has.

    `why` is the reason, which only the form of an error can tell.
    """
    status = REFUSALS.get(call.action)
    if status is not None:
        return CallResult(unique_id=call.unique_id, payload=status)
    return CallError(unique_id=call.unique_id, code=ErrorCode.NotSupported, description=why)


def permitted(call: Call, central_system: str, transactions: Transactions) -> Call | None:
    """Return a command of a former Central System as the Charge Point must get it, None if it is refused.

    Args:
        call: The command.
        central_system: The name of the former Central System.
        transactions: The transactions of the Charge Point.
    """
    named = commanded_number(call) if call.action in _OF_TRANSACTIONS else None
    number = None if named is None else transactions.number_for(central_system, named)
    if number is None:
        return None
    payload = call.payload if number == named else commanded(call, number)
    return Call(unique_id=call.unique_id, action=call.action, payload=payload, losses=call.losses)
