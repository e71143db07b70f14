"""What a note begins a message with: all that is known when a Call has ended, an answer was dropped, or something was
turned away; and the frames between two JSON parties, which nobody told of. Pure."""

from __future__ import annotations

from msgspec import Raw

from bridge.core.commands import Outcome
from bridge.masking import without_password
from bridge.ocpp.actions import Party
from bridge.ocpp.rpc import Call, CallResult, UnopenedRequest, UnopenedResponse
from bridge.ocpp.wire import End, Kind
from bridge.ocppj import codec
from bridge.recorder.joined import ANSWER_RECEIVED, ANSWER_SENT, ANSWERS, BEYOND, NEAR, RECEIVED, SENT, Joined
from bridge.recorder.notes import Dropped, Ended, Seen, TurnedAway


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
    joined = _of_a_moment(note.number, note.identity, note.at, note.party.other, "dropped")
    joined.hop_id, joined.why, joined.missing = note.hop_id, _safe(note.why), BEYOND & ANSWERS
    if note.frame:
        seen = _frame(joined, note.party, note.at, "result", note.hop_id, note.frame, inbound=True)
        joined.fill(ANSWER_RECEIVED, seen)
    return joined


def of_refusal(note: TurnedAway) -> Joined:
    """What was turned away before it was a Call."""
    party = note.by or Party.CHARGE_POINT
    joined = _of_a_moment(note.number, note.identity, note.at, party, "refused")
    joined.unique_id, joined.why, joined.peer = note.unique_id, _safe(note.why), note.peer
    return joined


def of_frame(number: int, seen: Seen) -> Joined:
    """A frame that is no Call and no answer, and was only passed on."""
    party = Party.CHARGE_POINT if seen.end.near else Party.CENTRAL_SYSTEM
    return _of_a_moment(number, seen.end.identity, seen.at, party, "relayed")


def _of_a_moment(number: int, identity: str, at: float, party: Party, outcome: str) -> Joined:
    """What never was a Call with an end; `party` sent it, or asked for it."""
    return Joined(
        number=number,
        identity=identity,
        at=at,
        ended=at,
        party=party,
        sender=party.value,
        action="",
        outcome=outcome,
        unique_id="",
    )


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
