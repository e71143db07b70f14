"""The first message on a link, from both sides: who they are, and whether they belong together."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from bridge.cluster.link_frames import GREETING, MOST_OF_GREETING, FrameType, frame

# The version of the frames and of their order. Another version is refused.
VERSION = 1


class NodeName(Struct, frozen=True, kw_only=True):
    """One process of a cluster.

    Attributes:
        cluster: The name of the cluster.
        node: The name of the node.
        incarnation: Tells the processes apart that had the node's name one after the other.
    """

    cluster: str
    node: str
    incarnation: str


class Hello(Struct, frozen=True, kw_only=True):
    """Who sends it.

    Attributes:
        sender: The process that sends this.
        expected: The node that the sender means to reach, and its incarnation; "" if the sender does not know it.
        version: Of the frames that the sender speaks.
    """

    sender: NodeName
    expected: str
    expected_incarnation: str = ""
    version: int = VERSION


class _Versioned(Struct):
    """What the hello of every version has."""

    version: int


class HelloRefused(Exception):
    """The two ends of a link do not belong together. The text is a sentence."""


def hello_frame(hello: Hello) -> bytes:
    """Return the octets of a HELLO.

    Raises:
        ValueError: The names in it are too long.
    """
    payload = msgspec.msgpack.encode(hello)
    if len(payload) > MOST_OF_GREETING:
        raise ValueError(f"the names of the cluster and its nodes have {len(payload)} octets, more than fit")
    return frame(FrameType.HELLO, GREETING, payload)


def refused_frame(sentence: str) -> bytes:
    """Return the octets of a REFUSED, which says why no link comes about."""
    return frame(FrameType.REFUSED, GREETING, sentence.encode()[:MOST_OF_GREETING])


def read_hello(payload: bytes) -> Hello:
    """Return the Hello in the payload of a HELLO.

    Raises:
        HelloRefused: It is of another version, or no Hello at all.
    """
    try:
        version = msgspec.msgpack.decode(payload, type=_Versioned).version
        if version == VERSION:
            hello = msgspec.msgpack.decode(payload, type=Hello)
            if not all(map(str.isprintable, (hello.sender.cluster, hello.sender.node, hello.sender.incarnation))):
                raise HelloRefused("the names in the first message cannot be printed")
            return hello
    except msgspec.DecodeError as error:
        raise HelloRefused(f"the first message is no greeting of a node: {error}") from None
    raise HelloRefused(f"the links have version {VERSION} here, and version {version} there")


def check_hello(hello: Hello, own: NodeName, *, node: str = "", incarnation: str = "") -> None:
    """Check that the sender of `hello` is a peer of `own`.

    Args:
        hello: What the other side said.
        own: The process on this side.
        node: The name that the other side must have; "" for any.
        incarnation: The incarnation that the other side must have; "" for any.

    Raises:
        HelloRefused: It is not.
    """
    sender = hello.sender
    if sender.cluster != own.cluster:
        raise HelloRefused(f"the node {sender.node!r} is of the cluster {sender.cluster!r}, not of {own.cluster!r}")
    if node and sender.node != node:
        raise HelloRefused(f"the node {sender.node!r} is there, not {node!r}")
    if incarnation and sender.incarnation != incarnation:
        raise HelloRefused(
            f"the node {sender.node!r} there has the incarnation {sender.incarnation!r}, "
            f"and its presence names {incarnation!r}"
        )
    if hello.expected != own.node:
        raise HelloRefused(f"the node {own.node!r} is here, not {hello.expected!r}")
    if hello.expected_incarnation not in ("", own.incarnation):
        raise HelloRefused(
            f"the node {own.node!r} here has the incarnation {own.incarnation!r}, not {hello.expected_incarnation!r}"
        )
