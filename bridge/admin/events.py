"""The live stream: Server-Sent Events, with what was missed while a client was away for a moment.

Bounded everywhere: the last events in a ring, a queue for each client, how many clients there are, how long one may
take to read. A client that cannot follow is told so (`event: gap`) and let go; it comes back by itself.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from fnmatch import translate
from http import HTTPStatus
from typing import Literal

import msgspec
from msgspec import Struct

from bridge.admin.facts import Gap
from bridge.admin.problems import Refused

Kind = Literal["message", "link", "charge-point", "refused", "gap"]

RING, QUEUE, CLIENTS = 1000, 500, 100
# Seconds: between two signs of life on a quiet stream, how long a client may block what is written to it, and how long
# events are still collected for who may come back after the last client left.
HEARTBEAT, BLOCKED, LINGER = 15.0, 30.0, 60.0
_ALIVE = b": alive\n\n"
_encode = msgspec.json.Encoder(decimal_format="number").encode


class Event(Struct, frozen=True):
    """One of them, and the bytes that say it."""

    number: int
    identity: str
    data: bytes


class Subscription:
    """One client's events. `ended`: it could not follow, or the bridge goes away."""

    def __init__(self, glob: str | None, most: int = QUEUE) -> None:
        self._fits = None if glob is None else re.compile(translate(glob.casefold())).match
        self._most = most
        self._events: deque[bytes] = deque()
        self._changed = asyncio.Event()
        self.ended = False

    def offer(self, event: Event) -> None:
        """An event has come."""
        if self.ended or (self._fits is not None and not self._fits(event.identity)):
            return
        if len(self._events) >= self._most:
            self._events.clear()
            self.say(gap("events came faster than they were read"))
            self.end()
        else:
            self.say(event.data)

    def say(self, data: bytes) -> None:
        """To this client alone."""
        self._events.append(data)
        self._changed.set()

    def end(self) -> None:
        """No more."""
        self.ended = True
        self._changed.set()

    async def chunks(self) -> AsyncIterator[bytes]:
        """What to write: events, and signs of life where there are none."""
        while True:
            try:
                await asyncio.wait_for(self._changed.wait(), HEARTBEAT)
            except TimeoutError:
                yield _ALIVE
                continue
            self._changed.clear()
            if self._events:
                data = b"".join(self._events)
                self._events.clear()
                yield data
            if self.ended and not self._events:
                return


class Stream:
    """All of it. `listened` is told when somebody begins to listen, and when nobody does any more: what nobody hears
    need not be made. `clock` gives unix seconds."""

    def __init__(self, listened: Callable[[bool], None], clock: Callable[[], float] = time.time) -> None:
        self._listened = listened
        # Ids grow across restarts, so that a client from before one is not taken for one of this.
        self._last = int(clock() * 1e6)
        self._ring: deque[Event] = deque(maxlen=RING)
        self._from = self._last  # the ring holds all events after this one
        self._clients: set[Subscription] = set()
        self._silence: asyncio.TimerHandle | None = None
        self._closed = False
        self.live = False

    def publish(self, kind: Kind, identity: str | None, data: Struct) -> None:
        """Tell who listens; nobody is waited for."""
        if not self.live:
            return
        self._last += 1
        event = Event(self._last, (identity or "").casefold(), _said(kind, self._last, data))
        if len(self._ring) == RING:
            self._from = self._ring[0].number
        self._ring.append(event)
        for client in tuple(self._clients):
            client.offer(event)

    def subscribe(self, glob: str | None, last: int | None) -> Subscription:
        """From now on, or from behind the event `last` on. Raises Refused when there are too many clients."""
        if self._closed or len(self._clients) >= CLIENTS:
            text = "the bridge is shutting down" if self._closed else f"{CLIENTS} clients listen already"
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, text, headers={"Retry-After": "5"})
        self._begin()
        # Room for all that was missed, beside what comes.
        client = Subscription(glob, QUEUE + RING)
        if last is not None and not self._from <= last <= self._last:
            client.say(gap("what happened in the meantime is not known any more"))
        elif last is not None:
            for event in self._ring:
                if event.number > last:
                    client.offer(event)
        self._clients.add(client)
        return client

    def leave(self, client: Subscription) -> None:
        """It does not listen any more."""
        self._clients.discard(client)
        if not self._clients and self._silence is None and not self._closed:
            self._silence = asyncio.get_running_loop().call_later(LINGER, self._fall_silent)

    def close(self) -> None:
        """The bridge goes away: all streams end now."""
        self._closed, self.live = True, False
        if self._silence is not None:
            self._silence.cancel()
        for client in tuple(self._clients):
            client.end()

    def _begin(self) -> None:
        if self._silence is not None:
            self._silence.cancel()
            self._silence = None
        if not self.live:
            self.live = True
            self._listened(True)

    def _fall_silent(self) -> None:
        self._silence = None
        self.live = False
        self._listened(False)
        self._ring.clear()
        self._last += 1  # whoever comes back has missed something, or may have
        self._from = self._last


def gap(reason: str) -> bytes:
    """To say that something was missed. It has no id: what was heard last stays so."""
    return b"event: gap\ndata: " + _encode(Gap(reason=reason)) + b"\n\n"


def _said(kind: Kind, number: int, data: Struct) -> bytes:
    # JSON has no line breaks outside of strings, where they are escaped: one line of data is enough.
    return b"event: %s\nid: %d\ndata: %s\n\n" % (kind.encode(), number, _encode(data))
