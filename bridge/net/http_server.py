"""The HTTP/1.1 server of the OCPP-S listener, on httptools (llhttp).

A request may arrive in one piece or in many, chunked or compressed, pipelined, on a connection that is kept or closed.
The server passes a request on when the request is complete, and one request of a connection after another. A POST
waits in the request queue first, and is refused if the queue is full. A request that is refused before its end is read
no further: its sender gets the response, and the server closes the connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections import deque
from collections.abc import Callable, Iterator
from email.utils import formatdate
from enum import Enum, auto
from functools import lru_cache
from http import HTTPStatus
from itertools import count

import httptools
from msgspec import Struct

from bridge.access import paths
from bridge.core.networks import network_of
from bridge.errors import BridgeError, ErrorCode, MessageError, Why
from bridge.net.content_codings import inflated, is_known, too_large
from bridge.net.descriptors import Inherited
from bridge.net.limits.connections import ConnectionLimits, LimitedConnection, refusal
from bridge.net.limits.head import too_many_lines, too_many_octets
from bridge.net.limits.refusal_summary import RefusalSummary
from bridge.net.limits.request_queue import QueueDecision, RequestQueue
from bridge.net.listening import AcceptingServer, accept_no_more, bound_to, may_half_close
from bridge.ocpps.replies import Reply

_NOT_HTTP = "This is not HTTP/1.1 (RFC 9112)."
# The most octets that are read from the socket while a request is in progress.
_MOST_HELD = 262_144
# The most octets of a refused body that are read and discarded, and for how many seconds, so that the sender reads the
# response. TCP resets a socket that is closed with unread octets, and the peer may then lose the response (RFC 9112
# section 9.6).
_MOST_DISCARDED, _DISCARDED_FOR = 8_388_608, 2.0
_VERSIONS = ("1.0", "1.1")
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_numbers = count(1)  # of the connections of this process

# Takes the one reply to a request; None closes the connection without one.
Respond = Callable[[Reply | None], None]


class HeaderFields:
    """The fields of a request's head, by name in any letter case."""

    __slots__ = ("_lines",)

    def __init__(self) -> None:
        self._lines: dict[bytes, list[bytes]] = {}

    def add(self, name: bytes, value: bytes) -> None:
        """Add a field of the head."""
        self._lines.setdefault(name.lower(), []).append(value)

    def all(self, name: str) -> list[str]:
        """Return the values of all fields of this name, without the white space around them."""
        return [value.decode("latin-1").strip() for value in self._lines.get(name.lower().encode("latin-1"), ())]

    def get(self, name: str) -> str:
        """Return the value of the first field of this name, "" if there is none."""
        values = self.all(name)
        return values[0] if values else ""

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield the name, in lower case, and the value of each field."""
        return ((name, value) for name, values in self._lines.items() for value in values)

    def __contains__(self, name: str) -> bool:
        return name.lower().encode("latin-1") in self._lines


class HttpRequest(Struct, kw_only=True):
    """An HTTP request.

    Attributes:
        method: The method, in capital letters.
        key: "CONNECTION/NUMBER": the number of the connection in this process, and that of the request on it.
        path: The path as it was written, without the query; for a target in absolute form, the part after the
            authority.
        query: The part after the question mark, "" for none.
        headers: The fields of the head.
        body: The content, decompressed.
        failure: The reason why the request is not read to its end; the connection ends with the response.
        counted: The IP address for which ConnectionCount counts the request while it is in progress; "" where
            ConnectionCount counts the connection.
    """

    method: str
    key: str
    path: str
    query: str
    headers: HeaderFields
    body: bytes = b""
    failure: BridgeError | None = None
    counted: str = ""
    authority: str | None = None
    """The host and port in a target in absolute form, None for a target in origin form."""
    is_old: bool = False
    """Whether the request is HTTP/1.0."""
    stays: bool = False
    """Whether the connection stays open after the response."""
    is_refused: bool = False
    """Whether the request queue was full when the head was read."""

    @property
    def hosts(self) -> list[str]:
        """The hosts that the request names; in absolute form, the target's replaces Host (RFC 9112 section 3.2.2)."""
        return self.headers.all("Host") if self.authority is None else [self.authority]


