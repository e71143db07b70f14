"""Removal of the HTML escapes that a Central System adds to texts in JSON.

SteVe escapes every text that it sends in JSON: `&` becomes `&amp;`, which changes the location of a GetDiagnostics.
OCPP-J has no such escape.
"""

from __future__ import annotations

import html
import re
from typing import Any

import msgspec
from msgspec import Raw

from bridge.errors import MessageError
from bridge.ocpp.validation import json_value
from bridge.ocppj.codec import CallFrame, ErrorFrame, Frame, ResultFrame

# References with a semicolon only, because escapers write one, and a query such as `?a=1&copy=2` has no reference.
_REFERENCE = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_encoder = msgspec.json.Encoder(decimal_format="number")


def undone(frame: Frame) -> Frame:
    """Return `frame` with every text in its payload, or in its error, as it was before it was escaped once."""
    match frame:
        case CallFrame() | ResultFrame():
            payload = _payload(frame.payload)
            return frame if payload is frame.payload else msgspec.structs.replace(frame, payload=payload)
        case ErrorFrame(error=error):
            description, details = _texts(error.description), _texts(error.details)
            return ErrorFrame(msgspec.structs.replace(error, description=description, details=details))
    return frame


def _payload(raw: Raw) -> Raw:
    data = bytes(raw)
    if b"&" not in data and b"\\u0026" not in data:
        return raw
    try:
        value = json_value(raw)
    except MessageError:  # the codec will report what is wrong
        return raw
    return Raw(_encoder.encode(_texts(value)))


def _texts(value: Any) -> Any:
    """Return `value` with the references in every text replaced once: the result of one is not searched again."""
    match value:
        case str():
            return _REFERENCE.sub(_character, value) if "&" in value else value
        case dict():
            return {name: _texts(item) for name, item in value.items()}
        case list():
            return [_texts(item) for item in value]
    return value


def _character(reference: re.Match[str]) -> str:
    """Return the character that a reference stands for; the reference itself if it stands for none."""
    meant = html.unescape(reference[0])
    return reference[0] if meant in ("", "\N{REPLACEMENT CHARACTER}") else meant
