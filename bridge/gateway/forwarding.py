"""Let the process that has a Charge Point handle its requests and WebSockets, whichever process they came to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from http import HTTPStatus

import msgspec
from msgspec import Struct, structs

from bridge.cluster.courier import Courier
from bridge.cluster.errors import NodeAway, NodeRefused, NodeTimedOut
from bridge.cluster.link_streams import NodeStream
from bridge.errors import SendFailed, Unavailable, UnknownIdentity, Why
from bridge.gateway.holder_search import HolderSearch
from bridge.gateway.placement import Placements
from bridge.gateway.transports import GOING_AWAY, SHUTTING_DOWN
from bridge.net.forwarding import ForwardedPost, post_octets, post_of, reply_octets, reply_of
from bridge.net.json_relayed import RelayedWebSocket, WebSocketRelay
from bridge.net.json_server import AcceptedHandshake, HandshakeDenied, HandshakeRequest
from bridge.net.message_socket import MessageSocket
from bridge.net.soap_server import SoapServer
from bridge.net.tasks import Tasks
from bridge.ocpp.actions import Party
from bridge.ocpps.replies import Reply

_POST, _WEBSOCKET = "post", "websocket"
_DENIED, _NOT_HERE = "denied", "not_here"
# Seconds for a handshake at the process that has the Charge Point, with that at its Central System.
_OPEN_TIMEOUT = 30.0
# Seconds between two looks at what is in progress before the process stops.
_LOOK = 0.02


Handshake = Callable[[HandshakeRequest], Awaitable[AcceptedHandshake]]
_Relay = Callable[[WebSocketRelay], Awaitable[None]]


class _Accepted(Struct, frozen=True, kw_only=True):
    """A handshake was accepted."""

    subprotocol: str | None


class _Denial(Struct, frozen=True, kw_only=True):
    """A handshake was refused. The attributes are those of HandshakeDenied."""

    status: int
    text: str
    headers: dict[str, str]
    why: Why
    hides_identity: bool

    @classmethod
    def of(cls, denied: HandshakeDenied) -> _Denial:
        return cls(
            status=denied.status,
            text=denied.text,
            headers=denied.headers,
            why=denied.why,
            hides_identity=denied.hides_identity,
        )

    def error(self) -> HandshakeDenied:
        return HandshakeDenied(self.status, self.text, self.headers, why=self.why, hides_identity=self.hides_identity)


class Forwarding:
    """The requests and WebSockets of this process that another one handles, and the reverse.

    Args:
        holders: Finds the process that has a Charge Point.
        courier: The links to other processes.
        process: This process, by a name that no other process ever has.
        handshake: Decides on the handshakes of Charge Points that this process has.
        placements: Returns the Placements.
        servers: Returns the SOAP listeners of this process, by name.
    """

    def __init__(
        self,
        holders: HolderSearch,
        courier: Courier,
        *,
        process: str,
        handshake: Handshake,
        placements: Callable[[], Placements],
        servers: Callable[[], dict[str, SoapServer]],
    ) -> None:
        self._holders, self._courier = holders, courier
        self.process = process
        self._handshake, self._placements, self._servers = handshake, placements, servers
        self._tasks = Tasks()
        self._is_leaving = False
        self._posts = 0  # those that another process answers now
        self._relays: set[WebSocketRelay] = set()
        courier.on(_POST, self._asked)
        courier.on_stream(_WEBSOCKET, self._opened)

    async def drained(self, within: float) -> None:
        """Wait until nothing that this process passes on is in progress, at most `within` seconds.

        What comes from now on is refused. A WebSocket is closed as soon as no Call on it waits for an answer.
        """
        self._is_leaving = True
        loop = asyncio.get_running_loop()
        until = loop.time() + within
        while (self._posts or self._relays) and loop.time() < until:
            for relay in tuple(self._relays):
                relay.close_if_quiet(GOING_AWAY, "the process that accepted the connection stops")
            await asyncio.sleep(_LOOK)

    async def close(self) -> None:
        """End what is passed on."""
        await self._tasks.close()

    # Requests and WebSockets that came to this process.

    def key_of(self, sender: Party, name: str) -> str:
        """Return the key of the Charge Point that a message of `sender` names."""
        if sender is Party.CHARGE_POINT:
            return name
        try:
            return self._placements().named(name).identity
        except UnknownIdentity:
            return name

    def is_here(self, key: str) -> bool:
        """Return whether this process has the Charge Point, and may act for it now."""
        return self._holders.is_here(key)

    async def is_here_when_loaded(self, key: str) -> bool:
        """Return whether this process has the Charge Point, after its records are loaded if that is under way."""
        return await self._holders.is_here_when_loaded(key)

    async def forward(self, key: str, post: ForwardedPost) -> Reply | None:
        """Let the process that has the Charge Point answer a POST.

        A process that dies before it has answered is replaced: the request is sent to the next one.

        Returns: The response; None if this process has the Charge Point by now.

        Raises:
            Unavailable: No process has had the Charge Point for two leases.
        """
        self._open()
        return await self._answer(self._holders.ask(key, _POST, lambda: post_octets(post)))

    async def forward_unread(self, key: str, post: ForwardedPost) -> Reply | None:
        """Let the process that seems to have the Charge Point answer a POST that nobody has read.

        Returns: The response; None if that process is not reached, or does not have the Charge Point.
        """
        if self._is_leaving:
            return None
        return await self._answer(self._holders.ask_once(key, _POST, lambda: post_octets(post)))

    async def _answer(self, asking: Awaitable[bytes | None]) -> Reply | None:
        self._posts += 1
        try:
            answer = await asking
        finally:
            self._posts -= 1
        if answer is None:
            return None
        reply = reply_of(answer)
        return structs.replace(reply, closes=True) if self._is_leaving else reply

    async def handshake(self, handshake: HandshakeRequest) -> AcceptedHandshake:
        """Decide on a handshake, or let the process that has the Charge Point do so. Raises HandshakeDenied."""
        try:
            self._open()
        except Unavailable as error:
            raise HandshakeDenied(HTTPStatus.SERVICE_UNAVAILABLE, SHUTTING_DOWN) from error
        octets, patience = msgspec.msgpack.encode(handshake), self._holders.patience()
        while not self._holders.is_here(handshake.identity):
            node = self._holders.other(handshake.identity)
            if node is not None and await self._holders.is_reached(node, handshake.identity):
                until = asyncio.get_running_loop().time() + _OPEN_TIMEOUT
                try:
                    stream = await self._courier.open(node, _WEBSOCKET, octets, until)
                    told = await stream.recv()
                    accepted = msgspec.msgpack.decode(told if isinstance(told, bytes) else b"", type=_Accepted)
                    return _RelayedHandshake(
                        stream, accepted.subprotocol, partial(self._relay, handshake.identity, node)
                    )
                except NodeRefused as refused:
                    if refused.code == _DENIED:
                        raise msgspec.json.decode(refused.text, type=_Denial).error() from refused
                    if refused.code != _NOT_HERE:
                        raise HandshakeDenied(HTTPStatus.SERVICE_UNAVAILABLE, "The bridge failed.") from refused
                except (NodeAway, NodeTimedOut, msgspec.MsgspecError):
                    pass  # it is gone, or has lost the Charge Point meanwhile
            try:
                await self._holders.next(handshake.identity, patience)
            except Unavailable as error:
                text = f"{error.description[:1].upper()}{error.description[1:]}."
                raise HandshakeDenied(HTTPStatus.SERVICE_UNAVAILABLE, text, {"Retry-After": "5"}) from error
        return await self._handshake(handshake)

    def _open(self) -> None:
        if self._is_leaving:
            raise Unavailable(SHUTTING_DOWN)

    async def _relay(self, key: str, node: str, relay: WebSocketRelay) -> None:
        """Pass the messages of a WebSocket to a node, as long as that one has the Charge Point."""
        self._relays.add(relay)
        try:
            with self._holders.passed_on(key, node, relay.leave):
                await relay.run()
        finally:
            self._relays.discard(relay)

    # Requests and WebSockets that came to another process.

    def _asked(self, node: str, octets: bytes) -> Awaitable[bytes]:
        """Answer a POST that came to `node`; with no octets if this process does not have the Charge Point."""
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        def respond(reply: Reply | None) -> None:
            if not answer.done():
                answer.set_result(b"" if reply is None else reply_octets(reply))

        post = post_of(octets)
        if (server := self._servers().get(post.listener)) is None:
            respond(None)  # it is about to open, or the configurations differ
        else:
            server.forwarded(node, post, respond)
        return answer

    async def _opened(self, node: str, octets: bytes, stream: NodeStream) -> None:
        """Decide on a handshake that came to `node`, and serve its WebSocket."""
        handshake = msgspec.msgpack.decode(octets, type=HandshakeRequest)
        if not await self._holders.is_here_when_loaded(handshake.identity):
            raise NodeRefused(_NOT_HERE, "another process has this Charge Point")
        try:
            admitted = await self._handshake(handshake)
        except HandshakeDenied as denied:
            raise NodeRefused(_DENIED, msgspec.json.encode(_Denial.of(denied)).decode()) from denied
        socket = RelayedWebSocket(stream, admitted.subprotocol, (handshake.peer, 0))
        try:
            await stream.send(msgspec.msgpack.encode(_Accepted(subprotocol=admitted.subprotocol)))
        except SendFailed:
            admitted.abandon()
            return
        self._tasks.spawn(_serve(admitted, socket), name="a WebSocket of another process")


async def _serve(admitted: AcceptedHandshake, socket: RelayedWebSocket) -> None:
    await socket.opened.wait()
    if socket.is_open:
        await admitted.serve(socket)
    else:
        admitted.abandon()


class _RelayedHandshake:
    """A handshake that was accepted by the process at the other end of a stream."""

    def __init__(self, stream: NodeStream, subprotocol: str | None, relay: _Relay) -> None:
        self.subprotocol = subprotocol
        self._stream, self._relay = stream, relay

    async def serve(self, connection: MessageSocket) -> None:
        """Pass the messages of the WebSocket to that process until one of both ends."""
        await self._relay(WebSocketRelay(connection, self._stream))

    def abandon(self) -> None:
        """End the stream, because the WebSocket ended before it was served."""
        self._stream.close(1001, "it closed the connection before it was served")
