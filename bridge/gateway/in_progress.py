"""Count the Calls in progress, and refuse Calls above the limits."""

from __future__ import annotations

import asyncio
from collections import Counter

from bridge.core.networks import network_of
from bridge.errors import Unavailable, Why
from bridge.gateway.transports import SHUTTING_DOWN
from bridge.ocpp.actions import Party

_SENDERS = {Party.CHARGE_POINT: "Charge Points", Party.CENTRAL_SYSTEM: "Central Systems"}
_SOURCES = {Party.CHARGE_POINT: "address", Party.CENTRAL_SYSTEM: "Central System"}


class InProgress:
    """The Calls in progress of all Charge Points.

    At most `limit` Calls are in progress at the same time, and at most `most_waiting` wait for one party.

    Commands have one half of `limit` and the Calls of Charge Points have the other half, so neither can use up the
    other's. One Central System may use three quarters of its half. So may one IP address of Charge Points (for IPv6,
    one /64 network).
    """

    def __init__(self, limit: int, most_waiting: int) -> None:
        self._limit = limit
        self._of_direction = limit - limit // 2
        self._of_source = max(1, 3 * self._of_direction // 4)
        self._sent_by: Counter[Party] = Counter()
        self._sent_from: Counter[tuple[Party, str]] = Counter()
        self._most_waiting = most_waiting
        self._in_progress = 0
        self.draining = False
        self._quiet: asyncio.Event | None = None  # set when no Call is left, for `drained`

    @property
    def in_progress(self) -> int:
        """Return the number of Calls in progress."""
        return self._in_progress

    def begin(self, waiting: int, sender: Party, source: str) -> None:
        """Count a Call that begins.

        Args:
            waiting: The number of Calls that wait already for the receiving party.
            sender: The party that sent the Call.
            source: The Central System's name, or the Charge Point's IP address.

        Raises:
            Unavailable: A limit is reached, or the bridge drains.
        """
        if self.draining:
            raise Unavailable(SHUTTING_DOWN)
        source = _counted(sender, source)
        if (full := self._full(sender, source)) is not None:
            raise Unavailable(f"the bridge is busy: {full} (gateway.max_in_flight)", why=Why.BUSY)
        if waiting >= self._most_waiting:
            text = f"{self._most_waiting} Calls wait already (limits.waiting_per_charge_point)"
            raise Unavailable(text, why=Why.BUSY)
        self._in_progress += 1
        self._sent_by[sender] += 1
        self._sent_from[sender, source] += 1

    def _full(self, sender: Party, source: str) -> str | None:
        """Return a text for the limit that is reached, or None."""
        if self._in_progress >= self._limit:
            return f"{self._limit} Calls are in progress"
        if self._sent_by[sender] >= self._of_direction:
            return f"{self._of_direction} Calls of {_SENDERS[sender]} are in progress"
        if self._sent_from[sender, source] >= self._of_source:
            return f"{self._of_source} Calls of one {_SOURCES[sender]} are in progress"
        return None

    def end(self, sender: Party, source: str) -> None:
        """Count a Call that has ended. The arguments are those with which it began."""
        source = _counted(sender, source)
        self._in_progress -= 1
        self._sent_by[sender] -= 1
        self._sent_from[sender, source] -= 1
        if not self._sent_from[sender, source]:
            del self._sent_from[sender, source]
        if self._quiet is not None and not self._in_progress:
            self._quiet.set()

    async def drained(self, within: float) -> bool:
        """Wait until no Call is in progress, at most `within` seconds. Returns: False if Calls were left."""
        if not self._in_progress:
            return True
        self._quiet = self._quiet or asyncio.Event()
        self._quiet.clear()
        try:
            await asyncio.wait_for(self._quiet.wait(), within)
        except TimeoutError:
            return False
        return True


def _counted(sender: Party, source: str) -> str:
    """Return the name under which a Call is counted: an IPv6 address counts as its /64 network."""
    return network_of(source) if sender is Party.CHARGE_POINT else source
