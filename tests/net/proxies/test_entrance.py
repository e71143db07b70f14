"""Where PROXY headers are read: however they come, before TLS, in bounds of time and number."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_network
from pathlib import Path

import pytest

from bridge.config import TLS
from bridge.net.proxies.entrance import Entrance, Fronted
from bridge.net.proxies.rules import Proxies
from bridge.net.tls import server_context
from tests.authority import Authority
from tests.e2e.stage import AT_MOST
from tests.net.proxies.preambles import local, version_1, version_2

PROXIES = Proxies(networks=(ip_network("127.0.0.1/32"),), mode="protocol")
PEER, STRANGER = "192.0.2.7", "127.0.0.2"
HEADERS = [version_1(PEER, 7), version_2(PEER, 7), version_2(PEER, 7, tlvs=b"\x04\x00\x02xx")]


class Naming(Fronted):
    """A connection that says who its peer is, and then what it hears."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self.enters(transport):
            assert isinstance(transport, asyncio.Transport)
            self._transport = transport
            transport.write(f"{self.came.address} {self.came.port} {self.came.proxy}\n".encode())

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)


class Stage:
    """A server behind an Entrance; `refused` is what that has said."""

    def __init__(self, tls: ssl.SSLContext | None = None, *, timeout: float = AT_MOST, most: int = 10) -> None:
        self.refused: list[tuple[str, str]] = []
        self.entrance = Entrance(
            PROXIES, tls, timeout=timeout, most=most, refused=lambda *said: self.refused.append(said)
        )

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[tuple[str, int]]:
        connection = type("Connection", (Naming,), {"proxies": PROXIES, "entrance": self.entrance})
        server = await asyncio.get_running_loop().create_server(connection, "127.0.0.1", 0)
        try:
            yield server.sockets[0].getsockname()
        finally:
            server.close()


async def exchanged(at: tuple[str, int], *pieces: bytes, peer: str = "127.0.0.1", size: int = -1) -> bytes:
    """What comes back: so many octets, with 0 a line, or all until the end."""
    reader, writer = await asyncio.open_connection(*at, local_addr=(peer, 0))
    with contextlib.closing(writer):
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        try:
            async with asyncio.timeout(AT_MOST):
                if size == 0:
                    return await reader.readline()
                return await (reader.read() if size < 0 else reader.readexactly(size))
        except ConnectionError:
            return b""


@pytest.mark.parametrize("header", HEADERS)
async def test_a_header_in_pieces_and_what_follows_it(header: bytes) -> None:
    async with (stage := Stage()).serving() as at:
        said = f"{PEER} 7 127.0.0.1\nhello".encode()
        assert await exchanged(at, header + b"hello", size=len(said)) == said
        octets = [header[at : at + 1] for at in range(len(header))]
        assert await exchanged(at, *octets, b"hello", size=len(said)) == said
        assert stage.refused == []


async def test_who_speaks_for_itself() -> None:
    async with Stage().serving() as at:
        host, port, proxy = (await exchanged(at, local() + b"hello", size=0)).split()
        assert (host, proxy) == (b"127.0.0.1", b"127.0.0.1") and int(port)
        got = await exchanged(at, b"PR", b"OMISE", peer=STRANGER, size=0)
        assert got.startswith(f"{STRANGER} ".encode())


async def test_what_is_refused() -> None:
    async with (stage := Stage()).serving() as at:
        assert await exchanged(at, b"hello") == b""
        assert await exchanged(at, HEADERS[0], peer=STRANGER) == b""
        assert await exchanged(at, b"PROXY TCP4 x\r\n") == b""
        assert [peer for peer, _ in stage.refused] == ["127.0.0.1", STRANGER, "127.0.0.1"]
        assert all("PROXY" in reason for _, reason in stage.refused)


async def test_who_does_not_come_to_the_point() -> None:
    async with (stage := Stage(timeout=0.05)).serving() as at:
        assert await exchanged(at, b"PROXY TCP4 ") == b""
        assert stage.refused == [("127.0.0.1", "no PROXY header came within 0.05 s")]
    async with (stage := Stage(most=1)).serving() as at:
        _, waiting = await asyncio.open_connection(*at)
        waiting.write(b"P")
        assert await exchanged(at) == b""  # there is room for one
        assert stage.refused == [("127.0.0.1", "1 connections wait for their PROXY header (limits.connections)")]
        waiting.close()
    async with (stage := Stage()).serving() as at:
        reader, writer = await asyncio.open_connection(*at)
        assert await exchanged(at, HEADERS[0], size=3) == b"192"  # the one before it waits by now
        stage.entrance.close()
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("together", [True, False])
async def test_tls_begins_after_it(header: bytes, together: bool, tmp_path: Path) -> None:
    """In the same segment, too: no octet of the hello is lost."""
    authority = Authority(tmp_path)
    context = server_context(TLS(**authority.issue("gateway", "localhost")), "tls")
    async with Stage(context).serving() as at:
        reader, writer = await asyncio.open_connection(*at)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = authority.client().wrap_bio(incoming, outgoing, server_hostname="localhost")
        waiting = header if together else b""
        if not together:
            writer.write(header)
            await writer.drain()
        said = b""
        while not said.endswith(b"\n"):
            try:
                said += client.read(100)
                continue
            except ssl.SSLWantReadError:
                writer.write(waiting + outgoing.read())
                waiting = b""
            async with asyncio.timeout(AT_MOST):
                incoming.write(await reader.read(65_536))
        assert said == f"{PEER} 7 127.0.0.1\n".encode()
        writer.close()
