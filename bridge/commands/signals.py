"""How what stays up is stopped: by SIGINT (Ctrl-C) or SIGTERM, and both are a good end."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any

_STOP = (signal.SIGINT, signal.SIGTERM)


def on_stop(call: Callable[[], object]) -> None:
    """Inside an event loop: `call` when a signal to stop comes, in place of what the signal does by itself."""
    for number in _STOP:
        asyncio.get_running_loop().add_signal_handler(number, call)


async def until_stopped(work: Coroutine[Any, Any, int], *, stopped: int = 0) -> int:
    """The exit code that `work` gives; `stopped` when it was cancelled by a signal, having cleaned up."""
    task = asyncio.current_task()
    assert task is not None
    on_stop(task.cancel)
    try:
        return await work
    except asyncio.CancelledError:
        return stopped
