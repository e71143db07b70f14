"""What happened to the connections, the state and the route of each Charge Point since the bridge was started."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Literal

from msgspec import Struct, structs

from bridge.core.state import State
from bridge.ocpp.actions import Party
from bridge.watching.facts import (
    CallbackChanged,
    ChargePointMoved,
    ChargePointRemoved,
    Fact,
    LinkClosed,
    LinkLost,
    LinkOpened,
)
from bridge.watching.masking import without_password

# The changes that are kept of one Charge Point, and of all together.
OF_ONE, OF_ALL = 100, 100_000
_LONGEST = 300


class Change(Struct, frozen=True, gc=False):
    """A change: its time in unix seconds, its kind, some words, and the other end of a connection.

    Attempts to connect that fail one after the other for the same reason are one change: `at` is the last one, `times`
    their number, and `since` the first one.
    """

    at: float
    kind: Literal["link", "state", "moved", "callback"]
    text: str
    party: Party | None = None
    times: int = 1
    since: float | None = None


class ChangeHistory:
    """The last changes of each Charge Point. Of all Charge Points, those that changed longest ago are forgotten first.

    Args:
        clock: Returns the time in unix seconds.
        most: The most changes of all Charge Points together.
    """

    def __init__(self, clock: Callable[[], float] = time.time, most: int = OF_ALL) -> None:
        self._clock = clock
        self._most = most
        self._of: OrderedDict[str, deque[Change]] = OrderedDict()
        self._kept = 0

    def of(self, identity: str) -> list[Change]:
        """Return the changes of a Charge Point, the oldest first."""
        return list(self._of.get(identity.casefold(), ()))

    def see(self, fact: Fact) -> None:
        """Keep `fact` if it is a change."""
        match fact:
            case LinkOpened(identity, party, central_system):
                self._add(identity, "link", f"connected{_to(party, central_system)}", party)
            case LinkLost(identity, party, central_system, reason):
                text = f"not connected{_to(party, central_system)}: {reason}"
                self._add(identity, "link", text, party, merges=True)
            case LinkClosed(identity, party, central_system, reason):
                self._add(identity, "link", f"closed by the bridge{_to(party, central_system)}: {reason}", party)
            case ChargePointMoved(identity, before, after, by):
                who = f", by {by}" if by else ""
                self._add(identity, "moved", f"{before or 'no Central System'} to {after or 'no Central System'}{who}")
            case CallbackChanged(identity, before, after):
                self._add(identity, "callback", f"{before or 'none'} to {after}")
            case ChargePointRemoved(identity):
                self._kept -= len(self._of.pop(identity.casefold(), ()))

    def state_changed(self, identity: str, state: State) -> None:
        """Keep that the state of a Charge Point has changed."""
        self._add(identity, "state", state)

    def _add(
        self,
        identity: str,
        kind: Literal["link", "state", "moved", "callback"],
        text: str,
        party: Party | None = None,
        *,
        merges: bool = False,
    ) -> None:
        """Keep a change. With `merges`, it is counted with the last one of the Charge Point if that is the same."""
        folded = identity.casefold()
        changes = self._of.setdefault(folded, deque(maxlen=OF_ONE))
        self._of.move_to_end(folded)
        change = Change(self._clock(), kind, without_password(text)[:_LONGEST], party)
        last = changes[-1] if changes else None
        if merges and last is not None and (last.kind, last.text, last.party) == (kind, change.text, party):
            since = last.at if last.since is None else last.since
            changes[-1] = structs.replace(change, times=last.times + 1, since=since)
            return
        self._kept += len(changes) < OF_ONE
        changes.append(change)
        while self._kept > self._most:
            _, dropped = self._of.popitem(last=False)
            self._kept -= len(dropped)


def _to(party: Party, central_system: str) -> str:
    return f" to {central_system}" if party is Party.CENTRAL_SYSTEM and central_system else ""
