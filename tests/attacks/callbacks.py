"""Attacks through where the gateway is told to call back: to what is near it, and to what only it can reach."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from ipaddress import ip_network
from typing import Any, cast
from urllib.parse import urlsplit

from bridge.app import Gateway
from bridge.config import Listen
from bridge.lab.simulators.wire import CallRefused
from bridge.store.audit import AuditQuery
from tests.attacks.stage import ATTACKER, SECRET, Attack, Row, Siege
from tests.attacks.weapons import all_of, posted
from tests.e2e.stage import CP, RawChargePoint, answering, envelope, listening
from tests.ports import free_port

_IN_A_PAGE = "for operators only"
_METADATA = "169.254.169.254"
RESET = f'<resetResponse xmlns="{CP}"><status>Accepted</status></resetResponse>'
# A command without an address to go to waits so long for one.
_SOON: dict[str, Any] = {"gateway": {"call_timeout": 1}}
_EVERYWHERE: dict[str, Any] = _SOON | {"soap": {"callback_networks": (ip_network("0.0.0.0/0"), ip_network("::/0"))}}


async def _told(siege: Siege, url: str, identity: str = "evil", peer: str = ATTACKER) -> str:
    """A Charge Point tells this address, and is commanded: what its Central System learns."""
    assert await posted(siege, envelope(identity=identity, source=url), peer=peer) == "200"
    await siege.central_system.wait_for(identity)
    try:
        answer = await siege.central_system.call(identity, "Reset", {"type": "Soft"})
    except CallRefused as refusal:
        assert SECRET not in str(refusal)
        return refusal.code
    return str(answer["status"])


def _calls_back(*urls: Callable[[Siege], str]) -> Attack:
    """Each address, none of which must be connected to."""

    async def attack(siege: Siege) -> str:
        told = [_told(siege, url(siege), f"evil {number}") for number, url in enumerate(urls)]
        return all_of(await asyncio.gather(*told))

    return attack


async def _at_the_bridge(siege: Siege) -> str:
    """Through a proxy on this machine that says nothing of its peers, to each of the bridge's own listeners."""
    at = [port for _, port in siege.gateway.addresses.values()]
    hosts = ("127.0.0.1", "[::ffff:127.0.0.1]", "evil.example")
    siege.network.names["evil.example"] = ["127.0.0.1"]
    urls = [f"http://{host}:{port}/api/v1/charge-points/good%20J/disconnect" for host in hosts for port in at]
    before = len(siege.network.reached)
    told = [_told(siege, url, f"evil {number}", "127.0.0.1") for number, url in enumerate(urls)]
    got = await asyncio.gather(*told)
    # The SOAP listener is reached by all the others, and says so of an address that it does not serve.
    others = {address for name, address in siege.gateway.addresses.items() if name != "soap"}
    assert not set(siege.network.reached[before:]) & others
    assert not [line for line in siege.lines if "wrong door" in line]
    return all_of(got)


async def _a_page(siege: Siege) -> str:
    """What the page says that is called back is for operators only."""
    page = answering(f"<html>{_IN_A_PAGE}</html>".encode(), status=404, content_type="text/html")
    async with listening(page, host=ATTACKER) as point:
        await posted(siege, envelope(identity="evil", source=point.url))
        await siege.central_system.wait_for("evil")
        try:
            await siege.central_system.call("evil", "Reset", {"type": "Soft"})
        except CallRefused as refusal:
            assert "html>" not in refusal.description and _IN_A_PAGE not in refusal.description
            assert [line for line in siege.lines if _IN_A_PAGE in line and "link failure" in line] != []
            return f"{refusal.code}, {refusal.description.partition(':')[0]}"
    raise AssertionError


def _port(point: RawChargePoint) -> int:
    return urlsplit(point.url).port or 0


def _victim(host: str) -> Callable[[Siege], str]:
    return lambda siege: f"http://{host}:{_port(siege.victim)}/"


def _at(url: str) -> Callable[[Siege], str]:
    return lambda siege: url


async def _redirected(siege: Siege) -> str:
    """The attacker's own address, which is called back, leads on to others, which are not."""
    got = []
    for status in (301, 302, 303, 307, 308):
        for location in (siege.victim.url, f"http://{_METADATA}/latest/meta-data/"):
            leads_on = answering(b"", status=status, headers={"Location": location})
            async with listening(leads_on, host=ATTACKER) as point:
                got.append(await _told(siege, point.url))
                assert len(point.received) == 1
    return all_of(got)


def _rebound(then: str) -> Attack:
    """A name that leads to the attacker when it is first asked for, and elsewhere from then on."""

    async def attack(siege: Siege) -> str:
        siege.network.names["evil.example"] = [ATTACKER, then]
        async with listening(answering(RESET), host=ATTACKER, port=_port(siege.victim)) as point:
            first = await _told(siege, f"http://evil.example:{_port(point)}/")
            assert siege.network.asked == ["evil.example"]
            second = await _told(siege, f"http://evil.example:{_port(point)}/")
            assert siege.network.asked == ["evil.example"] * 2
            assert len(point.received) == 1
        return f"{first}, {second}"

    return attack


