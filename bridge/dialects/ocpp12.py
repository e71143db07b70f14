"""OCPP 1.2: what it has differently from 1.5, and what it does not have at all (soap-wire.md section 5)."""

from __future__ import annotations

from typing import Any

from bridge.dialects.dialect import Dialect
from bridge.dialects.meters import from_12, something, to_12
from bridge.dialects.ocpp15 import OCCUPIED, OCPP15, answered
from bridge.dialects.rules import At, Record, dropped, each, renamed, respelled, word
from bridge.ocpp.enums import CancelReservationStatus, DataTransferStatus, ReservationStatus, UpdateStatus
from bridge.ocpp.losses import Reason
from bridge.ocpp.messages import (
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
from bridge.ocpp.shapes import plain

# Seconds; what a Charge Point that is accepted without being told an interval is given. Three of them are the time
# after which the bridge takes a Charge Point of unknown interval for gone.
_HEARTBEAT = "300"


def _assumed(record: Record, at: At) -> None:
    """In 1.2 the time and the interval may be missing (rule 103), and 1.6 needs both.

    OCPP 1.6 edition 2, 4.2: with interval 0 a Charge Point that is not accepted chooses itself when to try again.
    """
    if not word(record.get("currentTime")) and at.known.now is not None:
        record["currentTime"] = at.known.now
        at.lose("currentTime", Reason.ASSUMED_TIME)
    if not word(record.get("heartbeatInterval")):
        record["heartbeatInterval"] = _HEARTBEAT if word(record.get("status")) == "accepted" else "0"
        at.lose("heartbeatInterval", Reason.ASSUMED_INTERVAL)


# No code of 1.2 says "something else". A wrong one sends a technician to the wrong part; the status still says Faulted.
_ERRORS = dict.fromkeys(
    [
        *("GroundFailure", "InternalError", "LocalListConflict", "OtherError"),
        *("OverCurrentFailure", "OverVoltage", "UnderVoltage", "WeakSignal"),
    ],
    "NoError",
)


def _configuration(request: GetConfigurationRequest) -> Response:
    """No key is known. An answer, not an error: many Central Systems ask after each boot (soap-wire 5.2)."""
    return GetConfigurationResponse(unknownKey=request.key or None)


def _readings(request: Any) -> Response | None:
    left, _ = OCPP12.downgrade("MeterValuesRequest", plain(request))
    return None if "values" in left else MeterValuesResponse()


_UPGRADES = {
    **OCPP15.upgrades,
    "BootNotificationResponse": (_assumed, renamed("heartbeatInterval", "interval")),
    "MeterValuesRequest": (each("values", from_12), renamed("values", "meterValue"), something),
    "StopTransactionRequest": (),
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
        respelled("status", {**OCCUPIED, "Reserved": "Occupied"}, Reason.COLLAPSED),
        respelled("errorCode", {"EVCommunicationError": "Mode3Error"}),
        respelled("errorCode", _ERRORS, Reason.COLLAPSED),
        dropped("info", "timestamp", "vendorId", "vendorErrorCode"),
    ),
    "StopTransactionRequest": (dropped("reason", "transactionData"),),
}

_STAND_INS = {
    **OCPP15.stand_ins,
    "CancelReservation": answered(CancelReservationResponse(status=CancelReservationStatus.Rejected)),
    "DataTransfer": answered(DataTransferResponse(status=DataTransferStatus.Rejected)),
    "GetConfiguration": _configuration,
    # OCPP 1.6 edition 2, 5.10: -1 says that the Charge Point has no local list.
    "GetLocalListVersion": answered(GetLocalListVersionResponse(listVersion=-1)),
    "MeterValues": _readings,
    "ReserveNow": answered(ReserveNowResponse(status=ReservationStatus.Rejected)),
    "SendLocalList": answered(SendLocalListResponse(status=UpdateStatus.NotSupported)),
}

OCPP12 = Dialect(version="1.2", upgrades=_UPGRADES, downgrades=_DOWNGRADES, stand_ins=_STAND_INS)
