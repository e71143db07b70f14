"""OCPP-J frames: text to Call, CallResult, CallError and back (OCPP-J 1.6 section 4.2). Pure.

A frame is read in two steps, because an answer does not say which action it answers: `read_frame` gives its envelope,
`decode_call` or `decode_result` its payload.
"""

from __future__ import annotations

import re
from decimal import Decimal
from functools import cache
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Raw, Struct

from bridge.errors import ErrorCode, MessageError, Why
from bridge.limits.depth import is_deeper
from bridge.ocpp.actions import ACTIONS, SECURITY_EXTENSIONS, Action, Party
from bridge.ocpp.losses import Loss, Reason
from bridge.ocpp.manners import BOOT_FIELDS, PLAIN, Boot, Manners
from bridge.ocpp.messages import MeterValuesRequest, StopTransactionRequest
from bridge.ocpp.rpc import UNOPENED, Answer, Call, CallError, CallResult, Unanswered
from bridge.ocpp.shapes import plain, shape_of
from bridge.ocpp.tolerance import FROM_JSON, mend
from bridge.ocpp.validation import json_value, message_error, record_of

P = TypeVar("P", bound=Struct)

SUBPROTOCOL = "ocpp1.6"
# OCPP-J 1.6 section 4.1.4: a UniqueId has at most 36 characters.
MAX_UNIQUE_ID = 36

# The deepest message of OCPP 1.6 has ten levels.
_DEPTH = 32

_CALL, _CALL_RESULT, _CALL_ERROR = 2, 3, 4
_SALVAGED_ID = re.compile(r'\s*\[\s*2\s*,\s*"([^"\\]{1,36})"')
_encoder = msgspec.json.Encoder(decimal_format="number")
# Where temperatures stand, and how their unit is spelled.
_READINGS: dict[type[Any], str] = {MeterValuesRequest: "meterValue", StopTransactionRequest: "transactionData"}
_TEMPERATURES = frozenset({"Celsius", "Celcius"})
_sorted = msgspec.json.Encoder(decimal_format="number", order="sorted")
_raw_list = msgspec.json.Decoder(list[Raw])
_UniqueId = Annotated[str, Meta(min_length=1, max_length=MAX_UNIQUE_ID)]


class CallFrame(Struct, frozen=True, array_like=True, tag=_CALL, forbid_unknown_fields=True):
    """`[2, unique_id, action, payload]`"""

    unique_id: _UniqueId
    action: str
    payload: Raw


class ResultFrame(Struct, frozen=True, array_like=True, tag=_CALL_RESULT, forbid_unknown_fields=True):
    """`[3, unique_id, payload]`"""

    unique_id: _UniqueId
    payload: Raw


class ErrorFrame(Struct, frozen=True):
    """`[4, unique_id, code, description, details]`, tolerant of what peers put there."""

    error: CallError

    @property
    def unique_id(self) -> str:
        return self.error.unique_id


class IgnoredFrame(Struct, frozen=True):
    """OCPP-J 1.6 section 4.1.3: an unknown message type SHALL be ignored."""

    reason: str


Frame = CallFrame | ResultFrame | ErrorFrame | IgnoredFrame
# A frame that is just as OCPP-J 1.6 section 4.2 has it, as nearly all are.
_exact: msgspec.json.Decoder[CallFrame | ResultFrame] = msgspec.json.Decoder(CallFrame | ResultFrame)


class FrameError(MessageError):
    """Not a frame. `unique_id` is the Call's, where it could be made out, so that its sender can be answered."""

    def __init__(self, description: str, unique_id: str | None, *, why: Why = Why.MALFORMED) -> None:
        super().__init__(ErrorCode.FormationViolation, description, why=why)
        self.unique_id = unique_id


def read_frame(text: str | bytes, depth: int = _DEPTH) -> Frame:
    """The frame in `text`, its payload still raw; nested `depth` deep at most. Raises FrameError."""
    if is_deeper(text, depth):
        description = f"more than {depth} objects and lists lie within each other (limits.json_depth)"
        raise FrameError(description, _salvage(text), why=Why.TOO_DEEP)
    try:
        return _exact.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return _read_tolerantly(text)


