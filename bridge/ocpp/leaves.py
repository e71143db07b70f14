"""Read one value of either wire. There is one reader for each kind of leaf.

XML has every value as text, JSON has values with types. A reader accepts both, so that both wires tolerate the same
deviations. A value that no reader accepts is Unfit; the code that walks through the message decides what to do.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, tzinfo
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal
from typing import Any

import msgspec
from msgspec import Struct

from bridge.ocpp.losses import LossReason
from bridge.ocpp.shapes import Field, Kind
from bridge.ocpp.times import read_time

Lose = Callable[[LossReason], None]


class LeafFault(Struct, frozen=True):
    """A part of a message that cannot be read.

    Attributes:
        reason: The reason; None if Losses inside the part have reported it.
        path: The path of the first value that cannot be read, with empty brackets.
        indexes: The indexes for the brackets of `path`.
        value: The part as far as it was read, so that validation can report its error.
    """

    reason: LossReason | None
    path: str
    indexes: tuple[int, ...]
    value: Any


class Unfit(Struct, frozen=True):
    """The result of a reader for a value that it cannot read or that does not fit.

    `value` is as far as it was read, so that validation can report its error.
    """

    value: Any


class How(Struct, frozen=True, kw_only=True):
    """The settings for reading values.

    Attributes:
        typed: Values have types, as in JSON.
        zone: The zone of times without a zone.
        day_alone: A date without a time is a point in time, as in answers.
        exact: A whole number must have no fraction, as in a Central System's request: 5.5 identifies no transaction.
    """

    typed: bool
    zone: tzinfo = UTC
    day_alone: bool = False
    exact: bool = False


# Java writes 1.2345678E7 for a large number that may have a fraction.
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,40}(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?\Z")
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
# The spellings of units that devices are known for, in lower case (quirk 32). `Celcius` is a value of the model.
_UNITS = {"amp": "A", "volt": "V"}
# A meter value is rounded towards zero: the bridge never reports more energy than the meter has counted.
_METERS = frozenset({"meterStart", "meterStop"})
_LARGEST = 2**63


class WrittenNumber(Decimal):
    """A number of a JSON text, in the spelling that it has there. It is equal to the Decimal with its value."""

    __slots__ = ("source",)
    source: str


def _spelled(number: object) -> msgspec.Raw:
    """Return the JSON of a value that msgspec does not know."""
    if isinstance(number, WrittenNumber):
        return msgspec.Raw(number.source.encode())
    raise NotImplementedError


_source = msgspec.json.Encoder(decimal_format="number", enc_hook=_spelled)


def read_leaf(value: Any, field: Field, how: How, lose: Lose) -> Any:
    """Return `value` in the form of the model, or Unfit. Lengths of texts are not checked.

    Args:
        value: The value of the wire.
        field: The field of the model.
        how: The settings for reading values.
        lose: Called with the reason of each Loss.
    """
    assert field.kind is not None
    if type(value) is WrittenNumber and field.kind not in (Kind.TEXT, Kind.LONG_TEXT):
        value = Decimal(value)
    return _READERS[field.kind](value, field, how, lose)


def _text(value: Any, field: Field, how: How, lose: Lose) -> Any:
    """Return `value` as text. A number or an object becomes its JSON source text, which both wires can carry."""
    if isinstance(value, str):
        return value
    if field.limit is not None and isinstance(value, Mapping | list | tuple):
        return Unfit(value)
    lose(LossReason.NOT_TEXT)
    return source_of(value)


def source_of(value: Any) -> str:
    """Return the JSON source text of `value`."""
    return _source.encode(value).decode()


def word(value: Any, field: Field, how: How, lose: Lose) -> Any:
    """Return an enumeration value in the spelling of the specification (quirks 29 and 37), or Unfit."""
    if not isinstance(value, str):
        return Unfit(value)
    folded = value.strip().lower()
    found = field.spellings.get(folded)
    if found is None and field.name == "unit" and (found := _UNITS.get(folded)) is not None:
        lose(LossReason.RESPELLED_UNIT)
    return Unfit(value) if found is None else found


def _time(value: Any, field: Field, how: How, lose: Lose) -> Any:
    found = read_time(value, how.zone, day_alone=how.day_alone) if isinstance(value, str) else None
    if found is None:
        return Unfit(value)
    time, reason = found
    if reason is not None:
        lose(reason)
    return time


def _integer(value: Any, field: Field, how: How, lose: Lose) -> Any:
    """Return an integer. 300.0 is 300: the first official JSON schemas had number (OCPP-J errata 2.4 and 2.5)."""
    if isinstance(value, str):
        if _NUMBER.match(written := value.strip()) is None:
            return Unfit(value)
        number = Decimal(written)
        if how.typed:
            lose(LossReason.CONVERTED)
    elif type(value) in (int, Decimal):
        number = Decimal(value)
    else:
        return Unfit(value)
    if not -_LARGEST <= number < _LARGEST:
        return Unfit(int(number) if isinstance(value, str) else value)
    whole = number.to_integral_value(ROUND_DOWN if field.name in _METERS else ROUND_HALF_EVEN)
    if whole != number:
        if how.exact:
            return Unfit(value)
        lose(LossReason.WHOLE_NUMBER)
    if field.is_narrow and not -(2**31) <= whole < 2**31:  # xs:int, rule 61
        return Unfit(int(whole))
    return int(whole)


def _decimal(value: Any, field: Field, how: How, lose: Lose) -> Any:
    """Return a decimal rounded to one fraction digit (OCPP-S: DecimalOne, rule 61).

    A limit is rounded down, because it is the most that may flow. A minChargingRate is rounded up, because it is the
    least (C 7.14).
    """
    if isinstance(value, str):
        if _NUMBER.match(written := value.strip()) is None:
            return Unfit(value)
        number = Decimal(written)
    elif type(value) in (int, Decimal):
        number = Decimal(value)
    else:
        return Unfit(value)
    if abs(number) >= 10**12:
        return Unfit(number)
    if how.typed and isinstance(value, str):
        lose(LossReason.CONVERTED)
    tenth = Decimal("0.1")
    rounded = number.quantize(tenth, ROUND_CEILING if field.name == "minChargingRate" else ROUND_FLOOR)
    if rounded == number:
        return number
    lose(LossReason.ROUNDED)
    return rounded


def _boolean(value: Any, field: Field, how: How, lose: Lose) -> Any:
    if isinstance(value, bool):
        return value
    found = _BOOLEANS.get(str(value).strip().lower()) if isinstance(value, str | int) else None
    if found is None:
        return Unfit(value)
    if how.typed:
        lose(LossReason.CONVERTED)
    return found


_READERS: Mapping[Kind, Callable[[Any, Field, How, Lose], Any]] = {
    Kind.TEXT: _text,
    Kind.LONG_TEXT: _text,
    Kind.ENUMERATION: word,
    Kind.TIMESTAMP: _time,
    Kind.INTEGER: _integer,
    Kind.DECIMAL: _decimal,
    Kind.BOOLEAN: _boolean,
}
