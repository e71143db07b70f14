"""The messages in SQLite: one file beside the store's, or memory. Bounded by count, by age, and as a whole.

One thread writes and others of the process read, all on one connection; no other process has the file while it is
open. Its loss does no harm, so that no write waits for the disk (synchronous = OFF), and the journal is in memory. The
end of the process loses nothing. A kill or a power cut in the middle of a write may break the file: a file that was not
closed is checked when it is opened, and replaced if it is broken.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from msgspec import Struct

from bridge.recorder import pruning
from bridge.recorder.rows import Row
from bridge.store.files import Identity, identity_of, make_private
from bridge.store.schema import UnusableStore

_VERSION = 2
# A file that another version of the bridge has made is not read as if it were ours.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS messages (
    id INTEGER PRIMARY KEY, folded TEXT NOT NULL, at REAL NOT NULL,
    action TEXT NOT NULL, outcome TEXT NOT NULL, sender TEXT NOT NULL, told BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS messages_of ON messages (folded);
"""
_COLUMNS = len(Row.__args__)  # type: ignore[attr-defined]
_LISTED = "id, at, action, outcome, sender, told"
# Old messages are removed after so many seconds, or rows, and in parts: no transaction shall be long, but more must be
# removed than is written.
_EVERY, _EVERY_ROWS, _PART = 10.0, 5000, 500
# One part of this many of the whole is written at once, and as much room is made beyond the need, because a look for
# room takes a while.
_PARTS = 20
# The octets that are removed at once from a file that is too large. SQLite holds them in memory until then.
_AT_MOST_OUT = 64_000_000
_INSERT = f"INSERT OR REPLACE INTO messages VALUES ({', '.join('?' * _COLUMNS)})"  # noqa: S608
_OLDEST = "SELECT id, at FROM messages ORDER BY id LIMIT ?"
_PRUNE_OLD = f"DELETE FROM messages WHERE id IN (SELECT id FROM ({_OLDEST}) WHERE at < ?)"  # noqa: S608
_PRUNE_MANY = """
DELETE FROM messages WHERE folded = :folded AND id <= (
    SELECT id FROM messages WHERE folded = :folded ORDER BY id DESC LIMIT 1 OFFSET :most
)
"""
# Seconds to wait for whoever else has the file locked; that checking a file may take.
_PATIENCE, _CHECKING = 5.0, 2.0
# Stands in the file while it is open.
_OPEN = 1


class _Outdated(Exception):
    """The file is of an earlier version of the bridge, or may be broken."""


class Bounds(Struct, frozen=True, kw_only=True):
    """The limits: messages of a Charge Point, seconds, octets of all."""

    messages: int
    age: float
    octets: int


