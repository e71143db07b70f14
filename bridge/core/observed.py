"""A message of a Charge Point that its Central System has answered, as further Central Systems get it.

The request and the answer are JSON of OCPP 1.6, so that they can wait on disk and be sent over either wire. What the
queue has to know of the request is read once.

This module is pure.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw, Struct, structs

from bridge.core.transaction_ids import number_of
from bridge.ocpp.actions import ACTIONS
from bridge.ocpp.rpc import UNOPENED, Answer, Call, CallError, CallResult, UnopenedResponse

START, STOP = "StartTransaction", "StopTransaction"
# The messages that begin or end a transaction. They are never dropped from a queue.
ENDS = frozenset({START, STOP})
METER_VALUES = "MeterValues"
_WITH_TAG = frozenset({"Authorize", START, STOP})
# OCPP 1.6 edition 2, 7.33: a sampled value without a context is a periodic one.
_PERIODIC = frozenset({None, "Sample.Periodic"})
_encode = msgspec.json.Encoder(decimal_format="number").encode


class Observed(Struct, frozen=True, kw_only=True):
    """A message that the Central System of the Charge Point has answered.

    Attributes:
        key: The UniqueId towards that Central System. A repetition without an answer in between has the same key.
        observers: The names of the further Central Systems that are to get the message.
        action: The action.
        request: The payload as the Charge Point wrote it, as JSON.
        answer: What the Charge Point was answered, as JSON: `[3, payload]` or `[4, code, description]`. Empty if it
            was not answered, because the bridge sent the message in its name.
        connector: The connectorId, None if the message has none.
        number: The transactionId as the Charge Point knows it; for a StartTransaction the one that it was told.
        periodic: Whether the message is a MeterValues with periodic samples only.
    """

    key: str
    observers: tuple[str, ...]
    action: str
    request: bytes
    answer: bytes
    connector: int | None = None
    number: int | None = None
    periodic: bool = False

    @property
    def ends(self) -> bool:
        """Return whether the message begins or ends a transaction."""
        return self.action in ENDS


class _Sample(Struct):
    context: str | None = None


class _Values(Struct):
    sampledValue: list[_Sample] = []


class _Outline(Struct):
    """The members of any request that a queue has to know."""

    connectorId: int | None = None
    meterValue: list[_Values] | None = None


class _Named(Struct):
    transactionId: int | None = None


_outline = msgspec.json.Decoder(_Outline)
_named = msgspec.json.Decoder(_Named)
_members = msgspec.json.Decoder(dict[str, Raw])
_parts = msgspec.json.Decoder(list[Raw])


def observed(call: Call, answer: Answer | None, key: str, observers: tuple[str, ...]) -> Observed:
    """Return a message and its answer for further Central Systems.

    Args:
        call: The Call of the Charge Point.
        answer: What the Charge Point is answered, None if nobody waits for an answer.
        key: The UniqueId towards the Central System that has answered.
        observers: The names of the further Central Systems.
    """
    request, told = content_of(call.payload), _answer_content(answer)
    outline = _outline_of(request)
    periodic = call.action == METER_VALUES and all(
        sample.context in _PERIODIC for values in outline.meterValue or () for sample in values.sampledValue
    )
    number = number_of(call) if call.action != START else _number_told(answer)
    return Observed(
        key=key,
        observers=observers,
        action=call.action,
        request=request,
        answer=told,
        connector=outline.connectorId,
        number=number,
        periodic=periodic,
    )


def content_of(payload: Any) -> bytes:
    """Return a payload as JSON: as it came, if it passes unread."""
    return bytes(payload.raw) if isinstance(payload, UNOPENED) else _encode(payload)


def with_tag(message: Observed, id_tag: str) -> Observed:
    """Return the message with `id_tag` in place of the token of the driver; unchanged if `id_tag` is empty."""
    if not id_tag or message.action not in _WITH_TAG:
        return message
    return structs.replace(message, request=_with_tag(message.request, id_tag))


def _with_tag(request: bytes, id_tag: str) -> bytes:
    try:
        members = _members.decode(request)
    except msgspec.MsgspecError:
        return b"{}"  # it cannot be read, so it may hold the token in any place
    if "idTag" not in members:
        return request
    return _encode(members | {"idTag": Raw(_encode(id_tag))})


def read_answer(action: str, answer: bytes) -> CallResult | CallError | None:
    """Return the answer that `Observed.answer` holds, under no UniqueId; None if it holds none.

    Args:
        action: The action that was answered.
        answer: The answer as JSON.
    """
    if not answer:
        return None
    parts = _parts.decode(answer)
    if bytes(parts[0]) == b"4":
        code, description = (msgspec.json.decode(part, type=str) for part in parts[1:])
        return CallError(unique_id="", code=code, description=description)
    try:
        return CallResult(unique_id="", payload=msgspec.json.decode(parts[1], type=ACTIONS[action].response))
    except msgspec.MsgspecError:
        return CallResult(unique_id="", payload=UnopenedResponse(raw=parts[1]))


def _answer_content(answer: Answer | None) -> bytes:
    match answer:
        case CallResult(payload=payload):
            return b"[3,%b]" % content_of(payload)
        case CallError(code=code, description=description):
            return _encode((4, code, description))
    return b""


def _number_told(answer: Answer | None) -> int | None:
    if not isinstance(answer, CallResult):
        return None
    payload = answer.payload
    if not isinstance(payload, UnopenedResponse):
        return getattr(payload, "transactionId", None)
    try:
        return _named.decode(payload.raw).transactionId
    except msgspec.MsgspecError:
        return None


def _outline_of(request: bytes) -> _Outline:
    try:
        return _outline.decode(request)
    except msgspec.MsgspecError:
        return _Outline()  # its receiver decides whether it is valid
