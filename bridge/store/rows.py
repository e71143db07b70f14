"""Records as rows of SQLite tables, and back. The columns are the fields of the record, and bear their names.

Integers are written as text. Most come from a wire that sets no bound, and SQLite's own end at 64 bits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from bridge.store.records import (
    AliasRecord,
    AnsweredRecord,
    AuditRecord,
    ChargePointRecord,
    ConnectorRecord,
    CredentialRecord,
    Kind,
    Record,
    key_of,
)

Value = str | bytes | float | None

TABLES: dict[Kind, str] = {
    ChargePointRecord: "charge_point",
    AnsweredRecord: "answered",
    AliasRecord: "alias",
    ConnectorRecord: "connector",
    AuditRecord: "audit",
    CredentialRecord: "credential",
}

_COLUMNS = {kind: ", ".join(kind.__struct_fields__) for kind in TABLES}

# REPLACE gives the row a new `sequence`: in its order the latest written is the last.
INSERT = {
    kind: f"INSERT OR REPLACE INTO {table} (folded, {_COLUMNS[kind]})"  # noqa: S608
    f" VALUES (?{', ?' * len(kind.__struct_fields__)})"
    for kind, table in TABLES.items()
}
SELECT = {kind: f"SELECT {_COLUMNS[kind]} FROM {table}" for kind, table in TABLES.items()}  # noqa: S608

_READ: dict[str, Callable[[Any], object]] = {
    "interval": int,
    "connector": int,
    "id": int,
    "alias": int,
    "transaction_id": int,
    "fresh": int,
    "secrets": lambda text: tuple(msgspec.json.decode(text, type=list[bytes])),
    "ended": lambda text: text == "True",
    "callback_networks": lambda text: tuple(msgspec.json.decode(text, type=list[str])),
}


def row_of(record: Record) -> tuple[Value, ...]:
    """`record` for its INSERT. Raises ValueError for an integer too long to be written down."""
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
    """The record that a row of its SELECT holds. Raises ValueError or TypeError for one that is not ours."""
    named = zip(kind.__struct_fields__, row, strict=True)
    fields = {name: value if value is None else _READ.get(name, _as_it_is)(value) for name, value in named}
    return msgspec.convert(fields, kind)


def _as_it_is(value: object) -> object:
    return value
