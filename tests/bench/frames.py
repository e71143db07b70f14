"""WebSocket as the load speaks it: frames that were made before, and as little work as Python allows. No extensions, no
fragments, no message of 64 kB or more.

A masking key of zeros leaves what it masks as it is: the other end unmasks all the same.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import ssl
from collections.abc import Callable, Mapping

from tests.bench.load import BROKEN, Done

_TEXT, _CLOSE, _PING, _PONG = 1, 8, 9, 10
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_KEY = re.compile(rb"\r\nsec-websocket-key: *([^\r]+)", re.IGNORECASE)
_END = b"\r\n\r\n"
# So much of a message says what it is: its kind, UniqueId and Action.
_PEEK = 96


class Party(asyncio.Protocol):
    """Either end of an OCPP-J connection. Answers Calls with payloads that were made before, and makes Calls, one at a
    time. `opened` is told when the handshake is over, `lost` of the end; `masks`: it is the end that dialled."""

    masks = False

    def __init__(self, answers: Mapping[bytes, bytes], opened: Callable[[Party], None]) -> None:
        self.path = ""
        self._answers = answers
        self._opened = opened
        self._buffer = b""
        self._shaken = False
        self._calls = 0
        self._done: Done | None = None
        self._wire: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._wire = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self._wire = None
        self._ended(BROKEN)

    def close(self) -> None:
        """Hang up, without ceremony."""
        if self._wire is not None:
            self._wire.abort()

    def send(self, data: bytes, done: Done) -> None:
        """Send a Call, of which `data` is what follows its UniqueId; `done` gets 200 for a result, 503 for an error."""
        if self._wire is None:
            done(BROKEN)
            return
        self._calls += 1
        self._done = done
        self._wire.write(self._frame(_TEXT, b'[2,"%036d"%s' % (self._calls, data)))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._shaken:
            head, found, rest = self._buffer.partition(_END)
            if not found:
                return
            self._buffer, self._shaken = rest, True
            self.shake(head)
            self._opened(self)
        self._read()

    def shake(self, head: bytes) -> None:
        """The other end's half of the handshake is here."""
        raise NotImplementedError

    def _read(self) -> None:
        buffer, at = self._buffer, 0
        while len(buffer) - at >= 2:
            length, start = buffer[at + 1] & 127, at + 2
            if length == 126:
                length, start = int.from_bytes(buffer[at + 2 : at + 4], "big"), at + 4
            assert length != 127, "a message of 64 kB or more"
            masked = buffer[at + 1] & 128
            body = start + 4 if masked else start
            if len(buffer) < body + length:
                break
            begin = buffer[body : body + min(length, _PEEK)]
            self._take(buffer[at] & 15, _unmasked(begin, buffer[start:body]) if masked else begin)
            at = body + length
        self._buffer = buffer[at:]

    def _take(self, opcode: int, begin: bytes) -> None:
        if opcode == _TEXT and begin.startswith(b"[2,"):
            _, unique_id, _, action, *_ = begin.split(b'"', 4)
            self._write(_TEXT, b'[3,"%s",%s]' % (unique_id, self._answers[action]))
        elif opcode == _TEXT:
            self._ended(200 if begin.startswith(b"[3,") else 503)
        elif opcode == _PING:
            self._write(_PONG, begin)
        elif opcode == _CLOSE:
            self.close()

    def _write(self, opcode: int, payload: bytes) -> None:
        if self._wire is not None:
            self._wire.write(self._frame(opcode, payload))

    def _frame(self, opcode: int, payload: bytes) -> bytes:
        length, masked = len(payload), 128 if self.masks else 0
        head = bytes((128 | opcode, masked | length)) if length < 126 else bytes((128 | opcode, masked | 126))
        size = b"" if length < 126 else length.to_bytes(2, "big")
        return head + size + (b"\0\0\0\0" if self.masks else b"") + payload

    def _ended(self, status: int) -> None:
        done, self._done = self._done, None
        if done is not None:
            done(status)


class Accepted(Party):
    """The end that listens: a Central System."""

    def shake(self, head: bytes) -> None:
        key = _KEY.search(head)
        assert key is not None and self._wire is not None
        self.path = head.split(b" ", 2)[1].decode()
        accept = base64.b64encode(hashlib.sha1(key[1].strip() + _GUID, usedforsecurity=False).digest()).decode()
        lines = (
            "HTTP/1.1 101 Switching Protocols",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Accept: {accept}",
            "Sec-WebSocket-Protocol: ocpp1.6",
        )
        self._wire.write("\r\n".join((*lines, "", "")).encode())


class Dialled(Party):
    """The end that dials: a Charge Point."""

    masks = True

    def shake(self, head: bytes) -> None:
        if b" 101 " not in head[:20]:
            raise ConnectionError(head.decode("latin-1"))


def _unmasked(data: bytes, key: bytes) -> bytes:
    repeated = (key * (len(data) // 4 + 1))[: len(data)]
    return (int.from_bytes(data, "big") ^ int.from_bytes(repeated, "big")).to_bytes(len(data), "big")


async def dialled(port: int, path: str, answers: Mapping[bytes, bytes], tls: ssl.SSLContext | None = None) -> Party:
    """A Charge Point's connection to a subject, once its handshake is over."""
    loop = asyncio.get_running_loop()
    opened: asyncio.Future[Party] = loop.create_future()
    _, party = await loop.create_connection(lambda: Dialled(answers, opened.set_result), "127.0.0.1", port, ssl=tls)
    lines = (
        f"GET {path} HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==",
        "Sec-WebSocket-Protocol: ocpp1.6",
    )
    assert party._wire is not None
    party._wire.write("\r\n".join((*lines, "", "")).encode())
    async with asyncio.timeout(60):
        return await opened


async def accepting(answers: Mapping[bytes, bytes], opened: Callable[[Party], None]) -> tuple[int, Callable[[], None]]:
    """A JSON Central System: payloads by Action. Its port, and how it is closed."""
    server = await asyncio.get_running_loop().create_server(
        lambda: Accepted(answers, opened), "127.0.0.1", 0, backlog=4096
    )
    return server.sockets[0].getsockname()[1], server.close
