"""The OCPP-J listener, on websockets: who knocks, what they speak, and whether they are let in. Decides nothing more.

Whether a Charge Point is known, and whether its Central System can be reached, is asked of the `admit` function while
the handshake waits; its refusal is the handshake's HTTP status.
"""

from __future__ import annotations

import binascii
import http
import logging
import ssl
from base64 import b64decode
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol
from urllib.parse import unquote

from msgspec import Struct
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from bridge.certificates import names_of
from bridge.errors import Why

_PROTOCOL_ERROR, _INTERNAL_ERROR = 1002, 1011
_log = logging.getLogger("bridge.ocppj")
# What websockets itself says of broken handshakes would be a traceback each; ours are refusals, logged as such.
_silent = logging.getLogger("bridge.websockets.silent")
_silent.disabled = True


class Credentials(Struct, frozen=True):
    """HTTP Basic (OCPP-J 1.6 section 6.2.2): the password is raw bytes, and may hold a colon."""

    user: bytes
    password: bytes

    @classmethod
    def read(cls, authorization: str | None) -> Credentials | None:
        """From an Authorization header; None if there is none, or it is not Basic."""
        scheme, _, encoded = (authorization or "").partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            user, colon, password = b64decode(encoded.strip(), validate=True).partition(b":")
        except (binascii.Error, ValueError):
            return None
        return cls(user, password) if colon else None


class Knock(Struct, frozen=True, kw_only=True):
    """A handshake: who wants in, from where, and what they speak, in their order of preference. `listener` is the name
    of the one that it came through, `certificate` the names in the certificate that was shown, None if none was."""

    identity: str
    peer: str
    subprotocols: tuple[str, ...]
    authorization: str | None
    listener: str = ""
    certificate: tuple[str, ...] | None = None

    @property
    def credentials(self) -> Credentials | None:
        return Credentials.read(self.authorization)


class Refused(Exception):
    """The handshake ends with this HTTP status, and this text; `why` is the word that it is counted by."""

    def __init__(
        self, status: int, text: str, headers: dict[str, str] | None = None, *, why: Why = Why.UNAVAILABLE
    ) -> None:
        super().__init__(text)
        self.why = why
        self.status = status
        self.text = text
        self.headers = headers or {}


class Entry(Protocol):
    """What comes of a handshake that was let in."""

    @property
    def subprotocol(self) -> str | None:
        """The one that both ends speak. None: complete the handshake, then close (OCPP-J 1.6 section 3.2)."""

    async def serve(self, connection: ServerConnection) -> None:
        """Carry the connection's traffic until it ends."""

    def abandon(self) -> None:
        """The connection ended before `serve`."""


Admit = Callable[[Knock], Awaitable[Entry]]
# identity, peer, HTTP status, why in a line, and in a word.
Told = Callable[[str | None, str, int, str, Why], None]


