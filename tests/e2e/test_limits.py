"""What one peer may have, over real sockets: who takes more is refused, and everybody beside is served meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import logging
import re
import socket
import struct
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from aiohttp import web
from websockets.exceptions import InvalidStatus

from bridge.app import Gateway
from bridge.config import CentralSystem, ChargePoint, Route
from bridge.lab.simulators.json_central_system import JsonCentralSystem
from tests.e2e.stage import (
    CS,
    PATH,
    RawCentralSystem,
    dialled,
    envelope,
    listening,
    logged,
    post,
    reachable,
    receiver,
    running,
    sender,
    settings,
    soap_central_system,
)

HEARTBEAT = [2, "still", "Heartbeat", {}]
HEAD = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Type: application/soap+xml\r\n".encode()
UPGRADE = (
    b"GET /ocpp/CP%209 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: ocpp1.6\r\n"
)


@asynccontextmanager
async def guarded(**limits: Any) -> AsyncIterator[tuple[Gateway, JsonCentralSystem]]:
    async with JsonCentralSystem() as central, running(settings(central.url, limits=limits)) as gateway:
        with quiet():
            yield gateway, central


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Nothing that strangers do is an error of ours, or of the libraries beneath."""
    loggers = [logging.getLogger(name) for name in ("aiohttp", "asyncio", "bridge", "websockets")]
    seen: list[str] = []
    handler = logging.Handler(logging.ERROR)
    handler.emit = lambda record: seen.append(record.getMessage())  # type: ignore[method-assign]
    for logger in loggers:
        logger.addHandler(handler)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
    assert seen == []


async def served(gateway: Gateway, identity: str = "CP 1") -> None:
    """A Charge Point of each kind is, beside whatever else goes on."""
    answer = await post(gateway, envelope(identity=identity))
    assert (answer.status, answer.fault) == (200, None)
    async with dialled(gateway, "good") as point:
        assert (await point.ask(HEARTBEAT))[:2] == [3, "still"]


async def said(address: tuple[str, int], *pieces: bytes) -> bytes:
    """All that is answered to `pieces`, until the other end hangs up."""
    reader, writer = await asyncio.open_connection(*address)
    with contextlib.suppress(ConnectionError):
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
    answer = bytearray()
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            answer += data
    writer.close()
    return bytes(answer)


def port_of(gateway: Gateway, port: str) -> tuple[str, int]:
    return gateway.soap_address if port == "soap" else gateway.websocket_address


BOTH = pytest.mark.parametrize("port", ["soap", "websocket"])


# Connections.


@BOTH
async def test_so_many_connections_of_one_address(port: str) -> None:
    async with guarded(connections_per_address=3) as (gateway, _):
        address = port_of(gateway, port)
        idle = [await asyncio.open_connection(*address) for _ in range(3)]
        with logged() as lines:
            answer = await said(address)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nRetry-After: " in answer
        assert len([line for line in lines if "why=too_many_connections" in line]) == 1
        elsewhere = await asyncio.open_connection(*address, local_addr=("127.0.0.2", 0))
        for _, writer in [*idle, elsewhere]:
            writer.close()
            await writer.wait_closed()
        await served(gateway)


@BOTH
async def test_so_many_connections_in_all(port: str) -> None:
    async with guarded(connections=2) as (gateway, _):
        address = port_of(gateway, port)
        idle = [await asyncio.open_connection(*address, local_addr=(f"127.0.0.{n}", 0)) for n in (2, 3)]
        assert (await said(address)).startswith(b"HTTP/1.1 503 ")
        for _, writer in idle:
            writer.close()
            await writer.wait_closed()
        await served(gateway)


# Heads.


@BOTH
async def test_a_flood_of_headers(port: str) -> None:
    async with guarded() as (gateway, central):
        address = port_of(gateway, port)
        with logged() as lines:
            for flood in (b"".join(b"X-%d: y\r\n" % n for n in range(200)), b"X: " + b"y" * 100_000):
                start = HEAD if port == "soap" else UPGRADE
                assert (await said(address, start + flood + b"\r\n")).startswith(b"HTTP/1.1 431 ")
        assert len([line for line in lines if "why=too_large" in line]) == 1
        await served(gateway)
        assert len(central.received) == 2


