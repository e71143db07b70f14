"""The live stream of Server-Sent Events. A client also receives the events that it missed during an absence.

Everything is bounded: the ring of the last events, the number of clients, and the time for a client to read. Each
client reads from the ring at its own pace. A client that the ring has left behind, or that brings the id of an event
that is not in the ring any more, receives `event: gap` and then the new events.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from fnmatch import translate
from http import HTTPStatus
from typing import Literal

import msgspec
from msgspec import Struct

from bridge.admin.cursors import number_of
from bridge.admin.event_ring import Event, EventRing
from bridge.admin.facts import Gap
from bridge.admin.problems import RequestRefused
from bridge.admin.scope import with_identities
from bridge.ocpp.tenants import DEFAULT, identity_of, tenant_of

Kind = Literal["message", "link", "charge-point", "refused", "gap"]

CLIENTS = 100
# Three times in seconds: between two comments on a quiet stream; until a client that blocks writing is disconnected;
# until events are no longer collected after the last client left. Before that, a client that reconnects misses nothing.
HEARTBEAT, BLOCKED, LINGER = 15.0, 30.0, 600.0
_ALIVE = b": alive\n\n"
_encode = msgspec.json.Encoder(decimal_format="number").encode


class Subscription:
    """The events for one client.

    Args:
        ring: The last events.
        glob: The identities of the events; None for all.
        after: The number of the last event that the client has.
        admitted: Returns True while the client is permitted.
        tenant: The tenant whose events they are.

    `ended` is True after the client lost its permission, and when the bridge shuts down.
    """

    def __init__(
        self,
        ring: EventRing,
        glob: str | None,
        after: int,
        admitted: Callable[[], bool] = lambda: True,
        tenant: str = DEFAULT,
    ) -> None:
        self._ring = ring
        self._admitted = admitted
        self._fits = _fitting(glob, tenant)
        self._after = after
        self._changed = asyncio.Event()
        self._revoked = False
        self.ended = False

    def offer(self, event: Event) -> None:
        """Take note of a new event in the ring."""
        if self._after == event.number - 1 and not self._fits(event.identity):
            self._after = event.number
        else:
            self._changed.set()

    def missed(self) -> None:
        """Report a gap in place of the events that are not read yet: there are others besides, which are not known."""
        self._after = -1
        self._changed.set()

    def end(self) -> None:
        """End the stream after the next events. A client that reads along then has everything."""
        self.ended = True
        self._changed.set()

    def check(self) -> None:
        """End the stream if the client is no longer permitted. It receives no more events."""
        if not self._admitted():
            self._revoked = True
            self.end()

    async def chunks(self) -> AsyncGenerator[bytes]:
        """Yield the octets to write: the events, and a comment after HEARTBEAT seconds without an event."""
        while not self._revoked:
            self._changed.clear()
            ending = self.ended
            if not self._ring.since <= self._after <= self._ring.last:
                self._after = self._ring.last
                yield gap("what happened in the meantime is not known any more")
            elif self._after < self._ring.last:
                data, self._after = self._ring.read(self._after, self._fits)
                if data:
                    yield data
                else:
                    await asyncio.sleep(0)  # there may be many blocks without an event for this client
            elif not ending:
                await self._wait()
                if not self._changed.is_set():
                    yield _ALIVE
            if ending:
                return

    async def _wait(self) -> None:
        """Wait for an event, HEARTBEAT seconds at most."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), HEARTBEAT)


def _fitting(glob: str | None, tenant: str) -> Callable[[str], bool]:
    """Return a predicate on keys: those of `tenant` whose identity matches `glob`, None for all."""
    match = None if glob is None else re.compile(translate(glob.casefold())).match

    def fits(key: str) -> bool:
        return tenant_of(key) == tenant and (match is None or match(identity_of(key)) is not None)

    return fits


Follower = Callable[[Kind, str, bytes], object]
"""Takes an event of this process: its kind, the folded key of its Charge Point, and its data as JSON."""


