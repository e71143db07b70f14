"""Behind a reverse proxy: who a peer is, as its proxy says it, and what is made of that on both ports and in the admin
API. The proxies here are sockets; `tests/test_deploy.py` has the real programs.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from base64 import b64encode
from collections.abc import Callable, Coroutine, Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import msgspec
import pytest

from bridge.app import Gateway
from bridge.config import TLS, Admin, ChargePoint, Listen, Network, Secret, Settings
from bridge.lab.simulators.json_central_system import JsonCentralSystem
from bridge.net.soap_server import SoapServer
from tests.authority import Authority
from tests.e2e.stage import (
    AT_MOST,
    CP,
    PATH,
    RawCentralSystem,
    answering,
    envelope,
    listening,
    logged,
    running,
    settings,
)
from tests.e2e.test_limits import until
from tests.net.proxies.preambles import local, version_1, version_2

PROXY, OTHER_PROXY, STRANGER = "127.0.0.9", "127.0.0.8", "127.0.0.3"
AT_HOME, ABROAD = "192.0.2.7", "203.0.113.7"
PROXIES: tuple[Network, ...] = (ip_network(f"{PROXY}/32"), ip_network(f"{OTHER_PROXY}/32"))
BY_LINE: dict[str, Any] = {"proxies": PROXIES, "proxy": "protocol"}
BY_HEADER: dict[str, Any] = {"proxies": PROXIES, "proxy": "forwarded"}
BY_NETWORK = {"authentication": "network", "networks": (ip_network("192.0.2.0/24"), ip_network("2001:db8::/32"))}
AT_HOME_6 = "2001:db8::7"
HANDSHAKE = (
    b"GET /ocpp/CP1 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: ocpp1.6\r\n"
)
BOTH = pytest.mark.parametrize("door", ["soap", "websocket"])


def told(central: RawCentralSystem | JsonCentralSystem, rules: Mapping[str, Any], **tables: Any) -> Settings:
    """A gateway whose listeners have these rules."""
    tables = {"soap": rules, "websocket": rules} | tables
    plain = settings(central.url, **tables)
    admin = Admin(listen=Listen("127.0.0.1", 0), **{key: rules[key] for key in ("proxies", "proxy")})
    return msgspec.structs.replace(plain, admin=admin)


def request(door: str, *lines: str, chunked: bool = False, identity: str = "CP1") -> bytes:
    """What opens a conversation of a Charge Point at the door, with these header lines."""
    fields = "".join(f"{line}\r\n" for line in lines).encode()
    if door == "admin":
        return b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + fields + b"\r\n"
    if door == "websocket":
        return HANDSHAKE.replace(b"CP1", identity.encode()) + fields + b"\r\n"
    body = envelope(identity=identity)
    length = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % len(body)
    framed = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if chunked else body
    head = b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/soap+xml\r\n%s\r\n" % (PATH.encode(), length)
    return head + fields + b"\r\n" + framed


class Spoken:
    """A connection from the IP address `peer`, perhaps with TLS."""

    def __init__(self, at: tuple[str, int], peer: str, tls: ssl.SSLContext | None = None) -> None:
        self._at = at
        self._peer = peer
        self._tls: dict[str, Any] = {} if tls is None else {"ssl": tls, "server_hostname": "localhost"}

    async def __aenter__(self) -> Self:
        self.reader, self.writer = await asyncio.open_connection(*self._at, local_addr=(self._peer, 0), **self._tls)
        return self

    async def __aexit__(self, *error: object) -> None:
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()

    async def encrypt(self, context: ssl.SSLContext) -> None:
        """Begin TLS after what was sent."""
        await self.writer.start_tls(context, server_hostname="localhost")

    async def ask(self, *pieces: bytes) -> int | None:
        """The status of what comes back, or None if the gateway hangs up."""
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
        try:
            async with asyncio.timeout(AT_MOST):
                head = await self.reader.readuntil(b"\r\n\r\n")
                if length := re.search(rb"(?i)\ncontent-length: *([0-9]+)", head):
                    await self.reader.readexactly(int(length[1]))
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        return int(head.split()[1])


async def asked(gateway: Gateway, door: str, *pieces: bytes, peer: str = PROXY) -> int | None:
    """The same on a connection of its own."""
    async with Spoken(gateway.addresses[door], peer) as connection:
        return await connection.ask(*pieces)


def let_in(door: str) -> int:
    """The status of who is."""
    return 101 if door == "websocket" else 200


@BOTH
async def test_the_address_in_a_proxy_header_decides(door: str) -> None:
    with logged() as lines:
        async with JsonCentralSystem() as central:
            rules = told(central, BY_LINE, route=BY_NETWORK)
            async with running(rules) as gateway:
                for written in (version_1, version_2):
                    home, abroad = written(AT_HOME), written(ABROAD)
                    assert await asked(gateway, door, home + request(door)) == let_in(door)
                    assert await asked(gateway, door, home[:7], home[7:], request(door)) == let_in(door)
                    assert await asked(gateway, door, written(AT_HOME_6) + request(door)) == let_in(door)
                    assert await asked(gateway, door, written("2001:db9::7") + request(door)) == 403
                    assert await asked(gateway, door, abroad + request(door)) == 403
                # Who is no proxy comes by itself, and LOCAL is the proxy itself.
                assert await asked(gateway, door, request(door), peer=STRANGER) == 403
                assert await asked(gateway, door, local() + request(door)) == 403
                assert await asked(gateway, door, b"PROXY UNKNOWN\r\n" + request(door)) == 403
    refused = [line for line in lines if "refused" in line]
    for peer in (ABROAD, STRANGER, PROXY):
        assert any(f"peer={peer}" in line or peer in line for line in refused), (peer, refused)


@pytest.mark.parametrize("door", ["soap", "websocket", "admin"])
async def test_a_proxy_header_that_may_not_be_there_or_is_missing_or_broken(door: str) -> None:
    with logged() as lines:
        async with JsonCentralSystem() as central, running(told(central, BY_LINE)) as gateway:
            served = 200 if door == "admin" else let_in(door)
            assert await asked(gateway, door, version_1(AT_HOME) + request(door), peer=STRANGER) is None
            assert await asked(gateway, door, version_2(AT_HOME) + request(door), peer=STRANGER) is None
            assert await asked(gateway, door, request(door)) is None
            broken = b"PROXY TCP4 192.0.2.7\r\n" + request(door)
            assert await asked(gateway, door, broken, peer=OTHER_PROXY) is None
            assert await asked(gateway, door, version_1(AT_HOME) * 2 + request(door)) in (400, None)
            assert await asked(gateway, door, version_1(AT_HOME) + request(door)) == served
            assert await asked(gateway, door, request(door), peer=STRANGER) == served
    for reason in ("from who may not send one", "no PROXY header comes first", "not as version 1 has it"):
        assert [line for line in lines if reason in line] != [], (reason, lines)


@BOTH
async def test_a_proxy_header_where_none_is_expected(door: str) -> None:
    with logged() as lines:
        async with JsonCentralSystem() as central, running(settings(central.url)) as gateway:
            assert await asked(gateway, door, version_1(AT_HOME) + request(door)) == 400
            assert await asked(gateway, door, version_2(AT_HOME) + request(door)) == 400
    assert [line for line in lines if "a PROXY header from who may not send one" in line] != []


@pytest.mark.parametrize("door", ["soap", "websocket", "admin"])
async def test_a_proxy_header_where_tls_should_begin(door: str, tmp_path: Path) -> None:
    """It is named, whether nobody may send one or one has been sent already."""
    authority = Authority(tmp_path)
    tls = TLS(**authority.issue("gateway", "localhost"))
    with logged() as lines:
        async with JsonCentralSystem() as central:
            for rules, before in (({"proxies": (), "proxy": None}, b""), (BY_LINE, version_1(AT_HOME))):
                settings_ = told(central, rules | {"tls": tls})
                admin = msgspec.structs.replace(settings_.admin, tls=tls)
                for header in (version_1(AT_HOME), version_2(AT_HOME)):
                    said = len(lines)
                    async with running(msgspec.structs.replace(settings_, admin=admin)) as gateway:
                        assert await asked(gateway, door, before + header + request(door)) is None
                    (line,) = [line for line in lines[said:] if " refused " in line]
                    assert f"the listener {door}: a PROXY header from who may not send one" in line


async def test_a_proxy_header_that_never_comes() -> None:
    with logged() as lines:
        async with JsonCentralSystem() as central:
            rules = told(central, BY_LINE, limits={"header_timeout": 0.1})
            async with running(rules) as gateway, Spoken(gateway.addresses["soap"], PROXY) as connection:
                assert await connection.ask(b"PROXY TCP4 ") is None
            async with running(rules) as gateway, Spoken(gateway.addresses["websocket"], PROXY) as connection:
                await gateway.close()  # nobody waits for it
                assert await connection.ask() is None
                await gateway.start()
    assert [line for line in lines if "no PROXY header came within 0.1 s" in line] != []


@BOTH
async def test_a_proxy_header_comes_before_tls(door: str, tmp_path: Path) -> None:
    """And the certificate that is shown there is the peer's own."""
    authority = Authority(tmp_path)
    tls = TLS(**authority.issue("gateway", "localhost"), client_ca=authority.file)
    shown = authority.issue("CP1", common_name="CP1")
    other = authority.issue("other", common_name="other")
    async with JsonCentralSystem() as central:
        rules = BY_LINE | {"tls": tls, "peers": (ip_network("192.0.2.0/24"),)}
        asks = {"authentication": "certificate"}
        async with running(told(central, rules, route=asks)) as gateway:
            for source, certificate, status in (
                (AT_HOME, shown, let_in(door)),
                (AT_HOME, other, 403),
                (ABROAD, shown, 403),
            ):
                async with Spoken(gateway.addresses[door], PROXY) as connection:
                    connection.writer.write(version_2(source))
                    await connection.encrypt(authority.client(certificate))
                    assert await connection.ask(request(door)) == status
            async with Spoken(gateway.addresses[door], PROXY) as connection:
                with pytest.raises((ssl.SSLError, ConnectionError)):
                    await connection.encrypt(authority.client(shown))
            # Header and hello in one piece.
            hello, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            client = authority.client(shown).wrap_bio(hello, outgoing, server_hostname="localhost")
            with contextlib.suppress(ssl.SSLWantReadError):
                client.do_handshake()
            async with Spoken(gateway.addresses[door], PROXY) as connection:
                connection.writer.write(version_1(AT_HOME) + outgoing.read())
                assert (await connection.reader.read(1)) == b"\x16"  # a handshake record


