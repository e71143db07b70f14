"""The one place that starts asyncio tasks: none is lost to the garbage collector, none outlives its owner."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

_log = logging.getLogger("bridge.tasks")


class Tasks:
    """The running tasks of one owner. An exception that nobody awaits is logged, never swallowed."""

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

    async def close(self) -> None:
        """Cancel what still runs and wait for its end. A task that closes its own owner is left to finish."""
        running = [task for task in self._running if task is not asyncio.current_task()]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
