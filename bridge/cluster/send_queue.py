"""The messages that wait to be written to a link, and the order in which their frames are written.

Small messages go first. Of each message in pieces, one piece at a time goes between them, so that a large message
delays no small one by more than a piece. Messages of one number keep their order.
"""

from __future__ import annotations

from collections import deque

from bridge.cluster.link_frames import HEAD, MORE, MOST_IN_PIECES, PIECE, FrameType, frame, pack_head


class _Large:
    """A message in pieces, from the octet `at` on."""

    __slots__ = ("at", "kind", "payload", "ticket")

    def __init__(self, kind: int, payload: bytes, ticket: int) -> None:
        self.kind = kind
        self.payload = payload
        self.ticket = ticket
        self.at = 0


class _Lane:
    """The messages of one number, of which the first is a large one."""

    __slots__ = ("number", "waiting")

    def __init__(self, number: int) -> None:
        self.number = number
        self.waiting: deque[_Large] = deque()


class SendQueue:
    """The messages that wait to be written.

    Attributes:
        size: Octets that wait, heads of frames included for small messages only.
    """

    __slots__ = ("_lanes", "_small", "_tickets", "_turns", "size")

    def __init__(self) -> None:
        self.size = 0
        self._tickets = 0
        self._small: dict[int, bytes] = {}  # frames, by ticket
        self._lanes: dict[int, _Lane] = {}  # by number
        self._turns: deque[_Lane] = deque()

    def __bool__(self) -> bool:
        return bool(self._small or self._turns)

    def put(self, kind: int, number: int, payload: bytes = b"") -> int:
        """Let a message wait. Returns its ticket for `withdraw`."""
        self._tickets = ticket = self._tickets + 1
        octets = len(payload)
        if octets <= PIECE and number not in self._lanes:
            self._small[ticket] = pack_head(octets, kind, number) + payload
            self.size += octets + HEAD
            return ticket
        lane = self._lanes.get(number)
        if lane is None:
            lane = self._lanes[number] = _Lane(number)
            self._turns.append(lane)
        lane.waiting.append(_Large(kind, payload, ticket))
        self.size += octets
        return ticket

    def put_first(self, kind: int, number: int, payload: bytes = b"") -> None:
        """Let a small message wait, which may overtake the others of its number."""
        self._tickets = ticket = self._tickets + 1
        self._small[ticket] = frame(kind, number, payload)
        self.size += len(payload) + HEAD

    def take(self) -> bytes:
        """Return the frames to write next: those of all small messages, and one piece of a large one."""
        small = b"".join(self._small.values())
        self._small.clear()
        if not self._turns:
            self.size = 0
            return small
        lane = self._turns.popleft()
        large = lane.waiting[0]
        begin, large.at = large.at, large.at + PIECE
        piece = large.payload[begin : large.at]
        self.size -= len(small) + len(piece)
        kind = large.kind
        if large.at < len(large.payload):
            kind |= MORE
        else:
            lane.waiting.popleft()
        if lane.waiting:
            # Those behind the first few have not begun: the receiver bounds the number of messages in pieces.
            self._turns.insert(MOST_IN_PIECES - 1, lane)
        else:
            del self._lanes[lane.number]
        return small + frame(kind, lane.number, piece)

    def waits(self, ticket: int, number: int) -> bool:
        """Return whether nothing of a message has been taken yet."""
        if ticket in self._small:
            return True
        lane = self._lanes.get(number)
        return lane is not None and any(large.ticket == ticket and not large.at for large in lane.waiting)

    def withdraw(self, ticket: int, number: int) -> bool:
        """Remove a message of which nothing has been taken yet. Returns whether there was one."""
        octets = self._small.pop(ticket, None)
        if octets is not None:
            self.size -= len(octets)
            return True
        if not self.waits(ticket, number):
            return False
        lane = self._lanes[number]
        large = next(large for large in lane.waiting if large.ticket == ticket)
        lane.waiting.remove(large)
        self.size -= len(large.payload)
        if not lane.waiting:
            self._turns.remove(lane)
            del self._lanes[number]
        return True

    def drop(self, number: int) -> bool:
        """Drop the messages of a number, but for small ones that are next.

        Returns: Whether one of them had begun, so that a CANCEL tells the receiver to drop it.
        """
        lane = self._lanes.pop(number, None)
        if lane is None:
            return False
        self._turns.remove(lane)
        self.size -= sum(len(large.payload) - large.at for large in lane.waiting)
        begun = lane.waiting[0].at > 0
        if begun:
            self.put_first(FrameType.CANCEL, number)
        return begun