# Takes a request, its connection, and the function to call with its one reply, now or later.
Serve = Callable[[HttpRequest, "HttpConnection", Respond], None]
# Returns the response to a request that is refused unread, for its content and whether the connection stays open.
Refusal = Callable[[bytes, bool], bytes]


class ConnectionStage(Enum):
    """The part of an exchange that a connection waits for, with a deadline."""

    HEAD = auto()
    BODY = auto()
    NEXT = auto()  # request
    END = auto()  # the peer's, after the last response


class HttpServerTerms(Struct, frozen=True, kw_only=True):
    """The settings and functions that all connections of one listener share.

    Attributes:
        serve: Takes each request.
        begins: Called with a request when its head is complete; returns an error if the request is to be refused.
        ends: Called at the end of each request that was `counted`.
        request_queue: The queue in which each POST waits.
        refusal: Returns the response to a POST for which the queue has no room.
        refusal_summary: Counts those POSTs by IP address.
        max_body: The most octets of a content, before and after decompression.
        body_timeout: The most seconds from the head of a request to the end of its content.
        idle_timeout: The most seconds between a response and the next request.
    """

    serve: Serve
    begins: Callable[[HttpRequest, HttpConnection], BridgeError | None]
    ends: Callable[[HttpRequest], None]
    request_queue: RequestQueue
    refusal: Refusal
    refusal_summary: RefusalSummary
    max_body: int
    body_timeout: float
    idle_timeout: float


class HttpServer:
    """An HTTP server, which listens until `close`. `connection_limits` counts and limits its connections."""

    def __init__(self, terms: HttpServerTerms, connection_limits: ConnectionLimits) -> None:
        self._connection_limits = connection_limits
        self._connections: set[HttpConnection] = set()
        self._all_lost = asyncio.Event()
        self._shared = {"terms": terms, "connections": self._connections, "all_lost": self._all_lost}
        self._servers: list[AcceptingServer] = []
        self.bound: tuple[tuple[str, int], ...] = ()

    @property
    def listening(self) -> bool:
        """Whether the server accepts connections."""
        return any(server.is_serving() for server in self._servers)

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None, inherited: Inherited | None = None) -> None:
        """Listen on each IP address of `host`.

        Args:
            host: An IP address of this machine, or one of its names.
            port: The port, 0 for any.
            tls: The TLS settings; None for plain HTTP.
            inherited: The sockets that another process bound; None binds them here.

        Raises:
            OSError: An address cannot be listened on.
        """
        self._servers = await self._connection_limits.listen(HttpConnection, self._shared, host, port, tls, inherited)
        self.bound = bound_to(*self._servers)

    async def close(self) -> None:
        """Stop accepting connections; those that are open stay open."""
        await accept_no_more(*self._servers)
        for server in self._servers:
            server.close()
        self._connection_limits.close()

    async def hang_up(self, seconds: float) -> None:
        """Close the connections. Wait `seconds` at most for the responses to requests in progress."""
        for connection in tuple(self._connections):
            connection.finish()
        if self._connections:
            self._all_lost.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._all_lost.wait(), seconds)
        for connection in tuple(self._connections):
            connection.abort()


