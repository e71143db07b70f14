"""Commands `charge-points remove`, `import` and `export`: forget Charge Points, and give them settings."""

from __future__ import annotations

import os
import sys
from http import HTTPStatus
from pathlib import Path
from typing import Any

from bridge.commands import asking
from bridge.commands.asking import AskingError
from bridge.commands.terminal import say


def remove(where: asking.Where, glob: str, *, never_accepted: bool, everybody: bool) -> int:
    """Remove the Charge Points whose identity matches `glob`.

    Args:
        where: The gateway.
        glob: Glob, without regard to letter case.
        never_accepted: Remove only Charge Points whose BootNotification no Central System has ever accepted.
        everybody: Allow a glob with wildcards to remove accepted Charge Points.

    Returns:
        0 if done, 1 if no Charge Point matches, 2 if a glob with wildcards has neither option.

    Raises:
        OSError: The gateway did not answer, or refused.
        ConfigurationError: The configuration or the URL of the gateway cannot be used.
    """
    if not never_accepted and not everybody and any(char in glob for char in "*?["):
        text = f"{glob!r} may fit Charge Points that work: say --never-accepted, or --all if they are meant"
        say(f"ocpp-bridge charge-points remove: {text}", sys.stderr)
        return 2
    gateway = asking.reach(where, os.environ)
    accepted = "false" if never_accepted else None
    found = gateway.pages("/charge-points", identity=glob, accepted=accepted)
    # A Charge Point that was never seen has no records to remove: only the configuration names it.
    identities = [each["identity"] for each in found if each["state"] != "never_seen"]
    removed = 0
    for identity in identities:
        try:
            gateway.send("DELETE", f"/charge-points/{asking.segment(identity)}")
            removed += 1
        except AskingError as error:
            if error.status != HTTPStatus.NOT_FOUND:  # another client may have removed the Charge Point meanwhile
                raise
    print(f"{removed} removed" if identities else "no Charge Point fits", file=None if identities else sys.stderr)
    return 0 if identities else 1


def import_fleet(where: asking.Where, file: Path, *, dry_run: bool) -> int:
    """Give the Charge Points in a CSV file their settings: all of them, or none.

    Args:
        where: The gateway.
        file: The file; "-" is standard input.
        dry_run: Only check the file.

    Returns:
        0 if done, 1 if lines of the file cannot be used. Standard error has each of them.

    Raises:
        OSError: The file cannot be read, or the gateway did not answer or refused.
        ConfigurationError: The configuration or the URL of the gateway cannot be used.
    """
    octets = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    gateway = asking.reach(where, os.environ)
    try:
        report = gateway.upload("/charge-points:import", octets, "text/csv", dry_run="true" if dry_run else None)
    except AskingError as error:
        lines = error.problem.get("lines", [])
        for line in lines:
            say(f"{file}:{line['line']}: {_fault(line)}", sys.stderr)
        say(f"ocpp-bridge charge-points import: {_sum(error, len(lines))}", sys.stderr)
        return 1
    counts = ", ".join(f"{report[name]} {name}" for name in ("created", "changed", "unchanged"))
    print(f"{report['rows']} Charge Points: {counts}{' (not done: --dry-run)' if dry_run else ''}")
    if not report["kept"]:
        say("the gateway's store did not take it: it will not survive a restart", sys.stderr)
    return 0


def _fault(line: dict[str, Any]) -> str:
    column = f"{line['column']}: " if line.get("column") else ""
    return f"{line['identity']!r}: {column}{line['detail']}" if line.get("identity") else f"{column}{line['detail']}"


def _sum(error: AskingError, shown: int) -> str:
    """Return the sentence of the refusal, without the first line if all lines were shown."""
    if not shown:
        return str(error)
    first, _, _ = str(error).partition(";")
    return f"{first} (the first {shown} are above)" if not first.startswith(f"{shown} ") else first


def export_fleet(where: asking.Where, file: Path | None) -> int:
    """Write the settings that operators gave as a CSV file, without secrets, to `file` or standard output. Returns 0.

    Raises OSError and ConfigurationError as `import_fleet`.
    """
    octets = asking.reach(where, os.environ).download("/charge-points:export")
    if file is None:
        sys.stdout.write(octets.decode().replace("\r\n", "\n"))
    else:
        file.write_bytes(octets)
    return 0
