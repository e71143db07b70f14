"""TLS on every side of the gateway, over real sockets: whoever calls, and whomever it calls."""

from __future__ import annotations

import asyncio
import signal
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import InvalidHandshake
from websockets.typing import Subprotocol

from bridge.app import Gateway
from bridge.config import TLS, ChargePoint, ClientTLS, Settings
from bridge.errors import ConfigurationError
from bridge.gateway.admission import AdmissionControl
from bridge.net.certificates import names_of
from bridge.net.endpoints import SoapSender
from bridge.net.json_server import HandshakeRequest
from bridge.net.tls import server_context
from tests.authority import Authority
from tests.e2e.processes import Bridge
from tests.e2e.stage import (
    AT,
    AT_MOST,
    CP,
    PATH,
    Connection,
    Listening,
    RawCentralSystem,
    RawChargePoint,
    answering,
    envelope,
    logged,
    running,
    settings,
)
from tests.net.test_tls import needs_old_versions

NOWHERE = "ws://127.0.0.1:1/ocpp"
SUBPROTOCOL = [Subprotocol("ocpp1.6")]
RESET = f'<resetResponse xmlns="{CP}"><status>Accepted</status></resetResponse>'


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def stranger(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "stranger")


@pytest.fixture
def shown(authority: Authority) -> dict[str, Any]:
    """The gateway's own certificate."""
    return authority.issue("gateway", "127.0.0.1")


async def get(gateway: Gateway, context: ssl.SSLContext, name: str = "soap") -> int:
    """The status of the page of addresses."""
    host, port = gateway.addresses[name]
    async with aiohttp.ClientSession() as http, http.get(f"https://{host}:{port}/services", ssl=context) as response:
        return response.status


async def posted(gateway: Gateway, body: bytes, context: ssl.SSLContext | None = None) -> tuple[int, str]:
    """Status and text of what a message of a Charge Point is answered with."""
    scheme = "http" if context is None else "https"
    host, port = gateway.soap_address
    headers = {"Content-Type": "application/soap+xml; charset=utf-8"}
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{scheme}://{host}:{port}{PATH}", data=body, headers=headers, ssl=context or True) as response,
    ):
        return response.status, await response.text()


@asynccontextmanager
async def dialled(gateway: Gateway, context: ssl.SSLContext, identity: str = "CP1") -> AsyncIterator[Connection]:
    host, port = gateway.websocket_address
    url = f"wss://{host}:{port}/ocpp/{identity}"
    async with connect(url, ssl=context, subprotocols=SUBPROTOCOL, compression=None, proxy=None) as websocket:
        yield Connection(websocket)


class CentralSystem:
    """One that speaks JSON over TLS: answers everything with the time, and keeps the names that it was shown."""

    def __init__(self, tls: TLS) -> None:
        self._context = server_context(tls, "tls")
        self.shown: list[tuple[str, ...] | None] = []
        self.links: asyncio.Queue[Connection] = asyncio.Queue()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[str]:
        """Its URL."""
        async with serve(self._serve, "127.0.0.1", 0, ssl=self._context, subprotocols=SUBPROTOCOL) as server:
            yield f"wss://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/ocpp"

    async def _serve(self, websocket: ServerConnection) -> None:
        self.shown.append(names_of(websocket.transport.get_extra_info("peercert")))
        link = Connection(websocket)
        await link.serve({"currentTime": AT})
        self.links.put_nowait(link)
        await websocket.wait_closed()


@asynccontextmanager
async def charge_point(tls: TLS, body: str = RESET) -> AsyncIterator[RawChargePoint]:
    """A SOAP service of somebody, over https, as `localhost`."""
    point = RawChargePoint()

    async def answer(request: web.BaseRequest) -> web.Response:
        point.received.append(await request.read())
        point.arrived.set()
        return await answering(body)(b"")

    runner = web.ServerRunner(web.Server(answer), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=server_context(tls, "tls")).start()
    point.url = f"https://localhost:{runner.addresses[0][1]}/"
    try:
        yield point
    finally:
        await runner.cleanup()


# Who calls us.


