"""The OCPP-J listener alone: who knocks, what they speak, who is let in, and what those hear who are not."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from bridge.errors import Why
from bridge.net.json_server import HandshakeDenied, HandshakeRequest, JsonServer
from bridge.net.message_socket import MessageSocket
from bridge.net.websocket import WebSocketBounds

AT_MOST = 30
HELP = "JSON Charge Points: ws://bridge.example/ocpp/{identity}\nSOAP Charge Points: POST http://bridge.example/"
# RFC 6455 section 1.3: the example's.
KEY = "dGhlIHNhbXBsZSBub25jZQ=="


class Guest:
    """An Entry that sends every message back. `ended` says how it ended."""

    def __init__(self, subprotocol: str | None) -> None:
        self.subprotocol = subprotocol
        self.served = asyncio.Event()
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.failure: Exception | None = None

    async def serve(self, connection: MessageSocket) -> None:
        self.served.set()
        if self.failure is not None:
            raise self.failure
        while (data := await connection.recv()) is not None:
            connection.send(data)
            connection.one_read()
        self.ended.set_result("served")

    def abandon(self) -> None:
        self.ended.set_result("abandoned")


class Host:
    """Whoever decides. `speaks` chooses a subprotocol, `refusal` is raised, `gate` keeps a handshake waiting."""

    def __init__(self) -> None:
        self.handshakes: list[HandshakeRequest] = []
        self.guests: asyncio.Queue[Guest] = asyncio.Queue()
        self.told: asyncio.Queue[tuple[str | None, str, str]] = asyncio.Queue()
        self.speaks: Callable[[tuple[str, ...]], str | None] = lambda offered: offered[0] if offered else None
        self.refusal: Exception | None = None
        self.failure: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked_to_open = asyncio.Event()
        self.server: JsonServer

    async def admit(self, knock: HandshakeRequest) -> Guest:
        self.handshakes.append(knock)
        self.asked_to_open.set()
        await self.gate.wait()
        if self.refusal is not None:
            raise self.refusal
        guest = Guest(self.speaks(knock.subprotocols))
        guest.failure = self.failure
        self.guests.put_nowait(guest)
        return guest

    def refused(self, identity: str | None, peer: str, status: int, reason: str, why: Why, central_system: str) -> None:
        reason = f"HTTP {status}: {reason}"
        self.told.put_nowait((identity, peer, reason))

    async def guest(self) -> Guest:
        """The next that was let in."""
        return await asyncio.wait_for(self.guests.get(), AT_MOST)

    def url(self, path: str = "/ocpp/CP1") -> str:
        host, port = self.server.address
        return f"ws://{host}:{port}{path}"


@asynccontextmanager
async def hosting(path: str = "/ocpp", **options: Any) -> AsyncIterator[Host]:
    host = Host()
    chosen = {"bounds": WebSocketBounds(max_size=1000), "ping_interval": None, "open_timeout": AT_MOST} | options
    host.server = JsonServer(host.admit, path=path, help_text=HELP, refused=host.refused, **chosen)
    await host.server.start("127.0.0.1", 0, None)
    try:
        yield host
    finally:
        await host.server.close()


@asynccontextmanager
async def connected(host: Host, path: str = "/ocpp/CP1", **options: Any) -> AsyncIterator[ClientConnection]:
    chosen: dict[str, Any] = {"subprotocols": [Subprotocol("ocpp1.6")], "compression": None, "proxy": None}
    chosen |= {"close_timeout": 1, "open_timeout": AT_MOST}
    async with connect(host.url(path), **(chosen | options)) as websocket:
        yield websocket


def handshake(path: str = "/ocpp/CP1", *lines: str, key: str = KEY) -> bytes:
    """The request of a client that writes it by itself."""
    usual = ("Host: x", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13")
    return "\r\n".join((f"GET {path} HTTP/1.1", *usual, f"Sec-WebSocket-Key: {key}", *lines, "", "")).encode()


async def raw(host: Host, data: bytes, *, until: bytes | None = None) -> bytes:
    """What comes back for `data`, up to the end, or `until` something."""
    async with opened(host) as (reader, writer):
        writer.write(data)
        reading = reader.read() if until is None else reader.readuntil(until)
        return await asyncio.wait_for(reading, AT_MOST)


@asynccontextmanager
async def opened(host: Host) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(*host.server.address)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


# Who knocks.

IDENTITIES = {
    "CP1": "CP1",
    "RDAM%20123": "RDAM 123",
    "a%2Fb": "a/b",
    "a%2fb": "a/b",
    "100%25": "100%",
    "%2541": "%41",
    "%25%32%35": "%25",
    "00:90:0B:9C:79:42": "00:90:0B:9C:79:42",
    "a+b": "a+b",
    "%3F%23": "?#",
    "Z%C3%BCrich%20%E4%B8%AD": "Zürich 中",
    "CP1?token=a/b": "CP1",
    "CP1//": "CP1",
    "CP1/?a": "CP1",
    "%2F": "/",
    "x" * 255: "x" * 255,
}


@pytest.mark.parametrize(("segment", "identity"), IDENTITIES.items())
@pytest.mark.parametrize("path", ["/ocpp", "/a/b", "/"])
async def test_the_identity_is_the_last_segment_decoded_once(path: str, segment: str, identity: str) -> None:
    async with hosting(path) as host:
        async with connected(host, f"{path.rstrip('/')}/{segment}"):
            [knock] = host.handshakes
        assert (knock.identity, knock.peer) == (identity, "127.0.0.1")
        assert (knock.subprotocols, knock.authorization, knock.token) == (("ocpp1.6",), None, None)


@pytest.mark.parametrize("path", ["/ocpp", "/a/b", "/"])
async def test_a_token_may_stand_before_the_identity(path: str) -> None:
    async with hosting(path) as host, connected(host, f"{path.rstrip('/')}/a%2Db/CP%201"):
        [knock] = host.handshakes
        assert (knock.token, knock.identity) == ("a-b", "CP 1")
        assert "a-b" not in repr(knock)


async def test_what_may_be_a_token_is_not_shown() -> None:
    async with hosting() as host:
        answer = await raw(host, handshake("/other/Zq3vJx8wTn5rKp2mLs7yBd4c/CP1"))
        assert b" 404 " in answer
        assert b"/other/***/CP1" in answer
        *_, reason = await host.told.get()
        assert "Zq3v" not in reason


async def test_letter_case_before_the_identity_is_forgiven() -> None:
    async with hosting("/Ocpp/J") as host, connected(host, "/oCPP/j/Cp1"):
        assert host.handshakes[0].identity == "Cp1"


WRONG = {
    "/": 404,
    "/ocpp": 404,
    "/ocpp/": 404,
    "/other/CP1": 404,
    "/ocpp/a/b/c": 404,
    "/ocpp//": 404,
    "/ocpp/%FF": 404,
    "/ocpp/a%00b": 400,
    "/ocpp/a%0Ab": 400,
    "/ocpp/..": 400,
    "/ocpp/%2E%2E%2Fa": 400,
    f"/ocpp/{'x' * 256}": 400,
}


@pytest.mark.parametrize(("path", "status"), WRONG.items(), ids=[str(number) for number in range(len(WRONG))])
async def test_a_path_without_an_identity_is_told_the_right_address(path: str, status: int) -> None:
    async with hosting() as host:
        with pytest.raises(InvalidStatus) as caught:
            async with connected(host, path):
                pass
        response = caught.value.response
        assert response.status_code == status
        assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert status != 404 or HELP in (response.body or b"").decode()
        assert host.handshakes == []
        identity, peer, reason = await host.told.get()
        assert (identity, peer) == (None, "127.0.0.1")
        assert reason.startswith(f"HTTP {status}: ")
        assert "\n" not in reason


async def test_subprotocols_come_in_one_header_or_in_several_in_order() -> None:
    lines = ("Sec-WebSocket-Protocol: ocpp2.1, ocpp2.0.1", "sec-websocket-protocol:OCPP1.6")
    async with hosting() as host:
        host.speaks = lambda offered: offered[-1]
        answer = await raw(host, handshake("/ocpp/CP1", *lines), until=b"\r\n\r\n")
        assert host.handshakes[0].subprotocols == ("ocpp2.1", "ocpp2.0.1", "OCPP1.6")
        assert answer.startswith(b"HTTP/1.1 101 ")
        # In the spelling of who offered it: a client takes nothing else.
        assert answer.lower().count(b"sec-websocket-protocol") == 1
        assert b"\r\nSec-WebSocket-Protocol: OCPP1.6\r\n" in answer


@pytest.mark.parametrize("subprotocols", [None, [Subprotocol("ocpp2.0.1"), Subprotocol("other")]])
async def test_without_a_common_subprotocol_the_handshake_is_completed_and_the_connection_closed(
    subprotocols: list[Subprotocol] | None,
) -> None:
    async with hosting() as host:
        host.speaks = lambda _: None
        async with connected(host, subprotocols=subprotocols) as websocket:
            assert websocket.response is not None
            assert "Sec-WebSocket-Protocol" not in websocket.response.headers
            with pytest.raises(ConnectionClosed):
                await websocket.recv()
            assert (websocket.close_code, websocket.close_reason) == (1002, "no common subprotocol")
        guest = await host.guest()
        assert await guest.ended == "abandoned"
        assert not guest.served.is_set()


def basic(credentials: bytes) -> str:
    return f"Basic {b64encode(credentials).decode()}"


async def test_the_authorization_header_is_passed_on_as_it_came() -> None:
    async with hosting() as host:
        header = basic(b"CP1:\x00\xff:x")
        async with connected(host, additional_headers={"Authorization": header}):
            [knock] = host.handshakes
        assert knock.authorization == header
        # Of two it cannot be known which is meant.
        lines = ("Sec-WebSocket-Protocol: ocpp1.6", "Authorization: Bearer a", "Authorization: Bearer b")
        answer = await raw(host, handshake("/ocpp/CP1", *lines), until=b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert len(host.handshakes) == 1


# Who is let in.


async def test_messages_pass_both_ways() -> None:
    async with hosting() as host, connected(host) as websocket:
        await websocket.send("é")
        assert await websocket.recv() == "é"
        assert websocket.subprotocol == "ocpp1.6"
        assert websocket.response is not None
        assert "Sec-WebSocket-Extensions" not in websocket.response.headers
        await websocket.close()
        assert await (await host.guest()).ended == "served"


async def test_compression_is_not_required() -> None:
    async with hosting() as host, connected(host, compression="deflate") as websocket:
        await websocket.send("x" * 500)
        assert await websocket.recv() == "x" * 500


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 503])
async def test_a_refusal_is_the_status_of_the_handshake(status: int) -> None:
    async with hosting() as host:
        host.refusal = HandshakeDenied(status, "not you, Zürich\nbecause", {"X-Why": "because"})
        with pytest.raises(InvalidStatus) as caught:
            async with connected(host):
                pass
        response = caught.value.response
        assert response.status_code == status
        assert response.headers["X-Why"] == "because"
        assert (response.body or b"").decode() == "not you, Zürich\nbecause\n"
        assert await host.told.get() == ("CP1", "127.0.0.1", f"HTTP {status}: not you, Zürich")
        host.refusal = None
        async with connected(host):
            pass


async def test_a_failure_of_ours_is_500_and_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "bridge.ocppj"):
        async with hosting() as host:
            host.refusal = ZeroDivisionError("oops")
            with pytest.raises(InvalidStatus) as caught:
                async with connected(host):
                    pass
            assert caught.value.response.status_code == 500
            assert b"oops" not in (caught.value.response.body or b"")
            host.refusal, host.failure = None, ZeroDivisionError("once more")
            async with connected(host) as websocket:
                with pytest.raises(ConnectionClosed):
                    await websocket.recv()
                assert (websocket.close_code, websocket.close_reason) == (1011, "the bridge failed")
    assert [record.getMessage() for record in caplog.records] == [
        "a handshake could not be judged",
        "a connection could not be served",
    ]
    assert "oops" in caplog.text
    assert "once more" in caplog.text


async def test_a_handshake_that_is_broken_lets_go_of_its_entry() -> None:
    async with hosting() as host:
        lines = ("Sec-WebSocket-Protocol: ocpp1.6",)
        answer = await raw(host, handshake("/ocpp/CP1", *lines, key="too short"))
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert await (await host.guest()).ended == "abandoned"


async def test_a_client_that_leaves_while_it_is_judged_lets_go_of_its_entry() -> None:
    async with hosting() as host:
        host.gate.clear()
        async with opened(host) as (_, writer):
            writer.write(handshake("/ocpp/CP1", "Sec-WebSocket-Protocol: ocpp1.6"))
            await host.asked_to_open.wait()
            writer.transport.abort()
        host.gate.set()
        assert await asyncio.wait_for((await host.guest()).ended, AT_MOST) == "abandoned"


async def test_a_client_that_does_not_knock_is_hung_up_on() -> None:
    async with hosting(open_timeout=0.05) as host:
        assert await raw(host, b"") == b""
        assert await raw(host, b"GET /ocpp/CP1 HTTP/1.1\r\nHost: x\r\n") == b""


# Wrong doors.


@pytest.mark.parametrize(
    "request_",
    [
        b"POST /ocpp/CP1 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n<xml>",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"PUT /ocpp/CP1 HTTP/1.0\r\n\r\n",
        b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GETALL / HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
    ids=lambda data: data.split(b" HTTP")[0].decode(),
)
async def test_what_is_not_a_get_is_told_the_right_address(request_: bytes) -> None:
    async with hosting() as host, opened(host) as (reader, writer):
        writer.write(request_)
        answer = await asyncio.wait_for(reader.read(), AT_MOST)
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 405 ")
        assert b"\r\nAllow: GET" in head
        assert f"\r\nContent-Length: {len(body)}\r\n".encode() in head
        assert b"This is the OCPP-J (JSON over WebSocket) port.\n" in body
        assert HELP in body.decode()
        # The rest of a long body is read: a reset could take the answer away before it is read.
        writer.write(b"x" * 100_000)
        await writer.drain()
        assert await host.told.get() == (None, "127.0.0.1", "HTTP 405: not a WebSocket handshake")


@pytest.mark.parametrize("path", ["/ocpp/CP1", "/", "/services/CentralSystemService?wsdl"])
async def test_a_plain_get_is_told_the_right_address(path: str) -> None:
    async with hosting() as host:
        answer = await raw(host, f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        status = b"426" if path.startswith("/ocpp/") else b"404"
        assert answer.split(b" ")[1] == status
        assert status == b"404" or b"\r\nUpgrade: websocket" in answer
        assert HELP in answer.decode()
        assert host.handshakes == []


@pytest.mark.parametrize("data", [b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", b"\r\n", b"GET\r\n\r\n", b"G"])
async def test_what_is_not_http_is_hung_up_on(data: bytes) -> None:
    async with hosting(open_timeout=0.05) as host:
        answer = await raw(host, data)
        assert answer == b"" or answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 405 "))
        async with connected(host):
            pass


# Connections.


async def upgraded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A connection of a client that does nothing more."""
    writer.write(handshake("/ocpp/CP1", "Sec-WebSocket-Protocol: ocpp1.6"))
    assert b" 101 " in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), AT_MOST)


