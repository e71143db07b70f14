"""Read AuthorizationKey from a ChangeConfiguration and its answer, in decoded or undecoded payloads. Pure."""

from __future__ import annotations

import re
from typing import Any, Literal

import msgspec
from msgspec import Struct

from bridge.ocpp.messages import ChangeConfigurationRequest, ChangeConfigurationResponse
from bridge.ocpp.rpc import CallResult, Unanswered, UnopenedRequest, UnopenedResponse

_KEY = "authorizationkey"
_HEX = re.compile(r"(?:[0-9A-Fa-f]{2})+")
# White paper A00.FR.205: 16 octets at least, 20 at most, "represented as a string of up to 40 hexadecimal digits".
_OCTETS = range(16, 21)

# Whether the Charge Point has the key now.
Taken = Literal["no", "unknown", "at once", "after a reboot"]
_TAKEN: dict[str | None, Taken] = {"accepted": "at once", "rebootrequired": "after a reboot"}


class _Setting(Struct):
    key: str
    value: str


class _Status(Struct):
    status: str


def new_key(payload: object) -> str | None:
    """Return the value of AuthorizationKey if `payload` is a ChangeConfiguration that sets it, else None."""
    setting: ChangeConfigurationRequest | _Setting | None = None
    if isinstance(payload, ChangeConfigurationRequest):
        setting = payload
    elif isinstance(payload, UnopenedRequest):
        setting = _read(payload.raw, _Setting)
    return setting.value if setting is not None and setting.key.strip().lower() == _KEY else None


def is_taken(answer: object) -> Taken:
    """Return whether the Charge Point has taken the key, by its answer. None stands for a missing answer."""
    if answer is None or isinstance(answer, Unanswered):
        return "unknown"
    return _TAKEN.get(_status(answer), "no")


def readings(value: str) -> tuple[bytes, ...]:
    """Return the passwords that `value` may stand for, the more probable one first.

    They are the octets that its hexadecimal digits spell (OCPP-J 1.6 section 6.2.2), and its characters as many Charge
    Points take them.
    """
    text = value.encode("utf-8", "surrogatepass")
    if not _HEX.fullmatch(value):
        return (text,)
    octets = bytes.fromhex(value)
    return (octets, text) if len(octets) in _OCTETS else (text, octets)


def _status(answer: object) -> str | None:
    if not isinstance(answer, CallResult):
        return None
    if isinstance(answer.payload, ChangeConfigurationResponse):
        return str(answer.payload.status.value).lower()
    read = _read(answer.payload.raw, _Status) if isinstance(answer.payload, UnopenedResponse) else None
    return None if read is None else read.status.lower()


def _read(raw: msgspec.Raw, kind: type[Any]) -> Any:
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
