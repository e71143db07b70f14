"""What can happen to a Session. Every event says when, `at`: seconds on a clock that only goes forward."""

from __future__ import annotations

from msgspec import Struct

from bridge.ocpp.actions import Party
from bridge.ocpp.rpc import Answer, Call


class LinkUp(Struct, frozen=True, kw_only=True):
    """The way to `party` is open: its WebSocket is connected, or an address to POST to is known."""

    at: float
    party: Party


class LinkDown(Struct, frozen=True, kw_only=True):
    """The way to `party` is closed, or could not be opened.

    `undelivered` names the Call (by its UniqueId on that hop) that certainly did not arrive, if one was under way.
    """

    at: float
    party: Party
    reason: str
    undelivered: str | None = None


class CallReceived(Struct, frozen=True, kw_only=True):
    """`party` sends a Call. `key` is the name under which its transport waits for the answer.

    `operator`: a person sends it in the Central System's place; the Links of that one have no part in it. `instead`: it
    will be answered in the other party's place, since the OCPP version of that one does not have it.
    """

    at: float
    party: Party
    key: str
    call: Call
    operator: bool = False
    instead: bool = False


class AnswerReceived(Struct, frozen=True, kw_only=True):
    """`party` answers; `answer.unique_id` is that of the hop to `party`.

    `instead`: in its place, since its OCPP version does not have the message; nothing was sent to it.
    """

    at: float
    party: Party
    answer: Answer
    instead: bool = False


class Resumed(Struct, frozen=True, kw_only=True):
    """The bridge has been started again. The Charge Point was heard of at `last_heard`, before that."""

    at: float
    last_heard: float


class Kept(Struct, frozen=True, kw_only=True):
    """What the command Keep with this `key` asked for is done, as well as it can be."""

    at: float
    key: str


class TimerFired(Struct, frozen=True, kw_only=True):
    """The time of the last SetTimer has come."""

    at: float


Event = LinkUp | LinkDown | CallReceived | AnswerReceived | Kept | Resumed | TimerFired
