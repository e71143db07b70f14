"""Accepting and closing of connections: parts that listeners share, and a listener for aiohttp."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable, Iterable, Sequence
from ipaddress import ip_address
from typing import Any, Protocol, Self

from aiohttp import StreamReader, web

from bridge.net.descriptors import Inherited, Purpose, listen_at
from bridge.net.proxies.entrance import Entrance, Fronted
from bridge.net.proxies.rules import DIRECT, Origin, Proxies
from bridge.net.shared_server import SharedServer

# Seconds that a PROXY header may take, and the most connections that may wait for theirs.
_HEADER_TIMEOUT, _MOST_ENTERING = 10.0, 1000
# Octets and seconds of a refused body that are read and discarded, so that its sender reads the response. Closing a
# socket with unread octets resets it, and the peer may lose the response (RFC 9112 section 9.6).
_MOST_DISCARDED, _DISCARDED_FOR = 8_388_608, 2.0


class _Socket(Protocol):
    def fileno(self) -> int: ...

    def getsockname(self) -> Any: ...


class Accepting(Protocol):
    """A server of asyncio or websockets."""

    @property
    def sockets(self) -> Iterable[_Socket]: ...


class AcceptingServer(Accepting, Protocol):
    """A server that accepts connections until it is closed: `asyncio.Server` or `SharedServer`."""

    def is_serving(self) -> bool:
        """Return whether the server is not closed."""

    def close(self) -> None:
        """Accept no more connections. Open ones stay."""


async def accept_no_more(*servers: Accepting) -> None:
    """Stop accepting connections, and let asyncio finish those just accepted. Await this before closing `servers`.

    asyncio creates the transport of an accepted socket one turn of the event loop later. If its server is closed by
    then, that fails, and the socket stays open until it is garbage-collected, with a warning and, in Python 3.13, a
    traceback.
    """
    loop = asyncio.get_running_loop()
    for server in servers:
        if isinstance(server, SharedServer):
            server.pause()
        for listening in server.sockets:
            loop.remove_reader(listening.fileno())
    await asyncio.sleep(0)


async def servers_at(
    host: str,
    port: int,
    protocol: Callable[[], asyncio.BaseProtocol],
    tls: ssl.SSLContext | None,
    *,
    handshake_timeout: float | None = None,
    purpose: Purpose = Purpose.ACCEPTED,
    inherited: Inherited | None = None,
) -> list[AcceptingServer]:
    """Accept connections at each IP address of `host`, or from sockets that another process bound.

    Args:
        host: An IP address of this machine, or one of its names.
        port: The port, 0 for any.
        protocol: Called for each connection; returns its protocol.
        tls: The TLS settings; None for plain TCP.
        handshake_timeout: The seconds that a TLS handshake may take; None for asyncio's default.
        purpose: The purpose of the accepted connections.
        inherited: The sockets that another process bound to the addresses; None binds them here.

    Returns: one server for each IP address.

    Raises:
        OSError: The bridge cannot listen at one of the addresses.
    """
    timeout = None if tls is None else handshake_timeout
    if inherited is not None:
        return [SharedServer(listening, protocol, tls, timeout) for listening in inherited.sockets(purpose)]
    loop = asyncio.get_running_loop()
    return [
        await loop.create_server(
            protocol,
            sock=listening,
            ssl=tls,
            ssl_handshake_timeout=timeout,
        )
        for listening in listen_at(host, port, purpose)
    ]


def bound_to(*servers: Accepting) -> tuple[tuple[str, int], ...]:
    """Return the IP addresses and ports of all sockets of `servers`: a host name may stand for several."""
    return tuple(listening.getsockname()[:2] for server in servers for listening in server.sockets)


def is_local(address: str) -> bool:
    """Return whether the IP `address` belongs to this machine, that is, whether a socket can be bound to it.

    Returns True if the answer is not known, because callers refuse to connect to addresses of this machine.
    """
    ip = ip_address(address)
    if ip.is_loopback:
        return True
    try:
        with socket.socket(socket.AF_INET6 if ip.version == 6 else socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError as error:
        return error.errno != errno.EADDRNOTAVAIL
    return True


def begins_tls(data: bytes) -> bool:
    """Return whether the first octets of a connection are those of a TLS handshake. No HTTP request begins with them.

    RFC 8446 section 5.1: a record of type 22 and of a version that begins with 3. RFC 5246 appendix E.2: old clients
    begin with a hello of SSL 2.0.
    """
    if data[:1] == b"\x16":
        return data[1:2] in (b"", b"\x03")
    return data[:1] >= b"\x80" and data[2:3] == b"\x01" and data[3:4] in (b"\x00", b"\x02", b"\x03")


def tls_at_plain_port(transport: asyncio.BaseTransport) -> str:
    """Return the sentence for TLS at a plain port: it names the port, and says what to do."""
    port = transport.get_extra_info("sockname")[1]
    return (
        f"TLS came to port {port}, which is plain: its listener has no tls table, or the address needs no https or wss"
    )


def may_half_close(transport: asyncio.BaseTransport | None) -> bool:
    """Return whether a peer that closes its half of this connection can still be answered.

    asyncio closes both halves of a TLS connection, as TLS before 1.3 demands (RFC 5246 section 7.2.1).
    """
    return transport is not None and transport.get_extra_info("ssl_object") is None


# Called with the IP address, and the sentence to report.
Told = Callable[[str, str], None]


def _silent(peer: str, text: str) -> None:
    """Do nothing: no caller asked for a report."""


class ClosingHandler(web.RequestHandler):
    """An HTTP connection that ends with the first request whose body was not read to its end.

    aiohttp would go on reading and inflating such a body for ten seconds. This handler sends the response with
    `Connection: close`, discards all further octets, and closes. A connection whose peer has closed its half ends with
    the answer to the last complete request.
    """

    _ended = False  # the peer has closed its half
    _left = _MOST_DISCARDED
    _discards = False
    _lost: asyncio.Future[None] | None = None
    _heard = False
    told: Told = staticmethod(_silent)
    """Called with the IP address and a sentence if TLS came to this plain port."""

    def data_received(self, data: bytes) -> None:
        if not self._heard:
            self._heard = True
            if begins_tls(data) and self.transport is not None:
                peer = self.peername
                self.told(str(peer[0]) if peer else "", tls_at_plain_port(self.transport))
        if not self._discards:
            super().data_received(data)
            return
        self._left -= len(data)
        if self._left < 0 and self.transport is not None:
            self.transport.close()

    def eof_received(self) -> bool | None:  # type: ignore[override]  # as asyncio has it
        """Handle the end of the peer's octets.

        RFC 9112 section 9.6 lets a peer close its half after a request, and read the response.
        """
        idle = self._waiter is not None and not self._messages
        if idle or self._discards or self._answers() or not may_half_close(self.transport):
            return None
        body = self._last_body()
        if body is not None and not body.is_eof():
            body.set_exception(ConnectionResetError("the peer closed in the middle of the body"))
            body.feed_eof()
        self._ended = True
        if not self._messages:
            self.close()
        return True

    def _last_body(self) -> StreamReader | None:
        if self._messages:
            return self._messages[-1][1]
        return None if self._current_request is None else self._current_request.content

    def _answers(self) -> bool:
        """Return whether a response is being sent. An event stream would otherwise go on after its reader has left."""
        return self._current_request is not None and self._current_request.writer.output_size > 0

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._lost is not None and not self._lost.done():
            self._lost.set_result(None)
        super().connection_lost(exc)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send the response. If the request was not read to its end, close the connection after it."""
        if self._ended and not self._messages:
            resp.force_close()
        content = request.content
        if content.is_eof() and content.exception() is None:
            return await super().finish_response(request, resp, start_time)
        self._discards = True
        resp.force_close()
        finished = await super().finish_response(request, resp, start_time)
        if not content.is_eof():
            content.feed_eof()  # so that aiohttp does not wait for the rest of the body
        await self._discard()
        return finished

    async def _discard(self) -> None:
        """Close the bridge's half of the connection, and wait until the peer has closed, too."""
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        if self._ended:
            transport.close()
            return
        if transport.can_write_eof():
            transport.write_eof()
        self._resume_transport_reading()  # aiohttp paused it while the body waited to be read
        self._lost = asyncio.get_running_loop().create_future()
        await asyncio.wait([self._lost], timeout=_DISCARDED_FOR)


