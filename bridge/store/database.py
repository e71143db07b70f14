"""Read and write one SQLite file, with one connection each. Only reading is protected against other threads.

Every error is raised; the caller decides what an error means. A file that was never read is not changed. A file that
was read and has become corrupt is moved aside as a whole. A file that was removed or replaced is written again.

In this process, open the file with SQLite only: closing any other file descriptor would release SQLite's locks
(https://www.sqlite.org/howtocorrupt.html, 2.2).
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from bridge.store import files, schema
from bridge.store.audit import AuditQuery
from bridge.store.holders import holder_of
from bridge.store.records import (
    AGEING,
    EVERY,
    KINDS,
    LONGEST_AUDIT,
    MOST,
    REMOVABLE,
    AgeingRecord,
    AuditRecord,
    ChargePointRecord,
    CredentialRecord,
    Key,
    Kind,
    ProvisionedRecord,
    Record,
    TransactionRecord,
    key_of,
    latest,
    successor,
)
from bridge.store.rows import COLUMNS, INSERT, SELECT, record_of, row_of
from bridge.store.schema import MIGRATIONS, Locked, UnusableStore
from bridge.store.transactions import TransactionPage, TransactionQuery

_log = logging.getLogger("bridge.store")

# The time to wait for another process that has the file locked, in seconds; an operator with the sqlite3 shell, for
# instance. In WAL mode a reader waits only for a recovery, and reading happens in the event loop with the traffic.
_WRITE_PATIENCE, _READ_PATIENCE = 1.0, 0.25
# The longest time for the check of the file when it is opened, in seconds.
_CHECKING = 2.0
# The rows of a Charge Point are counted at its first record after the start, and then at every hundredth.
_PRUNE_EVERY = 100
_PRUNE_AT_ONCE = 1000
# The records of the audit that are read at once, which takes some milliseconds. The highest sequence number.
_AUDIT_AT_ONCE, _HIGHEST = 1000, 2**63 - 1
# The transactions that are read at once, and the most slices of them for one page.
_TRANSACTIONS_AT_ONCE, _TRANSACTION_SLICES = 500, 40
# The time between two updates of the stored running time, in seconds. A killed process loses at most this time.
_NOTE_RUNNING_TIME = 60.0
# The suffix of a file that will replace the file without the suffix.
_RESTORED = ".restored"
# Decisions of operators, and the addresses of Charge Points. These records are in memory too, for a corrupt file.
_REMEMBERED: tuple[Kind, ...] = (ChargePointRecord, CredentialRecord, ProvisionedRecord)


class Database:
    """The SQLite file at `path`. `connect` opens the file and may be called again at any time.

    `clock` returns seconds that no change of the system's clock affects.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.path = path
        self.corrupt: str | None = None  # SQLite's description of the corruption
        self._clock = clock
        self._began = clock()
        self._ran_before: float | None = None  # the running time of earlier processes; None: the file was never read
        self._noted = 0.0
        self._lock: sqlite3.Connection | None = None
        self._lock_file: files.Identity | None = None
        self._writer: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None
        self._reading = threading.RLock()
        self._files: tuple[files.Identity | None, ...] = ()
        self._written: dict[tuple[Kind, str], int] = {}
        self._remembered: dict[Key, Record] = {}

    @property
    def running_time(self) -> float:
        """Return the seconds that processes have had this store open, including this process."""
        return (self._ran_before or 0.0) + self._clock() - self._began

    # Connections.

    def connect(self) -> bool:
        """Open the file for reading and writing. Create, migrate or restore the file if necessary.

        The old connections stay open until the new connections are ready, so that readers always have a connection.

        Returns:
            True if the file was read for the first time.

        Raises:
            Locked: Another process has the file.
            Unusable: The path holds something that must not be changed.
            OSError: The file cannot be created or replaced.
            sqlite3.Error: The file cannot be read or written.
        """
        first = self._ran_before is None
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists() and not self.path.is_file():
            raise UnusableStore("it is not a file")
        self._hold()
        restored = files.beside(self.path, _RESTORED)
        if first and restored.exists() and not files.may_exist(self.path):
            restored.rename(self.path)  # the process that made it ended before the rename
        try:
            if self.corrupt is not None and not first:
                self._begin_anew()
            elif self._is_gone():
                self._restore()
            else:
                self._open()
        except sqlite3.DatabaseError as error:
            self._note(error)
            if is_locked(error):
                raise Locked(f"it is locked by {holder_of(self.path)}") from error
            if self.corrupt is None or first:
                raise
            self._begin_anew()
        return first

    def connect_to_read(self) -> None:
        """Open a file that cannot be written for reading alone. Raises Unusable or sqlite3.Error."""
        reader = _opened_to_read(self.path)
        try:
            version = schema.version_of(reader)
            if version < len(MIGRATIONS):
                text = "cannot be written to bring its tables"
                raise UnusableStore(f"it {text} from version {version} to version {len(MIGRATIONS)}")
            self._learn(reader)
        except BaseException:
            reader.close()
            raise
        self._swap(None, reader)

    def close(self) -> None:
        """Close the connections and release the lock. Later reads return nothing."""
        if self._writer is not None:
            with suppress(sqlite3.Error):
                self._note_running_time(self._writer, self.running_time)
        self._swap(None, None)
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _hold(self) -> None:
        """Take the lock that makes this process the only one with this store. Raises Locked.

        The lock is a file beside the store, because a lock on the database itself would block our own reader. SQLite
        does the locking, because SQLite does so on every system.
        """
        path = files.beside(self.path, ".lock")
        if self._lock is not None and not self._is_held():
            self._lock.close()
            self._lock = None
        if self._lock is not None:
            return
        lock = _opened(path, patience=0)
        try:
            lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.Error as error:
            lock.close()
            if is_locked(error):
                raise Locked(f"another ocpp-bridge has it open: {holder_of(path)}") from None
            raise
        self._lock, self._lock_file = lock, files.identity_of(path)

    def _make_private(self) -> None:
        """Make the file readable for its owner only, and create it if it does not exist.

        Raises Unusable, and changes nothing, if the file is not ours. Raises sqlite3.Error if it cannot be read.
        """
        if self.path.exists():
            # The WAL is a part of the file. After a checkpoint that a crash or a full disk stopped, the rest of the
            # file is unreadable without the WAL. So the file is read with its WAL.
            with closing(_opened_to_read(self.path)) as connection:
                schema.version_of(connection)
        files.make_private(self.path)

    def _open(self) -> None:
        was_there = self.path.exists()
        self._make_private()
        writer = _opened(self.path, patience=_WRITE_PATIENCE)
        try:
            version = schema.version_of(writer)  # raises for a file that is not ours, before anything is changed
            writer.execute("PRAGMA journal_mode = WAL")
            schema.prepare(writer, self._keep_copy)
            if was_there and version == 0:
                _log.warning("%s was there and empty: if something was kept in it, it is lost", self.path)
            if self._ran_before is None:
                self._learn(writer)
            reader = _opened(self.path, patience=_READ_PATIENCE)
        except BaseException:
            writer.close()
            raise
        reader.execute("PRAGMA query_only = 1")
        self._swap(writer, reader)
        self.corrupt = None
        self._files = files.identities_of(self.path)

    def _swap(self, writer: sqlite3.Connection | None, reader: sqlite3.Connection | None) -> None:
        with self._reading:
            old_reader, self._reader = self._reader, reader
        old_writer, self._writer = self._writer, writer
        # The writer is closed last: the last connection empties the WAL into the file, which the reader may not write.
        for connection in (old_reader, old_writer):
            if connection is not None:
                with suppress(sqlite3.Error):
                    connection.close()

    def _keep_copy(self, version: int) -> None:
        with closing(_opened(self.path, patience=_WRITE_PATIENCE)) as source:
            files.copy(source, files.beside(self.path, f".bak-{version}"))

    def _learn(self, connection: sqlite3.Connection) -> None:
        """Read the file for the first time, and check it for corruption. Raises sqlite3.Error."""
        _check(connection)
        (ran_before,) = connection.execute("SELECT seconds FROM running_time").fetchone()
        rows = [record for kind in _REMEMBERED for record in _records(kind, connection.execute(SELECT[kind]))]
        self._remember(rows)
        self._ran_before = ran_before

    def _remember(self, records: Iterable[Record]) -> None:
        for record in records:
            if isinstance(record, _REMEMBERED):
                key = key_of(record)
                self._remembered[key] = successor(self._remembered.get(key), record)

    # Files that were removed, replaced or corrupted after they were read.

    def _is_gone(self) -> bool:
        """Return True if the open file was removed or replaced. Later writes would be lost with this process."""
        return self._writer is not None and files.identities_of(self.path) != self._files

    def _is_held(self) -> bool:
        """Return True if our lock excludes other processes. A removed lock file does not: they create another one."""
        return files.identity_of(files.beside(self.path, ".lock")) == self._lock_file

    def _restore(self) -> None:
        """Write the content of the open connections to the path again. Rename a file that has replaced ours."""
        assert self._writer is not None
        restored = files.beside(self.path, _RESTORED)
        files.copy(self._writer, restored)
        with self._reading:
            found = files.identity_of(self.path)
            if found is not None and found != self._files[0]:
                aside = files.free_name(self.path, ".found")
                files.move_aside(self.path, aside, but=self._ours())
                said = f"was replaced while it was in use. What was found in its place is now {aside}, and it"
            else:
                said = "was removed while it was in use, or a part of it. It"
            # The last connection to close removes the WAL by name. That must not remove the WAL of the new file.
            self._swap(None, None)
            for suffix in files.SUFFIXES[1:]:
                files.beside(self.path, suffix).unlink(missing_ok=True)
            restored.replace(self.path)
            self._open()
        _log.error("%s %s is restored", self.path, said)

    def _ours(self) -> list[str]:
        """Return the suffixes of those files at the path that still belong to our connections."""
        now = zip(files.SUFFIXES, self._files, files.identities_of(self.path), strict=True)
        return [suffix for suffix, before, found in now if before is not None and found == before]

    def _begin_anew(self) -> None:
        """Move a corrupt file aside. Begin a new file with the rows that can be read and the records in memory."""
        rescued = latest([*_rescued_from(self.path), *self._remembered.values()]).values()
        restored = files.beside(self.path, _RESTORED)
        restored.unlink(missing_ok=True)
        files.make_private(restored)
        with closing(_opened(restored, patience=0)) as fresh:
            schema.prepare(fresh, lambda version: None)
            fresh.execute("BEGIN")
            for record in rescued:
                fresh.execute(INSERT[type(record)], row_of(record))
            self._note_running_time(fresh, self.running_time)
            fresh.execute("COMMIT")
        now = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        aside = files.beside(self.path, f".corrupt-{now}")
        corrupt = self.corrupt
        with self._reading:
            self._swap(None, None)
            files.move_aside(self.path, aside)
            restored.replace(self.path)
            self._open()
        text = "%s is corrupt (%s): it is now %s, and a fresh one is begun with the %d records that are still known"
        _log.error(text, self.path, corrupt, aside, len(rescued))

    def _note(self, error: sqlite3.Error) -> None:
        # An error that the sqlite3 module itself raises has no code.
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            self.corrupt = str(error)

    # Writing.

    def write(self, records: Iterable[Record], *, durable: bool) -> set[Key]:
        """Write all `records` in one transaction.

        Args:
            records: The records to write.
            durable: The records are on disk before this method returns.

        Returns:
            The Keys of records that no database could hold. The other records are written.

        Raises:
            Locked: Another process has locked the file. Nothing is written.
            sqlite3.Error: Nothing is written.
            Unusable: The file is not open, or was removed or replaced.
        """
        connection = self._writer
        if connection is None:
            raise UnusableStore("it is not open")
        now = self.running_time
        try:
            connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            connection.execute("BEGIN IMMEDIATE")
            written: list[Record] = []
            refused: set[Key] = set()
            for record in records:
                if self._insert(connection, record):
                    written.append(record)
                else:
                    refused.add(key_of(record))
            _prune_old(connection, now)
            if now - self._noted >= _NOTE_RUNNING_TIME:
                self._note_running_time(connection, now)
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._note(error)
            with suppress(sqlite3.Error):
                connection.rollback()
            if is_locked(error):
                raise Locked(f"it is locked by {holder_of(self.path)}") from error
            raise
        if self._is_gone() or not self._is_held():
            raise UnusableStore("it was removed, or another took its place")
        self._remember(written)
        return refused

    def remove(self, removed: Collection[str]) -> None:
        """Remove Charge Points in one transaction, which is on disk when this method returns.

        Args:
            removed: The casefolded identities.

        Raises:
            sqlite3.Error: Nothing is removed.
            Unusable: The file is not open.
        """
        connection = self._writer
        if connection is None:
            raise UnusableStore("it is not open")
        try:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("BEGIN IMMEDIATE")
            for kind in REMOVABLE:
                statement = f"DELETE FROM {kind.TABLE} WHERE folded = ?"  # noqa: S608
                connection.executemany(statement, [(folded,) for folded in removed])
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._note(error)
            with suppress(sqlite3.Error):
                connection.rollback()
            raise
        for key in [key for key in self._remembered if key[0] in REMOVABLE and key[1] in removed]:
            del self._remembered[key]

    def _note_running_time(self, connection: sqlite3.Connection, now: float) -> None:
        connection.execute("UPDATE running_time SET seconds = ?", (now,))
        self._noted = now

    def _insert(self, connection: sqlite3.Connection, record: Record) -> bool:
        kind, folded, _ = key_of(record)
        if isinstance(record, AgeingRecord) and record.kept_at < (self._ran_before or 0.0):
            # The record was put before the file could be read. Its time counted from the start of this process.
            record = msgspec.structs.replace(record, kept_at=self.running_time)
        try:
            connection.execute(INSERT[kind], row_of(record))
        except (ValueError, sqlite3.DataError, sqlite3.IntegrityError, sqlite3.InterfaceError) as error:
            _log.warning("a record of %r cannot be kept: %s", record.identity, error)
            return False
        if kind is not ChargePointRecord:
            count = self._written[kind, folded] = self._written.get((kind, folded), 0) + 1
            if count % _PRUNE_EVERY == 1 and isinstance(record, AuditRecord):
                _prune_audit(connection, record.at)
            elif count % _PRUNE_EVERY == 1:
                _prune_many(connection, kind, folded)
        return True

    # Reading.

    def of_kind(self, kind: Kind) -> list[Record]:
        """Return all records of one kind, the oldest first; nothing if the file is not open. Raises sqlite3.Error."""
        return self._read(kind, "ORDER BY sequence", ())

    def of(self, folded: str) -> list[Record]:
        """Return the latest records of one Charge Point: at most 1000 of each kind, the latest last.

        `folded` is the casefolded identity. Returns nothing if the file is not open. Raises sqlite3.Error.
        """
        newest = f"WHERE folded = ? ORDER BY sequence DESC LIMIT {MOST}"
        return [record for kind in KINDS for record in reversed(self._read(kind, newest, (folded,)))]

    def audit(self, query: AuditQuery, limit: int) -> list[AuditRecord]:
        """Return the newest records of the audit that fit `query`, the newest first. Raises sqlite3.Error.

        Reads and releases the file in slices, so that the traffic does not wait for a reader of many records.
        """
        found: list[AuditRecord] = []
        start = self._audit_before(query.before)
        older = f"FROM audit WHERE sequence < ? ORDER BY sequence DESC LIMIT {_AUDIT_AT_ONCE}"
        while len(found) < limit:
            rows = self._rows(f"SELECT sequence, {COLUMNS[AuditRecord]} {older}", (start,))
            for record in _records(AuditRecord, [row[1:] for row in rows]):
                assert isinstance(record, AuditRecord)
                if query.is_over(record):
                    return found[:limit]
                if query.fits(record):
                    found.append(record)
            if len(rows) < _AUDIT_AT_ONCE:
                break
            start = rows[-1][0]
        return found[:limit]

    def transactions(self, query: TransactionQuery, limit: int) -> TransactionPage:
        """Return the transactions that fit `query`, the one that was written last first. Raises sqlite3.Error.

        Reads and releases the file in slices, and looks through some thousand rows at most, so that the traffic does
        not wait for a reader of many records. The next page goes on from there.
        """
        found: list[tuple[int, TransactionRecord]] = []
        start = _HIGHEST if query.before is None else query.before
        folded = query.folded
        which, values = ("", ()) if folded is None else ("folded = ? AND ", (folded,))
        if query.state == "open":  # in the words of the index of the open ones
            which += "state = 'open' AND "
        slice_ = f"FROM transactions WHERE {which}sequence < ? ORDER BY sequence DESC LIMIT {_TRANSACTIONS_AT_ONCE}"
        for _ in range(_TRANSACTION_SLICES):
            rows = self._rows(f"SELECT sequence, {COLUMNS[TransactionRecord]} {slice_}", (*values, start))
            for row in rows:
                for record in _records(TransactionRecord, [row[1:]]):
                    assert isinstance(record, TransactionRecord)
                    if query.fits(record):
                        found.append((row[0], record))
            if len(found) > limit:
                return TransactionPage(records=[one for _, one in found[:limit]], next=found[limit - 1][0])
            if len(rows) < _TRANSACTIONS_AT_ONCE:
                return TransactionPage(records=[one for _, one in found])
            start = rows[-1][0]
        return TransactionPage(records=[one for _, one in found], next=start)

    def _audit_before(self, number: int | None) -> int:
        """Return a sequence number that is higher than those of all records with an id below `number`."""
        if number is None:
            return _HIGHEST
        known = self._rows("SELECT sequence FROM audit WHERE folded = ? AND id = ?", (EVERY, str(number)))
        if not known:  # it was deleted, or was never written
            select = "SELECT coalesce(max(sequence), 0) + 1 FROM audit WHERE CAST(id AS INTEGER) < ?"
            known = self._rows(select, (number,))
        return int(known[0][0]) if known else 0

    def rows_of(self, kind: Kind) -> Iterator[tuple[tuple[Any, ...], Record | None]]:
        """Yield each row of a kind, the oldest first, with its record; None for a row that is no record of ours.

        Raises sqlite3.Error.
        """
        for row in self._rows(f"{SELECT[kind]} ORDER BY sequence", ()):
            try:
                yield row, record_of(kind, row)
            except (ValueError, TypeError):
                yield row, None

    def _read(self, kind: Kind, which: str, values: tuple[str, ...]) -> list[Record]:
        return list(_records(kind, self._rows(f"{SELECT[kind]} {which}", values)))

    def _rows(self, statement: str, values: tuple[str | int, ...]) -> list[tuple[Any, ...]]:
        with self._reading:
            if self._reader is None:
                return []
            try:
                return self._reader.execute(statement, values).fetchall()
            except sqlite3.Error as error:
                self._note(error)
                raise


