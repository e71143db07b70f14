"""The messages that wait for observers, in SQLite: a file beside the store's, or memory. One row for each observer.

The drivers' tokens in the messages are needed to send them, so only the bridge's own user may read the file. A token
that an observer gets in place of the drivers' is in the row already.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

from bridge.core.observer_ids import ObserverId
from bridge.core.observer_queue import LONGEST, QueuedMessage
from bridge.observer_queues.queues import LaneName, MessageContent, MessageRow, StoredLane
from bridge.store.queue_file import QueueFile

_log = logging.getLogger("bridge.observers")
# A transactionId is a text: its sender sets no limit, and SQLite's integers have 64 bits. `entered` is the key of the
# StartTransaction or StopTransaction that entered last.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS message (
    number INTEGER PRIMARY KEY, folded TEXT NOT NULL, observer TEXT NOT NULL, identity TEXT NOT NULL,
    key TEXT NOT NULL, action TEXT NOT NULL, at REAL NOT NULL, connector TEXT, transaction_id TEXT,
    periodic INTEGER NOT NULL, request BLOB NOT NULL, answer BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS message_of ON message (folded);
CREATE TABLE IF NOT EXISTS named (
    sequence INTEGER PRIMARY KEY, folded TEXT NOT NULL, observer TEXT NOT NULL, number TEXT NOT NULL, named TEXT,
    ended INTEGER NOT NULL, at REAL NOT NULL,
    UNIQUE (folded, observer, number)
);
CREATE TABLE IF NOT EXISTS lane (
    folded TEXT NOT NULL, observer TEXT NOT NULL, identity TEXT NOT NULL, entered TEXT, sample_interval TEXT,
    PRIMARY KEY (folded, observer)
);
"""
_INSERT = "INSERT OR REPLACE INTO message VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_INSERT_ID = "INSERT OR REPLACE INTO named (folded, observer, number, named, ended, at) VALUES (?, ?, ?, ?, ?, ?)"
_ENTER = (
    "INSERT INTO lane (folded, observer, identity, entered) VALUES (?, ?, ?, ?)"
    " ON CONFLICT (folded, observer) DO UPDATE SET entered = excluded.entered"
)
_THIN = (
    "INSERT INTO lane (folded, observer, identity, sample_interval) VALUES (?, ?, ?, ?)"
    " ON CONFLICT (folded, observer) DO UPDATE SET sample_interval = excluded.sample_interval"
)
_TABLES = ("message", "named", "lane")
# Seconds for which the transactionIds of a transaction are kept that has not ended.
_LONGEST_OPEN = 90 * 24 * 3600.0


class IdRow(NamedTuple):
    """A transactionId of one observer, as a row. The columns are those of the table."""

    folded: str
    observer: str
    number: str
    named: str | None
    ended: int
    at: float


class ObserverDatabase(QueueFile[dict[LaneName, StoredLane]]):
    """The file at `path`, or memory if `path` is None. `connect` opens the file, and may be called again."""

    LOG = _log
    APPLICATION_ID = 0x4F43504F  # the text "OCPO"
    VERSION = 1
    SCHEMA = _SCHEMA
    LOST = "the observers do not get the messages in it"

    def found(self, connection: sqlite3.Connection) -> dict[LaneName, StoredLane]:
        """Return the content of the file that was just opened."""
        lanes: dict[LaneName, StoredLane] = {}
        select = "SELECT folded, observer, identity, entered, sample_interval FROM lane"
        for folded, observer, identity, entered, interval in connection.execute(select):
            wanted = None if interval is None else int(interval)
            lanes[folded, observer] = StoredLane(identity=identity, entered=entered, interval=wanted)
        select = (
            "SELECT folded, observer, identity, number, key, action, at, connector, transaction_id, periodic,"
            " length(request) + length(answer) FROM message ORDER BY number"
        )
        for folded, observer, identity, *rest in connection.execute(select):
            lane = lanes.setdefault((folded, observer), StoredLane(identity=identity))
            lane.messages.append(_queued(*rest))
        select = "SELECT folded, observer, number, named, ended FROM named ORDER BY sequence"
        for folded, observer, number, named, ended in connection.execute(select):
            lane = lanes.setdefault((folded, observer), StoredLane(identity=folded))
            told = None if named is None else int(named)
            lane.ids.append(ObserverId(number=int(number), named=told, ended=bool(ended)))
        return lanes

    def write(
        self,
        *,
        removed: Collection[str],
        forgotten: Collection[LaneName],
        messages: Iterable[MessageRow],
        done: Iterable[int],
        ids: Collection[IdRow],
        entered: Iterable[tuple[str, str, str, str]],
        intervals: Iterable[tuple[str, str, str, str]],
        durable: bool,
    ) -> None:
        """Write and delete in one transaction.

        Args:
            removed: The casefolded identities of Charge Points to delete, before anything is added.
            forgotten: The lanes to delete, before anything is added.
            messages: The messages to add.
            done: The numbers of the messages to delete.
            ids: The transactionIds to add.
            entered: Charge Point, observer, identity and key of the last StartTransaction or StopTransaction.
            intervals: Charge Point, observer, identity and seconds between the MeterValues that it wants.
            durable: Whether the content is on disk when this method returns, so that it survives a power failure.

        Raises:
            sqlite3.Error: Nothing is written.
            UnusableStore: The file is not open, or was removed or replaced.
        """
        with self.transaction(durable=durable) as connection:
            for table in _TABLES:
                connection.executemany(f"DELETE FROM {table} WHERE folded = ?", [(one,) for one in removed])  # noqa: S608
                delete = f"DELETE FROM {table} WHERE folded = ? AND observer = ?"  # noqa: S608
                connection.executemany(delete, forgotten)
            connection.executemany(_INSERT, messages)
            connection.executemany("DELETE FROM message WHERE number = ?", [(number,) for number in done])
            connection.executemany(_INSERT_ID, ids)
            connection.executemany(_ENTER, entered)
            connection.executemany(_THIN, intervals)
            if ids:
                now = max(row.at for row in ids)
                delete = "DELETE FROM named WHERE at < ? AND (ended OR at < ?)"
                connection.execute(delete, (now - LONGEST, now - _LONGEST_OPEN))

    def rows_of(self, name: LaneName) -> Iterator[MessageRow]:
        """Yield the messages of a lane, the oldest first. Raises as `row` does."""
        for row in self.rows("SELECT * FROM message WHERE folded = ? AND observer = ? ORDER BY number", *name):
            yield MessageRow(*row)

    def content(self, number: int) -> MessageContent | None:
        """Return the request and the answer of a message; None if the file lacks it. Raises as `row` does."""
        found = self.row("SELECT request, answer FROM message WHERE number = ?", number)
        return None if found is None else (found[0], found[1])


def _queued(
    number: int,
    key: str,
    action: str,
    at: float,
    connector: str | None,
    transaction: str | None,
    periodic: int,
    octets: int,
) -> QueuedMessage:
    return QueuedMessage(
        number=number,
        key=key,
        action=action,
        at=at,
        octets=octets,
        connector=None if connector is None else int(connector),
        transaction=None if transaction is None else int(transaction),
        periodic=bool(periodic),
    )
