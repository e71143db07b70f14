"""The thread that writes events, and deletes those that were delivered or dropped.

While the disk fails, events wait in memory, up to a limit, and are written again. They are sent after they are written.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future

from bridge.outgoing_events.database import EventDatabase, EventRow, StoredEvents
from bridge.outgoing_events.derivation import TransactionStart
from bridge.store.thread import EXPECTED, WriterThread, described

_log = logging.getLogger("bridge.events")
# Seconds until the next attempt after a failure of the disk.
_RETRY = 5.0
# The most events, and the most octets of them, that wait for the disk.
MOST_EVENTS, MOST_OCTETS = 100_000, 64_000_000
# Seconds after which a disk that does not answer counts as failed: nobody waits for it then.
_HANGS = 1.0


class _Batch:
    """The rows that one transaction writes, and the futures that are done after it."""

    def __init__(self) -> None:
        self.events: list[EventRow] = []
        self.octets = 0
        self.done: list[int] = []
        self.starts: list[TransactionStart] = []
        self.flushes: list[Future[bool]] = []

    def __len__(self) -> int:
        return len(self.events) + len(self.done) + len(self.starts)

    def absorb(self, newer: _Batch) -> None:
        """Append everything that is in `newer`."""
        self.events += newer.events
        self.octets += newer.octets
        self.done += newer.done
        self.starts += newer.starts
        self.flushes += newer.flushes


class EventWriter(WriterThread[_Batch, None]):
    """Writes to `database`, which it owns from `open` to `close`.

    Args:
        database: The database.
        on_written: Called by the thread with events that are in the database from now on.
        on_found: Called by the thread with the content of the database when it was opened for the first time.
    """

    def __init__(
        self,
        database: EventDatabase,
        on_written: Callable[[list[EventRow]], None],
        on_found: Callable[[StoredEvents], None],
    ) -> None:
        super().__init__("bridge.events", _RETRY)
        self._database = database
        self._on_written = on_written
        self._on_found = on_found
        self._waiting = _Batch()
        self._unread = True  # the database was never opened
        self._writing_since: float | None = None

    def open(self) -> int:
        """Start to write. If the file cannot be opened, the log says why and the thread tries again.

        Returns: The highest number of an event in the file, 0 if there is none.
        """
        failure: Exception | None = None
        last = 0
        try:
            last = self._connect()
        except EXPECTED as error:
            failure = error
        self.start(failure)
        return last

    def put(self, events: list[EventRow], start: TransactionStart | None) -> bool:
        """Have events written soon. Returns: False if there is no room for them."""
        octets = sum(len(event.content) for event in events)
        with self._changed:
            waiting = self._waiting
            if len(waiting.events) + len(events) > MOST_EVENTS or waiting.octets + octets > MOST_OCTETS:
                return False
            waiting.events += events
            waiting.octets += octets
            if start is not None:
                waiting.starts.append(start)
            self._changed.notify()
        return True

    def delete(self, numbers: Iterable[int]) -> None:
        """Have events deleted soon."""
        with self._changed:
            self._waiting.done += numbers
            self._changed.notify()

    def flush(self) -> Future[bool]:
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

    # The thread.

    def _has_some(self) -> bool:
        return len(self._waiting) > 0

    def _is_asked(self) -> bool:
        return bool(self._waiting.flushes)

    def _take(self) -> _Batch:
        with self._changed:
            batch, self._waiting = self._waiting, _Batch()
            self._writing_since = time.monotonic() if len(batch) or batch.flushes else None
        return batch

    def _connect(self) -> int:
        found = self._database.connect()
        self._stale = False
        if self._unread:
            self._unread = False
            self._on_found(found)
        return found.last

    def _try(self, batch: _Batch) -> None:
        if self._stale:
            self._connect()
        durable = bool(batch.flushes) or self._trouble is not None
        self._database.write(batch.events, batch.done, batch.starts, durable=durable)

    def _done(self, batch: _Batch, written: None) -> None:
        with self._changed:
            was, self._trouble, self._writing_since = self._trouble, None, None
        if was is not None:
            _log.warning("%s: events are written again", self._database.path)
        _resolve(batch, written=True)
        if batch.events:
            self._on_written(batch.events)

    def _failed(self, batch: _Batch, error: Exception) -> None:
        with self._changed:
            newer, self._waiting = self._waiting, batch
            batch.absorb(newer)
            was, self._trouble = self._trouble, f"{self._database.path}: {described(error)}"
            self._writing_since = None
        _resolve(batch, written=False)
        if was != self._trouble:
            surprise = None if isinstance(error, EXPECTED) else error
            _log.error("no event is sent, those that wait are in memory only: %s", self._trouble, exc_info=surprise)

    def _ended(self) -> None:
        if left := len(self._waiting.events):
            _log.error("%s: %d events were not written, and are lost", self._database.path, left)
        _resolve(self._waiting, written=False)
        self._database.close()


def _resolve(batch: _Batch, *, written: bool) -> None:
    flushes, batch.flushes = batch.flushes, []
    for future in flushes:
        future.set_result(written)
