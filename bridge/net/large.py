"""Decode and encode large messages in a separate thread, so that no message blocks the event loop for long.

`bridge.ocpp.message_size` says which messages are large. `bridge.ocpp.slices` reads them in slices. Between two slices,
other threads get their turn.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from bridge.net.tasks import Threads, short_turns

T = TypeVar("T")

_threads = Threads(1, name="large messages")


async def aside(work: Callable[[], T]) -> T:
    """Run `work` in the thread, after all earlier work. Returns or raises what `work` returns or raises."""

    def run() -> T:
        with short_turns:
            return work()

    return await _threads.run(run)
