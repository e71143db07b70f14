"""Rows as Messages, and what a reader may ask for as SQL. Pure."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from typing import Any, cast

import msgspec
from msgspec import UNSET, Struct, UnsetType

from bridge.ocpp.tenants import DEFAULT, SEPARATOR
from bridge.ocpp.wire import Transport
from bridge.recorder import rows
from bridge.recorder.messages import Form, Half, Lost, Message, Outcome, Recorded, Sender, Timings
from bridge.recorder.rows import (
    ANSWER_RECEIVED,
    ANSWER_SENT,
    IN_FRAME,
    RECEIVED,
    SENT,
    Kept,
    RecordedFact,
    Told,
    instant,
)

_decoder = msgspec.msgpack.Decoder(Told)
_frames = msgspec.json.Decoder(tuple[int, str, str, msgspec.Raw])
_PATTERN = frozenset("*?[")
# The number of fields in the summary of a message, and the length of each.
_FIELDS, _LENGTH = 4, 40


class Query(Struct, frozen=True, kw_only=True):
    """What is asked for; None asks nothing. `identity` is a key; `glob` is on the identities of `tenant`, letter case
    aside; `since` (included) and `until` (not) are unix seconds; `before` is an id."""

    tenant: str | None = None
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
            *_globbed(self.glob, self.tenant or DEFAULT),
            *_of_tenant(self.tenant),
            ("action = ?", self.action),
            ("outcome = ?", self.outcome),
            ("sender = ?", self.sender),
            ("at >= ?", self.since),
            ("at < ?", self.until),
            ("id < ?", self.before),
        ]
        asked = [(condition, value) for condition, value in asked if value is not None]
        return " AND ".join(condition for condition, _ in asked) or "1", [value for _, value in asked]


def _of_tenant(tenant: str | None) -> list[tuple[str, str | int | float | None]]:
    """Return the conditions for the keys of a tenant, None for all."""
    if tenant is None:
        return []
    if tenant == DEFAULT:
        return [("instr(folded, ?) = 0", SEPARATOR)]
    return [("folded >= ?", tenant + SEPARATOR), ("folded < ?", tenant + chr(ord(SEPARATOR) + 1))]


def _globbed(glob: str | None, tenant: str) -> list[tuple[str, str | int | float | None]]:
    """Return the condition for a glob on the identities of a tenant. One without a pattern is found by the index."""
    if glob is None:
        return []
    folded = (f"{tenant}{SEPARATOR}" if tenant else "") + glob.casefold()
    if _PATTERN.isdisjoint(folded):
        return [("folded = ?", folded)]
    return [("folded GLOB ?", folded.replace("[!", "[^"))]


def message(row: Sequence[Any]) -> Message:
    """Return the Message of a row of the database."""
    return _of_told(row[0], row[1:5], _decoder.decode(row[5]))


def of_fact(number: int, at: float, fact: RecordedFact, *, id_tags: bool) -> Message:
    """Return the Message of a Fact of the time `at`. `id_tags` says that idTags are masked."""
    return _of_told(number, *rows.told_of(rows.noted(number, at, fact), id_tags=id_tags))


def _of_told(number: int, facts: Sequence[Any], told: Told) -> Message:
    """`facts`: at, action, outcome, sender."""
    return Message(**_facts(number, facts, told, _request(told)), losses=sum([cost.count for cost in told.losses]))


def recorded(row: Sequence[Any]) -> Recorded:
    """Return the whole message of a row of the database."""
    told = _decoder.decode(row[5])
    wires, request = told.wires, _request(told)
    return Recorded(
        **_facts(row[0], row[1:5], told, request),
        losses=tuple(
            Lost(message=cost.message, path=cost.path, reason=cost.reason, count=cost.count) for cost in told.losses
        ),
        request=Half(received=_form(wires[RECEIVED]), model=_model(request), sent=_form(wires[SENT])),
        response=Half(
            received=_form(wires[ANSWER_RECEIVED]), model=_model(told.response), sent=_form(wires[ANSWER_SENT])
        ),
        timings=Timings(total=_ms(told.took), before=_ms_if(told.before), beyond=_ms_if(told.beyond)),
    )


def _facts(number: int, facts: Sequence[Any], told: Told, request: bytes | None) -> dict[str, Any]:
    at, action, outcome, sender = facts
    return {
        "id": number,
        "identity": told.identity,
        "at": instant(at),
        "ms": _ms(told.took),
        "action": action,
        "outcome": cast(Outcome, outcome),
        "sender": cast(Sender, sender),
        "unique_id": told.unique_id,
        "hop_id": told.hop_id,
        "why": told.why,
        "summary": _summary(request, told.response),
    }


def _request(told: Told) -> bytes | None:
    """The model's request: the frame that we sent holds it as it is."""
    sent = told.wires[SENT]
    if told.request != IN_FRAME or sent is None:
        return told.request
    try:
        return bytes(_frames.decode(sent.data)[3])
    except (msgspec.MsgspecError, UnicodeError):
        return None


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)


def _ms_if(seconds: float | None) -> float | None:
    return None if seconds is None else _ms(seconds)


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


def _summary(request: bytes | None, response: bytes | None) -> str:
    """The first plain fields of the request, and the answer's status."""
    asked = _plain(_json(request))
    told = _json(response)
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
    """Return JSON as it is, so that numbers keep their digits."""
    plain = _json(data)
    return plain if data is None or isinstance(plain, str) else msgspec.Raw(data)


def _json(data: bytes | None) -> Any:
    if data is None:
        return None
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return data.decode(errors="replace")
