"""Who guessed wrong how often, and has to wait before the next guess is looked at. Pure: `clock` gives seconds.

Three counts, each with its own patience. A pair of address and identity has a few guesses, then waits twice as long
after each. An address that is wrong about many identities waits for all those that it was never right about. And an
identity that many addresses are wrong about gives each further address one guess before it waits. So nobody who is
right at the first try can be kept out from another address, and whoever guesses is slow wherever it comes from.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

# Wrong guesses that cost nothing: of a pair, of an address, and of an identity before its pairs have but one.
_OF_PAIR, _OF_ADDRESS, _OF_IDENTITY = 5, 20, 20
# Seconds: the longest wait, and after which a wrong guess is forgotten.
_LONGEST, _FORGOTTEN = 60.0, 900.0


class _Count:
    """Wrong guesses, when the last one was, and until when none is looked at."""

    __slots__ = ("last", "right", "until", "wrong")

    def __init__(self) -> None:
        self.wrong = 0
        self.last = self.until = float("-inf")
        self.right = False  # the latest guess that was looked at


class _Counts(Generic[K]):
    """The counts of all keys, of which the one that was not used longest goes when there are too many."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._of: OrderedDict[K, _Count] = OrderedDict()

    def __len__(self) -> int:
        return len(self._of)

    def find(self, key: K, now: float) -> _Count:
        """What is known of it; if nothing, an empty one that is not kept."""
        count = self._of.get(key)
        if count is None:
            return _Count()
        self._of.move_to_end(key)
        if now - count.last > _FORGOTTEN:
            count.wrong = 0
        return count

    def keep(self, key: K, count: _Count) -> None:
        self._of[key] = count
        self._of.move_to_end(key)
        if len(self._of) > self._most:
            self._of.popitem(last=False)


class Attempts:
    """The counts of all. Bounded: at most `most` pairs, addresses and identities each."""

    def __init__(self, clock: Callable[[], float], most: int = 10_000) -> None:
        self._clock = clock
        self._pairs: _Counts[tuple[str, str]] = _Counts(most)
        self._addresses: _Counts[str] = _Counts(most)
        self._identities: _Counts[str] = _Counts(most)

    def __len__(self) -> int:
        return len(self._pairs) + len(self._addresses) + len(self._identities)

    def wait(self, peer: str, identity: str) -> float:
        """Seconds until a guess is looked at; 0: now."""
        now = self._clock()
        pair = self._pairs.find(_pair(peer, identity), now)
        until = pair.until
        if not pair.right:
            until = max(until, self._addresses.find(_network(peer), now).until)
        return max(0.0, until - now)

    def wrong(self, peer: str, identity: str) -> None:
        """A guess was looked at, and was not right."""
        now, key = self._clock(), _pair(peer, identity)
        pair = self._pairs.find(key, now)
        if pair.wrong < _OF_PAIR:
            # One device with a wrong password, which tries for ever, does not slow all that share its address.
            _count(self._addresses, key[0], now, _OF_ADDRESS)
        attacked = _count(self._identities, key[1], now, _OF_IDENTITY).wrong >= _OF_IDENTITY
        pair.right = False
        _count(self._pairs, key, now, 0 if attacked else _OF_PAIR - 1, pair)

    def right(self, peer: str, identity: str) -> None:
        """A guess was looked at, and was right."""
        key = _pair(peer, identity)
        pair = self._pairs.find(key, self._clock())
        pair.wrong, pair.until, pair.right = 0, float("-inf"), True
        self._pairs.keep(key, pair)


def _count(counts: _Counts[K], key: K, now: float, free: int, count: _Count | None = None) -> _Count:
    count = count or counts.find(key, now)
    count.wrong, count.last = count.wrong + 1, now
    if count.wrong > free:
        count.until = now + min(_LONGEST, 2.0 ** min(count.wrong - free - 1, 10))
    counts.keep(key, count)
    return count


def _pair(peer: str, identity: str) -> tuple[str, str]:
    return _network(peer), identity.casefold()


def _network(peer: str) -> str:
    """Who has one address of IPv6 has 2**64 of them."""
    try:
        address = ip_address(peer)
    except ValueError:
        return peer
    if not isinstance(address, IPv6Address):
        return peer
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(IPv6Network((int(address), 64), strict=False))
