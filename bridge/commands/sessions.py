"""`sessions`: the Charge Points of a running gateway, as a table or as JSON."""

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
# The widest that a column gets on a terminal; the last takes what is left.
_WIDEST = 32
_TITLES = ("CHARGE POINT", "STATE", "SPEAKS", "CENTRAL SYSTEM", "LINK", "HEARD", "TX", "WAITING", "CALLS", "ERRORS")
_LAST = "LAST ERROR"
_RIGHT = ("HEARD", "TX", "WAITING", "CALLS", "ERRORS")


def run(where: asking.Where, glob: str | None, state: str | None, *, as_json: bool) -> int:
    """0; also if there are none. Raises OSError, and ConfigurationError."""
    gateway = asking.reach(where, os.environ)
    found = list(gateway.pages("/charge-points", identity=glob, state=state))
    if as_json:
        print(json.dumps(found, indent=2))
        return 0
    if not found:
        print("no Charge Point" if glob is None and state is None else "no Charge Point fits", file=sys.stderr)
        return 0
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for line in table([row_of(each, datetime.now(UTC)) for each in found], width):
        print(line)
    return 0


def row_of(one: dict[str, Any], now: datetime) -> tuple[str, ...]:
    """The cells of one Charge Point."""
    near, far = one["charge_point"], one["central_side"]
    return (
        one["identity"],
        f"{near['state']}, stale" if one["stale"] else near["state"],
        f"{near['transport']} {near['version']}",
        one["central_system"] or "no route",
        "" if far is None else far["state"],
        _ago(one["last_seen"], now),
        *(str(one[name]) for name in ("transactions", "waiting", "calls", "errors")),
        one["last_error"] or "",
    )


def _ago(moment: str | None, now: datetime) -> str:
    """How long ago that was, in the largest unit that fits."""
    if moment is None:
        return "never"
    seconds = max(0, int((now - datetime.fromisoformat(moment)).total_seconds()))
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def table(rows: Sequence[tuple[str, ...]], width: int | None) -> list[str]:
    """The lines: columns as wide as they need, `width` in all. What a stranger wrote cannot leave its cell."""
    printable = [tuple("".join(c if c.isprintable() else "?" for c in cell) for cell in row) for row in rows]
    titles = (*_TITLES, _LAST)
    widths = [max(len(row[index]) for row in (titles, *printable)) for index in range(len(titles))]
    if width is not None:
        widths = [min(each, _WIDEST) for each in widths[:-1]]
        left = width - sum(widths) - len(_GAP) * len(widths)
        widths.append(max(left, len(_LAST)))
    return [_line(row, titles, widths)[:width].rstrip() for row in (titles, *printable)]


def _line(row: tuple[str, ...], titles: tuple[str, ...], widths: list[int]) -> str:
    cells = []
    for cell, title, width in zip(row, titles, widths, strict=True):
        shown = cell if len(cell) <= width else f"{cell[: width - 1]}…"
        cells.append(shown.rjust(width) if title in _RIGHT else shown.ljust(width))
    return _GAP.join(cells)
