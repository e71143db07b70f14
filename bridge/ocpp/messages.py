"""The 56 PDUs of OCPP 1.6 (edition 2, section 6): a request and a response for each of the 28 actions.

Both codecs, the generators of the tests and the forms of the console are derived from these records. The fields have
the order of the WSDL. Tests compare each record with the WSDL and with the official JSON schema.
"""

from __future__ import annotations

from msgspec import Struct

from bridge.ocpp.enums import (
    AvailabilityStatus,
    AvailabilityType,
    CancelReservationStatus,
    ChargePointErrorCode,
    ChargePointStatus,
    ChargingProfilePurposeType,
    ChargingProfileStatus,
    ChargingRateUnitType,
    ClearCacheStatus,
    ClearChargingProfileStatus,
    ConfigurationStatus,
    DataTransferStatus,
    DiagnosticsStatus,
    FirmwareStatus,
    GetCompositeScheduleStatus,
    MessageTrigger,
    Reason,
    RegistrationStatus,
    RemoteStartStopStatus,
    ReservationStatus,
    ResetStatus,
    ResetType,
    TriggerMessageStatus,
    UnlockStatus,
    UpdateStatus,
    UpdateType,
)
from bridge.ocpp.types import (
    AuthorizationData,
    ChargingProfile,
    ChargingSchedule,
    IdTagInfo,
    IdToken,
    Int,
    KeyValue,
    MeterValue,
    NonEmpty,
    String20,
    String25,
    String50,
    String255,
    String500,
    Timestamp,
    TransactionId,
)


