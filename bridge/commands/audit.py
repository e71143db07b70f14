"""Command `audit`: print or export what operators did, as a running gateway has it."""

from __future__ import annotations

import csv
import io
import os
import sys
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from bridge.commands import asking
from bridge.commands.asking import AdminClient, Where
from bridge.commands.output import write_private
from bridge.commands.terminal import escaped_json, say, say_json

# Number of entries that are shown without --since.
_LINES = 50
_COLUMNS = ("id", "at", "identity", "who", "what", "detail", "outcome")
# A cell that begins with one of these is a formula to a spreadsheet. Charge Points choose identities.
_FORMULAS = ("=", "+", "-", "@", "\t", "\r")


class AuditWanted(Struct, frozen=True, kw_only=True):
    """The options of the command.

    Attributes:
        identity: Glob on the identity; None for all.
        who: Glob on the operator; None for all.
        what: Glob on the action; None for all.
        since: Time of the oldest entry; None for the last entries, or for all if `export` is given.
        until: Time before which the newest entry is; None for now.
        export: File for the entries; "-" is standard output.
        as_json: Whether to print each entry as a line of JSON.
    """

    identity: str | None = None
    who: str | None = None
    what: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    export: Path | None = None
    as_json: bool = False


def run(where: Where, wanted: AuditWanted) -> int:
    """Show or export the entries. Returns exit code 0.

    Raises:
        AskingError: The gateway did not answer, or refused.
        ConfigurationError: The configuration or the URL of the gateway cannot be used.
        OSError: The file cannot be written.
    """
    gateway = asking.reach(where, os.environ)
    if wanted.export is not None:
        return _export(_entries(gateway, wanted), wanted.export)
    for entry in reversed(list(_entries(gateway, wanted))):
        if wanted.as_json:
            say_json(entry)
        else:
            say(line(entry))
    return 0


def _entries(gateway: AdminClient, wanted: AuditWanted) -> Iterator[dict[str, Any]]:
    """Yield the entries, the newest first: all that are wanted, or the last ones if no time and no file is named."""
    query = {
        "identity": wanted.identity,
        "who": wanted.who,
        "what": wanted.what,
        "since": None if wanted.since is None else wanted.since.isoformat(),
        "until": None if wanted.until is None else wanted.until.isoformat(),
    }
    if wanted.since is None and wanted.export is None:
        yield from gateway.get("/audit", limit=_LINES, **query)["items"]
    else:
        yield from gateway.pages("/audit", **query)


def line(entry: dict[str, Any]) -> str:
    """Return the line that shows an entry of the admin API."""
    clock = f"{datetime.fromisoformat(entry['at']).astimezone():%Y-%m-%d %H:%M:%S}"
    what = f"{entry['what']} {entry['detail']}".rstrip()
    return f"{clock}  {entry['identity']}  {entry['who']}  {what}  {entry['outcome']}"


def _export(entries: Iterable[dict[str, Any]], to: Path) -> int:
    """Write the entries page by page, so that their number does not matter."""
    written = count()
    lines = (_counted(line, written) for line in (_csv(entries) if to.suffix == ".csv" else _json(entries)))
    if str(to) == "-":
        for text in lines:
            sys.stdout.buffer.write(text)
        sys.stdout.buffer.flush()
    else:
        write_private(to, lines)
        print(f"{to}: {next(written) - (to.suffix == '.csv')} entries")
    return 0


def _counted(line: bytes, written: Iterator[int]) -> bytes:
    next(written)
    return line


def _json(entries: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    for entry in entries:
        yield f"{escaped_json(msgspec.json.encode(entry))}\n".encode()


def _csv(entries: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    """Yield the lines of a CSV file (RFC 4180) with a header. An apostrophe is put before what looks like a formula."""
    yield _csv_line(_COLUMNS)
    for entry in entries:
        yield _csv_line([_cell(str(entry[name])) for name in _COLUMNS])


def _cell(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULAS) else text


def _csv_line(cells: Iterable[str]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerow(cells)
    return text.getvalue().encode()
