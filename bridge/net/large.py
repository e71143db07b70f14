"""Decode and encode large messages in a separate thread, so that no message blocks the event loop for long.

While that thread works, the interpreter switches threads more often than usual, so that the event loop gets its turn.
`bridge.ocpp.large` says which messages are large.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeVar

from bridge.net.tasks import Threads

T = TypeVar("T")

# Seconds after which the thread releases the interpreter's lock if another thread waits for the lock.
_INTERVAL = 0.0002
_threads = Threads(1, name="large messages")
_running = 0
_usual = sys.getswitchinterval()


async def aside(work: Callable[[], T]) -> T:
    """Run `work` in the thread, after all earlier work. Returns or raises what `work` returns or raises."""
    global _running, _usual
    if not _running:
        _usual = sys.getswitchinterval()
        sys.setswitchinterval(_INTERVAL)
    _running += 1
    try:
        return await _threads.run(work)
    finally:
        _running -= 1
        if not _running:
            sys.setswitchinterval(_usual)
