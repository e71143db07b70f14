"""The traffic of the last hour, minute by minute, counted from Facts.

A Fact adds one to a few numbers. A minute is worked out when the first Fact or query after it comes.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from itertools import accumulate

from msgspec import Struct

from bridge.admin.facts import moment
from bridge.admin.fleet_facts import Hour
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
    """The number of Calls in each class of answer times."""

    __slots__ = ("_counts", "total")

    def __init__(self) -> None:
        self._counts = [0] * (len(_BOUNDS) + 1)
        self.total = 0

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


class _Minute(Struct, frozen=True):
    messages: int
    errors: int
    p50: float | None
    p99: float | None
    transactions: int


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
        self._minutes: deque[_Minute] = deque(maxlen=MINUTES)
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

    def hour(self) -> Hour:
        """Return the complete minutes of the last hour."""
        self._pass_time()
        minutes = self._minutes
        return Hour(
            first=moment((self._number - len(minutes)) * 60.0) if minutes else None,
            messages=[each.messages for each in minutes],
            errors=[each.errors for each in minutes],
            p50_ms=[each.p50 for each in minutes],
            p99_ms=[each.p99 for each in minutes],
            transactions=[each.transactions for each in minutes],
        )

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
        minute = _Minute(
            self._messages,
            self._errors,
            self._times.percentile(0.5),
            self._times.percentile(0.99),
            self._transactions(),
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
