"""What is accepted while a listener closes."""

from __future__ import annotations

import asyncio
import gc
import socket
import warnings
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web

from bridge.listening import Listening, accept_no_more
from tests.e2e.stage import run


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


def test_who_was_accepted_a_moment_ago_is_connected_before_the_listener_closes() -> None:
    assert run(_told_when_closed(accept_no_more)) == []


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # 3.13 raises where nobody can catch it
def test_asyncio_would_forget_them() -> None:
    assert any("unclosed transport" in told for told in run(_told_when_closed(_at_once)))


def test_nobody_can_connect_where_nobody_listens_any_more() -> None:
    async def walk() -> None:
        async def answer(_request: web.BaseRequest) -> web.Response:
            return web.Response(text="here")

        listening = await Listening.at(web.ServerRunner(web.Server(answer)), "127.0.0.1", 0)
        _, writer = await asyncio.open_connection(*listening.address)
        writer.close()
        await listening.close()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(*listening.address)
        await listening.close()  # nothing is left to do

    run(walk())


def test_an_address_that_is_taken_is_an_error_that_leaves_nothing_behind() -> None:
    async def walk() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            runner = web.ServerRunner(web.Server(lambda _: None))  # type: ignore[arg-type, return-value]
            with pytest.raises(OSError, match="in use"):
                await Listening.at(runner, *taken.getsockname())
            assert runner.server is None

    run(walk())