async def test_soap_and_json_over_tls(authority: Authority, shown: dict[str, Any]) -> None:
    central = CentralSystem(TLS(**shown))
    tls = {"tls": TLS(**shown)}
    async with central.open() as url:
        there = {"tls": ClientTLS(ca=authority.file)}
        async with running(settings(url, soap=tls, websocket=tls, central_system=there)) as gateway:
            status, text = await posted(gateway, envelope(identity="CP2"), authority.client())
            assert (status, "heartbeatResponse" in text) == (200, True)
            async with dialled(gateway, authority.client()) as point:
                assert await point.ask([2, "1", "Heartbeat", {}]) == [3, "1", {"currentTime": AT}]


@pytest.mark.parametrize("how", ["required", "asked"])
async def test_client_certificates(authority: Authority, stranger: Authority, shown: dict[str, Any], how: Any) -> None:
    async def walk_in(gateway: Gateway) -> None:
        known = authority.client(authority.issue("cp", "CP1"))
        unknown = authority.client(stranger.issue("unknown", "CP1"))
        assert await get(gateway, known) == 200
        with pytest.raises(aiohttp.ClientError):
            await get(gateway, unknown)
        with pytest.raises((OSError, InvalidHandshake, EOFError)):
            async with dialled(gateway, unknown):
                pass
        if how == "asked":
            assert await get(gateway, authority.client()) == 200
        else:
            with pytest.raises(aiohttp.ClientError):
                await get(gateway, authority.client())

    tls = {"tls": TLS(**shown, client_ca=authority.file, client_certificate=how)}
    with logged() as lines:
        async with running(settings(NOWHERE, soap=tls, websocket=tls)) as gateway:
            await walk_in(gateway)
    refused = [line for line in lines if " refused " in line]
    assert "no TLS at the listener" in refused[0] and "why=wrong_certificate" in refused[0]
    assert ["why=no_credentials" in line for line in refused[1:]] == [True] * (how == "required")


async def test_the_doors_are_told_what_it_says(
    authority: Authority, shown: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, tuple[str, ...] | None]] = []
    arrive, knock = AdmissionControl.soap_charge_point, AdmissionControl.handshake

    def arriving(self: AdmissionControl, arrival: SoapSender) -> Any:
        seen.append((arrival.listener, arrival.certificate))
        return arrive(self, arrival)

    async def knocking(self: AdmissionControl, asked_to_open: HandshakeRequest) -> Any:
        seen.append((asked_to_open.listener, asked_to_open.certificate))
        return await knock(self, asked_to_open)

    monkeypatch.setattr(AdmissionControl, "soap_charge_point", arriving)
    monkeypatch.setattr(AdmissionControl, "handshake", knocking)
    central = CentralSystem(TLS(**shown))
    tls = {"tls": TLS(**shown, client_ca=authority.file, client_certificate="asked")}
    there = {"tls": ClientTLS(ca=authority.file)}
    own = authority.client(authority.issue("cp", "cp1", common_name="CP 1"))
    async with central.open() as url:
        told = settings(url, soap=tls | {"name": "north"}, websocket=tls, central_system=there)
        async with running(told) as gateway:
            await posted(gateway, envelope(), own)
            await posted(gateway, envelope(identity="CP 2"), authority.client())
            async with dialled(gateway, own), dialled(gateway, authority.client(), "CP2"):
                pass
    names = ("CP 1", "cp1")
    assert seen == [("north", names), ("north", None), ("websocket", names), ("websocket", None)]


async def test_who_waits_for_an_answer_is_not_taken_for_who_reads_nothing(
    authority: Authority, shown: dict[str, Any]
) -> None:
    """Asyncio's TLS says at once that nothing more may be written, where the limit is no octet at all."""
    async with RawCentralSystem() as central:
        times: dict[str, Any] = {"gateway": {"call_timeout": 1}, "soap": {"tls": TLS(**shown)}}
        async with running(settings(central.url, limits={"send_timeout": 0.2}, **times)) as gateway:
            assert (await posted(gateway, envelope(), authority.client()))[0] == 503


