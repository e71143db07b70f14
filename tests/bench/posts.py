"""HTTP as the load speaks it: bytes that were made before, and as little work as Python allows, so that it is not the
load that is measured. Only what the subjects of a measurement send can be read.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Callable, Mapping

from tests.bench.load import BROKEN, Done

_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
_END = b"\r\n\r\n"


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


async def poster(port: int, tls: ssl.SSLContext | None = None) -> Poster:
    """A connection to a subject."""
    loop = asyncio.get_running_loop()
    _, opened = await loop.create_connection(Poster, "127.0.0.1", port, ssl=tls)
    return opened


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
