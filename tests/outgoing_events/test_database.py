"""What is kept of events, in files: found again, and never at the cost of the start."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from bridge.outgoing_events import database as module
from bridge.outgoing_events.database import EventDatabase, EventRow
from bridge.outgoing_events.derivation import TransactionStart
from bridge.store import queue_file, schema
from bridge.store.schema import UnusableStore


def row(number: int, receiver: str = "billing", *, money: int = 0) -> EventRow:
    return EventRow(number, receiver, "cp 1", float(number), money, "boot", b'{"n": %d}' % number)


def start(number: int) -> TransactionStart:
    return TransactionStart(
        charge_point="cp 1", transaction_id=number, connector=1, started_at="2026-01-02T03:04:05Z", meter_start_wh=7
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "x.events.db"


@pytest.fixture
def database(path: Path) -> Iterator[EventDatabase]:
    made = EventDatabase(path)
    yield made
    made.close()


def numbers(database: EventDatabase) -> dict[str, list[int]]:
    """What the next process finds."""
    return {name: [event.number for event in events] for name, events in database.connect().events.items()}


def test_what_was_written_is_found_by_the_next_process(database: EventDatabase) -> None:
    assert database.connect().events == {}
    database.write([row(1), row(2, "fleet", money=1), row(3)], [], [start(2**70), start(5)], durable=True)
    database.write([row(4)], [1], [], durable=False)
    assert database.content(3) == ("boot", b'{"n": 3}') and database.content(1) is None
    database.close()
    with pytest.raises(UnusableStore, match="it is not open"):
        database.content(3)
    found = database.connect()
    assert found.last == 4 and found.starts == [start(2**70), start(5)]
    (fleet,) = found.events["fleet"]
    assert (fleet.number, fleet.charge_point, fleet.at, fleet.octets, fleet.money) == (2, "cp 1", 2.0, 8, True)
    assert [event.number for event in found.events["billing"]] == [3, 4]


def test_a_start_that_is_written_again_is_the_latest(database: EventDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_STARTS", 2)
    database.connect()
    for number in (1, 2, 3, 2):
        database.write([], [], [start(number)], durable=False)
    assert [one.transaction_id for one in database.connect().starts] == [3, 2]


def test_a_failure_writes_nothing(database: EventDatabase) -> None:
    database.connect()
    broken = row(2)._replace(receiver=None)  # type: ignore[arg-type]
    with pytest.raises(sqlite3.IntegrityError):
        database.write([row(1), broken], [], [], durable=True)
    assert numbers(database) == {}


def test_only_its_owner_reads_the_file(database: EventDatabase, path: Path) -> None:
    """Events say who charges where."""
    database.connect()
    database.write([row(1)], [], [], durable=True)
    assert [file.name for file in path.parent.iterdir() if file.stat().st_mode & 0o077] == []


def test_in_memory_there_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    database = EventDatabase(None)
    database.connect()
    database.write([row(1)], [], [], durable=True)
    assert database.content(1) == ("boot", b'{"n": 1}')
    database.close()
    assert list(tmp_path.iterdir()) == []


# Files that are not as they should be.


def test_a_corrupt_file_is_renamed_and_a_new_one_is_begun(
    database: EventDatabase, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.parent.mkdir()
    path.write_bytes(b"SQLite format 3\0" + b"?" * 5000)
    assert database.connect().events == {}
    database.write([row(1)], [], [], durable=True)
    assert path.with_name("x.events.db.corrupt-1").exists()
    assert "is corrupt" in caplog.text and "the events in it are not sent" in caplog.text


@pytest.mark.parametrize("statement", ["CREATE TABLE t (a)", "PRAGMA user_version = 3", "PRAGMA application_id = 9"])
def test_another_programs_file_is_left_as_it_is(database: EventDatabase, path: Path, statement: str) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as other:
        other.execute(statement)
        other.commit()
    before = path.read_bytes()
    with pytest.raises(UnusableStore, match="another program's database"):
        database.connect()
    assert path.read_bytes() == before


def test_so_is_the_store(database: EventDatabase, path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as other:
        other.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
    with pytest.raises(UnusableStore):
        database.connect()


def test_a_later_versions_file_is_left_as_it_is(database: EventDatabase, path: Path) -> None:
    database.connect()
    database.close()
    with closing(sqlite3.connect(path)) as later:
        later.execute("PRAGMA user_version = 2")
    with pytest.raises(UnusableStore, match=r"a later ocpp-bridge wrote it \(version 2\)"):
        database.connect()


def test_a_folder_is_no_file(database: EventDatabase, path: Path) -> None:
    path.mkdir(parents=True)
    with pytest.raises(UnusableStore, match="it is not a file"):
        database.connect()


@pytest.mark.parametrize("put_there", [None, b"", b"something else"])
def test_a_file_that_was_removed_or_replaced_is_restored(
    database: EventDatabase, path: Path, put_there: bytes | None
) -> None:
    database.connect()
    database.write([row(1)], [], [], durable=True)
    path.unlink()
    if put_there is not None:
        path.write_bytes(put_there)
    with pytest.raises(UnusableStore, match="it was removed, or another took its place"):
        database.write([row(2)], [], [], durable=True)
    assert numbers(database) == {"billing": [1, 2]}
    database.write([row(3)], [], [], durable=True)
    database.close()
    assert numbers(database) == {"billing": [1, 2, 3]}
    found = path.with_name("x.events.db.found-1")
    assert (found.read_bytes() if put_there is not None else None) == put_there


def test_two_bridges_do_not_share_it(database: EventDatabase, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_file, "_PATIENCE", 0.05)
    database.connect()
    database.write([row(1)], [], [], durable=True)
    other = EventDatabase(path)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        other.connect()
    assert numbers(database) == {"billing": [1]}
