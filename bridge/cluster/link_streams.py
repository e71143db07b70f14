"""Streams over a link: frames in both directions, in order, as those of a WebSocket.

Each side may send `WINDOW` octets that the other side has not taken yet, and begins no frame beyond that. So what waits
for one reader has a bound, and holds up no other stream. A frame counts `FRAME_COST` octets besides its own.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Protocol

from msgspec import Struct

from bridge.cluster.errors import EndedBy, StreamEnded
from bridge.cluster.link_frames import FrameType

WINDOW = 65_536
FRAME_COST = 64
# The code of a stream whose link ended (RFC 6455 section 7.4.1: no Close frame was received).
LINK_ENDED = 1006
_POLICY = 1008
# Seconds that frames may wait for the peer's reader after a close.
_CLOSE_TIMEOUT = 5.0
# RFC 6455 section 5.5: a Close has 125 octets at most, two of them the code.
_MOST_OF_REASON = 123


class StreamEnd(Struct, frozen=True, kw_only=True):
    """How a stream ended.

    Attributes:
        code: The code of the close, 1006 if the link ended.
        reason: The reason of the close.
        by: What ended the stream.
    """

    code: int
    reason: str
    by: EndedBy


class StreamCarrier(Protocol):
    """What a stream needs of its link."""

    node: str
    most: int

    @property
    def takes(self) -> bool:
        """Whether the link has room for frames. If not, it calls `NodeStream.pump` when it has."""

    def put(self, kind: int, number: int, payload: bytes = b"") -> int:
        """Send a frame after the others of its number."""

    def put_first(self, kind: int, number: int, payload: bytes = b"") -> None:
        """Send a small frame now."""

    def hold(self, stream: NodeStream) -> None:
        """Call the stream's `pump` when the link has room again."""

    def forget(self, number: int, *, drop: bool) -> None:
        """Forget a stream that has ended. With `drop`, drop what it still had to send."""


