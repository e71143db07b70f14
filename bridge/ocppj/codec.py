"""OCPP-J frames: text to Call, CallResult, CallError and back (OCPP-J 1.6 section 4.2). Pure.

A frame is read in two steps, because an answer does not name the action that it answers: `read_frame` reads the frame,
`decode_call` or `decode_result` the payload.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from functools import cache, partial
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Raw, Struct

from bridge.errors import ErrorCode, MessageError, Why
from bridge.ocpp import slices
from bridge.ocpp.actions import ACTIONS, SECURITY_EXTENSIONS, Action, Party
from bridge.ocpp.device_profile import BOOT_FIELDS, PLAIN, Boot, DeviceProfile, for_soap
from bridge.ocpp.losses import Loss, Losses, LossReason
from bridge.ocpp.message_size import has_more_members, is_deeper
from bridge.ocpp.messages import MeterValuesRequest, Request, Response, StopTransactionRequest
from bridge.ocpp.rpc import UNOPENED, Answer, Call, CallError, CallResult, Unanswered
from bridge.ocpp.shapes import Kind, fields_within, plain, shape_of
from bridge.ocpp.slices import OCTETS
from bridge.ocpp.tolerance import ToleranceReading, absence_matters, accepted, mend
from bridge.ocpp.validation import AS_STRICT, json_value, message_error, record_of, refuse_losses
from bridge.ocpp.wire import Wires

P = TypeVar("P", bound=Struct)

SUBPROTOCOL = "ocpp1.6"
# OCPP-J 1.6 section 4.1.4: a UniqueId has at most 36 characters.
MAX_UNIQUE_ID = 36

# The deepest message of OCPP 1.6 has ten levels.
_DEPTH = 32
_MEMBERS = 20_000

_CALL, _CALL_RESULT, _CALL_ERROR = 2, 3, 4
_ANSWERS_AS_TEXT = ("3", "4")
_BOM = "\ufeff"
_SALVAGED_ID = re.compile(r'\s*\[\s*2\s*,\s*"([^"\\]{1,36})"')
# A frame that was meant to be an answer, and the UniqueId in it, if that can be read.
_BROKEN_ANSWER = re.compile(r'\s*\[\s*[,\s]*[34]\b\s*(?:,\s*"([^"\\]{1,36})")?')
_encoder = msgspec.json.Encoder(decimal_format="number")
# The field with the temperatures, for each request that has one, and the spellings of their unit.
_READINGS: dict[type[Any], str] = {MeterValuesRequest: "meterValue", StopTransactionRequest: "transactionData"}
_TEMPERATURES = frozenset({"Celsius", "Celcius"})
_sorted = msgspec.json.Encoder(decimal_format="number", order="sorted")
_LISTS = (b"[]", b"[ ", b"[\n", b"[\r", b"[\t")
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
    """`[4, unique_id, code, description, details]`, read with tolerance for the deviations of peers."""

    error: CallError

    @property
    def unique_id(self) -> str:
        return self.error.unique_id


class IgnoredFrame(Struct, frozen=True):
    """A frame of an unknown message type. OCPP-J 1.6 section 4.1.3: it SHALL be ignored."""

    reason: str


Frame = CallFrame | ResultFrame | ErrorFrame | IgnoredFrame
# Decodes frames that follow OCPP-J 1.6 section 4.2 exactly, as nearly all do.
_exact: msgspec.json.Decoder[CallFrame | ResultFrame] = msgspec.json.Decoder(CallFrame | ResultFrame)


class FrameError(MessageError):
    """The text is not a frame. `unique_id` is that of a Call, if it could be read, so that the Call can be answered."""

    def __init__(self, description: str, unique_id: str | None, *, why: Why = Why.MALFORMED) -> None:
        super().__init__(ErrorCode.FormationViolation, description, why=why)
        self.unique_id = unique_id


def read_frame(text: str | bytes, depth: int = _DEPTH, members: int = _MEMBERS) -> Frame:
    """Return the frame in `text`, with its payload still raw.

    Args:
        text: The content of one WebSocket message.
        depth: The deepest nesting of objects and lists.
        members: The most members and items of objects and lists in total.

    Raises:
        FrameError: If the text is not a frame, or exceeds a limit.
    """
    if len(text) > members and has_more_members(text, members):  # each member takes at least one character
        description = f"more than {members} members of objects and lists (limits.json_members)"
        raise FrameError(description, _salvage(text), why=Why.TOO_LARGE)
    if is_deeper(text, depth):
        description = f"more than {depth} objects and lists lie within each other (limits.json_depth)"
        raise FrameError(description, _salvage(text), why=Why.TOO_DEEP)
    try:
        return _exact.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return _read_tolerantly(text)


def _read_tolerantly(text: str | bytes) -> Frame:
    text = text.removeprefix(_BOM) if isinstance(text, str) else text.removeprefix(_BOM.encode())
    try:
        parts = _raw_list.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise FrameError(f"not a JSON array in UTF-8: {error}", _salvage(text)) from error
    kind = _value(parts[0]) if parts else None
    if kind in _ANSWERS_AS_TEXT:
        raise FrameError("the message type is a text", None)
    if kind == _CALL:
        return _read_call(parts)
    if kind == _CALL_RESULT:
        return _read_result(parts)
    if kind == _CALL_ERROR:
        return _read_error(parts)
    return IgnoredFrame(f"message type {kind!r:.80}")


def _salvage(text: str | bytes) -> str | None:
    """Return the UniqueId of a Call that is broken after its UniqueId, None if it cannot be read."""
    head = text[:200].decode("utf-8", "replace") if isinstance(text, bytes) else text[:200]
    match = _SALVAGED_ID.match(head)
    return match[1] if match else None


def answered_by(data: bytes) -> str | None:
    """Return the UniqueId of the Call that a broken frame was meant to answer.

    Returns: "" if the UniqueId cannot be read, None if the frame was not meant to be an answer.
    """
    match = _BROKEN_ANSWER.match(data[:200].decode("utf-8", "replace"))
    return None if match is None else match[1] or ""


def _value(raw: Raw) -> Any:
    """Return any JSON value, with the written digits of its numbers; None if it cannot be read."""
    try:
        return json_value(raw)
    except MessageError:
        return None


def _unique_id(parts: list[Raw]) -> str:
    """Return the UniqueId (OCPP-J 1.6 section 4.1.4), a number as its digits. Raises FrameError if there is none."""
    unique_id = _value(parts[1]) if len(parts) > 1 else None
    if isinstance(unique_id, int | Decimal) and not isinstance(unique_id, bool):
        unique_id = bytes(parts[1]).decode().strip()
    if not isinstance(unique_id, str) or not unique_id:
        raise FrameError("no UniqueId", None)
    return unique_id


def _read_call(parts: list[Raw]) -> CallFrame:
    unique_id = _unique_id(parts)
    # OCPP-J 1.6 section 4.2.3: a CALLERROR is the answer when "the unique id is too long".
    if len(unique_id) > MAX_UNIQUE_ID:
        raise FrameError(f"the UniqueId has more than {MAX_UNIQUE_ID} characters", unique_id)
    action = _value(parts[2]) if len(parts) > 2 else None
    # OCPP-J 1.6 section 4.2.1: a Call "always consists of 4 elements".
    if len(parts) != 4 or not isinstance(action, str):
        raise FrameError('a CALL is [2, "UniqueId", "Action", {payload}]', unique_id)
    return CallFrame(unique_id, action, parts[3])


def _read_result(parts: list[Raw]) -> ResultFrame:
    # OCPP-J 1.6 section 4.2.2: 3 elements. A missing payload counts as empty; elements after the payload are ignored.
    return ResultFrame(_unique_id(parts), parts[2] if len(parts) > 2 else Raw(b"{}"))


def _read_error(parts: list[Raw]) -> ErrorFrame:
    """Return a CALLERROR frame.

    OCPP-J 1.6 section 4.2.3 demands 5 elements. Peers leave out the last ones, or send the details as a text (rule 17).
    """
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


def decode_call(
    frame: CallFrame, sender: Party, *, strict: bool, profile: DeviceProfile = PLAIN, wires: Wires | None = None
) -> Call:
    """Return the Call in a frame.

    Args:
        frame: The frame.
        sender: The party that sent it.
        strict: Whether deviations from OCPP are refused.
        profile: The settings for the Charge Point.
        wires: The octets that the Call carries, None if nobody records them.

    Raises:
        MessageError: If the Call is not valid, with the error code that OCPP-J has for the fault.
    """
    action = _action(frame.action, sender)
    payload, losses = _payload(frame.payload, action.request, strict, sender, profile)
    return Call(unique_id=frame.unique_id, action=action.name, payload=payload, losses=losses, wires=wires)


def _action(name: str, sender: Party) -> Action:
    action = ACTIONS.get(name)
    if action is not None and sender in action.senders:
        return action
    if action is not None:
        raise MessageError(ErrorCode.NotSupported, f"{name} is not for a {sender.value.replace('_', ' ')} to send")
    if name in SECURITY_EXTENSIONS:
        raise MessageError(ErrorCode.NotSupported, f"{name} has no SOAP form (security white paper, 1.4)")
    raise MessageError(ErrorCode.NotImplemented, f"no action is called {name!r}")


def decode_result(frame: ResultFrame, action: str, *, strict: bool, profile: DeviceProfile = PLAIN) -> CallResult:
    """Return the answer in a frame.

    Args:
        frame: The frame.
        action: The action of the Call that is answered.
        strict: Whether deviations from OCPP are refused.
        profile: The settings for the Charge Point.

    Raises:
        MessageError: If the answer is not valid.
    """
    payload, losses = _payload(frame.payload, ACTIONS[action].response, strict, None, profile)
    return CallResult(unique_id=frame.unique_id, payload=payload, losses=losses)


@cache
def _plan(record: type[P]) -> tuple[Callable[[Raw], P], tuple[bytes, ...]]:
    """Return the function that decodes a payload in one step, and the octets that `_odd_in` returns."""
    return msgspec.json.Decoder(record).decode, _odd_in(record)


def _payload(
    raw: Raw, record: type[P], strict: bool, asks: Party | None, profile: DeviceProfile
) -> tuple[P, tuple[Loss, ...]]:
    """Return the decoded payload and its losses.

    A valid payload without empty fields is decoded in one step. Any other payload is read again with tolerance.

    Args:
        raw: The payload.
        record: The class of the payload.
        strict: Whether deviations from OCPP are refused.
        asks: The sender of a request, None for an answer.
        profile: The settings for the Charge Point.
    """
    decode, odd = _plan(record)
    try:
        decoded = decode(raw) if len(raw) <= OCTETS else slices.decode(raw, record)
    except msgspec.ValidationError as error:
        if strict:
            raise _refusal(message_error(error), raw, record, _reading(asks, profile)) from error
    except ArithmeticError as error:
        raise MessageError(ErrorCode.PropertyConstraintViolation, "holds a number that nobody means") from error
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise MessageError(ErrorCode.FormationViolation, f"the payload is not JSON: {error}") from error
    else:
        # msgspec accepts some payloads that are not exact. A search in the octets finds all of them, and some others.
        if (not odd or not any(map(_search(raw), odd))) and (
            not strict or _sorted.encode(decoded) == _sorted.encode(json_value(raw))
        ):
            return decoded, ()
        if strict:
            return _strictly(decoded, raw, _reading(asks, profile))
    data = json_value(raw, spelled=True)
    try:
        return _mended(data, record, _reading(asks, profile))
    finally:
        if len(raw) > OCTETS:
            slices.free(data)


def _search(raw: Raw) -> Callable[[bytes], bool]:
    """Return the function that says whether `raw` contains some octets."""
    return bytes(raw).__contains__ if len(raw) <= OCTETS else partial(slices.holds, bytes(raw))


def _refusal(error: MessageError, raw: Raw, record: type[Struct], reading: ToleranceReading) -> MessageError:
    """Return the refusal of an invalid payload. It says so if the payload is refused only because the route is strict.

    Args:
        error: What is wrong with the payload.
        raw: The payload.
        record: The class of the payload.
        reading: The settings for reading it.
    """
    try:
        _mended(json_value(raw), record, reading)
    except MessageError:
        return error
    refusal = MessageError(error.code, f"{error.description} {AS_STRICT}")
    refusal.path = error.path
    return refusal


def _reading(asks: Party | None, profile: DeviceProfile) -> ToleranceReading:
    """Return the settings for reading a payload that goes to a SOAP party: between two JSON parties none is read."""
    return ToleranceReading(typed=True, command=asks is Party.CENTRAL_SYSTEM, profile=for_soap(profile))


def _odd_in(record: type[Struct]) -> tuple[bytes, ...]:
    """Return octets of which a payload has at least one if msgspec accepts it although it is not exact.

    Such a payload has an empty field, or a text in place of a number.
    """
    every = [*fields_within(shape_of(record))]
    if any(field.kind is Kind.DECIMAL for field in every):
        return (b"",)  # msgspec accepts a text for a decimal, so any payload may have one
    optional = [field for field in every if not field.required]
    texts = [field for field in optional if field.kind in (Kind.TEXT, Kind.LONG_TEXT) and not field.many]
    # The SOAP codec reports the loss of an empty list, except in records where an absent list has another meaning.
    lists = [field for field in optional if field.many and absence_matters(record.__name__)]
    # An empty list may be written with white space in it; then the octets are those of any list with white space.
    return (*([b"null"] if optional else []), *([b'""'] if texts else []), *(_LISTS if lists else []))


def _strictly(decoded: P, raw: Raw, reading: ToleranceReading) -> tuple[P, tuple[Loss, ...]]:
    """Return the payload and its losses.

    Args:
        decoded: The payload, as msgspec decoded it.
        raw: The JSON of the payload.
        reading: The settings for reading it.

    Raises:
        MessageError: If `raw` is not valid, or is a request with losses.
    """
    data = json_value(raw)
    mended, losses = _mended(data, type(decoded), reading)
    is_valid = _sorted.encode(decoded) == _sorted.encode(data)
    if not is_valid or isinstance(decoded, Request):
        refuse_losses(losses, ErrorCode.PropertyConstraintViolation if is_valid else ErrorCode.TypeConstraintViolation)
    if not is_valid:
        # msgspec accepts a null for an absent field and a text for a decimal; the official schemas do not.
        text = f"a null, or a text where a number belongs {AS_STRICT}"
        raise MessageError(ErrorCode.TypeConstraintViolation, text)
    return mended, losses


def _mended(data: Any, record: type[P], reading: ToleranceReading) -> tuple[P, tuple[Loss, ...]]:
    # OCPP-J 1.6 section 4.2.1: an empty payload may also be null. PHP writes an empty object as [].
    if data is None or (data in ([], "") and issubclass(record, Response) and not shape_of(record).required):
        data = {}
    if not isinstance(data, dict):
        raise MessageError(ErrorCode.FormationViolation, "the payload is not a JSON object")
    mended, losses = mend(data, shape_of(record), record.__name__, reading)
    try:
        return accepted(mended, record), losses
    finally:
        slices.free(mended)


def boot_of(frame: CallFrame) -> Boot | None:
    """Return the vendor, model and other fields of a BootNotification, valid or not; None for any other Call."""
    data = _value(frame.payload) if frame.action == "BootNotification" else None
    if not isinstance(data, dict):
        return None
    said = {BOOT_FIELDS.get(name.lower()): value for name, value in data.items()}
    return Boot(**{field: value for field, value in said.items() if field is not None and isinstance(value, str)})


def respelled(call: Call, celsius: str) -> tuple[Call, tuple[Loss, ...]]:
    """Return `call` with the unit of temperatures spelled as `celsius`, and the losses.

    The first official schemas allow only the spelling "Celcius".
    """
    name = _READINGS.get(type(call.payload))
    readings = None if name is None else getattr(call.payload, name)
    if name is None or not readings:
        return call, ()
    losses = Losses()
    data = plain(call.payload)
    for index, reading in enumerate(data[name]):
        for number, sample in enumerate(reading["sampledValue"]):
            if sample.get("unit") in _TEMPERATURES - {celsius}:
                sample["unit"] = celsius
                path = f"{name}[{index}].sampledValue[{number}].unit"
                losses.add(type(call.payload).__name__, path, LossReason.RESPELLED_UNIT)
    lost = losses.all()
    if not lost:
        return call, ()
    return msgspec.structs.replace(call, payload=record_of(data, type(call.payload))), lost


def encode(message: Call | Answer) -> bytes:
    """Return the frame for `message`, in UTF-8, without white space."""
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
    # OCPP-J 1.6 section 4.2.3: an absent description is "", absent details are {}.
    return _encoder.encode((_CALL_ERROR, error.unique_id, error.code, error.description, error.details))
