"""Attacks in the name of a reverse proxy: by who is none, and through one that passes on whatever it is sent."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from bridge.config import TLS, Listen, Route, Settings, Soap, WebSocket
from tests.attacks.stage import ATTACKER, Attack, Row, Siege
from tests.attacks.weapons import all_of, handshaken, posted, said
from tests.authority import Authority
from tests.e2e.stage import envelope
from tests.e2e.test_proxies import Spoken, request
from tests.net.proxies.preambles import SIGNATURE, version_1, version_2

_HOME = "192.0.2.7"
_POST = b"POST /services/CentralSystemService HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
_BY_LINE: dict[str, Any] = {"proxies": (ip_network("127.0.0.9/32"),), "proxy": "protocol"}
_BY_HEADER: dict[str, Any] = _BY_LINE | {"proxy": "forwarded"}
_CERTIFICATES = {"proxy_certificate_header": "X-Client-Cert", "proxy_certificate_format": "pem"}
_THROUGH = {"proxies": (ip_network(f"{ATTACKER}/32"),)}


def _tables(rules: dict[str, Any]) -> dict[str, Any]:
    return {"soap": rules, "websocket": rules}


def _at_home(told: Settings, folder: Path) -> Settings:
    """Only who is at home is let in as "evil"."""
    home = Route(
        charge_point="evil", central_system="main", authentication="network", networks=(ip_network(f"{_HOME}/32"),)
    )
    return msgspec.structs.replace(told, routes=(home, *told.routes))


def _certified(told: Settings, folder: Path) -> Settings:
    shown = Route(charge_point="evil", central_system="main", authentication="certificate")
    return msgspec.structs.replace(told, routes=(shown, *told.routes))


def _encrypted(told: Settings, folder: Path) -> Settings:
    """The first listeners are those of the honest."""
    tls = TLS(**Authority(folder).issue("gateway", "127.0.0.1"))
    anywhere = Listen("127.0.0.1", 0)
    soap, websocket = Soap(listen=anywhere, tls=tls), WebSocket(listen=anywhere, tls=tls)
    return msgspec.structs.replace(told, soap=(*told.soap, soap), websocket=(*told.websocket, websocket))


async def _before_tls(siege: Siege) -> str:
    got = [
        await said(siege, door, written(_HOME) + _POST)
        for written in (version_1, version_2)
        for door in ("soap-2", "websocket-2")
    ]
    assert siege.arrived() == []
    assert [line for line in siege.lines if "refused" in line and "PROXY header from who may not" in line] != []
    return all_of(got)


async def _two_certificates(siege: Siege) -> str:
    """The attacker's, and that which the proxy adds, or an empty field of it."""
    pem = quote(_certificate(siege.folder), safe="")
    got = []
    for added in (pem, ""):
        lines = (f"X-Client-Cert: {pem}", f"X-Client-Cert: {added}")
        siege.tried()
        async with Spoken(siege.gateway.soap_address, ATTACKER) as connection:
            got.append(str(await connection.ask(request("soap", *lines, identity="evil"))))
        got.append(await handshaken(siege, "/ocpp/evil", *lines))
    assert siege.arrived() == []
    return all_of(got)


def _certificate(folder: Path) -> str:
    Authority(folder).issue("evil", common_name="evil")
    return (folder / "evil.pem").read_text()


def _begins(*beginnings: bytes) -> Attack:
    """Connections to both ports that begin with these octets."""

    async def attack(siege: Siege) -> str:
        before = len(siege.lines)
        got = [await said(siege, door, data + _POST) for data in beginnings for door in ("soap", "websocket")]
        assert siege.arrived() == []
        siege.noticed(before)
        return all_of(got)

    return attack


