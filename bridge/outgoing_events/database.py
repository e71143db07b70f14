"""The events that are not delivered yet, in SQLite: a file beside the store's, or memory. One row for each receiver.

One thread writes and others of the process read, all on one connection; no other process has the file while it is open.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from msgspec import Struct

from bridge.outgoing_events.derivation import MOST_STARTS, TransactionStart
from bridge.outgoing_events.queue import WaitingEvent
from bridge.store import files
from bridge.store.schema import UnusableStore

_log = logging.getLogger("bridge.events")
# The text "OCPE", which distinguishes the file from another program's.
_APPLICATION_ID = 0x4F435045
_VERSION = 1
# `number` is the order of all events. A transactionId is a text: its sender sets no limit, and SQLite's integers have
# 64 bits.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS event (
    number INTEGER PRIMARY KEY, receiver TEXT NOT NULL, folded TEXT NOT NULL, at REAL NOT NULL,
    money INTEGER NOT NULL, type TEXT NOT NULL, content BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS start (
    sequence INTEGER PRIMARY KEY, folded TEXT NOT NULL, transaction_id TEXT NOT NULL,
    connector TEXT NOT NULL, started_at TEXT NOT NULL, meter_start_wh TEXT NOT NULL,
    UNIQUE (folded, transaction_id)
);
"""
_INSERT = "INSERT OR REPLACE INTO event VALUES (?, ?, ?, ?, ?, ?, ?)"
_INSERT_START = (
    "INSERT OR REPLACE INTO start (folded, transaction_id, connector, started_at, meter_start_wh)"
    " VALUES (?, ?, ?, ?, ?)"
)
_PRUNE_STARTS = "DELETE FROM start WHERE sequence <= (SELECT max(sequence) FROM start) - ?"
# Seconds to wait for another process that has the file locked.
_PATIENCE = 1.0


class EventRow(NamedTuple):
    """An event for one receiver, as a row.

    Attributes:
        number: The place in the order of all events.
        receiver: The name of the receiver.
        charge_point: The casefolded identity.
        at: The time in unix seconds.
        money: 1 for an event about a transaction.
        type: The type of the event.
        content: The event as JSON.
    """

    number: int
    receiver: str
    charge_point: str
    at: float
    money: int
    type: str
    content: bytes

    def waiting(self) -> WaitingEvent:
        """Return what the queue has to know of the event."""
        return WaitingEvent(
            number=self.number,
            charge_point=self.charge_point,
            at=self.at,
            octets=len(self.content),
            money=bool(self.money),
        )


class StoredEvents(Struct, frozen=True, kw_only=True):
    """The content of the file: the events of each receiver and the starts, the oldest first, and the highest number."""

    last: int
    events: dict[str, list[WaitingEvent]]
    starts: list[TransactionStart]


