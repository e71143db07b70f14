"""The present state of each known Charge Point, and how many there are in each state.

Most changes come with an event: a message after a silence, a link that opens or ends. Silence itself has no event, so
each Charge Point has a due time at which its silence may change its state. The next query works out what is due.
So a query costs the same with ten Charge Points and with 50 000, and a message costs nothing unless it ends a silence.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from heapq import heapify, heappop, heappush

from bridge.core.state import STATES, Observation, Spoken, State, changes_in, state_of
from bridge.ocpp.tenants import DEFAULT, SEPARATOR, tenant_of

# A heap is cleaned when the times in it that hold no longer exceed the others by about this number.
_OVER = 1000
# The state changes when the silence is longer than its limit, not when it is as long.
_JUST_AFTER = 0.001


class ChargePointStates:
    """The states, by the casefolded identity.

    Args:
        observe: Returns what is known of a Charge Point now; None if it is not known any more.
        clock: Returns monotonic seconds.
        changed: Called with the casefolded identity of a Charge Point and its new state.
    """

    def __init__(
        self,
        observe: Callable[[str], Observation | None],
        clock: Callable[[], float],
        changed: Callable[[str, State], None] = lambda key, state: None,
    ) -> None:
        self._changed = changed
        self._observe = observe
        self._clock = clock
        self._states: dict[str, tuple[Spoken, State]] = {}
        self._sorted: list[str] = []
        self._counts: Counter[tuple[Spoken, State]] = Counter()
        self._of_others = 0  # keys of other tenants than the default one
        self._of_tenant: dict[str, Counter[State]] = {}
        self._due: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []

    def begin(self, identities: Iterable[str]) -> None:
        """Work out the states of the Charge Points that are known at the start, as `update` does for each."""
        keys = {identity.casefold() for identity in identities}
        for key in keys:
            self._take(key, self._observe(key))
        self._sorted = sorted(self._states)

    def update(self, identity: str) -> None:
        """Work out the state of a Charge Point anew, because something about it has changed."""
        key = identity.casefold()
        known, seen = key in self._states, self._observe(key)
        self._take(key, seen)
        if known and seen is None:
            del self._sorted[bisect_left(self._sorted, key)]
        elif seen is not None and not known:
            insort(self._sorted, key)

    def keys(self) -> Sequence[str]:
        """Return the casefolded identities of all known Charge Points, sorted. The list changes with them."""
        return self._sorted

    def keys_of(self, tenant: str) -> Sequence[str]:
        """Return those of `keys` that are of a tenant; the same list if there is no other tenant's."""
        if tenant != DEFAULT:
            first, after = f"{tenant}{SEPARATOR}", f"{tenant}{chr(ord(SEPARATOR) + 1)}"
            return self._sorted[bisect_left(self._sorted, first) : bisect_left(self._sorted, after)]
        if not self._of_others:
            return self._sorted
        return [key for key in self._sorted if SEPARATOR not in key]

    def of(self, identity: str) -> State | None:
        """Return the present state of a Charge Point, None if it is not known."""
        self._pass_time()
        known = self._states.get(identity.casefold())
        return None if known is None else known[1]

    def by_transport(self) -> dict[tuple[Spoken, State], int]:
        """Return the present number of Charge Points, by transport and state. States without any are left out."""
        self._pass_time()
        return dict(self._counts)

    def of_tenant(self, tenant: str) -> dict[State, int]:
        """Return the present number of a tenant's Charge Points in each state."""
        self._pass_time()
        counts = self._of_tenant.get(tenant, Counter[State]())
        return {state: counts[state] for state in STATES}

    def _pass_time(self) -> None:
        """Work out the states of all Charge Points whose time is due."""
        now = self._clock()
        while self._heap and self._heap[0][0] <= now:
            due, key = heappop(self._heap)
            if self._due.get(key) == due:
                self._take(key, self._observe(key))

    def _take(self, key: str, seen: Observation | None) -> None:
        before = self._states.pop(key, None)
        self._of_others += (SEPARATOR in key) * ((seen is not None) - (before is not None))
        of_tenant = self._of_tenant.setdefault(tenant_of(key), Counter())
        if before is not None:
            of_tenant[before[1]] -= 1
            self._counts[before] -= 1
            if not self._counts[before]:
                del self._counts[before]
        self._due.pop(key, None)
        if seen is None:
            return
        now = self._states[key] = (seen.transport, state_of(seen))
        self._counts[now] += 1
        of_tenant[now[1]] += 1
        if (seconds := changes_in(seen)) != float("inf"):
            self._due[key] = self._clock() + seconds + _JUST_AFTER
            heappush(self._heap, (self._due[key], key))
            if len(self._heap) > 2 * len(self._due) + _OVER:
                self._heap = [(due, key) for key, due in self._due.items()]
                heapify(self._heap)
        if before is not None and before[1] != now[1]:
            self._changed(key, now[1])