def _read_tolerantly(text: str | bytes) -> Frame:
    try:
        parts = _raw_list.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise FrameError(f"not a JSON array in UTF-8: {error}", _salvage(text)) from error
    kind = _value(parts[0]) if parts else None
    if kind == _CALL:
        return _read_call(parts)
    if kind == _CALL_RESULT:
        return _read_result(parts)
    if kind == _CALL_ERROR:
        return _read_error(parts)
    return IgnoredFrame(f"message type {kind!r:.80}")


def _salvage(text: str | bytes) -> str | None:
    """The UniqueId of a Call that is broken further on."""
    head = text[:200].decode("utf-8", "replace") if isinstance(text, bytes) else text[:200]
    match = _SALVAGED_ID.match(head)
    return match[1] if match else None


def _value(raw: Raw) -> Any:
    """Any JSON value, its numbers with the digits they were written with; None for what cannot be read."""
    try:
        return json_value(raw)
    except MessageError:
        return None


def _unique_id(parts: list[Raw]) -> str:
    """OCPP-J 1.6 section 4.1.4. Raises FrameError for what cannot name a Call; numbers are taken as their digits."""
    unique_id = _value(parts[1]) if len(parts) > 1 else None
    if isinstance(unique_id, int | Decimal) and not isinstance(unique_id, bool):
        unique_id = bytes(parts[1]).decode().strip()
    if not isinstance(unique_id, str) or not unique_id:
        raise FrameError("no UniqueId", None)
    return unique_id


def _read_call(parts: list[Raw]) -> CallFrame:
    unique_id = _unique_id(parts)
    # OCPP-J 1.6 section 4.2.3: a CALLERROR says so when "the unique id is too long".
    if len(unique_id) > MAX_UNIQUE_ID:
        raise FrameError(f"the UniqueId has more than {MAX_UNIQUE_ID} characters", unique_id)
    action = _value(parts[2]) if len(parts) > 2 else None
    # OCPP-J 1.6 section 4.2.1: a Call "always consists of 4 elements".
    if len(parts) != 4 or not isinstance(action, str):
        raise FrameError('a CALL is [2, "UniqueId", "Action", {payload}]', unique_id)
    return CallFrame(unique_id, action, parts[3])


def _read_result(parts: list[Raw]) -> ResultFrame:
    # OCPP-J 1.6 section 4.2.2: 3 elements. A missing payload is an empty one, more than one is the first.
    return ResultFrame(_unique_id(parts), parts[2] if len(parts) > 2 else Raw(b"{}"))


def _read_error(parts: list[Raw]) -> ErrorFrame:
    """OCPP-J 1.6 section 4.2.3: 5 elements; peers leave out the last ones, or make the details a text (rule 17)."""
    code, description, details = [_value(part) for part in parts[2:5]] + [None] * (5 - max(2, min(len(parts), 5)))
    if not isinstance(details, dict):
        details = {} if details in (None, "", []) else {"details": details}
    error = CallError(
        unique_id=_unique_id(parts),
        code=code if isinstance(code, str) and code else ErrorCode.GenericError.value,
        description=description if isinstance(description, str) else "",
        details=details,
    )
    return ErrorFrame(error)


def decode_call(frame: CallFrame, sender: Party, *, strict: bool, manners: Manners = PLAIN) -> Call:
    """The Call in `frame`. Raises MessageError with the code that OCPP-J has for what is wrong with it."""
    action = _action(frame.action, sender)
    payload, losses = _payload(frame.payload, action.request, strict, manners)
    return Call(unique_id=frame.unique_id, action=action.name, payload=payload, losses=losses)


def _action(name: str, sender: Party) -> Action:
    action = ACTIONS.get(name)
    if action is not None and sender in action.senders:
        return action
    if action is not None:
        raise MessageError(ErrorCode.NotSupported, f"{name} is not for a {sender.value.replace('_', ' ')} to send")
    if name in SECURITY_EXTENSIONS:
        raise MessageError(ErrorCode.NotSupported, f"{name} has no SOAP form (security white paper, 1.4)")
    raise MessageError(ErrorCode.NotImplemented, f"no action is called {name!r}")


