"""One WebSocket on the sans-I/O protocol: what its peer may do, over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol

from bridge.net.websocket import WebSocketBounds, WebSocketConnection

AT_MOST = 30


class Accepted(WebSocketConnection):
    """One whose handshake is accepted at once."""

    def __init__(self, bounds: WebSocketBounds, ping_interval: float | None, opened: asyncio.Future[Accepted]) -> None:
        self._server_protocol = ServerProtocol(max_size=bounds.max_size)
        super().__init__(self._server_protocol, bounds, ping_interval)
        self._opened = opened

    def handshaken(self, event: Request | Response) -> None:
        assert isinstance(event, Request)
        self._server_protocol.send_response(self._server_protocol.accept(event))
        self.opened_websocket()
        self._opened.set_result(self)


class Ends:
    """Both ends. What the peer sends as it likes goes through `write`."""

    def __init__(self, here: Accepted, peer: ClientConnection) -> None:
        self.here = here
        self.peer = peer

    def write(self, *frames: Frame) -> None:
        for frame in frames:
            self.peer.transport.write(frame.serialize(mask=True))

    async def read(self) -> bytes | None:
        data = await asyncio.wait_for(self.here.recv(), AT_MOST)
        if data is not None:
            self.here.one_read()
        return data

    async def closed_with(self) -> int | None:
        """The code that the peer is told."""
        await asyncio.wait_for(self.peer.wait_closed(), AT_MOST)
        return self.peer.close_code


@asynccontextmanager
async def joined(*, ping_interval: float | None = None, **bounds: Any) -> AsyncIterator[Ends]:
    loop = asyncio.get_running_loop()
    opened: asyncio.Future[Accepted] = loop.create_future()
    server = await loop.create_server(
        lambda: Accepted(WebSocketBounds(**bounds), ping_interval, opened), "127.0.0.1", 0
    )
    port = server.sockets[0].getsockname()[1]
    options: dict[str, Any] = {"compression": None, "proxy": None, "ping_interval": None, "close_timeout": 1}
    async with connect(f"ws://127.0.0.1:{port}/", **options) as peer:
        yield Ends(await opened, peer)
    await asyncio.wait_for((await opened).closed(), AT_MOST)
    server.close()


def text(data: bytes, *, fin: bool = True) -> Frame:
    return Frame(Opcode.TEXT, data, fin)


def more(data: bytes, *, fin: bool = False) -> Frame:
    return Frame(Opcode.CONT, data, fin)


async def test_fragments_are_one_message_whatever_comes_between_them() -> None:
    async with joined() as ends:
        ends.write(text(b"a\xc3", fin=False), Frame(Opcode.PING, b"1"), more(b"\xa9"), more(b"b", fin=True))
        assert await ends.read() == b"a\xc3\xa9b"
        ends.write(Frame(Opcode.BINARY, b"\xff"))
        assert await ends.read() == b"\xff"


@pytest.mark.parametrize("frames", [(text(b"\xff"),), (text(b"\xc3", fin=False), more(b"a", fin=True))])
async def test_a_text_that_is_no_utf8_ends_it(frames: tuple[Frame, ...]) -> None:
    """RFC 6455 section 8.1."""
    async with joined() as ends:
        ends.write(*frames, text(b"never looked at"))
        assert await ends.read() is None
        assert await ends.closed_with() == 1007


async def test_fragments_and_control_frames_are_bounded_in_number() -> None:
    async with joined(max_fragments=3) as ends:
        ends.write(text(b"", fin=False), more(b""), more(b""), more(b"", fin=True))
        assert await ends.read() == b""
        ends.write(text(b"", fin=False), more(b""), more(b""), more(b""), more(b"", fin=True))
        assert await ends.read() is None
        assert await ends.closed_with() == 1009
    async with joined(frames_per_second=0.001, frames_burst=3) as ends:
        ends.write(*[Frame(Opcode.PONG, b"")] * 4)
        assert await ends.closed_with() == 1008


async def test_what_is_not_read_is_not_taken_from_the_socket() -> None:
    """So its sender has to wait, and is not given up for its silence meanwhile."""
    async with joined(ping_interval=0.05) as ends:
        ends.write(*[text(b"%d" % number) for number in range(1000)])
        await asyncio.sleep(0.3)  # several Pings
        assert ends.here.is_open
        assert [await ends.read() for _ in range(1000)] == [b"%d" % number for number in range(1000)]


async def test_what_is_taken_at_once_does_not_wait() -> None:
    async with joined() as ends:
        taken: list[bytes] = []

        def take(data: bytes) -> bool:
            if data == b"large":
                return False
            taken.append(data)
            return True

        ends.here.receiver = take
        ends.write(text(b"1"), text(b"large"), text(b"2"))
        assert await ends.here.recv() == b"large"
        assert taken == [b"1"]
        ends.here.one_read()
        assert await ends.read() == b"2"  # it came behind one that waited
        ends.write(text(b"3"), text(b"large"))
        assert await ends.read() == b"large"
        assert taken == [b"1", b"3"]


async def test_any_frame_is_a_sign_of_life() -> None:
    """Rule 76. A peer that sends none is given up."""
    async with joined(ping_interval=0.2) as ends:
        ends.peer.protocol.send_pong = lambda data: None  # type: ignore[method-assign]
        ends.peer.protocol.send_frame = lambda frame: None  # type: ignore[method-assign]
        for _ in range(10):
            ends.write(text(b"alive"))
            assert await ends.read() == b"alive"
            await asyncio.sleep(0.1)
        assert await ends.read() is None
        assert ends.here.end.sent is not None
        assert (ends.here.end.sent.code, ends.here.end.sent.reason) == (1011, "keepalive ping timeout")


async def test_each_ping_and_pong_is_told_and_no_message() -> None:
    told: list[None] = []
    async with joined() as ends:
        ends.here.on_control = lambda: told.append(None)
        ends.write(Frame(Opcode.PING, b""), Frame(Opcode.PONG, b"unasked"), text(b"a message"))
        assert await ends.read() == b"a message"
        assert len(told) == 2


async def test_a_peer_that_does_not_close_is_hung_up_on() -> None:
    async with joined() as ends:
        ends.peer.transport.pause_reading()
        ends.here.close(1001, "going")
        await asyncio.wait_for(ends.here.closed(), AT_MOST)
        assert ends.here.end.rcvd is None
        ends.peer.transport.resume_reading()


async def test_a_reason_fits_into_its_frame() -> None:
    async with joined() as ends:
        ends.here.close(1013, "é" * 100)
        assert await ends.closed_with() == 1013
        assert ends.peer.close_reason == "é" * 60


async def test_one_that_reads_nothing_is_given_up() -> None:
    async with joined(max_unsent=1000) as ends:
        ends.peer.transport.pause_reading()
        while ends.here.is_open and not ends.here.is_closing:
            ends.here.send(b"x" * 1_000_000)
        await asyncio.wait_for(ends.here.closed(), AT_MOST)
        assert ends.here.end.sent is not None
        assert ends.here.end.sent.code == 1013
        ends.peer.transport.resume_reading()
