"""Text in lines of so many columns. Knows terminals, and no message. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable

INDENT = "  "


def columns(text: str) -> int:
    """How many columns of a terminal `text` takes."""
    if text.isascii():
        return len(text)
    return sum(_columns_of(char) for char in text)


def _columns_of(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def deeper(indent: str, width: int) -> str:
    """The indent one level below; however deep, half of the width is left."""
    return (indent + INDENT)[: width // 2]


def wrapped(text: str, width: int, *, indent: str = "", hang: str = INDENT) -> list[str]:
    """`text` in lines of at most `width` columns, set in by `indent`, those after the first by `hang` as well."""
    lines, rest = [], indent + text
    while columns(rest) > width:
        at = _break(rest, width, len(indent) + len(hang) + 1)
        lines.append(rest[:at].rstrip(" "))
        rest = indent + hang + rest[at:].lstrip(" ")
    return [*lines, rest]


def _break(text: str, width: int, least: int) -> int:
    """Where to end the line: behind a space, or before a tag or a reference, if one is near; else where it is full."""
    full, used = 0, 0
    while full < len(text) and used + _columns_of(text[full]) <= width:
        used += _columns_of(text[full])
        full += 1
    near = range(full, max(least, full // 3), -1)
    return next((at for at in near if text[at - 1] == " " or text[at] in " <&"), max(full, least))


def joined(items: Iterable[str], width: int, *, indent: str = "", between: str = " ") -> list[str]:
    """`items` side by side as long as they fit, `between` them; one that fits no line is wrapped."""
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
    """`text`, with every character that does not print as `spell` writes it: none moves the cursor or hides."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else spell(ord(char)) for char in text)
