"""Limit the number of unknown identities per IP address and minute, because anybody can invent identities.

An identity counts from its first message until a Central System has accepted its BootNotification, or until a minute is
over. So the Charge Points of a fleet behind one address enter as fast as their BootNotifications are accepted.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Callable

from bridge.core.networks import network_of
from bridge.errors import Unavailable, Why

# Seconds that an identity counts, and the most seconds that a caller of `entered` waits.
_COUNTS_FOR, _PATIENCE = 60.0, 10.0
# The most callers that wait for one address at the same time. Each holds a connection.
_MOST_WAITING = 4096


class _Address:
    """The identities that count for one address, and the callers that wait for one to be free.

    Attributes:
        since: When each identity began to count, in seconds of the clock, the oldest first.
        waiting: The futures of the waiting callers.
    """

    __slots__ = ("since", "waiting")

    def __init__(self) -> None:
        self.since: OrderedDict[str, float] = OrderedDict()
        self.waiting: deque[asyncio.Future[None]] = deque()


class Newcomers:
    """At most `most` unknown identities for each address. `clock` returns monotonic seconds."""

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self._addresses: dict[str, _Address] = {}
        self._address_of: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._address_of)

    def enter(self, peer: str, identity: str) -> None:
        """Count an unknown identity from the IP address `peer`. Raises Unavailable if the limit is reached."""
        folded = identity.casefold()
        if folded in self._address_of:
            return
        address = self._of(peer)
        self._forget_old(address)
        if len(address.since) >= self._most:
            text = f"{self._most} identities came from this address within a minute (limits.new_identities_per_minute)"
            raise Unavailable(text, why=Why.BUSY, retry_after=_PATIENCE)
        address.since[folded] = self._clock()
        self._address_of[folded] = network_of(peer)

    async def entered(self, peer: str, identity: str) -> None:
        """Count an unknown identity as `enter` does, but wait up to 10 seconds while the limit is reached.

        Use it for a Charge Point that a Central System will probably accept. Raises Unavailable after that time.
        """
        deadline = self._clock() + _PATIENCE
        while True:
            try:
                self.enter(peer, identity)
                return
            except Unavailable:
                left, address = deadline - self._clock(), self._of(peer)
                if left <= 0 or len(address.waiting) >= _MOST_WAITING:
                    raise
                room = asyncio.get_running_loop().create_future()
                address.waiting.append(room)
                await asyncio.wait([room], timeout=left)
                if not room.done():
                    address.waiting.remove(room)

    def accepted(self, identity: str) -> None:
        """Stop counting an identity, because a Central System has accepted its BootNotification."""
        folded = identity.casefold()
        network = self._address_of.pop(folded, None)
        if network is not None:
            address = self._addresses[network]
            address.since.pop(folded, None)
            self._wake(address)

    def _of(self, peer: str) -> _Address:
        network = network_of(peer)
        if network not in self._addresses:
            self._forget_all_old()
            self._addresses[network] = _Address()
        return self._addresses[network]

    def _forget_old(self, address: _Address) -> None:
        now = self._clock()
        while address.since and now - next(iter(address.since.values())) >= _COUNTS_FOR:
            folded, _ = address.since.popitem(last=False)
            self._address_of.pop(folded, None)

    def _forget_all_old(self) -> None:
        """Remove addresses without a counted identity. Called for each new address. It examines two."""
        for network, address in list(self._addresses.items())[:2]:
            self._forget_old(address)
            if address.since or address.waiting:
                self._addresses[network] = self._addresses.pop(network)  # examined again after all others
            else:
                del self._addresses[network]

    def _wake(self, address: _Address) -> None:
        while address.waiting:
            room = address.waiting.popleft()
            if not room.done():
                room.set_result(None)
                break
