"""Tolerant in: what real peers write differently from the specification, brought into the form that the model takes.

One walk over plain data (dicts, lists, leaves) with a Shape beside it. XML brings all leaves as text, JSON brings them
typed; each has its own reader per Kind of leaf. Whatever is lost or assumed on the way becomes a Loss. What cannot be
forgiven is left as it is: `validation` then says what is wrong with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Any

import msgspec

from bridge.ocpp.losses import Loss, Reason
from bridge.ocpp.manners import PLAIN, Manners, Overlong
from bridge.ocpp.shapes import Field, Kind, Shape

Lose = Callable[[Reason], None]
Leaf = Callable[[Any, Field, Lose], Any]
# Fields whose empty text means something: a configuration key that is set to nothing (quirk 26).
_MEANINGFUL_WHEN_EMPTY = frozenset({("KeyValue", "value")})

_DROPPED = object()

_DATE_TIME = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2}:[0-9]{2})(\.[0-9]+)?([Zz]|[+-][0-9]{2}:?[0-9]{2})?\Z"
)
_INTEGER = re.compile(r"([+-]?[0-9]{1,40})(?:\.0*)?\Z")
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?\Z")
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


def mend(
    data: Mapping[str, Any], shape: Shape, message: str, leaves: Mapping[Kind, Leaf], manners: Manners = PLAIN
) -> Mended:
    """`data` of the PDU `message` in the model's spelling, and the Losses. Raises nothing."""
    losses: list[Loss] = []
    return _Walk(message, leaves, losses, manners).record(data, shape, ""), tuple(losses)


Mended = tuple[dict[str, Any], tuple[Loss, ...]]


class _Walk:
    """One pass over one message."""

    def __init__(self, message: str, leaves: Mapping[Kind, Leaf], losses: list[Loss], manners: Manners) -> None:
        self._message = message
        self._leaves = leaves
        self._losses = losses
        self._overlong = manners.overlong
        self._zone = None if manners.assumed_zone is UTC else manners.assumed_zone

    def record(self, data: Mapping[str, Any], shape: Shape, path: str) -> dict[str, Any]:
        mended: dict[str, Any] = {}
        for name, value in data.items():
            field = shape.fields.get(name)
            if field is None:
                self._lose(_at(path, name), Reason.UNKNOWN_FIELD)
            elif value is None and not field.required:
                pass  # OCPP knows no null: the field is absent, and nothing is lost (rule 64)
            elif isinstance(value, str) and (not value or value.isspace()) and self._says_nothing(value, field, shape):
                self._lose(_at(path, name), Reason.EMPTY_OPTIONAL)
            elif field.many and isinstance(value, list | tuple):
                mended[name] = [self._item(item, field, path, f"{name}[{at}]") for at, item in enumerate(value)]
            elif (item := self._item(value, field, path, name)) is not _DROPPED:
                mended[name] = item
        return mended

    def _says_nothing(self, blank: str, field: Field, shape: Shape) -> bool:
        """Whether an optional element is there but says nothing (quirks 24 to 26). JSON says what it means."""
        if field.required or field.many or self._leaves is not FROM_TEXT:
            return False
        is_text = field.kind in (Kind.TEXT, Kind.LONG_TEXT)
        return not (is_text and blank) and (shape.name, field.name) not in _MEANINGFUL_WHEN_EMPTY

    def _item(self, value: Any, field: Field, path: str, name: str) -> Any:
        if field.shape is not None:
            return self.record(value, field.shape, _at(path, name)) if isinstance(value, Mapping) else value
        if field.limit is not None and isinstance(value, str) and len(value) > field.limit:
            return self._shortened(value, field, _at(path, name))
        assert field.kind is not None
        read = self._leaves.get(field.kind)
        if read is None:
            return value
        if self._zone is not None and field.kind is Kind.TIMESTAMP:
            value = self._zoned(value, self._zone, _at(path, name))
        return read(value, field, lambda reason: self._lose(_at(path, name), reason))

    def _shortened(self, value: str, field: Field, path: str) -> Any:
        """Rule 112a: over-long texts of real devices need a policy. What cannot be left out is cut."""
        if field.names or self._overlong is Overlong.REFUSE:
            return value
        if self._overlong is Overlong.DROP and not field.required and not field.many:
            self._lose(path, Reason.OVERLONG)
            return _DROPPED
        self._lose(path, Reason.TRUNCATED)
        return value[: field.limit]

    def _zoned(self, value: Any, zone: tzinfo, path: str) -> Any:
        """A time stamp without a zone, with that of `zone` there and then."""
        match = _DATE_TIME.match(value.strip()) if isinstance(value, str) else None
        if match is None or match[4]:
            return value
        try:
            there = datetime.fromisoformat(f"{match[1]}T{'00:00:00' if match[2].startswith('24') else match[2]}")
            minutes = int((there.replace(tzinfo=zone).utcoffset() or timedelta()).total_seconds()) // 60
        except (ValueError, OverflowError):
            return value
        self._lose(path, Reason.ASSUMED_ZONE)
        return f"{match[0]}{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"

    def _lose(self, path: str, reason: Reason) -> None:
        self._losses.append(Loss(message=self._message, path=path, reason=reason))


