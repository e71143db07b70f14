"""Attacks through where the gateway is told to call back: to what is near it, and to what only it can reach."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from ipaddress import ip_network
from typing import Any
from urllib.parse import urlsplit

from bridge.simulators.wire import Refused
from tests.attacks.stage import ATTACKER, SECRET, Attack, Row, Siege
from tests.attacks.weapons import all_of, posted
from tests.e2e.stage import CP, RawChargePoint, answering, envelope, listening

_METADATA = "169.254.169.254"
_RESET = f'<resetResponse xmlns="{CP}"><status>Accepted</status></resetResponse>'
# A command without an address to go to waits so long for one.
_SOON: dict[str, Any] = {"gateway": {"call_timeout": 1}}
_EVERYWHERE: dict[str, Any] = _SOON | {"soap": {"callback_networks": (ip_network("0.0.0.0/0"), ip_network("::/0"))}}


async def _told(siege: Siege, url: str, identity: str = "evil") -> str:
    """A Charge Point tells this address, and is commanded: what its Central System learns."""
    assert await posted(siege, envelope(identity=identity, source=url)) == "200"
    await siege.central_system.wait_for(identity)
    try:
        answer = await siege.central_system.call(identity, "Reset", {"type": "Soft"})
    except Refused as refusal:
        assert SECRET not in str(refusal)
        return refusal.code
    return str(answer["status"])


def _calls_back(*urls: Callable[[Siege], str]) -> Attack:
    """Each address, none of which must be connected to."""

    async def attack(siege: Siege) -> str:
        told = [_told(siege, url(siege), f"evil {number}") for number, url in enumerate(urls)]
        return all_of(await asyncio.gather(*told))

    return attack


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
        async with listening(answering(_RESET), host=ATTACKER, port=_port(siege.victim)) as point:
            first = await _told(siege, f"http://evil.example:{_port(point)}/")
            assert siege.network.asked == ["evil.example"]
            second = await _told(siege, f"http://evil.example:{_port(point)}/")
            assert siege.network.asked == ["evil.example"] * 2
            assert len(point.received) == 1
        return f"{first}, {second}"

    return attack


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