class HttpConnection(LimitedConnection):
    """A connection to the server. The server derives a class that holds what all its connections share."""

    terms: HttpServerTerms
    connections: set[HttpConnection]
    all_lost: asyncio.Event

    def opened(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._number, self._requests = next(_numbers), 0  # this connection's, and that of its last request
        self._parser = httptools.HttpRequestParser(self)
        # Complete requests, and last responses (octets): after a last response, no further request is read.
        self._waiting: deque[HttpRequest | bytes] = deque()
        self._request: HttpRequest | None = None  # the request whose body is being read
        self._current: HttpRequest | None = None  # the request that is being served
        self._in_progress: list[HttpRequest] = []
        self._queues = False  # a POST waits in the request queue
        self.source = ""
        self._reads = True  # further requests are read
        self._ended = False  # the peer has closed its half of the connection
        self._advances = False
        self._continues = False  # "100 Continue" is due
        self._held = 0  # octets that arrived behind the request in progress
        self._left = _MOST_DISCARDED
        self._begun, self._in_head = False, True  # a request has begun; its head is incomplete
        self._method, self._version, self._target, self._headers = b"", b"", b"", HeaderFields()
        # The fields and the target of a request that offers another protocol.
        self._offering: tuple[HeaderFields, bytes] | None = None
        self._is_new = True  # no request has arrived yet
        self._head_octets = self._field_octets = self._fields = 0
        self._stage: ConnectionStage | None = None
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._wait_for(ConnectionStage.HEAD)
        self.connections.add(self)

    def finish(self) -> None:
        """Close the connection after the response in progress, or at once if there is none."""
        if self._current is None:
            self._wire.close()
        else:
            self._current.stays = self._reads = False
            self._waiting.clear()

    def abort(self) -> None:
        """Close the connection at once."""
        self._wire.abort()

    # Reading.

    def take(self, data: bytes) -> None:
        super().take(data)
        if self._wire.is_closing():
            return
        if not self._reads:
            self._left -= len(data)
            if self._left < 0:
                self._wire.close()
            return
        self._feed(data)
        self._look_at_head()
        if self._is_busy():
            self._held += len(data)
            if self._held > _MOST_HELD:
                self._wire.pause_reading()
        self._advance()

    def _feed(self, data: bytes) -> None:
        while data and self._reads:
            if self._in_head:
                self._head_octets += len(data)
            try:
                self._parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as upgrade:
                data = data[upgrade.args[0] :]
                self._parser = httptools.HttpRequestParser(self)
                if self._offering is not None:
                    self._parser.feed_data(_without_offer(self._method, self._version, self._offering))
            except httptools.HttpParserError as error:
                if self._reads:
                    self._not_http(str(error))
                return

    def _look_at_head(self) -> None:
        """Refuse a head that is too large before it is complete."""
        if self._reads and self._in_head and self._head_octets > self.connection_limits.rules.header_bytes:
            self._too_large(too_many_octets(self.connection_limits.rules.header_bytes))

    def eof_received(self) -> bool | None:
        """Answer the complete requests, then close: the peer has closed its half (RFC 9112 section 9.6)."""
        if self._turned_away or not may_half_close(self._wire):
            return None
        self._ended = True
        if self._reads:
            self._cut_off()
            self._advance()
        return True if self._is_busy() else None

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._inside:
            if self._timer is not None:
                self._timer.cancel()
            if self._reads and (request := self._cut_off()) is not None:
                # The response reaches nobody, but the incomplete request is reported.
                self.terms.serve(request, self, lambda reply: None)
            self.terms.request_queue.leave(self)
            self._reads = self._queues = False
            self._waiting.clear()
            self._request = self._current = None
            for request in tuple(self._in_progress):
                self._end(request)
            self.connections.discard(self)
            if not self.connections:
                self.all_lost.set()
            del self._parser  # breaks a reference cycle, which would wait for the garbage collector
        super().connection_lost(exc)

    # httptools' callbacks.

    def on_message_begin(self) -> None:
        self._begun = self._in_head = True
        self._headers, self._target = HeaderFields(), b""
        self._field_octets = self._fields = 0

    def on_url(self, target: bytes) -> None:
        self._target += target
        self._field_octets += len(target)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Add a field of the head. Count a field of the trailer of a chunked content, and ignore it."""
        self._fields += 1
        self._field_octets += len(name) + len(value) + 4
        if not self._reads:
            return
        rules = self.connection_limits.rules
        if self._fields > rules.header_count:
            self._too_large(too_many_lines(rules.header_count))
        elif self._field_octets > rules.header_bytes:
            self._too_large(too_many_octets(rules.header_bytes))
        elif self._in_head:
            self._headers.add(name, value)

    def on_headers_complete(self) -> None:
        self._in_head, self._head_octets, self._is_new = False, 0, False
        if not self._reads:
            return
        if self._offering is not None:
            self._headers, self._target, self._offering = *self._offering, None
        elif self._parser.should_upgrade() and self._has_content():
            # RFC 9110 section 7.8: a server may ignore an offer of another protocol (Upgrade). Java's HttpClient makes
            # one with its first request. The parser would take the content for the other protocol, so a new parser
            # reads the head again without the offer.
            self._method, self._version = self._parser.get_method(), self._parser.get_http_version().encode()
            self._offering = self._headers, self._target
            return
        version = self._parser.get_http_version()
        if version not in _VERSIONS:
            self._not_http(f"HTTP/{version}")
            return
        target = self._target.decode("utf-8", "surrogateescape").partition("#")[0]
        authority, path, query = paths.parts(target)
        self._requests += 1
        self._request = request = HttpRequest(
            method=self._parser.get_method().decode("latin-1"),
            key=f"{self._number}/{self._requests}",
            path=path,
            query=query,
            headers=self._headers,
            authority=authority,
            is_old=version != "1.1",
        )
        self._body: list[bytes] = []
        self._size = 0
        denied = self.terms.begins(request, self)
        if request.counted:
            self._in_progress.append(request)
        length, coding = self._headers.get("Content-Length"), self._headers.get("Content-Encoding")
        if denied is not None:
            self._read_no_further(denied)
        elif coding and not is_known(coding):
            self._refuse(f"it is in the unknown coding {coding[:40]!r}", Why.MALFORMED)
        elif length.isdigit() and int(length) > self.terms.max_body:
            self._refuse(too_large(self.terms.max_body), Why.TOO_LARGE)
        elif request.method == "POST" and self.terms.request_queue.is_full(self._source_of(request)):
            self._refuse_unread(request, length)
        elif not request.is_old and self._headers.get("Expect").lower() == "100-continue":
            self._continue()

    def _has_content(self) -> bool:
        return self._headers.get("Content-Length") not in ("", "0") or "Transfer-Encoding" in self._headers

    def _continue(self) -> None:
        """Send 100 Continue (RFC 9110 section 10.1.1), after the responses to earlier requests."""
        self._continues = self._is_busy()
        if not self._continues:
            self._wire.write(_CONTINUE)

    def on_body(self, body: bytes) -> None:
        if self._request is None or not self._reads or self._request.is_refused:
            return
        self._size += len(body)
        if self._size > self.terms.max_body:
            self._refuse(too_large(self.terms.max_body), Why.TOO_LARGE)
        else:
            self._body.append(body)

    def on_message_complete(self) -> None:
        if self._offering is not None:
            return
        request, self._request = self._request, None
        self._begun, self._in_head, self._head_octets, self._continues = False, True, 0, False
        if request is None or not self._reads or request.is_refused:
            return
        request.body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        request.stays = self._parser.should_keep_alive()
        if coding := self._headers.get("Content-Encoding"):
            request.body, fault = inflated(request.body, coding, self.terms.max_body)
            if fault:
                self._request = request
                self._refuse(fault, Why.TOO_LARGE if fault == too_large(self.terms.max_body) else Why.MALFORMED)
                return
        self._waiting.append(request)
        self._reads = request.stays

    # Serving.

    def _refuse(self, fault: str, why: Why) -> None:
        """Refuse the request whose content is being read; its rest is not read."""
        text = fault if why in (Why.TOO_LARGE, Why.TOO_SLOW) else f"the body cannot be read: {fault}"
        self._read_no_further(MessageError(ErrorCode.FormationViolation, text, why=why))

    def _read_no_further(self, error: BridgeError) -> None:
        request, self._request = self._request, None
        assert request is not None
        request.failure = error
        request.stays = self._reads = False
        self._waiting.append(request)

    def _refuse_unread(self, request: HttpRequest, length: str) -> None:
        """Refuse a POST for which the queue has no room. Keep the connection open if the end of the POST is certain."""
        plain = length.isdigit() and not request.is_old and "Expect" not in self._headers
        request.is_refused = True
        request.stays = plain and "close" not in self._headers.get("Connection").lower()
        self._waiting.append(request)
        self._reads = request.stays

    def _cut_off(self) -> HttpRequest | None:
        """Stop reading: the peer sends nothing more. Return the request whose content is incomplete, if any."""
        request = self._request
        self._reads = False
        if request is None or request.is_refused:
            self._request = None
            return None
        self._refuse("the sender hung up in the middle of it", Why.MALFORMED)
        return request

    def _too_large(self, text: str) -> None:
        self._end_with(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, text, text, Why.TOO_LARGE)

    def _not_http(self, text: str) -> None:
        self._end_with(HTTPStatus.BAD_REQUEST, _NOT_HTTP, f"not HTTP/1.1: {text[:100]}", Why.MALFORMED)

    def _end_with(self, status: HTTPStatus, answer: str, told: str, why: Why) -> None:
        """Refuse what could not be read as a request, with a last response."""
        self._reads, self._request = False, None
        self.connection_limits.told(self._address, status, told, why)
        self._waiting.append(refusal(status, answer))

    def _is_busy(self) -> bool:
        return self._current is not None or self._queues or bool(self._waiting)

    def _advance(self) -> None:
        """Serve the complete requests, one after another."""
        if self._advances:
            return
        self._advances = True
        while self._waiting and self._current is None and not self._queues and self._stalled is None:
            if isinstance(last := self._waiting[0], bytes):
                self._write(last, stays=False)
            else:
                self._enter(last)
        self._advances = False
        if not self._is_busy() and not self._wire.is_closing():
            self._rest()

    def _enter(self, request: HttpRequest) -> None:
        entry = QueueDecision.REFUSED if request.is_refused else QueueDecision.PASSES
        if request.method == "POST" and not request.is_refused and request.failure is None:
            self.source = self._source_of(request)
            entry = self.terms.request_queue.enter(self)
        if entry is QueueDecision.WAITS:
            self._queues = True
            self._wait_for(None)
            return
        self._waiting.popleft()
        if entry is QueueDecision.REFUSED:
            self._end(request)
            self.terms.refusal_summary.add(self._address)
            self._write(self.terms.refusal(request.body, request.stays), stays=request.stays)
        else:
            self._serve(request)

    def _source_of(self, request: HttpRequest) -> str:
        """Return the network of the request's sender, for which the request queue counts the request."""
        return network_of(request.counted or self._address)

    def _serve(self, request: HttpRequest) -> None:
        self._current = request
        self._wait_for(None)
        self.terms.serve(request, self, self._respond)

    def proceed(self) -> None:
        """Serve the POST that waited: the request queue calls this when it is the POST's turn."""
        self._queues = False
        request = self._waiting.popleft()
        assert isinstance(request, HttpRequest)
        self._serve(request)

    def turned_away(self) -> None:
        """Refuse the POST that waited: the request queue calls this when the listener closes."""
        self._queues = False
        self._write(self.terms.refusal(b"", False), stays=False)

    def _respond(self, reply: Reply | None) -> None:
        request, self._current = self._current, None
        if request is not None:
            self._end(request)
        if request is None or self._wire.is_closing():
            return
        if reply is None:
            self._wire.abort()
            return
        stays = request.stays and not reply.closes
        connection = "close" if not stays else "keep-alive" if request.is_old else ""
        self._write(written(reply, with_content=request.method != "HEAD", connection=connection), stays=stays)
        self._advance()

    def _end(self, request: HttpRequest) -> None:
        if request.counted:
            self._in_progress.remove(request)
            self.terms.ends(request)

    def _write(self, response: bytes, *, stays: bool) -> None:
        self._wire.write(response)
        if stays:
            return
        self._reads = False
        self._waiting.clear()
        if self._ended or not self._begun:
            self._wire.close()
            return
        # The peer may still be sending: its octets are discarded until it has read the response.
        if self._wire.can_write_eof():
            self._wire.write_eof()
        self._wire.resume_reading()
        self._wait_for(ConnectionStage.END)

    def _rest(self) -> None:
        """Wait for the next request, or for the rest of a request that has begun."""
        if self._ended:
            self._wire.close()
            return
        if not self._reads:
            return
        if self._held > _MOST_HELD:
            self._wire.resume_reading()
        self._held = 0
        if self._request is not None:
            if self._continues:
                self._continue()
            self._wait_for(ConnectionStage.BODY)
        else:
            self._wait_for(ConnectionStage.HEAD if self._begun or self._is_new else ConnectionStage.NEXT)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._advance()

    # Deadlines. One timer serves many requests: when it fires early, it is set again.

    def _wait_for(self, stage: ConnectionStage | None) -> None:
        """Enter a stage and set its deadline; None is a stage without a deadline."""
        if stage is self._stage:
            return
        self._stage = stage
        if stage is None:
            return
        self._due = self._loop.time() + self._seconds(stage)
        if self._timer is not None and self._timer.when() > self._due:
            self._timer.cancel()
            self._timer = None
        if self._timer is None:
            self._timer = self._loop.call_at(self._due, self._look)

    def _seconds(self, stage: ConnectionStage) -> float:
        match stage:
            case ConnectionStage.HEAD:
                return self.connection_limits.rules.header_timeout
            case ConnectionStage.BODY:
                return self.terms.body_timeout
            case ConnectionStage.NEXT:
                return self.terms.idle_timeout
            case ConnectionStage.END:
                return _DISCARDED_FOR

    def _look(self) -> None:
        self._timer = None
        if self._stage is None or self._wire.is_closing():
            return
        if self._loop.time() < self._due:
            self._timer = self._loop.call_at(self._due, self._look)
        else:
            self._too_late(self._stage)

    def _too_late(self, stage: ConnectionStage) -> None:
        if stage is ConnectionStage.HEAD:
            text = f"the head of the request did not arrive within {self.connection_limits.rules.header_timeout:g} s"
            self._end_with(HTTPStatus.REQUEST_TIMEOUT, text, text, Why.TOO_SLOW)
        elif stage is ConnectionStage.BODY and self._request is not None and not self._request.is_refused:
            self._refuse(f"the body did not arrive within {self.terms.body_timeout:g} s", Why.TOO_SLOW)
        else:
            self._wire.close()
            return
        self._advance()


def _without_offer(method: bytes, version: bytes, offering: tuple[HeaderFields, bytes]) -> bytes:
    """Return the octets of a head without its offer of another protocol."""
    headers, target = offering
    said = headers.get("Connection").lower()
    kept = [b"Connection: %s" % word.encode() for word in ("close", "keep-alive") if word in said]
    fields = [b"%s: %s" % field for field in headers if field[0] not in (b"connection", b"upgrade")]
    return b"\r\n".join([b"%s %s HTTP/%s" % (method, target, version), *fields, *kept, b"", b""])


def written(reply: Reply, *, with_content: bool, connection: str) -> bytes:
    """Return the octets of a response.

    Args:
        reply: The status, headers and content.
        with_content: Whether to write the content: the response to HEAD has none.
        connection: The value of the header Connection, "" for none.
    """
    more = "".join([f"{name}: {value}\r\n" for name, value in reply.headers])
    if connection:
        more += f"Connection: {connection}\r\n"
    head = (
        f"{_begin(reply.status)}Content-Type: {reply.content_type}\r\nContent-Length: {len(reply.body)}\r\n"
        f"Date: {_date(int(time.time()))}\r\n{more}\r\n"
    )
    return head.encode("latin-1") + (reply.body if with_content else b"")


@lru_cache
def _begin(status: int) -> str:
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"


@lru_cache(maxsize=2)
def _date(second: int) -> str:
    """Return the value of Date for a Unix time in seconds (RFC 9110 section 6.6.1)."""
    return formatdate(second, usegmt=True)
