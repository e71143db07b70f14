"""Who is at the ends of a link, and whether they belong together."""

from __future__ import annotations

import msgspec
import pytest

from bridge.cluster.hello import Hello, HelloRefused, NodeName, check_hello, hello_frame, read_hello, refused_frame
from bridge.cluster.link_frames import GREETING, HEAD, FrameReader, FrameType

A = NodeName(cluster="east", node="a", incarnation="1")
B = NodeName(cluster="east", node="b", incarnation="7")


def test_a_hello_is_read_as_it_was_written() -> None:
    hello = Hello(sender=A, expected="b", expected_incarnation="7")
    assert read_hello(hello_frame(hello)[HEAD:]) == hello
    check_hello(hello, B, node="a", incarnation="1")


def test_a_refusal_is_a_first_message() -> None:
    reader = FrameReader(10)
    assert reader.feed(refused_frame("it is full")) == [(FrameType.REFUSED, GREETING, b"it is full")]
    assert len(reader.feed(refused_frame("x" * 10_000))) == 1


@pytest.mark.parametrize(
    ("hello", "sentence"),
    [
        (
            Hello(sender=NodeName(cluster="west", node="a", incarnation="1"), expected="b"),
            "the node 'a' is of the cluster 'west', not of 'east'",
        ),
        (
            Hello(sender=NodeName(cluster="east", node="c", incarnation="1"), expected="b"),
            "the node 'c' is there, not 'a'",
        ),
        (
            Hello(sender=NodeName(cluster="east", node="a", incarnation="2"), expected="b"),
            "the node 'a' there has the incarnation '2', and its presence names '1'",
        ),
        (Hello(sender=A, expected="c"), "the node 'b' is here, not 'c'"),
        (
            Hello(sender=A, expected="b", expected_incarnation="6"),
            "the node 'b' here has the incarnation '7', not '6'",
        ),
    ],
)
def test_a_hello_of_somebody_else(hello: Hello, sentence: str) -> None:
    with pytest.raises(HelloRefused, match=f"^{sentence}$"):
        check_hello(hello, B, node="a", incarnation="1")


def test_another_version_is_told_whatever_else_is_in_it() -> None:
    payload = msgspec.msgpack.encode({"version": 2, "who": ["knows"]})
    with pytest.raises(HelloRefused, match="version 1 here, and version 2 there"):
        read_hello(payload)


@pytest.mark.parametrize("payload", [b"", b"\xc1", msgspec.msgpack.encode({"version": 1}), msgspec.msgpack.encode([])])
def test_no_hello(payload: bytes) -> None:
    with pytest.raises(HelloRefused, match="no greeting of a node"):
        read_hello(payload)


@pytest.mark.parametrize("field", ["cluster", "node", "incarnation"])
def test_names_that_cannot_be_printed(field: str) -> None:
    sender = NodeName(**{"cluster": "east", "node": "a", "incarnation": "1", field: "a line\nanother"})
    with pytest.raises(HelloRefused, match="cannot be printed"):
        read_hello(hello_frame(Hello(sender=sender, expected="b"))[HEAD:])


def test_names_that_are_too_long() -> None:
    with pytest.raises(ValueError, match="more than fit"):
        hello_frame(Hello(sender=NodeName(cluster="x" * 5000, node="a", incarnation="1"), expected="b"))
