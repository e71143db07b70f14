"""The records that every node has: the audit, moves, and the settings and passwords that operators gave.

They are read when the map says that there is something new. Any node may be asked to let a Charge Point in, or to show
the audit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from threading import RLock

from bridge.cluster.map_stream import MapStream
from bridge.cluster.nats_connection import ServersAway
from bridge.cluster.record_stream import RecordStream
from bridge.cluster.slot_records import COPIED, SlotRecords
from bridge.cluster.stream_forms import StoredMessage, record_of
from bridge.store.records import Key, Record, key_of

# Seconds until servers that have not answered are asked again.
_AGAIN = 0.1


class FollowedRecords:
    """Reads what any node has written for every node.

    Args:
        stream: The records in the shared stream.
        map_stream: The map of the cluster.
        lock: Protects `part`.
        writing: Says whether a record is being written.
        news: Called with the records that were read.
    """

    def __init__(
        self,
        stream: RecordStream,
        map_stream: MapStream,
        lock: RLock,
        writing: Callable[[Key], bool],
        news: Callable[[Sequence[Record]], object],
    ) -> None:
        self._stream, self._map, self._lock, self._writing, self._news = stream, map_stream, lock, writing, news
        self._read = 0  # the sequence number of the last message that was read
        self._has_begun = False  # whether what was there at first is read
        self._copies: dict[str, Key] = {}  # by subject
        self.part = SlotRecords(None)
        """The records, and those of them that this node has to write."""

    async def follow(self) -> None:
        """Read what is new, again and again."""
        while True:
            await self._map.news.wait()
            self._map.news.clear()
            try:
                await self.read()
            except ServersAway:
                self._map.news.set()
                await asyncio.sleep(_AGAIN)

    async def read(self) -> None:
        """Read what is new. What is there at first is no news. Raises ServersAway."""
        if not self._read:
            messages, self._read = await self._stream.load_everyone()
            if (records := self._take_all(messages)) and self._has_begun:
                self._news(records)
        self._has_begun = True
        async for page in self._stream.follow(self._read, self._map.news_for_everyone):
            if records := self._take_all(page):
                self._news(records)
            self._read = page[-1].sequence

    def _take_all(self, messages: Sequence[StoredMessage]) -> list[Record]:
        with self._lock:
            return [record for message in messages if (record := self._take(message)) is not None]

    def _take(self, message: StoredMessage) -> Record | None:
        record = record_of(message.subject, message.body)
        if record is None:
            if not message.body and (key := self._copies.pop(message.subject, None)) is not None:
                self.part.records.discard(key)
            return None
        key = key_of(record)
        if self.part.waits(key) or self._writing(key):
            return None  # this node has a later one
        self.part.records.put(record)
        if isinstance(record, COPIED):
            self._copies[message.subject] = key
        return record
