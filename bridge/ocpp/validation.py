"""Convert JSON to plain data and plain data to a record of the model, strictly: every deviation is an error of OCPP-J.

The values are bounded, so that they can be compared, rounded and encoded again without an exception.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from bridge.errors import ErrorCode, MessageError
from bridge.ocpp import slices
from bridge.ocpp.leaves import WrittenNumber
from bridge.ocpp.losses import Loss
from bridge.ocpp.message_size import is_deeper

R = TypeVar("R", bound=Struct)

AS_STRICT = "(refused: strict)"
"""The end of the reason for a refusal by a route with `tolerance = "strict"`, where a tolerant one refuses nothing."""

_PATH = re.compile(r"(?P<text>.*?)(?: - at `(?P<key>key in )?\$\.?(?P<path>[^`]*)`)?\Z", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(?P<name>\w+)`")
# The error codes of OCPP-J 1.6 table 7 for the error texts of msgspec. The first pattern that matches decides.
_CODES: tuple[tuple[re.Pattern[str], ErrorCode], ...] = (
    (_MISSING, ErrorCode.ProtocolError),
    (re.compile(r"Object contains unknown field"), ErrorCode.FormationViolation),
    (re.compile(r"Expected `(array|object)` of length"), ErrorCode.OccurenceConstraintViolation),
    (re.compile(r"Expected `[^`]*`, got"), ErrorCode.TypeConstraintViolation),
)


# Rule 114: numbers and nesting have limits. libxml2 has a depth of 256. No OCPP message comes near these limits.
_LARGEST_EXPONENT = 999
_DEEPEST = 100


def record_of(data: Mapping[str, Any], record: type[R]) -> R:
    """Return the record that `data` describes, with Decimals. Raises MessageError with code, path and reason."""
    try:
        return slices.convert(data, record, (Decimal,))
    except msgspec.ValidationError as error:
        raise message_error(error) from error


def json_value(source: bytes | str | msgspec.Raw, *, spelled: bool = False) -> Any:
    """Return the JSON value in `source`. Numbers keep their digits.

    Args:
        source: The JSON text.
        spelled: Numbers with an exponent keep their spelling, as a WrittenNumber.

    Raises:
        MessageError: `source` is not JSON.
    """
    if is_deeper(bytes(source) if isinstance(source, msgspec.Raw) else source, _DEEPEST):
        raise MessageError(ErrorCode.FormationViolation, f"JSON that is nested deeper than {_DEEPEST}")
    try:
        return slices.plain(source, (_spelled if spelled else _json).decode)
    except msgspec.ValidationError as error:
        raise message_error(error) from error
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise MessageError(ErrorCode.FormationViolation, f"not JSON: {error}") from error


def _number(text: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"{text[:40]} is no number that anybody means") from None
    if abs(number.adjusted()) > _LARGEST_EXPONENT:
        raise ValueError(f"{text[:40]} is no number that anybody means")
    return number


def _written(text: str) -> Decimal:
    number = _number(text)
    if str(number) == text:
        return number
    written = WrittenNumber(number)
    written.source = text
    return written


_json = msgspec.json.Decoder(float_hook=_number)
_spelled = msgspec.json.Decoder(float_hook=_written)


def message_error(error: msgspec.ValidationError) -> MessageError:
    """Return msgspec's error as the error of OCPP-J 1.6 table 7."""
    match = _PATH.match(str(error))
    assert match is not None
    text, path = match["text"], match["path"] or ""
    code = next((code for pattern, code in _CODES if pattern.match(text)), ErrorCode.PropertyConstraintViolation)
    if (missing := _MISSING.match(text)) is not None:
        path, text = f"{path}.{missing['name']}".lstrip("."), "required, and missing"
    if "matching regex" in text:
        text = "not a point in time (ISO 8601, with a zone)"
    return MessageError(code, text, path)


def refuse_losses(losses: tuple[Loss, ...], code: ErrorCode = ErrorCode.PropertyConstraintViolation) -> None:
    """Raise MessageError for the first Loss, if any: `tolerance = "strict"` refuses a message with a Loss."""
    for loss in losses:
        raise MessageError(code, f"{loss.reason} {AS_STRICT}", loss.path)
