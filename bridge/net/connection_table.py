"""The numbers of open connections of all processes that accept from the same sockets, in memory that they share.

The system wakes every process for a connection, and the first one takes it: often the same one. A process that has more
connections than another one leaves new ones to the others for a moment.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Sequence

_SIZE = 8  # octets of a number; the processor writes so many at once
_NOT_RUNNING = -1
# A process is ahead if it has more connections than the one with the fewest, by more than one and this part of its own.
_TOLERATED = 32


class ConnectionTable:
    """A table with a row for each listener, and in it a number for each process.

    Args:
        descriptor: Descriptor of the memory.
        listeners: Names of the listeners, in the order of the rows.
        processes: Number of processes.
    """

    def __init__(self, descriptor: int, listeners: Sequence[str], processes: int) -> None:
        self.descriptor = descriptor
        self._listeners = tuple(listeners)
        self._processes = processes
        self._memory = mmap.mmap(descriptor, _size(self._listeners, processes))
        self._numbers = memoryview(self._memory).cast("q")

    @classmethod
    def create(cls, listeners: Sequence[str], processes: int) -> ConnectionTable:
        """Make a table in which no process is running. Raises OSError if the system has no memory for it."""
        descriptor = os.memfd_create("connections")
        os.ftruncate(descriptor, _size(listeners, processes))
        table = cls(descriptor, listeners, processes)
        for process in range(processes):
            table.has_ended(process)
        return table

    def has_ended(self, process: int) -> None:
        """Record that a process, counted from 0, is not running and has no connections."""
        for row in range(len(self._listeners)):
            self._numbers[row * self._processes + process] = _NOT_RUNNING

    def counts(self, listener: str, process: int) -> OpenConnections:
        """Return the counts of a listener as one process, counted from 0, has them. It runs from now on."""
        start = self._listeners.index(listener) * self._processes
        return OpenConnections(self._numbers[start : start + self._processes], process)

    def close(self) -> None:
        """Give the memory back, as far as this process is concerned. Further calls do nothing."""
        if not self._memory.closed:
            self._numbers.release()
            self._memory.close()
            os.close(self.descriptor)


class OpenConnections:
    """The open connections of one listener: those of this process, and those of the others."""

    def __init__(self, numbers: memoryview, own: int) -> None:
        self._numbers = numbers
        self._own = own
        numbers[own] = 0

    def enter(self) -> None:
        """Count a connection that this process has accepted."""
        self._numbers[self._own] += 1

    def leave(self) -> None:
        """Uncount a connection that was closed."""
        self._numbers[self._own] -= 1

    @property
    def is_ahead(self) -> bool:
        """Whether this process has so many more connections than another one that the other should take the next."""
        own = self._numbers[self._own]
        fewest = min(number for number in self._numbers if number != _NOT_RUNNING)
        return bool(own - fewest > 1 + own // _TOLERATED)


def _size(listeners: Sequence[str], processes: int) -> int:
    return max(1, len(listeners) * processes) * _SIZE
