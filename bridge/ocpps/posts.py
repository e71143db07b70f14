"""Requests that are here as a whole, in one piece, and the responses to them: what nearly all messages are.

aiohttp's parser reads them; what aiohttp makes of a request besides, a task and some objects and timers, costs as much
as the rest of a message. Whatever is not that plain (a body that comes in pieces, compressed or of no stated length,
another method, a connection to be closed) is left to aiohttp altogether.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus

from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpRequestParser
from msgspec import Struct
from multidict import CIMultiDictProxy

from bridge.ocpps.replies import Reply

_CHUNK = 65_536


class Post(Struct, frozen=True, kw_only=True):
    """A POST: `path` as it was written, without its query; `peer` the IP address that it came from; `certificate` the
    names in the one that was shown, None if none was."""

    path: str
    peer: str
    headers: CIMultiDictProxy[str]
    body: bytes
    certificate: tuple[str, ...] | None = None

    def with_body(self, body: bytes) -> Post:
        """One with the same head, but for the length that it says: what that was is in no `headers`."""
        return Post(path=self.path, peer=self.peer, headers=self.headers, body=body, certificate=self.certificate)


Respond = Callable[[Reply], None]


class Posts:
    """Reads those of one listener."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._parser = self._new()

    def _new(self) -> HttpRequestParser:
        return HttpRequestParser(BaseProtocol(self._loop), self._loop, _CHUNK)

    def head_of(self, data: bytes, peer: str, certificate: tuple[str, ...] | None) -> Post | None:
        """The request that `data` is, as yet without its body; None if it is none, not whole or not plain."""
        try:
            messages, _, rest = self._parser.feed_data(data)
        except HttpProcessingError:
            messages, rest = [], b""
        if len(messages) == 1 and not rest:
            self._parser.message_consumed()
            head, body = messages[0]
            odd = head.should_close or head.chunked or head.upgrade or head.compression is not None
            if head.method == "POST" and body.is_eof() and not odd:
                path, headers = head.url.raw_path, head.headers
                return Post(path=path, peer=peer, headers=headers, body=b"", certificate=certificate)
        self._parser = self._new()  # it may be in the middle of something
        return None


def written(reply: Reply) -> bytes:
    """The response, head and body."""
    more = "".join([f"{name}: {value}\r\n" for name, value in reply.headers])
    close = "Connection: close\r\n" if reply.closes else ""
    head = (
        f"{_begin(reply.status)}Content-Type: {reply.content_type}\r\nContent-Length: {len(reply.body)}\r\n"
        f"Date: {_date(int(time.time()))}\r\n{more}{close}\r\n"
    )
    return head.encode("latin-1") + reply.body


@lru_cache
def _begin(status: int) -> str:
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"


@lru_cache(maxsize=2)
def _date(second: int) -> str:
    """RFC 9110 section 6.6.1."""
    return formatdate(second, usegmt=True)