@BOTH
@pytest.mark.parametrize("chunked", [False, True])
async def test_the_address_in_a_header_is_each_requests(door: str, chunked: bool) -> None:
    if chunked and door == "websocket":
        return
    with logged() as lines:
        async with JsonCentralSystem() as central:
            rules = told(central, BY_HEADER, route=BY_NETWORK)
            async with running(rules) as gateway:
                home, abroad = f"X-Forwarded-For: {ABROAD}, {AT_HOME}", f"X-Forwarded-For: {AT_HOME}, {ABROAD}"
                chain = f"Forwarded: for={AT_HOME};proto=https, for={OTHER_PROXY}"
                expected = [
                    (home, let_in(door)),
                    (abroad, 403),
                    (chain, let_in(door)),
                    (f'Forwarded: for="[{AT_HOME_6}]:4711"', let_in(door)),
                    (f"X-Forwarded-For: {AT_HOME}, 2001:db9::7", 403),
                    (f"X-Forwarded-For: {AT_HOME}, nobody", 400),
                ]
                if door == "soap":  # proxies keep connections, and send anybody's requests on them
                    async with Spoken(gateway.addresses[door], PROXY) as connection:
                        for line, status in expected * 2:
                            assert await connection.ask(request(door, line, chunked=chunked)) == status
                for line, status in expected:
                    assert await asked(gateway, door, request(door, line, chunked=chunked)) == status
                # From anybody else the header means nothing.
                assert await asked(gateway, door, request(door, home, chunked=chunked), peer=STRANGER) == 403
    assert [line for line in lines if "the headers of the proxy cannot be read" in line] != []


