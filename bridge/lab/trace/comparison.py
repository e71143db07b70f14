"""Compare the answer to a replayed Call with the recorded answer. Pure.

Some fields change with each answer, or are the Central System's choice. Of these, only the type is compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

from msgspec import Struct

from bridge.watching.masking import MASK

BY_SHAPE = frozenset({"currentTime", "expiryDate", "heartbeatInterval", "interval", "transactionId"})
_ABSENT = object()


class Difference(Struct, frozen=True, kw_only=True):
    """A difference between two answers.

    Attributes:
        path: Path of the field, as spelled on the wire; "" is the whole answer.
        then: The recorded value, as text.
        now: The new value, as text.
    """

    path: str
    then: str
    now: str

    def __str__(self) -> str:
        return f"{self.path or 'the answer'}: was {self.then}, is {self.now}"


def differences(then: Any, now: Any, path: str = "") -> Iterator[Difference]:
    """Return the differences between two values, field by field.

    Args:
        then: The recorded value. A value that was masked in the recording equals any value.
        now: The new value.
        path: Path of both values in the answer.
    """
    if isinstance(then, dict) and isinstance(now, dict):
        for name in [*then, *(name for name in now if name not in then)]:
            where = f"{path}.{name}" if path else name
            yield from _of_field(name, then.get(name, _ABSENT), now.get(name, _ABSENT), where)
    elif isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        for place, (one, other) in enumerate(zip(then, now, strict=True)):
            yield from differences(one, other, f"{path}[{place}]")
    elif then != now and then != MASK:
        yield Difference(path=path, then=_text(then), now=_text(now))


def _of_field(name: str, then: Any, now: Any, path: str) -> Iterator[Difference]:
    if name not in BY_SHAPE or then is _ABSENT or now is _ABSENT:
        yield from differences(then, now, path)
    elif _shape(then) != _shape(now):
        yield Difference(path=path, then=_text(then), now=_text(now))


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
    return "absent" if value is _ABSENT else repr(value) if isinstance(value, str) else str(value)
