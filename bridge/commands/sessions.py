"""Command `sessions`: print the Charge Points of a running gateway, as a table or as JSON."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from bridge.commands import asking

_GAP = "  "
# Highest number of characters in a column on a terminal. The last column takes the rest of the line.
_WIDEST = 32
_TITLES = (
    *("CHARGE POINT", "STATE", "SPEAKS", "CENTRAL SYSTEM", "LINK", "HEARD"),
    *("TX", "WAITING", "CALLS", "ERRORS", "LAST ERROR"),
)
# Titles of columns with numbers, which are aligned to the right.
_RIGHT = (
    "HEARD",
    "TX",
    "WAITING",
    "CALLS",
    "ERRORS",
    "ID",
    "ALL",
    "DONE",
    "FAILED",
    "COMPARED",
    "DIFFER",
    "CLEAN",
    "SESSIONS",
    "DAYS",
)


def run(where: asking.Where, glob: str | None, state: str | None, *, as_json: bool) -> int:
    """Print the Charge Points. Returns 0, even if there are none.

    Args:
        where: The gateway.
        glob: Glob on the identity; None for all.
        state: A state of `bridge.core.state`; None for all.
        as_json: Whether to print all information as JSON.

    Raises:
        OSError: The gateway did not answer.
        ConfigurationError: The configuration or the URL of the gateway cannot be used.
    """
    gateway = asking.reach(where, os.environ)
    found = list(gateway.pages("/charge-points", identity=glob, state=state))
    if as_json:
        print(json.dumps(found, indent=2))
        return 0
    if not found:
        print("no Charge Point" if glob is None and state is None else "no Charge Point fits", file=sys.stderr)
        return 0
    show([row_of(each, datetime.now(UTC)) for each in found])
    return 0


def show(rows: Sequence[tuple[str, ...]], titles: tuple[str, ...] = _TITLES) -> None:
    """Print a table as wide as the terminal, or as wide as it is if standard output is no terminal."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for line in table(rows, width, titles):
        print(line)


def row_of(one: dict[str, Any], now: datetime) -> tuple[str, ...]:
    """Return the cells of a Charge Point's row. `one` is its entry in the admin API."""
    near, far = one["charge_point"], one["central_side"]
    return (
        one["identity"],
        one["state"],
        "" if near is None else f"{near['transport']} {near['version']}",
        one["central_system"] or "no route",
        "" if far is None else far["state"],
        _ago(one["last_seen"], now),
        *(str(one[name]) for name in ("transactions", "waiting", "calls", "errors")),
        one["last_error"] or "",
    )


def _ago(moment: str | None, now: datetime) -> str:
    """Return the time since `moment`, in the largest unit of which there are at least two."""
    if moment is None:
        return "never"
    seconds = max(0, int((now - datetime.fromisoformat(moment)).total_seconds()))
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def table(rows: Sequence[tuple[str, ...]], width: int | None, titles: tuple[str, ...] = _TITLES) -> list[str]:
    """Return the lines of the table. Columns are as wide as their longest cell, within `width` characters in total.

    Characters that do not print are replaced, so that no text of a Charge Point can affect another cell.
    """
    printable = [tuple("".join(c if c.isprintable() else "?" for c in cell) for cell in row) for row in rows]
    widths = [max(len(row[index]) for row in (titles, *printable)) for index in range(len(titles))]
    if width is not None:
        widths = [min(each, _WIDEST) for each in widths[:-1]]
        left = width - sum(widths) - len(_GAP) * len(widths)
        widths.append(max(left, len(titles[-1])))
    return [_line(row, titles, widths)[:width].rstrip() for row in (titles, *printable)]


def _line(row: tuple[str, ...], titles: tuple[str, ...], widths: list[int]) -> str:
    cells = []
    for cell, title, width in zip(row, titles, widths, strict=True):
        shown = cell if len(cell) <= width else f"{cell[: width - 1]}…"
        cells.append(shown.rjust(width) if title in _RIGHT else shown.ljust(width))
    return _GAP.join(cells)
