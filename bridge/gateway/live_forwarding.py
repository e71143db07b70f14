"""Pass the events of the live stream between processes: a client of one of them gets the events of all."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress

import msgspec
from msgspec import Struct

from bridge.admin.events import Kind, Stream
from bridge.cluster.courier import Courier
from bridge.cluster.errors import NodeRefused, StreamEnded
from bridge.cluster.link_streams import NodeStream
from bridge.errors import Unavailable
from bridge.gateway.node import Node
from bridge.net.tasks import Tasks

_KIND = "events"
# Seconds for the opening of a stream to another process, until the next attempt, and for which a client waits for the
# events of others.
_OPEN_TIMEOUT, _AGAIN, _PATIENCE = 5.0, 1.0, 3.0
_TRY_AGAIN = 1013


class _SentEvent(Struct, frozen=True, array_like=True):
    kind: Kind
    folded: str
    data: bytes


_encode = msgspec.msgpack.encode
_event = msgspec.msgpack.Decoder(_SentEvent)


class LiveForwarding:
    """Follows the events of other processes while a client listens here, and lets others follow those of this one.

    Args:
        stream: The live stream of this process.
        own: This process.
        courier: The links to other processes.
    """

    def __init__(self, stream: Stream, own: Node, courier: Courier) -> None:
        self._stream, self._own, self._courier = stream, own, courier
        self._tasks = Tasks()
        self._wanted = False
        self._following: dict[str, asyncio.Event] = {}  # by node; set once its events come, or it is away
        stream.wanted, stream.complete = self._want, self._complete
        courier.on_stream(_KIND, self._opened)

    async def close(self) -> None:
        """Follow nobody any more."""
        self._wanted = False
        await self._tasks.close()

    # The events of others.

    def _want(self, wanted: bool) -> None:
        self._wanted = wanted
        if wanted:
            self._begin(self._own.others)
            self._tasks.spawn(self._look(), name="looking for other processes")

    def _begin(self, nodes: Iterable[str]) -> None:
        for node in nodes:
            if node not in self._following:
                self._following[node] = asyncio.Event()
                self._tasks.spawn(self._follow(node), name=f"following the events of {node}")

    async def _look(self) -> None:
        """Follow processes that come later."""
        while self._wanted:
            await self._own.changed(self._own.lease)
            if new := set(self._own.others) - self._following.keys():
                self._begin(new)
            await asyncio.sleep(_AGAIN)

    async def _complete(self) -> None:
        """Return when the events of all others come, or some seconds have passed."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                await asyncio.gather(*(each.wait() for each in self._following.values()))

    async def _follow(self, node: str) -> None:
        """Pass on the events of a process until it is gone, or nobody wants them."""
        try:
            while self._wanted and node in self._own.others:
                try:
                    until = asyncio.get_running_loop().time() + _OPEN_TIMEOUT
                    stream = await self._courier.open(node, _KIND, b"", until)
                except (Unavailable, NodeRefused):
                    self._following[node].set()
                    await asyncio.sleep(_AGAIN)
                    continue
                if self._following[node].is_set():
                    self._stream.missed()
                self._following[node].set()
                await self._read(stream)
        finally:
            del self._following[node]
        if self._wanted:
            self._stream.missed()

    async def _read(self, stream: NodeStream) -> None:
        try:
            while self._wanted and (frame := await stream.recv()) is not None:
                event = _event.decode(frame if isinstance(frame, bytes) else b"")
                self._stream.pass_on(event.kind, event.folded, event.data)
        finally:
            stream.close()

    # The events of this process.

    def _opened(self, node: str, octets: bytes, stream: NodeStream) -> None:
        def follower(kind: Kind, folded: str, data: bytes) -> None:
            try:
                if stream.try_send(_encode(_SentEvent(kind, folded, data))):
                    return
                stream.close(_TRY_AGAIN, "too many events wait")
            except StreamEnded:
                pass
            self._stream.unfollow(follower)

        async def until_end() -> None:
            while await stream.recv() is not None:
                pass
            self._stream.unfollow(follower)

        self._stream.follow(follower)
        self._tasks.spawn(until_end(), name=f"events for {node}")
