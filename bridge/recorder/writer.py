"""Write messages that have ended, as rows, in the recorder's thread.

The traffic goes first: the thread makes rows in short slices and rests between them, the longer the busier the process
is. A message that does not fit into the queue, or cannot be written, is lost as a whole and counted.
"""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from itertools import count
from pathlib import Path

from bridge.net.tasks import short_turns
from bridge.recorder import rows
from bridge.recorder.database import MessageDatabase
from bridge.recorder.rows import Noted, RecordedFact, Row
from bridge.store.thread import EXPECTED, WriterThread, described
from bridge.watching.repeat_limiter import RepeatLimiter

_log = logging.getLogger("bridge.recorder")

# The facts that may wait as they are. More of them are packed: thousands of messages with many objects each would make
# the collection of garbage slow and the memory of the next message cold. A loop of its own does that in half the time.
TOGETHER = 64
# The octets of memory of the facts that are packed together, about. Sixty-four usual messages have fewer.
_AT_ONCE = 1_048_576
# The octets of memory from which making a row takes long.
_LARGE = 65_536
# The octets that may wait, about: some ten thousand messages.
MOST = 64_000_000
# Messages of one transaction.
_ROWS = 128
# Seconds until the next attempt after a failure of the disk. Seconds to wait for the last octets of an ended Call.
_RETRY, _GRACE = 30.0, 1.0
# Seconds of processor time until the thread rests. It has the interpreter, so a message that comes waits for so long.
# The shortest and the longest rest, in seconds.
_SLICE, SHORTEST_REST, LONGEST_REST = 0.0008, 0.001, 0.128
# Above this share of a core, used by the process or waited for, there is no time to spare.
_BUSY = 0.8
# On Linux, the nanoseconds for which the first thread, which has the event loop, ran and waited for a core.
_SCHEDSTAT = Path("/proc/self/schedstat")
_FAULT = "a message was not recorded: a fault of ocpp-bridge itself, please report it"


def next_rest(rest: float, took: float, used: float) -> float:
    """Return the next rest: twice as long while there is no time to spare, half as long while there is.

    Args:
        rest: The seconds that the last rest was meant to take.
        took: The seconds that it took.
        used: The seconds of processor time that the process used in that time, or that the event loop waited for.
    """
    return min(rest * 2, LONGEST_REST) if used > took * _BUSY else max(rest / 2, SHORTEST_REST)