class NodeStream:
    """One stream between two nodes. The link makes it.

    Received frames go to `receiver` while it returns True, and wait for `recv` otherwise. A text is a str, a frame of
    octets is bytes.

    Attributes:
        node: The name of the other node.
        receiver: Handles a frame at once. If it returns False, the frame and all later ones wait for `recv`.
        closed: How the stream ended, None as long as it is open.
        on_closed: Called once when the stream ends.
    """

    def __init__(self, carrier: StreamCarrier, number: int, *, opened: bool) -> None:
        self.node = carrier.node
        self.closed: StreamEnd | None = None
        self.on_closed: Callable[[StreamEnd], None] | None = None
        self._carrier = carrier
        self._number = number
        self._opened = opened  # the other side knows that this side has accepted the stream
        self._receiver: Callable[[bytes | str], bool] | None = None
        self._received: deque[bytes | str] = deque()
        self._unread = 0  # cost of the frames that were received and not taken
        self._taken = 0  # cost of the frames that were taken and not credited
        self._credit = WINDOW
        # Frames that wait for room. Each future says whether its frame was sent.
        self._pending: deque[tuple[int, bytes, asyncio.Future[bool]]] = deque()
        self._closing: tuple[int, bytes] | None = None
        self._close_timer: asyncio.TimerHandle | None = None
        self._reader: asyncio.Future[None] | None = None
        self._ended: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        return f"<stream {self._number} with {self.node}, {self.closed or 'open'}>"

    # Methods for the owner.

    @property
    def is_accepted(self) -> bool:
        """Whether the side that opened the stream knows that it is open, or will."""
        return self._opened

    def accept(self) -> None:
        """Tell the side that opened the stream that it is open. Any use of the stream does it, too."""
        if not self._opened:
            self._opened = True
            self._carrier.put_first(FrameType.OPENED, self._number)

    @property
    def receiver(self) -> Callable[[bytes | str], bool] | None:
        """What handles frames at once."""
        return self._receiver

    @receiver.setter
    def receiver(self, receiver: Callable[[bytes | str], bool] | None) -> None:
        self._receiver = receiver
        while self._received and self._receiver is not None:
            if not self._receiver(self._received[0]):
                return
            self._take(self._received.popleft())

    def try_send(self, frame: bytes | str) -> bool:
        """Send a frame if the peer has room for it. Returns whether it was taken; if not, `send` waits for room.

        Raises:
            StreamEnded: The stream has ended.
            ValueError: The frame is too large for the link.
        """
        kind, payload = self._encoded(frame)
        if self._pending or self._credit <= 0 or not self._carrier.takes:
            return False
        self._write(kind, payload)
        return True

    async def send(self, frame: bytes | str) -> None:
        """Send a frame, and wait until the peer has room for it. A call that is cancelled meanwhile sends nothing.

        Raises:
            StreamEnded: The stream has ended, possibly before the frame was sent.
            ValueError: The frame is too large for the link.
        """
        if self.try_send(frame):
            return
        sent: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        entry = (*self._encoded(frame), sent)
        self._pending.append(entry)
        self._pump_later()
        try:
            if not await sent:
                raise self._end()
        except asyncio.CancelledError:
            if entry in self._pending:
                self._pending.remove(entry)
            raise

    async def recv(self) -> bytes | str | None:
        """Return the next frame, None when the stream has ended and all of its frames were returned."""
        while not self._received:
            if self.closed is not None:
                return None
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        frame = self._received.popleft()
        self._take(frame)
        return frame

    async def __aiter__(self) -> AsyncIterator[bytes | str]:
        while (frame := await self.recv()) is not None:
            yield frame

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the stream, after the frames that were sent before. Does nothing if it has ended.

        Args:
            code: A number of at most 65535, as in the Close frame of a WebSocket.
            reason: A text, which is cut to what fits into a Close frame.
        """
        if self.closed is not None or self._closing is not None:
            return
        self.accept()
        payload = code.to_bytes(2, "big") + reason.encode()[:_MOST_OF_REASON].decode(errors="ignore").encode()
        if not self._pending:
            self._close_now(code, payload)
            return
        self._closing = code, payload
        loop = asyncio.get_running_loop()
        self._close_timer = loop.call_later(_CLOSE_TIMEOUT, self._close_now, code, payload)

    async def wait_closed(self) -> StreamEnd:
        """Wait until the stream ends. Returns how."""
        if self.closed is None:
            if self._ended is None:
                self._ended = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._ended)
        assert self.closed is not None
        return self.closed

    # Methods for the link.

    def received(self, kind: int, payload: bytes) -> str:
        """Handle a frame of the peer. Returns why it breaks the rules of the link, "" if it does not."""
        cost = len(payload) + FRAME_COST
        if self._unread + self._taken >= WINDOW:
            return f"a frame beyond the {WINDOW} octets that a stream may send"
        frame: bytes | str = payload
        if kind == FrameType.TEXT:
            try:
                frame = payload.decode()
            except UnicodeDecodeError:
                return "a text that is no UTF-8"
        self._unread += cost
        if not self._received and self._receiver is not None and self._receiver(frame):
            self._take(frame, cost)
            return ""
        self._received.append(frame)
        self._wake()
        return ""

    def credited(self, octets: int) -> None:
        """Handle that the peer has taken frames."""
        self._credit += octets
        self.pump()

    def pump(self) -> None:
        """Send frames that wait, as far as the peer and the link have room for them."""
        while self._pending and self._credit > 0 and self._carrier.takes:
            kind, payload, sent = self._pending.popleft()
            if not sent.done():
                self._write(kind, payload)
                sent.set_result(True)
        if self._pending:
            self._pump_later()
        elif self._closing is not None and self.closed is None:
            self._close_now(*self._closing)

    def closed_by(self, payload: bytes) -> None:
        """Handle a CLOSE of the peer."""
        code = int.from_bytes(payload[:2], "big")
        self._finish(StreamEnd(code=code, reason=payload[2:].decode(errors="replace"), by=EndedBy.PEER))

    def refuse(self) -> None:
        """Handle that this side has refused the stream, with an error."""
        self._finish(StreamEnd(code=_POLICY, reason="the stream was refused", by=EndedBy.US))

    def lost(self, why: str) -> None:
        """Handle the end of the link."""
        self._finish(StreamEnd(code=LINK_ENDED, reason=why, by=EndedBy.LINK))

    # Private methods.

    def _encoded(self, frame: bytes | str) -> tuple[int, bytes]:
        if self.closed is not None or self._closing is not None:
            raise self._end()
        kind, payload = (FrameType.TEXT, frame.encode()) if isinstance(frame, str) else (FrameType.BINARY, bytes(frame))
        if len(payload) > self._carrier.most:
            raise ValueError(f"a frame of {len(payload)} octets, more than {self._carrier.most}")
        return kind, payload

    def _end(self) -> StreamEnded:
        if self.closed is not None:
            return StreamEnded(self.closed.code, self.closed.reason, self.closed.by)
        assert self._closing is not None
        code, payload = self._closing
        return StreamEnded(code, payload[2:].decode(), EndedBy.US)

    def _write(self, kind: int, payload: bytes) -> None:
        self.accept()
        self._credit -= len(payload) + FRAME_COST
        self._carrier.put(kind, self._number, payload)

    def _pump_later(self) -> None:
        if self._credit > 0:
            self._carrier.hold(self)

    def _take(self, frame: bytes | str, cost: int | None = None) -> None:
        """Count a frame as taken, and tell the peer if it may need the room."""
        if cost is None:
            cost = (len(frame.encode()) if isinstance(frame, str) else len(frame)) + FRAME_COST
        self._unread -= cost
        self._taken += cost
        if self._taken >= WINDOW // 2 and self.closed is None:
            self.accept()
            self._carrier.put_first(FrameType.CREDIT, self._number, self._taken.to_bytes(4, "big"))
            self._taken = 0

    def _close_now(self, code: int, payload: bytes) -> None:
        if self.closed is None:
            self._carrier.put(FrameType.CLOSE, self._number, payload)
            self._finish(StreamEnd(code=code, reason=payload[2:].decode(), by=EndedBy.US))

    def _finish(self, end: StreamEnd) -> None:
        if self.closed is not None:
            return
        self.closed = end
        self._carrier.forget(self._number, drop=end.by is not EndedBy.US)
        while self._pending:
            *_, sent = self._pending.popleft()
            if not sent.done():
                sent.set_result(False)
        if self._close_timer is not None:
            self._close_timer.cancel()
        if self._ended is not None:
            _settle(self._ended)
        self._wake()
        if self.on_closed is not None:
            asyncio.get_running_loop().call_soon(self.on_closed, end)

    def _wake(self) -> None:
        if self._reader is not None:
            _settle(self._reader)


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
