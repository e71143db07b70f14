"""Which requests are read in one step, and that what is written is HTTP."""

from __future__ import annotations

import asyncio
import http.client
import io
from collections.abc import Mapping
from typing import cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bridge.limits.queueing import is_doubtful, whole
from bridge.ocpps.posts import Post, Posts, written
from bridge.ocpps.replies import Reply
from tests.mutations import mutated

PLAIN = {"Host": "x", "Content-Type": "application/soap+xml"}
PEER, NAMES = "192.0.2.1", ("cp.example",)


def request(
    body: bytes = b"<a/>", headers: Mapping[str, str] = PLAIN, line: str = "POST /services/X HTTP/1.1", more: int = 0
) -> bytes:
    """`more` octets are said to follow, and do not."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"{line}\r\n{lines}Content-Length: {len(body) + more}\r\n\r\n".encode() + body


def _read(posts: Posts, data: bytes) -> Post | None:
    """As a connection does for a head that it does not know."""
    parts = whole(data)
    if parts is None or is_doubtful(parts[0]):
        return None
    post = posts.head_of(data, PEER, NAMES)
    return None if post is None else post.with_body(parts[1])


def read(*requests: bytes) -> list[Post | None]:
    """By one reader, one after the other."""

    async def reading() -> list[Post | None]:
        posts = Posts()
        return [_read(posts, data) for data in requests]

    return asyncio.run(reading())


def test_a_plain_one_is_read() -> None:
    (post,) = read(request(b"<envelope/>", {**PLAIN, "Authorization": "Basic eA=="}))
    assert post is not None
    assert (post.path, post.peer, post.body, post.certificate) == ("/services/X", PEER, b"<envelope/>", NAMES)
    assert post.headers["authorization"] == "Basic eA=="


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ("POST /services/X?wsdl HTTP/1.1", "/services/X"),
        ("POST /services/X/RDAM%20123 HTTP/1.1", "/services/X/RDAM%20123"),
        ("POST /services/X/a%2Fb HTTP/1.1", "/services/X/a%2Fb"),
        ("POST http://x/services/X HTTP/1.1", "/services/X"),
    ],
)
def test_the_path_is_as_it_was_written(line: str, path: str) -> None:
    (post,) = read(request(line=line))
    assert post is not None
    assert post.path == path


ODD = [
    request(line="GET /services/X HTTP/1.1"),
    request(line="POST /services/X HTTP/1.0"),
    request(line="POST /services/X"),
    request(headers={**PLAIN, "Connection": "close"}),
    request(headers={**PLAIN, "Connection": "Upgrade", "Upgrade": "websocket"}),
    request(headers={**PLAIN, "Content-Encoding": "gzip"}),
    request(headers={**PLAIN, "Bad Name": "x"}),
    request(more=1),
    request() + request(),
    request()[:-1],
    request()[:40],
    b"POST /services/X HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n<a/>\r\n0\r\n\r\n",
    b"",
    b"\x16\x03\x01\x02\x00",
]


@pytest.mark.parametrize("odd", ODD)
def test_what_is_odd_is_left_and_leaves_nothing_behind(odd: bytes) -> None:
    none, post = read(odd, request(b"next"))
    assert none is None
    assert post is not None
    assert post.body == b"next"


@given(data=mutated(st.just(request()) | st.just(request(headers={**PLAIN, "Content-Encoding": "gzip"})), ODD))
def test_whatever_comes_the_next_is_read(data: bytes) -> None:
    _, post = read(data, request(b"next"))
    assert post is not None
    assert post.body == b"next"


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
    response = understood(written(reply))
    assert (response.status, response.read(), response.will_close) == (status, body, closes)
    assert response.getheader("Content-Type") == "text/xml; charset=utf-8"
    assert response.getheader("Retry-After") == "3"
    assert (response.getheader("Date") or "").endswith(" GMT")
