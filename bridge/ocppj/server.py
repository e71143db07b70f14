"""The OCPP-J listener, on websockets: who knocks, what they speak, and whether they are let in. Decides nothing more.

Whether a Charge Point is known, and whether its Central System can be reached, is asked of the `admit` function while
the handshake waits; its refusal is the handshake's HTTP status.
"""

from __future__ import annotations

import http
import logging
import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol
from urllib.parse import unquote

from msgspec import Struct
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from bridge import identity as identities
from bridge import paths
from bridge.certificates import names_of
from bridge.errors import Why
from bridge.limits.guard import House, Rules
from bridge.listening import accept_no_more
from bridge.ocppj.bounds import Bounded, Bounds
from bridge.ocppj.handshakes import Judged

_PROTOCOL_ERROR, _TOO_BIG, _INTERNAL_ERROR = 1002, 1009, 1011
_log = logging.getLogger("bridge.ocppj")
# What websockets itself says of broken handshakes would be a traceback each; ours are refusals, logged as such.
_silent = logging.getLogger("bridge.websockets.silent")
_silent.disabled = True


class Knock(Struct, frozen=True, kw_only=True):
    """A handshake: who wants in, from where, and what they speak, in their order of preference. `listener` is the name
    of the one that it came through, `certificate` the names in the certificate that was shown, None if none was."""

    identity: str
    peer: str
    subprotocols: tuple[str, ...]
    authorization: str | None
    listener: str = ""
    certificate: tuple[str, ...] | None = None
    token: str | None = None

    def __repr__(self) -> str:
        return f"Knock({self.identity!r}, {self.peer!r})"


class Refused(Exception):
    """The handshake ends with this HTTP status, and this text; `why` is the word that it is counted by. With
    `hides_identity`, what stands for the identity is a secret."""

    def __init__(
        self,
        status: int,
        text: str,
        headers: dict[str, str] | None = None,
        *,
        why: Why = Why.UNAVAILABLE,
        hides_identity: bool = False,
    ) -> None:
        super().__init__(text)
        self.why = why
        self.hides_identity = hides_identity
        self.status = status
        self.text = text
        self.headers = headers or {}


class Entry(Protocol):
    """What comes of a handshake that was let in."""

    @property
    def subprotocol(self) -> str | None:
        """The one that both ends speak. None: complete the handshake, then close (OCPP-J 1.6 section 3.2)."""

    async def serve(self, connection: Bounded) -> None:
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
        bounds: Bounds = Bounds(),  # noqa: B008  frozen
        rules: Rules = Rules(),  # noqa: B008
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
        self._bounds = bounds
        self._house = House(rules, self._turned_away)
        self._ping_interval = ping_interval
        self._refused = refused
        self._open_timeout = open_timeout
        self._server: Server | None = None
        self.address: tuple[str, int] = ("", 0)

    @property
    def listening(self) -> bool:
        """Whether somebody can knock."""
        return self._server is not None and self._server.is_serving()

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        """Listen. Raises OSError where that is not possible."""
        self._server = await serve(
            self._serve,
            host,
            port,
            process_request=self._knock,
            select_subprotocol=self._select,
            create_connection=_connections(self._help_text, self._refused, self._house, self._bounds),
            compression=None,
            max_size=self._bounds.max_size,
            ping_interval=self._ping_interval,
            ping_timeout=self._ping_interval,
            open_timeout=self._open_timeout,
            close_timeout=2,
            server_header="ocpp-bridge",
            logger=_silent,
            ssl=tls,
            ssl_handshake_timeout=None if tls is None else self._house.rules.header_timeout,
        )
        self.address = next(iter(self._server.sockets)).getsockname()[:2]

    async def close(self) -> None:
        """Stop listening, and hang up with 1001."""
        if self._server is not None:
            await accept_no_more(self._server)
            self._server.close(code=1001, reason="the bridge is shutting down")
            await self._server.wait_closed()

    def _turned_away(self, peer: str, status: int, text: str, why: Why) -> None:
        self._refused(None, peer, status, text, why)

    # The handshake.

    async def _knock(self, connection: ServerConnection, request: Request) -> Response | None:
        peer = _peer(connection)
        identity = None
        try:
            if not self._admits(peer):
                raise Refused(403, "This listener is not for your network.", why=Why.WRONG_ADDRESS)
            identity, token = self._address(request.path)
            if "websocket" not in request.headers.get("Upgrade", "").lower():
                raise Refused(426, self._help_text, {"Upgrade": "websocket"}, why=Why.WRONG_DOOR)
            assert isinstance(connection, _Connection)
            certificate = names_of(connection.transport.get_extra_info("peercert"))
            connection.entry = await self._admit(
                _read_knock(identity, token, peer, request.headers, self._name, certificate)
            )
        except Refused as refusal:
            who = None if refusal.hides_identity else identity
            self._refused(who, peer, refusal.status, refusal.text.splitlines()[0], refusal.why)
            return _response(refusal, self._help_text if _is_lost(refusal) else "")
        except Exception:
            _log.exception("a handshake could not be judged")
            return _response(Refused(500, "The bridge failed; its log says why."))
        return None

    def _address(self, target: str) -> tuple[str, str | None]:
        """The last segment of the path, decoded once (rule 2), is the identity; the one before it may be a token.
        Letter case before them, and slashes behind them, are forgiven. Raises Refused."""
        path = target.partition("?")[0].rstrip("/")
        folder, _, last = path.rpartition("/")
        above, _, token = folder.rpartition("/")
        is_plain, has_token = self._is_ours(folder), token != "" and self._is_ours(above)
        if not last or not (is_plain or has_token):
            where = paths.shown(path, self._path.lower().split("/"))
            raise Refused(404, f"There is nothing at {where}.", why=Why.WRONG_DOOR)
        try:
            identity = identities.read(unquote(last, errors="strict"))
        except UnicodeDecodeError:
            raise Refused(404, "The identity in the address is not UTF-8.", why=Why.WRONG_DOOR) from None
        except ValueError as error:
            raise Refused(400, f"{str(error)[:1].upper()}{str(error)[1:]}.", why=Why.MALFORMED) from None
        return identity, None if is_plain else unquote(token, errors="replace")

    def _is_ours(self, folder: str) -> bool:
        return folder.strip("/").lower() == self._path.lower()

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


