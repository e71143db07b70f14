"""Rate limit for log lines: a flood of refusals is logged once a minute for each source and reason, not each time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable

# Most keys that are remembered. Beyond, the key that passed longest ago is forgotten, and may pass again early.
_MOST = 4096
# Intervals after which a key that was held and did not come again is forgotten as well.
_LONGEST = 60


class RepeatLimiter:
    """Let each key pass once every `interval` seconds.

    Args:
        clock: Returns seconds on a monotonic clock.
        interval: The least seconds between two passes of a key.
        most: The most keys that are remembered.
    """

    def __init__(self, clock: Callable[[], float], *, interval: float = 60.0, most: int = _MOST) -> None:
        self._clock = clock
        self._interval = interval
        self._most = most
        # The time at which each key last passed, and how often it was held since. The oldest pass is first.
        self._last: OrderedDict[Hashable, tuple[float, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._last)

    def passes(self, key: Hashable, times: int = 1) -> int | None:
        """Return how often `key` was held since it last passed; None if it is held now.

        Args:
            key: The source and reason.
            times: The number of occurrences that this call stands for. If the key passes, one of them passes and the
                others count as held.
        """
        now = self._clock()
        at, held = self._last.get(key, (now - self._interval, 0))
        if now - at < self._interval:
            self._last[key] = (at, held + times)
            return None
        self._last[key] = (now, 0)
        self._last.move_to_end(key)
        while len(self._last) > self._most or self._is_over(now):
            self._last.popitem(last=False)
        return held + times - 1

    def _is_over(self, now: float) -> bool:
        """Return whether the key that passed longest ago may be forgotten.

        A key without held occurrences may be forgotten after one interval, any other after `_LONGEST` intervals.
        """
        at, held = next(iter(self._last.values()))
        return now - at >= self._interval * (_LONGEST if held else 1)
