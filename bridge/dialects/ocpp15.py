"""OCPP 1.5: the differences from 1.6, in the rows of the tables in soap-wire.md section 5."""

from __future__ import annotations

from typing import Any

from bridge.dialects.configuration import KEYS_TO_16, KEYS_TO_OLDER
from bridge.dialects.dialect import Dialect, StandIn
from bridge.dialects.meters import TO_15, as_in_16, grouped
from bridge.dialects.rules import At, Record, dropped, each, number, only, renamed, respelled, word
from bridge.ocpp.enums import (
    ChargingProfileStatus,
    ClearChargingProfileStatus,
    GetCompositeScheduleStatus,
    TriggerMessageStatus,
)
from bridge.ocpp.losses import LossReason
from bridge.ocpp.messages import (
    ClearChargingProfileResponse,
    DiagnosticsStatusNotificationResponse,
    FirmwareStatusNotificationResponse,
    GetCompositeScheduleResponse,
    MeterValuesResponse,
    Response,
    SetChargingProfileResponse,
    TriggerMessageResponse,
)
from bridge.ocpp.shapes import plain

DIAGNOSTICS = frozenset({"Uploaded", "UploadFailed"})
FIRMWARE = frozenset({"Downloaded", "DownloadFailed", "InstallationFailed", "Installed"})


def told_apart(record: Record, at: At) -> None:
    """Replace Occupied by a status of 1.6, which has no such general status (soap-wire 5.1; `Known.occupied`).

    In 1.6 the whole Charge Point (connector 0) has only the statuses Available, Unavailable and Faulted (rule 81).
    """
    status, connector = word(record.get("status")), number(record.get("connectorId"))
    if connector == 0 and status in ("occupied", "reserved"):
        record["status"] = "Available"
        at.lose("status", LossReason.CONNECTOR_ZERO)
    elif status == "occupied":
        record["status"] = at.known.occupied(connector).value
        at.lose("status", LossReason.OCCUPIED)


def answered(answer: Response) -> StandIn:
    """Return a stand-in that gives `answer` to every request."""
    return lambda request: answer


def unless(words: frozenset[str], answer: Response) -> StandIn:
    """Return a stand-in that gives `answer` to a status outside `words`, which 1.5 lacks (soap-wire 5.3)."""
    return lambda request: None if request.status in words else answer


def _readings(request: Any) -> Response | None:
    """Answer MeterValues in which no sample is left after the conversion (soap-wire 5.3); otherwise return None."""
    left, _ = OCPP15.downgrade("MeterValuesRequest", plain(request))
    return None if "values" in left else MeterValuesResponse()


_UPGRADES = {
    **KEYS_TO_16,
    "BootNotificationResponse": (renamed("heartbeatInterval", "interval"),),
    "MeterValuesRequest": (as_in_16("1.5"),),
    "SendLocalListRequest": (
        dropped("hash", reason=LossReason.UNKNOWN_FIELD),
        renamed("localAuthorisationList", "localAuthorizationList"),
    ),
    "SendLocalListResponse": (
        dropped("hash", reason=LossReason.UNKNOWN_FIELD),
        respelled("status", {"HashError": "Failed"}, LossReason.COLLAPSED),
    ),
    "StatusNotificationRequest": (
        told_apart,
        respelled("errorCode", {"Mode3Error": "EVCommunicationError"}),
    ),
    "StopTransactionRequest": (as_in_16("1.5"),),
    "UnlockConnectorResponse": (respelled("status", {"Accepted": "Unlocked", "Rejected": "UnlockFailed"}),),
}

OCCUPIED = dict.fromkeys(("Preparing", "Charging", "SuspendedEV", "SuspendedEVSE", "Finishing"), "Occupied")

_DOWNGRADES = {
    **KEYS_TO_OLDER,
    "BootNotificationResponse": (
        # Pending does not exist in 1.5. The interval stays: it is the time until the next BootNotification (rule 74).
        respelled("status", {"Pending": "Rejected"}, LossReason.COLLAPSED),
        renamed("interval", "heartbeatInterval"),
    ),
    "ChangeConfigurationResponse": (respelled("status", {"RebootRequired": "Accepted"}, LossReason.COLLAPSED),),
    "DiagnosticsStatusNotificationRequest": (only("status", DIAGNOSTICS),),
    "FirmwareStatusNotificationRequest": (only("status", FIRMWARE),),
    "MeterValuesRequest": (each("meterValue", *TO_15), renamed("meterValue", "values")),
    "RemoteStartTransactionRequest": (dropped("chargingProfile"),),
    "SendLocalListRequest": (renamed("localAuthorizationList", "localAuthorisationList"),),
    "StatusNotificationRequest": (
        respelled("status", OCCUPIED, LossReason.COLLAPSED),
        respelled("errorCode", {"EVCommunicationError": "Mode3Error"}),
        respelled(
            "errorCode",
            {"InternalError": "OtherError", "LocalListConflict": "OtherError", "OverVoltage": "OtherError"},
            LossReason.COLLAPSED,
        ),
    ),
    "StopTransactionRequest": (dropped("reason"), each("transactionData", *TO_15), grouped),
    "UnlockConnectorResponse": (
        respelled("status", {"NotSupported": "Rejected"}, LossReason.COLLAPSED),
        respelled("status", {"Unlocked": "Accepted", "UnlockFailed": "Rejected"}),
    ),
}

_STAND_INS = {
    "ClearChargingProfile": answered(ClearChargingProfileResponse(status=ClearChargingProfileStatus.Unknown)),
    "DiagnosticsStatusNotification": unless(DIAGNOSTICS, DiagnosticsStatusNotificationResponse()),
    "FirmwareStatusNotification": unless(FIRMWARE, FirmwareStatusNotificationResponse()),
    "GetCompositeSchedule": answered(GetCompositeScheduleResponse(status=GetCompositeScheduleStatus.Rejected)),
    "MeterValues": _readings,
    "SetChargingProfile": answered(SetChargingProfileResponse(status=ChargingProfileStatus.NotSupported)),
    "TriggerMessage": answered(TriggerMessageResponse(status=TriggerMessageStatus.NotImplemented)),
}

OCPP15 = Dialect(version="1.5", upgrades=_UPGRADES, downgrades=_DOWNGRADES, stand_ins=_STAND_INS)
