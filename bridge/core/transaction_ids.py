"""Read and replace the transactionId of a payload, wherever OCPP 1.6 has one, also in a payload that passes unread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from msgspec import Raw, Struct, structs

from bridge.ocpp.messages import (
    MeterValuesRequest,
    RemoteStartTransactionRequest,
    RemoteStopTransactionRequest,
    Request,
    Response,
    SetChargingProfileRequest,
    StartTransactionResponse,
    StopTransactionRequest,
)
from bridge.ocpp.rpc import Call, UnopenedRequest, UnopenedResponse

# The payloads with a transactionId.
WITH_IDS = frozenset(
    {
        MeterValuesRequest,
        RemoteStartTransactionRequest,
        RemoteStopTransactionRequest,
        SetChargingProfileRequest,
        StartTransactionResponse,
        StopTransactionRequest,
    }
)
# The member that holds the transactionId in the requests of a Central System; "" for the request itself.
_PLACES = {
    "RemoteStopTransaction": "",
    "SetChargingProfile": "csChargingProfiles",
    "RemoteStartTransaction": "chargingProfile",
}
P = TypeVar("P", bound=Request | Response)


class _Named(Struct):
    transactionId: int | None = None


_named = msgspec.json.Decoder(_Named)
_all_members = msgspec.json.Decoder(dict[str, Raw])


def number_of(call: Call) -> int | None:
    """Return the transactionId that a Call names at its top level, None if it names none."""
    payload: Any = call.payload
    if isinstance(payload, UnopenedRequest):
        if payload.read is None:
            return _number_in(payload.raw)
        payload = payload.read
    number = getattr(payload, "transactionId", None)
    return number if isinstance(number, int) else None


def commanded_number(call: Call) -> int | None:
    """Return the transactionId that a command names, also inside of its charging profile; None if it names none."""
    place = _PLACES.get(call.action)
    if place is None:
        return None
    payload: Any = call.payload
    if isinstance(payload, UnopenedRequest):
        if not place:
            return _number_in(payload.raw)
        inside = _members(payload.raw).get(place)
        return None if inside is None else _number_in(inside)
    return getattr(getattr(payload, place, None) if place else payload, "transactionId", None)


def with_ids(payload: Any, rename: Callable[[int], int]) -> Any:
    """Return a payload of WITH_IDS with its transactionId replaced by `rename(transactionId)`."""
    match payload:
        case SetChargingProfileRequest(csChargingProfiles=profile):
            return _replaced(payload, "csChargingProfiles", _renamed(profile, rename))
        case RemoteStartTransactionRequest(chargingProfile=profile) if profile is not None:
            return _replaced(payload, "chargingProfile", _renamed(profile, rename))
        case _:
            return _renamed(payload, rename)


def renumbered(payload: P, number: int) -> P:
    """Return `payload` with the transactionId `number` at its top level. What passes unread is written anew."""
    if not isinstance(payload, UnopenedRequest | UnopenedResponse):
        return structs.replace(payload, transactionId=number)
    read = None if payload.read is None else structs.replace(payload.read, transactionId=number)
    return structs.replace(payload, raw=_with_number(payload.raw, number), read=read)


def commanded(call: Call, number: int) -> Request:
    """Return the payload of a command of a Central System with the transactionId `number`."""
    payload = call.payload
    if not isinstance(payload, UnopenedRequest):
        renumbered_: Request = with_ids(payload, lambda _: number)
        return renumbered_
    place = _PLACES[call.action]
    if not place:
        return structs.replace(payload, raw=_with_number(payload.raw, number))
    members = _members(payload.raw)
    members[place] = _with_number(members[place], number)
    return structs.replace(payload, raw=Raw(msgspec.json.encode(members)))


def _number_in(raw: Raw) -> int | None:
    try:
        return _named.decode(raw).transactionId
    except msgspec.MsgspecError:
        return None


def _members(raw: Raw) -> dict[str, Raw]:
    try:
        return _all_members.decode(raw)
    except msgspec.MsgspecError:
        return {}


def _with_number(raw: Raw, number: int) -> Raw:
    return Raw(msgspec.json.encode(_members(raw) | {"transactionId": Raw(b"%d" % number)}))


def _renamed(record: Any, rename: Callable[[int], int]) -> Any:
    current = getattr(record, "transactionId", None)
    return record if current is None else _replaced(record, "transactionId", rename(current))


def _replaced(record: Any, name: str, value: Any) -> Any:
    return record if getattr(record, name) == value else structs.replace(record, **{name: value})
