"""Messages for conversations: one of each kind that a Session treats in a way of its own, and some that it does not."""

from __future__ import annotations

from bridge.core.transactions import KnownTransaction
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
ACCEPTED = IdTagInfo(status=AuthorizationStatus.Accepted)


def start(connector: int = 1, meter: int = 0) -> StartTransactionRequest:
    """Equal ones are repetitions of each other."""
    return StartTransactionRequest(connectorId=connector, idTag="TAG", timestamp=NOW, meterStart=meter)


def transaction(number: int) -> KnownTransaction:
    """The transaction of `start()` that its Central System has named so."""
    return KnownTransaction(
        number=number, central_system="", named=number, connector=1, id_tag="TAG", meter_start=0, started=NOW
    )


def start_conf(transaction_id: int) -> StartTransactionResponse:
    """Accepted, and its transaction has a name."""
    return StartTransactionResponse(transactionId=transaction_id, idTagInfo=ACCEPTED)


def stop(transaction_id: int, meter: int = 1200) -> StopTransactionRequest:
    """Equal ones are repetitions of each other."""
    return StopTransactionRequest(transactionId=transaction_id, timestamp=NOW, meterStop=meter)


BOOT = BootNotificationRequest(chargePointVendor="Vendor", chargePointModel="Model")
HEARTBEAT = HeartbeatRequest()
HEARTBEAT_CONF = HeartbeatResponse(currentTime=NOW)
AUTHORIZE = AuthorizeRequest(idTag="TAG")
AUTHORIZE_CONF = AuthorizeResponse(idTagInfo=ACCEPTED)
START = start()
START_CONF = start_conf(7)
STOP = stop(7)
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
