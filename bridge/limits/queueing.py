"""A connection whose requests may have to wait at a Turnstile, and are refused there if too many do: before the library
that serves it has seen any of them."""

from __future__ import annotations

import re
from collections.abc import Callable
from http import HTTPStatus

from bridge.errors import Why
from bridge.limits.guard import Guarded
from bridge.limits.turnstile import Entry, Turnstile

_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,18})[ \t]*\r\n", re.IGNORECASE)
# What makes it doubtful where the request ends: RFC 9112 section 6, RFC 9110 section 10.1.1.
_DOUBTFUL = re.compile(
    rb"\r\n(?:transfer-encoding|expect|connection:[ \t]*close|content-length.*\r\ncontent-length)",
    re.IGNORECASE | re.DOTALL,
)
# Octets that are held for who waits; more are left to its socket.
_MOST_HELD = 262_144

# What to answer a request with: the beginning of it, and whether the connection stays open.
Refusal = Callable[[bytes, bool], bytes]


class Queueing(Guarded):
    """Its class has the Turnstile, and the response to what that refuses."""

    turnstile: Turnstile
    refusal: Refusal
    _held: bytes | None = None  # of the request that waits
    _surplus = 0  # octets that are still to come of a request that was refused
    _resting = True  # no request is with the library
    _served = False  # one was

    def take(self, data: bytes) -> None:
        if self._held is not None:
            self._hold(self._held + data)
        elif self._surplus:
            self._pass_over(data)
        # A request for a page passes, and so does one that is sent before the answer to the last was read.
        elif not self._resting or not data.startswith(b"POST ") or self._wire.get_write_buffer_size():
            self._give(data)
        else:
            self._queue(data)

    def _queue(self, data: bytes) -> None:
        match self.turnstile.enter(self):
            case Entry.PASSES:
                self._give(data)
            case Entry.WAITS:
                self._hold(data)
            case Entry.REFUSED:
                self._refuse(data)

    def _give(self, data: bytes) -> None:
        self._resting = False
        super().take(data)

    def _hold(self, data: bytes) -> None:
        self._held = data
        if len(data) > _MOST_HELD:
            self._wire.pause_reading()

    def proceed(self) -> None:
        """It need not wait any more."""
        held, self._held = self._held or b"", None
        if len(held) > _MOST_HELD:
            self._wire.resume_reading()
        self._give(held)

    def turned_away(self) -> None:
        """The listener closes."""
        held, self._held = self._held or b"", None
        self._end(held)

    def answered(self) -> None:
        super().answered()
        self._resting = self._served = True

    def connection_lost(self, exc: BaseException | None) -> None:
        self._held = None
        self.turnstile.leave(self)
        super().connection_lost(exc)

    def _refuse(self, data: bytes) -> None:
        """Of a connection on which nothing was served yet nobody knows how long to keep it."""
        surplus = _still_to_come(data) if self._served else None
        self.house.told(self._address, HTTPStatus.SERVICE_UNAVAILABLE, self.turnstile.full, Why.BUSY)
        if surplus is None:
            self._end(data)
            return
        self._wire.write(self.refusal(data, True))
        self._surplus = surplus
        self._pass_over(b"")

    def _pass_over(self, data: bytes) -> None:
        """What is still to come of a request that was refused is not looked at, and what follows it is the next."""
        rest = data[self._surplus :]
        self._surplus -= len(data) - len(rest)
        if not self._surplus:
            super().answered()
            if rest:
                self.data_received(rest)

    def _end(self, data: bytes) -> None:
        self.ignore()
        self._wire.write(self.refusal(data, False))
        self._wire.close()


def _still_to_come(data: bytes) -> int | None:
    """How many octets of the request that begins with `data` are not here yet; None where that cannot be told, or
    something follows it."""
    end = data.find(_END)
    head = data[: end + 2]
    found = _LENGTH.search(head)
    if end < 0 or found is None or _DOUBTFUL.search(head):
        return None
    surplus = end + len(_END) + int(found[1]) - len(data)
    return None if surplus < 0 else surplus
