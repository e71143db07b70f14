"""Accept the connections of other nodes, at a Unix socket or a TCP port.

A connection whose greeting is not over is half open. Their number has a bound, and one more ends the oldest: who
connects and says nothing keeps no node out.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import ssl
import stat
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from bridge.cluster.link_tls import tls_failure
from bridge.cluster.links import AcceptedLink, LinkTerms
from bridge.cluster.node_addresses import TCPAddress, UnixAddress
from bridge.net.descriptors import OURS, AcceptingSocket, Purpose, listen_at
from bridge.net.listening import accept_no_more
from bridge.net.tasks import Tasks

_log = logging.getLogger("bridge.cluster")
_BACKLOG = 100
# Octets that a peer may send between the end of its TLS handshake and the moment when they are read.
_MOST_EARLY = 262_144
# Seconds between two lines of the log about refused connections.
_QUIET = 1.0


class RefusalLog:
    """Lines of the log about refused connections, one a second at most: a stranger can make any number of them."""

    def __init__(self) -> None:
        self._last = -_QUIET
        self._untold = 0

    def refused(self, peer: str, why: str) -> None:
        """Log that a connection was refused, or count it if one was logged just before."""
        now = asyncio.get_running_loop().time()
        if now - self._last < _QUIET:
            self._untold += 1
            return
        more = f" ({self._untold} more refusals before this one)" if self._untold else ""
        self._last, self._untold = now, 0
        _log.warning("a connection to the cluster's port from %s was refused: %s%s", peer, why, more)


class HalfOpen:
    """The accepted connections whose greeting is not over.

    Args:
        most: The most of them.
        timeout: Seconds that each has.
        refusals: Gets those that were ended.
    """

    def __init__(self, most: int, timeout: float, refusals: RefusalLog) -> None:
        self._most = most
        self._timeout = timeout
        self._refusals = refusals
        self._waiting: dict[object, tuple[asyncio.Transport, asyncio.TimerHandle]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def enter(self, key: object, transport: asyncio.Transport) -> None:
        """Count a connection, until `leave` or its end by the bound or the timeout."""
        if len(self._waiting) >= self._most:
            self._drop(next(iter(self._waiting)), f"more than {self._most} connections have not named their node")
        loop = asyncio.get_running_loop()
        text = f"it did not name its node within {self._timeout:g} s"
        self._waiting[key] = transport, loop.call_later(self._timeout, self._drop, key, text)

    def leave(self, key: object) -> None:
        """Count a connection no more."""
        entry = self._waiting.pop(key, None)
        if entry is not None:
            entry[1].cancel()

    def close(self) -> None:
        """End all of them."""
        for transport, timer in self._waiting.values():
            timer.cancel()
            transport.abort()
        self._waiting.clear()

    def _drop(self, key: object, why: str) -> None:
        transport, timer = self._waiting.pop(key)
        timer.cancel()
        self._refusals.refused(peer_of(transport), why)
        transport.abort()


class LinkListener:
    """Listens at one address, until `close`.

    Args:
        terms: The settings of links.
        tls: The context of TLS; None for a Unix socket or plain TCP.
        accept: Makes the link of a connection. It is called with what the link must call when its greeting is over.
        tasks: The owner of the tasks of TLS handshakes.
    """

    def __init__(
        self,
        terms: LinkTerms,
        tls: ssl.SSLContext | None,
        accept: Callable[[Callable[[AcceptedLink, str], None]], AcceptedLink],
        tasks: Tasks,
    ) -> None:
        self._terms = terms
        self._tls = tls
        self._accept = accept
        self._tasks = tasks
        self._refusals = RefusalLog()
        self._half_open = HalfOpen(terms.max_half_open, terms.hello_timeout, self._refusals)
        self._servers: list[asyncio.Server] = []
        self._file: _File | None = None

    async def listen(self, address: UnixAddress | TCPAddress) -> UnixAddress | TCPAddress:
        """Listen. Returns the address with the port that it got.

        Raises:
            OSError: It is not possible there.
        """
        loop = asyncio.get_running_loop()
        if isinstance(address, UnixAddress):
            sockets = [unix_socket(address.path)]
            self._file = _File(address.path)
        else:
            sockets = listen_at(address.host, address.port, Purpose.ADMIN)
            address = TCPAddress(address.host, sockets[0].getsockname()[1])
        for listening in sockets:
            self._servers.append(await loop.create_server(self._connection, sock=listening))
        return address

    async def close(self) -> None:
        """Accept no more, and end the connections that are half open."""
        await accept_no_more(*self._servers)
        for server in self._servers:
            server.close()
        self._half_open.close()
        if self._file is not None:
            self._file.remove()

    def _connection(self) -> asyncio.Protocol:
        return _Door(self)

    # For the connections.

    def entered(self, door: _Door, transport: asyncio.Transport) -> None:
        """Handle a new connection."""
        self._half_open.enter(door, transport)
        if self._tls is None:
            door.open_to(self._link(door, peer_of(transport)), transport)
        else:
            transport.pause_reading()
            self._tasks.spawn(self._begin_tls(door, transport, self._tls), name="TLS of a link")

    def left(self, door: _Door) -> None:
        """Handle the end of a connection."""
        self._half_open.leave(door)

    async def _begin_tls(self, door: _Door, plain: asyncio.Transport, context: ssl.SSLContext) -> None:
        peer = peer_of(plain)
        if plain.is_closing():
            return
        try:
            transport = await asyncio.get_running_loop().start_tls(
                plain, door, context, server_side=True, ssl_handshake_timeout=self._terms.hello_timeout
            )
        except (OSError, ssl.SSLError) as error:
            self._half_open.leave(door)
            if not isinstance(error, ConnectionError) or isinstance(error, ssl.SSLError):
                self._refusals.refused(peer, tls_failure(error))
            return
        if transport is None or transport.is_closing():
            self._half_open.leave(door)
            return
        door.open_to(self._link(door, peer), transport)

    def _link(self, door: _Door, peer: str) -> AcceptedLink:
        def greeted(link: AcceptedLink, refused: str) -> None:
            self._half_open.leave(door)
            if refused:
                self._refusals.refused(peer, refused)

        link = self._accept(greeted)
        link.on_lost = partial(self._half_open.leave, door)
        return link


class _Door(asyncio.Protocol):
    """A connection until its link takes it over. It keeps what comes between the TLS handshake and that."""

    def __init__(self, listener: LinkListener) -> None:
        self._listener = listener
        self._early = b""
        self._wire: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._wire = transport
        self._listener.entered(self, transport)

    def data_received(self, data: bytes) -> None:
        self._early += data
        if len(self._early) > _MOST_EARLY and self._wire is not None:
            self._wire.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._listener.left(self)

    def open_to(self, link: AcceptedLink, transport: asyncio.Transport) -> None:
        """Give the connection to its link."""
        transport.set_protocol(link)
        link.connection_made(transport)
        if self._early:
            link.data_received(self._early)


class _File:
    """The file of a Unix socket that this process made."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._inode = self._path.stat().st_ino

    def remove(self) -> None:
        """Remove the file, unless another process has replaced it."""
        with suppress(OSError):
            if self._path.stat().st_ino == self._inode:
                self._path.unlink()


