"""A simulated Central System of OCPP-J 1.6. The `ocpp` package reads and checks frames, `websockets` carries them.

The Central System breaks no rule by itself, but a test may make it break one: an answer or a command that does not fit
its schema is sent nevertheless, and written down in `violations`.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
from collections.abc import Collection, Mapping
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from bridge.lab.simulators.answers import CentralSystemAnswers
from bridge.lab.simulators.json_link import JsonLink
from bridge.lab.simulators.wire import Behaviour, Observer, Payload
from bridge.net.listening import accept_no_more
from bridge.net.tasks import Tasks

_SUBPROTOCOL = Subprotocol("ocpp1.6")


class JsonCentralSystem:
    """A Central System that listens from `start` to `stop`, or inside `async with`.

    Attributes:
        behaviour: The answer to each action; see `wire.Behaviour`.
        blocked: The idTags with the status Invalid.
        connections: The open connections, by identity.
        received: Identity, action and payload of every readable Call, in the order of arrival.
        violations: Each breach of the specification or of a schema, by either side.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        path: str = "/ocpp",
        observe: Observer | None = None,
        passwords: Mapping[str, str] | None = None,
        known: Collection[str] | None = None,
        interval: int = 300,
    ) -> None:
        self.answers = CentralSystemAnswers(interval=interval)
        self.behaviour: dict[str, Behaviour] = self.answers.table()
        self.blocked = self.answers.blocked
        self.connections: dict[str, JsonLink] = {}
        self.received: list[tuple[str, str, Payload]] = []
        self.violations: list[str] = []
        self.observe = observe
        self._host = host
        self._port = port
        self._path = path.rstrip("/")
        self._passwords = passwords
        self._known = known
        self._changed = asyncio.Condition()
        self._server: Server | None = None
        self._tasks = Tasks()

    async def start(self) -> None:
        """Listen, at a free port and always the same one if the port is 0."""
        self._server = await serve(
            self._accepted,
            self._host,
            self._port,
            process_request=self._admit,
            # OCPP-J 1.6, 3.2: without a subprotocol in common the handshake is completed, then the connection closed.
            select_subprotocol=lambda _, offered: _SUBPROTOCOL if _SUBPROTOCOL in offered else None,
            compression=None,
        )
        self._port = next(iter(self._server.sockets)).getsockname()[1]

    async def stop(self) -> None:
        """Close the listener, and close every connection with close code 1001."""
        if self._server is not None:
            await accept_no_more(self._server)
            self._server.close()
            await self._server.wait_closed()
        await self._tasks.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def url(self) -> str:
        """Return the URL to which a Charge Point appends its identity."""
        return f"ws://{self._host}:{self._port}{self._path}"

    async def wait_for(self, identity: str, timeout: float = 30) -> JsonLink:  # noqa: ASYNC109
        """Return the connection of `identity` as soon as it is open. Raises TimeoutError after `timeout` seconds."""
        async with asyncio.timeout(timeout), self._changed:
            await self._changed.wait_for(lambda: identity in self.connections)
        return self.connections[identity]

    async def wait_gone(self, identity: str, timeout: float = 30) -> None:  # noqa: ASYNC109
        """Wait until `identity` has no connection. Raises TimeoutError after `timeout` seconds."""
        async with asyncio.timeout(timeout), self._changed:
            await self._changed.wait_for(lambda: identity not in self.connections)

    async def call(
        self,
        identity: str,
        action: str,
        payload: Mapping[str, Any],
        timeout: float = 30,  # noqa: ASYNC109
    ) -> Payload:
        """Send a command to a Charge Point and return the payload of the answer.

        Commands that start at the same time are sent at the same time. That breaks OCPP-J 1.6, 4.1.1, but a gateway
        must cope with it.

        Raises:
            Refused: The answer is a CALLERROR.
            ConnectionError: The Charge Point has no connection, or the connection ended.
            TimeoutError: No answer arrived within `timeout` seconds.
        """
        if identity not in self.connections:
            raise ConnectionError(f"{identity} is not connected")
        return await self.connections[identity].call(action, dict(payload), timeout)

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        """Return the HTTP response that refuses the handshake, or None to continue the handshake."""
        identity = self._identity(request)
        if identity is None or (self._known is not None and identity not in self._known):
            return connection.respond(HTTPStatus.NOT_FOUND, "no such Charge Point here\n")
        if self._passwords is not None and not self._authorised(identity, request):
            response = connection.respond(HTTPStatus.UNAUTHORIZED, "wrong or no password\n")
            response.headers["WWW-Authenticate"] = 'Basic realm="ocpp"'
            return response
        return None

    def _identity(self, request: Request) -> str | None:
        """Return the last segment of the URL, percent-decoded once, or None when the URL is not one of ours."""
        path, _, segment = request.path.partition("?")[0].rpartition("/")
        try:
            return (unquote(segment, errors="strict") or None) if path == self._path else None
        except UnicodeDecodeError:
            return None

    def _authorised(self, identity: str, request: Request) -> bool:
        scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
        password = (self._passwords or {}).get(identity)
        if password is None or scheme.lower() != "basic":
            return False
        # The credentials are compared without a split, because an identity may contain a colon.
        wanted = base64.b64encode(f"{identity}:{password}".encode())
        return hmac.compare_digest(wanted, credentials.strip().encode())

    async def _accepted(self, websocket: ServerConnection) -> None:
        assert websocket.request is not None
        identity = self._identity(websocket.request)
        assert identity is not None
        if websocket.subprotocol is None:
            self.violations.append(f"{identity}: does not offer {_SUBPROTOCOL}")
            await websocket.close(1002, f"{_SUBPROTOCOL} is spoken here")
            return
        link = JsonLink(
            websocket,
            party="central_system",
            find=lambda action: self.behaviour.get(action),
            carried_out=lambda action, payload: self.received.append((identity, action, payload)),
            object_to=lambda breach: self.violations.append(f"{identity}: {breach}"),
            observe=self.observe,
        )
        await self._replace(identity, None, link)
        await link.run()
        await self._replace(identity, link, None)

    async def _replace(self, identity: str, old: JsonLink | None, new: JsonLink | None) -> None:
        """Set `new` as the connection of `identity`, and close the connection that `new` replaces.

        Without `new`, remove the connection of `identity` only if it is `old`: a replaced connection ends later.
        """
        async with self._changed:
            current = self.connections.get(identity)
            if new is not None:
                self.connections[identity] = new
            elif current is old:
                del self.connections[identity]
            self._changed.notify_all()
        if new is not None and current is not None:
            self._tasks.spawn(current.websocket.close(1000, "replaced by a newer one"), name=f"{identity} replaced")
