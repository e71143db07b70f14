"""Messages for conversations: one of each kind that a Session treats in a way of its own, and some that it does not."""

from __future__ import annotations

from bridge.ocpp.enums import (
    AuthorizationStatus,
    MessageTrigger,
    RegistrationStatus,
    RemoteStartStopStatus,
    ResetStatus,
    ResetType,
    TriggerMessageStatus,
)
from bridge.ocpp.messages import (
    AuthorizeRequest,
    AuthorizeResponse,
    BootNotificationRequest,
    BootNotificationResponse,
    DataTransferRequest,
    GetLocalListVersionRequest,
    GetLocalListVersionResponse,
    HeartbeatRequest,
    HeartbeatResponse,
    RemoteStartTransactionRequest,
    RemoteStartTransactionResponse,
    ResetRequest,
    ResetResponse,
    StartTransactionRequest,
    StartTransactionResponse,
    StopTransactionRequest,
    StopTransactionResponse,
    TriggerMessageRequest,
    TriggerMessageResponse,
)
from bridge.ocpp.types import IdTagInfo

NOW = "2026-03-01T12:00:00Z"

BOOT = BootNotificationRequest(chargePointVendor="Vendor", chargePointModel="Model")
HEARTBEAT = HeartbeatRequest()
HEARTBEAT_CONF = HeartbeatResponse(currentTime=NOW)
AUTHORIZE = AuthorizeRequest(idTag="TAG")
AUTHORIZE_CONF = AuthorizeResponse(idTagInfo=IdTagInfo(status=AuthorizationStatus.Accepted))
START = StartTransactionRequest(connectorId=1, idTag="TAG", timestamp=NOW, meterStart=0)
START_CONF = StartTransactionResponse(transactionId=7, idTagInfo=IdTagInfo(status=AuthorizationStatus.Accepted))
STOP = StopTransactionRequest(transactionId=7, timestamp=NOW, meterStop=1200)
STOP_CONF = StopTransactionResponse()

REMOTE_START = RemoteStartTransactionRequest(idTag="TAG")
REMOTE_START_CONF = RemoteStartTransactionResponse(status=RemoteStartStopStatus.Accepted)
RESET = ResetRequest(type=ResetType.Soft)
RESET_CONF = ResetResponse(status=ResetStatus.Accepted)
LIST_VERSION = GetLocalListVersionRequest()
LIST_VERSION_CONF = GetLocalListVersionResponse(listVersion=3)
TRIGGER = TriggerMessageRequest(requestedMessage=MessageTrigger.Heartbeat)
TRIGGER_CONF = TriggerMessageResponse(status=TriggerMessageStatus.Accepted)


def boot_conf(interval: int) -> BootNotificationResponse:
    """Accepted, with a heartbeat every `interval` seconds."""
    return BootNotificationResponse(status=RegistrationStatus.Accepted, currentTime=NOW, interval=interval)


def data(text: str) -> DataTransferRequest:
    """A Call that can be told from others."""
    return DataTransferRequest(vendorId="us.example", data=text)