@BOTH
async def test_a_head_that_comes_too_slowly(port: str) -> None:
    async with guarded(header_timeout=0.5) as (gateway, _):
        address = port_of(gateway, port)
        slow = [asyncio.ensure_future(trickled(address, HEAD if port == "soap" else UPGRADE)) for _ in range(20)]
        silent = asyncio.ensure_future(said(address))
        await served(gateway)
        assert not any(each.done() for each in slow)
        assert all(answer.startswith(b"HTTP/1.1 408 ") for answer in [*await asyncio.gather(*slow), await silent])


async def trickled(address: tuple[str, int], head: bytes) -> bytes:
    """What is answered to a head that comes octet by octet, and never to its end."""
    reader, writer = await asyncio.open_connection(*address)
    answer = asyncio.ensure_future(reader.read(100))
    with contextlib.suppress(ConnectionError):
        for octet in head:
            writer.write(bytes([octet]))
            await writer.drain()
            if (await asyncio.wait([answer], timeout=0.05))[0]:
                break
    writer.close()
    return await answer


async def test_a_kept_connection_has_its_limits_again() -> None:
    async with guarded(header_timeout=0.3, idle_timeout=30) as (gateway, _):
        body = envelope()
        whole = HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body
        reader, writer = await asyncio.open_connection(*gateway.soap_address)
        for _ in range(3):
            writer.write(whole)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 ")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            await reader.readexactly(length)
        await asyncio.sleep(0.4)  # idle is not slow
        writer.write(whole[:20])
        assert b"200 OK" not in await reader.read()
        writer.close()


async def test_an_idle_connection_is_closed() -> None:
    async with guarded(idle_timeout=0.2) as (gateway, _):
        answer = await said(gateway.soap_address, b"GET /services HTTP/1.1\r\nHost: x\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200 ")


async def test_one_that_only_has_messages_is_closed_when_it_is_idle() -> None:
    """They are served without aiohttp, whose timers know nothing of them."""
    async with guarded(idle_timeout=0.2) as (gateway, _):
        body = envelope()
        whole = HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body
        assert (await said(gateway.soap_address, whole)).count(b"HTTP/1.1 200 ") == 1


@pytest.mark.parametrize("first", [b"", b"GET /services HTTP/1.1\r\nHost: x\r\n\r\n"], ids=["messages", "a page first"])
async def test_one_that_is_used_stays_open_for_longer_than_it_may_be_idle(first: bytes) -> None:
    async with guarded(idle_timeout=0.5) as (gateway, _):
        body = envelope()
        whole = HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body
        reader, writer = await asyncio.open_connection(*gateway.soap_address)
        for data in [*filter(None, [first]), *[whole] * 8]:
            writer.write(data)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 ")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            await reader.readexactly(length)
            await asyncio.sleep(0.15)
        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()


# Bodies.


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_body_that_inflates(encoding: str) -> None:
    async with guarded() as (gateway, central):
        bomb = b"<a>" + b" " * 100_000_000
        data = gzip.compress(bomb) if encoding == "gzip" else zlib.compress(bomb)
        assert len(data) < 262_144
        answer = await post(gateway, data, headers={"Content-Encoding": encoding})
        assert (answer.status, answer.fault) == (413, sender("ProtocolError"))
        await served(gateway)
        assert len(central.received) == 2


@pytest.mark.parametrize(
    ("body", "status", "why"),
    [
        ("<a>" * 40 + "</a>" * 40, 400, "why=too_deep"),
        ("<a/>" * 90_000, 400, "why=too_large"),
        ("<a " + " ".join(f"a{n}=''" for n in range(81_000)) + "/>", 400, "why=too_large"),
        ("<!---->" * 81_000, 400, "why=too_large"),
        ("<a/>" * 300_000, 413, "why=too_large"),
    ],
    ids=["deep", "elements", "attributes", "comments", "octets"],
)
async def test_an_envelope_that_is_too_much(body: str, status: int, why: str) -> None:
    async with guarded() as (gateway, central):
        with logged() as lines:
            answer = await post(gateway, envelope(f'<authorizeRequest xmlns="{CS}">{body}</authorizeRequest>'))
        assert (answer.status, answer.fault) == (status, sender("ProtocolError"))
        assert len([line for line in lines if why in line]) == 1
        await served(gateway)
        assert len(central.received) == 2


# Messages.


async def test_more_messages_than_a_charge_point_may_send_over_soap() -> None:
    async with guarded(messages_per_second=0.001, messages_burst=3) as (gateway, central):
        with logged() as lines:
            answers = [await post(gateway, envelope(identity="CP 2")) for _ in range(6)]
        assert [answer.status for answer in answers] == [200] * 3 + [503] * 3
        assert answers[-1].fault == receiver("InternalError")
        assert int(answers[-1].headers["Retry-After"]) == 1000
        assert len([line for line in lines if "why=too_many_messages" in line]) == 1
        assert len(central.received) == 3
        await served(gateway)