class Request(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The payload of a Call."""


class Response(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The payload of a CallResult."""


class AuthorizeRequest(Request, frozen=True, kw_only=True):
    idTag: IdToken


class AuthorizeResponse(Response, frozen=True, kw_only=True):
    idTagInfo: IdTagInfo


class BootNotificationRequest(Request, frozen=True, kw_only=True):
    chargePointVendor: String20
    chargePointModel: String20
    chargePointSerialNumber: String25 | None = None
    chargeBoxSerialNumber: String25 | None = None
    firmwareVersion: String50 | None = None
    iccid: String20 | None = None
    imsi: String20 | None = None
    meterType: String25 | None = None
    meterSerialNumber: String25 | None = None


class BootNotificationResponse(Response, frozen=True, kw_only=True):
    status: RegistrationStatus
    currentTime: Timestamp
    interval: Int


class CancelReservationRequest(Request, frozen=True, kw_only=True):
    reservationId: Int


class CancelReservationResponse(Response, frozen=True, kw_only=True):
    status: CancelReservationStatus


class ChangeAvailabilityRequest(Request, frozen=True, kw_only=True):
    connectorId: Int
    type: AvailabilityType


class ChangeAvailabilityResponse(Response, frozen=True, kw_only=True):
    status: AvailabilityStatus


class ChangeConfigurationRequest(Request, frozen=True, kw_only=True):
    key: String50
    value: String500


class ChangeConfigurationResponse(Response, frozen=True, kw_only=True):
    status: ConfigurationStatus


class ClearCacheRequest(Request, frozen=True, kw_only=True):
    pass


class ClearCacheResponse(Response, frozen=True, kw_only=True):
    status: ClearCacheStatus


class ClearChargingProfileRequest(Request, frozen=True, kw_only=True):
    id: Int | None = None
    connectorId: Int | None = None
    chargingProfilePurpose: ChargingProfilePurposeType | None = None
    stackLevel: Int | None = None


class ClearChargingProfileResponse(Response, frozen=True, kw_only=True):
    status: ClearChargingProfileStatus


class DataTransferRequest(Request, frozen=True, kw_only=True):
    vendorId: String255
    messageId: String50 | None = None
    data: str | None = None


class DataTransferResponse(Response, frozen=True, kw_only=True):
    status: DataTransferStatus
    data: str | None = None


class DiagnosticsStatusNotificationRequest(Request, frozen=True, kw_only=True):
    status: DiagnosticsStatus


class DiagnosticsStatusNotificationResponse(Response, frozen=True, kw_only=True):
    pass


class FirmwareStatusNotificationRequest(Request, frozen=True, kw_only=True):
    status: FirmwareStatus


class FirmwareStatusNotificationResponse(Response, frozen=True, kw_only=True):
    pass


class GetCompositeScheduleRequest(Request, frozen=True, kw_only=True):
    connectorId: Int
    duration: Int
    chargingRateUnit: ChargingRateUnitType | None = None


class GetCompositeScheduleResponse(Response, frozen=True, kw_only=True):
    status: GetCompositeScheduleStatus
    connectorId: Int | None = None
    scheduleStart: Timestamp | None = None
    chargingSchedule: ChargingSchedule | None = None


class GetConfigurationRequest(Request, frozen=True, kw_only=True):
    key: tuple[String50, ...] | None = None


class GetConfigurationResponse(Response, frozen=True, kw_only=True):
    configurationKey: tuple[KeyValue, ...] | None = None
    unknownKey: tuple[String50, ...] | None = None


class GetDiagnosticsRequest(Request, frozen=True, kw_only=True):
    location: str
    startTime: Timestamp | None = None
    stopTime: Timestamp | None = None
    retries: Int | None = None
    retryInterval: Int | None = None


class GetDiagnosticsResponse(Response, frozen=True, kw_only=True):
    fileName: String255 | None = None


class GetLocalListVersionRequest(Request, frozen=True, kw_only=True):
    pass


class GetLocalListVersionResponse(Response, frozen=True, kw_only=True):
    listVersion: Int


class HeartbeatRequest(Request, frozen=True, kw_only=True):
    pass


class HeartbeatResponse(Response, frozen=True, kw_only=True):
    currentTime: Timestamp


class MeterValuesRequest(Request, frozen=True, kw_only=True):
    connectorId: Int
    transactionId: TransactionId | None = None
    meterValue: NonEmpty[MeterValue]


class MeterValuesResponse(Response, frozen=True, kw_only=True):
    pass


class RemoteStartTransactionRequest(Request, frozen=True, kw_only=True):
    connectorId: Int | None = None
    idTag: IdToken
    chargingProfile: ChargingProfile | None = None


class RemoteStartTransactionResponse(Response, frozen=True, kw_only=True):
    status: RemoteStartStopStatus


class RemoteStopTransactionRequest(Request, frozen=True, kw_only=True):
    transactionId: TransactionId


class RemoteStopTransactionResponse(Response, frozen=True, kw_only=True):
    status: RemoteStartStopStatus


class ReserveNowRequest(Request, frozen=True, kw_only=True):
    connectorId: Int
    expiryDate: Timestamp
    idTag: IdToken
    parentIdTag: IdToken | None = None
    reservationId: Int


class ReserveNowResponse(Response, frozen=True, kw_only=True):
    status: ReservationStatus


class ResetRequest(Request, frozen=True, kw_only=True):
    type: ResetType


class ResetResponse(Response, frozen=True, kw_only=True):
    status: ResetStatus


class SendLocalListRequest(Request, frozen=True, kw_only=True):
    listVersion: Int
    localAuthorizationList: tuple[AuthorizationData, ...] | None = None
    updateType: UpdateType


class SendLocalListResponse(Response, frozen=True, kw_only=True):
    status: UpdateStatus


class SetChargingProfileRequest(Request, frozen=True, kw_only=True):
    connectorId: Int
    csChargingProfiles: ChargingProfile


class SetChargingProfileResponse(Response, frozen=True, kw_only=True):
    status: ChargingProfileStatus


class StartTransactionRequest(Request, frozen=True, kw_only=True):
    connectorId: Int
    idTag: IdToken
    timestamp: Timestamp
    meterStart: Int
    reservationId: Int | None = None


class StartTransactionResponse(Response, frozen=True, kw_only=True):
    transactionId: TransactionId
    idTagInfo: IdTagInfo


class StatusNotificationRequest(Request, frozen=True, kw_only=True):
    connectorId: Int
    status: ChargePointStatus
    errorCode: ChargePointErrorCode
    info: String50 | None = None
    timestamp: Timestamp | None = None
    vendorId: String255 | None = None
    vendorErrorCode: String50 | None = None


class StatusNotificationResponse(Response, frozen=True, kw_only=True):
    pass


class StopTransactionRequest(Request, frozen=True, kw_only=True):
    transactionId: TransactionId
    idTag: IdToken | None = None
    timestamp: Timestamp
    meterStop: Int
    reason: Reason | None = None
    transactionData: tuple[MeterValue, ...] | None = None


class StopTransactionResponse(Response, frozen=True, kw_only=True):
    idTagInfo: IdTagInfo | None = None


class TriggerMessageRequest(Request, frozen=True, kw_only=True):
    requestedMessage: MessageTrigger
    connectorId: Int | None = None


class TriggerMessageResponse(Response, frozen=True, kw_only=True):
    status: TriggerMessageStatus


class UnlockConnectorRequest(Request, frozen=True, kw_only=True):
    connectorId: Int


class UnlockConnectorResponse(Response, frozen=True, kw_only=True):
    status: UnlockStatus


class UpdateFirmwareRequest(Request, frozen=True, kw_only=True):
    retrieveDate: Timestamp
    location: str
    retries: Int | None = None
    retryInterval: Int | None = None


class UpdateFirmwareResponse(Response, frozen=True, kw_only=True):
    pass