class JsonServer:
    """The listener. `help_text` is what to tell whoever is at the wrong door; `refused` is told
    of every handshake that was turned away; `admits` says whether an IP address may use this listener."""

    def __init__(
        self,
        admit: Admit,
        *,
        path: str,
        help_text: str,
        max_size: int,
        ping_interval: float | None,
        open_timeout: float,
        refused: Told,
        name: str = "websocket",
        admits: Callable[[str], bool] = lambda peer: True,
    ) -> None:
        self._name = name
        self._admits = admits
        self._admit = admit
        self._path = path.strip("/")
        self._help_text = help_text
        self._max_size = max_size
        self._ping_interval = ping_interval
        self._refused = refused
        self._open_timeout = open_timeout
        self._server: Server | None = None
        self.address: tuple[str, int] = ("", 0)

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        """Listen. Raises OSError where that is not possible."""
        self._server = await serve(
            self._serve,
            host,
            port,
            process_request=self._knock,
            select_subprotocol=self._select,
            create_connection=_connections(self._help_text, self._refused),
            compression=None,
            max_size=self._max_size,
            ping_interval=self._ping_interval,
            ping_timeout=self._ping_interval,
            open_timeout=self._open_timeout,
            close_timeout=2,
            server_header="ocpp-bridge",
            logger=_silent,
            ssl=tls,
        )
        self.address = next(iter(self._server.sockets)).getsockname()[:2]

    async def close(self) -> None:
        """Stop listening, and hang up with 1001."""
        if self._server is not None:
            self._server.close(code=1001, reason="the bridge is shutting down")
            await self._server.wait_closed()

    # The handshake.

    async def _knock(self, connection: ServerConnection, request: Request) -> Response | None:
        peer = _peer(connection)
        identity = None
        try:
            if not self._admits(peer):
                raise Refused(403, "This listener is not for your network.", why=Why.WRONG_ADDRESS)
            identity = self._identity(request.path)
            if "websocket" not in request.headers.get("Upgrade", "").lower():
                raise Refused(426, self._help_text, {"Upgrade": "websocket"}, why=Why.WRONG_DOOR)
            assert isinstance(connection, _Connection)
            certificate = names_of(connection.transport.get_extra_info("peercert"))
            connection.entry = await self._admit(_read_knock(identity, peer, request.headers, self._name, certificate))
        except Refused as refusal:
            self._refused(identity, peer, refusal.status, refusal.text.splitlines()[0], refusal.why)
            return _response(refusal)
        except Exception:
            _log.exception("a handshake could not be judged")
            return _response(Refused(500, "The bridge failed; its log says why."))
        return None

    def _identity(self, target: str) -> str:
        """The last segment of the path, decoded once (rule 2). Letter case before it, and slashes behind it, are
        forgiven. Raises Refused."""
        path = target.partition("?")[0].rstrip("/")
        folder, _, last = path.rpartition("/")
        identity = unquote(last, errors="strict") if _decodes(last) else ""
        if folder.strip("/").lower() != self._path.lower() or not identity:
            raise Refused(404, f"There is nothing at {path[:200]}.\n{self._help_text}", why=Why.WRONG_DOOR)
        if len(identity) > 255 or not identity.isprintable():
            text = "An identity has at most 255 characters, none of them a control character.\n"
            raise Refused(400, text, why=Why.MALFORMED)
        return identity

    def _select(self, connection: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
        assert isinstance(connection, _Connection)
        entry = connection.entry
        return None if entry is None or entry.subprotocol is None else Subprotocol(entry.subprotocol)

    async def _serve(self, connection: ServerConnection) -> None:
        assert isinstance(connection, _Connection)
        entry = connection.take_entry()
        if connection.subprotocol is None:
            # OCPP-J 1.6 section 3.2: "complete the WebSocket handshake without a Sec-WebSocket-Protocol header and then
            # immediately close the connection".
            entry.abandon()
            await connection.close(_PROTOCOL_ERROR, "no common subprotocol")
            return
        try:
            await entry.serve(connection)
        except Exception:
            _log.exception("a connection could not be served")
            await connection.close(_INTERNAL_ERROR, "the bridge failed")


def _peer(connection: ServerConnection) -> str:
    return str(connection.remote_address[0]) if connection.remote_address else ""


def _decodes(segment: str) -> bool:
    try:
        unquote(segment, errors="strict")
    except UnicodeDecodeError:
        return False
    return True


def _read_knock(
    identity: str, peer: str, headers: Headers, listener: str, certificate: tuple[str, ...] | None
) -> Knock:
    """Clients send the subprotocols in one header or in several (rule 4)."""
    offered = [part.strip() for line in headers.get_all("Sec-WebSocket-Protocol") for part in line.split(",")]
    authorization = headers.get_all("Authorization")
    return Knock(
        identity=identity,
        peer=peer,
        subprotocols=tuple(part for part in offered if part),
        authorization=authorization[0] if authorization else None,
        listener=listener,
        certificate=certificate,
    )


def _response(refusal: Refused) -> Response:
    body = f"{refusal.text}\n".encode()
    headers = Headers(refusal.headers)
    headers["Content-Type"] = "text/plain; charset=utf-8"
    headers["Content-Length"] = str(len(body))
    headers["Connection"] = "close"
    return Response(refusal.status, http.HTTPStatus(refusal.status).phrase, headers, body)


def _connections(help_text: str, refused: Told) -> type[_Connection]:
    """Connections that know what to tell somebody who does not speak WebSocket."""
    body = f"This is the OCPP-J (JSON over WebSocket) port.\n{help_text}\n".encode()
    lines = (
        "HTTP/1.1 405 Method Not Allowed",
        "Allow: GET",
        "Content-Type: text/plain; charset=utf-8",
        f"Content-Length: {len(body)}",
        "Connection: close",
    )
    response = "\r\n".join((*lines, "", "")).encode() + body

    def turn_away(connection: ServerConnection) -> None:
        refused(None, _peer(connection), 405, "not a WebSocket handshake", Why.WRONG_DOOR)
        connection.transport.write(response)

    return type("Connection", (_Connection,), {"turn_away": turn_away})


class _Connection(ServerConnection):
    """One that answers a POST, which websockets cannot read, and that lets go of its Entry however it ends."""

    entry: Entry | None = None
    _begun = _turned_away = False

    def turn_away(self) -> None:
        """Answer it."""
        raise NotImplementedError

    def data_received(self, data: bytes) -> None:
        if not self._begun and data[:1].isalpha() and not b"GET ".startswith(data[:4]):
            self._turned_away = True
            self.turn_away()
            # RFC 9112 section 9.6: what is still on its way is read, or a reset could overtake the answer.
            if self.transport.can_write_eof():
                self.transport.write_eof()
            else:
                self.transport.close()
        self._begun = True
        if not self._turned_away:
            super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        entry, self.entry = self.entry, None
        if entry is not None:
            entry.abandon()
        super().connection_lost(exc)

    def take_entry(self) -> Entry:
        entry, self.entry = self.entry, None
        assert entry is not None
        return entry
