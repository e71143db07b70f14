"""A connection whose requests may have to wait at a Turnstile, and are refused there if too many do: before the library
that serves it has seen any of them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

from bridge.limits.guard import Guarded
from bridge.limits.sums import Sums
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
    """Its class has the Turnstile, the response to what that refuses, and what counts it."""

    turnstile: Turnstile
    refusal: Refusal
    sums: Sums
    """Of the requests that are refused, by IP address."""
    idle_timeout = 75.0  # seconds
    # Whether requests may be served without the library: until it is given one, and with it all that follows.
    _directly = True
    _behind: bytes | None = None  # what came behind a request that is served so
    _idle: asyncio.TimerHandle | None = None
    _rests_since = 0.0
    _held: bytes | None = None  # of the request that waits
    _surplus = 0  # octets that are still to come of a request that was refused
    _resting = True  # no request is with the library
    _served = False  # one was

    def take(self, data: bytes) -> None:
        if self._behind is not None:
            self._behind += data
            self._pause(self._behind)
        elif self._held is not None:
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
                self._begin(data)
            case Entry.WAITS:
                self._hold(data)
            case Entry.REFUSED:
                self._refuse(data)

    def _begin(self, data: bytes) -> None:
        """Serve what has passed."""
        if self._directly:
            self._resting, self._behind = False, b""
            if self.serve(data):
                return
            self._behind = None
        self._give(data)

    def serve(self, data: bytes) -> bool:
        """Serve `data`, if it is one request, and say `served` when it is. False: the library shall."""
        return False

    def served(self, response: bytes, *, closes: bool) -> None:
        """The response to what is served directly."""
        if self._wire.is_closing():
            return
        self._wire.write(response)
        if closes:
            self.ignore()
            self._wire.close()
            return
        behind, self._behind = self._behind, None
        self.answered()
        if behind:
            if len(behind) > _MOST_HELD:
                self._wire.resume_reading()
            self.data_received(behind)

    def _look_idle(self) -> None:
        """One timer for many requests: it looks how long ago the last was, whoever served it."""
        loop = asyncio.get_running_loop()
        rest = self._rests_since + self.idle_timeout - loop.time() if self._resting else self.idle_timeout
        self._idle = loop.call_later(rest, self._look_idle) if rest > 0 else None
        if self._idle is None:
            self._wire.close()

    def _give(self, data: bytes) -> None:
        """To the library, and all that follows."""
        self._resting = self._directly = False
        super().take(data)

    def _hold(self, data: bytes) -> None:
        self._held = data
        self._pause(data)

    def _pause(self, held: bytes) -> None:
        if len(held) > _MOST_HELD:
            self._wire.pause_reading()

    def proceed(self) -> None:
        """It need not wait any more."""
        held, self._held = self._held or b"", None
        if len(held) > _MOST_HELD:
            self._wire.resume_reading()
        self._begin(held)

    def turned_away(self) -> None:
        """The listener closes."""
        held, self._held = self._held or b"", None
        self._end(held)

    def answered(self) -> None:
        super().answered()
        self._resting = self._served = True
        loop = asyncio.get_running_loop()
        self._rests_since = loop.time()
        if self._idle is None:
            self._idle = loop.call_later(self.idle_timeout, self._look_idle)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._held = self._behind = None
        if self._idle is not None:
            self._idle.cancel()
        self.turnstile.leave(self)
        super().connection_lost(exc)

    def _refuse(self, data: bytes) -> None:
        """Of a connection on which nothing was served yet nobody knows how long to keep it."""
        surplus = _still_to_come(data) if self._served else None
        self.sums.add(self._address)
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


def whole(data: bytes) -> tuple[bytes, bytes] | None:
    """The head of the one request that `data` is, without what says the length of its body, and its body. None where
    it is not one, or not for certain: of a head that was not seen before it is to be asked whether it `is_doubtful`."""
    end, found = _length(data)
    begin = end + len(_END)
    if found is None or begin + int(found[1]) != len(data):
        return None
    return data[: found.start()] + data[found.end() - 2 : end], data[begin:]


def _length(data: bytes) -> tuple[int, re.Match[bytes] | None]:
    """Where the head ends, and what in it says the length of the body, if both are there."""
    end = data.find(_END)
    return end, _LENGTH.search(data, 0, end + 2) if end > 0 else None


def is_doubtful(head: bytes) -> bool:
    """Whether the head, with or without what says the length of its body, says more about where the request ends."""
    return _DOUBTFUL.search(head) is not None


def _still_to_come(data: bytes) -> int | None:
    """How many octets of the request that begins with `data` are not here yet; None where that cannot be told, or
    something follows it."""
    end, found = _length(data)
    if found is None or is_doubtful(data[: end + 2]):
        return None
    surplus = end + len(_END) + int(found[1]) - len(data)
    return None if surplus < 0 else surplus
