"""Stop a command that runs until it is stopped, by SIGINT (Ctrl-C) or SIGTERM. Both are a regular end."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any

_STOP = (signal.SIGINT, signal.SIGTERM)


def on_stop(call: Callable[[], object]) -> None:
    """Call `call` at SIGINT and SIGTERM, in place of their default effect. An event loop must be running."""
    for number in _STOP:
        asyncio.get_running_loop().add_signal_handler(number, call)


async def until_stopped(work: Coroutine[Any, Any, int], *, stopped: int = 0) -> int:
    """Run `work`, and cancel it at SIGINT or SIGTERM. Returns the exit code of `work`, or `stopped` if cancelled."""
    task = asyncio.current_task()
    assert task is not None
    on_stop(task.cancel)
    try:
        return await work
    except asyncio.CancelledError:
        return stopped