async def test_more_messages_than_a_charge_point_may_send_over_json_wait() -> None:
    async with guarded(messages_per_second=20, messages_burst=2) as (gateway, _):
        async with dialled(gateway, "fast") as point:
            for number in range(6):
                await point.websocket.send(json.dumps([2, f"{number}", "Heartbeat", {}]))
            await served(gateway)
            answers = [json.loads(await point.websocket.recv()) for _ in range(6)]
        assert [answer[:2] for answer in answers] == [[3, f"{number}"] for number in range(6)]


async def test_so_many_calls_wait() -> None:
    told: Any = {"limits": {"waiting_per_charge_point": 2}}
    async with (
        RawCentralSystem() as central,
        running(settings(central.url, **told)) as gateway,
        dialled(gateway) as point,
    ):
        for number in range(4):
            await point.send([2, f"{number}", "Heartbeat", {}])
        refusal = await point.receive()
        assert refusal[:3] == [4, "3", "InternalError"]
        assert "limits.waiting_per_charge_point" in refusal[3]


async def test_strangers_fill_the_table_only_so_far() -> None:
    """Whoever a Central System has accepted, and whoever is listed, has a place whatever strangers do."""
    boot = f'<bootNotificationRequest xmlns="{CS}"><chargePointVendor>V</chargePointVendor>'
    boot += "<chargePointModel>M</chargePointModel></bootNotificationRequest>"
    told: Any = {"limits": {"charge_points": 2}, "charge_points": {"listed": ChargePoint()}}
    async with JsonCentralSystem() as central, running(settings(central.url, **told)) as gateway:
        for identity in ("one", "two", "one", "listed"):
            assert (await post(gateway, envelope(boot, identity=identity))).status == 200
        full = await post(gateway, envelope(identity="three"))
        assert (full.status, "limits.charge_points" in full.body.decode()) == (503, True)
        with pytest.raises(InvalidStatus, match="503"):
            async with dialled(gateway, "four"):
                pass


# A peer at a time.


async def test_a_charge_point_whose_callback_hangs_hurts_only_itself() -> None:
    async def hang(request: bytes) -> web.Response:
        return await asyncio.Future[web.Response]()

    async with guarded() as (gateway, central), listening(hang) as callback:
        assert (await post(gateway, envelope(identity="slow", source=callback.url))).status == 200
        asked = asyncio.ensure_future(central.call("slow", "Reset", {"type": "Soft"}))
        await callback.arrived.wait()
        await served(gateway)
        assert not asked.done()
        asked.cancel()


async def test_a_central_system_that_never_answers_hurts_only_its_own() -> None:
    async with RawCentralSystem() as silent, JsonCentralSystem() as central:
        told = settings(
            central.url,
            limits={},
        )
        routes = (Route(charge_point="slow*", central_system="silent"), *told.routes)
        systems = told.central_systems | {"silent": CentralSystem(url=silent.url)}
        async with running(msgspec.structs.replace(told, routes=routes, central_systems=systems)) as gateway:
            waiting = [asyncio.ensure_future(post(gateway, envelope(identity=f"slow {n}"))) for n in range(20)]
            for _ in waiting:
                await (await silent.connected()).receive()
            await served(gateway)
            assert not any(each.done() for each in waiting)
            for each in waiting:
                each.cancel()


async def test_a_soap_peer_that_does_not_read_is_hung_up_on() -> None:
    async with guarded(send_timeout=0.5) as (gateway, _):
        wsdl = f"GET {PATH}?wsdl HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        deaf = await deaf_to(gateway.soap_address)
        deaf.setblocking(False)
        with logged() as lines, contextlib.suppress(ConnectionError):
            while True:  # ask on until it hangs up, and read nothing
                with contextlib.suppress(BlockingIOError):
                    deaf.send(wsdl * 10)
                await served(gateway)
        assert len([line for line in lines if "why=too_slow" in line and "read nothing for 0.5 s" in line]) == 1
        deaf.close()


async def deaf_to(address: tuple[str, int]) -> socket.socket:
    """A connection that takes next to nothing until it is read."""
    deaf = socket.socket()
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    deaf.setblocking(False)
    await asyncio.get_running_loop().sock_connect(deaf, address)
    return deaf


