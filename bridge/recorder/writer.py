"""The thread that writes messages, and the queue before it.

Who puts something into the queue is on the path of a message, and waits for nothing. Every few messages it joins, masks
and packs what is in the queue, while the processor has it at hand: later, in the thread, that costs far more. The
thread does so with what is left, and with what is large. What it cannot follow, or has no disk for, is lost, and
counted.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from itertools import count
from pathlib import Path

from bridge.recorder import joined
from bridge.recorder.database import Database, Unusable
from bridge.recorder.joined import Joined, Row, Seen
from bridge.recorder.joining import Joining

_log = logging.getLogger("bridge.recorder")

# What waits for the thread: observations, and octets of messages.
_MOST, _MOST_OCTETS = 50_000, 64_000_000
# Seconds: what is written together; until a disk that failed is tried again; until what is too old is looked for
# though nothing is said; that `close` waits for a disk that does not answer.
_LINGER, _RETRY, _IDLE, _CLOSE_PATIENCE = 0.25, 30.0, 600.0, 10.0
# Joined at once are so many observations, of messages of so many octets in all; the rest is the thread's, and so is all
# when more rows wait to be written.
_TOGETHER, _TOGETHER_OCTETS, _MOST_ROWS = 40, 500_000, 2_000
_FAULT = "a message was not recorded: a fault of ocpp-bridge itself, please report it"

Note = Callable[[], None]
"""What else there is to be joined."""


class Writer:
    """Writes to `database`, which it owns from `open` to `close`; `path` is its name, for the log. `joining` is
    whose turn it is to join, `numbers` gives ids: both are there from `open` on.

    `lost` counts what could not be written; `trouble` says why nothing is, for a person.
    """

    def __init__(self, database: Database, path: Path | None, *, id_tags: bool, clock: Callable[[], float]) -> None:
        self._database = database
        self._path = path
        self._id_tags = id_tags
        self._clock = clock
        self.numbers = count(1)
        self.joining = Joining(self.numbers)
        self.lost = 0
        self.trouble: str | None = None
        self.running = False
        self._queue: deque[tuple[int, Seen | Joined | Note | Future[None]]] = deque()
        self._octets_in = self._octets_out = 0
        self._turn = threading.Lock()  # whoever has it joins
        self._rows: list[tuple[Joined, Row]] = []
        self._waiting: list[Future[None]] = []
        self._hurry, self._wake = threading.Event(), threading.Event()
        self._closing = self._woken = False
        self._retry_at = 0.0
        self._thread = threading.Thread(target=self._run, name="bridge.recorder", daemon=True)

    def open(self) -> None:
        """Begin to write, or say why not; it is tried again then."""
        # Ids go on where they ended, also if the file was lost: a millisecond of a clock has room for a thousand.
        first = int(self._clock() * 1000) * 1000
        self.numbers = count(max(first, self._connected() + 1))
        self.joining = Joining(self.numbers)
        self.running = True
        self._thread.start()

    def close(self) -> None:
        """Write what waits, and end."""
        if not self.running:
            return
        self.running, self._closing = False, True
        self._hurry.set()
        self._wake.set()
        self._thread.join(_CLOSE_PATIENCE)
        if self._thread.is_alive():
            _log.error("%s: the disk does not answer; what was not recorded is lost", self._path)

    # The queue.

    def put(self, item: Seen | Joined | Note, octets: int = 0) -> bool:
        """Have it joined, after all that was put before; `octets` are held until then. False: it is lost."""
        if len(self._queue) >= _MOST or self._octets_in - self._octets_out > _MOST_OCTETS:
            self.lost += 1
            return False
        self._octets_in += octets
        self._queue.append((octets, item))
        if not self._woken:
            self._woken = True
            self._wake.set()
        if len(self._queue) >= _TOGETHER:
            self._join_now()
        return True

    def flush(self) -> Future[None]:
        """Done when all that was put before can be read, if it can be written."""
        written: Future[None] = Future()
        if not self.running:
            written.set_result(None)
            return written
        self._queue.append((0, written))
        self._hurry.set()
        self._wake.set()
        return written

    def _join_now(self) -> None:
        """Join what is in the queue, unless that is much, or the thread is at it."""
        much = self._octets_in - self._octets_out > _TOGETHER_OCTETS or len(self._queue) > 2 * _TOGETHER
        if much or len(self._rows) > _MOST_ROWS or not self._turn.acquire(blocking=False):
            return
        try:
            self._take()
            self._pack(self.joining.done(self._clock()), whole=True)
        except Exception:
            _log.exception(_FAULT)
        finally:
            self._turn.release()

    # The thread.

    def _run(self) -> None:
        last = False
        while not last:
            self._wake.wait(_LINGER if len(self.joining) else _IDLE)
            self._hurry.wait(_LINGER)
            last = self._closing
            # Before the queue is looked at: who puts something there afterwards sets them again.
            self._wake.clear()
            self._hurry.clear()
            self._woken = False
            rows, waiting = self._rest(last)
            try:
                self._write(rows)
            except Exception:
                _log.exception(_FAULT)
            for future in waiting:
                future.set_result(None)
        self._database.close()

    def _rest(self, last: bool) -> tuple[list[tuple[Joined, Row]], list[Future[None]]]:
        """All that is to be written, and who waits for that."""
        with self._turn:
            self._take()
            at_once = last or bool(self._waiting)
            try:
                self._pack(self.joining.done(self._clock(), at_once=at_once), whole=not at_once)
            except Exception:
                _log.exception(_FAULT)
            rows, self._rows = self._rows, []
            waiting, self._waiting = self._waiting, []
        return rows, waiting

    def _take(self) -> None:
        """Join all that waits."""
        for _ in range(len(self._queue)):
            octets, item = self._queue.popleft()
            self._octets_out += octets
            try:
                if isinstance(item, Seen):
                    self.joining.wire(item)
                elif isinstance(item, Joined):
                    self.joining.ended(item)
                elif isinstance(item, Future):
                    self._waiting.append(item)
                else:
                    item()
            except Exception:
                _log.exception(_FAULT)

    def _pack(self, messages: Sequence[Joined], *, whole: bool) -> None:
        """Make rows of them. `whole`: none comes again, and what they are made of can go."""
        for message in messages:
            self._rows.append((message, joined.row(message, joined.told(message, id_tags=self._id_tags))))
            if whole:
                message.wires = []

    def _write(self, rows: Sequence[tuple[Joined, Row]]) -> None:
        messages = [message for message, _ in rows]
        if self.trouble is not None and (time.monotonic() < self._retry_at or not self._reconnected()):
            self._miss(messages)
            return
        try:
            self._database.write([row for _, row in rows], self._clock())
        except (OSError, sqlite3.Error, Unusable) as error:
            self._miss(messages)
            self._fail(error)

    def _miss(self, messages: Sequence[Joined]) -> None:
        for message in messages:
            self.lost += not message.missed
            message.missed = True

    def _connected(self) -> int:
        """The last id; 0 in trouble."""
        try:
            last = self._database.connect()
        except (OSError, sqlite3.Error, Unusable) as error:
            self._fail(error)
            return 0
        self.trouble = None
        return last

    def _reconnected(self) -> bool:
        self._connected()
        if self.trouble is None:
            _log.warning("%s: messages are recorded again", self._path)
        return self.trouble is None

    def _fail(self, error: Exception) -> None:
        self._retry_at = time.monotonic() + _RETRY
        if self.trouble is None:
            _log.error("%s: messages are not recorded: %s", self._path, error)
        self.trouble = str(error)
