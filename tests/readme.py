"""The README's table of losses, made from the code. `python -m tests.readme` writes it into the README."""

from __future__ import annotations

import re
from pathlib import Path

import bridge
from bridge.ocpp.losses import Reason
from tests.losses import SOURCES

README = Path(bridge.__file__).parents[1] / "README.md"
_MARKED = re.compile(r"(<!-- losses: [^>]*-->\n)(.*?)(<!-- end of losses -->)", re.DOTALL)


def table() -> str:
    """One line for each Reason: what is lost, and reading or writing what."""
    rows = [f"| {reason.value} | {', '.join(SOURCES[reason])} |" for reason in Reason]
    return "\n".join(["| what is lost | when reading from, or writing to |", "|---|---|", *rows, ""])


def shown(text: str) -> str:
    """What stands between the marks."""
    match = _MARKED.search(text)
    assert match is not None, "the README has no marks for the table of losses"
    return match[2]


def rewritten(text: str) -> str:
    """The text with the table as it ought to be."""
    return _MARKED.sub(lambda match: match[1] + table() + match[3], text)


if __name__ == "__main__":
    README.write_text(rewritten(README.read_text("utf-8")), "utf-8")