class Stream:
    """The live stream of all clients.

    Args:
        listened: Called with True when the first client or follower comes, and with False when there is none any more:
            LINGER seconds after the last client left. Events that nobody reads need not be made.
        clock: Returns the time in unix seconds.
        node: The name of this process, "" for a single one. The ids of events have it, so that a client that comes back
            to another process is told that it may have missed some.

    Attributes:
        wanted: Called with True when the first client comes, and with False LINGER seconds after the last client left.
            Other processes have events for it.
        complete: Returns when the events of other processes come, too.
    """

    def __init__(
        self, listened: Callable[[bool], None], clock: Callable[[], float] = time.time, *, node: str = ""
    ) -> None:
        self._listened = listened
        self._node = node
        # Ids grow across restarts, so that an id from before a restart is older than every id of this process.
        self._ring = EventRing(int(clock() * 1e6))
        self._clients: set[Subscription] = set()
        self._followers: set[Follower] = set()
        self._silence: asyncio.TimerHandle | None = None
        self._for_clients = False
        self._closed = False
        self.live = False
        self.wanted: Callable[[bool], None] = lambda wanted: None
        self.complete: Callable[[], Awaitable[None]] = _at_once

    def publish(self, kind: Kind, identity: str | None, data: Struct) -> None:
        """Send an event to the subscribed clients and to the followers without waiting for them.

        Args:
            kind: The kind of the event.
            identity: The Charge Point's key, or None.
            data: The record to send as JSON, with keys in place of identities.
        """
        if not self.live:
            return
        folded = (identity or "").casefold()
        octets = _encode(with_identities(data, tenant_of(folded)))
        self.pass_on(kind, folded, octets)
        for follower in tuple(self._followers):
            follower(kind, folded, octets)

    def pass_on(self, kind: Kind, folded: str, data: bytes) -> None:
        """Send an event of this process or another one to the subscribed clients.

        Args:
            kind: The kind of the event.
            folded: The folded key of its Charge Point, "" for none.
            data: The data as JSON.
        """
        if not self._for_clients:
            return
        number = self._ring.last + 1
        event = Event(number, folded, _said(kind, self._id(number), data))
        self._ring.add(event)
        for client in tuple(self._clients):
            client.offer(event)

    def missed(self) -> None:
        """Tell all clients that events of another process were missed."""
        for client in tuple(self._clients):
            client.missed()
        self._ring.clear(self._ring.last + 1)  # a client that comes back may have missed them, too

    def follow(self, follower: Follower) -> None:
        """Send the events of this process, and not those of others, to `follower` from now on."""
        self._followers.add(follower)
        self._settle()

    def unfollow(self, follower: Follower) -> None:
        """Send nothing more to `follower`."""
        self._followers.discard(follower)
        self._settle()

    def number_of(self, header: str | None) -> int | None:
        """Return the number in Last-Event-ID, or 0 for a foreign id: a gap is then reported. None without an id."""
        if header is None or not header.strip():
            return None
        node, _, number = header.strip().rpartition(".")
        return (number_of(number) or 0) if node == self._node else 0

    def _id(self, number: int) -> str:
        return f"{self._node}.{number}" if self._node else str(number)

    def subscribe(
        self, glob: str | None, last: int | None, admitted: Callable[[], bool] = lambda: True, tenant: str = DEFAULT
    ) -> Subscription:
        """Subscribe a client and return its Subscription.

        Args:
            glob: The identities of the events; None for all.
            last: The id of the last event that the client received. Later events follow, after a gap if some are not
                known any more. None: only new events.
            admitted: Returns True while the client is permitted.
            tenant: The tenant whose events they are.

        Raises:
            Refused: There are too many clients, or the bridge shuts down.
        """
        if self._closed or len(self._clients) >= CLIENTS:
            text = "the bridge is shutting down" if self._closed else f"{CLIENTS} clients listen already"
            raise RequestRefused(HTTPStatus.SERVICE_UNAVAILABLE, text, headers={"Retry-After": "5"})
        self._begin()
        client = Subscription(self._ring, glob, self._ring.last if last is None else last, admitted, tenant)
        self._clients.add(client)
        return client

    def leave(self, client: Subscription) -> None:
        """End the subscription of the client."""
        self._clients.discard(client)
        if not self._clients and self._silence is None and not self._closed:
            self._silence = asyncio.get_running_loop().call_later(LINGER, self._fall_silent)

    def check(self) -> None:
        """End the streams of clients that are no longer permitted."""
        for client in tuple(self._clients):
            client.check()

    def close(self) -> None:
        """End all streams now, because the bridge shuts down."""
        self._closed, self.live = True, False
        if self._silence is not None:
            self._silence.cancel()
        for client in tuple(self._clients):
            client.end()

    def _begin(self) -> None:
        if self._silence is not None:
            self._silence.cancel()
            self._silence = None
        if not self._for_clients:
            self._for_clients = True
            self._settle()
            self.wanted(True)

    def _fall_silent(self) -> None:
        self._silence = None
        self._for_clients = False
        self._settle()
        self.wanted(False)
        self._ring.clear(self._ring.last + 1)  # a client that reconnects after this may have missed an event

    def _settle(self) -> None:
        live = not self._closed and (self._for_clients or bool(self._followers))
        if live is not self.live:
            self.live = live
            self._listened(live)


async def _at_once() -> None:
    return


def gap(reason: str) -> bytes:
    """Return a gap event, which reports missed events. It has no id, so that a client keeps the last id."""
    return b"event: gap\ndata: " + _encode(Gap(reason=reason)) + b"\n\n"


def _said(kind: Kind, name: str, data: bytes) -> bytes:
    # JSON has line breaks only in strings, where they are escaped. So one data line is enough.
    return b"event: %s\nid: %s\ndata: %s\n\n" % (kind.encode(), name.encode(), data)
