"""HTTP as the load speaks it: bytes that were made before, and as little work as Python allows, so that it is not the
load that is measured. Only what the subjects of a measurement send can be read.

Real clients send a POST in one of three ways. aiohttp, curl and PHP write the head and the body at once. gSOAP, Java's
HttpURLConnection, `requests` and zeep write the head, then the body. Others open a connection for each POST.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Protocol

from tests.bench.load import BROKEN, Done, Sender

ONE_SEGMENT, TWO_SEGMENTS, CLOSING = "one segment", "two segments", "closing"
CLIENTS = (ONE_SEGMENT, TWO_SEGMENTS, CLOSING)
"""How a client sends a POST: head and body in one write on a kept connection; in two writes on a kept connection; with
`Connection: close` on a connection of its own."""

_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
_END = b"\r\n\r\n"
# Seconds without a head after which no body waits any longer.
_PATIENCE = 0.05
_CLOSE = b"\r\nConnection: close\r\n\r\n"


class _Http(asyncio.Protocol):
    """Takes messages apart: `message` gets the head and the whole of each."""

    def __init__(self) -> None:
        self._buffer = b""
        self._wire: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._wire = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(_END)) >= 0:
            found = _LENGTH.search(self._buffer, 0, end)
            total = end + len(_END) + (int(found[1]) if found else 0)
            if len(self._buffer) < total:
                return
            whole, self._buffer = self._buffer[:total], self._buffer[total:]
            self.message(whole, end)

    def message(self, whole: bytes, end: int) -> None:
        """One is here; its head goes up to `end`."""
        raise NotImplementedError


class Poster(_Http):
    """A connection that is kept open, one request at a time."""

    _done: Done | None = None

    def send(self, data: bytes, done: Done) -> None:
        """Send a whole request; `done` gets the status of the response."""
        if self._wire is None:
            done(BROKEN)
            return
        self._done = done
        self._wire.write(data)

    def message(self, whole: bytes, end: int) -> None:
        done, self._done = self._done, None
        if done is not None:
            done(int(whole[9:12]))

    def connection_lost(self, exc: Exception | None) -> None:
        self._wire = None
        done, self._done = self._done, None
        if done is not None:
            done(BROKEN)

    def close(self) -> None:
        """Hang up."""
        if self._wire is not None:
            self._wire.abort()


class Bodies:
    """Bodies that wait until the subject has read the heads before them.

    On a network the body comes some time after the head. On loopback it would come before a busy subject looks, and
    both would be read as one. So a body is sent when `behind` other heads have gone out after its own: with no more
    than that many requests in progress, one of these heads follows an answer that the subject gave after it had read
    the head. Where no head goes out for some milliseconds, no more will, and all bodies are sent.
    """

    def __init__(self, behind: int) -> None:
        self._behind = behind
        self._waiting: deque[Callable[[], None]] = deque()
        self._count = 0
        self._is_watched = False

    def later(self, write: Callable[[], None]) -> None:
        """Call `write` when it is time."""
        self._count += 1
        self._waiting.append(write)
        if len(self._waiting) > self._behind:
            self._waiting.popleft()()
        if not self._is_watched:
            self._is_watched = True
            self._watch()

    def _watch(self) -> None:
        asyncio.get_running_loop().call_later(_PATIENCE, self._look, self._count)

    def _look(self, count: int) -> None:
        if self._count == count:
            while self._waiting:
                self._waiting.popleft()()
        self._is_watched = bool(self._waiting)
        if self._is_watched:
            self._watch()


class SplitPoster(Poster):
    """A connection that is kept open, on which the head and the body are two segments: asyncio sets TCP_NODELAY, and
    each write is a `send` of its own."""

    def __init__(self, bodies: Bodies) -> None:
        super().__init__()
        self._bodies = bodies

    def send(self, data: bytes, done: Done) -> None:
        if self._wire is None:
            done(BROKEN)
            return
        self._done = done
        end = data.find(_END) + len(_END)
        self._wire.write(data[:end])
        self._bodies.later(partial(self._wire.write, data[end:]))


class ClosingPoster:
    """Opens a connection for each request. The exchange ends when the other end has closed the connection.

    A bare socket costs the load less than a Transport does. To connect on loopback does not wait.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._loop = asyncio.get_running_loop()
        self._done: Done | None = None
        self._socket: socket.socket | None = None
        self._received = b""

    def send(self, data: bytes, done: Done) -> None:
        """Send a whole request; `done` gets the status of the response."""
        try:
            opened = socket.create_connection(("127.0.0.1", self._port), timeout=60)
        except OSError:
            done(BROKEN)
            return
        self._done, self._socket, self._received = done, opened, b""
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        opened.setblocking(False)
        self._loop.add_reader(opened, self._read, opened)
        try:
            # The buffer of a new socket has room for any request of a measurement.
            opened.sendall(data.replace(_END, _CLOSE, 1))
        except OSError:
            self._ended(BROKEN)

    def _read(self, opened: socket.socket) -> None:
        try:
            data = opened.recv(65_536)
        except BlockingIOError:
            return
        except OSError:
            data, self._received = b"", b""
        self._received += data
        if not data:
            self._ended(self._status())

    def _status(self) -> int:
        end = self._received.find(_END)
        found = _LENGTH.search(self._received, 0, end) if end >= 0 else None
        whole = found is not None and len(self._received) == end + len(_END) + int(found[1])
        return int(self._received[9:12]) if whole else BROKEN

    def _ended(self, status: int) -> None:
        self.close()
        done, self._done = self._done, None
        if done is not None:
            done(status)

    def close(self) -> None:
        """Hang up."""
        if self._socket is not None:
            self._loop.remove_reader(self._socket)
            self._socket.close()
            self._socket = None


