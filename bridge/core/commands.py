"""What a Session can want done. The gateway does it, in this order, and knows no better."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from bridge.core.memory import Record
from bridge.ocpp.actions import Party
from bridge.ocpp.rpc import Answer, Call


class OpenLink(Struct, frozen=True, kw_only=True):
    """Dial `party`. LinkUp or LinkDown follows."""

    party: Party


class CloseLink(Struct, frozen=True, kw_only=True):
    """Hang up on `party`. Nothing follows: the Session already counts the Link as down.

    `try_again`: it is not at fault, and shall come back later.
    """

    party: Party
    reason: str
    try_again: bool = False


class SendCall(Struct, frozen=True, kw_only=True):
    """Send `call` to `party`, under the UniqueId that it has. An answer after `deadline` is of no use."""

    party: Party
    call: Call
    deadline: float


class SendAnswer(Struct, frozen=True, kw_only=True):
    """Answer what `party` sent under `key`."""

    party: Party
    key: str
    answer: Answer


class SetTimer(Struct, frozen=True, kw_only=True):
    """Send TimerFired at `at`. There is one timer: a new time replaces the old one."""

    at: float


class Keep(Struct, frozen=True, kw_only=True):
    """Put `records` where a power cut does not reach them. Kept with the same `key` follows."""

    key: str
    records: tuple[Record, ...]


class Note(Struct, frozen=True, kw_only=True):
    """Put `records` away some time soon. Nothing follows."""

    records: tuple[Record, ...]


class Drop(Struct, frozen=True, kw_only=True):
    """Say that an answer from `party` goes nowhere, and why. `frame` is what it came in, if it was to be passed on."""

    party: Party
    unique_id: str
    reason: str
    frame: bytes = b""


class Outcome(StrEnum):
    """How a Call ended, for logs and metrics."""

    RESULT = "result"
    ERROR = "error"
    UNANSWERED = "unanswered"
    REFUSED = "refused"
    REPEATED = "repeated"
    ABANDONED = "abandoned"


class Report(Struct, frozen=True, kw_only=True):
    """A Call has ended: the record from which logs, metrics and traces are written. Times as in the events.

    `hop_id` is the UniqueId towards the other party, None if it was never sent; `answer` is what `sender` was told,
    None if it was told nothing.
    """

    sender: Party
    call: Call
    outcome: Outcome
    arrived: float
    ended: float
    hop_id: str | None = None
    sent: float | None = None
    answer: Answer | None = None
    own: bool = False  # a Call of the bridge itself
    operator: bool = False  # a person's Call, in the place of the Central System


Command = OpenLink | CloseLink | SendCall | SendAnswer | SetTimer | Keep | Note | Drop | Report
