"""How much time went by, for the process and for this thread: what a Pace is told."""

from __future__ import annotations

import os
import time
from contextlib import suppress

from bridge.recorder.pace import Clocks

# Linux: what the first thread of a process, ours with the event loop, ran and waited for a core, in nanoseconds.
_STANDING = "/proc/self/schedstat"


class Watch:
    """Read it in the thread that is to be paced; close it there."""

    def __init__(self, standing: str = _STANDING) -> None:
        self._file: int | None = None
        with suppress(OSError):  # not everywhere is it told
            self._file = os.open(standing, os.O_RDONLY)

    def read(self) -> Clocks:
        """What they show."""
        return Clocks(time.monotonic(), time.process_time(), time.thread_time(), self._waited())

    def close(self) -> None:
        """It is read no more."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _waited(self) -> float:
        if self._file is None:
            return 0.0
        try:
            return int(os.pread(self._file, 100, 0).split()[1]) / 1e9
        except (OSError, ValueError, IndexError):
            return 0.0
