"""Attacks on the sign-in of operators at a provider, and on the sessions of who has signed in."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote, urlsplit

import aiohttp
import msgspec

from bridge.app import Gateway
from bridge.config import Admin, Listen, Oidc, Secret, Settings
from tests.attacks.stage import Attack, Row, Siege
from tests.attacks.weapons import all_of
from tests.oidc.provider import CLIENT_ID, EVE, SECRET, Lies, Provider, rsa, unsigned
from tests.oidc.visitor import Visitor
from tests.ports import free_port

_CHANGES = (
    ("POST", "/api/v1/charge-points/good%20J/calls"),
    ("POST", "/api/v1/charge-points/good%20J/disconnect"),
    ("DELETE", "/api/v1/charge-points/good%20J"),
    ("DELETE", "/api/v1/session"),
)


def _offering(told: Settings, folder: Path) -> Settings:
    """Operators sign in at a provider, which the attack starts."""
    port = free_port()
    oidc = Oidc(
        issuer=f"http://127.0.0.1:{free_port()}",
        client_id=CLIENT_ID,
        client_secret=Secret(SECRET.encode()),
        public_url=f"http://127.0.0.1:{port}",
        operate=("ocpp-operators",),
    )
    admin = Admin(listen=Listen("127.0.0.1", port), token=Secret(b"the bridge's own token"), oidc=oidc)
    return msgspec.structs.replace(told, admin=admin)


@asynccontextmanager
async def _at(siege: Siege) -> AsyncIterator[tuple[Provider, Visitor]]:
    """The provider, and somebody who has not signed in."""
    oidc = cast(Any, cast(Gateway, siege.gateway))._settings.admin.oidc
    host, port = siege.gateway.addresses["admin"]
    provider = Provider()
    await provider.start(cast(int, urlsplit(oidc.issuer).port))
    try:
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
            yield provider, Visitor(f"http://{host}:{port}", http)
    finally:
        await provider.stop()


def _signing(*lies: Lies) -> Attack:
    """Who signs in at a provider that lies, once for each lie."""

    async def attack(siege: Siege) -> str:
        got = []
        async with _at(siege) as (provider, eve):
            for lie in lies:
                siege.tried()
                provider.lies = lie
                page = await eve.sign_in()
                assert not page.signs_in()
                got.append(str(page.status))
        return all_of(got)

    return attack


def _visiting(visit: Callable[[Siege, Provider, Visitor], Awaitable[list[int]]]) -> Attack:
    async def attack(siege: Siege) -> str:
        async with _at(siege) as (provider, eve):
            return all_of([str(status) for status in await visit(siege, provider, eve)])

    return attack


async def _answers_of_others(siege: Siege, provider: Provider, eve: Visitor) -> list[int]:
    """An answer of the provider in another browser, twice, and with another state."""
    ann = eve.another()
    back = await ann.begun()
    other = await eve.begun()
    mine = dict(eve.cookies)
    pages = [await eve.another().get(other), await eve.get(back)]
    eve.cookies = dict(mine)
    first = await eve.get(other)
    assert first.signs_in()
    eve.cookies |= mine
    pages += [await eve.get(other), await eve.get(re.sub("state=[^&]*", "state=x", other))]
    siege.tried(len(pages))
    assert not any(page.signs_in() for page in pages)
    return [page.status for page in pages]


async def _elsewhere(siege: Siege, provider: Provider, eve: Visitor) -> list[int]:
    """Links that would lead who signs in to another site."""
    backs = ("//evil.example", "https://evil.example/", "/\\evil.example", "#/\r\nLocation: https://evil.example/")
    siege.tried(len(backs))
    pages = [await eve.get(f"/login/start?next={quote(back)}") for back in backs]
    assert not any("Location" in page.headers for page in pages)
    return [page.status for page in pages]


async def _forged_changes(siege: Siege, provider: Provider, eve: Visitor) -> list[int]:
    """Changes that a page of another site makes a browser send, with the cookie of who has signed in there."""
    assert (await eve.sign_in()).signs_in()
    got = []
    for method, path in _CHANGES:
        for headers in ({}, {"Origin": "https://evil.example"}, {"X_CSRF_Token": "guessed"}):
            siege.tried()
            got.append((await eve.ask(method, path, **headers)).status)
    return got


async def _no_role(siege: Siege, provider: Provider, eve: Visitor) -> list[int]:
    """Somebody whom the provider knows, and who has no role here."""
    siege.tried(2)
    provider.person = EVE
    page = await eve.sign_in()
    return [page.status, await eve.status()]


async def _cookies(siege: Siege, provider: Provider, eve: Visitor) -> list[int]:
    """A cookie that was signed out, two of one name, and one that was made up."""
    await eve.sign_in()
    ((name, value),) = eve.cookies.items()
    await eve.ask("DELETE", "/api/v1/session", X_CSRF_Token=await eve.csrf())
    await eve.sign_in()
    lines = (f"{name}={value}", f"{name}={value}; {name}={eve.cookies[name]}", f"{name}={'A' * 43}", f"{name}=")
    siege.tried(len(lines))
    return [(await eve.get("/api/v1/charge-points", Cookie=line)).status for line in lines]


_AN_HOUR_AGO = int(time.time()) - 3600

SIGN_INS: dict[str, Row] = {
    "ID tokens of another issuer, for another client, of another sign-in, expired": Row(
        attack=_signing(
            Lies(claims={"iss": "https://evil.example"}),
            Lies(claims={"aud": "another"}),
            Lies(claims={"nonce": "another"}),
            Lies(claims={"exp": _AN_HOUR_AGO}),
        ),
        gets="4 x 403",
        configure=_offering,
    ),
    "ID tokens without a signature, with that of another key": Row(
        attack=_signing(Lies(sign=unsigned), Lies(key=rsa("first")), Lies(key=rsa("unknown"))),
        gets="3 x 403",
        configure=_offering,
    ),
    "answers of the provider for another browser, and used again": Row(
        attack=_visiting(_answers_of_others), gets="4 x 403", configure=_offering
    ),
    "links that lead who signs in to another site": Row(
        attack=_visiting(_elsewhere), gets="4 x 400", configure=_offering
    ),
    "changes with the cookie of an operator and without the header": Row(
        attack=_visiting(_forged_changes), gets="12 x 403", configure=_offering
    ),
    "a sign-in without a role": Row(attack=_visiting(_no_role), gets="403, 401", configure=_offering),
    "cookies that were signed out, doubled, made up": Row(
        attack=_visiting(_cookies), gets="4 x 401", configure=_offering
    ),
}
"""By name, in the order in which they are shown."""