def decode_result(frame: ResultFrame, action: str, *, strict: bool, manners: Manners = PLAIN) -> CallResult:
    """The answer in `frame` to a Call of `action`. Raises MessageError."""
    payload, losses = _payload(frame.payload, ACTIONS[action].response, strict, manners)
    return CallResult(unique_id=frame.unique_id, payload=payload, losses=losses)


@cache
def _decoder(record: type[P]) -> msgspec.json.Decoder[P]:
    return msgspec.json.Decoder(record)


def _payload(raw: Raw, record: type[P], strict: bool, manners: Manners) -> tuple[P, tuple[Loss, ...]]:
    """A valid payload is read in one step; only one that is not is looked at again with tolerance."""
    try:
        decoded = _decoder(record).decode(raw)
    except msgspec.ValidationError as error:
        if strict:
            raise message_error(error) from error
    except ArithmeticError as error:
        raise MessageError(ErrorCode.PropertyConstraintViolation, "holds a number that nobody means") from error
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise MessageError(ErrorCode.FormationViolation, f"the payload is not JSON: {error}") from error
    else:
        if strict and _sorted.encode(decoded) != _sorted.encode(json_value(raw)):
            # msgspec takes a null for an absent field and a text for a decimal; the official schemas do not.
            text = "a null, or a text where a number belongs (refused: strict)"
            raise MessageError(ErrorCode.TypeConstraintViolation, text)
        return decoded, ()
    return _mended(json_value(raw), record, manners)


def _mended(data: Any, record: type[P], manners: Manners) -> tuple[P, tuple[Loss, ...]]:
    # OCPP-J 1.6 section 4.2.1: an empty payload may also be null.
    data = {} if data is None else data
    if not isinstance(data, dict):
        raise MessageError(ErrorCode.FormationViolation, "the payload is not a JSON object")
    mended, losses = mend(data, shape_of(record), record.__name__, FROM_JSON, manners)
    return record_of(mended, record), losses


def boot_of(frame: CallFrame) -> Boot | None:
    """What a Charge Point says of itself, if `frame` is its BootNotification, whether or not that is valid."""
    data = _value(frame.payload) if frame.action == "BootNotification" else None
    if not isinstance(data, dict):
        return None
    said = {field: data.get(name) for name, field in BOOT_FIELDS.items()}
    return Boot(**{field: value for field, value in said.items() if isinstance(value, str)})


def respelled(call: Call, celsius: str) -> tuple[Call, tuple[Loss, ...]]:
    """`call` with the unit of temperatures spelled as `celsius` says: the first official schemas know only Celcius."""
    name = _READINGS.get(type(call.payload))
    readings = None if name is None else getattr(call.payload, name)
    if name is None or not readings:
        return call, ()
    losses: list[Loss] = []
    data = plain(call.payload)
    for index, reading in enumerate(data[name]):
        for number, sample in enumerate(reading["sampledValue"]):
            if sample.get("unit") in _TEMPERATURES - {celsius}:
                sample["unit"] = celsius
                path = f"{name}[{index}].sampledValue[{number}].unit"
                losses.append(Loss(message=type(call.payload).__name__, path=path, reason=Reason.RESPELLED_UNIT))
    if not losses:
        return call, ()
    return msgspec.structs.replace(call, payload=record_of(data, type(call.payload))), tuple(losses)


def encode(message: Call | Answer) -> bytes:
    """The frame for `message`, in UTF-8, without white space."""
    match message:
        case Call():
            return _encoder.encode((_CALL, message.unique_id, message.action, _content(message.payload)))
        case CallResult():
            return _encoder.encode((_CALL_RESULT, message.unique_id, _content(message.payload)))
        case CallError():
            return _encode_error(message)
        case Unanswered():
            return _encode_error(message.as_error())


def _content(payload: Struct) -> Struct | Raw:
    return payload.raw if isinstance(payload, UNOPENED) else payload


def _encode_error(error: CallError) -> bytes:
    # OCPP-J 1.6 section 4.2.3: a description that is not there is "", details that are not there are {}.
    return _encoder.encode((_CALL_ERROR, error.unique_id, error.code, error.description, error.details))
