"""Requests in every form that HTTP/1.1 has, over real sockets; turns come when the test says so."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import http.client
import io
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from socket import SO_LINGER, SOL_SOCKET
from struct import pack
from typing import cast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import Struct

from bridge.errors import BridgeError, ErrorCode, Why
from bridge.net.http_server import HttpConnection, HttpRequest, HttpServer, HttpServerTerms, Respond, written
from bridge.net.limits.connections import ConnectionLimits, ConnectionRules
from bridge.net.limits.refusal_summary import RefusalSummary
from bridge.net.limits.request_queue import RequestQueue
from bridge.ocpps.replies import Reply
from tests.mutations import mutated

AWAY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy"
LAST = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbusy"
MOST = 1_048_576  # octets of a body
PLENTY = ConnectionRules()


class Stage:
    """A listener that answers a POST with its body. `per_turn` requests pass in a turn, and `most` may wait.

    `by_and_by`: a response comes in a later turn of the loop than its request.
    """

    def __init__(
        self,
        most: int = 5,
        *,
        per_turn: int = 1,
        rules: ConnectionRules = PLENTY,
        idle: float = 60.0,
        by_and_by: bool = False,
    ) -> None:
        self.told: list[Why] = []
        self.counted: list[str] = []
        self.failures: list[str] = []
        self.served: list[HttpRequest] = []
        self._due: list[Callable[[], None]] = []
        self._by_and_by = by_and_by
        self.request_queue = RequestQueue(self._due.append, most=most, per_turn=per_turn)
        self._connection_limits = ConnectionLimits(rules, lambda peer, status, text, why: self.told.append(why))
        self.refused = 0
        terms = HttpServerTerms(
            serve=self._serve,
            begins=self._begins,
            ends=lambda request: self.counted.remove(request.counted),
            request_queue=self.request_queue,
            refusal=lambda body, stays: AWAY if stays else LAST,
            refusal_summary=RefusalSummary(lambda tell: tell(), self._count),
            max_body=MOST,
            body_timeout=0.2 if idle < 1 else 20.0,
            idle_timeout=idle,
        )
        self.server = HttpServer(terms, self._connection_limits)
        self._peers: list[Peer] = []

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Stage]:
        await self.server.start("127.0.0.1", 0, None)
        try:
            yield self
        finally:
            for peer in self._peers:
                peer.writer.close()
                with contextlib.suppress(ConnectionError):
                    await peer.writer.wait_closed()
            await self.server.close()
            await self.server.hang_up(1)

    def _serve(self, request: HttpRequest, connection: HttpConnection, respond: Respond) -> None:
        assert connection.came.address == "127.0.0.1"
        self.served.append(request)
        if request.failure is not None:
            self.failures.append(request.failure.description)
            reply = Reply(status=400, body=b"refused", content_type="text/plain")
        else:
            body = request.body if request.method == "POST" else f"{request.method} {request.path}".encode()
            reply = Reply(status=200, body=body, content_type="text/plain")
        if self._by_and_by:
            asyncio.get_running_loop().call_later(0.001, respond, reply)
        else:
            respond(reply)

    def _begins(self, request: HttpRequest, connection: HttpConnection) -> BridgeError | None:
        """A request may say whom it counts for, and only one of each may be in progress."""
        counted = request.headers.get("X-Counts")
        if counted in self.counted:
            return BridgeError(ErrorCode.InternalError, f"{counted} has too many", why=Why.BUSY)
        if counted:
            self.counted.append(counted)
            request.counted = counted
        return None

    def _count(self, peer: str, times: int) -> None:
        assert peer == "127.0.0.1"
        self.refused += times

    def turn(self) -> None:
        due = self._due[:]
        self._due.clear()
        for call in due:
            call()

    async def ended(self) -> None:
        """Until it is heard that somebody who waits sends nothing more."""
        while not any(waits._ended for waits in self.request_queue._waiting):  # type: ignore[attr-defined]  # noqa: ASYNC110
            await asyncio.sleep(0)

    async def waiting(self, count: int) -> None:
        while len(self.request_queue) != count:  # noqa: ASYNC110
            await asyncio.sleep(0)

    async def stranger(self) -> Peer:
        peer = Peer(*await asyncio.open_connection(*self.server.bound[0]))
        self._peers.append(peer)
        return peer

    async def peer(self) -> Peer:
        """Of whom a request was answered before."""
        peer = await self.stranger()
        peer.post(b"first")
        assert await peer.answer() == (200, b"first")
        self.turn()
        return peer


class Peer:
    """One that POSTs on a connection that it keeps."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def post(self, body: bytes, headers: bytes = b"") -> None:
        self.writer.write(self.head(len(body), headers) + body)

    @staticmethod
    def head(length: int, headers: bytes = b"") -> bytes:
        return b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n%s\r\n" % (length, headers)

    def reset(self) -> None:
        """Hang up without a word: not even what was sent is to be read (a linger of 0 s)."""
        socket = self.writer.get_extra_info("socket")
        socket.setsockopt(SOL_SOCKET, SO_LINGER, pack("ii", 1, 0))
        self.writer.close()

    async def answer(self) -> tuple[int, bytes]:
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        return int(head[9:12]), await self.reader.readexactly(length)

    async def hung_up(self) -> bool:
        return not await self.reader.read()


