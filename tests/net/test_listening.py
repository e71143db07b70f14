"""What is accepted while a listener closes, and where it is bound."""

from __future__ import annotations

import asyncio
import errno
import gc
import gzip
import socket
import warnings
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import StreamReader, web

from bridge.net.listening import Listening, accept_no_more, bound_to, is_local


async def _told_when_closed(stop: Callable[[asyncio.Server], Awaitable[None]]) -> list[str]:
    """What asyncio complains about when a server is closed in the very turn in which somebody was accepted."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
    with (
        warnings.catch_warnings(record=True) as told,
        socket.create_connection(server.sockets[0].getsockname()) as knocking,
    ):
        warnings.simplefilter("always")
        # In the first turn the listener is found to be readable, in the second somebody is accepted.
        for _ in range(2):
            await asyncio.sleep(0)
        await stop(server)
        server.close()
        for transport in list(loop._transports.values()):  # type: ignore[attr-defined]
            transport.close()
        await asyncio.sleep(0)
        gc.collect()
        knocking.settimeout(1)
        assert knocking.recv(1) == b""
    return [str(warning.message) for warning in told]


async def _at_once(_server: asyncio.Server) -> None:
    return


async def test_who_was_accepted_a_moment_ago_is_connected_before_the_listener_closes() -> None:
    assert await _told_when_closed(accept_no_more) == []


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # 3.13 raises where nobody can catch it
async def test_asyncio_would_forget_them() -> None:
    assert any("unclosed transport" in told for told in await _told_when_closed(_at_once))


async def test_nobody_can_connect_where_nobody_listens_any_more() -> None:
    async def answer(_request: web.BaseRequest) -> web.Response:
        return web.Response(text="here")

    listening = await Listening.at(web.ServerRunner(web.Server(answer)), "127.0.0.1", 0)
    _, writer = await asyncio.open_connection(*listening.address)
    writer.close()
    await listening.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(*listening.address)
    await listening.close()  # nothing is left to do


async def test_an_address_that_is_taken_is_an_error_that_leaves_nothing_behind() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        runner = web.ServerRunner(web.Server(lambda _: None))  # type: ignore[arg-type, return-value]
        with pytest.raises(OSError, match="in use"):
            await Listening.at(runner, *taken.getsockname())
        assert runner.server is None


BOMB = gzip.compress(b" " * 50_000_000)


@pytest.mark.parametrize("more", [0, 5], ids=["that is here", "that is still to come"])
async def test_a_body_that_was_refused_is_inflated_no_further_and_its_connection_closed(more: int) -> None:
    bodies: list[StreamReader] = []

    async def refuse(request: web.BaseRequest) -> web.Response:
        bodies.append(request.content)
        await request.content.readany()
        return web.Response(status=413)

    listening = await Listening.at(web.ServerRunner(web.Server(refuse)), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*listening.address)
    head = f"POST / HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: {len(BOMB) + more}\r\n\r\n"
    writer.write(head.encode() + BOMB)
    response = await reader.read()  # until the end: this side has not closed
    assert response.startswith(b"HTTP/1.1 413 ")
    assert b"\r\nConnection: close\r\n" in response
    assert bodies[0].total_bytes < 3_000_000
    writer.write(BOMB)  # nobody looks at it
    writer.close()
    await listening.close()
    assert bodies[0].total_bytes < 3_000_000


async def test_who_sends_without_end_what_was_refused_is_hung_up_on() -> None:
    async def refuse(_request: web.BaseRequest) -> web.Response:
        return web.Response(status=413)

    listening = await Listening.at(web.ServerRunner(web.Server(refuse)), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*listening.address)
    writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.1 413 ")
    with pytest.raises(ConnectionError):
        while True:
            writer.write(b"10000\r\n" + b"x" * 65_536 + b"\r\n")
            await writer.drain()
    writer.close()
    await listening.close()


def test_which_addresses_are_this_machines() -> None:
    assert all(map(is_local, ("127.0.0.1", "127.8.9.10", "::1")))
    assert not any(map(is_local, ("192.0.2.1", "2001:db8::1")))


def test_an_address_is_taken_for_this_machines_where_that_cannot_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a descriptor nothing can be bound, and who asks wants to lead nobody here."""

    def full(*_: object) -> None:
        raise OSError(errno.EMFILE, "too many open files")

    monkeypatch.setattr(socket, "socket", full)
    assert is_local("192.0.2.1")


async def test_a_server_is_bound_to_all_its_sockets() -> None:
    server = await asyncio.get_running_loop().create_server(asyncio.Protocol, ["127.0.0.1", "127.0.0.2"], 0)
    try:
        assert {host for host, _ in bound_to(server)} == {"127.0.0.1", "127.0.0.2"}
        assert all(port for _, port in bound_to(server))
    finally:
        server.close()