@pytest.mark.parametrize(
    ("limits", "why"),
    [
        ({"send_timeout": 0.5, "max_unsent": 10**9}, "read nothing for 0.5 s"),
        ({"max_unsent": 100_000, "send_timeout": 1000}, "more than 100000 octets wait for it to read"),
    ],
)
async def test_a_websocket_peer_that_does_not_read_is_hung_up_on(limits: dict[str, Any], why: str) -> None:
    soap = reachable()
    async with soap_central_system() as central:
        hasty = {"messages_per_second": 1e6, "messages_burst": 10**6}
        told = settings(central.url, soap=soap, central_system={"protocol": "ocpp1.6s"}, limits=limits | hasty)
        async with running(told) as gateway:
            deaf = await deaf_to(gateway.websocket_address)
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(deaf, UPGRADE + b"\r\n")
            assert (await loop.sock_recv(deaf, 1000)).startswith(b"HTTP/1.1 101 ")
            with logged() as lines:
                with contextlib.suppress(ConnectionError):
                    while True:  # what is refused is quoted in the refusal
                        frame = json.dumps([2, "x", "y" * 200, {}]).encode()
                        await loop.sock_sendall(deaf, framed(0x81, frame) * 100)
                await until(lambda: any("link down" in line and "CP 9" in line for line in lines))
            await served(gateway)
            assert [why in line for line in lines if "link down" in line] == [True]
            deaf.close()


async def until(true: Callable[[], bool]) -> None:
    while not true():  # noqa: ASYNC110
        await asyncio.sleep(0.01)


def framed(first: int, data: bytes, *, masked: bool = True) -> bytes:
    """One WebSocket frame (RFC 6455 section 5.2); `first` is its first octet."""
    size = len(data)
    length = (
        bytes([size])
        if size < 126
        else b"\x7e" + struct.pack("!H", size)
        if size < 65536
        else b"\x7f" + struct.pack("!Q", size)
    )
    if not masked:
        return bytes([first]) + length + data
    return bytes([first, length[0] | 0x80]) + length[1:] + bytes(4) + data


# WebSocket.


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        pytest.param([framed(0x81, b"[]", masked=False)], 1002, id="not masked"),
        pytest.param([framed(0xC1, b"[]")], 1002, id="a reserved bit"),
        pytest.param([framed(0x83, b"[]")], 1002, id="a reserved opcode"),
        pytest.param([framed(0x89, b"x" * 126)], 1002, id="a long Ping"),
        pytest.param([framed(0x09, b"x")], 1002, id="a fragmented Ping"),
        pytest.param([framed(0x80, b"x")], 1002, id="a continuation of nothing"),
        pytest.param([framed(0x81, b"\xff\xfe")], 1007, id="not UTF-8"),
        pytest.param([framed(0x01, b"[")] + [framed(0x00, b" " * 60_000)] * 20, 1009, id="too large in pieces"),
        pytest.param([framed(0x82, b" " * 1_048_577)], 1009, id="too large"),
        pytest.param([framed(0x01, b"[")] + [framed(0x00, b"") * 10_000] * 5, 1009, id="a flood of continuations"),
        pytest.param([framed(0x89, b"") * 1000], 1008, id="a flood of Pings"),
        pytest.param([framed(0x8A, b"") * 1000], 1008, id="a flood of Pongs"),
        pytest.param([framed(0x88, b"\x03")], 1002, id="half a Close"),
    ],
)
async def test_a_websocket_that_breaks_the_rules_is_closed(frames: list[bytes], code: int) -> None:
    async with guarded() as (gateway, _):
        with logged() as lines:
            reader, writer = await upgraded(gateway)
            with contextlib.suppress(ConnectionError):
                for frame in frames:
                    writer.write(frame)
                    await writer.drain()
            assert code == await closing(reader)
            await served(gateway)
            writer.close()
        assert [line for line in lines if "Traceback" in line or " ERROR " in line] == []


@pytest.mark.parametrize(
    ("frames", "said"),
    [
        (framed(0x89, b"") * 1000, "close 1008: too many control frames"),
        (framed(0x01, b"[") + framed(0x00, b"") * 2000, "close 1009: more than 1024 fragments"),
    ],
)
async def test_who_is_hung_up_on_is_a_refusal_too(frames: bytes, said: str) -> None:
    async with guarded() as (gateway, _):
        with logged() as lines:
            reader, writer = await upgraded(gateway)
            with contextlib.suppress(ConnectionError):
                writer.write(frames)
                await writer.drain()
            await closing(reader)
            writer.close()
        assert [line for line in lines if "hung up on" in line and said in line and "why=too_" in line] != []


