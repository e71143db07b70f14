"""What a form for an action is made of: the JSON Schema of its request, from the record that the codecs use."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec

from bridge.admin.facts import ActionForm
from bridge.ocpp.actions import ACTIONS, Action, Party

# What interrupts charging, moves a plug, or replaces what the Charge Point runs: never by a slip of the hand.
DANGEROUS = frozenset({"Reset", "UnlockConnector", "UpdateFirmware"})


@cache
def forms() -> dict[str, ActionForm]:
    """One for each action."""
    return {name: _form(action) for name, action in ACTIONS.items()}


def _form(action: Action) -> ActionForm:
    return ActionForm(
        direction=[party.value for party in Party if party in action.senders],
        profile=action.profile.value,
        dangerous=action.name in DANGEROUS,
        request_schema=_plain(msgspec.json.schema(action.request)),
    )


def _plain(schema: Any) -> Any:
    """The schema as a form needs it, and as the wire has it: no null for a field that may be left out, decimals as
    numbers, points in time by their name, not by a pattern in Python's own syntax."""
    match schema:
        case {"anyOf": [one, {"type": "null"}]}:
            return _plain(one)
        case {"type": "string", "format": "decimal"}:
            return {"type": "number", "multipleOf": 0.1}
        case {"type": "string", "pattern": _}:
            return {"type": "string", "format": "date-time"}
        case dict():
            return {name: _plain(value) for name, value in schema.items() if name != "default"}
        case list():
            return [_plain(item) for item in schema]
    return schema
