"""What a WebSocket peer may do besides sending messages: fragments, Pings and Pongs, and reading what it is sent.

websockets bounds the octets of a message, not the number of its fragments, which may be empty; and it answers every
Ping, whether or not the answers are read.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import cache

from msgspec import Struct
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.connection import Connection
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response

from bridge.limits.bucket import Bucket
from bridge.limits.guard import Flowing

_POLICY, _TOO_BIG, _TRY_AGAIN_LATER = 1008, 1009, 1013
_CONTROL = frozenset({Opcode.PING, Opcode.PONG})


class Bounds(Struct, frozen=True, kw_only=True):
    """The numbers. `frames_per_second` and `frames_burst` are of Pings and Pongs; `max_unsent` octets, `send_timeout`
    seconds."""

    max_size: int = 1_048_576
    max_fragments: int = 1_024
    json_depth: int = 32
    frames_per_second: float = 50.0
    frames_burst: float = 500.0
    send_timeout: float = 30.0
    max_unsent: int = 4_194_304


class Bounded(Flowing, Connection):
    """A WebSocket whose peer keeps to the bounds, or is closed."""

    bounds = Bounds()
    # Takes a text at once, unless it returns False: then that waits, and all that follows, to be read as from any
    # WebSocket. What is taken at once costs no queue and no task that has to be woken.
    receiver: Callable[[bytes], bool] | None = None
    _unread = 0  # messages that wait
    _fragments = 0
    _control: Bucket | None = None
    _abort: asyncio.TimerHandle | None = None

    def process_event(self, event: Request | Response | Frame) -> None:
        if isinstance(event, Frame):
            if event.opcode is Opcode.TEXT and event.fin and self._is_taken(event.data):
                return
            self._count(event)
        super().process_event(event)

    def _is_taken(self, data: bytes | bytearray | memoryview) -> bool:
        """Whether a whole text is done with. Not what is no UTF-8: websockets closes the connection for that."""
        if self._unread or self.receiver is None:
            return False
        text = bytes(data)
        return (text.isascii() or _is_utf8(text)) and self.receiver(text)

    def one_read(self) -> None:
        """One of the messages that waited does not any more."""
        self._unread -= 1

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        # websockets waits for the peer to close what it has failed itself, however long that takes.
        if self._abort is None and self.close_timeout is not None and self.protocol.close_expected():
            self._abort = self.loop.call_later(self.close_timeout, self.transport.abort)

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._abort is not None:
            self._abort.cancel()
            self._abort = None
        super().connection_lost(exc)

    def give_up(self, reason: str) -> None:
        """End it at once: a peer that does not read would not read a Close either."""
        self.protocol.fail(_TRY_AGAIN_LATER, reason)
        super().give_up(reason)

    def _count(self, frame: Frame) -> None:
        if frame.opcode in _CONTROL:
            if self._control is None:
                self._control = Bucket(self.bounds.frames_per_second, self.bounds.frames_burst, time.monotonic)
            if self._control.take():
                self._fail(_POLICY, "too many control frames")
        elif frame.fin:
            self._fragments = 0
            self._unread += 1
        else:
            self._fragments += 1
            if self._fragments > self.bounds.max_fragments:
                self._fail(_TOO_BIG, f"more than {self.bounds.max_fragments} fragments")

    def _fail(self, code: int, reason: str) -> None:
        if not self.protocol.close_expected():
            self.protocol.fail(code, reason)
            self.send_data()


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


class DialledConnection(Bounded, ClientConnection):
    """One that we opened."""


@cache
def dialled(bounds: Bounds) -> type[DialledConnection]:
    """Connections that keep to `bounds`."""
    attributes = {"bounds": bounds, "send_timeout": bounds.send_timeout, "max_unsent": bounds.max_unsent}
    return type("Dialled", (DialledConnection,), attributes)
