"""What is known of one message while it is put together, and the two records in which it is kept.

Pure. A message is kept as a Brief, which is all that a list of messages needs, and a Body: its bytes on the wires.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct, field

from bridge import explaining
from bridge.core.commands import Drop, Outcome, Report
from bridge.masking import masked, without_password
from bridge.ocpp.actions import ACTIONS, Party
from bridge.ocpp.losses import Loss
from bridge.ocpp.messages import Request, Response
from bridge.ocpp.rpc import CallError, CallResult, UnopenedRequest, UnopenedResponse
from bridge.ocpp.wire import Wire

# The four places where a message is on a wire.
RECEIVED, SENT, ANSWER_RECEIVED, ANSWER_SENT = range(4)

_encoder = msgspec.json.Encoder(decimal_format="number")
_BODY = re.compile(rb"<(?:[\w.-]++:)?Body(?:\s[^<>]*+)?>\s*+<(?:[\w.-]++:)?([A-Za-z]{1,40})Request[\s/>]")
# No field of these holds an idTag or a credential; what we write of them has no other fields.
_HARMLESS = frozenset(
    {
        "BootNotification",
        "DiagnosticsStatusNotification",
        "FirmwareStatusNotification",
        "Heartbeat",
        "MeterValues",
        "StatusNotification",
    }
)
_packer = msgspec.msgpack.Encoder()


class Kept(Struct, frozen=True, array_like=True, gc=False):
    """One message on a wire: `octets` is its length as it was, `data` what is kept of it."""

    transport: str
    at: float
    peer: str | None
    octets: int
    data: bytes


class Brief(Struct, frozen=True, array_like=True, gc=False):
    """All but the bytes. `request` and `response` are the model's JSON; a loss is a PDU, a path and a reason; times are
    milliseconds."""

    unique_id: str
    hop_id: str | None
    why: str | None
    losses: list[tuple[str, str, str]]
    request: bytes | None
    response: bytes | None
    before: float | None
    beyond: float | None


Body = tuple[Kept | None, Kept | None, Kept | None, Kept | None]
Row = tuple[int, str, str, float, float, str, str, str, bytes, bytes]
"""id, identity casefolded, identity, at, ms, action, outcome, sender, Brief, Body"""


class Joined(Struct, kw_only=True):
    """One message, as far as it has come. `at` is when it began, in unix seconds; `missing` are the places that are
    still to be filled; `rested`: none were, when it was last looked at; `missed`: it could not be written."""

    number: int
    identity: str
    at: float
    ended: float
    sender: str
    action: str
    outcome: str
    unique_id: str
    hop_id: str | None = None
    why: str | None = None
    peer: str | None = None
    request: Request | None = None
    response: Response | CallError | None = None
    losses: list[Loss] = field(default_factory=list)
    before: float | None = None
    beyond: float | None = None
    wires: list[tuple[float, Wire] | None] = field(default_factory=lambda: [None] * 4)
    missing: set[int] = field(default_factory=set)
    rested: bool = False
    missed: bool = False

    def fill(self, place: int, at: float, wire: Wire) -> None:
        """What went over the wire there."""
        self.wires[place] = (at, wire)
        self.missing.discard(place)


def of_report(number: int, now: float, identity: str, report: Report) -> Joined:
    """A Call that has ended just `now`."""
    call, answer = report.call, report.answer
    result = answer.payload if isinstance(answer, CallResult) else answer if isinstance(answer, CallError) else None
    return Joined(
        number=number,
        identity=identity,
        at=now - (report.ended - report.arrived),
        ended=now,
        sender="operator" if report.operator else report.sender.value,
        action=call.action,
        outcome=report.outcome.value,
        unique_id=call.unique_id,
        hop_id=report.hop_id,
        why=_safe(explaining.of_report(report)),
        request=call.payload,
        response=result,
        losses=[*call.losses, *(answer.losses if isinstance(answer, CallResult) else ())],
        before=None if report.sent is None else _ms(report.sent - report.arrived),
        beyond=None if report.sent is None else _ms(report.ended - report.sent),
        missing=_missing(report),
    )


def of_drop(number: int, now: float, identity: str, drop: Drop) -> Joined:
    """An answer that went nowhere."""
    return Joined(
        number=number,
        identity=identity,
        at=now,
        ended=now,
        sender=drop.party.other.value,
        action="",
        outcome="dropped",
        unique_id="",
        hop_id=drop.unique_id,
        why=_safe(explaining.of_drop(drop)),
        missing={ANSWER_RECEIVED},
    )


def of_refusal(
    number: int, now: float, identity: str, by: Party | None, unique_id: str, why: str, peer: str | None
) -> Joined:
    """What was turned away before it was a Call."""
    return Joined(
        number=number,
        identity=identity,
        at=now,
        ended=now,
        sender=(by or Party.CHARGE_POINT).value,
        action="",
        outcome="refused",
        unique_id=unique_id,
        why=_safe(why),
        peer=peer,
    )


def of_frame(number: int, at: float, identity: str, party: Party) -> Joined:
    """A frame that is no Call and no answer, and was only passed on."""
    return Joined(
        number=number,
        identity=identity,
        at=at,
        ended=at,
        sender=party.value,
        action="",
        outcome="relayed",
        unique_id="",
    )


def brief(joined: Joined, *, id_tags: bool) -> Brief:
    """All but its bytes; `id_tags`: without them."""
    return Brief(
        joined.unique_id,
        joined.hop_id,
        joined.why,
        [(loss.message, loss.path, loss.reason.value) for loss in joined.losses],
        _model(joined.request, id_tags, joined.action),
        _model(joined.response, id_tags, joined.action),
        joined.before,
        joined.beyond,
    )


def facts(joined: Joined) -> tuple[int, str, float, float, str, str, str]:
    """id, identity, at, ms, action, outcome, sender"""
    took = _ms(joined.ended - joined.at)
    return joined.number, joined.identity, joined.at, took, joined.action, joined.outcome, joined.sender


def row(joined: Joined, *, id_tags: bool) -> Row:
    """What is kept of it, without credentials; `id_tags`: without them too."""
    unopened = joined.request is None or isinstance(joined.request, UnopenedRequest)
    ours = joined.action in _HARMLESS and not unopened
    kept = [None if entry is None else _kept(*entry, joined.peer, id_tags, ours) for entry in joined.wires]
    number, identity, at, ms, action, outcome, sender = facts(joined)
    told = _packer.encode(brief(joined, id_tags=id_tags))
    return number, identity.casefold(), identity, at, ms, action, outcome, sender, told, _packer.encode(kept)


def action_in(envelope: bytes) -> str:
    """The action that the Body of an envelope is a request of, "" if it cannot be told."""
    found = _BODY.search(envelope)
    name = found[1].decode() if found else ""
    return name[:1].upper() + name[1:] if name[:1].upper() + name[1:] in ACTIONS else ""


def instant(at: float) -> str:
    """Unix seconds as ISO 8601 in UTC."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _kept(at: float, wire: Wire, peer: str | None, id_tags: bool, ours: bool) -> Kept:
    """`ours`: what we sent is harmless."""
    data = masked(wire.data, id_tags=id_tags, harmless=ours and not wire.inbound)
    return Kept(wire.transport, at, peer if wire.inbound else None, len(wire.data), data)


def _model(payload: Any, id_tags: bool, action: str) -> bytes | None:
    harmless = action in _HARMLESS
    match payload:
        case None:
            return None
        case UnopenedRequest(raw=raw) | UnopenedResponse(raw=raw):
            data, harmless = bytes(raw), False
        case CallError():
            error = {"code": payload.code, "description": payload.description, "details": payload.details}
            data, harmless = _encoder.encode(error), False
        case _:
            data = _encoder.encode(payload)
    return masked(data, id_tags=id_tags, harmless=harmless)


def _missing(report: Report) -> set[int]:
    """Where it was on a wire, or is about to be."""
    places = set() if report.own or report.operator else {RECEIVED}
    if report.answer is not None and places:
        places.add(ANSWER_SENT)
    if report.hop_id is not None:
        places.add(SENT)
        if report.outcome in (Outcome.RESULT, Outcome.ERROR):
            places.add(ANSWER_RECEIVED)
    return places


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)


def _safe(text: str | None) -> str | None:
    return None if text is None else without_password(text)
