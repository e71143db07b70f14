"""The OCPP-J listener, on websockets: it reads handshakes, and accepts or refuses them.

The `admit` function decides whether a Charge Point is known and its Central System can be reached, while the handshake
waits. Its refusal gives the HTTP status of the handshake.
"""

from __future__ import annotations

import asyncio
import http
import logging
import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol
from urllib.parse import unquote

from msgspec import Struct
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from bridge.access import paths
from bridge.errors import Why
from bridge.net.accepted import AcceptedWebSocket
from bridge.net.descriptors import Inherited
from bridge.net.limits.connections import ConnectionLimits, ConnectionRules
from bridge.net.listening import AcceptingServer, accept_no_more, bound_to
from bridge.net.message_socket import MessageSocket
from bridge.net.proxies.rules import DIRECT, Misled, Proxies
from bridge.net.tasks import Tasks
from bridge.net.websocket import WebSocketBounds
from bridge.ocpp import identity as identities
from bridge.ocpp import tenants

_GOING_AWAY, _PROTOCOL_ERROR, _INTERNAL_ERROR = 1001, 1002, 1011
_log = logging.getLogger("bridge.ocppj")


class HandshakeRequest(Struct, frozen=True, kw_only=True):
    """The content of a handshake.

    Attributes:
        identity: The key of the Charge Point: the tenant, and the identity in the path.
        peer: The IP address of the peer.
        subprotocols: The offered subprotocols, in the client's order of preference.
        authorization: The Authorization header, None if there is none.
        listener: The name of the listener that the handshake came to.
        certificate: The names in the certificate that the client showed, None if it showed none.
        token: The path segment before the identity, None if there is none.
    """

    identity: str
    peer: str
    subprotocols: tuple[str, ...]
    authorization: str | None
    listener: str = ""
    certificate: tuple[str, ...] | None = None
    token: str | None = None

    def __repr__(self) -> str:
        return f"HandshakeRequest({self.identity!r}, {self.peer!r})"


class HandshakeDenied(Exception):
    """The handshake is refused.

    Attributes:
        status: The HTTP status of the response.
        text: The body of the response.
        headers: Header fields of the response.
        why: The reason in the word that refusals are counted by.
        hides_identity: Whether the identity must not be reported, because it may be a secret.
        central_system: The name of the Central System if it is refused because that one cannot be reached.
    """

    def __init__(
        self,
        status: int,
        text: str,
        headers: dict[str, str] | None = None,
        *,
        why: Why = Why.UNAVAILABLE,
        hides_identity: bool = False,
        central_system: str = "",
    ) -> None:
        super().__init__(text)
        self.why = why
        self.central_system = central_system
        self.hides_identity = hides_identity
        self.status = status
        self.text = text
        self.headers = headers or {}


