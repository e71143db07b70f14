"""Attacks through what a message holds: XML that reaches out or blows up, bodies and JSON that are too much."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from aiohttp.http_parser import DeflateBuffer

from tests.attacks.stage import ATTACKER, Attack, Row, Siege
from tests.attacks.weapons import all_of, authorize, frames, heard, posted, posts, text_of, upgraded
from tests.e2e.stage import CS, SOAP12, envelope
from tests.e2e.test_limits import closing, framed

_LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
_BOMB = f'<!DOCTYPE x [<!ENTITY l0 "ha">{_LAUGHS}]>'.encode()
_QUADRATIC = f'<!DOCTYPE x [<!ENTITY q "{"q" * 50_000}">]>'.encode()
_PARAMETERS = b'<!DOCTYPE x [<!ENTITY % a "<!ENTITY b \'x\'>"><!ENTITY % c "%a;%a;%a;"> %c; %a;]>'
_DTD = '<!DOCTYPE x [<!ENTITY e "boo">]>' + authorize("&e;").decode()
_MANY = b"<a/>" * 1_000_000
_LARGE: dict[str, Any] = {"soap": {"max_body": 10_000_000}}


def _file(siege: Siege) -> list[bytes]:
    """Every way to ask for the secret file."""
    url = siege.secret.as_uri()
    return [
        f'<!DOCTYPE x [<!ENTITY e SYSTEM "{url}">]>'.encode() + authorize("&e;"),
        f'<!DOCTYPE x [<!ENTITY e PUBLIC "p" "{url}">]>'.encode() + authorize("&e;"),
        f'<!DOCTYPE x [<!ENTITY % e SYSTEM "{url}"> %e;]>'.encode() + authorize(),
        f'<!DOCTYPE x SYSTEM "{url}">'.encode() + authorize(),
        f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "{siege.secret}">]>'.encode() + authorize("&e;"),
    ]


def _server(siege: Siege) -> list[bytes]:
    """Every way to make it ask the victim."""
    url = siege.victim.url
    return [
        f'<!DOCTYPE x [<!ENTITY e SYSTEM "{url}">]>'.encode() + authorize("&e;"),
        f'<!DOCTYPE x [<!ENTITY % e SYSTEM "{url}"> %e;]>'.encode() + authorize(),
        f'<!DOCTYPE x PUBLIC "p" "{url}">'.encode() + authorize(),
        f'<!DOCTYPE x [<!NOTATION n SYSTEM "{url}"><!ENTITY e SYSTEM "{url}" NDATA n>]>'.encode() + authorize("&e;"),
    ]


async def _xxe_to_a_file(siege: Siege) -> str:
    return await posts(*_file(siege))(siege)


async def _xxe_to_a_server(siege: Siege) -> str:
    return await posts(*_server(siege))(siege)


async def _hints(siege: Siege) -> str:
    """What a reader could follow, and must not: it is a good message all the same."""
    url, xsi = siege.victim.url, "http://www.w3.org/2001/XMLSchema-instance"
    sheet = f'<?xml-stylesheet href="{url}" type="text/xsl"?>'.encode()
    schema = authorize().replace(b"<s:Envelope", f'<s:Envelope xmlns:i="{xsi}" i:schemaLocation="{url} {url}"'.encode())
    got = [await posted(siege, sheet + authorize()), await posted(siege, schema)]
    assert [payload for _, _, payload in siege.arrived()] == [{"idTag": "x"}] * 2
    assert got == ["200"] * 2
    return got[0]


async def _include(siege: Siege) -> str:
    """XInclude is not carried out: there is an element where there should be text."""
    include = f'<i:include xmlns:i="http://www.w3.org/2001/XInclude" href="{siege.secret}" parse="text"/>'
    return await posts(authorize(include))(siege)


def _encoded(*encodings: str) -> Attack:
    declared = [f'<?xml version="1.0" encoding="{name.partition("-le")[0]}"?>{_DTD}'.encode(name) for name in encodings]
    return posts(*declared, *(_DTD.encode(name) for name in encodings))


def _chunked(body: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (body, body)) + b"0\r\n\r\n"


def _nested(depth: int) -> bytes:
    return authorize("<a>" * depth + "</a>" * depth)


def _json(data: str) -> bytes:
    return framed(0x81, data.encode())


async def _nested_json(siege: Siege) -> str:
    """It is no message of OCPP-J, so nothing answers it; the connection goes on."""
    return await frames(_json('[2,"1","Heartbeat",' + "[" * 100_000), _json("{}"), framed(0x88, b"\x03\xe8"))(siege)


def _answered(payload: str) -> Attack:
    """A Heartbeat with `payload`, over JSON, which does not reach the Central System."""

    async def attack(siege: Siege) -> str:
        before = sum(map(len, siege.lines))
        async with upgraded(siege) as (reader, writer):
            writer.write(_json(f'[2,"1","Heartbeat",{payload}]'))
            kind, *rest = json.loads(await text_of(reader))
            writer.write(framed(0x88, b"\x03\xe8"))
            await closing(reader)
        assert siege.arrived() == []
        assert sum(map(len, siege.lines)) - before < _MOST_LOGGED
        return f"CALLERROR {rest[1]}" if kind == 4 else "CALLRESULT"

    return attack


async def _unknown_elements(siege: Siege) -> str:
    before = sum(map(len, siege.lines))
    body = envelope(f'<heartbeatRequest xmlns="{CS}">{"<a/>" * 19_900}</heartbeatRequest>', identity="evil")
    got = await posted(siege, body)
    assert [call[1] for call in siege.arrived()] == ["Heartbeat"]
    assert sum(map(len, siege.lines)) - before < _MOST_LOGGED
    return got


# Characters, of all lines while one message is attacked with, those of the honest included.
_MOST_LOGGED = 100_000


@contextmanager
def _inflated() -> Iterator[dict[int, int]]:
    """How many octets aiohttp inflates of each body, by its number."""
    octets: dict[int, int] = {}
    feed = DeflateBuffer.feed_data

    def counted(buffer: DeflateBuffer, chunk: bytes, size: int) -> bool:
        more = feed(buffer, chunk, size)
        octets[id(buffer.out)] = buffer.out.total_bytes
        return more

    with patch.object(DeflateBuffer, "feed_data", counted):
        yield octets


async def _kept_bombs(siege: Siege) -> str:
    """One on each route that refuses a body before its end, on a connection that the attacker keeps open."""
    got = []
    with _inflated() as octets:
        for door, target in _REFUSING:
            siege.tried()
            reader, writer = await asyncio.open_connection(*siege.gateway.addresses[door], local_addr=(ATTACKER, 0))
            lines = f"Host: 127.0.0.1\r\nContent-Encoding: gzip\r\nContent-Length: {len(_KEPT_BOMB)}\r\n"
            writer.write(f"{target} HTTP/1.1\r\n{lines}\r\n".encode() + _KEPT_BOMB)
            got.append(await heard(reader))
            writer.close()
    assert siege.arrived() == []
    assert len(octets) <= len(_REFUSING)
    assert max(octets.values(), default=0) < 3_000_000  # nothing is counted in another process
    return all_of(got)


_REFUSING = (
    ("soap", "POST /services/CentralSystemService"),
    ("soap", "POST /services/ChargePointService/1.6"),
    ("soap", "POST /nowhere"),
    ("soap", "PUT /services/CentralSystemService"),
    ("admin", "POST /nowhere"),
    ("admin", "POST /healthz"),
)
_KEPT_BOMB = gzip.compress(b"<a>" + b" " * 190_000_000)
_GZIP = {"Content-Encoding": "gzip"}
_HUGE = authorize("x" * 300_000)

MESSAGES: dict[str, Row] = {
    "XXE to a file": Row(attack=_xxe_to_a_file, gets="400 ProtocolError"),
    "XXE to a local HTTP server": Row(attack=_xxe_to_a_server, gets="400 ProtocolError"),
    "a style sheet and a schema to fetch": Row(attack=_hints, gets="200"),
    "XInclude of a file": Row(attack=_include, gets="400 ProtocolError"),
    "an entity bomb": Row(attack=posts(_BOMB + authorize("&l9;")), gets="400 ProtocolError"),
    "a quadratic entity bomb": Row(attack=posts(_QUADRATIC + authorize("&q;" * 20_000)), gets="400 ProtocolError"),
    "a bomb of parameter entities": Row(attack=posts(_PARAMETERS + authorize()), gets="400 ProtocolError"),
    "a DTD in UTF-16": Row(attack=_encoded("utf-16", "utf-16-le", "utf-16-be"), gets="400 ProtocolError"),
    "a DTD in UTF-32": Row(attack=_encoded("utf-32"), gets="400 ProtocolError"),
    "a DTD in UTF-7": Row(
        attack=posts(b'<?xml version="1.0" encoding="UTF-7"?>' + _DTD.encode("utf-7")), gets="400 ProtocolError"
    ),
    "a gzip bomb": Row(
        attack=posts(gzip.compress(b"<a>" + b" " * 100_000_000), headers=_GZIP), gets="413 ProtocolError"
    ),
    "a gzip bomb within gzip": Row(
        attack=posts(
            gzip.compress(gzip.compress(b"<a>" + b" " * 100_000_000)), headers={"Content-Encoding": "gzip, gzip"}
        ),
        gets="400 ProtocolError",
    ),
    "gzip bombs on connections that are kept": Row(attack=_kept_bombs, gets="2 x 413, 404, 405, 401, 405"),
    "a million elements": Row(attack=posts(authorize(_MANY.decode())), gets="413 ProtocolError"),
    "a million elements, and bodies may be large": Row(
        attack=posts(authorize(_MANY.decode())), gets="400 ProtocolError", tables=_LARGE
    ),
    "a million elements in gzip, and bodies may be large": Row(
        attack=posts(gzip.compress(authorize(_MANY.decode())), headers=_GZIP), gets="400 ProtocolError", tables=_LARGE
    ),
    "XML nested 1,000 deep": Row(attack=posts(_nested(1_000)), gets="400 ProtocolError"),
    "XML nested 500,000 deep, and bodies may be large": Row(
        attack=posts(_nested(500_000)), gets="400 ProtocolError", tables=_LARGE
    ),
    "XML over the limit": Row(attack=posts(_HUGE), gets="400 ProtocolError"),
    "XML over the limit in chunks": Row(
        attack=posts(_chunked(_HUGE), headers={"Content-Length": None, "Transfer-Encoding": "chunked"}),
        gets="400 ProtocolError",
    ),
    "another root than an envelope's": Row(
        attack=posts(envelope().replace(SOAP12.encode(), b"urn:x")), gets="500 VersionMismatch"
    ),
    "JSON nested 100,000 deep": Row(attack=_nested_json, gets="closed 1000"),
    "a JSON Heartbeat with 100,000 unknown members": Row(
        attack=_answered("{" + ",".join(f'"{n}":1' for n in range(100_000)) + "}"), gets="CALLERROR FormationViolation"
    ),
    "a SOAP Heartbeat with 19,900 unknown elements": Row(attack=_unknown_elements, gets="200"),
    "JSON over the limit": Row(attack=frames(_json('"' + "x" * 1_048_577 + '"')), gets="closed 1009"),
    "JSON over the limit in fragments": Row(
        attack=frames(framed(0x01, b"["), *[framed(0x00, b" " * 60_000)] * 20), gets="closed 1009"
    ),
}
"""By name, in the order in which they are shown."""
