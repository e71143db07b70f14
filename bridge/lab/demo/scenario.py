"""A session as data: the steps with their outcomes, and the payloads that all sessions use.

The sessions themselves are in session16, session15 and session12.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from bridge.lab.simulators.wire import CallRefused, Payload

IDENTITY = "DEMO-1"
VENDOR = "ocpp-bridge.demo"
ID_TAG = "DRIVER-1"


class Later(Enum):
    """A placeholder in a payload for a value that is known only when the payload is sent."""

    NOW = auto()
    TRANSACTION = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedRefusal:
    """A refusal by the far side.

    Attributes:
        raised: The refusal as the far side sends it.
        arrives: The `str` of the CallRefused that the near side receives, after the mapping of errors in the gateway.
        holds: The details of that CallRefused.
    """

    raised: CallRefused
    arrives: str
    holds: Payload


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioStep:
    """One Call and its expected outcome.

    Attributes:
        action: The action of the Call.
        upwards: True when the Charge Point calls the Central System, False for the other direction.
        payload: The fields of the request.
        answer: The fields that the answer must hold, among others.
        note: The difference from other steps with the same action, for a reader.
        arrives: The request that the far side must receive; None means the request as sent.
        given: The fields that the far side's answer must hold, if they differ from the answer that the near side
            receives; None means that both answers are the same.
        refusal: The refusal in place of an answer.
        unsent: The far side's version of OCPP lacks the action, so the gateway answers.
        losses: The fields of the losses that the gateway must log.
        triggered: The Charge Point sends the Call by itself after the answer to the command of the step before.
        inferred: The gateway sends the Call by itself after it has passed on the answer of the step before.
    """

    action: str
    upwards: bool
    payload: Payload = field(default_factory=dict)
    answer: Payload = field(default_factory=dict)
    note: str = ""
    arrives: Payload | None = None
    given: Payload | None = None
    refusal: ExpectedRefusal | None = None
    unsent: bool = False
    losses: Sequence[str] = ()
    triggered: bool = False
    inferred: bool = False

    @property
    def name(self) -> str:
        """Return the action and the note of the step."""
        return f"{self.action}, {self.note}" if self.note else self.action


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """The session with a Charge Point of one protocol, and the steps that the demo repeats after the session."""

    protocol: str
    steps: tuple[ScenarioStep, ...]
    signs_of_life: tuple[ScenarioStep, ...]

    @property
    def version(self) -> str:
        """Return the version of OCPP, such as 1.6."""
        return self.protocol.removeprefix("ocpp").removesuffix("s")


def up(action: str, payload: Payload, answer: Payload | None = None, note: str = "", **more: Any) -> ScenarioStep:
    """Return the step of a Call by the Charge Point.

    Args:
        action: The action of the Call.
        payload: The fields of the request.
        answer: The fields that the answer must hold, among others.
        note: The difference from other steps with the same action.
        **more: Other attributes of ScenarioStep.
    """
    return ScenarioStep(action=action, upwards=True, payload=payload, answer=answer or {}, note=note, **more)


def down(action: str, payload: Payload, answer: Payload | None = None, note: str = "", **more: Any) -> ScenarioStep:
    """Return the step of a Call by the Central System. The arguments are those of `up`."""
    return ScenarioStep(action=action, upwards=False, payload=payload, answer=answer or {}, note=note, **more)


def filled(template: Any, transaction: int, moment: str) -> Any:
    """Return `template` with the transaction id and the time in place of each Later.

    Args:
        template: A payload, or a part of a payload.
        transaction: The transactionId for Later.TRANSACTION.
        moment: The time for Later.NOW, as OCPP writes it.
    """
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
# A text with everything that XML and JSON escape: markup, quotes, line breaks, and characters of one to four octets.
HARD_TEXT = '<tariff id="1">5 € & \'more\'</tariff>\nZürich \\ Ελλάδα\r\n東京\t"🔌"'
HARD: Payload = {"vendorId": VENDOR, "messageId": "hard-text", "data": HARD_TEXT}
CONFIGURATION_KEYS = ["HeartbeatInterval", "AuthorizeRemoteTxRequests", "NoSuchKey"]

REFUSED_UP = ExpectedRefusal(
    raised=CallRefused(
        "NotSupported", "firmware is managed elsewhere", {"profile": "FirmwareManagement", "since": 2024}
    ),
    arrives="Receiver/NotSupported: NotSupported: firmware is managed elsewhere",
    holds={"profile": "FirmwareManagement", "since": 2024},
)
REFUSED_DOWN = ExpectedRefusal(
    raised=CallRefused("Receiver", "the lock of connector 2 is jammed", subcode="InternalError"),
    arrives="InternalError: the lock of connector 2 is jammed",
    holds={"soapCode": "Receiver"},
)
