"""A session as data: each step, who asks, what is asked, and what is to come of it; and what all sessions have alike.

The sessions themselves are in session16, session15 and session12.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from bridge.simulators.wire import Payload, Refused

IDENTITY = "DEMO-1"
VENDOR = "ocpp-bridge.demo"
ID_TAG = "DRIVER-1"


class Later(Enum):
    """What a payload holds that is known only when it is sent."""

    NOW = auto()
    TRANSACTION = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The far side refuses.

    raised   what it says
    arrives  how the near side reads it (`str` of its Refused), having crossed the table of errors
    holds    the details that come along
    """

    raised: Refused
    arrives: str
    holds: Payload


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One Call and its outcome.

    upwards    the Charge Point asks the Central System; else the other way
    arrives    the request as the far side is to take it; None: as it was sent
    answer     what the answer must hold, at least
    given      what the far side's answer must hold, where the near side is told it in other words; None: it is the same
    refusal    instead of an answer
    unsent     the far side's version of OCPP lacks it: the gateway answers in its place
    losses     the fields that the gateway is to log a loss of
    triggered  the Charge Point sends it by itself once it has answered the command before
    """

    action: str
    upwards: bool
    payload: Payload = field(default_factory=dict)
    answer: Payload = field(default_factory=dict)
    note: str = ""
    arrives: Payload | None = None
    given: Payload | None = None
    refusal: Refusal | None = None
    unsent: bool = False
    losses: Sequence[str] = ()
    triggered: bool = False

    @property
    def name(self) -> str:
        """The action, and what tells this step from others of the same action."""
        return f"{self.action}, {self.note}" if self.note else self.action


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What is played with a Charge Point of one protocol, and what it goes on to send, by turns, when that is over."""

    protocol: str
    steps: tuple[Step, ...]
    signs_of_life: tuple[Step, ...]

    @property
    def version(self) -> str:
        """Of OCPP."""
        return self.protocol.removeprefix("ocpp").removesuffix("s")


def up(action: str, payload: Payload, answer: Payload | None = None, note: str = "", **more: Any) -> Step:
    """What the Charge Point asks."""
    return Step(action=action, upwards=True, payload=payload, answer=answer or {}, note=note, **more)


def down(action: str, payload: Payload, answer: Payload | None = None, note: str = "", **more: Any) -> Step:
    """What the Central System asks."""
    return Step(action=action, upwards=False, payload=payload, answer=answer or {}, note=note, **more)


def filled(template: Any, transaction: int, moment: str) -> Any:
    """`template` with the id of the transaction and the time in place of each Later."""
    if isinstance(template, dict):
        return {name: filled(inner, transaction, moment) for name, inner in template.items()}
    if isinstance(template, list):
        return [filled(inner, transaction, moment) for inner in template]
    if isinstance(template, Later):
        return moment if template is Later.NOW else transaction
    return template


ACCEPTED: Payload = {"status": "Accepted"}
ID_TAG_ACCEPTED: Payload = {"idTagInfo": {"status": "Accepted"}}
BOOT: Payload = {
    "chargePointVendor": "ocpp-bridge",
    "chargePointModel": "demo",
    "chargePointSerialNumber": "SN-0001",
    "firmwareVersion": "1.0.0",
    "meterType": "MID class B",
}
START: Payload = {"connectorId": 1, "idTag": ID_TAG, "timestamp": Later.NOW, "meterStart": 12000}
PROFILE: Payload = {
    "chargingProfileId": 7,
    "transactionId": Later.TRANSACTION,
    "stackLevel": 0,
    "chargingProfilePurpose": "TxProfile",
    "chargingProfileKind": "Absolute",
    "chargingSchedule": {
        "duration": 3600,
        "startSchedule": Later.NOW,
        "chargingRateUnit": "A",
        "chargingSchedulePeriod": [
            {"startPeriod": 0, "limit": 16.0, "numberPhases": 3},
            {"startPeriod": 1800, "limit": 10.5, "numberPhases": 3},
        ],
        "minChargingRate": 6.0,
    },
}
# All that XML and JSON treat in their own ways: markup, quotes, line breaks, and characters of one to four bytes.
HARD_TEXT = '<tariff id="1">5 € & \'more\'</tariff>\nZürich \\ Ελλάδα\r\n東京\t"🔌"'
HARD: Payload = {"vendorId": VENDOR, "messageId": "hard-text", "data": HARD_TEXT}
CONFIGURATION_KEYS = ["HeartbeatInterval", "AuthorizeRemoteTxRequests", "NoSuchKey"]

REFUSED_UP = Refusal(
    raised=Refused("NotSupported", "firmware is managed elsewhere", {"profile": "FirmwareManagement", "since": 2024}),
    arrives="Receiver/NotSupported: NotSupported: firmware is managed elsewhere",
    holds={"profile": "FirmwareManagement", "since": 2024},
)
REFUSED_DOWN = Refusal(
    raised=Refused("Receiver", "the lock of connector 2 is jammed", subcode="InternalError"),
    arrives="InternalError: the lock of connector 2 is jammed",
    holds={"soapCode": "Receiver"},
)