class AcceptedHandshake(Protocol):
    """The handler of a connection whose handshake is accepted."""

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol that both ends speak, None if there is none.

        Without one, the handshake is completed and the connection closed (OCPP-J 1.6 section 3.2).
        """

    async def serve(self, connection: MessageSocket) -> None:
        """Handle the messages on the connection until it ends."""

    def abandon(self) -> None:
        """Handle a connection that ended before `serve` was called."""


Admit = Callable[[HandshakeRequest], Awaitable[AcceptedHandshake]]
# Called with the identity, the IP address, the HTTP status, the reason in a sentence, the reason in a word, and the
# name of the Central System that cannot be reached, "" for any other reason.
Told = Callable[[str | None, str, int, str, Why, str], None]


class JsonServer:
    """The OCPP-J listener.

    Args:
        admit: Decides on a handshake. Returns an AcceptedHandshake, or raises HandshakeDenied.
        path: The path of the listener, without the identity.
        help_text: The text for clients that use a wrong address or protocol.
        bounds: The limits of a WebSocket.
        rules: The limits of the connections.
        proxies: The trusted proxies.
        ping_interval: Seconds between two Pings, None for no Pings.
        open_timeout: Seconds until a handshake must be complete.
        refused: Called for each handshake that was refused, and each WebSocket that was closed for breaking a limit.
        name: The name of the listener.
        admits: Returns whether an IP address may use this listener.
        tenant_at: Returns the tenant for the hosts that a request names, None if they are not of this listener.
    """

    def __init__(
        self,
        admit: Admit,
        *,
        path: str,
        help_text: str,
        bounds: WebSocketBounds = WebSocketBounds(),  # noqa: B008  frozen
        rules: ConnectionRules = ConnectionRules(),  # noqa: B008
        proxies: Proxies = DIRECT,
        ping_interval: float | None,
        open_timeout: float,
        refused: Told,
        name: str = "websocket",
        admits: Callable[[str], bool] = lambda peer: True,
        tenant_at: Callable[[Sequence[str]], str | None] = lambda hosts: tenants.DEFAULT,
    ) -> None:
        self._name = name
        self._admits = admits
        self._tenant_at = tenant_at
        self._admit = admit
        self._path = path.strip("/")
        self._help_text = help_text
        self._bounds = bounds
        self._connection_limits = ConnectionLimits(rules, self._turned_away, proxies)
        self._ping_interval = ping_interval
        self._refused = refused
        self._open_timeout = open_timeout
        self._servers: list[AcceptingServer] = []
        self._connections: set[AcceptedWebSocket] = set()
        self._tasks = Tasks()
        self.address: tuple[str, int] = ("", 0)
        self.bound: tuple[tuple[str, int], ...] = ()

    @property
    def listening(self) -> bool:
        """Whether connections are accepted."""
        return any(server.is_serving() for server in self._servers)

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None, inherited: Inherited | None = None) -> None:
        """Begin to listen.

        Args:
            host: The IP address to listen at, or a host name, which stands for all its addresses.
            port: The port, 0 for any free one.
            tls: The TLS context, None for a plain listener.
            inherited: The sockets that another process bound; None binds them here.

        Raises:
            OSError: If the bridge cannot listen there.
        """
        self._servers = await self._connection_limits.listen(
            AcceptedWebSocket, self._shared(), host, port, tls, inherited
        )
        self.bound = bound_to(*self._servers)
        self.address = self.bound[0]

    def _shared(self) -> dict[str, object]:
        """Return the class attributes of the listener's connections."""
        return {
            "shared_bounds": self._bounds,
            "shared_ping_interval": self._ping_interval,
            "open_timeout": self._open_timeout,
            "asked": staticmethod(self._asked),
            "foreign": _foreign(self._help_text),
            "foreign_told": staticmethod(self._not_a_handshake),
            "connections": self._connections,
        }

    async def close(self) -> None:
        """Stop listening, and close the WebSockets with 1001. A handshake that is not answered yet gets HTTP 503."""
        if self._servers:
            await accept_no_more(*self._servers)
            self._connection_limits.close()
        for server in self._servers:
            server.close()
        for connection in tuple(self._connections):
            if connection.is_open:
                connection.close(_GOING_AWAY, "the bridge is shutting down")
            else:
                connection.abort_opening()
        await asyncio.gather(*(connection.closed() for connection in tuple(self._connections)))
        await self._tasks.close()

    def _not_a_handshake(self, peer: str) -> None:
        self._refused(self._nobody(), peer, 405, "not a WebSocket handshake", Why.WRONG_DOOR, "")

    def _turned_away(self, peer: str, status: int, text: str, why: Why) -> None:
        self._refused(self._nobody(), peer, status, text, why, "")

    def _nobody(self, hosts: Sequence[str] = ()) -> str | None:
        """Return the key for a refusal without an identity, None in the default tenant."""
        tenant = self._tenant_at(hosts)
        if tenant is None:
            tenant = self._tenant_at(())
        return tenants.key_of(tenant or tenants.DEFAULT, "") or None

    # The handshake.

    def _asked(self, connection: AcceptedWebSocket, request: Request) -> None:
        self._tasks.spawn(self._judge(connection, request), name="handshake")

    async def _judge(self, connection: AcceptedWebSocket, request: Request) -> None:
        """Answer a handshake, and handle the messages on its connection until it ends."""
        try:
            entry = await self._entry(connection, request)
        except HandshakeDenied as refusal:
            connection.refuse(_response(refusal, self._help_text if _is_lost(refusal) else ""))
            return
        except Exception:
            _log.exception("a handshake could not be judged")
            connection.refuse(_response(HandshakeDenied(500, "The bridge failed; its log says why.")))
            return
        await asyncio.sleep(0)  # lets the event loop report that the peer has closed the connection meanwhile
        if connection.is_closing or not connection.accept(request, entry.subprotocol) or connection.half_closed:
            entry.abandon()
            return
        await self._serve(connection, entry)

    async def _entry(self, connection: AcceptedWebSocket, request: Request) -> AcceptedHandshake:
        """Check a handshake and call `admit`. Return the AcceptedHandshake. Raises HandshakeDenied."""
        authority = paths.authority_of(request.path)
        hosts = request.headers.get_all("Host") if authority is None else [authority]
        peer, identity = connection.remote_address[0], self._nobody(hosts)
        try:
            try:
                origin = connection.sent_by(request.headers)
            except Misled as error:
                raise HandshakeDenied(400, f"Refused: {error}.", why=Why.MALFORMED) from error
            peer = origin.address
            if not self._admits(peer):
                raise HandshakeDenied(403, "This listener is not for your network.", why=Why.WRONG_ADDRESS)
            if (full := connection.counts_for(peer)) is not None:
                raise HandshakeDenied(503, f"{full}.", {"Retry-After": "10"}, why=Why.TOO_MANY_CONNECTIONS)
            tenant = self._tenant_at(hosts)
            if tenant is None:
                raise HandshakeDenied(404, "This listener is not for that host.", why=Why.WRONG_DOOR)
            plain, token = self._address(request.path)
            identity = tenants.key_of(tenant, plain)
            if "websocket" not in request.headers.get("Upgrade", "").lower():
                raise HandshakeDenied(426, self._help_text, {"Upgrade": "websocket"}, why=Why.WRONG_DOOR)
            return await self._admit(
                _read_knock(identity, token, peer, request.headers, self._name, origin.certificate)
            )
        except HandshakeDenied as refusal:
            who = self._nobody(hosts) if refusal.hides_identity else identity
            text = refusal.text.splitlines()[0]
            self._refused(who, peer, refusal.status, text, refusal.why, refusal.central_system)
            raise

    def _address(self, target: str) -> tuple[str, str | None]:
        """Return the identity and the token in the path, None for no token.

        The last segment of the path, decoded once (rule 2), is the identity. The segment before it may be a token.
        Letter case before them, doubled slashes and slashes after them do not matter. Raises HandshakeDenied.
        """
        path = paths.of_target(target)
        folder, _, last = path.rpartition("/")
        above, _, token = folder.rpartition("/")
        is_plain, has_token = self._is_ours(folder), token != "" and self._is_ours(above)
        if not last or not (is_plain or has_token):
            where = paths.shown(path, self._path.lower().split("/"))
            raise HandshakeDenied(404, f"There is nothing at {where}.", why=Why.WRONG_DOOR)
        try:
            identity = identities.read(unquote(last, errors="strict"))
        except UnicodeDecodeError:
            raise HandshakeDenied(404, "The identity in the address is not UTF-8.", why=Why.WRONG_DOOR) from None
        except ValueError as error:
            raise HandshakeDenied(400, f"{str(error)[:1].upper()}{str(error)[1:]}.", why=Why.MALFORMED) from None
        return identity, None if is_plain else unquote(token, errors="replace")

    def _is_ours(self, folder: str) -> bool:
        return folder.strip("/").lower() == self._path.lower()

    async def _serve(self, connection: AcceptedWebSocket, entry: AcceptedHandshake) -> None:
        if entry.subprotocol is None:
            # OCPP-J 1.6 section 3.2: "complete the WebSocket handshake without a Sec-WebSocket-Protocol header and then
            # immediately close the connection".
            entry.abandon()
            connection.close(_PROTOCOL_ERROR, "no common subprotocol")
            return
        try:
            await entry.serve(connection)
        except Exception:
            _log.exception("a connection could not be served")
            connection.close(_INTERNAL_ERROR, "the bridge failed")


