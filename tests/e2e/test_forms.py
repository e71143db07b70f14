"""Octets as strangers write them, at each of the three listeners: request targets and the like, over raw sockets."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from bridge.app import Gateway
from bridge.lab.simulators.json_central_system import JsonCentralSystem
from tests.e2e.stage import AT_MOST, PATH, RawCentralSystem, envelope, leg, logged, post, running, settings
from tests.reference import CASES, needs_cases

HANDSHAKE = (
    "Host: gw",
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Protocol: ocpp1.6",
)


@asynccontextmanager
async def bridging() -> AsyncIterator[Gateway]:
    """A gateway before a JSON Central System."""
    async with JsonCentralSystem() as central, running(settings(central.url)) as gateway:
        yield gateway


def lines(*words: str) -> bytes:
    return "".join(f"{word}\r\n" for word in (*words, "")).encode()


def posted(target: str = PATH, *headers: str, body: bytes | None = None) -> bytes:
    """A SOAP message, head and body."""
    data = envelope() if body is None else body
    return lines(f"POST {target} HTTP/1.1", "Host: gw", *headers, f"Content-Length: {len(data)}") + data


def knocking(target: str, *headers: str) -> bytes:
    """A WebSocket handshake."""
    return lines(f"GET {target} HTTP/1.1", *HANDSHAKE, *headers)


def asked(target: str, *headers: str) -> bytes:
    return lines(f"GET {target} HTTP/1.1", *(headers or ("Host: 127.0.0.1",)))


async def status(address: tuple[str, int], octets: bytes) -> int:
    """The status that answers `octets`."""
    async with connected(address) as (reader, writer):
        writer.write(octets)
        return int((await asyncio.wait_for(reader.readuntil(b"\r\n"), AT_MOST)).split()[1])


@asynccontextmanager
async def connected(address: tuple[str, int]) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(*address)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


# Request targets.

TARGETS = {
    "of SOAP in absolute form": ("soap", posted(f"http://gw:8080{PATH}"), 200),
    "of SOAP in absolute form, with another host": ("soap", posted(f"HTTP://elsewhere.example{PATH}/1.6"), 200),
    "of SOAP with doubled slashes": ("soap", posted("//services//CentralSystemService"), 200),
    "of SOAP with doubled slashes everywhere": (
        "soap",
        posted("http://gw//services//CentralSystemService//1.6//"),
        200,
    ),
    "of SOAP with doubled slashes before the identity": ("soap", posted(f"{PATH}//CP%201"), 200),
    "of the page of addresses": ("soap", asked("http://gw//services//"), 200),
    "of a description": ("soap", asked(f"http://gw/{PATH}?wsdl"), 200),
    "of SOAP at no service": ("soap", posted("http://gw/services"), 404),
    "of JSON in absolute form": ("websocket", knocking("ws://gw:9000/ocpp/CP-X"), 101),
    "of JSON in absolute form, with another host": (
        "websocket",
        knocking("HTTP://elsewhere.example/ocpp/CP-X?a=//"),
        101,
    ),
    "of JSON with doubled slashes": ("websocket", knocking("//ocpp//CP-X//"), 101),
    "of JSON at no path": ("websocket", knocking("ws://gw:9000"), 404),
    "of JSON at another path": ("websocket", knocking("ws://gw:9000/else/CP-X"), 404),
    "of JSON without a handshake": ("websocket", asked("http://gw:9000/ocpp/CP-X"), 426),
    "of admin in absolute form": ("admin", asked("http://127.0.0.1/healthz"), 200),
    "of admin in absolute form, with another host": ("admin", asked("http://elsewhere.example/healthz"), 200),
    "of the API in absolute form": (
        "admin",
        asked("http://localhost:1/api/v1/charge-points", "Host: evil.example"),
        401,
    ),
    "of the API by a name that leads here": ("admin", asked("http://evil.example/api/v1/charge-points"), 403),
    "of the console in absolute form": ("admin", asked("http://127.0.0.1/"), 200),
}


@pytest.mark.parametrize(("listener", "octets", "answer"), TARGETS.values(), ids=TARGETS)
async def test_quirk_82_a_request_target(listener: str, octets: bytes, answer: int) -> None:
    async with bridging() as gateway:
        assert await status(gateway.addresses[listener], octets) == answer


async def test_quirk_81_doubled_slashes_of_an_identity_are_its_own() -> None:
    async with JsonCentralSystem() as central, running(settings(central.url)) as gateway:
        body = envelope(identity=None)
        assert await status(gateway.soap_address, posted(f"//services//{PATH[10:]}//A%2F%2FB", body=body)) == 200
        assert [who for who, _, _ in central.received] == ["A//B"]


# TLS where none is spoken.

HELLO = bytes.fromhex("16030100a5010000a10303") + b"\x11" * 160
SSL_2_HELLO = bytes.fromhex("802e0103010015000000100000") + b"\x11" * 40


@pytest.mark.parametrize("octets", [HELLO, HELLO[:1], HELLO[:3], SSL_2_HELLO], ids=["hello", "octet", "cut", "SSL 2"])
@pytest.mark.parametrize("listener", ["soap", "websocket", "admin"])
async def test_quirk_85_tls_at_a_plain_port(listener: str, octets: bytes) -> None:
    async with bridging() as gateway:
        with logged() as said:
            port = await named_in_the_log(said, gateway.addresses[listener], octets)
        [line] = [line for line in said if "why=tls" in line]
        assert f"TLS came to port {port}, which is plain" in line
        assert "peer=127.0.0.1" in line


async def named_in_the_log(said: list[str], address: tuple[str, int], octets: bytes) -> int:
    async with connected(address) as (_, writer):
        writer.write(octets)
        async with asyncio.timeout(AT_MOST):
            while not any(f"port {address[1]}," in line for line in said):  # noqa: ASYNC110  the log is all there is
                await asyncio.sleep(0.001)
    return address[1]


async def test_each_plain_port_is_named() -> None:
    """Though there is one line a minute for each source and reason."""
    async with bridging() as gateway:
        with logged() as said:
            ports = [await named_in_the_log(said, address, HELLO) for address in gateway.addresses.values()]
            for address in gateway.addresses.values():
                async with connected(address) as (reader, writer):
                    writer.write(HELLO)
                    await asyncio.wait_for(reader.read(), AT_MOST)
        lines = [line for line in said if "why=tls" in line]
        assert [re.findall(r"port (\d+),", line) for line in lines] == [[str(port)] for port in ports]


@pytest.mark.parametrize("listener", ["soap", "websocket"])
async def test_who_speaks_tls_at_a_plain_port_is_hung_up_on(listener: str) -> None:
    async with bridging() as gateway, connected(gateway.addresses[listener]) as (reader, writer):
        writer.write(HELLO)
        answer = await asyncio.wait_for(reader.read(), AT_MOST)
        assert answer.startswith(b"HTTP/1.1 400 ") and b"which is plain" in answer


async def test_what_is_not_tls_is_not_called_so() -> None:
    async with bridging() as gateway:
        with logged() as said:
            # The octets of a hello, but within a request.
            assert await status(gateway.soap_address, posted(body=HELLO)) == 400
            assert await status(gateway.soap_address, b"\x15\x03\x01\x00\x02\x02\x46\r\n\r\n") == 400
        assert not any("why=tls" in line for line in said)


# Half-closed connections.


async def last_words(address: tuple[str, int], *octets: bytes) -> bytes:
    """All that is said to who sends `octets` and closes its half of the connection."""
    async with connected(address) as (reader, writer):
        for part in octets:
            writer.write(part)
        writer.write_eof()
        return await asyncio.wait_for(reader.read(), AT_MOST)


def chunked(*sizes: int) -> bytes:
    """A SOAP message in chunks of these sizes, and one of the rest."""
    data, chunks = envelope(), []
    for size in (*sizes, len(data)):
        piece, data = data[:size], data[size:]
        chunks.append(b"%x\r\n%s\r\n" % (len(piece), piece))
    head = lines(f"POST {PATH} HTTP/1.1", "Host: gw", "Transfer-Encoding: chunked")
    return head + b"".join(chunks) + b"0\r\n\r\n"


HALVES = {
    "SOAP": ("soap", posted(), [200]),
    "SOAP, closing": ("soap", posted(PATH, "Connection: close"), [200]),
    "SOAP by HTTP/1.0": ("soap", posted().replace(b"HTTP/1.1", b"HTTP/1.0"), [200]),
    "SOAP in chunks": ("soap", chunked(1, 100), [200]),
    "SOAP compressed": ("soap", posted(PATH, "Content-Encoding: gzip", body=gzip.compress(envelope())), [200]),
    "SOAP that is broken": ("soap", posted(body=b"<a/>"), [400]),
    "SOAP, one behind the other": ("soap", posted() * 3, [200, 200, 200]),
    "SOAP, one in chunks behind another": ("soap", posted() + chunked(9) + posted(), [200, 200, 200]),
    "SOAP whose body is cut": ("soap", posted()[:-5], [400]),
    "SOAP, the second cut": ("soap", posted() + posted()[:-5], [200, 400]),
    "SOAP whose chunks are cut": ("soap", chunked(9)[:-9], [400]),
    "SOAP whose head is cut": ("soap", posted()[:30], []),
    "SOAP, the second head cut": ("soap", posted() + posted()[:30], [200]),
    "nothing for SOAP": ("soap", b"", []),
    "the page of addresses": ("soap", asked("/services"), [200]),
    "a description": ("soap", asked(f"{PATH}?wsdl"), [200]),
    "at no service": ("soap", posted("/nowhere"), [404]),
    "a WebSocket": ("websocket", knocking("/ocpp/CP-X"), [101]),
    "a WebSocket at no path": ("websocket", knocking("/nowhere/CP-X"), [404]),
    "a page of the WebSocket port": ("websocket", asked("/ocpp/CP-X"), [426]),
    "SOAP at the WebSocket port": ("websocket", posted(), [405]),
    "a WebSocket whose head is cut": ("websocket", knocking("/ocpp/CP-X")[:30], []),
    "nothing for a WebSocket": ("websocket", b"", []),
    "health": ("admin", asked("/healthz"), [200]),
    "metrics": ("admin", asked("/metrics", "Host: 127.0.0.1", "Accept-Encoding: gzip"), [200]),
    "the API": ("admin", asked("/api/v1/charge-points") * 2, [401, 401]),
    "the console": ("admin", asked("/"), [200]),
    "nothing for admin": ("admin", b"", []),
}


@pytest.mark.parametrize(("listener", "octets", "answers"), HALVES.values(), ids=HALVES)
async def test_quirk_83_a_peer_that_closes_its_half_is_answered(
    listener: str, octets: bytes, answers: list[int]
) -> None:
    async with bridging() as gateway:
        said = await last_words(gateway.addresses[listener], octets)
        found = [int(code) for code in re.findall(rb"HTTP/1\.[01] (\d{3}) ", said)]
        assert found == answers
        # What comes next is served.
        assert await status(gateway.soap_address, posted()) == 200


async def test_a_peer_that_closes_its_half_gets_an_answer_that_takes_time() -> None:
    async with RawCentralSystem() as central, running(settings(central.url)) as gateway:
        async with asyncio.TaskGroup() as group:
            said = group.create_task(last_words(gateway.soap_address, posted(), posted()))
            link = await central.connected()
            await link.serve()
            await link.serve()
        assert [int(code) for code in re.findall(rb"HTTP/1\.1 (\d{3}) ", said.result())] == [200, 200]


async def test_a_handshake_whose_sender_left_meanwhile_replaces_no_connection() -> None:
    async with leg("json", "soap", "CP-X") as scene:
        await scene.met()
        assert b" 101 " in await last_words(scene.gateway.websocket_address, knocking("/ocpp/CP-X"))
        assert "currentTime" in await scene.charge_point.call("Heartbeat", {})


async def test_empty_lines_before_a_request_are_not_looked_at() -> None:
    """RFC 9112 section 2.2."""
    async with bridging() as gateway:
        assert await status(gateway.websocket_address, b"\r\n\r\n" + knocking("/ocpp/CP-X")) == 101
        assert await status(gateway.soap_address, b"\r\n" + posted()) == 200


# Bodies.


@pytest.mark.parametrize("word", ["100-continue", "100-Continue "])
async def test_quirk_84_a_body_that_waits_to_be_asked_for(word: str) -> None:
    async with bridging() as gateway, connected(gateway.soap_address) as (reader, writer):
        octets = posted(PATH, f"Expect: {word}")
        end = octets.index(b"\r\n\r\n") + 4
        writer.write(octets[:end])
        assert await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), AT_MOST) == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(octets[end:])
        assert await asyncio.wait_for(reader.readuntil(b"\r\n"), AT_MOST) == b"HTTP/1.1 200 OK\r\n"


async def test_who_waits_with_a_body_that_is_too_large_is_told_at_once() -> None:
    async with bridging() as gateway, connected(gateway.soap_address) as (reader, writer):
        writer.write(lines(f"POST {PATH} HTTP/1.1", "Host: gw", "Expect: 100-continue", "Content-Length: 99999999"))
        answer = await asyncio.wait_for(reader.read(), AT_MOST)
        assert re.match(rb"HTTP/1.1 4\d\d ", answer) and b"more than" in answer


async def test_nobody_who_speaks_http_1_0_is_told_to_continue() -> None:
    async with bridging() as gateway:
        octets = posted(PATH, "Expect: 100-continue").replace(b"HTTP/1.1", b"HTTP/1.0")
        assert await status(gateway.soap_address, octets) == 200


# Cases of field reports, as they lie in their files.

REPORTED = {
    "071-ws-absolute-form": ("websocket", 101),
    "073-ws-double-slash": ("websocket", 101),
    "074-ws-no-subprotocol": ("websocket", 101),
    "075-ws-lower-case": ("websocket", 101),
    "076-ws-origin-useragent": ("websocket", 101),
    "081-soap-half-close": ("soap", 200),
    "077-tls-hello-on-plain-port": ("websocket", 400),
    "083-soap-double-slash": ("soap", 200),
    "084-soap-expect-continue": ("soap", 100),
}


@needs_cases
@pytest.mark.parametrize(("case", "where"), REPORTED.items(), ids=REPORTED)
async def test_a_reported_case(case: str, where: tuple[str, int]) -> None:
    listener, answer = where
    async with bridging() as gateway:
        octets = (CASES / f"{case}.raw").read_bytes()
        if octets.startswith(b"#"):
            octets = bytes.fromhex(octets.partition(b"\n")[2].decode())
        assert await status(gateway.addresses[listener], octets) == answer


@needs_cases
@pytest.mark.parametrize("prefix", ["ns1", "c"])
async def test_the_prefix_that_a_reported_device_looks_for(prefix: str) -> None:
    """Case 020."""
    async with JsonCentralSystem() as central, running(settings(central.url, route={"prefix": prefix})) as gateway:
        answer = await post(gateway, (CASES / "020-soap15-ns1-prefix.xml").read_bytes())
        assert answer.fault is None
        assert f"<{prefix}:authorizeResponse ".encode() in answer.body
