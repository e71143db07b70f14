"""Strict: JSON to plain data, and plain data to a record of the model, or the error that OCPP-J has for what is wrong.

Bounded: what is decoded here can be compared, rounded and encoded again without an exception.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from itertools import chain
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from bridge.errors import ErrorCode, MessageError
from bridge.ocpp.losses import Loss

R = TypeVar("R", bound=Struct)

_PATH = re.compile(r"(?P<text>.*?)(?: - at `(?P<key>key in )?\$\.?(?P<path>[^`]*)`)?\Z", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(?P<name>\w+)`")
# OCPP-J 1.6 table 7, in the words of msgspec. The first that fits decides.
_CODES: tuple[tuple[re.Pattern[str], ErrorCode], ...] = (
    (_MISSING, ErrorCode.ProtocolError),
    (re.compile(r"Object contains unknown field"), ErrorCode.FormationViolation),
    (re.compile(r"Expected `(array|object)` of length"), ErrorCode.OccurenceConstraintViolation),
    (re.compile(r"Expected `[^`]*`, got"), ErrorCode.TypeConstraintViolation),
)


# Rule 114: numbers and nesting have bounds; those of libxml2 are a depth of 256. No OCPP message comes near them.
_LARGEST_EXPONENT = 999
_DEEPEST = 100


def record_of(data: Mapping[str, Any], record: type[R]) -> R:
    """The record that `data` describes; its decimals are Decimals. Raises MessageError with code, path and reason."""
    try:
        return msgspec.convert(data, record, builtin_types=(Decimal,))
    except msgspec.ValidationError as error:
        raise message_error(error) from error


def json_value(source: bytes | str | msgspec.Raw) -> Any:
    """Any JSON value, its numbers with the digits they were written with. Raises MessageError."""
    try:
        value = _json.decode(source)
    except msgspec.ValidationError as error:
        raise message_error(error) from error
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise MessageError(ErrorCode.FormationViolation, f"not JSON: {error}") from error
    if _is_deep(value):
        raise MessageError(ErrorCode.FormationViolation, f"JSON that is nested deeper than {_DEEPEST}")
    return value


def _number(text: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"{text[:40]} is no number that anybody means") from None
    if abs(number.adjusted()) > _LARGEST_EXPONENT:
        raise ValueError(f"{text[:40]} is no number that anybody means")
    return number


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(_DEEPEST):
        level = [*chain.from_iterable(map(_inside, level))]
        if not level:
            return False
    return True


def _inside(value: Any) -> list[Any]:
    return [*value.values()] if isinstance(value, dict) else value if isinstance(value, list) else []


_json = msgspec.json.Decoder(float_hook=_number)


def message_error(error: msgspec.ValidationError) -> MessageError:
    """msgspec's complaint as the error of OCPP-J 1.6 table 7."""
    match = _PATH.match(str(error))
    assert match is not None
    text, path = match["text"], match["path"] or ""
    code = next((code for pattern, code in _CODES if pattern.match(text)), ErrorCode.PropertyConstraintViolation)
    if (missing := _MISSING.match(text)) is not None:
        path, text = f"{path}.{missing['name']}".lstrip("."), "required, and missing"
    if "matching regex" in text:
        text = "not a point in time (ISO 8601, with a zone)"
    return MessageError(code, text, path)


def refuse_losses(losses: tuple[Loss, ...]) -> None:
    """`tolerance = "strict"` refuses instead of losing. Raises MessageError for the first Loss, if there is one."""
    for loss in losses:
        raise MessageError(ErrorCode.PropertyConstraintViolation, f"{loss.reason} (refused: strict)", loss.path)
