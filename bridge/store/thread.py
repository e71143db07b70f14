"""The thread that writes to a database: it takes what waits as one batch and writes that as one transaction.

In trouble it tries again every so many seconds, each time with a fresh connection. Nobody waits for the disk but this
thread.
"""

from __future__ import annotations

import sqlite3
import threading
from abc import ABC, abstractmethod
from typing import Generic, TypeVar

from bridge.store.schema import UnusableStore

Batch = TypeVar("Batch")
Written = TypeVar("Written")

# Seconds that what waits may wait for more to be written with it, where nobody waits for it.
LINGER = 0.05
# Seconds after which a file that nothing is written to is looked at all the same: it may have been removed or replaced.
LOOK = 5.0
# Seconds that `close` waits for a disk that does not answer.
CLOSE_PATIENCE = 10.0
# The exceptions that a disk can cause. Any other exception is a fault of the bridge and is logged with its traceback.
EXPECTED = (OSError, sqlite3.Error, UnusableStore)


class WriterThread(ABC, Generic[Batch, Written]):
    """A thread that writes, from `start` to `close`. A subclass has the queue and says what a batch is.

    Args:
        name: The thread's name.
        retry: Seconds until a disk that failed is tried again.
    """

    def __init__(self, name: str, retry: float) -> None:
        self._retry = retry
        self._changed = threading.Condition()
        self._trouble: str | None = None
        self._stale = False  # something is wrong with the connections
        self._closing = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def trouble(self) -> str | None:
        """The reason why nothing is written, for a person; None if all is well."""
        return self._trouble

    def start(self, failure: Exception | None = None) -> None:
        """Start to write. `failure` is the error if the database could not be connected."""
        if failure is None:
            self._write(self._take())
        else:
            self._stale = True
            self._failed(self._take(), failure)
        self._thread.start()

    def close(self) -> bool:
        """Write the rest of the queue, with one more attempt if in trouble, and end the thread.

        Returns: whether the thread has ended. It has not if the disk does not answer.
        """
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread.ident is None:
            return True
        self._thread.join(CLOSE_PATIENCE)
        return not self._thread.is_alive()

    def _run(self) -> None:
        last = False
        while not last:
            last = self._wait()
            self._write(self._take())
        self._ended()

    def _wait(self) -> bool:
        """Wait until there is something to do. Returns whether that is the last time."""
        with self._changed:
            if self._trouble is not None:
                self._changed.wait_for(lambda: self._closing or self._is_asked(), self._retry)
            elif self._changed.wait_for(lambda: self._is_urgent() or self._has_some(), LOOK):
                self._changed.wait_for(self._is_urgent, LINGER)
            return self._closing

    def _is_urgent(self) -> bool:
        return self._closing or self._stale or self._is_asked()

    def _write(self, batch: Batch) -> None:
        """Write a batch. If that fails, try once more with a new connection before there is trouble."""
        for _ in range(2):
            try:
                written = self._try(batch)
            except Exception as error:  # of any kind: this thread must go on, and the log must tell of it
                self._stale, failure = True, error
                if self._trouble is not None:
                    break
            else:
                self._done(batch, written)
                return
        self._failed(batch, failure)

    @abstractmethod
    def _has_some(self) -> bool:
        """Return whether the queue holds something."""

    @abstractmethod
    def _is_asked(self) -> bool:
        """Return whether somebody waits until the queue is written."""

    @abstractmethod
    def _take(self) -> Batch:
        """Take the next batch out of the queue."""

    @abstractmethod
    def _try(self, batch: Batch) -> Written:
        """Write `batch`. Connect anew before that if the connections are stale. Every exception is raised."""

    @abstractmethod
    def _done(self, batch: Batch, written: Written) -> None:
        """Handle the success of a batch."""

    @abstractmethod
    def _failed(self, batch: Batch, error: Exception) -> None:
        """Handle the failure of a batch, after the second attempt."""

    @abstractmethod
    def _ended(self) -> None:
        """Handle the end of the thread."""


def described(error: Exception) -> str:
    """Return the description of an error for a person, without the name of the database."""
    if isinstance(error, UnusableStore):
        return error.reason
    if isinstance(error, OSError):
        return f"{error.strerror} ({error.filename})"
    return str(error) if isinstance(error, EXPECTED) else repr(error)