def copy_of(path: Path, to: Path) -> None:
    """Copy the store at `path`, which another process may have open, to the file `to`.

    Raises:
        Unusable: The file at `path` is no store of ocpp-bridge.
        OSError: `to` cannot be written.
        sqlite3.Error: The store cannot be read, or the copy cannot be written.
    """
    wal = files.beside(path, "-wal")
    while True:
        nobody_writes = not wal.exists()
        with closing(_opened_to_read(path)) as source:
            if schema.version_of(source) == 0:
                raise UnusableStore("there is nothing in it")
            files.copy(source, to)
        if nobody_writes and wal.exists():
            continue  # a bridge was started meanwhile, so the copy may hold only a part of a transaction
        return


def version_at(path: Path) -> int:
    """Return the version of the tables at `path`. Raises Unusable, NewerSchema or sqlite3.Error as `connect` does."""
    with closing(_opened_to_read(path)) as connection:
        return schema.version_of(connection)


def _records(kind: Kind, rows: Iterable[tuple[object, ...]]) -> Iterator[Record]:
    for row in rows:
        try:
            yield record_of(kind, row)
        except (ValueError, TypeError) as error:
            _log.warning("a row of %s is not one of ours, it is passed over: %s", kind.TABLE, error)


def _rescued_from(path: Path) -> Iterator[Record]:
    """Yield the readable rows of a corrupt file: of each table, from both ends to the first unreadable row."""
    for kind in KINDS:
        found: dict[str, list[Record]] = {"ASC": [], "DESC": []}
        for order, records in found.items():
            with suppress(sqlite3.Error, UnusableStore), closing(_opened_to_read(path)) as connection:
                for record in _records(kind, connection.execute(f"{SELECT[kind]} ORDER BY sequence {order}")):
                    records.append(record)
        yield from found["ASC"]
        yield from reversed(found["DESC"])


