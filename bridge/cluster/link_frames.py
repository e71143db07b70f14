"""Frames of the links between nodes: octets in, messages out, and the other way round.

A frame is the number of octets of its payload (4 octets), its type (1 octet), the number of the ask or stream that it
belongs to (4 octets), and its payload. All numbers are unsigned and in network order. A message whose payload has more
than `PIECE` octets is cut into several frames of the same type and number. All but the last have the bit `MORE` in
their type, and frames of other numbers may stand between them.
"""

from __future__ import annotations

from enum import IntEnum
from struct import Struct


class FrameType(IntEnum):
    """What a frame carries. The side that dialled the link asks and opens streams, and gives the numbers."""

    # Payload: `bridge.cluster.hello`.
    HELLO = 1
    REFUSED = 2
    # Payload: the octets of the kind's name (1 octet), the name, and the payload of the ask.
    REQUEST = 3
    OPEN = 4
    # Payload: that of the answer.
    ANSWER = 5
    # Payload: the octets of the code (1 octet), the code, and the text.
    ERROR = 6
    # The sender drops what it has begun to send under this number, and wants no answer. No payload.
    CANCEL = 7
    # The stream is accepted. No payload.
    OPENED = 8
    # Payload: a frame of the stream.
    TEXT = 9
    BINARY = 10
    # Payload: the code (2 octets), and the reason.
    CLOSE = 11
    # Payload: the octets that the receiver of a stream has taken (4 octets).
    CREDIT = 12
    # No payload, number 0.
    PING = 13
    PONG = 14


# The most octets of a frame's payload.
PIECE = 65_536
MORE = 0x80
# The most messages that may be under way in pieces at once, in one direction.
MOST_IN_PIECES = 8
# The octets before the payload.
HEAD = 9
# The first frame of each side has this number, "OCPB", and few octets: other protocols are told from it by that.
GREETING = 0x4F435042
MOST_OF_GREETING = 4096

_HEAD = Struct("!IBI")
_CUT = frozenset({FrameType.REQUEST, FrameType.OPEN, FrameType.ANSWER, FrameType.TEXT, FrameType.BINARY})
_KNOWN = frozenset(map(int, FrameType)) | {kind | MORE for kind in _CUT}
_ENDS = (FrameType.CANCEL, FrameType.CLOSE)

Received = tuple[int, int, bytes]
"""The type, number and payload of a message."""

pack_head = _HEAD.pack
"""Return the octets before a payload, from its size, type and number."""


def frame(kind: int, number: int, payload: bytes = b"") -> bytes:
    """Return the octets of one frame."""
    return pack_head(len(payload), kind, number) + payload


class FrameReader:
    """Turns received octets into messages, in whatever pieces the octets come.

    The first message must be a HELLO or REFUSED. After the first error, all octets are discarded.

    Args:
        most: The most octets of a message's payload.

    Attributes:
        broken: Why the octets are not those of a link; "" while they are.
    """

    __slots__ = ("_begun", "_most", "_parts", "_rest", "_sizes", "broken")

    def __init__(self, most: int) -> None:
        self.broken = ""
        self._most = most
        self._begun = False
        self._rest = b""
        # The pieces of messages whose end has not come, and their types and octets, by number.
        self._parts: dict[int, list[bytes]] = {}
        self._sizes: dict[int, tuple[int, int]] = {}

    def feed(self, data: bytes) -> list[Received]:
        """Return the messages that `data` completes, in the order in which they end."""
        messages: list[Received] = []
        if self.broken:
            return messages
        if self._rest:
            data = self._rest + data
        at, end = 0, len(data)
        while end - at >= HEAD:
            size, kind, number = _HEAD.unpack_from(data, at)
            if not self._begun or size > PIECE or kind not in _KNOWN:
                self._look_at_head(size, kind, number)
                if self.broken:
                    self._rest = b""
                    return messages
            start = at + HEAD
            if end - start < size:
                break
            at = start + size
            self._begun = True
            if kind & MORE or self._parts:
                message = self._joined(kind, number, data[start:at])
                if self.broken:
                    self._rest = b""
                    return messages
                if message is not None:
                    messages.append(message)
            else:
                messages.append((kind, number, data[start:at]))
        self._rest = data[at:] if at < end else b""
        return messages

    def _look_at_head(self, size: int, kind: int, number: int) -> None:
        if not self._begun:
            greets = kind in (FrameType.HELLO, FrameType.REFUSED) and number == GREETING and size <= MOST_OF_GREETING
            if not greets:
                self.broken = "the first octets are not those of a node"
        elif size > PIECE:
            self.broken = f"a frame of {size} octets, more than {PIECE}"
        else:
            self.broken = f"a frame of the unknown type {kind}"

    def _joined(self, kind: int, number: int, payload: bytes) -> Received | None:
        """Return a message whose last piece this is, or that has only one piece."""
        base = kind & ~MORE
        if base not in _CUT:
            if base in _ENDS:
                self._parts.pop(number, None)
                self._sizes.pop(number, None)
            return kind, number, payload
        parts = self._parts.get(number)
        if parts is None:
            if kind == base:
                return kind, number, payload
            if len(self._parts) == MOST_IN_PIECES:
                self.broken = f"more than {MOST_IN_PIECES} messages in pieces at once"
                return None
            self._parts[number], self._sizes[number] = [payload], (base, len(payload))
            return None
        before, octets = self._sizes[number]
        octets += len(payload)
        if before != base:
            self.broken = f"a piece of type {base} amid a message of type {before}"
        elif octets > self._most:
            self.broken = f"a message of more than {self._most} octets"
        elif kind & MORE:
            parts.append(payload)
            self._sizes[number] = base, octets
        else:
            del self._parts[number], self._sizes[number]
            return base, number, b"".join((*parts, payload))
        return None


def named(name: str) -> bytes:
    """Return what stands before the payload of a REQUEST or OPEN, or before the text of an ERROR.

    Raises:
        ValueError: The name has more than 255 octets.
    """
    octets = name.encode()
    if len(octets) > 255:
        raise ValueError(f"a name of {len(octets)} octets, more than 255: {name[:40]!r}")
    return bytes((len(octets),)) + octets


def split_name(payload: bytes) -> tuple[bytes, bytes]:
    """Return the name, as octets, and what follows it.

    Raises:
        ValueError: The payload ends within the name.
    """
    end = 1 + payload[0] if payload else 1
    if len(payload) < end:
        raise ValueError("the payload ends within its name")
    return payload[1:end], payload[end:]
