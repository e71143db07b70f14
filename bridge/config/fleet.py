"""Read and write a CSV file of Charge Points: RFC 4180, in UTF-8, with a header that names the columns.

A column is `identity` or a key of the table `[charge_points."ID"]`, with the keys of its table `tls` written `tls.ca`.
An empty cell sets the default of the key. A column that is left out leaves the key as it is. The networks in a cell are
separated by blanks.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from msgspec import Struct

from bridge.config.complaints import quote, unknown_key
from bridge.config.provisioned import KEYS, SECRETS, TLS, TLS_KEYS, Raw, identity_fault
from bridge.ocpp import identity as identities

IDENTITY, _NETWORKS = "identity", "networks"
_TLS_COLUMNS = {f"{TLS}.{key}": key for key in TLS_KEYS}
COLUMNS = (IDENTITY, *(key for key in KEYS if key != TLS), *_TLS_COLUMNS)
# The columns of an export, which shows no secret.
SHOWN = tuple(column for column in COLUMNS if column not in SECRETS)
_BOMS_OF_UTF16 = (b"\xff\xfe", b"\xfe\xff")


class BadLine(Struct, frozen=True, kw_only=True):
    """A line that cannot be used. `column` and `identity` are "" if the fault is not in one of them."""

    line: int
    text: str
    column: str = ""
    identity: str = ""


class FleetRow(Struct, frozen=True, kw_only=True):
    """A Charge Point in the file. `cells` has the text of each column besides the identity."""

    line: int
    identity: str
    cells: Mapping[str, str]

    def applied_to(self, raw: Raw) -> dict[str, Any]:
        """Return the raw settings of the Charge Point, which are `raw` now, after the row is applied."""
        changed, tls = dict(raw), dict(raw.get(TLS, {}))
        for column, text in self.cells.items():
            table, key = (tls, _TLS_COLUMNS[column]) if column in _TLS_COLUMNS else (changed, column)
            table.pop(key, None)
            if text:
                table[key] = text.split() if key == _NETWORKS else text
        changed.pop(TLS, None)
        return changed | ({TLS: tls} if tls else {})


class Fleet(Struct, frozen=True, kw_only=True):
    """The content of a file: the rows that can be used, and the lines that cannot."""

    rows: tuple[FleetRow, ...] = ()
    bad: tuple[BadLine, ...] = ()


def parse(octets: bytes) -> Fleet:
    """Read a CSV file. Finds bad lines by themselves and doubled identities; `provisioned` checks the settings."""
    if octets.startswith(_BOMS_OF_UTF16):
        return Fleet(bad=(BadLine(line=1, text="the file is UTF-16; save it as CSV in UTF-8"),))
    try:
        text = octets.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = octets.count(b"\n", 0, error.start) + 1
        return Fleet(bad=(BadLine(line=line, text="not UTF-8; save the file as CSV in UTF-8"),))
    return _parse(text)


def _parse(text: str) -> Fleet:
    lines = _Lines(text)
    first = next(lines.cells(), None)
    if first is None:
        return Fleet(bad=(*lines.bad, BadLine(line=1, text="the file is empty; its first line names the columns")))
    header = [name.strip().lower() for name in first[1]]
    if faults := [BadLine(line=first[0], column=name, text=fault) for name, fault in _header_faults(header)]:
        return Fleet(bad=tuple(faults))
    rows: dict[str, FleetRow] = {}
    bad: list[BadLine] = []
    for line, cells in lines.cells():
        row, fault = _row(line, header, cells)
        known = rows.get(identities.normal(row.identity).casefold())
        if not fault and known is not None:
            fault = f"the same Charge Point is in line {known.line}"
        if fault:
            bad.append(BadLine(line=line, identity=row.identity, text=fault))
        else:
            rows[identities.normal(row.identity).casefold()] = row
    return Fleet(rows=tuple(rows.values()), bad=(*bad, *lines.bad))


class _Lines:
    """Reads the lines with their numbers. Reading ends at a line that is not CSV: what follows cannot be told apart."""

    def __init__(self, text: str) -> None:
        self._reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        self.bad: list[BadLine] = []

    def cells(self) -> Iterator[tuple[int, list[str]]]:
        """Yield the number of the first line and the cells of each row that is left. A row may span several lines."""
        while True:
            line = self._reader.line_num + 1
            try:
                cells = next(self._reader)
            except StopIteration:
                return
            except csv.Error as error:
                self.bad.append(BadLine(line=line, text=f"not CSV: {error}"))
                return
            if cells:
                yield line, cells


def _header_faults(header: list[str]) -> Iterator[tuple[str, str]]:
    if len(header) == 1 and (";" in header[0] or "\t" in header[0]):
        yield "", "the columns are separated by commas"
        return
    for index, name in enumerate(header):
        if name not in COLUMNS:
            yield name, unknown_key(name, COLUMNS).replace("key", "column", 1)
        elif name in header[:index]:
            yield name, "the column is there twice"
    if IDENTITY not in header:
        yield IDENTITY, "the column is missing"


def _row(line: int, header: list[str], cells: list[str]) -> tuple[FleetRow, str]:
    """Return the row, and its fault or ""."""
    named = dict(zip(header, cells, strict=False))
    row = FleetRow(line=line, identity=named.pop(IDENTITY, ""), cells=named)
    if len(cells) != len(header):
        return row, f"has {len(cells)} cells, and the header has {len(header)}"
    return row, identity_fault(row.identity)


def written(charge_points: Iterable[tuple[str, Raw]]) -> tuple[str, list[str]]:
    """Return the header and the rows of a CSV file of Charge Points with these raw settings, without their secrets."""
    header, rows = _line(SHOWN), []
    for identity, raw in charge_points:
        tls = raw.get(TLS, {})
        values = {IDENTITY: identity} | dict(raw) | {column: tls.get(key, "") for column, key in _TLS_COLUMNS.items()}
        values[_NETWORKS] = " ".join(map(str, raw.get(_NETWORKS, ())))
        rows.append(_line([values.get(column, "") for column in SHOWN]))
    return header, rows


def _line(cells: Iterable[object]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text).writerow(cells)
    return text.getvalue()


def described(bad: BadLine) -> str:
    """Return the sentence about a bad line: its place, its Charge Point and its fault."""
    where = f"line {bad.line}" + (f", column {bad.column}" if bad.column else "")
    who = f" ({quote(bad.identity)})" if bad.identity else ""
    return f"{where}{who}: {bad.text}"
