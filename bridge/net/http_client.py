"""The HTTP/1.1 client for POSTs to SOAP services, on httptools (llhttp). It follows no redirects.

A connection carries one request at a time, until the response is complete. If octets arrive while no request waits for
a response, the client closes the connection: otherwise a server that repeats an answer would answer the next request
with the old answer. aiohttp's client pool does not notice such octets (aiohttp 3.14.5).
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import Callable, Sequence

import httptools
from msgspec import Struct

from bridge.net.content_codings import inflated, too_large
from bridge.net.descriptors import OURS, Lease, Purpose

# Seconds without traffic after which a kept connection is closed. Servers close theirs after 15 to 75 s; a request on a
# connection that the server is about to close would be lost.
_IDLE_TIMEOUT = 10.0
_CONNECT_TIMEOUT = 10.0
# TCP keep-alive ends a POST whose server is gone: after 10 s of silence three probes, 5 s apart.
_KEEPALIVE = (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))
_KEEP_ALIVE = re.compile(r"timeout=(\d{1,6})")


class ConnectFailed(OSError):
    """No connection was made: the request certainly did not arrive."""


class ConnectionLost(OSError):
    """The connection ended before a response began: the request may have arrived."""


class Endpoint(Struct, frozen=True, kw_only=True):
    """The server of a connection. `host` is an IP address; a TLS certificate must be for `server_hostname`."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    server_hostname: str | None = None


class HttpResponse(Struct, frozen=True, kw_only=True):
    """An HTTP response to a POST.

    Attributes:
        status: The status code; 0 if the response was not HTTP.
        content_type: The media type, without parameters.
        retry_after: The value of Retry-After, "" for none.
        body: The content, decompressed.
        fault: The reason why `body` is not the whole content, "" for a complete response.
    """

    status: int
    content_type: str = ""
    retry_after: str = ""
    body: bytes = b""
    fault: str = ""


