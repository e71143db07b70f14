"""The events that are not delivered yet, in SQLite: a file beside the store's, or memory. One row for each receiver.

One thread writes and others of the process read, all on one connection; no other process has the file while it is open.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from msgspec import Struct

from bridge.outgoing_events.derivation import MOST_STARTS, TransactionStart
from bridge.outgoing_events.queue import WaitingEvent
from bridge.store.queue_file import QueueFile

_log = logging.getLogger("bridge.events")
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


class EventDatabase(QueueFile[StoredEvents]):
    """The file at `path`, or memory if `path` is None. `connect` opens the file, and may be called again."""

    LOG = _log
    APPLICATION_ID = 0x4F435045  # the text "OCPE"
    VERSION = 1
    SCHEMA = _SCHEMA
    LOST = "the events in it are not sent"

    def found(self, connection: sqlite3.Connection) -> StoredEvents:
        """Return the content of the file that was just opened."""
        return _content(connection)

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
        with self.transaction(durable=durable) as connection:
            connection.executemany(_INSERT, events)
            connection.executemany("DELETE FROM event WHERE number = ?", [(number,) for number in done])
            if rows := [_row_of(start) for start in starts]:
                connection.executemany(_INSERT_START, rows)
                connection.execute(_PRUNE_STARTS, (MOST_STARTS,))

    def content(self, number: int) -> tuple[str, bytes] | None:
        """Return the type and the JSON of an event; None if the file does not hold it. Raises as `row` does."""
        found = self.row("SELECT type, content FROM event WHERE number = ?", number)
        return None if found is None else (found[0], found[1])


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
