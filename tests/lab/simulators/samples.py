"""What both kinds of simulators are asked, and what they answer when nothing else was asked of them."""

from __future__ import annotations

from bridge.lab.simulators.wire import Payload

NOON = "2026-01-02T12:00:00Z"
PROFILE = {
    "chargingProfileId": 1,
    "stackLevel": 0,
    "chargingProfilePurpose": "TxDefaultProfile",
    "chargingProfileKind": "Absolute",
    "chargingSchedule": {"chargingRateUnit": "A", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 6.1}]},
}
# By action: a command, and its answer.
COMMANDS: dict[str, tuple[Payload, Payload]] = {
    "CancelReservation": ({"reservationId": 7}, {"status": "Rejected"}),
    "ChangeAvailability": ({"connectorId": 0, "type": "Operative"}, {"status": "Accepted"}),
    "ChangeConfiguration": ({"key": "NumberOfConnectors", "value": "9"}, {"status": "Rejected"}),
    "ClearCache": ({}, {"status": "Accepted"}),
    "ClearChargingProfile": ({"stackLevel": 4}, {"status": "Unknown"}),
    "DataTransfer": ({"vendorId": "v", "data": "<&>"}, {"status": "Accepted", "data": "<&>"}),
    "GetConfiguration": (
        {"key": ["HeartbeatInterval", "Nonsense"]},
        {
            "configurationKey": [{"key": "HeartbeatInterval", "readonly": False, "value": "300"}],
            "unknownKey": ["Nonsense"],
        },
    ),
    "GetDiagnostics": ({"location": "ftp://a/b"}, {"fileName": "diagnostics.log"}),
    "GetLocalListVersion": ({}, {"listVersion": 0}),
    "RemoteStartTransaction": ({"idTag": "A", "chargingProfile": PROFILE}, {"status": "Accepted"}),
    "RemoteStopTransaction": ({"transactionId": 1}, {"status": "Accepted"}),
    "ReserveNow": (
        {"connectorId": 1, "expiryDate": NOON, "idTag": "A", "reservationId": 7},
        {"status": "Accepted"},
    ),
    "Reset": ({"type": "Soft"}, {"status": "Accepted"}),
    "SendLocalList": ({"listVersion": 4, "updateType": "Full"}, {"status": "Accepted"}),
    "SetChargingProfile": ({"connectorId": 1, "csChargingProfiles": PROFILE}, {"status": "Accepted"}),
    "TriggerMessage": ({"requestedMessage": "Heartbeat"}, {"status": "Accepted"}),
    "UnlockConnector": ({"connectorId": 1}, {"status": "Unlocked"}),
    "UpdateFirmware": ({"retrieveDate": NOON, "location": "ftp://a/b"}, {}),
}
