"""The thread that writes events: what waits, what is on disk, and what it does while the disk fails."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.outgoing_events import writer as module
from bridge.outgoing_events.database import EventDatabase, EventRow, StoredEvents
from bridge.outgoing_events.writer import EventWriter
from tests.outgoing_events.test_database import row, start

AT_MOST = 30.0


class Disk(EventDatabase):
    """A file whose disk fails, or hangs, as long as it is told to."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.failure: Exception | None = None
        self.answers = threading.Event()
        self.answers.set()
        self.durable: list[bool] = []

    def connect(self) -> StoredEvents:
        if self.failure is not None:
            raise self.failure
        return super().connect()

    def write(self, *told: object, durable: bool) -> None:
        assert self.answers.wait(AT_MOST)
        if self.failure is not None:
            raise self.failure
        super().write(*told, durable=durable)  # type: ignore[arg-type]
        self.durable.append(durable)


class Told:
    """What the writer tells, for a test to wait for."""

    def __init__(self) -> None:
        self.written: list[EventRow] = []
        self.found: list[StoredEvents] = []
        self._changed = threading.Condition()

    def on_written(self, rows: list[EventRow]) -> None:
        with self._changed:
            self.written += rows
            self._changed.notify_all()

    def until_written(self, number: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.written) >= number, AT_MOST)


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path / "x.events.db")


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def writer(disk: Disk, told: Told, monkeypatch: pytest.MonkeyPatch) -> Iterator[EventWriter]:
    monkeypatch.setattr(module, "_RETRY", 0.02)
    made = EventWriter(disk, told.on_written, told.found.append)
    yield made
    disk.answers.set()
    disk.failure = None
    made.close()


def found_later(disk: Disk) -> list[int]:
    """What the next process finds."""
    events = EventDatabase(disk.path).connect().events
    return [event.number for one in events.values() for event in one]


def test_what_is_flushed_is_on_disk(writer: EventWriter, disk: Disk, told: Told) -> None:
    assert writer.open() == 0 and len(told.found) == 1
    assert writer.put([row(1), row(2)], start(1))
    assert writer.flush().result(AT_MOST) is True
    assert disk.durable[-1] is True
    told.until_written(2)
    writer.delete([1])
    writer.close()
    assert found_later(disk) == [2]


def test_what_nobody_waits_for_is_written_soon_and_needs_no_power_cut(
    writer: EventWriter, disk: Disk, told: Told
) -> None:
    writer.open()
    writer.put([row(1)], None)
    told.until_written(1)
    assert disk.durable[-1] is False


def test_the_next_process_is_told_what_was_left(disk: Disk, told: Told) -> None:
    for left in ([], [7]):
        writer = EventWriter(disk, told.on_written, told.found.append)
        assert writer.open() == (left[-1] if left else 0)
        assert [event.number for events in told.found[-1].events.values() for event in events] == left
        writer.put([row(7)], None)
        writer.close()


def test_while_the_disk_fails_events_wait_and_nobody_waits_for_them(
    writer: EventWriter, disk: Disk, told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    writer.open()
    disk.failure = sqlite3.OperationalError("database or disk is full")
    writer.put([row(1)], None)
    assert writer.flush().result(AT_MOST) is False
    assert writer.trouble == f"{disk.path}: database or disk is full"
    writer.put([row(2)], None)
    assert writer.flush().done(), "the second one does not even ask the disk"
    assert told.written == []
    disk.failure = None
    told.until_written(2)
    assert writer.flush().result(AT_MOST) is True and writer.trouble is None
    assert [each.number for each in told.written] == [1, 2], "in their order"
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 2 and "no event is sent" in lines[0] and "events are written again" in lines[1]


def test_a_file_that_cannot_be_opened_is_opened_later(writer: EventWriter, disk: Disk, told: Told) -> None:
    disk.failure = PermissionError(13, "Permission denied", "x.events.db")
    writer.open()
    assert writer.trouble is not None and "Permission denied" in writer.trouble
    writer.put([row(1)], None)
    disk.failure = None
    told.until_written(1)
    assert len(told.found) == 1


def test_nobody_waits_long_for_a_disk_that_hangs(
    writer: EventWriter, disk: Disk, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer.open()
    disk.answers.clear()
    writer.put([row(1)], None)
    first = writer.flush()
    monkeypatch.setattr(module, "_HANGS", -1.0)
    while not (second := writer.flush()).done():  # until the thread has begun to write
        assert not first.done()
    assert second.result() is False
    disk.answers.set()
    assert first.result(AT_MOST) is True


def test_there_is_a_bound_on_what_waits(
    writer: EventWriter, disk: Disk, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_EVENTS", 3)
    monkeypatch.setattr(module, "MOST_OCTETS", 8 * 2)
    disk.failure = OSError(5, "Input/output error", "x.events.db")
    writer.open()
    assert writer.put([row(1), row(2)], None)
    assert not writer.put([row(3)], None), "too many octets"
    monkeypatch.setattr(module, "MOST_OCTETS", 1000)
    assert writer.put([row(4)], None)
    assert not writer.put([row(5)], None), "too many events"
    disk.failure = None
    told.until_written(3)
    assert writer.put([row(6)], None)


def test_what_cannot_be_written_at_the_end_is_told(
    writer: EventWriter, disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    writer.open()
    disk.failure = sqlite3.OperationalError("disk I/O error")
    writer.put([row(1)], None)
    writer.close()
    assert "1 events were not written, and are lost" in caplog.text
    assert writer.flush().result() is False
