"""Break text into lines of a number of terminal columns. Knows no OCPP message. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable

INDENT = "  "


def columns(text: str) -> int:
    """Return the number of terminal columns that `text` takes."""
    if text.isascii():
        return len(text)
    return sum(_columns_of(char) for char in text)


def _columns_of(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def deeper(indent: str, width: int) -> str:
    """Return `indent` one level deeper, but at most half of `width`, so that half of each line remains for text."""
    return (indent + INDENT)[: width // 2]


def wrapped(text: str, width: int, *, indent: str = "", hang: str = INDENT) -> list[str]:
    """Return `text` as lines of at most `width` columns.

    Args:
        text: The text to break.
        width: The most columns of a line.
        indent: The start of every line.
        hang: The text after `indent` on every line but the first.
    """
    lines, rest = [], indent + text
    while columns(rest) > width:
        at = _break(rest, width, len(indent) + len(hang) + 1)
        lines.append(rest[:at].rstrip(" "))
        rest = indent + hang + rest[at:].lstrip(" ")
    return [*lines, rest]


def _break(text: str, width: int, least: int) -> int:
    """Return the index at which to end the line.

    The index is after a space, or before a tag or a reference, if there is one near the end of the line. Otherwise the
    line is filled.

    Args:
        text: The text to break.
        width: The most columns of the line.
        least: The least number of characters on the line.
    """
    full, used = 0, 0
    while full < len(text) and used + _columns_of(text[full]) <= width:
        used += _columns_of(text[full])
        full += 1
    near = range(full, max(least, full // 3), -1)
    return next((at for at in near if text[at - 1] == " " or text[at] in " <&"), max(full, least))


def joined(items: Iterable[str], width: int, *, indent: str = "", between: str = " ") -> list[str]:
    """Return `items` side by side on as few lines as possible. An item that is longer than a line is wrapped.

    Args:
        items: The texts to join.
        width: The most columns of a line.
        indent: The start of every line.
        between: The text between two items.
    """
    lines: list[str] = []
    row = ""
    for item in items:
        longer = f"{row}{between}{item}" if row else item
        if row and columns(indent + longer + between.rstrip()) > width:
            lines += wrapped(row + between.rstrip(), width, indent=indent)
            longer = item
        row = longer
    return [*lines, *wrapped(row, width, indent=indent)] if row else lines


def printable(text: str, spell: Callable[[int], str]) -> str:
    """Return `text` with `spell` of each unprintable character, so that no character moves the cursor or is hidden."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else spell(ord(char)) for char in text)
