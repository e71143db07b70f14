"""The data of a form for each action: the JSON Schema of the request, from the record that the codecs use."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec

from bridge.admin.facts import ActionForm
from bridge.ocpp.actions import ACTIONS, Action, Party

# The actions that interrupt charging, unlock a plug or replace the Charge Point's software. The console asks first.
DANGEROUS = frozenset({"RemoteStopTransaction", "Reset", "UnlockConnector", "UpdateFirmware"})


@cache
def forms() -> dict[str, ActionForm]:
    """Return the data of a form for each action."""
    return {name: _form(action) for name, action in ACTIONS.items()}


def _form(action: Action) -> ActionForm:
    return ActionForm(
        direction=[party.value for party in Party if party in action.senders],
        profile=action.profile.value,
        dangerous=action.name in DANGEROUS,
        request_schema=_plain(msgspec.json.schema(action.request)),
    )


def _plain(schema: Any) -> Any:
    """Return `schema` in the form of the wire, for a form.

    An optional field is not null. A decimal is a number. A time has the format date-time instead of a pattern in
    Python's own syntax.
    """
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
