"""Measure the lag of the event loop. Everything that the bridge does waits for the event loop."""

from __future__ import annotations

import asyncio
from collections import deque

# Seconds between two timer calls, and the number of calls that are remembered. Together they cover a minute, the
# interval at which Prometheus scrapes.
_INTERVAL = 0.5
_REMEMBERED = 120


class EventLoopLag:
    """A periodic timer on `loop` that measures how late the loop calls it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._due = loop.time()
        self._lags: deque[float] = deque(maxlen=_REMEMBERED)
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Start the timer."""
        self._due = self._loop.time() + _INTERVAL
        self._timer = self._loop.call_at(self._due, self._beat)

    def stop(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()

    def _beat(self) -> None:
        # The loop may call the timer slightly too early.
        self._lags.append(max(0.0, self._loop.time() - self._due))
        self.start()

    @property
    def lag(self) -> float:
        """Return the lag of the last timer call, or of the call that is overdue now, if that is more. Unit: seconds."""
        overdue = self._loop.time() - self._due
        return max(overdue, self._lags[-1] if self._lags else 0.0, 0.0)

    @property
    def most(self) -> float:
        """Return the greatest lag of the last minute, in seconds."""
        return max(self.lag, *self._lags) if self._lags else self.lag
