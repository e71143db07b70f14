"""The recipes for reverse proxies in `deploy/`, each with the real program between Charge Points and the bridge: who
they are, where they are called back, what they may have and how they guess is as it is without one.
"""

from __future__ import annotations

import contextlib
import shutil
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
import yaml

from bridge.config import TLS, ChargePoint, Route, Secret, Settings
from bridge.lab.simulators.json_central_system import JsonCentralSystem
from bridge.lab.simulators.wire import CallRefused
from tests.authority import Authority
from tests.e2e.stage import CP, answering, envelope, listening, running, settings
from tests.e2e.test_proxies import Spoken, let_in, overtaken, request
from tests.reverse_proxies import DEPLOY, PROGRAMS, Program, Site

AT_HOME, ABROAD = "127.0.0.7", "127.0.0.8"
BY_PROXY: dict[str, Any] = {"proxies": (ip_network("127.0.0.1/32"),)}
HEADERS = {
    "nginx": {"proxy_certificate_header": "X-Client-Cert", "proxy_certificate_format": "pem"},
    "haproxy": {"proxy_certificate_header": "X-Client-Cert", "proxy_certificate_format": "der"},
    "envoy": {"proxy_certificate_header": "X-Forwarded-Client-Cert", "proxy_certificate_format": "xfcc"},
}
DOORS = ("soap", "websocket")
RESET = f'<resetResponse xmlns="{CP}"><status>Accepted</status></resetResponse>'


@dataclass(frozen=True, kw_only=True)
class Behind:
    """A bridge behind a proxy, and who vouches for its Charge Points."""

    central: JsonCentralSystem
    at: Mapping[str, tuple[str, int]]
    authority: Authority
    folder: Path

    def shown(self, name: str) -> dict[str, Any]:
        """A certificate of the fleet's authority."""
        return self.authority.issue(name, common_name=name)

    def spoken(self, door: str, peer: str, shown: dict[str, Any] | None = None) -> Spoken:
        """A connection to the proxy."""
        return Spoken(self.at[door], peer, self.authority.client(shown))

    async def asked(
        self,
        door: str,
        identity: str,
        *lines: str,
        peer: str = AT_HOME,
        shown: dict[str, Any] | None = None,
        source: str | None = None,
    ) -> int | None:
        """The status that a Charge Point gets through the proxy."""
        data = request(door, *lines, identity=identity)
        if source is not None:
            plain, told = envelope(identity=identity), envelope(identity=identity, source=source)
            data = data.replace(plain, told).replace(b"Length: %d" % len(plain), b"Length: %d" % len(told))
        async with self.spoken(door, peer, shown) as connection:
            return await connection.ask(data)


def routes(told: Settings) -> Settings:
    """A way in for each kind of identity."""

    def route(glob: str, asks: str, **more: Any) -> Route:
        return Route(charge_point=glob, central_system="main", authentication=asks, **more)  # type: ignore[arg-type]

    home = route("net-*", "network", networks=(ip_network(f"{AT_HOME}/32"),))
    return msgspec.structs.replace(
        told, routes=(home, route("crt-*", "certificate"), route("pwd", "basic"), route("*", "none"))
    )


def combine(folder: Path, own: Mapping[str, str]) -> None:
    """As HAProxy wants it: certificate and key in one file."""
    (folder / "both.pem").write_bytes(b"".join(Path(own[key]).read_bytes() for key in ("certificate", "key")))


@asynccontextmanager
async def behind(program: Program, folder: Path) -> AsyncIterator[Behind]:
    authority = Authority(folder, "fleet-ca")
    own = authority.issue("gateway", "localhost")
    combine(folder, own)
    if "headers" in program.file:
        rules = BY_PROXY | {"proxy": "forwarded"} | HEADERS[program.name]
    else:
        tls = TLS(**own, client_ca=authority.file, client_certificate="asked")
        rules = BY_PROXY | {"proxy": "protocol", "tls": tls}
    async with JsonCentralSystem() as central, AsyncExitStack() as held:
        told = settings(
            central.url,
            gateway={"call_timeout": 1},
            soap=rules,
            websocket=rules,
            limits={"connections_per_address": 2},
            charge_points={"pwd": ChargePoint(password=Secret(b"right"))},
        )
        gateway = await held.enter_async_context(running(routes(told)))
        site = Site(soap=gateway.soap_address[1], websocket=gateway.websocket_address[1], tls=folder)
        at = held.enter_context(program.serving(site, folder))
        yield Behind(central=central, at=at, authority=authority, folder=folder)


async def networks(site: Behind) -> None:
    """The Charge Point's address decides, whatever it says of itself."""
    claims = (f"X-Forwarded-For: {AT_HOME}", f"Forwarded: for={AT_HOME}", f"X-Real-IP: {AT_HOME}")
    for door in DOORS:
        assert await site.asked(door, "net-1") == let_in(door)
        assert await site.asked(door, "net-1", peer=ABROAD) == 403
        assert await site.asked(door, "net-1", *claims, peer=ABROAD) == 403


