"""Queue of guesses that wait to be checked. Decides their order, and which guess is refused if too many wait. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from bridge.access.attempts import Rank

T = TypeVar("T")

# Guesses that may wait, for one identity and for all. After some seconds most senders close the connection or retry, so
# a longer queue would be of no use.
_OF_ONE, _OF_ALL = 10, 200


class Waiting(Generic[T]):
    """A guess in the queue. `guess` is opaque to the queue."""

    __slots__ = ("guess", "identity", "rank")

    def __init__(self, identity: str, rank: Rank, guess: T) -> None:
        self.identity = identity.casefold()
        self.rank = rank
        self.guess = guess


class Queue(Generic[T]):
    """The waiting guesses, sorted by rank and then by arrival.

    Holds at most `of_one` guesses for one identity, and `of_all` guesses together.
    """

    def __init__(self, *, of_one: int = _OF_ONE, of_all: int = _OF_ALL) -> None:
        self._of_one = of_one
        self._of_all = of_all
        self._waiting: list[Waiting[T]] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def enter(self, waiting: Waiting[T]) -> Waiting[T] | None:
        """Add a guess to the queue.

        Returns:
            The guess that is refused for lack of room, which is the last in order; None if there is room.
        """
        siblings = [other for other in self._waiting if other.identity == waiting.identity]
        gone: Waiting[T] | None = None
        if len(siblings) >= self._of_one:
            gone = _behind(siblings, waiting)
        elif len(self._waiting) >= self._of_all:
            gone = _behind(self._waiting, waiting)
        if gone is not waiting:
            self._waiting.append(waiting)
        if gone is not None and gone is not waiting:
            self._waiting.remove(gone)
        return gone

    def next(self, due: Callable[[str], float]) -> Waiting[T] | float | None:
        """Remove and return the first guess that may be checked now.

        Args:
            due: Returns the seconds until the next guess for an identity may be checked. Guesses of rank RECOGNISED
                need not wait.

        Returns:
            The guess, else the seconds until a guess may be checked, None if no guess waits.
        """
        soonest: float | None = None
        for waiting in sorted(self._waiting, key=lambda one: one.rank):  # the sort is stable: arrival decides next
            seconds = 0.0 if waiting.rank is Rank.RECOGNISED else due(waiting.identity)
            if not seconds:
                self._waiting.remove(waiting)
                return waiting
            soonest = seconds if soonest is None else min(soonest, seconds)
        return soonest


def _behind(others: list[Waiting[T]], newcomer: Waiting[T]) -> Waiting[T]:
    """Return the last in order of `others` and `newcomer`, which arrived last."""
    last = max(reversed(others), key=lambda one: one.rank)  # among equal ranks, the latest arrival
    return last if last.rank > newcomer.rank else newcomer
