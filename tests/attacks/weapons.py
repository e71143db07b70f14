"""What an attack is made of: messages, octets and frames, and in a few words what came back."""

from __future__ import annotations

import asyncio
import contextlib
import re
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from itertools import groupby

from tests.attacks.stage import ATTACKER, Attack, Siege
from tests.e2e.stage import CS, Answer, envelope, post
from tests.e2e.test_limits import UPGRADE, closing

_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3}) ")
Body = str | bytes


def authorize(id_tag: str = "x") -> bytes:
    """An Authorize.req with what `id_tag` holds, markup included."""
    return envelope(f'<authorizeRequest xmlns="{CS}"><idTag>{id_tag}</idTag></authorizeRequest>', identity="evil")


def spelled(answer: Answer) -> str:
    """Status, and the Subcode of the Fault if it is one, or its Code where that has none."""
    if not answer.body.lstrip().startswith(b"<"):
        return str(answer.status)
    fault = answer.fault
    return str(answer.status) if fault is None else f"{answer.status} {(fault[1] or fault[0]).rpartition('}')[2]}"


def all_of(answers: list[str]) -> str:
    """Different ones in their order, with how often each came one after the other."""
    runs = [(answer, len(list(run))) for answer, run in groupby(answers)]
    return ", ".join(answer if count == 1 else f"{count} x {answer}" for answer, count in runs)


def posts(*bodies: bytes, path: str = "", headers: Mapping[str, str | None] | None = None) -> Attack:
    """Messages to the CentralSystemService, each of which must get the same; none arrives at the Central System."""

    async def attack(siege: Siege) -> str:
        got = [await posted(siege, body, path=path, headers=headers) for body in bodies]
        assert siege.arrived() == []
        assert len(set(got)) == 1, got
        return got[0]

    return attack


async def posted(
    siege: Siege,
    body: bytes,
    *,
    path: str = "",
    headers: Mapping[str, str | None] | None = None,
    peer: str = ATTACKER,
) -> str:
    """What one message got."""
    siege.tried()
    target = f"/services/CentralSystemService{path}"
    return spelled(await post(siege.gateway, body, path=target, headers=headers, peer=peer))


def says(door: str, *pieces: bytes) -> Attack:
    """Octets to the listener `door`, "soap" or "websocket": the status of all that came back until it hung up."""

    async def attack(siege: Siege) -> str:
        before = len(siege.lines)
        got = await said(siege, door, *pieces)
        assert siege.arrived() == []
        siege.noticed(before)
        return got

    return attack


async def said(siege: Siege, door: str, *pieces: bytes) -> str:
    """What came back to these octets, until the other end hung up."""
    siege.tried()
    reader, writer = await asyncio.open_connection(*siege.gateway.addresses[door], local_addr=(ATTACKER, 0))
    with contextlib.suppress(ConnectionError):
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
    answer = await heard(reader)
    writer.close()
    return answer


async def heard(reader: asyncio.StreamReader) -> str:
    """Every status until the end."""
    answer = bytearray()
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            answer += data
    return all_of([status.decode() for status in _STATUS.findall(answer)]) or "hung up"


def frames(*octets: bytes) -> Attack:
    """Frames on an open WebSocket: the code that it is closed with."""

    async def attack(siege: Siege) -> str:
        siege.tried(len(octets) - 1)
        async with upgraded(siege) as (reader, writer):
            with contextlib.suppress(ConnectionError):
                for piece in octets:
                    writer.write(piece)
                    await writer.drain()
            code = await closing(reader)
        assert siege.arrived() == []
        return f"closed {code}"

    return attack


@asynccontextmanager
async def upgraded(siege: Siege) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """An open WebSocket of the attacker's, for one message."""
    siege.tried()
    reader, writer = await asyncio.open_connection(*siege.gateway.websocket_address, local_addr=(ATTACKER, 0))
    with contextlib.closing(writer):
        writer.write(UPGRADE + b"\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        yield reader, writer


async def text_of(reader: asyncio.StreamReader) -> bytes:
    """The next text of a WebSocket, which is short."""
    while True:
        first, length = await reader.readexactly(2)
        data = await reader.readexactly(length if length < 126 else int.from_bytes(await reader.readexactly(2)))
        if first == 0x81:
            return data


async def handshaken(siege: Siege, target: str, *headers: str, peer: str = ATTACKER) -> str:
    """The status of a WebSocket handshake at `target`, byte for byte as it stands; it is hung up on if it is let in."""
    siege.tried()
    reader, writer = await asyncio.open_connection(*siege.gateway.websocket_address, local_addr=(peer, 0))
    rest = UPGRADE.partition(b"\r\n")[2] + "".join(f"{header}\r\n" for header in headers).encode()
    with contextlib.closing(writer):
        writer.write(b"GET " + target.encode() + b" HTTP/1.1\r\n" + rest + b"\r\n")
        status = _STATUS.match(await reader.readuntil(b"\r\n"))
    assert status is not None
    return status[1].decode()


def basic(user: str, password: bytes) -> str:
    """The value of an Authorization header."""
    return f"Basic {b64encode(user.encode() + b':' + password).decode()}"
