"""A file grows with the program, and is let alone when it is not ours to change."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from bridge.store import ChargePointRecord, NewerSchema, StoredMemory, schema
from bridge.store.records import KINDS
from bridge.store.schema import APPLICATION_ID, UnusableStore, prepare
from tests.store.conftest import SOON, Opened
from tests.store.examples import alias, answered, charge_point

V1 = ("CREATE TABLE a (x TEXT)",)
V2 = ("ALTER TABLE a ADD COLUMN y TEXT DEFAULT 'new'", "CREATE INDEX a_y ON a (y)")


@pytest.fixture
def copies() -> list[int]:
    """The versions of which a copy was asked for."""
    return []


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)) as connection:
        yield connection


def _version(connection: sqlite3.Connection) -> tuple[int, int]:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return application, version


def test_a_fresh_file(connection: sqlite3.Connection, copies: list[int]) -> None:
    prepare(connection, copies.append)
    assert _version(connection) == (APPLICATION_ID, len(schema.MIGRATIONS))
    prepare(connection, copies.append)
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert tables == {"running_time", *(kind.TABLE for kind in KINDS)}
    assert copies == []


def test_every_kind_has_its_columns(connection: sqlite3.Connection) -> None:
    prepare(connection, lambda version: None)
    for kind in KINDS:
        columns = {name for (name,) in connection.execute("SELECT name FROM pragma_table_info(?)", (kind.TABLE,))}
        assert columns == {"sequence", "folded", *kind.__struct_fields__}


def test_an_older_file_grows(
    connection: sqlite3.Connection, copies: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "MIGRATIONS", (V1,))
    prepare(connection, copies.append)
    connection.execute("INSERT INTO a VALUES ('old')")
    monkeypatch.setattr(schema, "MIGRATIONS", (V1, V2))
    prepare(connection, copies.append)
    assert connection.execute("SELECT * FROM a").fetchall() == [("old", "new")]
    assert _version(connection) == (APPLICATION_ID, 2)
    assert copies == [1]


def test_a_migration_is_done_whole_or_not_at_all(
    connection: sqlite3.Connection, copies: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "MIGRATIONS", (V1,))
    prepare(connection, copies.append)
    monkeypatch.setattr(schema, "MIGRATIONS", (V1, (*V2, "CREATE TABLE a (x)")))
    with pytest.raises(sqlite3.OperationalError, match="already exists"):
        prepare(connection, copies.append)
    assert connection.execute("SELECT name FROM pragma_table_info('a')").fetchall() == [("x",)]
    assert _version(connection) == (APPLICATION_ID, 1)


@pytest.mark.parametrize(
    "statement", ["CREATE TABLE theirs (x)", "PRAGMA user_version = 3", "PRAGMA application_id = 7"]
)
def test_another_programs_file(connection: sqlite3.Connection, copies: list[int], statement: str) -> None:
    connection.execute(statement)
    with pytest.raises(UnusableStore, match="another program"):
        prepare(connection, copies.append)
    assert "alias" not in str(connection.execute("SELECT name FROM sqlite_master").fetchall())


def test_nothing_is_changed_without_a_copy(connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    def disk_full(version: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(schema, "MIGRATIONS", (V1,))
    prepare(connection, disk_full)  # there is nothing yet that would be lost
    monkeypatch.setattr(schema, "MIGRATIONS", (V1, V2))
    with pytest.raises(OSError, match="No space"):
        prepare(connection, disk_full)
    assert connection.execute("SELECT name FROM pragma_table_info('a')").fetchall() == [("x",)]
    assert _version(connection) == (APPLICATION_ID, 1)


def test_a_store_opens_an_older_file(opened: Opened, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    older = opened()
    older.put(charge_point(), alias())
    older.close()
    number = len(schema.MIGRATIONS)
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, ("ALTER TABLE alias ADD COLUMN note TEXT",)))
    store = opened()
    assert store.trouble is None
    assert store.charge_points() == [charge_point()]
    assert store.memory_of("RDAM 123").aliases == (alias(),)
    assert store.commit(alias(2)).result()
    # What there was before lies beside it, and can be put in its place.
    copy = path.with_name(f"bridge.db.bak-{number}")
    assert {file.name for file in path.parent.glob("*.bak-*")} == {copy.name}
    assert copy.stat().st_mode & 0o777 == 0o600
    monkeypatch.undo()
    store = opened(f"sqlite:///{copy}")
    assert store.trouble is None
    assert store.memory_of("RDAM 123") == StoredMemory(charge_point=charge_point(), aliases=(alias(),))


@pytest.fixture
def version_3(path: Path) -> Path:
    """A store as the commit 1eaf26e left it."""
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(Path(__file__).with_name("version_3.sql").read_text("utf-8"))
    return path


def test_a_store_of_version_3_keeps_all_that_is_in_it(version_3: Path, opened: Opened) -> None:
    store = opened()
    assert store.trouble is None
    at, folder = 1790000000.0, version_3.parent
    assert store.charge_points() == [
        ChargePointRecord(
            identity="RDAM 123",
            last_seen=at,
            transport="soap",
            version="1.6",
            callback_url="http://192.0.2.7:8081/ocpp",
            callback_networks=("192.0.2.7/32",),
            boot=b'{"chargePointVendor":"V","chargePointModel":"M"}',
            interval=300,
            central_system="other",
        ),
        ChargePointRecord(identity="RDAM 124", last_seen=at, transport="json", version="1.6"),
    ]
    memory = store.memory_of("RDAM 123")
    assert [(one.fingerprint, one.kept_at) for one in memory.answered] == [
        ('["Start",1,"TAG","2026-03-01T12:00:00Z",12]', 0.0)
    ]
    assert memory.aliases == (alias(2**31 - 1),)
    assert [(one.connector, one.status, one.ended) for one in memory.connectors] == [
        (1, "Charging", False),
        (2, None, True),
    ]
    assert [one.secrets for one in memory.credentials] == [(b"secret",)]
    assert [one.detail for one in store.audit()] == ["main -> other"]
    assert store.commit(answered("new")).result(SOON)
    store.close()
    assert {file.name for file in folder.iterdir()} == {"bridge.db", "bridge.db.bak-3", "bridge.db.lock"}
    with closing(sqlite3.connect(folder / "bridge.db.bak-3")) as copy:
        assert _version(copy) == (APPLICATION_ID, 3)
        assert copy.execute("SELECT central_system FROM charge_point").fetchall() == [("other",), (None,)]


def test_a_store_leaves_a_newer_file_alone(opened: Opened, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = schema.MIGRATIONS
    monkeypatch.setattr(schema, "MIGRATIONS", (*known, ("ALTER TABLE alias ADD COLUMN note TEXT",)))
    newer = opened()
    newer.put(alias())
    newer.close()
    monkeypatch.setattr(schema, "MIGRATIONS", known)
    before = {file.name: file.read_bytes() for file in path.parent.iterdir()}
    with pytest.raises(NewerSchema) as refused:
        opened()
    here, there = len(known), len(known) + 1
    assert str(path) in str(refused.value)
    assert f"version {there}," in str(refused.value) and f"version {here}." in str(refused.value)
    assert {file.name: file.read_bytes() for file in path.parent.iterdir()} == before
