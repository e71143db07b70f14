"""Attacks on who operates the bridge: on the admin API, without a token, with one that may only read, with one that is
none any more; and on what is shown of messages."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import aiohttp
import msgspec

from bridge.app import Gateway
from bridge.config import Admin, AdminToken, Listen, Secret, Settings
from bridge.config.records import SecretFile
from tests.admin.asked import Api
from tests.attacks.stage import Attack, Row, Siege
from tests.attacks.weapons import all_of, handshaken, heard, posted
from tests.e2e.stage import CS, envelope

# What makes a terminal do something, or a reader of it believe something; as far as XML has it, and as far as a name.
_ESCAPES = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202egnp.exe\u2066\r\n2026-01-01T00:00:00Z INFO all is well"
_IN_XML = "\x9b31m\u202egnp.exe\u2066&#10;2026-01-01T00:00:00Z INFO all is well"
_IN_NAME = "\u0301\u200d"
_API = "/api/v1"
_CHARGE_POINT = f"{_API}/charge-points/good%20J"
_ASKED = (
    ("GET", f"{_API}/charge-points"),
    ("GET", f"{_API}/messages"),
    ("GET", f"{_API}/events"),
    ("POST", f"{_CHARGE_POINT}/calls"),
    ("POST", f"{_CHARGE_POINT}/disconnect"),
    ("PUT", f"{_CHARGE_POINT}/route"),
    ("DELETE", _CHARGE_POINT),
)


async def _statuses(siege: Siege, headers: dict[str, str]) -> list[str]:
    """Of each, from this machine."""
    host, port = siege.gateway.addresses["admin"]
    got = []
    async with aiohttp.ClientSession() as http:
        for method, path in _ASKED:
            siege.tried()
            async with http.request(method, f"http://{host}:{port}{path}", headers=headers) as response:
                got.append(str(response.status))
    return got


async def _through_a_proxy(siege: Siege) -> str:
    """Whom a proxy on this machine passes on: from loopback, under any of this machine's names, with what it says."""
    claims: tuple[dict[str, str], ...] = (
        {},
        {"Host": "localhost"},
        {"Host": "localhost", "X-Forwarded-For": "127.0.0.1", "Origin": "http://localhost"},
        {"Authorization": "Bearer "},
        {"Authorization": "Basic YWRtaW46YWRtaW4="},
    )
    got = [status for claim in claims for status in await _statuses(siege, claim)]
    return all_of(got)


def _named(told: Settings, folder: Path) -> Settings:
    """Ann may read."""
    file = folder / "ann"
    file.write_text("ann's token, which may read\n")
    tokens = (AdminToken(name="ann", file=SecretFile(file.read_bytes().strip(), str(file))),)
    admin = Admin(listen=Listen("127.0.0.1", 0), token=Secret(b"the bridge's own token"), tokens=tokens)
    return msgspec.structs.replace(told, admin=admin)


async def _may_read(siege: Siege) -> str:
    """Whoever has a token that may read."""
    got = []
    host, port = siege.gateway.addresses["admin"]
    async with aiohttp.ClientSession() as http:
        api = Api(f"http://{host}:{port}", http, b"ann's token, which may read")
        for method, path in _ASKED:
            if not path.endswith("/events"):
                siege.tried()
                got.append(str((await api(method, path.removeprefix(_API))).status))
    return all_of(got)


async def _stale(siege: Siege) -> str:
    """A token that is replaced while its holder listens."""
    siege.tried(2)
    gateway = cast(Gateway, siege.gateway)
    told = cast(Any, gateway)._settings
    host, port = gateway.addresses["admin"]
    async with aiohttp.ClientSession() as http:
        api = Api(f"http://{host}:{port}", http, b"ann's token, which may read")
        async with api.events() as stream:
            await stream.next("message")
            await gateway.reload(msgspec.structs.replace(told, admin=msgspec.structs.replace(told.admin, tokens=())))
            with contextlib.suppress(EOFError):
                while True:
                    await stream.next()
        status = (await api("GET", "/charge-points")).status
    return f"the stream ends, {status}"


async def _asks_admin(siege: Siege, *heads: str) -> str:
    """Requests to the admin listener, byte for byte."""
    got = []
    for head in heads:
        siege.tried()
        reader, writer = await asyncio.open_connection(*siege.gateway.addresses["admin"])
        writer.write(f"{head}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".encode())
        got.append(await heard(reader))
        writer.close()
    return all_of(got)


def _admin(host: str, *targets: str) -> Attack:
    return lambda siege: _asks_admin(siege, *(f"{target} HTTP/1.1\r\nHost: {host}" for target in targets))


async def _escapes(siege: Siege) -> str:
    """In every place that is told to people: none of it reaches a line of the log as it is."""
    data = f"<vendorId>{_IN_XML}</vendorId><data>{_IN_XML}</data>"
    messages = [
        envelope(f'<heartbeatRequest xmlns="{CS}"><a\u0301b>{_IN_XML}</a\u0301b></heartbeatRequest>', identity="evil"),
        envelope(f'<dataTransferRequest xmlns="{CS}">{data}</dataTransferRequest>', identity="evil"),
        envelope(f'<x{_IN_NAME} xmlns="{CS}"/>', identity="evil"),
        envelope(identity=f"evil{_IN_XML}"),
    ]
    got = [await posted(siege, message) for message in messages]
    got += [await handshaken(siege, f"/ocpp/evil{quote(text)}") for text in (_ESCAPES, "\x9b31m", _IN_XML)]
    assert [line for line in siege.lines if not line.isprintable()] == []
    return all_of(got)


OPERATORS: dict[str, Row] = {
    "the admin API through a proxy on this machine": Row(attack=_through_a_proxy, gets="35 x 401"),
    "commands with a token that may read": Row(attack=_may_read, gets="2 x 200, 4 x 403", configure=_named),
    "a live stream with a token that was replaced": Row(attack=_stale, gets="the stream ends, 401", configure=_named),
    "another name that leads to the admin listener": Row(
        attack=_admin("evil.example", "GET /api/v1/charge-points", "GET /metrics", "GET /readyz", "GET /"),
        gets="3 x 403, 200",
    ),
    "escape sequences for terminals": Row(
        attack=_escapes, gets="2 x 200, 500 NotSupported, 400 ProtocolError, 3 x 400"
    ),
}
"""By name, in the order in which they are shown."""
