"""A SQLite file of what waits to be sent: opened, checked and put back, whatever the tables in it.

One thread writes and others of the process read, all on one connection; no other process has the file while it is open.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from bridge.store import files
from bridge.store.schema import UnusableStore

Content = TypeVar("Content")
# Seconds to wait for another process that has the file locked.
_PATIENCE = 1.0


class QueueFile(ABC, Generic[Content]):
    """The file at `path`, or memory if `path` is None. `connect` opens the file, and may be called again."""

    LOG: ClassVar[logging.Logger]
    # Distinguishes the file from another program's (https://www.sqlite.org/pragma.html#pragma_application_id).
    APPLICATION_ID: ClassVar[int]
    VERSION: ClassVar[int]
    SCHEMA: ClassVar[str]
    # What is lost with a corrupt file, for the log.
    LOST: ClassVar[str]

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._connection: sqlite3.Connection | None = None
        self._using = threading.Lock()
        self._file: files.Identity | None = None

    @abstractmethod
    def found(self, connection: sqlite3.Connection) -> Content:
        """Return the content of the file that was just opened."""

    def connect(self) -> Content:
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
            self.LOG.error("%s is corrupt (%s): it is now %s, and %s", self.path, error, aside, self.LOST)
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
        self.LOG.error("%s was removed or replaced while it was in use: it is restored", self.path)

    def _connect(self, path: Path | str) -> Content:
        # Transactions are begun and ended here (isolation_level), by one thread at a time (check_same_thread).
        connection = sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False)
        try:
            self._check(connection)
            for setting in ("locking_mode = EXCLUSIVE", "journal_mode = WAL", "temp_store = MEMORY"):
                connection.execute(f"PRAGMA {setting}")
            connection.executescript(self.SCHEMA)
            connection.execute(f"PRAGMA application_id = {self.APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {self.VERSION}")
            found = self.found(connection)
        except BaseException:
            connection.close()
            raise
        with self._using:
            self._connection = connection
        return found

    def close(self) -> None:
        """Close the file. Later reads and writes raise UnusableStore."""
        with self._using:
            connection, self._connection = self._connection, None
            if connection is not None:
                with suppress(sqlite3.Error):
                    connection.close()

    @contextmanager
    def transaction(self, *, durable: bool) -> Iterator[sqlite3.Connection]:
        """Write in one transaction, which is undone if the body raises.

        Args:
            durable: Whether the content is on disk afterwards, so that it survives a power failure.

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
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    self._connection.rollback()
                raise
        if self._is_gone():
            raise UnusableStore("it was removed, or another took its place")

    def row(self, select: str, *values: object) -> tuple[Any, ...] | None:
        """Return the first row of a query; None if there is none.

        Raises:
            sqlite3.Error: The file cannot be read at present.
            UnusableStore: The file is not open. It may have the row.
        """
        with self._using:
            if self._connection is None:
                raise UnusableStore("it is not open")
            found: tuple[Any, ...] | None = self._connection.execute(select, values).fetchone()
        return found

    def rows(self, select: str, *values: object) -> list[tuple[Any, ...]]:
        """Return all rows of a query. Raises as `row` does."""
        with self._using:
            if self._connection is None:
                raise UnusableStore("it is not open")
            found: list[tuple[Any, ...]] = self._connection.execute(select, values).fetchall()
        return found

    def _check(self, connection: sqlite3.Connection) -> None:
        """Raise UnusableStore for a file that must not be written, sqlite3.Error for one that cannot be read."""
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (empty,) = connection.execute("SELECT count(*) = 0 FROM sqlite_master").fetchone()
        if application != self.APPLICATION_ID and not (empty and application == 0 and version == 0):
            raise UnusableStore("it is another program's database")
        if version > self.VERSION:
            raise UnusableStore(f"a later ocpp-bridge wrote it (version {version})")
        (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            error = sqlite3.DatabaseError(" ".join(str(found).split()))
            error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise error


def _is_corrupt(error: sqlite3.Error) -> bool:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
