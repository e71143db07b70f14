"""The default answers of a simulated Charge Point and a simulated Central System, for SOAP and JSON.

Each answer takes the payload of a request and returns the payload of the response. Nothing here knows the wire or a
socket. A party remembers only what keeps its answers consistent: configuration keys, the version of the local list,
reservations, charging profiles and transactions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bridge.lab.simulators.wire import Behaviour, Payload, now

_NEW_IN_16 = frozenset({"ClearChargingProfile", "GetCompositeSchedule", "SetChargingProfile", "TriggerMessage"})
_NEW_IN_15 = frozenset(
    {"CancelReservation", "DataTransfer", "GetConfiguration", "GetLocalListVersion", "ReserveNow", "SendLocalList"}
)
# The operations of the Charge Point in OCPP 1.6 that a protocol lacks, by protocol.
_LACKING = {"ocpp1.6s": frozenset[str](), "ocpp1.5s": _NEW_IN_16, "ocpp1.2s": _NEW_IN_16 | _NEW_IN_15}


def _lacking(protocol: str) -> frozenset[str]:
    """Return the operations of OCPP 1.6 that `protocol` lacks. Raises ValueError for an unknown protocol."""
    if protocol not in _LACKING:
        raise ValueError(f"{protocol!r} is none of {', '.join(_LACKING)}")
    return _LACKING[protocol]


@dataclass(slots=True)
class ConfigurationKey:
    """The value of one configuration key, and whether a Central System may change it."""

    value: str
    readonly: bool = False


class ChargePointAnswers:
    """The answers of a Charge Point to its operations (19 in OCPP 1.6), and the state between two operations.

    `protocol` is ocpp1.6s, ocpp1.5s or ocpp1.2s. Raises ValueError for any other protocol.
    """

    def __init__(self, protocol: str = "ocpp1.6s") -> None:
        self._lacks = _lacking(protocol)
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
            # The name of this key in OCPP 1.5 and 1.2.
            self.configuration["HeartBeatInterval"] = self.configuration.pop("HeartbeatInterval")
        self.list_version = 0
        self.reservations: set[int] = set()
        self.profiles: dict[int, tuple[int, Payload]] = {}
        """The connector and the charging profile, by chargingProfileId."""

    def table(self) -> dict[str, Behaviour]:
        """Return the behaviour for each action of the protocol."""
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
        return {action: behaviour for action, behaviour in every.items() if action not in self._lacks}

    def unlock_connector(self, _: Payload) -> Payload:
        """Accept every UnlockConnector. The status is Unlocked in 1.6, and Accepted in 1.5 and 1.2."""
        return {"status": "Unlocked" if self._protocol == "ocpp1.6s" else "Accepted"}

    def get_configuration(self, request: Payload) -> Payload:
        """Return the keys that are asked for, or every key when no key is asked for."""
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
        """Set a configuration key. The status is NotSupported for an unknown key, Rejected for a read-only key."""
        key = self.configuration.get(request["key"])
        if key is None:
            return {"status": "NotSupported"}
        if key.readonly:
            return {"status": "Rejected"}
        key.value = request["value"]
        return {"status": "Accepted"}

    def reserve_now(self, request: Payload) -> Payload:
        """Accept every reservation and remember its reservationId."""
        self.reservations.add(request["reservationId"])
        return {"status": "Accepted"}

    def cancel_reservation(self, request: Payload) -> Payload:
        """Cancel a reservation. The status is Rejected when the reservation does not exist."""
        if request["reservationId"] not in self.reservations:
            return {"status": "Rejected"}
        self.reservations.remove(request["reservationId"])
        return {"status": "Accepted"}

    def send_local_list(self, request: Payload) -> Payload:
        """Store the version of the list, and nothing else of the list."""
        if request["updateType"] == "Differential" and request["listVersion"] <= self.list_version:
            return {"status": "VersionMismatch"}
        self.list_version = request["listVersion"]
        return {"status": "Accepted"}

    def set_charging_profile(self, request: Payload) -> Payload:
        """Store the profile. The profile replaces a stored profile with the same chargingProfileId."""
        profile = request["csChargingProfiles"]
        self.profiles[profile["chargingProfileId"]] = (request["connectorId"], profile)
        return {"status": "Accepted"}

    def clear_charging_profile(self, request: Payload) -> Payload:
        """Remove the profiles that match every field of the request. A request without a field removes all profiles."""
        cleared = [number for number, held in self.profiles.items() if _matches(request, number, *held)]
        for number in cleared:
            del self.profiles[number]
        return {"status": "Accepted" if cleared else "Unknown"}


class CentralSystemAnswers:
    """The answers of a Central System to its operations (10 in OCPP 1.6).

    The status of an idTag in `blocked` is Invalid, that of any other idTag Accepted. `protocol` is ocpp1.6s, ocpp1.5s
    or ocpp1.2s; a JSON Central System uses the answers of ocpp1.6s. Raises ValueError for any other protocol.
    """

    def __init__(self, *, interval: int = 300, protocol: str = "ocpp1.6s") -> None:
        self._lacks = _lacking(protocol)
        self._interval_key = "interval" if protocol == "ocpp1.6s" else "heartbeatInterval"
        self.interval = interval
        self.blocked: set[str] = set()
        self.transactions: dict[int, Payload] = {}
        """The StartTransaction request of each transaction, by transactionId, which counts from 1."""

    def table(self) -> dict[str, Behaviour]:
        """Return the behaviour for each action of the protocol."""
        every: dict[str, Behaviour] = {
            "Authorize": lambda request: {"idTagInfo": self.id_tag_info(request["idTag"])},
            "BootNotification": lambda _: {
                "status": "Accepted",
                "currentTime": now(),
                self._interval_key: self.interval,
            },
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
        return {action: behaviour for action, behaviour in every.items() if action not in self._lacks}

    def id_tag_info(self, id_tag: str) -> Payload:
        """Return the idTagInfo of `id_tag`. The case of letters does not matter in an idTag."""
        blocked = id_tag.casefold() in {tag.casefold() for tag in self.blocked}
        return {"status": "Invalid" if blocked else "Accepted"}

    def start_transaction(self, request: Payload) -> Payload:
        """Give every start a transactionId, even with a blocked idTag: the Charge Point needs it to report the stop."""
        number = len(self.transactions) + 1
        self.transactions[number] = request
        return {"transactionId": number, "idTagInfo": self.id_tag_info(request["idTag"])}

    def stop_transaction(self, request: Payload) -> Payload:
        """Accept every stop, even of an unknown transaction."""
        return {"idTagInfo": self.id_tag_info(request["idTag"])} if "idTag" in request else {}


def echo(request: Payload) -> Payload:
    """Answer a DataTransfer with the data of the request."""
    return {"status": "Accepted"} | ({"data": request["data"]} if "data" in request else {})


def get_composite_schedule(request: Payload) -> Payload:
    """Return a schedule of one period at full power, in the unit of the request (W by default)."""
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
