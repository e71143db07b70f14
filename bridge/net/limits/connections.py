"""Checks of the connections that a listener accepts, whatever the protocol on them.

A connection must fit the connection limits. It must not begin with TLS at a plain port, nor with a PROXY header of a
peer that may not send one. Its peer must read the octets that are sent to it.

If a limit is broken before anything was sent, an HTTP response says so. Then the connection is closed.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from http import HTTPStatus

from msgspec import Struct

from bridge.errors import Why
from bridge.net.descriptors import Inherited
from bridge.net.limits.connection_count import ConnectionCount
from bridge.net.listening import AcceptingServer, begins_tls, servers_at, tls_at_plain_port
from bridge.net.proxies.entrance import Entrance, Fronted
from bridge.net.proxies.preamble import SIGNATURES, STRANGER
from bridge.net.proxies.rules import DIRECT, Proxies

# Called with the IP address, the HTTP status, the reason in a sentence, and the reason in a word.
Told = Callable[[str, int, str, Why], None]


class ConnectionRules(Struct, frozen=True, kw_only=True):
    """The limits of a listener. Sizes are in octets, times in seconds."""

    connections: int = 10_000
    connections_per_address: int = 1_000
    header_bytes: int = 16_384
    header_count: int = 64
    header_timeout: float = 10.0
    send_timeout: float = 30.0
    max_unsent: int = 4_194_304


class ConnectionLimits:
    """The limits and counts that the connections of one listener share.

    Args:
        rules: The limits.
        told: Called for each connection that is refused.
        proxies: The proxies that may state the addresses of their peers.
    """

    def __init__(self, rules: ConnectionRules, told: Told, proxies: Proxies = DIRECT) -> None:
        self.rules = rules
        self.told = told
        self.proxies = proxies
        self.entrance: Entrance | None = None
        self.connection_count = ConnectionCount(most=rules.connections, most_of_one=rules.connections_per_address)

    async def listen(
        self,
        protocol: type[FlowControlled],
        attributes: dict[str, object],
        host: str,
        port: int,
        tls: ssl.SSLContext | None,
        inherited: Inherited | None = None,
    ) -> list[AcceptingServer]:
        """Accept connections under these limits at each IP address of `host`.

        Args:
            protocol: The protocol class of the connections.
            attributes: The class attributes that all connections of the listener share, besides the limits.
            host: An IP address of this machine, or one of its names.
            port: The port, 0 for any.
            tls: The TLS settings; None for a plain listener.
            inherited: The sockets that another process bound; None binds them here.

        Returns: one server for each IP address.

        Raises:
            OSError: An address cannot be listened on.
        """
        rules = self.rules
        if self.proxies.mode == "protocol":
            self.entrance = Entrance(
                self.proxies, tls, timeout=rules.header_timeout, most=rules.connections, refused=self._not_entered
            )
            tls = None  # TLS starts behind the PROXY header
        limits = {
            "connection_limits": self,
            "send_timeout": rules.send_timeout,
            "max_unsent": rules.max_unsent,
            "proxies": self.proxies,
            "entrance": self.entrance,
        }
        connection = type(protocol.__name__, (protocol,), attributes | limits)
        return await servers_at(
            host, port, connection, tls, handshake_timeout=rules.header_timeout, inherited=inherited
        )

    def close(self) -> None:
        """Close the connections that still wait for their PROXY header. Called when the listener accepts no more."""
        if self.entrance is not None:
            self.entrance.close()

    def _not_entered(self, peer: str, text: str) -> None:
        self.told(peer, HTTPStatus.BAD_REQUEST, text, Why.MALFORMED)


class FlowControlled(asyncio.Protocol):
    """A connection that is closed if its peer does not read.

    Attributes:
        send_timeout: The seconds that octets may wait for the peer to read.
        max_unsent: The most octets that may wait for the peer to read when octets of the peer come in.
    """

    send_timeout = 30.0
    max_unsent = 4_194_304
    _wire: asyncio.Transport
    _stalled: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._wire = transport
        super().connection_made(transport)
        # With 1, `pause_writing` is called as soon as octets wait. With 0, asyncio's TLS takes an empty buffer as full.
        transport.set_write_buffer_limits(high=1)

    def pause_writing(self) -> None:
        super().pause_writing()
        loop = asyncio.get_running_loop()
        self._stalled = loop.call_later(self.send_timeout, self.give_up, f"it read nothing for {self.send_timeout:g} s")

    def resume_writing(self) -> None:
        self._flows()
        super().resume_writing()

    def data_received(self, data: bytes) -> None:
        # The library answers some octets itself, such as a Ping, even if the peer does not read the answers.
        if self._stalled is not None and self._wire.get_write_buffer_size() > self.max_unsent:
            self.give_up(f"more than {self.max_unsent} octets wait for it to read")
            return
        super().data_received(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._flows()
        super().connection_lost(exc)  # type: ignore[arg-type]  # whatever asyncio gives

    def give_up(self, reason: str) -> None:
        """Close the connection at once, without a response: the peer would not read it."""
        self._wire.abort()

    def _flows(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None


class LimitedConnection(Fronted, FlowControlled):
    """A connection that a peer opened to the bridge, checked against the limits of its listener."""

    connection_limits: ConnectionLimits
    _address = ""
    # The address that this connection counts for; None if requests of many addresses come on it.
    _counted: str | None = None
    _inside = _turned_away = _heard = False
    is_shared = False
    """Whether requests of many peers come on the connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if not self.enters(transport):
            return
        self._address = self.came.address
        self.is_shared = self.proxies.shares(self.came)
        self._counted = None if self.is_shared else self._address
        full = self.connection_limits.connection_count.enter(self._counted)
        if full is not None:
            assert isinstance(transport, asyncio.Transport)
            self._wire = transport
            self._turn_away(HTTPStatus.SERVICE_UNAVAILABLE, full, Why.TOO_MANY_CONNECTIONS)
            return
        self._inside = True
        super().connection_made(transport)
        self.opened()

    def opened(self) -> None:
        """Handle a new connection that fits the limits. Nothing was received on it yet."""

    def data_received(self, data: bytes) -> None:
        if self._turned_away:
            return
        if not self._heard:
            self._heard = True
            if begins_tls(data):
                self._turn_away(HTTPStatus.BAD_REQUEST, tls_at_plain_port(self._wire), Why.TLS)
                return
            if data.startswith(SIGNATURES):
                self._turn_away(HTTPStatus.BAD_REQUEST, STRANGER, Why.MALFORMED)
                return
        self.take(data)

    def take(self, data: bytes) -> None:
        """Handle received octets that break no limit."""
        super().data_received(data)

    def eof_received(self) -> bool | None:
        return None if self._turned_away else super().eof_received()

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._inside:
            self.connection_limits.connection_count.leave(self._counted)
            super().connection_lost(exc)

    def counts_for(self, address: str) -> str | None:
        """Count this connection of a proxy for `address`, the only peer whose requests come on it.

        Returns: None, or the sentence that names the exceeded limit; then the connection is not counted for `address`.
        """
        if self._counted is None:
            full = self.connection_limits.connection_count.assign(address)
            if full is not None:
                return full
            self._counted = address
        return None

    def ignore(self) -> None:
        """Discard all octets that are received from now on."""
        self._turned_away = True

    def give_up(self, reason: str) -> None:
        self.connection_limits.told(self._address, HTTPStatus.REQUEST_TIMEOUT, reason, Why.TOO_SLOW)
        super().give_up(reason)

    def _turn_away(self, status: HTTPStatus, text: str, why: Why) -> None:
        self.ignore()
        self.connection_limits.told(self._address, status, text, why)
        self._wire.write(refusal(status, text))
        self._wire.close()


def refusal(status: HTTPStatus, text: str) -> bytes:
    """Return the octets of the last HTTP response on a connection, with `text` as its plain-text body."""
    body = f"{text}\n".encode()
    lines = (
        f"HTTP/1.1 {status.value} {status.phrase}",
        "Content-Type: text/plain; charset=utf-8",
        f"Content-Length: {len(body)}",
        *(("Retry-After: 10",) if status is HTTPStatus.SERVICE_UNAVAILABLE else ()),
        "Connection: close",
    )
    return "\r\n".join((*lines, "", "")).encode() + body
