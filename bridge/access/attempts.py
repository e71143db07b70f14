"""Limit how often a password or token may be guessed, and rank guesses. Pure: the caller passes a clock, in seconds.

A guess is an unverified password or token. For each identity a few guesses are checked at once, then one a second,
whatever their senders' addresses. Earlier guesses from the same address affect only the order: a guess whose sender was
wrong last time is checked last. So a wrong guess does not lock out another Charge Point, and guessing is slow from any
number of addresses.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from enum import IntEnum

from bridge.core.networks import network_of

# Guesses for an identity that are checked at once, and the seconds between further guesses.
_FIRST, _EACH = 5, 1.0
# Seconds after which a wrong guess is forgotten.
_FORGOTTEN = 900.0


class Rank(IntEnum):
    """Rank of a guess. Guesses with the lowest rank are checked first."""

    RECOGNISED = 0
    """The guess has the tag of the identity's last correct password or token."""
    NEVER_WRONG = 1
    """There is no recent wrong guess from this address."""
    ADDRESS_WRONG = 2
    """The last guess from this address, for any identity, was wrong."""
    WRONG = 3
    """The last guess from this address for this identity was wrong."""


class Attempts:
    """Recent guesses of all addresses and identities.

    Memory is bounded: at most `most` addresses, `most` pairs of address and identity, and `most` identities are kept.
    """

    def __init__(self, clock: Callable[[], float], most: int = 10_000) -> None:
        self._clock = clock
        self._most = most
        # Time of the last guess, if it was wrong, by address and by pair of address and identity.
        self._wrong: OrderedDict[Hashable, float] = OrderedDict()
        # By identity: the guesses that are left, and the time of that count.
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._wrong) + len(self._left)

    def due(self, identity: str) -> float:
        """Return the seconds until the next guess for `identity` may be checked; 0.0 for now."""
        return max(0.0, (1 - self._guesses(identity)) * _EACH)

    def take(self, identity: str) -> None:
        """Count a guess for `identity` that is checked now."""
        folded = identity.casefold()
        self._left[folded] = (self._guesses(identity) - 1, self._clock())
        self._left.move_to_end(folded)
        if len(self._left) > self._most:
            self._left.popitem(last=False)

    def rank(self, peer: str, identity: str) -> Rank:
        """Return the rank of a guess for `identity` from the IP address `peer`."""
        address, pair = _keys(peer, identity)
        if self._is_wrong(pair):
            return Rank.WRONG
        return Rank.ADDRESS_WRONG if self._is_wrong(address) else Rank.NEVER_WRONG

    def wrong(self, peer: str, identity: str) -> None:
        """Record a wrong guess."""
        for key in _keys(peer, identity):
            self._wrong[key] = self._clock()
            self._wrong.move_to_end(key)
        while len(self._wrong) > 2 * self._most:
            self._wrong.popitem(last=False)

    def right(self, peer: str, identity: str) -> None:
        """Record a correct guess, which clears the wrong guesses of its address."""
        for key in _keys(peer, identity):
            self._wrong.pop(key, None)

    def _guesses(self, identity: str) -> float:
        left, since = self._left.get(identity.casefold(), (float(_FIRST), self._clock()))
        return min(float(_FIRST), left + (self._clock() - since) / _EACH)

    def _is_wrong(self, key: Hashable) -> bool:
        at = self._wrong.get(key)
        return at is not None and self._clock() - at <= _FORGOTTEN


def _keys(peer: str, identity: str) -> tuple[Hashable, Hashable]:
    address = network_of(peer)
    return address, (address, identity.casefold())
