"""One SQLite file: a connection that writes and one that reads. Knows nothing of threads but that reading is guarded.

Whatever goes wrong is raised; the writer decides what that means. A corrupt file is not repaired: `connect` moves it
aside, whole, and begins a fresh one. Never open the file by other means than SQLite in this process: closing it would
drop SQLite's locks with it (https://www.sqlite.org/howtocorrupt.html, 2.2).
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from bridge.store import schema
from bridge.store.records import KINDS, LONGEST, MOST, ChargePointRecord, Key, Kind, Record, key_of
from bridge.store.rows import INSERT, SELECT, TABLES, record_of, row_of
from bridge.store.schema import Unusable

_log = logging.getLogger("bridge.store")

# Seconds to wait for whoever else has the file locked; a person with the sqlite3 shell, for instance. Reading in WAL
# waits for nobody but a recovery, and is done where the traffic is.
_WRITE_PATIENCE, _READ_PATIENCE = 1.0, 0.25
# A Charge Point's rows are counted at its first record after the start and at every so many-th from then on.
_PRUNE_EVERY = 100
_PRUNE_AT_ONCE = 1000


class Database:
    """The file at `path`. Not connected until `connect`; may be connected anew at any time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.corrupt: str | None = None  # what SQLite said of it
        self._lock: sqlite3.Connection | None = None
        self._writer: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None
        self._reading = threading.Lock()
        self._file: tuple[int, int] | None = None
        self._written: dict[tuple[Kind, str], int] = {}

    # Connections.

    def connect(self) -> None:
        """Open the file, made and brought up to date if need be. Raises OSError, sqlite3.Error or Unusable.

        What was connected stays so until the new connections stand: whoever reads meanwhile is not left without.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists() and not self.path.is_file():
            raise Unusable("it is not a file")
        if self._lock is None:
            self._lock = _lock(self.path)
        if self.corrupt is not None:
            self._begin_anew()
        _make_private(self.path)
        try:
            connections = _connections(self.path)
        except sqlite3.DatabaseError as error:
            self._note(error)
            if self.corrupt is None:
                raise
            self._begin_anew()
            _make_private(self.path)
            connections = _connections(self.path)
        self._swap(*connections)
        self._file = _file_at(self.path)

    def close(self) -> None:
        """Leave the file to others. What is read from here on is nothing."""
        self._swap(None, None)
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _swap(self, writer: sqlite3.Connection | None, reader: sqlite3.Connection | None) -> None:
        with self._reading:
            old_reader, self._reader = self._reader, reader
        old_writer, self._writer = self._writer, writer
        # The writer last: the last connection to go empties the WAL into the file, and the reader may not write.
        for connection in (old_reader, old_writer):
            if connection is not None:
                with suppress(sqlite3.Error):
                    connection.close()

    def _begin_anew(self) -> None:
        self._swap(None, None)
        now = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        aside = self.path.with_name(f"{self.path.name}.corrupt-{now}")
        # The WAL goes with it: it is needed by whoever tries to save what is in there, and poison to a fresh file.
        for suffix in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                Path(f"{self.path}{suffix}").rename(f"{aside}{suffix}")
        _log.error("%s is corrupt (%s): it is now %s, and a fresh one is begun", self.path, self.corrupt, aside)
        self.corrupt = None

    def _note(self, error: sqlite3.Error) -> None:
        # Raised by the module itself, an error has no code.
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            self.corrupt = str(error)

    # Writing.

    def write(self, records: Iterable[Record], *, durable: bool, now: float) -> set[Key]:
        """Write all `records` in one transaction; `durable`: on disk before this returns.

        Out: the Keys of records that no database could hold; the others are written none the less. Raises
        sqlite3.Error or Unusable, and then nothing is written.
        """
        connection = self._writer
        if connection is None:
            raise Unusable("it is not open")
        try:
            connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            connection.execute("BEGIN IMMEDIATE")
            refused = {key_of(record) for record in records if not self._insert(connection, record)}
            self._prune_old(connection, now)
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._note(error)
            with suppress(sqlite3.Error):
                connection.rollback()
            raise
        if _file_at(self.path) != self._file:
            raise Unusable("it was removed, or another took its place")
        return refused

    def _insert(self, connection: sqlite3.Connection, record: Record) -> bool:
        kind, folded, _ = key_of(record)
        try:
            connection.execute(INSERT[kind], row_of(record))
        except (ValueError, sqlite3.DataError, sqlite3.IntegrityError, sqlite3.InterfaceError) as error:
            _log.warning("a record of %r cannot be kept: %s", record.identity, error)
            return False
        if kind is not ChargePointRecord:
            count = self._written[kind, folded] = self._written.get((kind, folded), 0) + 1
            if count % _PRUNE_EVERY == 1:
                _prune_many(connection, kind, folded)
        return True

    def _prune_old(self, connection: sqlite3.Connection, now: float) -> None:
        """By the index, and never so many that a Call has to wait for it: the rest goes with the next transactions."""
        old = f"SELECT sequence FROM answered WHERE at < ? ORDER BY at LIMIT {_PRUNE_AT_ONCE}"  # noqa: S608
        connection.execute(f"DELETE FROM answered WHERE sequence IN ({old})", (now - LONGEST,))  # noqa: S608

    # Reading.

    def charge_points(self) -> list[Record]:
        """Every Charge Point. Nothing if the file is not open. Raises sqlite3.Error."""
        return self._read(ChargePointRecord, "ORDER BY sequence", ())

    def of(self, folded: str) -> list[Record]:
        """The records of one Charge Point, by its identity casefolded; of each kind, at most the latest 1000, the
        latest last. Nothing if the file is not open. Raises sqlite3.Error.
        """
        latest = f"WHERE folded = ? ORDER BY sequence DESC LIMIT {MOST}"
        return [record for kind in KINDS for record in reversed(self._read(kind, latest, (folded,)))]

    def _read(self, kind: Kind, which: str, values: tuple[str, ...]) -> list[Record]:
        with self._reading:
            if self._reader is None:
                return []
            try:
                rows = self._reader.execute(f"{SELECT[kind]} {which}", values).fetchall()
            except sqlite3.Error as error:
                self._note(error)
                raise
        return [record for row in rows if (record := _record_of(kind, row)) is not None]


def _record_of(kind: Kind, row: tuple[object, ...]) -> Record | None:
    try:
        return record_of(kind, row)
    except (ValueError, TypeError) as error:
        _log.warning("a row of %s is not one of ours, it is passed over: %s", TABLES[kind], error)
        return None


def _prune_many(connection: sqlite3.Connection, kind: Kind, folded: str) -> None:
    of = f"FROM {TABLES[kind]} WHERE folded = :folded"
    newest_too_many = f"SELECT sequence {of} ORDER BY sequence DESC LIMIT 1 OFFSET {MOST}"
    connection.execute(f"DELETE {of} AND sequence <= ({newest_too_many})", {"folded": folded})


def _lock(path: Path) -> sqlite3.Connection:
    """What only one process can hold, and holds until it closes it or is no more.

    A file of its own, because a lock on the database itself would shut our own reader out. SQLite locks it, because it
    does so on every system. Raises Unusable.
    """
    connection = _opened(f"{path}.lock", patience=0)
    try:
        connection.execute("BEGIN EXCLUSIVE")
    except sqlite3.Error as error:
        connection.close()
        if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY:
            raise Unusable("another ocpp-bridge has it open") from None
        raise
    return connection


def _connections(path: Path) -> tuple[sqlite3.Connection, sqlite3.Connection]:
    writer = _opened(path, patience=_WRITE_PATIENCE)
    try:
        writer.execute("PRAGMA journal_mode = WAL")
        schema.prepare(writer)
        reader = _opened(path, patience=_READ_PATIENCE)
    except BaseException:
        writer.close()
        raise
    reader.execute("PRAGMA query_only = 1")
    return writer, reader


def _opened(path: Path | str, *, patience: float) -> sqlite3.Connection:
    # Transactions are begun and ended by hand (isolation_level), by one thread at a time (check_same_thread).
    return sqlite3.connect(path, timeout=patience, isolation_level=None, check_same_thread=False)


def _make_private(path: Path) -> None:
    """Keys that Central Systems gave their Charge Points may be in there. What SQLite puts beside it has its mode."""
    with suppress(OSError):
        if not path.exists():
            path.touch(mode=0o600)
        elif (mode := path.stat().st_mode) & 0o077:
            path.chmod(mode & 0o700)


def _file_at(path: Path) -> tuple[int, int] | None:
    """What tells this file from another of its name; None if there is none."""
    with suppress(OSError):
        status = path.stat()
        return status.st_dev, status.st_ino
    return None
