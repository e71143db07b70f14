"""OCPP-J frames, packed and unpacked by the `ocpp` package and held against its JSON schemas for 1.6."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from jsonschema import Draft4Validator
from jsonschema import ValidationError as SchemaError
from ocpp.exceptions import OCPPError
from ocpp.messages import Call, CallError, CallResult, get_validator, unpack
from ocpp.v16.enums import Action

from bridge.simulators.wire import Payload, Refused

_ACTIONS = frozenset(action.value for action in Action)

# Which code says what is wrong (OCPP-J 1.6, table 7; the spelling of Occurence is the specification's).
_CODES = {
    "required": "ProtocolError",
    "type": "TypeConstraintViolation",
    "additionalProperties": "FormationViolation",
    "minItems": "OccurenceConstraintViolation",
    "maxItems": "OccurenceConstraintViolation",
}


def read(text: str | bytes) -> Call | CallResult | CallError:
    """The frame in `text`, its payload not looked at. ValueError says why there is none."""
    if isinstance(text, bytes):
        raise ValueError("a binary frame")
    try:
        frame = unpack(text)
    except OCPPError as error:
        raise ValueError(f"{error.code}: {error.details.get('cause', error.description)}") from error
    if not isinstance(frame.unique_id, str) or not 1 <= len(frame.unique_id) <= 36:
        raise ValueError(f"the UniqueId {frame.unique_id!r} is not a string of 1 to 36 characters")
    return frame


def complaint(frame: Call | CallResult) -> Refused | None:
    """What the schema of the frame's action says against its payload, in the words of a CALLERROR.

    Nothing is said of an action that 1.6 does not know: there is no schema for it.
    """
    if frame.action not in _ACTIONS:
        return None
    # Schema and payload with Decimals: 21.4 as a float is no multiple of 0.1.
    schema = get_validator(frame.message_type_id, frame.action, "1.6", parse_float=Decimal).schema
    validator = Draft4Validator(schema, format_checker=Draft4Validator.FORMAT_CHECKER)
    payload: Any = json.loads(json.dumps(frame.payload), parse_float=Decimal)
    error: SchemaError | None = next(validator.iter_errors(payload), None)
    if error is None:
        return None
    code = _CODES.get(str(error.validator), "PropertyConstraintViolation")
    return Refused(code, f"{error.json_path}: {error.message}")


def call_error(unique_id: str, refusal: Refused) -> CallError:
    """The CALLERROR that says `refusal`. OCPP-J 1.6, 4.2.3: details are an object, empty if there are none."""
    return CallError(unique_id, refusal.code, refusal.description[:255], refusal.details)


def refused(frame: CallError) -> Refused:
    """The exception that a CALLERROR from the other side stands for."""
    details: Payload = frame.error_details if isinstance(frame.error_details, dict) else {}
    return Refused(frame.error_code, frame.error_description, details)


def id_in(text: str | bytes) -> str | None:
    """The UniqueId of what was meant to be a Call but could not be read, so that it can be answered."""
    try:
        frame = json.loads(text)
    except ValueError:
        return None
    meant = isinstance(frame, list) and len(frame) > 1 and frame[0] == 2 and isinstance(frame[1], str)
    return frame[1][:36] if meant else None
