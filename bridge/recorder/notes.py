"""What is taken down on the path of a message: flat records of what cannot change any more. Pure.

Many wait where there is no time to record them. So they hold no models, which are many objects, but octets, and can be
packed: what waits is octets in a row.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec
from msgspec import Struct

from bridge import explaining
from bridge.core.commands import Drop, Outcome, Report
from bridge.ocpp.actions import Party
from bridge.ocpp.losses import Loss
from bridge.ocpp.rpc import CallError, CallResult, UnopenedRequest, UnopenedResponse
from bridge.ocpp.wire import SEEN, End, Kind, Sighting, Transport

# Frames whose Calls have not ended: more than there are Calls at once. What is forgotten costs time only.
_MOST_FRAMED = 10_000
_encode = msgspec.json.Encoder(decimal_format="number").encode


Answered = Literal["not", "read", "unopened", "error"]
"""What the sender of a Call was told: a result of a model, one that was only passed on, or no result."""


class Seen(Struct, frozen=True, gc=False, array_like=True, tag=SEEN):
    """A Sighting as it is unpacked; `at` is unix seconds."""

    end: End
    at: float
    inbound: bool
    transport: Transport
    kind: Kind
    unique_id: str
    action: str | None
    data: bytes


class Ended(Struct, frozen=True, gc=False, array_like=True, tag=1):
    """A Call that has ended just now, `at`, in unix seconds; `arrived`, `sent` and `ended` are the Report's.

    `framed`: its request is not here, but in the frame that was sent; `opened`: it was read; `request` and `response`
    are the model's JSON, or the frames of what was only passed on. An operator's request came in none: it is JSON."""

    number: int
    at: float
    identity: str
    sender: Party
    operator: bool
    own: bool
    action: str
    outcome: Outcome
    unique_id: str
    hop_id: str | None
    why: str | None
    arrived: float
    sent: float | None
    ended: float
    framed: bool
    opened: bool
    request: bytes | None
    answered: Answered
    response: bytes | None
    losses: tuple[Loss, ...]


class Dropped(Struct, frozen=True, gc=False, array_like=True, tag=2):
    """An answer went nowhere. `party` is who sent it, `frame` what it came in, if it was to be passed on."""

    number: int
    at: float
    identity: str
    party: Party
    hop_id: str
    why: str
    frame: bytes


class TurnedAway(Struct, frozen=True, gc=False, array_like=True, tag=3):
    """What was turned away before it was a Call, as far as it is known; `data` is what came."""

    number: int
    at: float
    identity: str
    by: Party | None
    unique_id: str
    why: str
    peer: str | None
    data: bytes


class Cost(Struct, frozen=True, gc=False, array_like=True, tag=4):
    """What was lost in writing a message."""

    at: float
    identity: str
    losses: tuple[Loss, ...]


class Gap(Struct, frozen=True, gc=False, array_like=True, tag=5):
    """What came behind it was not taken down."""

    at: float = 0.0  # not known, and of no use


Note = Seen | Ended | Dropped | TurnedAway | Cost | Gap


class Ending(Struct, frozen=True, gc=False):
    """What an Ended is made of when it is packed, so that this is done for a few of them together."""

    number: int
    at: float
    identity: str
    report: Report


Noted = Note | Sighting | Ending


class Notes:
    """Makes notes of what was noted, as they are packed. It remembers what was sent as a frame."""

    def __init__(self) -> None:
        # UniqueIds of Calls that were sent so, and have not ended.
        self._framed: set[str] = set()

    def of(self, noted: Iterable[Noted]) -> list[Note | Sighting]:
        """In their order. Raises UnicodeEncodeError for what is no text."""
        notes: list[Note | Sighting] = []
        for one in noted:
            if type(one) is tuple:  # most are
                notes.append(one)
                _, _, _, inbound, transport, kind, unique_id, _, _ = one
                if kind == "call" and transport == "json" and not inbound:
                    self._send(unique_id)
            elif isinstance(one, Ending):
                notes.append(ended(one, framed=one.report.hop_id in self._framed))
                self._framed.discard(one.report.hop_id)
            else:
                notes.append(one)
        return notes

    def _send(self, unique_id: str) -> None:
        if len(self._framed) >= _MOST_FRAMED:
            self._framed.clear()
        self._framed.add(unique_id)


def ended(ending: Ending, *, framed: bool = False) -> Ended:
    """`framed`: its request stands in the frame that was sent, and is left out."""
    report = ending.report
    call, answer, outcome = report.call, report.answer, report.outcome
    payload, losses = call.payload, call.losses
    opened = True
    answered: Answered = "not" if answer is None else "error"
    if framed:
        request = None
    elif isinstance(payload, UnopenedRequest):
        request, opened = payload.frame or bytes(payload.raw), False
    else:
        request = _encode(payload)
    response = None
    if isinstance(answer, CallResult):
        losses += answer.losses
        result = answer.payload
        if isinstance(result, UnopenedResponse):
            response, answered = result.frame, "unopened"
        else:
            response, answered = _encode(result), "read"
    elif isinstance(answer, CallError):
        error = {"code": answer.code, "description": answer.description, "details": answer.details}
        response = _encode(error)
    return Ended(
        ending.number,
        ending.at,
        ending.identity,
        report.sender,
        report.operator,
        report.own,
        call.action,
        outcome,
        call.unique_id,
        report.hop_id,
        None if outcome is Outcome.RESULT else explaining.of_report(report),
        report.arrived,
        report.sent,
        report.ended,
        framed,
        opened,
        request,
        answered,
        response,
        losses,
    )


def dropped(number: int, at: float, identity: str, drop: Drop) -> Dropped:
    """Of a Drop."""
    return Dropped(number, at, identity, drop.party, drop.unique_id, explaining.of_drop(drop), drop.frame)