async def test_a_peer_that_stops_answering_pings_is_hung_up_on() -> None:
    async with hosting(ping_interval=0.05) as host, opened(host) as (reader, writer):
        await upgraded(reader, writer)
        guest = await host.guest()
        assert await reader.readexactly(1) == b"\x89"  # a ping, which is not answered
        assert await asyncio.wait_for(guest.ended, AT_MOST) == "served"
        # The last word is a close frame: 1011, keepalive ping timeout.
        assert b"\x03\xf3" in await asyncio.wait_for(reader.read(), AT_MOST)


async def test_pings_go_both_ways() -> None:
    async with hosting(ping_interval=0.05) as host, opened(host) as (reader, writer):
        await upgraded(reader, writer)
        guest = await host.guest()
        for _ in range(3):  # each would be the last, were it not answered
            opcode, length = await asyncio.wait_for(reader.readexactly(2), AT_MOST)
            assert opcode == 0x89
            writer.write(b"\x8a" + bytes([0x80 | length]) + bytes(4) + await reader.readexactly(length))
        writer.write(b"\x89\x82" + bytes(4) + b"hi")
        while (await reader.readexactly(1))[0] != 0x8A:
            [length] = await reader.readexactly(1)
            await reader.readexactly(length)
        assert await reader.readexactly(3) == b"\x02hi"
        assert not guest.ended.done()


