"""A WebSocket that another process of the cluster accepted: its two ends, joined by a stream of frames.

The process that accepted the WebSocket passes messages both ways (WebSocketRelay). The process that has the Charge
Point gets a RelayedWebSocket, which looks to it like a WebSocket of its own.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

import msgspec
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, ConnectionClosedOK
from websockets.frames import Close

from bridge.errors import SendFailed
from bridge.net.message_socket import MessageSocket
from bridge.net.tasks import Tasks

_NORMAL, _ABNORMAL, _SERVICE_RESTART, _TRY_AGAIN_LATER = 1000, 1006, 1012, 1013
# The messages that may wait while one is handled; then the stream is not read.
_MOST_WAITING = 16
# A frame in text says something about the connection itself. Messages are frames of octets.
_OPEN, _ALIVE = "open", "alive"
# The message type and the UniqueId of a message, which begin it. A longer UniqueId is not followed.
_BEGINNING = re.compile(rb'\s*\[\s*([234])\s*,\s*("(?:[^"\\]|\\.){0,99}"|-?\d{1,40})\s*[,\]]')
_CALL = b"2"
# The most Calls of one side that are followed: more than a side may send before it has an answer.
_MOST_CALLS = 16
# Seconds between two signs of life that are no messages.
_SIGN_EVERY = 5.0


class FrameStream(Protocol):
    """A stream of frames between two processes."""

    receiver: Callable[[bytes | str], bool] | None
    """Handles a frame at once. If it returns False, the frame and later ones wait until it is set again."""
    on_closed: Callable[[Any], None] | None
    """Called with a FrameStreamEnd when the stream has ended."""

    def try_send(self, frame: bytes | str) -> bool:
        """Send a frame if there is room for it. Returns whether it was taken. Raises SendFailed."""

    async def send(self, frame: bytes | str) -> None:
        """Send a frame, and wait until there is room for it. Raises SendFailed."""

    def close(self, code: int, reason: str) -> None:
        """Close the stream after the frames that were sent before."""


class FrameStreamEnd(Protocol):
    """How a stream ended: a WebSocket close code, 1006 if the link between the processes ended, and the reason."""

    @property
    def code(self) -> int:
        """The close code."""

    @property
    def reason(self) -> str:
        """The reason."""


class RelayedWebSocket:
    """The WebSocket of a Charge Point that another process accepted.

    Args:
        stream: The stream to that process.
        subprotocol: What was agreed on in the handshake.
        peer: The IP address and the port of the Charge Point.
        max_unsent: The most octets that may wait for the other process to take them.
    """

    def __init__(
        self, stream: FrameStream, subprotocol: str | None, peer: tuple[str, int], max_unsent: int = 4_194_304
    ) -> None:
        self._max_unsent = max_unsent
        self._unsent: deque[bytes] = deque()
        self._unsent_octets = 0
        self._tasks = Tasks()
        self.subprotocol = subprotocol
        self.remote_address: tuple[str, int] | None = peer
        self.receiver: Callable[[bytes], bool] | None = None
        self.on_control: Callable[[], None] | None = None
        self.opened = asyncio.Event()
        """Set when the handshake is complete, or will never be."""
        self._stream = stream
        self._lost = asyncio.get_running_loop().create_future()
        self._end: FrameStreamEnd | None = None
        self._closed_with: Close | None = None
        self._waiting: deque[bytes] = deque()
        self._unread = 0  # number of messages that wait or are being handled after `recv`
        self._reader: asyncio.Future[None] | None = None
        stream.on_closed = self._ended
        stream.receiver = self._take

    @property
    def is_open(self) -> bool:
        """Whether a message can be sent."""
        return self._end is None and self._closed_with is None

    @property
    def end(self) -> ConnectionClosed:
        """How the WebSocket ended, as far as the process that accepted it has told."""
        end, sent = self._end, self._closed_with
        rcvd = None if end is None or sent is not None or end.code == _ABNORMAL else Close(end.code, end.reason)
        kind = ConnectionClosedOK if rcvd is not None and rcvd.code in (_NORMAL, 1001) else ConnectionClosedError
        return kind(rcvd, sent)

    def send(self, data: bytes) -> None:
        """Send a text message, in UTF-8. Close the connection if too many octets wait for the other process."""
        try:
            if not self.is_open or (not self._unsent and self._stream.try_send(data)):
                return
        except SendFailed:
            return  # `_ended` follows
        if self._unsent_octets > self._max_unsent:
            self._unsent.clear()
            self.close(_TRY_AGAIN_LATER, f"more than {self._max_unsent} octets wait for it to read")
            return
        self._unsent.append(data)
        self._unsent_octets += len(data)
        if len(self._unsent) == 1:
            self._tasks.spawn(self._send_rest(), name="sending to another process")

    async def _send_rest(self) -> None:
        """Send what waits, as the other process has room for it."""
        while self._unsent:
            with suppress(SendFailed):  # `_ended` clears what waits
                await self._stream.send(self._unsent[0])
            if self._unsent:
                self._unsent_octets -= len(self._unsent.popleft())
        if self._closed_with is not None and self._end is None:
            self._stream.close(self._closed_with.code, self._closed_with.reason)

    async def recv(self) -> bytes | None:
        """Return the next message that `receiver` did not take, None at the end. Call `one_read` when it is handled."""
        while not self._waiting:
            if self._lost.done():
                return None
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        return self._waiting.popleft()

    def one_read(self) -> None:
        """Note that a message from `recv` is handled."""
        self._unread -= 1
        if self._unread == _MOST_WAITING and self._end is None:
            self._stream.receiver = self._take  # the frames that wait come now

    def close(self, code: int, reason: str) -> None:
        """Close the WebSocket after the messages that were sent before."""
        if self.is_open:
            self._closed_with = Close(code, reason)
            if not self._unsent:
                self._stream.close(code, reason)

    async def closed(self) -> None:
        """Wait until the connection has ended."""
        await asyncio.shield(self._lost)

    def _take(self, frame: bytes | str) -> bool:
        if isinstance(frame, str):
            self.opened.set()
            if frame == _ALIVE and self.on_control is not None:
                self.on_control()
            return True
        if self._unread > _MOST_WAITING:
            return False
        if self._unread or self.receiver is None or not self.receiver(frame):
            self._waiting.append(frame)
            self._unread += 1
            self._wake()
        return True

    def _ended(self, end: FrameStreamEnd) -> None:
        self._end = end
        self._unsent.clear()
        self.opened.set()
        if not self._lost.done():
            self._lost.set_result(None)
        self._wake()

    def _wake(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None and not reader.done():
            reader.set_result(None)


class WebSocketRelay:
    """Passes messages between a WebSocket that this process accepted and the process that has the Charge Point."""

    def __init__(self, connection: MessageSocket, stream: FrameStream) -> None:
        self._connection, self._stream = connection, stream
        self._told_at = float("-inf")
        # The UniqueIds of the Calls of either side that have no answer so far. One that is sent again has one answer.
        self._from_charge_point: dict[str, None] = {}
        self._to_charge_point: dict[str, None] = {}

    async def run(self) -> None:
        """Pass messages until the WebSocket has ended.

        If the stream ends first, the WebSocket is closed with the same code, or with 1012 (service restart) if the
        other process is gone: the Charge Point then connects again.
        """
        connection, stream = self._connection, self._stream
        stream.on_closed, stream.receiver = self._ended, self._to_websocket
        connection.on_control, connection.receiver = self._alive, self._to_stream
        try:
            with suppress(SendFailed):  # `_ended` closes the WebSocket
                await stream.send(_OPEN)
            while (data := await connection.recv()) is not None:
                _follow(data, self._from_charge_point, self._to_charge_point)
                with suppress(SendFailed):  # `_ended` closes the WebSocket
                    await stream.send(data)
                connection.one_read()
        finally:
            connection.on_control = connection.receiver = None  # breaks reference cycles
        received = connection.end.rcvd
        stream.close(*((_ABNORMAL, "the connection broke") if received is None else (received.code, received.reason)))

    def close_if_quiet(self, code: int, reason: str) -> None:
        """Close the WebSocket, unless a Call waits for its answer."""
        if not self._from_charge_point and not self._to_charge_point:
            self._connection.close(code, reason)

    def leave(self) -> None:
        """Close the WebSocket, because yet another process has the Charge Point, which then connects again."""
        self._connection.close(_SERVICE_RESTART, "another process has this Charge Point")

    def _pass(self, frame: bytes | str) -> bool:
        try:
            return self._stream.try_send(frame)
        except SendFailed:
            return True  # `_ended` closes the WebSocket

    def _to_stream(self, data: bytes) -> bool:
        if not self._pass(data):
            return False
        _follow(data, self._from_charge_point, self._to_charge_point)
        return True

    def _to_websocket(self, frame: bytes | str) -> bool:
        if isinstance(frame, bytes):
            _follow(frame, self._to_charge_point, self._from_charge_point)
            self._connection.send(frame)
        return True

    def _alive(self) -> None:
        if (now := time.monotonic()) - self._told_at >= _SIGN_EVERY and self._pass(_ALIVE):
            self._told_at = now

    def _ended(self, end: FrameStreamEnd) -> None:
        self._connection.receiver = None
        if end.code == _ABNORMAL:
            self._connection.close(_SERVICE_RESTART, "the process that has this Charge Point is gone")
        else:
            self._connection.close(end.code, end.reason)


def _follow(message: bytes, own: dict[str, None], others: dict[str, None]) -> None:
    """Note that a message passes.

    Args:
        message: The message.
        own: The UniqueIds of the Calls of its sender that wait for an answer, the oldest first.
        others: Those of the Calls of its receiver.
    """
    if (found := _BEGINNING.match(message)) is None:
        return
    kind, written = found.groups()
    try:
        unique_id = str(msgspec.json.decode(written))  # an answer may spell it otherwise
    except (msgspec.DecodeError, UnicodeDecodeError):
        return
    if kind != _CALL:
        others.pop(unique_id, None)
        return
    own[unique_id] = None
    if len(own) > _MOST_CALLS:
        del own[next(iter(own))]
