"""The interface to the state that survives a restart."""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import TypeVar

from bridge.store import files
from bridge.store.audit import AuditQuery, newest
from bridge.store.database import Database
from bridge.store.kept import KeptRecords
from bridge.store.record_store import RecordStore
from bridge.store.records import (
    EVERY,
    AuditRecord,
    Kind,
    Record,
    TransactionRecord,
    key_of,
    latest,
)
from bridge.store.schema import UnusableStore
from bridge.store.thread import described
from bridge.store.transactions import TransactionPage, TransactionQuery
from bridge.store.writer import RecordWriter

_log = logging.getLogger("bridge.store")
_R = TypeVar("_R", bound=Record)


class Store(RecordStore):
    """Stores Records in a file or in memory, and returns them.

    After `open`, no method raises because of a disk. Records that cannot be written are kept in memory, and written
    again every `retry` seconds. `trouble` gives the reason.

    Args:
        url: `sqlite:///` and a path, or `memory:`.
        retry: The time between two attempts to write, in seconds, while the disk fails.
        clock: Returns seconds that no change of the system's clock affects.
        on_found: Called by another thread after a file that was absent at the start has appeared and was read. The file
            may hold more than was known.

    Raises:
        ValueError: `url` has neither form.
    """

    def __init__(
        self,
        url: str,
        *,
        retry: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
        on_found: Callable[[], object] = lambda: None,
    ) -> None:
        path = path_of(url)
        self._clock = clock
        self._file = None if path is None else _File(path, retry, clock, on_found)
        self._memory = KeptRecords()
        self._began = clock()

    def open(self) -> None:
        """Create the folder and the file if necessary, and begin to write. May be called again after it has raised.

        An existing file is read, or this method raises: the bridge never serves from memory instead of an existing
        file. A file that does not exist and cannot be created is only `trouble`.

        Raises:
            Locked: Another process has the file, and may release it.
            NewerSchema: A later ocpp-bridge has written the file.
            Unusable: The file cannot be read.
        """
        if self._file is not None:
            self._file.open()

    def close(self) -> None:
        """Write the records that were put, and release the file. Records that are put later are lost."""
        if self._file is not None:
            self._file.writer.close()

    def audit(self, query: AuditQuery = AuditQuery(), limit: int = 1000) -> list[AuditRecord]:  # noqa: B008 (frozen)
        """Return the newest actions of operators, as RecordStore.audit does."""
        if self._file is None:
            return super().audit(query, limit)
        # The waiting records are read first. A record that is written in between is then found twice, not missed.
        waiting, written = self._file.writer.of(EVERY), self._file.audit(query, limit)
        fitting = [record for record in waiting if isinstance(record, AuditRecord) and query.fits(record)]
        return newest([*written, *fitting], limit)

    def transactions(self, query: TransactionQuery = TransactionQuery(), limit: int = 100) -> TransactionPage:  # noqa: B008 (frozen)
        """Return the transactions that fit `query`, as RecordStore.transactions does."""
        if self._file is None:
            return super().transactions(query, limit)
        # The waiting records are read first. A record that is written in between is then found twice, not missed.
        waiting = latest(self._file.writer.of_kind(TransactionRecord))
        page = self._file.transactions(query, limit)
        fresh = (
            [] if query.before is not None else [one for one in waiting.values() if isinstance(one, TransactionRecord)]
        )
        written = [record for record in page.records if key_of(record) not in waiting]
        return TransactionPage(records=[*filter(query.fits, reversed(fresh)), *written], next=page.next)

    def put(self, *records: Record) -> None:
        """Store `records` soon, as RecordStore.put does."""
        if self._file is not None:
            self._file.writer.put(records)
            return
        for record in records:
            self._memory.put(record)

    def commit(self, *records: Record) -> Future[bool]:
        """Store `records` and return a Future of the outcome, as RecordStore.commit does.

        In `memory:` the Future is True, because nothing better was asked for.
        """
        future: Future[bool] = Future()
        future.set_running_or_notify_cancel()
        if self._file is not None:
            self._file.writer.put(records, future)
            return future
        self.put(*records)
        future.set_result(True)
        return future

    def remove(self, identity: str) -> Future[bool]:
        """Delete the records of a Charge Point and return a Future of the outcome, as RecordStore.remove does."""
        future: Future[bool] = Future()
        future.set_running_or_notify_cancel()
        if self._file is not None:
            self._file.writer.remove(identity.casefold(), future)
            return future
        self._memory.remove(identity.casefold())
        future.set_result(True)
        return future

    def overdue(self, waited: float) -> None:
        """Report that a caller has given up after `waited` seconds, as RecordStore.overdue does."""
        if self._file is not None:
            self._file.writer.overdue(waited)

    @property
    def running_time(self) -> float:
        """Return the seconds that bridges have run on this store, including this one. Records age by these seconds."""
        return self._clock() - self._began if self._file is None else self._file.database.running_time

    @property
    def trouble(self) -> str | None:
        """Return the reason why the store works from memory, as a text; None without trouble."""
        return None if self._file is None else self._file.writer.trouble

    def _of(self, folded: str) -> list[Record]:
        return self._memory.of(folded) if self._file is None else self._file.of(folded)

    def _of_kind(self, kind: Kind) -> list[Record]:
        return self._memory.of_kind(kind) if self._file is None else self._file.of_kind(kind)


