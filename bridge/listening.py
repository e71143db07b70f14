"""Where connections are accepted, and how that ends."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable
from typing import Protocol, Self

from aiohttp import web


class _Socket(Protocol):
    def fileno(self) -> int: ...


class Accepting(Protocol):
    """asyncio's server, and websockets'."""

    @property
    def sockets(self) -> Iterable[_Socket]: ...


async def accept_no_more(server: Accepting) -> None:
    """To be awaited before `server` is closed: nobody is accepted any more, and who was just now is connected.

    asyncio connects who was accepted a turn later. If the server is closed by then, that fails, and the socket is
    neither handed on nor closed: it is left to the garbage collector, with a warning and, in 3.13, a traceback.
    """
    loop = asyncio.get_running_loop()
    for listening in server.sockets:
        loop.remove_reader(listening.fileno())
    await asyncio.sleep(0)


class Listening:
    """An aiohttp server that listens, until `close`."""

    def __init__(self, runner: web.BaseRunner, server: asyncio.Server) -> None:
        self._runner = runner
        self._server = server
        self.address: tuple[str, int] = server.sockets[0].getsockname()[:2]

    @classmethod
    async def at(cls, runner: web.BaseRunner, host: str, port: int, tls: ssl.SSLContext | None = None) -> Self:
        """Listen for `runner`. Raises OSError where that is not possible."""
        await runner.setup()
        assert runner.server is not None
        try:
            server = await asyncio.get_running_loop().create_server(runner.server, host, port, ssl=tls)
        except OSError:
            await runner.cleanup()
            raise
        return cls(runner, server)

    async def close(self) -> None:
        """Hang up on everybody, in what time the runner gives them."""
        await accept_no_more(self._server)
        self._server.close()
        await self._runner.cleanup()
