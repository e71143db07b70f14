"""What was observed, and waits for the thread that records it. Bounded by octets; nobody waits for anybody.

The event loop puts, the thread takes. Of the two sums of octets, each has one of them as its only writer, so that no
lock is needed. When there is no more room, all that comes is lost until there is a good deal of room again: a few whole
messages are worth more than halves of many.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future

from bridge.recorder.notes import Cost, Gap, Note, Seen

# Octets, with all that Python needs to hold them: some twenty thousand exchanges, which take the thread a second or two
# when the load lessens; beside them, joining holds as much as its own bound. What does not fit is lost.
MOST = 64_000_000
# Part of it that must be free before anything is taken again.
_FREE = 8


class Backlog:
    """`wake` is set when there is something to take where there was nothing, after `asleep` was called. `append`,
    `octets_in` and `full` are for who cannot afford to call `put`, and does by itself what that does."""

    def __init__(self, wake: threading.Event, most: int) -> None:
        self._wake = wake
        self.most = most
        self._notes: deque[Note | Future[None]] = deque()
        self.append: Callable[[Note], None] = self._notes.append
        self.octets_in = self.octets_out = 0
        self._woken = False
        self.full = False
        """There is no room."""
        self.lost = 0
        """Messages that there was no room for."""

    def __len__(self) -> int:
        return len(self._notes)

    @property
    def octets(self) -> int:
        """What waits, in memory."""
        return self.octets_in - self.octets_out

    def put(self, note: Note) -> None:
        """Have it taken, after all that was put before; it is lost if there is no room."""
        if self.full:
            self.lost += not isinstance(note, Cost | Seen)  # of a message there are those, and one other
            return
        self.append(note)
        self.octets_in += note.octets
        if not self._woken or self.octets_in - self.octets_out > self.most:
            self.look()

    def look(self) -> None:
        """See to what is to be done when something was put."""
        if self.octets > self.most:
            self.full = True
            self._notes.append(Gap(0))  # is taken when there is room at the latest
        if not self._woken:
            self._woken = True
            self._wake.set()

    def mark(self, future: Future[None]) -> None:
        """Have it taken, after all that was put before: who waits for that waits for this."""
        self._notes.append(future)

    def asleep(self) -> None:
        """Wake who takes for what comes from here on."""
        self._woken = False

    def take(self) -> Note | Future[None]:
        """The next. Raises IndexError if there is none."""
        note = self._notes.popleft()
        if not isinstance(note, Future):
            self.octets_out += note.octets
            if self.full and self.octets <= self.most - self.most // _FREE:
                self.full = False
        return note
