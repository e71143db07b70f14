"""Where the bridge's own requests go, over real sockets: to what was checked, and to whom the certificate names."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from bridge.config import TLS, ClientTLS
from bridge.core.addresses import CallbackTarget, Learning, learn, pinned
from bridge.core.destinations import Destinations
from bridge.gateway.transports import PostTarget
from bridge.net.soap_client import Posted, SoapClient, Undelivered
from bridge.net.tls import ClientContexts, server_context
from bridge.ocpp.device_profile import DeviceProfile
from bridge.ocpp.messages import ClearCacheRequest
from bridge.ocpp.rpc import Call, CallError, Unanswered
from bridge.ocpps.wsdl import default_folder, load
from tests.authority import Authority

AT_MOST = 10
METADATA = "169.254.169.254"


@dataclass
class Heard:
    """What a listener heard: the Host headers, and the names that TLS clients asked for."""

    url: str = ""
    hosts: list[str] = field(default_factory=list)
    asked_for: list[str | None] = field(default_factory=list)

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])


@asynccontextmanager
async def listening(tls: TLS | None = None, answer: web.Response | None = None) -> AsyncIterator[Heard]:
    """Somebody on 127.0.0.1 who answers no SOAP."""
    heard = Heard()

    async def respond(request: web.Request) -> web.Response:
        heard.hosts.append(request.headers["Host"])
        if answer is None:
            return web.Response(text="who are you?")
        return web.Response(status=answer.status, headers=answer.headers)

    context = None if tls is None else server_context(tls, "tls")
    if context is not None:
        context.sni_callback = lambda handshake, name, _: heard.asked_for.append(name)
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", respond)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    heard.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield heard
    finally:
        await runner.cleanup()


@asynccontextmanager
async def client() -> AsyncIterator[SoapClient]:
    service = load(default_folder() / "ocpp16" / "ChargePointService.wsdl")
    made = SoapClient(service, sent_from="http://bridge.example/", mint=lambda: "id", max_body=1000)
    try:
        yield made
    finally:
        await made.close()


async def call(
    soap: SoapClient, to: CallbackTarget, tls: ssl.SSLContext | None = None, *, connection_per_call: bool = True
) -> Posted:
    request = Call(unique_id="1", action="ClearCache", payload=ClearCacheRequest())
    return await soap.call(
        PostTarget(url=to.url, destinations=Destinations(networks=to.networks), told_by="CP 1"),
        "CP 1",
        request,
        within=AT_MOST,
        strict=False,
        tls=tls,
        profile=DeviceProfile(connection_per_call=connection_per_call),
    )


class Resolver:
    """Names that lead where the test says; each answer once, the last for ever."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: Sequence[str]) -> None:
        self.asked: list[str] = []
        self._answers = list(answers)
        monkeypatch.setattr(socket, "getaddrinfo", self._resolve)

    def _resolve(self, host: str, port: int, **hints: Any) -> list[Any]:
        self.asked.append(host)
        addresses = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        kinds = [socket.AF_INET6 if ":" in address else socket.AF_INET for address in addresses]
        return [(kind, socket.SOCK_STREAM, 6, "", (to, port)) for kind, to in zip(kinds, addresses, strict=True)]


def learnt(url: str) -> CallbackTarget:
    """From a peer on this machine."""
    callback = learn(url, None, "127.0.0.1", Learning(loopback=True))
    assert isinstance(callback, CallbackTarget)
    return callback