def waited(told: Path = _SCHEDSTAT) -> float:
    """Return the seconds for which the event loop has waited for a core; 0.0 if the system does not tell."""
    try:
        return int(told.read_bytes().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


class MessageWriter(WriterThread[list[Row], None]):
    """Writes to `database`, which it owns from `open` to `close`; `path` is its name, for the log."""

    def __init__(
        self, database: MessageDatabase, path: Path | None, *, id_tags: bool, clock: Callable[[], float]
    ) -> None:
        super().__init__("bridge.recorder", _RETRY)
        self._database = database
        self._path = path
        self._id_tags = id_tags
        self._clock = clock
        self._facts: deque[tuple[int, float, RecordedFact]] = deque()  # the last ones, each with number and time
        self._queue: deque[Noted] = deque()  # those before them
        self._octets = 0  # of the queue
        self._unwhole: list[Noted] = []  # messages that lack their last octets
        self._flushes: deque[tuple[int, Future[None]]] = deque()  # each with the number of the message it waits for
        self._served: list[Future[None]] = []  # the flushes that are done when the batch is written
        self._last = 0  # the number of the last message in the queue
        self._in_hand = 0  # the number of messages in the batch
        self._sleeps = False
        self._retry_at = 0.0
        self._rest = SHORTEST_REST
        self._gate = RepeatLimiter(time.monotonic)
        self._said = 0  # the value of `unfit` that the log has told
        self._number = count(1).__next__
        self.unfit = 0
        """The messages that did not fit, or could not be encoded."""
        self.lost = 0
        """The messages that could not be written."""

    def open(self) -> None:
        """Start to write. If the file cannot be opened, the log says why and the thread tries again."""
        failure: Exception | None = None
        last = 0
        try:
            last = self._database.connect()
        except EXPECTED as error:
            failure = error
        # Ids grow, even if the file was lost: a millisecond has room for a thousand of them.
        self._number = count(max(int(self._clock() * 1000) * 1000, last + 1)).__next__
        self.start(failure)

    def close(self) -> bool:
        ended = super().close()
        if not ended:
            _log.error("%s: the disk does not answer; what was not recorded is lost", self._path)
        return ended

    @property
    def waiting(self) -> int:
        """The number of messages that are not written yet."""
        return len(self._facts) + len(self._queue) + len(self._unwhole) + self._in_hand

    # The event loop.

    def put(self, fact: RecordedFact) -> tuple[int, float]:
        """Put a message into the queue. It is lost if there is no room. Call this in the event loop only.

        Returns: the id of the message and the time, in unix seconds.
        """
        self._last = number = self._number()
        at = self._clock()
        self._facts.append((number, at, fact))
        if len(self._facts) >= TOGETHER:
            self._pack()
        if self._sleeps:
            self._wake()
        return number, at

    def _pack(self) -> None:
        """Pack facts: all that wait, or as many as take little time, since the event loop waits."""
        packed = 0
        with self._changed:
            while self._facts and packed < _AT_ONCE:
                try:
                    noted = rows.noted(*self._facts.popleft())
                except UnicodeEncodeError:  # half of a surrogate pair
                    self.unfit += 1
                    continue
                if self._octets + noted.size > MOST:
                    self.unfit += 1
                    continue
                packed += noted.size
                self._octets += noted.size
                self._queue.append(noted)

    def _wake(self) -> None:
        with self._changed:
            self._sleeps = False
            self._changed.notify()

    def flush(self) -> Future[None]:
        """Return a future that is done when the messages in the queue can be read, or cannot be written."""
        written: Future[None] = Future()
        with self._changed:
            alive = self._thread.is_alive() and not self._closing
            if not alive or (self._trouble is not None and time.monotonic() < self._retry_at):
                written.set_result(None)
                return written
            self._flushes.append((self._last, written))
            self._changed.notify()
        return written

    # The thread.

    def _run(self) -> None:
        try:
            if self._trouble is None:
                self._database.fit()
        except EXPECTED as error:
            _log.error("%s: the file stays larger than recorder.max_bytes: %s", self._path, described(error))
        super()._run()

    def _has_some(self) -> bool:
        self._sleeps = True  # first, so that a message that is put after the look wakes the thread
        if some := bool(self._facts or self._queue or self._unwhole):
            self._sleeps = False
        return some

    def _is_asked(self) -> bool:
        return len(self._flushes) > 0

    def _take(self) -> list[Row]:
        """Make the rows of the next messages. Those that lack octets wait, but are written at once for a flush, too."""
        with self._changed:
            asked = self._closing or bool(self._flushes)
            packed = [self._queue.popleft() for _ in range(min(_ROWS, len(self._queue)))]
            self._octets -= sum([noted.size for noted in packed])
            loose = [self._facts.popleft() for _ in range(min(_ROWS - len(packed), len(self._facts)))]
            left = self._queue[0].number if self._queue else self._facts[0][0] if self._facts else math.inf
            while self._flushes and self._flushes[0][0] < left:
                self._served.append(self._flushes.popleft()[1])
        self._in_hand = len(packed) + len(loose)
        unwhole, self._unwhole = self._unwhole, []
        return self._rows_of([*unwhole, *packed, *loose], asked=asked)

    def _rows_of(self, messages: list[Noted | tuple[int, float, RecordedFact]], *, asked: bool) -> list[Row]:
        made: list[Row] = []
        now, until = self._clock(), time.thread_time() + _SLICE
        for one in messages:
            try:
                noted = one if isinstance(one, Noted) else rows.noted(*one)
                lacks = not noted.is_whole and 0 <= now - noted.at < _GRACE
                if lacks:
                    self._unwhole.append(noted)
                if asked or not lacks:
                    made.append(self._row_of(noted))
            except Exception as error:
                self.lost += 1
                if not isinstance(error, UnicodeEncodeError):
                    _log.exception(_FAULT)
            if time.thread_time() >= until:
                self._leave_room()
                until = time.thread_time() + _SLICE
        return made

    def _row_of(self, noted: Noted) -> Row:
        if noted.size <= _LARGE:
            return rows.row_of(noted, id_tags=self._id_tags)
        with short_turns:
            return rows.row_of(noted, id_tags=self._id_tags)

    def _try(self, batch: list[Row]) -> None:
        if self._stale:
            self._database.connect()
            self._stale = False
        self._database.write(batch, self._clock())

    def _leave_room(self) -> None:
        """Rest as long as the traffic needs, or, if somebody waits, for a moment."""
        hurried = self._closing or bool(self._served) or bool(self._flushes)
        rest = SHORTEST_REST if hurried else self._rest
        wall, used = time.monotonic(), time.process_time() + waited()
        time.sleep(rest)
        self._rest = next_rest(rest, time.monotonic() - wall, time.process_time() + waited() - used)

    def _done(self, batch: list[Row], written: None) -> None:
        self._say_what_is_lost()
        was, self._trouble = self._trouble, None
        if was is not None:
            _log.warning("%s: messages are recorded again", self._path)
        self._answer()

    def _failed(self, batch: list[Row], error: Exception) -> None:
        self.lost += len(batch)
        self._unwhole = []
        self._retry_at = time.monotonic() + self._retry
        was, self._trouble = self._trouble, described(error)
        if was is None:
            surprise = None if isinstance(error, EXPECTED) else error
            _log.error("%s: messages are not recorded: %s", self._path, self._trouble, exc_info=surprise)
        self._answer()

    def _answer(self) -> None:
        self._in_hand = 0
        served, self._served = self._served, []
        for future in served:
            if future.set_running_or_notify_cancel():  # False if the owner has cancelled it
                future.set_result(None)

    def _say_what_is_lost(self) -> None:
        lost = self.unfit
        if lost > self._said and self._gate.passes("lost") is not None:
            _log.warning("the traffic left no time to record all: %d messages more are lost", lost - self._said)
            self._said = lost

    def _ended(self) -> None:
        while (self._facts or self._queue) and self._trouble is None:
            self._write(self._take())
        self.lost += len(self._facts) + len(self._queue)
        self._served += [future for _, future in self._flushes]
        self._answer()
        self._database.close()
