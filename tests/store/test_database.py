"""One file, and what SQLite is asked to do with it."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from bridge.store.database import Database
from bridge.store.records import ChargePointRecord
from bridge.store.schema import UnusableStore
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
        database.write([alias()], durable=durable)
        assert _synchronous(database) == expected
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_the_reader_writes_nothing(database: Database) -> None:
    assert database._reader is not None
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        database._reader.execute("DELETE FROM alias")


def test_connecting_anew_leaves_everything_as_it_was(database: Database) -> None:
    database.write([alias(), charge_point()], durable=True)
    database.connect()
    assert database.of("rdam 123") == [charge_point(), alias()]
    assert database.of_kind(ChargePointRecord) == [charge_point()]


def test_connecting_anew_keeps_the_locks(database: Database, path: Path) -> None:
    """Else the next who opens and closes the file takes himself for the last, and removes the WAL under our feet."""
    database.connect()
    database.write([alias()], durable=True)
    script = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('SELECT count(*) FROM alias').fetchone()"
    subprocess.run([sys.executable, "-c", script, str(path)], check=True)
    assert path.with_name("bridge.db-wal").exists()
    database.write([alias(2)], durable=True)
    assert database.of("rdam 123") == [alias(), alias(2)]


def test_what_is_not_open(path: Path) -> None:
    database = Database(path)
    database.close()
    assert database.of("rdam 123") == []
    with pytest.raises(UnusableStore):
        database.write([alias()], durable=True)
    assert not path.parent.exists()


def test_a_transaction_that_fails_leaves_nothing(database: Database) -> None:
    def records() -> Iterator[object]:
        yield alias(1)
        raise sqlite3.OperationalError("stop")

    with pytest.raises(sqlite3.OperationalError, match="stop"):
        database.write(records(), durable=True)  # type: ignore[arg-type]
    assert database.of("rdam 123") == []
    assert database.write([alias(2)], durable=True) == set()


def test_a_corrupt_file_goes_aside_as_it_is(database: Database, path: Path) -> None:
    database.write([alias()], durable=True)
    database.corrupt = "so it is said"
    database.connect()
    assert database.of("rdam 123") == [alias()]  # for it can be read all the same
    (aside,) = path.parent.glob("*.corrupt-*")
    with closing(sqlite3.connect(aside)) as connection:
        assert connection.execute("SELECT transaction_id FROM alias").fetchall() == [(str(2**40),)]


def test_a_closed_file_is_one_file(database: Database, path: Path) -> None:
    database.write([alias()], durable=False)
    database.close()
    assert {file.name for file in path.parent.iterdir()} == {"bridge.db", "bridge.db.lock"}