class Posting(Sender, Protocol):
    """A Sender of POSTs."""

    def close(self) -> None:
        """Hang up."""


async def poster(port: int, tls: ssl.SSLContext | None = None) -> Posting:
    """A connection to a subject, one of a client that sends one segment."""
    return (await posters(port, 1, tls))[0]


async def posters(
    port: int, count: int, tls: ssl.SSLContext | None = None, client: str = ONE_SEGMENT
) -> Sequence[Posting]:
    """Clients of a subject, of a kind of CLIENTS; those that close speak no TLS."""
    if client == CLOSING:
        assert tls is None
        return [ClosingPoster(port) for _ in range(count)]
    loop, bodies = asyncio.get_running_loop(), Bodies(max(1, count // 2))

    def made() -> Poster:
        return SplitPoster(bodies) if client == TWO_SEGMENTS else Poster()

    return [(await loop.create_connection(made, "127.0.0.1", port, ssl=tls))[1] for _ in range(count)]


class Answering(_Http):
    """Answers each request with what was made for its element before."""

    def __init__(self, answers: Mapping[bytes, bytes]) -> None:
        super().__init__()
        self._answers = answers

    def message(self, whole: bytes, end: int) -> None:
        assert self._wire is not None
        answer = next((answer for element, answer in self._answers.items() if element in whole), None)
        if answer is None:
            raise ValueError(f"nothing is known of {whole[:2000]!r}")
        self._wire.write(answer)
        if b"connection: close" in whole[:end].lower():
            self._wire.close()


def response(body: bytes) -> bytes:
    """As it goes over the wire."""
    head = (
        f"HTTP/1.1 200 OK\r\nContent-Type: application/soap+xml; charset=utf-8\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def answering(answers: Mapping[bytes, bytes]) -> tuple[int, Callable[[], None]]:
    """A SOAP service: envelopes by the name of the request's element. Its port, and how it is closed."""
    responses = {element: response(body) for element, body in answers.items()}
    server = await asyncio.get_running_loop().create_server(lambda: Answering(responses), "127.0.0.1", 0, backlog=1024)
    return server.sockets[0].getsockname()[1], server.close
