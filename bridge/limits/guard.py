"""What both listeners ask of a connection, whatever is spoken on it: that there is room for it, that the head of its
request comes in time and in bounds, and that what it is sent is read.

`Guarded` is mixed into a library's connection, in front of it. A peer that breaks a limit is told so in HTTP if it has
not been told anything else yet, and hung up on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus

from msgspec import Struct

from bridge.errors import Why
from bridge.limits.crowd import Crowd
from bridge.limits.head import Head, is_whole

# The IP address, the HTTP status that says it, why in a line, and in a word.
Told = Callable[[str, int, str, Why], None]


class Rules(Struct, frozen=True, kw_only=True):
    """The numbers. Sizes in octets, times in seconds."""

    connections: int = 10_000
    connections_per_address: int = 1_000
    header_bytes: int = 16_384
    header_count: int = 64
    header_timeout: float = 10.0
    send_timeout: float = 30.0
    max_unsent: int = 4_194_304


class House:
    """What the connections of one listener have in common. `told` hears of every one that is turned away."""

    def __init__(self, rules: Rules, told: Told) -> None:
        self.rules = rules
        self.told = told
        self.crowd = Crowd(most=rules.connections, most_of_one=rules.connections_per_address)

    @property
    def attributes(self) -> dict[str, object]:
        """What a class of its connections has."""
        return {"house": self, "send_timeout": self.rules.send_timeout, "max_unsent": self.rules.max_unsent}


class Flowing(asyncio.Protocol):
    """A connection that is given up when what it is sent is not read within `send_timeout`, or when more than
    `max_unsent` octets wait to be."""

    send_timeout = 30.0
    max_unsent = 4_194_304
    _wire: asyncio.Transport
    _stalled: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._wire = transport
        super().connection_made(transport)
        # Tell of all that waits. Not 0: over TLS, asyncio takes an empty buffer for one that is as full as that.
        transport.set_write_buffer_limits(high=1)

    def pause_writing(self) -> None:
        super().pause_writing()
        loop = asyncio.get_running_loop()
        self._stalled = loop.call_later(self.send_timeout, self.give_up, f"it read nothing for {self.send_timeout:g} s")

    def resume_writing(self) -> None:
        self._flows()
        super().resume_writing()

    def data_received(self, data: bytes) -> None:
        # What comes in may be answered by the library itself, as a Ping is, however little is read of that.
        if self._stalled is not None and self._wire.get_write_buffer_size() > self.max_unsent:
            self.give_up(f"more than {self.max_unsent} octets wait for it to read")
            return
        super().data_received(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._flows()
        super().connection_lost(exc)  # type: ignore[arg-type]  # whatever asyncio gives

    def give_up(self, reason: str) -> None:
        """Hang up without another word: nobody would read it."""
        self._wire.abort()

    def _flows(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None


class Guarded(Flowing):
    """A connection that somebody opened to us."""

    house: House
    _address = ""
    _inside = _turned_away = _answered = False
    _head: Head | None = None
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        peer = transport.get_extra_info("peername")
        self._address = str(peer[0]) if peer else ""
        full = self.house.crowd.enter(self._address)
        if full is not None:
            assert isinstance(transport, asyncio.Transport)
            self._wire = transport
            self._turn_away(HTTPStatus.SERVICE_UNAVAILABLE, full, Why.TOO_MANY_CONNECTIONS)
            return
        self._inside = True
        super().connection_made(transport)
        self._head = self._new_head()
        self._set_deadline()

    def data_received(self, data: bytes) -> None:
        if self._turned_away:
            return
        if self._answered and self._head is None:
            self._answered = False
            rules = self.house.rules
            if not is_whole(data, rules.header_bytes, rules.header_count):
                self._head = self._new_head()
        if self._head is not None:
            broken = self._head.feed(data)
            if broken is not None:
                self._turn_away(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, broken, Why.TOO_LARGE)
                return
            if self._head.complete:
                self._head_is_here()
            elif self._deadline is None:  # most heads come in one piece, and need none
                self._set_deadline()
        self.take(data)

    def take(self, data: bytes) -> None:
        """What came breaks no limit."""
        super().data_received(data)

    def eof_received(self) -> None:
        if not self._turned_away:
            super().eof_received()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._head_is_here()
        if self._inside:
            self.house.crowd.leave(self._address)
            super().connection_lost(exc)

    def ignore(self) -> None:
        """Nothing of what comes from now on is looked at."""
        self._head_is_here()
        self._turned_away = True

    def answered(self) -> None:
        """The request is read and answered: another may come."""
        self._answered = True

    def give_up(self, reason: str) -> None:
        self.house.told(self._address, HTTPStatus.REQUEST_TIMEOUT, reason, Why.TOO_SLOW)
        super().give_up(reason)

    def _new_head(self) -> Head:
        rules = self.house.rules
        return Head(most_octets=rules.header_bytes, most_lines=rules.header_count)

    def _set_deadline(self) -> None:
        self._deadline = asyncio.get_running_loop().call_later(self.house.rules.header_timeout, self._too_slow)

    def _head_is_here(self) -> None:
        self._head = None
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        text = f"the head of the request did not arrive within {self.house.rules.header_timeout:g} s"
        self._turn_away(HTTPStatus.REQUEST_TIMEOUT, text, Why.TOO_SLOW)

    def _turn_away(self, status: HTTPStatus, text: str, why: Why) -> None:
        self.ignore()
        self.house.told(self._address, status, text, why)
        self._wire.write(_response(status, text))
        self._wire.close()


def _response(status: HTTPStatus, text: str) -> bytes:
    body = f"{text}\n".encode()
    lines = (
        f"HTTP/1.1 {status.value} {status.phrase}",
        "Content-Type: text/plain; charset=utf-8",
        f"Content-Length: {len(body)}",
        *(("Retry-After: 10",) if status is HTTPStatus.SERVICE_UNAVAILABLE else ()),
        "Connection: close",
    )
    return "\r\n".join((*lines, "", "")).encode() + body
