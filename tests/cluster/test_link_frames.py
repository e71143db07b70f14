"""Frames of the links between nodes, read from octets in any pieces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.cluster.link_frames import (
    GREETING,
    MORE,
    MOST_IN_PIECES,
    PIECE,
    FrameReader,
    FrameType,
    Received,
    frame,
    named,
    split_name,
)
from bridge.cluster.send_queue import SendQueue

HELLO = (int(FrameType.HELLO), GREETING, b"hello")
GREETED = frame(*HELLO)
MOST = 4 * PIECE
KINDS = [FrameType.REQUEST, FrameType.OPEN, FrameType.ANSWER, FrameType.TEXT, FrameType.BINARY, FrameType.CREDIT]

sizes = st.one_of(st.integers(0, 40), st.sampled_from([PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 3 * PIECE + 7]))
messages = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(1, 12), sizes), max_size=20)


def read(data: bytes, cuts: list[int] | None = None) -> tuple[list[Received], str]:
    """The messages in `data`, which comes in pieces of the sizes `cuts`, and why it is broken."""
    reader, found, at = FrameReader(MOST), [], 0
    for size in [*(cuts or []), len(data)]:
        found += reader.feed(data[at : at + size])
        at += size
    return found, reader.broken


@given(messages, st.lists(st.integers(0, 70_000), max_size=30))
def test_what_is_queued_is_read_in_whatever_pieces_it_comes(
    sent: list[tuple[FrameType, int, int]], cuts: list[int]
) -> None:
    queue = SendQueue()
    expected: dict[int, list[Received]] = {}
    for count, (kind, number, size) in enumerate(sent):
        size = min(size, PIECE) if kind is FrameType.CREDIT else size
        payload = bytes((count,)) * size
        queue.put(kind, number, payload)
        expected.setdefault(number, []).append((kind, number, payload))
    data = GREETED
    while queue:
        data += queue.take()
    assert queue.size == 0
    found, broken = read(data, cuts)
    assert broken == ""
    assert found[0] == HELLO
    for number, theirs in expected.items():  # those of one number keep their order
        assert [message for message in found if message[1] == number] == theirs
    assert len(found) == 1 + len(sent)


@given(st.binary(max_size=400), st.lists(st.integers(0, 40), max_size=10), st.booleans())
def test_any_octets_are_read_the_same_in_any_pieces(data: bytes, cuts: list[int], greets: bool) -> None:
    data = (GREETED if greets else b"") + data
    assert read(data, cuts) == read(data)


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        frame(FrameType.REQUEST, 1, b"\x04echo"),
        frame(FrameType.HELLO, 1, b"hello"),
        frame(FrameType.HELLO, GREETING, bytes(4097)),
    ],
)
def test_the_first_octets_of_a_stranger(data: bytes) -> None:
    assert read(data) == ([], "the first octets are not those of a node")


@pytest.mark.parametrize(
    ("data", "broken"),
    [
        ((PIECE + 1).to_bytes(4, "big") + b"\x03\0\0\0\1", f"a frame of {PIECE + 1} octets, more than {PIECE}"),
        (frame(99, 1), "a frame of the unknown type 99"),
        (frame(FrameType.PING | MORE, 0), "a frame of the unknown type 141"),
        (
            frame(FrameType.REQUEST | MORE, 1, b"a") + frame(FrameType.BINARY, 1, b"b"),
            "a piece of type 10 amid a message of type 3",
        ),
        (
            frame(FrameType.REQUEST | MORE, 1, bytes(PIECE)) * 5,
            f"a message of more than {MOST} octets",
        ),
        (
            b"".join(frame(FrameType.REQUEST | MORE, number, b"a") for number in range(MOST_IN_PIECES + 1)),
            f"more than {MOST_IN_PIECES} messages in pieces at once",
        ),
    ],
)
def test_what_breaks_a_link(data: bytes, broken: str) -> None:
    found, why = read(GREETED + data + frame(FrameType.PING, 0))
    assert (found, why) == ([HELLO], broken)


def test_messages_before_an_error_are_read() -> None:
    found, broken = read(GREETED + frame(FrameType.ANSWER, 7, b"yes") + frame(99, 1))
    assert found == [HELLO, (FrameType.ANSWER, 7, b"yes")]
    assert broken


@pytest.mark.parametrize("end", [FrameType.CANCEL, FrameType.CLOSE])
def test_a_message_that_is_given_up_leaves_nothing(end: FrameType) -> None:
    piece, last = frame(FrameType.REQUEST | MORE, 1, b"a"), frame(end, 1)
    data = GREETED + (piece + last) * (MOST_IN_PIECES + 1) + frame(FrameType.REQUEST, 1, b"b")
    found, broken = read(data)
    assert broken == ""
    assert found[1:] == [(end, 1, b"")] * (MOST_IN_PIECES + 1) + [(FrameType.REQUEST, 1, b"b")]


def test_a_small_message_of_a_number_may_come_amid_a_large_one() -> None:
    credit = frame(FrameType.CREDIT, 1, b"\0\0\0\1")
    data = frame(FrameType.BINARY | MORE, 1, b"a") + credit + frame(FrameType.BINARY, 1, b"b")
    assert read(GREETED + data)[0][1:] == [(FrameType.CREDIT, 1, b"\0\0\0\1"), (FrameType.BINARY, 1, b"ab")]


def test_names() -> None:
    assert split_name(named("echo") + b"payload") == (b"echo", b"payload")
    assert split_name(named("")) == (b"", b"")
    with pytest.raises(ValueError, match="256 octets"):
        named("x" * 256)


@pytest.mark.parametrize("payload", [b"", b"\x05echo"])
def test_a_payload_that_ends_within_its_name(payload: bytes) -> None:
    with pytest.raises(ValueError, match="ends within"):
        split_name(payload)
