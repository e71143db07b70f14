"""Answers that are a CSV file for a spreadsheet, written row by row, so that a long table takes little memory."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Sequence

from aiohttp import web

from bridge.admin.endpoints import CSV

Cell = str | int | float | None
# A spreadsheet takes a text that begins with one of these for a formula. Charge Points write some of the texts.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
# The characters after which rows are sent.
_CHUNK = 32_768


async def csv_file(
    request: web.Request, name: str, header: Sequence[str], rows: AsyncIterator[list[Cell]]
) -> web.StreamResponse:
    """Answer `request` with a CSV file.

    Args:
        request: The request.
        name: The name under which a browser saves the file.
        header: The names of the columns.
        rows: The rows. A text that a spreadsheet would take for a formula gets an apostrophe before it.

    Returns:
        The response, which was sent.
    """
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Content-Type": f"{CSV}; charset=utf-8"}
    response = web.StreamResponse(headers=headers)
    await response.prepare(request)
    lines = io.StringIO()
    writer = csv.writer(lines)
    writer.writerow(header)
    async for row in rows:
        writer.writerow([_harmless(cell) for cell in row])
        if lines.tell() > _CHUNK:
            await response.write(_taken(lines))
    await response.write(_taken(lines))
    await response.write_eof()
    return response


def _harmless(cell: Cell) -> Cell:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell


def _taken(lines: io.StringIO) -> bytes:
    """Return what was written to `lines`, and empty it. Half a surrogate pair becomes a question mark."""
    data = lines.getvalue().encode("utf-8", "replace")
    lines.seek(0)
    lines.truncate()
    return data
