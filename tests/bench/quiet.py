"""Whether the machine was quiet: what others than the load and its subjects did on it meanwhile."""

from __future__ import annotations

import os
import time
from pathlib import Path


class Others:
    """Begins to watch when it is made. Its own children count as others until they have ended."""

    def __init__(self) -> None:
        self._begun = self._now()

    @property
    def share(self) -> float | None:
        """What others took of all cores since then, 0 to 1; None where the system does not tell."""
        if self._begun is None or (now := self._now()) is None:
            return None
        at, busy, own = (later - earlier for later, earlier in zip(now, self._begun, strict=True))
        return max(0.0, busy - own) / (at * (os.cpu_count() or 1))

    @staticmethod
    def _now() -> tuple[float, float, float] | None:
        """Seconds: on the clock, busy of all cores, spent by this process and the children that have ended."""
        try:
            fields = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
        except OSError:
            return None
        _, _, _, idle, waiting, *_ = fields
        busy = (sum(fields) - idle - waiting) / os.sysconf("SC_CLK_TCK")
        return time.monotonic(), busy, sum(os.times()[:4])
