"""The one door to what was said: an Observer that records, and what is asked of it afterwards.

On the path of a message it only takes down what will be written, for the thread of the Writer.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bridge import explaining
from bridge.core.commands import Drop, Report
from bridge.errors import BridgeError, Why
from bridge.observing import Observer
from bridge.ocpp.actions import Party
from bridge.ocpp.losses import Loss
from bridge.ocpp.wire import End, Tap
from bridge.recorder import begun, joined, notes, reading
from bridge.recorder.database import Bounds, Database
from bridge.recorder.joined import Joined
from bridge.recorder.messages import Message, Page, Recorded
from bridge.recorder.notes import Cost, Ending, TurnedAway
from bridge.recorder.reading import Query
from bridge.recorder.writer import Writer

_log = logging.getLogger("bridge.recorder")

# Of what would lie in a file, this part may lie in memory.
_OF_MEMORY = 10


class Recorder(Observer):
    """Records what it is told from `open` to `close`. `url` is the store's: of a file `X.db`, `X.messages.db` is beside
    it; `memory:` records in memory. Bounded by messages of a Charge Point, by seconds, and by octets in all."""

    def __init__(
        self,
        url: str,
        *,
        messages_per_charge_point: int = 1000,
        max_age: float = 7 * 86400,
        mask_id_tags: bool = True,
        max_bytes: int = 1_000_000_000,
        clock: Callable[[], float] = time.time,
    ) -> None:
        path = path_beside(url)
        octets = max_bytes if path is not None else max_bytes // _OF_MEMORY
        bounds = Bounds(messages=messages_per_charge_point, age=max_age, octets=octets)
        self._path = path
        self._database = Database(path, bounds)
        self._id_tags = mask_id_tags
        self._clock = clock
        self._writer = Writer(self._database, path, id_tags=mask_id_tags, clock=clock)
        self._backlog = self._writer.backlog
        self.on_message: Callable[[Message], None] | None = None
        """Called in the event loop when a message has ended or was refused, with the id that it will be read by. To be
        set only while somebody listens: making the Message costs something."""

    def open(self) -> None:
        """Begin to record, or say why not; it is tried again then."""
        self._writer.open()

    def close(self) -> None:
        """Write what waits, and end."""
        self._writer.close()

    @property
    def trouble(self) -> str | None:
        """Why nothing is recorded, for a person; None if all is well."""
        return self._writer.trouble

    @property
    def lost_messages(self) -> int:
        """How many there was no time for, or no disk."""
        return self._writer.lost + self._backlog.lost

    @property
    def waiting(self) -> int:
        """How many observations are not written yet."""
        return self._writer.waiting

    # The Observer. What is put is done by the thread, in this order.

    def tap(self, identity: str, party: Party) -> Tap:
        end = End(identity, party is Party.CHARGE_POINT)
        return Tap(end, self._clock, self._backlog.append, self._backlog.look)

    def lost(self, identity: str, losses: Sequence[Loss]) -> None:
        if losses:
            self._backlog.put(Cost(self._clock(), identity, tuple(losses)))

    def exchanged(self, identity: str, report: Report) -> None:
        ending = Ending(self._writer.number(), self._clock(), identity, report)
        self._backlog.put(ending)
        if self.on_message is not None:
            self._tell(begun.of_end(notes.ended(ending)))

    def dropped(self, identity: str, drop: Drop) -> None:
        note = notes.dropped(self._writer.number(), self._clock(), identity, drop)
        self._backlog.put(note)
        if self.on_message is not None:
            self._tell(begun.of_drop(note))

    def refused(
        self,
        identity: str | None,
        peer: str | None,
        error: BridgeError,
        unique_id: str | None = None,
        by: Party | None = None,
        data: bytes = b"",
    ) -> None:
        why = explaining.of_refusal(error.why, error.description)
        self._turned_away(identity or "", by, unique_id or "", why, peer, data)

    def handshake_refused(self, identity: str | None, peer: str, status: int, reason: str, why: Why) -> None:
        text = explaining.of_refusal(why, f"the WebSocket was refused with HTTP {status}: {reason}")
        self._turned_away(identity or "", None, "", text, peer, b"")

    def _turned_away(
        self, identity: str, by: Party | None, unique_id: str, why: str, peer: str | None, data: bytes
    ) -> None:
        number, now = self._writer.number(), self._clock()
        note = TurnedAway(number, now, identity, by, unique_id, why, peer, data)
        self._backlog.put(note)
        if self.on_message is not None:
            self._tell(begun.of_refusal(note))

    def _tell(self, message: Joined) -> None:
        assert self.on_message is not None
        facts = (message.at, message.action, message.outcome, message.sender)
        self.on_message(reading.of_told(message.number, facts, joined.told(message, id_tags=self._id_tags)))

    # Reading, from the event loop.

    async def flush(self) -> None:
        """Until all that was observed so far can be read, if it can be written."""
        await asyncio.wrap_future(self._writer.flush())

    async def messages(
        self,
        identity_glob: str | None = None,
        action: str | None = None,
        outcome: str | None = None,
        sender: str | None = None,
        since: float | None = None,
        until: float | None = None,
        limit: int = 100,
        cursor: str | None = None,
        identity: str | None = None,
    ) -> Page:
        """The newest first, of what was written; `identity` is one Charge Point's, `since` (included) and `until` (not)
        are unix seconds. Raises ValueError for a cursor that is none."""
        query = Query(
            identity=identity,
            glob=identity_glob,
            action=action,
            outcome=outcome,
            sender=sender,
            since=since,
            until=until,
            before=None if cursor is None else int(cursor),
        )
        return await asyncio.to_thread(self._page, query, limit)

    async def message(self, number: int) -> Recorded | None:
        """The one with this id, if it is still there."""
        return await asyncio.to_thread(self._whole, number)

    def _page(self, query: Query, limit: int) -> Page:
        rows = self._read(lambda: self._database.listed(*query.where(), limit + 1))
        items = [reading.message(row) for row in rows[:limit]]
        return Page(items=items, next=str(items[-1].id) if len(rows) > limit else None)

    def _whole(self, number: int) -> Recorded | None:
        rows = self._read(lambda: self._database.whole(number))
        return reading.recorded(rows[0]) if rows else None

    def _read(self, read: Callable[[], list[tuple[Any, ...]]]) -> list[tuple[Any, ...]]:
        try:
            return read()
        except sqlite3.Error as error:
            _log.error("%s cannot be read: %s", self._path, error)
            return []


def path_beside(url: str) -> Path | None:
    """Where messages are recorded if the store is at `url`; None: in memory."""
    if url == "memory:":
        return None
    path = Path(url.removeprefix("sqlite:///"))
    return path.with_name(f"{path.stem}.messages{path.suffix or '.db'}")
