"""Rows as Messages, and what a reader may ask for as SQL. Pure."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from typing import Any, cast

import msgspec
from msgspec import UNSET, Struct, UnsetType

from bridge.ocpp.wire import Transport
from bridge.recorder.joined import ANSWER_RECEIVED, ANSWER_SENT, RECEIVED, SENT, Body, Brief, Kept, instant
from bridge.recorder.messages import Form, Half, Lost, Message, Outcome, Recorded, Sender, Timings

_briefs = msgspec.msgpack.Decoder(Brief)
_bodies = msgspec.msgpack.Decoder(Body)
_PATTERN = frozenset("*?[")
# How many fields of a message its summary has, and how long one may be.
_FIELDS, _LENGTH = 4, 40


class Query(Struct, frozen=True, kw_only=True):
    """What is asked for; None asks nothing. `glob` is on the identity, letter case aside; `since` (included) and
    `until` (not) are unix seconds; `before` is an id."""

    identity: str | None = None
    glob: str | None = None
    action: str | None = None
    outcome: str | None = None
    sender: str | None = None
    since: float | None = None
    until: float | None = None
    before: int | None = None

    def where(self) -> tuple[str, list[object]]:
        """The condition, and its values."""
        asked: list[tuple[str, str | int | float | None]] = [
            ("folded = ?", None if self.identity is None else self.identity.casefold()),
            *_globbed(self.glob),
            ("action = ?", self.action),
            ("outcome = ?", self.outcome),
            ("sender = ?", self.sender),
            ("at >= ?", self.since),
            ("at < ?", self.until),
            ("id < ?", self.before),
        ]
        asked = [(condition, value) for condition, value in asked if value is not None]
        return " AND ".join(condition for condition, _ in asked) or "1", [value for _, value in asked]


def _globbed(glob: str | None) -> list[tuple[str, str | int | float | None]]:
    """What is not a pattern is found by the index."""
    if glob is None:
        return []
    folded = glob.casefold()
    if _PATTERN.isdisjoint(folded):
        return [("folded = ?", folded)]
    return [("folded GLOB ?", folded.replace("[!", "[^"))]


def message(row: Sequence[Any]) -> Message:
    """id, identity, at, ms, action, outcome, sender and Brief of a row."""
    brief = _briefs.decode(row[7])
    return of_brief(row, brief)


def of_brief(row: Sequence[Any], brief: Brief) -> Message:
    """The same, the Brief read already."""
    return Message(**_facts(row, brief), losses=len(brief.losses))


def recorded(row: Sequence[Any]) -> Recorded:
    """The same columns, and Body."""
    brief, body = _briefs.decode(row[7]), _bodies.decode(row[8])
    return Recorded(
        **_facts(row, brief),
        losses=tuple(Lost(message=pdu, path=path, reason=reason) for pdu, path, reason in brief.losses),
        request=Half(received=_form(body[RECEIVED]), model=_model(brief.request), sent=_form(body[SENT])),
        response=Half(
            received=_form(body[ANSWER_RECEIVED]), model=_model(brief.response), sent=_form(body[ANSWER_SENT])
        ),
        timings=Timings(total=row[3], before=brief.before, beyond=brief.beyond),
    )


def _facts(row: Sequence[Any], brief: Brief) -> dict[str, Any]:
    return {
        "id": row[0],
        "identity": row[1],
        "at": instant(row[2]),
        "ms": row[3],
        "action": row[4],
        "outcome": cast(Outcome, row[5]),
        "sender": cast(Sender, row[6]),
        "unique_id": brief.unique_id,
        "hop_id": brief.hop_id,
        "why": brief.why,
        "summary": _summary(brief),
    }


def _form(kept: Kept | None) -> Form | None:
    if kept is None:
        return None
    base64: str | UnsetType = UNSET
    try:
        text = kept.data.decode()
    except UnicodeDecodeError:
        text, base64 = kept.data.decode(errors="replace"), b64encode(kept.data).decode()
    return Form(
        transport=cast(Transport, kept.transport),
        at=instant(kept.at),
        peer=kept.peer,
        octets=kept.octets,
        text=text,
        base64=base64,
    )


def _summary(brief: Brief) -> str:
    """The first plain fields of the request, and the answer's status."""
    asked = _plain(_json(brief.request))
    told = _json(brief.response)
    status = ""
    if isinstance(told, dict):
        info = told.get("idTagInfo")
        status = told.get("status") or told.get("code") or (info.get("status") if isinstance(info, dict) else "") or ""
    return " -> ".join(filter(None, (asked, str(status))))


def _plain(fields: Any) -> str:
    if not isinstance(fields, dict):
        return ""
    plain = [(name, value) for name, value in fields.items() if not isinstance(value, dict | list | None)]
    return ", ".join(f"{name} {str(value)[:_LENGTH]}" for name, value in plain[:_FIELDS])


def _model(data: bytes | None) -> msgspec.Raw | str | None:
    """As it is, with the digits that its numbers were written with."""
    plain = _json(data)
    return plain if data is None or isinstance(plain, str) else msgspec.Raw(data)


def _json(data: bytes | None) -> Any:
    if data is None:
        return None
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return data.decode(errors="replace")
