"""Real-time priority for the processes that are measured, so that no other program of the machine runs in between.

Linux only, and only with the privilege for it. The event loop goes before its threads, as it does anyway: it mostly
sleeps, and they do not. The attacker pauses now and then, because Linux stops real-time processes that never do.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

LOOP, NEIGHBOUR, ATTACKER, THREADS = 20, 15, 12, 10
# The share of the time of a message for which the attacker pauses after it.
PAUSE = 0.2
# Seconds until threads that have begun since are given their priority.
_EVERY = 0.05


@asynccontextmanager
async def preferred(processes: Mapping[int, tuple[int, int]], *, own: bool = True) -> AsyncIterator[None]:
    """Prefer each process, by its id, and this one if `own`: one that never sleeps must not be, because Linux stops
    it for 50 ms of each second. The priorities are that of its first thread and of the others."""
    mine = {os.getpid(): (ATTACKER, ATTACKER)} if own else {}
    giving = asyncio.ensure_future(_give({**processes, **mine}))
    try:
        await asyncio.sleep(2 * _EVERY)
        yield
    finally:
        giving.cancel()
        for thread in _threads_of(os.getpid()):
            os.sched_setscheduler(thread, os.SCHED_OTHER, os.sched_param(0))


async def _give(processes: Mapping[int, tuple[int, int]]) -> None:
    while True:
        for process, (first, others) in processes.items():
            for thread in _threads_of(process):
                with suppress(ProcessLookupError):
                    priority = os.sched_param(first if thread == process else others)
                    os.sched_setscheduler(thread, os.SCHED_FIFO, priority)
        await asyncio.sleep(_EVERY)


def _threads_of(process: int) -> list[int]:
    return [int(task.name) for task in Path(f"/proc/{process}/task").iterdir()]