def path_of(url: str) -> Path | None:
    """Return the path of the file in `store.url`, or None for `memory:`. Raises ValueError for any other form."""
    path = url.removeprefix("sqlite:///")
    if url == "memory:":
        return None
    if path == url or not path.strip("/"):
        raise ValueError('expected "memory:" or "sqlite:///" and a path')
    # The real path without links: every path to the same file must have the same lock, from every working directory.
    return Path(os.path.realpath(path))


class _File:
    """A database and the records that are not written to it yet, read as one."""

    def __init__(self, path: Path, retry: float, clock: Callable[[], float], on_found: Callable[[], object]) -> None:
        self.database = Database(path, clock)
        self.writer = RecordWriter(self.database, retry=retry, on_found=on_found)

    def open(self) -> None:
        """Open the database as Store.open does."""
        path = self.database.path
        failure: Exception | None = None
        try:
            try:
                self.database.connect()
            except (OSError, sqlite3.Error) as error:
                if files.may_exist(path):
                    self._open_to_read(error)
                failure = error
        except UnusableStore as error:
            self.database.close()
            error.path = path
            raise
        self.writer.start(failure)

    def _open_to_read(self, failure: OSError | sqlite3.Error) -> None:
        """Open an existing file that cannot be written. Raises Unusable if it cannot be read either."""
        if self.database.corrupt is None:
            try:
                self.database.connect_to_read()
            except (OSError, sqlite3.Error) as error:
                raise UnusableStore(f"it cannot be read ({described(error)})") from failure
            except UnusableStore as error:
                error.reason = f"{error.reason}: {described(failure)}"
                raise
        else:
            copies = sorted(path.name for path in self.database.path.parent.glob(f"{self.database.path.name}.bak-*"))
            hint = f" ({', '.join(copies)} beside it)" if copies else ""
            text = f"it is corrupt ({self.database.corrupt}): put a copy of it in its place{hint}, or move it away"
            raise UnusableStore(
                f"{text} to begin without what it holds: moves, passwords, callback addresses"
            ) from failure

    def of_kind(self, kind: Kind) -> list[Record]:
        # The waiting records are read first. A record that is written in between is then found twice, not missed.
        waiting, removed = self.writer.of_kind(kind), self.writer.removed()
        return self._without(removed, self._read(lambda: self.database.of_kind(kind))) + waiting

    def of(self, folded: str) -> list[Record]:
        waiting, removed = self.writer.of(folded), self.writer.removed()
        return self._without(removed, self._read(lambda: self.database.of(folded))) + waiting

    def audit(self, query: AuditQuery, limit: int) -> list[AuditRecord]:
        return self._read(lambda: self.database.audit(query, limit))

    def transactions(self, query: TransactionQuery, limit: int) -> TransactionPage:
        removed = self.writer.removed()
        try:
            page = self.database.transactions(query, limit)
        except sqlite3.Error as error:
            self._unreadable(error)
            return TransactionPage(records=[])
        kept = [record for record in page.records if record.identity.casefold() not in removed]
        return TransactionPage(records=kept, next=page.next)

    def _without(self, removed: set[str], records: list[Record]) -> list[Record]:
        if not removed:
            return records
        return [record for record in records if record.STAYS or record.identity.casefold() not in removed]

    def _read(self, read: Callable[[], list[_R]]) -> list[_R]:
        try:
            return read()
        except sqlite3.Error as error:
            self._unreadable(error)
            return []

    def _unreadable(self, error: sqlite3.Error) -> None:
        _log.error("%s cannot be read: %s", self.database.path, error)
        self.writer.reconnect()
