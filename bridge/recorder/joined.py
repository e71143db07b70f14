"""What is known of one message while it is put together, and the record in which it is kept.

Pure. A message is kept as one Told: what is said of it, and its bytes on the wires.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

import msgspec
from msgspec import Struct, field

from bridge.masking import masked, masked_around
from bridge.ocpp.actions import ACTIONS, Party
from bridge.ocpp.losses import Loss
from bridge.recorder.notes import Seen

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
