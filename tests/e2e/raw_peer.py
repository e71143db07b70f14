"""A SOAP Central System that sends exactly the octets that a test tells it to, on connections that it counts.

It speaks no HTTP beyond finding where a request ends. `requests` holds each request in the order of its arrival.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal, Self

from bridge.net.tasks import Tasks
from tests.e2e.stage import AT, AT_MOST, SOAP12, WSA

NAMESPACES = {"ocpp1.6s": "urn://Ocpp/Cs/2015/10/", "ocpp1.5s": "urn://Ocpp/Cs/2012/06/"}
"""Of the CentralSystemService, by protocol."""

_MESSAGE_ID = re.compile(rb"MessageID[^>]*>([^<]*)<")
_IDENTITY = re.compile(rb"chargeBoxIdentity[^>]*>([^<]*)<")
_BODY = re.compile(rb"Body>\s*<(?:\w+:)?(\w+?)Request\b[^>]*?(?:xmlns=\"([^\"]*)\")?[^>]*>")
_LENGTH = re.compile(rb"(?i)\ncontent-length: *([0-9]+)")
_TCP_REPAIR = 19  # of Linux: a socket that is closed in this mode tells nobody
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close sends RST


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request. `connection` is the number of its connection, `place` its own on that connection; both from 1."""

    connection: int
    place: int
    data: bytes
    at: float

    @property
    def message_id(self) -> str:
        return _found(_MESSAGE_ID, self.data)

    @property
    def identity(self) -> str:
        return _found(_IDENTITY, self.data)

    @property
    def action(self) -> str:
        """As OCPP spells it: StartTransaction."""
        name = _found(_BODY, self.data)
        return name[:1].upper() + name[1:]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What is sent for a request.

    octets   sent as they are
    then     "keep" the connection, "close" it, "reset" it with RST, say nothing and keep it ("silent"), or send the
             octets "again" 0.3 s later, whatever was asked meanwhile
    after    what has to happen before anything is sent
    later    seconds before anything is sent
    """

    octets: bytes = b""
    then: Literal["keep", "close", "reset", "silent", "again"] = "keep"
    after: asyncio.Event | None = None
    later: float = 0


Respond = Callable[[Asked], Reply]


@dataclass(slots=True)
class RawPeer:
    """Listens inside `async with`. `respond` may be changed at any time; it is asked once for each request. One that
    `keeps` nothing has no `requests`."""

    respond: Respond
    port: int = 0
    keeps: bool = True
    requests: list[Asked] = field(default_factory=list)
    _connections: int = 0
    _writers: dict[int, asyncio.StreamWriter] = field(default_factory=dict)
    _ended: set[int] = field(default_factory=set)
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    _server: asyncio.Server | None = None
    _tasks: Tasks = field(default_factory=Tasks)

    async def __aenter__(self) -> Self:
        await self.up()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.down()

    async def up(self) -> None:
        """Listen, at the same port as before."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def down(self) -> None:
        """Refuse connections, and end those that are open."""
        assert self._server is not None
        self._server.close()
        for writer in tuple(self._writers.values()):
            writer.transport.abort()
        await self._tasks.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/services/CentralSystemService"

    async def until(self, true: Callable[[RawPeer], bool]) -> None:
        """Wait until `true` of what has arrived and what has ended."""
        async with asyncio.timeout(AT_MOST), self._changed:
            await self._changed.wait_for(lambda: true(self))

    async def asked(self, action: str, times: int = 1) -> Asked:
        """The request of `action` that is number `times`, as soon as it is here."""
        await self.until(lambda peer: len(peer.of(action)) >= times)
        return self.of(action)[times - 1]

    def of(self, action: str) -> list[Asked]:
        """The requests of `action` so far."""
        return [asked for asked in self.requests if asked.action == action]

    async def hung_up(self, connection: int) -> None:
        """Wait until the other side has closed `connection`."""
        await self.until(lambda peer: connection in peer._ended)

    def vanish(self, connection: int) -> None:
        """End `connection` without a word, as a machine does whose power is cut: what comes on it is answered with RST
        from now on. Raises PermissionError without CAP_NET_ADMIN."""
        transport = self._writers[connection].transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, _TCP_REPAIR, 1)
        transport.abort()

    def send(self, connection: int, octets: bytes) -> None:
        """Send `octets`, whether or not anything was asked."""
        self._writers[connection].write(octets)

    def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """No coroutine: nobody would own the task that asyncio makes of one."""
        self._connections += 1
        self._writers[self._connections] = writer
        serving = self._answer_all(self._connections, reader, writer)
        self._tasks.spawn(serving, name=f"raw peer {self._connections}")

    async def _answer_all(self, connection: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        place = 0
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                while True:
                    head = await reader.readuntil(b"\r\n\r\n")
                    length = _LENGTH.search(head)
                    data = await reader.readexactly(int(length[1]) if length else 0)
                    place += 1
                    now = asyncio.get_running_loop().time()
                    asked = Asked(connection=connection, place=place, data=data, at=now)
                    reply = self.respond(asked)
                    if self.keeps:
                        async with self._changed:
                            self.requests.append(asked)
                            self._changed.notify_all()
                    if reply.after is not None and not await _happens(reply.after, reader):
                        break
                    await asyncio.sleep(reply.later)
                    writer.write(reply.octets)
                    await writer.drain()
                    if reply.then == "again":
                        self._tasks.spawn(_again(writer, reply.octets), name="an answer that comes again")
                    if reply.then == "silent":
                        await reader.read()
                    if reply.then == "reset":
                        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                        writer.transport.abort()
                    if reply.then not in ("keep", "again"):
                        break
        finally:
            del self._writers[connection]
            writer.close()
            async with self._changed:
                self._ended.add(connection)
                self._changed.notify_all()


async def _happens(event: asyncio.Event, reader: asyncio.StreamReader) -> bool:
    """Whether `event` comes before the other side hangs up, who says nothing more until it is answered."""
    tasks = Tasks()
    happened, said = tasks.spawn(event.wait(), name="an event"), tasks.spawn(reader.read(1), name="a hang-up")
    try:
        await asyncio.wait({happened, said}, return_when=asyncio.FIRST_COMPLETED)
        assert not said.done() or said.result() == b""
        return happened.done()
    finally:
        await tasks.close()


async def _again(writer: asyncio.StreamWriter, octets: bytes) -> None:
    await asyncio.sleep(0.3)
    if not writer.is_closing():
        writer.write(octets)


def _found(pattern: re.Pattern[bytes], data: bytes) -> str:
    match = pattern.search(data)
    assert match is not None, data
    return match[1].decode()


# What it may send.


def http(
    status: str,
    body: bytes = b"",
    *,
    content_type: str = "application/soap+xml; charset=utf-8",
    headers: Mapping[str, str] | None = None,
    length: int | None = None,
) -> bytes:
    """A response; `status` is code and reason, `length` what Content-Length says if not the truth."""
    lines = {"Content-Type": content_type, "Content-Length": str(len(body) if length is None else length)}
    head = "".join(f"{name}: {value}\r\n" for name, value in (lines | dict(headers or {})).items())
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body


def enveloped(body: str, relates_to: str = "", *, others: str = "") -> bytes:
    """An answer's envelope around `body`. `relates_to` "" leaves RelatesTo out; `others` stands in the Header."""
    related = f"<a:RelatesTo>{relates_to}</a:RelatesTo>" if relates_to else ""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><s:Envelope xmlns:s="{SOAP12}" xmlns:a="{WSA}"><s:Header>'
        f"<a:MessageID>urn:uuid:answer</a:MessageID>{related}{others}</s:Header><s:Body>{body}</s:Body></s:Envelope>"
    ).encode()


