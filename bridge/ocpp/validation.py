"""Strict: plain data to a record of the model, or the error that OCPP-J has for what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Mapping
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


def record_of(data: Mapping[str, Any], record: type[R]) -> R:
    """The record that `data` describes. Raises MessageError with the code, the path and what is wrong."""
    try:
        return msgspec.convert(data, record)
    except msgspec.ValidationError as error:
        raise message_error(error) from error


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
