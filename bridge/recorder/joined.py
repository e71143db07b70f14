"""What is known of one message while it is put together, and the record in which it is kept.

Pure. A message is kept as one Told: what is said of it, and its bytes on the wires.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

import msgspec
from msgspec import Raw, Struct, field

from bridge.core.commands import Outcome
from bridge.masking import masked, masked_around, without_password
from bridge.ocpp.actions import ACTIONS, Party
from bridge.ocpp.losses import Loss
from bridge.ocpp.rpc import Call, CallResult, UnopenedRequest, UnopenedResponse
from bridge.ocpp.wire import End, Kind
from bridge.ocppj import codec
from bridge.recorder.notes import Dropped, Ended, Seen, TurnedAway

# The four places where a message is on a wire.
RECEIVED, SENT, ANSWER_RECEIVED, ANSWER_SENT = range(4)
# As bits: those towards the party that sent it, those towards the other, and those of answers.
NEAR, BEYOND, ANSWERS = 0b1001, 0b0110, 0b1100
# In the place of a model.
IN_FRAME = b""

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


class Joined(Struct, kw_only=True, gc=False):
    """One message, as far as it has come. `at` is when it began, in unix seconds; `before` and `beyond` are seconds;
    `request` and `response` are the model's JSON; `framed`: the request stands in the frame that was sent; `opened` and
    `understood`: they are of a model; `missing` are the places that are still to be filled, as bits; `missed`: it could
    not be written."""

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
    understood: bool = False
    request: bytes | None = None
    response: bytes | None = None
    losses: tuple[Loss, ...] = ()
    before: float | None = None
    beyond: float | None = None
    wires: list[Seen | None] = field(default_factory=lambda: [None, None, None, None])
    missing: int = 0
    missed: bool = False

    def fill(self, place: int, seen: Seen) -> None:
        """What went over the wire there."""
        self.wires[place] = seen
        self.missing &= ~(1 << place)


def of_end(note: Ended) -> Joined:
    """A Call that has ended."""
    sent = note.sent
    joined = Joined(
        number=note.number,
        identity=note.identity,
        at=note.at - (note.ended - note.arrived),
        ended=note.at,
        party=note.sender,
        sender="operator" if note.operator else note.sender.value,
        action=note.action,
        outcome=note.outcome.value,
        unique_id=note.unique_id,
        hop_id=note.hop_id,
        why=_safe(note.why),
        opened=note.opened,
        framed=note.framed,
        understood=note.answered == "read",
        request=note.request,
        response=note.response,
        losses=note.losses,
        before=None if sent is None else sent - note.arrived,
        beyond=None if sent is None else note.ended - sent,
        missing=_missing(note),
    )
    if not note.opened:
        _pass_on(joined, note)
    if note.answered == "unopened":
        _pass_back(joined, note)
    return joined


def of_drop(note: Dropped) -> Joined:
    """An answer that went nowhere."""
    joined = Joined(
        number=note.number,
        identity=note.identity,
        at=note.at,
        ended=note.at,
        party=note.party.other,
        sender=note.party.other.value,
        action="",
        outcome="dropped",
        unique_id="",
        hop_id=note.hop_id,
        why=_safe(note.why),
        missing=BEYOND & ANSWERS,
    )
    if note.frame:
        seen = _frame(joined, note.party, note.at, "result", note.hop_id, note.frame, inbound=True)
        joined.fill(ANSWER_RECEIVED, seen)
    return joined


def of_refusal(note: TurnedAway) -> Joined:
    """What was turned away before it was a Call."""
    party = note.by or Party.CHARGE_POINT
    return Joined(
        number=note.number,
        identity=note.identity,
        at=note.at,
        ended=note.at,
        party=party,
        sender=party.value,
        action="",
        outcome="refused",
        unique_id=note.unique_id,
        why=_safe(note.why),
        peer=note.peer,
    )


def of_frame(number: int, seen: Seen) -> Joined:
    """A frame that is no Call and no answer, and was only passed on."""
    party = Party.CHARGE_POINT if seen.end.near else Party.CENTRAL_SYSTEM
    return Joined(
        number=number,
        identity=seen.end.identity,
        at=seen.at,
        ended=seen.at,
        party=party,
        sender=party.value,
        action="",
        outcome="relayed",
        unique_id="",
    )


def told(joined: Joined, *, id_tags: bool) -> Told:
    """What is kept of it, without credentials; `id_tags`: without them too."""
    ours = joined.opened and joined.action in _HARMLESS
    read = ours and not joined.losses
    received, sent, answer_received, answer_sent = joined.wires
    request, response = joined.request, joined.response
    if joined.framed and sent is not None:
        request = IN_FRAME
    elif request is not None:
        request = masked(request, id_tags=id_tags, harmless=ours)
    if response is not None:
        harmless = joined.understood and joined.action in _HARMLESS
        response = masked(response, id_tags=id_tags, harmless=harmless)
    return Told(
        joined.identity,
        joined.ended - joined.at,
        joined.unique_id,
        joined.hop_id,
        joined.why,
        [(loss.message, loss.path, loss.reason.value) for loss in joined.losses] if joined.losses else [],
        request,
        response,
        joined.before,
        joined.beyond,
        (
            *_pair(received, sent, joined.peer, id_tags, ours, read),
            *_pair(answer_received, answer_sent, joined.peer, id_tags, ours, read),
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


def _pair(
    received: Seen | None, sent: Seen | None, peer: str | None, id_tags: bool, ours: bool, read: bool
) -> tuple[Kept | None, Kept | None]:
    """What came in, and what went out for it: passed on as it was, it is masked once."""
    came = None if received is None else _kept(received, peer, id_tags, ours, read)
    if sent is None:
        return came, None
    if received is not None and came is not None and not ours and received.data == sent.data:
        return came, Kept(sent.transport, sent.at, None, came.octets, came.data)
    return came, _kept(sent, peer, id_tags, ours, read)


def _kept(seen: Seen, peer: str | None, id_tags: bool, ours: bool, read: bool) -> Kept:
    """`ours`: what we sent is harmless; `read`: so is what we read, as far as it was read."""
    if read and seen.inbound and seen.transport == "soap":
        data = masked_around(seen.data, id_tags=id_tags)
    else:
        data = masked(seen.data, id_tags=id_tags, harmless=ours and not seen.inbound)
    return Kept(seen.transport, seen.at, peer if seen.inbound else None, len(seen.data), data)


def _pass_on(joined: Joined, note: Ended) -> None:
    """The two frames of a request from one JSON party to the other: the one that it came in, and the same payload under
    the name of the other hop. An operator's request came in no frame."""
    data, sender = note.request or b"", note.sender
    raw = Raw(data) if note.operator else _payload_in(data)
    joined.request = bytes(raw)
    if not note.operator:
        joined.fill(RECEIVED, _frame(joined, sender, joined.at, "call", note.unique_id, data, inbound=True))
    if note.hop_id is not None and note.sent is not None:
        call = Call(unique_id=note.hop_id, action=note.action, payload=UnopenedRequest(raw=raw))
        at = note.at - (note.ended - note.sent)
        joined.fill(SENT, _frame(joined, sender.other, at, "call", note.hop_id, codec.encode(call)))
        joined.framed = True


