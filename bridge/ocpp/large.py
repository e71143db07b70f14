"""How large a message is: whether decoding or encoding the message holds the event loop for long."""

from __future__ import annotations

from msgspec import Struct

LARGE = 6_144
"""Octets from which a message is large. A MeterValues with 20 values has fewer, whatever qualifies them."""
# Commas from which a message is large, too: each may divide two values in JSON.
_MANY_PARTS = 600
# List items in a decoded message that takes as long to encode as a message of LARGE octets takes to decode.
_MANY = 150


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
