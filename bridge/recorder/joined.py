"""What is known of one message while it is put together, and the record in which it is kept.

Pure. A message is kept as one Told: what is said of it, and its bytes on the wires.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct, field

from bridge import explaining
from bridge.core.commands import Drop, Outcome, Report
from bridge.masking import masked, masked_around, without_password
from bridge.ocpp.actions import ACTIONS, Party
from bridge.ocpp.losses import Loss
from bridge.ocpp.messages import Request, Response
from bridge.ocpp.rpc import CallError, CallResult, UnopenedRequest, UnopenedResponse
from bridge.ocpp.wire import Wire

# The four places where a message is on a wire.
RECEIVED, SENT, ANSWER_RECEIVED, ANSWER_SENT = range(4)
# As bits: those towards the party that sent it, those towards the other, and those of answers.
NEAR, BEYOND, ANSWERS = 0b1001, 0b0110, 0b1100
# In the place of a model.
IN_FRAME = b""

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


class Told(Struct, frozen=True, array_like=True, gc=False):
    """All that is not asked for by itself. `request` and `response` are the model's JSON, or IN_FRAME where the frame
    that was sent holds it; a loss is a PDU, a path and a reason; times are seconds; `wires` are the four places."""

    identity: str
    took: float
    unique_id: str
    hop_id: str | None
    why: str | None
    losses: list[tuple[str, str, str]]
    request: bytes | None
    response: bytes | None
    before: float | None
    beyond: float | None
    wires: tuple[Kept | None, Kept | None, Kept | None, Kept | None]


Row = tuple[int, str, float, str, str, str, bytes]
"""id, identity casefolded, at, action, outcome, sender, Told"""


class Seen(Struct, gc=False):
    """What went over a wire, to or from `party`, at unix seconds."""

    at: float
    identity: str
    party: Party
    wire: Wire


class Joined(Struct, kw_only=True, gc=False):
    """One message, as far as it has come. `at` is when it began, in unix seconds; `before` and `beyond` are seconds;
    `framed`: the request stands in the frame that was sent, and is not kept at hand; `missing` are the places that are
    still to be filled, as bits; `rested`: none were, when it was last looked at; `missed`: it could not be written."""

    number: int
    identity: str
    at: float
    ended: float
    party: Party
    sender: str
    action: str
    outcome: str
    unique_id: str
    hop_id: str | None = None
    why: str | None = None
    peer: str | None = None
    opened: bool = False
    framed: bool = False
    request: Request | None = None
    response: Response | CallError | None = None
    losses: tuple[Loss, ...] = ()
    before: float | None = None
    beyond: float | None = None
    wires: list[Seen | None] = field(default_factory=lambda: [None, None, None, None])
    missing: int = 0
    rested: bool = False
    missed: bool = False

    def fill(self, place: int, seen: Seen) -> None:
        """What went over the wire there."""
        self.wires[place] = seen
        self.missing &= ~(1 << place)


def of_report(number: int, now: float, identity: str, report: Report, *, framed: bool = False) -> Joined:
    """A Call that has ended just `now`. `framed`: it was sent on as a frame, so that its request need not be held until
    it is written: it is large, and what is held for long is no more at hand for the processor."""
    call, answer = report.call, report.answer
    opened = not isinstance(call.payload, UnopenedRequest)
    result: Response | CallError | None = None
    losses = call.losses
    if isinstance(answer, CallResult):
        result = answer.payload
        losses += answer.losses
    elif isinstance(answer, CallError):
        result = answer
    return Joined(
        number=number,
        identity=identity,
        at=now - (report.ended - report.arrived),
        ended=now,
        party=report.sender,
        sender="operator" if report.operator else report.sender.value,
        action=call.action,
        outcome=report.outcome.value,
        unique_id=call.unique_id,
        hop_id=report.hop_id,
        why=None if report.outcome is Outcome.RESULT else _safe(explaining.of_report(report)),
        opened=opened,
        framed=framed and opened,
        request=None if framed and opened else call.payload,
        response=result,
        losses=losses,
        before=None if report.sent is None else report.sent - report.arrived,
        beyond=None if report.sent is None else report.ended - report.sent,
        missing=_missing(report),
    )


def of_drop(number: int, now: float, identity: str, drop: Drop) -> Joined:
    """An answer that went nowhere."""
    return Joined(
        number=number,
        identity=identity,
        at=now,
        ended=now,
        party=drop.party.other,
        sender=drop.party.other.value,
        action="",
        outcome="dropped",
        unique_id="",
        hop_id=drop.unique_id,
        why=_safe(explaining.of_drop(drop)),
        missing=BEYOND & ANSWERS,
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
        party=by or Party.CHARGE_POINT,
        sender=(by or Party.CHARGE_POINT).value,
        action="",
        outcome="refused",
        unique_id=unique_id,
        why=_safe(why),
        peer=peer,
    )


def of_frame(number: int, seen: Seen) -> Joined:
    """A frame that is no Call and no answer, and was only passed on."""
    return Joined(
        number=number,
        identity=seen.identity,
        at=seen.at,
        ended=seen.at,
        party=seen.party,
        sender=seen.party.value,
        action="",
        outcome="relayed",
        unique_id="",
    )


def told(joined: Joined, *, id_tags: bool) -> Told:
    """What is kept of it, without credentials; `id_tags`: without them too."""
    ours = joined.opened and joined.action in _HARMLESS
    read = ours and not joined.losses
    received, sent, answer_received, answer_sent = joined.wires
    return Told(
        joined.identity,
        joined.ended - joined.at,
        joined.unique_id,
        joined.hop_id,
        joined.why,
        [(loss.message, loss.path, loss.reason.value) for loss in joined.losses] if joined.losses else [],
        IN_FRAME if joined.framed and sent is not None else _model(joined.request, id_tags, joined.action),
        _model(joined.response, id_tags, joined.action),
        joined.before,
        joined.beyond,
        (
            None if received is None else _kept(received, joined.peer, id_tags, ours, read),
            None if sent is None else _kept(sent, joined.peer, id_tags, ours, read),
            None if answer_received is None else _kept(answer_received, joined.peer, id_tags, ours, read),
            None if answer_sent is None else _kept(answer_sent, joined.peer, id_tags, ours, read),
        ),
    )


def row(joined: Joined, told: Told) -> Row:
    """The same as it is written."""
    folded = joined.identity.casefold()
    return joined.number, folded, joined.at, joined.action, joined.outcome, joined.sender, _packer.encode(told)


def action_in(envelope: bytes) -> str:
    """The action that the Body of an envelope is a request of, "" if it cannot be told."""
    found = _BODY.search(envelope)
    name = found[1].decode() if found else ""
    return name[:1].upper() + name[1:] if name[:1].upper() + name[1:] in ACTIONS else ""


def instant(at: float) -> str:
    """Unix seconds as ISO 8601 in UTC."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _kept(seen: Seen, peer: str | None, id_tags: bool, ours: bool, read: bool) -> Kept:
    """`ours`: what we sent is harmless; `read`: so is what we read, as far as it was read."""
    wire = seen.wire
    if read and wire.inbound and wire.transport == "soap":
        data = masked_around(wire.data, id_tags=id_tags)
    else:
        data = masked(wire.data, id_tags=id_tags, harmless=ours and not wire.inbound)
    return Kept(wire.transport, seen.at, peer if wire.inbound else None, len(wire.data), data)


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


def _missing(report: Report) -> int:
    """Where it was on a wire, or is about to be."""
    places = 0
    if not (report.own or report.operator):
        places = NEAR if report.answer is not None else NEAR & ~ANSWERS
    if report.hop_id is not None:
        answered = report.outcome is Outcome.RESULT or report.outcome is Outcome.ERROR
        places |= BEYOND if answered else BEYOND & ~ANSWERS
    return places


def _safe(text: str | None) -> str | None:
    return None if text is None else without_password(text)
