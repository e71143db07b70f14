"""Cursors: where the next page begins. What they hold is nobody's business but ours."""

from __future__ import annotations

import base64
import binascii
from http import HTTPStatus
from typing import Annotated

import msgspec
from msgspec import Meta

from bridge.admin.problems import Refused

_Number = Annotated[int, Meta(ge=0, le=2**63 - 1)]


def closed(text: str) -> str:
    """The cursor that holds `text`."""
    return base64.urlsafe_b64encode(text.encode("utf-8", "surrogatepass")).decode().rstrip("=")


def opened(cursor: str) -> str:
    """What it holds. Raises Refused for one that we did not give."""
    try:
        data = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        return data.decode("utf-8", "surrogatepass")
    except (binascii.Error, ValueError) as error:
        raise _foreign() from error


def number_of(text: str) -> int | None:
    """The number that `text` is; None for anything else."""
    try:
        return msgspec.convert(text, _Number, strict=False)
    except (msgspec.ValidationError, UnicodeError):
        return None


def number_in(cursor: str) -> int:
    """The number that a cursor holds. Raises Refused for one that we did not give."""
    number = number_of(opened(cursor))
    if number is None:
        raise _foreign()
    return number


def _foreign() -> Refused:
    return Refused(HTTPStatus.BAD_REQUEST, "this cursor is none of ours", path="cursor")
