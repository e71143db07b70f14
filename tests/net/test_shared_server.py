"""Accepting from a socket that other processes accept from, too. The other process is one in the table only."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.net.connection_table import ConnectionTable, OpenConnections
from bridge.net.descriptors import Descriptors, Inherited, Purpose, listen_at
from bridge.net.listening import accept_no_more
from bridge.net.shared_server import SharedServer
from tests.authority import Authority
from tests.e2e.stage import AT_MOST


class Greeting(asyncio.Protocol):
    """Says hello, and leaves the connection open."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(b"hello")


class Shared:
    """A port, and the connections of this process and of another one as the table has them."""

    def __init__(self, bound: socket.socket, table: ConnectionTable) -> None:
        self.address = bound.getsockname()
        self.own: OpenConnections = table.counts("soap", 0)
        self.other: OpenConnections = table.counts("soap", 1)
        self._bound = bound

    def server(self, tls: ssl.SSLContext | None = None, most: int = 1000) -> SharedServer:
        inherited = Inherited([os.dup(self._bound.fileno())], self.own)
        (listening,) = inherited.sockets(Purpose.ACCEPTED, Descriptors(lambda: most))
        return SharedServer(listening, Greeting, tls, None)

    async def greeted(self, tls: ssl.SSLContext | None = None) -> asyncio.StreamWriter:
        reader, writer = await asyncio.open_connection(*self.address, ssl=tls)
        async with asyncio.timeout(AT_MOST):
            assert await reader.readexactly(5) == b"hello"
        return writer


@contextlib.contextmanager
def shared() -> Iterator[Shared]:
    table = ConnectionTable.create(["admin", "soap"], 2)
    with listen_at("127.0.0.1", 0)[0] as bound:
        yield Shared(bound, table)


async def test_who_is_ahead_leaves_connections_to_the_others_and_takes_what_they_leave() -> None:
    with shared() as here:
        server = here.server()
        writers = [await here.greeted() for _ in range(10)]
        assert here.own.is_ahead and not here.other.is_ahead
        for _ in range(9):
            here.other.enter()
        assert not here.own.is_ahead
        for writer in writers:
            writer.close()
        async with asyncio.timeout(AT_MOST):
            while here.own._numbers[0] != 0:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert here.other.is_ahead
        server.close()


async def test_nobody_is_accepted_after_the_end() -> None:
    with shared() as here:
        server = here.server()
        for _ in range(5):
            here.own.enter()  # it is ahead, and has left the connection to others when it is closed
        with socket.create_connection(here.address):
            await asyncio.sleep(0)
            assert server.is_serving() and len(server.sockets) == 1
            await accept_no_more(server)
            server.close()
            server.close()
            assert not server.is_serving() and len(server.sockets) == 0
            await asyncio.sleep(0.05)
            assert here.own._numbers[0] == 5


async def test_accepting_pauses_while_there_are_no_descriptors() -> None:
    told: asyncio.Queue[str] = asyncio.Queue()
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.put_nowait(context["message"]))
    with shared() as here:
        server = here.server(most=97)  # room for one
        first = await here.greeted()
        second = await asyncio.to_thread(socket.create_connection, here.address)
        async with asyncio.timeout(AT_MOST):
            assert await told.get() == "socket.accept() out of system resource"
            first.close()
            second.setblocking(False)
            assert await asyncio.get_running_loop().sock_recv(second, 5) == b"hello"
        second.close()
        server.close()


async def test_tls(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A handshake that fails is no fault of ours."""

    authority = Authority(tmp_path)
    context, issued = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), authority.issue("server", "127.0.0.1")
    context.load_cert_chain(issued["certificate"], issued["key"])
    with shared() as here:
        server = here.server(context)
        with socket.create_connection(here.address) as plain:
            plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
            await asyncio.to_thread(plain.recv, 100)
        (await here.greeted(authority.client())).close()
        server.close()

    assert not [record for record in caplog.records if record.levelname == "ERROR"]
