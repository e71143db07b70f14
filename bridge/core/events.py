"""Events: the inputs of a Session. `at` of every event is its time, in seconds on a monotonic clock."""

from __future__ import annotations

from msgspec import Struct

from bridge.core.policies import PolicyRule
from bridge.ocpp.actions import Party
from bridge.ocpp.rpc import Answer, Call
from bridge.ocpp.wire import Octets


class LinkUp(Struct, frozen=True, kw_only=True):
    """The Link to `party` is open: its WebSocket is connected, or an address to POST to is known."""

    at: float
    party: Party


class LinkDown(Struct, frozen=True, kw_only=True):
    """The Link to `party` was closed, or could not be opened.

    Attributes:
        undelivered: The UniqueId, on that hop, of the Call that was out and certainly did not arrive; None if there is
            none.
        code: The close code of a WebSocket that the party closed, None for one that broke.
    """

    at: float
    party: Party
    reason: str
    undelivered: str | None = None
    code: int | None = None


class CallReceived(Struct, frozen=True, kw_only=True):
    """`party` sent a Call.

    Attributes:
        key: The name under which the party's transport waits for the answer.
        operator: Whether an operator sent the Call in the Central System's place. The Central System's Link then plays
            no part.
        instead: Whether the bridge will answer in the other party's place, because the other party's OCPP version lacks
            the action.
        policy: The policy for the Call, None if there is none.
    """

    at: float
    party: Party
    key: str
    call: Call
    operator: bool = False
    instead: bool = False
    policy: PolicyRule | None = None


class AnswerReceived(Struct, frozen=True, kw_only=True):
    """`party` answered. `answer.unique_id` is the UniqueId on the hop to `party`.

    Attributes:
        instead: Whether the bridge answered in the party's place, because the party's OCPP version lacks the action.
            Nothing was sent to the party.
        came: The octets that the answer came in, None if nobody records them.
    """

    at: float
    party: Party
    answer: Answer
    instead: bool = False
    came: Octets | None = None


class Resumed(Struct, frozen=True, kw_only=True):
    """The Session goes on after a restart of the bridge, or after its Charge Point was moved.

    Attributes:
        last_heard: When the last message of the Charge Point came.
        at_once: Whether the Central System is dialled without a pause. The Session of a JSON Charge Point, whose
            connection it was given, dials at once in any case.
    """

    at: float
    last_heard: float
    at_once: bool = False


class CopyReceived(Struct, frozen=True, kw_only=True):
    """A copy of `call`, which the Charge Point sent to another Central System, is to be sent. Nobody waits for it.

    `policy` is the policy for the copy, None if there is none.
    """

    at: float
    call: Call
    policy: PolicyRule | None = None


class HandedOver(Struct, frozen=True, kw_only=True):
    """Another Session of the Charge Point has its connection from now on. The Calls in progress end in this one."""

    at: float


class TurnTaken(Struct, frozen=True, kw_only=True):
    """An earlier Session of the Charge Point has, or no longer has, Calls to end on the connection of both.

    Attributes:
        taken: Whether it has.
    """

    at: float
    taken: bool


class RecordsKept(Struct, frozen=True, kw_only=True):
    """The command Keep with this `key` was executed, as far as the store was able to."""

    at: float
    key: str


class TimerFired(Struct, frozen=True, kw_only=True):
    """The time of the last command SetTimer has come."""

    at: float


Event = (
    LinkUp
    | LinkDown
    | CallReceived
    | CopyReceived
    | AnswerReceived
    | HandedOver
    | TurnTaken
    | RecordsKept
    | Resumed
    | TimerFired
)
