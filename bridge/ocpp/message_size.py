"""The size of a message: whether it is large, and how deep and how full a JSON text is before it is parsed.

To decode or encode a large message holds the event loop for long. A parser of JSON recurses as deep as the text is
nested, and creates an object for each member.
"""

from __future__ import annotations

from msgspec import Struct

LARGE = 6_144
"""Octets from which a message is large. A MeterValues with 20 values has fewer, whatever qualifies them."""
# Commas from which a message is large, too: each may divide two values in JSON.
_MANY_PARTS = 600
# List items in a decoded message that takes as long to encode as a message of LARGE octets takes to decode.
_MANY = 150
# Octets that one step looks at. A step holds the interpreter's lock, which the event loop wants while a thread reads a
# large message: this one holds it for less than a millisecond, whatever the octets are.
_STEP = 16_384
_OPENING, _CLOSING = b"[{", b"]}"
_NO_BRACKETS = bytes(set(range(256)) - set(_OPENING + _CLOSING))
_BLANKS = b" \t\r\n"
_ALIKE = bytes.maketrans(b"{}", b"[]")


def takes_long(data: bytes) -> bool:
    """Return whether decoding the message `data`, JSON or XML, may hold the event loop for long."""
    return len(data) > LARGE or data.count(b",") > _MANY_PARTS


def is_large(record: Struct) -> bool:
    """Return whether encoding `record` takes as long as decoding a large message."""
    return _items(record, 0) > _MANY


def _items(record: Struct, above: int) -> int:
    """Return `above` plus the number of list items in `record`. A long text counts as several items.

    Counting ends as soon as the number exceeds _MANY.
    """
    items = above
    for name in record.__struct_fields__:
        value = getattr(record, name)
        if isinstance(value, str):
            items += len(value) // (LARGE // _MANY)
        elif isinstance(value, tuple):
            items += len(value)
            for item in value:
                if items > _MANY:
                    return items
                if isinstance(item, Struct):
                    items = _items(item, items)
        elif isinstance(value, Struct):
            items = _items(value, items)
        if items > _MANY:
            return items
    return items


def is_deeper(text: str | bytes, most: int) -> bool:
    """Return whether the JSON `text` nests more than `most` brackets.

    Returns False if the brackets show that `text` is not JSON: the parser will refuse it.
    """
    if isinstance(text, str):
        if text.count("[") + text.count("{") <= most:
            return False
        text = text.encode("utf-8", "surrogatepass")
    elif text.count(b"[") + text.count(b"{") <= most:
        return False
    shape = _bare(text).translate(_ALIKE, _NO_BRACKETS)
    for _ in range(most):
        flatter = shape.replace(b"[]", b"")  # without the innermost pairs
        if len(flatter) == len(shape):
            return b"[" * (most + 1) in shape  # the brackets that are left have no partner
        shape = flatter
    return shape != b""


def has_more_members(text: str | bytes, most: int) -> bool:
    """Return whether the objects and lists of the JSON `text` have more than `most` members and items in total.

    The result for a text that is not JSON does not matter: the parser will refuse it.
    """
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if data.count(b",") + data.count(b"[") + data.count(b"{") <= most:
        return False
    bare = _bare(data).translate(None, _BLANKS)
    # An object or list that is not empty has one member more than it has commas.
    filled = bare.count(b"[") - bare.count(b"[]") + bare.count(b"{") - bare.count(b"{}")
    return bare.count(b",") + filled > most


def _bare(text: bytes) -> bytes:
    """Return the JSON `text` with all strings emptied."""
    if b"\\" in text:  # an escaped quote ends no string
        text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    bare, start = [], 0
    while start < len(text):
        end = start + _STEP
        if text.count(b'"', start, end) % 2:  # a string goes on behind it
            end = text.find(b'"', end) + 1 or len(text)
        bare.append(b'""'.join(text[start:end].split(b'"')[::2]))  # every second piece between quotes is a string
        start = end
    return b"".join(bare)