def forgery(program: Program, certificate: Path) -> list[str]:
    """The header by which the proxy would pass this certificate on."""
    leaf = certificate.read_text().split("-----END CERTIFICATE-----")[0] + "-----END CERTIFICATE-----\n"
    pem, der = quote(leaf, safe=""), b64encode(ssl.PEM_cert_to_DER_cert(leaf)).decode()
    rules = HEADERS.get(program.name, {"proxy_certificate_header": "X-Client-Cert", "proxy_certificate_format": "pem"})
    written = {"pem": pem, "der": der, "xfcc": f'Cert="{pem}"'}[rules["proxy_certificate_format"]]
    return [f"{rules['proxy_certificate_header']}: {written}"]


async def certificates(site: Behind, program: Program) -> None:
    """That which was verified counts, here or at the proxy, and no other."""
    own, other = site.shown("crt-1"), site.shown("crt-2")
    strange = Authority(site.folder, "strange-ca").issue("stranger", common_name="crt-1")
    forged = forgery(program, Path(own["certificate"]))
    for door in DOORS:
        assert await site.asked(door, "crt-1", shown=own) == let_in(door)
        assert await site.asked(door, "crt-1", shown=other) == 403
        assert await site.asked(door, "crt-1") == 403
        assert await site.asked(door, "crt-1", *forged) == 403
        assert await site.asked(door, "crt-1", *forged, shown=other) == 403
        assert await site.asked(door, "crt-1", *forged, shown=own) == let_in(door)
        with contextlib.suppress(ssl.SSLError, ConnectionError):
            assert await site.asked(door, "crt-1", shown=strange) in (400, None)


async def callbacks(site: Behind) -> None:
    """A Charge Point is called back where it is, and nobody sends its commands elsewhere."""
    async with listening(answering(RESET), host=AT_HOME) as point:
        assert await site.asked("soap", "evil", peer=ABROAD, source=point.url) == 200
        await site.central.wait_for("evil")
        with pytest.raises(CallRefused):
            await site.central.call("evil", "Reset", {"type": "Soft"})
        assert point.received == []
        assert await site.asked("soap", "good", source=point.url) == 200
        await site.central.wait_for("good")
        assert await site.central.call("good", "Reset", {"type": "Soft"}) == {"status": "Accepted"}


async def limits(site: Behind) -> None:
    """Each address has its own connections."""
    async with AsyncExitStack() as held:
        for number in range(2):
            connection = await held.enter_async_context(site.spoken("websocket", ABROAD))
            assert await connection.ask(request("websocket", identity=f"CP{number}")) == 101
        assert await site.asked("websocket", "CP9", peer=ABROAD) in (503, None)
        assert await site.asked("websocket", "CP9") == 101


async def guesses(site: Behind) -> None:
    """Who never guessed wrong is looked at before who did, though both come through the proxy."""

    def password(text: bytes) -> str:
        return f"Authorization: Basic {b64encode(b'pwd:' + text).decode()}"

    for _ in range(5):  # those that wait for nothing
        assert await site.asked("soap", "pwd", password(b"guess"), peer=ABROAD) == 401
    await overtaken(
        [site.asked("soap", "pwd", password(b"guess"), peer=ABROAD) for _ in range(6)],
        site.asked("soap", "pwd", password(b"right"), peer=AT_HOME),
    )


@pytest.mark.parametrize("recipe", PROGRAMS)
async def test_behind_it_all_is_as_without_it(recipe: str, tmp_path: Path) -> None:
    program = PROGRAMS[recipe]
    program.check()
    async with behind(program, tmp_path) as site:
        await networks(site)
        await certificates(site, program)
        await callbacks(site)
        await limits(site)
        await guesses(site)


def test_every_recipe_is_tried_or_says_that_it_is_not() -> None:
    """Traefik is not to be had here."""
    files = [path for path in DEPLOY.glob("*/*") if path.is_file()]
    there = {f"{path.parent.name}/{path.name}" for path in files if "PROXY header" in path.read_text("utf-8")}
    there |= {f"{path.parent.name}/{path.name}" for path in DEPLOY.glob("*/headers.*")}
    untried = {recipe for recipe in there if "not tested with the program" in _joined(DEPLOY / recipe)}
    assert there - untried == PROGRAMS.keys()
    assert untried == {"traefik/headers.yaml", "traefik/protocol.yaml"}
    for recipe in untried:
        assert yaml.safe_load((DEPLOY / recipe).read_text("utf-8"))


def _joined(path: Path) -> str:
    """Its text without the breaks of comments."""
    return " ".join(line.lstrip("# ") for line in path.read_text("utf-8").splitlines())


def test_a_program_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    monkeypatch.delenv("OCPP_BRIDGE_NO_SKIP", raising=False)
    with pytest.raises(pytest.skip.Exception, match="haproxy is not here"):
        PROGRAMS["haproxy/headers.cfg"].check()
    monkeypatch.setenv("OCPP_BRIDGE_NO_SKIP", "1")
    with pytest.raises(pytest.fail.Exception, match="haproxy is not here"):
        PROGRAMS["haproxy/headers.cfg"].check()