class Connection(asyncio.Protocol):
    """A connection to a server. `carried` counts the requests that were sent on it.

    Args:
        max_body: The most octets of a response's body, before and after decompression.
        closed: Called once when the connection has ended.
    """

    def __init__(self, endpoint: Endpoint, max_body: int, closed: Callable[[Connection], None]) -> None:
        self.endpoint = endpoint
        self.carried = 0
        self.reusable = True
        self._max_body = max_body
        self._closed = closed
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[HttpResponse] | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._reset()

    def _reset(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._headers: dict[str, str] = {}
        self._body = bytearray()
        self._began = self._has_head = False

    async def post(self, request: bytes) -> HttpResponse:
        """Send the octets of a request, and return the response. Cancelling this call closes the connection.

        Raises ConnectionLost if the connection ends before a response begins.
        """
        assert self._transport is not None
        assert self._waiting is None
        self._reset()
        self.carried += 1
        waiting: asyncio.Future[HttpResponse] = asyncio.get_running_loop().create_future()
        self._waiting = waiting
        self._transport.write(request)
        try:
            return await waiting
        except asyncio.CancelledError:
            self.close()
            raise
        finally:
            self._waiting = None

    def close(self) -> None:
        """Close the connection at once."""
        self.reusable = False
        self.take()
        if self._transport is not None:
            self._transport.abort()

    def rest(self) -> None:
        """Keep the connection open for a later request, for 10 s or what the server's Keep-Alive header allows."""
        said = _KEEP_ALIVE.search(self._headers.get("keep-alive", ""))  # RFC 2068 section 19.7.1
        seconds = _IDLE_TIMEOUT if said is None else min(_IDLE_TIMEOUT, int(said[1]) - 1.0)
        self._idle = asyncio.get_running_loop().call_later(max(0.0, seconds), self.close)

    def take(self) -> None:
        """Cancel the idle timer: the connection is about to carry a request, or to be closed."""
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    # asyncio's callbacks.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if (sock := transport.get_extra_info("socket")) is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for name, value in _KEEPALIVE:
                if (option := getattr(socket, name, None)) is not None:
                    sock.setsockopt(socket.IPPROTO_TCP, option, value)

    def data_received(self, data: bytes) -> None:
        if self._waiting is None or self._waiting.done():
            self.close()  # the octets answer no request
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._finish("it switched protocols")
        except httptools.HttpParserError as error:
            if not self._waiting.done():
                self._body += data[: max(0, self._max_body - len(self._body))]
                self._finish(f"no HTTP response: {error}")
            self.reusable = False

    def eof_received(self) -> None:
        """Return None, so that the transport closes itself."""

    def connection_lost(self, exc: Exception | None) -> None:
        self.reusable = False
        self.take()
        self._closed(self)
        if self._waiting is None or self._waiting.done():
            del self._parser
            return
        if not self._has_head:
            text = getattr(exc, "strerror", None) or "it closed the connection"
            self._waiting.set_exception(ConnectionLost(text))
        elif self._is_framed():
            self._finish("it hung up in the middle of its response")
        else:
            self._finish("")  # RFC 9112 section 6.3: without a length, the body ends with the connection
        del self._parser  # breaks a reference cycle, which would wait for the garbage collector

    # httptools' callbacks.

    def on_message_begin(self) -> None:
        if self._began:
            self.reusable = False  # more than one response to one request
        self._began = True

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._is_over():
            self._headers[name.decode("latin-1").lower()] = value.decode("latin-1").strip()

    def on_headers_complete(self) -> None:
        self._has_head = not 100 <= self._parser.get_status_code() < 200

    def on_body(self, body: bytes) -> None:
        if self._is_over():
            return
        if len(self._body) + len(body) > self._max_body:
            self._finish(too_large(self._max_body))
            self.close()
            return
        self._body += body

    def on_message_complete(self) -> None:
        if self._parser.get_status_code() == 101:
            self._finish("it switched protocols")
        elif not self._has_head:  # RFC 9110 section 15.2: an interim response, the final one follows
            self._headers, self._began = {}, False
        elif not self._is_over():
            self.reusable = self.reusable and self._parser.should_keep_alive()
            self._finish("")

    def _is_over(self) -> bool:
        return self._waiting is None or self._waiting.done()

    def _is_framed(self) -> bool:
        return "content-length" in self._headers or "transfer-encoding" in self._headers

    def _finish(self, fault: str) -> None:
        if self._waiting is None or self._waiting.done():
            return
        body = bytes(self._body)
        if not fault:
            body, fault = inflated(body, self._headers.get("content-encoding", ""), self._max_body)
        if fault:
            self.reusable = False
        self._waiting.set_result(
            HttpResponse(
                status=self._parser.get_status_code() if self._has_head else 0,
                content_type=self._headers.get("content-type", "").partition(";")[0].strip(),
                retry_after=self._headers.get("retry-after", ""),
                body=body,
                fault=fault,
            )
        )


class HttpClient:
    """Connections to any number of servers. A connection that may carry another request is kept for some seconds.

    Args:
        max_body: The most octets of a response's body, before and after decompression.
    """

    def __init__(self, *, max_body: int) -> None:
        self._max_body = max_body
        self._resting: dict[Endpoint, list[Connection]] = {}
        self._open: dict[Connection, Lease] = {}  # each with the lease of its file descriptor

    def __len__(self) -> int:
        """Return the number of open connections."""
        return len(self._open)

    async def connect(self, endpoint: Endpoint, *, fresh: bool) -> Connection:
        """Return a connection that carries no request; with `fresh`, always a new one. Raises ConnectFailed."""
        resting = self._resting.get(endpoint, [])
        while resting and not fresh:
            connection = resting.pop()
            if not resting:
                del self._resting[endpoint]
            connection.take()
            if connection.reusable:
                return connection
        return await self._dial(endpoint)

    async def _dial(self, endpoint: Endpoint) -> Connection:
        lease = OURS.lease(Purpose.OPENED)
        if lease is None:
            raise ConnectFailed("the bridge has no file descriptor left for it (RLIMIT_NOFILE)")
        connection = Connection(endpoint, self._max_body, self._forget)
        self._open[connection] = lease
        made = False
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT):
                await asyncio.get_running_loop().create_connection(
                    lambda: connection,
                    endpoint.host,
                    endpoint.port,
                    ssl=endpoint.tls,
                    server_hostname=endpoint.server_hostname if endpoint.tls is not None else None,
                )
            made = True
        except TimeoutError as error:
            raise ConnectFailed(f"no connection within {_CONNECT_TIMEOUT:g} s") from error
        except OSError as error:
            raise ConnectFailed(getattr(error, "strerror", None) or str(error) or type(error).__name__) from error
        finally:
            if not made:
                self._forget(connection)
        return connection

    def release(self, connection: Connection, *, keep: bool) -> None:
        """Take back a connection whose response is complete. With `keep`, it may carry a later request."""
        if not keep or not connection.reusable:
            connection.close()
            return
        connection.rest()
        self._resting.setdefault(connection.endpoint, []).append(connection)

    def _forget(self, connection: Connection) -> None:
        if (lease := self._open.pop(connection, None)) is not None:
            lease.end()
        resting = self._resting.get(connection.endpoint)
        if resting is not None and connection in resting:
            resting.remove(connection)
            if not resting:
                del self._resting[connection.endpoint]

    async def close(self) -> None:
        """Close all connections to all servers."""
        for connection in tuple(self._open):
            connection.close()
        await asyncio.sleep(0)  # the transports call connection_lost in the next turn of the loop


def post_request(target: str, headers: Sequence[tuple[str, str]], body: bytes) -> bytes:
    """Return the octets of a POST, head and content in one piece: small HTTP stacks read a request with one call.

    Args:
        target: The path and query, percent-encoded.
        headers: The names and values of the fields, Host among them; Content-Length is added.
        body: The content.
    """
    lines = [f"POST {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
    head = "\r\n".join([*lines, "Accept-Encoding: gzip, deflate", f"Content-Length: {len(body)}", "", ""])
    return head.encode("latin-1") + body