def unix_socket(path: str) -> AcceptingSocket:
    """Return a socket that listens at `path`, for the user of this process alone.

    The file of a socket that nobody listens at any more is replaced.

    Raises:
        OSError: Another process listens there, or the file is no socket, or cannot be made.
    """
    _check_free(path)
    made = AcceptingSocket(socket.AF_UNIX, socket.SOCK_STREAM)
    made.descriptors, made.purpose = OURS, Purpose.ADMIN
    # The file gets its name when it can be used: nobody finds one that nobody listens at.
    draft = f"{path}.{os.getpid()}"
    try:
        with suppress(FileNotFoundError):
            Path(draft).unlink()
        made.bind(draft)
        Path(draft).chmod(0o600)
        made.listen(_BACKLOG)
        Path(draft).rename(path)
    except OSError as error:
        made.close()
        with suppress(OSError):
            Path(draft).unlink()
        raise OSError(error.errno, f"cannot listen at the Unix socket {path}: {error.strerror or error}") from error
    return made


def _check_free(path: str) -> None:
    try:
        kind = Path(path).lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(kind):
        raise OSError(errno.EEXIST, f"cannot listen at the Unix socket {path}: the file is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            return
        except OSError as error:
            if error.errno != errno.EAGAIN:  # its backlog is full: somebody listens
                raise
    raise OSError(errno.EADDRINUSE, f"cannot listen at the Unix socket {path}: another process listens there")


def peer_of(transport: asyncio.BaseTransport) -> str:
    """Return the address of the peer, for a person."""
    address = transport.get_extra_info("peername")
    return f"{address[0]}:{address[1]}" if isinstance(address, tuple) else "this machine"
