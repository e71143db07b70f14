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
from typing import Any, TypeVar

from msgspec import structs

from bridge.net.tasks import Threads
from bridge.recorder import reading
from bridge.recorder.database import Bounds, MessageDatabase
from bridge.recorder.messages import CallRecord, Message, MessageFilter, MessageId, Page, Recorded, RecordedPage
from bridge.recorder.rows import RecordedFact
from bridge.recorder.writer import MessageWriter
from bridge.store.files import database_beside
from bridge.watching.facts import Fact

_log = logging.getLogger("bridge.recorder")
# Queries at once.
_QUERIES = 2
# A search in the content of messages looks at so many at once, at so many slices, and for so many seconds; then whoever
# searches asks again. It rests for some seconds between two slices.
_SEARCH_SLICE, _SEARCH_SLICES, _SEARCH_TIME, _SEARCH_REST = 100, 100, 0.5, 0.001

# A recorder in memory may have a tenth of what a file may have.
_OF_MEMORY = 10


_M = TypeVar("_M", Message, Recorded, CallRecord)
# Rows of the database, the cursor of the next page, and the time to which a search has come.
_Found = tuple[list[tuple[Any, ...]], str | None, str | None]


class Recorder:
    """Records what it is told from `open` to `close`. `url` is the store's: of a file `X.db`, `X.messages.db` is beside
    it; `memory:` records in memory. Bounded by messages of a Charge Point, by seconds, and by octets in all. `node` is
    the name of this process, if there are several."""

    def __init__(
        self,
        url: str,
        *,
        messages_per_charge_point: int = 1000,
        max_age: float = 7 * 86400,
        mask_id_tags: bool = True,
        max_bytes: int = 1_000_000_000,
        clock: Callable[[], float] = time.time,
        node: str = "",
    ) -> None:
        self._node = node
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
                    self.on_message(self._named(reading.of_fact(number, at, fact, id_tags=self._id_tags)))

    # Reading, from the event loop.

    async def flush(self) -> None:
        """Wait until all messages so far can be read, or cannot be written."""
        await asyncio.wrap_future(self._writer.flush())

    async def messages(
        self,
        wanted: MessageFilter = MessageFilter(),  # noqa: B008 (frozen)
        *,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page:
        """Return a page of messages, the newest first, of what was written. Raises ValueError for a cursor that is
        none.

        Args:
            wanted: The filter.
            limit: The most items of the page.
            cursor: `next` of the page before, None for the first page.
        """
        before = None if cursor is None else int(cursor)
        rows, following, searched = await self._threads.run(lambda: self._found(wanted, before, limit))
        return Page(items=[self._named(reading.message(row)) for row in rows], next=following, searched_to=searched)

    async def recorded(self, wanted: MessageFilter, *, limit: int, cursor: str | None = None) -> RecordedPage:
        """Return a page of whole messages, as `messages` does.

        Args:
            wanted: The filter.
            limit: The most items of the page.
            cursor: `next` of the page before, None for the first page.
        """

        def work() -> RecordedPage:
            rows, following, _ = self._found(wanted, None if cursor is None else int(cursor), limit)
            return RecordedPage(items=[self._named(reading.recorded(row)) for row in rows], next=following)

        return await self._threads.run(work)

    async def calls(self, wanted: MessageFilter, limit: int) -> list[CallRecord]:
        """Return the newest Calls, the newest first, with their models as plain data.

        Args:
            wanted: The filter.
            limit: The most Calls.
        """
        return await self._threads.run(
            lambda: [self._named(reading.call(row)) for row in self._found(wanted, None, limit)[0]]
        )

    async def message(self, number: MessageId) -> Recorded | None:
        """The one with this id, if it is still there."""
        return await self._threads.run(lambda: self._whole(int(number)))

    def _found(self, wanted: MessageFilter, before: int | None, limit: int) -> _Found:
        if reading.looks_inside(wanted):
            return self._searched(wanted, before, limit)
        rows = self._read(lambda: self._database.listed(*reading.condition(wanted, before), limit + 1))
        return rows[:limit], str(rows[limit - 1][0]) if len(rows) > limit else None, None

    def _searched(self, wanted: MessageFilter, before: int | None, limit: int) -> _Found:
        """Look into messages, some at a time, so that whoever writes or reads does not wait; and not for long."""
        found: list[tuple[Any, ...]] = []
        deadline = time.monotonic() + _SEARCH_TIME
        for _ in range(_SEARCH_SLICES):
            where, values = reading.condition(wanted, before)
            rows = self._read(lambda where=where, values=values: self._database.listed(where, values, _SEARCH_SLICE))  # type: ignore[misc]
            for row in rows:
                if reading.fits(row, wanted):
                    found.append(row)
            if len(found) > limit:
                return found[:limit], str(found[limit - 1][0]), reading.when(found[limit - 1])
            if len(rows) < _SEARCH_SLICE:
                return found, None, None
            before = rows[-1][0]
            if time.monotonic() > deadline:
                break
            time.sleep(_SEARCH_REST)
        return found, str(before), reading.when(rows[-1])

    def _whole(self, number: int) -> Recorded | None:
        rows = self._read(lambda: self._database.whole(number))
        return self._named(reading.recorded(rows[0])) if rows else None

    def _named(self, message: _M) -> _M:
        """Return a message with an id that no other process gives."""
        return structs.replace(message, id=f"{self._node}.{message.id}") if self._node else message

    def _read(self, read: Callable[[], list[tuple[Any, ...]]]) -> list[tuple[Any, ...]]:
        try:
            return read()
        except sqlite3.Error as error:
            _log.error("%s cannot be read: %s", self._path, error)
            return []
