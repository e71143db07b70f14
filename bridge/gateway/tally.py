"""What each Charge Point did since the bridge was started: counted, with the last thing that went wrong."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from msgspec import Struct

from bridge.admin.facts import Counters
from bridge.core.commands import Drop, Outcome, Report
from bridge.errors import BridgeError, Why
from bridge.masking import without_password
from bridge.observing import Observer
from bridge.ocpp.actions import Party
from bridge.ocpp.losses import Loss
from bridge.ocpp.rpc import Answer, CallError, CallResult, Unanswered

_LONGEST = 500
_COUNTED = {
    Outcome.RESULT: "results",
    Outcome.REPEATED: "results",
    Outcome.ERROR: "errors",
    Outcome.UNANSWERED: "unanswered",
    Outcome.REFUSED: "refused",
    Outcome.ABANDONED: "dropped",
}


class Entry(Struct, kw_only=True):
    """One Charge Point's. `error_at` is in unix seconds."""

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
        """As the API tells it."""
        return Counters(**{name: getattr(self, name) for name in Counters.__struct_fields__})

    @property
    def failed(self) -> int:
        """How many Calls did not end as they should."""
        return self.errors + self.unanswered + self.refused


class Tally(Observer):
    """Of all Charge Points that are `known`; strangers, who can be any number, are not counted one by one. `clock`
    gives unix seconds."""

    def __init__(self, known: Callable[[str], object], clock: Callable[[], float] = time.time) -> None:
        self._known = known
        self._clock = clock
        self._entries: dict[str, Entry] = {}

    def of(self, identity: str) -> Entry:
        """That of one; empty if nothing happened."""
        return self._entries.get(identity.casefold(), Entry())

    def exchanged(self, identity: str, report: Report) -> None:
        entry = None if report.own else self._entry(identity)
        if entry is None:
            return
        entry.calls += 1
        name = _COUNTED[report.outcome]
        setattr(entry, name, getattr(entry, name) + 1)
        call, answer = report.call, report.answer
        entry.losses += len(call.losses)
        if isinstance(answer, CallResult):
            entry.losses += len(answer.losses)
        elif (reason := _reason(answer)) is not None:
            self._failed(entry, f"{call.action}: {reason}")

    def lost(self, identity: str, losses: Sequence[Loss]) -> None:
        if losses and (entry := self._entry(identity)) is not None:
            entry.losses += len(losses)

    def dropped(self, identity: str, drop: Drop) -> None:
        if (entry := self._entry(identity)) is not None:
            entry.dropped += 1

    def refused(
        self,
        identity: str | None,
        peer: str | None,
        error: BridgeError,
        unique_id: str | None = None,
        by: Party | None = None,
        data: bytes = b"",
    ) -> None:
        if identity is not None and (entry := self._entry(identity)) is not None:
            entry.refused += 1
            self._failed(entry, f"{error.code.value}: {error.description}")

    def handshake_refused(self, identity: str | None, peer: str, status: int, reason: str, why: Why) -> None:
        if identity is not None and (entry := self._entry(identity)) is not None:
            entry.refused += 1
            self._failed(entry, f"HTTP {status}: {reason}")

    def link_down(self, identity: str, party: Party, central_system: str, reason: str) -> None:
        if (entry := self._entry(identity)) is not None:
            name = "its Central System" if party is Party.CENTRAL_SYSTEM else "the Charge Point"
            self._failed(entry, f"the way to {name}: {reason}")

    def _entry(self, identity: str) -> Entry | None:
        folded = identity.casefold()
        entry = self._entries.get(folded)
        if entry is None and self._known(identity):
            entry = self._entries[folded] = Entry()
        return entry

    def _failed(self, entry: Entry, text: str) -> None:
        entry.error, entry.error_at = without_password(text)[:_LONGEST], self._clock()


def _reason(answer: Answer | None) -> str | None:
    match answer:
        case CallError(code=code, description=description):
            return f"{code}: {description}" if description else code
        case Unanswered(reason=reason):
            return reason
    return None
