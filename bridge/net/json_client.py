"""WebSockets to Central Systems, one for each Charge Point, in the Charge Point's name (OCPP-J 1.6 section 3)."""

from __future__ import annotations

import asyncio
import ssl
from urllib.parse import urlsplit, urlunsplit

from msgspec import Struct
from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake, InvalidMessage, InvalidStatus, InvalidURI, NegotiationError
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol
from websockets.uri import WebSocketURI, parse_uri

from bridge.net.descriptors import OURS, Lease, Purpose
from bridge.net.websocket import SILENT, WebSocketBounds, WebSocketConnection
from bridge.ocpp import identity as identities
from bridge.ocppj.codec import SUBPROTOCOL

_POLICY = 1008


class Target(Struct, frozen=True, kw_only=True):
    """The endpoint of a Central System, and the Charge Point to connect as. All times are in seconds.

    Attributes:
        url: The endpoint. It has `{identity}` where the identity belongs, or the identity is appended to its path.
        identity: The identity of the Charge Point at the Central System.
        subprotocols: The subprotocols to offer, in their order of preference.
        fields: The names and values of further header fields of the handshake, such as Authorization.
        ping_interval: Seconds between two Pings, None for no Pings.
        open_timeout: Seconds for the connection and the handshake.
        bounds: The limits of the connection.
        tls: The TLS context, None for the default one.
    """

    url: str
    identity: str
    subprotocols: tuple[str, ...] = (SUBPROTOCOL,)
    fields: tuple[tuple[str, str], ...] = ()
    ping_interval: float | None = 30.0
    open_timeout: float = 10.0
    bounds: WebSocketBounds = WebSocketBounds()
    tls: ssl.SSLContext | None = None

    @property
    def address(self) -> str:
        """URL to dial, with the percent-encoded identity.

        Without `{identity}` in the endpoint, it is the endpoint's path, a slash and the identity; a query stays (rules
        2 and 3).
        """
        if identities.PLACEHOLDER in self.url:
            return identities.in_url(self.url, self.identity)
        parts = urlsplit(self.url)
        path = f"{parts.path.rstrip('/')}/{identities.segment(self.identity)}"
        return urlunsplit(parts._replace(path=path))

    def __repr__(self) -> str:
        return f"Target({self.url!r}, {self.identity!r})"


class DialRefused(Exception):
    """The connection could not be made. `status` is the HTTP status if the handshake was refused, else None."""

    def __init__(self, reason: str, status: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status


class DialledWebSocket(WebSocketConnection):
    """A WebSocket that the bridge opens. Its file descriptor is uncounted when the connection is lost."""

    def __init__(self, target: Target, uri: WebSocketURI, lease: Lease) -> None:
        self._protocol = ClientProtocol(
            uri,
            subprotocols=[Subprotocol(name) for name in target.subprotocols],
            max_size=target.bounds.max_size,
            logger=SILENT,
        )
        super().__init__(self._protocol, target.bounds, target.ping_interval)
        self._lease = lease
        self._fields = (*target.fields, ("User-Agent", "ocpp-bridge"))
        self.opening: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the handshake is complete. Has an exception if the handshake failed."""
        # If the dialling was cancelled, nobody waits for it, and asyncio would log an exception that nobody took.
        self.opening.add_done_callback(lambda opening: opening.cancelled() or opening.exception())

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        request = self._protocol.connect()
        for name, value in self._fields:
            request.headers[name] = value
        self._protocol.send_request(request)
        self._flush()

    def handshaken(self, event: Request | Response) -> None:
        if self.protocol.handshake_exc is None and not self.opening.done():
            self.opening.set_result(None)
            self.opened_websocket()

    def _advance(self) -> None:
        super()._advance()
        self._look_at_handshake()

    def _look_at_handshake(self) -> None:
        failure = self.protocol.handshake_exc
        if failure is not None and not self.opening.done():
            self.opening.set_exception(failure)

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        self._look_at_handshake()
        if not self.opening.done():
            self.opening.set_exception(exc if isinstance(exc, OSError) else InvalidMessage("it closed the connection"))
        self._lease.end()


async def dial(target: Target) -> DialledWebSocket:
    """Return an open connection to `target`, with one of its subprotocols. Raises DialRefused."""
    lease = OURS.lease(Purpose.OPENED)
    if lease is None:
        text = f"{target.url} cannot be reached: the bridge has no file descriptor left for it (RLIMIT_NOFILE)"
        raise DialRefused(text)
    try:
        connection = await _connected(target, lease)
    except (OSError, TimeoutError, InvalidHandshake, InvalidURI, ValueError, EOFError) as error:
        lease.end()
        status = error.response.status_code if isinstance(error, InvalidStatus) else None
        raise DialRefused(f"{target.url} {_refusal(error, target)}", status) from error
    except BaseException:
        lease.end()
        raise
    if connection.subprotocol is None:
        # OCPP-J 1.6 section 3.2: a server without a common subprotocol completes the handshake all the same.
        connection.close(_POLICY, "no common subprotocol")
        await connection.closed()
        raise NoCommonSubprotocol(f"{target.url} does not speak {' or '.join(target.subprotocols)}")
    return connection


class NoCommonSubprotocol(DialRefused):
    """The Central System completed the handshake, but accepted none of the offered subprotocols."""


async def _connected(target: Target, lease: Lease) -> DialledWebSocket:
    """Return an open connection. No redirect is followed, so that only the configured endpoint is dialled."""
    uri = parse_uri(target.address)
    connection = DialledWebSocket(target, uri, lease)
    tls = (target.tls or True) if uri.secure else None
    async with asyncio.timeout(target.open_timeout):
        transport, _ = await asyncio.get_running_loop().create_connection(
            lambda: connection, uri.host, uri.port, ssl=tls
        )
        try:
            await connection.opening
        except BaseException:
            transport.abort()
            raise
    return connection


def _refusal(error: Exception, target: Target) -> str:
    match error:
        case InvalidStatus(response=response):
            return f"refused the Charge Point: HTTP {response.status_code}"
        case NegotiationError():
            return f"does not speak {' or '.join(target.subprotocols)}: {error}"
        case TimeoutError():
            return "did not answer the handshake in time"
        case OSError(strerror=str(text)):
            return f"cannot be reached: {text}"
    return f"cannot be reached: {error}"
