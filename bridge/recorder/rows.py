"""Make the row of a message from a Fact and the octets on the wires, without what must not be kept. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from bridge.core.commands import Outcome, Report
from bridge.ocpp.actions import ACTIONS, Party
from bridge.ocpp.losses import Loss, merged
from bridge.ocpp.rpc import UNOPENED, CallError, CallResult
from bridge.ocpp.wire import Octets, Wires
from bridge.watching import explaining
from bridge.watching.facts import (
    AnswerDropped,
    CallEnded,
    FrameRelayed,
    HandshakeRefused,
    MessageRefused,
    RequestsUnread,
)
from bridge.watching.masking import masked, masked_around, without_password

# The four places where a message is on a wire.
RECEIVED, SENT, ANSWER_RECEIVED, ANSWER_SENT = range(4)
# Stands for the JSON of a model that the frame holds.
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
_pack = msgspec.msgpack.Encoder().encode
_encode = msgspec.json.Encoder(decimal_format="number").encode
_call_frames = msgspec.json.Decoder(tuple[int, str, str, Raw])
_NO_WIRES = Wires()
_NOWHERE = (None, None, None, None)
# The octets of memory that a message takes beside those on its wires and in its models.
_ITSELF = 1500

RecordedFact = CallEnded | AnswerDropped | MessageRefused | FrameRelayed | RequestsUnread | HandshakeRefused
"""The facts that make a recorded message."""


class Kept(Struct, frozen=True, array_like=True, gc=False):
    """A message on a wire as it is kept: `octets` is the length that it had, `data` is masked."""

    transport: str
    at: float
    peer: str | None
    octets: int
    data: bytes


class Cost(Struct, frozen=True, array_like=True, gc=False):
    """A Loss: the PDU's name, where in it, the reason in words, and how often."""

    message: str
    path: str
    reason: str
    count: int = 1


class Told(Struct, frozen=True, array_like=True, gc=False):
    """The part of a row that queries do not look into. `request` and `response` are the model's JSON, or IN_FRAME if
    the frame that was sent holds it. Times are seconds. `wires` are the four places."""

    identity: str
    took: float = 0.0
    unique_id: str = ""
    hop_id: str | None = None
    why: str | None = None
    losses: tuple[Cost, ...] = ()
    request: bytes | None = None
    response: bytes | None = None
    before: float | None = None
    beyond: float | None = None
    wires: tuple[Kept | None, Kept | None, Kept | None, Kept | None] = (None, None, None, None)


Asked = tuple[float, str, str, str]
"""The part of a row that queries look into: at, action, outcome, sender."""
Row = tuple[int, str, float, str, str, str, bytes]
"""id, identity casefolded, Asked, Told"""


class Ended(Struct, frozen=True, gc=False):
    """A Call that has ended, without its models: those are many objects, and thousands of Calls may wait.

    Attributes:
        told: Its row, not masked yet, without losses and octets.
        losses: The losses of reading it. The losses of writing it are in `wires`.
        opened: Whether the request was read, not only passed on. `understood` says that of the answer.
        answered: Whether the sender gets an answer over a wire.
    """

    asked: Asked
    told: Told
    losses: tuple[Loss, ...]
    wires: Wires
    opened: bool
    understood: bool
    answered: bool


class Noted(Struct, frozen=True, gc=False):
    """A message that waits to be written.

    Attributes:
        number: The id of the message.
        at: The time when it ended, in unix seconds.
        size: The octets of memory that it takes, about.
    """

    number: int
    at: float
    of: Ended | AnswerDropped | MessageRefused | FrameRelayed | RequestsUnread | HandshakeRefused
    size: int

    @property
    def is_whole(self) -> bool:
        """Whether all octets are there. The answer to a SOAP request may be written after its Call has ended."""
        return not isinstance(self.of, Ended) or not self.of.answered or self.of.wires.answer_sent is not None


def noted(number: int, at: float, fact: RecordedFact) -> Noted:
    """Return the message that a Fact makes. Raises UnicodeEncodeError if a text in it cannot be encoded."""
    size = _ITSELF
    if isinstance(fact, CallEnded):
        ended = _ended(at, fact.identity, fact.report)
        wires = ended.wires
        # Written out, because it is asked of every message.
        if wires.received is not None:
            size += len(wires.received.data)
        if wires.sent is not None:
            size += len(wires.sent.data)
        if wires.answer_received is not None:
            size += len(wires.answer_received.data)
        if wires.answer_sent is not None:
            size += len(wires.answer_sent.data)
        return Noted(number, at, ended, size + len(ended.told.request or b"") + len(ended.told.response or b""))
    if isinstance(fact, AnswerDropped) and fact.drop.came is not None:
        size += len(fact.drop.came.data)
    elif isinstance(fact, MessageRefused):
        received = None if fact.wires is None else fact.wires.received
        size += len(fact.data if received is None else received.data)
    elif isinstance(fact, FrameRelayed):
        size += len(fact.data)
    return Noted(number, at, fact, size)


def row_of(noted: Noted, *, id_tags: bool) -> Row:
    """Return the row of a message, without credentials and, if `id_tags`, without idTags. Raises UnicodeEncodeError if
    a text in it cannot be encoded."""
    asked, told = told_of(noted, id_tags=id_tags)
    return noted.number, told.identity.casefold(), *asked, _pack(told)


