"""A token bucket: so many a second, and so many at once."""

from __future__ import annotations

from collections.abc import Callable

# What rounding may lack of one: who waits as long as he is told must not be told to wait on.
_WHOLE = 1 - 1e-6


class Bucket:
    """Refills by `rate` a second up to `burst`. `clock` gives seconds and never goes back."""

    __slots__ = ("_at", "_burst", "_clock", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._tokens = burst
        self._at = clock()

    def take(self) -> float:
        """Take a token: 0.0. If there is none, nothing is taken: the seconds until there will be one."""
        now = self._clock()
        tokens = self._tokens + (now - self._at) * self._rate
        self._at = now
        if tokens > self._burst:
            tokens = self._burst
        if tokens >= _WHOLE:
            self._tokens = tokens - 1
            return 0.0
        self._tokens = tokens
        return (1 - tokens) / self._rate
