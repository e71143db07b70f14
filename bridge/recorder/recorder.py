"""The recorder: a watcher that records messages, and the queries of what it has recorded.

On the path of a message it only puts a Fact into the queue of the Writer.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from bridge.net.tasks import Threads
from bridge.recorder import reading
from bridge.recorder.database import Bounds, MessageDatabase
from bridge.recorder.messages import Message, Page, Recorded
from bridge.recorder.reading import Query
from bridge.recorder.rows import RecordedFact
from bridge.recorder.writer import MessageWriter
from bridge.store.files import database_beside
from bridge.watching.facts import Fact

_log = logging.getLogger("bridge.recorder")
# Queries at once.
_QUERIES = 2

# A recorder in memory may have a tenth of what a file may have.
_OF_MEMORY = 10


class Recorder:
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
        path = database_beside(url, "messages")
        octets = max_bytes if path is not None else max_bytes // _OF_MEMORY
        bounds = Bounds(messages=messages_per_charge_point, age=max_age, octets=octets)
        self._path = path
        self._database = MessageDatabase(path, bounds)
        self._id_tags = mask_id_tags
        self._clock = clock
        self._writer = MessageWriter(self._database, path, id_tags=mask_id_tags, clock=clock)
        self._threads = Threads(_QUERIES, name="queries of recorded messages")
        self.on_message: Callable[[Message], None] | None = None
        """Called in the event loop when a message has ended or was refused, with the id that it will be read by. To be
        set only while somebody listens: making the Message costs something."""

    def open(self) -> None:
        """Start to record. If the file cannot be opened, the log says why and it is tried again."""
        self._writer.open()

    def close(self) -> None:
        """Write the rest of the queue and stop."""
        self._writer.close()

    @property
    def trouble(self) -> str | None:
        """The reason why nothing is recorded, for a person; None if all is well."""
        return self._writer.trouble

    @property
    def lost_messages(self) -> int:
        """The number of messages that there was no time for, or no disk."""
        return self._writer.lost + self._writer.unfit

    @property
    def dropped_messages(self) -> int:
        """The number of messages that were removed early because all together were too large."""
        return self._database.dropped

    @property
    def waiting(self) -> int:
        """The number of messages that are not written yet."""
        return self._writer.waiting

    # Facts.

    def see(self, fact: Fact) -> None:
        """Record a Fact if it has to do with messages."""
        if isinstance(fact, RecordedFact):
            number, at = self._writer.put(fact)
            if self.on_message is not None:
                with suppress(UnicodeEncodeError):  # it cannot be recorded either
                    self.on_message(reading.of_fact(number, at, fact, id_tags=self._id_tags))

    # Reading, from the event loop.

    async def flush(self) -> None:
        """Wait until all messages so far can be read, or cannot be written."""
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
        tenant: str | None = None,
    ) -> Page:
        """The newest first, of what was written; `identity` is the key of one Charge Point, `identity_glob` is on the
        identities of `tenant`, `since` (included) and `until` (not) are unix seconds. Raises ValueError for a cursor
        that is none."""
        query = Query(
            tenant=tenant,
            identity=identity,
            glob=identity_glob,
            action=action,
            outcome=outcome,
            sender=sender,
            since=since,
            until=until,
            before=None if cursor is None else int(cursor),
        )
        return await self._threads.run(lambda: self._page(query, limit))

    async def message(self, number: int) -> Recorded | None:
        """The one with this id, if it is still there."""
        return await self._threads.run(lambda: self._whole(number))

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