def _pass_back(joined: Joined, note: Ended) -> None:
    """The same of the answer, which a repetition and an operator get as well."""
    data, sender, at = note.response or b"", note.sender, note.at
    raw = _payload_in(data)
    joined.response = bytes(raw)
    if note.hop_id is not None:
        joined.fill(ANSWER_RECEIVED, _frame(joined, sender.other, at, "result", note.hop_id, data, inbound=True))
    if not note.operator:
        result = CallResult(unique_id=note.unique_id, payload=UnopenedResponse(raw=raw, frame=data))
        joined.fill(ANSWER_SENT, _frame(joined, sender, at, "result", note.unique_id, codec.encode(result)))


def _frame(
    joined: Joined, party: Party, at: float, kind: Kind, unique_id: str, data: bytes, inbound: bool = False
) -> Seen:
    end = End(joined.identity, party is Party.CHARGE_POINT)
    return Seen(end, at, inbound, "json", kind, unique_id, None, data)


def _payload_in(frame: bytes) -> Raw:
    """Of a frame that was read before, however deep it is."""
    read = codec.read_frame(frame, depth=len(frame))
    assert isinstance(read, codec.CallFrame | codec.ResultFrame)
    return read.payload


def _missing(note: Ended) -> int:
    """Where it was on a wire, or is about to be."""
    places = 0
    if not (note.own or note.operator):
        places = NEAR if note.answered != "not" else NEAR & ~ANSWERS
    if note.hop_id is not None:
        beyond = note.outcome is Outcome.RESULT or note.outcome is Outcome.ERROR
        places |= BEYOND if beyond else BEYOND & ~ANSWERS
    return places


def _safe(text: str | None) -> str | None:
    return None if text is None else without_password(text)
