"""The thread that joins, masks and writes what was taken down.

It works in short slices, and rests between them as its Pace tells: the traffic goes first, and has the interpreter back
before it misses it. Only for who waits, a reader or the end of the bridge, it hurries. What it cannot follow, or has no
disk for, is lost, and counted.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from itertools import count
from pathlib import Path

from bridge.limits.gate import Gate
from bridge.recorder import joined
from bridge.recorder.backlog import MOST, Backlog
from bridge.recorder.clocks import Watch
from bridge.recorder.database import Database, Unusable
from bridge.recorder.joined import Joined, Row
from bridge.recorder.joining import Joining
from bridge.recorder.pace import HURRIED, PATIENT, Clocks, Pace

_log = logging.getLogger("bridge.recorder")

# Seconds: what is written together; until a disk that failed is tried again; until what is too old is looked for
# though nothing is said; that `close` waits for a disk that does not answer.
_LINGER, _RETRY, _IDLE, _CLOSE_PATIENCE = 0.25, 30.0, 600.0, 10.0
# Seconds of processor time until it rests: it has the interpreter, and a message that comes waits for so long.
_SLICE = 0.0008
# Notes that are joined, and then rows that are written, at once.
_FEW, _ROWS = 20, 128
_FAULT = "a message was not recorded: a fault of ocpp-bridge itself, please report it"


class Writer:
    """Writes to `database`, which it owns from `open` to `close`; `path` is its name, for the log. `backlog` is where
    notes are put, `number` gives ids.

    `lost` counts what could not be written; `trouble` says why nothing is, for a person.
    """

    def __init__(self, database: Database, path: Path | None, *, id_tags: bool, clock: Callable[[], float]) -> None:
        self._database = database
        self._path = path
        self._id_tags = id_tags
        self._clock = clock
        self._hurry, self._wake = threading.Event(), threading.Event()
        self.backlog = Backlog(self._wake, MOST)
        self.number = count(1).__next__
        self._joining = Joining(self.number)
        self.lost = 0
        self.trouble: str | None = None
        self.running = False
        self._closing = False
        self._asked = self._served = 0  # flushes; of each sum only one thread is the writer
        self._rows: list[tuple[Joined, Row]] = []
        self._retry_at = 0.0
        self._gate = Gate(time.monotonic)
        self._said = 0  # of what there was no time for
        self._thread = threading.Thread(target=self._run, name="bridge.recorder", daemon=True)

    def open(self) -> None:
        """Begin to write, or say why not; it is tried again then."""
        # Ids go on where they ended, also if the file was lost: a millisecond of a clock has room for a thousand.
        first = int(self._clock() * 1000) * 1000
        self.number = count(max(first, self._connected() + 1)).__next__
        self._joining = Joining(self.number)
        self.running = True
        self._thread.start()

    def close(self) -> None:
        """Write what waits, and end."""
        if not self.running:
            return
        self.flush()
        self.running, self._closing = False, True
        self._wake.set()
        self._thread.join(_CLOSE_PATIENCE)
        if self._thread.is_alive():
            _log.error("%s: the disk does not answer; what was not recorded is lost", self._path)

    @property
    def waiting(self) -> int:
        """How many notes are not written yet."""
        return len(self.backlog) + len(self._joining) + len(self._rows)

    def flush(self) -> Future[None]:
        """Done when all that was put before can be read, if it can be written."""
        written: Future[None] = Future()
        if not self.running:
            written.set_result(None)
            return written
        self._asked += 1
        self.backlog.mark(written)
        self._hurry.set()
        self._wake.set()
        return written

    # The thread.

    def _run(self) -> None:
        watch, last = Watch(), False
        pace = Pace(watch.read())
        while not last:
            self._wake.wait(_LINGER if len(self._joining) else _IDLE)
            pace.look(watch.read())
            self._hurry.wait(_LINGER)
            last = self._closing
            # Before it is looked what there is: who puts something there afterwards sets them again.
            self._wake.clear()
            self._hurry.clear()
            self.backlog.asleep()
            while self._slice():
                if not self._closing:
                    self._rest(pace, watch.read())
        watch.close()
        self._database.close()

    def _rest(self, pace: Pace, now: Clocks) -> None:
        hurried = self._asked != self._served
        seconds = pace.rest(now, HURRIED if hurried else PATIENT)
        if hurried:
            time.sleep(seconds)
        else:
            self._hurry.wait(seconds)

    def _slice(self) -> bool:
        """Work for a short while. Whether there is more to do."""
        until = time.thread_time() + _SLICE
        while time.thread_time() < until:
            self._step()
            if not len(self.backlog):
                return False
        return True

    def _step(self) -> None:
        """Join the next few notes, pack what is whole then, and write when that is enough, or all there is."""
        now, waits = self._join()
        try:
            self._pack(self._joining.done(now, at_once=waits is not None), whole=waits is None)
            if waits is not None or len(self._rows) >= _ROWS or not len(self.backlog):
                rows, self._rows = self._rows, []
                self._write(rows)
        except Exception:
            _log.exception(_FAULT)
        if waits is not None:
            self._served += 1
            if waits.set_running_or_notify_cancel():  # who waited may have given up
                waits.set_result(None)

    def _join(self) -> tuple[float, Future[None] | None]:
        """Until when all that was put is joined, in unix seconds; and who waits for that."""
        backlog, last = self.backlog, 0.0
        for _ in range(min(_FEW, len(backlog))):
            try:
                note = backlog.take()
            except IndexError:  # the rest could not be packed
                break
            if isinstance(note, Future):
                return self._clock(), note
            last = note.at or last
            try:
                self._joining.take(note)
            except Exception:
                _log.exception(_FAULT)
        return last if len(backlog) else self._clock(), None

    def _pack(self, messages: Sequence[Joined], *, whole: bool) -> None:
        """Make rows of them. `whole`: none comes again, and what they are made of can go."""
        for message in messages:
            self._rows.append((message, joined.row(message, joined.told(message, id_tags=self._id_tags))))
            if whole:
                message.wires = []

    def _write(self, rows: Sequence[tuple[Joined, Row]]) -> None:
        self._say_what_is_lost()
        messages = [message for message, _ in rows]
        if self.trouble is not None and (time.monotonic() < self._retry_at or not self._reconnected()):
            self._miss(messages)
            return
        try:
            self._database.write([row for _, row in rows], self._clock())
        except (OSError, sqlite3.Error, Unusable) as error:
            self._miss(messages)
            self._fail(error)

    def _say_what_is_lost(self) -> None:
        lost = self.backlog.lost
        if lost > self._said and self._gate.passes("lost") is not None:
            _log.warning("the traffic left no time to record all: %d messages more are lost", lost - self._said)
            self._said = lost

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