def certificate_of(folder: Path, authority: Authority, name: str) -> bytes:
    """One in PEM."""
    authority.issue(name, common_name=name)
    return (folder / f"{name}.pem").read_bytes()


def _base64(pem: bytes) -> str:
    return b64encode(ssl.PEM_cert_to_DER_cert(pem.decode())).decode()


FORMATS: dict[str, Callable[[bytes], str]] = {
    "pem": lambda pem: quote(pem.decode(), safe=""),
    "der": _base64,
    "xfcc": lambda pem: f'By=urn:x;Hash=1;Cert="{quote(pem.decode(), safe="")}";Subject="CN=\\"x\\", O=y"',
    "rfc9440": lambda pem: f":{_base64(pem)}:",
}


@BOTH
@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("way", [BY_LINE, BY_HEADER])
async def test_a_certificate_in_a_header(door: str, form: str, way: Mapping[str, Any], tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    own, other = (FORMATS[form](certificate_of(tmp_path, authority, name)) for name in ("CP1", "other"))
    name = "X-Client-Cert"
    rules = dict(way) | {"proxy_certificate_header": name, "proxy_certificate_format": form}
    before = version_1(AT_HOME) if way is BY_LINE else b""

    async def status(gateway: Gateway, *values: str, peer: str = PROXY) -> int | None:
        lines = [f"{name}: {value}" for value in values]
        preamble = before if peer == PROXY else b""
        return await asked(gateway, door, preamble + request(door, *lines), peer=peer)

    with logged() as lines:
        async with JsonCentralSystem() as central:
            asks = {"authentication": "certificate"}
            async with running(told(central, rules, route=asks)) as gateway:
                assert await status(gateway, own) == let_in(door)
                assert await status(gateway, other) == 403
                assert await status(gateway) == 403
                assert await status(gateway, "") == 403
                assert await status(gateway, own, peer=STRANGER) == 403
                assert await status(gateway, own, other) == 400
                assert await status(gateway, own, "") == 400
                assert await status(gateway, "", own) == 400
                assert await status(gateway, "nonsense") == 400
                assert await status(gateway, own[: len(own) // 2]) == 400
    assert [line for line in lines if "X-Client-Cert of the proxy holds no certificate" in line] != []


async def test_the_certificate_of_a_proxy_is_not_that_of_who_it_speaks_for(tmp_path: Path) -> None:
    """It shows one of its own to the bridge, which happens to name a Charge Point."""
    authority = Authority(tmp_path)
    tls = TLS(**authority.issue("gateway", "localhost"), client_ca=authority.file)
    shown = authority.issue("proxy", common_name="CP1")
    async with JsonCentralSystem() as central:
        asks = {"authentication": "certificate"}
        async with running(told(central, BY_HEADER | {"tls": tls}, route=asks)) as gateway:
            for door in ("soap", "websocket"):
                async with Spoken(gateway.addresses[door], PROXY) as connection:
                    await connection.encrypt(authority.client(shown))
                    assert await connection.ask(request(door, f"X-Forwarded-For: {AT_HOME}")) == 403


@BOTH
@pytest.mark.parametrize("way", [BY_LINE, BY_HEADER])
async def test_connections_are_counted_for_whom_the_proxy_speaks(door: str, way: Mapping[str, Any]) -> None:
    """Not for the proxy. On a connection that carries many peers' requests, a request in progress counts."""

    def speaking(peer: str, identity: str = "CP1") -> bytes:
        lines = [] if way is BY_LINE else [f"X-Forwarded-For: {peer}"]
        return (version_1(peer) if way is BY_LINE else b"") + request(door, *lines, identity=identity)

    with logged() as lines:
        async with RawCentralSystem() as central:
            rules = told(central, way, limits={"connections_per_address": 2}, gateway={"call_timeout": 300})
            async with running(rules) as gateway, contextlib.AsyncExitStack() as held:
                for number, peer in enumerate((AT_HOME, AT_HOME, ABROAD, ABROAD)):
                    connection = await held.enter_async_context(Spoken(gateway.addresses[door], PROXY))
                    if door == "websocket":
                        assert await connection.ask(speaking(peer)) == 101
                    else:  # what is with the Central System is in progress
                        connection.writer.write(speaking(peer, f"CP{number}"))
                        assert (await (await central.connected()).receive())[2] == "Heartbeat"
                for peer in (AT_HOME, ABROAD):
                    assert await asked(gateway, door, speaking(peer)) == 503
                if door == "websocket":
                    assert await asked(gateway, door, speaking("198.51.100.1")) == 101
    assert [line for line in lines if "limits.connections_per_address" in line and f"{AT_HOME}" in line] != []


@BOTH
@pytest.mark.parametrize("way", [BY_LINE, BY_HEADER])
async def test_who_may_use_the_listener_and_how_much_goes_by_whom_the_proxy_speaks_for(
    door: str, way: Mapping[str, Any]
) -> None:
    """`peers`, identities that are new, Calls in progress: of one peer no more for coming through a proxy, and of
    another no less."""

    def speaking(peer: str, identity: str) -> bytes:
        lines = [] if way is BY_LINE else [f"X-Forwarded-For: {peer}"]
        return (version_1(peer) if way is BY_LINE else b"") + request(door, *lines, identity=identity)

    rules = {**way, "peers": (ip_network("192.0.2.0/24"), ip_network("203.0.113.0/24"))}
    limits = {"new_identities_per_minute": 4}
    async with JsonCentralSystem() as central, running(told(central, rules, limits=limits)) as gateway:
        assert await asked(gateway, door, speaking("198.51.100.1", "CP0")) == 403
        assert await asked(gateway, door, speaking(PROXY, "CP0")) == 403
        if door == "soap":
            got = [await asked(gateway, door, speaking(AT_HOME, f"CP{number}")) for number in range(6)]
            assert got == [200] * 4 + [503] * 2
            assert await asked(gateway, door, speaking(ABROAD, "CP9")) == 200
    if door == "websocket":
        return
    patient = {"max_in_flight": 8, "call_timeout": 300, "drain_timeout": 0}
    async with (
        RawCentralSystem() as central_,
        running(told(central_, rules, gateway=patient)) as gateway,
        contextlib.AsyncExitStack() as held,
    ):
        for number in range(3):  # three quarters of half of eight
            connection = await held.enter_async_context(Spoken(gateway.addresses[door], PROXY))
            connection.writer.write(speaking(AT_HOME, f"CP{number}"))
            await (await central_.connected()).receive()
        assert await asked(gateway, door, speaking(AT_HOME, "CP8")) == 503
        beat = asyncio.ensure_future(asked(gateway, door, speaking(ABROAD, "CP9")))
        await (await central_.connected()).serve()
        assert await beat == 200


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_that_does_not_come_is_one_of_the_peers_for_whom_the_proxy_speaks(chunked: bool) -> None:
    """Proxies that pass bodies on as they come would give one peer all connections that there may be."""
    async with JsonCentralSystem() as central:
        rules = told(central, BY_HEADER, limits={"connections_per_address": 2})
        async with running(rules) as gateway, contextlib.AsyncExitStack() as held:
            waiting = []
            for _ in range(2):
                connection = await held.enter_async_context(Spoken(gateway.addresses["soap"], PROXY))
                sent = request("soap", f"X-Forwarded-For: {AT_HOME}", chunked=chunked)
                connection.writer.write(sent[:-10])
                waiting.append((connection, sent[-10:]))
            home, abroad = (request("soap", f"X-Forwarded-For: {peer}", chunked=chunked) for peer in (AT_HOME, ABROAD))
            await until(
                lambda: gateway._listeners.of(SoapServer)[0]._connection_limits.connection_count.of(AT_HOME) == 2
            )
            assert await asked(gateway, "soap", home) == 503
            assert await asked(gateway, "soap", abroad) == 200
            for connection, rest in waiting:
                assert await connection.ask(rest) == 200
            assert await asked(gateway, "soap", home) == 200


@pytest.mark.parametrize("rules", [{"proxies": (), "proxy": None}, BY_HEADER, BY_LINE])
@pytest.mark.parametrize("door", ["soap", "websocket", "admin"])
async def test_what_means_nothing_is_in_the_log(door: str, rules: Mapping[str, Any]) -> None:
    """Once a minute for each address: a proxy that is in no configuration is found by it."""
    certificate = {"proxy_certificate_header": "X-Client-Cert", "proxy_certificate_format": "pem"}
    with logged() as lines:
        async with JsonCentralSystem() as central:
            plain = told(central, {**rules, **(certificate if rules is BY_HEADER else {})})
            async with running(plain) as gateway:
                served = 200 if door == "admin" else let_in(door)
                fields = (f"X-Forwarded-For: {AT_HOME}", "Forwarded: for=x;", "X-Client-Cert: x")
                for chunked in (False, True):
                    sent = request(door, *fields, chunked=chunked)
                    assert await asked(gateway, door, sent, peer=STRANGER) == served
                assert await asked(gateway, door, request(door), peer="127.0.0.4") == served
    (line,) = [line for line in lines if " ignored " in line]
    names = ["Forwarded", "X-Forwarded-For", *(["X-Client-Cert"] if rules is BY_HEADER and door != "admin" else [])]
    assert f"peer={STRANGER}" in line and ", ".join(names) in line and "`proxies` of the listener" in line


async def overtaken(guesses: list[Coroutine[Any, Any, int | None]], right: Coroutine[Any, Any, int | None]) -> None:
    """Who is right is let in before the last guess that was made before, of which one a second is looked at."""
    waiting = [asyncio.ensure_future(guess) for guess in guesses]
    try:
        assert await right == let_in("soap")
        assert not all(guess.done() for guess in waiting)
    finally:
        for guess in waiting:
            guess.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


@pytest.mark.parametrize("way", [BY_LINE, BY_HEADER])
async def test_guessing_is_counted_for_whom_the_proxy_speaks(way: Mapping[str, Any]) -> None:
    def speaking(peer: str, password: bytes) -> bytes:
        basic = f"Authorization: Basic {b64encode(b'CP1:' + password).decode()}"
        if way is BY_LINE:
            return version_2(peer) + request("soap", basic)
        return request("soap", basic, f"Forwarded: for={peer}")

    async with JsonCentralSystem() as central:
        own = {"CP1": ChargePoint(password=Secret(b"right"))}
        async with running(told(central, way, charge_points=own)) as gateway:
            for _ in range(5):  # those that wait for nothing
                assert await asked(gateway, "soap", speaking(ABROAD, b"guess")) == 401
            # Who never guessed wrong comes first, though the proxy is the same.
            guesses = [asked(gateway, "soap", speaking(ABROAD, b"guess")) for _ in range(6)]
            await overtaken(guesses, asked(gateway, "soap", speaking(AT_HOME, b"right")))


@pytest.mark.parametrize("way", [BY_LINE, BY_HEADER])
async def test_a_callback_address_is_learnt_from_whom_the_proxy_speaks_for(way: Mapping[str, Any]) -> None:
    """Of the peer's own address, and not of the proxy's."""
    reset = f'<resetResponse xmlns="{CP}"><status>Accepted</status></resetResponse>'

    def said(source: str, peer: str) -> bytes:
        before = version_1(peer) if way is BY_LINE else b""
        lines = [] if way is BY_LINE else [f"X-Forwarded-For: {peer}"]
        body = envelope(identity="CP1", source=source)
        return before + request("soap", *lines).replace(envelope(identity="CP1"), body).replace(
            b"Content-Length: %d" % len(envelope(identity="CP1")), b"Content-Length: %d" % len(body)
        )

    async with (
        RawCentralSystem() as central,
        listening(answering(reset), host="127.0.0.5") as point,
        running(told(central, way, gateway={"call_timeout": 1})) as gateway,
    ):
        async with asyncio.TaskGroup() as group:
            group.create_task(asked(gateway, "soap", said(point.url, STRANGER)))
            link = await central.connected()
            await link.serve()
        assert (await link.ask([2, "1", "Reset", {"type": "Soft"}]))[:3] == [4, "1", "InternalError"]
        assert point.received == []
        async with asyncio.TaskGroup() as group:
            group.create_task(asked(gateway, "soap", said(point.url, "127.0.0.5")))
            await link.serve()
        assert await link.ask([2, "2", "Reset", {"type": "Soft"}]) == [3, "2", {"status": "Accepted"}]


async def test_the_admin_api_knows_who_asks() -> None:
    """Its refusals, and whether a page of its own asks over the proxy's TLS."""
    async with JsonCentralSystem() as central, running(told(central, BY_HEADER)) as gateway:
        home = f"X-Forwarded-For: {AT_HOME}"
        assert await asked(gateway, "admin", request("admin", home)) == 200
        assert await asked(gateway, "admin", request("admin", "X-Forwarded-For: nobody")) == 400
        own = ["Origin: https://localhost", home]
        assert await asked(gateway, "admin", request("admin", *own)) == 403
        assert await asked(gateway, "admin", request("admin", *own, "X-Forwarded-Proto: https")) == 200
        assert await asked(gateway, "admin", request("admin", *own, "X-Forwarded-Proto: https"), peer=STRANGER) == 403
