"""What a Charge Point and a Central System answer when a test or a user has asked nothing else of them.

Payload in, payload out, for SOAP and JSON alike. No wire, no socket; only the little that a party must remember so that
its answers agree with each other: configuration keys, the local list, reservations, profiles, transactions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bridge.simulators.wire import Behaviour, Payload, now

_NEW_IN_16 = frozenset({"ClearChargingProfile", "GetCompositeSchedule", "SetChargingProfile", "TriggerMessage"})
_NEW_IN_15 = frozenset(
    {"CancelReservation", "DataTransfer", "GetConfiguration", "GetLocalListVersion", "ReserveNow", "SendLocalList"}
)
# By protocol: the operations of the Charge Point in 1.6 that it does not have.
_LACKING = {"ocpp1.6s": frozenset[str](), "ocpp1.5s": _NEW_IN_16, "ocpp1.2s": _NEW_IN_16 | _NEW_IN_15}


@dataclass(slots=True)
class ConfigurationKey:
    """The value of one configuration key, and whether a Central System may change it."""

    value: str
    readonly: bool = False


class ChargePointAnswers:
    """The operations of the Charge Point, 19 in 1.6, and what it remembers between them.

    `protocol` is ocpp1.6s, ocpp1.5s or ocpp1.2s; any other is a ValueError.
    """

    def __init__(self, protocol: str = "ocpp1.6s") -> None:
        if protocol not in _LACKING:
            raise ValueError(f"{protocol!r} is none of {', '.join(_LACKING)}")
        self._protocol = protocol
        self.configuration = {
            "AuthorizeRemoteTxRequests": ConfigurationKey("true"),
            "ConnectionTimeOut": ConfigurationKey("60"),
            "GetConfigurationMaxKeys": ConfigurationKey("50", readonly=True),
            "HeartbeatInterval": ConfigurationKey("300"),
            "MeterValueSampleInterval": ConfigurationKey("60"),
            "NumberOfConnectors": ConfigurationKey("1", readonly=True),
            "SupportedFeatureProfiles": ConfigurationKey(
                "Core,FirmwareManagement,LocalAuthListManagement,Reservation,SmartCharging,RemoteTrigger", readonly=True
            ),
        }
        if protocol != "ocpp1.6s":
            del self.configuration["SupportedFeatureProfiles"]
        self.list_version = 0
        self.reservations: set[int] = set()
        self.profiles: dict[int, tuple[int, Payload]] = {}
        """By chargingProfileId: the connector, and the profile."""

    def table(self) -> dict[str, Behaviour]:
        """The behaviour for each action of the protocol."""
        every: dict[str, Behaviour] = {
            "CancelReservation": self.cancel_reservation,
            "ChangeAvailability": _accepted,
            "ChangeConfiguration": self.change_configuration,
            "ClearCache": _accepted,
            "ClearChargingProfile": self.clear_charging_profile,
            "DataTransfer": echo,
            "GetCompositeSchedule": get_composite_schedule,
            "GetConfiguration": self.get_configuration,
            "GetDiagnostics": lambda _: {"fileName": "diagnostics.log"},
            "GetLocalListVersion": lambda _: {"listVersion": self.list_version},
            "RemoteStartTransaction": _accepted,
            "RemoteStopTransaction": _accepted,
            "ReserveNow": self.reserve_now,
            "Reset": _accepted,
            "SendLocalList": self.send_local_list,
            "SetChargingProfile": self.set_charging_profile,
            "TriggerMessage": _accepted,
            "UnlockConnector": self.unlock_connector,
            "UpdateFirmware": _nothing,
        }
        return {action: behaviour for action, behaviour in every.items() if action not in _LACKING[self._protocol]}

    def unlock_connector(self, _: Payload) -> Payload:
        """Done; 1.6 has a word of its own for it."""
        return {"status": "Unlocked" if self._protocol == "ocpp1.6s" else "Accepted"}

    def get_configuration(self, request: Payload) -> Payload:
        """No key asked for means every key."""
        asked = request.get("key") or list(self.configuration)
        known = [
            {"key": name, "readonly": self.configuration[name].readonly, "value": self.configuration[name].value}
            for name in asked
            if name in self.configuration
        ]
        unknown = [name for name in asked if name not in self.configuration]
        answer: Payload = {"configurationKey": known} if known else {}
        return answer | ({"unknownKey": unknown} if unknown else {})

    def change_configuration(self, request: Payload) -> Payload:
        """NotSupported for a key we do not have, Rejected for one that is read-only."""
        key = self.configuration.get(request["key"])
        if key is None:
            return {"status": "NotSupported"}
        if key.readonly:
            return {"status": "Rejected"}
        key.value = request["value"]
        return {"status": "Accepted"}

    def reserve_now(self, request: Payload) -> Payload:
        """Always free."""
        self.reservations.add(request["reservationId"])
        return {"status": "Accepted"}

    def cancel_reservation(self, request: Payload) -> Payload:
        """Rejected when there is no such reservation."""
        if request["reservationId"] not in self.reservations:
            return {"status": "Rejected"}
        self.reservations.remove(request["reservationId"])
        return {"status": "Accepted"}

    def send_local_list(self, request: Payload) -> Payload:
        """The version is all that is kept of the list."""
        if request["updateType"] == "Differential" and request["listVersion"] <= self.list_version:
            return {"status": "VersionMismatch"}
        self.list_version = request["listVersion"]
        return {"status": "Accepted"}

    def set_charging_profile(self, request: Payload) -> Payload:
        """A profile with the same id is replaced."""
        profile = request["csChargingProfiles"]
        self.profiles[profile["chargingProfileId"]] = (request["connectorId"], profile)
        return {"status": "Accepted"}

    def clear_charging_profile(self, request: Payload) -> Payload:
        """Every field that is given must match; none given clears all."""
        cleared = [number for number, held in self.profiles.items() if _matches(request, number, *held)]
        for number in cleared:
            del self.profiles[number]
        return {"status": "Accepted" if cleared else "Unknown"}


class CentralSystemAnswers:
    """The 10 operations of the Central System. `blocked` idTags are Invalid, all others Accepted."""

    def __init__(self, *, interval: int = 300) -> None:
        self.interval = interval
        self.blocked: set[str] = set()
        self.transactions: dict[int, Payload] = {}
        """By transactionId, from 1: the StartTransaction that began it."""

    def table(self) -> dict[str, Behaviour]:
        """The behaviour for each action."""
        return {
            "Authorize": lambda request: {"idTagInfo": self.id_tag_info(request["idTag"])},
            "BootNotification": lambda _: {"status": "Accepted", "currentTime": now(), "interval": self.interval},
            "DataTransfer": lambda request: (
                echo(request) if request["vendorId"] == "ocpp-bridge.demo" else {"status": "UnknownVendorId"}
            ),
            "DiagnosticsStatusNotification": _nothing,
            "FirmwareStatusNotification": _nothing,
            "Heartbeat": lambda _: {"currentTime": now()},
            "MeterValues": _nothing,
            "StartTransaction": self.start_transaction,
            "StatusNotification": _nothing,
            "StopTransaction": self.stop_transaction,
        }

    def id_tag_info(self, id_tag: str) -> Payload:
        """idTags are compared without regard to case."""
        blocked = id_tag.casefold() in {tag.casefold() for tag in self.blocked}
        return {"status": "Invalid" if blocked else "Accepted"}

    def start_transaction(self, request: Payload) -> Payload:
        """Every start gets an id, that of a blocked idTag too: the Charge Point needs it to report the stop."""
        number = len(self.transactions) + 1
        self.transactions[number] = request
        return {"transactionId": number, "idTagInfo": self.id_tag_info(request["idTag"])}

    def stop_transaction(self, request: Payload) -> Payload:
        """Any stop is taken, also of a transaction that we never saw."""
        return {"idTagInfo": self.id_tag_info(request["idTag"])} if "idTag" in request else {}


def echo(request: Payload) -> Payload:
    """DataTransfer: give the data back."""
    return {"status": "Accepted"} | ({"data": request["data"]} if "data" in request else {})


def get_composite_schedule(request: Payload) -> Payload:
    """One period at full power, in the unit asked for."""
    unit = request.get("chargingRateUnit", "W")
    return {
        "status": "Accepted",
        "connectorId": request["connectorId"],
        "scheduleStart": now(),
        "chargingSchedule": {
            "duration": request["duration"],
            "chargingRateUnit": unit,
            "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 16.0 if unit == "A" else 11000.0}],
        },
    }


def _accepted(_: Payload) -> Payload:
    return {"status": "Accepted"}


def _nothing(_: Payload) -> Payload:
    return {}


def _matches(request: Payload, number: int, connector: int, profile: Payload) -> bool:
    held: dict[str, Any] = {
        "id": number,
        "connectorId": connector,
        "chargingProfilePurpose": profile["chargingProfilePurpose"],
        "stackLevel": profile["stackLevel"],
    }
    return all(held.get(name) == wanted for name, wanted in request.items())
