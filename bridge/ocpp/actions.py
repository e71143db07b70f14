"""The 28 actions of OCPP 1.6, with the parties that may send each action and its PDUs. Written here only."""

from __future__ import annotations

from enum import StrEnum
from functools import cached_property

from msgspec import Struct

from bridge.ocpp import messages
from bridge.ocpp.messages import Request, Response


class Party(StrEnum):
    """A party that sends Calls. The values are those of the label `from` of the metrics."""

    CHARGE_POINT = "charge_point"
    CENTRAL_SYSTEM = "central_system"

    @cached_property
    def other(self) -> Party:
        return Party.CENTRAL_SYSTEM if self is Party.CHARGE_POINT else Party.CHARGE_POINT


class Profile(StrEnum):
    """The feature profiles of OCPP 1.6 edition 2, section 3.2."""

    CORE = "Core"
    FIRMWARE_MANAGEMENT = "FirmwareManagement"
    LOCAL_AUTH_LIST_MANAGEMENT = "LocalAuthListManagement"
    RESERVATION = "Reservation"
    SMART_CHARGING = "SmartCharging"
    REMOTE_TRIGGER = "RemoteTrigger"


class Action(Struct, frozen=True, kw_only=True):
    """An action of OCPP 1.6.

    Attributes:
        name: The name, which is case-sensitive (OCPP-J 1.6 section 4.2.1).
        request: The record of the request PDU.
        response: The record of the response PDU.
        senders: The parties that may send the action.
        profile: The feature profile.
    """

    name: str
    request: type[Request]
    response: type[Response]
    senders: frozenset[Party]
    profile: Profile


_FROM_CHARGE_POINT = {
    Profile.CORE: (
        "Authorize",
        "BootNotification",
        "DataTransfer",
        "Heartbeat",
        "MeterValues",
        "StartTransaction",
        "StatusNotification",
        "StopTransaction",
    ),
    Profile.FIRMWARE_MANAGEMENT: ("DiagnosticsStatusNotification", "FirmwareStatusNotification"),
}
_FROM_CENTRAL_SYSTEM = {
    Profile.CORE: (
        "ChangeAvailability",
        "ChangeConfiguration",
        "ClearCache",
        "DataTransfer",
        "GetConfiguration",
        "RemoteStartTransaction",
        "RemoteStopTransaction",
        "Reset",
        "UnlockConnector",
    ),
    Profile.FIRMWARE_MANAGEMENT: ("GetDiagnostics", "UpdateFirmware"),
    Profile.LOCAL_AUTH_LIST_MANAGEMENT: ("GetLocalListVersion", "SendLocalList"),
    Profile.RESERVATION: ("CancelReservation", "ReserveNow"),
    Profile.SMART_CHARGING: ("ClearChargingProfile", "GetCompositeSchedule", "SetChargingProfile"),
    Profile.REMOTE_TRIGGER: ("TriggerMessage",),
}

# The messages of the security white paper (section 1.4) exist only in JSON. A SOAP peer does not know them (rule 30).
SECURITY_EXTENSIONS = frozenset(
    {
        "CertificateSigned",
        "DeleteCertificate",
        "ExtendedTriggerMessage",
        "GetInstalledCertificateIds",
        "GetLog",
        "InstallCertificate",
        "LogStatusNotification",
        "SecurityEventNotification",
        "SignCertificate",
        "SignedFirmwareStatusNotification",
        "SignedUpdateFirmware",
    }
)

# OCPP 1.6 edition 2, section 3.7: a Charge Point queues these messages while offline and sends them in order (rule 65).
TRANSACTION_RELATED = frozenset({"StartTransaction", "StopTransaction", "MeterValues"})


def _actions() -> dict[str, Action]:
    senders: dict[str, frozenset[Party]] = {}
    profiles: dict[str, Profile] = {}
    for party, by_profile in (
        (Party.CHARGE_POINT, _FROM_CHARGE_POINT),
        (Party.CENTRAL_SYSTEM, _FROM_CENTRAL_SYSTEM),
    ):
        for profile, names in by_profile.items():
            for name in names:
                senders[name] = senders.get(name, frozenset()) | {party}
                profiles[name] = profile
    return {
        name: Action(
            name=name,
            request=getattr(messages, f"{name}Request"),
            response=getattr(messages, f"{name}Response"),
            senders=senders[name],
            profile=profiles[name],
        )
        for name in sorted(senders)
    }


ACTIONS: dict[str, Action] = _actions()
