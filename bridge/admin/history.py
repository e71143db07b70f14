"""The traffic of the last hour, minute by minute, counted from Facts.

A Fact adds one to a few numbers. A minute is worked out when the first Fact or query after it comes.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from types import MappingProxyType

from msgspec import Struct

from bridge.admin.facts import moment
from bridge.admin.fleet_facts import Hour
from bridge.admin.merging import summed
from bridge.core.commands import Outcome, Report
from bridge.ocpp.actions import Party
from bridge.watching.facts import CallEnded, Fact, HandshakeRefused, MessageRefused, RequestsUnread

MINUTES = 60
# The minutes that count for the present answer times of a Central System.
LATELY = 5
# Upper bounds of the classes of answer times, in seconds: 0.1 ms to 100 s, each 15 % above the one before.
_STEP = 1.15
_BOUNDS = tuple(0.0001 * _STEP**power for power in range(100))
_ERRORS = frozenset({Outcome.ERROR, Outcome.UNANSWERED, Outcome.REFUSED})
_ANSWERED = frozenset({Outcome.RESULT, Outcome.ERROR})


class AnswerTimes:
    """The number of Calls in each class of answer times; `counts` are those before."""

    __slots__ = ("_counts", "total")

    def __init__(self, counts: Mapping[int, int] = MappingProxyType({})) -> None:
        self._counts = [counts.get(index, 0) for index in range(len(_BOUNDS) + 1)]
        self.total = sum(self._counts)

    def counts(self) -> dict[int, int]:
        """Return the number of Calls in each class that has some."""
        return {index: count for index, count in enumerate(self._counts) if count}

    def add(self, seconds: float) -> None:
        self._counts[bisect_left(_BOUNDS, seconds)] += 1
        self.total += 1

    def include(self, others: AnswerTimes) -> None:
        """Add the counts of `others`."""
        self._counts = [one + other for one, other in zip(self._counts, others._counts, strict=True)]
        self.total += others.total

    def percentile(self, share: float) -> float | None:
        """Return the time in milliseconds that the part `share` of the Calls took at most; None without Calls.

        It is the middle of a class, so that it differs from the exact time by 8 % at most.
        """
        if not self.total:
            return None
        index = bisect_left([*accumulate(self._counts)], share * self.total)
        return float(f"{0.0001 * _STEP ** (index - 0.5) * 1000:.3g}")


class MinuteCounts(Struct, frozen=True, kw_only=True):
    """What happened in a minute. `times` is the number of Calls in each class of answer times that has some."""

    messages: int = 0
    errors: int = 0
    times: dict[int, int] = {}
    transactions: int = 0


class HourCounts(Struct, frozen=True, kw_only=True):
    """The complete minutes of the last hour. `first` is the number of the first minute since 1970."""

    first: int
    minutes: list[MinuteCounts]


def merged_hours(hours: Sequence[HourCounts]) -> HourCounts:
    """Return the last hour of a fleet from those of its parts, of which some may have begun later."""
    first = min(hour.first for hour in hours)
    after = max(hour.first + len(hour.minutes) for hour in hours)
    first = max(first, after - MINUTES)
    merged = []
    for number in range(first, after):
        same = [hour.minutes[number - hour.first] for hour in hours if 0 <= number - hour.first < len(hour.minutes)]
        merged.append(
            MinuteCounts(
                messages=sum(each.messages for each in same),
                errors=sum(each.errors for each in same),
                times=dict(summed(each.times for each in same)),
                transactions=sum(each.transactions for each in same),
            )
        )
    return HourCounts(first=first, minutes=merged)


def told_hour(hour: HourCounts) -> Hour:
    """Return the last hour as the API has it."""
    minutes = hour.minutes
    times = [AnswerTimes(each.times) for each in minutes]
    return Hour(
        first=moment(hour.first * 60.0) if minutes else None,
        messages=[each.messages for each in minutes],
        errors=[each.errors for each in minutes],
        p50_ms=[each.percentile(0.5) for each in times],
        p99_ms=[each.percentile(0.99) for each in times],
        transactions=[each.transactions for each in minutes],
    )


class _SystemTimes:
    """The answer times of one Central System, in the present minute and in the last complete ones."""

    __slots__ = ("before", "now")

    def __init__(self) -> None:
        self.now = AnswerTimes()
        self.before: deque[AnswerTimes] = deque(maxlen=LATELY)


class TrafficHistory:
    """Counts the Calls of each minute, and keeps the last hour.

    Args:
        transactions: Returns the number of open transactions now.
        clock: Returns the time in unix seconds.
        begun: The time from which minutes count, in unix seconds; None for now.
    """

    def __init__(
        self, transactions: Callable[[], int], clock: Callable[[], float] = time.time, begun: float | None = None
    ) -> None:
        self._transactions = transactions
        self._clock = clock
        self._number = int((clock() if begun is None else begun) // 60)
        self._minutes: deque[MinuteCounts] = deque(maxlen=MINUTES)
        self._messages = self._errors = 0
        self._times = AnswerTimes()
        self._systems: dict[str, _SystemTimes] = {}

    def see(self, fact: Fact) -> None:
        """Count the Fact."""
        match fact:
            case CallEnded(_, report, central_system) if not report.own:
                self._pass_time()
                self._ended(report, central_system)
            case MessageRefused() | HandshakeRefused():
                self._refused(1)
            case RequestsUnread(times=times):
                self._refused(times)

    def counts(self) -> HourCounts:
        """Return the complete minutes of the last hour."""
        self._pass_time()
        return HourCounts(first=self._number - len(self._minutes), minutes=list(self._minutes))

    def hour(self) -> Hour:
        """Return the complete minutes of the last hour as the API has them."""
        return told_hour(self.counts())

    def answer_times(self, central_system: str) -> AnswerTimes:
        """Return how long a Central System took to answer in the last minutes."""
        self._pass_time()
        lately, found = AnswerTimes(), self._systems.get(central_system)
        for times in () if found is None else (found.now, *found.before):
            lately.include(times)
        return lately

    def _ended(self, report: Report, central_system: str) -> None:
        self._messages += 1
        self._errors += report.outcome in _ERRORS
        if report.outcome not in _ANSWERED:
            return
        self._times.add(report.ended - report.arrived)
        if report.sender is Party.CHARGE_POINT and report.sent is not None:
            system = self._systems.get(central_system)
            if system is None:
                system = self._systems.setdefault(central_system, _SystemTimes())
            system.now.add(report.ended - report.sent)

    def _refused(self, times: int) -> None:
        self._pass_time()
        self._messages += times
        self._errors += times

    def _pass_time(self) -> None:
        number = int(self._clock() // 60)
        if number == self._number:
            return
        if number < self._number:
            if self._number - number > 1:  # the clock was set back: what is kept belongs to other times
                self._number = number
                self._minutes.clear()
            return  # the present minute goes on until the clock has caught up
        self._close()
        for _ in range(min(number - self._number - 1, MINUTES)):
            self._close()
        self._number = number

    def _close(self) -> None:
        """Keep the present minute, and begin an empty one."""
        minute = MinuteCounts(
            messages=self._messages,
            errors=self._errors,
            times=self._times.counts() if self._times.total else {},
            transactions=self._transactions(),
        )
        self._minutes.append(minute)
        self._messages = self._errors = 0
        if self._times.total:
            self._times = AnswerTimes()
        for name, system in [*self._systems.items()]:
            system.before.append(system.now)
            system.now = AnswerTimes()
            if not any(times.total for times in system.before):
                del self._systems[name]
