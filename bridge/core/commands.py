"""Commands: the outputs of a Session. The gateway executes them in their order and decides nothing itself."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from bridge.core.memory import Record
from bridge.ocpp.actions import Party
from bridge.ocpp.messages import Request, Response
from bridge.ocpp.rpc import Answer, Call, Unanswered
from bridge.ocpp.wire import Octets, Wires


class OpenLink(Struct, frozen=True, kw_only=True):
    """Connect to `party`. The event LinkUp or LinkDown follows."""

    party: Party


class CloseLink(Struct, frozen=True, kw_only=True):
    """Close the connection to `party`. No event follows: the Session already counts the Link as down.

    Attributes:
        try_again: Whether the party is not at fault and should connect again later.
    """

    party: Party
    reason: str
    try_again: bool = False


class SendCall(Struct, frozen=True, kw_only=True):
    """Send `call` to `party`, under the UniqueId that `call` has.

    Attributes:
        deadline: The time by which the sender of the Call gets its answer.
        give_up: The time until which a POST may go on. A later answer is of no use.
    """

    party: Party
    call: Call
    deadline: float
    give_up: float


class Wake(Struct, frozen=True, kw_only=True):
    """Ask the route's `wake_url` to wake the Charge Point: a command cannot be delivered. No event follows."""


class SendAnswer(Struct, frozen=True, kw_only=True):
    """Send `answer` for the Call that `party` sent under `key`. `wires` are those of the Call."""

    party: Party
    key: str
    answer: Answer
    wires: Wires | None = None


class SetTimer(Struct, frozen=True, kw_only=True):
    """Send the event TimerFired at the time `at`. There is one timer: a new time replaces the old one."""

    at: float


class Exchange(Struct, frozen=True, kw_only=True):
    """A request of a Charge Point and the response of its Central System, with the transactionIds that the latter uses.

    Attributes:
        own: Whether the bridge itself sent the request, in the Charge Point's name.
    """

    request: Request
    response: Response
    own: bool = False


class Keep(Struct, frozen=True, kw_only=True):
    """Write `records` to disk, so that they survive a power cut. The event Kept with the same `key` follows.

    Attributes:
        exchange: The answered Call that the records follow from, None for a Call that is not sent yet.
    """

    key: str
    records: tuple[Record, ...]
    exchange: Exchange | None = None


class Note(Struct, frozen=True, kw_only=True):
    """Store `records` some time soon. No event follows."""

    records: tuple[Record, ...]


class Drop(Struct, frozen=True, kw_only=True):
    """Report that an answer from `party` is not passed on.

    Attributes:
        unique_id: The UniqueId of the answer.
        reason: Why the answer is not passed on.
        came: The octets that the answer came in, None if nobody records them.
        kept: Whether the answer is kept for a repetition.
    """

    party: Party
    unique_id: str
    reason: str
    came: Octets | None = None
    kept: bool = False


class Outcome(StrEnum):
    """The outcome of a Call, for logs and metrics."""

    RESULT = "result"
    ERROR = "error"
    UNANSWERED = "unanswered"
    REFUSED = "refused"
    REPEATED = "repeated"
    ABANDONED = "abandoned"
    RETRANSMITTED = "retransmitted"


class Report(Struct, frozen=True, kw_only=True):
    """Report the end of a Call. Logs, metrics and traces are written from this record.

    Attributes:
        sender: The party that sent the Call.
        call: The Call, under the sender's UniqueId.
        outcome: How the Call ended.
        arrived: When the Call arrived, on the clock of the events.
        ended: When the Call ended, on the clock of the events.
        hop_id: The UniqueId towards the other party, None if the Call was never sent.
        sent: When the Call was sent to the other party, None if it never was.
        answer: The answer that `sender` got, None if it got none.
        own: Whether the bridge itself sent the Call.
        operator: Whether an operator sent the Call in the Central System's place.
        failed: The link failure that ended the Call, if one did.
        instead: Whether the bridge answered in the other party's place, because its OCPP version lacks the action.
    """

    sender: Party
    call: Call
    outcome: Outcome
    arrived: float
    ended: float
    hop_id: str | None = None
    sent: float | None = None
    answer: Answer | None = None
    own: bool = False
    operator: bool = False
    failed: Unanswered | None = None
    instead: bool = False


Command = OpenLink | CloseLink | SendCall | Wake | SendAnswer | SetTimer | Keep | Note | Drop | Report
