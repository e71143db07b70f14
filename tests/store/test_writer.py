"""One thread, groups, and a thread that goes on whatever happens."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path

import pytest

from bridge.store import thread
from bridge.store.database import Database
from bridge.store.records import AliasRecord, Key, Record
from bridge.store.writer import RecordWriter
from tests.store.conftest import SOON, Log
from tests.store.examples import alias


class Watched(Database):
    """A real file; each transaction can be held up or made to fail, and is noted: how many records, how durable."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.groups: list[tuple[int, bool]] = []
        self.started = threading.Event()
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.error: Exception | None = None

    def write(self, records: Iterable[Record], *, durable: bool) -> set[Key]:
        self.started.set()
        assert self.may_go_on.wait(SOON)
        if self.error is not None:
            raise self.error
        group = list(records)
        if group:
            self.groups.append((len(group), durable))
        return super().write(group, durable=durable)


@pytest.fixture
def database(path: Path) -> Watched:
    return Watched(path)


Started = Callable[..., RecordWriter]


@pytest.fixture
def started(database: Watched) -> Iterator[Started]:
    writers: list[RecordWriter] = []

    def start(limit: int = 1000) -> RecordWriter:
        writer = RecordWriter(database, retry=0.02, limit=limit)
        writers.append(writer)
        database.connect()
        writer.start()
        return writer

    yield start
    for writer in writers:
        database.may_go_on.set()
        writer.close()


def _commit(writer: RecordWriter, *records: Record) -> Future[bool]:
    future: Future[bool] = Future()
    writer.put(records, future)
    return future


def _hold(database: Watched, writer: RecordWriter) -> Future[bool]:
    """The writer is in the middle of a transaction, and stays there."""
    database.may_go_on.clear()
    database.started.clear()
    first = _commit(writer, alias(1))
    assert database.started.wait(SOON)
    return first


def test_what_comes_while_it_writes_is_one_group(started: Started, database: Watched) -> None:
    writer = started()
    first = _hold(database, writer)
    later = [_commit(writer, alias(number)) for number in range(2, 102)]
    assert len(writer.of("rdam 123")) == 101  # what is being written, too, is not lost from sight
    assert len(writer.of_kind(AliasRecord)) == 101
    database.may_go_on.set()
    assert first.result(SOON) and all(future.result(SOON) for future in later)
    assert database.groups == [(1, True), (100, True)]
    assert writer.of("rdam 123") == []


def test_only_a_commit_costs_an_fsync(started: Started, database: Watched) -> None:
    writer = started()
    writer.put((alias(1), alias(2)))
    writer.close()
    assert database.groups == [(2, False)]


def test_a_commit_takes_along_what_waits(started: Started, database: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thread, "LINGER", SOON)
    writer = started()
    writer.put((alias(1),))
    assert _commit(writer, alias(2)).result(SOON / 2)
    assert database.groups == [(2, True)]


def test_what_was_pushed_out_is_not_promised(started: Started, database: Watched, log: Log) -> None:
    writer = started(limit=10)
    _hold(database, writer)
    pushed_out = _commit(writer, alias(2))
    writer.put(tuple(alias(number) for number in range(3, 20)))
    database.may_go_on.set()
    assert not pushed_out.result(SOON)
    assert _commit(writer, alias(20)).result(SOON)
    assert log.count("the oldest are forgotten") == 1


def test_in_trouble_the_newest_are_kept(started: Started, database: Watched, log: Log) -> None:
    writer = started(limit=50)
    database.error = OSError(5, "Input/output error", "x")
    for number in range(1, 200):
        writer.put((alias(number),))
        if number == 20:
            assert not _commit(writer, alias(number)).result(SOON)
    assert writer.of("rdam 123") == [alias(number) for number in range(150, 200)]
    assert writer.trouble == f"{database.path}: Input/output error (x)"
    database.error = None
    log.wait_for("all is well again")
    writer.close()
    assert (sum(count for count, _ in database.groups), database.groups[0][1]) == (50, True)
    assert (log.count("in memory only"), log.count("the oldest are forgotten")) == (1, 1)


def test_an_error_that_nobody_thought_of(started: Started, database: Watched, log: Log) -> None:
    writer = started()
    database.error = RuntimeError("surprise")
    assert not _commit(writer, alias()).result(SOON)
    assert writer.trouble == f"{database.path}: RuntimeError('surprise')"
    assert log.count("in memory only") == 1
    database.error = None
    log.wait_for("all is well again")
    assert _commit(writer, alias(2)).result(SOON)


def test_a_trouble_that_is_over_at_the_second_try_is_none(
    started: Started, database: Watched, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = started()

    def connect() -> bool:
        database.error = None
        return Database.connect(database)

    monkeypatch.setattr(database, "connect", connect)
    database.error = OSError(5, "Input/output error", "x")
    assert _commit(writer, alias()).result(SOON)
    assert writer.trouble is None
    assert log.lines == []


def test_a_disk_that_does_not_answer_is_trouble_once_somebody_says_so(
    started: Started, database: Watched, log: Log
) -> None:
    writer = started()
    writer.overdue(0.0)
    assert writer.trouble is None  # nobody waits
    waits = _hold(database, writer)
    writer.overdue(SOON)
    assert writer.trouble is None  # not for so long
    writer.overdue(0.0)
    writer.overdue(0.0)
    assert "has not answered" in str(writer.trouble)
    assert not _commit(writer, alias(2)).result(0)
    assert log.count("in memory only") == 1
    database.may_go_on.set()
    assert waits.result(SOON)
    log.wait_for("all is well again")
    assert _commit(writer, alias(3)).result(SOON)
    assert writer.trouble is None


def test_closing_in_trouble_tries_once_more(started: Started, database: Watched, log: Log, path: Path) -> None:
    writer = started()
    database.error = OSError(5, "Input/output error", "x")
    assert not _commit(writer, alias(1)).result(SOON)
    writer._retry = SOON
    database.error = None
    writer.close()
    again = Database(path)
    again.connect()
    with closing(again):
        assert again.of("rdam 123") == [alias(1)]


def test_closing_does_not_wait_for_ever(
    started: Started, database: Watched, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = started()
    _hold(database, writer)
    monkeypatch.setattr(thread, "CLOSE_PATIENCE", 0.0)
    writer.close()
    assert log.count("the disk does not answer") == 1
    monkeypatch.undo()


def test_closing_with_nothing_to_write_to(started: Started, database: Watched, log: Log) -> None:
    writer = started()
    database.error = OSError(5, "Input/output error", "x")
    assert not _commit(writer, alias(1)).result(SOON)
    writer.put((alias(2),))
    writer.close()
    assert log.count("2 records were not written") == 1


def test_a_removal_that_fails_is_tried_again(database: Watched, started: Started) -> None:
    """What was put before it is gone then, what was put after it is there."""
    writer = started()
    database.error = OSError(5, "Input/output error")
    waited: Future[bool] = Future()
    writer.put((alias(1),))
    writer.remove("rdam 123", waited)
    assert not waited.result(SOON)
    writer.put((alias(2),))
    database.error = None
    writer.close()
    with closing(Database(database.path)) as again:
        again.connect()
        assert again.of("rdam 123") == [alias(2)]