# Forms of a request.


class Form(Struct, frozen=True):
    """A request as it is sent, and the body that it stands for."""

    octets: bytes
    body: bytes


def _zipped(body: bytes) -> bytes:
    return gzip.compress(body[:1]) + gzip.compress(body[1:])  # RFC 1952 section 2.2: members behind one another


def _chunked(body: bytes, size: int) -> bytes:
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x;x=y\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\nTrailer: x\r\n\r\n"


@st.composite
def forms(draw: st.DrawFn) -> Form:
    body = draw(st.binary(max_size=60) | st.binary(min_size=2000, max_size=3000))
    coding = draw(st.sampled_from(["", "gzip", "x-gzip", "deflate", "identity"]))
    encoders: dict[str, Callable[[bytes], bytes]] = {"gzip": _zipped, "x-gzip": _zipped, "deflate": zlib.compress}
    encoded = encoders.get(coding, bytes)(body)
    lines = [b"POST %s HTTP/1.1" % draw(st.sampled_from([b"/", b"http://host:80/", b"/?wsdl"])), b"host: x"]
    if coding:
        lines.append(b"Content-Encoding: " + coding.encode())
    if draw(st.booleans()):
        lines.append(b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk")
    if draw(st.booleans()):
        lines.append(b"Transfer-Encoding: chunked")
        content = _chunked(encoded, draw(st.integers(1, 1000)))
    else:
        lines.append(b"cOnTent-lEngth:%d" % len(encoded))
        content = encoded
    before = draw(st.sampled_from([b"", b"\r\n"]))  # RFC 9112 section 2.2
    return Form(before + b"\r\n".join([*lines, b"", b""]) + content, body)


@given(
    sent=st.lists(forms(), min_size=1, max_size=5),
    cuts=st.lists(st.integers(0, 8000), max_size=6),
    by_and_by=st.booleans(),
    half_closes=st.booleans(),
)
async def test_each_request_gets_its_response_in_its_turn(
    sent: list[Form], cuts: list[int], by_and_by: bool, half_closes: bool
) -> None:
    """Whatever forms they have, in whatever pieces they come, one behind the other."""
    octets = b"".join(form.octets for form in sent)
    ends = [*sorted(min(cut, len(octets)) for cut in cuts), len(octets)]
    async with Stage(per_turn=1000, by_and_by=by_and_by).listening() as stage:
        peer = await stage.stranger()
        start = 0
        for end in ends:
            peer.writer.write(octets[start:end])
            await peer.writer.drain()
            await asyncio.sleep(0)
            start = end
        if half_closes:
            peer.writer.write_eof()
        assert [await peer.answer() for _ in sent] == [(200, form.body) for form in sent]
        assert [(one.path, one.failure) for one in stage.served] == [("/", None)] * len(sent)
        if half_closes:
            assert await peer.hung_up()
        else:
            peer.post(b"next")
            assert await peer.answer() == (200, b"next")


PLAIN = b"POST /services/X HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n<a/>"
ZIPPED = gzip.compress(b"<a/>")
ODD = [
    b"POST /services/X HTTP/1.0\r\n\r\n",
    b"POST /services/X\r\n\r\n",
    b"GET / HTTP/2.0\r\n\r\n",
    b"Connection: close\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Expect: 100-continue\r\n",
    b"CONNECT x:1 HTTP/1.1\r\n\r\n",
    b"POST / HTTP/1.1\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s" % (len(ZIPPED), ZIPPED[:-2]),
    b"\x16\x03\x01\x02\x00",
]


@settings(max_examples=100)
@given(data=mutated(st.just(PLAIN) | st.just(PLAIN * 3), ODD))
async def test_whatever_comes_ends_with_a_response_or_the_connection(data: bytes) -> None:
    async with Stage(per_turn=1000).listening() as stage:
        peer = await stage.stranger()
        peer.writer.write(data)
        peer.writer.write_eof()
        with contextlib.suppress(ConnectionError):
            await peer.reader.read()
        other = await stage.stranger()
        other.post(b"next")
        assert await other.answer() == (200, b"next")


async def test_the_connection_is_kept_as_its_version_has_it() -> None:
    async with Stage(per_turn=1000).listening() as stage:
        for line, more, kept in (
            (b"POST / HTTP/1.1", b"", b""),
            (b"POST / HTTP/1.1", b"Connection: close\r\n", b"Connection: close"),
            (b"POST / HTTP/1.0", b"", b"Connection: close"),
            (b"POST / HTTP/1.0", b"Connection: keep-alive\r\n", b"Connection: keep-alive"),
            (b"POST / HTTP/1.1", b"Connection: close, Upgrade\r\nUpgrade: h2c\r\n", b"Connection: close"),
            (b"POST / HTTP/1.0", b"Connection: Upgrade\r\nUpgrade: h2c\r\n", b"Connection: close"),
            (b"POST / HTTP/1.0", b"Connection: keep-alive, Upgrade\r\nUpgrade: h2c\r\n", b"Connection: keep-alive"),
        ):
            peer = await stage.stranger()
            peer.writer.write(b"%s\r\n%sContent-Length: 1\r\n\r\na" % (line, more))
            head = await peer.reader.readuntil(b"\r\n\r\n")
            assert (b"Connection" in head) == bool(kept)
            assert kept in head
            assert await peer.reader.readexactly(1) == b"a"
            if kept == b"Connection: close":
                assert await peer.hung_up()
            else:
                peer.post(b"b")
                assert await peer.answer() == (200, b"b")


async def test_the_answer_to_head_has_no_content() -> None:
    async with Stage().listening() as stage:
        peer = await stage.stranger()
        peer.writer.write(b"HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = await peer.reader.read()
        assert answer.endswith(b"\r\n\r\n")
        assert b"Content-Length: 6\r\n" in answer


async def test_who_expects_to_be_told_to_go_on_is_told_so_behind_what_comes_before() -> None:
    async with Stage(per_turn=1000, by_and_by=True).listening() as stage:
        peer = await stage.stranger()
        peer.writer.write(peer.head(1) + b"a" + peer.head(1, b"Expect: 100-continue\r\n"))
        assert await peer.answer() == (200, b"a")
        assert await peer.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        peer.writer.write(b"b")
        assert await peer.answer() == (200, b"b")


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        (Peer.head(MOST + 1), f"more than {MOST} bytes"),
        (Peer.head(MOST + 1, b"Expect: 100-continue\r\n"), f"more than {MOST} bytes"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n200000\r\n" + bytes(MOST + 1), "more than"),
        (
            Peer.head(4, b"Content-Encoding: br\r\n") + b"abcd",
            "the body cannot be read: it is in the unknown coding 'br'",
        ),
        (Peer.head(4, b"Content-Encoding: gzip\r\n") + b"abcd", "the body cannot be read: a body that is not gzip"),
    ],
    ids=["length", "expected", "chunks", "coding", "not that coding"],
)
async def test_what_is_refused_is_read_no_further(octets: bytes, text: str) -> None:
    """Its sender reads the response, and the connection ends."""
    async with Stage(per_turn=1000).listening() as stage:
        peer = await stage.stranger()
        peer.post(b"before")
        peer.writer.write(octets)
        assert await peer.answer() == (200, b"before")
        assert await peer.answer() == (400, b"refused")
        assert await peer.hung_up()
        assert [one[: len(text)] for one in stage.failures] == [text]


async def test_a_zip_bomb_is_inflated_to_the_limit_and_no_further() -> None:
    async with Stage(per_turn=1000).listening() as stage:
        peer = await stage.stranger()
        peer.post(gzip.compress(bytes(10 * MOST)), b"Content-Encoding: gzip\r\n")
        assert await peer.answer() == (400, b"refused")
        assert stage.failures == [f"more than {MOST} bytes"]


async def test_a_trailer_adds_nothing_to_the_head() -> None:
    async with Stage().listening() as stage:
        peer = await stage.stranger()
        peer.writer.write(
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nAuthorization: x\r\n\r\n"
        )
        assert await peer.answer() == (200, b"a")
        assert "Authorization" not in stage.served[0].headers


LIMITS = ConnectionRules(header_bytes=1000, header_count=5, header_timeout=0.2)


@pytest.mark.parametrize(
    "octets",
    [
        b"POST / HTTP/1.1\r\nA: " + b"b" * 1000,
        b"POST / HTTP/1.1\r\nA: " + b"b" * 1000 + b"\r\n\r\n",
        b"POST / HTTP/1.1\r\n" + b"A: b\r\n" * 7,
        b"POST /" + b"a" * 1000,
    ],
)
async def test_a_head_that_is_too_large_is_refused(octets: bytes) -> None:
    """Also behind another request, in one piece with it."""

    async def walk(before: bytes) -> None:
        async with Stage(per_turn=1000, rules=LIMITS).listening() as stage:
            peer = await stage.stranger()
            peer.writer.write(before + octets)
            if before:
                assert await peer.answer() == (200, b"a")
                peer.writer.write(b"c" * 1001)  # a head that is not complete is measured when more of it comes
            assert (await peer.answer())[0] == 431
            assert await peer.hung_up()
            assert stage.told == [Why.TOO_LARGE]

    await walk(b"")
    await walk(Peer.head(1) + b"a")


@pytest.mark.parametrize("octets", [b"", b"\r\n", b"POST", Peer.head(1) + b"aPOST"])
async def test_a_head_that_does_not_come_is_given_up(octets: bytes) -> None:
    async with Stage(rules=LIMITS).listening() as stage:
        peer = await stage.stranger()
        peer.writer.write(octets)
        if octets.startswith(b"POST /"):
            assert await peer.answer() == (200, b"a")
        assert (await peer.answer())[0] == 408
        assert await peer.hung_up()
        assert stage.told == [Why.TOO_SLOW]


async def test_a_body_that_does_not_come_is_given_up() -> None:
    async with Stage(idle=0.5).listening() as stage:
        peer = await stage.stranger()
        peer.writer.write(peer.head(2) + b"a")
        assert await peer.answer() == (400, b"refused")
        assert await peer.hung_up()
        assert stage.failures == ["the body did not arrive within 0.2 s"]


async def test_a_connection_that_rests_too_long_is_closed() -> None:
    async with Stage(idle=0.3).listening() as stage:
        peer = await stage.peer()
        assert await peer.hung_up()
        assert stage.told == []


@pytest.mark.parametrize("ends", ["half", "whole"])
async def test_a_body_that_is_cut_off_is_told_of(ends: str) -> None:
    async with Stage().listening() as stage:
        peer = await stage.stranger()
        peer.writer.write(peer.head(2) + b"a")
        await peer.writer.drain()
        if ends == "half":
            peer.writer.write_eof()
            assert await peer.answer() == (400, b"refused")
            assert await peer.hung_up()
        else:
            peer.reset()
        while not stage.failures:  # noqa: ASYNC110
            await asyncio.sleep(0)
        assert stage.failures == ["the body cannot be read: the sender hung up in the middle of it"]


async def test_a_listener_that_closes_waits_for_responses_under_way() -> None:
    async with Stage(by_and_by=True).listening() as stage:
        idle, peer = await stage.peer(), await stage.peer()
        peer.post(b"last")
        while len(stage.served) < 3:  # noqa: ASYNC110
            await asyncio.sleep(0)
        await stage.server.close()
        await stage.server.hang_up(5)
        assert await peer.answer() == (200, b"last")
        assert await peer.hung_up()
        assert await idle.hung_up()


class _Socket:
    """What http.client reads a response from."""

    def __init__(self, octets: bytes) -> None:
        self._octets = octets

    def makefile(self, mode: str) -> io.BytesIO:
        return io.BytesIO(self._octets)


def understood(octets: bytes) -> http.client.HTTPResponse:
    response = http.client.HTTPResponse(cast("http.client.socket", _Socket(octets)))  # type: ignore[name-defined]
    response.begin()
    return response


@given(status=st.sampled_from([200, 400, 401, 403, 429, 500, 503]), body=st.binary(max_size=300), closes=st.booleans())
@example(status=200, body=b"", closes=False)
def test_what_is_written_is_understood(status: int, body: bytes, closes: bool) -> None:
    reply = Reply(
        status=status, body=body, content_type="text/xml; charset=utf-8", headers=(("Retry-After", "3"),), closes=closes
    )
    response = understood(written(reply, with_content=True, connection="close" if closes else ""))
    assert (response.status, response.read(), response.will_close) == (status, body, closes)
    assert response.getheader("Content-Type") == "text/xml; charset=utf-8"
    assert response.getheader("Retry-After") == "3"
    assert (response.getheader("Date") or "").endswith(" GMT")


async def test_a_request_counts_from_its_head_to_its_response() -> None:
    async with Stage(per_turn=1000).listening() as stage:
        first, second, third = [await stage.stranger() for _ in range(3)]
        first.writer.write(first.head(2, b"X-Counts: A\r\n") + b"a")
        while stage.counted != ["A"]:  # noqa: ASYNC110
            await asyncio.sleep(0)
        second.post(b"x", b"X-Counts: A\r\n")
        assert await second.answer() == (400, b"refused")
        assert stage.failures == ["A has too many"]
        first.writer.write(b"b")
        assert await first.answer() == (200, b"ab")
        third.post(b"x", b"X-Counts: A\r\n")
        assert await third.answer() == (200, b"x")
        assert stage.counted == []


@pytest.mark.parametrize("octets", [b"", b"a\r\n\r\n"])
async def test_a_request_counts_no_longer_than_its_connection(octets: bytes) -> None:
    async with Stage(per_turn=1000).listening() as stage:
        peer = await stage.stranger()
        peer.writer.write(peer.head(20, b"X-Counts: A\r\n"))
        while stage.counted != ["A"]:  # noqa: ASYNC110
            await asyncio.sleep(0)
        peer.writer.write(octets)
        peer.reset()
        while stage.counted:  # noqa: ASYNC110
            await asyncio.sleep(0)


# Requests that wait for their turn.


async def test_who_comes_late_in_a_turn_is_served_in_the_next() -> None:
    async with Stage(most=5).listening() as stage:
        one, two, three = [await stage.peer() for _ in range(3)]
        one.post(b"a")
        assert await one.answer() == (200, b"a")
        two.post(b"b")
        await stage.waiting(1)
        three.post(b"hello")
        await stage.waiting(2)
        stage.turn()
        assert await two.answer() == (200, b"b")
        stage.turn()
        assert await three.answer() == (200, b"hello")
        assert stage.told == []


async def test_who_is_refused_keeps_the_connection() -> None:
    async with Stage(most=1).listening() as stage:
        one, two, three = [await stage.peer() for _ in range(3)]
        one.post(b"a")
        assert await one.answer() == (200, b"a")
        two.post(b"b")
        await stage.waiting(1)
        three.post(b"c")
        assert await three.answer() == (503, b"busy")
        three.writer.write(three.head(1_000_000))  # refused before the rest has come, which is not looked at
        assert await three.answer() == (503, b"busy")
        three.writer.write(bytes(1_000_000) + three.head(1) + b"c")
        assert await three.answer() == (503, b"busy")
        assert (stage.told, stage.refused) == ([], 3)
        stage.turn()
        assert await two.answer() == (200, b"b")
        stage.turn()
        three.post(b"d")
        assert await three.answer() == (200, b"d")


async def test_where_it_is_not_clear_what_follows_the_connection_ends() -> None:
    async with Stage(most=0).listening() as stage:
        peers = [await stage.peer() for _ in range(4)]
        first, chunked, expecting, closing = peers
        first.post(b"a")
        assert await first.answer() == (200, b"a")
        chunked.writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n")
        expecting.writer.write(expecting.head(1, b"Expect: 100-continue\r\n"))
        closing.post(b"a", b"Connection: close\r\n")
        for peer in (chunked, expecting, closing):
            assert await peer.answer() == (503, b"busy")
            assert await peer.hung_up()


async def test_all_of_a_pipeline_are_refused() -> None:
    async with Stage(most=0).listening() as stage:
        first, pipelined = await stage.peer(), await stage.peer()
        first.post(b"a")
        assert await first.answer() == (200, b"a")
        pipelined.writer.write(2 * (pipelined.head(1) + b"a"))
        assert [await pipelined.answer() for _ in range(2)] == [(503, b"busy")] * 2
        stage.turn()
        pipelined.post(b"b")
        assert await pipelined.answer() == (200, b"b")


async def test_a_page_is_served_at_once() -> None:
    async with Stage(most=0).listening() as stage:
        peer, other = await stage.peer(), await stage.peer()
        peer.post(b"a")
        assert await peer.answer() == (200, b"a")
        other.writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert await other.answer() == (200, b"GET /")


async def test_who_hangs_up_does_not_wait_any_more() -> None:
    async with Stage(most=5).listening() as stage:
        one, two = await stage.peer(), await stage.peer()
        one.post(b"a")
        assert await one.answer() == (200, b"a")
        two.post(b"b")
        await stage.waiting(1)
        two.reset()
        await stage.waiting(0)


async def test_who_closes_its_half_while_it_waits_is_answered() -> None:
    """A connection that is closed altogether looks the same, until something is written to it."""
    async with Stage(most=5).listening() as stage:
        one, two = await stage.peer(), await stage.peer()
        one.post(b"a")
        assert await one.answer() == (200, b"a")
        two.post(b"b")
        two.writer.write_eof()
        await stage.waiting(1)
        await stage.ended()
        stage.turn()
        assert await two.answer() == (200, b"b")
        assert await two.reader.read() == b""


async def test_who_waits_when_the_listener_closes_is_told_so() -> None:
    async with Stage(most=5).listening() as stage:
        one, two = await stage.peer(), await stage.peer()
        one.post(b"a")
        assert await one.answer() == (200, b"a")
        two.post(b"b")
        await stage.waiting(1)
        stage.request_queue.close()
        assert await two.answer() == (503, b"busy")
        assert await two.hung_up()
