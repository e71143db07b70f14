"""Every record comes back from its row as it was."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from bridge.store import schema
from bridge.store.records import KINDS, ChargePointRecord, Record, key_of, latest
from bridge.store.rows import INSERT, SELECT, record_of, row_of
from tests.store.examples import alias, charge_point, charge_points, records


@pytest.fixture(scope="module")
def connection() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    schema.prepare(connection, lambda version: None)
    yield connection
    connection.close()


def _empty(connection: sqlite3.Connection) -> None:
    for kind in KINDS:
        connection.execute(f"DELETE FROM {kind.TABLE}")


@given(record=records)
def test_there_and_back(connection: sqlite3.Connection, record: Record) -> None:
    _empty(connection)
    kind, folded, _ = key_of(record)
    connection.execute(INSERT[kind], row_of(record))
    row = connection.execute(f"{SELECT[kind]} ORDER BY sequence DESC LIMIT 1").fetchone()
    assert record_of(kind, row) == record
    assert folded == ("" if record.SHARED else record.identity.casefold())


@given(put=st.lists(charge_points | st.builds(charge_point), max_size=5), spelt=st.sampled_from([str, str.upper]))
def test_a_row_that_was_not_read_loses_nothing(
    connection: sqlite3.Connection, put: list[ChargePointRecord], spelt: Callable[[str], str]
) -> None:
    """What an UPDATE makes of a row is what `successor` makes of two records."""
    _empty(connection)
    for number, record in enumerate(put):
        identity = spelt("cp 1") if number else "cp 1"
        put[number] = structs.replace(record, identity=identity)
        connection.execute(INSERT[ChargePointRecord], row_of(put[number]))
    rows = connection.execute(SELECT[ChargePointRecord]).fetchall()
    assert [record_of(ChargePointRecord, row) for row in rows] == [*latest(put).values()]


def test_an_integer_that_python_itself_does_not_write_down() -> None:
    with pytest.raises(ValueError, match="digits"):
        row_of(alias(1, 10**5000))


@pytest.mark.parametrize("row", [("A", "soon", "soap", "1.6"), ("A", 1.0, "smoke", "1.6"), ("A", 1.0, "soap", 16)])
def test_a_row_that_is_not_ours(row: tuple[object, ...]) -> None:
    with pytest.raises((ValueError, TypeError)):
        record_of(ChargePointRecord, (*row, *[None] * 9))
