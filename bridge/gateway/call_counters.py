"""Count the Calls and failures of each Charge Point since the bridge was started, and keep its last error."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from msgspec import Struct

from bridge.admin.facts import Counters
from bridge.core.commands import Outcome, Report
from bridge.ocpp.actions import Party
from bridge.ocpp.losses import Loss
from bridge.ocpp.rpc import Answer, CallError, CallResult, Unanswered
from bridge.watching.facts import (
    AnswerDropped,
    CallEnded,
    ChargePointRemoved,
    ContentLost,
    Fact,
    HandshakeRefused,
    LinkLost,
    MessageRefused,
)
from bridge.watching.masking import without_password

_LONGEST = 500
_COUNTED = {
    Outcome.RESULT: "results",
    Outcome.REPEATED: "results",
    Outcome.ERROR: "errors",
    Outcome.UNANSWERED: "unanswered",
    Outcome.REFUSED: "refused",
    Outcome.ABANDONED: "dropped",
    Outcome.RETRANSMITTED: "dropped",  # the answer to the first copy serves both
}


class ChargePointCounters(Struct, kw_only=True):
    """The counts of one Charge Point.

    Attributes:
        calls: The Calls that have ended, in both directions.
        losses: The fields that were lost in translation.
        dropped: The Calls and answers that were dropped.
        error: The last error.
        error_at: The time of that error, in unix seconds.
    """

    calls: int = 0
    results: int = 0
    errors: int = 0
    unanswered: int = 0
    refused: int = 0
    losses: int = 0
    dropped: int = 0
    error: str | None = None
    error_at: float | None = None

    def told(self) -> Counters:
        """Return the counts in the form of the API."""
        return Counters(**{name: getattr(self, name) for name in Counters.__struct_fields__})

    @property
    def failed(self) -> int:
        """Return the number of Calls that ended with an error, without an answer, or refused."""
        return self.errors + self.unanswered + self.refused


class CallCounters:
    """The counts of all known Charge Points. Unknown ones are not counted, since their number has no limit.

    Args:
        known: Returns None for the identity of an unknown Charge Point.
        clock: Returns the time in unix seconds.
    """

    def __init__(self, known: Callable[[str], object], clock: Callable[[], float] = time.time) -> None:
        self._known = known
        self._clock = clock
        self._entries: dict[str, ChargePointCounters] = {}

    def of(self, identity: str) -> ChargePointCounters:
        """Return the counts of one Charge Point; all are 0 if nothing happened."""
        return self._entries.get(identity.casefold(), ChargePointCounters())

    def see(self, fact: Fact) -> None:
        """Count `fact` for its Charge Point."""
        match fact:
            case CallEnded(identity, report):
                self._ended(identity, report)
            case ContentLost(identity, losses):
                self._counting(identity, losses=_count(losses))
            case AnswerDropped(identity):
                self._counting(identity, dropped=1)
            case MessageRefused(str(identity), _, code, reason):
                self._counting(identity, f"{code.value}: {reason}", refused=1)
            case HandshakeRefused(str(identity), _, status, reason):
                self._counting(identity, f"HTTP {status}: {reason}", refused=1)
            case ChargePointRemoved(identity):
                self._entries.pop(identity.casefold(), None)
            case LinkLost(identity, party, _, reason):
                name = "its Central System" if party is Party.CENTRAL_SYSTEM else "the Charge Point"
                self._counting(identity, f"the way to {name}: {reason}")

    def _ended(self, identity: str, report: Report) -> None:
        entry = None if report.own else self._entry(identity)
        if entry is None:
            return
        entry.calls += 1
        name = _COUNTED[report.outcome]
        setattr(entry, name, getattr(entry, name) + 1)
        call, answer = report.call, report.answer
        entry.losses += _count(call.losses)
        if isinstance(answer, CallResult):
            entry.losses += _count(answer.losses)
        elif (reason := _reason(answer)) is not None:
            self._failed(entry, f"{call.action}: {reason}")

    def _counting(
        self, identity: str, error: str | None = None, *, losses: int = 0, dropped: int = 0, refused: int = 0
    ) -> None:
        entry = self._entry(identity)
        if entry is None:
            return
        entry.losses += losses
        entry.dropped += dropped
        entry.refused += refused
        if error is not None:
            self._failed(entry, error)

    def _entry(self, identity: str) -> ChargePointCounters | None:
        folded = identity.casefold()
        entry = self._entries.get(folded)
        if entry is None and self._known(identity):
            entry = self._entries[folded] = ChargePointCounters()
        return entry

    def _failed(self, entry: ChargePointCounters, text: str) -> None:
        entry.error, entry.error_at = without_password(text)[:_LONGEST], self._clock()


def _count(losses: Sequence[Loss]) -> int:
    return sum([loss.count for loss in losses])


def _reason(answer: Answer | None) -> str | None:
    match answer:
        case CallError(code=code, description=description):
            return f"{code}: {description}" if description else code
        case Unanswered(reason=reason):
            return reason
    return None
