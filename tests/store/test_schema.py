"""A file grows with the program, and is let alone when it is not ours to change."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from bridge.store import schema
from bridge.store.schema import APPLICATION_ID, Unusable, prepare
from tests.store.conftest import Log, Opened
from tests.store.examples import alias, charge_point

V1 = ("CREATE TABLE a (x TEXT)",)
V2 = ("ALTER TABLE a ADD COLUMN y TEXT DEFAULT 'new'", "CREATE INDEX a_y ON a (y)")


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)) as connection:
        yield connection


def _version(connection: sqlite3.Connection) -> tuple[int, int]:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return application, version


def test_a_fresh_file(connection: sqlite3.Connection) -> None:
    prepare(connection)
    assert _version(connection) == (APPLICATION_ID, len(schema.MIGRATIONS))
    prepare(connection)
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert tables == {"charge_point", "answered", "alias", "connector", "audit", "credential"}


def test_an_older_file_grows(connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "MIGRATIONS", (V1,))
    prepare(connection)
    connection.execute("INSERT INTO a VALUES ('old')")
    monkeypatch.setattr(schema, "MIGRATIONS", (V1, V2))
    prepare(connection)
    assert connection.execute("SELECT * FROM a").fetchall() == [("old", "new")]
    assert _version(connection) == (APPLICATION_ID, 2)


def test_a_migration_is_done_whole_or_not_at_all(
    connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "MIGRATIONS", (V1,))
    prepare(connection)
    monkeypatch.setattr(schema, "MIGRATIONS", (V1, (*V2, "CREATE TABLE a (x)")))
    with pytest.raises(sqlite3.OperationalError, match="already exists"):
        prepare(connection)
    assert connection.execute("SELECT name FROM pragma_table_info('a')").fetchall() == [("x",)]
    assert _version(connection) == (APPLICATION_ID, 1)


@pytest.mark.parametrize(
    "statement", ["CREATE TABLE theirs (x)", "PRAGMA user_version = 3", "PRAGMA application_id = 7"]
)
def test_another_programs_file(connection: sqlite3.Connection, statement: str) -> None:
    connection.execute(statement)
    with pytest.raises(Unusable, match="another program"):
        prepare(connection)
    assert "alias" not in str(connection.execute("SELECT name FROM sqlite_master").fetchall())


def test_a_store_opens_an_older_file(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    older = opened()
    older.put(charge_point(), alias())
    older.close()
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, ("ALTER TABLE alias ADD COLUMN note TEXT",)))
    store = opened()
    assert store.trouble is None
    assert store.charge_points() == [charge_point()]
    assert store.memory_of("RDAM 123").aliases == (alias(),)
    assert store.commit(alias(2)).result()


def test_a_store_leaves_a_newer_file_alone(
    opened: Opened, path: Path, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = schema.MIGRATIONS
    monkeypatch.setattr(schema, "MIGRATIONS", (*known, ("ALTER TABLE alias ADD COLUMN note TEXT",)))
    newer = opened()
    newer.put(alias())
    newer.close()
    monkeypatch.setattr(schema, "MIGRATIONS", known)
    before = path.read_bytes()
    store = opened()
    assert store.trouble is not None and "a later ocpp-bridge wrote it" in store.trouble
    assert not store.commit(alias(2)).result()
    store.close()
    assert path.read_bytes() == before
    assert log.count("a later ocpp-bridge") == 1
