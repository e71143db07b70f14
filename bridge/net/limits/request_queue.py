"""A queue that bounds the number of requests that begin in one turn of the event loop.

Without a bound, a turn of the loop begins all requests that have arrived, and answers none before it has begun all: the
turns grow with the load, and a refusal is sent as late as an answer. With the bound the turns stay short. The requests
of a burst wait, in order, and are served. If too many requests wait, a new one is refused at once, before any work.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Callable
from enum import Enum, auto
from typing import Protocol

# Requests per turn. At some 150 microseconds each, a turn leaves time for other work, and for many refusals. With fewer
# per turn each request costs more: a batch runs the same code while it is in the processor's cache.
_PER_TURN = 16


class QueueDecision(Enum):
    """The result for a new request: it begins now, waits, or is refused."""

    PASSES = auto()
    WAITS = auto()
    REFUSED = auto()


class QueuedRequest(Protocol):
    """A request that may have to wait. `source` is the network that it came from."""

    @property
    def source(self) -> str: ...

    def proceed(self) -> None:
        """Begin the request."""

    def turned_away(self) -> None:
        """Refuse the request: it will not begin."""


def in_next_turn(do: Callable[[], None]) -> None:
    """Call `do` in the next turn of the running event loop."""
    asyncio.get_running_loop().call_soon(do)


class RequestQueue:
    """The queue of waiting requests.

    Args:
        soon: Calls its argument in the next turn of the event loop.
        most: The most requests that may wait; those of one source may be three quarters of it.
        per_turn: The most requests that begin in one turn.
    """

    def __init__(
        self,
        soon: Callable[[Callable[[], None]], object] = in_next_turn,
        *,
        most: int,
        per_turn: int = _PER_TURN,
    ) -> None:
        self._soon = soon
        self._most = most
        self._most_of_one = most - most // 4
        self._of: Counter[str] = Counter()  # number of waiting requests, by source
        self._per_turn = per_turn
        self._passed = 0  # number of requests that began in this turn
        # An OrderedDict, because finding the first key of a dict walks over all keys that were removed before it.
        self._waiting: OrderedDict[QueuedRequest, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._waiting)

    def is_full(self, source: str) -> bool:
        """Return whether a new request from `source` would be refused now."""
        waiting = len(self._waiting)
        waits = bool(waiting) or self._passed >= self._per_turn
        return waits and (waiting >= self._most or self._of.get(source, 0) >= self._most_of_one)

    @property
    def full(self) -> str:
        """The sentence that says why a request is refused."""
        return "the bridge is busy: too many requests wait already (gateway.max_in_flight)"

    def enter(self, request: QueuedRequest) -> QueueDecision:
        """Let a new request begin, wait or be refused. `proceed` of a waiting request is called when it may begin."""
        if self._passed < self._per_turn and not self._waiting:
            self._pass()
            return QueueDecision.PASSES
        if self.is_full(request.source):
            return QueueDecision.REFUSED
        self._waiting[request] = None
        self._of[request.source] += 1
        return QueueDecision.WAITS

    def leave(self, request: QueuedRequest) -> None:
        """Remove a request that does not wait any more, for example because its connection was closed."""
        if request in self._waiting:
            del self._waiting[request]
            self._count_off(request)

    def close(self) -> None:
        """Refuse all waiting requests."""
        while self._waiting:
            self._first().turned_away()

    def _first(self) -> QueuedRequest:
        """Remove and return the request that waited longest."""
        request, _ = self._waiting.popitem(last=False)
        self._count_off(request)
        return request

    def _count_off(self, request: QueuedRequest) -> None:
        self._of[request.source] -= 1
        if not self._of[request.source]:
            del self._of[request.source]

    def _pass(self) -> None:
        if not self._passed:
            self._soon(self._next_turn)
        self._passed += 1

    def _next_turn(self) -> None:
        self._passed = 0
        while self._waiting and self._passed < self._per_turn:
            self._pass()
            self._first().proceed()
