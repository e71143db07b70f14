"""One file, and what SQLite is asked to do with it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from bridge.store.database import Database
from bridge.store.schema import Unusable
from tests.store.conftest import NOW
from tests.store.examples import alias, charge_point


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    with closing(Database(path)) as database:
        database.connect()
        yield database


def _synchronous(database: Database) -> int:
    assert database._writer is not None
    (value,) = database._writer.execute("PRAGMA synchronous").fetchone()
    return int(value)


def test_how_durable(database: Database, path: Path) -> None:
    """https://www.sqlite.org/pragma.html#pragma_synchronous: NORMAL is 1, FULL is 2."""
    for durable, expected in ((True, 2), (False, 1), (True, 2)):
        database.write([alias()], durable=durable, now=NOW)
        assert _synchronous(database) == expected
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_the_reader_writes_nothing(database: Database) -> None:
    assert database._reader is not None
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        database._reader.execute("DELETE FROM alias")


def test_connecting_anew_leaves_everything_as_it_was(database: Database) -> None:
    database.write([alias(), charge_point()], durable=True, now=NOW)
    database.connect()
    assert database.of("rdam 123") == [charge_point(), alias()]
    assert database.charge_points() == [charge_point()]


def test_what_is_not_open(path: Path) -> None:
    database = Database(path)
    database.close()
    assert database.of("rdam 123") == []
    with pytest.raises(Unusable):
        database.write([alias()], durable=True, now=NOW)
    assert not path.parent.exists()


def test_a_transaction_that_fails_leaves_nothing(database: Database) -> None:
    def records() -> Iterator[object]:
        yield alias(1)
        raise sqlite3.OperationalError("stop")

    with pytest.raises(sqlite3.OperationalError, match="stop"):
        database.write(records(), durable=True, now=NOW)  # type: ignore[arg-type]
    assert database.of("rdam 123") == []
    assert database.write([alias(2)], durable=True, now=NOW) == set()


def test_a_corrupt_file_goes_aside_as_it_is(database: Database, path: Path) -> None:
    database.write([alias()], durable=True, now=NOW)
    database.corrupt = "so it is said"
    database.connect()
    assert database.of("rdam 123") == []
    (aside,) = path.parent.glob("*.corrupt-*")
    with closing(sqlite3.connect(aside)) as connection:
        assert connection.execute("SELECT transaction_id FROM alias").fetchall() == [(str(2**40),)]


def test_what_belongs_to_a_corrupt_file_goes_with_it(path: Path) -> None:
    path.parent.mkdir()
    for suffix in ("", "-wal", "-shm"):
        Path(f"{path}{suffix}").write_bytes(b"x" * 5000)
    with closing(Database(path)) as database:
        database.corrupt = "so it is said"
        database.connect()
        database.write([alias()], durable=True, now=NOW)
    assert {file.name.rpartition("Z")[2] for file in path.parent.glob("*.corrupt-*")} == {"", "-wal", "-shm"}


def test_a_closed_file_is_one_file(database: Database, path: Path) -> None:
    database.write([alias()], durable=False, now=NOW)
    database.close()
    assert {file.name for file in path.parent.iterdir()} == {"bridge.db", "bridge.db.lock"}
