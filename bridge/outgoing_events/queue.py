"""The events that wait for one receiver: which are sent next, when, and which are dropped. Pure.

At most `at_once` events are under way, and at most one of each Charge Point, so that its events arrive in order. An
event that fails is sent again after a pause that doubles:

- If the receiver cannot be reached or is overloaded, all events pause. Then one is tried; the others follow it.
- If the receiver refuses one event, only the events of the same Charge Point pause.

An event is dropped if it is too old, or if there are too many or too large ones: the oldest first, transactions last.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from enum import StrEnum
from heapq import heappop, heappush

from msgspec import Struct

# The first and the longest pause, in seconds. Chance takes up to half of a pause, so that receivers are not hit by all.
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0


class DropReason(StrEnum):
    """The reason why an event was not delivered, which is also a label of the metrics."""

    TOO_MANY = "too_many"
    TOO_LARGE = "too_large"
    TOO_OLD = "too_old"
    NOT_WRITTEN = "not_written"
    UNREADABLE = "unreadable"


class QueueBounds(Struct, frozen=True, kw_only=True):
    """The limits of a queue: the number of events, their octets, and their age in seconds."""

    events: int
    octets: int
    age: float


class WaitingEvent(Struct, frozen=True, kw_only=True):
    """An event that waits.

    Attributes:
        number: The place in the order of all events.
        charge_point: The casefolded identity of the Charge Point.
        at: The time of the event, in unix seconds.
        octets: The size of the event.
        money: Whether it is about a transaction.
    """

    number: int
    charge_point: str
    at: float
    octets: int
    money: bool


class DeliveryQueue:
    """The events for one receiver. Times are seconds on the caller's clock, except the times of events.

    Args:
        bounds: The limits.
        at_once: The most events that are under way.
    """

    def __init__(self, bounds: QueueBounds, at_once: int = 8) -> None:
        self.bounds = bounds
        self._at_once = at_once
        self._waiting: OrderedDict[int, WaitingEvent] = OrderedDict()
        self._cheap: OrderedDict[int, None] = OrderedDict()  # the numbers of events that are dropped first
        self._out: set[int] = set()
        # The events of each Charge Point. Each Charge Point with events is in one of three states: its first event is
        # ready, or is under way, or pauses until a time.
        self._lanes: dict[str, deque[int]] = {}
        self._ready: OrderedDict[str, None] = OrderedDict()
        self._pausing: dict[str, float] = {}
        self._ends: list[tuple[float, str]] = []  # a heap of the ends of pauses, with some that no longer hold
        self._refusals: dict[str, int] = {}  # how often the first event was refused
        self._not_before = float("-inf")
        self.octets = 0
        self.failures = 0
        """The number of attempts that failed since the last success."""

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def oldest(self) -> float | None:
        """The time of the oldest event in unix seconds, None if none waits."""
        return next(iter(self._waiting.values())).at if self._waiting else None

    def put(self, event: WaitingEvent) -> list[tuple[int, DropReason]]:
        """Add an event, which is newer than all others.

        Returns: The numbers of the events that are dropped for it, each with the reason.
        """
        if event.octets > self.bounds.octets:
            return [(event.number, DropReason.TOO_LARGE)]
        self._waiting[event.number] = event
        self.octets += event.octets
        if not event.money:
            self._cheap[event.number] = None
        lane = self._lanes.setdefault(event.charge_point, deque())
        if not lane:
            self._ready[event.charge_point] = None
        lane.append(event.number)
        return self._made_to_fit()

    def resize(self, bounds: QueueBounds) -> list[tuple[int, DropReason]]:
        """Take other limits. Returns: the events that are dropped, as `put` does."""
        self.bounds = bounds
        return self._made_to_fit()

    def interrupted(self) -> None:
        """Note that nothing is under way any more, and that nothing is known of the receiver: it has other settings."""
        for charge_point in [*(self._waiting[number].charge_point for number in self._out), *self._pausing]:
            self._ready[charge_point] = None
        self._out.clear()
        self._pausing.clear()
        self._refusals.clear()
        self.failures, self._not_before = 0, float("-inf")

    def numbers(self) -> list[int]:
        """Return the numbers of all events, the oldest first."""
        return list(self._waiting)

    def expired(self, now: float) -> list[tuple[int, DropReason]]:
        """Drop the events that are too old at `now`, in unix seconds. Returns: the dropped events, as `put` does."""
        old = []
        for number, event in self._waiting.items():
            if event.at >= now - self.bounds.age:
                break
            if number not in self._out:
                old.append(number)
        for number in old:
            self._remove(number)
        return [(number, DropReason.TOO_OLD) for number in old]

    def take(self, now: float) -> list[int]:
        """Return the numbers of the events to send now. `delivered`, `failed` or `unreadable` must follow for each."""
        if now < self._not_before:
            return []
        while self._ends and self._ends[0][0] <= now:
            until, charge_point = heappop(self._ends)
            if self._pausing.get(charge_point) == until:
                del self._pausing[charge_point]
                self._ready[charge_point] = None
        taken = []
        while self._ready and len(self._out) < self._most():
            charge_point, _ = self._ready.popitem(last=False)
            number = self._lanes[charge_point][0]
            self._out.add(number)
            taken.append(number)
        return taken

    def delivered(self, number: int) -> None:
        """Remove an event that the receiver has."""
        charge_point = self._waiting[number].charge_point
        self._out.remove(number)
        self.failures, self._not_before = 0, float("-inf")
        self._refusals.pop(charge_point, None)
        self._remove(number)
        if charge_point in self._lanes:
            self._ready[charge_point] = None

    def unreadable(self, number: int) -> list[tuple[int, DropReason]]:
        """Drop an event that is under way and that no file holds any more. Returns: it, as `put` does."""
        charge_point = self._waiting[number].charge_point
        self._out.remove(number)
        self._remove(number)
        if charge_point in self._lanes:
            self._ready[charge_point] = None
        return [(number, DropReason.UNREADABLE)]

    def failed(self, number: int, now: float, *, refused: bool, chance: float, pause: float = 0.0) -> None:
        """Note that an event was not delivered. It stays the first of its Charge Point.

        Args:
            number: The number of the event.
            now: The time now.
            refused: Whether the receiver refused this event, so that others may be delivered.
            chance: A random number in [0, 1).
            pause: The seconds for which the receiver asks not to be bothered.
        """
        charge_point = self._waiting[number].charge_point
        self._out.remove(number)
        if refused:
            self.failures, self._not_before = 0, float("-inf")
            refusals = self._refusals[charge_point] = self._refusals.get(charge_point, 0) + 1
            until = self._pausing[charge_point] = now + max(pause, _pause(refusals, chance))
            heappush(self._ends, (until, charge_point))
            return
        self._ready[charge_point] = None
        self._ready.move_to_end(charge_point, last=False)
        if now >= self._not_before:  # events that were under way together count as one attempt
            self.failures += 1
            self._not_before = now + max(pause, _pause(self.failures, chance))

    def due(self) -> float | None:
        """Return when `take` may return something, if nothing happens before; None for never."""
        if len(self._out) >= self._most():
            return None
        if self._ready:
            return self._not_before
        return max(self._ends[0][0], self._not_before) if self._ends else None

    def _most(self) -> int:
        return 1 if self.failures else self._at_once

    def _made_to_fit(self) -> list[tuple[int, DropReason]]:
        dropped = []
        while (why := self._excess()) is not None and (number := self._first_to_drop()) is not None:
            self._remove(number)
            dropped.append((number, why))
        return dropped

    def _excess(self) -> DropReason | None:
        if len(self._waiting) > self.bounds.events:
            return DropReason.TOO_MANY
        return DropReason.TOO_LARGE if self.octets > self.bounds.octets else None

    def _first_to_drop(self) -> int | None:
        for numbers in (self._cheap, self._waiting):
            for number in numbers:
                if number not in self._out:
                    return number
        return None

    def _remove(self, number: int) -> None:
        event = self._waiting.pop(number)
        self._cheap.pop(number, None)
        self.octets -= event.octets
        lane = self._lanes[event.charge_point]
        lane.remove(number)
        if not lane:
            for states in (self._lanes, self._ready, self._pausing, self._refusals):
                states.pop(event.charge_point, None)


def _pause(failures: int, chance: float) -> float:
    pause = min(_FIRST_PAUSE * 2.0 ** min(failures - 1, 16), _LONGEST_PAUSE)
    return pause * (1 - chance / 2)
