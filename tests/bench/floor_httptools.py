"""The fastest bare stack that is known for the hops of each leg: HTTP on httptools and WebSockets on the protocols of
`websockets` that do no I/O, each in an `asyncio.Protocol`. No task waits for a message, and nothing is parsed.

What is answered for what comes in is looked up by its length, as on the floor on aiohttp (`floor`).
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import httptools
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from bridge.gateway.memory import keep_what_is_freed
from bridge.net.tasks import Tasks
from tests.bench.floor import AS_JSON, AS_SOAP, PROTOCOLS, until_killed

Told = Callable[[bytes], None]
# Gets the path and the body of a request, and what is to be called with the body of its response.
Answer = Callable[[bytes, bytes, Told], None]
_HEAD = b"Content-Type: application/soap+xml; charset=utf-8\r\nContent-Length: %d\r\n%s\r\n%s"
_CLOSE = b"Connection: close\r\n"


class HttpServer(asyncio.Protocol):
    """A connection of a client, one request at a time."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._parser = httptools.HttpRequestParser(self)
        self._path = b""
        self._body: list[bytes] = []
        self._kept = True
        self._wire: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._wire = transport

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        """The path of the request, from httptools."""
        self._path += url

    def on_body(self, body: bytes) -> None:
        """A part of the body, from httptools."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """The end of the request, from httptools."""
        path, body = self._path, self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._path, self._body, self._kept = b"", [], self._parser.should_keep_alive()
        self._answer(path, body, self._respond)

    def _respond(self, body: bytes) -> None:
        kept = self._kept
        self._wire.write(b"HTTP/1.1 200 OK\r\n" + _HEAD % (len(body), b"" if kept else _CLOSE, body))
        if not kept:
            self._wire.close()


class HttpConnection(asyncio.Protocol):
    """A connection to a server. `told` gets the body of each response."""

    def __init__(self) -> None:
        self.told: Told | None = None
        self._body: list[bytes] = []
        self._parser = httptools.HttpResponseParser(self)
        self._wire: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._wire = transport

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def send(self, data: bytes, told: Told) -> None:
        """Send a request."""
        self.told = told
        self._wire.write(data)

    def on_body(self, body: bytes) -> None:
        """A part of the body, from httptools."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """The end of the response, from httptools."""
        body, self._body = b"".join(self._body), []
        told, self.told = self.told, None
        if not self._parser.should_keep_alive():
            self._wire.close()
        if told is not None:
            told(body)


class HttpClient:
    """POSTs to one URL, on connections that are kept open, or on one for each POST with `per_call`."""

    def __init__(self, url: str, tasks: Tasks, *, per_call: bool = False) -> None:
        parsed = httptools.parse_url(url.encode())
        self._address = parsed.host.decode(), parsed.port
        host = b"Host: %s:%d\r\n" % (parsed.host, parsed.port)
        self._begin = b"POST %s HTTP/1.1\r\n%s" % (parsed.path, host)
        self._per_call = per_call
        self._idle: list[HttpConnection] = []
        self._tasks = tasks

    def post(self, body: bytes, told: Told) -> None:
        """Send `body`; `told` gets the body of the response."""
        data = self._begin + _HEAD % (len(body), _CLOSE if self._per_call else b"", body)
        if self._idle:
            self._exchange(self._idle.pop(), data, told)
        else:
            self._tasks.spawn(self._dial(data, told), name="dialling")

    async def _dial(self, data: bytes, told: Told) -> None:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(HttpConnection, *self._address)
        self._exchange(connection, data, told)

    def _exchange(self, connection: HttpConnection, data: bytes, told: Told) -> None:
        def ended(body: bytes) -> None:
            if not self._per_call:
                self._idle.append(connection)
            told(body)

        connection.send(data, ended)


class Socket(asyncio.Protocol):
    """Either end of a WebSocket. `received` gets each message, `opened` is called when the handshake is over. What is
    sent before waits until then."""

    def __init__(self, protocol: ClientProtocol | ServerProtocol, opened: Callable[[Socket], None]) -> None:
        self.path = ""
        self.received: Told | None = None
        self._opened = opened
        self._protocol = protocol
        self._waiting: list[bytes] | None = []
        self._wire: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._wire = transport
        if isinstance(self._protocol, ClientProtocol):
            self._protocol.send_request(self._protocol.connect())
            self._flush()

    def data_received(self, data: bytes) -> None:
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Frame):
                if event.opcode is Opcode.TEXT and self.received is not None:
                    self.received(bytes(event.data))
            elif isinstance(event, Request) and isinstance(self._protocol, ServerProtocol):
                self.path = event.path
                self._protocol.send_response(self._protocol.accept(event))
                self._ready()
            elif isinstance(event, Response):
                self._ready()
        self._flush()

    def send(self, data: bytes) -> None:
        """Send a text message."""
        if self._waiting is not None:
            self._waiting.append(data)
            return
        self._protocol.send_text(data)
        self._flush()

    def _ready(self) -> None:
        waiting, self._waiting = self._waiting, None
        self._opened(self)
        for data in waiting or ():
            self.send(data)

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self._wire.write(data)
            else:  # the end of what is sent
                self._wire.close()


def _nothing(socket: Socket) -> None:
    """Nobody waits until it is open."""


class Dialled:
    """WebSockets to one Central System, one for each path."""

    def __init__(self, url: str, tasks: Tasks) -> None:
        self._url = url
        self._tasks = tasks

    def dial(self, path: str) -> Socket:
        """A WebSocket to `path`, which opens meanwhile."""
        uri = parse_uri(self._url + path)
        socket = Socket(ClientProtocol(uri, subprotocols=PROTOCOLS), _nothing)
        loop = asyncio.get_running_loop()
        self._tasks.spawn(loop.create_connection(lambda: socket, uri.host, uri.port), name="dialling")
        return socket


async def _listening(made: Callable[[], asyncio.Protocol]) -> int:
    server = await asyncio.get_running_loop().create_server(made, "127.0.0.1", 0, backlog=1024)
    return int(server.sockets[0].getsockname()[1])


async def _accepting(opened: Callable[[Socket], None]) -> int:
    return await _listening(lambda: Socket(ServerProtocol(subprotocols=PROTOCOLS), opened))


async def soap_json(central_system: str, tasks: Tasks) -> int:
    """A POST, one WebSocket for each path, the response."""
    dialled = Dialled(central_system, tasks)
    waiting: dict[bytes, tuple[Socket, deque[Callable[[], None]]]] = {}

    def answer(path: bytes, body: bytes, told: Told) -> None:
        frame, envelope = AS_JSON[len(body)]
        if path not in waiting:
            socket, queue = waiting[path] = dialled.dial(path.decode()), deque()
            socket.received = lambda _: queue.popleft()()
        socket, queue = waiting[path]
        queue.append(lambda: told(envelope))
        socket.send(frame)

    return await _listening(lambda: HttpServer(answer))


async def soap_soap(central_system: str, tasks: Tasks) -> int:
    """A POST, a POST, the response."""
    client = HttpClient(central_system, tasks)
    return await _listening(lambda: HttpServer(lambda path, body, told: client.post(body, told)))


async def json_json(central_system: str, tasks: Tasks) -> int:
    """A relay: frames both ways, so that it is that of commands too."""
    dialled = Dialled(central_system, tasks)

    def opened(near: Socket) -> None:
        far = dialled.dial(near.path)
        near.received, far.received = far.send, near.send

    return await _accepting(opened)


async def json_soap(central_system: str, tasks: Tasks) -> int:
    """A frame, a POST on a connection that is kept open, a frame."""
    client = HttpClient(central_system, tasks)
    return await _accepting(lambda near: _post(near, client))


async def commands(central_systems: str, charge_points: str, count: int, tasks: Tasks, *, per_call: bool) -> None:
    """The other way round: one WebSocket for each Charge Point, dialled at once; what comes is POSTed."""
    client, dialled = HttpClient(charge_points, tasks, per_call=per_call), Dialled(central_systems, tasks)
    for number in range(count):
        _post(dialled.dial(f"/B{number:04}"), client)


def _post(near: Socket, client: HttpClient) -> None:
    """POST what comes on `near`, and answer it."""

    def received(data: bytes) -> None:
        envelope, frame = AS_SOAP[len(data)]
        client.post(envelope, lambda _: near.send(frame))

    near.received = received


_LEGS = {"soap-json": soap_json, "soap-soap": soap_soap, "json-json": json_json, "json-soap": json_soap}


async def _main(leg: str, url: str, rest: Iterable[str]) -> None:
    tasks = Tasks()
    match leg, *rest:
        case "commands", charge_points, count, per_call:
            await commands(url, charge_points, int(count), tasks, per_call=per_call == "per-call")
            said: object = "up"
        case _:
            said = await _LEGS[leg](url, tasks)
    keep_what_is_freed()
    await until_killed(said)


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], sys.argv[2], sys.argv[3:]))
