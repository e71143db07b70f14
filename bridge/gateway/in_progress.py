"""How many Calls are in progress, and whether more may come."""

from __future__ import annotations

import asyncio

from bridge.errors import Unavailable, Why
from bridge.gateway.ways import SHUTTING_DOWN


class InProgress:
    """The Calls of all Charge Points: at most `limit` at once, and of one Charge Point at most `most_waiting`."""

    def __init__(self, limit: int, most_waiting: int) -> None:
        self._limit = limit
        self._most_waiting = most_waiting
        self._in_progress = 0
        self.draining = False
        self._quiet: asyncio.Event | None = None  # who drains waits for it

    @property
    def in_progress(self) -> int:
        """How many."""
        return self._in_progress

    def begin(self, waiting: int) -> None:
        """One more, of a Charge Point of which `waiting` are in progress. Raises Unavailable."""
        if self.draining:
            raise Unavailable(SHUTTING_DOWN)
        if self._in_progress >= self._limit:
            text = f"the bridge is busy: {self._limit} Calls are in progress (gateway.max_in_flight)"
            raise Unavailable(text, why=Why.BUSY)
        if waiting >= self._most_waiting:
            text = f"{self._most_waiting} Calls wait already (limits.waiting_per_charge_point)"
            raise Unavailable(text, why=Why.BUSY)
        self._in_progress += 1

    def end(self) -> None:
        """One less."""
        self._in_progress -= 1
        if self._quiet is not None and not self._in_progress:
            self._quiet.set()

    async def drained(self, within: float) -> bool:
        """Whether all Calls ended, `within` seconds."""
        if not self._in_progress:
            return True
        self._quiet = self._quiet or asyncio.Event()
        self._quiet.clear()
        try:
            await asyncio.wait_for(self._quiet.wait(), within)
        except TimeoutError:
            return False
        return True