class _Handler(Fronted, ClosingHandler):
    """A connection of `Listening`."""

    @property
    def peername(self) -> tuple[str, int]:
        """The address that aiohttp uses as the remote address of a request."""
        return self.came.address, self.came.port

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self.enters(transport):
            super().connection_made(transport)


class Listening:
    """A listening aiohttp server, until `close` is called."""

    def __init__(
        self, runner: web.BaseRunner, servers: Sequence[AcceptingServer], entrance: Entrance | None = None
    ) -> None:
        self._runner = runner
        self._servers = servers
        self._entrance = entrance
        self.bound = bound_to(*servers)
        self.address = self.bound[0]

    @classmethod
    async def at(
        cls,
        runner: web.BaseRunner,
        host: str,
        port: int,
        tls: ssl.SSLContext | None = None,
        told: Told = _silent,
        *,
        proxies: Proxies = DIRECT,
        refused: Told = _silent,
        purpose: Purpose = Purpose.ACCEPTED,
        inherited: Inherited | None = None,
    ) -> Self:
        """Listen for `runner`.

        Args:
            runner: The aiohttp runner that handles the requests.
            host: The IP address to listen at, or a host name, which stands for all its addresses.
            port: The port, 0 for any free one.
            tls: The TLS context, None for a plain listener.
            told: Called if TLS comes to a plain listener.
            proxies: The trusted proxies.
            refused: Called for a connection whose PROXY header is refused.
            purpose: The purpose that the descriptors of the connections are counted for.
            inherited: The sockets that another process bound; None binds them here.

        Raises:
            OSError: If the bridge cannot listen there.
        """
        await runner.setup()
        assert runner.server is not None
        manager, loop, entrance = runner.server, asyncio.get_running_loop(), None
        if proxies.mode == "protocol":
            entrance = Entrance(proxies, tls, timeout=_HEADER_TIMEOUT, most=_MOST_ENTERING, refused=refused)
        attributes = {"proxies": proxies, "entrance": entrance, "told": staticmethod(told)}
        handler = type("Handler", (_Handler,), attributes)
        try:
            servers = await servers_at(
                host,
                port,
                lambda: handler(manager, loop=loop, access_log=None),
                tls if entrance is None else None,
                purpose=purpose,
                inherited=inherited,
            )
        except OSError:
            await runner.cleanup()
            raise
        return cls(runner, servers, entrance)

    async def close(self) -> None:
        """Stop listening and close all connections, within the time that the runner allows."""
        await accept_no_more(*self._servers)
        for server in self._servers:
            server.close()
        if self._entrance is not None:
            self._entrance.close()
        await self._runner.cleanup()


def origin_of(request: web.BaseRequest) -> Origin:
    """Return the peer of a request to a `Listening`. Raises Misled."""
    handler = request.protocol
    assert isinstance(handler, Fronted)
    return handler.proxies.origin(handler.came, lambda name: request.headers.getall(name, []))
