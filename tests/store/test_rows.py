"""Every record comes back from its row as it was."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest
from hypothesis import given

from bridge.store import schema
from bridge.store.records import AuditRecord, ChargePointRecord, Record, key_of
from bridge.store.rows import INSERT, SELECT, record_of, row_of
from tests.store.examples import alias, records


@pytest.fixture(scope="module")
def connection() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    schema.prepare(connection)
    yield connection
    connection.close()


@given(record=records)
def test_there_and_back(connection: sqlite3.Connection, record: Record) -> None:
    kind, folded, _ = key_of(record)
    connection.execute(INSERT[kind], row_of(record))
    row = connection.execute(f"{SELECT[kind]} ORDER BY sequence DESC LIMIT 1").fetchone()
    assert record_of(kind, row) == record
    assert folded == ("" if isinstance(record, AuditRecord) else record.identity.casefold())


def test_an_integer_that_python_itself_does_not_write_down() -> None:
    with pytest.raises(ValueError, match="digits"):
        row_of(alias(1, 10**5000))


@pytest.mark.parametrize("row", [("A", "soon", "soap", "1.6"), ("A", 1.0, "smoke", "1.6"), ("A", 1.0, "soap", 16)])
def test_a_row_that_is_not_ours(row: tuple[object, ...]) -> None:
    with pytest.raises((ValueError, TypeError)):
        record_of(ChargePointRecord, (*row, None, None, None, None, None))