async def _where_the_public_name_leads(siege: Siege) -> str:
    """The bridge is known by a name that leads to a load balancer: by that, by its address, by another name."""
    siege.network.names |= {"gateway.example": ["127.0.0.5"], "evil.example": ["127.0.0.5"]}
    await cast(Gateway, siege.gateway)._listeners.look_up()
    async with listening(answering(RESET), host="127.0.0.5", port=_PUBLIC) as balancer:
        hosts = ("gateway.example", "127.0.0.5", "[::ffff:127.0.0.5]", "evil.example")
        urls = [f"http://{host}:{_PUBLIC}/" for host in hosts]
        got = [await _told(siege, url, f"evil {number}", "127.0.0.5") for number, url in enumerate(urls)]
        assert balancer.received == []
    return all_of(got)


async def _moved(siege: Siege) -> str:
    """Who knows a Charge Point's name, and asks for nothing more than that, takes its commands: that is seen."""
    async with listening(answering(RESET)) as own, listening(answering(RESET), host=ATTACKER) as evil:
        assert await _told(siege, own.url, "CP 1", "127.0.0.1") == "Accepted"
        got = await _told(siege, evil.url, "CP 1")
        (audited,) = (await cast(Gateway, siege.gateway)._audit.page(AuditQuery(), 10)).items
        assert (audited.what, audited.who) == ("callback changed", f"Charge Point at {ATTACKER}")
        assert audited.detail == f"{own.url} -> {evil.url}"
        (line,) = [line for line in siege.lines if "callback changed" in line]
        assert own.url in line and evil.url in line and ATTACKER in line
    return f"{got}, told"


_PUBLIC = free_port()
_SPELLINGS = ("2130706433", "0x7f000001", "0177.0.0.1", "127.1", "[::ffff:127.0.0.1]", "[::1]", "0.0.0.0", "[::]")

CALLBACKS: dict[str, Row] = {
    "a callback to 127.0.0.1": Row(attack=_calls_back(_victim("127.0.0.1")), gets="InternalError", tables=_SOON),
    "a callback to 127.0.0.1, all networks allowed": Row(
        attack=_calls_back(_victim("127.0.0.1")), gets="InternalError", tables=_EVERYWHERE
    ),
    "a callback to 127.0.0.1 in other spellings": Row(
        attack=_calls_back(*map(_victim, _SPELLINGS)), gets="8 x InternalError", tables=_EVERYWHERE
    ),
    f"a callback to {_METADATA}": Row(
        attack=_calls_back(_at(f"http://{_METADATA}/latest/meta-data/")), gets="InternalError", tables=_SOON
    ),
    f"a callback to {_METADATA}, all networks allowed": Row(
        attack=_calls_back(
            _at(f"http://{_METADATA}/"), _at("http://[::ffff:169.254.169.254]/"), _at("http://[fe80::1]/")
        ),
        gets="3 x InternalError",
        tables=_EVERYWHERE,
    ),
    "a callback by another scheme": Row(
        attack=_calls_back(
            lambda siege: siege.secret.as_uri(), _at("gopher://127.0.0.1:25/x"), _at("ftp://127.0.0.2/")
        ),
        gets="3 x InternalError",
        tables=_SOON,
    ),
    "a callback to the bridge's own listeners": Row(attack=_at_the_bridge, gets="9 x InternalError", tables=_SOON),
    "a callback to them, loopback allowed": Row(
        attack=_at_the_bridge,
        gets="9 x InternalError",
        tables=_SOON | {"soap": {"callback_networks": (ip_network("127.0.0.0/8"),)}},
    ),
    "a callback to where the bridge's public name leads": Row(
        attack=_where_the_public_name_leads,
        gets="4 x InternalError",
        tables=_SOON
        | {
            "soap": {
                "public_url": f"http://gateway.example:{_PUBLIC}",
                "listen": Listen("127.0.0.1", 0),
                "callback_networks": (ip_network("127.0.0.0/8"),),
            }
        },
    ),
    "a callback address of another Charge Point": Row(attack=_moved, gets="Accepted, told"),
    "a callback to a page": Row(attack=_a_page, gets="InternalError, HTTP 404, text/html"),
    "a callback to another host": Row(attack=_calls_back(_at("http://192.0.2.1/")), gets="InternalError", tables=_SOON),
    "a redirect to 127.0.0.1 and to the metadata": Row(attack=_redirected, gets="10 x InternalError", tables=_SOON),
    "a name that changes to 127.0.0.1": Row(attack=_rebound("127.0.0.1"), gets="Accepted, InternalError", tables=_SOON),
    f"a name that changes to {_METADATA}": Row(
        attack=_rebound(_METADATA), gets="Accepted, InternalError", tables=_SOON
    ),
    f"a name that changes to {_METADATA}, all networks allowed": Row(
        attack=_rebound(_METADATA), gets="Accepted, InternalError", tables=_EVERYWHERE
    ),
}
"""By name, in the order in which they are shown."""
