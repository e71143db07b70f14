"""The thread that writes the messages for observers, and deletes those that were delivered or dropped.

A message that is delivered before it was written is never written. While the disk fails, everything waits in memory,
and is written again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager

from bridge.core.observer_ids import ObserverId
from bridge.net.tasks import Threads
from bridge.observer_queues.database import IdRow, ObserverDatabase
from bridge.observer_queues.queues import LaneName, MessageContent, MessageRow, ObserverQueues, StoredLane
from bridge.store.thread import EXPECTED, WriterThread, described

_log = logging.getLogger("bridge.observers")
# Seconds until the next attempt after a failure of the disk.
_RETRY = 5.0
# Seconds after which a disk that does not answer counts as failed: nobody waits for it then.
_HANGS = 1.0


class _Batch:
    """The rows that one transaction writes, and the futures that are done after it."""

    def __init__(self) -> None:
        self.removed: set[str] = set()
        self.forgotten: set[LaneName] = set()
        self.messages: dict[int, MessageRow] = {}
        self.done: list[int] = []
        self.ids: dict[tuple[str, str, str], IdRow] = {}
        self.entered: dict[LaneName, tuple[str, str, str, str]] = {}
        self.intervals: dict[LaneName, tuple[str, str, str, str]] = {}
        self.flushes: list[Future[bool]] = []

    def __len__(self) -> int:
        rows = len(self.messages) + len(self.done) + len(self.ids)
        return rows + len(self.entered) + len(self.intervals) + len(self.removed) + len(self.forgotten)

    def delete(self, number: int) -> None:
        """Delete a message."""
        if self.messages.pop(number, None) is None:
            self.done.append(number)

    def forget(self, fits: Callable[[LaneName], bool]) -> None:
        """Drop the rows of the lanes that fit."""
        self.messages = {n: row for n, row in self.messages.items() if not fits((row.folded, row.observer))}
        self.ids = {key: row for key, row in self.ids.items() if not fits(key[:2])}
        self.entered = {name: row for name, row in self.entered.items() if not fits(name)}
        self.intervals = {name: row for name, row in self.intervals.items() if not fits(name)}

    def absorb(self, newer: _Batch) -> None:
        """Add everything that is in `newer`."""
        if newer.removed or newer.forgotten:
            self.forget(lambda name: name[0] in newer.removed or name in newer.forgotten)
            self.removed |= newer.removed
            self.forgotten |= newer.forgotten
        for number in newer.done:
            self.delete(number)
        self.messages |= newer.messages
        self.ids |= newer.ids
        self.entered |= newer.entered
        self.intervals |= newer.intervals
        self.flushes += newer.flushes


class ObserverWriter(WriterThread[_Batch, None], ObserverQueues):
    """Writes to `database`, which it owns from `open` to `close`.

    Args:
        database: The database.
        on_found: Called with the content of the database when it was opened for the first time, perhaps by the thread.
    """

    def __init__(self, database: ObserverDatabase, on_found: Callable[[dict[LaneName, StoredLane]], None]) -> None:
        super().__init__("bridge.observers", _RETRY)
        self._database = database
        self._on_found = on_found
        self._waiting, self._writing = _Batch(), _Batch()
        self._unread = True  # the database was never opened
        self._writing_since: float | None = None
        self._readers = Threads(1, name="messages for observers")

    def open(self) -> None:
        """Start to write. If the file cannot be opened, the log says why and the thread tries again."""
        failure: Exception | None = None
        try:
            self._connect()
        except EXPECTED as error:
            failure = error
        self.start(failure)

    @contextmanager
    def _adding(self) -> Iterator[None]:
        """Hold the lock, and wake the thread if nothing waited: otherwise it is awake, and collects more."""
        with self._changed:
            nothing = not len(self._waiting)
            yield
            if nothing:
                self._changed.notify()

    def put(self, row: MessageRow, *, ends: bool) -> None:
        """Have a message written soon. `ends` says whether it is a StartTransaction or StopTransaction."""
        with self._adding():
            self._waiting.messages[row.number] = row
            if ends:
                self._waiting.entered[row.folded, row.observer] = (row.folded, row.observer, row.identity, row.key)

    def delete(self, name: LaneName, number: int) -> None:
        """Have a message deleted soon."""
        with self._adding():
            self._waiting.delete(number)

    def keep(self, name: LaneName, row: ObserverId, now: float) -> None:
        """Have a transactionId written soon. `now` is the time in unix seconds."""
        named = None if row.named is None else str(row.named)
        stored = IdRow(*name, str(row.number), named, int(row.ended), now)
        with self._adding():
            self._waiting.ids.pop((*name, stored.number), None)
            self._waiting.ids[*name, stored.number] = stored

    def thin(self, name: LaneName, identity: str, interval: int) -> None:
        """Have the seconds written that an observer wants between periodic MeterValues."""
        with self._adding():
            self._waiting.intervals[name] = (*name, identity, str(interval))

    def remove(self, folded: str) -> None:
        """Have everything deleted about a Charge Point. `folded` is the casefolded identity."""
        with self._adding():
            self._waiting.forget(lambda name: name[0] == folded)
            self._waiting.removed.add(folded)

    def forget(self, name: LaneName) -> None:
        """Have everything deleted for one observer of one Charge Point."""
        with self._adding():
            self._waiting.forget(lambda other: other == name)
            self._waiting.forgotten.add(name)

    def flush(self, name: LaneName) -> Future[bool]:
        """Return a future that is done when what was put so far is on disk (True), or cannot be written (False)."""
        written: Future[bool] = Future()
        with self._changed:
            since = self._writing_since
            hangs = since is not None and time.monotonic() - since > _HANGS
            if not self._thread.is_alive() or self._closing or self._trouble is not None or hangs:
                written.set_result(False)
                return written
            self._waiting.flushes.append(written)
            self._changed.notify()
        return written

    def waiting(self, name: LaneName, number: int) -> MessageContent | None:
        """Return the request and the answer of a message that is not on disk yet; None for any other."""
        with self._changed:
            row = self._waiting.messages.get(number) or self._writing.messages.get(number)
        return None if row is None else (row.request, row.answer)

    async def content(self, name: LaneName, number: int) -> MessageContent | None:
        """Return the request and the answer of a message, None if the file does not hold them. A thread reads them.

        Raises:
            OSError, sqlite3.Error, UnusableStore: The file, which may hold them, cannot be read at present.
        """
        return self.waiting(name, number) or await self._readers.run(lambda: self._database.content(number))

    def release(self, name: LaneName) -> None:
        """Do nothing: no other process has this file."""

    def close(self) -> bool:
        """Write the rest, as WriterThread.close does."""
        self._readers.close()
        return super().close()

    # The thread.

    def _has_some(self) -> bool:
        return len(self._waiting) > 0

    def _is_asked(self) -> bool:
        return bool(self._waiting.flushes)

    def _take(self) -> _Batch:
        with self._changed:
            self._writing, self._waiting = self._waiting, _Batch()
            batch = self._writing
            self._writing_since = time.monotonic() if len(batch) or batch.flushes else None
        return batch

    def _connect(self) -> None:
        found = self._database.connect()
        self._stale = False
        if self._unread:
            self._unread = False
            self._on_found(found)

    def _try(self, batch: _Batch) -> None:
        if self._stale:
            self._connect()
        self._database.write(
            removed=batch.removed,
            forgotten=batch.forgotten,
            messages=batch.messages.values(),
            done=batch.done,
            ids=list(batch.ids.values()),
            entered=batch.entered.values(),
            intervals=batch.intervals.values(),
            durable=bool(batch.flushes) or self._trouble is not None,
        )

    def _done(self, batch: _Batch, written: None) -> None:
        with self._changed:
            self._writing = _Batch()
            was, self._trouble, self._writing_since = self._trouble, None, None
        if was is not None:
            _log.warning("%s: messages for observers are written again", self._database.path)
        _resolve(batch, written=True)

    def _failed(self, batch: _Batch, error: Exception) -> None:
        with self._changed:
            newer, self._waiting, self._writing = self._waiting, batch, _Batch()
            batch.absorb(newer)
            was, self._trouble = self._trouble, f"{self._database.path}: {described(error)}"
            self._writing_since = None
        _resolve(batch, written=False)
        if was != self._trouble:
            surprise = None if isinstance(error, EXPECTED) else error
            text = "messages for observers are in memory only, and are lost if the bridge ends: %s"
            _log.error(text, self._trouble, exc_info=surprise)

    def _ended(self) -> None:
        if left := len(self._waiting.messages):
            _log.error("%s: %d messages for observers were not written, and are lost", self._database.path, left)
        _resolve(self._waiting, written=False)
        self._database.close()


def _resolve(batch: _Batch, *, written: bool) -> None:
    flushes, batch.flushes = batch.flushes, []
    for future in flushes:
        future.set_result(written)