async def test_a_name_is_resolved_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was checked is what is connected to, even if the name leads elsewhere a moment later."""
    async with listening() as heard, client() as soap:
        resolver = Resolver(monkeypatch, ["127.0.0.1"], [METADATA])
        to = learnt(f"http://cp.example:{heard.port}/")
        assert isinstance((await call(soap, to)).answer, Unanswered)
        assert (heard.hosts, resolver.asked) == ([f"cp.example:{heard.port}"], ["cp.example"])
        with pytest.raises(Undelivered, match=f"leads to {METADATA}, which is not allowed"):
            await call(soap, to)
        assert len(heard.hosts) == 1


@pytest.mark.parametrize(
    "elsewhere",
    [
        METADATA,
        "127.0.0.2",
        "::1",
        "::ffff:127.0.0.2",
        "::ffff:169.254.169.254",
        "fd00:ec2::254",
        "0.0.0.0",
        "224.0.0.1",
    ],
)
async def test_a_name_that_leads_elsewhere(monkeypatch: pytest.MonkeyPatch, elsewhere: str) -> None:
    async with listening() as heard, client() as soap:
        Resolver(monkeypatch, [elsewhere])
        with pytest.raises(Undelivered, match="which is not allowed for this Charge Point"):
            await call(soap, learnt(f"http://cp.example:{heard.port}/"))
        assert heard.hosts == []


async def test_of_several_addresses_one_that_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    async with listening() as heard, client() as soap:
        Resolver(monkeypatch, [METADATA, "127.0.0.1"])
        await call(soap, learnt(f"http://cp.example:{heard.port}/"))
        assert len(heard.hosts) == 1


async def test_what_is_no_address() -> None:
    async with client() as soap:
        with pytest.raises(Undelivered, match="is no address"):
            await call(soap, pinned("http://[::1]x/"))


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_redirects_are_not_followed(status: int) -> None:
    async with listening() as elsewhere, client() as soap:
        there = web.Response(status=status, headers={"Location": f"{elsewhere.url}/"})
        async with listening(answer=there) as heard:
            assert isinstance((await call(soap, learnt(f"{heard.url}/"))).answer, CallError | Unanswered)
            assert (len(heard.hosts), elsewhere.hosts) == (1, [])


# https


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


async def test_the_name_is_asked_for_and_verified(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    tls = TLS(**authority.issue("cp", "cp.example"))
    async with listening(tls) as heard, client() as soap:
        Resolver(monkeypatch, ["127.0.0.1"])
        context = ClientContexts().of(ClientTLS(ca=authority.file))
        await call(soap, learnt(f"https://cp.example:{heard.port}/"), context)
        assert heard.asked_for == ["cp.example"]
        with pytest.raises(Undelivered, match=r"certificate is not valid for 'other\.example'"):
            await call(soap, learnt(f"https://other.example:{heard.port}/"), context)
        with pytest.raises(Undelivered, match=r"certificate is not valid for '127\.0\.0\.1'"):
            await call(soap, learnt(heard.url), context)
        assert heard.hosts == [f"cp.example:{heard.port}"]


async def test_a_connection_that_is_kept_open_is_not_used_for_another_name(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with listening(TLS(**authority.issue("cp", "cp.example"))) as heard, client() as soap:
        Resolver(monkeypatch, ["127.0.0.1"])
        context = ClientContexts().of(ClientTLS(ca=authority.file))
        for _ in range(2):
            await call(soap, learnt(f"https://cp.example:{heard.port}/"), context, connection_per_call=False)
        with pytest.raises(Undelivered, match=r"certificate is not valid for 'other\.example'"):
            await call(soap, learnt(f"https://other.example:{heard.port}/"), context, connection_per_call=False)
        assert (len(heard.hosts), heard.asked_for) == (2, ["cp.example", "other.example"])


async def test_an_address_is_verified_as_such(authority: Authority) -> None:
    async with listening(TLS(**authority.issue("ip", "127.0.0.1"))) as heard, client() as soap:
        await call(soap, learnt(heard.url), ClientContexts().of(ClientTLS(ca=authority.file)))
        assert len(heard.hosts) == 1


async def test_the_systems_authorities_count_where_none_is_named(authority: Authority) -> None:
    async with listening(TLS(**authority.issue("ip", "127.0.0.1"))) as heard, client() as soap:
        for context in (None, ClientContexts().of(None)):
            with pytest.raises(Undelivered, match="certificate verify failed"):
                await call(soap, pinned(heard.url), context)
        assert heard.hosts == []


async def test_a_certificate_is_shown(authority: Authority) -> None:
    tls = TLS(**authority.issue("ip", "127.0.0.1"), client_ca=authority.file)
    async with listening(tls) as heard, client() as soap:
        contexts = ClientContexts()
        own = authority.issue("bridge", "bridge.example")
        await call(soap, pinned(heard.url), contexts.of(ClientTLS(ca=authority.file, **own)))
        assert len(heard.hosts) == 1
        posted = await call(soap, pinned(heard.url), contexts.of(ClientTLS(ca=authority.file)))
        assert isinstance(posted.answer, Unanswered)
        assert len(heard.hosts) == 1