def _check(connection: sqlite3.Connection) -> None:
    """Raise sqlite3.DatabaseError if a check of at most two seconds finds the file corrupt."""
    deadline = time.monotonic() + _CHECKING
    connection.set_progress_handler(lambda: time.monotonic() > deadline, 10_000)
    try:
        (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorcode", 0) != sqlite3.SQLITE_INTERRUPT:
            raise
        return
    finally:
        connection.set_progress_handler(None, 0)
    if found != "ok":
        raise _corrupt(found)


def _corrupt(found: str) -> sqlite3.DatabaseError:
    error = sqlite3.DatabaseError(" ".join(str(found).split()))
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error


def _prune_old(connection: sqlite3.Connection, now: float) -> None:
    """Delete the oldest records by index, few enough that no Call waits. The next transactions delete more."""
    for kind in AGEING:
        assert issubclass(kind, AgeingRecord)
        old = f"SELECT sequence FROM {kind.TABLE} WHERE kept_at < ? ORDER BY kept_at LIMIT {_PRUNE_AT_ONCE}"  # noqa: S608
        connection.execute(f"DELETE FROM {kind.TABLE} WHERE sequence IN ({old})", (now - kind.KEPT_FOR,))  # noqa: S608


def _prune_audit(connection: sqlite3.Connection, now: float) -> None:
    """Delete the oldest records of the audit, few enough that no Call waits. `now` is in unix seconds."""
    old = f"SELECT sequence FROM audit WHERE at < ? ORDER BY sequence LIMIT {_PRUNE_AT_ONCE}"  # noqa: S608
    connection.execute(f"DELETE FROM audit WHERE sequence IN ({old})", (now - LONGEST_AUDIT,))  # noqa: S608


def _prune_many(connection: sqlite3.Connection, kind: Kind, folded: str) -> None:
    of = f"FROM {kind.TABLE} WHERE folded = :folded"
    newest_too_many = f"SELECT sequence {of} ORDER BY sequence DESC LIMIT 1 OFFSET {MOST}"
    connection.execute(f"DELETE {of} AND sequence <= ({newest_too_many})", {"folded": folded})


def _opened(path: Path, *, patience: float) -> sqlite3.Connection:
    # isolation_level=None: this module begins and ends transactions. check_same_thread=False: threads take turns.
    return sqlite3.connect(path, timeout=patience, isolation_level=None, check_same_thread=False)


def _opened_to_read(path: Path) -> sqlite3.Connection:
    """Return a connection that writes neither to the file nor beside it. Raises sqlite3.Error."""
    # Without a WAL, no process has the file open for writing. To share a WAL, SQLite would create files beside the
    # store. The next bridge may run as another user and could not write those files.
    mode = "mode=ro" if files.beside(path, "-wal").exists() else "mode=ro&immutable=1"
    connection = sqlite3.connect(
        f"{path.as_uri()}?{mode}", timeout=_WRITE_PATIENCE, isolation_level=None, check_same_thread=False, uri=True
    )
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


def is_locked(error: sqlite3.Error) -> bool:
    """Return True if another process has locked the file. That process may release the lock."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
