"""A text message as one WebSocket frame, ready to be written (RFC 6455 section 5.2).

What the bridge sends is never fragmented and never compressed. websockets makes an object of each frame, looks at it
three times and asks the kernel for each key: a third of what it costs to pass a message on.
"""

from __future__ import annotations

import os
from struct import pack

from websockets.frames import apply_mask  # type: ignore[attr-defined]  # in C where that is built

_FINAL_TEXT, _MASKED = 0x81, 0x80
# In seven bits; in two octets more.
_SHORT, _MEDIUM = 125, 65_535
_KEY, _KEYS = 4, 1024


class Keys:
    """Masking keys, each used once. RFC 6455 section 10.3: "unpredictable"; they are the kernel's, taken many at a
    time."""

    def __init__(self) -> None:
        self._octets = b""
        self._used = 0

    def next(self) -> bytes:
        """Four octets."""
        begin = self._used
        if begin == len(self._octets):
            self._octets, begin = os.urandom(_KEY * _KEYS), 0
        self._used = begin + _KEY
        return self._octets[begin : self._used]


_next_key = Keys().next


def text_frame(data: bytes, *, masked: bool) -> bytes:
    """The frame around `data`, which is UTF-8; `masked`, as all that a client sends."""
    length, mask = len(data), _MASKED if masked else 0
    if length <= _SHORT:
        head = pack("!BB", _FINAL_TEXT, mask | length)
    elif length <= _MEDIUM:
        head = pack("!BBH", _FINAL_TEXT, mask | 126, length)
    else:
        head = pack("!BBQ", _FINAL_TEXT, mask | 127, length)
    if not masked:
        return head + data
    key = _next_key()
    return b"".join((head, key, apply_mask(data, key)))