class MessageDatabase:
    """The file at `path`, None: memory. Not connected until `connect`; may be connected anew."""

    def __init__(self, path: Path | None, bounds: Bounds) -> None:
        self._path = path
        self._bounds = bounds
        self._connection: sqlite3.Connection | None = None
        self._using = threading.Lock()
        self._written: dict[str, int] = {}
        self._looked, self._rows = 0.0, 0  # the last look for old messages, and the rows since
        self.dropped = 0
        """The messages that were removed because all together were too large, or that were too large themselves."""
        self._file: Identity | None = None

    # Connections.

    def connect(self) -> int:
        """Open the file, made if need be; gives the last id in it, 0 if there is none. What is corrupt, or of an
        earlier version, is put aside, in the place of what was put aside before. Raises OSError, sqlite3.Error or
        Unusable."""
        self.close()
        if self._path is None:
            return self._connect(":memory:")
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if self._path.exists() and not self._path.is_file():
            raise UnusableStore("it is not a file")
        try:
            last = self._connect(self._path)
        except (sqlite3.DatabaseError, _Outdated) as error:
            self.close()
            if not _is_corrupt(error):
                raise
            self.put_aside()
            last = self._connect(self._path)
        self._file = identity_of(self._path)
        return last

    def _connect(self, path: Path | str) -> int:
        connection = _opened(path)
        try:
            last = _prepared(connection)
        except BaseException:
            connection.close()
            raise
        with self._using:
            self._connection = connection
        return last

    def close(self) -> None:
        """Leave the file to others. What is read from here on is nothing."""
        with self._using:
            connection, self._connection = self._connection, None
            if connection is None:
                return
            with suppress(sqlite3.Error):
                connection.execute("PRAGMA application_id = 0")
            with suppress(sqlite3.Error):
                connection.close()

    def put_aside(self) -> None:
        """The file is corrupt: it makes room for a fresh one."""
        self.close()
        assert self._path is not None
        # An earlier version had these files.
        for suffix in ("-wal", "-shm"):
            Path(f"{self._path}{suffix}").unlink(missing_ok=True)
        with suppress(FileNotFoundError):
            self._path.replace(f"{self._path}.corrupt")

    def fit(self) -> None:
        """Bring the file within what it may have: an earlier bridge may have been allowed more. It is written anew
        beside itself, since SQLite gives nothing back of what it has. Raises OSError, sqlite3.Error or Unusable; then
        all is as it was, but for messages that had to go."""
        most = self._bounds.octets
        if self._path is None or self._path.stat().st_size <= most:
            return
        while self._drop(most - most // _PARTS):
            pass
        part = Path(f"{self._path}.part")
        part.unlink(missing_ok=True)
        part.touch(mode=0o600)
        try:
            with self._using:
                if self._connection is None:
                    raise UnusableStore("it is not open")
                self._connection.execute("PRAGMA application_id = 0")  # the new file is one that was closed
                try:
                    self._connection.execute("VACUUM INTO ?", (str(part),))
                finally:
                    self._connection.execute(f"PRAGMA application_id = {_OPEN}")
            self.close()
            part.replace(self._path)
        finally:
            part.unlink(missing_ok=True)
        self.connect()

    def _drop(self, most: int) -> bool:
        """Take out a part of what is more than `most` octets. Whether there is more to take out."""
        with self._using:
            if self._connection is None:
                raise UnusableStore("it is not open")
            surplus = _octets(self._connection) - most
            if surplus <= 0:
                return False
            self._connection.execute("BEGIN IMMEDIATE")
            dropped = pruning.make_room(self._connection, min(surplus, max(most // _PARTS, _AT_MOST_OUT)))
            self._connection.execute("COMMIT")
            self.dropped += dropped
            return dropped > 0

    # Writing.

    def write(self, rows: Sequence[Row], now: float) -> None:
        """Write `rows`, those with a known id in the place of what was there, and take out a part of what is too old or
        too much. Raises sqlite3.Error or Unusable, and then nothing is written."""
        try:
            with self._using:
                self._written_in_one(rows, now)
        except sqlite3.Error as error:
            if _is_corrupt(error) and self._path is not None:
                self.put_aside()
            raise
        if self._path is not None and identity_of(self._path) != self._file:
            raise UnusableStore("it was removed, or another took its place")

    def _written_in_one(self, rows: Sequence[Row], now: float) -> None:
        if self._connection is None:
            raise UnusableStore("it is not open")
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            fitting = [row for row in rows if pruning.size_of(len(row[-1])) <= self._bounds.octets // _PARTS]
            self.dropped += len(rows) - len(fitting)
            for some in _in_parts(fitting, self._bounds.octets // _PARTS):
                self._make_room(self._connection, some)
                self._connection.executemany(_INSERT, some)
            self._prune(self._connection, rows, now)
            self._connection.execute("COMMIT")
        except sqlite3.Error:
            with suppress(sqlite3.Error):
                self._connection.rollback()
            raise

    def _make_room(self, writer: sqlite3.Connection, rows: Sequence[Row]) -> None:
        """For `rows`, before they are written: the file never grows past what it may have."""
        most = self._bounds.octets
        surplus = _octets(writer) + sum([pruning.size_of(len(row[-1])) for row in rows]) - most
        if surplus > 0:
            self.dropped += pruning.make_room(writer, surplus + most // _PARTS)

    def _prune(self, writer: sqlite3.Connection, rows: Sequence[Row], now: float) -> None:
        for folded in self._due(rows):
            writer.execute(_PRUNE_MANY, {"folded": folded, "most": self._bounds.messages})
        self._rows += len(rows)
        if abs(now - self._looked) < min(_EVERY, self._bounds.age / 10) and self._rows < _EVERY_ROWS:
            return
        part = _PART + 2 * self._rows
        self._looked, self._rows = now, 0
        writer.execute(_PRUNE_OLD, (part, now - self._bounds.age))

    def _due(self, rows: Sequence[Row]) -> Iterator[str]:
        """The Charge Points whose messages are to be counted: at the first, and then every so often."""
        every = max(1, min(50, self._bounds.messages // 20))
        if len(self._written) > 100_000:
            self._written.clear()
        for folded, written in Counter(row[1] for row in rows).items():
            before = self._written.get(folded, 0)
            self._written[folded] = before + written
            if not before or before // every != (before + written) // every:
                yield folded

    # Reading, from any thread.

    def listed(self, where: str, values: Sequence[object], limit: int) -> list[tuple[Any, ...]]:
        """id, at, action, outcome, sender and Told of the newest messages. Raises sqlite3.Error."""
        return self._read(f"SELECT {_LISTED} FROM messages WHERE {where} ORDER BY id DESC LIMIT ?", [*values, limit])  # noqa: S608

    def whole(self, number: int) -> list[tuple[Any, ...]]:
        """Return the same of one message, in a list; an empty list if there is none. Raises sqlite3.Error."""
        return self._read(f"SELECT {_LISTED} FROM messages WHERE id = ?", [number])  # noqa: S608

    def _read(self, statement: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
        with self._using:
            return [] if self._connection is None else self._connection.execute(statement, values).fetchall()


def _in_parts(rows: Sequence[Row], most: int) -> Iterator[list[Row]]:
    """`rows` in their order, in parts of not much more than `most` octets."""
    part: list[Row] = []
    octets = 0
    for row in rows:
        part.append(row)
        octets += pruning.size_of(len(row[-1]))
        if octets >= most:
            yield part
            part, octets = [], 0
    if part:
        yield part


def _octets(writer: sqlite3.Connection) -> int:
    names = ("page_count", "freelist_count", "page_size")
    pages, free, size = (_pragma(writer, name) for name in names)
    return (pages - free) * size


def _prepared(connection: sqlite3.Connection) -> int:
    version = _pragma(connection, "user_version")
    if 0 < version < _VERSION:
        raise _Outdated
    if version > _VERSION:
        raise UnusableStore(f"it is of another version of ocpp-bridge ({version})")
    if _pragma(connection, "application_id") == _OPEN and not _is_sound(connection):
        raise _Outdated
    connection.execute(f"PRAGMA application_id = {_OPEN}")
    connection.executescript(_SCHEMA)
    connection.execute(f"PRAGMA user_version = {_VERSION}")
    return int(connection.execute("SELECT coalesce(max(id), 0) FROM messages").fetchone()[0])


def _is_sound(connection: sqlite3.Connection) -> bool:
    """Return whether the whole file can be read. False also if the check takes long."""
    deadline = time.monotonic() + _CHECKING
    connection.set_progress_handler(lambda: time.monotonic() > deadline, 10_000)
    try:
        return bool(connection.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok")
    except sqlite3.DatabaseError:
        return False
    finally:
        connection.set_progress_handler(None, 0)


def _opened(path: Path | str) -> sqlite3.Connection:
    if isinstance(path, Path):  # only its owner may read what drivers and operators said
        make_private(path)
    # Transactions are begun and ended by hand (isolation_level), by one thread at a time (check_same_thread).
    connection = sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False)
    # The process may write to the folder of its store, and to none where temporary files are. A message is some
    # kilobytes: in pages of the usual size much of it would be in chains of them.
    settings = ("temp_store = MEMORY", "page_size = 32768", "locking_mode = EXCLUSIVE", "journal_mode = MEMORY")
    try:
        for setting in (*settings, "synchronous = OFF"):
            connection.execute(f"PRAGMA {setting}")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


def _is_corrupt(error: Exception) -> bool:
    """Return whether an error says that the file can never be read."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return isinstance(error, _Outdated) or code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
