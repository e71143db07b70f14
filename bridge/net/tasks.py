"""Start asyncio tasks and threads, and share the event loop and the interpreter. No other module starts a task.

The owner of a task keeps a reference to the task, so that the garbage collector cannot end it early, and cancels the
task when the owner closes.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import math
import sys
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

_log = logging.getLogger("bridge.tasks")
T = TypeVar("T")
# Seconds after which a thread with long work releases the interpreter's lock if another thread waits for the lock.
_INTERVAL = 0.0001
# Seconds for which one hold lasts, and for which work waits if holds follow each other; and after a hold, seconds for
# which the work rests longer.
_HOLD, _LONGEST_HOLD, _RESTS_LONGER = 0.25, 2.0, 3.0
# The most seconds of one rest: what took longer has waited for others.
_REST = 0.25
# If the event loop is late by so many seconds, the work rests on, so many times as long as the loop was late. The rests
# take at most so many times as long as the work has taken.
_LATE, _RESTS_FOR_LATE, _LONGEST_REST = 0.002, 10, 20


class Tasks:
    """The running tasks of one owner. The exception of a task that fails is logged."""

    __slots__ = ("_running",)

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._running)

    def spawn(self, coroutine: Coroutine[Any, Any, Any], *, name: str) -> asyncio.Task[Any]:
        """Run `coroutine` until it ends or the owner closes."""
        task = asyncio.create_task(coroutine, name=name)  # noqa: TID251
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("task %s failed: %r", task.get_name(), error, exc_info=error)

    def cancel(self) -> None:
        """Cancel all tasks that run now, and do not wait until they ended."""
        for task in self._running:
            task.cancel()

    async def close(self) -> None:
        """Cancel all tasks that still run and wait until they ended. A task that closes its own owner runs on."""
        running = [task for task in self._running if task is not asyncio.current_task()]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


class Background:
    """Shares the event loop between messages and work for which nobody waits, such as loading the records of a fleet.

    A message that is answered needs many turns of the event loop, so that this work rests as long as it has taken. All
    kinds of it share their rests. It rests on if the event loop wakes it late: then this process or others have too
    much to do.

    While Charge Points change their process, messages wait for several processes of a machine: then the work is not
    done at all, and for a while afterwards it rests three times as long as it has taken, up to a limit. Three processes
    shared two cores: the longest wait of a message was 0.51 s with the short rests, 0.41 s with the longer ones, and
    0.31 s with those and the holds. On cores half as fast it was 0.55 s when each kind of work rested for itself, and
    records were loaded without a rest after a second in which nobody had waited for one. It was 0.37 s (median of 20
    such changes) when all kinds shared their rests all the time. Rests seven times as long brought nothing.
    """

    __slots__ = ("_held_until", "_rests_longer_until", "_rests_until")

    def __init__(self) -> None:
        self._held_until = self._rests_longer_until = self._rests_until = -math.inf

    def hold(self) -> None:
        """Let such work wait for a moment from now on, because Charge Points change their process."""
        now = asyncio.get_running_loop().time()
        self._held_until, self._rests_longer_until = now + _HOLD, now + _RESTS_LONGER

    async def wait(self) -> None:
        """Wait until such work may be done, at most 2 seconds."""
        loop = asyncio.get_running_loop()
        latest = loop.time() + _LONGEST_HOLD
        while (left := min(self._held_until, latest) - loop.time()) > 0:  # noqa: ASYNC110 (it is prolonged meanwhile)
            await asyncio.sleep(left)

    async def make_way(self, spent: float) -> None:
        """Rest after such work has taken `spent` seconds. The rests of several kinds of work follow each other."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        rest = min(_REST, 3 * spent if now < self._rests_longer_until else spent)
        self._rests_until = max(now, self._rests_until) + rest
        rest = self._rests_until - now
        latest = now + rest + min(_LONGEST_REST * spent, _LONGEST_HOLD)
        while True:
            due = loop.time() + rest
            await asyncio.sleep(rest)
            late = loop.time() - due
            if late < _LATE or loop.time() >= latest:
                break
            rest = min(_RESTS_FOR_LATE * late, latest - loop.time())
        await self.wait()


class Threads:
    """At most `most` threads for one kind of work, so that no other work waits for them. Threads start on demand."""

    __slots__ = ("_executor",)

    def __init__(self, most: int, *, name: str) -> None:
        self._executor = ThreadPoolExecutor(most, thread_name_prefix=name)

    async def run(self, work: Callable[[], T]) -> T:
        """Run `work` in a thread. Returns or raises what `work` returns or raises."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    def close(self) -> None:
        """Drop all work that has not begun, and do not wait for the work that runs."""
        self._executor.shutdown(wait=False, cancel_futures=True)


class ShortTurns:
    """Lets other threads run often while one thread has long work: enter this in the thread, around the work.

    The interpreter switches threads more often than usual meanwhile, and collects no garbage, since a collection is one
    long turn and would visit all objects of the message. Garbage is collected again between two pieces of work.
    """

    __slots__ = ("_collects", "_entered", "_interval", "_lock")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entered = 0
        self._interval, self._collects = 0.0, True  # as they were before

    def __enter__(self) -> None:
        with self._lock:
            self._entered += 1
            if self._entered == 1:
                self._interval, self._collects = sys.getswitchinterval(), gc.isenabled()
                sys.setswitchinterval(_INTERVAL)
                gc.disable()

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._entered -= 1
            if not self._entered:
                sys.setswitchinterval(self._interval)
                if self._collects:
                    gc.enable()


short_turns = ShortTurns()
