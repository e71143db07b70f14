"""What is taken down on the path of a message: flat records of what cannot change any more. Pure.

Many wait where there is no time to record them. So they hold no models, which are many objects, but octets, and can be
packed: what waits is octets in a row.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from bridge import explaining
from bridge.core.commands import Drop, Outcome, Report
from bridge.ocpp.actions import Party
from bridge.ocpp.losses import Loss
from bridge.ocpp.rpc import CallError, CallResult, UnopenedRequest, UnopenedResponse
from bridge.ocpp.wire import Kind, Transport

SEEN = 0
"""What a Seen begins with when it is packed; its fields follow."""
_encode = msgspec.json.Encoder(decimal_format="number").encode


class Seen(Struct, frozen=True, gc=False, array_like=True, tag=SEEN):
    """What went over a wire, as a Tap is told; `near`: to or from the Charge Point; `at` is unix seconds."""

    at: float
    identity: str
    near: bool
    inbound: bool
    transport: Transport
    kind: Kind
    unique_id: str
    action: str | None
    data: bytes


class Ended(Struct, frozen=True, gc=False, array_like=True, tag=1):
    """A Call that has ended just now, `at`, in unix seconds; `arrived`, `sent` and `ended` are the Report's.

    `framed`: its request is not here, but in the frame that was sent; `opened`: it was read; `request` and `response`
    are the model's JSON, and `understood` says that the response is of a model; `answered`: its sender was told."""

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
    answered: bool
    understood: bool
    response: bytes | None
    losses: tuple[Loss, ...]


class Dropped(Struct, frozen=True, gc=False, array_like=True, tag=2):
    """An answer went nowhere. `party` is who sent it."""

    number: int
    at: float
    identity: str
    party: Party
    hop_id: str
    why: str


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


def ended(number: int, at: float, identity: str, report: Report, framed: bool) -> Ended:
    """Of a Report."""
    call, answer, outcome = report.call, report.answer, report.outcome
    payload, losses = call.payload, call.losses
    opened, understood = not isinstance(payload, UnopenedRequest), False
    if framed:
        request = None
    elif opened:
        request = _encode(payload)
    else:
        request = bytes(payload.raw)  # type: ignore[attr-defined]
    response = None
    if isinstance(answer, CallResult):
        losses += answer.losses
        result = answer.payload
        if isinstance(result, UnopenedResponse):
            response = bytes(result.raw)
        else:
            response, understood = _encode(result), True
    elif isinstance(answer, CallError):
        error = {"code": answer.code, "description": answer.description, "details": answer.details}
        response = _encode(error)
    return Ended(
        number,
        at,
        identity,
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
        answer is not None,
        understood,
        response,
        losses,
    )


def dropped(number: int, at: float, identity: str, drop: Drop) -> Dropped:
    """Of a Drop."""
    return Dropped(number, at, identity, drop.party, drop.unique_id, explaining.of_drop(drop))