@pytest.mark.parametrize("size", [1000, 1001])
async def test_a_frame_over_the_limit_is_refused(size: int) -> None:
    async with hosting(bounds=WebSocketBounds(max_size=1000)) as host, connected(host) as websocket:
        await websocket.send("x" * size)
        if size == 1000:
            assert await websocket.recv() == "x" * size
            return
        with pytest.raises(ConnectionClosed):
            await websocket.recv()
        assert websocket.close_code == 1009
        assert await (await host.guest()).ended == "served"


async def test_a_message_in_pieces_is_refused_by_its_whole_size() -> None:
    async with hosting(bounds=WebSocketBounds(max_size=1000)) as host, connected(host) as websocket:
        with contextlib.suppress(ConnectionClosed):
            await websocket.send(["x" * 400] * 3)
        with pytest.raises(ConnectionClosed):
            await websocket.recv()
        assert websocket.close_code == 1009


async def test_the_end_is_told() -> None:
    async with hosting() as host, connected(host) as websocket:
        guest = await host.guest()
        await host.server.close()
        assert (websocket.close_code, websocket.close_reason) == (1001, "the bridge is shutting down")
        assert await guest.ended == "served"


async def test_a_port_that_is_taken_is_an_error() -> None:
    async with hosting() as host:
        other = JsonServer(
            host.admit,
            path="/",
            help_text="",
            bounds=WebSocketBounds(max_size=1),
            ping_interval=None,
            open_timeout=1,
            refused=host.refused,
        )
        with pytest.raises(OSError, match="in use"):
            await other.start("127.0.0.1", host.server.address[1], None)
        await other.close()
