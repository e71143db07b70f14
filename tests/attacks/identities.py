"""Attacks on who a Charge Point is: names that mean something else somewhere, and credentials that are not its own."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import escape

import aiohttp
import msgspec

from bridge.access import passwords
from bridge.config import TLS, ChargePoint, Listen, Route, Secret, Settings, Soap, WebSocket
from bridge.lab.simulators.json_charge_point import JsonChargePoint
from tests.attacks.stage import ATTACKER, Attack, Row, Siege
from tests.attacks.weapons import all_of, basic, handshaken, posted
from tests.authority import Authority
from tests.e2e.stage import PATH, envelope

_PASSWORD = b"right"
_AT_REST = Secret(str(passwords.hashed(_PASSWORD, b"0123456789abcdef")).encode())
_OWN: dict[str, Any] = {
    "charge_points": {"evil": ChargePoint(password=_AT_REST), "CP 1": ChargePoint(password=Secret(b"other"))}
}


def _on_both(segment: str, *, authorization: str = "", arrives: tuple[str, ...] = ()) -> Attack:
    """A handshake and a message with the same last segment in their URLs; the names that `arrives` holds are those that
    the Central System gets to see."""

    async def attack(siege: Siege) -> str:
        shown = {"Authorization": authorization} if authorization else {}
        over_json = await handshaken(siege, f"/ocpp/{segment}", *(f"{name}: {value}" for name, value in shown.items()))
        over_soap = await posted(siege, envelope(identity=None), path=f"/{segment}", headers=shown)
        assert {identity for identity, _, _ in siege.arrived()} == set(arrives)
        return f"{over_json}, {over_soap}"

    return attack


def _in_the_header(*identities: str, raw: bool = False, arrives: tuple[str, ...] = ()) -> Attack:
    """A message whose chargeBoxIdentity is each of these, `raw` as markup."""

    async def attack(siege: Siege) -> str:
        got = []
        for identity in identities:
            body = envelope(identity="#").replace(b">#<", f">{identity if raw else escape(identity)}<".encode())
            got.append(await posted(siege, body))
        assert {identity for identity, _, _ in siege.arrived()} == set(arrives)
        return all_of(got)

    return attack


async def _normal_forms(siege: Siege) -> str:
    """Both spellings are one Charge Point: the second connection takes the place of the first."""
    composed, decomposed = "Z\u00fcrich", "Zu\u0308rich"
    host, port = siege.gateway.websocket_address
    url = f"ws://{host}:{port}/ocpp"
    first, second = (JsonChargePoint(url=url, identity=identity) for identity in (composed, decomposed))
    async with first, second:
        assert (await second.call("Heartbeat", {})).keys() == {"currentTime"}
        await first.wait_closed()
    got = await posted(siege, envelope(identity=decomposed))
    assert {identity for identity, _, _ in siege.arrived()} == {composed}
    return f"one Charge Point, {got}"


def _guessed(siege: Siege, identity: str, count: int, peer: str = ATTACKER) -> asyncio.Future[list[str]]:
    """So many passwords at once, on both ports, each another."""
    over_json = [
        handshaken(siege, f"/ocpp/{identity}", f"Authorization: {basic(identity, b'%d' % number)}", peer=peer)
        for number in range(count // 2)
    ]
    over_soap = [
        posted(
            siege, envelope(identity=identity), headers={"Authorization": basic(identity, b"-%d" % number)}, peer=peer
        )
        for number in range(count // 2)
    ]
    return asyncio.gather(*over_json, *over_soap)


async def _guesses(siege: Siege) -> str:
    got = await _guessed(siege, "evil", 40)
    assert siege.arrived() == []
    return ", ".join(sorted({answer[:3] for answer in got}))


async def _right_among_guesses(siege: Siege) -> str:
    """The same address guesses as who has the password: a proxy hides both."""
    shown = {"Authorization": basic("evil", _PASSWORD)}
    got = [await posted(siege, envelope(identity="evil"), headers=shown)]
    guesses = _guessed(siege, "evil", 40)
    got += [await posted(siege, envelope(identity="evil"), headers=shown) for _ in range(10)]
    await guesses
    assert len(siege.arrived()) == len(got)
    return all_of(got)


_FLEET = {f"site {number}": ChargePoint(password=Secret(b"p%d" % number)) for number in range(56)}


async def _guesses_over_many(siege: Siege) -> str:
    """26 identities are guessed from the address that thirty others share."""
    guesses = asyncio.gather(*(_guessed(siege, f"site {number}", 10) for number in range(26)))
    shown = [{"Authorization": basic(f"site {number}", b"p%d" % number)} for number in range(26, 56)]
    got = [
        await posted(siege, envelope(identity=f"site {number}"), headers=headers)
        for number, headers in enumerate(shown, 26)
    ]
    await guesses
    assert len(siege.arrived()) == 30
    return all_of(got)


def _disagreeing(path: str, identity: str, user: str, password: bytes) -> Attack:
    async def attack(siege: Siege) -> str:
        header = basic(user, password)
        got = await posted(siege, envelope(identity=identity), path=path, headers={"Authorization": header})
        assert siege.arrived() == []
        return got

    return attack


# Certificates: the attacker comes through listeners of their own, which ask for one.


def _certified(told: Settings, folder: Path) -> Settings:
    """Everybody but the honest must show a certificate. Some are made here: of this authority, and of another."""
    authority = Authority(folder)
    authority.issue("own", common_name="evil")
    authority.issue("other", common_name="CP 1")
    Authority(folder, "stranger").issue("stranger's", common_name="evil")
    tls = TLS(**authority.issue("gateway", "127.0.0.1"), client_ca=authority.file)
    anywhere = Listen("127.0.0.1", 0)
    asks = Route(charge_point="*", central_system="main", authentication="certificate")
    return msgspec.structs.replace(
        told,
        soap=(*told.soap, Soap(listen=anywhere, tls=tls)),
        websocket=(*told.websocket, WebSocket(listen=anywhere, tls=tls)),
        routes=(Route(charge_point="good *", central_system="main"), asks),
    )


def _shows(file: str | None, arrives: tuple[str, ...] = ()) -> Attack:
    """A message and a handshake in the name of "evil", with a certificate or none."""

    async def attack(siege: Siege) -> str:
        context = ssl.create_default_context(cafile=str(siege.folder / "ca.pem"))
        if file is not None:
            context.load_cert_chain(siege.folder / f"{file}.pem", siege.folder / f"{file}.key")
        got = [await _refused(_over_soap(siege, context)), await _refused(_over_json(siege, context))]
        assert {identity for identity, _, _ in siege.arrived()} == set(arrives)
        return ", ".join(got)

    return attack


async def _refused(attempt: Awaitable[str]) -> str:
    try:
        return await attempt
    except (aiohttp.ClientError, ssl.SSLError, ConnectionError):
        return "no TLS"


async def _over_soap(siege: Siege, context: ssl.SSLContext) -> str:
    siege.tried()
    host, port = siege.gateway.addresses["soap-2"]
    connector = aiohttp.TCPConnector(local_addr=(ATTACKER, 0), ssl=context)
    url, data = f"https://{host}:{port}{PATH}", envelope(identity="evil")
    async with aiohttp.ClientSession(connector=connector) as http, http.post(url, data=data) as response:
        return str(response.status)


async def _over_json(siege: Siege, context: ssl.SSLContext) -> str:
    siege.tried()
    host, port = siege.gateway.addresses["websocket-2"]
    connector = aiohttp.TCPConnector(local_addr=(ATTACKER, 0), ssl=context)
    async with aiohttp.ClientSession(connector=connector) as http:
        try:
            async with http.ws_connect(f"https://{host}:{port}/ocpp/evil", protocols=["ocpp1.6"]):
                return "101"
        except aiohttp.WSServerHandshakeError as error:
            return str(error.status)


_LONG = "x" * 10_000

IDENTITIES: dict[str, Row] = {
    "../ in the URL": Row(attack=_on_both("../evil"), gets="404, 400 ProtocolError"),
    "..%2F in the URL": Row(attack=_on_both("..%2Fevil"), gets="400, 400 ProtocolError"),
    "..%5C in the URL": Row(attack=_on_both("..%5Cevil"), gets="400, 400 ProtocolError"),
    "NUL in the URL": Row(attack=_on_both("evil%00"), gets="400, 400 ProtocolError"),
    "CR LF in the URL": Row(attack=_on_both("evil%0D%0AX:%20y"), gets="400, 400 ProtocolError"),
    "10 kB in the URL": Row(attack=_on_both(_LONG), gets="414, 400 ProtocolError"),
    "%2F in the URL": Row(attack=_on_both("evil%2Ftwin", arrives=("evil/twin",)), gets="101, 200"),
    "full-width letters in the URL": Row(attack=_on_both(quote("\uff23\uff30")), gets="400, 400 ProtocolError"),
    "no UTF-8 in the URL": Row(attack=_on_both("%FF%FE"), gets="404, 400 ProtocolError"),
    "../ in the header": Row(attack=_in_the_header("../evil", "..", "a/../b", "..\\b"), gets="4 x 400 ProtocolError"),
    "NUL in the header": Row(attack=_in_the_header("evil&#0;", "evil\0", raw=True), gets="2 x 400 ProtocolError"),
    "CR LF in the header": Row(
        attack=_in_the_header("a&#13;&#10;X: y", "a&#10;b", raw=True), gets="2 x 400 ProtocolError"
    ),
    "1 kB in the URL": Row(attack=_on_both("y" * 1000), gets="400, 400 ProtocolError"),
    "10 kB in the header": Row(attack=_in_the_header(_LONG), gets="400 ProtocolError"),
    "%2F in the header": Row(attack=_in_the_header("..%2Fevil", arrives=("..%2Fevil",)), gets="200"),
    "a name in mixed normal forms": Row(attack=_normal_forms, gets="one Charge Point, 200"),
    "a wrong password": Row(
        attack=_on_both("evil", authorization=basic("evil", b"wrong")), gets="401, 401 SecurityError", tables=_OWN
    ),
    "the password of another Charge Point": Row(
        attack=_on_both("evil", authorization=basic("CP 1", b"other")), gets="401, 401 SecurityError", tables=_OWN
    ),
    "no password": Row(attack=_on_both("evil"), gets="401, 401 SecurityError", tables=_OWN),
    "forty passwords at once": Row(attack=_guesses, gets="401, 429", tables=_OWN),
    "guesses behind the address of who has the password": Row(
        attack=_right_among_guesses, gets="11 x 200", tables=_OWN
    ),
    "guesses over 26 identities, thirty others behind their address": Row(
        attack=_guesses_over_many, gets="30 x 200", tables={"charge_points": _FLEET}
    ),
    "a user that disagrees, where no password is asked for": Row(
        attack=_on_both("evil", authorization=basic("CP 1", b"x")), gets="401, 401 SecurityError"
    ),
    "a URL that disagrees": Row(
        attack=_disagreeing("/CP%201", "evil", "evil", _PASSWORD), gets="403 IdentityMismatch", tables=_OWN
    ),
    "a header that disagrees": Row(
        attack=_disagreeing("/evil", "CP 1", "evil", _PASSWORD), gets="403 IdentityMismatch", tables=_OWN
    ),
    "a user that disagrees": Row(
        attack=_disagreeing("/CP%201", "CP 1", "evil", _PASSWORD), gets="401 SecurityError", tables=_OWN
    ),
    "no certificate": Row(attack=_shows(None), gets="no TLS, no TLS", configure=_certified),
    "a wrong certificate": Row(attack=_shows("stranger's"), gets="no TLS, no TLS", configure=_certified),
    "the certificate of another Charge Point": Row(attack=_shows("other"), gets="403, 403", configure=_certified),
    "its own certificate, for comparison": Row(
        attack=_shows("own", arrives=("evil",)), gets="200, 101", configure=_certified
    ),
}
"""By name, in the order in which they are shown."""
