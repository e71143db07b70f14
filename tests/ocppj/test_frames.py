"""What we write by ourselves, websockets reads as its own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from bridge.ocppj.frames import Keys, text_frame

_LENGTHS = [0, 1, 125, 126, 127, 65_535, 65_536, 70_000]


def read(octets: bytes, *, masked: bool) -> Frame:
    """The one frame in `octets`, as websockets sees it."""
    reader = StreamReader()
    reader.feed_data(octets)
    reading = Frame.parse(reader.read_exact, mask=masked)
    with pytest.raises(StopIteration) as done:
        next(reading)
    assert not reader.buffer
    frame: Frame = done.value.value
    return frame


@given(text=st.text(), masked=st.booleans())
def test_any_text_arrives_whole(text: str, masked: bool) -> None:
    frame = read(text_frame(text.encode(), masked=masked), masked=masked)
    assert (frame.opcode, frame.fin, bytes(frame.data).decode()) == (Opcode.TEXT, True, text)
    assert not (frame.rsv1 or frame.rsv2 or frame.rsv3)


@pytest.mark.parametrize("length", _LENGTHS)
@pytest.mark.parametrize("masked", [False, True])
def test_any_length_is_said_as_websockets_says_it(length: int, masked: bool) -> None:
    data = b"x" * length
    ours = text_frame(data, masked=masked)
    assert bytes(read(ours, masked=masked).data) == data
    assert len(ours) == len(Frame(Opcode.TEXT, data).serialize(mask=masked))


def test_no_key_is_used_twice() -> None:
    keys = Keys()
    drawn = [keys.next() for _ in range(3000)]
    assert {len(key) for key in drawn} == {4}
    # Of 3000 numbers of 32 bits, hardly any two are the same by chance; of a pool that is read twice, a thousand are.
    assert len(set(drawn)) > 2990
