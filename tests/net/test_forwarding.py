"""A POST and its response are the same on both sides of a link between two processes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from bridge.net.forwarding import (
    ForwardedPost,
    is_shared_key,
    post_octets,
    post_of,
    reply_octets,
    reply_of,
    shared_key,
)
from bridge.net.http_server import HeaderFields, HttpRequest
from bridge.net.proxies.rules import Origin
from bridge.ocpps.replies import Reply

TEXTS = st.text(st.characters(codec="latin-1"), max_size=20)
FIELDS = st.lists(st.tuples(st.sampled_from([b"host", b"authorization", b"x-a"]), st.binary(max_size=20)), max_size=5)
ORIGINS = st.builds(
    Origin,
    address=TEXTS,
    port=st.integers(0, 65535),
    proxy=TEXTS,
    certificate=st.none() | st.lists(TEXTS, max_size=3).map(tuple),
    secure=st.booleans(),
)


@given(
    fields=FIELDS,
    body=st.binary(max_size=100),
    path=TEXTS,
    query=TEXTS,
    authority=st.none() | TEXTS,
    origin=ORIGINS,
    tenant=TEXTS,
)
def test_the_process_that_has_the_charge_point_sees_the_request_as_it_came(
    fields: list[tuple[bytes, bytes]],
    body: bytes,
    path: str,
    query: str,
    authority: str | None,
    origin: Origin,
    tenant: str,
) -> None:
    headers = HeaderFields()
    for name, value in fields:
        headers.add(name, value)
    came = HttpRequest(
        method="POST", key="7/3", path=path, query=query, headers=headers, body=body, authority=authority
    )

    post = post_of(post_octets(ForwardedPost.of("soap", came, origin, tenant, "a-2.17")))
    seen = post.request("a-2")

    assert (seen.method, seen.path, seen.query, seen.body, seen.hosts) == ("POST", path, query, body, came.hosts)
    assert sorted(seen.headers) == sorted(came.headers)
    assert (post.origin, post.tenant, post.listener) == (origin, tenant, "soap")
    assert seen.key == shared_key("a-2.17", "7/3")  # no request of any other process has it
    assert is_shared_key(seen.key)
    assert structs.replace(post, key="7/3").request("a-2").key == "a-2/7/3"  # of an earlier version
    assert not is_shared_key(came.key)


@given(
    status=st.integers(100, 599),
    body=st.binary(max_size=100),
    headers=st.lists(st.tuples(TEXTS, TEXTS), max_size=3).map(tuple),
    closes=st.booleans(),
)
def test_the_response_is_that_of_the_process_that_has_the_charge_point(
    status: int, body: bytes, headers: tuple[tuple[str, str], ...], closes: bool
) -> None:
    reply = Reply(status=status, body=body, content_type="text/xml", headers=headers, closes=closes)

    assert reply_of(reply_octets(reply)) == reply