_PARTS = {
    "StartTransaction": "<transactionId>{number}</transactionId><idTagInfo><status>Accepted</status></idTagInfo>",
    "Heartbeat": f"<currentTime>{AT}</currentTime>",
    "BootNotification": f"<status>Accepted</status><currentTime>{AT}</currentTime>"
    "<heartbeatInterval>300</heartbeatInterval>",
    "DataTransfer": "<status>Accepted</status>",
    "Authorize": "<idTagInfo><status>Accepted</status></idTagInfo>",
}


def result(action: str, number: int = 4711, *, protocol: str = "ocpp1.6s", parts: str | None = None) -> str:
    """The response of `action`, for a Body. `number` is a transactionId; `parts` replaces what stands in it."""
    name = action[:1].lower() + action[1:]
    inside = _PARTS.get(action, "").format(number=number) if parts is None else parts
    if action == "BootNotification" and protocol == "ocpp1.6s":
        inside = inside.replace("heartbeatInterval", "interval")
    return f'<{name}Response xmlns="{NAMESPACES[protocol]}">{inside}</{name}Response>'


def answered(asked: Asked, number: int = 4711, *, protocol: str = "ocpp1.6s", status: str = "200 OK") -> bytes:
    """The good answer to `asked`."""
    return http(status, enveloped(result(asked.action, number, protocol=protocol), asked.message_id))


def answering_well(protocol: str = "ocpp1.6s", number: int = 4711) -> Respond:
    """A Central System that answers all as it ought to."""
    return lambda asked: Reply(octets=answered(asked, number, protocol=protocol))
