"""Show an OCPP-J frame as lines for a reader. Pure.

A value that fits on one line is shown on one line. Numbers keep the digits of the wire. A character in a text is
escaped only when it is not printable.
"""

from __future__ import annotations

import json
from typing import Any

from bridge.lab.demo.lines import INDENT, columns, deeper, joined, printable, wrapped


class _Number(str):
    """A number in its spelling on the wire: 16.0 is not 16."""

    __slots__ = ()


def json_lines(text: str, width: int) -> list[str]:
    """Return the lines for the frame `text`, at most `width` columns each. A long payload is broken into lines.

    Raises ValueError for a text that is not JSON.
    """
    frame = json.loads(text, parse_float=_Number, parse_int=_Number, parse_constant=_Number)
    flat = _flat(frame)
    if columns(flat) <= width or not (isinstance(frame, list) and frame and isinstance(frame[-1], dict) and frame[-1]):
        return wrapped(flat, width)
    *head, payload = frame
    lines = joined([*map(_flat, head), "{"], width - 1, between=", ")
    for item in _items(payload):
        lines += _item(*item, INDENT, width)
    return ["[" + lines[0], *lines[1:], "}]"]


def _items(value: Any) -> list[tuple[str, Any, str]]:
    """Return the items of an object or an array: the key or "", the value, and "," or "" after the last item."""
    pairs = [(_quoted(k) + ": ", v) for k, v in value.items()] if isinstance(value, dict) else [("", v) for v in value]
    return [(key, item, "," if number < len(pairs) else "") for number, (key, item) in enumerate(pairs, start=1)]


def _item(key: str, value: Any, comma: str, indent: str, width: int) -> list[str]:
    flat = key + _flat(value) + comma
    if columns(indent + flat) <= width or not isinstance(value, dict | list):
        return wrapped(flat, width, indent=indent)
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return [
        *wrapped(key + opening, width, indent=indent),
        *_inner(value, deeper(indent, width), width),
        indent + closing + comma,
    ]


def _inner(value: Any, indent: str, width: int) -> list[str]:
    """Return the lines of the items in `value`. Simple items share lines; if any item is nested, each item is alone."""
    items = _items(value)
    if not any(isinstance(item, dict | list) for _, item, _ in items):
        return joined((key + _flat(item) for key, item, _ in items), width, indent=indent, between=", ")
    return [line for item in items for line in _item(*item, indent, width)]


def _flat(value: Any) -> str:
    match value:
        case dict():
            return "{" + ", ".join(f"{_quoted(key)}: {_flat(item)}" for key, item in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(_flat, value)) + "]"
        case _Number():
            return str(value)
        case str():
            return _quoted(value)
    return json.dumps(value)


def _quoted(text: str) -> str:
    return printable(json.dumps(text, ensure_ascii=False), lambda code: json.dumps(chr(code))[1:-1])
