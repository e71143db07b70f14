"""Compare two answers to the same request: two Central Systems', or a Central System's answers at two times.

Some fields change with each answer, or are the Central System's choice. Of these, only the type is compared.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
from msgspec import Struct

from bridge.ocpp.messages import Request, Response
from bridge.ocpp.rpc import CallError, CallResult, UnopenedRequest, UnopenedResponse

BY_SHAPE = frozenset({"currentTime", "expiryDate", "heartbeatInterval", "interval", "transactionId"})
_ABSENT, _NO_VALUE = object(), object()
_INDEX = re.compile(r"\[\d+\]")
_decoder = msgspec.json.Decoder(float_hook=Decimal)


class PlainAnswer(Struct, frozen=True, kw_only=True):
    """An answer as plain data: the payload of a CALLRESULT, or the `code` and `description` of a CALLERROR."""

    payload: Any = None
    code: str | None = None
    description: str = ""

    @classmethod
    def of(cls, answer: CallResult | CallError) -> PlainAnswer:
        """Return `answer` as plain data."""
        if isinstance(answer, CallError):
            return cls(code=answer.code, description=answer.description)
        return cls(payload=plain(answer.payload))

    def __str__(self) -> str:
        if self.code is None:
            return json.dumps(self.payload, default=str)
        return f"{self.code}: {self.description}" if self.description else self.code


def plain(payload: Request | Response) -> Any:
    """Return `payload` as plain data. A payload that was passed on unread, and is no JSON, is a text."""
    if not isinstance(payload, UnopenedRequest | UnopenedResponse):
        return msgspec.to_builtins(payload, builtin_types=(Decimal,))
    try:
        return _decoder.decode(payload.raw)
    except msgspec.DecodeError:
        return bytes(payload.raw).decode("utf-8", "backslashreplace")


class Difference(Struct, frozen=True, kw_only=True):
    """A difference between two answers.

    Attributes:
        path: Path of the field, as spelled on the wire; "" is the whole answer.
        expected: The value in the answer that the other one is compared with, as text.
        found: The value in the other answer, as text.
    """

    path: str
    expected: str
    found: str

    @property
    def field(self) -> str:
        """Return the path without the indexes of lists, so that it can be counted by."""
        return _INDEX.sub("[]", self.path)


def answer_differences(expected: PlainAnswer, found: PlainAnswer, *, any_value: Any = _NO_VALUE) -> list[Difference]:
    """Return the differences between two answers. Of two CALLERRORs, only the codes are compared.

    Args:
        expected: The answer that the other one is compared with.
        found: The other answer.
        any_value: The value in `expected` that equals every value: what stands for a masked one.
    """
    if expected.code is None and found.code is None:
        return list(differences(expected.payload, found.payload, any_value=any_value))
    if expected.code == found.code:
        return []
    return [Difference(path="", expected=str(expected), found=str(found))]


def differences(expected: Any, found: Any, path: str = "", *, any_value: Any = _NO_VALUE) -> Iterator[Difference]:
    """Return the differences between two values, field by field.

    Args:
        expected: The value that the other one is compared with.
        found: The other value.
        path: Path of both values in the answer.
        any_value: The value in `expected` that equals every value.
    """
    if isinstance(expected, dict) and isinstance(found, dict):
        for name in [*expected, *(name for name in found if name not in expected)]:
            where = f"{path}.{name}" if path else name
            yield from _of_field(name, expected.get(name, _ABSENT), found.get(name, _ABSENT), where, any_value)
    elif isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        for place, (one, other) in enumerate(zip(expected, found, strict=True)):
            yield from differences(one, other, f"{path}[{place}]", any_value=any_value)
    elif expected != found and expected != any_value:
        yield Difference(path=path, expected=_text(expected), found=_text(found))


def _of_field(name: str, expected: Any, found: Any, path: str, any_value: Any) -> Iterator[Difference]:
    if name not in BY_SHAPE or expected is _ABSENT or found is _ABSENT:
        yield from differences(expected, found, path, any_value=any_value)
    elif _shape(expected) != _shape(found):
        yield Difference(path=path, expected=_text(expected), found=_text(found))


def _shape(value: Any) -> str:
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return "number"
    if isinstance(value, str):
        try:
            datetime.fromisoformat(value)
        except ValueError:
            return "text"
        return "time"
    return type(value).__name__


def _text(value: Any) -> str:
    """Return a value as text: a text in single quotes, all else as JSON, in which idTags can be masked."""
    if value is _ABSENT:
        return "absent"
    return repr(value) if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
