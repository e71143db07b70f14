"""Convert records to rows of SQLite tables, and rows to records. The columns have the names of the record's fields.

Integers are written as text. Most integers come from a wire that sets no limit, and SQLite's integers end at 64 bits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args, get_origin

import msgspec

from bridge.store.records import KINDS, ChargePointRecord, Kind, Record, key_of

Value = str | bytes | float | None

COLUMNS = {kind: ", ".join(kind.__struct_fields__) for kind in KINDS}

# REPLACE gives the row a new `sequence`, so that the row that was written last has the highest one.
INSERT = {
    kind: f"INSERT OR REPLACE INTO {kind.TABLE} (folded, {COLUMNS[kind]})"  # noqa: S608
    f" VALUES (?{', ?' * len(kind.__struct_fields__)})"
    for kind in KINDS
}
# The statement does the same as `successor`, in the file, whether or not this process has read the row.
INSERT[ChargePointRecord] = INSERT[ChargePointRecord].replace("INSERT OR REPLACE", "INSERT") + (
    " ON CONFLICT (folded) DO UPDATE SET "
    + ", ".join(
        f"{name} = CASE WHEN excluded.callback_url IS NULL THEN {name} ELSE excluded.{name} END"
        if name == "callback_networks"
        else f"{name} = coalesce(excluded.{name}, {name})"
        for name in ChargePointRecord.__struct_fields__
        if name != "identity"
    )
)
SELECT = {kind: f"SELECT {COLUMNS[kind]} FROM {kind.TABLE}" for kind in KINDS}  # noqa: S608


def _reader(annotation: Any) -> Callable[[Any], object]:
    """Return the function that converts the value of a column to a value of the type `annotation`."""
    kinds = {annotation, *get_args(annotation)}
    if any(get_origin(kind) is tuple for kind in kinds):
        return msgspec.json.Decoder(annotation).decode
    if bool in kinds:
        return lambda text: text == "True"
    return int if int in kinds else lambda value: value


_READ = {kind: {field.name: _reader(field.type) for field in msgspec.structs.fields(kind)} for kind in KINDS}


def row_of(record: Record) -> tuple[Value, ...]:
    """Return the values of `record` for its INSERT. Raises ValueError for an integer with too many digits."""
    values = (getattr(record, name) for name in record.__struct_fields__)
    return key_of(record)[1], *map(_value, values)


def _value(value: Any) -> Value:
    match value:
        case int():
            return str(value)
        case tuple():
            return msgspec.json.encode(value).decode()
    return value  # type: ignore[no-any-return]


def record_of(kind: Kind, row: tuple[Any, ...]) -> Record:
    """Return the record in a row of its SELECT. Raises ValueError or TypeError for a row that is no such record."""
    named = zip(kind.__struct_fields__, row, strict=True)
    read = _READ[kind]
    return msgspec.convert({name: value if value is None else read[name](value) for name, value in named}, kind)