class EventDatabase:
    """The file at `path`, or memory if `path` is None. `connect` opens the file, and may be called again."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._connection: sqlite3.Connection | None = None
        self._using = threading.Lock()
        self._file: files.Identity | None = None

    def connect(self) -> StoredEvents:
        """Open the file, and create it if necessary. A corrupt file is renamed and a new one is begun.

        Returns: The content of the file.

        Raises:
            OSError: The folder or the file cannot be created.
            sqlite3.Error: The file cannot be used at present.
            UnusableStore: The file is another program's, or a later version's.
        """
        if self._connection is not None and self._is_gone():
            self._restore()
        self.close()
        if self.path is None:
            return self._connect(":memory:")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists() and not self.path.is_file():
            raise UnusableStore("it is not a file")
        files.make_private(self.path)
        try:
            found = self._connect(self.path)
        except sqlite3.DatabaseError as error:
            if not _is_corrupt(error):
                raise
            aside = files.free_name(self.path, ".corrupt")
            files.move_aside(self.path, aside)
            files.make_private(self.path)
            found = self._connect(self.path)
            _log.error("%s is corrupt (%s): it is now %s, and the events in it are not sent", self.path, error, aside)
        self._file = files.identity_of(self.path)
        return found

    def _is_gone(self) -> bool:
        """Return whether the open file was removed or replaced. What is written to it is lost with this process."""
        return self.path is not None and files.identity_of(self.path) != self._file

    def _restore(self) -> None:
        """Write the content of the open file to its path again. A file that took its place is renamed."""
        assert self.path is not None and self._connection is not None
        restored = files.beside(self.path, ".restored")
        files.copy(self._connection, restored)
        self.close()
        if files.may_exist(self.path):
            files.move_aside(self.path, files.free_name(self.path, ".found"))
        for suffix in files.SUFFIXES[1:]:
            files.beside(self.path, suffix).unlink(missing_ok=True)
        restored.replace(self.path)
        _log.error("%s was removed or replaced while it was in use: it is restored", self.path)

    def _connect(self, path: Path | str) -> StoredEvents:
        # Transactions are begun and ended here (isolation_level), by one thread at a time (check_same_thread).
        connection = sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False)
        try:
            _check(connection)
            for setting in ("locking_mode = EXCLUSIVE", "journal_mode = WAL", "temp_store = MEMORY"):
                connection.execute(f"PRAGMA {setting}")
            connection.executescript(_SCHEMA)
            connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {_VERSION}")
            found = _content(connection)
        except BaseException:
            connection.close()
            raise
        with self._using:
            self._connection = connection
        return found

    def close(self) -> None:
        """Close the file. Later reads return nothing."""
        with self._using:
            connection, self._connection = self._connection, None
            if connection is not None:
                with suppress(sqlite3.Error):
                    connection.close()

    def write(
        self, events: Sequence[EventRow], done: Iterable[int], starts: Iterable[TransactionStart], *, durable: bool
    ) -> None:
        """Write and delete in one transaction.

        Args:
            events: The events to add.
            done: The numbers of the events to delete.
            starts: The starts of transactions to add.
            durable: Whether the content is on disk when this method returns, so that it survives a power failure.

        Raises:
            sqlite3.Error: Nothing is written.
            UnusableStore: The file is not open, or was removed or replaced.
        """
        with self._using:
            if self._connection is None:
                raise UnusableStore("it is not open")
            self._connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._connection.executemany(_INSERT, events)
                self._connection.executemany("DELETE FROM event WHERE number = ?", [(number,) for number in done])
                if rows := [_row_of(start) for start in starts]:
                    self._connection.executemany(_INSERT_START, rows)
                    self._connection.execute(_PRUNE_STARTS, (MOST_STARTS,))
                self._connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    self._connection.rollback()
                raise
        if self._is_gone():
            raise UnusableStore("it was removed, or another took its place")

    def content(self, number: int) -> tuple[str, bytes] | None:
        """Return the type and the JSON of an event; None if the file does not hold it. Raises sqlite3.Error."""
        with self._using:
            if self._connection is None:
                return None
            select = "SELECT type, content FROM event WHERE number = ?"
            found: tuple[str, bytes] | None = self._connection.execute(select, (number,)).fetchone()
        return found


def _check(connection: sqlite3.Connection) -> None:
    """Raise UnusableStore for a file that must not be written, sqlite3.Error for a file that cannot be read."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (empty,) = connection.execute("SELECT count(*) = 0 FROM sqlite_master").fetchone()
    if application != _APPLICATION_ID and not (empty and application == 0 and version == 0):
        raise UnusableStore("it is another program's database")
    if version > _VERSION:
        raise UnusableStore(f"a later ocpp-bridge wrote it (version {version})")
    (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        error = sqlite3.DatabaseError(" ".join(str(found).split()))
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error


def _content(connection: sqlite3.Connection) -> StoredEvents:
    events: dict[str, list[WaitingEvent]] = {}
    select = "SELECT receiver, number, folded, at, length(content), money FROM event ORDER BY number"
    for receiver, number, folded, at, octets, money in connection.execute(select):
        waiting = WaitingEvent(number=number, charge_point=folded, at=at, octets=octets, money=bool(money))
        events.setdefault(receiver, []).append(waiting)
    select = "SELECT folded, transaction_id, connector, started_at, meter_start_wh FROM start ORDER BY sequence"
    starts = [
        TransactionStart(
            charge_point=folded,
            transaction_id=int(transaction_id),
            connector=int(connector),
            started_at=started_at,
            meter_start_wh=int(meter),
        )
        for folded, transaction_id, connector, started_at, meter in connection.execute(select)
    ]
    last = max((waiting[-1].number for waiting in events.values()), default=0)
    return StoredEvents(last=last, events=events, starts=starts)


def _row_of(start: TransactionStart) -> tuple[str, ...]:
    return (
        start.charge_point,
        str(start.transaction_id),
        str(start.connector),
        start.started_at,
        str(start.meter_start_wh),
    )


def _is_corrupt(error: sqlite3.Error) -> bool:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
