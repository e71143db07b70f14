"""What is said once in a while: a flood of refusals is a line a minute for each source and reason, not one for each."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable

# How many sources and reasons are remembered; of more, the one that was let through longest ago is forgotten, and may
# say its line early.
_MOST = 4096


class Gate:
    """Lets each key through once every `interval` seconds. `clock` gives seconds and never goes back."""

    def __init__(self, clock: Callable[[], float], *, interval: float = 60.0, most: int = _MOST) -> None:
        self._clock = clock
        self._interval = interval
        self._most = most
        # When each was let through last, the longest ago first, and how often it was held since.
        self._last: OrderedDict[Hashable, tuple[float, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._last)

    def passes(self, key: Hashable, times: int = 1) -> int | None:
        """How many of `key` were held since the last that was let through; None if this one is held too. It may stand
        for several `times`, of which one is let through."""
        now = self._clock()
        at, held = self._last.get(key, (now - self._interval, 0))
        if now - at < self._interval:
            self._last[key] = (at, held + times)
            return None
        self._last[key] = (now, 0)
        self._last.move_to_end(key)
        if len(self._last) > self._most:
            self._last.popitem(last=False)
        return held + times - 1
