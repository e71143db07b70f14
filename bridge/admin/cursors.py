"""Cursors mark the beginning of the next page. Clients must not depend on the content of a cursor."""

from __future__ import annotations

import base64
import binascii
from http import HTTPStatus
from typing import Annotated

import msgspec
from msgspec import Meta

from bridge.admin.problems import RequestRefused

_Number = Annotated[int, Meta(ge=0, le=2**63 - 1)]


def closed(text: str) -> str:
    """Return the cursor that holds `text`."""
    return base64.urlsafe_b64encode(text.encode("utf-8", "surrogatepass")).decode().rstrip("=")


def opened(cursor: str) -> str:
    """Return the text in `cursor`. Raises Refused for a cursor that the bridge did not make."""
    try:
        data = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        return data.decode("utf-8", "surrogatepass")
    except (binascii.Error, ValueError) as error:
        raise foreign() from error


def number_of(text: str) -> int | None:
    """Return `text` as a number from 0 to 2^63 - 1, or None for any other text."""
    try:
        return msgspec.convert(text, _Number, strict=False)
    except (msgspec.ValidationError, UnicodeError):
        return None


def number_in(cursor: str) -> int:
    """Return the number in `cursor`. Raises Refused for a cursor that the bridge did not make."""
    number = number_of(opened(cursor))
    if number is None:
        raise foreign()
    return number


def foreign() -> RequestRefused:
    """Return the refusal of a cursor that the bridge did not make, or made for another list."""
    return RequestRefused(HTTPStatus.BAD_REQUEST, "this cursor is none of ours", path="cursor")
