"""Connections whose requests wait for their turn, over real sockets; turns come when the test says so."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from bridge.errors import Why
from bridge.limits.guard import House, Rules
from bridge.limits.sums import Sums
from bridge.limits.turnstile import Turnstile
from bridge.ocpps.connections import Connection, listen
from bridge.ocpps.posts import Post, Respond
from bridge.ocpps.replies import Reply
from tests.e2e.stage import run

AWAY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy"
LAST = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbusy"


class Stage:
    """A listener that answers with what was POSTed. One request passes in a turn, and `most` may wait."""

    directly = True

    def __init__(self, most: int) -> None:
        self.told: list[Why] = []
        self._due: list[Callable[[], None]] = []
        self.turnstile = Turnstile(self._due.append, most=most, per_turn=1)
        self._house = House(Rules(), lambda peer, status, text, why: self.told.append(why))
        self.refused = 0
        self._sums = Sums(lambda tell: tell(), self._count)
        self._address = ("", 0)
        self._peers: list[Peer] = []

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Stage]:
        manager = web.Server(self._serve)
        refusal: Callable[[bytes, bool], bytes] = lambda data, stays: AWAY if stays else LAST  # noqa: E731
        server = await listen(
            manager, self._house, self.turnstile, refusal, self._sums, self._take, "127.0.0.1", 0, None, 60
        )
        self._address = server.sockets[0].getsockname()
        try:
            yield self
        finally:
            for peer in self._peers:
                peer.writer.close()
                with contextlib.suppress(ConnectionError):
                    await peer.writer.wait_closed()
            server.close()
            await manager.shutdown(1)

    def _take(self, post: Post, respond: Respond) -> bool:
        if self.directly:
            respond(Reply(status=200, body=post.body, content_type="text/plain"))
        return self.directly

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        response = web.Response(body=await request.read())
        assert isinstance(request.protocol, Connection)
        request.protocol.answered()
        return response

    def _count(self, peer: str, times: int) -> None:
        assert peer == "127.0.0.1"
        self.refused += times

    def turn(self) -> None:
        due = self._due[:]
        self._due.clear()
        for call in due:
            call()

    async def waiting(self, count: int) -> None:
        while len(self.turnstile) != count:  # noqa: ASYNC110
            await asyncio.sleep(0)

    async def stranger(self) -> Peer:
        peer = Peer(*await asyncio.open_connection(*self._address))
        self._peers.append(peer)
        return peer

    async def peer(self) -> Peer:
        """Of whom a request was answered before."""
        peer = await self.stranger()
        peer.post(b"first")
        assert await peer.answer() == (200, b"first")
        self.turn()
        return peer


@pytest.fixture(autouse=True, params=[True, False], ids=["directly", "by aiohttp"])
def _directly(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stage, "directly", request.param)


class Peer:
    """One that POSTs on a connection that it keeps."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def post(self, body: bytes, headers: bytes = b"") -> None:
        self.writer.write(self.head(len(body), headers) + body)

    @staticmethod
    def head(length: int, headers: bytes = b"") -> bytes:
        return b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n%s\r\n" % (length, headers)

    async def answer(self) -> tuple[int, bytes]:
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        return int(head[9:12]), await self.reader.readexactly(length)

    async def hung_up(self) -> bool:
        return not await self.reader.read()


def test_who_comes_late_in_a_turn_is_served_in_the_next() -> None:
    async def walk() -> None:
        async with Stage(most=5).listening() as stage:
            one, two, three = [await stage.peer() for _ in range(3)]
            one.post(b"a")
            assert await one.answer() == (200, b"a")
            two.post(b"b")
            await stage.waiting(1)
            three.writer.write(three.head(5) + b"he")  # what comes later goes with it
            await stage.waiting(2)
            three.writer.write(b"llo")
            stage.turn()
            assert await two.answer() == (200, b"b")
            stage.turn()
            assert await three.answer() == (200, b"hello")
            assert stage.told == []

    run(walk())


def test_who_is_refused_keeps_the_connection() -> None:
    async def walk() -> None:
        async with Stage(most=1).listening() as stage:
            one, two, three = [await stage.peer() for _ in range(3)]
            one.post(b"a")
            assert await one.answer() == (200, b"a")
            two.post(b"b")
            await stage.waiting(1)
            three.post(b"c")
            assert await three.answer() == (503, b"busy")
            three.writer.write(three.head(1_000_000))  # refused before the rest has come, which is not looked at
            assert await three.answer() == (503, b"busy")
            three.writer.write(bytes(1_000_000) + three.head(1) + b"c")
            assert await three.answer() == (503, b"busy")
            assert (stage.told, stage.refused) == ([], 3)
            stage.turn()
            assert await two.answer() == (200, b"b")
            stage.turn()
            three.post(b"d")
            assert await three.answer() == (200, b"d")

    run(walk())


def test_where_it_is_not_clear_what_follows_the_connection_ends() -> None:
    async def walk() -> None:
        async with Stage(most=0).listening() as stage:
            peers = [await stage.peer() for _ in range(4)]
            first, chunked, doubtful, pipelined = peers
            first.post(b"a")
            assert await first.answer() == (200, b"a")
            chunked.writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n")
            doubtful.post(b"a", b"Expect: 100-continue\r\n")
            pipelined.writer.write(2 * (pipelined.head(1) + b"a"))
            for peer in (chunked, doubtful, pipelined):
                assert await peer.answer() == (503, b"busy")
                assert await peer.hung_up()
            stranger = await stage.stranger()
            stranger.post(b"a")
            assert await stranger.answer() == (503, b"busy")
            assert await stranger.hung_up()

    run(walk())


def test_a_page_is_served_at_once() -> None:
    async def walk() -> None:
        async with Stage(most=0).listening() as stage:
            peer, other = await stage.peer(), await stage.peer()
            peer.post(b"a")
            assert await peer.answer() == (200, b"a")
            other.writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert await other.answer() == (200, b"")

    run(walk())


def test_who_hangs_up_does_not_wait_any_more() -> None:
    async def walk() -> None:
        async with Stage(most=5).listening() as stage:
            one, two = await stage.peer(), await stage.peer()
            one.post(b"a")
            assert await one.answer() == (200, b"a")
            two.post(b"b")
            await stage.waiting(1)
            two.writer.close()
            await stage.waiting(0)

    run(walk())


def test_who_waits_when_the_listener_closes_is_told_so() -> None:
    async def walk() -> None:
        async with Stage(most=5).listening() as stage:
            one, two = await stage.peer(), await stage.peer()
            one.post(b"a")
            assert await one.answer() == (200, b"a")
            two.post(b"b")
            await stage.waiting(1)
            stage.turnstile.close()
            assert await two.answer() == (503, b"busy")
            assert await two.hung_up()

    run(walk())
