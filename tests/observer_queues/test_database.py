"""What waits for observers, in files: found again as it was."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.core.observer_ids import ObserverId
from bridge.observer_queues import IdRow, MessageRow, ObserverDatabase
from bridge.store.schema import UnusableStore

DAY = 24 * 3600.0


def row(number: int, *, observer: str = "ems", folded: str = "cp 1", action: str = "MeterValues") -> MessageRow:
    return MessageRow(
        number,
        folded,
        observer,
        folded.upper(),
        f"key-{number}",
        action,
        float(number),
        "1",
        str(2**70),
        1,
        b'{"n":%d}' % number,
        b"[3,{}]",
    )


def named(number: int, at: float = 0.0, *, ended: int = 0, observer: str = "ems") -> IdRow:
    return IdRow("cp 1", observer, str(number), str(number + 2**70), ended, at)


def write(database: ObserverDatabase, **rows: Any) -> None:
    nothing: dict[str, Any] = dict.fromkeys(
        ("removed", "forgotten", "messages", "done", "ids", "entered", "intervals"), ()
    )
    database.write(**(nothing | {"durable": True} | rows))


@pytest.fixture
def database(tmp_path: Path) -> Iterator[ObserverDatabase]:
    made = ObserverDatabase(tmp_path / "folder" / "x.observers.db")
    yield made
    made.close()


def test_what_was_written_is_found_by_the_next_process(database: ObserverDatabase) -> None:
    assert database.connect() == {}
    write(
        database,
        messages=[row(1), row(2, observer="lake"), row(3), row(4)],
        ids=[named(7), named(8, ended=1)],
        entered=[("cp 1", "ems", "CP 1", "key-3")],
    )
    write(database, done=[3], intervals=[("cp 1", "ems", "CP 1", "60")], durable=False)
    assert database.content(1) == (b'{"n":1}', b"[3,{}]") and database.content(3) is None
    database.close()
    with pytest.raises(UnusableStore, match="it is not open"):
        database.content(1)
    found = database.connect()
    ems, lake = found["cp 1", "ems"], found["cp 1", "lake"]
    assert (ems.identity, ems.entered, ems.interval) == ("CP 1", "key-3", 60)
    assert (lake.identity, lake.entered, lake.interval, lake.ids) == ("CP 1", None, None, [])
    assert [message.number for message in ems.messages] == [1, 4]
    assert ems.messages == [row(1).queued(), row(4).queued()]
    one = ems.messages[0]
    assert (one.key, one.connector, one.transaction, one.periodic, one.octets) == ("key-1", 1, 2**70, True, 13)
    big = 2**70
    assert ems.ids == [ObserverId(number=7, named=7 + big), ObserverId(number=8, named=8 + big, ended=True)]


def test_a_transaction_that_is_named_again_is_the_latest(database: ObserverDatabase) -> None:
    database.connect()
    write(database, ids=[named(1), named(2)])
    write(database, ids=[IdRow("cp 1", "ems", "1", None, 0, 0.0)])
    assert [(one.number, one.named) for one in database.connect()["cp 1", "ems"].ids] == [
        (2, 2 + 2**70),
        (1, None),
    ]


def test_transactions_are_forgotten_after_a_while(database: ObserverDatabase) -> None:
    database.connect()
    write(database, ids=[named(1, ended=1), named(2), named(3, 6 * DAY, ended=1)])
    write(database, ids=[named(4, 8 * DAY)])
    assert [one.number for one in database.connect()["cp 1", "ems"].ids] == [2, 3, 4]
    write(database, ids=[named(5, 91 * DAY)])
    assert [one.number for one in database.connect()["cp 1", "ems"].ids] == [4, 5]


@pytest.mark.parametrize(
    ("gone", "left"),
    [
        ({"removed": ["cp 1"]}, {("cp 2", "ems")}),
        ({"forgotten": [("cp 1", "ems")]}, {("cp 1", "lake"), ("cp 2", "ems")}),
    ],
)
def test_what_is_deleted_is_gone_and_what_comes_with_it_stays(
    gone: dict[str, Any], left: set[tuple[str, str]], database: ObserverDatabase
) -> None:
    database.connect()
    entered = [("cp 1", "ems", "CP 1", "key")]
    messages = [row(1), row(2, observer="lake"), row(3, folded="cp 2")]
    write(database, messages=messages, ids=[named(1), named(1, observer="lake")], entered=entered)
    write(database, **gone)
    assert {*database.connect()} == left
    write(database, messages=[row(9)], **gone)
    assert [message.number for message in database.connect()["cp 1", "ems"].messages] == [9]


def test_a_file_of_another_program_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "x.observers.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE mine (a)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(UnusableStore, match="another program's"):
        ObserverDatabase(path).connect()
    assert path.read_bytes() == before


def test_only_the_owner_can_read_it(database: ObserverDatabase) -> None:
    database.connect()
    assert database.path is not None and database.path.stat().st_mode & 0o077 == 0


def test_without_a_file_it_is_in_memory() -> None:
    database = ObserverDatabase(None)
    assert database.connect() == {}
    write(database, messages=[row(1)])
    assert database.content(1) == (b'{"n":1}', b"[3,{}]")
    database.close()
