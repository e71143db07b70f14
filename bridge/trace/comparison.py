"""Where the answer of today differs from the one of then. Pure.

Some fields cannot be the same, or are the Central System's own choice: of these only the shape counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

from msgspec import Struct

from bridge.masking import MASK

BY_SHAPE = frozenset({"currentTime", "expiryDate", "heartbeatInterval", "interval", "transactionId"})
_ABSENT = object()


class Difference(Struct, frozen=True, kw_only=True):
    """`path` in the names of the wire, "" the whole answer; what was there then, and is there now, as text."""

    path: str
    then: str
    now: str

    def __str__(self) -> str:
        return f"{self.path or 'the answer'}: was {self.then}, is {self.now}"


def differences(then: Any, now: Any, path: str = "") -> Iterator[Difference]:
    """Field by field. What was masked then fits anything."""
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
