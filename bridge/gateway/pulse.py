"""How late the event loop is: everything that happens in the bridge waits for it."""

from __future__ import annotations

import asyncio
from collections import deque

# Seconds between beats, and for how many of them the latest is remembered: a minute, as often as Prometheus asks.
_INTERVAL = 0.5
_REMEMBERED = 120


class Pulse:
    """Beats while it is started, on `loop`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._due = loop.time()
        self._lags: deque[float] = deque(maxlen=_REMEMBERED)
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Beat from now on."""
        self._due = self._loop.time() + _INTERVAL
        self._timer = self._loop.call_at(self._due, self._beat)

    def stop(self) -> None:
        """Beat no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _beat(self) -> None:
        # The loop may call a moment early.
        self._lags.append(max(0.0, self._loop.time() - self._due))
        self.start()

    @property
    def lag(self) -> float:
        """How late the last beat was, or the one that is due is by now. Seconds."""
        overdue = self._loop.time() - self._due
        return max(overdue, self._lags[-1] if self._lags else 0.0, 0.0)

    @property
    def most(self) -> float:
        """The latest that a beat was in the last minute. Seconds."""
        return max(self.lag, *self._lags) if self._lags else self.lag
