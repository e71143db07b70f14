"""Attacks through how it is sent: floods, trickles, what can be read in two ways, frames that break the rules."""

from __future__ import annotations

import asyncio
import contextlib
import struct

from tests.attacks.stage import ATTACKER, Attack, Row, Siege
from tests.attacks.weapons import all_of, frames, heard, says, upgraded
from tests.e2e.stage import envelope
from tests.e2e.test_limits import BODY, CHUNKED, HEAD, SMUGGLED, UPGRADE, framed

_SLOW = {"limits": {"header_timeout": 0.4, "body_timeout": 0.4}}
# The head comes whole, however long all of the connections take to open.
_SLOW_BODY = {"limits": {"body_timeout": 0.4}}
_FLOOD = b"".join(b"X-%d: y\r\n" % number for number in range(200)) + b"\r\n"
_LONG = b"X: " + b"y" * 1_000_000 + b"\r\n\r\n"
_PEERS = 50  # of a slowloris
_ENDLESS = HEAD + b"Content-Length: 999999\r\n\r\n"


def _slowloris(door: str, start: bytes, rest: bytes) -> Attack:
    """Many connections that send an octet now and then and never come to an end: the first thing that each is told."""

    async def attack(siege: Siege) -> str:
        address = siege.gateway.addresses[door]
        siege.tried(_PEERS)
        all_open = [await asyncio.open_connection(*address, local_addr=(ATTACKER, 0)) for _ in range(_PEERS)]
        async with asyncio.TaskGroup() as group:
            answers = [group.create_task(_trickle(reader, writer, start, rest)) for reader, writer in all_open]
        assert siege.arrived() == []
        return all_of([answer.result() for answer in answers])

    return attack


async def _trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, start: bytes, rest: bytes) -> str:
    answer = asyncio.ensure_future(reader.readuntil(b"\r\n"))
    writer.write(start)
    with contextlib.suppress(ConnectionError):
        for octet in rest * 1000:
            writer.write(bytes([octet]))
            await writer.drain()
            if (await asyncio.wait([answer], timeout=0.02))[0]:
                break
    writer.close()
    return (await answer).split()[1].decode()


async def _frame_by_the_octet(siege: Siege) -> str:
    """A frame that does not end is waited for, as a silent connection is; the honest are served meanwhile."""
    async with upgraded(siege) as (reader, writer):
        for octet in framed(0x81, b'[2,"1","Heartbeat",{}]')[:-1]:
            writer.write(bytes([octet]))
            await writer.drain()
        await siege.served()
        assert siege.arrived() == []
        writer.write(b"\x00")  # its last octet is wrong: what it makes is no JSON
        got = await reader.readexactly(2)
    return f"an answer, once it is whole ({got[0]:#x})"


