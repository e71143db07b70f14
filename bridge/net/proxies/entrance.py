"""Reading of PROXY headers on accepted connections, before TLS and before HTTP."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable

from bridge.net.certificates import names_of
from bridge.net.proxies import tls_after_header
from bridge.net.proxies.preamble import SIGNATURES, STRANGER, BrokenPreamble, is_begun, read
from bridge.net.proxies.rules import DIRECT, Origin, Proxies

# Called with the IP address, and the reason in a sentence.
Refused = Callable[[str, str], None]


class Fronted(asyncio.Protocol):
    """A connection that a proxy may have made. A subclass calls `enters` first in its `connection_made`.

    Attributes:
        proxies: The rules for proxies, of the listener.
        entrance: The reader of PROXY headers, None if the listener reads none.
        came: The peer that the connection is from.
    """

    proxies: Proxies = DIRECT
    entrance: Entrance | None = None
    came = Origin()
    _announced: Origin | None = None

    def enters(self, transport: asyncio.BaseTransport) -> bool:
        """Return whether the connection begins now.

        If not, its PROXY header is read first, and then `connection_made` is called again.
        """
        if self.entrance is not None and self._announced is None:
            assert isinstance(transport, asyncio.Transport)
            self.entrance.take(transport, self)
            return False
        self.came = self._origin(transport)
        return True

    def announce(self, origin: Origin) -> None:
        """Set the peer that the PROXY header states."""
        self._announced = origin

    def _origin(self, transport: asyncio.BaseTransport) -> Origin:
        certificate = names_of(transport.get_extra_info("peercert"))
        secure = transport.get_extra_info("sslcontext") is not None
        if self._announced is None:
            address, port = _peer(transport)
            proxy = address if self.proxies.mode == "forwarded" and self.proxies.include(address) else ""
        else:
            address, port, proxy = self._announced.address, self._announced.port, self._announced.proxy
        return Origin(address=address, port=port, proxy=proxy, certificate=certificate, secure=secure)


def _peer(transport: asyncio.BaseTransport) -> tuple[str, int]:
    peer = transport.get_extra_info("peername")
    return (str(peer[0]), int(peer[1])) if peer else ("", 0)


class Entrance:
    """The reader of PROXY headers of one listener. The number of connections that wait, and their time, are bounded."""

    def __init__(
        self, proxies: Proxies, tls: ssl.SSLContext | None, *, timeout: float, most: int, refused: Refused
    ) -> None:
        """
        Args:
            proxies: The rules. A proxy in them must send a PROXY header; any other peer must not.
            tls: The TLS context for the octets after the header; None for a plain listener.
            timeout: The seconds that a header may take, and that the TLS handshake may take after it.
            most: The most connections that may wait for their header at once.
            refused: Called for each connection that is closed.
        """
        self._proxies = proxies
        self._tls = tls
        self._timeout = timeout
        self._most = most
        self._refused = refused
        self._waiting: set[_Header] = set()

    def take(self, transport: asyncio.Transport, connection: Fronted) -> None:
        """Read the PROXY header on `transport`, then give the transport to `connection`."""
        address, port = _peer(transport)
        if len(self._waiting) >= self._most:
            self._refused(address, f"{self._most} connections wait for their PROXY header (limits.connections)")
            transport.abort()
            return
        header = _Header(self, transport, connection, address, port)
        self._waiting.add(header)
        transport.set_protocol(header)

    def close(self) -> None:
        """Close all connections that wait for their header."""
        for header in tuple(self._waiting):
            header.transport.abort()

    def judge(self, header: _Header) -> None:
        """Check the octets received so far: hand the connection over, refuse it, or wait for more."""
        try:
            found = self._read(header)
        except BrokenPreamble as error:
            self.refuse(header, str(error))
            return
        if found is not None:
            origin, size = found
            self._hand_over(header, origin, header.data[size:])

    def _read(self, header: _Header) -> tuple[Origin, int] | None:
        """Return the peer of the connection and the octets of the header; None while octets are missing.

        Raises: BrokenPreamble.
        """
        direct = Origin(address=header.address, port=header.port)
        if not self._proxies.include(header.address):
            if header.data.startswith(SIGNATURES):
                raise BrokenPreamble(STRANGER)
            return None if is_begun(header.data) else (direct, 0)
        preamble = read(header.data)
        if preamble is None:
            return None
        if preamble.source is None:
            return Origin(address=header.address, port=header.port, proxy=header.address), preamble.size
        address, port = preamble.source
        return Origin(address=address, port=port, proxy=header.address), preamble.size

    def refuse(self, header: _Header, reason: str) -> None:
        """Close the connection at once, and report the reason."""
        self._refused(header.address, reason)
        header.transport.abort()

    def forget(self, header: _Header) -> None:
        """Remove `header` from the waiting ones."""
        self._waiting.discard(header)

    @property
    def timeout(self) -> float:
        """The seconds that a header may take."""
        return self._timeout

    def _hand_over(self, header: _Header, origin: Origin, rest: bytes) -> None:
        header.done()
        transport, connection = header.transport, header.connection
        connection.announce(origin)
        if self._tls is None:
            transport.set_protocol(connection)
            connection.connection_made(transport)
            if rest and not transport.is_closing():
                connection.data_received(rest)
            return
        tls_after_header.begin(transport, connection, self._tls, rest, timeout=self._timeout)


class _Header(asyncio.Protocol):
    """A connection that waits for the octets of its PROXY header."""

    def __init__(
        self, entrance: Entrance, transport: asyncio.Transport, connection: Fronted, address: str, port: int
    ) -> None:
        self.transport = transport
        self.connection = connection
        self.address = address
        self.port = port
        self.data = b""
        self._entrance = entrance
        self._deadline = asyncio.get_running_loop().call_later(entrance.timeout, self._too_slow)

    def data_received(self, data: bytes) -> None:
        if not self.transport.is_closing():
            self.data += data
            self._entrance.judge(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        self.done()

    def done(self) -> None:
        """Stop waiting: cancel the deadline and leave the list of waiting connections."""
        self._deadline.cancel()
        self._entrance.forget(self)

    def _too_slow(self) -> None:
        self._entrance.refuse(self, f"no PROXY header came within {self._entrance.timeout:g} s")