async def upgraded(gateway: Gateway) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection(*gateway.websocket_address)
    writer.write(UPGRADE + b"\r\n")
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
    return reader, writer


async def closing(reader: asyncio.StreamReader) -> int:
    """The code of the Close frame."""
    while True:
        first, length = await reader.readexactly(2)
        data = await reader.readexactly(length if length < 126 else int.from_bytes(await reader.readexactly(2)))
        if first == 0x88:
            return int.from_bytes(data[:2])


async def test_a_websocket_that_was_closed_is_not_held_open() -> None:
    async with guarded() as (gateway, _):
        reader, writer = await upgraded(gateway)
        writer.write(framed(0xC1, b"[]"))
        while await reader.read(1000):
            pass  # the other end has said all; this one does not close
        with pytest.raises(ConnectionError):
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.05)


# HTTP that is read in two ways.

SMUGGLED = HEAD + b"Content-Length: %d\r\n\r\n" % len(envelope(identity="smuggled")) + envelope(identity="smuggled")
BODY = envelope(identity="CP 1")
CHUNKED = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(
            HEAD
            + b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" % (5 + len(SMUGGLED))
            + SMUGGLED,
            id="length and chunked",
        ),
        pytest.param(
            HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: %d\r\n\r\n" % len(CHUNKED) + CHUNKED + SMUGGLED,
            id="chunked and length",
        ),
        pytest.param(
            HEAD
            + b"Content-Length: %d\r\nContent-Length: %d\r\n\r\n" % (len(BODY), len(BODY + SMUGGLED))
            + BODY
            + SMUGGLED,
            id="two lengths",
        ),
        pytest.param(HEAD + b"Content-Length: %d, 5\r\n\r\n" % len(BODY) + BODY + SMUGGLED, id="a list of lengths"),
        pytest.param(HEAD + b"Content-Length: +%d\r\n\r\n" % len(BODY) + BODY + SMUGGLED, id="a signed length"),
        pytest.param(
            HEAD + b"Content-Length : %d\r\n\r\n" % len(BODY) + BODY + SMUGGLED, id="a blank before the colon"
        ),
        pytest.param(HEAD + b"X: y\r\n Content-Length: %d\r\n\r\n" % len(BODY) + BODY + SMUGGLED, id="a folded header"),
        pytest.param(
            HEAD.replace(b"\r\n", b"\n") + b"Content-Length: %d\n\n" % len(BODY) + BODY + SMUGGLED, id="bare line feeds"
        ),
        pytest.param(HEAD + b"Transfer-Encoding: xchunked\r\n\r\n" + CHUNKED + SMUGGLED, id="an unknown coding"),
        pytest.param(
            HEAD + b"Transfer-Encoding: chunked, identity\r\n\r\n" + CHUNKED + SMUGGLED, id="not chunked last"
        ),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"-5\r\nhello\r\n" + SMUGGLED, id="a signed chunk"),
        pytest.param(
            HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"5\r\nhelloXX" + SMUGGLED, id="a chunk without an end"
        ),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n" + SMUGGLED, id="a chunk of no size"),
        pytest.param(
            HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\nhello\n0\n\n" + SMUGGLED, id="chunks with bare line feeds"
        ),
        pytest.param(b"GET http://x/ HTTP/1.1\r\nHost: x\r\nX\0: y\r\n\r\n" + SMUGGLED, id="NUL in a header"),
        pytest.param(b"HELLO\r\n\r\n" + SMUGGLED, id="no HTTP"),
    ],
)
async def test_what_can_be_read_in_two_ways_is_read_in_none(request_: bytes) -> None:
    async with guarded() as (gateway, central):
        with logged() as lines:
            answer = await said(gateway.soap_address, request_)
        assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 "))
        assert len(re.findall(rb"(?m)^HTTP/1\.", answer)) == 1
        assert "smuggled" not in {identity for identity, _, _ in central.received}
        assert [line for line in lines if "Traceback" in line] == []
        assert len([line for line in lines if "why=malformed" in line]) == 1
        await served(gateway)


async def test_chunk_extensions_are_read_in_one_way() -> None:
    async with guarded() as (gateway, central):
        chunked = b"%x;a=b\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
        close = HEAD + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
        answer = await said(gateway.soap_address, close + chunked)
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert {identity for identity, _, _ in central.received} == {"CP 1"}