def told_of(noted: Noted, *, id_tags: bool) -> tuple[Asked, Told]:
    """Return the two parts of that row."""
    at, cut = noted.at, Cut(id_tags)
    match noted.of:
        case Ended(asked):
            return asked, _of_call(noted.of, id_tags)
        case AnswerDropped(identity, drop):
            why = without_password(explaining.of_drop(drop))
            told = Told(identity, hop_id=drop.unique_id, why=why, wires=(None, None, *cut.pair(drop.came, None)))
            return (at, "", "dropped", drop.party.other.value), told
        case FrameRelayed(identity, party, data):
            frame = Octets("json", at, data)
            return (at, "", "relayed", party.value), Told(identity, wires=(*cut.pair(frame, frame), None, None))
        case MessageRefused(identity, peer, _, reason, why, unique_id, by, data, wires):
            came, answer = (None, None) if wires is None else (wires.received, wires.answer_sent)
            if came is None and data:
                came = Octets("soap" if _is_xml(data) else "json", at, data)
            action, sender = "" if came is None else _action_in(came.data), by or Party.CHARGE_POINT
            cut = Cut(id_tags, peer=peer)
            places = (*cut.pair(came, None), *cut.pair(None, answer))
        case RequestsUnread(peer=peer, reason=reason, why=why, identity=identity):
            action, sender, unique_id, places = "", Party.CHARGE_POINT, "", _NOWHERE
        case HandshakeRefused(identity, peer, status, reason, why):
            reason = f"the WebSocket was refused with HTTP {status}: {reason}"
            action, sender, unique_id, places = "", Party.CHARGE_POINT, "", _NOWHERE
    text = without_password(explaining.of_refusal(why, reason))
    told = Told(identity or "", unique_id=unique_id or "", why=text, wires=places)
    return (at, action, "refused", sender.value), told


def instant(at: float) -> str:
    """Return unix seconds as ISO 8601 in UTC."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _ended(at: float, identity: str, report: Report) -> Ended:
    call, answer, sent = report.call, report.answer, report.sent
    payload, losses, wires = call.payload, call.losses, call.wires or _NO_WIRES
    opened, understood, response = not isinstance(payload, UNOPENED), False, None
    went = wires.sent if report.hop_id is not None else None
    request = IN_FRAME if went is not None and went.transport == "json" else _model(payload)
    if isinstance(answer, CallResult):
        losses += answer.losses
        response, understood = _model(answer.payload), not isinstance(answer.payload, UNOPENED)
    elif isinstance(answer, CallError):
        response = _encode({"code": answer.code, "description": answer.description, "details": answer.details})
    took = report.ended - report.arrived
    told = Told(
        identity,
        took,
        call.unique_id,
        report.hop_id,
        None if report.outcome is Outcome.RESULT else explaining.of_report(report),
        (),
        request,
        response,
        None if sent is None else sent - report.arrived,
        None if sent is None else report.ended - sent,
    )
    sender = "operator" if report.operator else report.sender.value
    asked = (at - took, call.action, report.outcome.value, sender)
    answered = answer is not None and call.wires is not None and not (report.own or report.operator)
    return Ended(asked, told, losses, wires, opened, understood, answered)


def _of_call(ended: Ended, id_tags: bool) -> Told:
    told, wires, losses = ended.told, ended.wires, ended.losses
    harmless = ended.asked[1] in _HARMLESS
    if wires.losses:
        losses = merged(losses, wires.losses)
    ours = harmless and ended.opened
    cut = Cut(id_tags, ours=ours, read=ours and not losses)
    # The Call may have waited again after it was sent, and then has no UniqueId on the other hop.
    went = None if told.hop_id is None else wires.sent
    request, response = told.request, told.response
    return replace(
        told,
        why=None if told.why is None else without_password(told.why),
        losses=tuple([Cost(loss.message, loss.path, loss.reason.value, loss.count) for loss in losses]),
        request=masked(request, id_tags=id_tags, harmless=ours) if request else request,
        response=masked(response, id_tags=id_tags, harmless=harmless and ended.understood) if response else response,
        wires=(*cut.pair(wires.received, went), *cut.pair(wires.answer_received, wires.answer_sent)),
    )


def _model(payload: Any) -> bytes:
    return bytes(payload.raw) if isinstance(payload, UNOPENED) else _encode(payload)


def _is_xml(data: bytes) -> bool:
    return data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<"


def _action_in(data: bytes) -> str:
    """Return the action of a request, an envelope or a frame; "" if it cannot be read."""
    if _is_xml(data):
        found = _BODY.search(data)
        name = found[1].decode() if found else ""
        name = name[:1].upper() + name[1:]
        return name if name in ACTIONS else ""
    try:
        return _call_frames.decode(data)[2]
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return ""


class Cut(Struct, frozen=True, gc=False):
    """The way in which octets are masked.

    Attributes:
        id_tags: Whether idTags are cut out.
        peer: The IP address of the sender, if it is known.
        ours: Whether messages that the bridge sent are harmless.
        read: Whether the part that was read of a received message is harmless, too.
    """

    id_tags: bool
    peer: str | None = None
    ours: bool = False
    read: bool = False

    def pair(self, received: Octets | None, sent: Octets | None) -> tuple[Kept | None, Kept | None]:
        """Mask a received message and the one that was sent for it. If both are the same, mask once."""
        came = None
        if received is not None:
            around = self.read and received.transport == "soap"
            data = (masked_around if around else masked)(received.data, id_tags=self.id_tags)
            came = Kept(received.transport, received.at, self.peer, len(received.data), data)
        if sent is None:
            return came, None
        if received is not None and came is not None and not self.ours and received.data == sent.data:
            data = came.data
        else:
            data = masked(sent.data, id_tags=self.id_tags, harmless=self.ours)
        return came, Kept(sent.transport, sent.at, None, len(sent.data), data)