def _is_lost(refusal: HandshakeDenied) -> bool:
    return refusal.status == http.HTTPStatus.NOT_FOUND and refusal.why is Why.WRONG_DOOR


def _read_knock(
    identity: str,
    token: str | None,
    peer: str,
    headers: Headers,
    listener: str,
    certificate: tuple[str, ...] | None,
) -> HandshakeRequest:
    """Return the content of a handshake. Clients send the subprotocols in one header or in several (rule 4).

    Args:
        identity: The key of the Charge Point.
        token: The token in the path, None if there is none.
        peer: The IP address of the peer.
        headers: The header fields of the handshake.
        listener: The name of the listener.
        certificate: The names in the certificate that the client showed, None if it showed none.

    Raises:
        HandshakeDenied: If there is more than one Authorization header.
    """
    offered = [part.strip() for line in headers.get_all("Sec-WebSocket-Protocol") for part in line.split(",")]
    authorization = headers.get_all("Authorization")
    if len(authorization) > 1:
        raise HandshakeDenied(400, "One Authorization header is enough.", why=Why.MALFORMED)
    return HandshakeRequest(
        identity=identity,
        peer=peer,
        subprotocols=tuple(part for part in offered if part),
        authorization=authorization[0] if authorization else None,
        listener=listener,
        certificate=certificate,
        token=token,
    )


def _response(refusal: HandshakeDenied, help_text: str = "") -> Response:
    body = f"{refusal.text}\n{help_text}".encode()
    headers = Headers(refusal.headers)
    headers["Content-Type"] = "text/plain; charset=utf-8"
    headers["Content-Length"] = str(len(body))
    headers["Connection"] = "close"
    return Response(refusal.status, http.HTTPStatus(refusal.status).phrase, headers, body)


def _foreign(help_text: str) -> bytes:
    """Return the octets of the response to a request other than GET."""
    body = f"This is the OCPP-J (JSON over WebSocket) port.\n{help_text}\n".encode()
    lines = (
        "HTTP/1.1 405 Method Not Allowed",
        "Allow: GET",
        "Content-Type: text/plain; charset=utf-8",
        f"Content-Length: {len(body)}",
        "Connection: close",
    )
    return "\r\n".join((*lines, "", "")).encode() + body
