"""The one door to what survives a restart."""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

from bridge.store.database import Database
from bridge.store.kept import Kept
from bridge.store.records import EVERY, AuditRecord, ChargePointRecord, Kind, Memory, Record
from bridge.store.writer import Writer

_log = logging.getLogger("bridge.store")


class Store:
    """Keeps Records. `url` is `sqlite:///` and a path, or `memory:`. Raises ValueError for any other.

    Nothing here raises because of a disk: what cannot be written is kept in memory and tried again every `retry`
    seconds, and `trouble` says why. `clock` gives unix seconds.
    """

    def __init__(self, url: str, *, retry: float = 5.0, clock: Callable[[], float] = time.time) -> None:
        path = url.removeprefix("sqlite:///")
        if url != "memory:" and (path == url or not path.strip("/")):
            raise ValueError('expected "memory:" or "sqlite:///" and a path')
        self._clock = clock
        self._file = None if url == "memory:" else _File(path, retry, clock)
        self._memory = Kept()

    def open(self) -> None:
        """Make the folder and the file if need be, and begin to write."""
        if self._file is not None:
            self._file.writer.start()

    def close(self) -> None:
        """Write what was put, and leave the file to others. What is put from here on is lost."""
        if self._file is not None:
            self._file.writer.close()

    def charge_points(self) -> list[ChargePointRecord]:
        """Every Charge Point that is known of."""
        records = {record.identity.casefold(): record for record in self._of_kind(ChargePointRecord)}
        return [record for record in records.values() if isinstance(record, ChargePointRecord)]

    def memory_of(self, identity: str) -> Memory:
        """All that is kept of one Charge Point, including what was put a moment ago."""
        folded = identity.casefold()
        records = self._memory.of(folded) if self._file is None else self._file.of(folded)
        return Memory.of(records, now=self._clock())

    def audit(self) -> list[AuditRecord]:
        """What operators did, the newest last, at most 1000."""
        records = self._memory.of(EVERY) if self._file is None else self._file.of(EVERY)
        return [*{record.id: record for record in records if isinstance(record, AuditRecord)}.values()]

    def put(self, *records: Record) -> None:
        """Keep `records`: soon, together with others, without a word when it is done.

        They survive the end of this process then, and a power cut a little later.
        """
        if self._file is not None:
            self._file.writer.put(records)
            return
        for record in records:
            self._memory.put(record)

    def commit(self, *records: Record) -> Future[bool]:
        """Keep `records`, and say so when they are: True when they are on disk, and survive a power cut. False when the
        disk would not take them; they are kept in memory, and tried again.

        A disk that hangs keeps the Future waiting: the caller decides for how long. In `memory:` all is kept as well as
        was asked for, so True. The Future cannot be cancelled.
        """
        future: Future[bool] = Future()
        future.set_running_or_notify_cancel()
        if self._file is not None:
            self._file.writer.put(records, future)
            return future
        self.put(*records)
        future.set_result(True)
        return future

    @property
    def trouble(self) -> str | None:
        """Why it serves from memory, for a person; None if all is well."""
        return None if self._file is None else self._file.writer.trouble

    def _of_kind(self, kind: Kind) -> list[Record]:
        return self._memory.of_kind(kind) if self._file is None else self._file.charge_points()


class _File:
    """A database and what is not written to it yet, read as one."""

    def __init__(self, path: str, retry: float, clock: Callable[[], float]) -> None:
        # Whole and without links: the same file has the same lock, whatever way leads to it and wherever we go.
        self.database = Database(Path(os.path.realpath(path)))
        self.writer = Writer(self.database, retry=retry, clock=clock)

    def charge_points(self) -> list[Record]:
        # First what waits: what is written in between is in both, and in neither the other way round.
        waiting = self.writer.of_kind(ChargePointRecord)
        return self._read(self.database.charge_points) + waiting

    def of(self, folded: str) -> list[Record]:
        waiting = self.writer.of(folded)
        return self._read(lambda: self.database.of(folded)) + waiting

    def _read(self, read: Callable[[], list[Record]]) -> list[Record]:
        try:
            return read()
        except sqlite3.Error as error:
            _log.error("%s cannot be read: %s", self.database.path, error)
            self.writer.reconnect()
            return []
