"""OCPP 1.2: the differences from 1.5, and the actions that 1.2 lacks (soap-wire.md section 5)."""

from __future__ import annotations

from typing import Any

from bridge.dialects.dialect import Dialect
from bridge.dialects.meters import as_in_16, to_12
from bridge.dialects.ocpp15 import OCCUPIED, OCPP15, answered
from bridge.dialects.rules import At, Record, dropped, each, renamed, respelled, word
from bridge.ocpp.enums import CancelReservationStatus, DataTransferStatus, ReservationStatus, UpdateStatus
from bridge.ocpp.leaves import How, Unfit, read_leaf
from bridge.ocpp.losses import LossReason
from bridge.ocpp.messages import (
    BootNotificationResponse,
    CancelReservationResponse,
    DataTransferResponse,
    GetConfigurationRequest,
    GetConfigurationResponse,
    GetLocalListVersionResponse,
    MeterValuesResponse,
    ReserveNowResponse,
    Response,
    SendLocalListResponse,
)
from bridge.ocpp.shapes import plain, shape_of

# The interval in seconds for a Charge Point that is accepted without an interval. The bridge takes a Charge Point with
# an unknown interval for disconnected after three of these intervals.
_HEARTBEAT = "300"


def _assumed(record: Record, at: At) -> None:
    """Fill in the time and the interval, which 1.2 may leave out (rule 103) and 1.6 requires.

    An unreadable value is treated as a missing one. A Charge Point that is not accepted gets the interval 0, and so
    chooses the time of the next BootNotification itself (OCPP 1.6 edition 2, 4.2).
    """
    if at.known.now is not None and (reason := _missing(record, "currentTime", LossReason.ASSUMED_TIME)) is not None:
        record["currentTime"] = at.known.now
        at.lose("currentTime", reason)
    if (reason := _missing(record, "heartbeatInterval", LossReason.ASSUMED_INTERVAL)) is not None:
        record["heartbeatInterval"] = _HEARTBEAT if word(record.get("status")) == "accepted" else "0"
        at.lose("heartbeatInterval", reason)


_ANSWER = shape_of(BootNotificationResponse).fields
_ASSUMED = {"currentTime": _ANSWER["currentTime"], "heartbeatInterval": _ANSWER["interval"]}
_HOW = How(typed=False, day_alone=True)


def _missing(record: Record, name: str, absent: LossReason) -> LossReason | None:
    """Return why the field `name` has no usable value: `absent` for an empty one. Returns None for a usable value."""
    value = record.get(name)
    if not word(value):
        return absent
    return LossReason.UNREADABLE if isinstance(read_leaf(value, _ASSUMED[name], _HOW, lambda _: None), Unfit) else None


# No error code of 1.2 means another error. A wrong code sends a technician to the wrong part, so the code is NoError.
# The status still says Faulted.
_ERRORS = dict.fromkeys(
    [
        *("GroundFailure", "InternalError", "LocalListConflict", "OtherError"),
        *("OverCurrentFailure", "OverVoltage", "UnderVoltage", "WeakSignal"),
    ],
    "NoError",
)


def _configuration(request: GetConfigurationRequest) -> Response:
    """Answer that every key is unknown, not with an error: many Central Systems ask after each boot (soap-wire 5.2)."""
    return GetConfigurationResponse(unknownKey=request.key or None)


def _readings(request: Any) -> Response | None:
    left, _ = OCPP12.downgrade("MeterValuesRequest", plain(request))
    return None if "values" in left else MeterValuesResponse()


_UPGRADES = {
    **OCPP15.upgrades,
    "MeterValuesRequest": (as_in_16("1.2"),),
    "StopTransactionRequest": (as_in_16("1.2"),),
    "BootNotificationResponse": (_assumed, renamed("heartbeatInterval", "interval")),
}

_DOWNGRADES = {
    **OCPP15.downgrades,
    "MeterValuesRequest": (
        dropped("transactionId"),
        each("meterValue", to_12),
        renamed("meterValue", "values"),
    ),
    "StartTransactionRequest": (dropped("reservationId"),),
    "StatusNotificationRequest": (
        respelled("status", {**OCCUPIED, "Reserved": "Occupied"}, LossReason.COLLAPSED),
        respelled("errorCode", {"EVCommunicationError": "Mode3Error"}),
        respelled("errorCode", _ERRORS, LossReason.COLLAPSED),
        dropped("info", "timestamp", "vendorId", "vendorErrorCode"),
    ),
    "StopTransactionRequest": (dropped("reason", "transactionData"),),
}

_STAND_INS = {
    **OCPP15.stand_ins,
    "CancelReservation": answered(CancelReservationResponse(status=CancelReservationStatus.Rejected)),
    "DataTransfer": answered(DataTransferResponse(status=DataTransferStatus.Rejected)),
    "GetConfiguration": _configuration,
    # OCPP 1.6 edition 2, 5.10: listVersion -1 means that the Charge Point has no local list.
    "GetLocalListVersion": answered(GetLocalListVersionResponse(listVersion=-1)),
    "MeterValues": _readings,
    "ReserveNow": answered(ReserveNowResponse(status=ReservationStatus.Rejected)),
    "SendLocalList": answered(SendLocalListResponse(status=UpdateStatus.NotSupported)),
}

OCPP12 = Dialect(version="1.2", upgrades=_UPGRADES, downgrades=_DOWNGRADES, stand_ins=_STAND_INS)
