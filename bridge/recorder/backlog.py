"""What was observed, and waits for the thread that records it. Bounded by octets; nobody waits for anybody.

The event loop puts, the thread takes. Notes are packed after a few messages: objects that are kept would lie between
all that a message makes and lets go, which then is not made where the last was, in the processor's cache, but in memory
that is cold. That costs several times what the packing does.

When there is no more room, all that comes is lost until there is a good deal of room again: a few whole messages are
worth more than halves of many.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from itertools import repeat, starmap

import msgspec

from bridge.ocpp.wire import Sighting
from bridge.recorder.notes import Cost, Gap, Note, Noted, Notes, Seen

# Octets: some ten thousand exchanges or more, which take the thread a second or two when the load lessens; beside them,
# joining holds as much as its own bound. What does not fit is lost.
MOST = 64_000_000
# Part of it that must be free before anything is taken again.
_FREE = 8
# Notes that are packed together: of a dozen exchanges, still in the processor's cache.
TOGETHER = 64
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(list[Note]).decode


class Backlog:
    """`wake` is set when there is something to take where there was nothing, after `asleep` was called. `append` is for
    who cannot afford to call `put`, and `look` is to be called if nothing may follow."""

    def __init__(self, wake: threading.Event, most: int) -> None:
        self._wake = wake
        self._most = most
        # Put on one side by the event loop, at any time; taken off the other by whoever has the lock.
        self._loose: deque[Noted] = deque()
        self._notes = Notes()
        self._lock = threading.Lock()
        self.append: Callable[[Noted], None] = self._loose.append
        self._packed: deque[tuple[bytes, int] | Future[None]] = deque()
        self._unpacked: list[Note] = []  # of what is being taken, the last first
        self._waiting = 0  # of those that are packed
        self._octets_in = self._octets_out = 0  # each has one thread that writes it, or the lock
        self._woken = False
        self.full = False
        """There is no room."""
        self.lost = 0
        """Messages that there was no room for, or that are no text."""

    def __len__(self) -> int:
        return len(self._loose) + self._waiting + len(self._unpacked)

    @property
    def octets(self) -> int:
        """What waits in memory, packed."""
        return self._octets_in - self._octets_out

    def put(self, noted: Noted) -> None:
        """Have it taken, after all that was put before; it is lost if there is no room."""
        if self.full:
            self.lost += _is_of_a_message(noted)
        else:
            self.append(noted)
        if not self._woken or len(self._loose) >= TOGETHER:
            self.look()

    def look(self) -> None:
        """See to what is to be done when something was put."""
        if len(self._loose) >= TOGETHER:
            with self._lock:
                if self.full:
                    self._loose.clear()
                else:
                    self._pack_loose()
                    self.full = self.octets > self._most
                if self.full:
                    self.append(Gap())  # is taken when there is room at the latest
        if not self._woken:
            self._woken = True
            self._wake.set()

    def mark(self, future: Future[None]) -> None:
        """Have it taken, after all that was put before: who waits for that waits for this."""
        with self._lock:
            self._pack_loose()
            self._packed.append(future)
            self._waiting += 1

    def asleep(self) -> None:
        """Wake who takes for what comes from here on."""
        self._woken = False

    def take(self) -> Note | Future[None]:
        """The next. Raises IndexError if there is none."""
        while not self._unpacked:
            with self._lock:
                if not self._packed:
                    self._pack_loose()
                packed = self._packed.popleft()
                self._waiting -= 1 if isinstance(packed, Future) else packed[1]
            if isinstance(packed, Future):
                return packed
            self._unpacked = _unpack(packed[0])[::-1]
            self._octets_out += len(packed[0])
            if self.full and self.octets <= self._most - self._most // _FREE:
                self.full = False
        return self._unpacked.pop()

    def _pack_loose(self) -> None:
        """Called with the lock held."""
        noted = list(starmap(self._loose.popleft, repeat((), len(self._loose))))
        try:
            notes = self._notes.of(noted)
            packed = _pack(notes)
        except UnicodeEncodeError:  # halves of surrogate pairs are no text, and cannot be recorded
            notes = [note for one in noted for note in self._as_text(one)]
            packed = _pack(notes)
        if notes:
            self._packed.append((packed, len(notes)))
            self._waiting += len(notes)
            self._octets_in += len(packed)

    def _as_text(self, noted: Noted) -> list[Note | Sighting]:
        try:
            notes = self._notes.of([noted])
            _pack(notes)
        except UnicodeEncodeError:
            self.lost += _is_of_a_message(noted)
            return []
        return notes


def _is_of_a_message(noted: Noted) -> bool:
    """There is one of it, beside what was seen and what it cost."""
    return not isinstance(noted, Cost | Seen | tuple)
