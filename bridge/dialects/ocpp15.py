"""OCPP 1.5, held against 1.6: the tables of soap-wire.md section 5, row by row."""

from __future__ import annotations

from typing import Any

from bridge.dialects.dialect import Dialect, StandIn
from bridge.dialects.meters import FROM_15, TO_15, flattened, grouped, something
from bridge.dialects.rules import At, Record, dropped, each, number, only, renamed, respelled, word
from bridge.ocpp.enums import (
    ChargingProfileStatus,
    ClearChargingProfileStatus,
    GetCompositeScheduleStatus,
    TriggerMessageStatus,
)
from bridge.ocpp.losses import Reason
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
    """soap-wire 5.1: Occupied says less than any status of 1.6; `Known.occupied` is the rule.

    Of the whole Charge Point 1.6 says Available, Unavailable or Faulted only (rule 81).
    """
    status, connector = word(record.get("status")), number(record.get("connectorId"))
    if connector == 0 and status in ("occupied", "reserved"):
        record["status"] = "Available"
        at.lose("status", Reason.CONNECTOR_ZERO)
    elif status == "occupied":
        record["status"] = at.known.occupied(connector).value
        at.lose("status", Reason.OCCUPIED)


def answered(answer: Response) -> StandIn:
    """The same answer to every such request."""
    return lambda request: answer


def unless(words: frozenset[str], answer: Response) -> StandIn:
    """soap-wire 5.3: a status without an old value is swallowed."""
    return lambda request: None if request.status in words else answer


def _readings(request: Any) -> Response | None:
    """soap-wire 5.3: MeterValues of which nothing is left are swallowed."""
    left, _ = OCPP15.downgrade("MeterValuesRequest", plain(request))
    return None if "values" in left else MeterValuesResponse()


_UPGRADES = {
    "BootNotificationResponse": (renamed("heartbeatInterval", "interval"),),
    "MeterValuesRequest": (each("values", *FROM_15), renamed("values", "meterValue"), something),
    "SendLocalListRequest": (
        dropped("hash", reason=Reason.UNKNOWN_FIELD),
        renamed("localAuthorisationList", "localAuthorizationList"),
    ),
    "SendLocalListResponse": (
        dropped("hash", reason=Reason.UNKNOWN_FIELD),
        respelled("status", {"HashError": "Failed"}, Reason.COLLAPSED),
    ),
    "StatusNotificationRequest": (
        told_apart,
        respelled("errorCode", {"Mode3Error": "EVCommunicationError"}),
    ),
    "StopTransactionRequest": (each("transactionData", each("values", *FROM_15)), flattened),
    "UnlockConnectorResponse": (respelled("status", {"Accepted": "Unlocked", "Rejected": "UnlockFailed"}),),
}

OCCUPIED = dict.fromkeys(("Preparing", "Charging", "SuspendedEV", "SuspendedEVSE", "Finishing"), "Occupied")

_DOWNGRADES = {
    "BootNotificationResponse": (
        # Pending does not exist; the interval stays, as the time to try again (rule 74).
        respelled("status", {"Pending": "Rejected"}, Reason.COLLAPSED),
        renamed("interval", "heartbeatInterval"),
    ),
    "ChangeConfigurationResponse": (respelled("status", {"RebootRequired": "Accepted"}, Reason.COLLAPSED),),
    "DiagnosticsStatusNotificationRequest": (only("status", DIAGNOSTICS),),
    "FirmwareStatusNotificationRequest": (only("status", FIRMWARE),),
    "MeterValuesRequest": (each("meterValue", *TO_15), renamed("meterValue", "values")),
    "RemoteStartTransactionRequest": (dropped("chargingProfile"),),
    "SendLocalListRequest": (renamed("localAuthorizationList", "localAuthorisationList"),),
    "StatusNotificationRequest": (
        respelled("status", OCCUPIED, Reason.COLLAPSED),
        respelled("errorCode", {"EVCommunicationError": "Mode3Error"}),
        respelled(
            "errorCode",
            {"InternalError": "OtherError", "LocalListConflict": "OtherError", "OverVoltage": "OtherError"},
            Reason.COLLAPSED,
        ),
    ),
    "StopTransactionRequest": (dropped("reason"), each("transactionData", *TO_15), grouped),
    "UnlockConnectorResponse": (
        respelled("status", {"NotSupported": "Rejected"}, Reason.COLLAPSED),
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
