"""What waits for observers in a file, as records that processes share."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bridge.core.observer_ids import ObserverId
from bridge.observer_queues import LaneName, ObserverContents, ObserverDatabase, ObserverWriter
from bridge.store.records import (
    AgeingRecord,
    ObserverIdRecord,
    ObserverLaneRecord,
    ObserverMessageRecord,
    Record,
)
from bridge.store.schema import UnusableStore
from tests.observer_queues.test_database import row

EMS: LaneName = ("cp 1", "ems")
DAY = 24 * 3600.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "x.observers.db"
    writer = ObserverWriter(ObserverDatabase(path), lambda lanes: None)
    writer.open()
    for number in (1, 2, 4):
        writer.put(row(number, action="StopTransaction"), ends=True)
    writer.put(row(3, observer="lake"), ends=False)
    writer.keep(EMS, ObserverId(number=7, named=2**70), 1.0)
    writer.keep(EMS, ObserverId(number=8, named=None, ended=True), 1.0)
    writer.thin(EMS, "CP 1", 60)
    assert writer.flush(EMS).result(60.0)
    writer.delete(EMS, 2)
    writer.close()
    return path


def records(path: Path) -> list[Record]:
    contents = ObserverContents(path)
    contents.open()
    try:
        return [*contents.records(1000 * DAY)]
    finally:
        contents.close()


def test_all_that_waits_is_there_in_order(path: Path) -> None:
    found = records(path)
    messages = [one for one in found if isinstance(one, ObserverMessageRecord)]
    assert [(one.observer, one.place, one.number) for one in messages] == [("ems", 0, 1), ("ems", 1, 4), ("lake", 0, 3)]
    assert messages[1] == ObserverMessageRecord(
        identity="CP 1",
        observer="ems",
        place=1,
        number=4,
        key="key-4",
        action="StopTransaction",
        at=4.0,
        octets=13,
        connector=1,
        transaction=2**70,
        periodic=True,
        request=b'{"n":4}',
        answer=b"[3,{}]",
    )
    lanes = [one for one in found if isinstance(one, ObserverLaneRecord)]
    assert lanes == [ObserverLaneRecord(identity="CP 1", observer="ems", entered="key-4", interval=60)]


def test_transactions_age_from_then_on(path: Path) -> None:
    ids = [one for one in records(path) if isinstance(one, ObserverIdRecord)]
    assert [(one.number, one.named, one.ended) for one in ids] == [(7, 2**70, False), (8, None, True)]
    ends = [one.kept_at + one.KEPT_FOR - 1000 * DAY for one in ids]
    assert ends == [90 * DAY, 7 * DAY] and all(isinstance(one, AgeingRecord) for one in ids)


def test_the_file_is_renamed_as_a_whole(path: Path) -> None:
    before = records(path)
    contents = ObserverContents(path)
    contents.open()
    aside = contents.set_aside()
    assert aside == path.with_name(f"{path.name}.imported-1") and not path.exists()
    assert records(aside) == before


def test_without_a_file_there_is_nothing(tmp_path: Path) -> None:
    assert records(tmp_path / "x.observers.db") == [] and [*tmp_path.iterdir()] == []
    contents = ObserverContents(None)
    contents.open()
    assert [*contents.records(0.0)] == [] and contents.set_aside() is None


def test_a_file_of_another_program_is_not_imported(tmp_path: Path) -> None:
    path = tmp_path / "x.observers.db"
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE theirs (one)")
    with pytest.raises(UnusableStore) as refused:
        records(path)
    assert refused.value.path == path
