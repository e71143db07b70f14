"""What is sent, and when: as fast as answers come (closed), or at a rate that nothing slows down (open)."""

from __future__ import annotations

import asyncio
import gc
import os
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol

# Gets the status of an answer, as in HTTP.
Done = Callable[[int], None]
BROKEN, GOOD = 0, 200


class Sender(Protocol):
    """A connection of the load, for one exchange at a time."""

    def send(self, data: bytes, done: Done) -> None:
        """Send `data`, and tell `done` how it was answered."""


Work = tuple[Sender, bytes]


class Rate(NamedTuple):
    """Exchanges per second, and the share of a core that the subject took, 0 to 1."""

    per_second: float
    subject: float


class Outcome(NamedTuple):
    """When a request was due, went out, and was answered, in seconds, and how."""

    due: float
    sent: float
    ended: float
    status: int


def spent_by(pid: int) -> float:
    """Seconds of processor time of a process, in steps of its clock; NaN where that is not told."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return float("nan")
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def closed(work: Sequence[Work], seconds: float, pid: int) -> Rate:
    """Every Sender sends again as soon as it is answered. Raises RuntimeError if an answer is not a good one.

    The load does not sleep meanwhile: on a virtual machine it takes ten or twenty microseconds to wake a process on
    another core, which whoever sends to it spends; and the slower a subject is, the more often its load would sleep.
    """
    loop = asyncio.get_running_loop()
    over = loop.create_future()
    exchanged = busy = 0
    gc.collect()
    begun, spent = time.perf_counter(), spent_by(pid)
    until = begun + seconds

    def ended(one: Work, status: int) -> None:
        nonlocal exchanged, busy
        busy -= 1
        exchanged += 1
        if over.done():
            return
        if status != GOOD:
            over.set_exception(RuntimeError(f"answered with {status or 'a broken connection'}"))
        elif time.perf_counter() < until:
            begin(one)
        elif not busy:
            over.set_result(None)

    def begin(one: Work) -> None:
        nonlocal busy
        busy += 1
        one[0].send(one[1], partial(ended, one))

    def stay_awake() -> None:
        if not over.done():
            loop.call_soon(stay_awake)

    stay_awake()
    for one in work:
        begin(one)
    async with asyncio.timeout(seconds + 60):
        await over
    took = time.perf_counter() - begun
    return Rate(exchanged / took, (spent_by(pid) - spent) / took)


class Open:
    """Requests that are due at fixed times, whatever becomes of those before. What is late because every Sender waits
    is late from when it was due; with `cut`, what has not gone out when the last is due is left out. Between them the
    load does not sleep: it would wake too late.
    """

    def __init__(self, work: Sequence[Work], rate: float, seconds: float, *, cut: bool = False) -> None:
        self._idle = deque(work)
        self._interval = 1 / rate
        self._end = 0.0
        self._cut = cut
        # Of the times between two looks at what there is to do, the sum and that of their squares.
        self._gaps = self._squares = 0.0
        self.count = max(1, int(rate * seconds))
        self._next = self._busy = 0
        self.outcomes: list[Outcome] = []

    @property
    def unsent(self) -> int:
        """How many never had a Sender."""
        return self.count - self._next

    @property
    def good_in_time(self) -> int:
        """How many were answered well before the last was due."""
        return sum(outcome.status == GOOD and outcome.ended <= self._end for outcome in self.outcomes)

    @property
    def attention(self) -> float:
        """Seconds that an answer waits, on average, until the load looks at it: what it adds to what it measures."""
        return self._squares / (2 * self._gaps) if self._gaps else 0.0

    async def run(self, patience: float = 20.0) -> Counter[int]:
        """All of them; what is not answered `patience` seconds after the last was due is not waited for. The answers
        by status."""
        gc.collect()
        loop = asyncio.get_running_loop()
        over = loop.create_future()
        begun = time.perf_counter() + 0.05
        end = self._end = begun + self.count * self._interval

        def sending(now: float) -> bool:
            return self._next < self.count and (now < end or not self._cut)

        looked = begun

        def tick() -> None:
            nonlocal looked
            now = time.perf_counter()
            gap, looked = max(0.0, now - looked), max(now, looked)
            self._gaps += gap
            self._squares += gap * gap
            while self._idle and (due := begun + self._next * self._interval) <= now and sending(now):
                self._send(due)
            if (not self._busy and not sending(now)) or now >= end + patience:
                over.set_result(None)
            else:
                loop.call_soon(tick)

        gc.disable()  # a pause of the load would look like one of the subject
        try:
            tick()
            await over
        finally:
            gc.enable()
        return Counter(outcome.status for outcome in self.outcomes)

    def _send(self, due: float) -> None:
        one = self._idle.popleft()
        self._next += 1
        self._busy += 1
        one[0].send(one[1], partial(self._ended, one, due, time.perf_counter()))

    def _ended(self, one: Work, due: float, sent: float, status: int) -> None:
        self._busy -= 1
        self.outcomes.append(Outcome(due, sent, time.perf_counter(), status))
        if status != BROKEN:
            self._idle.append(one)