def _is_lost(refusal: Refused) -> bool:
    return refusal.status == http.HTTPStatus.NOT_FOUND and refusal.why is Why.WRONG_DOOR


def _read_knock(
    identity: str,
    token: str | None,
    peer: str,
    headers: Headers,
    listener: str,
    certificate: tuple[str, ...] | None,
) -> Knock:
    """Clients send the subprotocols in one header or in several (rule 4). Raises Refused."""
    offered = [part.strip() for line in headers.get_all("Sec-WebSocket-Protocol") for part in line.split(",")]
    authorization = headers.get_all("Authorization")
    if len(authorization) > 1:
        raise Refused(400, "One Authorization header is enough.", why=Why.MALFORMED)
    return Knock(
        identity=identity,
        peer=peer,
        subprotocols=tuple(part for part in offered if part),
        authorization=authorization[0] if authorization else None,
        listener=listener,
        certificate=certificate,
        token=token,
    )


def _response(refusal: Refused, help_text: str = "") -> Response:
    body = f"{refusal.text}\n{help_text}".encode()
    headers = Headers(refusal.headers)
    headers["Content-Type"] = "text/plain; charset=utf-8"
    headers["Content-Length"] = str(len(body))
    headers["Connection"] = "close"
    return Response(refusal.status, http.HTTPStatus(refusal.status).phrase, headers, body)


def _connections(help_text: str, refused: Told, house: House, bounds: Bounds) -> type[_Connection]:
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

    return type("Connection", (_Connection,), {"turn_away": turn_away, "bounds": bounds} | house.attributes)


class _Connection(Judged, Bounded, ServerConnection):
    """One that answers a POST, which websockets cannot read, and that lets go of its Entry however it ends."""

    entry: Entry | None = None
    _begun = False

    def turn_away(self) -> None:
        """Answer it."""
        raise NotImplementedError

    def _fail(self, code: int, reason: str) -> None:
        if not self.protocol.close_expected():
            why = Why.TOO_LARGE if code == _TOO_BIG else Why.TOO_MANY_MESSAGES
            self.house.told(self._address, code, reason, why)
        super()._fail(code, reason)

    def data_received(self, data: bytes) -> None:
        if not self._begun and data[:1].isalpha() and not b"GET ".startswith(data[:4]):
            self.ignore()
            self.turn_away()
            # RFC 9112 section 9.6: what is still on its way is read, or a reset could overtake the answer.
            if self.transport.can_write_eof():
                self.transport.write_eof()
            else:
                self.transport.close()
        self._begun = True
        super().data_received(data)

    def give_up(self, reason: str) -> None:
        """Its Link says why it ended."""
        Bounded.give_up(self, reason)

    def connection_lost(self, exc: BaseException | None) -> None:
        entry, self.entry = self.entry, None
        if entry is not None:
            entry.abandon()
        super().connection_lost(exc)

    def take_entry(self) -> Entry:
        entry, self.entry = self.entry, None
        assert entry is not None
        return entry
