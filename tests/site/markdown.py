"""Write Markdown."""

from __future__ import annotations

from collections.abc import Iterable


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table with these columns. A vertical bar in a cell is escaped."""
    columns = [*header]
    lines = [_line(columns), "|" + "---|" * len(columns), *map(_line, rows)]
    return "\n".join(lines) + "\n"


def _line(cells: Iterable[str]) -> str:
    return "|" + "".join(f" {cell} |" if cell else " |" for cell in (cell.replace("|", "\\|") for cell in cells))


def code(text: str) -> str:
    """Return `text` as code."""
    return f"`{text}`"


def words(items: Iterable[str], last: str = "or") -> str:
    """Return a list in words: `a, b or c`."""
    *firsts, end = items
    return f"{', '.join(firsts)} {last} {end}" if firsts else end
