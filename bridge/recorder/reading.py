"""Rows as Messages, and what a reader may ask for as SQL. Pure."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, cast
from xml.sax.saxutils import escape

import msgspec
from msgspec import UNSET, UnsetType

from bridge.ocpp.tenants import DEFAULT, SEPARATOR
from bridge.ocpp.wire import Transport
from bridge.recorder import rows
from bridge.recorder.messages import (
    CallRecord,
    Form,
    Half,
    Lost,
    Message,
    MessageFilter,
    Outcome,
    Recorded,
    Sender,
    Timings,
)
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


# The outcomes of messages that ended well.
_WELL = ("result", "repeated", "relayed")
Condition = tuple[str, list[object]]


def condition(wanted: MessageFilter, before: int | None) -> Condition:
    """Return the condition in SQL for what can be seen without the content of a message, and its values.

    Args:
        wanted: The filter.
        before: The id that is higher than all, None for the newest messages.
    """
    asked: list[Condition] = []
    if wanted.tenant is not None:
        asked.append(_of_tenant(wanted.tenant))
    if wanted.identity is not None:
        asked.append(("folded = ?", [wanted.identity.casefold()]))
    if wanted.identity_glob is not None:
        asked.append(_globbed(wanted.identity_glob, wanted.tenant or DEFAULT))
    if wanted.actions is not None:
        asked.append((f"action IN ({', '.join('?' * len(wanted.actions))})", [*wanted.actions]))
    if wanted.failed is not None:
        asked.append((f"outcome {'NOT IN' if wanted.failed else 'IN'} (?, ?, ?)", [*_WELL]))
    plain = [
        ("outcome = ?", wanted.outcome),
        ("sender = ?", wanted.sender),
        ("at >= ?", wanted.since),
        ("at < ?", wanted.until),
        ("id < ?", before),
    ]
    asked += [(text, [value]) for text, value in plain if value is not None]
    return " AND ".join(text for text, _ in asked) or "1", [value for _, values in asked for value in values]


def looks_inside(wanted: MessageFilter) -> bool:
    """Return whether the content of messages decides."""
    return any(one is not None for one in (wanted.text, wanted.lossy, wanted.loss, wanted.error))


def fits(row: Sequence[Any], wanted: MessageFilter) -> bool:
    """Return whether the content of the message in a row of the database is wanted."""
    told = _decoder.decode(row[5])
    if wanted.lossy is not None and bool(told.losses) is not wanted.lossy:
        return False
    if wanted.error is not None and _folded(wanted.error) not in _folded(told.why or ""):
        return False
    if wanted.loss is not None:
        part = _folded(wanted.loss)
        if not any(part in _folded(f"{cost.path} {cost.reason}") for cost in told.losses):
            return False
    if wanted.text is None:
        return True
    parts = (told.request, told.response, *(kept and kept.data for kept in told.wires))
    held = [part.lower() for part in parts if part]
    return any(form in part for form in _forms(wanted.text) for part in held)


@lru_cache(maxsize=64)
def _forms(text: str) -> frozenset[bytes]:
    """Return the octets of a text as it is, and as JSON and XML may write it."""
    return frozenset(_folded(form) for form in (text, json.dumps(text)[1:-1], escape(text)))


def _folded(text: str) -> bytes:
    """Return the octets of a text with its letters A to Z in lower case."""
    return text.encode("utf-8", "surrogatepass").lower()


def _of_tenant(tenant: str) -> Condition:
    """Return the condition for the keys of a tenant."""
    if tenant == DEFAULT:
        return "instr(folded, ?) = 0", [SEPARATOR]
    return "folded >= ? AND folded < ?", [tenant + SEPARATOR, tenant + chr(ord(SEPARATOR) + 1)]


def _globbed(glob: str, tenant: str) -> Condition:
    """Return the condition for a glob on the identities of a tenant. One without a pattern is found by the index."""
    folded = (f"{tenant}{SEPARATOR}" if tenant else "") + glob.casefold()
    if _PATTERN.isdisjoint(folded):
        return "folded = ?", [folded]
    return "folded GLOB ?", [folded.replace("[!", "[^")]


def call(row: Sequence[Any]) -> CallRecord:
    """Return the Call in a row of the database."""
    told = _decoder.decode(row[5])
    return CallRecord(
        id=row[0],
        at=row[1],
        action=row[2],
        outcome=cast(Outcome, row[3]),
        request=_json(_request(told)),
        response=_json(told.response),
    )


def when(row: Sequence[Any]) -> str:
    """Return the time of the message in a row of the database."""
    return instant(row[1])


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