async def _silent(siege: Siege) -> str:
    """Connections that say nothing at all, on both ports, while the honest are served."""
    listeners = [siege.gateway.soap_address, siege.gateway.websocket_address]
    siege.tried(_PEERS)
    opened = [
        await asyncio.open_connection(*address, local_addr=(ATTACKER, 0)) for address in listeners * (_PEERS // 2)
    ]
    await siege.served()
    answers = await asyncio.gather(*(heard(reader) for reader, _ in opened))
    for _, writer in opened:
        writer.close()
    return all_of(list(answers))


async def _crowd(siege: Siege) -> str:
    """More connections than an address may have; the honest come from another, and go on."""
    address = siege.gateway.soap_address
    siege.tried(60)
    opened = [await asyncio.open_connection(*address, local_addr=(ATTACKER, 0)) for _ in range(60)]
    answers = await asyncio.gather(*(heard(reader) for reader, _ in opened[20:]))
    await siege.served()
    for _, writer in opened:
        writer.close()
    return all_of(list(answers))


def _length(*values: object) -> bytes:
    return b"".join(f"Content-Length: {value}\r\n".encode() for value in values)


_CHUNKED = b"Transfer-Encoding: chunked\r\n"
_INNER = b"GET /ocpp/smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
_FRAMES = [framed(0x00, b"") * 10_000] * 5

CONNECTIONS: dict[str, Row] = {
    "a header flood, SOAP": Row(attack=says("soap", HEAD + _FLOOD), gets="431"),
    "a header flood, WebSocket": Row(attack=says("websocket", UPGRADE + _FLOOD), gets="431"),
    "a header of a megabyte, SOAP": Row(attack=says("soap", HEAD + _LONG), gets="431"),
    "a header of a megabyte, WebSocket": Row(attack=says("websocket", UPGRADE + _LONG), gets="431"),
    "slowloris, SOAP": Row(attack=_slowloris("soap", b"", HEAD), gets=f"{_PEERS} x 408", tables=_SLOW),
    "slowloris, WebSocket": Row(attack=_slowloris("websocket", b"", UPGRADE), gets=f"{_PEERS} x 408", tables=_SLOW),
    "slowloris, a SOAP body": Row(attack=_slowloris("soap", _ENDLESS, b" "), gets=f"{_PEERS} x 400", tables=_SLOW_BODY),
    "silence on both ports": Row(attack=_silent, gets="50 x 408", tables=_SLOW),
    "a frame by the octet": Row(attack=_frame_by_the_octet, gets="an answer, once it is whole (0x81)"),
    "more connections than an address may have": Row(
        attack=_crowd, gets="40 x 503", tables={"limits": {"connections_per_address": 20}}
    ),
    "smuggling: length and chunks": Row(
        attack=says("soap", HEAD + _length(5 + len(SMUGGLED)) + _CHUNKED + b"\r\n0\r\n\r\n" + SMUGGLED), gets="400"
    ),
    "smuggling: chunks and length": Row(
        attack=says("soap", HEAD + _CHUNKED + _length(len(CHUNKED)) + b"\r\n" + CHUNKED + SMUGGLED), gets="400"
    ),
    "smuggling: two lengths": Row(
        attack=says("soap", HEAD + _length(len(BODY), len(BODY + SMUGGLED)) + b"\r\n" + BODY + SMUGGLED), gets="400"
    ),
    "smuggling: a disguised coding": Row(
        attack=says("soap", HEAD + b"Transfer-Encoding: xchunked\r\n\r\n" + CHUNKED + SMUGGLED), gets="400"
    ),
    "smuggling: a blank before the colon": Row(
        attack=says("soap", HEAD + _CHUNKED.replace(b":", b" :") + b"\r\n" + CHUNKED + SMUGGLED), gets="400"
    ),
    "smuggling: a folded header": Row(
        attack=says("soap", HEAD + b"X: y\r\n " + _CHUNKED + b"\r\n" + CHUNKED + SMUGGLED), gets="400"
    ),
    "smuggling: a body before the upgrade": Row(
        attack=says("websocket", UPGRADE + _length(len(_INNER)) + b"\r\n" + _INNER), gets="400"
    ),
    "smuggling: chunks before the upgrade": Row(
        attack=says("websocket", UPGRADE + _CHUNKED + b"\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(_INNER), _INNER)), gets="400"
    ),
    "no HTTP, SOAP": Row(attack=says("soap", b"\x16\x03\x01\x00\xa5\x01\r\n\r\n"), gets="400"),
    "no HTTP, WebSocket": Row(attack=says("websocket", b"\x16\x03\x01\x00\xa5\x01\r\n\r\n"), gets="400"),
    "a handshake without a key": Row(
        attack=says("websocket", UPGRADE.replace(b"Sec-WebSocket-Key", b"X-Key") + b"\r\n"), gets="400"
    ),
    "CR LF in the request line": Row(attack=says("websocket", b"GET /ocpp/a\r\nb HTTP/1.1\r\n\r\n"), gets="400"),
    "SOAP at the WebSocket's port": Row(attack=says("websocket", HEAD + b"\r\n" + envelope()), gets="405"),
    "frames with no masking": Row(attack=frames(framed(0x81, b"[]", masked=False)), gets="closed 1002"),
    "a continuation flood": Row(attack=frames(framed(0x01, b"["), *_FRAMES), gets="closed 1009"),
    "a continuation of nothing": Row(attack=frames(framed(0x80, b"x")), gets="closed 1002"),
    "a Ping over 125 bytes": Row(attack=frames(framed(0x89, b"x" * 126)), gets="closed 1002"),
    "a Pong over 125 bytes": Row(attack=frames(framed(0x8A, b"x" * 126)), gets="closed 1002"),
    "a Close over 125 bytes": Row(
        attack=frames(framed(0x88, struct.pack("!H", 1000) + b"x" * 124)), gets="closed 1002"
    ),
    "a flood of Pings": Row(attack=frames(framed(0x89, b"") * 5000), gets="closed 1008"),
    "a frame of 2^63 octets": Row(attack=frames(b"\x81\xff" + struct.pack("!Q", 2**63 - 1)), gets="closed 1009"),
}
"""By name, in the order in which they are shown."""
