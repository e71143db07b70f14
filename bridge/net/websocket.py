"""A WebSocket on websockets' sans-I/O protocol, dialled or accepted, with limits.

websockets limits the octets of a message, but not the number of its fragments, which may be empty. It answers every
Ping, even if the peer does not read the answers. This module limits both.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from msgspec import Struct
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import Protocol, State

from bridge.net.limits.bucket import Bucket
from bridge.net.limits.connections import FlowControlled

TOO_BIG = 1009
_NOT_UTF8, _POLICY, _INTERNAL_ERROR, _TRY_AGAIN_LATER = 1007, 1008, 1011, 1013
# websockets would log a traceback for each broken handshake. The bridge logs a refusal instead.
SILENT = logging.getLogger("bridge.websockets.silent")
SILENT.disabled = True
# Seconds that the peer has to answer a Close.
_CLOSE_TIMEOUT = 2.0
# Messages that may wait to be handled. While more wait, the socket is not read.
_MOST_WAITING = 16


class WebSocketBounds(Struct, frozen=True, kw_only=True):
    """The limits of a WebSocket.

    Attributes:
        max_size: The most octets of a message.
        max_fragments: The most fragments of a message.
        json_depth: The deepest nesting of objects and lists in a frame.
        json_members: The most members and items of objects and lists in a frame.
        frames_per_second: The most Pings and Pongs per second.
        frames_burst: The most Pings and Pongs at once.
        send_timeout: The seconds that the peer may take to read the octets sent to it.
        max_unsent: The most octets that may wait for the peer to read.
    """

    max_size: int = 1_048_576
    max_fragments: int = 1_024
    json_depth: int = 32
    json_members: int = 20_000
    frames_per_second: float = 50.0
    frames_burst: float = 500.0
    send_timeout: float = 30.0
    max_unsent: int = 4_194_304


class WebSocketConnection(FlowControlled):
    """A WebSocket that is closed if its peer exceeds a limit.

    Args:
        protocol: The sans-I/O protocol of websockets, a client's or a server's.
        bounds: The limits.
        ping_interval: Seconds between two Pings, and the seconds that a peer may be silent after one; None for no
            Pings.
    """

    def __init__(self, protocol: Protocol, bounds: WebSocketBounds, ping_interval: float | None) -> None:
        self.protocol = protocol
        self.bounds = bounds
        self.send_timeout, self.max_unsent = bounds.send_timeout, bounds.max_unsent
        # Handles a message at once. If it returns False, the message and all later ones wait for `recv`.
        self.receiver: Callable[[bytes], bool] | None = None
        # Called for each Ping and Pong of the peer.
        self.on_control: Callable[[], None] | None = None
        self._loop = asyncio.get_running_loop()
        self._ping_interval = ping_interval
        self._lost = self._loop.create_future()
        self._pinging: asyncio.TimerHandle | None = None
        self._ending: asyncio.TimerHandle | None = None
        self._waiting: deque[bytes] = deque()
        self._unread = 0  # number of messages that wait or are being handled after `recv`
        self._reader: asyncio.Future[None] | None = None
        self._fragments: list[bytes] = []
        self._is_text = True
        self._control: Bucket | None = None
        self._frames = 0  # number of frames received, of any kind
        self._failed = False

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol that was agreed on in the handshake, None if none was."""
        return self.protocol.subprotocol

    @property
    def remote_address(self) -> tuple[str, int] | None:
        """The peer's IP address and port, None if they are not known."""
        address = self._wire.get_extra_info("peername")
        return None if address is None else (str(address[0]), int(address[1]))

    @property
    def is_open(self) -> bool:
        """Whether a message can be sent."""
        return self.protocol.state is State.OPEN

    @property
    def is_closing(self) -> bool:
        """Whether the TCP connection is closed, or about to be."""
        return self._wire.is_closing()

    @property
    def end(self) -> ConnectionClosed:
        """The Close frames of both ends, with their codes and reasons. Available when the connection has ended."""
        return self.protocol.close_exc

    # Methods for the owner.

    def send(self, data: bytes) -> None:
        """Send a text message, in UTF-8. Close the connection if too many octets wait for the peer to read."""
        if self._wire.get_write_buffer_size() > self.max_unsent:
            self.give_up(f"more than {self.max_unsent} octets wait for it to read")
        elif self.is_open:
            self.protocol.send_text(data)
            self._flush()

    async def recv(self) -> bytes | None:
        """Return the next message that `receiver` did not take, None at the end. Call `one_read` when it is handled."""
        while not self._waiting:
            if self._lost.done():
                return None
            self._reader = self._loop.create_future()
            await self._reader
        return self._waiting.popleft()

    def one_read(self) -> None:
        """Note that a message from `recv` is handled."""
        self._unread -= 1
        if self._unread == _MOST_WAITING:
            self._wire.resume_reading()

    def close(self, code: int, reason: str) -> None:
        """Close the WebSocket after the messages that were sent before."""
        # RFC 6455 section 5.5.1: a control frame has 125 bytes at most, two of them the code.
        text = reason.encode()[:120].decode(errors="ignore")
        if self.is_open:
            self.protocol.send_close(code, text)
            self._flush()
        elif self.protocol.state is State.CONNECTING:
            self._wire.close()

    async def closed(self) -> None:
        """Wait until the connection has ended."""
        await asyncio.shield(self._lost)

    def give_up(self, reason: str) -> None:
        """Close the connection at once: a peer that does not read would not read a Close either."""
        self.protocol.fail(_TRY_AGAIN_LATER, reason)
        super().give_up(reason)

    def fail(self, code: int, reason: str) -> None:
        """Close the WebSocket because the peer exceeds a limit, and ignore all further frames."""
        if not self._failed and not self.protocol.close_expected():
            self._failed = True
            self.protocol.fail(code, reason)
            self._flush()

    # Callbacks of asyncio.

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self._wire.is_closing():
            self.protocol.receive_data(data)
            self._advance()

    def eof_received(self) -> bool | None:
        self.protocol.receive_eof()
        self._advance()
        return None

    def connection_lost(self, exc: BaseException | None) -> None:
        self.protocol.receive_eof()
        for timer in (self._pinging, self._ending):
            if timer is not None:
                timer.cancel()
        self._pinging = self._ending = None
        if not self._lost.done():
            self._lost.set_result(None)
        self._wake()
        super().connection_lost(exc)

    # Handling of the handshake and of frames.

    def opened_websocket(self) -> None:
        """Start the Pings: the handshake is complete."""
        if self._ping_interval is not None:
            self._pinging = self._loop.call_later(self._ping_interval, self._ping, None)

    def handshaken(self, event: Request | Response) -> None:
        """Handle the request or response of the other end's handshake."""

    def _advance(self) -> None:
        self._flush()
        for event in self.protocol.events_received():
            if isinstance(event, Frame):
                self._received(event)
            else:
                self.handshaken(event)
                self._flush()

    def _flush(self) -> None:
        """Write the octets that the protocol wants to send."""
        for data in self.protocol.data_to_send():
            if data:
                self._wire.write(data)
            elif self._wire.can_write_eof():
                self._wire.write_eof()
            else:
                self._wire.close()
        if self._ending is None and self.protocol.close_expected():
            # The protocol would wait without limit for the peer to close.
            self._ending = self._loop.call_later(_CLOSE_TIMEOUT, self._wire.abort)

    def _received(self, frame: Frame) -> None:
        self._frames += 1
        if self._failed:
            return
        match frame.opcode:
            case Opcode.PING | Opcode.PONG:
                self._count_control()
                if self.on_control is not None:
                    self.on_control()
            case Opcode.TEXT | Opcode.BINARY:
                self._is_text = frame.opcode is Opcode.TEXT
                self._take(frame)
            case Opcode.CONT:
                self._take(frame)

    def _take(self, frame: Frame) -> None:
        if not frame.fin:
            self._fragments.append(bytes(frame.data))
            if len(self._fragments) > self.bounds.max_fragments:
                self.fail(TOO_BIG, f"more than {self.bounds.max_fragments} fragments")
            return
        data = bytes(frame.data)
        if self._fragments:
            data = b"".join((*self._fragments, data))
            self._fragments.clear()
        if self._is_text and not data.isascii() and not _is_utf8(data):
            self.fail(_NOT_UTF8, "a text that is no UTF-8")
        elif self._unread or self.receiver is None or not self.receiver(data):
            self._waiting.append(data)
            self._unread += 1
            if self._unread > _MOST_WAITING:
                self._wire.pause_reading()
            self._wake()

    def _wake(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None and not reader.done():
            reader.set_result(None)

    def _count_control(self) -> None:
        if self._control is None:
            self._control = Bucket(self.bounds.frames_per_second, self.bounds.frames_burst, time.monotonic)
        if self._control.take():
            self.fail(_POLICY, "too many control frames")

    def _ping(self, frames: int | None) -> None:
        """Send a Ping, or close the WebSocket if no frame came since the last Ping.

        Any frame shows that the peer is alive, not only a Pong (rule 76). While too many messages wait, the socket is
        not read, so that nothing shows whether the peer is alive.

        Args:
            frames: The number of frames that had been received at the last Ping, None if this is the first.
        """
        assert self._ping_interval is not None
        if not self.is_open:
            return
        if frames == self._frames and self._unread <= _MOST_WAITING:
            self.fail(_INTERNAL_ERROR, "keepalive ping timeout")
            return
        with suppress(ConnectionClosed):
            self.protocol.send_ping(b"%d" % self._frames)
            self._flush()
        self._pinging = self._loop.call_later(self._ping_interval, self._ping, self._frames)


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
