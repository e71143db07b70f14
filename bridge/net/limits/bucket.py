"""A token bucket: limits the rate per second and the size of a burst."""

from __future__ import annotations

from collections.abc import Callable

# Rounding may leave slightly less than one token. A caller that waited as long as `take` returned must get its token.
_WHOLE = 1 - 1e-6


class Bucket:
    """A token bucket.

    Args:
        rate: Tokens that are added per second.
        burst: The most tokens in the bucket, and the number at the start.
        clock: Returns seconds on a monotonic clock.
    """

    __slots__ = ("_at", "_burst", "_clock", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._tokens = burst
        self._at = clock()

    def take(self) -> float:
        """Take a token if there is one. Return 0.0, or the seconds until there will be one if nothing was taken."""
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
