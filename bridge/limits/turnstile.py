"""How many requests a turn of the event loop takes up, and who waits outside meanwhile.

A loop that takes up all that has come answers nobody before it has looked at everything: the more comes, the longer
its turns are, and what it cannot do is refused as late as what it does is answered. Behind a turnstile the turns stay
short. A burst waits, in order, and is served. When too many wait, who comes is refused at once, before any work.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from enum import Enum, auto
from typing import Protocol

# Of some 150 microseconds each: a turn has room for what else is to be done, and for many refusals. Of fewer, each is
# dearer: what comes at once is done at once, with the same code in the cache of the processor.
_PER_TURN = 16


class Entry(Enum):
    """What becomes of somebody who comes."""

    PASSES = auto()
    WAITS = auto()
    REFUSED = auto()


class Visitor(Protocol):
    """Who may have to wait."""

    def proceed(self) -> None:
        """It is its turn."""

    def turned_away(self) -> None:
        """It will never be."""


class Turnstile:
    """`soon` calls in the next turn of the event loop; `most` may wait at once."""

    def __init__(
        self,
        soon: Callable[[Callable[[], None]], object],
        *,
        most: int,
        per_turn: int = _PER_TURN,
    ) -> None:
        self._soon = soon
        self._most = most
        self._per_turn = per_turn
        self._passed = 0  # in this turn
        # OrderedDict: taking the first of a dict again and again walks over all that was taken before.
        self._waiting: OrderedDict[Visitor, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def full(self) -> str:
        """Why somebody is refused."""
        return "the bridge is busy: too many requests wait already (gateway.max_in_flight)"

    def enter(self, visitor: Visitor) -> Entry:
        """Who has to wait is told to `proceed` later."""
        if self._passed < self._per_turn and not self._waiting:
            self._pass()
            return Entry.PASSES
        if len(self._waiting) >= self._most:
            return Entry.REFUSED
        self._waiting[visitor] = None
        return Entry.WAITS

    def leave(self, visitor: Visitor) -> None:
        """It does not want to wait any more."""
        self._waiting.pop(visitor, None)

    def close(self) -> None:
        """Nobody who waits will pass any more."""
        while self._waiting:
            self._waiting.popitem(last=False)[0].turned_away()

    def _pass(self) -> None:
        if not self._passed:
            self._soon(self._next_turn)
        self._passed += 1

    def _next_turn(self) -> None:
        self._passed = 0
        while self._waiting and self._passed < self._per_turn:
            self._pass()
            self._waiting.popitem(last=False)[0].proceed()
