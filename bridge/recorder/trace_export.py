"""Convert recorded messages to the records of a trace. Pure.

The bridge sees each message on two connections: that of the Charge Point and that of the Central System. A trace holds
the messages of one side, by default the Charge Point's. The format has no convention for SOAP yet: here `raw` is the
envelope, `payload` the JSON form of the message, and `messageId`, of a request and its answer, the WS-Addressing
MessageID of the request. `meta` holds all other information about a message.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from bridge.ocpp.actions import ACTIONS
from bridge.recorder.messages import Form, Half, Recorded
from bridge.recorder.trace_records import DOWN, SCHEMA_VERSION, UP, Direction, MessageType, Record, TraceFailure
from bridge.watching.masking import MASK

Side = Literal["charge-point", "central-system"]
SIDES: tuple[Side, Side] = ("charge-point", "central-system")

_decoder = msgspec.json.Decoder(float_hook=Decimal)
_MESSAGE_ID = re.compile(r"<(?:[\w.-]++:)?MessageID(?:\s[^<>]*+)?>([^<]*+)<")
_VERSIONS = {"urn://Ocpp/Cs/2015/10": "1.6", "urn://Ocpp/Cp/2015/10": "1.6", "urn://Ocpp/Cs/2012/06": "1.5"}
_VERSIONS |= {"urn://Ocpp/Cp/2012/06": "1.5", "urn://Ocpp/Cs/2010/08": "1.2", "urn://Ocpp/Cp/2010/08": "1.2"}
_NAMESPACE = re.compile(r"urn://Ocpp/C[sp]/20\d\d/\d\d", re.IGNORECASE)
_BY_NAMESPACE = {name.lower(): version for name, version in _VERSIONS.items()}


class Exported(Struct, frozen=True, kw_only=True):
    """A trace that was made from recorded messages.

    Attributes:
        records: The records of the trace.
        left_out: Number of messages that the format cannot hold, because they are neither a CALL nor an answer.
        unanswered: Number of CALLs in the trace that got no answer on their connection. The `meta` of each has
            `answered`, which is false, and `why`.
    """

    records: tuple[Record, ...]
    left_out: int
    unanswered: int = 0


class _Leg(Struct, frozen=True, kw_only=True):
    """A message on the connection of one side. `up` is the direction of the Call."""

    side: Side
    up: Direction
    call: Form | None
    answer: Form | None
    unique_id: str


def exported(messages: Iterable[Recorded], sides: Iterable[Side] = ("charge-point",)) -> Exported:
    """Return the trace of `messages`.

    Args:
        messages: Recorded messages, in the order in which they ended.
        sides: Sides whose connections the trace covers.
    """
    records: list[Record] = []
    left_out = unanswered = 0
    wanted = tuple(sides)
    for message in messages:
        found = [record for side in wanted for record in _of(message, side)]
        left_out += not found and any(leg.call or leg.answer for leg in _legs(message, wanted))
        unanswered += sum(_lacks_answer(message, leg) for leg in _legs(message, wanted))
        records += found
    # Python's sort is stable: a Call stays before an answer with the same millisecond.
    ordered = tuple(sorted(records, key=lambda record: record.timestamp))
    return Exported(records=ordered, left_out=left_out, unanswered=unanswered)


def _legs(message: Recorded, sides: Iterable[Side]) -> Iterator[_Leg]:
    upwards = message.sender == "charge_point"
    for side in sides:
        near = (side == "charge-point") is upwards
        yield _Leg(
            side=side,
            up=UP if upwards else DOWN,
            call=message.request.received if near else message.request.sent,
            answer=message.response.sent if near else message.response.received,
            unique_id=message.unique_id if near else message.hop_id or "",
        )


def _of(message: Recorded, side: Side) -> Iterator[Record]:
    (leg,) = _legs(message, [side])
    message_id = _message_id(leg)
    if leg.call is not None and _holds_call(message, leg):
        yield _call(message, leg, leg.call, message_id)
    if leg.answer is not None:
        yield _answer(message, leg, leg.answer, message_id)


def _holds_call(message: Recorded, leg: _Leg) -> bool:
    """Return whether the trace has a CALL for the message on this connection."""
    return leg.call is not None and bool(message.action) and message.outcome != "relayed"


def _lacks_answer(message: Recorded, leg: _Leg) -> bool:
    """Return whether the trace has a CALL for the message on this connection, and no answer to it."""
    return _holds_call(message, leg) and leg.answer is None


def _call(message: Recorded, leg: _Leg, form: Form, message_id: str) -> Record:
    payload = _payload(form, 3, message.request)
    connector = payload.get("connectorId") if isinstance(payload, dict) else None
    return Record(
        **_common(message, leg, form, message_id),
        direction=leg.up,
        message_type="CALL",
        action=message.action,
        connector_id=connector if isinstance(connector, int) and connector >= 0 else UNSET,
        payload=UNSET if payload is None else payload,
    )


def _answer(message: Recorded, leg: _Leg, form: Form, message_id: str) -> Record:
    failure = _failure(message, form)
    kind: MessageType = "CALLRESULT" if failure is UNSET else "CALLERROR"
    payload = _payload(form, 2, message.response) if failure is UNSET else None
    return Record(
        **_common(message, leg, form, message_id),
        direction=DOWN if leg.up == UP else UP,
        message_type=kind,
        action=message.action or UNSET,
        payload=UNSET if payload is None else payload,
        error=failure,
    )


def _common(message: Recorded, leg: _Leg, form: Form, message_id: str) -> dict[str, Any]:
    raw = form.text if form.base64 is UNSET else UNSET
    return {
        "schema_version": SCHEMA_VERSION,
        "timestamp": form.at,
        "ocpp_version": _version(message, form),
        "transport": form.transport,
        "charge_point_id": message.identity or UNSET,
        "message_id": message_id or UNSET,
        "raw": raw,
        "meta": _meta(message, leg, form),
    }


def _meta(message: Recorded, leg: _Leg, form: Form) -> dict[str, Any]:
    """Return the `meta` of a record, under the name `ocppBridge`, so that names of other programs are not affected."""
    told: dict[str, Any] = {"id": message.id, "side": leg.side, "sender": message.sender, "outcome": message.outcome}
    if MASK in form.text:
        told["masked"] = True
    if form.base64 is not UNSET:
        told["rawBase64"] = form.base64
    if message.losses:
        told["losses"] = msgspec.to_builtins(message.losses)
    if _lacks_answer(message, leg):
        told["answered"] = False
    if message.why:
        told["why"] = message.why
    return {"ocppBridge": told | {"ms": message.ms}}


def _message_id(leg: _Leg) -> str:
    found = None
    if leg.call is not None and leg.call.transport == "soap":
        found = _MESSAGE_ID.search(leg.call.text)
    return (found[1].strip() if found else "") or leg.unique_id


def _payload(form: Form, place: int, half: Half) -> Any:
    """Return the payload of a frame, at index `place`; for an envelope, the JSON form of the message."""
    if form.transport == "json":
        frame = _frame(form)
        return frame[place] if len(frame) > place else None
    return _plain(half.model)


def _failure(message: Recorded, form: Form) -> TraceFailure | UnsetType:
    frame = _frame(form) if form.transport == "json" else []
    if form.transport == "json":
        if not frame or frame[0] != 4:
            return UNSET
        code, description, details = [*frame[2:5], *[UNSET] * 3][:3]
        return TraceFailure(code=_text(code), description=_text(description), details=details)
    if re.search(r"<(?:[\w.-]++:)?Fault[\s>]", form.text) is None:
        return UNSET
    model = _plain(message.response.model)
    told = model if isinstance(model, dict) and "code" in model else {}
    return TraceFailure(code=_text(told.get("code", UNSET)), description=_text(told.get("description", UNSET)))


def _text(value: Any) -> str | UnsetType:
    return value if isinstance(value, str) else UNSET


def _frame(form: Form) -> list[Any]:
    try:
        frame = _decoder.decode(form.text)
    except (msgspec.MsgspecError, ArithmeticError, RecursionError):
        return []
    return frame if isinstance(frame, list) else []


def _plain(model: Any) -> Any:
    return _decoder.decode(model) if isinstance(model, msgspec.Raw) else model


def _version(message: Recorded, form: Form) -> str | UnsetType:
    if form.transport == "json":
        return "1.6" if message.action in ACTIONS else UNSET
    found = _NAMESPACE.search(form.text)
    return _BY_NAMESPACE.get(found[0].lower(), UNSET) if found else UNSET