def _at(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _enumeration(value: Any, field: Field, lose: Lose) -> Any:
    return field.spellings.get(value.strip().lower(), value) if isinstance(value, str) else value


def _timestamp(value: Any, field: Field, lose: Lose) -> Any:
    """The same point in time in UTC, every fraction digit kept. OCPP 1.6 edition 2, 3.14; rule 80 for the lenience."""
    match = _DATE_TIME.match(value.strip()) if isinstance(value, str) else None
    if match is None:
        return value
    date, time, fraction, zone = match.groups(default="")
    if not zone:
        lose(Reason.ASSUMED_ZONE)
    if zone in ("", "Z", "z") and not time.startswith("24"):
        return f"{date}T{time}{fraction}Z"
    return _shifted(date, time, fraction, zone) or value


def _shifted(date: str, time: str, fraction: str, zone: str) -> str | None:
    """The time in UTC, or None if there is no such day or hour. XML Schema calls midnight's end 24:00:00, too."""
    next_day = time == "24:00:00" and not fraction.strip(".0")
    try:
        moment = datetime.fromisoformat(f"{date}T{'00:00:00' if next_day else time}").replace(tzinfo=UTC)
        moment += timedelta(days=next_day) - _offset(zone)
    except (ValueError, OverflowError):
        return None
    return f"{moment:%Y-%m-%dT%H:%M:%S}".rjust(19, "0") + f"{fraction}Z"


def _offset(zone: str) -> timedelta:
    if zone in ("", "Z", "z"):
        return timedelta()
    hours, minutes = int(zone[1:3]), int(zone[-2:])
    if hours > 23 or minutes > 59:  # RFC 3339 section 5.6
        raise ValueError("there is no such zone")
    offset = timedelta(hours=hours, minutes=minutes)
    return -offset if zone[0] == "-" else offset


def _one_digit(number: Decimal, lose: Lose) -> Decimal:
    """OCPP-S: DecimalOne, rule 61. Rounded half to even, as the nearest value that both wires can carry."""
    if abs(number) >= 10**12 or number == (rounded := round(number, 1)):
        return number
    lose(Reason.ROUNDED)
    return rounded


def _decimal_of_text(value: Any, field: Field, lose: Lose) -> Any:
    match = _DECIMAL.match(value.strip()) if isinstance(value, str) else None
    return value if match is None else _one_digit(Decimal(match[0]), lose)


def _integer_of_text(value: Any, field: Field, lose: Lose) -> Any:
    match = _INTEGER.match(value.strip()) if isinstance(value, str) else None
    return value if match is None else int(match[1])


def _boolean_of_text(value: Any, field: Field, lose: Lose) -> Any:
    return _BOOLEANS.get(value.strip().lower(), value) if isinstance(value, str) else value


def _decimal_of_json(value: Any, field: Field, lose: Lose) -> Any:
    if isinstance(value, str):  # "16.0"
        return _decimal_of_text(value, field, lose)
    return _one_digit(Decimal(value), lose) if type(value) in (int, Decimal) else value


def _integer_of_json(value: Any, field: Field, lose: Lose) -> Any:
    """300.0 is the integer 300 (the first official JSON schemas said number, OCPP-J errata 2.4 and 2.5)."""
    if isinstance(value, Decimal) and abs(value) < 2**63 and value == value.to_integral_value():
        return int(value)
    return value


def _text_of_json(value: Any, field: Field, lose: Lose) -> Any:
    """Peers put numbers and objects where opaque text belongs; their source text is what SOAP can carry.

    A null where a text is required says nothing, and is no text either.
    """
    if isinstance(value, str) or value is None:
        return value
    lose(Reason.NOT_TEXT)
    return msgspec.json.Encoder(decimal_format="number").encode(value).decode()


# How leaves are read that come as text (XML), and those that come typed (JSON). Kinds not named stay as they are.
FROM_TEXT: Mapping[Kind, Leaf] = {
    Kind.ENUMERATION: _enumeration,
    Kind.TIMESTAMP: _timestamp,
    Kind.INTEGER: _integer_of_text,
    Kind.DECIMAL: _decimal_of_text,
    Kind.BOOLEAN: _boolean_of_text,
}
FROM_JSON: Mapping[Kind, Leaf] = {
    Kind.ENUMERATION: _enumeration,
    Kind.TIMESTAMP: _timestamp,
    Kind.INTEGER: _integer_of_json,
    Kind.DECIMAL: _decimal_of_json,
    Kind.LONG_TEXT: _text_of_json,
}