async def test_an_old_fleet_has_its_own_listener(authority: Authority, shown: dict[str, Any]) -> None:
    needs_old_versions()
    told = settings(NOWHERE, soap={"tls": TLS(**shown)})
    (modern,) = told.soap
    old = msgspec.structs.replace(modern, name="old fleet", tls=TLS(**shown, minimum_version="1.0"))
    with logged() as lines:
        async with running(msgspec.structs.replace(told, soap=(modern, old))) as gateway:
            legacy = authority.client(version=ssl.TLSVersion.TLSv1)
            assert await get(gateway, legacy, "old fleet") == 200
            assert await get(gateway, authority.client(), "old fleet") == 200
            with pytest.raises(aiohttp.ClientError):
                await get(gateway, legacy)
    (warning,) = (line for line in lines if "OLD TLS" in line)
    assert "WARN" in warning and 'listener="old fleet"' in warning and "minimum_version=1.0" in warning


# Whom we call.


async def test_a_central_system_that_asks_for_our_certificate(authority: Authority, shown: dict[str, Any]) -> None:
    central = CentralSystem(TLS(**shown, client_ca=authority.file))
    own = ClientTLS(ca=authority.file, **authority.issue("bridge", "bridge.example"))
    async with central.open() as url, running(settings(url, central_system={"tls": own})) as gateway:
        assert (await posted(gateway, envelope()))[0] == 200
        assert central.shown == [("bridge.example",)]


@pytest.mark.parametrize(
    ("names", "trusted", "said"),
    [
        (["other.example"], True, "certificate is not valid for '127.0.0.1'"),
        (["127.0.0.1"], False, "certificate verify failed"),
    ],
)
async def test_a_central_system_that_is_another(
    authority: Authority, names: list[str], trusted: bool, said: str
) -> None:
    central = CentralSystem(TLS(**authority.issue("other", *names)))
    tls = ClientTLS(ca=authority.file) if trusted else None
    async with central.open() as url, running(settings(url, central_system={"tls": tls})) as gateway:
        with logged() as lines:
            assert (await posted(gateway, envelope()))[0] == 503
        assert any(said in line for line in lines)
        assert central.shown == []


async def test_a_soap_central_system(authority: Authority) -> None:
    heartbeat = f'<c:heartbeatResponse xmlns:c="urn://Ocpp/Cs/2015/10/"><c:currentTime>{AT}</c:currentTime>'
    tls = TLS(**authority.issue("central", "localhost"), client_ca=authority.file)
    async with charge_point(tls, f"{heartbeat}</c:heartbeatResponse>") as central:
        own = ClientTLS(ca=authority.file, **authority.issue("bridge", "bridge.example"))
        there = {"protocol": "ocpp1.6s", "tls": own}
        async with running(settings(central.url, central_system=there)) as gateway:
            status, text = await posted(gateway, envelope())
            assert (status, AT in text) == (200, True)


@pytest.mark.parametrize("known", [True, False])
async def test_a_charge_point_is_called_back(authority: Authority, shown: dict[str, Any], known: bool) -> None:
    central = CentralSystem(TLS(**shown))
    own = {"CP 1": ChargePoint(tls=ClientTLS(ca=authority.file))} if known else {}
    there = {"tls": ClientTLS(ca=authority.file)}
    async with (
        central.open() as url,
        charge_point(TLS(**authority.issue("cp", "localhost"))) as point,
        running(settings(url, gateway={"call_timeout": 2}, central_system=there, charge_points=own)) as gateway,
    ):
        assert (await posted(gateway, envelope(source=point.url)))[0] == 200
        link = await asyncio.wait_for(central.links.get(), AT_MOST)
        answer = await link.ask([2, "id", "Reset", {"type": "Soft"}])
        if known:
            assert answer == [3, "id", {"status": "Accepted"}]
        else:
            assert answer[:3] == [4, "id", "InternalError"]
            assert "certificate verify failed" in answer[3]
        assert len(point.received) == known


# SIGHUP.


async def test_certificates_are_read_again(authority: Authority, shown: dict[str, Any]) -> None:
    central = CentralSystem(TLS(**authority.issue("central", "127.0.0.1")))
    tls = {"tls": TLS(**shown)}
    async with central.open() as url:
        there = {"tls": ClientTLS(ca=authority.file)}
        told = settings(url, soap=tls, websocket=tls, central_system=there)
        async with running(told) as gateway, dialled(gateway, authority.client()) as point:
            before = await serial(gateway, authority)
            assert await serial(gateway, authority) == before
            authority.issue("gateway", "127.0.0.1")
            await gateway.reload(told)
            assert await serial(gateway, authority) != before
            assert await point.ask([2, "1", "Heartbeat", {}]) == [3, "1", {"currentTime": AT}]
            async with dialled(gateway, authority.client()):
                pass


