"""Print texts of other parties so that they cannot control the terminal, hide characters or forge a line.

Charge Points and Central Systems choose identities, reasons and texts. ESC and the C1 controls begin commands to a
terminal; U+202E and similar characters show a text backwards; a line break forges a line. All of these are escaped.
"""

from __future__ import annotations

import sys
from typing import TextIO

import msgspec

from bridge.config.complaints import one_line


def say(text: str, stream: TextIO | None = None) -> None:
    """Print `text` as one line, without buffering, to `stream`, by default standard output."""
    print(one_line(text), file=sys.stdout if stream is None else stream, flush=True)


def say_json(value: object) -> None:
    """Print `value` as one line of JSON, without buffering."""
    print(escaped_json(msgspec.json.encode(value)), flush=True)


def escaped_json(line: bytes) -> str:
    """Return an equal line of JSON, in which all characters that do not print are escaped as in JSON."""
    text = line.decode()
    return text if text.isprintable() else "".join(map(_escaped, text))


def _escaped(char: str) -> str:
    if char.isprintable():
        return char
    units = char.encode("utf-16-be")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))
