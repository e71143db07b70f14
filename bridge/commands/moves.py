"""Commands `move` and `moves`: move Charge Points of a running gateway to another Central System, and steer that."""

from __future__ import annotations

import csv
import json
import os
import re
import sys
from collections.abc import Mapping
from fnmatch import translate
from pathlib import Path
from typing import Any

from bridge.commands import asking, sessions
from bridge.commands.terminal import say

_MOVES = ("ID", "STATE", "TO", "CHARGE POINTS", "ALL", "DONE", "WAITING", "FAILED", "REASON")
_MEMBERS = ("CHARGE POINT", "STATE", "BEFORE", "REASON")
_WAITING = ("CHARGE POINT", "WAITS FOR", "TX", "WHO")


def move(
    where: asking.Where, glob: str | None, file: Path | None, central_system: str, options: Mapping[str, Any]
) -> int:
    """Begin a move, or print who would move. Returns 0; 1 if the file has no identity that fits.

    Args:
        where: The gateway.
        glob: Glob on the identities; None for all of `file`.
        file: CSV file with identities; None for the Charge Points that the gateway knows.
        central_system: The name of the new Central System.
        options: The members of the request that options give, by name.

    Raises:
        OSError: The gateway did not answer, or refused; or the file cannot be read.
        ConfigurationError: The configuration or the URL of the gateway cannot be used.
    """
    chosen: str | list[str] = glob or "*"
    if file is not None:
        chosen = identities(file, glob)
        if not chosen:
            say(f"ocpp-bridge move: {file}: no identity {'fits' if glob else 'is in it'}", sys.stderr)
            return 1
    gateway = asking.reach(where, os.environ)
    begun = gateway.send("POST", "/moves", {"charge_points": chosen, "central_system": central_system, **options})
    if options["dry_run"]:
        for member in begun["members"]:
            say(member["identity"])
        say(f"{begun['total']} would move to {central_system}", sys.stderr)
        return 0
    say(
        f"move {begun['id']}: {begun['total']} to {central_system}; `ocpp-bridge moves {begun['id']}` shows how it goes"
    )
    return 0


def identities(file: Path, glob: str | None) -> list[str]:
    """Return the identities in the first column of a CSV file that fit `glob`, None for all.

    Raises:
        OSError: The file cannot be read, or is no text in UTF-8.
    """
    fits = re.compile(translate((glob or "*").casefold())).match
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            first = [row[0].strip() for row in csv.reader(lines) if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise OSError(f"{file}: it is no CSV file in UTF-8: {error}") from error
    if first and first[0].casefold() == "identity":
        del first[0]
    return [each for each in first if each and not each.startswith("#") and fits(each.casefold())]


def show(where: asking.Where, number: str | None, *, as_json: bool) -> int:
    """Print all moves, or one with its Charge Points. Returns 0.

    Args:
        where: The gateway.
        number: The number of the move, None for all.
        as_json: Whether to print all information as JSON.

    Raises:
        OSError: The gateway did not answer, or there is no such move.
        ConfigurationError: The configuration or the URL of the gateway cannot be used.
    """
    gateway = asking.reach(where, os.environ)
    found = gateway.get("/moves" if number is None else f"/moves/{number}")
    if as_json:
        print(json.dumps(found, indent=2))
    elif number is None:
        _show_all(found)
    else:
        sessions.show([_row(found)], _MOVES)
        print()
        sessions.show([_member(each) for each in found["members"]], _MEMBERS)
    return 0


def tell(where: asking.Where, number: str, what: str, *, as_json: bool) -> int:
    """Pause, resume or roll back a move. Returns 0.

    Args:
        where: The gateway.
        number: The number of the move.
        what: "pause", "resume" or "rollback".
        as_json: Whether to print all information as JSON.

    Raises:
        OSError: The gateway did not answer, or refused.
        ConfigurationError: The configuration or the URL of the gateway cannot be used.
    """
    told = asking.reach(where, os.environ).send("POST", f"/moves/{number}/{what}")
    if as_json:
        print(json.dumps(told, indent=2))
    else:
        say(f"move {number}: {_words(told['state'])}")
    return 0


def _show_all(found: dict[str, Any]) -> None:
    if found["items"]:
        sessions.show([_row(each) for each in found["items"]], _MOVES)
    else:
        print("no move", file=sys.stderr)
    if found["waiting"]:
        print()
        rows = [
            (each["identity"], each["central_system"] or "no route", str(each["open_transactions"]), each["who"])
            for each in found["waiting"]
        ]
        sessions.show(rows, _WAITING)


def _row(one: dict[str, Any]) -> tuple[str, ...]:
    counts = one["counts"]
    numbers = (one["total"], counts["done"], counts["waits_for_idle"], counts["failed"])
    named = (str(one["id"]), _words(one["state"]), one["central_system"], one["selection"])
    return *named, *map(str, numbers), one["reason"]


def _member(one: dict[str, Any]) -> tuple[str, ...]:
    return one["identity"], _words(one["state"]), one["before"] or "its route's", one["reason"]


def _words(state: str) -> str:
    return state.replace("_", " ")
