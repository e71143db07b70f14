"""OCPP-J frames: the `ocpp` package packs and unpacks them and has the JSON schemas of 1.6 to check payloads."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from jsonschema import Draft4Validator
from jsonschema import ValidationError as SchemaError
from ocpp.exceptions import OCPPError
from ocpp.messages import Call, CallError, CallResult, get_validator, unpack
from ocpp.v16.enums import Action

from bridge.lab.simulators.wire import CallRefused, Payload

_ACTIONS = frozenset(action.value for action in Action)

# The error code for each keyword of JSON Schema (OCPP-J 1.6, table 7, which spells Occurence so).
_CODES = {
    "required": "ProtocolError",
    "type": "TypeConstraintViolation",
    "additionalProperties": "FormationViolation",
    "minItems": "OccurenceConstraintViolation",
    "maxItems": "OccurenceConstraintViolation",
}


def read(text: str | bytes) -> Call | CallResult | CallError:
    """Return the frame in `text`, with its payload unchecked. Raises ValueError with the reason for no frame."""
    if isinstance(text, bytes):
        raise ValueError("a binary frame")
    try:
        frame = unpack(text)
    except OCPPError as error:
        raise ValueError(f"{error.code}: {error.details.get('cause', error.description)}") from error
    if not isinstance(frame.unique_id, str) or not 1 <= len(frame.unique_id) <= 36:
        raise ValueError(f"the UniqueId {frame.unique_id!r} is not a string of 1 to 36 characters")
    return frame


def complaint(frame: Call | CallResult) -> CallRefused | None:
    """Return the first error of the payload against the schema of its action, as a CALLERROR would report the error.

    Returns None for a payload without an error, and for an action that 1.6 does not know, which has no schema.
    """
    if frame.action not in _ACTIONS:
        return None
    # Both schema and payload use Decimal, because the float 21.4 is no multiple of 0.1.
    schema = get_validator(frame.message_type_id, frame.action, "1.6", parse_float=Decimal).schema
    validator = Draft4Validator(schema, format_checker=Draft4Validator.FORMAT_CHECKER)
    payload: Any = json.loads(json.dumps(frame.payload), parse_float=Decimal)
    error: SchemaError | None = next(validator.iter_errors(payload), None)
    if error is None:
        return None
    code = _CODES.get(str(error.validator), "PropertyConstraintViolation")
    return CallRefused(code, f"{error.json_path}: {error.message}")


def call_error(unique_id: str, refusal: CallRefused) -> CallError:
    """Return the CALLERROR for `refusal`. Details are an object, empty without details (OCPP-J 1.6, 4.2.3)."""
    return CallError(unique_id, refusal.code, refusal.description[:255], refusal.details)


def refused(frame: CallError) -> CallRefused:
    """Return the exception for a CALLERROR of the other side."""
    details: Payload = frame.error_details if isinstance(frame.error_details, dict) else {}
    return CallRefused(frame.error_code, frame.error_description, details)


def id_in(text: str | bytes) -> str | None:
    """Return the UniqueId in the text of an unreadable Call, so that the Call can be answered, or None."""
    try:
        frame = json.loads(text)
    except ValueError:
        return None
    meant = isinstance(frame, list) and len(frame) > 1 and frame[0] == 2 and isinstance(frame[1], str)
    return frame[1][:36] if meant else None