def _claims(*fields: tuple[str, str]) -> Attack:
    """Messages with each of these fields, and with all of them; then handshakes."""
    claims = [*([field] for field in fields), list(fields)]

    async def attack(siege: Siege) -> str:
        got = [await posted(siege, envelope(identity="evil"), headers=dict(claim)) for claim in claims]
        for claim in claims:
            got.append(await handshaken(siege, "/ocpp/evil", *(f"{name}: {value}" for name, value in claim)))
        assert siege.arrived() == []
        return all_of(got)

    return attack


_FORGED = _claims(("X-Forwarded-For", _HOME), ("Forwarded", f"for={_HOME}"), ("X-Real-IP", _HOME))

PROXIES: dict[str, Row] = {
    "a PROXY line where none is read": Row(
        attack=_begins(version_1(_HOME), version_2(_HOME), version_1(_HOME) * 2), gets="6 x 400"
    ),
    "a PROXY line from who is no proxy": Row(
        attack=_begins(version_1(_HOME), version_2(_HOME)), gets="4 x hung up", tables=_tables(_BY_LINE)
    ),
    "a broken PROXY line": Row(
        attack=_begins(
            b"PROXY TCP4 evil evil 1 2\r\n",
            b"PROXY " + b"9" * 2000,
            SIGNATURE + b"\x21\x11\x00\x01\x00",
            SIGNATURE + b"\x41\x11\xff\xff" + bytes(1000),
            b"",
        ),
        gets="10 x hung up",
        tables=_tables(_BY_LINE | _THROUGH),
    ),
    "a PROXY header where TLS should begin": Row(attack=_before_tls, gets="4 x hung up", configure=_encrypted),
    "a forged address": Row(attack=_FORGED, gets="4 x 403 SecurityError, 4 x 403", configure=_at_home),
    "a forged address, beside a proxy": Row(
        attack=_FORGED, gets="4 x 403 SecurityError, 4 x 403", tables=_tables(_BY_HEADER), configure=_at_home
    ),
    "a forged address, through a proxy": Row(
        attack=_claims(
            ("X-Forwarded-For", f"{_HOME}, {ATTACKER}, 203.0.113.1"),
            ("Forwarded", f"for={_HOME}, for=203.0.113.1"),
            ("Forwarded", f'for="{_HOME}'),
        ),
        gets="2 x 403 SecurityError, 2 x 400, 2 x 403, 2 x 400",
        tables=_tables(_BY_HEADER | _THROUGH),
        configure=_at_home,
    ),
    "a forged address of IPv6, through proxies in a chain": Row(
        attack=_claims(
            ("X-Forwarded-For", f"{_HOME}, 2001:db8::7, ::ffff:{ATTACKER}"),
            ("Forwarded", f'for={_HOME}, for="[2001:db8::7]:4711", for={ATTACKER}, for="[::ffff:{ATTACKER}]"'),
            ("Forwarded", f'for={_HOME}, for="[2001:db8::7"'),
        ),
        gets="2 x 403 SecurityError, 2 x 400, 2 x 403, 2 x 400",
        tables=_tables(_BY_HEADER | _THROUGH),
        configure=_at_home,
    ),
    "a forged certificate": Row(
        attack=_claims(("X-Client-Cert", "x"), ("X-Forwarded-For", _HOME)),
        gets="3 x 403 SecurityError, 3 x 403",
        tables=_tables(_BY_HEADER | _CERTIFICATES),
        configure=_certified,
    ),
    "a certificate before that of the proxy": Row(
        attack=_two_certificates,
        gets="4 x 400",
        tables=_tables(_BY_HEADER | _CERTIFICATES | _THROUGH),
        configure=_certified,
    ),
    "what is no certificate, through a proxy": Row(
        attack=_claims(("X-Client-Cert", "-----BEGIN CERTIFICATE-----"), ("X-Client-Cert", "%00" * 1000)),
        gets="6 x 400",
        tables=_tables(_BY_HEADER | _CERTIFICATES | _THROUGH),
        configure=_certified,
    ),
}
"""By name, in the order in which they are shown."""