async def serial(gateway: Listening, authority: Authority) -> str:
    """Of the certificate that the SOAP listener shows."""
    _, writer = await asyncio.open_connection(*gateway.soap_address, ssl=authority.client())
    try:
        return str(writer.get_extra_info("peercert")["serialNumber"])
    finally:
        writer.close()
        await writer.wait_closed()


async def test_a_process_reads_them_at_sighup(authority: Authority, shown: dict[str, Any], tmp_path: Path) -> None:
    async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(b"GET /services HTTP/1.1\r\nHost: gateway\r\n\r\n")
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), AT_MOST)
        (length,) = (line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.partition(b":")[2]))
        return head.partition(b"\r\n")[0]

    bridge = Bridge(tmp_path, {"main": {"url": NOWHERE}})
    bridge.environment = {f"OCPP_BRIDGE__SOAP__TLS__{key.upper()}": path for key, path in shown.items()}
    async with bridge:
        before = await serial(bridge, authority)
        kept = await asyncio.open_connection(*bridge.soap_address, ssl=authority.client())
        assert await ask(*kept) == b"HTTP/1.1 200 OK"
        authority.issue("gateway", "127.0.0.1")
        await bridge.reload()
        after = await serial(bridge, authority)
        assert after != before
        remove(shown["key"])
        bridge.told(signal.SIGHUP)
        await bridge.says("ERROR", "configuration not taken over", "OCPP_BRIDGE__SOAP__TLS__KEY", "no such file")
        assert await serial(bridge, authority) == after
        assert await ask(*kept) == b"HTTP/1.1 200 OK"
        kept[1].transport.abort()


def remove(file: str) -> None:
    Path(file).unlink()


async def test_bad_files_leave_the_last_good_certificate_in_use(authority: Authority, shown: dict[str, Any]) -> None:
    told = settings(NOWHERE, soap={"tls": TLS(**shown)})
    async with running(told) as gateway:
        before = await serial(gateway, authority)
        spoil(shown["certificate"])
        with logged() as lines:
            await gateway.reload(told)
        assert await serial(gateway, authority) == before
        (line,) = (line for line in lines if "NOT TAKEN OVER" in line)
        assert "ERROR" in line and "listener=soap" in line and "soap.tls: certificate and key" in line


def spoil(file: str) -> None:
    Path(file).write_text("no certificate")


async def test_files_of_clients_are_read_again(authority: Authority, stranger: Authority) -> None:
    central = CentralSystem(TLS(**authority.issue("central", "127.0.0.1")))
    async with central.open() as url:
        told = settings(url, central_system={"tls": ClientTLS(ca=stranger.file)})
        async with running(told) as gateway:
            assert (await posted(gateway, envelope(identity="A")))[0] == 503
            Path(stranger.file).write_bytes(Path(authority.file).read_bytes())
            await gateway.reload(told)
            assert (await posted(gateway, envelope(identity="B")))[0] == 200
            spoil(stranger.file)
            with logged() as lines:
                await gateway.reload(told)
            assert any("ERROR" in line and "central_systems.main.tls: ca: " in line for line in lines)
            assert (await posted(gateway, envelope(identity="C")))[0] == 200


async def test_a_new_table_whose_files_are_bad_is_not_taken_over(authority: Authority, tmp_path: Path) -> None:
    told = settings(NOWHERE)
    async with running(told) as gateway:
        wanted = settings("wss://127.0.0.1:1/ocpp", central_system={"tls": ClientTLS(ca=str(tmp_path))})
        with pytest.raises(ConfigurationError, match=r"central_systems\.main\.tls: ca: "):
            await gateway.reload(wanted)
        assert gateway._settings.central_systems == told.central_systems


async def test_certificates_must_be_good_at_the_start(shown: dict[str, Any]) -> None:
    async def start(told: Settings) -> None:
        with pytest.raises(ConfigurationError, match=r"tls: (ca|certificate and key): "):
            await Gateway(told).start()

    spoil(shown["certificate"])
    await start(settings(NOWHERE, websocket={"tls": TLS(**shown)}))
    await start(settings("wss://127.0.0.1:1/", central_system={"tls": ClientTLS(ca=shown["certificate"])}))
