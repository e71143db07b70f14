"""The last events of the live stream, for clients that come back.

Older events are kept in compressed blocks: the records of messages have the same names in each, so that a block takes
about a third of its events. A client that reads slowly or comes back late reads from here, and takes no memory itself.
"""

from __future__ import annotations

import sys
import zlib
from array import array
from collections import deque
from collections.abc import Callable

from msgspec import Struct

# Events of a block. A block is compressed in well under a millisecond.
BLOCK = 128
# The least events that the ring keeps once it is full, and the most octets of its compressed blocks.
RING, RING_OCTETS = 100_000, 64 * 1024 * 1024


class Event(Struct, frozen=True):
    """An event of the stream: its number, the Charge Point's key in lower case, and its octets on the wire."""

    number: int
    identity: str
    data: bytes


class _Block:
    """A block of events with consecutive numbers.

    Attributes:
        first: The number of the first event.
        identities: The identity of each event.
        ends: Where the octets of each event end in the octets of all.
        packed: The octets of all events, compressed.
    """

    __slots__ = ("ends", "first", "identities", "packed")

    def __init__(self, events: list[Event]) -> None:
        self.first = events[0].number
        self.identities = tuple(sys.intern(event.identity) for event in events)
        self.ends = array("I")
        end = 0
        for event in events:
            end += len(event.data)
            self.ends.append(end)
        self.packed = zlib.compress(b"".join(event.data for event in events), 1)

    @property
    def last(self) -> int:
        return self.first + len(self.identities) - 1

    def events(self) -> list[Event]:
        """Return the events again."""
        data, begin, found = zlib.decompress(self.packed), 0, []
        for number, (identity, end) in enumerate(zip(self.identities, self.ends, strict=True), start=self.first):
            found.append(Event(number, identity, data[begin:end]))
            begin = end
        return found


class EventRing:
    """Keeps the last events, whose numbers are consecutive.

    Args:
        since: The number after which the first event comes.

    Attributes:
        since: The ring holds all events after this number.
        last: The number of the newest event.
    """

    def __init__(self, since: int) -> None:
        self.since = self.last = since
        self._blocks: deque[_Block] = deque()
        self._open: list[Event] = []
        self._octets = 0

    def add(self, event: Event) -> None:
        """Add the event with the next number. The oldest events may be dropped."""
        self.last = event.number
        self._open.append(event)
        if len(self._open) == BLOCK:
            block = _Block(self._open)
            self._blocks.append(block)
            self._octets += len(block.packed)
            self._open = []
            while self.last - self._blocks[0].last >= RING or self._octets > RING_OCTETS:
                dropped = self._blocks.popleft()
                self.since = dropped.last
                self._octets -= len(dropped.packed)

    def clear(self, last: int) -> None:
        """Drop all events. The next event follows after the number `last`."""
        self.since = self.last = last
        self._blocks.clear()
        self._open = []
        self._octets = 0

    def read(self, after: int, fits: Callable[[str], object]) -> tuple[bytes, int]:
        """Return the octets of some events after the number `after`.

        Args:
            after: A number that is not less than `since`, and less than `last`.
            fits: Returns whether events of an identity are wanted.

        Returns:
            The octets of the wanted events of one block, and the number of the last event of that block.
        """
        if not self._open or after < self._open[0].number - 1:
            # The blocks have one length, so the place of a number is known.
            block = self._blocks[(after + 1 - self._blocks[0].first) // BLOCK]
            if not any(map(fits, set(block.identities))):
                return b"", block.last
            events = block.events()
        else:
            events = self._open
        wanted = [event.data for event in events if event.number > after and fits(event.identity)]
        return b"".join(wanted), events[-1].number
