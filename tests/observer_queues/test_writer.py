"""The thread that writes what waits for observers, and what it does while the disk fails."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.core.observer_ids import ObserverId
from bridge.observer_queues import LaneName, ObserverDatabase, ObserverWriter, StoredLane
from bridge.observer_queues import writer as module
from tests.observer_queues.test_database import row

AT_MOST = 60.0
EMS: LaneName = ("cp 1", "ems")


class Disk(ObserverDatabase):
    """A file whose disk fails, or hangs, as long as it is told to. `written` has what each transaction wrote."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.failure: Exception | None = None
        self.answers = threading.Event()
        self.answers.set()
        self.written: list[dict[str, Any]] = []

    def connect(self) -> dict[LaneName, StoredLane]:
        if self.failure is not None:
            raise self.failure
        return super().connect()

    def write(self, **rows: Any) -> None:
        assert self.answers.wait(AT_MOST)
        if self.failure is not None:
            raise self.failure
        kept: dict[str, Any] = {name: list(each) if name != "durable" else each for name, each in rows.items()}
        super().write(**kept)
        self.written.append(kept)


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path / "x.observers.db")


@pytest.fixture
def writer(disk: Disk) -> Iterator[ObserverWriter]:
    found: list[dict[LaneName, StoredLane]] = []
    made = ObserverWriter(disk, found.append)
    made.open()
    assert found == [{}]
    yield made
    disk.failure = None
    disk.answers.set()
    made.close()


def left(disk: Disk) -> dict[LaneName, StoredLane]:
    """What the next process finds."""
    other = ObserverDatabase(disk.path)
    try:
        return other.connect()
    finally:
        other.close()


async def test_what_is_put_is_on_disk_when_its_flush_is_done(writer: ObserverWriter, disk: Disk) -> None:
    writer.put(row(1), ends=False)
    writer.put(row(2, action="StopTransaction"), ends=True)
    writer.keep(EMS, ObserverId(number=3, named=9), 5.0)
    writer.thin(EMS, "CP 1", 60)
    assert writer.flush(EMS).result(AT_MOST)
    assert (
        writer.waiting(EMS, 1) is None
        and await writer.content(EMS, 1) == (b'{"n":1}', b"[3,{}]")
        and await writer.content(EMS, 7) is None
    )
    writer.delete(EMS, 1)
    writer.close()
    lane = left(disk)[EMS]
    assert ([one.number for one in lane.messages], lane.entered, lane.interval) == ([2], "key-2", 60)
    assert lane.ids == [ObserverId(number=3, named=9)]
    assert any(rows["durable"] for rows in disk.written)


def test_what_is_delivered_before_it_was_written_is_never_written(writer: ObserverWriter, disk: Disk) -> None:
    disk.answers.clear()  # the thread writes something else
    writer.put(row(1), ends=False)
    flushed = writer.flush(EMS)
    writer.put(row(2), ends=False)
    assert writer.waiting(EMS, 2) == (b'{"n":2}', b"[3,{}]")
    writer.delete(EMS, 2)
    assert writer.waiting(EMS, 2) is None
    disk.answers.set()
    assert flushed.result(AT_MOST)
    writer.close()
    assert 2 not in [each.number for rows in disk.written for each in rows["messages"]]
    assert 2 not in [number for rows in disk.written for number in rows["done"]]


async def test_a_disk_that_fails_delays_nobody_and_gets_everything_later(
    writer: ObserverWriter, disk: Disk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    writer.put(row(1), ends=False)
    assert writer.flush(EMS).result(AT_MOST)
    disk.failure = sqlite3.OperationalError("database or disk is full")
    writer.put(row(2), ends=True)
    assert not writer.flush(EMS).result(AT_MOST)
    assert writer.trouble is not None and "disk is full" in writer.trouble
    writer.put(row(3), ends=False)
    writer.delete(EMS, 1)
    writer.keep(EMS, ObserverId(number=3, named=9), 5.0)
    assert not writer.flush(EMS).result(0)  # at once
    assert await writer.content(EMS, 2) == (b'{"n":2}', b"[3,{}]") and await writer.content(EMS, 3) == (
        b'{"n":3}',
        b"[3,{}]",
    )
    disk.failure = None
    writer.close()
    lane = left(disk)[EMS]
    assert ([one.number for one in lane.messages], lane.entered) == ([2, 3], "key-2")
    assert lane.ids == [ObserverId(number=3, named=9)]
    assert [record.levelname for record in caplog.records if record.name == "bridge.observers"] == ["ERROR", "WARNING"]


def test_what_is_removed_while_the_disk_fails_does_not_come_back(writer: ObserverWriter, disk: Disk) -> None:
    writer.put(row(1), ends=True)
    assert writer.flush(EMS).result(AT_MOST)
    disk.failure = OSError(28, "No space left on device")
    writer.put(row(2), ends=True)
    writer.put(row(3, folded="cp 2"), ends=False)
    writer.put(row(4, observer="lake"), ends=False)
    assert not writer.flush(EMS).result(AT_MOST)
    writer.remove("cp 1")
    writer.put(row(5), ends=False)
    writer.forget(("cp 2", "ems"))
    disk.failure = None
    writer.close()
    found = left(disk)
    assert {name: [one.number for one in lane.messages] for name, lane in found.items()} == {EMS: [5]}
    assert found[EMS].entered is None


def test_a_disk_that_hangs_is_waited_for_by_nobody(
    writer: ObserverWriter, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk.answers.clear()
    writer.put(row(1), ends=False)
    first = writer.flush(EMS)
    monkeypatch.setattr(module, "_HANGS", -1.0)
    while writer._writing_since is None:
        threading.Event().wait(0.01)
    assert not writer.flush(EMS).result(0)
    disk.answers.set()
    assert first.result(AT_MOST)


def test_a_file_that_cannot_be_opened_at_the_start_is_read_later(tmp_path: Path) -> None:
    before = ObserverWriter(ObserverDatabase(tmp_path / "x.observers.db"), lambda lanes: None)
    before.open()
    before.put(row(1), ends=False)
    before.close()
    disk, found, read = Disk(tmp_path / "x.observers.db"), list[dict[LaneName, StoredLane]](), threading.Event()
    disk.failure = sqlite3.OperationalError("unable to open database file")

    def on_found(lanes: dict[LaneName, StoredLane]) -> None:
        found.append(lanes)
        read.set()

    writer = ObserverWriter(disk, on_found)
    writer.open()
    assert writer.trouble is not None and not read.is_set()
    disk.failure = None
    writer.close()  # which tries once more
    assert [one.number for one in found[0][EMS].messages] == [1]
