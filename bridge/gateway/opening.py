"""Open the store at the start, and wait while another process holds it."""

from __future__ import annotations

import asyncio
import logging

from bridge.store import Locked, Store
from bridge.watching import logs

_log = logging.getLogger("bridge.store")
# Seconds between two attempts, in addition to the second that SQLite itself waits.
_PAUSE = 0.25


async def open_store(store: Store, patience: float) -> None:
    """Open `store`, and wait for another process that holds it: a bridge that is about to end, or a backup.

    Args:
        store: The store, which is open afterwards.
        patience: Seconds to wait.

    Raises:
        Locked: The other process still holds the store.
        Unusable: The store cannot be read, so waiting is of no use.
    """
    loop = asyncio.get_running_loop()
    deadline, told = loop.time() + patience, False
    while True:
        try:
            # In a thread, so that the event loop can handle a signal to stop.
            await asyncio.to_thread(store.open)
        except Locked as error:
            if loop.time() >= deadline:
                error.reason = f"{error.reason}. It did not let go of it within {patience:g} s"
                raise
            if not told:
                logs.fields(_log, logging.WARNING, "waiting for the store", reason=error, within=patience)
                told = True
            await asyncio.sleep(_PAUSE)
        else:
            return
