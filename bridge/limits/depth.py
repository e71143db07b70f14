"""How deep a JSON text is nested, without reading it: what reads it would go as deep as it says."""

from __future__ import annotations

import re

# A text, to its end or to that of the data: brackets in it are no brackets. Possessive, so that it is linear.
_TEXT = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_OPENING, _CLOSING = b"[{", b"]}"
_NO_BRACKETS = bytes(set(range(256)) - set(_OPENING + _CLOSING))
_ALIKE = bytes.maketrans(b"{}", b"[]")


def is_deeper(text: str | bytes, most: int) -> bool:
    """Whether the JSON `text` opens more than `most` brackets within each other. False for what is not JSON, as
    far as that shows in its brackets: who reads it says so."""
    if isinstance(text, str):
        if text.count("[") + text.count("{") <= most:
            return False
        text = text.encode("utf-8", "surrogatepass")
    elif text.count(b"[") + text.count(b"{") <= most:
        return False
    # Without a backslash, every other piece between quotes is a text.
    bare = _TEXT.sub(b"", text) if b"\\" in text else b"".join(text.split(b'"')[::2])
    shape = bare.translate(_ALIKE, _NO_BRACKETS)
    for _ in range(most):
        flatter = shape.replace(b"[]", b"")  # without the innermost
        if len(flatter) == len(shape):
            return b"[" * (most + 1) in shape  # what is left has no other side
        shape = flatter
    return shape != b""
