"""Somebody who signs in, request by request, so that each can be changed; and a gateway to sign in at."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http.cookies import Morsel, SimpleCookie
from typing import Any

import aiohttp
import msgspec

from bridge.app import Gateway
from bridge.config import Admin, Listen, Oidc, Secret, Settings
from tests.admin.asked import Events
from tests.e2e.stage import running, settings
from tests.oidc.provider import CLIENT_ID, SECRET, Provider
from tests.ports import free_port

# The token of the API beside the sign-in.
TOKEN = "the token of the bridge itself"


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A response. `cookies` are those that it sets."""

    status: int
    headers: Mapping[str, str]
    text: str
    cookies: SimpleCookie

    @property
    def location(self) -> str:
        """Where it leads to."""
        assert self.status in (302, 303), self
        return self.headers["Location"]

    @property
    def data(self) -> Any:
        """What its JSON says."""
        return msgspec.json.decode(self.text)

    def cookie(self, kind: str) -> Morsel[str]:
        """The cookie of this kind, "session" or "sign-in", that it sets."""
        (found,) = [morsel for name, morsel in self.cookies.items() if f"ocpp-bridge-{kind}" in name]
        return found

    def signs_in(self) -> bool:
        """Whether it sets the cookie of a session."""
        return any("ocpp-bridge-session" in name for name in self.cookies)


class Visitor:
    """A browser without a window. It keeps the cookies of the bridge at `base`."""

    def __init__(self, base: str, http: aiohttp.ClientSession) -> None:
        self.base = base
        self.cookies: dict[str, str] = {}
        self._http = http

    def another(self) -> Visitor:
        """Somebody else, with a browser of their own."""
        return Visitor(self.base, self._http)

    async def ask(self, method: str, url: str, body: object = None, **headers: str) -> Page:
        """Send a request; a path is one of the bridge, which gets the cookies. An underscore stands for a dash."""
        told = {name.replace("_", "-"): text for name, text in headers.items()}
        ours = url.startswith("/")
        if ours and self.cookies and "Cookie" not in told:
            told["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        more: dict[str, Any] = {} if body is None else {"json": body}
        address = self.base + url if ours else url
        async with self._http.request(method, address, headers=told, allow_redirects=False, **more) as response:
            text = await response.text()
            page = Page(status=response.status, headers=response.headers, text=text, cookies=response.cookies)
        if ours:
            for name, morsel in page.cookies.items():
                self.cookies[name] = morsel.coded_value
                if morsel["max-age"] == "0":
                    del self.cookies[name]
        return page

    async def get(self, url: str, **headers: str) -> Page:
        """Send a GET."""
        return await self.ask("GET", url, **headers)

    async def begun(self, query: str = "") -> str:
        """Begin to sign in. Gives the path to which the provider redirects."""
        start = await self.get(f"/login/start{query}")
        back = await self.get(start.location)
        assert back.location.startswith(f"{self.base}/login/callback?"), back.location
        return back.location.removeprefix(self.base)

    async def sign_in(self, query: str = "") -> Page:
        """Sign in. Gives the last page of it."""
        return await self.get(await self.begun(query))

    @asynccontextmanager
    async def events(self) -> AsyncIterator[Events]:
        """The live stream."""
        cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        async with self._http.get(f"{self.base}/api/v1/events", headers={"Cookie": cookies}) as response:
            assert response.status == 200
            yield Events(response)

    async def csrf(self) -> str:
        """The value of the header without which nothing can be changed."""
        token: str = (await self.get("/api/v1/session")).data["csrf"]
        return token

    async def status(self) -> int:
        """That of what everybody who has signed in may read."""
        return (await self.get("/api/v1/charge-points")).status


def told(provider: Provider, url: str = "ws://127.0.0.1:1/", **keys: Any) -> Settings:
    """Settings with a sign-in at `provider` and a Central System at `url`. `keys` are those of the table."""
    port = free_port()
    secret = None if provider.secret is None else Secret(SECRET.encode())
    usual = {"client_secret": secret, "public_url": f"http://127.0.0.1:{port}"}
    roles = {"read": ("ocpp-viewers",), "operate": ("ocpp-operators",)}
    oidc = Oidc(issuer=provider.issuer, client_id=CLIENT_ID, **(usual | roles | keys))
    admin = Admin(listen=Listen("127.0.0.1", port), token=Secret(TOKEN.encode()), oidc=oidc)
    return msgspec.structs.replace(settings(url), admin=admin)


def changed(settings: Settings, **keys: Any) -> Settings:
    """The same settings with other keys of the table."""
    assert settings.admin.oidc is not None
    oidc = msgspec.structs.replace(settings.admin.oidc, **keys)
    return msgspec.structs.replace(settings, admin=msgspec.structs.replace(settings.admin, oidc=oidc))


@asynccontextmanager
async def visited(settings: Settings, trusts: ssl.SSLContext | None = None) -> AsyncIterator[tuple[Gateway, Visitor]]:
    """A gateway, and somebody who can sign in there, whose browser trusts these authorities."""
    connector = aiohttp.TCPConnector(ssl=trusts or True)
    http = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
    async with running(settings) as gateway, http:
        host, port = gateway.admin_address
        yield gateway, Visitor(f"http://{host}:{port}", http)
