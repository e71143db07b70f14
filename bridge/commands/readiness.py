"""Command `readiness`: print how a shadow's answers compare, and which Charge Points are ready to be moved to it."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from bridge.commands import asking, sessions
from bridge.commands.terminal import say

_ACTIONS = ("ACTION", "COMPARED", "DIFFER", "FIELDS")
_EXAMPLES = ("ACTION", "FIELD", "MAIN", "HERE", "CHARGE POINT", "AT", "REQUEST")
_CHARGE_POINTS = ("CHARGE POINT", "READY", "CLEAN", "SESSIONS", "DAYS", "COMPARED", "DIFFER", "WHY NOT")
# The examples of differences on a terminal. --json has all that the gateway gives.
_MOST_EXAMPLES = 10


def run(where: asking.Where, name: str, glob: str | None, ready: str | None, *, as_json: bool) -> int:
    """Print the readiness for a Central System.

    Args:
        where: The gateway.
        name: The name of the Central System.
        glob: Glob on the identities that count; None for all.
        ready: "true" lists only Charge Points that are ready, "false" only the others, None all.
        as_json: Whether to print all information as JSON.

    Returns:
        0 if each Charge Point that counts is ready, 1 if not.

    Raises:
        OSError: The gateway did not answer, or the Central System is a shadow in no route.
        ConfigurationError: The configuration or the URL of the gateway cannot be used.
    """
    gateway = asking.reach(where, os.environ)
    path = f"/central-systems/{asking.segment(name)}/readiness"
    query: dict[str, object] = {"identity": glob, "ready": ready, "limit": 1000}
    found = gateway.get(path, **query)
    while found["next"] is not None:
        page = gateway.get(path, **query, cursor=found["next"])
        found["items"] += page["items"]
        found["next"] = page["next"]
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        _show(found)
    return 0 if found["ready"] else 1


def _show(found: dict[str, Any]) -> None:
    say(_sentence(found))
    tables = (
        (_ACTIONS, [_action(each) for each in found["actions"]]),
        (_EXAMPLES, [_example(each) for each in found["examples"][:_MOST_EXAMPLES]]),
        (_CHARGE_POINTS, [_charge_point(each) for each in found["items"]]),
    )
    for titles, rows in tables:
        if rows:
            print()
            sessions.show(rows, titles)
    if not found["items"]:
        print("no Charge Point to list", file=sys.stderr)


def _sentence(found: dict[str, Any]) -> str:
    verdict = "ready" if found["ready"] else f"not ready: {found['why']}"
    counts = f"{found['ready_charge_points']} of {found['charge_points']} Charge Points are ready"
    seen = f"{_many(found['sessions'], 'session')} in {_many(found['days'], 'day')}"
    return f"{found['central_system']}: {verdict} ({counts}, after {found['ready_after']} sessions each; {seen})"


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _action(one: dict[str, Any]) -> tuple[str, ...]:
    fields = ", ".join(f"{_field(each['field'])} {each['count']}" for each in one["fields"])
    return one["action"], str(one["compared"]), str(one["differing"]), fields


def _example(one: dict[str, Any]) -> tuple[str, ...]:
    shown = (one["action"], _field(one["field"]), one["main"], one["shadow"], one["identity"], one["at"])
    return *shown, one["request"]


def _charge_point(one: dict[str, Any]) -> tuple[str, ...]:
    numbers = (one["clean_sessions"], one["sessions"], one["days"], one["compared"], one["differing"])
    return one["identity"], "yes" if one["ready"] else "no", *map(str, numbers), one["why"]


def _field(path: str) -> str:
    return path or "the answer"
