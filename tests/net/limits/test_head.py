"""The head of a request, in whatever pieces it comes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.net.limits.head import HeadLimits


def fed(pieces: list[bytes], octets: int = 1000, lines: int = 3) -> str | bool:
    """What is said of it, or whether it is complete."""
    head = HeadLimits(most_octets=octets, most_lines=lines)
    for piece in pieces:
        if (broken := head.feed(piece)) is not None:
            return broken
    return head.complete


LINE = b"POST / HTTP/1.1\r\n"


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (LINE + b"A: b\r\n\r\n", True),
        (LINE + b"A: b\r\n", False),
        (b"", False),
        (LINE + b"A: b\r\nC: d\r\nE: f\r\n\r\n" + b"body\n" * 1000, True),
        (LINE + b"A: b\r\nC: d\r\nE: f\r\nG: h\r\n\r\n", "the request has more than 3 headers (limits.header_count)"),
        (LINE + b"A: " + b"b" * 1000, "the head of the request has more than 1000 octets (limits.header_bytes)"),
        (LINE + b"\n" * 4, "the request has more than 3 headers (limits.header_count)"),
        (b"\x16\x03\x01" + b"x" * 2000, "the head of the request has more than 1000 octets (limits.header_bytes)"),
    ],
)
@given(data=st.data())
def test_it_is_the_same_in_any_pieces(data: st.DataObject, head: bytes, said: str | bool) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, min(len(head), 1200)), max_size=8)))
    pieces = [head[start:end] for start, end in zip([0, *cuts], [*cuts, len(head)], strict=True)]
    assert fed(pieces) == said


def test_the_last_header_may_come_without_what_ends_the_head() -> None:
    assert fed([LINE + b"A: b\r\nC: d\r\nE: f\r\n", b"\r\nbody\n"]) is True


def test_after_its_end_nothing_is_looked_at() -> None:
    assert fed([LINE + b"\r\n", b"x\n" * 10_000]) is True
