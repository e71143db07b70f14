"""The pages of the site and the README, and the blocks of code in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import bridge

ROOT = Path(bridge.__file__).resolve().parents[1]
DOCS = ROOT / "docs"
README = ROOT / "README.md"
PAGES: tuple[Path, ...] = (README, *sorted(DOCS.rglob("*.md")))
"""The README and every page of the site."""

_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>\w*)[^\n]*\n(?P<text>.*?)^(?P=indent)```$", re.DOTALL | re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Block:
    """A block of code in a page.

    Attributes:
        page: Path of the page, below the project's folder.
        line: Line of the page on which the block begins.
        language: Word after the fence; "" for none.
        text: Content, without the indentation of the fence.
    """

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks_of(page: Path) -> Iterator[Block]:
    """Return the blocks of code in `page`, in order."""
    text = page.read_text("utf-8")
    for found in _FENCE.finditer(text):
        content = re.sub(rf"^{found['indent']}", "", found["text"], flags=re.MULTILINE)
        line = text.count("\n", 0, found.start()) + 1
        yield Block(str(page.relative_to(ROOT)), line, found["language"], content)


def blocks(*languages: str) -> list[Block]:
    """Return the blocks of all pages in one of `languages`."""
    return [block for page in PAGES for block in blocks_of(page) if block.language in languages]
